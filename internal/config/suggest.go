package config

import (
	"fmt"
	"math"
	"strings"
)

// suggest is the name or alias of the key that an unknown one was probably meant for: the nearest in letters, else the
// first that has it for a part (epochs: num_train_epochs), else the longest that is a part of it (dpo_beta: beta). It
// is empty if there is none.
func suggest(keys []Key, name string) string {
	name = asWritten(name)
	var known []string
	for _, k := range keys {
		known = append(known, k.Name)
		if k.Alias != "" {
			known = append(known, k.Alias)
		}
	}
	if n := nearest(name, known); n != "" {
		return n
	}
	part := ""
	for _, k := range known {
		if len(name) >= 4 && contains(k, name) {
			return k
		}
		if len(k) > len(part) && contains(name, k) {
			part = k
		}
	}
	return part
}

// DidYouMean is a question about the value that a mistyped one was probably meant for, empty if there is none.
func DidYouMean(value string, known []string) string {
	n := nearest(asWritten(value), known)
	if n == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", n)
}

// asWritten is a mistyped name as ours are written.
func asWritten(name string) string {
	return strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(name))
}

// contains says that part stands in name as whole words.
func contains(name, part string) bool { return strings.Contains("_"+name+"_", "_"+part+"_") }

// nearest is the known name with the fewest edits from a mistyped one, at most one for every three letters; empty if
// there is none. Of equals it is the one that begins alike the longest: beta for bata, not data.
func nearest(name string, known []string) string {
	best, edits, alike := "", math.MaxInt, 0
	for _, k := range known {
		most := max(1, len(k)/3)
		if d := len(name) - len(k); d > most || d < -most {
			continue // also keeps hostile lengths from costing time
		}
		if d, a := distance(name, k), prefix(name, k); d <= most && (d < edits || d == edits && a > alike) {
			best, edits, alike = k, d, a
		}
	}
	return best
}

// prefix is the number of bytes in which a and b begin alike.
func prefix(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// distance is the number of bytes to insert, delete, replace or swap with their neighbour that makes a into b.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(last[j+1]+1, row[j]+1, last[j]+1)
			if a[i] == b[j] {
				row[j+1] = min(row[j+1], last[j])
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
