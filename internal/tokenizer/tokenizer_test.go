package tokenizer

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dpotrain/internal/testfiles"
)

// vectors are the files of DPOTRAIN_TESTDATA/vectors, with the tokenizer each one is for.
var vectors = map[string]string{
	"gpt-2": "tokenizers/gpt2", "gpt2_more": "tokenizers/gpt2", "qwen2": "tokenizers/qwen3", "qwen3_more": "tokenizers/qwen3",
	"phi-3": "tokenizers/phi-3", "phi-3_more": "tokenizers/phi-3", "starcoder": "tokenizers/starcoder",
	"stories260k": "models/stories260k", "babyllama-105": "models/babyllama-105", "gpt2-stories": "models/gpt2-stories",
}

func TestVectors(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(vectors)) {
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(testfiles.Shared(t, "vectors", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var file struct {
				Cases []struct {
					Text    string
					IDs     []int32
					Decoded *string
				}
			}
			if err := json.Unmarshal(data, &file); err != nil || len(file.Cases) == 0 {
				t.Fatalf("%d cases, error %v", len(file.Cases), err)
			}
			tok, err := Load(testfiles.Shared(t, vectors[name]))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range file.Cases {
				enc, err := tok.Encode(c.Text, false)
				if err != nil || !slices.Equal(enc.IDs, c.IDs) {
					t.Errorf("Encode(%q) = %v, %v, want %v", c.Text, enc.IDs, err, c.IDs)
				}
				checkOffsets(t, c.Text, enc)
				if c.Decoded == nil {
					continue
				}
				if got := tok.Decode(c.IDs, false); got != *c.Decoded {
					t.Errorf("Decode(%v) = %q, want %q", c.IDs, got, *c.Decoded)
				}
			}
		})
	}
}

// checkOffsets checks what holds for every encoding: one offset an id, within the text, ascending.
func checkOffsets(t *testing.T, text string, enc Encoding) {
	t.Helper()
	if len(enc.Offsets) != len(enc.IDs) {
		t.Fatalf("Encode(%q): %d offsets for %d ids", text, len(enc.Offsets), len(enc.IDs))
	}
	last := Offset{}
	for i, o := range enc.Offsets {
		if o.Start > o.End || int(o.End) > len(text) || o.Start < last.Start || o.End < last.End {
			t.Fatalf("Encode(%q): offset %d is %v after %v", text, i, o, last)
		}
		last = o
	}
}

type encodeCase struct {
	text    string
	ids     []int32
	offsets []Offset
}

func checkEncode(t *testing.T, tok *Tokenizer, addSpecial bool, cases []encodeCase) {
	t.Helper()
	for _, c := range cases {
		enc, err := tok.Encode(c.text, addSpecial)
		if err != nil || !slices.Equal(enc.IDs, c.ids) || c.offsets != nil && !slices.Equal(enc.Offsets, c.offsets) {
			t.Errorf("Encode(%q) = %v %v, %v\nwant %v %v", c.text, enc.IDs, enc.Offsets, err, c.ids, c.offsets)
		}
	}
}

func TestByteLevel(t *testing.T) {
	tok := byteLevel().load(t)
	checkEncode(t, tok, true, []encodeCase{
		{"", nil, nil},
		{"hello", []int32{259}, []Offset{{0, 5}}},
		{"hell", []int32{258}, []Offset{{0, 4}}},
		{"hehello w", []int32{256, 259, 260}, []Offset{{0, 2}, {2, 7}, {7, 9}}},
		{"1212", []int32{261, 261}, []Offset{{0, 2}, {2, 4}}},
		{"é", []int32{262}, []Offset{{0, 2}}},
		{"€a", []int32{0xE2, 0x82, 0xAC, 'a'}, []Offset{{0, 1}, {1, 2}, {2, 3}, {3, 4}}},
		{"a<|end|>b", []int32{'a', 263, 'b'}, []Offset{{0, 1}, {1, 8}, {8, 9}}},
	})
	if got := tok.Decode([]int32{259, 263, 260, 262, 0xE2, 0x82, 'a', 0xFF, 0xFF, -1, 264, 1 << 30}, true); got != "hello wé\uFFFDa\uFFFD\uFFFD" {
		t.Errorf("Decode gave %q", got)
	}
	if got := tok.Decode([]int32{263, 'a'}, false); got != "<|end|>a" {
		t.Errorf("Decode with special tokens gave %q", got)
	}
	if got := tok.VocabSize(); got != 264 {
		t.Errorf("VocabSize = %d, want 264", got)
	}

	f := byteLevel()
	f.main["pre_tokenizer"] = object{"type": "ByteLevel", "add_prefix_space": true}
	checkEncode(t, f.load(t), false, []encodeCase{
		{"w", []int32{260}, []Offset{{0, 1}}}, // " w", of which only the w was there
		{"hello", []int32{' ', 259}, []Offset{{0, 0}, {0, 5}}},
		{" w", []int32{260}, []Offset{{0, 2}}},
	})
	f.settings["add_prefix_space"] = false // decides over tokenizer.json
	checkEncode(t, f.load(t), false, []encodeCase{{"w", []int32{'w'}, []Offset{{0, 1}}}})

	f = byteLevel()
	f.model()["ignore_merges"] = true
	f.model()["merges"] = []string{}
	checkEncode(t, f.load(t), false, []encodeCase{{"hello", []int32{259}, []Offset{{0, 5}}}, {"hellx", []int32{'h', 'e', 'l', 'l', 'x'}, nil}})
}

