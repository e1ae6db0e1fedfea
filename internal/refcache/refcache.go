package refcache

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"
	"github.com/zeebo/xxh3"
)

// Fingerprint is a SHA-256 over all that decides the bits of a reference's log-probs: weights, architecture, precision, kernels.
type Fingerprint [32]byte

// String returns the fingerprint as 64 hexadecimal digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Key stands for one scored sequence.
type Key [16]byte

// KeyOf returns the key of the sequence ids, which ends with the last scored id, of which those from index first on are scored.
//
// It is XXH3-128 with seed 0 over first and then every id, each as four bytes, little-endian two's complement; the key holds the
// hash's canonical bytes (high half first, each half big-endian).
func KeyOf(ids []int32, first int) Key {
	var h xxh3.Hasher
	var buf [1024]byte
	b := le.AppendUint32(buf[:0], uint32(first))
	for _, id := range ids {
		if len(b) == cap(b) {
			h.Write(b)
			b = buf[:0]
		}
		b = le.AppendUint32(b, uint32(id))
	}
	h.Write(b)
	return h.Sum128().Bytes()
}

// Facts tell a person which reference a cache file belongs to. Nothing is decided by them.
type Facts struct {
	Model     string `json:"model"`     // where the weights came from, as the user wrote it
	Precision string `json:"precision"` // fp32, bf16
	Kernels   string `json:"kernels"`   // cpu-avx512, cpu-amx, cpu-avx2, cpu-neon-arm64, cpu-generic ...
}

// Cache is one cache file, seen by a run that wants certain fields of certain sequences. It is not safe for concurrent use.
type Cache struct {
	path      string
	fp        Fingerprint
	facts     Facts
	wanted    []Key
	fields    []Field      // that a record must have, or it is as if it were not there
	different int          // of the wanted
	index     map[Key]span // every wanted key, and what a Writer of this Cache appended
	file      *os.File     // nil while there is no file
	end       int64        // where the last whole record ends; 0 without a whole header
}

// span is the place of a record in the file; its size is 0 for a key that has none, and offset the key's first index among the wanted then.
type span struct {
	offset int64
	size   int
}

