package data

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/gofrs/flock"

	"dpotrain/internal/files"
)

// The token store keeps what a data set's rows became, so that they are read and encoded once and take next to no memory: the file is
// mapped, and examples are read from it when their turn comes. One file for each store, in a folder that may be deleted at any time:
//
//	offset  size  header
//	0       8     "DPOTROWS"
//	8       4     format version, uint32: 2
//	12      32    key: SHA-256 of what the examples are made of, see storeKey
//	44      8     n, offset of the tail, uint64
//	52      4     CRC32C of the tail
//	56      4     CRC32C of bytes 0 to 55
//	60      4     0
//
//	64      n-64  blocks of whole records, of at least blockSize bytes but for the last
//	n       ...   tail: JSON: the blocks' lengths, numbers of records and CRC32C, and the Report
//
//	offset  size  record, one an example, of a multiple of 4 bytes
//	0       4     length in bytes, uint32
//	4       4     number of the file, from 0, uint32
//	8       8     line or row, from 1, uint64
//	16      8     hash of the prompt
//	24      1     label
//	25      1     number of sequences, with one that is imitated, which is the last
//	26      1     bits: 1: numbers follow; 2: a sequence is imitated; 4: it has the ids of the first
//	27      1     0
//	28      4     m, length of the prompt to be shown, uint32
//	32      ...   for each sequence its length and the index of its first scored id, uint32 each; 7 numbers, float64; all ids, int32; m bytes; zeros
//
// Integers are little-endian. The bytes are a function of the key: not of time, paths or the number of threads.

