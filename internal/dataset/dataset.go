// Package dataset has small tools for files of rows, whatever their format: what is in them, a division in two, a sample, and another form. None needs a
// model.
//
// Stats is given a source and gives back counts; Split, Sample and Convert write JSONL, Convert parquet too, each file as a whole or not at all. What they
// write is a function of the rows and of the options: the same every time. What has to be read twice and is a stream is copied to a temporary file (passes.go).
//
// To add a form that Convert writes: a method of data.Plain, and its row in forms.
package dataset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/report"
	"dpotrain/internal/rows"
)

// Stdout is the path that stands for standard output.
const Stdout = "-"

// Output is where rows are written.
type Output struct {
	Path      string // Stdout or a file
	Overwrite bool   // a file that is there already is replaced
	Stdout    io.Writer
}

// ExistsError is that of a file which is there already.
type ExistsError struct{ Path string }

func (e *ExistsError) Error() string {
	return fmt.Sprintf("%s: a file is there already; give another name, or --overwrite", e.Path)
}

// String names it in messages.
func (o Output) String() string {
	if o.Path == Stdout {
		return "standard output"
	}
	return o.Path
}

func (o Output) isParquet() bool { return strings.HasSuffix(strings.ToLower(o.Path), ".parquet") }

// checkLines is check for what is written as JSONL alone.
func (o Output) checkLines() error {
	if o.isParquet() {
		return fmt.Errorf("%s: JSONL is written here; give a name that ends in .jsonl, or use convert", o.Path)
	}
	return o.check()
}

// check says why nothing can be written there.
func (o Output) check() error {
	if o.Path == Stdout {
		return nil
	}
	info, err := os.Lstat(o.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%s: a folder; give a file in it", o.Path)
	case !o.Overwrite:
		return &ExistsError{o.Path}
	}
	return nil
}

// write has content write rows.
func (o Output) write(content func(io.Writer) error) error {
	if o.Path == Stdout {
		return content(o.Stdout)
	}
	return checkpoint.WriteStream(o.Path, content)
}

// Stats are what is in a source.
type Stats struct {
	Rows       int            `json:"rows"`
	Forms      map[string]int `json:"forms"`   // rows by what they are: pairs, unpaired, ranked, completions
	Chats      int            `json:"chats"`   // rows of messages; the others are text
	Prompts    int            `json:"prompts"` // different ones
	Columns    []Column       `json:"columns"` // in the order in which they are met
	Characters []Characters   `json:"characters"`
}

// Column is what is in one.
type Column struct {
	Name  string         `json:"name"`
	As    string         `json:"as,omitempty"` // the name under which it is read; empty: it is not
	Rows  int            `json:"rows"`         // that have it
	Kinds map[string]int `json:"kinds"`        // text, list, object, number, boolean, null
}

// Characters are the lengths of texts.
type Characters struct {
	Name string  `json:"name"`
	Mean float64 `json:"mean"`
	Min  int     `json:"min"`
	P50  int     `json:"p50"`
	P90  int     `json:"p90"`
	P99  int     `json:"p99"`
	Max  int     `json:"max"`
}

// maxColumns bounds what is kept of files whose rows have ever other columns.
const maxColumns = 1000

// Count reads a source.
func Count(ctx context.Context, s data.Source, progress Progress) (*Stats, error) {
	st := &Stats{Forms: map[string]int{}}
	prompts := map[uint64]struct{}{}
	places := map[string]int{}
	lengths := map[string]*report.Histogram{}
	err := once(ctx, s, progress).scan(func(p *data.Plain) error {
		st.Rows++
		st.Forms[p.Form.String()]++
		if p.Chat {
			st.Chats++
		}
		prompts[p.Prompt] = struct{}{}
		for _, c := range p.Columns {
			at, is := places[c.Name]
			if !is {
				if len(st.Columns) == maxColumns {
					continue
				}
				at = len(st.Columns)
				places[c.Name] = at
				st.Columns = append(st.Columns, Column{Name: c.Name, As: c.Ours, Kinds: map[string]int{}})
			}
			st.Columns[at].Rows++
			st.Columns[at].Kinds[kind(c.Value)]++
		}
		for _, t := range p.Texts {
			if lengths[t.Name] == nil {
				lengths[t.Name] = &report.Histogram{}
			}
			lengths[t.Name].Add(t.Characters)
		}
		return nil
	})
	st.Prompts = len(prompts)
	for _, name := range []string{"prompt", "chosen", "rejected", "completion"} {
		if h := lengths[name]; h != nil {
			q := h.Quantiles(0, 0.5, 0.9, 0.99, 1)
			st.Characters = append(st.Characters, Characters{Name: name, Mean: h.Mean(), Min: q[0], P50: q[1], P90: q[2], P99: q[3], Max: q[4]})
		}
	}
	return st, err
}

