package tokenizer

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// object is a JSON object in the making.
type object = map[string]any

// fixture is a tokenizer folder in the making.
type fixture struct{ main, settings object }

// byteLevel is a GPT-2 style tokenizer. Byte b has id b; then come the pieces and <|end|>:
//
//	256 he   257 ll   258 hell   259 hello   260 " w"   261 12   262 é   263 <|end|>
func byteLevel() fixture {
	vocab := object{}
	for b, r := range byteRunes {
		vocab[string(r)] = b
	}
	var merges []string
	for i, m := range []string{"h e", "l l", "he ll", "hell o", "Ġ w", "1 2", "Ã ©"} {
		merges = append(merges, m)
		vocab[strings.Replace(m, " ", "", 1)] = 256 + i
	}
	return fixture{
		main: object{
			"added_tokens":  []object{{"id": 263, "content": "<|end|>", "special": true}},
			"pre_tokenizer": object{"type": "ByteLevel", "add_prefix_space": false},
			"decoder":       object{"type": "ByteLevel"},
			"model":         object{"type": "BPE", "vocab": vocab, "merges": merges},
		},
		settings: object{"bos_token": "<|end|>", "eos_token": object{"content": "<|end|>"}, "pad_token": nil},
	}
}

// sentencePiece is a Llama 2 style tokenizer:
//
//	0 <unk>   1 <s>   2 </s>   3..258 <0x00>..<0xFF>   259 ▁   260 a   261 b   262 c   263 ▁a   264 ab   265 ▁ab   266 é
func sentencePiece() fixture {
	vocab := object{"<unk>": 0, "<s>": 1, "</s>": 2}
	for b := range 256 {
		vocab[fmt.Sprintf("<0x%02X>", b)] = 3 + b
	}
	for i, s := range []string{"▁", "a", "b", "c", "▁a", "ab", "▁ab", "é"} {
		vocab[s] = 259 + i
	}
	return fixture{
		main: object{
			"added_tokens": []object{
				{"id": 0, "content": "<unk>", "special": true}, {"id": 1, "content": "<s>", "special": true},
				{"id": 2, "content": "</s>", "special": true},
			},
			"normalizer": object{"type": "Sequence", "normalizers": []object{
				{"type": "Prepend", "prepend": "▁"},
				{"type": "Replace", "pattern": object{"String": " "}, "content": "▁"},
			}},
			"post_processor": object{
				"type":           "TemplateProcessing",
				"single":         []object{{"SpecialToken": object{"id": "<s>"}}, {"Sequence": object{"id": "A"}}},
				"special_tokens": object{"<s>": object{"id": "<s>", "ids": []int{1}}},
			},
			"decoder": object{"type": "Sequence", "decoders": []object{
				{"type": "Replace", "pattern": object{"String": "▁"}, "content": " "},
				{"type": "ByteFallback"}, {"type": "Fuse"},
				{"type": "Strip", "content": " ", "start": 1, "stop": 0},
			}},
			"model": object{
				"type": "BPE", "vocab": vocab, "merges": [][]string{{"a", "b"}, {"▁", "a"}, {"▁", "ab"}},
				"unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
			},
		},
		settings: object{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
	}
}

func (f fixture) model() object { return f.main["model"].(object) }

// addTokens appends to added_tokens.
func (f fixture) addTokens(tokens ...object) {
	f.main["added_tokens"] = append(f.main["added_tokens"].([]object), tokens...)
}

// dir writes the fixture and returns its folder.
func (f fixture) dir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), f.main)
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), f.settings)
	return dir
}

func (f fixture) load(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := Load(f.dir(t))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