const (
	storeMagic   = "DPOTROWS"
	storeVersion = 2
	storeHeader  = 64
	storeRecord  = 32
	storeNumbers = 7
	blockSize    = 1 << 20
	maxBlock     = 256 << 20 // the longest row has fewer ids than bytes
	promptShown  = 2048      // bytes of a prompt that are kept to be shown
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// storeTail is the end of a store.
type storeTail struct {
	ByRow  []bool // of the files
	Day    string // of a chat template that writes it
	Blocks []storeBlock
	Report storeReport
}

type storeBlock struct {
	Bytes, Records int
	Sum            uint32
}

// storeWriter writes a store beside its place.
type storeWriter struct {
	f     *os.File
	lock  *flock.Flock
	at    int64
	block []byte
	count int // records in block
	tail  storeTail
	files []file
	err   error // the first
}

// today is the day of the machine; a test sets it.
var today = func() string { return time.Now().Format(time.DateOnly) }

// unfinished are stores that are being written.
const unfinished = ".tmp"

// newStoreWriter begins a store. What processes that were killed have left is removed.
func newStoreWriter(dir, name string) (*storeWriter, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*"+unfinished))
	for _, path := range left {
		l := flock.New(path)
		if mine, err := l.TryLock(); err == nil && mine {
			os.Remove(path)
			l.Unlock()
		}
	}
	f, err := os.CreateTemp(dir, "."+name+"-*"+unfinished)
	if err != nil {
		return nil, err
	}
	w := &storeWriter{f: f, lock: flock.New(f.Name())}
	if _, err := w.lock.TryLock(); err != nil {
		w.abort()
		return nil, err
	}
	if err := w.write(make([]byte, storeHeader)); err != nil {
		w.abort()
		return nil, err
	}
	return w, nil
}

func (w *storeWriter) write(b []byte) error {
	_, err := w.f.Write(b)
	w.at += int64(len(b))
	return err
}

// abort leaves nothing behind.
func (w *storeWriter) abort() {
	w.f.Close()
	os.Remove(w.f.Name())
	w.lock.Unlock()
}

// Bits of a record.
const (
	hasNumbers = 1 << iota
	hasImitated
	imitatesFirst // its ids are those of the first sequence
	knownBits     = 1<<iota - 1
)

// add appends an example of the last of files.
func (w *storeWriter) add(e *Example) {
	if w.err == nil {
		w.err = w.append(len(w.files)-1, e)
	}
}

func (w *storeWriter) append(file int, e *Example) error {
	from := len(w.block)
	b := w.block
	text := e.prompt.text[:min(len(e.prompt.text), promptShown)]
	sequences, written := e.Sequences, e.Sequences // whose ids are
	bits := byte(0)
	if e.Numbers != nil {
		bits |= hasNumbers
	}
	if e.Imitated != nil {
		bits |= hasImitated
		sequences = append(slices.Clip(sequences), *e.Imitated)
		if slices.Equal(e.Imitated.IDs, e.Sequences[0].IDs) {
			bits |= imitatesFirst
		} else {
			written = sequences
		}
	}
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(file))
	b = le.AppendUint64(b, uint64(e.Line))
	b = le.AppendUint64(b, e.prompt.hash)
	b = append(b, byte(e.Label), byte(len(sequences)), bits, 0)
	b = le.AppendUint32(b, uint32(len(text)))
	for _, s := range sequences {
		b = le.AppendUint32(b, uint32(len(s.IDs)))
		b = le.AppendUint32(b, uint32(s.First))
	}
	if n := e.Numbers; n != nil {
		for _, x := range n.list() {
			b = le.AppendUint64(b, math.Float64bits(*x))
		}
	}
	for _, s := range written {
		for _, id := range s.IDs {
			b = le.AppendUint32(b, uint32(id))
		}
	}
	b = append(b, text...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	le.PutUint32(b[from:], uint32(len(b)-from))
	w.block, w.count = b, w.count+1
	if len(b) >= blockSize {
		return w.flush()
	}
	return nil
}

func (w *storeWriter) flush() error {
	if w.count == 0 {
		return nil
	}
	w.tail.Blocks = append(w.tail.Blocks, storeBlock{len(w.block), w.count, crc32.Checksum(w.block, castagnoli)})
	err := w.write(w.block)
	w.block, w.count = w.block[:0], 0
	return err
}

// finish puts the store into its place.
func (w *storeWriter) finish(path string, key [32]byte, r *Report) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.tail.Report = r.stored(w.files)
	if r.Dated {
		w.tail.Day = today()
	}
	for _, f := range w.files {
		w.tail.ByRow = append(w.tail.ByRow, f.byRow)
	}
	tail, err := json.Marshal(w.tail)
	if err != nil {
		return err
	}
	at := w.at
	if err := w.write(tail); err != nil {
		return err
	}
	le := binary.LittleEndian
	h := le.AppendUint32([]byte(storeMagic), storeVersion)
	h = le.AppendUint64(append(h, key[:]...), uint64(at))
	h = le.AppendUint32(h, crc32.Checksum(tail, castagnoli))
	h = le.AppendUint32(h, crc32.Checksum(h, castagnoli))
	if _, err := w.f.WriteAt(h, 0); err != nil {
		return err
	}
	for _, step := range []func() error{func() error { return w.f.Chmod(0o644) }, w.f.Sync, w.f.Close, func() error { return os.Rename(w.f.Name(), path) }} {
		if err := step(); err != nil {
			return err
		}
	}
	w.lock.Unlock()
	return nil
}

var (
	errDated   = errors.New("of another day")
	errForeign = errors.New("no token store of this version of dpotrain")
	errDamaged = errors.New("damaged")
)

// storedExamples are those of a store, which lie in its mapped file.
type storedExamples struct {
	bytes   files.Mapped
	offsets []int64 // of the records
	files   []file

	window  atomic.Int64 // that was read last
	windows atomic.Int64 // read since the file's memory was given back
}

// The system maps memory around what is read of a file. When so many windows were read the memory of all is given back.
const (
	windowBytes = 64 << 10
	windowsKept = 512
)

func (s *storedExamples) Len() int { return len(s.offsets) }

func (s *storedExamples) Bytes() int64 {
	return 8*int64(cap(s.offsets)) + min(int64(len(s.bytes)), windowsKept*windowBytes)
}

