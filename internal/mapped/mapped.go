// Package mapped has the bytes of files that are not held in memory: what is read of them comes from the file, and its memory can be given
// back at any time.
package mapped

import (
	"os"

	"github.com/edsrzf/mmap-go"
)

// Bytes are those of a file, for reading alone.
type Bytes []byte

// Map maps a file, which may be closed then. It must not become shorter while it is mapped; writers put another in its place instead.
// An empty file is an error.
func Map(f *os.File) (Bytes, error) {
	b, err := mmap.Map(f, mmap.RDONLY, 0)
	return Bytes(b), err
}

// Unmap gives the bytes back; nothing of them is to be used any more.
func (b *Bytes) Unmap() error { return (*mmap.MMap)(b).Unmap() }
