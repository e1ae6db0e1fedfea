// Package chat renders conversations with the Jinja template of a model.
//
// Templates come out of model folders and may be hostile. They run in a sandbox: no file is read (include, import and
// extends are refused), and loops, recursion, time, memory and output are bounded. Anything out of bounds is an error.
package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Message is one message of a conversation: a JSON object with a role. Templates see all its fields, in their order.
type Message struct {
	Role string

	raw   json.RawMessage
	value object
}

// Equal says that two messages are the same JSON value but for white space and the order of keys.
func (m Message) Equal(o Message) bool { return equal(m.value, o.value) }

// ParseMessages reads a JSON list of messages. Each has a role, a string, and content: a string, or null or a list as
// tool calls and multi-part messages have them.
func ParseMessages(raw json.RawMessage) ([]Message, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("want a list of messages")
	}
	if len(list) == 0 {
		return nil, errors.New("an empty list; want at least one message")
	}
	messages := make([]Message, len(list))
	for i, r := range list {
		v, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		o, ok := v.(object)
		if !ok {
			return nil, fmt.Errorf("message %d: want an object with role and content", i+1)
		}
		role, ok := o.get("role").(string)
		if !ok || role == "" {
			return nil, fmt.Errorf("message %d: role: want a string such as user or assistant", i+1)
		}
		content, has := o.find("content")
		switch content.(type) {
		case string, list_, nil:
		default:
			return nil, fmt.Errorf("message %d: content: want a string", i+1)
		}
		if !has {
			return nil, fmt.Errorf("message %d: content: missing", i+1)
		}
		messages[i] = Message{Role: role, raw: r, value: o}
	}
	return messages, nil
}

// ErrNoTemplate is returned when a model folder has no chat template.
var ErrNoTemplate = errors.New("no chat template")

// TemplateError is a refusal by the template itself, in its own words.
type TemplateError struct{ Message string }

func (e *TemplateError) Error() string {
	return "the chat template refuses the conversation: " + e.Message
}

// maxSource bounds the text of a template.
const maxSource = 1 << 20

// Load reads the template of a model folder: chat_template.jinja, or chat_template in tokenizer_config.json, a string or a
// list of named ones, of which the one called default or the only one is taken. vars are the special tokens that the
// template sees, such as bos_token.
func Load(dir string, vars map[string]string) (*Template, error) {
	path := filepath.Join(dir, "chat_template.jinja")
	text, err := os.ReadFile(path)
	if err == nil {
		return New(path, string(text), vars)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	path = filepath.Join(dir, "tokenizer_config.json")
	if text, err = os.ReadFile(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoTemplate)
	} else if err != nil {
		return nil, err
	}
	var config struct {
		Template json.RawMessage `json:"chat_template"`
	}
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(config.Template) == 0 || string(config.Template) == "null" {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoTemplate)
	}
	var source string
	if json.Unmarshal(config.Template, &source) == nil {
		return New(path+": chat_template", source, vars)
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(config.Template, &named); err != nil || len(named) == 0 {
		return nil, fmt.Errorf("%s: chat_template: want a string or a list of objects with name and template", path)
	}
	for _, t := range named {
		if t.Name == "default" || len(named) == 1 {
			return New(path+": chat_template "+t.Name, t.Template, vars)
		}
	}
	return nil, fmt.Errorf("%s: chat_template: none of the %d templates is called default", path, len(named))
}

// object is a JSON object with its keys in order.
type object struct {
	keys   []string
	values map[string]any
}

func (o object) find(key string) (any, bool) { v, ok := o.values[key]; return v, ok }
func (o object) get(key string) any          { return o.values[key] }

// list_ is a JSON array as templates see it.
type list_ []any

// maxDepth bounds the nesting of a message.
const maxDepth = 64

// decode reads a JSON value into object, list_, string, bool, int, float64 or nil.
func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return decodeValue(d, 0)
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch x := t.(type) {
	case json.Number:
		if n, err := x.Int64(); err == nil {
			return int(n), nil
		}
		return x.Float64()
	case json.Delim:
		if x == '[' {
			l := list_{}
			for d.More() {
				v, err := decodeValue(d, depth+1)
				if err != nil {
					return nil, err
				}
				l = append(l, v)
			}
			_, err := d.Token()
			return l, err
		}
		o := object{values: map[string]any{}}
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			name := k.(string) // an object's keys are strings
			if _, twice := o.values[name]; twice {
				return nil, fmt.Errorf("%s: stands twice", name)
			}
			o.keys = append(o.keys, name)
			o.values[name] = v
		}
		_, err := d.Token()
		return o, err
	}
	return t, nil
}

func equal(a, b any) bool {
	switch x := a.(type) {
	case object:
		y, ok := b.(object)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		for k, v := range x.values {
			if w, ok := y.values[k]; !ok || !equal(v, w) {
				return false
			}
		}
		return true
	case list_:
		y, ok := b.(list_)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

// sortedKeys are the keys of a Go map in order.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// pythonSpace is what str.strip of Python takes away.
const pythonSpace = " \t\n\r\v\f\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

var errTooLarge = fmt.Errorf("the chat template makes more than %d MiB of text", maxText>>20)

// bounded is the product of two sizes unless it is too large for a text.
func bounded(n, each int) error {
	if each > 0 && n > maxText/each {
		return errTooLarge
	}
	return nil
}

// replace is Python's str.replace.
func replace(s, old, with string, count int) (string, error) {
	n := strings.Count(s, old)
	if count >= 0 {
		n = min(n, count)
	}
	if err := bounded(n, len(with)); err != nil {
		return "", err
	}
	return strings.Replace(s, old, with, count), nil
}