// At reads a record. All were held against their checksums when the file was opened, and whoever makes it again does so beside it.
func (s *storedExamples) At(i int) *Example {
	if w := s.offsets[i] / windowBytes; s.window.Swap(w) != w && s.windows.Add(1) == windowsKept {
		s.windows.Store(0)
		files.Forget(s.bytes)
	}
	r := s.bytes[s.offsets[i]:]
	layout, ok := layoutOf(r, len(s.files))
	if !ok {
		panic(fmt.Sprintf("data: the token store was changed while it was used: record at byte %d", s.offsets[i]))
	}
	return layout.example(r, s.files)
}

// openStore reads the store of a data set. Every block is held against its checksum; the examples stay in the file, which is mapped.
func openStore(ctx context.Context, path string, key [32]byte, r *Report, names []string) (set *Set, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	tail, at, err := readStoreEnds(f, info.Size(), key)
	if err != nil {
		return nil, err
	}
	if tail.Day != "" && tail.Day != today() {
		return nil, errDated
	}
	if len(tail.ByRow) != len(names) {
		return nil, errDamaged
	}
	examples := &storedExamples{files: make([]file, len(names))}
	for i, name := range names {
		examples.files[i] = file{name, tail.ByRow[i]}
	}
	if err := tail.Report.restore(r, examples.files); err != nil {
		return nil, err
	}
	if examples.offsets, err = checkBlocks(ctx, f, tail.Blocks, at, len(names)); err != nil {
		return nil, err
	}
	bytes, err := files.Map(f)
	if err != nil {
		return nil, err
	}
	examples.bytes = bytes
	return &Set{Name: r.Name, Examples: examples, Reports: []*Report{r}, maps: []files.Mapped{bytes}}, nil
}

