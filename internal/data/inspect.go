package data

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dpotrain/internal/chat"
	"dpotrain/internal/rows"
	"dpotrain/internal/tokenizer"
)

// Inspected is a row as a run reads it, whatever becomes of it.
type Inspected struct {
	File  string
	Line  int
	ByRow bool // Line is the number of the row, for the file has no lines
	Place int  // what Show takes for the row's number

	Err  error // why the row cannot be read; nothing below is to be relied on then
	Drop Drop  // why it is left out

	Form     Form // of the row; Completions if it is a single one
	Label    Label
	Chat     bool     // messages, not text
	Prompt   []string // the prompt's text, or the contents of its messages that are text
	Rendered string   // the prompt as one text
	Sides    []InspectedSide

	Scores [2]float64 // of chosen and rejected; of a row with margin alone that and 0
	Scored bool       // it has these
	Across bool       // a token across the border to the completion is scored
	Other  bool       // none is, but the prompt alone has other tokens than before its completion
	TwoBOS bool       // the text begins with BOS, and the tokenizer puts another in front
}

// InspectedSide is a completion: of a pair chosen or rejected, of a ranked row one of them, best first.
type InspectedSide struct {
	Texts    []string // the completion's text, or the contents of its messages that are text
	Rendered string   // what follows the prompt in the text of the whole
	IDs      []int32  // before truncation; nil if the row was left out earlier
	First    int      // IDs[First:] are scored
	Kept     int      // ids after truncation
}

// Where names the row in messages.
func (r *Inspected) Where() string { return rows.Place(r.File, r.Line, r.ByRow) }

// Drop is why a row is left out though it can be read.
type Drop = dropReason

// Reasons to leave a row out.
const (
	Kept               Drop = kept
	Identical          Drop = dropIdentical
	IdenticalTruncated Drop = dropIdenticalTruncated
	EmptyChosen        Drop = dropEmptyChosen
	EmptyRejected      Drop = dropEmptyRejected
	TruncatedAway      Drop = dropTruncatedAway
	Unranked           Drop = dropUnranked
	Filtered           Drop = dropFiltered // by the source's filter: nothing is wrong with it
	Drops              Drop = dropReasons  // their number
)

// Inspect reads the rows of a source as Load does and gives each to f, in order, one that cannot be read too; none is kept. Errors are of
// whole files, or of f.
func (r *Reader) Inspect(s Source, form Form, o Options, progress func(done, total int64), f func(*Inspected) error) error {
	return eachFileOf(s, progress, func(in *rows.Reader, name string, read func()) error {
		return r.inspect(in, name, s, form, o, f, read)
	})
}

func (r *Reader) inspect(in *rows.Reader, name string, source Source, form Form, o Options, f func(*Inspected) error, progress func()) error {
	var stops atomic.Int64
	makers := make([]*maker, runtime.GOMAXPROCS(0))
	for i := range makers {
		m, err := r.maker(context.Background(), form, o)
		if err != nil {
			return err
		}
		makers[i] = m
	}
	read := rowsOf(in, source)
	number := 0
	for end := false; !end; {
		var items []rows.Row
		var err error
		if items, end, err = nextBatch(in); err != nil {
			return err
		}
		seen := make([]*Inspected, len(items))
		var next atomic.Int64
		var wait sync.WaitGroup
		for _, m := range makers {
			wait.Add(1)
			go func() {
				defer wait.Done()
				for i := int(next.Add(1)) - 1; i < len(items) && stops.Load() <= maxStops; i = int(next.Add(1)) - 1 {
					seen[i] = m.inspect(items[i], read)
					items[i].Text = nil
					if errors.Is(seen[i].Err, chat.ErrBound) {
						stops.Add(1)
					}
				}
			}()
		}
		wait.Wait()
		if stops.Load() > maxStops {
			return fmt.Errorf("%s: %w at more than %d rows; look at the template", name, chat.ErrBound, maxStops)
		}
		for i, row := range seen {
			number++
			row.File, row.Line, row.ByRow, row.Place = name, items[i].Number, in.ByRow(), items[i].Number
			if in.InList() {
				row.Place = number
			}
			if err := f(row); err != nil {
				return err
			}
		}
		progress()
	}
	return nil
}

