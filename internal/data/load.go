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

// loadSources reads data sets, and mixes them.
func (m *maker) loadSources(sources []Source, progress func(done, total int64)) (all *Set, err error) {
	files := make([][]string, len(sources))
	var before, total int64
	for i, s := range sources {
		if files[i], err = rows.Find(s.Path, s.Split); err != nil {
			return nil, err
		}
		total += sizeOf(files[i])
	}
	sets := make([]*Set, 0, len(sources))
	defer func() {
		if err != nil {
			for _, set := range sets {
				set.Close()
			}
		}
	}()
	sizes := make([]int, len(sources))
	for i, s := range sources {
		set, size, err := m.loadSource(s, files[i], func(done int64) {
			if progress != nil {
				progress(before+done, total)
			}
		})
		if err != nil {
			return nil, err
		}
		before += size
		sets, sizes[i] = append(sets, set), set.Len()
	}
	taken, err := mix(sources, sizes, m.options.Seed)
	if err != nil {
		return nil, err
	}
	if len(sets) == 1 && sources[0].Fraction == 0 {
		return sets[0], nil
	}
	all = &Set{}
	parts := make([]Examples, len(sets))
	for i, set := range sets {
		if i > 0 {
			all.Name += ", "
		}
		all.Name += set.Name
		all.maps = append(all.maps, set.maps...)
		set.Reports[0].Taken = len(taken[i])
		all.Reports = append(all.Reports, set.Reports[0])
		parts[i] = set.Examples
		if len(taken[i]) < set.Len() {
			parts[i] = pick(set.Examples, taken[i])
		}
	}
	all.Examples = Join(parts...)
	return all, nil
}

// loadSource reads the files of a data set, of size bytes.
func (m *maker) loadSource(s Source, files []string, progress func(done int64)) (set *Set, size int64, err error) {
	set, size, ok, err := m.fromStore(s, files, progress)
	if ok || err != nil {
		return set, size, err
	}
	c := m.collector(s.String(), len(files))
	if size, err = c.readFiles(s, files, progress); err != nil {
		return nil, 0, err
	}
	set, err = c.set()
	return set, size, err
}

// collector takes in the examples of the rows that are read.
type collector struct {
	m        *maker
	report   *Report
	examples Slice
	to       *storeWriter // where examples go; nil: into examples
}

func (m *maker) collector(name string, files int) *collector {
	return &collector{m: m, report: &Report{Name: name, maxLength: m.options.MaxLength, files: files}}
}

// set is what was taken in, into memory; no example is an error.
func (c *collector) set() (*Set, error) {
	if err := c.done(); err != nil {
		return nil, err
	}
	return &Set{Name: c.report.Name, Examples: slices.Clip(c.examples), Reports: []*Report{c.report}}, nil
}

// done says in the report what is known when all rows are read.
func (c *collector) done() error {
	r := c.report
	r.Taken, r.Dated = r.Kept, c.m.template != nil && c.m.template.Dated()
	return r.check()
}

// readFiles takes in the rows of files, of size bytes.
func (c *collector) readFiles(s Source, files []string, progress func(done int64)) (size int64, err error) {
	return eachFile(files, progress, func(in *rows.Reader, name string, read func()) error {
		if c.to != nil {
			c.to.files = append(c.to.files, file{name, in.ByRow()})
		}
		return c.load(in, name, s, read)
	})
}

// eachFile has f read files, of size bytes, one after the other. f calls read now and then, and that progress. A file that changes meanwhile is an error.
func eachFile(files []string, progress func(done int64), f func(in *rows.Reader, name string, read func()) error) (size int64, err error) {
	for _, name := range files {
		in, err := rows.Open(name)
		if err != nil {
			return 0, err
		}
		err = f(in, name, func() {
			done, _ := in.Progress()
			progress(size + done)
		})
		if changed := in.Changed(); changed != nil {
			err = changed
		}
		_, n := in.Progress()
		in.Close()
		if err != nil {
			return 0, err
		}
		size += n
	}
	return size, nil
}

