package model

import "fmt"

// gpt2 is GPT2LMHeadModel. Its linear layers are stored [in, out]; the Hub's first checkpoints leave out the
// "transformer." in front of the names.
var gpt2 = architecture{
	modelType: "gpt2",
	keys: keys{
		implemented: []string{"vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "n_inner", "activation_function", "layer_norm_epsilon",
			"tie_word_embeddings", "initializer_range"},
		inert: []string{"n_ctx", "summary_activation", "summary_first_dropout", "summary_proj_to_labels", "summary_type", "summary_use_proj",
			"reorder_and_upcast_attn", "gradient_checkpointing"},
		dropout: []string{"attn_pdrop", "embd_pdrop", "resid_pdrop"},
		neutral: map[string]string{"scale_attn_weights": "true", "scale_attn_by_inverse_layer_idx": "false"},
	},
	spec: func(c *configReader) Spec {
		s := Spec{
			Vocab: c.size("vocab_size", maxDimension), Hidden: c.size("n_embd", maxDimension), Layers: c.size("n_layer", maxLayers), Heads: c.size("n_head", maxDimension), Positions: c.sizeOr("n_positions", 1024),
			Norm: LayerNorm, NormEps: c.floatOr("layer_norm_epsilon", 1e-5), QKVBias: true, OutBias: true, MLPBias: true,
			Tied: c.boolOr("tie_word_embeddings", true), InitRange: c.floatOr("initializer_range", 0.02),
		}
		s.KVHeads = s.Heads
		s.HeadDim = s.Hidden / max(s.Heads, 1)
		s.Intermediate = c.sizeOr("n_inner", 4*s.Hidden)
		if s.Heads > 0 && s.Hidden%s.Heads != 0 {
			c.fail("n_embd", fmt.Sprintf("%d is not a multiple of n_head %d", s.Hidden, s.Heads))
		}
		s.MLP = c.gelu("activation_function", "gelu_new")
		return s
	},
	layout: func(s Spec) layout {
		return layout{
			embedding: "transformer.wte.weight", positions: "transformer.wpe.weight", finalNorm: "transformer.ln_f", head: "lm_head.weight",
			optionalPrefix: "transformer.", ignored: []string{".attn.bias", ".attn.masked_bias"},
			layer: func(i int) layer {
				p := fmt.Sprintf("transformer.h.%d.", i)
				return layer{
					norm1: p + "ln_1", norm2: p + "ln_2",
					qkv:  []linear{{name: p + "attn.c_attn", in: s.Hidden, out: 3 * s.Hidden, bias: true, inOut: true}},
					out:  linear{name: p + "attn.c_proj", in: s.Hidden, out: s.Hidden, bias: true, inOut: true},
					up:   []linear{{name: p + "mlp.c_fc", in: s.Hidden, out: s.Intermediate, bias: true, inOut: true}},
					down: linear{name: p + "mlp.c_proj", in: s.Intermediate, out: s.Hidden, bias: true, inOut: true},
				}
			},
		}
	},
}
