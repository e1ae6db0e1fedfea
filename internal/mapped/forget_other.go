//go:build !linux

package mapped

// Forget does nothing here.
func Forget([]byte) {}