func TestSentencePiece(t *testing.T) {
	tok := sentencePiece().load(t)
	checkEncode(t, tok, true, []encodeCase{
		{"", []int32{1}, []Offset{{0, 0}}},
		{"ab", []int32{1, 265}, []Offset{{0, 0}, {0, 2}}},
		{"c ab", []int32{1, 259, 262, 265}, []Offset{{0, 0}, {0, 0}, {0, 1}, {1, 4}}},
		{"cé", []int32{1, 259, 262, 266}, []Offset{{0, 0}, {0, 0}, {0, 1}, {1, 3}}},
		// the bytes of a rune keep their own places
		{"c€", []int32{1, 259, 262, 3 + 0xE2, 3 + 0x82, 3 + 0xAC}, []Offset{{0, 0}, {0, 0}, {0, 1}, {1, 2}, {2, 3}, {3, 4}}},
	})
	checkEncode(t, tok, false, []encodeCase{
		{"a</s>b", []int32{263, 2, 259, 261}, []Offset{{0, 1}, {1, 5}, {5, 5}, {5, 6}}},
		{"  a", []int32{259, 259, 263}, []Offset{{0, 0}, {0, 1}, {1, 3}}},
	})
	for _, c := range []struct {
		ids  []int32
		want string
	}{
		{[]int32{1, 265, 265}, "ab ab"},
		{[]int32{259, 265}, " ab"},
		{[]int32{260, 3 + 0xE2, 3 + 0x82, 3 + 0xAC, 260}, "a€a"},
		{[]int32{260, 3 + 0xE2, 3 + 0x82, 260}, "a\uFFFD\uFFFDa"},
	} {
		if got := tok.Decode(c.ids, true); got != c.want {
			t.Errorf("Decode(%v) = %q, want %q", c.ids, got, c.want)
		}
	}

	f := sentencePiece()
	f.model()["byte_fallback"] = false
	checkEncode(t, f.load(t), false, []encodeCase{{"a€€b", []int32{263, 0, 261}, []Offset{{0, 1}, {1, 7}, {7, 8}}}})
	f.model()["fuse_unk"] = false
	checkEncode(t, f.load(t), false, []encodeCase{{"a€€b", []int32{263, 0, 0, 261}, []Offset{{0, 1}, {1, 4}, {4, 7}, {7, 8}}}})
	delete(f.model(), "unk_token")
	// what is dropped no longer keeps its neighbours apart, as in tokenizers
	checkEncode(t, f.load(t), false, []encodeCase{{"a€€b", []int32{265}, []Offset{{0, 8}}}, {"c€c", []int32{259, 262, 262}, []Offset{{0, 0}, {0, 1}, {4, 5}}}})
}

func TestAddedTokens(t *testing.T) {
	f := sentencePiece()
	f.addTokens(
		object{"id": 267, "content": "<l>", "lstrip": true},
		object{"id": 268, "content": "<r>", "rstrip": true},
		object{"id": 269, "content": "cab", "single_word": true},
		object{"id": 270, "content": "B C", "normalized": true},
		object{"id": 271, "content": "<r>>"},
	)
	checkEncode(t, f.load(t), false, []encodeCase{
		{"a \n<l> b", []int32{263, 267, 259, 259, 261}, []Offset{{0, 1}, {1, 6}, {6, 6}, {6, 7}, {7, 8}}},
		{"a<r> \tb", []int32{263, 268, 259, 261}, []Offset{{0, 1}, {1, 6}, {6, 6}, {6, 7}}},
		{"<r> <l>", []int32{268, 267}, []Offset{{0, 4}, {4, 7}}},
		{"cab", []int32{269}, nil},
		{"a cab.", []int32{263, 259, 269, 259, 3 + '.'}, nil},
		{"xcab", []int32{259, 3 + 'x', 262, 264}, nil},
		{"cab_", []int32{259, 262, 264, 3 + '_'}, nil},
		{"<r>>", []int32{271}, []Offset{{0, 4}}}, // the longest
	})
	if got := f.load(t).Decode([]int32{270}, false); got != "B C" {
		t.Errorf("decoded %q", got)
	}
	// "B C" is looked for once normalized, as "▁B▁C": found after a space (or at the start), which belongs to it.
	checkEncode(t, f.load(t), false, []encodeCase{{"a B C", []int32{263, 270}, []Offset{{0, 1}, {1, 5}}}, {"aB C", []int32{263, 3 + 'B', 259, 3 + 'C'}, nil}})
}

