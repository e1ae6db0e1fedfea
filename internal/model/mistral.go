package model

import "slices"

// mistral is MistralForCausalLM: Llama with a sliding window in every layer. A config without the key has a window of
// 4096, one that says null has none.
var mistral = architecture{
	modelType: "mistral",
	keys: keys{
		implemented: slices.Concat(decoderKeys, []string{"sliding_window"}),
		neutral:     map[string]string{"mlp_bias": "false"},
	},
	spec: func(c *configReader) Spec {
		s := decoderSpec(c, 4096*32, 0)
		s.KVHeads = c.kvHeads(s.Heads)
		s.Windows = c.windows(s.Layers, c.window("sliding_window", 4096), 0)
		return s
	},
	layout: decoderLayout,
}
