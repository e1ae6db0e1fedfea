package files

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Forget gives back the memory of whole pages in a part of a mapped file that has been read: a model that is loaded does not take its
// size twice. What is read again comes from the file again. Where the system has no way to do it, it does nothing.
func Forget(data []byte) {
	page := uintptr(os.Getpagesize())
	start := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	skip := int(-start % page)
	if n := (len(data) - skip) &^ (int(page) - 1); n > 0 {
		_ = unix.Madvise(data[skip:skip+n], unix.MADV_DONTNEED)
	}
}