func TestNormalizers(t *testing.T) {
	cases := []struct {
		name    string
		c       component
		in, out string
		offsets []Offset // of each byte of out, where they are not plain
	}{
		{"NFC", component{Type: "NFC"}, "xe\u0301y", "xéy", []Offset{{0, 1}, {1, 4}, {1, 4}, {4, 5}}},
		{"NFC normal", component{Type: "NFC"}, "xé", "xé", nil},
		{"NFD", component{Type: "NFD"}, "é", "e\u0301", []Offset{{0, 2}, {0, 2}, {0, 2}}},
		{"NFKC", component{Type: "NFKC"}, "aﬁb", "afib", []Offset{{0, 1}, {1, 4}, {1, 4}, {4, 5}}},
		{"NFKD", component{Type: "NFKD"}, "①", "1", []Offset{{0, 3}}},
		{"NFC reorder", component{Type: "NFC"}, "q\u0307\u0323", "q\u0323\u0307", []Offset{{0, 1}, {1, 5}, {1, 5}, {1, 5}, {1, 5}}},
		{"Hangul", component{Type: "NFC"}, "\u1100\u1161", "\uAC00", []Offset{{0, 6}, {0, 6}, {0, 6}}},
		{"Lowercase", component{Type: "Lowercase"}, "AİΣ", "ai\u0307σ", []Offset{{0, 1}, {1, 3}, {1, 3}, {1, 3}, {3, 5}, {3, 5}}},
		{"Lowercase low", component{Type: "Lowercase"}, "aß", "aß", nil},
		{"Strip", component{Type: "Strip", StripLeft: true, StripRight: true}, " \u3000a b\t", "a b", []Offset{{4, 5}, {5, 6}, {6, 7}}},
		{"Strip left", component{Type: "Strip", StripLeft: true}, "  a ", "a ", []Offset{{2, 3}, {3, 4}}},
		{"Strip all", component{Type: "Strip", StripLeft: true, StripRight: true}, "  ", "", nil},
		{"Prepend", component{Type: "Prepend", Prepend: ">>"}, "a", ">>a", []Offset{{0, 0}, {0, 0}, {0, 1}}},
		{"Prepend nothing", component{Type: "Prepend", Prepend: ">>"}, "", "", nil},
		{"Replace", component{Type: "Replace", Pattern: &pattern{String: ptr("ab")}, Content: "x"}, "abcab", "xcx", []Offset{{0, 2}, {2, 3}, {3, 5}}},
		{"Replace regex", component{Type: "Replace", Pattern: &pattern{Regex: ptr(` {2,}`)}, Content: "$1"}, "a  b", "a$1b", []Offset{{0, 1}, {1, 3}, {1, 3}, {3, 4}}},
		{"Replace away", component{Type: "Replace", Pattern: &pattern{String: ptr("b")}}, "abc", "ac", []Offset{{0, 1}, {2, 3}}},
		{"StripAccents", component{Type: "StripAccents"}, "e\u0301\u08cab", "e\u08cab", []Offset{{0, 1}, {3, 4}, {4, 5}, {5, 6}, {6, 7}}}, // U+08CA is of Unicode 14
		{"StripAccents earlier", component{Type: "StripAccents"}, "a\u1cf2\u1cf3b", "ab", []Offset{{0, 1}, {7, 8}}},                       // marks in Unicode 9
		{"NFKC later", component{Type: "NFKC"}, "ﬁ\u32ff", "fi\u32ff", []Offset{{0, 3}, {0, 3}, {3, 4}, {4, 5}, {5, 6}}},
		{"NFC later", component{Type: "NFC"}, "e\u0301\u08ca\u0323", "é\u08ca\u0323", []Offset{{0, 3}, {0, 3}, {3, 4}, {4, 5}, {5, 6}, {6, 7}, {7, 8}}},
		{"Sequence", component{Type: "Sequence", Normalizers: []component{
			{Type: "Prepend", Prepend: "é"}, {Type: "NFD"}, {Type: "Replace", Pattern: &pattern{String: ptr("\u0301b")}, Content: "-"},
		}}, "b", "e-", []Offset{{0, 0}, {0, 1}}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b builder
			steps, err := b.compileNormalizer(c.c, "normalizer", nil)
			if err != nil {
				t.Fatal(err)
			}
			s := span{text: c.in}
			for _, n := range steps {
				if s, err = n(s); err != nil {
					t.Fatal(err)
				}
			}
			if s.text != c.out {
				t.Errorf("%q became %q, want %q", c.in, s.text, c.out)
			}
			for i := range len(s.text) {
				want := Offset{int32(i), int32(i + 1)}
				if c.offsets != nil {
					want = c.offsets[i]
				}
				if got := s.source(i, i+1); got != want {
					t.Errorf("byte %d of %q: source %v, want %v", i, s.text, got, want)
				}
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestSplitters(t *testing.T) {
	dash := &pattern{String: ptr("-")}
	cases := []struct {
		name string
		c    component
		in   string
		want []string
	}{
		{"Isolated", component{Type: "Split", Pattern: dash, Behavior: "Isolated"}, "a--b-", []string{"a", "-", "-", "b", "-"}},
		{"Removed", component{Type: "Split", Pattern: dash, Behavior: "Removed"}, "a--b-", []string{"a", "b"}},
		{"MergedWithPrevious", component{Type: "Split", Pattern: dash, Behavior: "MergedWithPrevious"}, "-a--b-", []string{"-", "a-", "-", "b-"}},
		{"MergedWithNext", component{Type: "Split", Pattern: dash, Behavior: "MergedWithNext"}, "-a--b-", []string{"-a", "-", "-b", "-"}},
		{"Contiguous", component{Type: "Split", Pattern: dash, Behavior: "Contiguous"}, "-a--b-", []string{"-", "a", "--", "b", "-"}},
		{"inverted", component{Type: "Split", Pattern: &pattern{Regex: ptr(`\w+`)}, Behavior: "Removed", Invert: true}, "é1, b.", []string{"é1", "b"}},
		{"empty matches", component{Type: "Split", Pattern: &pattern{Regex: ptr(`(?=[A-Z])`)}, Behavior: "Isolated"}, "oneTwoThree", []string{"one", "Two", "Three"}},
		{"Digits", component{Type: "Digits"}, "a12½b3", []string{"a", "12½", "b", "3"}},
		{"single Digits", component{Type: "Digits", IndividualDigits: true}, "a12½", []string{"a", "1", "2", "½"}},
		{"ByteLevel", component{Type: "ByteLevel", AddPrefixSpace: ptr(true)}, "it's  9", []string{" it", "'s", " ", " 9"}},
		{"plain ByteLevel", component{Type: "ByteLevel", UseRegex: ptr(false)}, "a b", []string{"a b"}},
		{"Metaspace", component{Type: "Metaspace", Replacement: "▁"}, "a  b", []string{"▁a", "▁", "▁b"}},
		{"whole Metaspace", component{Type: "Metaspace", Replacement: "▁", PrependScheme: "first", Split: ptr(false)}, "a b", []string{"▁a▁b"}},
		{"Metaspace never", component{Type: "Metaspace", Replacement: "▁", AddPrefixSpace: ptr(false)}, "a b", []string{"a", "▁b"}},
		{"Sequence", component{Type: "Sequence", Pretokenizers: []component{{Type: "Digits"}, {Type: "ByteLevel"}}}, "a 12", []string{"a", " ", "12"}},
		{"Whitespace", component{Type: "Whitespace"}, " it's ½² x_1,.", []string{"it", "'", "s", "½²", "x_1", ",."}},
		{"WhitespaceSplit", component{Type: "WhitespaceSplit"}, " it's x\n", []string{"it's", "x"}},
		{"Punctuation", component{Type: "Punctuation"}, "a,$b—c", []string{"a", ",", "$", "b", "—", "c"}},
		{"Punctuation contiguous", component{Type: "Punctuation", Behavior: "Contiguous"}, "a,$b\u2e43c", []string{"a", ",$", "b\u2e43c"}}, // of Unicode 9
		{"Punctuation earlier", component{Type: "Punctuation"}, "a\u166d\U000111c9b", []string{"a", "\u166d", "\U000111c9", "b"}},          // of Unicode 8, not today's
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b builder
			if err := b.compileSplitter(c.c, "pre_tokenizer"); err != nil {
				t.Fatal(err)
			}
			words := []span{{text: c.in}}
			for _, split := range b.splitters {
				var next []span
				for _, w := range words {
					if err := split(w, func(s span) { next = append(next, s) }); err != nil {
						t.Fatal(err)
					}
				}
				words = next
			}
			var got []string
			for _, w := range words {
				got = append(got, w.text)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q became %q, want %q", c.in, got, c.want)
			}
		})
	}
}

// TestMetaspaceFirst: prepend_scheme first invents a space only where the text itself begins.
func TestMetaspaceFirst(t *testing.T) {
	f := sentencePiece()
	delete(f.main, "normalizer")
	f.main["pre_tokenizer"] = object{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false}
	checkEncode(t, f.load(t), false, []encodeCase{
		{"ab</s>ab", []int32{265, 2, 264}, []Offset{{0, 2}, {2, 6}, {6, 8}}},
		{"</s>ab", []int32{2, 264}, nil},
		{" ab", []int32{265}, []Offset{{0, 3}}},
	})
}

func TestDecoders(t *testing.T) {
	meta := component{Type: "Metaspace", Replacement: "▁"}
	cases := []struct {
		name string
		c    component
		in   []string
		want string
	}{
		{"Metaspace", meta, []string{"▁▁a", "▁b"}, "a b"},
		{"Metaspace never", component{Type: "Metaspace", Replacement: "▁", PrependScheme: "never"}, []string{"▁a", "▁b"}, " a b"},
		{"Strip", component{Type: "Strip", Content: "-", Start: 1, Stop: 2}, []string{"--a---", "-"}, "-a-"},
		{"ByteFallback", component{Type: "ByteFallback"}, []string{"<0xC3>", "<0xa9>", "x", "<0xC3>", "<0xZZ>"}, "éx\uFFFD<0xZZ>"},
		{"ByteLevel", component{Type: "ByteLevel"}, []string{"Ã", "©Ġ", "日"}, "é 日"},
		{"Replace", component{Type: "Replace", Pattern: &pattern{String: ptr("ab")}, Content: "c"}, []string{"abab", "b"}, "ccb"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b builder
			steps, err := b.compileDecoder(c.c, "decoder", nil)
			if err != nil {
				t.Fatal(err)
			}
			texts := slices.Clone(c.in)
			for _, decode := range steps {
				texts = decode(texts)
			}
			if got := strings.Join(texts, ""); got != c.want {
				t.Errorf("%q became %q, want %q", c.in, got, c.want)
			}
		})
	}
	f := byteLevel()
	delete(f.main, "decoder")
	if got := f.load(t).Decode([]int32{259, 'a'}, false); got != "hello a" {
		t.Errorf("without a decoder: %q", got)
	}
}

// TestAround covers what stands before and behind a sequence.
func TestAround(t *testing.T) {
	template := sentencePiece().main["post_processor"]
	cases := []struct {
		name     string
		post     any
		settings object
		want     []int32 // ids of "b", 261
	}{
		{"template", template, nil, []int32{1, 261}},
		{"template decides", template, object{"add_bos_token": false, "add_eos_token": true}, []int32{1, 261}},
		{"Llama settings decide", template, object{"tokenizer_class": "LlamaTokenizerFast", "add_bos_token": false, "add_eos_token": true}, []int32{261, 2}},
		{"Llama settings silent", template, object{"tokenizer_class": "LlamaTokenizer"}, []int32{1, 261}},
		{"nothing", nil, nil, []int32{261}},
		{"only settings", nil, object{"add_bos_token": true, "add_eos_token": true}, []int32{1, 261, 2}},
		{"ByteLevel", object{"type": "ByteLevel"}, object{"add_bos_token": true}, []int32{261}},
		{"Roberta", object{"type": "RobertaProcessing", "cls": []any{"<s>", 1}, "sep": []any{"</s>", 2}}, nil, []int32{1, 261, 2}},
		{"Bert", object{"type": "BertProcessing", "cls": []any{"<s>", 1}, "sep": []any{"</s>", 2}}, nil, []int32{1, 261, 2}},
		{"sequence", object{"type": "Sequence", "processors": []any{object{"type": "ByteLevel"}, template}}, nil, []int32{1, 261}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := sentencePiece()
			delete(f.main, "normalizer")
			f.main["post_processor"] = c.post
			maps.Copy(f.settings, c.settings)
			tok := f.load(t)
			checkEncode(t, tok, true, []encodeCase{{"b", c.want, nil}})
			checkEncode(t, tok, false, []encodeCase{{"b", []int32{261}, nil}})
			if got, want := tok.AppendsEOS(), c.want[len(c.want)-1] == 2; got != want {
				t.Errorf("AppendsEOS %v, want %v", got, want)
			}
		})
	}
}

