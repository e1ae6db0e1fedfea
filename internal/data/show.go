package data

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"dpotrain/internal/rows"
	"dpotrain/internal/tokenizer"
)

// Shown is one row as a run reads it, and what becomes of it.
type Shown struct {
	Prompt   string // what comes before the completions, as text, before truncation
	Examples []ShownExample
}

// ShownExample is an example of the row, which has two if a pair is taken apart, and may have more if it is a ranked one.
type ShownExample struct {
	Example
	Shared int         // ids that its sequences have in common and none scores; of one sequence all that are not scored
	Sides  []ShownSide // what stands behind each of Shown
}

// Shown are the sequences, and behind them the imitated one where it is not the first as it is.
func (e *Example) Shown() []Sequence {
	first, imitated := e.Sequences[0], e.Imitated
	if imitated == nil || imitated.First == first.First && slices.Equal(imitated.IDs, first.IDs) {
		return e.Sequences
	}
	return append(slices.Clip(e.Sequences), *imitated)
}

// ShownSide is what stands behind a sequence.
type ShownSide struct {
	Text   string   // what follows the prompt in the text of the whole, before truncation
	Tokens []string // what each id stands for; of ids that stand for the same character the first
	Cut    int      // ids that truncation took away
}

// watch looks on while a row is made.
type watch struct {
	row          row
	conversation conversation
	prompt       string
	sides        []watched // of completions that are not empty, in order
}

// watched is a sequence before truncation.
type watched struct {
	text  string
	first int
	tokenizer.Encoding
}

// AnyForm lets the row that Show reads say what it is: a pair, an unpaired row, a ranked list, or else a completion.
const AnyForm Form = -1

// Show reads a row as Load does: that of a line, of a parquet file the row of that number, of a JSON list the one in that place. An error says why
// it is not among a run's examples: there is no such row, it is a bad one, or it is left out.
func (r *Reader) Show(source Source, number int, form Form, o Options) (*Shown, error) {
	o.OnBadRow = "error"
	m, err := r.maker(form, o)
	if err != nil {
		return nil, err
	}
	files, err := rows.Find(source.Path, source.Split)
	if err != nil {
		return nil, err
	}
	if len(files) > 1 {
		return nil, fmt.Errorf("%s: %d files; give the one that has the row", source, len(files))
	}
	in, err := rows.Open(files[0])
	if err != nil {
		return nil, err
	}
	defer in.Close()
	found, err := rowAt(in, number)
	if err != nil {
		return nil, err
	}
	w := &watch{}
	m.watch = w
	one := []item{{Row: found}}
	m.makeAll(one, rowsOf(in, source))
	set := m.newSet(source.String(), 1)
	report := set.Reports[0]
	if err := set.add(one, file{files[0], in.ByRow()}, m); err != nil {
		return nil, err
	}
	if report.Kept == 0 {
		why := slices.IndexFunc(report.dropped[:], func(t tally) bool { return t.n > 0 })
		return nil, fmt.Errorf("%s: left out, because %s; look at %s", in.Place(found.Number), dropTexts[why].what, dropTexts[why].lookAt)
	}
	s := &Shown{Prompt: w.prompt}
	for _, e := range set.Examples {
		shown := ShownExample{Example: e, Shared: e.shared()}
		if len(e.Sequences) == 1 {
			shown.Shared = e.Sequences[0].First
		}
		for _, q := range e.Shown() {
			whole, from := w.whole(q)
			shown.Sides = append(shown.Sides, ShownSide{
				Text:   strings.TrimPrefix(whole.text, w.prompt),
				Tokens: whole.tokens(r.tokenizer)[from : from+len(q.IDs)],
				Cut:    len(whole.IDs) - len(q.IDs),
			})
		}
		s.Examples = append(s.Examples, shown)
	}
	return s, nil
}

// rowAt goes on to a row.
func rowAt(in *rows.Reader, number int) (rows.Row, error) {
	last := 0
	for i := 1; ; i++ {
		row, err := in.Next()
		at := row.Number
		if in.InList() {
			at = i
		}
		switch {
		case err == io.EOF:
			return row, fmt.Errorf("%s: no such row; the last is %d", in.Place(number), last)
		case err != nil:
			return row, err
		case at == number:
			return row, nil
		case at > number:
			return row, fmt.Errorf("%s: no row begins at this line; the next is at %d", in.Place(number), at)
		}
		last = at
	}
}

// whole is what a sequence was cut from, and where it begins in that: of all that fit the shortest.
func (w *watch) whole(q Sequence) (found watched, from int) {
	for _, s := range w.sides {
		for _, at := range []int{0, len(s.IDs) - len(q.IDs)} { // keep_start, keep_end
			fits := at >= 0 && at+len(q.IDs) <= len(s.IDs) && slices.Equal(s.IDs[at:at+len(q.IDs)], q.IDs)
			if fits && (found.IDs == nil || len(s.IDs) < len(found.IDs)) {
				found, from = s, at
			}
		}
	}
	return found, from
}

// tokens are the texts of the ids. Together they are the whole text, but for what the tokenizer puts around it.
func (s watched) tokens(t *tokenizer.Tokenizer) []string {
	texts := make([]string, len(s.IDs))
	end := 0
	for i, o := range s.Offsets {
		switch {
		case o == tokenizer.Offset{}:
			texts[i] = t.Decode(s.IDs[i:i+1], false)
		case o.End > end:
			begin := max(o.Start, end)
			for end = o.End; end < len(s.text) && !utf8.RuneStart(s.text[end]); end++ { // an id may be a part of a character
			}
			texts[i] = s.text[begin:end]
		}
	}
	return texts
}
