package tokenizer

import "unicode"

// tokenizers 0.23 knows Unicode in several versions: 17 in Digits, cases and single words, 16 in regular expressions, 9 in the
// normalization forms and in StripAccents, 8 in Punctuation. Package unicode of Go 1.26 has 15. laterunicode.go has what is
// different, as found by asking tokenizers about every rune (scripts/check-tokenizers --runes); with another version of Go or of tokenizers
// TestRunes fails and says so.

// difference is what a set of tokenizers has more and less than that of package unicode.
type difference struct{ more, less runeSet }

// has says that r is in the set of tokenizers; is says that it is in that of package unicode.
func (d difference) has(r rune, is bool) bool {
	if is {
		return !d.less.has(r)
	}
	return d.more.has(r)
}

func (d difference) apply(s runeSet) runeSet {
	return s.union(d.more).intersect(d.less.negate())
}

// tableOf is package unicode's set of a category, script or property; nil if it knows none of that name.
func tableOf(name string) *unicode.RangeTable {
	for _, group := range []map[string]*unicode.RangeTable{unicode.Categories, unicode.Scripts, unicode.Properties} {
		if t := group[name]; t != nil {
			return t
		}
	}
	return nil
}

// namedSet is the set of a category, script or property in regular expressions.
func namedSet(name string) runeSet {
	var s runeSet
	if t := tableOf(name); t != nil {
		s = tableSet(t)
	}
	if d, ok := patternDifferences[name]; ok {
		s = d.apply(s)
	}
	return s
}

var (
	letters = patternDifferences["L"]
	numbers = patternDifferences["N"]
)

// isLetter is \p{L} of a pattern.
func isLetter(r rune) bool { return letters.has(r, unicode.IsLetter(r)) }

// isNumber is \p{N} of a pattern.
func isNumber(r rune) bool { return numbers.has(r, unicode.IsNumber(r)) }

// isDigit says what Digits cuts at.
func isDigit(r rune) bool { return digitDifference.has(r, unicode.IsNumber(r)) }

// isWord is \w of Unicode's Technical Standard 18, by which Whitespace and single words go.
func isWord(r rune) bool {
	return wordDifference.has(r, unicode.In(r, unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic, unicode.Join_Control))
}

// isAccent says what StripAccents takes away.
func isAccent(r rune) bool { return accentDifference.has(r, unicode.IsMark(r)) }

// isPunctuation says what Punctuation cuts at: the symbols of ASCII, too.
func isPunctuation(r rune) bool {
	if r < unicode.MaxASCII {
		return unicode.IsPunct(r) || unicode.IsSymbol(r)
	}
	return punctuationDifference.has(r, unicode.IsPunct(r))
}

// lowerCase is what Lowercase makes of a rune by itself: a sigma at the end of a word is no exception, as in Rust's char::to_lowercase.
func lowerCase(r rune) string {
	if s, ok := lowerDifferences[r]; ok {
		return s
	}
	return string(unicode.ToLower(r))
}

// eachFold calls visit for the other cases that (?i) takes for r.
func eachFold(r rune, visit func(rune)) {
	if folds, ok := foldDifferences[r]; ok {
		for _, f := range folds {
			if f != r {
				visit(f)
			}
		}
		return
	}
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		visit(f)
	}
}

// laterMarks are marks and composed characters of Unicode 10 to 15: the normalization forms neither decompose nor
// move them.
var laterMarks = runeSet{
	0x07FD, 0x07FD, 0x0898, 0x089F, 0x08CA, 0x08D3, 0x09FE, 0x09FE, 0x0AFA, 0x0AFF, 0x0B55, 0x0B55, 0x0C04, 0x0C04, 0x0C3C,
	0x0C3C, 0x0CF3, 0x0CF3, 0x0D00, 0x0D00, 0x0D3B, 0x0D3C, 0x0D81, 0x0D81, 0x0EBA, 0x0EBA, 0x0ECE, 0x0ECE, 0x1715, 0x1715,
	0x180F, 0x180F, 0x1ABF, 0x1ACE, 0x1CF7, 0x1CF7, 0x1DF6, 0x1DFA, 0x32FF, 0x32FF, 0xA7F2, 0xA7F4, 0xA82C, 0xA82C, 0xA8FF,
	0xA8FF, 0xAB69, 0xAB69, 0x10781, 0x10785, 0x10787, 0x107B0, 0x107B2, 0x107BA, 0x10D24, 0x10D27, 0x10EAB, 0x10EAC,
	0x10EFD, 0x10EFF, 0x10F46, 0x10F50, 0x10F82, 0x10F85, 0x11070, 0x11070, 0x11073, 0x11074, 0x110C2, 0x110C2, 0x11145,
	0x11146, 0x111C9, 0x111C9, 0x111CE, 0x111CF, 0x11241, 0x11241, 0x1133B, 0x1133B, 0x1145E, 0x1145E, 0x1182C, 0x1183A,
	0x11930, 0x11935, 0x11937, 0x11938, 0x1193B, 0x1193E, 0x11940, 0x11940, 0x11942, 0x11943, 0x119D1, 0x119D7, 0x119DA,
	0x119E0, 0x119E4, 0x119E4, 0x11A01, 0x11A0A, 0x11A33, 0x11A39, 0x11A3B, 0x11A3E, 0x11A47, 0x11A47, 0x11A51, 0x11A5B,
	0x11A8A, 0x11A99, 0x11D31, 0x11D36, 0x11D3A, 0x11D3A, 0x11D3C, 0x11D3D, 0x11D3F, 0x11D45, 0x11D47, 0x11D47, 0x11D8A,
	0x11D8E, 0x11D90, 0x11D91, 0x11D93, 0x11D97, 0x11EF3, 0x11EF6, 0x11F00, 0x11F01, 0x11F03, 0x11F03, 0x11F34, 0x11F3A,
	0x11F3E, 0x11F42, 0x13440, 0x13440, 0x13447, 0x13455, 0x16F4F, 0x16F4F, 0x16F7F, 0x16F87, 0x16FE4, 0x16FE4, 0x16FF0,
	0x16FF1, 0x1CF00, 0x1CF2D, 0x1CF30, 0x1CF46, 0x1E030, 0x1E06D, 0x1E08F, 0x1E08F, 0x1E130, 0x1E136, 0x1E2AE, 0x1E2AE,
	0x1E2EC, 0x1E2EF, 0x1E4EC, 0x1E4EF, 0x1F16C, 0x1F16C, 0x1FBF0, 0x1FBF9,
}
