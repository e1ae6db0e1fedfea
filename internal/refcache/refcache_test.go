package refcache

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden file again")

var (
	testFP    = Fingerprint{0xab, 0xcd, 2, 3, 4, 5, 6, 7, 31: 0xff}
	testFacts = Facts{Model: "tiny", Precision: "fp32", Kernels: "cpu-generic"}
)

// sequence i has i%7+1 scored tokens; its log-probs tell it apart from all others.
func testKey(i int) Key { return KeyOf([]int32{1, int32(i), 7}, 1) }

func testLogps(i int) []float32 {
	logps := make([]float32, i%7+1)
	for t := range logps {
		logps[t] = -float32(i) - float32(t)/8
	}
	return logps
}

func testKeys(n int) []Key {
	keys := make([]Key, n)
	for i := range keys {
		keys[i] = testKey(i)
	}
	return keys
}

func mustOpen(t testing.TB, dir string, wanted []Key) *Cache {
	t.Helper()
	c, err := Open(dir, testFP, testFacts, wanted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustLock(t testing.TB, c *Cache) *Writer {
	t.Helper()
	w, err := c.Lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func appendAll(t testing.TB, w *Writer, sequences []int) {
	t.Helper()
	for _, i := range sequences {
		if err := w.Append(testKey(i), testLogps(i)); err != nil {
			t.Fatal(err)
		}
	}
}

// fill computes what c lacks of the first len(wanted) sequences.
func fill(t testing.TB, c *Cache) {
	t.Helper()
	w := mustLock(t, c)
	appendAll(t, w, c.Missing())
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// wholeFile returns the bytes of an uninterrupted file of n sequences.
func wholeFile(t testing.TB, n int) []byte {
	t.Helper()
	c := mustOpen(t, t.TempDir(), testKeys(n))
	fill(t, c)
	b, err := os.ReadFile(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wholeFileWithEntropies is such a file with both fields.
func wholeFileWithEntropies(t testing.TB, n int) []byte {
	t.Helper()
	dir := t.TempDir()
	c, err := Open(dir, testFP, testFacts, testKeys(n), Entropies)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w := mustLock(t, c)
	for i := range n {
		if err := w.Append(testKey(i), testLogps(i), testEntropies(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.Path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// logpsOf reads the log-probs of a key.
func logpsOf(c *Cache, k Key) ([]float32, bool, error) {
	all, ok, err := c.Read(k)
	if !ok {
		return nil, false, err
	}
	return all[0], true, err
}

// write makes a cache file of these bytes and returns its folder.
func write(t testing.TB, b []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, testFP.String()[:16]+".refs"), b, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// checkLogps fails unless c has the right log-probs, or none, for each of the first n sequences. It returns how many it has.
func checkLogps(t testing.TB, c *Cache, n int) (have int) {
	t.Helper()
	for i := range n {
		got, ok, err := logpsOf(c, testKey(i))
		if err != nil {
			t.Fatalf("sequence %d: %v", i, err)
		}
		if ok && !slices.Equal(got, testLogps(i)) {
			t.Fatalf("sequence %d: got %v, want %v", i, got, testLogps(i))
		}
		if ok {
			have++
		}
	}
	return have
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "cache")
	wanted := []Key{testKey(0), testKey(1), testKey(0), testKey(2), testKey(1)}
	c := mustOpen(t, dir, wanted)
	if got, want := c.Missing(), []int{0, 1, 3}; !slices.Equal(got, want) {
		t.Fatalf("empty cache: Missing() = %v, want %v", got, want)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("opening made the folder; only a writer may")
	}
	w := mustLock(t, c)
	appendAll(t, w, []int{0, 2})
	if got, want := c.Missing(), []int{1}; !slices.Equal(got, want) {
		t.Fatalf("after two records: Missing() = %v, want %v", got, want)
	}
	if n := checkLogps(t, c, 3); n != 2 {
		t.Fatalf("before Sync the writer's cache has %d sequences, want 2", n)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	reader := mustOpen(t, dir, wanted) // while the writer holds the lock
	if n := checkLogps(t, reader, 3); n != 2 {
		t.Fatalf("reader has %d sequences, want 2", n)
	}
	appendAll(t, w, []int{0, 1, 1}) // those that are there already write nothing
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	infos, err := Inspect(dir)
	if err != nil || len(infos) != 1 {
		t.Fatal(infos, err)
	}
	size := int64(headerHead+len(`{"model":"tiny","precision":"fp32","kernels":"cpu-generic"}`)) +
		checksumSize + int64(recordSize(1, 1)+recordSize(2, 1)+recordSize(3, 1))
	want := Info{Path: c.Path(), Fingerprint: testFP, Facts: testFacts, Records: 3, Tokens: 6, Bytes: size}
	if infos[0] != want {
		t.Errorf("Inspect: got %+v, want %+v", infos[0], want)
	}
	// Keys that nobody wants take no memory, and are not found.
	other := mustOpen(t, dir, []Key{testKey(2), testKey(9)})
	if len(other.index) != 2 {
		t.Errorf("%d offsets kept for 2 wanted keys", len(other.index))
	}
	if got, want := other.Missing(), []int{1}; !slices.Equal(got, want) {
		t.Errorf("Missing() = %v, want %v", got, want)
	}
	if _, ok, err := logpsOf(other, testKey(0)); ok || err != nil {
		t.Errorf("key that was not wanted: got %v, %v", ok, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	c := mustOpen(t, t.TempDir(), testKeys(2))
	w := mustLock(t, c)
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, tt := range []struct {
		logps []float32
		want  string
	}{
		{nil, "no log-probs"},
		{[]float32{-1, nan}, "log-prob 1 of 2"},
		{[]float32{inf}, "log-prob 0 of 1"},
		{[]float32{-inf}, "log-prob 0 of 1"},
		{make([]float32, maxRecord/4), "are more than one record holds"},
	} {
		if err := w.Append(testKey(0), tt.logps); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Append of %d values: got error %v, want %q", len(tt.logps), err, tt.want)
		}
	}
	// A refusal writes nothing, and what is fine is still taken.
	appendAll(t, w, []int{1})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if n := checkLogps(t, mustOpen(t, filepath.Dir(c.Path()), testKeys(2)), 2); n != 1 {
		t.Errorf("%d sequences on disk, want 1", n)
	}
}

// A failed write ends the writer, and the next one continues without a trace of it.
func TestWriteError(t *testing.T) {
	want := wholeFile(t, 3)
	c := mustOpen(t, t.TempDir(), testKeys(3))
	w := mustLock(t, c)
	appendAll(t, w, []int{0})
	w.file.Close()
	if err := w.Append(testKey(1), testLogps(1)); err == nil || !strings.Contains(err.Error(), c.Path()) {
		t.Fatalf("Append to a closed file: %v", err)
	}
	if err := w.Append(testKey(2), testLogps(2)); err == nil {
		t.Fatal("Append after a failed one succeeded")
	}
	if err := w.Sync(); err == nil {
		t.Fatal("Sync after a failed Append succeeded")
	}
	if got := c.Missing(); !slices.Equal(got, []int{1, 2}) {
		t.Fatalf("Missing() = %v after a failed write, want [1 2]", got)
	}
	w.Close()
	fill(t, c)
	if got, _ := os.ReadFile(c.Path()); !bytes.Equal(got, want) {
		t.Error("the continued file differs from an uninterrupted one")
	}
}

// A writer that has written nothing leaves nothing behind, and one that has leaves the folders.
func TestNothingBehind(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "new", "cache")
	c := mustOpen(t, dir, testKeys(1))
	w := mustLock(t, c)
	if _, err := os.Stat(c.Path()); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(top); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	fill(t, c)
	if n := checkLogps(t, mustOpen(t, dir, testKeys(1)), 1); n != 1 {
		t.Errorf("%d sequences after the folder was taken away and made again, want 1", n)
	}
	if err := mustLock(t, c).Close(); err != nil { // nothing to write, and a file that was there
		t.Fatal(err)
	}
	if n := checkLogps(t, mustOpen(t, dir, testKeys(1)), 1); n != 1 {
		t.Errorf("%d sequences after a writer that wrote nothing, want 1", n)
	}

	// One that waited while the lock was taken away gets another.
	other := filepath.Join(top, "other")
	first, second := mustOpen(t, other, testKeys(1)), mustOpen(t, other, testKeys(1))
	w = mustLock(t, first)
	waiting, got := make(chan bool), make(chan error)
	go func() {
		w, err := second.Lock(context.Background(), func() { close(waiting) })
		if err == nil {
			err = errors.Join(w.Append(testKey(0), testLogps(0)), w.Close())
		}
		got <- err
	}()
	<-waiting
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if n := checkLogps(t, mustOpen(t, other, testKeys(1)), 1); n != 1 {
		t.Errorf("%d sequences of the one that waited, want 1", n)
	}
	if _, err := os.Stat(filepath.Join(other, testFP.String()[:16]+".lock")); err != nil {
		t.Errorf("the lock of the one that waited: %v", err)
	}
}

// What stands in the way of a cache; DIR stands for the test's folder, F for the name of the file without its end.
func TestInTheWay(t *testing.T) {
	for _, c := range []struct{ name, cache, file, folder, want string }{
		{"a file", "file", "file", "", "ref_cache_dir DIR/file: DIR/file is a file, and log-probs are kept in a folder; choose another"},
		{"a file above", "file/a/b", "file", "", "ref_cache_dir DIR/file/a/b: DIR/file is a file, and log-probs are kept in a folder; choose another"},
		{"a folder of the file's name", "", "", "F.refs", "DIR/F.refs: a folder, where a cache file belongs; move it away"},
		{"a folder of the lock's name", "", "", "F.lock", "ref_cache_dir DIR: F.lock: is a directory; choose another"},
	} {
		dir := t.TempDir()
		names := strings.NewReplacer("F.", testFP.String()[:16]+".", "DIR", dir)
		var err error
		if c.file != "" {
			err = os.WriteFile(filepath.Join(dir, c.file), nil, 0o666)
		} else {
			err = os.Mkdir(filepath.Join(dir, names.Replace(c.folder)), 0o777)
		}
		if err != nil {
			t.Fatal(err)
		}
		cache, err := Open(filepath.Join(dir, c.cache), testFP, testFacts, testKeys(1))
		if err == nil {
			_, err = cache.Lock(context.Background(), nil)
		}
		if err == nil || err.Error() != names.Replace(c.want) {
			t.Errorf("%s: error %v, want %s", c.name, err, names.Replace(c.want))
		}
	}
	dir := t.TempDir()
	if _, err := Inspect(filepath.Join(dir, "absent")); err == nil || err.Error() != filepath.Join(dir, "absent")+": no such folder; give the ref_cache_dir that runs have filled" {
		t.Errorf("no folder: %v", err)
	}
}

// The header, field by field, by hand.
func TestHeaderFields(t *testing.T) {
	b := wholeFile(t, 1)
	facts, err := json.Marshal(testFacts)
	if err != nil {
		t.Fatal(err)
	}
	n := len(facts)
	for _, f := range []struct {
		name     string
		from, to int
		want     []byte
	}{
		{"magic", 0, 8, []byte("DPOTREFS")},
		{"version", 8, 12, []byte{1, 0, 0, 0}},
		{"fingerprint", 12, 44, testFP[:]},
		{"length of the facts", 44, 48, []byte{byte(n), byte(n >> 8), 0, 0}},
		{"checksum of the head", 48, 52, crc(b[:48])},
		{"facts", 52, 52 + n, facts},
		{"checksum of the header", 52 + n, 56 + n, crc(b[:52+n])},
		{"record length", 56 + n, 60 + n, []byte{38, 0, 0, 0}},
	} {
		if got := b[f.from:f.to]; !bytes.Equal(got, f.want) {
			t.Errorf("%s, bytes %d to %d: got %x, want %x", f.name, f.from, f.to, got, f.want)
		}
	}
}

func crc(b []byte) []byte {
	return le.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
}

// Files of version 1 as they were first written, one with entropies; go test -run Golden -update writes them again.
func TestGolden(t *testing.T) {
	golden(t, "version1.refs", wholeFile(t, 3))
	golden(t, "version1_entropies.refs", wholeFileWithEntropies(t, 3))
}

func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, want) {
		t.Errorf("%s: format version 1 is written differently now: got\n%swant\n%s", name, hex.Dump(b), hex.Dump(want))
	}
	if n := checkLogps(t, mustOpen(t, write(t, want), testKeys(3)), 3); n != 3 {
		t.Errorf("%d sequences read from %s, want 3", n, name)
	}
}

func TestKeyOf(t *testing.T) {
	// The bytes hashed are 01000000 05000000 ffffffff; the value is that of another implementation (xxh3_128 of Python's xxhash).
	base := KeyOf([]int32{5, -1}, 1)
	long := make([]int32, 1000)
	for i := range long {
		long[i] = int32(i * 77)
	}
	keys := map[Key]string{base: "base"}
	for _, tt := range []struct {
		name  string
		ids   []int32
		first int
	}{
		{"other first", []int32{5, -1}, 0},
		{"other id", []int32{5, -2}, 1},
		{"other order", []int32{-1, 5}, 1},
		{"one id less", []int32{5}, 1},
		{"one id more", []int32{5, -1, 0}, 1},
		{"no id", nil, 0},
		{"long", long, 1},
		{"long, one less", long[:999], 1},
		{"long, other first", long, 2},
	} {
		k := KeyOf(tt.ids, tt.first)
		if other, ok := keys[k]; ok {
			t.Errorf("%s has the key of %s", tt.name, other)
		}
		keys[k] = tt.name
	}
	if got, want := hex.EncodeToString(base[:]), "28439745bfdf35d62006e0b37ebb0113"; got != want {
		t.Errorf("KeyOf([5 -1], 1) = %s, want %s", got, want)
	}
}

// A file cut at any byte opens, what is whole in it is right, and a writer ends with the bytes of an uninterrupted run. The same holds
// where the file system had lengthened the file with zeros.
func TestTornTail(t *testing.T) {
	const n = 3
	whole := wholeFile(t, n)
	for cut := range whole {
		for _, zeros := range []int{0, 1, 100} {
			dir := write(t, append(slices.Clone(whole[:cut]), make([]byte, zeros)...))
			c := mustOpen(t, dir, testKeys(n))
			have := checkLogps(t, c, n)
			if got := len(c.Missing()); got != n-have {
				t.Fatalf("cut at %d: %d missing, want %d", cut, got, n-have)
			}
			fill(t, c)
			if got, _ := os.ReadFile(c.Path()); !bytes.Equal(got, whole) {
				t.Fatalf("cut at %d, then %d zeros: the continued file differs from an uninterrupted one", cut, zeros)
			}
		}
	}
}

// Every single bit of a file of three records, flipped: an error, or a torn tail if it lies in the last record; never wrong data.
func TestBitFlips(t *testing.T) {
	const n = 3
	whole := wholeFile(t, n)
	last := len(whole) - recordSize(len(testLogps(n-1)), 1)
	dir := write(t, whole)
	path := filepath.Join(dir, testFP.String()[:16]+".refs")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for bit := range 8 * len(whole) {
		at := bit / 8
		f.WriteAt([]byte{whole[at] ^ 1<<(bit%8)}, int64(at))
		c, err := Open(dir, testFP, testFacts, testKeys(n))
		if err == nil {
			if at < last {
				t.Errorf("byte %d bit %d: not noticed", at, bit%8)
			}
			if have := checkLogps(t, c, n); have != n-1 {
				t.Errorf("byte %d bit %d: %d sequences, want the first two", at, bit%8, have)
			}
			c.Close()
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("byte %d bit %d: error does not name the file: %v", at, bit%8, err)
		}
		f.WriteAt(whole[at:at+1], int64(at))
	}
}

// A record that changes after it was indexed is noticed when it is read.
func TestChangedAfterOpen(t *testing.T) {
	dir := write(t, wholeFile(t, 2))
	c := mustOpen(t, dir, testKeys(2))
	b, _ := os.ReadFile(c.Path())
	b[len(b)-8] ^= 1
	if err := os.WriteFile(c.Path(), b, 0o666); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := logpsOf(c, testKey(1)); err == nil || ok {
		t.Errorf("got %v, %v, %v, want an error", got, ok, err)
	}
}

// A file that was moved away, or replaced, between Open and Lock.
func TestFileGoesAway(t *testing.T) {
	whole := wholeFile(t, 3)
	dir := write(t, whole)
	c := mustOpen(t, dir, testKeys(3))
	if err := os.Rename(c.Path(), c.Path()+".old"); err != nil {
		t.Skip("an open file cannot be renamed here:", err)
	}
	fill(t, c)
	if got, _ := os.ReadFile(c.Path()); !bytes.Equal(got, whole) {
		t.Error("the new file differs from an uninterrupted one")
	}
	if n := checkLogps(t, c, 3); n != 3 {
		t.Errorf("%d sequences, want 3", n)
	}
	if err := os.Truncate(c.Path(), int64(len(whole)-100)); err != nil {
		t.Fatal(err)
	}
	fill(t, c)
	if got, _ := os.ReadFile(c.Path()); !bytes.Equal(got, whole) {
		t.Error("the file that had shrunk differs from an uninterrupted one")
	}
}

func TestRefused(t *testing.T) {
	whole := wholeFile(t, 2)
	reseal := func(b []byte) []byte {
		copy(b[48:], crc(b[:48]))
		n := headerHead + int(le.Uint32(b[44:]))
		if n+checksumSize <= len(b) {
			copy(b[n:], crc(b[:n]))
		}
		return b
	}
	second := len(whole) - recordSize(2, 1)
	for _, tt := range []struct {
		name string
		edit func(b []byte) []byte
		want string
	}{
		{"another file", func(b []byte) []byte { return []byte("hello, this is a text") }, "not a reference cache"},
		{"short other file", func(b []byte) []byte { return []byte("hi") }, "not a reference cache"},
		{"newer version", func(b []byte) []byte { b[8] = 2; return reseal(b) }, "format version 2, but this dpotrain reads version 1"},
		{"version 0", func(b []byte) []byte { b[8] = 0; return reseal(b) }, "header at byte 0 is damaged"},
		{"other fingerprint", func(b []byte) []byte { b[43] = 0; return reseal(b) }, "want abcd0203"},
		{"huge facts", func(b []byte) []byte { b[47] = 0xff; return reseal(b) }, "header at byte 0 is damaged"},
		{"facts are no JSON", func(b []byte) []byte { b[headerHead] = 'x'; return reseal(b) }, "header at byte 0 is damaged"},
		{"first record", func(b []byte) []byte { b[second-20] ^= 1; return b },
			fmt.Sprintf(`record at byte %d is damaged; move the file away and run "dpotrain precompute-ref" again`, second-recordSize(1, 1))},
		{"garbage behind", func(b []byte) []byte { return append(b, bytes.Repeat([]byte{0xee}, 50)...) },
			fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"tiny length", func(b []byte) []byte { return append(b, head(3)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"huge length", func(b []byte) []byte { return append(b, head(math.MaxUint32)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"field too long", func(b []byte) []byte { return append(b, raw(uint16(Logps), 99, 4)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"field too short", func(b []byte) []byte { return append(b, raw(uint16(Logps), 3, 4)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"half an entropy", func(b []byte) []byte { return append(b, raw(uint16(Entropies), 6, 6)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
		{"half a float", func(b []byte) []byte { return append(b, raw(uint16(Logps), 2, 2)...) }, fmt.Sprintf("record at byte %d is damaged", len(whole))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := write(t, tt.edit(slices.Clone(whole)))
			_, err := Open(dir, testFP, testFacts, testKeys(2))
			path := filepath.Join(dir, testFP.String()[:16]+".refs")
			if err == nil || !strings.HasPrefix(err.Error(), path+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %s: ...%s", err, path, tt.want)
			}
			if infos, err := Inspect(dir); err != nil || len(infos) != 1 || (infos[0].Err == nil) != (tt.name == "other fingerprint") {
				t.Errorf("Inspect: %+v, %v", infos, err)
			}
		})
	}
}

// head returns the sealed head of a record that says it has n bytes.
func head(n uint32) []byte {
	b := append(le.AppendUint32(nil, n), make([]byte, 16)...)
	return append(b, crc(b)...)
}

// raw returns a sealed record with one field of bytes zero bytes that says it has n.
func raw(tag uint16, n uint32, bytes int) []byte {
	b := head(uint32(minRecord + fieldHead + bytes))
	b = le.AppendUint32(le.AppendUint16(b, tag), n)
	b = append(b, make([]byte, bytes)...)
	return append(b, crc(b)...)
}

// A later version of the program may add fields: they are passed over, and a record without log-probs is a missing one.
func TestUnknownFields(t *testing.T) {
	k := testKey(5)
	build := func(fields ...[]byte) []byte {
		body := bytes.Join(fields, nil)
		b := le.AppendUint32(nil, uint32(minRecord+len(body)))
		b = append(b, k[:]...)
		b = append(append(b, crc(b)...), body...)
		return append(b, crc(b)...)
	}
	unknown := []byte{9, 0, 3, 0, 0, 0, 9, 9, 9}
	logps := []byte{1, 0, 4, 0, 0, 0, 0, 0, 0x80, 0xbf} // -1
	empty := []byte{1, 0, 0, 0, 0, 0}
	whole := wholeFile(t, 2)
	for _, tt := range []struct {
		name   string
		record []byte
		want   []float32
	}{
		{"before", build(unknown, logps), []float32{-1}},
		{"behind", build(logps, unknown), []float32{-1}},
		{"alone", build(unknown), nil},
		{"no fields", build(), nil},
		{"empty log-probs", build(empty), nil},
		{"a later record lacks them", append(build(logps), build(unknown)...), []float32{-1}},
	} {
		c := mustOpen(t, write(t, append(slices.Clone(whole), tt.record...)), []Key{k, testKey(0)})
		got, ok, err := logpsOf(c, k)
		if err != nil || ok != (tt.want != nil) || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, %v, %v, want %v", tt.name, got, ok, err, tt.want)
		}
		if n := checkLogps(t, c, 1); n != 1 {
			t.Errorf("%s: the record before it is lost", tt.name)
		}
		if ok {
			continue
		}
		w := mustLock(t, c)
		if err := w.Append(k, []float32{-2}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if got, ok, err := logpsOf(c, k); !ok || err != nil || got[0] != -2 {
			t.Errorf("%s: after writing: got %v, %v, %v", tt.name, got, ok, err)
		}
	}
}

// testEntropies tell sequence i apart from all others, too.
func testEntropies(i int) []float32 {
	entropies := testLogps(i)
	for t := range entropies {
		entropies[t] = 1 - entropies[t]
	}
	return entropies
}

// A run that wants entropies computes sequences without them again, beside their log-probs; whoever wants log-probs alone reads either.
func TestEntropies(t *testing.T) {
	const n = 3
	whole := wholeFile(t, n)
	dir := write(t, whole)
	open := func(further ...Field) *Cache {
		t.Helper()
		c, err := Open(dir, testFP, testFacts, testKeys(n), further...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := open(Entropies)
	if got := c.Missing(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("records without entropies: Missing() = %v, want all", got)
	}
	if got, ok, err := c.Read(testKey(1)); ok || err != nil {
		t.Errorf("a record without entropies: %v, %v, %v, want none", got, ok, err)
	}
	w := mustLock(t, c)
	for _, i := range []int{2, 0, 2} {
		if err := w.Append(testKey(i), testLogps(i), testEntropies(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Append(testKey(1), testLogps(1), []float32{1, float32(math.NaN())}); err == nil || !strings.Contains(err.Error(), "entropy 1 of 2 of key") {
		t.Errorf("an entropy that is NaN: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Cache{c, open(Entropies)} {
		if got := c.Missing(); !slices.Equal(got, []int{1}) {
			t.Errorf("Missing() = %v, want [1]", got)
		}
		for _, i := range []int{0, 2} {
			if got, ok, err := c.Read(testKey(i)); !ok || err != nil || len(got) != 2 || !slices.Equal(got[0], testLogps(i)) || !slices.Equal(got[1], testEntropies(i)) {
				t.Errorf("sequence %d: %v, %v, %v, want log-probs and entropies", i, got, ok, err)
			}
		}
	}
	if have := checkLogps(t, open(), n); have != n {
		t.Errorf("log-probs alone: %d sequences, want %d", have, n)
	}
	want := Info{Path: c.Path(), Fingerprint: testFP, Facts: testFacts, Records: n + 2, Tokens: 1 + 2 + 3 + 1 + 3, Entropies: 1 + 3, Bytes: int64(len(whole) + recordSize(1, 2) + recordSize(3, 2))}
	if infos, err := Inspect(dir); err != nil || infos[0] != want {
		t.Errorf("Inspect: %+v, %v, want %+v", infos, err, want)
	}
}

// Records that have a part of what is asked for, or have it apart, count as missing; the last that has all counts.
func TestPartialRecords(t *testing.T) {
	k := testKey(5)
	entropies := func(v float32) []byte { return appendRecord(nil, k, []Field{Entropies}, [][]float32{{v}}) }
	logps := func(v float32) []byte { return appendRecord(nil, k, []Field{Logps}, [][]float32{{v}}) }
	both := func(v float32) []byte { return appendRecord(nil, k, []Field{Entropies, Logps}, [][]float32{{-v}, {v}}) }
	whole := wholeFile(t, 1)
	for _, tt := range []struct {
		name       string
		records    [][]byte
		logps, all [][]float32 // with log-probs alone asked for, and with entropies too
	}{
		{"entropies alone", [][]byte{entropies(1)}, nil, nil},
		{"in two records", [][]byte{logps(-1), entropies(1)}, [][]float32{{-1}}, nil},
		{"both", [][]byte{both(-2)}, [][]float32{{-2}}, [][]float32{{-2}, {2}}},
		{"both, and more later", [][]byte{both(-2), logps(-3), entropies(4)}, [][]float32{{-3}}, [][]float32{{-2}, {2}}},
		{"both twice", [][]byte{both(-2), both(-3)}, [][]float32{{-3}}, [][]float32{{-3}, {3}}},
	} {
		dir := write(t, slices.Concat(whole, bytes.Join(tt.records, nil)))
		for _, asked := range []struct {
			further []Field
			want    [][]float32
		}{{nil, tt.logps}, {[]Field{Entropies}, tt.all}} {
			c, err := Open(dir, testFP, testFacts, []Key{k}, asked.further...)
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := c.Read(k)
			if err != nil || ok != (asked.want != nil) || !reflect.DeepEqual(got, asked.want) || ok != (len(c.Missing()) == 0) {
				t.Errorf("%s, besides log-probs %v: %v, %v, %v, missing %v; want %v", tt.name, asked.further, got, ok, err, c.Missing(), asked.want)
			}
			c.Close()
		}
	}
}

func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	first, second := mustOpen(t, dir, testKeys(10)), mustOpen(t, dir, testKeys(10))
	w := mustLock(t, first)
	appendAll(t, w, []int{0, 1, 2})

	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Millisecond)
	defer cancel()
	calls := 0
	if _, err := second.Lock(ctx, func() { calls++ }); err == nil || calls != 1 || ctx.Err() == nil {
		t.Fatalf("while locked: error %v, %d calls of waiting, context %v", err, calls, ctx.Err())
	}

	got := make(chan error)
	waiting := make(chan bool, 2)
	go func() {
		w2, err := second.Lock(context.Background(), func() { waiting <- true })
		if err == nil {
			err = w2.Close()
		}
		got <- err
	}()
	<-waiting
	appendAll(t, w, []int{3})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if got, want := second.Missing(), []int{4, 5, 6, 7, 8, 9}; !slices.Equal(got, want) {
		t.Fatalf("the second writer still misses %v, want %v", got, want)
	}
	fill(t, second)
	fill(t, first)
	if len(first.Missing())+len(second.Missing()) != 0 {
		t.Error("missing:", first.Missing(), second.Missing())
	}
	if b, _ := os.ReadFile(first.Path()); !bytes.Equal(b, wholeFile(t, 10)) {
		t.Error("the file of two writers differs from that of one")
	}
}

// Memory for opening does not grow with the file: 20,000 records of which one is wanted.
func TestOpenMemory(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, nil)
	w := mustLock(t, c)
	logps := make([]float32, 100)
	for i := range 20000 {
		if err := w.Append(testKey(i), logps); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	mustOpen(t, dir, []Key{testKey(19999)})
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 2<<20 {
		t.Errorf("opening allocated %d bytes in all, want at most 2 MiB", got)
	}
}

func TestInspect(t *testing.T) {
	whole := wholeFile(t, 3)
	dir := write(t, whole[:len(whole)-5])
	if err := os.WriteFile(filepath.Join(dir, "a.refs"), []byte("nonsense"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "b.refs"), whole[:20], 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	infos, err := Inspect(dir)
	if err != nil || len(infos) != 3 {
		t.Fatalf("got %+v, %v, want three files", infos, err)
	}
	if infos[0].Err == nil || infos[0].Bytes != 8 {
		t.Errorf("nonsense: %+v", infos[0])
	}
	if infos[2].Err != nil || infos[2].TornBytes != 20 || infos[2].Records != 0 {
		t.Errorf("cut header: %+v", infos[2])
	}
	if torn := int64(recordSize(3, 1) - 5); infos[1].Err != nil || infos[1].Records != 2 || infos[1].Tokens != 3 || infos[1].TornBytes != torn {
		t.Errorf("torn tail: %+v, want 2 records, 3 tokens, %d torn bytes", infos[1], torn)
	}
	if _, err := Inspect(filepath.Join(dir, "absent")); err == nil {
		t.Error("a folder that does not exist: no error")
	}
}

// writerFailed is the exit code of a writing process that met an error of its own.
const writerFailed = 3

// TestMain is the writing process of TestKill when that has set the variables for it.
func TestMain(m *testing.M) {
	dir := os.Getenv("REFCACHE_TEST_DIR")
	if dir == "" {
		useMemory()
		os.Exit(m.Run())
	}
	sequences, err := strconv.Atoi(os.Getenv("REFCACHE_TEST_SEQUENCES"))
	if err == nil {
		err = writeMissing(dir, sequences)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(writerFailed)
	}
}

// useMemory puts the tests' folders into memory where there is such a place: they write thousands of small files, and on a busy disk
// syncing them takes most of the time.
func useMemory() {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", shm)
	}
}

// writeMissing appends what the cache lacks, syncs every few records and says how many are safe.
func writeMissing(dir string, sequences int) error {
	c, err := Open(dir, testFP, testFacts, testKeys(sequences))
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.Lock(context.Background(), nil)
	if err != nil {
		return err
	}
	for _, i := range c.Missing() {
		if err := w.Append(testKey(i), testLogps(i)); err != nil {
			return err
		}
		if i%3 == 0 {
			if err := w.Sync(); err != nil {
				return err
			}
			fmt.Println("synced", i+1)
		}
	}
	return w.Close()
}

// TestKill kills a writing process again and again; what it leaves is continued, and in the end the file is that of one quiet run.
func TestKill(t *testing.T) {
	const sequences = 20000
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Log("seed", seed)
	kills, finished := 200, false
	if testing.Short() {
		kills = 20
	}
	done, synced := 0, 0
	for ; done < kills && !finished; done++ {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "REFCACHE_TEST_DIR="+dir, fmt.Sprint("REFCACHE_TEST_SEQUENCES=", sequences))
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(3000+rng.IntN(9000))*time.Microsecond, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if cmd.ProcessState.ExitCode() == writerFailed {
			t.Fatalf("the writer failed after %d kills: %s", done, out.String())
		}
		finished = err == nil
		// What the writer said was synced must be there.
		for line := range strings.Lines(out.String()) {
			fmt.Sscanf(line, "synced %d\n", &synced)
		}
		c := mustOpen(t, dir, testKeys(sequences))
		if have := sequences - len(c.Missing()); have < synced {
			t.Fatalf("kill %d: %d sequences on disk, %d were synced", done, have, synced)
		}
		c.Close()
	}
	c := mustOpen(t, dir, testKeys(sequences))
	t.Logf("%d processes; %d sequences left for the last", done, len(c.Missing()))
	fill(t, c)
	checkLogps(t, c, sequences)
	if got, _ := os.ReadFile(c.Path()); !bytes.Equal(got, wholeFile(t, sequences)) {
		t.Error("the file differs from that of an uninterrupted run")
	}
}
