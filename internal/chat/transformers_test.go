package chat

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rendering is what transformers makes of a conversation: a text, a refusal in the template's words, or an error.
type rendering struct {
	Template, Conversation string
	Prompt                 bool `json:"add_generation_prompt"`
	Text, Refusal, Error   *string
}

// TestTransformers holds the built-in formats to the renderings in testdata/formats.json, which scripts/check-templates wrote, or other
// templates to those of the file that the variable DPOTRAIN_RENDERINGS names.
func TestTransformers(t *testing.T) {
	path := cmp.Or(os.Getenv("DPOTRAIN_RENDERINGS"), filepath.Join("testdata", "formats.json"))
	var file struct {
		Special       map[string]string
		Conversations []struct {
			Name     string
			Messages json.RawMessage
			Tools    json.RawMessage
			Vars     json.RawMessage `json:"chat_template_kwargs"`
		}
		Templates map[string]string
		Cases     []rendering
	}
	readJSON(t, path, &file)
	type input struct {
		messages []Message
		vars     Vars
	}
	inputs := map[string]input{}
	for _, c := range file.Conversations {
		messages, err := ParseMessages(c.Messages)
		if err != nil {
			t.Fatal(err)
		}
		tools, err := ParseTools(cmp.Or(string(c.Tools), "null"))
		if err != nil {
			t.Fatal(err)
		}
		vars, err := ParseVars(cmp.Or(string(c.Vars), "null"))
		if err != nil {
			t.Fatal(err)
		}
		inputs[c.Name] = input{messages, tools.With(vars)}
	}
	if os.Getenv("DPOTRAIN_RENDERINGS") == "" {
		for _, name := range Formats() {
			text, err := formats.ReadFile("formats/" + name + extension)
			if err != nil || string(text) != file.Templates[name+extension] {
				t.Errorf("%s is another than when its renderings were written; run scripts/check-templates (%v)", name, err)
			}
		}
	}
	templates := map[string]*Template{}
	for name, source := range file.Templates {
		tpl, err := New(name, source, file.Special)
		if err != nil {
			t.Error(err)
			continue
		}
		templates[name] = tpl
	}
	bad := map[string]int{}
	for _, c := range file.Cases {
		tpl := templates[c.Template]
		if tpl == nil {
			continue
		}
		in := inputs[c.Conversation]
		got, err := tpl.Render(in.messages, in.vars, c.Prompt)
		refusal, refused := errors.AsType[*TemplateError](err)
		switch {
		case c.Text != nil && err == nil && got == *c.Text, c.Refusal != nil && refused && refusal.Message == *c.Refusal, c.Error != nil && err != nil && !refused:
			continue
		}
		if bad[c.Template]++; bad[c.Template] <= 3 {
			t.Errorf("%s, %s, prompt %v:\ngot  %q, error %v\nwant %s", c.Template, c.Conversation, c.Prompt, got, err, c.want())
		}
	}
	t.Logf("%s: %d renderings of %d templates; those of %d templates differ", path, len(file.Cases), len(file.Templates), len(bad))
}

func (r rendering) want() string {
	for _, s := range []*string{r.Text, r.Refusal, r.Error} {
		if s != nil {
			return strings.TrimSpace(*s)
		}
	}
	return ""
}