func TestSpecialTokens(t *testing.T) {
	f := sentencePiece()
	delete(f.settings, "eos_token")
	delete(f.settings, "unk_token")
	f.settings["mask_token"] = "<absent>"
	f.settings["added_tokens_decoder"] = object{"267": object{"content": "<pad>", "special": true}}
	dir := f.dir(t)
	writeJSON(t, filepath.Join(dir, "special_tokens_map.json"), object{"pad_token": object{"content": "<pad>"}, "bos_token": "c"})
	writeJSON(t, filepath.Join(dir, "generation_config.json"), object{"eos_token_id": []int{2, 1, 2, 9999}, "bos_token_id": 0})
	writeJSON(t, filepath.Join(dir, "model.json"), object{})
	tok, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "mask_token": "<absent>"}
	if got := tok.SpecialTokens(); !maps.Equal(got, want) {
		t.Errorf("SpecialTokens = %v, want %v", got, want)
	}
	for name, c := range map[string]struct {
		get  func() (Special, bool)
		want Special
	}{"BOS": {tok.BOS, Special{1, "<s>"}}, "EOS": {tok.EOS, Special{2, "</s>"}}, "Pad": {tok.Pad, Special{267, "<pad>"}}} {
		if got, ok := c.get(); !ok || got != c.want {
			t.Errorf("%s = %v, %v, want %v", name, got, ok, c.want)
		}
	}
	if got, want := tok.StopIDs(), []int32{2, 1}; !slices.Equal(got, want) {
		t.Errorf("StopIDs = %v, want %v", got, want)
	}
	if got := byteLevel().load(t).StopIDs(); !slices.Equal(got, []int32{263}) {
		t.Errorf("StopIDs = %v, want that of EOS", got)
	}
	if got := tok.VocabSize(); got != 268 {
		t.Errorf("VocabSize = %d, want 268", got)
	}
	checkEncode(t, tok, false, []encodeCase{{"<pad>", []int32{267}, nil}})
	if got, want := tok.Files(), []string{"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json"}; !slices.Equal(got, want) {
		t.Errorf("Files = %v, want %v", got, want)
	}
	if _, ok := byteLevel().load(t).Pad(); ok {
		t.Error("Pad found where there is none")
	}

	// A role makes a plain piece of the vocabulary a special token.
	f = byteLevel()
	f.settings["eos_token"] = "hell"
	checkEncode(t, f.load(t), false, []encodeCase{{"hello", []int32{258, 'o'}, nil}})
	if got := f.load(t).Decode([]int32{258, 'o'}, true); got != "o" {
		t.Errorf("special piece shown: %q", got)
	}
}

