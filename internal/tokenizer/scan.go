package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The split patterns of the common models, which say what a word is. The scanners below find the same words by hand:
// a regular expression engine with look-ahead needs two to three times as long for the whole of Encode.
const (
	gpt2Pattern  = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	llama3Prefix = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|`
	llama3Suffix = `| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

	llama3Pattern = llama3Prefix + `\p{N}{1,3}` + llama3Suffix
	qwen2Pattern  = llama3Prefix + `\p{N}` + llama3Suffix
)

// scanners maps a pattern to a function that returns the length of the first word of a text that is not empty.
var scanners = map[string]func(string) int{
	gpt2Pattern:   gpt2Word,
	llama3Pattern: func(s string) int { return llama3Word(s, 3) },
	qwen2Pattern:  func(s string) int { return llama3Word(s, 1) },
}

// class is what a pattern can say of a rune.
type class uint8

const (
	end    class = iota // no rune: the text is over
	letter              // \p{L}
	number              // \p{N}
	space               // \s: White_Space
	other
)

// classAt returns the class and the size of the first rune of s.
func classAt(s string) (class, int) {
	if s == "" {
		return end, 0
	}
	if c := s[0]; c < utf8.RuneSelf {
		switch {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			return letter, 1
		case '0' <= c && c <= '9':
			return number, 1
		case c == ' ' || '\t' <= c && c <= '\r':
			return space, 1
		}
		return other, 1
	}
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case isLetter(r):
		return letter, n
	case isNumber(r):
		return number, n
	case unicode.IsSpace(r):
		return space, n
	}
	return other, n
}

// run returns the length of the runes of class k at the start of s, of at most limit of them.
func run(s string, k class, limit int) int {
	i := 0
	for range limit {
		c, n := classAt(s[i:])
		if c != k {
			break
		}
		i += n
	}
	return i
}

// contraction returns the length of an English ending such as 's or 'll at the start of s, 0 if there is none.
func contraction(s string, foldCase bool) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	if foldCase && strings.HasPrefix(s[1:], "ſ") { // U+017F, the long s, folds to s
		return 1 + len("ſ")
	}
	var low [2]byte
	copy(low[:], s[1:])
	if foldCase {
		for i, c := range low {
			if 'A' <= c && c <= 'Z' {
				low[i] = c + 'a' - 'A'
			}
		}
	}
	switch low[0] {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if low[1] == 'e' {
			return 3
		}
	case 'l':
		if low[1] == 'l' {
			return 3
		}
	}
	return 0
}

// blanks is \s+(?!\S)|\s+ on a text that begins with white space: all of it, but for the last rune before something else,
// unless it is the only one.
func blanks(s string) int {
	e := run(s, space, len(s))
	if e == len(s) {
		return e
	}
	if _, last := utf8.DecodeLastRuneInString(s[:e]); last < e {
		return e - last
	}
	return e
}

// optionalSpace is " ?".
func optionalSpace(s string) int {
	if s[0] == ' ' {
		return 1
	}
	return 0
}

func gpt2Word(s string) int {
	if n := contraction(s, false); n > 0 {
		return n
	}
	i := optionalSpace(s)
	if k, _ := classAt(s[i:]); k == letter || k == number || k == other {
		return i + run(s[i:], k, len(s))
	}
	return blanks(s)
}

func llama3Word(s string, maxDigits int) int {
	if n := contraction(s, true); n > 0 {
		return n
	}
	k, n := classAt(s)
	switch {
	case k == letter:
		return run(s, letter, len(s))
	case k == number:
		return run(s, number, maxDigits)
	case s[0] != '\r' && s[0] != '\n':
		if next, _ := classAt(s[n:]); next == letter {
			return n + run(s[n:], letter, len(s))
		}
	}
	i := optionalSpace(s)
	if k, _ := classAt(s[i:]); k == other {
		i += run(s[i:], other, len(s))
		for i < len(s) && (s[i] == '\r' || s[i] == '\n') {
			i++
		}
		return i
	}
	if e := strings.LastIndexAny(s[:run(s, space, len(s))], "\r\n"); e >= 0 {
		return e + 1
	}
	return blanks(s)
}
