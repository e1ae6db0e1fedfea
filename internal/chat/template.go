package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	name    string
	source  string
	vars    map[string]string
	body    block
	names   map[string]bool // the variables that it speaks of
	dated   atomic.Bool
	toolUse *Template // takes its place for conversations with tools; nil: none does
	from    *folder   // whose standard template it is; nil: none's
}

// New parses a template. name is for messages; vars are what it sees besides the conversation.
func New(name, source string, vars map[string]string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%s: the chat template has %d bytes; at most %d are read", name, len(source), maxSource)
	}
	body, names, err := parse(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Template{name: name, source: source, vars: vars, body: body, names: names}, nil
}

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// KnowsRole says that the template speaks of a role.
func (t *Template) KnowsRole(role string) bool {
	return strings.Contains(t.source, `'`+role+`'`) || strings.Contains(t.source, `"`+role+`"`) || t.toolUse != nil && t.toolUse.KnowsRole(role)
}

// Ignores are the names of those variables that the template does not speak of.
func (t *Template) Ignores(vars Vars) []string {
	spoken := t.choose(vars).names
	return slices.DeleteFunc(vars.Names(), func(name string) bool { return spoken[name] })
}

// Dated says that a rendering asked for the time: the same conversation may give another text tomorrow.
func (t *Template) Dated() bool { return t.dated.Load() || t.toolUse != nil && t.toolUse.Dated() }

// choose is the template for a conversation with such variables. As in transformers, an empty list of tools is one of tools.
func (t *Template) choose(vars Vars) *Template {
	if t.toolUse != nil && vars.values["tools"] != nil {
		return t.toolUse
	}
	return t
}

// Render writes a conversation. With addGenerationPrompt it ends where the assistant begins to speak. A refusal by the
// template itself is a *TemplateError.
func (t *Template) Render(messages []Message, vars Vars, addGenerationPrompt bool) (string, error) {
	l := make(list, len(messages))
	size := vars.size
	for i, m := range messages {
		l[i] = m.value
		size += m.size
	}
	all := map[string]any{"messages": l, "add_generation_prompt": addGenerationPrompt}
	maps.Copy(all, vars.values)
	return t.choose(vars).render(all, size)
}

// render runs the template with variables that were size bytes of text.
func (t *Template) render(vars map[string]any, size int) (string, error) {
	// transformers gives every template these two.
	all := map[string]any{"tools": nil, "documents": nil}
	for k, v := range t.vars {
		all[k] = v
	}
	maps.Copy(all, vars)
	text, dated, err := execute(t.body, all, size)
	if dated {
		t.dated.Store(true)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.name, err)
	}
	return text, nil
}

// Vars are variables that a template sees besides the conversation; they go above the special tokens.
type Vars struct {
	values map[string]any
	size   int // bytes of JSON
}

// Names are those of the variables that hold something: neither null nor an empty list.
func (v Vars) Names() []string {
	var names []string
	for name, value := range v.values {
		if l, ok := value.(list); value != nil && !(ok && len(l) == 0) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// With is v with those of over on top.
func (v Vars) With(over Vars) Vars {
	all := map[string]any{}
	maps.Copy(all, v.values)
	maps.Copy(all, over.values)
	return Vars{all, v.size + over.size}
}

// given are names that templates get from the caller, and the arguments of transformers' apply_chat_template that are not for them.
var given = []string{"messages", "conversation", "add_generation_prompt", "chat_template", "continue_final_message", "tokenize", "padding", "truncation", "max_length",
	"return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"}

// ParseVars reads a JSON object, as chat_template_kwargs is one; null is an empty one.
func ParseVars(text string) (Vars, error) {
	v, err := decode([]byte(text))
	if err != nil {
		return Vars{}, err
	}
	o, ok := v.(object)
	if !ok && v != nil {
		return Vars{}, errors.New("want an object of names and values")
	}
	for _, name := range o.keys {
		if slices.Contains(given, name) {
			return Vars{}, fmt.Errorf("%s: not a variable of the chat template's own; leave it out", name)
		}
	}
	return Vars{o.values, len(text)}, nil
}

// ParseTools reads a JSON list of tools, or a JSON string that holds one, as the variable tools; null is none.
func ParseTools(text string) (Vars, error) {
	v, err := decode([]byte(text))
	if s, ok := v.(string); ok {
		if !json.Valid([]byte(s)) {
			return Vars{}, errors.New("a text that is not JSON; want a list of tools")
		}
		v, err = decode([]byte(s))
	}
	if err != nil {
		return Vars{}, err
	}
	tools, ok := v.(list)
	if !ok && v != nil {
		return Vars{}, errors.New("want a list of tools")
	}
	for i, tool := range tools {
		if _, ok := tool.(object); !ok {
			return Vars{}, fmt.Errorf("tool %d: want an object: its JSON schema", i+1)
		}
	}
	return Vars{map[string]any{"tools": v}, len(text)}, nil
}
