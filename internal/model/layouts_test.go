package model_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/model"
	"dpotrain/internal/safetensors"
	"dpotrain/internal/testfiles"
)

// rewrite copies a model of testdata into one file whose tensors have gone through change.
func rewrite(t *testing.T, name string, change func([]safetensors.Tensor) []safetensors.Tensor) string {
	t.Helper()
	src, dir := testfiles.Path(t, "models", name), t.TempDir()
	f, err := safetensors.OpenDir(src)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ts []safetensors.Tensor
	for _, n := range f.Names() {
		x, _ := f.Tensor(n)
		ts = append(ts, x)
	}
	out, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := safetensors.Write(out, change(ts), map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(src, "config.json"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), config, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// A change of the tensors in a file.
type change = func([]safetensors.Tensor) []safetensors.Tensor

// rename gives every tensor another name.
func rename(name func(string) string) change {
	return func(ts []safetensors.Tensor) []safetensors.Tensor {
		for i := range ts {
			ts[i].Name = name(ts[i].Name)
		}
		return ts
	}
}

func without(prefix string) change {
	return rename(func(n string) string { return strings.TrimPrefix(n, prefix) })
}

// plus adds a tensor of so many bytes; of another tensor's content if from is its name.
func plus(name string, d safetensors.Dtype, shape []int, bytes int, from string) change {
	return func(ts []safetensors.Tensor) []safetensors.Tensor {
		x := safetensors.Tensor{Name: name, Dtype: d, Shape: shape, Data: make([]byte, bytes)}
		if i := slices.IndexFunc(ts, func(t safetensors.Tensor) bool { return t.Name == from }); i >= 0 {
			x.Dtype, x.Shape, x.Data = ts[i].Dtype, ts[i].Shape, ts[i].Data
		}
		return append(ts, x)
	}
}

// copyOf adds a tensor with the content of another.
func copyOf(from, name string) change { return plus(name, "F32", nil, 4, from) }

func all(cs ...change) change {
	return func(ts []safetensors.Tensor) []safetensors.Tensor {
		for _, c := range cs {
			ts = c(ts)
		}
		return ts
	}
}

// TestLayouts: the same numbers come out of every way in which files of a family have been written, and what does not belong to a model
// is refused.
func TestLayouts(t *testing.T) {
	head := func(tie string) change { // one number of the head is another
		return func(ts []safetensors.Tensor) []safetensors.Tensor {
			ts = copyOf(tie, "lm_head.weight")(ts)
			x := &ts[len(ts)-1]
			x.Data = slices.Clone(x.Data)
			x.Data[0] ^= 1
			return ts
		}
	}
	for _, tt := range []struct {
		name, model string
		change      change
		err         string // empty: loads as the folder it was made of
	}{
		{"one file", "llama", all(), ""},
		{"one file of what were shards", "qwen3", all(), ""},
		{"no prefix", "llama", without("model."), ""},
		{"no prefix, own head", "mistral-old", without("model."), ""},
		{"no prefix", "qwen2", without("model."), ""},
		{"no prefix", "gpt2", without("transformer."), ""},
		{"no prefix", "gpt_neox", without("gpt_neox."), ""},
		{"tied head in the file", "llama", copyOf("model.embed_tokens.weight", "lm_head.weight"), ""},
		{"tied head in the file, no prefix", "qwen2", all(without("model."), copyOf("embed_tokens.weight", "lm_head.weight")), ""},
		{"tied head in the file", "gpt2", copyOf("transformer.wte.weight", "lm_head.weight"), ""},
		{"tied head in the file", "gpt_neox-sequential-old", copyOf("gpt_neox.embed_in.weight", "embed_out.weight"), ""},
		{"tied head in the file, by its other name", "gpt_neox-sequential-old", copyOf("gpt_neox.embed_in.weight", "lm_head.weight"), ""},
		{"head by its other name", "gpt_neox", rename(func(n string) string { return strings.Replace(n, "embed_out", "lm_head", 1) }), ""},
		{"rotary buffers", "qwen2", all(plus("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", []int{4}, 16, ""),
			plus("model.rotary_emb.inv_freq", "F32", []int{4}, 16, "")), ""},
		{"masks and rotary buffers", "gpt_neox", all(plus("gpt_neox.layers.0.attention.bias", "BOOL", []int{1, 1, 8, 8}, 64, ""),
			plus("gpt_neox.layers.0.attention.masked_bias", "F16", []int{}, 2, ""), plus("gpt_neox.layers.1.attention.rotary_emb.inv_freq", "F32", []int{2}, 8, "")), ""},
		{"masks, no prefix", "gpt2", all(without("transformer."), plus("h.0.attn.bias", "U8", []int{1, 1, 4, 4}, 16, ""), plus("h.0.attn.masked_bias", "F32", []int{}, 4, "")), ""},

		{"tied head that differs", "llama", head("model.embed_tokens.weight"), "lm_head.weight differs from model.embed_tokens.weight, and config.json says tie_word_embeddings"},
		{"tied head that differs", "gpt_neox-sequential-old", head("gpt_neox.embed_in.weight"), "lm_head.weight differs from gpt_neox.embed_in.weight"},
		{"head by both names", "gpt_neox", copyOf("embed_out.weight", "lm_head.weight"), "lm_head.weight: not a tensor of model_type gpt_neox"},
		{"with and without prefix", "qwen2", copyOf("model.norm.weight", "norm.weight"), "norm.weight: not a tensor of model_type qwen2"},
		{"a norm of heads", "qwen2", copyOf("model.norm.weight", "model.layers.0.self_attn.q_norm.weight"), "model.layers.0.self_attn.q_norm.weight: not a tensor of model_type qwen2"},
		{"a bias that is not read", "qwen2", copyOf("model.norm.weight", "model.layers.0.self_attn.o_proj.bias"), "model.layers.0.self_attn.o_proj.bias: not a tensor of"},
		{"another layer", "gpt_neox", copyOf("gpt_neox.layers.1.mlp.dense_h_to_4h.bias", "gpt_neox.layers.2.mlp.dense_h_to_4h.bias"), "gpt_neox.layers.2.mlp.dense_h_to_4h.bias: not a tensor of"},
		{"no head", "qwen3", rename(func(n string) string { return strings.Replace(n, "lm_head.weight", "x.rotary_emb.inv_freq", 1) }), "lm_head.weight: missing, want shape [119 28]"},
		{"no norm of heads", "qwen3", rename(func(n string) string {
			return strings.Replace(n, "1.self_attn.k_norm.weight", "x.rotary_emb.inv_freq", 1)
		}),
			"model.layers.1.self_attn.k_norm.weight: missing, want shape [12]"},
	} {
		t.Run(tt.model+"/"+tt.name, func(t *testing.T) {
			m, err := model.Load(rewrite(t, tt.model, tt.change), float64Device)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one with %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.Digest() != load(t, testfiles.Path(t, "models", tt.model), float64Device).Digest() {
				t.Error("loaded other numbers")
			}
		})
	}
}

// TestEveryArchitecture: each has its model in testdata, which TestGolden holds it to, and its place in the docs.
func TestEveryArchitecture(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join(testfiles.Path(t, "models"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, dir := range dirs {
		c, err := model.LoadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		seen[c.Spec.ModelType] = true
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "adding-an-architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range model.Architectures() {
		if !seen[a] {
			t.Errorf("testdata/models has no %s", a)
		}
		if row := "| `" + a + "` | "; !strings.Contains(string(doc), row) || !strings.Contains(string(doc), "| "+a+".go |") {
			t.Errorf("docs/adding-an-architecture.md has no row for %s", a)
		}
		if _, err := os.Stat(a + ".go"); err != nil {
			t.Error(err)
		}
	}
}
