package cpu

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the size of a huge page in bytes, on every machine that Go runs on but a few.
const hugePage = 2 << 20

// askForHugePages tells the kernel to back memory with huge pages, which it otherwise does not where that is left to
// programs: products of large matrices run 4 % faster with them. What it answers makes no difference to results.
func askForHugePages(x []float32) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(x)))
	skip := int(-start & (hugePage - 1))
	if n := (4*len(x) - skip) &^ (hugePage - 1); n > 0 {
		_ = unix.Madvise(unsafe.Slice((*byte)(unsafe.Pointer(&x[skip/4])), n), unix.MADV_HUGEPAGE)
	}
}
