package chat

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dpotrain/internal/files"
)

//go:embed formats
var formats embed.FS

// Formats are the names of the built-in formats.
func Formats() []string {
	files, err := formats.ReadDir("formats")
	if err != nil {
		panic(err) // they are in the program
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), extension))
	}
	return names
}

// ErrNoTemplate is returned when a model folder has no chat template.
var ErrNoTemplate = errors.New("no chat template")

// Places in a model folder, as transformers has them.
const (
	templateFile = "chat_template.jinja"
	moreFolder   = "additional_chat_templates" // NAME.jinja for each further template
	configFile   = "tokenizer_config.json"     // whose chat_template is a text, or a list of objects with name and template
)

const extension = ".jinja"

// Names of templates in a model folder that are chosen without being asked for.
const (
	defaultName = "default"
	toolUseName = "tool_use"
)

// Load gives the template that choice names for a model folder. It is, whichever fits first:
//
//   - empty: the folder's own, tool_use in place of default for conversations with tools where there are several;
//   - text with a tag or an output of Jinja: the template itself;
//   - the name of one of the folder's templates, such as rag;
//   - the name of a built-in format, one of Formats;
//   - the path of a template, or of a folder that has one.
//
// vars are the special tokens that the template sees, such as bos_token.
func Load(dir, choice string, vars map[string]string) (*Template, error) {
	if strings.Contains(choice, "{%") || strings.Contains(choice, "{{") {
		return New("chat_template", choice, vars)
	}
	own, err := readFolder(dir)
	if err != nil {
		return nil, err
	}
	if choice == "" {
		return own.standard(vars)
	}
	if s, ok := own.templates[choice]; ok {
		return New(s.place, s.text, vars)
	}
	if text, err := formats.ReadFile("formats/" + choice + extension); err == nil {
		return New("chat_template "+choice, string(text), vars)
	}
	info, err := os.Stat(choice)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("chat_template %s: no such file, built-in format (%s)%s", choice, strings.Join(Formats(), ", "), own.among())
	}
	if err != nil {
		return nil, fmt.Errorf("chat_template: %w", err)
	}
	if info.IsDir() {
		t, err := Load(choice, "", vars)
		if errors.Is(err, ErrNoTemplate) {
			return nil, fmt.Errorf("chat_template %s: a folder without a chat template", choice)
		}
		if err != nil {
			return nil, err
		}
		t.from.more = true
		return t, nil
	}
	text, err := files.Read(choice, maxSource)
	if err != nil {
		return nil, fmt.Errorf("chat_template: %w", err)
	}
	return New(choice, string(text), vars)
}

// folder has the templates of a model folder.
type folder struct {
	dir       string
	templates map[string]source // by name; one without a name is default
	more      bool              // some are not among the files that a saved model gets: those in moreFolder, and all of another folder
}

// source is a template's text and where it stands, for messages.
type source struct{ place, text string }

func (f folder) names() []string { return slices.Sorted(maps.Keys(f.templates)) }

// standard is the template that is taken where nobody chooses.
func (f folder) standard(vars map[string]string) (*Template, error) {
	name := defaultName
	if _, ok := f.templates[name]; !ok && len(f.templates) == 1 {
		name = f.names()[0]
	}
	chosen, ok := f.templates[name]
	switch {
	case len(f.templates) == 0:
		return nil, fmt.Errorf("%s: %w", f.dir, ErrNoTemplate)
	case !ok:
		return nil, fmt.Errorf("%s: %d chat templates, and none is called default; choose one with chat_template: %s", f.dir, len(f.templates), strings.Join(f.names(), ", "))
	}
	t, err := New(chosen.place, chosen.text, vars)
	if err != nil {
		return nil, err
	}
	if toolUse, ok := f.templates[toolUseName]; ok && name != toolUseName {
		if t.toolUse, err = New(toolUse.place, toolUse.text, vars); err != nil {
			return nil, err
		}
	}
	t.from = &f
	return t, nil
}

// among says which templates there are, if any has a name.
func (f folder) among() string {
	names := slices.DeleteFunc(f.names(), func(n string) bool { return n == defaultName })
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" or template of %s (%s)", f.dir, strings.Join(names, ", "))
}

// Bounds of what is read of a model folder.
const (
	maxConfig    = 64 << 20 // bytes of tokenizer_config.json, which may hold thousands of tokens
	maxTemplates = 100
)

// readFolder finds the templates of a model folder. Where there are files of them those in tokenizer_config.json are not read, as in
// transformers.
func readFolder(dir string) (f folder, err error) {
	f = folder{dir: dir, templates: map[string]source{}}
	paths := []string{filepath.Join(dir, templateFile)}
	entries, err := os.ReadDir(filepath.Join(dir, moreFolder))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), extension) {
			paths, f.more = append(paths, filepath.Join(dir, moreFolder, e.Name())), true
		}
	}
	if len(paths) > maxTemplates {
		return f, fmt.Errorf("%s: more than %d templates; take some out", filepath.Join(dir, moreFolder), maxTemplates)
	}
	for i, path := range paths {
		text, err := files.Read(path, maxSource)
		if i == 0 && errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return f, err
		}
		name := defaultName
		if i > 0 {
			name = strings.TrimSuffix(filepath.Base(path), extension)
		}
		f.templates[name] = source{path, string(text)}
	}
	if len(f.templates) > 0 {
		return f, nil
	}
	f.templates, err = readConfig(filepath.Join(dir, configFile))
	return f, err
}

// readConfig finds the templates of a tokenizer_config.json, which may be missing.
func readConfig(path string) (map[string]source, error) {
	text, err := files.Read(path, maxConfig)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
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
		return nil, nil
	}
	var one string
	if json.Unmarshal(config.Template, &one) == nil {
		return map[string]source{defaultName: {path + ": chat_template", one}}, nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(config.Template, &named); err != nil || len(named) == 0 || len(named) > maxTemplates {
		return nil, fmt.Errorf("%s: chat_template: want a string or a list of objects with name and template, at most %d", path, maxTemplates)
	}
	s := map[string]source{}
	for _, t := range named {
		s[t.Name] = source{path + ": chat_template " + t.Name, t.Template}
	}
	return s, nil
}

// Save puts the template into the files of a model folder, by name, which may hold others: into chat_template.jinja, or into
// tokenizer_config.json if there are several. The files of the folder that Load took it from are right as they are, unless some of its
// templates lie in a folder of their own.
func (t *Template) Save(files map[string][]byte) error {
	if t.from != nil && !t.from.more {
		return nil
	}
	config := map[string]json.RawMessage{}
	if text, ok := files[configFile]; ok {
		if err := json.Unmarshal(text, &config); err != nil {
			return fmt.Errorf("%s: %w", configFile, err)
		}
	}
	delete(config, "chat_template") // older programs read it before the file
	delete(files, templateFile)
	if t.from == nil || len(t.from.templates) == 1 {
		files[templateFile] = []byte(t.source)
	} else {
		var named []map[string]string
		for _, name := range t.from.names() {
			named = append(named, map[string]string{"name": name, "template": t.from.templates[name].text})
		}
		text, err := json.Marshal(named)
		if err != nil {
			return err
		}
		config["chat_template"] = text
	}
	if _, had := files[configFile]; !had && len(config) == 0 {
		return nil
	}
	text, err := json.MarshalIndent(config, "", "  ")
	files[configFile] = append(text, '\n')
	return err
}
