package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
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
	units := []string{"KiB", "MiB", "GiB", "TiB"}
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f, u = f/1024, u+1
	}
	return fmt.Sprintf("%.1f %s", f, units[u])
}

// Duration writes a time in its two largest units.
func Duration(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Table writes rows in columns. A column whose cells all begin like numbers is set to the right.
func Table(w io.Writer, header []string, rows [][]string) {
	widths, right := make([]int, len(header)), make([]bool, len(header))
	for j, h := range header {
		widths[j], right[j] = utf8.RuneCountInString(h), len(rows) > 0
		for _, r := range rows {
			widths[j] = max(widths[j], utf8.RuneCountInString(r[j]))
			right[j] = right[j] && r[j] != "" && strings.ContainsRune("+-.0123456789", rune(r[j][0]))
		}
	}
	for _, r := range append([][]string{header}, rows...) {
		var line strings.Builder
		for j, cell := range r {
			pad := strings.Repeat(" ", widths[j]-utf8.RuneCountInString(cell))
			if right[j] {
				line.WriteString(pad + cell)
			} else {
				line.WriteString(cell + pad)
			}
			line.WriteString("  ")
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
