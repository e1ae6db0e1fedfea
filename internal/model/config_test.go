package model_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// gpt2Small is the config of GPT-2's smallest model; smallLlama has nothing but what is needed.
var (
	gpt2Small = fields{"activation_function": "gelu_new", "architectures": []string{"GPT2LMHeadModel"}, "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1,
		"eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-5, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12,
		"n_layer": 12, "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": nil, "summary_first_dropout": 0.1,
		"summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
		"task_specific_params": fields{"text-generation": fields{"do_sample": true, "max_length": 50}}, "vocab_size": 50257}
	smallLlama = fields{"model_type": "llama", "vocab_size": 100, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}
)

// TestDefaults: what holds where a config says nothing. They are those of transformers' LlamaConfig and GPT2Config.
func TestDefaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config fields
		want   model.Spec
	}{
		{"llama", smallLlama, model.Spec{ModelType: "llama", Vocab: 100, Hidden: 24, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 6, Intermediate: 40, Norm: model.RMSNorm,
			NormEps: 1e-6, MLP: model.SwiGLU, Rope: &model.Rope{Dim: 6, Theta: 10000, Type: "default"}, Positions: 2048, InitRange: 0.02}},
		{"llama with null for them", smallLlama.with(fields{"num_key_value_heads": nil, "head_dim": nil, "rms_norm_eps": nil, "rope_theta": nil, "rope_scaling": nil,
			"rope_parameters": nil, "hidden_act": nil, "attention_bias": nil, "tie_word_embeddings": nil, "pretraining_tp": nil}),
			model.Spec{ModelType: "llama", Vocab: 100, Hidden: 24, Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 6, Intermediate: 40, Norm: model.RMSNorm,
				NormEps: 1e-6, MLP: model.SwiGLU, Rope: &model.Rope{Dim: 6, Theta: 10000, Type: "default"}, Positions: 2048, InitRange: 0.02}},
		{"gpt2", fields{"model_type": "gpt2", "vocab_size": 100, "n_embd": 24, "n_layer": 2, "n_head": 4, "n_inner": nil}, model.Spec{ModelType: "gpt2", Vocab: 100, Hidden: 24,
			Layers: 2, Heads: 4, KVHeads: 4, HeadDim: 6, Intermediate: 96, Norm: model.LayerNorm, NormEps: 1e-5, MLP: model.GELUTanh, Positions: 1024,
			QKVBias: true, OutBias: true, MLPBias: true, Tied: true, InitRange: 0.02}},
		{"gpt2 small", gpt2Small, model.Spec{ModelType: "gpt2", Vocab: 50257, Hidden: 768, Layers: 12, Heads: 12, KVHeads: 12, HeadDim: 64, Intermediate: 3072,
			Norm: model.LayerNorm, NormEps: 1e-5, MLP: model.GELUTanh, Positions: 1024, QKVBias: true, OutBias: true, MLPBias: true, Tied: true, InitRange: 0.02}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.Spec, tt.want) {
				t.Errorf("got  %+v, rope %+v\nwant %+v, rope %+v", c.Spec, c.Spec.Rope, tt.want, tt.want.Rope)
			}
		})
	}
}