// eachFileOf does so with the files of a source, or with its stream, of which there is no progress. progress may be nil.
func eachFileOf(s Source, progress func(done, total int64), f func(in *rows.Reader, name string, read func()) error) error {
	if s.Stream != nil {
		in, err := rows.NewReader(s.Path, s.Stream)
		if err != nil {
			return err
		}
		defer in.Close()
		return f(in, s.Path, func() {})
	}
	files, err := rows.Find(s.Path, s.Split)
	if err != nil {
		return err
	}
	total := sizeOf(files)
	_, err = eachFile(files, func(done int64) {
		if progress != nil {
			progress(done, total)
		}
	}, f)
	return err
}

// sizeOf is how many bytes files have, as far as that can be told.
func sizeOf(files []string) (total int64) {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			total += info.Size()
		}
	}
	return total
}

// item is a row of a file and what became of it.
type item struct {
	rows.Row
	made made
}

// load takes in the rows of a file.
func (c *collector) load(in *rows.Reader, path string, s Source, progress func()) error {
	read := rowsOf(in, s)
	c.report.table = read.allText
	for end := false; !end; {
		if err := c.m.ctx.Err(); err != nil {
			return err
		}
		var batch []rows.Row
		var err error
		if batch, end, err = nextBatch(in); err != nil {
			return err
		}
		items := make([]item, len(batch))
		for i, row := range batch {
			items[i].Row = row
		}
		if stopped := c.m.makeAll(items, read); stopped != nil {
			return fmt.Errorf("%s: %w", in.Place(stopped.Number), stopped.Err)
		}
		if err := c.add(items, file{path, in.ByRow()}); err != nil {
			return err
		}
		if c.to != nil && c.to.err != nil {
			return fmt.Errorf("token_cache_dir: %w", c.to.err)
		}
		progress()
	}
	return nil
}

// nextBatch are rows that are encoded together; end says that there are no more behind them.
func nextBatch(in *rows.Reader) (batch []rows.Row, end bool, err error) {
	for size := 0; len(batch) < batchRows && size < batchBytes; {
		row, err := in.Next()
		if err == io.EOF {
			return batch, true, nil
		}
		if err != nil {
			return nil, false, err
		}
		size += len(row.Text)
		batch = append(batch, row)
	}
	return batch, false, nil
}

// finish sees to what can be said only when all examples are there.
func (m *maker) finish(sets ...*Set) error {
	for _, set := range sets {
		if set == nil || !m.wanted.Mismatched {
			continue
		}
		with, err := mismatch(set.Examples, m.options)
		if err != nil {
			return fmt.Errorf("%s: %w; %s needs that: give rows of several prompts", set.Name, err, m.wanted.by())
		}
		set.Examples = with
	}
	return nil
}

// firstRow is the first row of a data set; what cannot be read twice is left alone.
func firstRow(s Source) (row, bool) {
	files, err := rows.Find(s.Path, s.Split)
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
	r, err := rowsOf(in, s).parse(first.Text)
	return r, err == nil
}

// makeAll makes the examples of items on all cores. It ends with one at which the chat template was stopped, if that is an error or has happened
// more often than maxStops: the template would take as long at all others.
func (m *maker) makeAll(items []item, read rowReader) (stopped *item) {
	var (
		next atomic.Int64
		lock sync.Mutex
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
					next.Store(int64(len(items)))
					lock.Lock()
					if stopped == nil || items[i].Number < stopped.Number { // on another core it may be a later one
						stopped = &items[i]
					}
					lock.Unlock()
				}
			}
		}()
	}
	wait.Wait()
	return stopped
}

// add takes in items in order. With on_bad_row skip a bad row is counted, else it is an error, with those after it.
func (c *collector) add(items []item, of file) error {
	r := c.report
	skip := c.m.options.OnBadRow == "skip"
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
		if l.made.untrusted {
			r.untrusted.add(at)
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
			examples = c.m.pairsOf(at, &l.made, &r.ranked)
		}
		for i, n := range l.made.truncated {
			r.Truncated[i] += n
		}
		if examples[0].Weight() != 1 {
			r.weighted.add(at)
		}
		for _, e := range examples {
			e.File, e.Line, e.ByRow, e.prompt = of.path, l.Number, of.byRow, l.made.key
			if pair := c.m.form == Labelled && e.Label == Unlabelled; pair {
				r.Apart++
				for _, e := range e.apart() {
					c.keep(&e)
				}
			} else {
				c.keep(&e)
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
func (c *collector) keep(e *Example) {
	c.report.keep(e)
	if c.to != nil {
		c.to.add(e)
		return
	}
	c.examples = append(c.examples, *e)
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
