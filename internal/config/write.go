package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// Marshal is settings as a config file: every key with its value, and its help above; of hyperparameters those of the loss.
// Load reads the same settings from it, to the bit. Text has to be UTF-8, as that of Load is.
func Marshal(o train.Options) []byte {
	var b bytes.Buffer
	b.WriteString("# The settings of a run of dpotrain, each with its value. To repeat the run:\n" +
		"#   dpotrain train --config THIS_FILE --output-dir ANOTHER_FOLDER\n" +
		"# Relative paths count from the folder in which dpotrain is started.\n")
	for _, k := range Keys() {
		v, ok := k.value(o)
		switch {
		case ok:
			fmt.Fprintf(&b, "\n# %s\n%s: %s\n", k.Help, k.Name, k.literal(v, o))
		case k.uses == nil: // a hyperparameter that the loss does not have would only be in the way
			fmt.Fprintf(&b, "\n# %s\n%s: null\n", k.Help, k.Name)
		}
	}
	return b.Bytes()
}

// literal is the key's value in one line of YAML. A sum of losses is a list, each with its hyperparameters.
func (k Key) literal(v reflect.Value, o train.Options) string {
	if k.structured() {
		return structureLiteral(v.Interface())
	}
	if text := v.String(); k.Map && text != "" {
		return text // JSON is YAML
	}
	info, err := loss.Of(o.Loss)
	if k.Name != "loss" || err != nil || info.Parts()[0].Name == info.Name {
		return literal(v)
	}
	var list []string
	for _, p := range info.Parts() {
		entry := fmt.Sprintf("name: %s, weight: %s", p.Name, literal(reflect.ValueOf(p.Weight)))
		for _, h := range p.Hyperparameters {
			if v, ok := o.LossSettings[loss.OwnKey(p.Name, h.Key)]; ok {
				entry += fmt.Sprintf(", %s: %s", h.Key, literal(reflect.ValueOf(v)))
			}
		}
		list = append(list, "{"+entry+"}")
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// literal is a value in one line of YAML.
func literal(f reflect.Value) string {
	switch f.Kind() {
	case reflect.Float64:
		return strconv.FormatFloat(f.Float(), 'g', -1, 64)
	case reflect.String:
		// Plain where it surely is a text, else quoted: for UTF-8, Go's escapes are YAML's too.
		if n := (yaml.Node{Kind: yaml.ScalarNode, Value: f.String()}); plain.MatchString(n.Value) && n.ShortTag() == "!!str" {
			return n.Value
		}
		return strconv.Quote(f.String())
	}
	return fmt.Sprint(f.Interface())
}

var plain = regexp.MustCompile(`^[\w./][\w./-]*$`)

// free are the keys that may change between a run and its continuation. They say where things are, what is shown, what is
// saved and how the same bits are computed; what lies behind a path is compared by its content where it is read.
var free = []string{"model", "ref_model", "data", "eval_data", "chat_template", "output_dir", "overwrite", "ref_cache_dir", "token_cache_dir", "token_cache_limit", "on_bad_row", "threads", "gradient_checkpointing", "memory_limit", "logging_steps", "eval_steps",
	"eval_on_start", "sample_prompts", "max_new_tokens", "save_strategy", "save_steps", "save_total_limit", "save_dtype", "resume_from_checkpoint"}

// Values are the settings that have a value, by key, each as a config file has it. A checkpoint keeps them.
func Values(o train.Options) map[string]string {
	values := map[string]string{}
	for _, k := range Keys() {
		if v, ok := k.value(o); ok {
			values[k.Name] = k.literal(v, o)
		}
	}
	return values
}

// Differences are the settings that differ between the Values of two runs and alter results, a line each: "beta: was 0.1,
// now 0.2". A key that a run did not know yet, for its dpotrain was older, had what is the default now.
func Differences(was, now map[string]string) []string {
	var lines []string
	for _, k := range Keys() {
		a, b := k.in(was), k.in(now)
		if a != b && !slices.Contains(free, k.Name) {
			lines = append(lines, fmt.Sprintf("%s: was %s, now %s", k.Name, a, b))
		}
	}
	return lines
}

// in is the key's value among Values.
func (k Key) in(values map[string]string) string {
	if v, ok := values[k.Name]; ok {
		return v
	}
	for _, m := range loss.Modifiers() {
		if m.Key == k.Name {
			return literal(reflect.ValueOf(m.Default))
		}
	}
	if k.Default == "" {
		return "none"
	}
	v, err := k.parse(k.Default)
	if err != nil {
		panic(err) // a field's tag
	}
	return literal(reflect.ValueOf(v))
}