// Open reads the cache file of fingerprint fp in dir, checks every record and remembers where those of the wanted keys are that have
// log-probs and the further fields. A missing file, or directory, is an empty cache. The facts are for the header should a Writer have to
// create the file. Close frees the file.
//
// Opening takes one pass over the file; memory grows with the number of wanted keys, not with the file.
func Open(dir string, fp Fingerprint, facts Facts, wanted []Key, further ...Field) (*Cache, error) {
	c := &Cache{path: filepath.Join(dir, fp.String()[:16]+".refs"), fp: fp, facts: facts, wanted: wanted, fields: append([]Field{Logps}, further...)}
	if err := c.refresh(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// refresh reads what was written to the file since the last refresh, or all of it if it is another file by now.
func (c *Cache) refresh() error {
	f, err := os.Open(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		c.reset(nil)
		return checkFolder(filepath.Dir(c.path))
	}
	if err != nil {
		return cmp.Or(checkFolder(filepath.Dir(c.path)), err)
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s: a folder, where a cache file belongs; move it away", c.path)
	}
	if err != nil {
		f.Close()
		return err
	}
	if c.continuedBy(info) {
		f.Close()
	} else {
		c.reset(f)
	}
	if c.end == 0 {
		fp, _, end, err := readHeader(c.file, info.Size())
		if err != nil || end == 0 {
			return err
		}
		if fp != c.fp {
			return fmt.Errorf("%s: holds log-probs of reference %.16s, want %.16s; move the file away or set another ref_cache_dir", c.path, fp, c.fp)
		}
		c.end = end
	}
	c.end, err = scan(c.file, c.end, info.Size(), func(r record) error {
		if _, ok := c.index[r.key]; ok && r.has(c.fields) {
			c.index[r.key] = span{r.offset, r.size}
		}
		return nil
	})
	return err
}

// continuedBy reports whether the file described by info is the one that is open, with all that was read still in it.
func (c *Cache) continuedBy(info fs.FileInfo) bool {
	if c.file == nil {
		return false
	}
	open, err := c.file.Stat()
	return err == nil && os.SameFile(open, info) && info.Size() >= c.end
}

// reset forgets all that was read and goes on with file f, or with none.
func (c *Cache) reset(f *os.File) {
	c.Close()
	c.file, c.end = f, 0
	c.index = make(map[Key]span, len(c.wanted))
	for i, k := range c.wanted {
		if _, ok := c.index[k]; !ok {
			c.index[k] = span{offset: int64(i)}
		}
	}
	c.different = len(c.index)
}

// Path returns the place of the cache file, which need not exist yet.
func (c *Cache) Path() string { return c.path }

// Close frees the file. The Cache must not be used after it.
func (c *Cache) Close() error {
	if c.file == nil {
		return nil
	}
	f := c.file
	c.file = nil
	return f.Close()
}

// Missing returns the indices of the wanted keys that have no record with all that is asked for yet, in order; of equal keys only the
// first.
func (c *Cache) Missing() []int {
	var missing []int
	for i, k := range c.wanted {
		if s := c.index[k]; s.size == 0 && s.offset == int64(i) {
			missing = append(missing, i)
		}
	}
	return missing
}

// Different is the number of wanted keys that differ from each other.
func (c *Cache) Different() int { return c.different }

// Has reports whether k, a wanted key or one that was appended, has a record with all that is asked for.
func (c *Cache) Has(k Key) bool { return c.index[k].size > 0 }

// Read returns the numbers of the scored tokens of k, a list for each of the fields, log-probs first, and whether there are any. The key
// must be a wanted one or one that was appended. The record is checked again; one that changed on disk since it was indexed is an error.
func (c *Cache) Read(k Key) ([][]float32, bool, error) {
	s := c.index[k]
	if s.size == 0 {
		return nil, false, nil
	}
	b := make([]byte, s.size)
	if _, err := c.file.ReadAt(b, s.offset); err != nil {
		return nil, false, fmt.Errorf("%s: record at byte %d: %w", c.path, s.offset, err)
	}
	if !sealed(b) || int(le.Uint32(b)) != s.size || Key(b[4:20]) != k {
		return nil, false, damaged(c.path, s.offset)
	}
	r := record{fields: b[recordHead : s.size-checksumSize]}
	if !r.sound() || !r.has(c.fields) {
		return nil, false, damaged(c.path, s.offset)
	}
	all := make([][]float32, len(c.fields))
	for i, f := range c.fields {
		field := r.values(f)
		all[i] = make([]float32, len(field)/4)
		for t := range all[i] {
			all[i][t] = math.Float32frombits(le.Uint32(field[4*t:]))
		}
	}
	return all, true, nil
}

// Writer appends to the file of a Cache. One process at a time has it.
type Writer struct {
	cache *Cache
	file  *os.File
	lock  *flock.Flock
	buf   []byte
	dirty bool  // something was written since the last Sync
	err   error // the first failure to write; nothing is written after it

	madeDirs []string // folders that were not there before, innermost first
	madeFile bool
	header   int64 // bytes of the header of a file that was made
}

// Lock makes the caller the file's only writer until Writer.Close. While another process writes it waits, having called waiting once
// (unless that is nil), until ctx ends. What other writers have added since is in the cache when it returns, so Missing may have
// shrunk. A torn tail is cut off.
func (c *Cache) Lock(ctx context.Context, waiting func()) (*Writer, error) {
	dir := filepath.Dir(c.path)
	another := func(err error) error { return fmt.Errorf("ref_cache_dir %s: %w; choose another", dir, reason(err)) }
	for try := 0; ; try++ {
		w := &Writer{cache: c, lock: flock.New(filepath.Join(dir, c.fp.String()[:16]+".lock")), madeDirs: missingDirs(dir)}
		if err := makeDir(dir); err != nil {
			return nil, another(err)
		}
		locked, err := w.lock.TryLock()
		if err == nil && !locked {
			if waiting != nil {
				waiting()
				waiting = nil
			}
			_, err = w.lock.TryLockContext(ctx, 50*time.Millisecond)
		}
		if try < 100 && (errors.Is(err, fs.ErrNotExist) || err == nil && !stillThere(w.lock)) { // the one who had it has taken it away
			w.lock.Close()
			continue
		}
		if err == nil {
			if err = w.start(); err == nil {
				return w, nil
			}
			if w.file != nil {
				w.file.Close()
			}
			w.takeAway()
		} else if ctx.Err() == nil {
			err = another(fmt.Errorf("%s: %w", filepath.Base(w.lock.Path()), reason(err)))
		} else {
			err = fmt.Errorf("%s: %w", w.lock.Path(), err)
		}
		w.lock.Close()
		return nil, err
	}
}

// stillThere says that the path of a lock leads to the file that is locked.
func stillThere(lock *flock.Flock) bool {
	locked, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(lock.Path())
	return err == nil && os.SameFile(locked, there)
}

// takeAway removes a cache file that this Writer made and that has no record, with its lock and the folders that were made for it,
// where they are empty. It does no harm if something stays: on Windows an open file cannot be removed.
func (w *Writer) takeAway() {
	c := w.cache
	if !w.madeFile || c.end > w.header {
		return
	}
	_ = os.Remove(c.path)
	_ = os.Remove(w.lock.Path())
	for _, dir := range w.madeDirs {
		_ = os.Remove(dir)
	}
}

// start brings cache and file to the same state: what is on disk is indexed, and the file ends with a whole record.
func (w *Writer) start() error {
	c := w.cache
	if err := c.refresh(); err != nil {
		return err
	}
	var err error
	if w.file, err = os.OpenFile(c.path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return err
	}
	info, err := w.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > c.end {
		if err := w.file.Truncate(c.end); err != nil {
			return err
		}
	}
	if c.end == 0 {
		header, err := encodeHeader(c.fp, c.facts)
		if err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		w.madeFile, w.header = true, int64(len(header))
		if _, err := w.file.WriteAt(header, 0); err != nil {
			return err
		}
	}
	if err := w.file.Sync(); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(c.path)); err != nil {
		return err
	}
	return c.refresh()
}

// Append adds the numbers of the scored tokens of k: log-probs, and then a list of as many for each of the further fields that the Cache
// was opened with; it panics if there are not as many. The cache has them from now on, the disk for certain after Sync. A key that has all
// fields already is left as it is. No log-probs, or a number that is not finite, is an error and writes nothing. After a failed write the
// Writer refuses all others; the next one repairs the file.
func (w *Writer) Append(k Key, logps []float32, further ...[]float32) error {
	c := w.cache
	if w.err != nil {
		return w.err
	}
	if len(logps) == 0 {
		return fmt.Errorf("%s: no log-probs for key %x; a sequence without scored tokens has no record", c.path, k)
	}
	values := append([][]float32{logps}, further...)
	for i, f := range c.fields {
		if len(values) != len(c.fields) || len(values[i]) != len(logps) {
			panic("refcache: a record needs the fields that the cache was opened with, of every token")
		}
		for t, v := range values[i] {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return fmt.Errorf("%s: %v %d of %d of key %x is %v; the reference gives no finite number here", c.path, f, t, len(logps), k, v)
			}
		}
	}
	if recordSize(len(logps), len(values)) > maxRecord {
		return fmt.Errorf("%s: the numbers of %d tokens of key %x are more than one record holds (%d bytes)", c.path, len(logps), k, maxRecord)
	}
	if c.index[k].size != 0 {
		return nil
	}
	w.buf = appendRecord(w.buf[:0], k, c.fields, values)
	w.dirty = true
	if _, err := w.file.WriteAt(w.buf, c.end); err != nil {
		w.err = fmt.Errorf("%s: %w; what was computed before is kept", c.path, reason(err))
		_ = w.file.Truncate(c.end) // if this fails too there is a torn tail
		return w.err
	}
	c.index[k] = span{c.end, len(w.buf)}
	c.end += int64(len(w.buf))
	return nil
}

// Sync returns when all that was appended is on the disk.
func (w *Writer) Sync() error {
	if w.err != nil || !w.dirty {
		return w.err
	}
	// A failed fsync may have dropped the data, and the next would report success: there is no second try.
	if w.err = w.file.Sync(); w.err == nil {
		w.dirty = false
	}
	return w.err
}

// Close syncs and lets the next writer in. The Cache stays open.
func (w *Writer) Close() error {
	err := errors.Join(w.Sync(), w.file.Close())
	w.takeAway()
	return errors.Join(err, w.lock.Close())
}

// makeDir makes dir and the directories above it, and sees that the new names survive a power cut.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}

// missingDirs are dir and the directories above it that do not exist, innermost first.
func missingDirs(dir string) []string {
	var list []string
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
			return list
		}
		list = append(list, dir)
	}
}

// checkFolder is an error if something that is no folder stands where dir is to be.
func checkFolder(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("ref_cache_dir %s: %s is a file, and log-probs are kept in a folder; choose another", dir, at)
		case err == nil || filepath.Dir(at) == at:
			return nil
		}
	}
}

// reason is what the operating system says of a file, without the file's name.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// syncDir makes the names in a directory durable. Windows has no such call.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
