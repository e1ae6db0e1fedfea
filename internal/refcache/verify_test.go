package refcache

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// starts are the places of the records of a whole file.
func starts(t *testing.T, whole []byte) []int {
	t.Helper()
	var at []int
	for end := headerHead + int(le.Uint32(whole[44:])) + checksumSize; end < len(whole); end += int(le.Uint32(whole[end:])) {
		at = append(at, end)
	}
	return at
}

func verifyOne(t *testing.T, dir string) Verified {
	t.Helper()
	all, err := Verify(context.Background(), dir, nil)
	if err != nil || len(all) != 1 {
		t.Fatalf("%+v, %v, want one file", all, err)
	}
	return all[0]
}

// TestVerify flips each byte of a file in turn: the record that it belongs to, and no other, is found damaged, and those
// behind it are read wherever its length is sound.
func TestVerify(t *testing.T) {
	const n = 6
	whole := wholeFile(t, n)
	at := starts(t, whole)
	dir := write(t, whole)
	if v := verifyOne(t, dir); v.Err != nil || v.Records != n || v.Damaged != nil || v.Unchecked != 0 || v.TornBytes != 0 {
		t.Fatalf("a sound file: %+v", v)
	}
	path := filepath.Join(dir, testFP.String()[:16]+".refs")
	for i := range whole {
		b := slices.Clone(whole)
		b[i] ^= 0x10
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		v := verifyOne(t, dir)
		record := -1
		for r, start := range at {
			if i >= start {
				record = r
			}
		}
		inHead := record >= 0 && i < at[record]+recordHead
		switch {
		case record < 0: // the header
			if v.Err == nil || v.Records != 0 {
				t.Errorf("byte %d, in the header: %+v", i, v)
			}
		case record == n-1 && !inHead: // cannot be told from one that was being written
			if v.Err != nil || v.Records != n-1 || v.TornBytes != int64(len(whole)-at[n-1]) {
				t.Errorf("byte %d, in the last record: %+v", i, v)
			}
		case inHead:
			if v.Err == nil || !slices.Equal(v.Damaged, []int64{int64(at[record])}) || v.Records != record || v.Unchecked != int64(len(whole)-at[record]) {
				t.Errorf("byte %d, in the head of record %d: %+v", i, record, v)
			}
		default:
			if v.Err == nil || !slices.Equal(v.Damaged, []int64{int64(at[record])}) || v.Records != n-1 || v.Unchecked != 0 {
				t.Errorf("byte %d, in record %d: %+v", i, record, v)
			}
		}
	}

	b := slices.Clone(whole) // several at once, and a torn tail
	b[at[1]+recordHead] ^= 1
	b[at[3]+recordHead] ^= 1
	if err := os.WriteFile(path, b[:len(b)-3], 0o666); err != nil {
		t.Fatal(err)
	}
	if v := verifyOne(t, dir); !slices.Equal(v.Damaged, []int64{int64(at[1]), int64(at[3])}) || v.Records != 3 || v.TornBytes != int64(len(whole)-3-at[5]) {
		t.Errorf("two damaged and a torn tail: %+v", v)
	}
}

// TestVerifyContent: what no checksum tells.
func TestVerifyContent(t *testing.T) {
	whole := wholeFile(t, 2)
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	good := appendRecord(nil, testKey(8), []Field{Logps}, [][]float32{{-1}})
	for name, values := range map[string][][]float32{"log-prob of NaN": {{-1, nan}, {1, 1}}, "entropy of NaN": {{-1, -1}, {1, nan}}, "log-prob of -Inf": {{-1, inf}, {1, 1}}} {
		bad := appendRecord(nil, testKey(7), []Field{Logps, Entropies}, values)
		v := verifyOne(t, write(t, slices.Concat(whole, bad, good)))
		if !slices.Equal(v.Damaged, []int64{int64(len(whole))}) || v.Records != 3 {
			t.Errorf("a %s: %+v", name, v)
		}
	}

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "0123456789abcdef.refs"), whole, 0o666); err != nil {
		t.Fatal(err)
	}
	if v := verifyOne(t, dir); v.Err == nil || !strings.Contains(v.Err.Error(), "rename it to "+testFP.String()[:16]+".refs") || v.Records != 2 {
		t.Errorf("another name: %+v", v)
	}
}

// TestVerifyProgress: progress grows to the size of all files, and a context that ends stops the work.
func TestVerifyProgress(t *testing.T) {
	var b []byte
	c := mustOpen(t, t.TempDir(), nil)
	w := mustLock(t, c)
	long := make([]float32, 1<<17)
	for i := range 5 {
		if err := w.Append(testKey(i), long); err != nil {
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
	dir := write(t, b)
	var told []int64
	if _, err := Verify(context.Background(), dir, func(done, total int64) {
		if total != int64(len(b)) {
			t.Errorf("total %d, want %d", total, len(b))
		}
		told = append(told, done)
	}); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(told) || len(told) < 3 || told[len(told)-1] != int64(len(b)) {
		t.Errorf("progress %v, want it to grow to %d", told, len(b))
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls := 0
	_, err = Verify(ctx, dir, func(int64, int64) { calls++; cancel() })
	if !errors.Is(err, context.Canceled) || calls > 2 {
		t.Errorf("error %v after %d calls of progress, want %v after one or two", err, calls, context.Canceled)
	}
	if _, err := Verify(context.Background(), filepath.Join(dir, "absent"), nil); err == nil {
		t.Error("a folder that does not exist: no error")
	}
}
