package tokenizer

import "fmt"

// span is a stretch of text, perhaps normalized, that knows which bytes of the original text its bytes stand for. Its
// text is valid UTF-8.
type span struct {
	text   string
	start  int      // place of text[0] in the original, where origin is nil
	origin []source // one per byte of text; nil: the bytes are those of the original, from start on
}

// source is a range [start, end) of bytes of the original text.
type source struct{ start, end int32 }

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
		return Offset{s.start + i, s.start + j}
	}
	return Offset{int(s.origin[i].start), int(s.origin[j-1].end)}
}

// place returns the position in the original of the border before byte i of s, which is not empty.
func (s span) place(i int) int {
	switch {
	case s.origin == nil:
		return s.start + i
	case i < len(s.origin):
		return int(s.origin[i].start)
	default:
		return int(s.origin[i-1].end)
	}
}

// rewriter builds a changed copy of a span from left to right.
type rewriter struct {
	from   span
	done   int // bytes of from.text that are behind us
	text   []byte
	origin []source
}

func newRewriter(s span) *rewriter {
	return &rewriter{from: s, text: make([]byte, 0, len(s.text)+8), origin: make([]source, 0, len(s.text)+8)}
}

// keep carries the text up to byte i over as it is.
func (w *rewriter) keep(i int) {
	if w.full() {
		return
	}
	for k := w.done; k < i; k++ {
		o := w.from.source(k, k+1)
		w.origin = append(w.origin, source{int32(o.Start), int32(o.End)})
	}
	w.text = append(w.text, w.from.text[w.done:i]...)
	w.done = i
}

// replace puts text in place of everything up to byte i. Each of its bytes stands for all that was replaced; if that is
// nothing, text is an insertion.
func (w *rewriter) replace(i int, text string) {
	if w.full() {
		return
	}
	o := Offset{w.from.place(w.done), w.from.place(w.done)}
	if i > w.done {
		o = w.from.source(w.done, i)
	}
	at := source{int32(o.Start), int32(o.End)}
	for range len(text) {
		w.origin = append(w.origin, at)
	}
	w.text = append(w.text, text...)
	w.done = i
}

// full says that the text has outgrown maxText; nothing is added from then on.
func (w *rewriter) full() bool { return len(w.text) > maxText }

// finish keeps the rest and returns the changed span.
func (w *rewriter) finish() (span, error) {
	w.keep(len(w.from.text))
	if w.full() {
		return span{}, fmt.Errorf("text has more than %d bytes once normalized; cut it", maxText)
	}
	return span{text: string(w.text), origin: w.origin}, nil
}
