package files

import (
	"os"

	"github.com/edsrzf/mmap-go"
)

// Mapped are the bytes of a file that is not held in memory, for reading alone: what is read of them comes from the file, and its memory can be
// given back at any time.
type Mapped []byte

// Map maps a file, which may be closed then. It must not become shorter while it is mapped; writers put another in its place instead.
// An empty file is an error.
func Map(f *os.File) (Mapped, error) {
	b, err := mmap.Map(f, mmap.RDONLY, 0)
	return Mapped(b), err
}

// Unmap gives the bytes back; nothing of them is to be used any more.
func (b *Mapped) Unmap() error { return (*mmap.MMap)(b).Unmap() }