func TestLoadErrors(t *testing.T) {
	cases := []struct {
		name   string
		change func(fixture)
		want   string
	}{
		{"model type", func(f fixture) { f.model()["type"] = "WordPiece" }, `tokenizer.json: model: type "WordPiece" is not supported; want BPE, Unigram`},
		{"no model", func(f fixture) { delete(f.main, "model") }, "tokenizer.json: model: missing"},
		{"normalizer", func(f fixture) { f.main["normalizer"] = object{"type": "Nmt"} }, `tokenizer.json: normalizer: type "Nmt" is not supported`},
		{"charsmap", func(f fixture) { f.main["normalizer"] = object{"type": "Precompiled", "precompiled_charsmap": "AAAA"} }, `tokenizer.json: normalizer.precompiled_charsmap: damaged`},
		{"charsmap type", func(f fixture) { f.main["normalizer"] = object{"type": "Precompiled", "precompiled_charsmap": "?"} }, `tokenizer.json: normalizer.precompiled_charsmap: illegal base64 data`},
		{"nested pre-tokenizer", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []object{{"type": "Digits"}, {"type": "UnicodeScripts"}}}
		}, `pre_tokenizer.pretokenizers[1]: type "UnicodeScripts" is not supported`},
		{"post-processor", func(f fixture) { f.main["post_processor"] = object{"type": "Odd"} }, `post_processor: type "Odd"`},
		{"no cls", func(f fixture) { f.main["post_processor"] = object{"type": "BertProcessing"} }, `post_processor.cls: missing`},
		{"sep id", func(f fixture) {
			f.main["post_processor"] = object{"type": "RobertaProcessing", "cls": []any{"h", 104}, "sep": []any{"</s>", 9999}}
		}, `post_processor.sep: "</s>": id 9999 is not in the vocabulary`},
		{"sep form", func(f fixture) {
			f.main["post_processor"] = object{"type": "RobertaProcessing", "cls": []any{"h", 104}, "sep": []any{"</s>"}}
		}, `not a list of a text and its id`},
		{"decoder", func(f fixture) { f.main["decoder"] = object{"type": "WordPiece"} }, `decoder: type "WordPiece"`},
		{"ByteLevel not last", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Sequence", "pretokenizers": []object{{"type": "ByteLevel"}, {"type": "Digits"}}}
		}, "must be the last"},
		{"behavior", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Split", "pattern": object{"String": "x"}, "behavior": "Odd"}
		}, `pre_tokenizer.behavior: "Odd"`},
		{"no pattern", func(f fixture) { f.main["pre_tokenizer"] = object{"type": "Split", "behavior": "Isolated"} }, "pre_tokenizer.pattern: want"},
		{"bad regex", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Split", "pattern": object{"Regex": "(a"}, "behavior": "Isolated"}
		}, `pre_tokenizer.pattern.Regex: a ( without its ) in "(a"`},
		{"unknown class", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Split", "pattern": object{"Regex": `[\p{Nonsense}]`}, "behavior": "Isolated"}
		}, `pre_tokenizer.pattern.Regex: "Nonsense" is no known property in`},
		{"long regex", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Split", "pattern": object{"Regex": strings.Repeat("(", 5000)}, "behavior": "Isolated"}
		}, "5000 bytes, more than 4096"},
		{"metaspace", func(f fixture) { f.main["pre_tokenizer"] = object{"type": "Metaspace", "replacement": ""} }, "is not one character"},
		{"metaspace scheme", func(f fixture) {
			f.main["pre_tokenizer"] = object{"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "add_prefix_space": false}
		}, "contradicts"},
		{"steps", func(f fixture) {
			f.main["normalizer"] = object{"type": "Sequence", "normalizers": slices.Repeat([]object{{"type": "NFC"}}, 100)}
		}, "more than 64 components"},
		{"long content", func(f fixture) { f.main["normalizer"] = object{"type": "Prepend", "prepend": strings.Repeat("x", 999)} }, "999 bytes, more than 64"},
		{"empty vocab", func(f fixture) { f.model()["vocab"] = object{} }, "model.vocab: empty"},
		{"no vocab", func(f fixture) { delete(f.model(), "vocab") }, "model.vocab: missing"},
		{"same ids", func(f fixture) { f.model()["vocab"].(object)["zz"] = 256 }, `model.vocab: "he" and "zz" both have id 256`},
		{"negative id", func(f fixture) { f.model()["vocab"].(object)["zz"] = -1 }, `"zz": id -1 is not in 0..16777215`},
		{"huge id", func(f fixture) { f.model()["vocab"].(object)["zz"] = int64(1) << 40 }, "is not in 0..16777215"},
		{"enormous id", func(f fixture) { f.model()["vocab"].(object)["zz"] = json.Number("1e30") }, "model.vocab"},
		{"id type", func(f fixture) { f.model()["vocab"].(object)["zz"] = "9" }, "tokenizer.json: model.vocab: text where a whole number belongs; get the file again"},
		{"long piece", func(f fixture) { f.model()["vocab"].(object)[strings.Repeat("z", 1<<15)] = 900 }, "32768 bytes, more than 16384"},
		{"merge out of vocabulary", func(f fixture) { f.model()["merges"] = []string{"h e", "z z"} }, `model.merges[1]: "z" and "z"`},
		{"merge of three", func(f fixture) { f.model()["merges"] = []string{"h e l"} }, "model.merges[0]"},
		{"merge triple", func(f fixture) { f.model()["merges"] = [][]string{{"h", "e", "l"}} }, "model.merges[0]: 3 texts, want 2"},
		{"merge type", func(f fixture) { f.model()["merges"] = []int{1} }, "model.merges"},
		{"no merges", func(f fixture) { delete(f.model(), "merges") }, "model.merges: missing"},
		{"dropout", func(f fixture) { f.model()["dropout"] = 0.1 }, "model.dropout: 0.1"},
		{"prefix", func(f fixture) { f.model()["continuing_subword_prefix"] = "##" }, "continuing_subword_prefix"},
		{"suffix", func(f fixture) { f.model()["end_of_word_suffix"] = "</w>" }, "end_of_word_suffix"},
		{"unk", func(f fixture) { f.model()["unk_token"] = "<what>" }, `model.unk_token: "<what>" is not in the vocabulary`},
		{"byte fallback", func(f fixture) { f.model()["byte_fallback"] = true; delete(f.model()["vocab"].(object), "Ā") }, "model.byte_fallback"},
		{"added id taken", func(f fixture) { f.addTokens(object{"id": 5, "content": "<x>"}) }, `added_tokens[1]:`},
		{"added id differs", func(f fixture) { f.addTokens(object{"id": 300, "content": "he"}) }, `"he": id 300, but it already has id 256`},
		{"added type", func(f fixture) { f.addTokens(object{"id": "x", "content": "he"}) }, "tokenizer.json: added_tokens.id: text where a whole number belongs; get the file again"},
		{"template token", func(f fixture) {
			f.main["post_processor"] = object{"type": "TemplateProcessing", "single": []object{{"SpecialToken": object{"id": "<s>"}}, {"Sequence": object{"id": "A"}}}}
		}, `post_processor.single[0]: "<s>" is not in special_tokens`},
		{"template id", func(f fixture) {
			f.main["post_processor"] = object{
				"type": "TemplateProcessing", "single": []object{{"SpecialToken": object{"id": "<s>"}}, {"Sequence": object{"id": "A"}}},
				"special_tokens": object{"<s>": object{"ids": []int{9999}}},
			}
		}, `post_processor.special_tokens: "<s>": id 9999 is not in the vocabulary`},
		{"template without A", func(f fixture) { f.main["post_processor"] = object{"type": "TemplateProcessing"} }, "no sequence A"},
		{"template with B", func(f fixture) {
			f.main["post_processor"] = object{"type": "TemplateProcessing", "single": []object{{"Sequence": object{"id": "B"}}}}
		}, `sequence "B"`},
		{"decoder grows", func(f fixture) {
			f.main["decoder"] = object{"type": "Replace", "pattern": object{"String": "a"}, "content": "aa"}
		}, "no longer"},
		{"eos", func(f fixture) { f.settings["eos_token"] = "<eos>" }, `tokenizer_config.json: eos_token: "<eos>" is not in the vocabulary`},
		{"add_bos_token without bos", func(f fixture) { f.settings["add_bos_token"] = true; delete(f.settings, "bos_token") }, "add_bos_token of tokenizer_config.json"},
		{"decoder key", func(f fixture) { f.settings["added_tokens_decoder"] = object{"x": object{"content": "y"}} }, `key "x" is not an id`},
		{"role type", func(f fixture) { f.settings["pad_token"] = 3 }, "tokenizer_config.json"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := byteLevel()
			c.change(f)
			_, err := Load(f.dir(t))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v\nwant it to say %s", err, c.want)
			}
			if err != nil && (strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000) {
				t.Errorf("not one line: %.2000q", err)
			}
		})
	}
	t.Run("damaged file", func(t *testing.T) {
		dir := byteLevel().dir(t)
		path := filepath.Join(dir, "tokenizer.json")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data[:len(data)/2], 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json: not JSON at byte ") {
			t.Errorf("error %v, want one that names the byte", err)
		}
	})
	for _, c := range []struct {
		name, file, content, want string // content "-": the file is not there
	}{
		{"no tokenizer.json", "tokenizer.json", "-", "DIR/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"},
		{"WordPiece's file alone", "vocab.txt", "-", `DIR/tokenizer.json: no such file; make it of vocab.txt once, in Python: ` +
			`from transformers import AutoTokenizer; AutoTokenizer.from_pretrained("DIR").save_pretrained("DIR")`},
		{"no tokenizer_config.json", "tokenizer_config.json", "-", "DIR/tokenizer_config.json: no such file; get it from where tokenizer.json comes from"},
		{"empty", "tokenizer.json", " \n", "DIR/tokenizer.json: empty; get the file again"},
		{"a list", "tokenizer.json", "[]", "DIR/tokenizer.json: a list where an object belongs; get the file again"},
		{"a number", "tokenizer.json", "3", "DIR/tokenizer.json: number where an object belongs; get the file again"},
		{"a pointer", "tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", "DIR/tokenizer.json: a git-lfs pointer and not the file itself; get that with git lfs pull"},
		{"a web page", "tokenizer_config.json", "<html>", "DIR/tokenizer_config.json: begins with <, as web pages do; get the file itself"},
		{"text", "special_tokens_map.json", "x", "DIR/special_tokens_map.json: not JSON at byte 1 (invalid character 'x' looking for beginning of value); get the file again"},
		{"a word for a list", "tokenizer.json", `{"added_tokens": true}`, "DIR/tokenizer.json: added_tokens: true or false where a list belongs; get the file again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := byteLevel().dir(t)
			path := filepath.Join(dir, c.file)
			var err error
			switch {
			case c.file == "vocab.txt":
				err = errors.Join(os.Remove(filepath.Join(dir, "tokenizer.json")), os.WriteFile(path, nil, 0o644))
			case c.content == "-":
				err = os.Remove(path)
			default:
				err = os.WriteFile(path, []byte(c.content), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Load(dir); err == nil || strings.ReplaceAll(err.Error(), dir, "DIR") != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestEncodeErrors(t *testing.T) {
	f := byteLevel()
	f.main["normalizer"] = object{"type": "Sequence", "normalizers": slices.Repeat(
		[]object{{"type": "Replace", "pattern": object{"String": "a"}, "content": strings.Repeat("a", 60)}}, 4)}
	tok := f.load(t)
	for name, c := range map[string]struct{ text, want string }{
		"not UTF-8": {"ab\xffc", "not valid UTF-8 at byte 2"},
		"cut rune":  {"\uFFFD\xe2\x82", "not valid UTF-8 at byte 3"},
		"too long":  {strings.Repeat("x", maxText+1), "text has 1048577 bytes"},
		"blown up":  {"aaaa", "once normalized"},
	} {
		if _, err := tok.Encode(c.text, true); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want it to say %s", name, err, c.want)
		}
	}
}

// TestCutAtSpaces: it cuts where no piece goes across, and only if there is none.
func TestCutAtSpaces(t *testing.T) {
	for text, want := range map[string][]string{
		"▁a▁▁b": {"▁a", "▁▁b"}, "a▁": {"a", "▁"}, "▁▁": {"▁▁"}, "a": {"a"}, "▁aé▁b▁c▁": {"▁aé", "▁b", "▁c", "▁"},
	} {
		var got []string
		err := cutAtSpaces(span{text: text}, func(w span) { got = append(got, w.text) })
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", text, got, err, want)
		}
	}
	if tok := sentencePiece().load(t); len(tok.splitters) != 1 {
		t.Error("not cut")
	}
	f := sentencePiece()
	f.model()["vocab"].(object)["b▁"] = 267
	f.model()["merges"] = [][]string{{"b", "▁"}}
	tok := f.load(t)
	checkEncode(t, tok, false, []encodeCase{{"b b", []int32{259, 267, 261}, []Offset{{0, 0}, {0, 2}, {2, 3}}}})
}

// TestLongWord: joining must not be quadratic, whatever the word. 200,000 symbols take about 0.1 s.
func TestLongWord(t *testing.T) {
	const n = 200_000
	start := time.Now()
	for _, c := range []struct {
		f    fixture
		unit string
		ids  int
	}{{byteLevel(), "l", n / 2}, {byteLevel(), "12", n}, {byteLevel(), " ", n}, {sentencePiece(), "ab", n + 1}, {sentencePiece(), " ", n + 1}} {
		tok := c.f.load(t)
		text := strings.Repeat(c.unit, n)
		enc, err := tok.Encode(text, false)
		if err != nil {
			t.Fatal(err)
		}
		if c.unit != "ab" && len(enc.IDs) != c.ids {
			t.Errorf("%d times %q gave %d ids, want %d", n, c.unit, len(enc.IDs), c.ids)
		}
		checkOffsets(t, text, enc)
		if got := tok.Decode(enc.IDs, false); got != text {
			t.Errorf("%d times %q does not come back", n, c.unit)
		}
	}
	if d := time.Since(start); d > 20*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestConcurrent(t *testing.T) {
	tok := byteLevel().load(t)
	texts := make([]string, 200)
	want := make([]Encoding, len(texts))
	for i := range texts {
		texts[i] = strings.Repeat("hello 12é w"+string(rune('a'+i%26)), 1+i%7)
	}
	fresh := byteLevel().load(t)
	for i, text := range texts {
		want[i], _ = fresh.Encode(text, true)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i, text := range texts {
				got, err := tok.Encode(text, true)
				if err != nil || !slices.Equal(got.IDs, want[i].IDs) || !slices.Equal(got.Offsets, want[i].Offsets) {
					t.Errorf("Encode(%q) = %v, %v, want %v", text, got, err, want[i])
				}
				tok.Decode(got.IDs, true)
			}
		})
	}
	wg.Wait()
}

// TestCacheBound: more words than the cache holds change nothing, and do not fill the memory.
func TestCacheBound(t *testing.T) {
	tok := byteLevel().load(t)
	cache := &tok.model.(*bpe).cache
	heap := func() int64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	words := 2 * len(cache.shards) * maxShard / (bytesWord + maxCachedWord + maxCachedWord*bytesPart)
	for i := range words {
		word := string(rune(0x4E00+i%20_000)) + string(rune(0x4E00+i/20_000)) + strings.Repeat("l", 1+i%(maxCachedWord-6))
		if enc, err := tok.Encode(word, false); err != nil || tok.Decode(enc.IDs, false) != word {
			t.Fatalf("%q gave %v, %v", word, enc, err)
		}
	}
	for i := range cache.shards {
		if n := cache.shards[i].size; n > maxShard {
			t.Errorf("shard %d holds %d bytes", i, n)
		}
	}
	if grown, bound := (heap()-before)>>20, int64(len(cache.shards)*maxShard>>20); grown > bound*3/2 {
		t.Errorf("%d MiB for a bound of %d", grown, bound)
	} else {
		t.Logf("%d words, %d MiB", words, grown)
	}
	runtime.KeepAlive(tok)
}

// BenchmarkEncode encodes real preference pairs with real tokenizers.
func BenchmarkEncode(b *testing.B) {
	data, err := os.ReadFile(testfiles.Shared(b, "preferences", "pandalm_human.jsonl"))
	if err != nil {
		b.Fatal(err)
	}
	lines := strings.Split(string(data), "\n")
	for _, dir := range []string{
		testfiles.Shared(b, "tokenizers", "gpt2"), testfiles.Shared(b, "tokenizers", "qwen3"), testfiles.Shared(b, "tokenizers", "phi-3"),
		testfiles.Shared(b, "tokenizers", "starcoder"), "testdata/cases/gpt4o", "testdata/cases/deepseek",
		"testdata/cases/unigram-bytes", "testdata/cases/precompiled-rules", "testdata/cases/spm-rules",
	} {
		b.Run(filepath.Base(dir), func(b *testing.B) {
			tok, err := Load(dir)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				for _, line := range lines {
					if _, err := tok.Encode(line, true); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func FuzzLoad(f *testing.F) {
	for _, x := range []fixture{byteLevel(), sentencePiece()} {
		main, err := json.Marshal(x.main)
		if err != nil {
			f.Fatal(err)
		}
		settings, err := json.Marshal(x.settings)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(main, settings, "hello ab<s> é12")
	}
	for _, name := range []string{"precompiled-rules", "punctuation", "flags"} {
		main, err := os.ReadFile(filepath.Join("testdata/cases", name, mainFile))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(main, []byte(`{}`), "A\u0301 ½ <R> Café one…")
	}
	f.Add([]byte(`{"model":{"type":"Unigram","unk_id":0,"vocab":[["",0],["a",-1],["ab",-1.5]]},"pre_tokenizer":{"type":"Sequence","pretokenizers":[
		{"type":"Punctuation","behavior":"MergedWithNext"},{"type":"Whitespace"},{"type":"WhitespaceSplit"}]},"normalizer":{"type":"StripAccents"},
		"post_processor":{"type":"BertProcessing","cls":["a",1],"sep":["ab",2]}}`), []byte(`{}`), "ab, x")
	f.Add([]byte(`{"model":{"vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]},"added_tokens":[{"id":3,"content":" ","rstrip":true}],
		"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?<x>b)|\\p{L}?"},"behavior":"MergedWithNext","invert":true},
		"normalizer":{"type":"Strip","strip_left":true},"decoder":{"type":"Strip","content":"a","start":1,"stop":1}}`), []byte(`{}`), " ab  a")
	f.Fuzz(func(t *testing.T, main, settings []byte, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), main, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "tokenizer_config.json"), settings, 0o644); err != nil {
			t.Fatal(err)
		}
		tok, err := loadInBounds(t, dir, len(main)+len(settings))
		if err != nil {
			return
		}
		checkAny(t, tok, text)
	})
}

func FuzzRoundTrip(f *testing.F) {
	bytewise, pieces := byteLevel().load(f), sentencePiece().load(f)
	for _, text := range []string{"", "hello <|end|> 1212", "ab  ab</s>é\u0301\n", "'LL €\x00", "\u2003 \r\n x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, tok := range []*Tokenizer{bytewise, pieces} {
			enc, err := tok.Encode(text, false)
			if err != nil {
				return // not UTF-8
			}
			checkOffsets(t, text, enc)
			if tok == pieces && (strings.Contains(text, "▁") || strings.Contains(text, "<")) {
				continue // not told apart from a space; an invented space follows a token
			}
			if got := tok.Decode(enc.IDs, false); got != text {
				t.Fatalf("Decode(%v) = %q, want %q", enc.IDs, got, text)
			}
			if tok == bytewise { // offsets of bytes tile the text
				at := int32(0)
				for _, o := range enc.Offsets {
					if o.Start != at {
						t.Fatalf("offset %v where %d was left off, of %q", o, at, text)
					}
					at = o.End
				}
				if int(at) != len(text) {
					t.Fatalf("offsets end at %d of %q", at, text)
				}
			}
		}
	})
}

// FuzzSettings: the files beside tokenizer.json may say anything.
func FuzzSettings(f *testing.F) {
	for _, s := range []struct{ settings, roles, generation string }{
		{`{"eos_token":"<|end|>","add_bos_token":false,"tokenizer_class":"LlamaTokenizerFast"}`, `{"pad_token":{"content":"<|end|>"}}`, `{"eos_token_id":[256,3]}`},
		{`{"added_tokens_decoder":{"300":{"content":"<x>","lstrip":true,"normalized":true}},"add_eos_token":true}`, `{"bos_token":"he"}`, `{"bos_token_id":null}`},
		{`{"eos_token":null}`, `[]`, `{"eos_token_id":-1}`}, {``, `null`, `{`},
	} {
		f.Add([]byte(s.settings), []byte(s.roles), []byte(s.generation), "hello <x> <|end|>é")
	}
	main, err := json.Marshal(byteLevel().main)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, settings, roles, generation []byte, text string) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{mainFile: main, settingsFile: settings, rolesFile: roles, generationName: generation} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tok, err := Load(dir)
		if err != nil {
			if !strings.HasPrefix(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not one line that names a file", err)
			}
			return
		}
		if eos, ok := tok.EOS(); ok && (eos.Text == "" || int(eos.ID) >= tok.VocabSize()) {
			t.Errorf("end of text %+v of %d ids", eos, tok.VocabSize())
		}
		enc, err := tok.Encode(text, true)
		if err != nil {
			return // not UTF-8
		}
		for _, id := range enc.IDs {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("id %d of %d", id, tok.VocabSize())
			}
		}
		tok.Decode(enc.IDs, true)
	})
}

// TestSameOnceNormalized: of added tokens that normalization makes the same the one with the smaller id is found, as in tokenizers.
func TestSameOnceNormalized(t *testing.T) {
	f := byteLevel()
	f.main["normalizer"] = object{"type": "Lowercase"}
	f.addTokens(object{"id": 265, "content": "<X>", "normalized": true}, object{"id": 264, "content": "<x>", "normalized": true})
	checkEncode(t, f.load(t), false, []encodeCase{{"<x><X>", []int32{264, 264}, nil}})
}

// TestSpecials: special tokens are known by text and by id, and others are not.
func TestSpecials(t *testing.T) {
	tok, err := Load(filepath.Join("..", "..", "testdata", "models", "llama"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := tok.Specials(), []string{"<|bos|>", "<|eos|>", "<|im_end|>", "<|im_start|>", "<|pad|>"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	e, err := tok.Encode("a<|eos|>", false)
	if err != nil || len(e.IDs) != 2 || tok.IsSpecial(e.IDs[0]) || !tok.IsSpecial(e.IDs[1]) {
		t.Errorf("%v, %v", e.IDs, err)
	}
}