// TestConfigErrors: every rule that refuses a key or a value, mostly for Llama and GPT-2.
func TestConfigErrors(t *testing.T) {
	linear := func(more fields) fields {
		return fields{"rope_scaling": fields{"type": "linear", "factor": 2.0}.with(more)}
	}
	llama3 := func(more fields) fields {
		return fields{"rope_parameters": fields{"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
			"original_max_position_embeddings": 32}.with(more)}
	}
	for _, tt := range []struct {
		name    string
		base    fields
		changes fields
		err     string // all lines, without the path in front; empty for none
	}{
		{"fine", smallLlama, fields{}, ""},
		{"no model_type", smallLlama, fields{"model_type": absent}, "model_type: missing; want one of gpt2, "},
		{"model_type of another kind", smallLlama, fields{"model_type": "t5"}, `model_type: "t5" is not supported; there are gpt2, `},

		{"model_type that is no text", smallLlama, fields{"model_type": []int{1}}, "model_type: [1]; want a string"},

		{"missing", smallLlama, fields{"hidden_size": absent}, "hidden_size: missing; want a whole number"},
		{"null", smallLlama, fields{"vocab_size": nil}, "vocab_size: missing; want a whole number"},
		{"a fraction", smallLlama, fields{"num_hidden_layers": 2.5}, "num_hidden_layers: 2.5; want a whole number"},
		{"a string", smallLlama, fields{"num_hidden_layers": "2"}, `num_hidden_layers: "2"; want a whole number`},
		{"not a number", smallLlama, fields{"rms_norm_eps": "small"}, `rms_norm_eps: "small"; want a number`},
		{"not a bool", smallLlama, fields{"tie_word_embeddings": 1}, "tie_word_embeddings: 1; want true or false"},
		{"not a string", smallLlama, fields{"hidden_act": 3}, "hidden_act: 3; want a string"},
		{"another activation", smallLlama, fields{"hidden_act": "relu"}, `hidden_act: "relu" is not implemented; there is silu, swish`},
		{"another activation", gpt2Small, fields{"activation_function": "relu"}, `activation_function: "relu" is not implemented; there is gelu, gelu_python, gelu_new, `},

		{"zero heads", smallLlama, fields{"num_attention_heads": 0, "num_key_value_heads": 0}, "num_attention_heads: 0 is out of range; want 1 to 4194304\nnum_key_value_heads: 0 is out of range; want 1 to 4194304"},
		{"zero heads", gpt2Small, fields{"n_head": 0}, "n_head: 0 is out of range; want 1 to 4194304"},
		{"zero kv heads", smallLlama, fields{"num_key_value_heads": 0}, "num_key_value_heads: 0 is out of range; want 1 to 4194304"},
		{"negative", smallLlama, fields{"num_attention_heads": -4}, "num_attention_heads: -4 is out of range; want 1 to 4194304"},
		{"heads do not divide", smallLlama, fields{"num_attention_heads": 5}, "hidden_size: 24 is not a multiple of num_attention_heads 5, and there is no head_dim"},
		{"heads do not divide, with a head_dim", smallLlama, fields{"num_attention_heads": 5, "head_dim": 6}, ""},
		{"heads do not divide", gpt2Small, fields{"n_head": 7}, "n_embd: 768 is not a multiple of n_head 7"},
		{"kv heads do not divide", smallLlama, fields{"num_key_value_heads": 3}, "num_attention_heads 4 is not a multiple of num_key_value_heads 3"},
		{"odd head_dim", smallLlama, fields{"head_dim": 5}, "rotary positions are to turn 5 numbers of a head that has 5; they turn an even count, at least 2"},
		{"odd heads with learned positions", gpt2Small, fields{"n_embd": 20, "n_head": 4}, ""},
		{"no vocabulary", smallLlama, fields{"vocab_size": 0}, "vocab_size: 0 is out of range; want 1 to 4194304"},
		{"too wide", smallLlama, fields{"intermediate_size": 1 << 30}, "intermediate_size: 1073741824 is out of range; want 1 to 4194304"},
		{"no positions", gpt2Small, fields{"n_positions": 0}, "n_positions: 0 is out of range; want 1 to 4194304"},
		{"too many layers", smallLlama, fields{"num_hidden_layers": 5000}, "num_hidden_layers: 5000 is out of range; want 1 to 4096"},
		{"too large", smallLlama, fields{"vocab_size": 1 << 22, "hidden_size": 1 << 22}, "1.76e+14 parameters; there may be 1.37e+11; look at the sizes"},
		{"heads too large", smallLlama, fields{"num_attention_heads": 1 << 22, "head_dim": 1 << 22}, "3.38e+15 parameters; there may be 1.37e+11; look at the sizes"},
		{"epsilon of 0", smallLlama, fields{"rms_norm_eps": 0}, "norm epsilon 0 is out of range; want > 0"},

		{"neutral", smallLlama, fields{"pretraining_tp": 1.0, "rope_interleaved": false, "is_decoder": false, "pruned_heads": fields{}, "quantization_config": nil}, ""},
		{"not neutral", smallLlama, fields{"pretraining_tp": 2}, "pretraining_tp: 2 is not implemented; only 1 is"},
		{"not neutral", smallLlama, fields{"rope_interleaved": true}, "rope_interleaved: true is not implemented; only false is"},
		{"not neutral", smallLlama, fields{"pruned_heads": fields{"0": []int{1}}}, `pruned_heads: {"0":[1]} is not implemented; only {} is`},
		{"not neutral", smallLlama, fields{"quantization_config": fields{"bits": 4}}, "quantization_config: quantized weights are not read; take the model that these were made from"},
		{"not neutral", gpt2Small, fields{"scale_attn_weights": false}, "scale_attn_weights: false is not implemented; only true is"},
		{"not neutral", gpt2Small, fields{"scale_attn_by_inverse_layer_idx": true}, "scale_attn_by_inverse_layer_idx: true is not implemented; only false is"},
		{"not neutral", gpt2Small, fields{"add_cross_attention": true}, "add_cross_attention: true is not implemented; only false is"},

		{"unknown and risky", smallLlama, fields{"attn_logit_softcapping": 50.0}, "attn_logit_softcapping: unknown key, and its name says that it changes what the model computes; " +
			"this architecture is not implemented with it"},
		{"unknown and risky", qwen25, fields{"qk_norm": true}, "qk_norm: unknown key, and its name says that it changes what the model computes; " +
			"this architecture is not implemented with it"},
		{"unknown, risky and null", smallLlama, fields{"attn_logit_softcapping": nil}, ""},

		{"linear", smallLlama, linear(nil), ""},
		{"linear without factor", smallLlama, linear(fields{"factor": nil}), "rope_scaling: factor: missing; want a number"},
		{"linear with factor below 1", smallLlama, linear(fields{"factor": 0.5}), "rope_scaling: factor: want a number of at least 1"},
		{"linear with keys of another type", smallLlama, linear(fields{"beta_fast": 32, "attention_factor": nil}), "rope_scaling: beta_fast: not implemented for rope_type linear"},
		{"llama3", smallLlama, llama3(nil), ""},
		{"llama3 without a key", smallLlama, llama3(fields{"original_max_position_embeddings": nil}), "rope_parameters: original_max_position_embeddings: missing; want a number"},
		{"llama3 with equal factors", smallLlama, llama3(fields{"high_freq_factor": 1}),
			"rope_parameters: high_freq_factor: want more than low_freq_factor, and original_max_position_embeddings above 0"},
		{"yarn", smallLlama, fields{"rope_scaling": fields{"rope_type": "yarn", "factor": 2, "beta_fast": 32}}, `rope_scaling: rope_type: "yarn" is not implemented; there are default, linear, llama3`},
		{"rope_type goes before type", smallLlama, fields{"rope_scaling": fields{"rope_type": "dynamic", "type": "linear", "factor": 2}},
			`rope_scaling: rope_type: "dynamic" is not implemented; there are default, linear, llama3`},
		{"rope of another form", smallLlama, fields{"rope_scaling": "linear"}, "rope_scaling: want an object"},
		{"theta 0", smallLlama, fields{"rope_theta": 0}, "rope_theta: want a number of at least 1"},
		{"theta below 1", smallLlama, fields{"rope_parameters": fields{"rope_theta": 0.5, "rope_type": "default"}}, "rope_theta: want a number of at least 1"},

		{"all at once", smallLlama, fields{"hidden_size": absent, "hidden_act": "relu", "rope_theta": 0, "pretraining_tp": 3},
			"pretraining_tp: 3 is not implemented; only 1 is\nhidden_size: missing; want a whole number\n" +
				"rope_theta: want a number of at least 1\nhidden_act: \"relu\" is not implemented; there is silu, swish"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(tt.base.with(tt.changes))
			got := ""
			if err != nil {
				got = strings.ReplaceAll("\n"+err.Error(), "\nconfig.json: ", "\n")[1:]
				if strings.Count("\n"+err.Error(), "\nconfig.json: ") != strings.Count(got, "\n")+1 {
					t.Errorf("%v: a line does not begin with the path: %q", tt.changes, err)
				}
			}
			if strings.HasSuffix(tt.err, ", ") && strings.HasPrefix(got, tt.err) {
				return // a list that grows with the architectures
			}
			if got != tt.err {
				t.Errorf("%v:\n got %q\nwant %q", tt.changes, got, tt.err)
			}
		})
	}
	const get = "; get the config.json of a Hugging Face model"
	for _, tt := range []struct{ text, want string }{
		{"", "empty" + get}, {" \n", "empty" + get},
		{"{", "not JSON at byte 1 (unexpected end of JSON input)" + get},
		{"{} {}", "not JSON at byte 4 (invalid character '{' after top-level value)" + get},
		{`{"model_type": "llama",}`, "not JSON at byte 24 (invalid character '}' looking for beginning of object key string)" + get},
		{"version https://git-lfs.github.com/spec/v1", "not JSON at byte 1 (invalid character 'v' looking for beginning of value)" + get},
		{"[]", "not a JSON object" + get}, {"3", "not a JSON object" + get}, {`"llama"`, "not a JSON object" + get}, {"null", "not a JSON object" + get},
	} {
		if _, err := model.ParseConfig("config.json", []byte(tt.text)); err == nil || err.Error() != "config.json: "+tt.want {
			t.Errorf("%q: error %v, want config.json: %s", tt.text, err, tt.want)
		}
	}
}

