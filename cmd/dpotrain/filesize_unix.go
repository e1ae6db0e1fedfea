//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// reportFileSize makes a write beyond the limit on the size of files (ulimit -f) an error of that write, where the system's
// signal would end the process with a listing of its goroutines.
func reportFileSize() { signal.Ignore(syscall.SIGXFSZ) }
