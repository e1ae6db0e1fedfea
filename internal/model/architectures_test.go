package model_test

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"strings"
	"testing"

	"dpotrain/internal/model"
)

// fields is a config.json.
type fields map[string]any

// with puts other values in.
func (f fields) with(changes fields) fields {
	f = maps.Clone(f)
	maps.Copy(f, changes)
	return f
}

// absent is the value of a key that is not there.
const absent = "absent"

func parse(f fields) (*model.Config, error) {
	f = maps.Clone(f)
	maps.DeleteFunc(f, func(_ string, v any) bool { return v == absent })
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	return model.ParseConfig("config.json", text)
}

// The configs are those that the makers of Qwen2.5-0.5B, Qwen3-0.6B, Mistral-7B-v0.1, Pythia-70m and Llama-3.2-1B give with their
// models, and Qwen3's and Pythia's as transformers 5 writes them.
var (
	qwen25 = fields{"architectures": []string{"Qwen2ForCausalLM"}, "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151643,
		"hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864, "max_position_embeddings": 32768,
		"max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2,
		"rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
		"transformers_version": "4.40.1", "use_cache": true, "use_mrope": false, "use_sliding_window": false, "vocab_size": 151936}
	qwen3 = fields{"architectures": []string{"Qwen3ForCausalLM"}, "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
		"eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02, "intermediate_size": 3072,
		"max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
		"num_key_value_heads": 8, "rms_norm_eps": 1e-6, "rope_scaling": nil, "rope_theta": 1000000, "sliding_window": nil,
		"tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false,
		"vocab_size": 151936}
	qwen3v5 = qwen3.with(fields{"rope_scaling": absent, "rope_theta": absent, "torch_dtype": absent, "dtype": "bfloat16", "pad_token_id": nil,
		"layer_types": repeat("full_attention", 28), "rope_parameters": fields{"rope_theta": 1000000, "rope_type": "default"}})
	mistral = fields{"architectures": []string{"MistralForCausalLM"}, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
		"initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
		"num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
		"sliding_window": 4096, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0",
		"use_cache": true, "vocab_size": 32000}
	pythia = fields{"architectures": []string{"GPTNeoXForCausalLM"}, "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu", "hidden_size": 512,
		"initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-5, "max_position_embeddings": 2048,
		"model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25,
		"tie_word_embeddings": false, "torch_dtype": "float16", "transformers_version": "4.24.0", "use_cache": true,
		"use_parallel_residual": true, "vocab_size": 50304}
	pythiaV5 = pythia.with(fields{"rotary_emb_base": absent, "rotary_pct": absent, "torch_dtype": absent, "dtype": "float16", "attention_bias": true,
		"attention_dropout": 0.0, "hidden_dropout": 0.0, "classifier_dropout": 0.1, "is_decoder": false, "pad_token_id": nil,
		"rope_parameters": fields{"partial_rotary_factor": 0.25, "rope_theta": 10000, "rope_type": "default"}})
	llama32 = fields{"architectures": []string{"LlamaForCausalLM"}, "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
		"eos_token_id": 128001, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192,
		"max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
		"num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-5, "rope_scaling": fields{"factor": 32.0, "high_freq_factor": 4.0,
			"low_freq_factor": 1.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
		"tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256}
)

func repeat[T any](v T, n int) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = v
	}
	return all
}

