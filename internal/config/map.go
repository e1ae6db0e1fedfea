package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The value of a key that is a map is kept as the text of a JSON object, in the order of the file: viper would lower its names.

// parseMap reads a map that is given as one text, in JSON or as YAML has it in one line.
func parseMap(s string) (string, error) {
	var doc yaml.Node
	if yaml.Unmarshal([]byte(s), &doc) != nil || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return "", fmt.Errorf("%s; want a map such as {name: value}", show(s))
	}
	return mapText(doc.Content[0])
}

// mapText is a map as JSON in one line. Errors name the entry.
func mapText(n *yaml.Node) (string, error) {
	var b bytes.Buffer
	err := writeJSON(&b, n)
	return b.String(), err
}

func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i], n.Content[i+1]
			switch {
			case name.Kind != yaml.ScalarNode || name.ShortTag() != "!!str":
				return fmt.Errorf("line %d: a name that is not text; put it in quotes", name.Line)
			case name.Style == 0 && strings.Contains(name.Value, ":") && value.Kind == yaml.ScalarNode && value.Value == "":
				return fmt.Errorf("%s; want a blank behind the colon", show(name.Value))
			case seen[name.Value]:
				return fmt.Errorf("%s: given twice; leave one out", show(name.Value))
			case i > 0:
				b.WriteString(", ")
			}
			seen[name.Value] = true
			writeText(b, name.Value)
			b.WriteString(": ")
			if err := writeJSON(b, value); err != nil {
				return fmt.Errorf("%s: %w", show(name.Value), err)
			}
		}
		b.WriteByte('}')
		return nil
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, value := range n.Content {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := writeJSON(b, value); err != nil {
				return fmt.Errorf("%d: %w", i+1, err)
			}
		}
		b.WriteByte(']')
		return nil
	case yaml.ScalarNode:
		return writeScalar(b, n)
	}
	return fmt.Errorf("%s; write it out", kindOf(n))
}

func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!null":
		b.WriteString("null")
	case "!!bool":
		b.WriteString(strings.ToLower(n.Value))
	case "!!int":
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s; want a decimal number, or put it in quotes", show(n.Value))
		}
		b.WriteString(strconv.FormatInt(i, 10))
	case "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return fmt.Errorf("%s; want a finite number, or put it in quotes", show(n.Value))
		}
		text := strconv.FormatFloat(f, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0" // or it would be whole
		}
		b.WriteString(text)
	case "!!str":
		if v := strings.ToLower(n.Value); n.Style == 0 && (v == "yes" || v == "no" || v == "on" || v == "off") {
			return fmt.Errorf("%s; want true or false, or put it in quotes", n.Value)
		}
		writeText(b, n.Value)
	default:
		return fmt.Errorf("%s is not text in YAML; put it in quotes", show(n.Value))
	}
	return nil
}

// writeText writes a JSON string that YAML reads alike: without \u for half of a character.
func writeText(b *bytes.Buffer, s string) {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string has a JSON form
	}
	b.Truncate(b.Len() - 1) // the line end
}
