package report

import (
	"os"

	"golang.org/x/sys/windows"
)

// understandsEscapes switches the console's handling of escape sequences on, which consoles before Windows 10 lack.
func understandsEscapes(f *os.File) bool {
	var mode uint32
	h := windows.Handle(f.Fd())
	if windows.GetConsoleMode(h, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
