package plan

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Auto is the memory limit that is found from the machine.
const Auto = "auto"

// units of sizes, in lower case.
var units = map[string]float64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}

// ParseBytes reads a size in memory: 3GiB, 3.5 GB, 800MB or a number of bytes. A letter alone (3G) is an error, for programs differ in what
// it stands for.
func ParseBytes(text string) (int64, error) {
	s := strings.TrimSpace(text)
	end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(s)
	}
	unit, ok := units[strings.ToLower(strings.TrimSpace(s[end:]))]
	n, err := strconv.ParseFloat(s[:end], 64)
	switch letter := strings.ToUpper(strings.TrimSpace(s[end:])); {
	case err == nil && !ok && len(letter) == 1 && strings.Contains("KMGT", letter):
		return 0, fmt.Errorf("%s can mean %sB (1000) or %siB (1024); write one of them", letter, letter, letter)
	case err != nil || !ok:
		return 0, errors.New("want a size such as 3GiB, 3.5GB or 800MB, or a number of bytes")
	case n*unit < 1 || n*unit > math.MaxInt64/2:
		return 0, errors.New("out of range")
	}
	return int64(n * unit), nil
}
