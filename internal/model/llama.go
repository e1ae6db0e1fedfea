package model

import "fmt"

// llama is LlamaForCausalLM.
var llama = architecture{
	modelType: "llama",
	keys: keys{
		implemented: []string{"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
			"head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "attention_bias",
			"mlp_bias", "tie_word_embeddings", "initializer_range"},
		neutral: map[string]string{"pretraining_tp": "1", "rope_interleaved": "false"},
	},
	spec: func(c *configReader) Spec {
		s := Spec{
			Vocab: c.int("vocab_size"), Hidden: c.int("hidden_size"), Layers: c.int("num_hidden_layers"), Heads: c.int("num_attention_heads"),
			Intermediate: c.int("intermediate_size"), Norm: RMSNorm, NormEps: c.floatOr("rms_norm_eps", 1e-6), MLP: SwiGLU,
			Positions: c.intOr("max_position_embeddings", 2048), Tied: c.boolOr("tie_word_embeddings", false),
			QKVBias: c.boolOr("attention_bias", false), MLPBias: c.boolOr("mlp_bias", false), InitRange: c.floatOr("initializer_range", 0.02),
		}
		s.OutBias = s.QKVBias
		s.KVHeads = c.intOr("num_key_value_heads", s.Heads)
		s.HeadDim = c.intOr("head_dim", s.Hidden/max(s.Heads, 1))
		s.Rope = c.rope(10000)
		c.want("hidden_act", "silu", "silu")
		return s
	},
	layout: func(s Spec) layout {
		q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
		return layout{
			embedding: "model.embed_tokens.weight", finalNorm: "model.norm", head: "lm_head.weight",
			ignored: []string{".rotary_emb.inv_freq"},
			layer: func(i int) layer {
				p := fmt.Sprintf("model.layers.%d.", i)
				return layer{
					norm1: p + "input_layernorm", norm2: p + "post_attention_layernorm",
					qkv: []linear{
						{name: p + "self_attn.q_proj", in: s.Hidden, out: q, bias: s.QKVBias},
						{name: p + "self_attn.k_proj", in: s.Hidden, out: kv, bias: s.QKVBias},
						{name: p + "self_attn.v_proj", in: s.Hidden, out: kv, bias: s.QKVBias}},
					out: linear{name: p + "self_attn.o_proj", in: q, out: s.Hidden, bias: s.OutBias},
					up: []linear{
						{name: p + "mlp.gate_proj", in: s.Hidden, out: s.Intermediate, bias: s.MLPBias},
						{name: p + "mlp.up_proj", in: s.Hidden, out: s.Intermediate, bias: s.MLPBias}},
					down: linear{name: p + "mlp.down_proj", in: s.Intermediate, out: s.Hidden, bias: s.MLPBias},
				}
			},
		}
	},
}
