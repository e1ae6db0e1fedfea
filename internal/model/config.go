package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// keys says what becomes of each key of a config.json: implemented keys are read, inert ones change nothing here, dropout
// is off here, the others are accepted at their neutral value alone, given as JSON. commonKeys come on top.
type keys struct {
	implemented []string
	inert       []string
	dropout     []string
	neutral     map[string]string
}

// commonKeys are those of transformers' PretrainedConfig, of which many are for decoding, and what most families have.
var commonKeys = keys{
	implemented: []string{"model_type"},
	inert: []string{"architectures", "use_cache", "transformers_version", "torch_dtype", "dtype", "bos_token_id", "eos_token_id", "pad_token_id",
		"unk_token_id", "sep_token_id", "decoder_start_token_id", "_name_or_path", "name_or_path", "_commit_hash", "tokenizer_class", "classifier_dropout",
		"is_llama_config", "_attn_implementation_autoset", "_attn_implementation_internal", "attn_implementation", "_attn_implementation",
		"experts_implementation", "output_attentions", "_output_attentions", "output_hidden_states", "return_dict", "return_dict_in_generate",
		"problem_type", "id2label", "label2id", "num_labels", "finetuning_task", "prefix", "task_specific_params", "auto_map", "use_bfloat16",
		"tf_legacy_loss", "torchscript", "xla_device", "chunk_size_feed_forward", "tie_last_hidden_states",
		"bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping", "encoder_no_repeat_ngram_size",
		"exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id", "length_penalty", "max_length", "min_length",
		"no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores", "remove_invalid_values",
		"repetition_penalty", "suppress_tokens", "temperature", "top_k", "top_p", "typical_p"},
	dropout: []string{"attention_dropout", "hidden_dropout"},
	neutral: map[string]string{"is_decoder": "false", "is_encoder_decoder": "false", "add_cross_attention": "false", "tie_encoder_decoder": "false",
		"cross_attention_hidden_size": "null", "pruned_heads": "{}", "per_layer_config": "{}", "quantization_config": "null", "attention_bias": "false",
		"sliding_window": "null", "partial_rotary_factor": "1"},
}

// risky are the words in an unknown key that say it changes what the model computes.
var risky = []string{"rope", "rotary", "attention", "attn", "norm", "scale", "scaling", "window", "expert", "quant", "layer_types"}

// use is what is done with a key.
type use int

const (
	unknown use = iota
	implemented
	inert
	dropout
	neutral
)

func (k keys) use(name string) (use, string) {
	for _, t := range []keys{k, commonKeys} {
		if slices.Contains(t.implemented, name) {
			return implemented, ""
		}
		if slices.Contains(t.inert, name) {
			return inert, ""
		}
		if slices.Contains(t.dropout, name) {
			return dropout, ""
		}
		if v, ok := t.neutral[name]; ok {
			return neutral, v
		}
	}
	return unknown, ""
}

// configReader reads a config.json and collects what is wrong with it.
type configReader struct {
	path   string
	fields map[string]json.RawMessage
	errs   []error
}

func (c *configReader) fail(key, what string) {
	c.errs = append(c.errs, fmt.Errorf("%s: %s: %s", c.path, key, what))
}

// has says that the key is there and not null.
func (c *configReader) has(key string) bool {
	v, ok := c.fields[key]
	return ok && string(bytes.TrimSpace(v)) != "null"
}

// given says that the key is there, if only as null.
func (c *configReader) given(key string) bool {
	_, ok := c.fields[key]
	return ok
}

func read[T any](c *configReader, key, want string) (v T) {
	if !c.has(key) {
		c.fail(key, "missing; want "+want)
		return v
	}
	if err := json.Unmarshal(c.fields[key], &v); err != nil {
		c.fail(key, fmt.Sprintf("%.40s; want %s", compact(c.fields[key]), want))
	}
	return v
}

func (c *configReader) int(key string) int { return read[int](c, key, "a whole number") }

func (c *configReader) intOr(key string, d int) int {
	if !c.has(key) {
		return d
	}
	return c.int(key)
}

// size reads a number of at least 1. limit bounds it far above any model that this program is for, so that a damaged
// config.json is an error and not the end of the memory.
func (c *configReader) size(key string, limit int) int {
	before := len(c.errs)
	n := c.int(key)
	if len(c.errs) == before && (n < 1 || n > limit) {
		c.fail(key, fmt.Sprintf("%d is out of range; want 1 to %d", n, limit))
	}
	return n
}

// sizeOr is d where the key is missing.
func (c *configReader) sizeOr(key string, d int) int {
	if !c.has(key) {
		return d
	}
	return c.size(key, maxDimension)
}

func (c *configReader) floatOr(key string, d float64) float64 {
	if !c.has(key) {
		return d
	}
	return read[float64](c, key, "a number")
}

