package data

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/edsrzf/mmap-go"
	"github.com/gofrs/flock"
	"github.com/zeebo/xxh3"

	"dpotrain/internal/rows"
)

// The token store keeps what a data set's rows became, so that they are read and encoded once and their ids take no memory: the file is
// mapped, and the ids of examples lie in it. One file for each store, in a folder that may be deleted at any time:
//
//	offset  size  header
//	0       8     "DPOTROWS"
//	8       4     format version, uint32: 1
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
//	25      1     number of sequences
//	26      1     1: numbers follow
//	27      1     0
//	28      4     m, length of the prompt to be shown, uint32
//	32      4     k, length of what has no place here, uint32
//	36      ...   for each sequence its length and the index of its first scored id, uint32 each; 7 numbers, float64; all ids, int32; m bytes; k bytes of
//	              JSON; zeros
//
// Integers are little-endian. The bytes are a function of the key: not of time, paths or the number of threads.

const (
	storeMagic   = "DPOTROWS"
	storeVersion = 1
	storeHeader  = 64
	storeRecord  = 36
	storeNumbers = 7
	blockSize    = 1 << 20
	maxBlock     = 256 << 20 // the longest row has fewer ids than bytes
	promptShown  = 2048      // bytes of a prompt that are kept to be shown
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store says where token stores are kept.
type Store struct {
	Dir  string            // empty: examples are kept in memory
	Warn func(text string) // told of a file that cannot be used and is made again
	From int64             // bytes of files from which there is a store; 0: storeFrom
}

// storeFrom is where reading again takes about a second.
const storeFrom = 4 << 20

func (s *Store) least() int64 { return cmp.Or(s.From, storeFrom) }

// fromStore reads a data set from its store, which is made if there is none. ok is false if the data set has none.
func (m *maker) fromStore(s Source, files []string, progress func(done int64)) (set *Set, size int64, ok bool, err error) {
	key, infos, ok, err := m.keyOf(s, files)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	for _, info := range infos {
		size += info.Size()
	}
	path := filepath.Join(m.store.Dir, hex.EncodeToString(key[:8])+".tokens")
	fresh := func() *Report { return m.newSet(s.String(), len(files)).Reports[0] }
	set, err = openStore(path, key, fresh(), files)
	if err == nil {
		progress(size)
		return set, size, true, nil
	}
	if (err == errForeign || err == errDamaged) && m.store.Warn != nil {
		m.store.Warn(fmt.Sprintf("%s: %v; it is made again", path, err))
	}
	w, err := newStoreWriter(m.store.Dir, filepath.Base(path))
	if err != nil {
		return nil, 0, true, fmt.Errorf("token_cache_dir: %w", err)
	}
	set = m.newSet(s.String(), len(files))
	set.to = w
	if _, err = m.readFiles(set, s, files, progress); err == nil {
		err = m.done(set.Reports[0])
	}
	for i, before := range infos {
		after, statErr := os.Stat(files[i])
		if err == nil && (statErr != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
			err = fmt.Errorf("%s: changed while it was read; start again when it is written", files[i])
		}
	}
	if err == nil {
		if err = w.finish(path, key, set.Reports[0]); err != nil {
			err = fmt.Errorf("token_cache_dir: %w", err)
		}
	}
	if err != nil {
		w.abort()
		return nil, 0, true, err
	}
	set = nil
	debug.FreeOSMemory() // what making the examples has left
	set, err = openStore(path, key, fresh(), files)
	return set, size, true, err
}

// storeKey is what examples are a function of, in words that are hashed.
type storeKey struct {
	Program   uint64 // hash of the executable: another program may make other examples
	Files     []string
	Source    string
	Form      Form
	Wanted    string
	Options   string
	Tokenizer string
	Template  string
}

// keyOf is the key of a data set, whose files are hashed. ok is false if one cannot be read twice, or if they are so small that a store is not worth its file.
func (m *maker) keyOf(s Source, files []string) (key [32]byte, infos []fs.FileInfo, ok bool, err error) {
	var size int64
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !info.Mode().IsRegular() { // whoever reads the file says what is wrong
			return key, nil, false, nil
		}
		infos, size = append(infos, info), size+info.Size()
	}
	const little = 1 // ids are read as they stand in the file
	if binary.NativeEndian.Uint16([]byte{little, 0}) != little {
		return key, nil, false, nil
	}
	if m.store.Dir == "" || size < m.store.least() {
		return key, nil, false, nil
	}
	k := storeKey{Program: programHash(), Form: m.form, Tokenizer: m.tokenizer}
	if m.template != nil {
		k.Template = m.template.Source()
	}
	wanted, options := m.wanted, m.options
	wanted.CheckScores, options.Shuffle = nil, false
	k.Wanted, k.Options = fmt.Sprintf("%+v", wanted), fmt.Sprintf("%+v", options)
	s.Path, s.Split, s.Weight, s.Fraction = "", "", 0, 0
	filter, err := json.Marshal(s.Filter)
	if err != nil {
		return key, nil, false, err
	}
	k.Source = fmt.Sprintf("%v %s", s.Columns, filter) // maps are printed in order of their keys
	k.Files = make([]string, len(files))
	errs := make([]error, len(files))
	parallel(len(files), func(i int) {
		var h xxh3.Uint128
		h, errs[i] = hashFile(files[i])
		k.Files[i] = fmt.Sprintf("%x %s", h.Bytes(), rows.Ending(files[i]))
	})
	text, err := json.Marshal(k)
	return sha256.Sum256(text), infos, true, errors.Join(append(errs, err)...)
}

