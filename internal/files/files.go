// Package files reads files of which nothing is known: at most as much as was expected, or without holding them in memory.
package files

import (
	"fmt"
	"io"
	"os"
)

// Read is the content of a file or pipe of at most limit bytes; more is an error, which names the file as others do.
func Read(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(text)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limit)
	}
	return text, err
}
