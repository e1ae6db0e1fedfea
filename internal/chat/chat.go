// Package chat renders conversations with the Jinja template of a model.
//
// A template comes out of a model folder, from a file, or is one of the formats built in, formats/NAME.jinja (load.go).
//
// It is given messages as JSON and gives back one text, the bytes that Jinja2 makes of the same template as transformers sets
// it up: trim_blocks and lstrip_blocks, break and continue, the generation tag, raise_exception, strftime_now, and a tojson
// that leaves letters as they are. What Jinja has beyond that and chat templates do not use (include, import, extends, block,
// call, filter, with, recursive loops, escaping) is refused when the template is parsed.
//
// Templates come out of model folders and may be hostile. They see nothing but the conversation, the special tokens and the
// functions, filters and tests in builtins.go, cannot change what they see, and are bounded in steps, depth, work, output and
// time (eval.go). Whatever goes over a bound is an error, and all bounds but the one on time are the same on every machine.
//
// The way of a template: lexer.go cuts its text into pieces, parser.go makes nodes of them, eval.go runs the nodes, values.go
// says how values behave, builtins.go what can be called. To add a filter, test or method: an entry in builtins.go and a row
// in TestPython, whose results are those of Jinja2. To add a format: its file in formats, a row in docs/chat-templates.md, and
// scripts/check-templates, which has transformers render it.
package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Message is one message of a conversation: a JSON object with a role. Templates see all its fields, in their order.
type Message struct {
	Role string

	value object
	size  int // bytes of JSON
}

// Equal says that two messages are the same JSON value but for white space and the order of keys.
func (m Message) Equal(o Message) bool { return sameJSON(m.value, o.value) }

// Canonical is the message as JSON, the same for all that are equal.
func (m Message) Canonical() []byte {
	text, err := json.Marshal(plain(m.value))
	if err != nil {
		panic(err) // it was read from JSON
	}
	return text
}

// plain is a value as package json writes it: the keys of objects in alphabetical order.
func plain(v any) any {
	switch x := v.(type) {
	case object:
		fields := make(map[string]any, len(x.values))
		for k, v := range x.values {
			fields[k] = plain(v)
		}
		return fields
	case list:
		items := make([]any, len(x))
		for i, v := range x {
			items[i] = plain(v)
		}
		return items
	}
	return v
}

// User is what a user says.
func User(text string) Message {
	return Message{Role: "user", value: object{keys: []string{"role", "content"}, values: map[string]any{"role": "user", "content": text}}, size: len(text)}
}

// Text is the message's content if that is text, else empty.
func (m Message) Text() string {
	text, _ := m.value.values["content"].(string)
	return text
}

// Empty says that the message has no content and nothing else besides its role.
func (m Message) Empty() bool {
	for k, v := range m.value.values {
		if k != "role" && truth(v) {
			return false
		}
	}
	return true
}

// ParseMessages reads a JSON list of messages. Each has a role, a string, and content: a string, or null or a list as
// tool calls and multi-part messages have them; beside tool_calls it may be missing.
func ParseMessages(raw json.RawMessage) ([]Message, error) {
	var all []json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, errors.New("want a list of messages")
	}
	if len(all) == 0 {
		return nil, errors.New("an empty list; want at least one message")
	}
	messages := make([]Message, len(all))
	for i, r := range all {
		v, err := decode(r)
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", i+1, err)
		}
		o, ok := v.(object)
		if !ok {
			return nil, fmt.Errorf("message %d: want an object with role and content", i+1)
		}
		role, ok := o.values["role"].(string)
		if !ok || role == "" {
			return nil, fmt.Errorf("message %d: role: want a string such as user or assistant", i+1)
		}
		content, has := o.values["content"]
		switch content.(type) {
		case string, list, nil:
		default:
			return nil, fmt.Errorf("message %d: content: want a string, a list or null", i+1)
		}
		if _, calls := o.values["tool_calls"]; !has && !calls {
			return nil, fmt.Errorf("message %d: content: missing; want a string, a list or null", i+1)
		}
		messages[i] = Message{role, nameReasoning(o), len(r)}
	}
	return messages, nil
}

// nameReasoning gives what a message has of the assistant's reasoning the names that templates read it by, as transformers does.
func nameReasoning(message object) object {
	for _, name := range []string{"reasoning_content", "thinking", "reasoning"} {
		reasoning := message.values[name]
		if reasoning == nil {
			continue
		}
		// Python's {"thinking": reasoning, **message, "reasoning_content": reasoning}
		named := object{[]string{"thinking"}, map[string]any{"thinking": reasoning}}
		for _, k := range message.keys {
			named.set(k, message.values[k])
		}
		named.set("reasoning_content", reasoning)
		return named
	}
	return message
}

// TemplateError is a refusal by the template itself, in its own words.
type TemplateError struct{ Message string }

func (e *TemplateError) Error() string {
	return "the chat template refuses the conversation: " + e.Message
}

// maxNesting bounds the nesting of a message.
const maxNesting = 64

// decode reads a JSON value into object, list, string, bool, int, float64 or nil.
func decode(raw json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return decodeValue(d, 0)
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("more than %d lists and objects in each other", maxNesting)
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
			l := list{}
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

func sameJSON(a, b any) bool {
	switch x := a.(type) {
	case object:
		y, ok := b.(object)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		for k, v := range x.values {
			if w, ok := y.values[k]; !ok || !sameJSON(v, w) {
				return false
			}
		}
		return true
	case list:
		y, ok := b.(list)
		return ok && slices.EqualFunc(x, y, sameJSON)
	}
	switch b.(type) {
	case object, list:
		return false
	}
	return a == b
}
