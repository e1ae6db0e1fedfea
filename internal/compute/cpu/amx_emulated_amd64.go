//go:build !noasm && amxemulated

package cpu

// haveTiles: this build runs under scripts/test-amx, which does what the CPU lacks.
func haveTiles() bool { return true }
