package chat

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestRendered renders the templates of known models; the texts were made by another engine.
func TestRendered(t *testing.T) {
	dir := testfiles.Shared(t, "chat_templates")
	var file struct {
		Chats map[string]json.RawMessage
		Cases []struct {
			Template, Chat string
			Prompt         bool `json:"add_generation_prompt"`
			Text, Error    *string
		}
	}
	readJSON(t, filepath.Join(dir, "rendered.json"), &file)
	for _, c := range file.Cases {
		source, err := os.ReadFile(filepath.Join(dir, c.Template))
		if err != nil {
			t.Fatal(err)
		}
		tpl, err := New(c.Template, string(source), map[string]string{"bos_token": "<s>", "eos_token": "</s>", "date_string": "26 Jul 2024"})
		if err != nil {
			t.Error(err)
			continue
		}
		messages, err := ParseMessages(file.Chats[c.Chat])
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.Render(messages, Vars{}, c.Prompt)
		switch refusal := (*TemplateError)(nil); {
		case c.Error != nil:
			if !errors.As(err, &refusal) {
				t.Errorf("%s, %s: got %q, error %v; want a refusal (%s)", c.Template, c.Chat, got, err, *c.Error)
			}
		case err != nil || got != *c.Text:
			t.Errorf("%s, %s, prompt %v: error %v, got\n%q\nwant\n%q", c.Template, c.Chat, c.Prompt, err, got, *c.Text)
		}
	}
	t.Logf("%d renderings", len(file.Cases))
}

func TestEndToEnd(t *testing.T) {
	var file struct {
		Cases []struct {
			Name     string
			Template string `json:"chat_template"`
			Data     json.RawMessage
			Target   string
		}
	}
	readJSON(t, testfiles.Shared(t, "chat_templates", "hf_e2e.json"), &file)
	for _, c := range file.Cases {
		tpl, err := New(c.Name, c.Template, nil)
		if err != nil {
			t.Error(err)
			continue
		}
		data, err := decode(c.Data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := tpl.render(data.(object).values, len(c.Data))
		if err != nil || got != c.Target {
			t.Errorf("%s: error %v, got\n%s\nwant\n%s", c.Name, err, strings.ReplaceAll(got, "\n", "\\n\n"), strings.ReplaceAll(c.Target, "\n", "\\n\n"))
		}
	}
	t.Logf("%d renderings", len(file.Cases))
}
