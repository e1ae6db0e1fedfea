package tokenizer

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// unigramPieces is a Unigram tokenizer whose pieces are
//
//	0 <unk>   1 ▁ -2   2 a -1   3 b -1   4 ab -1.5   5 ba -1.5   6 é -1   7.. <0x00>.. -9, if withBytes
func unigramPieces(withBytes bool) fixture {
	vocab := []any{}
	for _, p := range []scoredPiece{{"<unk>", 0}, {"▁", -2}, {"a", -1}, {"b", -1}, {"ab", -1.5}, {"ba", -1.5}, {"é", -1}} {
		vocab = append(vocab, []any{p.text, p.score})
	}
	if withBytes {
		for b := range 256 {
			vocab = append(vocab, []any{byteToken(byte(b)), -9})
		}
	}
	return fixture{
		main: object{
			"added_tokens":  []object{},
			"pre_tokenizer": object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"},
			"decoder":       object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"},
			"model":         object{"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": withBytes},
		},
		settings: object{},
	}
}

func TestUnigram(t *testing.T) {
	checkEncode(t, unigramPieces(false).load(t), false, []encodeCase{
		{"ab", []int32{4}, []Offset{{0, 2}}},
		// a ba: -2.5, ab a: -2.5, a b a: -3. Of the same sums the way whose last piece begins first stays
		{"aba", []int32{2, 5}, []Offset{{0, 1}, {1, 3}}},
		{"abab", []int32{4, 4}, []Offset{{0, 2}, {2, 4}}},
		{"a b", []int32{2, 1, 3}, []Offset{{0, 1}, {1, 2}, {2, 3}}},
		{"aéxyz b", []int32{2, 6, 0, 1, 3}, []Offset{{0, 1}, {1, 3}, {3, 6}, {6, 7}, {7, 8}}}, // unknown ones are one
		{"x<unk>y", []int32{0}, []Offset{{0, 7}}},
	})
	tok := unigramPieces(true).load(t)
	checkEncode(t, tok, false, []encodeCase{
		{"a€", []int32{2, 7 + 0xE2, 7 + 0x82, 7 + 0xAC}, []Offset{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
		{"<unk>", []int32{0}, []Offset{{0, 5}}},
	})
	if got := tok.Decode([]int32{2, 1, 5}, false); got != "a ba" {
		t.Errorf("decoded %q", got)
	}
}

func TestUnigramErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(fixture)
		want   string
	}{
		{"no unknown id", func(f fixture) { delete(f.model(), "unk_id") }, "tokenizer.json: model.unk_id: missing; it is the id of what the vocabulary does not have"},
		{"unknown id", func(f fixture) { f.model()["unk_id"] = 7 }, "tokenizer.json: model: unknown id 7 is not in 0..6"},
		{"no pieces", func(f fixture) { f.model()["vocab"] = []any{} }, "tokenizer.json: model: unknown id 0 is not in 0..-1"},
		{"a triple", func(f fixture) { f.model()["vocab"] = []any{[]any{"a", 1, 2}} }, "tokenizer.json: model.vocab: not a text and a score"},
		{"an object", func(f fixture) { f.model()["vocab"] = object{"a": 1} }, "tokenizer.json: model.vocab: an object where a list belongs; get the file again"},
		{"twice", func(f fixture) { f.model()["vocab"] = []any{[]any{"a", 1}, []any{"a", 2}} }, `tokenizer.json: model.vocab: "a": id 1, but it already has id 0`},
		{"long", func(f fixture) { f.model()["vocab"] = []any{[]any{strings.Repeat("a", 600), 1}} }, "tokenizer.json: model: piece 0: 600 bytes, more than 512"},
		{"bytes", func(f fixture) { f.main["pre_tokenizer"] = object{"type": "ByteLevel"} }, "tokenizer.json: pre_tokenizer: ByteLevel is not supported for a Unigram model"},
	} {
		f := unigramPieces(false)
		c.change(f)
		if _, err := Load(f.dir(t)); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: error %v\nwant %s", c.name, err, c.want)
		}
	}
}