// checkBlocks reads all blocks, which end at a place, and says where their records are.
func checkBlocks(ctx context.Context, f io.ReaderAt, blocks []storeBlock, at int64, files int) (records []int64, err error) {
	starts, offsets, n, end := make([]int, len(blocks)), make([]int64, len(blocks)), 0, int64(storeHeader)
	for i, b := range blocks {
		starts[i], offsets[i] = n, end
		if b.Bytes <= 0 || b.Bytes > maxBlock || b.Records <= 0 || b.Records > b.Bytes/storeRecord || int64(b.Bytes) > at-end {
			return nil, errDamaged
		}
		n, end = n+b.Records, end+int64(b.Bytes)
	}
	if end != at || n == 0 || n > math.MaxInt32 {
		return nil, errDamaged
	}
	records = make([]int64, n)
	errs := make([]error, len(blocks))
	buffers := sync.Pool{New: func() any { return new([]byte) }} // else what is read becomes garbage, as much as the whole file
	parallel(len(blocks), func(i int) {
		b := blocks[i]
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		*buffer = slices.Grow((*buffer)[:0], b.Bytes)[:b.Bytes]
		if errs[i] = ctx.Err(); errs[i] != nil {
			return
		}
		if _, err := f.ReadAt(*buffer, offsets[i]); err != nil {
			errs[i] = err
		} else if crc32.Checksum(*buffer, castagnoli) != b.Sum {
			errs[i] = errDamaged
		} else {
			errs[i] = findRecords(*buffer, offsets[i], records[starts[i]:starts[i]+b.Records], files)
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// readStoreEnds reads header and tail.
func readStoreEnds(f io.ReaderAt, size int64, key [32]byte) (tail storeTail, at int64, err error) {
	h := make([]byte, storeHeader)
	if _, err := f.ReadAt(h, 0); err == io.EOF {
		return tail, 0, errForeign
	} else if err != nil {
		return tail, 0, err
	}
	le := binary.LittleEndian
	if string(h[:8]) != storeMagic || le.Uint32(h[8:]) != storeVersion {
		return tail, 0, errForeign
	}
	if crc32.Checksum(h[:56], castagnoli) != le.Uint32(h[56:]) {
		return tail, 0, errDamaged
	}
	if [32]byte(h[12:44]) != key {
		return tail, 0, errForeign
	}
	at = int64(le.Uint64(h[44:]))
	const maxTail = 256 << 20
	if at < storeHeader || at > size || size-at > maxTail {
		return tail, 0, errDamaged
	}
	text := make([]byte, size-at)
	if _, err := f.ReadAt(text, at); err != nil && err != io.EOF {
		return tail, 0, err
	}
	if crc32.Checksum(text, castagnoli) != le.Uint32(h[52:]) || json.Unmarshal(text, &tail) != nil {
		return tail, 0, errDamaged
	}
	return tail, at, nil
}

// findRecords looks through the records of a block, which are to be as many as offsets and end with it, and says where in the file they are.
func findRecords(block []byte, at int64, offsets []int64, files int) error {
	from := 0
	for i := range offsets {
		l, ok := layoutOf(block[from:], files)
		if !ok {
			return errDamaged
		}
		offsets[i] = at + int64(from)
		from += l.size
	}
	if from != len(block) {
		return errDamaged
	}
	return nil
}

// layout says where the parts of a record are.
type layout struct {
	size      int
	sequences int // with an imitated one
	bits      byte
	ids, text int // where they begin
	textSize  int
}

// layoutOf looks through the head of a record, which b begins with; ok is false if that is none, or not all of it is there.
func layoutOf(b []byte, files int) (l layout, ok bool) {
	if len(b) < storeRecord {
		return l, false
	}
	le := binary.LittleEndian
	size, text := int64(le.Uint32(b)), int64(le.Uint32(b[28:]))
	l.sequences, l.bits = int(b[25]), b[26]
	ids := int64(storeRecord) + 8*int64(l.sequences)
	if l.bits&hasNumbers != 0 {
		ids += 8 * storeNumbers
	}
	imitated := l.bits&hasImitated != 0
	if size > int64(len(b)) || size < ids || int64(le.Uint32(b[4:])) >= int64(files) || b[24] > byte(Undesirable) || l.bits > knownBits ||
		imitated && l.sequences < 2 || !imitated && l.bits&imitatesFirst != 0 {
		return l, false
	}
	end := ids
	for i := range l.sequences {
		length, first := l.sequence(b, i)
		if first < 1 || first >= length {
			return l, false
		}
		if i < l.sequences-1 || l.bits&imitatesFirst == 0 {
			end += 4 * int64(length)
		} else if again, _ := l.sequence(b, 0); length != again {
			return l, false
		}
	}
	if pad := size - end - text; pad < 0 || pad > 3 {
		return l, false
	}
	l.size, l.ids, l.text, l.textSize = int(size), int(ids), int(end), int(text)
	return l, true
}

// sequence is the length of a sequence and the index of its first scored id.
func (l *layout) sequence(b []byte, i int) (length, first int) {
	at := storeRecord + 8*i
	return int(binary.LittleEndian.Uint32(b[at:])), int(binary.LittleEndian.Uint32(b[at+4:]))
}

// example reads a record of that layout. Ids and text are those in b, not copies.
func (l *layout) example(b []byte, files []file) *Example {
	le := binary.LittleEndian
	of := files[le.Uint32(b[4:])]
	e := &Example{File: of.path, ByRow: of.byRow, Line: int(le.Uint64(b[8:])), Label: Label(b[24])}
	e.prompt = promptKey{hash: le.Uint64(b[16:]), text: unsafe.String(unsafe.SliceData(b[l.text:]), l.textSize)}
	if l.bits&hasNumbers != 0 {
		e.Numbers = &Numbers{}
		at := storeRecord + 8*l.sequences
		for i, x := range e.Numbers.list() {
			*x = math.Float64frombits(le.Uint64(b[at+8*i:]))
		}
	}
	e.Sequences = make([]Sequence, l.sequences)
	at := l.ids
	for i := range e.Sequences {
		length, first := l.sequence(b, i)
		if i == l.sequences-1 && l.bits&imitatesFirst != 0 {
			e.Sequences[i] = Sequence{e.Sequences[0].IDs, first}
			break
		}
		e.Sequences[i] = Sequence{idsAt(b[at:], length), first}
		at += 4 * length
	}
	if l.bits&hasImitated != 0 {
		last := l.sequences - 1
		imitated := e.Sequences[last]
		e.Sequences, e.Imitated = e.Sequences[:last:last], &imitated
	}
	return e
}

// idsAt are n ids as they stand in b, which no copy is made of.
func idsAt(b []byte, n int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// storeReport is a Report as a store has it: places are numbers of files and rows.
type storeReport struct {
	Report   // the fields that others see
	Weights  float64
	Table    bool
	FirstBad string
	Ranked   [3]int
	Parts    []int
	Tallies  []storeTally
	Ignored  map[string]storeTally
}

type storeTally struct {
	N     int
	First [][2]int // file and row
}

// tallies are all of a report but those of ignored variables, and the numbers of parts of rows.
func (r *Report) tallies() (all []*tally, numbers []*int) {
	all = []*tally{&r.across, &r.other, &r.unwanted, &r.unread, &r.untrusted, &r.twoBOS, &r.weighted, &r.skipped}
	for i := range r.dropped {
		all = append(all, &r.dropped[i])
	}
	for _, p := range []*parts{&r.ranked.emptied, &r.ranked.repeated, &r.ranked.tied, &r.ranked.tiedPairs} {
		all, numbers = append(all, &p.rows), append(numbers, &p.n)
	}
	return all, numbers
}

func (r *Report) stored(files []file) storeReport {
	s := storeReport{Report: *r, Weights: r.weights, Table: r.table, Ranked: [3]int{r.ranked.rows, r.ranked.pairs, r.ranked.longest}, Ignored: map[string]storeTally{}}
	s.Name = "" // which is not of the content
	if r.firstBad != nil {
		s.FirstBad = r.firstBad.Error()
	}
	stored := func(t *tally) storeTally {
		one := storeTally{N: t.n}
		for _, p := range t.first {
			one.First = append(one.First, [2]int{slices.Index(files, p.file), p.number})
		}
		return one
	}
	all, numbers := r.tallies()
	for _, t := range all {
		s.Tallies = append(s.Tallies, stored(t))
	}
	for _, n := range numbers {
		s.Parts = append(s.Parts, *n)
	}
	for name, t := range r.ignored {
		s.Ignored[name] = stored(t)
	}
	return s
}

// restore fills in a report of the same data set.
func (s *storeReport) restore(r *Report, files []file) error {
	known := *r
	*r = s.Report
	r.Name, r.maxLength, r.files = known.Name, known.maxLength, known.files
	r.weights, r.table, r.ranked.rows, r.ranked.pairs, r.ranked.longest = s.Weights, s.Table, s.Ranked[0], s.Ranked[1], s.Ranked[2]
	if s.FirstBad != "" {
		r.firstBad = errors.New(s.FirstBad)
	}
	restored := func(t *tally, from storeTally) error {
		if from.N < len(from.First) || from.N > 0 && len(from.First) == 0 {
			return errDamaged
		}
		t.n = from.N
		for _, p := range from.First {
			if p[0] < 0 || p[0] >= len(files) {
				return errDamaged
			}
			t.first = append(t.first, place{files[p[0]], p[1]})
		}
		return nil
	}
	all, numbers := r.tallies()
	if len(s.Tallies) != len(all) || len(s.Parts) != len(numbers) {
		return errDamaged
	}
	for i, t := range s.Tallies {
		if err := restored(all[i], t); err != nil {
			return err
		}
	}
	for i, n := range s.Parts {
		*numbers[i] = n
	}
	for name, t := range s.Ignored {
		if r.ignored == nil {
			r.ignored = map[string]*tally{}
		}
		r.ignored[name] = &tally{}
		if err := restored(r.ignored[name], t); err != nil {
			return err
		}
	}
	return nil
}

// list are the numbers in the order in which a store has them.
func (n *Numbers) list() [storeNumbers]*float64 {
	return [...]*float64{&n.ChosenScore, &n.RejectedScore, &n.ChosenWins, &n.RejectedWins, &n.Weight, &n.RefChosenLogps, &n.RefRejectedLogps}
}
