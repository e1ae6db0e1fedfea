package data

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"dpotrain/internal/rows"
	"dpotrain/internal/tokenizer"
)

// At says which row of data sets is meant.
type At struct {
	Row     int    // from 1: of one file as messages name it, which is its line, of parquet files and JSON lists its number; of several files all their rows are counted
	File    string // the only one that is looked at: its path, or the end of that; empty: any
	Dataset int    // likewise, from 1; 0: any
}

// Shown is one row as a run reads it, and what becomes of it.
type Shown struct {
	Dataset  int    // that the row is of, from 1
	Counted  bool   // At.Row counts the rows of several files
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

// Show reads a row as Load does. An error says why it is not among a run's examples: there is no such row, it is a bad one, or it is left out.
func (r *Reader) Show(sources []Source, at At, form Form, o Options) (*Shown, error) {
	o.OnBadRow = "error"
	m, err := r.maker(context.Background(), form, o)
	if err != nil {
		return nil, err
	}
	files, err := at.files(sources)
	if err != nil {
		return nil, err
	}
	in, of, found, err := at.find(files)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	source := sources[of.dataset-1]
	w := &watch{}
	m.watch = w
	one := []item{{Row: found}}
	m.makeAll(one, rowsOf(in, source))
	c := m.collector(source.String(), 1)
	report := c.report
	if err := c.add(one, file{of.path, in.ByRow()}); err != nil {
		return nil, err
	}
	if report.Kept == 0 {
		why := slices.IndexFunc(report.dropped[:], func(t tally) bool { return t.n > 0 })
		return nil, fmt.Errorf("%s: left out, because %s; look at %s", in.Place(found.Number), dropTexts[why].what, dropTexts[why].lookAt)
	}
	s := &Shown{Dataset: of.dataset, Counted: len(files) > 1, Prompt: w.prompt}
	for _, e := range c.examples {
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

// sourceFile is a file of a data set.
type sourceFile struct {
	dataset int // from 1
	path    string
	stream  io.Reader // in its place, or nil
}

func (f sourceFile) open() (*rows.Reader, error) {
	if f.stream != nil {
		return rows.NewReader(f.path, f.stream)
	}
	return rows.Open(f.path)
}

const filesShown = 5

// files are those that may have the row.
func (at At) files(sources []Source) (files []sourceFile, err error) {
	var all []string
	for i, s := range sources {
		if at.Dataset > 0 && at.Dataset != i+1 {
			continue
		}
		paths := []string{s.Path}
		if s.Stream == nil {
			if paths, err = s.Files(); err != nil {
				return nil, err
			}
		}
		for _, path := range paths {
			all = append(all, path)
			if at.File == "" || endsAs(path, at.File) {
				files = append(files, sourceFile{i + 1, path, s.Stream})
			}
		}
	}
	whole := func(f sourceFile) bool { return f.path == at.File }
	if slices.ContainsFunc(files, whole) { // it may be the end of others too
		files = slices.DeleteFunc(files, func(f sourceFile) bool { return !whole(f) })
	}
	switch {
	case len(files) == 0:
		return nil, fmt.Errorf("%s: not among the files of the data, which are %s; give one of them", at.File, some(all))
	case at.File == "" || len(files) == 1:
		return files, nil
	case files[0].path == files[1].path:
		return nil, fmt.Errorf("%s: a file of data sets %d and %d; say which with --dataset", files[0].path, files[0].dataset, files[1].dataset)
	}
	var paths []string
	for _, f := range files {
		paths = append(paths, f.path)
	}
	return nil, fmt.Errorf("%s: %s end so; give more of the path", at.File, some(paths))
}

// endsAs says that a path is another one, or ends with all of its parts.
func endsAs(path, end string) bool {
	path, end = filepath.ToSlash(filepath.Clean(path)), filepath.ToSlash(filepath.Clean(end))
	return path == end || strings.HasSuffix(path, "/"+end)
}

// some are the first of some paths.
func some(paths []string) string {
	text := strings.Join(paths[:min(filesShown, len(paths))], ", ")
	if more := len(paths) - filesShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// find goes on to the row in one file, or counting in several. The file stays open for what its rows are.
func (at At) find(files []sourceFile) (in *rows.Reader, of sourceFile, row rows.Row, err error) {
	behind := 0
	for _, of := range files {
		if in, err = of.open(); err != nil {
			return nil, of, row, err
		}
		var n int
		if len(files) == 1 {
			row, err = rowAt(in, at.Row)
		} else {
			row, n, err = rowAfter(in, at.Row-behind-1)
		}
		if err == nil {
			return in, of, row, nil
		}
		in.Close()
		if err != io.EOF {
			return nil, of, row, err
		}
		behind += n
	}
	return nil, of, row, fmt.Errorf("row %d: no such row; the data have %d, in %d files", at.Row, behind, len(files))
}

// rowAfter goes on to the row behind so many; io.EOF comes with the number of rows that there are.
func rowAfter(in *rows.Reader, before int) (row rows.Row, n int, err error) {
	for ; ; n++ {
		if row, err = in.Next(); err != nil || n == before {
			return row, n, err
		}
	}
}

// rowAt goes on to the row that messages give a number.
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
		case int(o.End) > end:
			begin := max(int(o.Start), end)
			for end = int(o.End); end < len(s.text) && !utf8.RuneStart(s.text[end]); end++ { // an id may be a part of a character
			}
			texts[i] = s.text[begin:end]
		}
	}
	return texts
}