// TestConfigWarnings: an unknown key whose name is harmless is said; all dropout is said once; what only decoding or heads of other tasks
// read is not.
func TestConfigWarnings(t *testing.T) {
	for _, tt := range []struct {
		base, changes fields
		want          []string
	}{
		{smallLlama, fields{}, nil},
		{smallLlama, fields{"mystery": 1, "attention_dropout": 0.0, "torch_dtype": "float32"}, []string{"config.json: mystery: unknown key, left unused"}},
		{smallLlama, fields{"mystery": nil}, nil},
		{smallLlama, fields{"attention_dropout": 0.25, "a": 1, "b": 2}, []string{"config.json: a: unknown key, left unused", "config.json: b: unknown key, left unused",
			"config.json: left unused, as dropout is off in both passes: attention_dropout 0.25"}},
		{gpt2Small, fields{"attn_pdrop": 0}, []string{"config.json: left unused, as dropout is off in both passes: embd_pdrop 0.1, resid_pdrop 0.1"}},
		{pythia, fields{"attention_dropout": 0.1, "hidden_dropout": 0.25, "attention_probs_dropout_prob": 0, "classifier_dropout": 0.1, "top_p": 0.9, "max_length": 20,
			"early_stopping": false}, []string{"config.json: left unused, as dropout is off in both passes: attention_dropout 0.1, hidden_dropout 0.25"}},
	} {
		c, err := parse(tt.base.with(tt.changes))
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.Warnings, tt.want) {
			t.Errorf("%v:\n got %q\nwant %q", tt.changes, c.Warnings, tt.want)
		}
	}
}

