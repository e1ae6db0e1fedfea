package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/safetensors"
	"dpotrain/internal/testfiles"
)

// folder is a model folder to be written; tests change its parts.
type folder struct {
	config  fields
	tensors map[string]safetensors.Tensor
}

// folderOf reads a model of testdata, with all weights as float32.
func folderOf(t *testing.T, name string) folder {
	t.Helper()
	dir := testfiles.Path(t, "models", name)
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := folder{tensors: map[string]safetensors.Tensor{}}
	if err := json.Unmarshal(text, &f.config); err != nil {
		t.Fatal(err)
	}
	for _, x := range load(t, dir, float64Device).Tensors(safetensors.F32) {
		f.tensors[x.Name] = x
	}
	return f
}

func tensor(t *testing.T, name string, values []float32, shape ...int) safetensors.Tensor {
	t.Helper()
	x, err := safetensors.Encode(name, shape, values, safetensors.F32)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// values are the numbers of a tensor of f.
func (f folder) values(t *testing.T, name string) []float32 {
	t.Helper()
	x, ok := f.tensors[name]
	if !ok {
		t.Fatalf("no tensor %s", name)
	}
	v := make([]float32, x.Len())
	if err := x.Float32(v); err != nil {
		t.Fatal(err)
	}
	return v
}

// set puts other numbers into a tensor.
func (f folder) set(t *testing.T, name string, values []float32) {
	t.Helper()
	f.tensors[name] = tensor(t, name, values, f.tensors[name].Shape...)
}

// rename calls a tensor by another name, or drops it.
func (f folder) rename(from, to string) {
	x := f.tensors[from]
	delete(f.tensors, from)
	if to != "" {
		x.Name = to
		f.tensors[to] = x
	}
}

// write makes the folder.
func (f folder) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(f.config)
	if err != nil {
		t.Fatal(err)
	}
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, slices.Collect(maps.Values(f.tensors)), nil); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"config.json": text, "model.safetensors": weights.Bytes()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLoadErrors: each wrong thing is named, and nothing is allocated for weights that do not fit.
func TestLoadErrors(t *testing.T) {
	const q, norm, one = "model.layers.1.self_attn.q_proj.weight", "model.norm.weight", "; take weights and config.json from one model"
	for _, tt := range []struct {
		name, model string
		change      func(t *testing.T, f folder)
		err         string // without the folder in front
	}{
		{"missing", "llama", func(_ *testing.T, f folder) { f.rename(q, "") }, q + ": missing, want shape [40 36]" + one},
		{"wrong shape", "llama", func(t *testing.T, f folder) { f.tensors[q] = tensor(t, q, make([]float32, 36*36), 36, 36) }, q + ": shape [36 36], want [40 36]" + one},
		{"one dimension more", "llama", func(t *testing.T, f folder) { f.tensors[norm] = tensor(t, norm, make([]float32, 36), 1, 36) }, norm + ": shape [1 36], want [36]" + one},
		{"left over", "llama", func(t *testing.T, f folder) { f.tensors["extra"] = tensor(t, "extra", []float32{1}, 1) }, "extra: not a tensor of model_type llama with this config.json" + one},
		{"renamed", "llama", func(_ *testing.T, f folder) { f.rename(norm, "model.final.weight") },
			norm + ": missing, want shape [36]; model.final.weight: not a tensor of model_type llama with this config.json" + one},
		{"with and without prefix", "gpt2", func(t *testing.T, f folder) {
			f.tensors["ln_f.bias"] = tensor(t, "ln_f.bias", make([]float32, 32), 32)
		}, "ln_f.bias: not a tensor of model_type gpt2 with this config.json" + one},
		{"a layer too many in config.json", "gpt2-untied", func(_ *testing.T, f folder) { f.config["n_layer"] = 3 }, "transformer.h.2.attn.c_attn.bias: missing, want shape [108], and 11 more missing" + one},
		{"another width in config.json", "llama", func(_ *testing.T, f folder) { f.config["intermediate_size"] = 64 },
			"model.layers.0.mlp.down_proj.weight: shape [36 60], want [36 64], and 5 more of another shape" + one},
		{"no head", "llama", func(_ *testing.T, f folder) { f.config["tie_word_embeddings"] = false },
			"lm_head.weight: missing, want shape [320 36], or tie_word_embeddings true in config.json" + one},
		{"quantized", "llama", func(t *testing.T, f folder) { f.rename(q, strings.TrimSuffix(q, "weight")+"qweight") },
			"model.layers.1.self_attn.q_proj.qweight: quantized weights are not read; take the model that these were made from"},
		{"an adapter", "llama", func(t *testing.T, f folder) {
			const a = "model.layers.1.self_attn.q_proj.lora_A.weight"
			f.tensors[a] = tensor(t, a, make([]float32, 36), 1, 36)
		}, "model.layers.1.self_attn.q_proj.lora_A.weight: a LoRA adapter that is not merged with its model; merge the two, in Python with merge_and_unload of peft"},
		{"sizes that would take all memory", "llama", func(_ *testing.T, f folder) {
			f.config["vocab_size"], f.config["hidden_size"], f.config["num_hidden_layers"] = 1<<20, 1<<16, 1
		}, "model.embed_tokens.weight: shape [320 36], want [1048576 65536], and 10 more of another shape; model.layers.1.input_layernorm.weight: not a tensor of model_type llama with this config.json, and 8 more not of it" + one},
		{"not a number", "llama", func(t *testing.T, f folder) {
			v := f.values(t, norm)
			v[5] = float32(math.NaN())
			f.set(t, norm, v)
		}, norm + ": element 5 is NaN; the weights are damaged, get them again"},
		{"infinite", "llama", func(t *testing.T, f folder) {
			v := f.values(t, q)
			v[1439] = float32(math.Inf(-1))
			f.set(t, q, v)
		}, q + ": element 1439 is -Inf; the weights are damaged, get them again"},
		{"a head that is tied and differs", "llama", func(t *testing.T, f folder) {
			v := f.values(t, "model.embed_tokens.weight")
			v[0]++
			f.tensors["lm_head.weight"] = tensor(t, "lm_head.weight", v, 320, 36)
		}, "lm_head.weight differs from model.embed_tokens.weight, and config.json says tie_word_embeddings; set it to false or remove the tensor"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := folderOf(t, tt.model)
			tt.change(t, f)
			dir := f.write(t)
			d := &countingDevice{Device: float64Device}
			m, err := model.Load(dir, d)
			if err == nil {
				t.Fatalf("got a model of %d parameters, want an error", m.Len())
			}
			damaged := strings.HasSuffix(err.Error(), "damaged, get them again")
			if d.calls > 0 && !damaged {
				t.Errorf("%d numbers were allocated", d.numbers)
			}
			if want := dir + ": " + tt.err; err.Error() != want {
				t.Errorf(" got %s\nwant %s", err, want)
			}
		})
	}

	t.Run("no config.json", func(t *testing.T) {
		dir := t.TempDir()
		want := filepath.Join(dir, "config.json") + ": no such file; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"
		if _, err := model.Load(dir, float64Device); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
	t.Run("no weights", func(t *testing.T) {
		dir := folderOf(t, "llama").write(t)
		if err := os.Remove(filepath.Join(dir, "model.safetensors")); err != nil {
			t.Fatal(err)
		}
		if _, err := model.Load(dir, float64Device); err == nil || !strings.Contains(err.Error(), "model.safetensors") {
			t.Errorf("got %v, want an error that names the file", err)
		}
	})
}

// TestLoadForms: one model in the forms that files have is one model, by its digest.
func TestLoadForms(t *testing.T) {
	for _, tt := range []struct {
		name, model string
		change      func(t *testing.T, f folder)
	}{
		{"as it is", "llama", func(*testing.T, folder) {}},
		{"BF16 widened", "llama-linear", func(*testing.T, folder) {}},
		{"F16 widened", "gpt2-untied", func(*testing.T, folder) {}},
		{"without prefix", "gpt2", func(_ *testing.T, f folder) {
			for _, name := range slices.Collect(maps.Keys(f.tensors)) {
				f.rename(name, strings.TrimPrefix(name, "transformer."))
			}
		}},
		{"without prefix", "llama", func(_ *testing.T, f folder) {
			for _, name := range slices.Collect(maps.Keys(f.tensors)) {
				f.rename(name, strings.TrimPrefix(name, "model."))
			}
		}},
		{"with buffers of old versions", "gpt2", func(t *testing.T, f folder) {
			for _, name := range []string{"transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"} {
				f.tensors[name] = tensor(t, name, []float32{1}, 1, 1, 1, 1)
			}
		}},
		{"with buffers of old versions", "llama", func(t *testing.T, f folder) {
			const name = "model.layers.0.self_attn.rotary_emb.inv_freq"
			f.tensors[name] = tensor(t, name, []float32{1, 2}, 2)
		}},
		{"with the tied head", "llama", func(_ *testing.T, f folder) {
			head := f.tensors["model.embed_tokens.weight"]
			head.Name = "lm_head.weight"
			f.tensors[head.Name] = head
		}},
		{"with keys that change nothing", "llama", func(_ *testing.T, f folder) {
			maps.Copy(f.config, fields{"torch_dtype": "float16", "initializer_range": 0.5, "eos_token_id": 7, "attention_dropout": 0.5, "use_cache": false, "mystery": 1})
		}},
		{"with rope as transformers 4 wrote it", "llama", func(_ *testing.T, f folder) {
			delete(f.config, "rope_parameters")
			f.config["rope_theta"] = 10000
		}},
	} {
		t.Run(tt.name+", "+tt.model, func(t *testing.T) {
			want := load(t, testfiles.Path(t, "models", tt.model), float64Device).Digest()
			f := folderOf(t, tt.model)
			tt.change(t, f)
			if got := load(t, f.write(t), float64Device).Digest(); got != want {
				t.Errorf("digest %v, want %v", got, want)
			}
		})
	}
	old := load(t, testfiles.Path(t, "models", "llama3-bias-untied-old"), float64Device).Digest()
	if now := load(t, testfiles.Path(t, "models", "llama3-bias-untied"), float64Device).Digest(); now != old {
		t.Errorf("digest %v with the config of transformers 5, %v with that of 4", now, old)
	}
}

// TestDigest: it changes with any tensor, with the names of tensors and with whatever the architecture reads from config.json.
func TestDigest(t *testing.T) {
	base := load(t, folderOf(t, "llama").write(t), float64Device)
	seen := map[model.Digest]string{base.Digest(): "the model"}
	distinct := func(what string, d model.Digest) {
		t.Helper()
		if before, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", what, before)
		}
		seen[d] = what
	}
	for _, p := range base.Params {
		was := base.Values(base.W, p)
		for _, i := range []int{0, p.Len() - 1} {
			changed := slices.Clone(was)
			changed[i] = math.Nextafter32(changed[i], 9)
			base.SetValues(base.W, p, changed)
			distinct(fmt.Sprintf("another number %d of %s", i, p.Name), base.Digest())
		}
		base.SetValues(base.W, p, was)
	}
	if d := base.Digest(); seen[d] != "the model" {
		t.Errorf("the digest is that of %q after all numbers are back", seen[d])
	}

	f := folderOf(t, "llama")
	const a, b = "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"
	x, y := f.values(t, a), f.values(t, b)
	f.set(t, a, y)
	f.set(t, b, x)
	distinct("two tensors changed places", load(t, f.write(t), float64Device).Digest())

	llama3 := fields{"rope_theta": 10000.0, "rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
		"original_max_position_embeddings": 32}
	for _, changes := range []fields{
		{"model_type": "mistral", "sliding_window": nil},
		{"model_type": "mistral", "sliding_window": 7},
		{"model_type": "mistral", "sliding_window": 8},
		{"rms_norm_eps": 2e-5},
		{"max_position_embeddings": 128},
		{"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 20},
		{"rope_parameters": fields{"rope_theta": 10001.0, "rope_type": "default"}},
		{"rope_parameters": fields{"rope_theta": 10000.0, "rope_type": "linear", "factor": 2.0}},
		{"rope_parameters": fields{"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}},
		{"rope_parameters": llama3},
		{"rope_parameters": llama3.with(fields{"low_freq_factor": 2.0})},
		{"rope_parameters": llama3.with(fields{"high_freq_factor": 5.0})},
		{"rope_parameters": llama3.with(fields{"original_max_position_embeddings": 64})},
	} {
		f := folderOf(t, "llama")
		f.config = f.config.with(changes)
		distinct(fmt.Sprint(changes), load(t, f.write(t), float64Device).Digest())
	}

	d := base.Digest()
	prints := map[[32]byte]string{}
	for _, precision := range []string{"fp32", "bf16"} {
		for _, family := range []string{"cpu-generic", "cpu-avx2", "cpu-avx512", "cpu-amx", "gpu"} {
			for other := range 2 {
				e := d
				e[31] += byte(other)
				p := e.Fingerprint(precision, family)
				if p != e.Fingerprint(precision, family) {
					t.Errorf("two fingerprints of %v, %s, %s", e, precision, family)
				}
				what := fmt.Sprint(e, precision, family)
				if before, ok := prints[p]; ok {
					t.Errorf("%s has the fingerprint of %s", what, before)
				}
				prints[p] = what
			}
		}
	}
}

// TestNewRandom: a tensor's numbers depend on the seed and its name alone.
func TestNewRandom(t *testing.T) {
	const text = `{"model_type": %q, "vocab_size": 300, "hidden_size": 32, "intermediate_size": 40, "num_hidden_layers": %d, "num_attention_heads": 4,
		"attention_bias": true, "initializer_range": 0.05}`
	device := newDevice(t, cpu.Best(), 2)
	newRandom := func(layers int, seed uint64) *model.Model {
		c, err := model.ParseConfig("config.json", fmt.Appendf(nil, text, "llama", layers))
		if err != nil {
			t.Fatal(err)
		}
		return model.NewRandom(c, device, seed)
	}
	m, same, more, other := newRandom(2, 7), newRandom(2, 7), newRandom(3, 7), newRandom(2, 8)
	if m.Digest() != same.Digest() {
		t.Error("two models of one seed differ")
	}
	in := map[string]model.Param{}
	for _, p := range more.Params {
		in[p.Name] = p
	}
	drawn := map[float32]string{} // first number of a tensor
	for i, p := range m.Params {
		v := m.Values(m.W, p)
		if !slices.Equal(v, more.Values(more.W, in[p.Name])) {
			t.Errorf("%s differs in a model with one layer more", p.Name)
		}
		if !p.Decay {
			want := float32(0)
			if strings.HasSuffix(p.Name, ".weight") {
				want = 1
			}
			if slices.ContainsFunc(v, func(x float32) bool { return x != want }) {
				t.Errorf("%s is %v, want %v throughout", p.Name, v, want)
			}
			continue
		}
		if before, ok := drawn[v[0]]; ok {
			t.Errorf("%s begins as %s does", p.Name, before)
		}
		drawn[v[0]] = p.Name
		if slices.Equal(v, other.Values(other.W, other.Params[i])) {
			t.Errorf("%s is the same with another seed", p.Name)
		}
		var sum, squares float64
		for _, x := range v {
			sum += float64(x)
			squares += float64(x) * float64(x)
		}
		n := float64(len(v))
		// Of n draws the mean is within 5/sqrt(n) standard deviations of 0, the deviation within 5/sqrt(2n) of its own.
		if mean, sd := sum/n, math.Sqrt(squares/n); math.Abs(mean) > 0.05*5/math.Sqrt(n) || math.Abs(sd/0.05-1) > 5/math.Sqrt(2*n) {
			t.Errorf("%s: mean %.4g, standard deviation %.4g of %d numbers, want 0 and 0.05", p.Name, mean, sd, len(v))
		}
	}
}

// TestDecay: weight decay is off for biases and norm weights, and for nothing else.
func TestDecay(t *testing.T) {
	for _, name := range []string{"llama3-bias-untied", "gpt2-untied"} {
		for _, p := range load(t, testfiles.Path(t, "models", name), float64Device).Params {
			if want := len(p.Shape) == 2; p.Decay != want {
				t.Errorf("%s: %s, shape %v: decay %v", name, p.Name, p.Shape, p.Decay)
			}
		}
	}
}

// FuzzLoad: a config.json that says anything of weights that are as they are gives an error, or a model whose weights are those.
func FuzzLoad(f *testing.F) {
	dir := testfiles.Path(f, "models", "llama")
	weights, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, pair := range [][2]string{{`"num_hidden_layers": 2`, `"num_hidden_layers": 4096`}, {`"hidden_size": 36`, `"hidden_size": 4194304`}, {`"llama"`, `"gpt2"`}, {`"llama"`, `"mistral"`}, {`true,`, `false,`}} {
		f.Add(bytes.Replace(text, []byte(pair[0]), []byte(pair[1]), -1))
	}
	f.Fuzz(func(t *testing.T, config []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{"config.json": config, "model.safetensors": weights} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		d := &countingDevice{Device: float64Device}
		m, err := model.Load(dir, d)
		if err != nil {
			if !strings.HasPrefix(err.Error(), dir) {
				t.Errorf("%q does not name a file", err)
			}
			if d.calls > 0 {
				t.Errorf("%d numbers were allocated for: %v", d.numbers, err)
			}
			return
		}
		if n := 4 * m.Len(); n > len(weights) {
			t.Errorf("%d parameters of a file of %d bytes", m.Len(), len(weights))
		}
	})
}
