package data

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"dpotrain/internal/chat"
	"dpotrain/internal/rows"
)

const (
	batchRows   = 512      // rows read before they are encoded together
	batchBytes  = 16 << 20 // likewise
	errorsShown = 10
	maxStops    = 10 // rows that may be skipped because the chat template was stopped, each after seconds
)

// loadPath reads the files that a path names.
func (m *maker) loadPath(path string, progress func(done, total int64)) (*Set, error) {
	files, err := rows.Find(path, "")
	if err != nil {
		return nil, err
	}
	var before, total int64
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			total += info.Size()
		}
	}
	set := &Set{Report: Report{maxLength: m.options.MaxLength, files: len(files)}}
	for _, f := range files {
		in, err := rows.Open(f)
		if err != nil {
			return nil, err
		}
		err = m.load(set, in, f, func() {
			if done, _ := in.Progress(); progress != nil {
				progress(before+done, total)
			}
		})
		if changed := in.Changed(); changed != nil {
			err = changed
		}
		_, size := in.Progress()
		in.Close()
		if err != nil {
			return nil, err
		}
		before += size
	}
	return m.finish(set, path)
}

// loadFrom reads the rows of a stream.
func (m *maker) loadFrom(name string, stream io.Reader, progress func(done int64)) (*Set, error) {
	in, err := rows.NewReader(name, stream)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	set := &Set{Report: Report{maxLength: m.options.MaxLength, files: 1}}
	if err := m.load(set, in, name, func() {
		done, _ := in.Progress()
		progress(done)
	}); err != nil {
		return nil, err
	}
	return m.finish(set, name)
}

// item is a row of a file and what became of it.
type item struct {
	rows.Row
	made made
}

// load adds the rows of a file to a set.
func (m *maker) load(set *Set, in *rows.Reader, path string, progress func()) error {
	read := m.rowsOf(in)
	set.Report.table = read.allText
	for end := false; !end; {
		var items []item
		for size := 0; len(items) < batchRows && size < batchBytes; {
			row, err := in.Next()
			if end = err == io.EOF; end {
				break
			}
			if err != nil {
				return err
			}
			size += len(row.Text)
			items = append(items, item{Row: row})
		}
		if stopped := m.makeAll(items, read); stopped != nil {
			return fmt.Errorf("%s: %w", in.Place(stopped.Number), stopped.Err)
		}
		if err := set.add(items, file{path, in.ByRow()}, m); err != nil {
			return err
		}
		progress()
	}
	return nil
}

// finish sees to what can be said only when all rows are read.
func (m *maker) finish(set *Set, path string) (*Set, error) {
	if m.wanted.Mismatched && len(set.Examples) > 0 {
		if err := set.mismatch(m.options); err != nil {
			return nil, fmt.Errorf("%s: %w; %s needs that: give rows of several prompts", path, err, m.wanted.by())
		}
	}
	set.Report.Dated = m.template != nil && m.template.Dated()
	switch {
	case set.Report.Rows == 0 && set.Report.table:
		return nil, fmt.Errorf("%s: no rows; want a header, and rows below it", path)
	case set.Report.Rows == 0:
		return nil, fmt.Errorf("%s: no rows; want one JSON object a line", path)
	case set.Report.Kept == 0:
		return nil, fmt.Errorf("%s: no row is left: %s; look at %s", path, strings.Join(set.Report.leftOut(), "; "), set.Report.lookAt())
	}
	return set, nil
}

// firstRow is the first row of a path's files; what cannot be read twice is left alone.
func firstRow(path string) (row, bool) {
	files, err := rows.Find(path, "")
	if err != nil {
		return row{}, false
	}
	if info, err := os.Stat(files[0]); err != nil || !info.Mode().IsRegular() {
		return row{}, false
	}
	in, err := rows.Open(files[0])
	if err != nil {
		return row{}, false
	}
	defer in.Close()
	first, err := in.Next()
	if err != nil || first.Err != nil {
		return row{}, false
	}
	r, err := (&maker{}).rowsOf(in).parse(first.Text)
	return r, err == nil
}

