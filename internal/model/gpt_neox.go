package model

import "fmt"

// gptNeoX is GPTNeoXForCausalLM, which Pythia is. Its queries, keys and values lie head by head in one tensor, attention
// and MLP may both read the block's input, and only a share of each head turns with the position.
//
// rope_theta and partial_rotary_factor at the top level are copies that later versions of transformers 4 write and
// nobody reads.
var gptNeoX = architecture{
	modelType: "gpt_neox",
	keys: keys{
		implemented: []string{"vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act",
			"max_position_embeddings", "layer_norm_eps", "rotary_emb_base", "rotary_pct", "rope_theta", "partial_rotary_factor", "rope_scaling",
			"rope_parameters", "use_parallel_residual", "attention_bias", "tie_word_embeddings", "initializer_range"},
		dropout: []string{"attention_probs_dropout_prob", "hidden_dropout_prob"},
	},
	spec: func(c *configReader) Spec {
		s := Spec{
			Vocab: c.size("vocab_size", maxDimension), Hidden: c.size("hidden_size", maxDimension), Layers: c.size("num_hidden_layers", maxLayers), Heads: c.size("num_attention_heads", maxDimension),
			Intermediate: c.size("intermediate_size", maxDimension), Norm: LayerNorm, NormEps: c.floatOr("layer_norm_eps", 1e-5), MLP: c.gelu("hidden_act", "gelu"),
			Positions: c.sizeOr("max_position_embeddings", 2048), Tied: c.boolOr("tie_word_embeddings", false), InitRange: c.floatOr("initializer_range", 0.02),
			QKVBias: c.boolOr("attention_bias", true), MLPBias: true, QKVByHead: true, Parallel: c.boolOr("use_parallel_residual", true),
		}
		s.OutBias, s.KVHeads = s.QKVBias, s.Heads
		s.HeadDim = s.Hidden / max(s.Heads, 1)
		if s.Heads > 0 && s.Hidden%s.Heads != 0 {
			c.fail("hidden_size", fmt.Sprintf("%d is not a multiple of num_attention_heads %d", s.Hidden, s.Heads))
		}
		base, share := c.floatOr("rotary_emb_base", 10000), c.floatOr("rotary_pct", 0.25)
		s.Rope = c.rope(base, share, s.HeadDim)
		if !c.has("rope_parameters") && (c.floatOr("rope_theta", base) != base || c.floatOr("partial_rotary_factor", share) != share) {
			c.fail("rotary_emb_base", fmt.Sprintf("%g, and rotary_pct %g; rope_theta or partial_rotary_factor says something else; keep one of each", base, share))
		}
		return s
	},
	layout: func(s Spec) layout {
		return layout{
			embedding: "gpt_neox.embed_in.weight", finalNorm: "gpt_neox.final_layer_norm", head: "embed_out.weight", headAlias: "lm_head.weight",
			optionalPrefix: "gpt_neox.", ignored: []string{".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"},
			layer: func(i int) layer {
				p := fmt.Sprintf("gpt_neox.layers.%d.", i)
				return layer{
					norm1: p + "input_layernorm", norm2: p + "post_attention_layernorm",
					qkv:  []linear{{name: p + "attention.query_key_value", in: s.Hidden, out: 3 * s.Hidden, bias: s.QKVBias}},
					out:  linear{name: p + "attention.dense", in: s.Hidden, out: s.Hidden, bias: s.OutBias},
					up:   []linear{{name: p + "mlp.dense_h_to_4h", in: s.Hidden, out: s.Intermediate, bias: true}},
					down: linear{name: p + "mlp.dense_4h_to_h", in: s.Intermediate, out: s.Hidden, bias: true},
				}
			},
		}
	},
}
