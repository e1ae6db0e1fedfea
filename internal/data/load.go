package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
)

const (
	maxLine     = 64 << 20 // bytes; a longer line is not a row
	batchLines  = 512      // lines read before they are encoded together
	errorsShown = 10
)

// Load reads a JSONL file. tpl is nil when the model has no chat template. progress, if any, is called with bytes.
func Load(path string, form Form, enc Encoder, tpl Renderer, o Options, progress func(done, total int64)) (*Set, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s: a folder; want a JSONL file", path)
	}
	report := func(done int64) {
		if progress != nil {
			progress(done, info.Size())
		}
	}
	return load(f, path, &maker{encoder: enc, template: tpl, options: o, form: form}, report)
}

// line is a row's text and what became of it.
type line struct {
	number int
	text   []byte
	made   made
	err    error
}

func load(r io.Reader, path string, m *maker, progress func(done int64)) (*Set, error) {
	set := &Set{Report: Report{maxLength: m.options.MaxLength}}
	if _, ok := m.encoder.EOS(); !ok {
		set.Report.NoEOS = true
	}
	in := bufio.NewReaderSize(r, 1<<20)
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	var done int64
	for number, end := 1, false; !end; {
		var lines []line
		for len(lines) < batchLines && !end {
			text, err := readLine(in)
			if err != nil && err != io.EOF {
				return nil, fmt.Errorf("%s:%d: %w", path, number, err)
			}
			end = err == io.EOF
			done += int64(len(text))
			if text = bytes.TrimSpace(text); len(text) > 0 {
				lines = append(lines, line{number: number, text: text})
			}
			number++
		}
		m.makeAll(lines)
		if err := set.add(lines, path, m.options.OnBadRow == "skip"); err != nil {
			return nil, err
		}
		progress(done)
	}
	if set.Report.Rows == 0 {
		return nil, fmt.Errorf("%s: no rows; want one JSON object a line", path)
	}
	return set, nil
}

// readLine reads a line with its end. The last one comes with io.EOF.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		text = append(text, part...)
		if len(text) > maxLine {
			return nil, fmt.Errorf("the line is longer than %d MiB; want one row a line", maxLine>>20)
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
func (s *Set) add(lines []line, path string, skip bool) error {
	r := &s.Report
	var bad []string
	for _, l := range lines {
		r.Rows++
		if l.err != nil {
			text := fmt.Sprintf("%s:%d: %v", path, l.number, l.err)
			if len(r.skipErrors) < linesShown {
				r.skipErrors = append(r.skipErrors, text)
			}
			r.skipped.add(l.number)
			bad = append(bad, text)
			continue
		}
		if l.made.border > 0 {
			r.borders.add(l.number)
		}
		r.Longest = max(r.Longest, l.made.longest)
		for i, n := range l.made.truncated {
			r.Truncated[i] += n
		}
		if l.made.drop != kept {
			r.dropped[l.made.drop].add(l.number)
			continue
		}
		l.made.example.Line = l.number
		if len(s.Examples) < PromptsKept {
			s.Prompts = append(s.Prompts, l.made.prompt)
		}
		s.Examples = append(s.Examples, l.made.example)
		r.Kept++
	}
	if len(bad) == 0 || skip {
		return nil
	}
	more := ""
	if len(bad) > errorsShown {
		more = fmt.Sprintf("\nand %d more", len(bad)-errorsShown)
		bad = bad[:errorsShown]
	}
	return fmt.Errorf("%s%s\n(on_bad_row: skip leaves such rows out and counts them)", strings.Join(bad, "\n"), more)
}