// TestSpecs spells out what the config of one model of every family comes down to.
func TestSpecs(t *testing.T) {
	decoder := func(modelType string, s model.Spec) model.Spec {
		s.ModelType, s.Norm, s.MLP, s.InitRange = modelType, model.RMSNorm, model.SwiGLU, 0.02
		return s
	}
	wantQwen3 := decoder("qwen3", model.Spec{Vocab: 151936, Hidden: 1024, Layers: 28, Heads: 16, KVHeads: 8, HeadDim: 128, Intermediate: 3072, NormEps: 1e-6,
		Rope: &model.Rope{Dim: 128, Theta: 1e6, Type: "default"}, Positions: 40960, QKNorm: true, Tied: true})
	wantPythia := model.Spec{ModelType: "gpt_neox", Vocab: 50304, Hidden: 512, Layers: 6, Heads: 8, KVHeads: 8, HeadDim: 64, Intermediate: 2048,
		Norm: model.LayerNorm, NormEps: 1e-5, MLP: model.GELU, Rope: &model.Rope{Dim: 16, Theta: 10000, Type: "default"}, Positions: 2048,
		QKVBias: true, OutBias: true, MLPBias: true, QKVByHead: true, Parallel: true, InitRange: 0.02}
	for _, tt := range []struct {
		name   string
		config fields
		want   model.Spec
	}{
		{"llama", llama32, decoder("llama", model.Spec{Vocab: 128256, Hidden: 2048, Layers: 16, Heads: 32, KVHeads: 8, HeadDim: 64, Intermediate: 8192, NormEps: 1e-5,
			Rope:      &model.Rope{Dim: 64, Theta: 500000, Type: "llama3", Factor: 32, LowFreqFactor: 1, HighFreqFactor: 4, OriginalPositions: 8192},
			Positions: 131072, Tied: true})},
		{"qwen2", qwen25, decoder("qwen2", model.Spec{Vocab: 151936, Hidden: 896, Layers: 24, Heads: 14, KVHeads: 2, HeadDim: 64, Intermediate: 4864, NormEps: 1e-6,
			Rope: &model.Rope{Dim: 64, Theta: 1e6, Type: "default"}, Positions: 32768, QKVBias: true, Tied: true})},
		{"qwen3", qwen3, wantQwen3},
		{"qwen3 by transformers 5", qwen3v5, wantQwen3},
		{"mistral", mistral, decoder("mistral", model.Spec{Vocab: 32000, Hidden: 4096, Layers: 32, Heads: 32, KVHeads: 8, HeadDim: 128, Intermediate: 14336, NormEps: 1e-5,
			Rope: &model.Rope{Dim: 128, Theta: 10000, Type: "default"}, Positions: 32768, Windows: repeat(4096, 32)})},
		{"gpt_neox", pythia, wantPythia},
		{"gpt_neox by transformers 5", pythiaV5, wantPythia},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.config)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.Warnings) > 0 {
				t.Errorf("warnings: %q", c.Warnings)
			}
			if !reflect.DeepEqual(c.Spec, tt.want) {
				t.Errorf("got  %+v, rope %+v\nwant %+v, rope %+v", c.Spec, c.Spec.Rope, tt.want, tt.want.Rope)
			}
		})
	}
}