// inspect makes a row's example and tells what it sees.
func (m *maker) inspect(item rows.Row, read rowReader) *Inspected {
	out := &Inspected{}
	if out.Err = item.Err; out.Err != nil {
		return out
	}
	w := &watch{}
	m.watch = w
	made, err := m.make(item.Text, read)
	if out.Err = err; err != nil {
		return out
	}
	c := w.conversation
	out.Drop, out.Label = made.drop, made.example.Label
	out.Across, out.Other, out.TwoBOS = made.across, made.other, made.twoBOS
	out.Form, out.Rendered = m.inspectedForm(w.row), w.prompt
	out.Chat, out.Prompt = c.isChat(), c.prompt.texts()
	out.Scores, out.Scored = w.row.pairScores()
	sides := w.sides
	if made.target != nil && w.row.isRanked(m.form) && len(sides) > 0 { // which stands in front there
		sides = sides[1:]
	}
	for _, completion := range c.completions {
		side := InspectedSide{Texts: completion.texts()}
		if !completion.empty() && len(sides) > 0 {
			s := sides[0]
			sides = sides[1:]
			side.Rendered, side.IDs, side.First = strings.TrimPrefix(s.text, w.prompt), s.IDs, s.first
			side.Kept = len(m.options.truncate(Sequence{IDs: s.IDs, First: s.first}).IDs)
		}
		out.Sides = append(out.Sides, side)
	}
	return out
}

// inspectedForm is what a row is read as.
func (m *maker) inspectedForm(r row) Form {
	form := m.form
	if form == AnyForm {
		form = r.form()
	}
	switch {
	case r.isRanked(form) && form != Completions:
		return Lists
	case form == Labelled && !r.has("completion"), form == Lists:
		return Pairs
	}
	return form
}

// pairScores are the scores of a pair, if it has any that are numbers.
func (r row) pairScores() (scores [2]float64, ok bool) {
	chosen, err1 := r.optional("chosen_score")
	rejected, err2 := r.optional("rejected_score")
	if err1 == nil && err2 == nil {
		return [2]float64{chosen, rejected}, true
	}
	margin, err := r.optional("margin")
	return [2]float64{margin, 0}, err == nil
}

var errNoNumber = errors.New("no number")

func (r row) optional(name string) (float64, error) {
	if !r.hasNumber(name) {
		return 0, errNoNumber
	}
	return r.number(name)
}

// texts are the cell's text, or the contents of its messages.
func (c cell) texts() []string {
	if !c.isChat() {
		return []string{c.text}
	}
	texts := make([]string, len(c.messages))
	for i, message := range c.messages {
		texts[i] = message.Text()
	}
	return slices.Clip(texts)
}

// Specials are the texts of the tokenizer's special tokens.
func (r *Reader) Specials() []string { return r.tokenizer.Specials() }

// IsSpecial says that an id is a special token's.
func (r *Reader) IsSpecial(id int32) bool { return r.tokenizer.IsSpecial(id) }

// EOS is the token that ends a completion; ok is false when the tokenizer names none.
func (r *Reader) EOS() (eos tokenizer.Special, ok bool) { return r.tokenizer.EOS() }

// probes stand for what is said in a conversation that shows what the template writes around messages.
var probes = [...]string{"firstprobe", "secondprobe", "thirdprobe"}

// Headers are what the chat template writes in front of a user's message and of an assistant's, without white space around; empty if that cannot be told.
func (r *Reader) Headers() (user, assistant string) {
	if r.template == nil {
		return "", ""
	}
	said := func(i int) string {
		role := []string{"user", "assistant"}[i%2]
		return fmt.Sprintf(`{"role": %q, "content": %q}`, role, probes[i])
	}
	render := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, said(i))
		}
		messages, err := chat.ParseMessages([]byte("[" + strings.Join(all, ",") + "]"))
		if err != nil {
			return ""
		}
		text, err := r.template.Render(messages, chat.Vars{}, false)
		if err != nil {
			return ""
		}
		return text
	}
	_, end, ended := strings.Cut(render(2), probes[1])
	_, rest, ok := strings.Cut(render(3), probes[0])
	assistant, rest, ok2 := strings.Cut(rest, probes[1])
	user, _, ok3 := strings.Cut(rest, probes[2])
	if !ended || !ok || !ok2 || !ok3 {
		return "", ""
	}
	return header(user, end), header(assistant, end)
}

// header is what stands between two messages without what ends the first: what ends the last message too, or of that the lines they have in common, for a last
// one may have more behind it.
func header(between, end string) string {
	n := 0
	for n < min(len(between), len(end)) && between[n] == end[n] {
		n++
	}
	if n < len(end) {
		n = strings.LastIndexByte(between[:n], '\n') + 1
	}
	return strings.TrimSpace(between[n:])
}
