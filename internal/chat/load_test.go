package chat

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes a folder of files with a text each.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLoad says which template is taken. The templates write their names.
func TestLoad(t *testing.T) {
	other := write(t, map[string]string{"chat_template.jinja": "other folder", "file.jinja": "other file"})
	one := map[string]string{"chat_template.jinja": "file"}
	list := `{"chat_template": [{"name": "default", "template": "list"}, {"name": "tool_use", "template": "list with tools"}, {"name": "rag", "template": "list with documents"}]}`
	for _, c := range []struct {
		name   string
		files  map[string]string
		choice string
		want   string // without tools
		tools  string // with tools, where it differs
	}{
		{"a file", one, "", "file", ""},
		{"a text in the config", map[string]string{"tokenizer_config.json": `{"chat_template": "text"}`}, "", "text", ""},
		{"a list", map[string]string{"tokenizer_config.json": list}, "", "list", "list with tools"},
		{"a list of one", map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "only", "template": "one"}]}`}, "", "one", ""},
		{"a file goes before a list", map[string]string{"chat_template.jinja": "file", "tokenizer_config.json": list}, "", "file", ""},
		{"files in a folder", map[string]string{"chat_template.jinja": "file", "additional_chat_templates/tool_use.jinja": "more", "additional_chat_templates/README": "x", "tokenizer_config.json": list}, "", "file", "more"},
		{"a file in a folder alone", map[string]string{"additional_chat_templates/rag.jinja": "more"}, "", "more", ""},
		{"one of a list by name", map[string]string{"tokenizer_config.json": list}, "rag", "list with documents", ""},
		{"the default of a list by name", map[string]string{"tokenizer_config.json": list}, "default", "list", ""}, // as in transformers
		{"a name of a file", map[string]string{"additional_chat_templates/rag.jinja": "more"}, "rag", "more", ""},
		{"a name that is a format's too", map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "plain", "template": "own"}]}`}, "plain", "own", ""},
		{"a format", one, "plain", "User: x", ""},
		{"a format without any template", nil, "plain", "User: x", ""},
		{"a path", one, filepath.Join(other, "file.jinja"), "other file", ""},
		{"a folder", one, other, "other folder", ""},
		{"a text", one, "{{ 'text' }}", "text", ""},
	} {
		tpl, err := Load(write(t, c.files), c.choice, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if c.tools == "" {
			c.tools = c.want
		}
		for tools, want := range map[string]string{"null": c.want, "[]": c.tools, `[{"name": "f"}]`: c.tools} {
			vars, err := ParseTools(tools)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), vars, false); got != want || err != nil {
				t.Errorf("%s, tools %s: %q, error %v; want %q", c.name, tools, got, err, want)
			}
		}
	}
}