func hashFile(path string) (sum xxh3.Uint128, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := xxh3.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20)); err != nil {
		return sum, err
	}
	return h.Sum128(), nil
}

// programHash is that of the executable; 0 if it cannot be read.
var programHash = sync.OnceValue(func() uint64 {
	path, err := os.Executable()
	if err != nil {
		return 0
	}
	h, err := hashFile(path)
	if err != nil {
		return 0
	}
	return h.Lo
})

// parallel calls f for 0 to n-1 on all cores.
func parallel(n int, f func(i int)) {
	var wait sync.WaitGroup
	next := make(chan int)
	for range min(runtime.GOMAXPROCS(0), n) {
		wait.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
}

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

// add appends an example of the last of files.
func (w *storeWriter) add(e *Example, k promptKey) {
	if w.err == nil {
		w.err = w.append(len(w.files)-1, e, k)
	}
}

func (w *storeWriter) append(file int, e *Example, k promptKey) error {
	from := len(w.block)
	b := w.block
	rest := *e
	rest.File, rest.Line, rest.ByRow, rest.Label, rest.Sequences, rest.Numbers = "", 0, false, 0, nil, nil
	var more []byte
	if !reflect.ValueOf(rest).IsZero() {
		var err error
		if more, err = json.Marshal(rest); err != nil {
			return err
		}
	}
	text := k.text[:min(len(k.text), promptShown)]
	has := byte(0)
	if e.Numbers != nil {
		has = 1
	}
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(file))
	b = le.AppendUint64(b, uint64(e.Line))
	b = le.AppendUint64(b, k.hash)
	b = append(b, byte(e.Label), byte(len(e.Sequences)), has, 0)
	b = le.AppendUint32(b, uint32(len(text)))
	b = le.AppendUint32(b, uint32(len(more)))
	for _, s := range e.Sequences {
		b = le.AppendUint32(b, uint32(len(s.IDs)))
		b = le.AppendUint32(b, uint32(s.First))
	}
	if n := e.Numbers; n != nil {
		for _, x := range n.list() {
			b = le.AppendUint64(b, math.Float64bits(*x))
		}
	}
	for _, s := range e.Sequences {
		for _, id := range s.IDs {
			b = le.AppendUint32(b, uint32(id))
		}
	}
	b = append(append(b, text...), more...)
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

// openStore reads the store of a data set. Every block is held against its checksum; the examples' ids stay in the file, which is mapped.
func openStore(path string, key [32]byte, r *Report, names []string) (set *Set, err error) {
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
	files := make([]file, len(names))
	for i, name := range names {
		files[i] = file{name, tail.ByRow[i]}
	}
	if err := tail.Report.restore(r, files); err != nil {
		return nil, err
	}
	starts, offsets, n, end := make([]int, len(tail.Blocks)), make([]int64, len(tail.Blocks)), 0, int64(storeHeader)
	for i, b := range tail.Blocks {
		starts[i], offsets[i] = n, end
		if b.Bytes <= 0 || b.Bytes > maxBlock || b.Records <= 0 || b.Records > b.Bytes/storeRecord || int64(b.Bytes) > at-end {
			return nil, errDamaged
		}
		n, end = n+b.Records, end+int64(b.Bytes)
	}
	if end != at || n == 0 {
		return nil, errDamaged
	}
	bytes, err := mmap.MapRegion(f, int(info.Size()), mmap.RDONLY, 0, 0)
	if err != nil {
		return nil, err
	}
	set = &Set{Examples: make([]Example, n), Prompts: make([]string, min(n, PromptsKept)), keys: make([]promptKey, n), maps: []mmap.MMap{bytes}, stored: true}
	errs := make([]error, len(tail.Blocks))
	buffers := sync.Pool{New: func() any { return new([]byte) }} // else what is read becomes garbage, as much as the whole file
	parallel(len(tail.Blocks), func(i int) {
		b := tail.Blocks[i]
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		*buffer = slices.Grow((*buffer)[:0], b.Bytes)[:b.Bytes]
		block := *buffer
		if _, err := f.ReadAt(block, offsets[i]); err != nil {
			errs[i] = err
		} else if crc32.Checksum(block, castagnoli) != b.Sum {
			errs[i] = errDamaged
		} else {
			in := bytes[offsets[i] : offsets[i]+int64(b.Bytes)]
			errs[i] = decodeBlock(block, in, set.Examples[starts[i]:starts[i]+b.Records], set.keys[starts[i]:starts[i]+b.Records], files)
		}
	})
	for _, e := range errs {
		if e != nil {
			set.Close()
			return nil, e
		}
	}
	for i := range set.Prompts {
		set.Prompts[i] = set.keys[i].text
	}
	set.Name, set.Reports = r.Name, []*Report{r}
	return set, nil
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

// decodeBlock reads the records of a block into examples, whose ids and texts point to the same bytes elsewhere.
func decodeBlock(block, mapped []byte, examples []Example, keys []promptKey, files []file) error {
	le := binary.LittleEndian
	sequences := make([]Sequence, 0, 2*len(examples))
	at := 0
	for i := range examples {
		if len(block)-at < storeRecord {
			return errDamaged
		}
		r := block[at:]
		size, of, n := int64(le.Uint32(r)), le.Uint32(r[4:]), int(r[25])
		text, more := int64(le.Uint32(r[28:])), int64(le.Uint32(r[32:]))
		want := int64(storeRecord) + 8*int64(n) + text + more
		if r[26] == 1 {
			want += 8 * storeNumbers
		}
		if size > int64(len(r)) || size < want || int(of) >= len(files) || r[26] > 1 || Label(r[24]) > Undesirable {
			return errDamaged
		}
		e := &examples[i]
		*e = Example{File: files[of].path, ByRow: files[of].byRow, Line: int(le.Uint64(r[8:])), Label: Label(r[24])}
		p := storeRecord
		for range n {
			want += 4 * int64(le.Uint32(r[p:]))
			p += 8
		}
		if pad := size - want; pad < 0 || pad > 3 {
			return errDamaged
		}
		if r[26] == 1 {
			e.Numbers = &Numbers{}
			for _, x := range e.Numbers.list() {
				*x = math.Float64frombits(le.Uint64(r[p:]))
				p += 8
			}
		}
		from := len(sequences)
		for j := range n {
			length, first := int(le.Uint32(r[storeRecord+8*j:])), int(le.Uint32(r[storeRecord+8*j+4:]))
			if first < 1 || first >= length {
				return errDamaged
			}
			sequences = append(sequences, Sequence{IDs: idsAt(mapped[at+p:], length), First: first})
			p += 4 * length
		}
		e.Sequences = sequences[from:len(sequences):len(sequences)]
		keys[i] = promptKey{hash: le.Uint64(r[16:]), text: unsafe.String(unsafe.SliceData(mapped[at+p:]), int(text))}
		p += int(text)
		if more > 0 {
			known := *e
			if json.Unmarshal(r[p:p+int(more)], e) != nil {
				return errDamaged
			}
			e.File, e.ByRow, e.Line, e.Label, e.Sequences, e.Numbers = known.File, known.ByRow, known.Line, known.Label, known.Sequences, known.Numbers
		}
		at += int(size)
	}
	if at != len(block) {
		return errDamaged
	}
	return nil
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
