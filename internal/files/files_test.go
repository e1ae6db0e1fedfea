package files

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	for _, size := range []int{0, 9, 10, 11, 100} {
		want := bytes.Repeat([]byte{'x'}, size)
		if err := os.WriteFile(path, want, 0o666); err != nil {
			t.Fatal(err)
		}
		got, err := Read(path, 10)
		if size > 10 {
			if err == nil || !errors.Is(err, ErrTooLarge) || err.Error() != path+": too large: more than 10 bytes" || got != nil {
				t.Errorf("%d bytes: %d, %v", size, len(got), err)
			}
		} else if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %d, %v", size, len(got), err)
		}
	}
	if _, err := Read(path+"b", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Read(filepath.Dir(path), 10); err == nil {
		t.Error("a folder was read")
	}
}

// TestMap: what was given back is read again.
func TestMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	want := make([]byte, 1<<20+5)
	for i := range want {
		want[i] = fmt.Sprint(i)[0]
	}
	if err := os.WriteFile(path, want, 0o666); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Map(f)
	f.Close()
	if err != nil || !bytes.Equal(m, want) {
		t.Fatal("other bytes", err)
	}
	for _, part := range [][]byte{m, m[1:], m[5000:9000], m[:0]} {
		if Forget(part); !bytes.Equal(m, want) {
			t.Error("other bytes")
		}
	}
	if err := m.Unmap(); err != nil || m != nil {
		t.Error(err)
	}
}
