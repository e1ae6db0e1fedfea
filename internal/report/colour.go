package report

import (
	"io"
	"os"
)

// Colour is one that a terminal knows.
type Colour string

// Colours, and letters that stand back.
const (
	Dim   Colour = "2"
	Red   Colour = "31"
	Green Colour = "32"
	Cyan  Colour = "36"
)

// Paint is a text in a colour.
func (c Colour) Paint(s string) string {
	if s == "" {
		return ""
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// Colours says that what is written to w may have colours: it is a terminal, and the variable NO_COLOR is empty (no-color.org).
func Colours(w io.Writer) bool { return os.Getenv("NO_COLOR") == "" && isTerminal(w) }
