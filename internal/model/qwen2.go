package model

import "slices"

// qwen2 is Qwen2ForCausalLM, which Qwen2.5 is too: Llama with biases in the projections to queries, keys and values, and
// in no other. transformers reads no attention_bias here.
var qwen2 = architecture{
	modelType: "qwen2",
	keys: keys{
		implemented: slices.Concat(decoderKeys, qwenKeys),
		inert:       []string{"attention_bias"},
		neutral:     map[string]string{"mlp_bias": "false", "use_mrope": "false"},
	},
	spec: func(c *configReader) Spec {
		s := decoderSpec(c, 32768, 0)
		s.KVHeads, s.Windows = c.kvHeads(s.Heads), c.qwenWindows(s.Layers)
		s.QKVBias = true
		return s
	},
	layout: decoderLayout,
}

var qwenKeys = []string{"use_sliding_window", "sliding_window", "max_window_layers", "layer_types"}

// qwenWindows reads qwenKeys: with use_sliding_window the layers from max_window_layers on have one; layer_types, in
// configs of later versions of transformers, says which layers have and goes first.
func (c *configReader) qwenWindows(layers int) []int {
	window := 0
	if c.boolOr("use_sliding_window", false) {
		window = c.window("sliding_window", 4096)
	}
	return c.windows(layers, window, c.intOr("max_window_layers", 28))
}
