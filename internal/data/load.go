package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	maxLine     = 64 << 20 // bytes; a longer line is not a row
	batchLines  = 512      // lines read before they are encoded together
	batchBytes  = 16 << 20 // likewise
	errorsShown = 10
)

func (m *maker) loadFile(path string, progress func(done, total int64)) (*Set, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; give a JSONL file, one JSON object a line", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	before, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if before.IsDir() {
		return nil, fmt.Errorf("%s: a folder; %s", path, insteadOfFolder(path))
	}
	report := func(done int64) {
		if progress != nil {
			progress(done, before.Size())
		}
	}
	var in io.Reader = f
	if before.Mode().IsRegular() && before.Size() > 0 {
		in = io.LimitReader(f, before.Size()) // or there would be no end to a file that grows faster than it is read
	}
	set, err := load(in, path, m, report)
	// A line that is cut off by a change looks like a bad row: the change is the error to tell.
	if before.Mode().IsRegular() { // a pipe's size and time say nothing
		after, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			return nil, fmt.Errorf("%s: changed while it was read (%d bytes before, %d after); start again when it is written", path, before.Size(), after.Size())
		}
	}
	return set, err
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// line is a row's text and what became of it.
type line struct {
	number int
	text   []byte
	made   made
	err    error
}

func load(r io.Reader, path string, m *maker, progress func(done int64)) (*Set, error) {
	set := &Set{Report: Report{maxLength: m.options.MaxLength}}
	in := bufio.NewReaderSize(r, 1<<20)
	if _, err := in.Peek(4); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	head, _ := in.Peek(min(in.Buffered(), headSize)) // reads no more
	if what := foreign(head, path); what != "" {
		return nil, fmt.Errorf("%s: %s", path, what)
	}
	var done int64
	for number, end := 1, false; !end; {
		var lines []line
		for size := 0; len(lines) < batchLines && size < batchBytes && !end; {
			text, err := readLine(in, maxLine)
			if err != nil && err != io.EOF {
				return nil, fmt.Errorf("%s:%d: %w", path, number, err)
			}
			end = err == io.EOF
			done += int64(len(text))
			size += len(text)
			// The mark also stands inside of files that were put together from several.
			if text = bytes.TrimSpace(bytes.TrimPrefix(text, byteOrderMark)); len(text) > 0 {
				lines = append(lines, line{number: number, text: text})
			}
			number++
		}
		m.makeAll(lines)
		if err := set.add(lines, path, m.form == Labelled, m.options.OnBadRow == "skip"); err != nil {
			return nil, err
		}
		progress(done)
	}
	if m.wanted.Mismatched && len(set.Examples) > 0 {
		if err := set.mismatch(m.options); err != nil {
			return nil, fmt.Errorf("%s: %w; %s needs that: give rows of several prompts", path, err, m.wanted.by())
		}
	}
	switch {
	case set.Report.Rows == 0:
		return nil, fmt.Errorf("%s: no rows; want one JSON object a line", path)
	case set.Report.Kept == 0:
		return nil, fmt.Errorf("%s: no row is left: %s; look at %s", path, strings.Join(set.Report.leftOut(), "; "), set.Report.lookAt())
	}
	return set, nil
}

// firstLine is the first line of a file that is not blank; it is read as the file is, so that what cannot be read twice is left alone.
func firstLine(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	for {
		text, err := readLine(in, maxLine)
		if text = bytes.TrimSpace(bytes.TrimPrefix(text, byteOrderMark)); len(text) > 0 || err != nil {
			return text, nil
		}
	}
}

// readLine reads a line with its end, of at most limit bytes. The last one comes with io.EOF.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > limit {
			return nil, fmt.Errorf("the line has more than %d bytes; want one row a line", limit)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
	}
}

// makeAll makes the examples of lines on all cores.
func (m *maker) makeAll(lines []line) {
	var (
		next atomic.Int64
		wait sync.WaitGroup
	)
	for range min(runtime.GOMAXPROCS(0), len(lines)) {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for i := int(next.Add(1)) - 1; i < len(lines); i = int(next.Add(1)) - 1 {
				lines[i].made, lines[i].err = m.make(lines[i].text)
				lines[i].text = nil
			}
		}()
	}
	wait.Wait()
}

// add takes lines into the set in order. With skip a bad row is counted, else it is an error, with those after it.
func (s *Set) add(lines []line, path string, labelled, skip bool) error {
	r := &s.Report
	var bad badRows
	for _, l := range lines {
		r.Rows++
		if l.err != nil {
			if r.skipped.n == 0 {
				r.firstBad = l.err
			}
			r.skipped.add(l.number)
			if _, another := errors.AsType[*formError](l.err); another && r.Rows == 1 && !skip {
				return fmt.Errorf("%s:%d: %w", path, l.number, l.err) // all rows would say so
			}
			bad.add(l)
			continue
		}
		if l.made.across {
			r.across.add(l.number)
		} else if l.made.other {
			r.other.add(l.number)
		}
		if l.made.twoBOS {
			r.twoBOS.add(l.number)
		}
		if l.made.unwanted {
			r.unwanted.add(l.number)
		}
		r.NoEOS = r.NoEOS || l.made.noEOS
		r.Longest = max(r.Longest, l.made.longest)
		if l.made.drop != kept {
			r.dropped[l.made.drop].add(l.number)
			continue
		}
		for i, n := range l.made.truncated {
			r.Truncated[i] += n
		}
		l.made.example.File, l.made.example.Line = path, l.number
		if l.made.example.Weight() != 1 {
			r.weighted.add(l.number)
		}
		if pair := labelled && l.made.example.Label == Unlabelled; pair {
			r.Apart++
			two := l.made.example.apart()
			s.keep(two[0], l.made.prompt)
			s.keep(two[1], l.made.prompt)
		} else {
			s.keep(l.made.example, l.made.prompt)
		}
	}
	if len(bad) == 0 || skip {
		return nil
	}
	text := bad.text(path)
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
	s.Examples = append(s.Examples, e)
	r.Kept++
}

// badRows are rows that could not be read, those with the same error together, in the order of their first.
type badRows []badRow

type badRow struct {
	text string
	rows tally
}

func (b *badRows) add(l line) {
	text := l.err.Error()
	i := slices.IndexFunc(*b, func(r badRow) bool { return r.text == text })
	if i < 0 {
		i = len(*b)
		*b = append(*b, badRow{text: text})
	}
	(*b)[i].rows.add(l.number)
}

// text has a line for each error.
func (b badRows) text(path string) string {
	var text []string
	for _, r := range b[:min(len(b), errorsShown)] {
		line := fmt.Sprintf("%s:%d: %s", path, r.rows.lines[0], r.text)
		if r.rows.n > 1 {
			rest := tally{r.rows.n - 1, r.rows.lines[1:]}
			line += fmt.Sprintf(" (%s too)", rest.where())
		}
		text = append(text, line)
	}
	if more := len(b) - errorsShown; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, "\n")
}
