package tokenizer

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// TestScanners compares the scanners with the patterns they stand for, run by the regular expression engine.
func TestScanners(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	atoms := strings.Split("'s|'ſ|'S|'ll|'LL|'lL|'re|'vE|'x|'|''|a|B|é|中|ﬁ|1|23|½|٣|!|?|…|€|_|\u0301|😀| |  |\t|\n|\r\n|\u00a0|\u3000|\u0085|\u200b|\v", "|")
	rounds := 4000
	if testing.Short() {
		rounds = 400
	}
	for pattern, scan := range scanners {
		re, err := compileRegex(pattern, "pattern", maxInstructions)
		if err != nil {
			t.Fatal(err)
		}
		byScan := scannerMatcher(scan)
		for range rounds {
			var sb strings.Builder
			for range 1 + rng.IntN(12) {
				sb.WriteString(atoms[rng.IntN(len(atoms))])
			}
			text := sb.String()
			want, got := matches(re, text), found(byScan, text)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, pattern %s, text %q: words %v, want %v", seed, pattern, text, got, want)
			}
		}
	}
}

// TestLongSegment compares the normalization of many marks with that of package norm where both must agree, and looks
// for what package norm would insert where they must not.
func TestLongSegment(t *testing.T) {
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, 0))
	starters := []rune("aeEqAoU가각ᄀが\u0915①ﬁ\u212b")
	marks := []rune("\u0301\u0300\u0308\u0323\u0307\u0327\u0344\u0345\u3099\u093c\u1161\u11a8\u0f71\u0f72\u0315")
	for _, form := range []norm.Form{norm.NFC, norm.NFD, norm.NFKC, norm.NFKD} {
		for range 2000 {
			s := []rune{starters[rng.IntN(len(starters))]}
			for range rng.IntN(8) {
				s = append(s, marks[rng.IntN(len(marks))])
			}
			if got, want := (unicodeForm{form}).longSegment(string(s)), form.String(string(s)); got != want {
				t.Fatalf("seed %d, form %d, %+q: %+q, want %+q", seed, form, string(s), got, want)
			}
		}
		text := "xe" + strings.Repeat("\u0323\u0301", 40) + "y"
		got, err := unicodeForm{form}.normalize(span{text: text})
		if err != nil || strings.ContainsRune(got.text, '\u034F') {
			t.Errorf("form %d: %+q, %v", form, got.text, err)
		}
		want := utf8.RuneCountInString(text) // the first mark below joins its e
		if form == norm.NFC || form == norm.NFKC {
			want--
		}
		if n := utf8.RuneCountInString(got.text); n != want {
			t.Errorf("form %d: %d runes, want %d", form, n, want)
		}
	}
}
