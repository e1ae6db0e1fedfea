package model

import (
	"fmt"
	"slices"
)

// llama is LlamaForCausalLM.
var llama = architecture{
	modelType: "llama",
	keys: keys{
		implemented: slices.Concat(decoderKeys, []string{"attention_bias", "mlp_bias"}),
		neutral:     map[string]string{"pretraining_tp": "1", "rope_interleaved": "false"},
	},
	spec: func(c *configReader) Spec {
		s := decoderSpec(c, 2048, 0)
		s.KVHeads = c.sizeOr("num_key_value_heads", s.Heads)
		s.QKVBias, s.MLPBias = c.boolOr("attention_bias", false), c.boolOr("mlp_bias", false)
		s.OutBias = s.QKVBias
		return s
	},
	layout: decoderLayout,
}

// decoderKeys are the keys that decoderSpec reads.
var decoderKeys = []string{"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
	"head_dim", "hidden_act", "max_position_embeddings", "rms_norm_eps", "rope_theta", "rope_scaling", "rope_parameters", "tie_word_embeddings", "initializer_range"}

// decoderSpec reads what Llama and those that came after it have in common: RMSNorm, rotary positions, grouped queries,
// SwiGLU. positions and headDim are the family's max_position_embeddings and head_dim where the config has none; a headDim
// of 0 follows from the hidden size.
func decoderSpec(c *configReader, positions, headDim int) Spec {
	s := Spec{
		Vocab: c.size("vocab_size", maxDimension), Hidden: c.size("hidden_size", maxDimension), Layers: c.size("num_hidden_layers", maxLayers), Heads: c.size("num_attention_heads", maxDimension),
		Intermediate: c.size("intermediate_size", maxDimension), Norm: RMSNorm, NormEps: c.floatOr("rms_norm_eps", 1e-6), MLP: SwiGLU,
		Positions: c.sizeOr("max_position_embeddings", positions), Tied: c.boolOr("tie_word_embeddings", false), InitRange: c.floatOr("initializer_range", 0.02),
	}
	if headDim == 0 {
		headDim = s.Hidden / max(s.Heads, 1)
		if !c.has("head_dim") && s.Heads > 0 && s.Hidden%s.Heads != 0 {
			c.fail("hidden_size", fmt.Sprintf("%d is not a multiple of num_attention_heads %d, and there is no head_dim", s.Hidden, s.Heads))
		}
	}
	s.HeadDim = c.sizeOr("head_dim", headDim)
	s.Rope = c.rope(c.floatOr("rope_theta", 10000), 1, s.HeadDim)
	if s.Rope.Dim != s.HeadDim {
		c.fail("partial_rotary_factor", "not implemented for this architecture")
	}
	c.want("hidden_act", "silu", "silu", "swish")
	return s
}

// kvHeads reads a number that transformers has another default for in every family.
func (c *configReader) kvHeads(heads int) int {
	if c.given("num_key_value_heads") && !c.has("num_key_value_heads") {
		return heads
	}
	return c.size("num_key_value_heads", maxDimension)
}

// decoderLayout is how Llama and those that came after it call their tensors.
func decoderLayout(s Spec) layout {
	q, kv := s.Heads*s.HeadDim, s.KVHeads*s.HeadDim
	return layout{
		embedding: "model.embed_tokens.weight", finalNorm: "model.norm", head: "lm_head.weight",
		optionalPrefix: "model.", ignored: []string{".rotary_emb.inv_freq"},
		layer: func(i int) layer {
			p := fmt.Sprintf("model.layers.%d.", i)
			return layer{
				norm1: p + "input_layernorm", norm2: p + "post_attention_layernorm", qNorm: p + "self_attn.q_norm", kNorm: p + "self_attn.k_norm",
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
}
