package tokenizer

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// gpt2Files writes the vocabulary and the merges of byteLevel as vocab.json and merges.txt, with settings unless they are nil.
func gpt2Files(t *testing.T, merges string, settings object) string {
	t.Helper()
	dir := t.TempDir()
	f := byteLevel()
	vocab := f.model()["vocab"].(object)
	vocab["<|endoftext|>"] = 263
	writeJSON(t, filepath.Join(dir, vocabFile), vocab)
	if err := os.WriteFile(filepath.Join(dir, mergesFile), []byte(merges), 0o644); err != nil {
		t.Fatal(err)
	}
	if settings != nil {
		writeJSON(t, filepath.Join(dir, settingsFile), settings)
	}
	return dir
}

const someMerges = "#version: 0.2\nh e\nl l\nhe ll\nhell o\nĠ w\n1 2\nÃ ©\n"

func TestVocabAndMerges(t *testing.T) {
	for name, c := range map[string]struct {
		merges   string
		settings object
		special  map[string]string
		cases    []encodeCase
	}{
		"alone": {
			someMerges, nil, map[string]string{"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
			[]encodeCase{{"hello w<|endoftext|>é1212", []int32{259, 260, 263, 262, 261, 261}, nil}},
		},
		"Windows": {strings.ReplaceAll(someMerges, "\n", "\r\n"), object{}, nil, []encodeCase{{"hello", []int32{259}, nil}}},
		"GPT2Tokenizer": {
			someMerges, object{"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": true, "eos_token": "w"},
			map[string]string{"bos_token": "<|endoftext|>", "eos_token": "w", "unk_token": "<|endoftext|>"},
			[]encodeCase{{"hello", []int32{' ', 259}, nil}},
		},
		"Qwen2Tokenizer": {
			someMerges, object{"tokenizer_class": "Qwen2Tokenizer"},
			map[string]string{"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"},
			[]encodeCase{{"e\u0301", []int32{262}, nil}, {"12", []int32{'1', '2'}, nil}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tok, err := Load(gpt2Files(t, c.merges, c.settings))
			if err != nil {
				t.Fatal(err)
			}
			checkEncode(t, tok, true, c.cases)
			if got := tok.SpecialTokens(); c.special != nil && !maps.Equal(got, c.special) {
				t.Errorf("roles %v, want %v", got, c.special)
			}
			want := []string{"tokenizer_config.json", "vocab.json", "merges.txt"}
			if c.settings == nil {
				want = want[1:]
			}
			if got := tok.Files(); !slices.Equal(got, want) {
				t.Errorf("Files %v, want %v", got, want)
			}
		})
	}
}

func TestVocabAndMergesErrors(t *testing.T) {
	for _, c := range []struct {
		merges, class, want string
	}{
		{"#version: 0.2\nh e\nl l l\n", "", `merges.txt:3: "l l l" is not two texts with one space between them`},
		{"h\n", "", `merges.txt:1: "h" is not two texts with one space between them`},
		{"h e\nz z\n", "", `vocab.json: model.merges[1]: "z" and "z", or the two joined, are not in the vocabulary`},
		{"h e\n#version: 0.2\n", "", `vocab.json: model.merges[1]: "#version:" and "0.2", or the two joined, are not in the vocabulary`},
		{someMerges, "CLIPTokenizer", `vocab.json: tokenizer_class "CLIPTokenizer" is not supported without tokenizer.json; want GPT2Tokenizer, CodeGenTokenizer or Qwen2Tokenizer`},
		{"", "", "merges.txt: empty; get the file again"},
	} {
		dir := gpt2Files(t, c.merges, object{"tokenizer_class": c.class})
		if _, err := Load(dir); err == nil || err.Error() != dir+string(filepath.Separator)+c.want {
			t.Errorf("error %v\nwant %s", err, c.want)
		}
	}
	dir := gpt2Files(t, someMerges, nil)
	if err := os.Remove(filepath.Join(dir, mergesFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "tokenizer.json: no such file; make it of vocab.json once") {
		t.Errorf("without merges.txt: error %v", err)
	}
	dir = gpt2Files(t, someMerges, object{"eos_token": "</s>"})
	want := filepath.Join(dir, settingsFile) + `: eos_token: "</s>" is not in the vocabulary; add it to vocab.json or name another token`
	if _, err := Load(dir); err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}

// TestAddedTokensFile: added_tokens.json counts where tokenizer_config.json does not list added tokens.
func TestAddedTokensFile(t *testing.T) {
	for name, c := range map[string]struct {
		settings object
		ids      []int32
		plain    string // decoded without special tokens
	}{
		"no list":   {object{}, []int32{'a', 300, 301}, "a<x><y>"},
		"a role":    {object{"pad_token": "<y>"}, []int32{'a', 300, 301}, "a<x>"},
		"with list": {object{"added_tokens_decoder": object{"300": object{"content": "<x>"}}}, []int32{'a', 300, '<', 'y', '>'}, "a<x><y>"},
	} {
		dir := gpt2Files(t, someMerges, c.settings)
		writeJSON(t, filepath.Join(dir, addedFile), object{"<x>": 300, "<y>": 301})
		tok, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		enc, err := tok.Encode("a<x><y>", false)
		if err != nil || !slices.Equal(enc.IDs, c.ids) {
			t.Errorf("%s: %v, %v, want %v", name, enc.IDs, err, c.ids)
		}
		if got := tok.Decode(enc.IDs, true); got != c.plain {
			t.Errorf("%s: decoded %q, want %q", name, got, c.plain)
		}
	}
	dir := gpt2Files(t, someMerges, nil)
	writeJSON(t, filepath.Join(dir, addedFile), object{"<x>": 5})
	want := filepath.Join(dir, addedFile) + `: "ą" and "<x>" both have id 5`
	if _, err := Load(dir); err == nil || err.Error() != want {
		t.Errorf("error %v\nwant %s", err, want)
	}
}
