package doctor

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The checks of this file are of a text alone. Each gives the evidence for what it looks for, empty if that is not there.

// quote is what stands around a place in a text.
func quote(text string, at, length int) string {
	const around = 24 // bytes on both sides
	from, to := max(0, at-around), min(len(text), at+length+around)
	for range utf8.UTFMax - 1 { // to whole characters
		if from > 0 && !utf8.RuneStart(text[from]) {
			from--
		}
		if to < len(text) && !utf8.RuneStart(text[to]) {
			to++
		}
	}
	return strconv.Quote(text[from:to])
}

// controlCharacter finds a character that is for machines: a control character other than tab and line ends, or a byte order mark.
func controlCharacter(text string) string {
	for i, r := range text {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 || r == 0xfeff {
			return fmt.Sprintf("U+%04X in %s", r, quote(text, i, utf8.RuneLen(r)))
		}
	}
	return ""
}

// brokenUnicode finds U+FFFD, which programs write for what they could not read, and UTF-8 that was read as Latin-1 or Windows-1252: "Ã©" for é, "â€™"
// for an apostrophe.
func brokenUnicode(text string) string {
	before := rune(0)
	for i, r := range text {
		if r == utf8.RuneError || before == 'Ã' && r >= 0xa0 && r <= 0xbf || before == 'â' && r == '€' {
			return quote(text, i, utf8.RuneLen(r))
		}
		before = r
	}
	return ""
}

// specials are texts of special tokens.
type specials struct {
	texts  []string
	starts string // the bytes with which they begin
}

func newSpecials(texts []string) specials {
	s := specials{}
	for _, text := range texts {
		if text == "" {
			continue
		}
		s.texts = append(s.texts, text)
		if text[0] < utf8.RuneSelf && strings.IndexByte(s.starts, text[0]) < 0 {
			s.starts += text[:1]
		}
	}
	return s
}

// in finds one in a text.
func (s specials) in(text string) string {
	if s.starts != "" && !strings.ContainsAny(text, s.starts) {
		return ""
	}
	for _, special := range s.texts {
		if at := strings.Index(text, special); at >= 0 {
			return fmt.Sprintf("%s in %s", special, quote(text, at, len(special)))
		}
	}
	return ""
}

// templated finds that a text begins as the chat template begins a message, or has both of its headers.
func templated(text, user, assistant string) string {
	const short = 4 // bytes of a header that may well be chance
	if len(user) < short || len(assistant) < short {
		return ""
	}
	trimmed := strings.TrimSpace(text)
	for _, header := range []string{user, assistant} {
		if strings.HasPrefix(trimmed, header) {
			return quote(trimmed, 0, len(header))
		}
	}
	if at := strings.Index(text, assistant); at >= 0 && strings.Contains(text, user) {
		return quote(text, at, len(assistant))
	}
	return ""
}

// blank says that there is text, and all of it is white space.
func blank(texts []string) bool {
	all := strings.Join(texts, "")
	return all != "" && strings.TrimSpace(all) == ""
}

// scripts are those that are told apart. Han and the Japanese syllabaries count as one, for Japanese has both.
var scripts = []struct {
	name   string
	tables []*unicode.RangeTable
}{
	{"Latin", []*unicode.RangeTable{unicode.Latin}},
	{"Cyrillic", []*unicode.RangeTable{unicode.Cyrillic}},
	{"Han or Kana", []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana}},
	{"Hangul", []*unicode.RangeTable{unicode.Hangul}},
	{"Arabic", []*unicode.RangeTable{unicode.Arabic}},
	{"Hebrew", []*unicode.RangeTable{unicode.Hebrew}},
	{"Greek", []*unicode.RangeTable{unicode.Greek}},
	{"Devanagari", []*unicode.RangeTable{unicode.Devanagari}},
	{"Bengali", []*unicode.RangeTable{unicode.Bengali}},
	{"Tamil", []*unicode.RangeTable{unicode.Tamil}},
	{"Thai", []*unicode.RangeTable{unicode.Thai}},
}

// script is the one that most letters of texts have; empty where there are few letters, or none has a clear majority.
func script(texts []string) string {
	const (
		few  = 12  // letters that say nothing
		most = 0.7 // of all letters
	)
	counts := make([]int, len(scripts))
	letters := 0
	for _, text := range texts {
		for _, r := range text {
			switch {
			case r < utf8.RuneSelf:
				if 'a' <= r|' ' && r|' ' <= 'z' {
					counts[0]++
					letters++
				}
			case unicode.IsLetter(r):
				letters++
				for i, s := range scripts {
					if unicode.In(r, s.tables...) {
						counts[i]++
						break
					}
				}
			}
		}
	}
	for i, n := range counts {
		if letters >= few && float64(n) >= most*float64(letters) {
			return scripts[i].name
		}
	}
	return ""
}

// scriptSwitch finds that two completions are written in different scripts.
func scriptSwitch(chosen, rejected []string) string {
	a, b := script(chosen), script(rejected)
	if a == b || a == "" || b == "" {
		return ""
	}
	return fmt.Sprintf("chosen %s, rejected %s", a, b)
}