// TestRopeForms: one meaning has one Spec in the form of transformers 4, in that of 5, and in 4's with 5's key names.
func TestRopeForms(t *testing.T) {
	for _, tt := range []struct {
		name  string
		forms []fields
		want  model.Rope
	}{
		{"default", []fields{
			{"rope_theta": 500.0},
			{"rope_theta": 500, "rope_scaling": nil},
			{"rope_parameters": fields{"rope_theta": 500.0, "rope_type": "default"}},
			{"rope_parameters": fields{"rope_theta": 500.0}},
			{"rope_theta": 500.0, "rope_scaling": fields{"rope_type": "default"}},
			{"rope_theta": 3.0, "rope_parameters": fields{"rope_theta": 500.0, "rope_type": "default"}}, // 5 writes one, and reads that
		}, model.Rope{Dim: 6, Theta: 500, Type: "default"}},
		{"linear", []fields{
			{"rope_theta": 500.0, "rope_scaling": fields{"type": "linear", "factor": 4}},
			{"rope_theta": 500.0, "rope_scaling": fields{"rope_type": "linear", "factor": 4.0}},
			{"rope_theta": 500.0, "rope_scaling": fields{"rope_type": "linear", "type": "linear", "factor": 4.0}},
			{"rope_parameters": fields{"rope_theta": 500.0, "rope_type": "linear", "factor": 4.0}},
		}, model.Rope{Dim: 6, Theta: 500, Type: "linear", Factor: 4}},
		{"llama3", []fields{
			{"rope_theta": 500.0, "rope_scaling": fields{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
			{"rope_parameters": fields{"rope_theta": 500.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
		}, model.Rope{Dim: 6, Theta: 500, Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 32}},
	} {
		for _, form := range tt.forms {
			c, err := parse(smallLlama.with(form))
			if err != nil {
				t.Errorf("%s: %v: %v", tt.name, form, err)
				continue
			}
			if *c.Spec.Rope != tt.want {
				t.Errorf("%s: %v: got %+v, want %+v", tt.name, form, *c.Spec.Rope, tt.want)
			}
		}
	}
}

// TestConfigText: a saved config.json says the weights' number format under the key it had, and all else as it was read.
func TestConfigText(t *testing.T) {
	base := smallLlama.with(fields{"rope_theta": 10000.0, "mystery": []any{1, "x"}, "eos_token_id": []int{1, 2}})
	for _, tt := range []struct{ changes, want fields }{
		{fields{}, fields{"torch_dtype": "bfloat16"}},
		{fields{"torch_dtype": "float16"}, fields{"torch_dtype": "bfloat16"}},
		{fields{"dtype": "float32"}, fields{"dtype": "bfloat16"}},
		{fields{"dtype": nil}, fields{"dtype": "bfloat16"}},
		{fields{"dtype": "float32", "torch_dtype": "float32"}, fields{"dtype": "bfloat16", "torch_dtype": "bfloat16"}},
	} {
		c, err := parse(base.with(tt.changes))
		if err != nil {
			t.Fatal(err)
		}
		text := c.Text("bfloat16")
		want, err := json.MarshalIndent(base.with(tt.want), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if want = append(want, '\n'); !bytes.Equal(text, want) {
			t.Errorf("%v:\n got %s\nwant %s", tt.changes, text, want)
		}
		again, err := model.ParseConfig("config.json", text)
		if err != nil || !reflect.DeepEqual(again.Spec, c.Spec) {
			t.Errorf("%v: read again: %+v, %v, want %+v", tt.changes, again.Spec, err, c.Spec)
		}
	}
}

// FuzzParseConfig: whatever a config.json says, there is a model's Spec whose sizes can be laid out, or an error.
func FuzzParseConfig(f *testing.F) {
	paths, err := filepath.Glob(filepath.Join(testfiles.Path(f, "models"), "*", "config.json"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("testdata/models: %d configs, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, c := range []fields{qwen25, qwen3v5, mistral, pythia, pythiaV5, llama32, gpt2Small, smallLlama.with(fields{"num_attention_heads": 1 << 40})} {
		text, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := model.ParseConfig("config.json", text)
		if err != nil {
			if s := err.Error(); !strings.HasPrefix(s, "config.json: ") || !json.Valid(text) && !strings.Contains(s, "not JSON at byte") && !strings.Contains(s, ": empty; ") {
				t.Errorf("%q: error %q", text, s)
			}
			return
		}
		s := c.Spec
		for _, n := range []int{s.Vocab, s.Hidden, s.Layers, s.Heads, s.KVHeads, s.HeadDim, s.Intermediate, s.Positions} {
			if n < 1 {
				t.Fatalf("%q: %+v", text, s)
			}
		}
		if s.Heads%s.KVHeads != 0 || s.Windows != nil && len(s.Windows) != s.Layers {
			t.Fatalf("%q: %+v", text, s)
		}
		if s.Rope != nil {
			for _, w := range s.Rope.Frequencies() {
				if !(w >= 0 && w <= 1) {
					t.Fatalf("%q: rope %+v turns by %g", text, s.Rope, w)
				}
			}
		}
		if again, err := model.ParseConfig("config.json", c.Text("float32")); err != nil || !reflect.DeepEqual(again.Spec, s) {
			t.Fatalf("%q: saved and read again: %+v, %v, want %+v", text, again, err, s)
		}
	})
}
