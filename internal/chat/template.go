package chat

import "fmt"

// Template is a parsed template. It is safe for concurrent use.
type Template struct {
	name   string
	source string
	vars   map[string]string
	body   block
}

// New parses a template. name is for messages; vars are what it sees besides the conversation.
func New(name, source string, vars map[string]string) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("%s: the chat template has %d bytes; at most %d are read", name, len(source), maxSource)
	}
	body, err := parse(source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Template{name, source, vars, body}, nil
}

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// Render writes a conversation. With addGenerationPrompt it ends where the assistant begins to speak. A refusal by the
// template itself is a *TemplateError.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	l := make(list, len(messages))
	size := 0
	for i, m := range messages {
		l[i] = m.value
		size += m.size
	}
	return t.render(map[string]any{"messages": l, "add_generation_prompt": addGenerationPrompt}, size)
}

// render runs the template with variables that were size bytes of text.
func (t *Template) render(vars map[string]any, size int) (string, error) {
	// transformers gives every template these two.
	all := map[string]any{"tools": nil, "documents": nil}
	for k, v := range t.vars {
		all[k] = v
	}
	for k, v := range vars {
		all[k] = v
	}
	text, err := execute(t.body, all, size)
	if err != nil {
		return "", fmt.Errorf("%s: %w", t.name, err)
	}
	return text, nil
}
