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

// Load reads a JSONL file. tpl is nil when the model has no chat template. progress, if any, is called with bytes. A file
// of which no example is left, and one that another process changes meanwhile, is an error.
func Load(path string, form Form, enc Encoder, tpl Renderer, o Options, progress func(done, total int64)) (*Set, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; want a JSONL file, one JSON object a line", path, fs.ErrNotExist)
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
		return nil, fmt.Errorf("%s: a folder; want a JSONL file", path)
	}
	report := func(done int64) {
		if progress != nil {
			progress(done, before.Size())
		}
	}
	set, err := load(f, path, &maker{encoder: enc, template: tpl, options: o, form: form}, report)
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

// foreign are the first bytes of files that are not text in UTF-8, with what to do.
var foreign = []struct{ magic, advice string }{
	{"\x1f\x8b", "compressed with gzip; unpack it first (gunzip)"},
	{"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (unzstd)"},
	{"PK\x03\x04", "a zip archive; unpack it first (unzip)"},
	{"PAR1", "a parquet file; export it to JSONL, in Python with datasets.load_dataset(...).to_json"},
	{"\xff\xfe", "UTF-16; save it as UTF-8"},
	{"\xfe\xff", "UTF-16; save it as UTF-8"},
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
	head, err := in.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s:1: %w", path, err)
	}
	for _, k := range foreign {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return nil, fmt.Errorf("%s: %s", path, k.advice)
		}
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
		if err := set.add(lines, path, m.options.OnBadRow == "skip"); err != nil {
			return nil, err
		}
		progress(done)
	}
	switch {
	case set.Report.Rows == 0:
		return nil, fmt.Errorf("%s: no rows; want one JSON object a line", path)
	case set.Report.Kept == 0:
		return nil, fmt.Errorf("%s: no row is left: %s; look at %s", path, strings.Join(set.Report.leftOut(), "; "), set.Report.lookAt())
	}
	return set, nil
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
func (s *Set) add(lines []line, path string, skip bool) error {
	r := &s.Report
	var bad problems
	for _, l := range lines {
		r.Rows++
		if l.err != nil {
			if r.skipped.n == 0 {
				r.firstBad = l.err
			}
			r.skipped.add(l.number)
			bad.add(fmt.Sprintf("%s:%d", path, l.number), l.err.Error())
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
		r.NoEOS = r.NoEOS || l.made.noEOS
		r.Longest = max(r.Longest, l.made.longest)
		if l.made.drop != kept {
			r.dropped[l.made.drop].add(l.number)
			continue
		}
		if len(s.Examples) < PromptsKept {
			s.Prompts = append(s.Prompts, l.made.prompt)
		}
		for i, n := range l.made.truncated {
			r.Truncated[i] += n
		}
		l.made.example.File, l.made.example.Line = path, l.number
		s.Examples = append(s.Examples, l.made.example)
		r.Kept++
	}
	if skip {
		return nil
	}
	return bad.err()
}

// problem is what is wrong with a row, and the number of others that have the same.
type problem struct {
	place, text string
	more        int
}

// problems are those of many rows: what is wrong with all of a file is said once.
type problems []problem

func (p *problems) add(place, text string) {
	for i := range *p {
		if (*p)[i].text == text {
			(*p)[i].more++
			return
		}
	}
	*p = append(*p, problem{place: place, text: text})
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	var b strings.Builder
	for _, k := range p[:min(len(p), errorsShown)] {
		fmt.Fprintf(&b, "%s: %s", k.place, k.text)
		if k.more > 0 {
			fmt.Fprintf(&b, " (and in %d of the lines after it)", k.more)
		}
		b.WriteByte('\n')
	}
	if len(p) > errorsShown {
		fmt.Fprintf(&b, "and %d more problems\n", len(p)-errorsShown)
	}
	b.WriteString("(on_bad_row: skip leaves such rows out and counts them)")
	return errors.New(b.String())
}