func (c *configReader) boolOr(key string, d bool) bool {
	if !c.has(key) {
		return d
	}
	return read[bool](c, key, "true or false")
}

func (c *configReader) stringOr(key, d string) string {
	if !c.has(key) {
		return d
	}
	return read[string](c, key, "a string")
}

// want reads a string that has to be one of those implemented.
func (c *configReader) want(key, fallback string, names ...string) string {
	before := len(c.errs)
	s := c.stringOr(key, fallback)
	if len(c.errs) == before && !slices.Contains(names, s) {
		c.fail(key, fmt.Sprintf("%q is not implemented; there is %s", s, strings.Join(names, ", ")))
	}
	return s
}

// gelu reads the name of an activation. transformers has several names for one function.
func (c *configReader) gelu(key, fallback string) MLP {
	exact, tanh := []string{"gelu", "gelu_python"}, []string{"gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"}
	if slices.Contains(exact, c.want(key, fallback, slices.Concat(exact, tanh)...)) {
		return GELU
	}
	return GELUTanh
}

// window reads a number of keys that a row sees; null is all before it, which is 0 here.
func (c *configReader) window(key string, absent int) int {
	if !c.given(key) {
		return absent
	}
	n := c.intOr(key, 0)
	if c.has(key) && n < 1 {
		c.fail(key, fmt.Sprintf("%d; want a number of tokens above 0, or null for no window", n))
	}
	return n
}

// windows are those of every layer: what layer_types says, else the window from layer first on.
func (c *configReader) windows(layers, window, first int) []int {
	if layers < 1 || layers > maxLayers {
		return nil // Spec.check says so
	}
	types := make([]string, layers)
	for i := range types {
		types[i] = "full_attention"
		if window > 0 && i >= first {
			types[i] = "sliding_attention"
		}
	}
	if c.has("layer_types") {
		if types = read[[]string](c, "layer_types", "a list of words"); len(types) != layers {
			c.fail("layer_types", fmt.Sprintf("%d entries; want one for each of the %d layers", len(types), layers))
		}
	}
	windows, slides := make([]int, len(types)), false
	for i, t := range types {
		switch {
		case t == "full_attention":
		case t == "sliding_attention" && window > 0:
			windows[i], slides = window, true
		case t == "sliding_attention":
			c.fail("layer_types", "sliding_attention, and the config has no sliding window")
			return nil
		default:
			c.fail("layer_types", fmt.Sprintf("%q is not implemented; there are full_attention, sliding_attention", t))
			return nil
		}
	}
	if !slides {
		return nil
	}
	return windows
}

// rope reads rope_scaling (transformers 4) or rope_parameters (transformers 5). theta and the share of a head that turns
// hold where these do not say them.
func (c *configReader) rope(theta, share float64, headDim int) *Rope {
	r := &Rope{Dim: int(float64(headDim) * share), Theta: theta, Type: "default"}
	key := "rope_parameters"
	switch {
	case !c.has(key):
		key = "rope_scaling"
	case c.has("rope_scaling") && !sameJSON(c.fields[key], string(c.fields["rope_scaling"])):
		c.fail(key, "rope_scaling is there too and says something else; keep one of them")
	}
	if c.has(key) {
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(c.fields[key], &fields); err != nil {
			c.fail(key, "want an object")
			return r
		}
		sub := &configReader{path: c.path + ": " + key, fields: fields}
		r.Theta = sub.floatOr("rope_theta", r.Theta)
		share = sub.floatOr("partial_rotary_factor", share)
		r.Type = sub.stringOr("rope_type", sub.stringOr("type", "default"))
		allowed := []string{"rope_theta", "rope_type", "type", "partial_rotary_factor"}
		switch r.Type {
		case "default":
		case "linear":
			r.Factor = read[float64](sub, "factor", "a number")
			allowed = append(allowed, "factor")
		case "llama3":
			r.Factor = read[float64](sub, "factor", "a number")
			r.LowFreqFactor = read[float64](sub, "low_freq_factor", "a number")
			r.HighFreqFactor = read[float64](sub, "high_freq_factor", "a number")
			r.OriginalPositions = read[float64](sub, "original_max_position_embeddings", "a number")
			allowed = append(allowed, "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings")
			if len(sub.errs) == 0 && (r.HighFreqFactor <= r.LowFreqFactor || r.OriginalPositions <= 0) {
				sub.fail("high_freq_factor", "want more than low_freq_factor, and original_max_position_embeddings above 0")
			}
		default:
			sub.fail("rope_type", fmt.Sprintf("%q is not implemented; there are default, linear, llama3", r.Type))
			allowed = nil
		}
		if len(sub.errs) == 0 && r.Type != "default" && !(r.Factor >= 1) {
			sub.fail("factor", "want a number of at least 1")
		}
		for _, k := range sortedKeys(fields) {
			if allowed != nil && !slices.Contains(allowed, k) && sub.has(k) {
				sub.fail(k, "not implemented for rope_type "+r.Type)
			}
		}
		c.errs = append(c.errs, sub.errs...)
	}
	if !(r.Theta >= 1) {
		c.fail("rope_theta", "want a number of at least 1")
	}
	if !(share > 0 && share <= 1) {
		c.fail("partial_rotary_factor", fmt.Sprintf("%g; want a share above 0, at most 1", share))
	}
	r.Dim = int(float64(headDim) * share)
	return r
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	sort.Strings(names)
	return names
}

