package data

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"dpotrain/internal/rows"
)

// Store says where token stores are kept.
type Store struct {
	Dir  string            // empty: examples are kept in memory
	Warn func(text string) // told of a file that cannot be used and is made again
	From int64             // bytes of files from which there is a store; 0: storeFrom

	Limit   int64             // bytes of all stores together; 0: no limit
	Removed func(text string) // told of a store that was removed for it
}

const storeEnding = ".tokens"

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
	path := filepath.Join(m.store.Dir, hex.EncodeToString(key[:8])+storeEnding)
	fresh := func() *Report { return m.collector(s.String(), len(files)).report }
	set, err = openStore(m.ctx, path, key, fresh(), files)
	if err == nil {
		m.store.use(path)
		progress(size)
		return set, size, true, nil
	}
	if err := m.ctx.Err(); err != nil {
		return nil, 0, true, err
	}
	if (err == errForeign || err == errDamaged) && m.store.Warn != nil {
		m.store.Warn(fmt.Sprintf("%s: %v; it is made again", path, err))
	}
	if err := m.makeStore(path, key, s, files, infos, progress); err != nil {
		return nil, 0, true, err
	}
	m.store.use(path)
	m.store.prune()
	debug.FreeOSMemory() // what making the examples has left
	set, err = openStore(m.ctx, path, key, fresh(), files)
	return set, size, true, err
}

// makeStore reads the files of a data set into its store.
func (m *maker) makeStore(path string, key [32]byte, s Source, files []string, infos []fs.FileInfo, progress func(done int64)) (err error) {
	c := m.collector(s.String(), len(files))
	if c.to, err = newStoreWriter(m.store.Dir, filepath.Base(path)); err != nil {
		return fmt.Errorf("token_cache_dir: %w", err)
	}
	defer func() {
		if err != nil {
			c.to.abort()
		}
	}()
	if _, err := c.readFiles(s, files, progress); err != nil {
		return err
	}
	if err := c.done(); err != nil {
		return err
	}
	for i, before := range infos {
		after, err := os.Stat(files[i])
		if err != nil || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
			return fmt.Errorf("%s: changed while it was read; start again when it is written", files[i])
		}
	}
	if err := c.to.finish(path, key, c.report); err != nil {
		return fmt.Errorf("token_cache_dir: %w", err)
	}
	return nil
}

// began is when the process did, or a little later.
var began = time.Now()

// use notes in the file's time that a store is used.
func (s *Store) use(path string) {
	now := time.Now()
	_ = os.Chtimes(path, now, now) // on a disk for reading alone it stays as it is
}

// prune removes the stores that were used longest ago, until those that are left keep to the limit. One that was used since the process began
// stays. It does no harm if a file cannot be removed, or another process has it mapped.
func (s *Store) prune() {
	if s.Limit == 0 {
		return
	}
	type store struct {
		path string
		info fs.FileInfo
	}
	var all []store
	var total int64
	paths, _ := filepath.Glob(filepath.Join(s.Dir, "*"+storeEnding))
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			all, total = append(all, store{path, info}), total+info.Size()
		}
	}
	slices.SortFunc(all, func(a, b store) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, one := range all {
		if total <= s.Limit || !one.info.ModTime().Before(began) {
			return
		}
		if os.Remove(one.path) != nil {
			continue
		}
		total -= one.info.Size()
		if s.Removed != nil {
			s.Removed(fmt.Sprintf("%s: removed, as the stores are more than token_cache_limit: %d bytes, last used %s", one.path, one.info.Size(), one.info.ModTime().Format(time.DateTime)))
		}
	}
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
		h, errs[i] = hashFile(m.ctx, files[i])
		k.Files[i] = fmt.Sprintf("%x %s", h.Bytes(), rows.Ending(files[i]))
	})
	text, err := json.Marshal(k)
	return sha256.Sum256(text), infos, true, errors.Join(append(errs, err)...)
}

func hashFile(ctx context.Context, path string) (sum xxh3.Uint128, err error) {
	f, err := os.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := xxh3.New()
	for {
		_, err := io.CopyN(h, f, 64<<20)
		if err == io.EOF {
			return h.Sum128(), nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return sum, err
		}
	}
}

// programHash is that of the executable; 0 if it cannot be read.
var programHash = sync.OnceValue(func() uint64 {
	path, err := os.Executable()
	if err != nil {
		return 0
	}
	h, err := hashFile(context.Background(), path)
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