// makeAll makes the examples of items on all cores. It ends with one at which the chat template was stopped, if that is an error or has happened
// more often than maxStops: the template would take as long at all others.
func (m *maker) makeAll(items []item, read rowReader) (stopped *item) {
	var (
		next atomic.Int64
		last atomic.Pointer[item]
		wait sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := int(next.Add(1)) - 1; i < len(items); i = int(next.Add(1)) - 1 {
				if items[i].Err == nil {
					items[i].made, items[i].Err = m.make(items[i].Text, read)
				}
				items[i].Text = nil
				if errors.Is(items[i].Err, chat.ErrBound) && (m.stops.Add(1) > maxStops || m.options.OnBadRow != "skip") {
					last.Store(&items[i])
					next.Store(int64(len(items)))
				}
			}
		}()
	}
	wait.Wait()
	return last.Load()
}

// add takes items into the set in order. With on_bad_row skip a bad row is counted, else it is an error, with those after it.
func (s *Set) add(items []item, of file, m *maker) error {
	r := &s.Report
	skip := m.options.OnBadRow == "skip"
	var bad badRows
	for _, l := range items {
		at := place{of, l.Number}
		r.Rows++
		if l.Err != nil {
			if r.skipped.n == 0 {
				r.firstBad = l.Err
			}
			r.skipped.add(at)
			if _, another := errors.AsType[*formError](l.Err); another && r.Rows == 1 && !skip {
				return fmt.Errorf("%s: %w", at, l.Err) // all rows would say so
			}
			bad.add(at, l.Err)
			continue
		}
		if l.made.across {
			r.across.add(at)
		} else if l.made.other {
			r.other.add(at)
		}
		if l.made.twoBOS {
			r.twoBOS.add(at)
		}
		if l.made.unread {
			r.unread.add(at)
		}
		if l.made.unwanted {
			r.unwanted.add(at)
		}
		for _, name := range l.made.ignored {
			r.ignore(name, at)
		}
		r.NoEOS = r.NoEOS || l.made.noEOS
		r.Longest = max(r.Longest, l.made.longest)
		if l.made.drop != kept {
			r.dropped[l.made.drop].add(at)
			continue
		}
		r.ranked.add(at, &l.made)
		examples := []Example{l.made.example}
		if l.made.ranking != nil {
			examples = m.pairsOf(at, &l.made, &r.ranked)
		}
		for i, n := range l.made.truncated {
			r.Truncated[i] += n
		}
		if examples[0].Weight() != 1 {
			r.weighted.add(at)
		}
		for _, e := range examples {
			e.File, e.Line, e.ByRow = of.path, l.Number, of.byRow
			if pair := m.form == Labelled && e.Label == Unlabelled; pair {
				r.Apart++
				two := e.apart()
				s.keep(two[0], l.made.prompt)
				s.keep(two[1], l.made.prompt)
			} else {
				s.keep(e, l.made.prompt)
			}
		}
	}
	if len(bad) == 0 || skip {
		return nil
	}
	text := bad.text(r)
	if r.Rows > r.skipped.n { // else nothing would be left
		text += "; on_bad_row: skip leaves such rows out"
	}
	return errors.New(text)
}

// keep takes in an example.
func (s *Set) keep(e Example, prompt string) {
	if len(s.Examples) < PromptsKept {
		s.Prompts = append(s.Prompts, prompt)
	}
	r := &s.Report
	r.weights += e.Weight()
	r.Labels[e.Label]++
	if n := len(e.Own()); n > 2 {
		r.Lists++
		r.ranked.longest = max(r.ranked.longest, n)
	}
	s.Examples = append(s.Examples, e)
	r.Kept++
}

// badRows are rows that could not be read, those with the same error together, in the order of their first.
type badRows []badRow

type badRow struct {
	text string
	rows tally
}

func (b *badRows) add(at place, err error) {
	text := err.Error()
	i := slices.IndexFunc(*b, func(r badRow) bool { return r.text == text })
	if i < 0 {
		i = len(*b)
		*b = append(*b, badRow{text: text})
	}
	(*b)[i].rows.add(at)
}

// text has a line for each error.
func (b badRows) text(r *Report) string {
	var text []string
	for _, bad := range b[:min(len(b), errorsShown)] {
		line := fmt.Sprintf("%s: %s", bad.rows.first[0], bad.text)
		if bad.rows.n > 1 {
			line += fmt.Sprintf(" (%s too)", r.where(&tally{bad.rows.n - 1, bad.rows.first[1:]}))
		}
		text = append(text, line)
	}
	if more := len(b) - errorsShown; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, "\n")
}