// TestUnigramIsBest: no other way to cut a word has a larger sum, tried out for all words of up to 8 letters.
func TestUnigramIsBest(t *testing.T) {
	pieces := []scoredPiece{{"", 0}, {"a", -1}, {"b", -2.25}, {"aa", -1.75}, {"ab", -3}, {"bba", -4}, {"abab", -5.5}, {"baa", -3.5}}
	m, err := newUnigram(pieces, 0)
	if err != nil {
		t.Fatal(err)
	}
	var bestSum func(word string) float64
	bestSum = func(word string) float64 {
		if word == "" {
			return 0
		}
		sum := math.Inf(-1)
		for _, p := range pieces[1:] {
			if rest, ok := strings.CutPrefix(word, p.text); ok {
				sum = max(sum, p.score+bestSum(rest))
			}
		}
		return sum
	}
	for length := 1; length <= 8; length++ {
		for bits := range 1 << length {
			var word strings.Builder
			for i := range length {
				word.WriteByte("ab"[bits>>i&1])
			}
			sum := 0.0
			m.encode(word.String(), func(p part) { sum += pieces[p.id].score })
			if want := bestSum(word.String()); math.Abs(sum-want) > 1e-9 {
				t.Errorf("%s: sum %g, want %g", word.String(), sum, want)
			}
		}
	}
}

func TestTrie(t *testing.T) {
	tree := newTrie([]string{"a", "abc", "ab", "b", "\xff", "", "ab"})
	for text, want := range map[string][]int32{"abcd": {0, 2, 1}, "ac": {0}, "b": {3}, "\xff\xff": {4}, "x": nil, "": nil} {
		var got []int32
		for node, i := int32(trieRoot), 0; i < len(text); i++ {
			if node = tree.next(node, text[i]); node == none {
				break
			}
			if id := tree.nodes[node].id; id != none {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q begins with %v, want %v", text, got, want)
		}
	}
}

// TestLongUnigramWord: cutting must not be quadratic. 400,000 bytes take about 0.1 s.
func TestLongUnigramWord(t *testing.T) {
	start := time.Now()
	tok := unigramPieces(false).load(t)
	if enc, err := tok.Encode(strings.Repeat("ab", 200_000), false); err != nil || len(enc.IDs) != 200_000 {
		t.Errorf("%d ids, %v", len(enc.IDs), err)
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

// TestUnigramUnknown: a rune is unknown unless it is a piece by itself, though a longer piece may begin with it.
func TestUnigramUnknown(t *testing.T) {
	m, err := newUnigram([]scoredPiece{{"", 0}, {"xy", -1}, {"z", -1}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []part
	m.encode("xzxy", func(p part) { got = append(got, p) })
	if want := []part{{0, 0, 1}, {2, 1, 2}, {1, 2, 4}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestParseScore: where serde_json and the nearest number differ, serde_json's counts.
func TestParseScore(t *testing.T) {
	for text, want := range map[string]float64{
		"-3.8572980714547267":        -3.8572980714547263, // the nearest is -3.8572980714547267
		"-7.3467927461464795":        -7.34679274614648,
		"-1.5":                       -1.5,
		"2":                          2,
		"0":                          0,
		"-1.25e2":                    -125,
		"1E-3":                       0.001,
		"123456789012345678901234.5": 1.2345678901234567e23, // digits beyond 64 bits are left out
		"1e-400":                     0,
	} {
		if got, ok := parseScore(text); !ok || got != want {
			t.Errorf("%s: %.17g, %v, want %.17g", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "1e400", "1e999999999999", "1e308000"} {
		if got, ok := parseScore(text); ok {
			t.Errorf("%q: %g, want none", text, got)
		}
	}
}