// TestConfigKeys: what single keys do, and which are refused.
func TestConfigKeys(t *testing.T) {
	windows := func(want ...int) func(*model.Spec) bool {
		return func(s *model.Spec) bool { return reflect.DeepEqual(s.Windows, want) || len(want)+len(s.Windows) == 0 }
	}
	two := fields{"num_hidden_layers": 2}
	sliding := two.with(fields{"use_sliding_window": true, "sliding_window": 9, "max_window_layers": 1})
	neox := func(dim int, theta float64) func(*model.Spec) bool {
		return func(s *model.Spec) bool { return s.Rope.Dim == dim && s.Rope.Theta == theta }
	}
	for _, tt := range []struct {
		name    string
		base    fields
		changes fields
		want    func(*model.Spec) bool // nil: an error with
		err     string
	}{
		{"qwen2: window from a layer on", qwen25, sliding, windows(0, 9), ""},
		{"qwen2: window of null", qwen25, sliding.with(fields{"sliding_window": nil}), windows(), ""},
		{"qwen2: window of 4096 where there is no key", qwen25, sliding.with(fields{"sliding_window": absent}), windows(0, 4096), ""},
		{"qwen2: window from layer 28 on", qwen25, fields{"num_hidden_layers": 30, "use_sliding_window": true, "sliding_window": 9, "max_window_layers": absent},
			windows(append(repeat(0, 28), 9, 9)...), ""},
		{"qwen2: window not used", qwen25, sliding.with(fields{"use_sliding_window": false, "max_window_layers": 0}), windows(), ""},
		{"qwen2: layer types go first", qwen25, sliding.with(fields{"layer_types": []string{"sliding_attention", "full_attention"}}), windows(9, 0), ""},
		{"qwen2: no window to slide", qwen25, sliding.with(fields{"use_sliding_window": false, "layer_types": []string{"full_attention", "sliding_attention"}}),
			nil, "config.json: layer_types: sliding_attention, and the config has no sliding window"},
		{"qwen2: too few layer types", qwen25, sliding.with(fields{"layer_types": []string{"full_attention"}}), nil, "layer_types: 1 entries; want one for each of the 2"},
		{"qwen2: other layer types", qwen25, two.with(fields{"layer_types": []string{"full_attention", "linear_attention"}}), nil, `layer_types: "linear_attention" is not implemented`},
		{"qwen2: layer types of another form", qwen25, two.with(fields{"layer_types": "full_attention"}), nil, "layer_types: \"full_attention\"; want a list"},
		{"qwen2: window of 0", qwen25, sliding.with(fields{"sliding_window": 0}), nil, "sliding_window: 0; want"},
		{"qwen2: use_mrope", qwen25, fields{"use_mrope": true}, nil, "use_mrope: true is not implemented"},
		{"qwen2: chunked attention", qwen25, fields{"dual_chunk_attention_config": fields{"chunk_size": 1}}, nil, "dual_chunk_attention_config: unknown key"},
		{"qwen2: attention_bias is not read", qwen25, fields{"attention_bias": false}, func(s *model.Spec) bool { return s.QKVBias && !s.OutBias }, ""},
		{"qwen2: head_dim", qwen25, fields{"head_dim": 32}, func(s *model.Spec) bool { return s.HeadDim == 32 && s.Rope.Dim == 32 }, ""},
		{"qwen2: as many kv heads as heads", qwen25, fields{"num_key_value_heads": nil}, func(s *model.Spec) bool { return s.KVHeads == 14 }, ""},
		{"qwen2: kv heads are not guessed", qwen25, fields{"num_key_value_heads": absent}, nil, "num_key_value_heads: missing"},
		{"qwen2: heads do not divide", qwen25, fields{"num_key_value_heads": 4}, nil, "num_attention_heads 14 is not a multiple of num_key_value_heads 4"},
		{"qwen2: no layers", qwen25, fields{"num_hidden_layers": 0}, nil, "num_hidden_layers: 0 is out of range"},
		{"qwen2: too many layers", qwen25, fields{"num_hidden_layers": 1 << 40}, nil, "num_hidden_layers: 1099511627776 is out of range"},
		{"qwen2: rope type yarn", qwen25, fields{"rope_scaling": fields{"type": "yarn", "factor": 4.0}}, nil, `rope_type: "yarn" is not implemented`},
		{"qwen2: rope in both forms", qwen25, fields{"rope_scaling": fields{"type": "linear", "factor": 4.0}, "rope_parameters": fields{"rope_type": "default"}},
			nil, "rope_parameters: rope_scaling is there too"},

		{"qwen3: heads of 128 where there is no key", qwen3, fields{"head_dim": absent}, func(s *model.Spec) bool { return s.HeadDim == 128 }, ""},
		{"qwen3: biases", qwen3, fields{"attention_bias": true}, func(s *model.Spec) bool { return s.QKVBias && s.OutBias && !s.MLPBias }, ""},
		{"qwen3: window", qwen3, sliding, windows(0, 9), ""},
		{"qwen3: mlp_bias", qwen3, fields{"mlp_bias": true}, nil, "mlp_bias: true is not implemented"},
		{"qwen3: layers that differ", qwen3, fields{"per_layer_config": fields{"0": fields{"intermediate_size": 8}}}, nil, "per_layer_config"},

		{"mistral: window of null", mistral, fields{"sliding_window": nil}, windows(), ""},
		{"mistral: window of 4096 where there is no key", mistral, two.with(fields{"sliding_window": absent}), windows(4096, 4096), ""},
		{"mistral: window", mistral, two.with(fields{"sliding_window": 7}), windows(7, 7), ""},
		{"mistral: window below 1", mistral, fields{"sliding_window": -1}, nil, "sliding_window: -1; want"},
		{"mistral: head_dim", mistral, fields{"head_dim": 160}, func(s *model.Spec) bool { return s.HeadDim == 160 }, ""},
		{"mistral: layer_types", mistral, fields{"layer_types": repeat("full_attention", 32)}, nil, "layer_types: unknown key"},
		{"mistral: attention_bias", mistral, fields{"attention_bias": true}, nil, "attention_bias: true is not implemented"},

		{"llama: sliding_window", llama32, fields{"sliding_window": 7}, nil, "sliding_window: 7 is not implemented"},
		{"llama: all of a head turns", llama32, fields{"partial_rotary_factor": 1.0}, func(s *model.Spec) bool { return s.Rope.Dim == 64 }, ""},
		{"llama: a share of a head turns", llama32, fields{"partial_rotary_factor": 0.5}, nil, "partial_rotary_factor: 0.5 is not implemented"},
		{"llama: a share of a head turns, by transformers 5", llama32, fields{"rope_scaling": absent, "rope_theta": absent,
			"rope_parameters": fields{"rope_theta": 10000.0, "rope_type": "default", "partial_rotary_factor": 0.5}}, nil, "partial_rotary_factor: not implemented"},
		{"llama: swish is silu", llama32, fields{"hidden_act": "swish"}, func(s *model.Spec) bool { return s.MLP == model.SwiGLU }, ""},
		{"llama: odd heads", llama32, fields{"head_dim": 63}, nil, "turn 63 numbers of a head that has 63"},

		{"gpt_neox: a quarter of 10000 where there is no key", pythia, fields{"rotary_pct": absent, "rotary_emb_base": absent}, neox(16, 10000), ""},
		{"gpt_neox: all", pythia, fields{"rotary_pct": 1.0, "rotary_emb_base": 500}, neox(64, 500), ""},
		{"gpt_neox: an odd share, cut off as transformers does", pythia, fields{"rotary_pct": 0.3}, neox(19, 10000), ""},
		{"gpt_neox: copies of transformers 4", pythia, fields{"rope_theta": 10000, "partial_rotary_factor": 0.25, "rope_scaling": nil}, neox(16, 10000), ""},
		{"gpt_neox: another base", pythia, fields{"rope_theta": 20000}, nil, "rotary_emb_base: 10000, and rotary_pct 0.25; rope_theta"},
		{"gpt_neox: another share", pythia, fields{"partial_rotary_factor": 1.0}, nil, "rotary_emb_base: 10000, and rotary_pct 0.25; rope_theta"},
		{"gpt_neox: linear", pythia, fields{"rope_scaling": fields{"type": "linear", "factor": 2.0}},
			func(s *model.Spec) bool { return s.Rope.Type == "linear" && s.Rope.Factor == 2 && s.Rope.Dim == 16 }, ""},
		{"gpt_neox: share of 0", pythia, fields{"rotary_pct": 0.0}, nil, "partial_rotary_factor: 0; want"},
		{"gpt_neox: share of too little", pythia, fields{"rotary_pct": 0.001}, nil, "turn 0 numbers of a head that has 64"},
		{"gpt_neox: share in rope_parameters", pythiaV5, fields{"rope_parameters": fields{"rope_type": "default", "rope_theta": 300.0, "partial_rotary_factor": 0.5}}, neox(32, 300), ""},
		{"gpt_neox: sequential", pythia, fields{"use_parallel_residual": false}, func(s *model.Spec) bool { return !s.Parallel }, ""},
		{"gpt_neox: no biases in attention", pythia, fields{"attention_bias": false}, func(s *model.Spec) bool { return !s.QKVBias && !s.OutBias && s.MLPBias }, ""},
		{"gpt_neox: gelu_fast", pythia, fields{"hidden_act": "gelu_fast", "attention_probs_dropout_prob": 0, "hidden_dropout_prob": 0},
			func(s *model.Spec) bool { return s.MLP == model.GELUTanh }, ""},
		{"gpt_neox: relu", pythia, fields{"hidden_act": "relu"}, nil, `hidden_act: "relu" is not implemented; there is gelu,`},
		{"gpt_neox: heads do not divide", pythia, fields{"num_attention_heads": 7}, nil, "hidden_size: 512 is not a multiple of num_attention_heads 7"},
		{"gpt_neox: no heads", pythia, fields{"num_attention_heads": 0}, nil, "num_attention_heads: 0 is out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := parse(tt.base.with(tt.changes))
			switch {
			case tt.want == nil:
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one with %q", err, tt.err)
				}
			case err != nil:
				t.Error(err)
			case !tt.want(&c.Spec):
				t.Errorf("got %+v, rope %+v", c.Spec, c.Spec.Rope)
			}
		})
	}
}

// TestPartialFrequencies: of a share of 3 numbers transformers turns 4, with the frequencies of 3: theta^0, theta^(-2/3).
func TestPartialFrequencies(t *testing.T) {
	got := (&model.Rope{Dim: 3, Theta: 1000, Type: "default"}).Frequencies()
	if len(got) != 2 || got[0] != 1 || math.Abs(got[1]-0.01) > 1e-15 {
		t.Errorf("got %v, want [1 0.01]", got)
	}
}
