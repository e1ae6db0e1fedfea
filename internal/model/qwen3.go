package model

import "slices"

// qwen3 is Qwen3ForCausalLM: Llama with a norm over every head's queries and keys, and heads of 128 numbers where the
// config does not say.
var qwen3 = architecture{
	modelType: "qwen3",
	keys: keys{
		implemented: slices.Concat(decoderKeys, qwenKeys, []string{"attention_bias"}),
		neutral:     map[string]string{"mlp_bias": "false", "use_mrope": "false"},
	},
	spec: func(c *configReader) Spec {
		s := decoderSpec(c, 32768, 128)
		s.KVHeads, s.Windows = c.kvHeads(s.Heads), c.qwenWindows(s.Layers)
		s.QKVBias, s.QKNorm = c.boolOr("attention_bias", false), true
		s.OutBias = s.QKVBias
		return s
	},
	layout: decoderLayout,
}
