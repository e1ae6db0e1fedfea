//go:build !noasm && !amxemulated

package cpu

import (
	"sync"

	xcpu "golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// haveTiles says that the CPU has the tiles of AMX and products of bf16 on them, that the operating system saves their registers, and that it lets this
// process use them. Linux wants to be asked: eight more KiB for each thread are not for every program.
var haveTiles = sync.OnceValue(func() bool {
	const (
		savesTiles  = 1<<17 | 1<<18 // bits of XCR0: configuration and data
		askFor      = 0x1023        // ARCH_REQ_XCOMP_PERM
		dataOfTiles = 18            // XFEATURE_XTILEDATA
	)
	if !xcpu.X86.HasAMXTile || !xcpu.X86.HasAMXBF16 || enabledState()&savesTiles != savesTiles {
		return false
	}
	_, _, err := unix.Syscall(unix.SYS_ARCH_PRCTL, askFor, dataOfTiles, 0)
	return err == 0
})
