package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Count writes a number with commas between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Bytes writes a size with a unit of 1024.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	f, u := float64(n)/1024, 0
	for f >= 1023.95 && u < len(units)-1 { // it would be rounded to 1024.0
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// Duration writes a time in its two largest units; below a minute in tenths of a second.
func Duration(d time.Duration) string {
	if d = d.Round(time.Second / 10); d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	if d = d.Round(time.Second); d < time.Hour {
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
}

// Table writes rows in columns, each row with a cell for each header. A column of numbers, with units or without, is set to
// the right; an empty cell or "-" fits any column.
func Table(w io.Writer, header []string, rows [][]string) {
	lines := make([][]string, 0, 1+len(rows))
	for _, r := range append([][]string{header}, rows...) {
		line := make([]string, len(header))
		for j := range line {
			line[j] = printable(r[j])
		}
		lines = append(lines, line)
	}
	widths, right := make([]int, len(header)), make([]bool, len(header))
	for j := range header {
		numbers, others := 0, 0
		for i, line := range lines {
			widths[j] = max(widths[j], columnsOf(line[j]))
			switch {
			case i == 0 || line[j] == "" || line[j] == "-":
			case isNumber(line[j]):
				numbers++
			default:
				others++
			}
		}
		right[j] = numbers > 0 && others == 0
	}
	var text strings.Builder
	for _, line := range lines {
		var b strings.Builder
		for j, cell := range line {
			pad := strings.Repeat(" ", widths[j]-columnsOf(cell))
			if right[j] {
				b.WriteString(pad + cell + "  ")
			} else {
				b.WriteString(cell + pad + "  ")
			}
		}
		text.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	io.WriteString(w, text.String())
}

// Line is a text in one line of at most so many columns, to be shown between others: white space of any kind is one blank,
// and what the terminal must not see is a question mark.
func Line(s string, columns int) string {
	return cut(printable(strings.Join(strings.Fields(s), " ")), columns)
}

// isNumber says that the first word of a cell is a number as Count, Bytes and Metric write them. A hexadecimal fingerprint
// that happens to begin with a digit is none.
func isNumber(cell string) bool {
	word, _, _ := strings.Cut(cell, " ")
	_, err := strconv.ParseFloat(strings.ReplaceAll(word, ",", ""), 64)
	return err == nil
}

// printable has "?" for what would move the cursor or change the terminal, and for bytes that are not UTF-8: texts may come
// from files that we did not write.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			return r
		}
		return '?'
	}, s)
}

// printableLines is printable but for the ends of lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = printable(line)
	}
	return strings.Join(lines, "\n")
}

// columnsOf is the width of a printable text on a terminal: two columns from Hangul on, where the wide scripts are. It may
// be too much, for narrow signs above, but not too little.
func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// cut shortens a text to at most n columns, with a mark where something is missing.
func cut(s string, n int) string {
	if columnsOf(s) <= n {
		return s
	}
	n-- // the mark
	for i, r := range s {
		if n -= runeColumns(r); n < 0 {
			return s[:i] + "~"
		}
	}
	return s
}