func TestLoadErrors(t *testing.T) {
	for _, c := range []struct {
		files  map[string]string
		choice string
		want   string // DIR is the folder
	}{
		{nil, "", "DIR: no chat template"},
		{map[string]string{"tokenizer_config.json": `{"chat_template": null}`}, "", "DIR: no chat template"},
		{map[string]string{"tokenizer_config.json": `{"chat_template": 7}`}, "", "DIR/tokenizer_config.json: chat_template: want a string or a list of objects with name and template, at most 100"},
		{map[string]string{"tokenizer_config.json": `{"chat_template": []}`}, "", "DIR/tokenizer_config.json: chat_template: want a string or a list of objects with name and template, at most 100"},
		{map[string]string{"tokenizer_config.json": `{`}, "", "DIR/tokenizer_config.json: unexpected end of JSON input"},
		{map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "a", "template": ""}, {"name": "b", "template": ""}]}`}, "",
			"DIR: 2 chat templates, and none is called default; choose one with chat_template: a, b"},
		{map[string]string{"tokenizer_config.json": `{"chat_template": [{"name": "default", "template": ""}, {"name": "tool_use", "template": "{{"}]}`}, "",
			"DIR/tokenizer_config.json: chat_template tool_use: line 1: a tag without end; want }}"},
		{map[string]string{"chat_template.jinja": "\n{% include 'x' %}"}, "", "DIR/chat_template.jinja: line 2: {% include %} is not supported in a chat template"},
		{map[string]string{"chat_template.jinja": strings.Repeat("x", maxSource+1)}, "", "DIR/chat_template.jinja: too large: more than 262144 bytes"},
		{map[string]string{"chat_template.jinja": "x"}, "chatlm", "chat_template chatlm: no such file, built-in format (alpaca, chatml, gemma, llama-3, phi-3, plain, zephyr)"},
		{map[string]string{"additional_chat_templates/rag.jinja": "x"}, "rga", "chat_template rga: no such file, built-in format (alpaca, chatml, gemma, llama-3, phi-3, plain, zephyr) or template of DIR (rag)"},
		{map[string]string{"chat_template.jinja": "x", "empty/config.json": "{}"}, "DIR/empty", "chat_template DIR/empty: a folder without a chat template"},
		{nil, "{{ x | shout }}", "chat_template: line 1: there is no filter shout"},
	} {
		dir := write(t, c.files)
		_, err := Load(dir, strings.ReplaceAll(c.choice, "DIR", dir), nil)
		if want := strings.ReplaceAll(c.want, "DIR", dir); err == nil || filepath.ToSlash(err.Error()) != filepath.ToSlash(want) {
			t.Errorf("%v, %q:\ngot  %v\nwant %s", c.files, c.choice, err, want)
		}
		if none := strings.HasSuffix(c.want, "no chat template"); errors.Is(err, ErrNoTemplate) != none {
			t.Errorf("%v: %v is ErrNoTemplate: %v", c.files, err, !none)
		}
	}
}

// TestSave: a folder with the files that Save leaves has the template, and no other.
func TestSave(t *testing.T) {
	const list = `{"a": 1, "chat_template": [{"name": "default", "template": "list"}, {"name": "tool_use", "template": "list with tools"}]}`
	other := write(t, map[string]string{"chat_template.jinja": "other"})
	for _, c := range []struct {
		name   string
		files  map[string]string
		choice string
		want   map[string]string
	}{
		{"as it is", map[string]string{"chat_template.jinja": "file", "tokenizer_config.json": list}, "", map[string]string{"chat_template.jinja": "file", "tokenizer_config.json": list}},
		{"a list as it is", map[string]string{"tokenizer_config.json": list}, "", map[string]string{"tokenizer_config.json": list}},
		{"one of a list", map[string]string{"tokenizer_config.json": list}, "tool_use", map[string]string{"chat_template.jinja": "list with tools", "tokenizer_config.json": "{\n  \"a\": 1\n}\n"}},
		{"another text", map[string]string{"chat_template.jinja": "file"}, "{{ 1 }}", map[string]string{"chat_template.jinja": "{{ 1 }}"}},
		{"another folder's", map[string]string{"tokenizer_config.json": list}, other, map[string]string{"chat_template.jinja": "other", "tokenizer_config.json": "{\n  \"a\": 1\n}\n"}},
		{"files in a folder", map[string]string{"chat_template.jinja": "file", "additional_chat_templates/tool_use.jinja": "more"}, "",
			map[string]string{"tokenizer_config.json": "{\n  \"chat_template\": [\n    {\n      \"name\": \"default\",\n      \"template\": \"file\"\n    },\n    {\n      \"name\": \"tool_use\",\n      \"template\": \"more\"\n    }\n  ]\n}\n"}},
	} {
		tpl, err := Load(write(t, c.files), c.choice, nil)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{} // as the tokenizer copies them
		for name, text := range c.files {
			if !strings.Contains(name, "/") {
				files[name] = []byte(text)
			}
		}
		if err := tpl.Save(files); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for name, text := range files {
			got[name] = string(text)
		}
		if !maps.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
		again, err := Load(write(t, got), "", nil)
		if err != nil || again.Source() != tpl.Source() || (again.toolUse == nil) != (tpl.toolUse == nil) || again.toolUse != nil && again.toolUse.Source() != tpl.toolUse.Source() {
			t.Errorf("%s: read again: %+v, error %v; want %+v", c.name, again, err, tpl)
		}
	}
}

// TestFormats: each format writes a prompt that its text of the whole conversation begins with, as rows need it.
func TestFormats(t *testing.T) {
	want := []string{"alpaca", "chatml", "gemma", "llama-3", "phi-3", "plain", "zephyr"}
	if got := Formats(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	messages := conversation(t, `[{"role":"system","content":"s"},{"role":"user","content":"a "},{"role":"assistant","content":" b"},{"role":"user","content":"c"},{"role":"assistant","content":"d"}]`)
	for _, name := range Formats() {
		tpl, err := Load(t.TempDir(), name, map[string]string{"bos_token": "<s>", "eos_token": "</s>"})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{2, 4} {
			prompt, errPrompt := tpl.Render(messages[:n], Vars{}, true)
			whole, errWhole := tpl.Render(messages[:n+1], Vars{}, false)
			if !strings.HasPrefix(whole, prompt) || len(whole) == len(prompt) || errPrompt != nil || errWhole != nil {
				t.Errorf("%s: prompt %q, whole %q, errors %v, %v", name, prompt, whole, errPrompt, errWhole)
			}
		}
		bare, err := Load(t.TempDir(), name, nil) // of a tokenizer without such tokens
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bare.Render(messages, Vars{}, false); (err != nil) != (name == "zephyr") {
			t.Errorf("%s without special tokens: error %v", name, err)
		}
	}
}

// TestVars: what a row gives goes above what all rows have, and that above the special tokens.
func TestVars(t *testing.T) {
	parse := func(text string) Vars {
		v, err := ParseVars(text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	tpl, err := New("t", "{{ a }} {{ b }} {{ c }} {{ bos_token }} {{ tools }}", map[string]string{"bos_token": "<s>"})
	if err != nil {
		t.Fatal(err)
	}
	all := parse(`{"a": 1, "b": {"x": [1.5, null, "y"]}, "other": false, "nothing": null, "none": []}`)
	vars := all.With(parse(`{"a": true, "bos_token": "<b>"}`))
	got, err := tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), vars, false)
	if want := "True {'x': [1.5, None, 'y']}  <b> None"; got != want || err != nil {
		t.Errorf("got %q, error %v; want %q", got, err, want)
	}
	if got := tpl.Ignores(vars); !slices.Equal(got, []string{"other"}) {
		t.Errorf("ignores %q, want other", got)
	}
	if got := all.Names(); !slices.Equal(got, []string{"a", "b", "other"}) {
		t.Errorf("names %q", got)
	}
}

// TestDated: a template that asks for the time says so once it was rendered.
func TestDated(t *testing.T) {
	tpl, err := New("t", "{% if not date_string is defined %}{{ strftime_now('%Y') }}{% endif %}", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		vars string
		want bool
	}{{`{"date_string": "26 Jul 2024"}`, false}, {"{}", true}} {
		vars, err := ParseVars(c.vars)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tpl.Render(conversation(t, `[{"role":"user","content":"x"}]`), vars, false); err != nil || tpl.Dated() != c.want {
			t.Errorf("%s: dated %v, error %v; want %v", c.vars, tpl.Dated(), err, c.want)
		}
	}
}

// TestReasoning: what a message has of reasoning gets the names of transformers 5.
func TestReasoning(t *testing.T) {
	for message, want := range map[string]string{
		`{"role":"assistant","content":"a"}`:                                        `{"role": "assistant", "content": "a"}`,
		`{"role":"assistant","content":"a","thinking":"b"}`:                         `{"thinking": "b", "role": "assistant", "content": "a", "reasoning_content": "b"}`,
		`{"role":"assistant","reasoning":"b","content":"a"}`:                        `{"thinking": "b", "role": "assistant", "reasoning": "b", "content": "a", "reasoning_content": "b"}`,
		`{"role":"assistant","reasoning_content":"b","content":"a","thinking":"c"}`: `{"thinking": "c", "role": "assistant", "reasoning_content": "b", "content": "a"}`,
		`{"role":"assistant","reasoning_content":null,"content":"a","thinking":""}`: `{"thinking": "", "role": "assistant", "reasoning_content": "", "content": "a"}`,
	} {
		tpl, err := New("t", "{{ messages[0] | tojson }}", nil)
		if err != nil {
			t.Fatal(err)
		}
		messages, err := ParseMessages(json.RawMessage("[" + message + "]"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tpl.Render(messages, Vars{}, false); got != want || err != nil {
			t.Errorf("%s:\ngot  %s, error %v\nwant %s", message, got, err, want)
		}
	}
}
