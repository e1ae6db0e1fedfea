package tokenizer

import (
	"fmt"
	"strings"
)

// span is a stretch of text, perhaps normalized, that knows which bytes of the original text its bytes stand for. Its
// text is valid UTF-8.
type span struct {
	text   string
	start  int      // place of text[0] in the original, where origin is nil
	origin []Offset // one per byte of text; nil: the bytes are those of the original, from start on
}

// slice returns bytes [i, j) of s.
func (s span) slice(i, j int) span {
	if s.origin == nil {
		return span{text: s.text[i:j], start: s.start + i}
	}
	return span{text: s.text[i:j], origin: s.origin[i:j]}
}

// source returns the range of the original that bytes [i, j) of s stand for; i < j.
func (s span) source(i, j int) Offset {
	if s.origin == nil {
		return Offset{int32(s.start + i), int32(s.start + j)}
	}
	return Offset{s.origin[i].Start, s.origin[j-1].End}
}

// place returns the position in the original of the border before byte i of s, which is not empty.
func (s span) place(i int) int {
	switch {
	case s.origin == nil:
		return s.start + i
	case i < len(s.origin):
		return int(s.origin[i].Start)
	default:
		return int(s.origin[i-1].End)
	}
}

// rewriter builds a changed copy of a span from left to right.
type rewriter struct {
	from   span
	done   int // bytes of from.text that are behind us
	text   strings.Builder
	origin []Offset
}

func newRewriter(s span) *rewriter {
	w := &rewriter{from: s, origin: make([]Offset, 0, len(s.text)+8)}
	w.text.Grow(len(s.text) + 8)
	return w
}

// keep carries the text up to byte i over as it is.
func (w *rewriter) keep(i int) {
	if w.full() {
		return
	}
	for k := w.done; k < i; k++ {
		w.origin = append(w.origin, w.from.source(k, k+1))
	}
	w.text.WriteString(w.from.text[w.done:i])
	w.done = i
}

// replace puts text in place of everything up to byte i. Each of its bytes stands for all that was replaced; if that is
// nothing, text is an insertion.
func (w *rewriter) replace(i int, text string) {
	if w.full() {
		return
	}
	at := int32(w.from.place(w.done))
	o := Offset{at, at}
	if i > w.done {
		o = w.from.source(w.done, i)
	}
	for range len(text) {
		w.origin = append(w.origin, o)
	}
	w.text.WriteString(text)
	w.done = i
}

// full says that the text has outgrown maxText; nothing is added from then on.
func (w *rewriter) full() bool { return w.text.Len() > maxText }

// finish keeps the rest and returns the changed span.
func (w *rewriter) finish() (span, error) {
	w.keep(len(w.from.text))
	if w.full() {
		return span{}, fmt.Errorf("text has more than %d bytes once normalized; cut it", maxText)
	}
	return span{text: w.text.String(), origin: w.origin}, nil
}
