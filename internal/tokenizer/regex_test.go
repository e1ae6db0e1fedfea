package tokenizer

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRegex: what Oniguruma 6.9.10 makes of the same patterns and texts, through the Split of tokenizers 0.23.3.
func TestRegex(t *testing.T) {
	for _, c := range []struct{ pattern, text, want string }{
		// order and greed
		{`(a|ab)(c|bcd)`, "abcd", "abcd"},
		{`a|ab`, "ab", "a"},
		{`a+?b`, "aab", "aab"},
		{`<.+?>`, "<a><b>", "<a> <b>"},
		{`a??b`, "ab", "ab"},
		{`a*`, "baac", "aa"},
		// counts
		{`a{2}`, "aaaaa", "aa aa"},
		{`a{2}?b`, "aab b", "aab b"}, // optional, not lazy
		{`a{1,2}?`, "aa", "a a"},
		{`a{2,}`, "aaa a", "aaa"},
		{`a{,2}b`, "aaab b", "aab b"},
		{`a{1,2}+`, "aaaaa", "aaaaa"}, // repeated, not possessive
		{`a{1`, "a{1", "a{1"},
		{`a{0}b`, "ab", "b"},
		{`(?:a{2}){2}`, "aaaaa", "aaaa"},
		// possessive
		{`a++b|a`, "aab aa", "aab a a"},
		{`[ab]?+b`, "bb ab b", "bb ab"},
		{`(?>a+)b`, "aab", "aab"},
		{`a*+b`, "b aab", "b aab"},
		// looks
		{`a(?=b)`, "ab ac", "a"},
		{`a(?!b)`, "ab ac", "a"},
		{`\s+(?!\S)|\s+`, "a   b  ", "\u00a0\u00a0 \u00a0 \u00a0\u00a0"},
		{`(?<=a)b`, "ab bb", "b"},
		{`(?<!a)b`, "bab bb", "b b b"},
		{`\d{1,3}(?=(?:\d{3})*\b)`, "1234567 12", "1 234 567 12"},
		// places
		{`^a`, "ab\nab", "a a"},
		{`a$`, "ba\nba", "a a"},
		{`\Aa|a\z`, "aba\naa", "a a"},
		{`a\Z`, "aa\n", "a"},
		{`\bab\b`, "ab xab ab.", "ab ab"},
		{`\Ba`, "aa ba", "a a"},
		// flags
		{`(?i:s)`, "sSſ", "s S ſ"},
		{`a(?i)b|c`, "aB aC c b", "aB aC"}, // to the end of the group, alternatives included
		{`(?i)a(?-i)b`, "Ab AB", "Ab"},
		{`(?m:a.)b|.c`, "a\nb\nc", "a\nb"},
		// sets
		{`[^(\s|[.,!]b)]+`, "ab|c.d", "a c d"},
		{`[a-z&&[^aeiou]]+`, "hello", "h ll"},
		{`[\p{L}&&\p{Lu}]`, "aBÉ1", "B É"},
		{`[-a]+`, "a-b", "a-"},
		{`[a-c-e]+`, "b-e", "b-e"},
		{`[[:alpha:]_]+`, "ab_1é", "ab_ é"},
		{`[[:^alpha:]]`, "a1", "1"},
		{`\p{^L}|\P{N}`, "1a", "1 a"},
		{`\p{Han}+`, "漢字かな", "漢字"},
		{`\p{Uppercase_Letter}\p{ll}`, "Ab", "Ab"},
		{`\h+`, "1aFg", "1aF"},
		{`[\]\\]+`, `a]\`, `]\`},
		{`\x41\u0042\x{43}`, "ABC", "ABC"},
		{`\w+`, "é_1²Ⅷ३", "é_1²Ⅷ३"},
		{`[\w]+`, "é_1²Ⅷ३", "é_1 Ⅷ३"}, // in a class without the superscripts and fractions of Latin-1
		{`(?<name>a)(b)`, "ab", "ab"},
	} {
		re, err := compileRegex(c.pattern, "pattern", maxInstructions)
		if err != nil {
			t.Error(err)
			continue
		}
		var words []string
		for _, m := range matches(re, c.text) {
			if m.end > m.start {
				words = append(words, strings.ReplaceAll(c.text[m.start:m.end], " ", "\u00a0"))
			}
		}
		if got := strings.Join(words, " "); got != c.want {
			t.Errorf("%s in %q: %q, want %q", c.pattern, c.text, got, c.want)
		}
	}
	re, err := compileRegex(`(?=b)|a`, "pattern", maxInstructions)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := matches(re, "abb"), []match{{0, 1}, {2, 2}}; !slices.Equal(got, want) {
		t.Errorf("empty matches at %v, want %v: none touches the one before", got, want)
	}
	if re, err = compileRegex(`^`, "pattern", maxInstructions); err != nil {
		t.Fatal(err)
	}
	if got, want := matches(re, "a\nb\n"), []match{{0, 0}, {2, 2}}; !slices.Equal(got, want) {
		t.Errorf("lines begin at %v, want %v: none behind the last line feed", got, want)
	}
}

type match struct{ start, end int }

func matches(re *regex, text string) []match {
	return found(func(s string, f func(start, end int)) { re.find(s, false, f) }, text)
}

func found(find matcher, text string) []match {
	var out []match
	find(text, func(start, end int) { out = append(out, match{start, end}) })
	return out
}

func TestRegexErrors(t *testing.T) {
	for pattern, want := range map[string]string{
		"(a":            `p: a ( without its ) in "(a"`,
		"a)":            `p: a ) without its ( in "a)"`,
		"[a":            `p: a [ without its ] in "[a"`,
		"[]":            `p: an empty class in "[]"`,
		"*a":            `p: nothing in front of * to repeat in "*a"`,
		`\`:             `p: a \ at the end in "\\"`,
		`(a)\1`:         `p: \1 is not supported in "(a)\\1"`,
		`\R`:            `p: \R is not supported in "\\R"`,
		`\p{Klingon}`:   `p: "Klingon" is no known property in "\\p{Klingon}"`,
		`\pL`:           `p: \p without {...} in "\\pL"`,
		`\x{110000}`:    `p: \x without the code of a character in "\\x{110000}"`,
		"[b-a]":         `p: a range that does not end behind its start in "[b-a]"`,
		"[[:odd:]]":     `p: "odd" is no class such as [:alpha:] in "[[:odd:]]"`,
		"(?s).":         `p: a group "(?s" is not supported in "(?s)."`,
		"(?<=ab)c":      `p: a look behind at more than a single character is not supported in "(?<=ab)c"`,
		"(?:ab)++":      `p: a possessive repeat of more than a single character is not supported in "(?:ab)++"`,
		"(?>ab)":        `p: a group (?>...) of more than a repeated character is not supported in "(?>ab)"`,
		"(?:a*)*":       `p: a part that may be empty is repeated without end, which is not supported in "(?:a*)*"`,
		"a{3,2}":        `p: {3,2} repeats in "a{3,2}"`,
		"a{1001}":       `p: more than 1000 repeats in "a{1001}"`,
		"(?:a{99}){99}": `p: more than 2048 steps in "(?:a{99}){99}"`,
		"a\xff":         `p: not UTF-8 in "a\xff"`,
	} {
		if _, err := compileRegex(pattern, "p", maxInstructions); err == nil || err.Error() != want {
			t.Errorf("%q: error %v\nwant %s", pattern, err, want)
		}
	}
}

// TestRegexIsLinear: patterns that make a backtracking engine explode take time in proportion to the text. A million
// runes take some 0.1 s each.
func TestRegexIsLinear(t *testing.T) {
	const n = 1_000_000
	start := time.Now()
	for _, c := range []struct{ pattern, unit string }{
		{`(a+)+$`, "a"},
		{`(a|a)+b`, "a"},
		{`(?:a|aa)+c`, "a"},
		{`a*a*a*a*a*b`, "a"},
		{`(?=(a+)+b)a`, "a"},
		{`\d{1,3}(?=(?:\d{3})*\b)`, "7"},
		{`\s*[\r\n]+x`, " "},
		{`.*.*=.*`, "x"},
		{`a{0,500}a{0,500}b`, "a"},
		{`(?:(?:(?:(?:){999}){999}){999}){999}`, ""},
	} {
		re, err := compileRegex(c.pattern, "pattern", maxInstructions)
		if err != nil {
			t.Fatal(err)
		}
		size := n
		if strings.Contains(c.pattern, "500") { // a program of 1,000 steps
			size /= 20
		}
		matches(re, strings.Repeat(c.unit, size)+"!")
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzRegex(f *testing.F) {
	for pattern := range scanners {
		f.Add(pattern, "it's 1234  a\n b")
	}
	f.Add(`(?i:a[^\s\p{L}]{2,3}?|(?<!x)b++)\B(?=c)`, "abc")
	f.Add(`[a-z&&[^aeiou]]|[[:upper:]]\x{41}`, "hEA")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		re, err := compileRegex(pattern, "pattern", maxInstructions)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("not one line: %q", err)
			}
			return
		}
		text = strings.ToValidUTF8(text, "")
		at := 0
		for _, m := range matches(re, text) {
			if m.start < at || m.end < m.start || m.end > len(text) {
				t.Fatalf("match %v behind %d in %d bytes", m, at, len(text))
			}
			at = m.end
		}
	})
}