func kind(value []byte) string {
	switch value[0] {
	case '"':
		return "text"
	case '[':
		return "list"
	case '{':
		return "object"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// Print writes the counts for people.
func (s *Stats) Print(w io.Writer, name string) {
	count := func(n int) string { return report.Count(int64(n)) }
	fmt.Fprintf(w, "%s: %s rows (%s), %s of them messages; %s different prompts\n\n", report.Line(name, 400), count(s.Rows), numbers(s.Forms), count(s.Chats), count(s.Prompts))
	var table [][]string
	for _, c := range s.Columns {
		table = append(table, []string{report.Line(c.Name, 40), cmp.Or(c.As, "-"), count(c.Rows), numbers(c.Kinds)})
	}
	report.Table(w, []string{"column", "read as", "rows", "kinds"}, table)
	fmt.Fprintln(w)
	table = nil
	for _, c := range s.Characters {
		table = append(table, []string{c.Name, fmt.Sprintf("%.1f", c.Mean), count(c.Min), count(c.P50), count(c.P90), count(c.P99), count(c.Max)})
	}
	report.Table(w, []string{"characters", "mean", "least", "50 %", "90 %", "99 %", "most"}, table)
}

// numbers are counts by name.
func numbers(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %s", report.Count(int64(counts[name])), name))
	}
	return strings.Join(parts, ", ")
}

// SplitOptions say how rows are divided in two: by a fraction of the prompts, or by a number of rows.
type SplitOptions struct {
	Fraction float64 // of the prompts that are held out; those that eval_fraction holds out
	Rows     int     // at most so many rows are held out, if Fraction is 0
}

// Divided are the rows on both sides.
type Divided struct{ Train, HeldOut int }

// Split divides the rows of a source so that all rows of a prompt are on one side. Which prompts are held out is told by the prompts alone.
func Split(ctx context.Context, s data.Source, train, heldOut Output, o SplitOptions, progress Progress) (n Divided, err error) {
	for _, out := range []Output{train, heldOut} {
		if err := out.checkLines(); err != nil {
			return n, err
		}
	}
	in := once(ctx, s, progress)
	held := func(hash uint64) bool { return data.HeldOut(hash, o.Fraction) }
	if o.Fraction == 0 {
		if in, err = twice(ctx, s, progress); err != nil {
			return n, err
		}
		defer in.remove()
		chosen, err := choose(in, o.Rows)
		if err != nil {
			return n, err
		}
		held = func(hash uint64) bool { _, is := chosen[hash]; return is }
	}
	err = train.write(func(a io.Writer) error {
		return heldOut.write(func(b io.Writer) error {
			err := in.scan(func(p *data.Plain) error {
				to, count := a, &n.Train
				if held(p.Prompt) {
					to, count = b, &n.HeldOut
				}
				*count++
				_, err := to.Write(p.JSON())
				return err
			})
			switch {
			case err != nil:
				return err
			case n.HeldOut == 0:
				return fmt.Errorf("%s: of %d rows none is held out; hold out more", s, n.Train)
			case n.Train == 0:
				return fmt.Errorf("%s: all of %d rows are held out; hold out less", s, n.HeldOut)
			}
			return nil
		})
	})
	return n, err
}

// choose takes prompts in order of their hashes as long as all of their rows together are at most so many. One that has too many rows is passed over.
func choose(in *passes, rows int) (map[uint64]struct{}, error) {
	counts := map[uint64]int{}
	err := in.scan(func(p *data.Plain) error { counts[p.Prompt]++; return nil })
	chosen := map[uint64]struct{}{}
	for _, hash := range slices.Sorted(maps.Keys(counts)) {
		if n := counts[hash]; n <= rows {
			rows -= n
			chosen[hash] = struct{}{}
		}
	}
	return chosen, err
}

// Sample writes n rows of a source, or all if there are fewer, drawn with a seed; they stay in their order.
func Sample(ctx context.Context, s data.Source, out Output, n int, seed int64, progress Progress) (taken int, err error) {
	if err := out.checkLines(); err != nil {
		return 0, err
	}
	in, err := twice(ctx, s, progress)
	if err != nil {
		return 0, err
	}
	defer in.remove()
	left := 0
	if err := in.scan(func(*data.Plain) error { left++; return nil }); err != nil {
		return 0, err
	}
	if left == 0 {
		return 0, fmt.Errorf("%s: no row to draw", s)
	}
	draw := rand.New(rand.NewPCG(uint64(seed), 0))
	err = out.write(func(w io.Writer) error {
		return in.scan(func(p *data.Plain) error {
			if draw.IntN(max(left, 1)) < n-taken { // Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm S
				taken++
				if _, err := w.Write(p.JSON()); err != nil {
					return err
				}
			}
			left--
			return nil
		})
	})
	return taken, err
}

// forms are what Convert writes.
var forms = map[string]func(*data.Plain, data.Options) ([][]data.Column, error){"pairs": (*data.Plain).Pairs, "unpaired": (*data.Plain).Unpaired}

// Forms are the names of what Convert writes.
func Forms() []string { return slices.Sorted(maps.Keys(forms)) }

// Convert writes the rows of a source in one of Forms, to a file that is called .parquet as parquet. Of the options RankedPairs and Seed count.
func Convert(ctx context.Context, s data.Source, out Output, form string, o data.Options, progress Progress) (n int, err error) {
	if err := out.check(); err != nil {
		return 0, err
	}
	err = out.write(func(w io.Writer) error {
		put := &writer{to: w, unpaired: form == "unpaired"}
		err := once(ctx, s, progress).scan(func(p *data.Plain) error {
			made, err := forms[form](p, o)
			for i := 0; i < len(made) && err == nil; i++ {
				n++
				if out.isParquet() {
					err = put.parquet(p.Chat, made[i])
				} else {
					_, err = w.Write(data.Line(made[i]))
				}
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p.Where(), err)
			}
			return nil
		})
		switch {
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("%s: no row to write", s)
		}
		return put.close()
	})
	return n, err
}

// writer writes rows to a parquet file, which begins with the first of them.
type writer struct {
	to       io.Writer
	unpaired bool
	file     rows.Writer
}

func (w *writer) parquet(chat bool, columns []data.Column) error {
	for _, c := range columns {
		if c.Ours == "tools" || c.Ours == "chat_template_kwargs" {
			return fmt.Errorf("%s: parquet files are written without this column, and the chat template would miss it: write .jsonl", c.Ours)
		}
	}
	if w.file == nil {
		w.file = rows.NewWriter(w.to, w.unpaired, chat)
	}
	return w.file.Write(data.Line(columns))
}

func (w *writer) close() error {
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
