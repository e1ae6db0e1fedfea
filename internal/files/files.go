// Package files reads files of which nothing is known: at most as much as was expected, or without holding them in memory.
package files

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrTooLarge is wrapped by the error for more than was expected.
var ErrTooLarge = errors.New("too large")

// Read is the content of a file or pipe of at most limit bytes; more is an error, which names the file as others do.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size := int64(0)
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	tooLarge := fmt.Errorf("%s: %w: more than %d bytes", path, ErrTooLarge, limit)
	if size > limit {
		return nil, tooLarge
	}
	b := bytes.NewBuffer(make([]byte, 0, size+2*bytes.MinRead)) // growing would take several times as much
	if _, err := b.ReadFrom(io.LimitReader(f, limit+1)); err != nil {
		return nil, err
	}
	if int64(b.Len()) > limit {
		return nil, tooLarge
	}
	return b.Bytes(), nil
}