// Config is a read config.json.
type Config struct {
	Spec     Spec
	Warnings []string // keys that are not known but look harmless, and what is done differently

	fields map[string]json.RawMessage
	arch   *architecture
}

// ParseConfig reads the text of a config.json; path is for messages. All that is wrong comes out together.
func ParseConfig(path string, text []byte) (*Config, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil || fields == nil {
		return nil, fmt.Errorf("%s: %s; get the config.json of a Hugging Face model", path, notObject(text, err))
	}
	c := &configReader{path: path, fields: fields}
	modelType := c.stringOr("model_type", "")
	if len(c.errs) > 0 {
		return nil, c.errs[0]
	}
	arch, err := architectureOf(modelType)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	cfg := &Config{fields: fields, arch: arch}
	var dropouts []string
	for _, k := range sortedKeys(fields) {
		switch u, want := arch.keys.use(k); u {
		case neutral:
			switch {
			case !c.has(k) || sameJSON(fields[k], want):
			case k == "quantization_config":
				c.fail(k, "quantized weights are not read; take the model that these were made from")
			default:
				c.fail(k, fmt.Sprintf("%.60s is not implemented; only %s is", compact(fields[k]), want))
			}
		case unknown:
			if !c.has(k) {
				continue
			}
			if slices.ContainsFunc(risky, func(w string) bool { return strings.Contains(strings.ToLower(k), w) }) {
				c.fail(k, "unknown key, and its name says that it changes what the model computes; this architecture is not implemented with it")
			} else {
				cfg.Warnings = append(cfg.Warnings, fmt.Sprintf("%s: %s: unknown key, left unused", path, k))
			}
		case dropout:
			if p := c.floatOr(k, 0); p != 0 {
				dropouts = append(dropouts, fmt.Sprintf("%s %g", k, p))
			}
		}
	}
	if dropouts != nil {
		cfg.Warnings = append(cfg.Warnings, fmt.Sprintf("%s: left unused, as dropout is off in both passes: %s", path, strings.Join(dropouts, ", ")))
	}
	cfg.Spec = arch.spec(c)
	cfg.Spec.ModelType = arch.modelType
	if len(c.errs) == 0 {
		if err := cfg.Spec.check(); err != nil {
			c.errs = append(c.errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return cfg, errors.Join(c.errs...)
}

// notObject says what a text is that err says is no JSON object.
func notObject(text []byte, err error) string {
	var syntax *json.SyntaxError
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return "empty"
	case errors.As(err, &syntax):
		return fmt.Sprintf("not JSON at byte %d (%v)", syntax.Offset, syntax)
	}
	return "not a JSON object"
}

// compact is a value of a JSON file on one line.
func compact(value json.RawMessage) []byte {
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return value
	}
	return b.Bytes()
}

// sameJSON compares two JSON values without regard to white space and to the form of numbers.
func sameJSON(a json.RawMessage, b string) bool {
	var x, y bytes.Buffer
	if json.Compact(&x, a) != nil || json.Compact(&y, []byte(b)) != nil {
		return false
	}
	if x.String() == y.String() {
		return true
	}
	var p, q float64
	return json.Unmarshal(a, &p) == nil && json.Unmarshal([]byte(b), &q) == nil && p == q
}

// Text is the config.json that goes with weights saved in dtype (float32, bfloat16 or float16): as it was read, with
// the dtype put right under the key or keys it had: dtype since transformers 5, torch_dtype before.
func (c *Config) Text(dtype string) []byte {
	fields := make(map[string]json.RawMessage, len(c.fields)+1)
	for k, v := range c.fields {
		fields[k] = v
	}
	value := json.RawMessage(`"` + dtype + `"`)
	_, before := fields["torch_dtype"]
	_, now := fields["dtype"]
	if now {
		fields["dtype"] = value
	}
	if before || !now {
		fields["torch_dtype"] = value
	}
	text, err := json.MarshalIndent(fields, "", "  ")
	if err != nil {
		panic(err) // the values came out of a JSON file
	}
	return append(text, '\n')
}
