package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a config file, in bytes.
const maxFile = 1 << 20

// readFile reads a YAML file. It walks the parsed nodes itself instead of decoding into the options: so it knows the line
// of every key, reports all problems and not the first alone, and follows no alias.
func (l *loader) readFile(path string) {
	text, err := readAll(path)
	if err != nil {
		l.problem(path, "%v", err)
		return
	}
	var doc, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	err = d.Decode(&doc)
	switch {
	case errors.Is(err, io.EOF):
		l.problem(path, "there is nothing in it; want lines of the form key: value")
		return
	case err == nil:
		if err = d.Decode(&second); errors.Is(err, io.EOF) {
			l.readNode(path, doc.Content[0])
			l.fileRead()
			return
		} else if err == nil {
			l.problem(fmt.Sprintf("%s:%d", path, second.Line), "a second document begins; want one, without --- lines")
			return
		}
	}
	line, what := "", err.Error()
	if m := yamlError.FindStringSubmatch(what); m != nil {
		line, what = m[1], m[2]
	}
	if line != "" {
		path += ":" + line
	}
	l.problem(path, "not YAML: %s", what)
}

// yamlError is how package yaml words what it cannot parse.
var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// readAll is the content of a file, which may be a pipe. Errors do not name it.
func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no such file; want a YAML file of settings")
	}
	if err != nil {
		return nil, fmt.Errorf("%w; want a YAML file of settings", reason(err))
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("a folder; want a YAML file of settings")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, reason(err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("larger than %d MiB; want a YAML file of settings", maxFile>>20)
	}
	return text, nil
}

// reason is what the operating system says of a file, without the file's name.
func reason(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// readNode reads a document: a map of keys to scalars; of loss to a list, too, and of some to maps or lists (structure.go).
func (l *loader) readNode(path string, root *yaml.Node) {
	if root.Kind != yaml.MappingNode {
		what := "not settings"
		if root.ShortTag() == "!!null" {
			what = "there is nothing in it"
		}
		l.problem(fmt.Sprintf("%s:%d", path, root.Line), "%s; want lines of the form key: value", what)
		return
	}
	l.trl.path = path
	for i := 0; i+1 < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		place := fmt.Sprintf("%s:%d: %s", path, name.Line, show(name.Value))
		k, ours := find(l.keys, name.Value)
		row := trlTable[name.Value]
		switch {
		case name.Kind != yaml.ScalarNode:
			l.problem(fmt.Sprintf("%s:%d", path, name.Line), "%s; want lines of the form key: value", kindOf(name))
		case row.foreign():
			if l.once(l.inFile, Key{Name: row.key}, row.key, place) {
				l.foreign(foreignKey{row, row.key, place, value})
			}
		case !ours:
			l.problem(place, "unknown key%s", l.instead(name.Value, value))
		case l.once(l.inFile, k, name.Value, place):
			l.trl.theirs = l.trl.theirs || name.Value != k.Name
			l.value(k, row, value, place)
		}
	}
}

// value reads the value of one of our keys.
func (l *loader) value(k Key, row *trlRow, n *yaml.Node, place string) {
	if row != nil {
		if text, ok := row.means[plainText(n)]; ok {
			if text != "" {
				l.text(File, k, text, place)
			}
			if why := row.near[text]; why != "" {
				l.warn(place, "%s is %s here: %s", plainText(n), text, why)
			}
			return
		}
	}
	if k.Name == "loss" && n.Kind == yaml.SequenceNode {
		l.lossList(k, k.Name, n, place)
		return
	}
	if k.Map && n.Kind == yaml.MappingNode {
		if text, err := mapText(n); err != nil {
			l.problem(place, "%v", err)
		} else {
			l.give(File, k, text, place)
		}
		return
	}
	if k.structured() {
		l.structure(File, k, n, l.inFileAt(k.Name))
		return
	}
	if v, err := scalar(k, n); err != nil {
		l.problem(place, "%v", err)
	} else if v != nil {
		l.give(File, k, v, place)
	}
}

// instead says what to do about an unknown key.
func (l *loader) instead(name string, value *yaml.Node) string {
	n := suggest(l.keys, name)
	if n == "" {
		n = nearest(asWritten(name), slices.Sorted(maps.Keys(trlTable)))
	}
	if n != "" {
		return fmt.Sprintf(" (did you mean %s?)", n)
	}
	if value.Kind == yaml.MappingNode {
		return "; settings are flat, no key holds others"
	}
	return ""
}

// scalar reads a node as a value of k; nil if it is a null that says what is so anyway.
func scalar(k Key, n *yaml.Node) (any, error) {
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("%s; want %s", kindOf(n), k.wanted())
	}
	tag := n.ShortTag()
	switch {
	case k.Kind == reflect.String && tag == "!!bool" && k.allows("true"): // among other values
		return k.parse(strings.ToLower(n.Value))
	case tag == "!!null" && k.Default != "":
		return nil, fmt.Errorf("no value; want %s, or drop the line for the default, %s", k.wanted(), k.Default)
	case tag == "!!null":
		return nil, nil
	case k.Kind == reflect.String && tag != "!!str" && !(k.Size != "" && tag == "!!int"):
		return nil, fmt.Errorf("%s is not text in YAML; put it in quotes", show(n.Value))
	case k.Kind != reflect.String && n.Style != 0: // quotes, a block or a tag
		return nil, fmt.Errorf("%q; want %s, without quotes or tags", n.Value, k.wanted())
	}
	return k.parse(n.Value)
}

// kindOf is a word for a node that is not a scalar.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	}
	return "a YAML alias"
}
