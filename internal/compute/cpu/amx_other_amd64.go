//go:build !linux && !noasm && !amxemulated

package cpu

// haveTiles: elsewhere than on Linux nothing is known of how to ask for AMX.
func haveTiles() bool { return false }
