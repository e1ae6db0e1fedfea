//go:build unix

package data

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestLoadPipe reads what has no size, and a time that writing changes: a named pipe, into which zcat may write.
func TestLoadPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip(err)
	}
	const n = 10 * batchRows // more than a pipe holds
	written := make(chan error)
	go func() {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		for i := 0; i < n && err == nil; i++ {
			_, err = fmt.Fprintln(w, numbered(i))
		}
		if w != nil {
			w.Close()
		}
		written <- err
	}()
	set, err := loadPairs(path, Options{})
	if err != nil || set.Len() != n {
		t.Errorf("error %v, set %v", err, set)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
