package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"dpotrain/internal/data"
)

// Two keys are not scalars: columns, a map, and datasets, a list of maps. In a flag or variable they stand as in one line of YAML. They go past
// viper, for that makes the keys of maps lower case.

// structured says that the key's value is a map or a list.
func (k Key) structured() bool { return k.Kind == reflect.Map || k.Kind == reflect.Slice }

// structure gives the value of a structured key. at is the place of a node in it.
func (l *loader) structure(layer Layer, k Key, n *yaml.Node, at func(*yaml.Node) string) {
	if n.ShortTag() == "!!null" {
		return
	}
	before := len(l.problems)
	var v any
	if k.Name == "columns" {
		v = l.columns(n, at)
	} else {
		v = l.datasets(n, at)
	}
	if len(l.problems) == before {
		l.layers[layer][k.Name] = given{value: v, place: at(n)}
	}
}

// structureText gives the value that stands in a flag or variable.
func (l *loader) structureText(layer Layer, k Key, s, place string) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(s), &doc); err != nil || len(doc.Content) == 0 {
		l.problem(place, "%s; want %s", show(s), k.wanted())
		return
	}
	l.structure(layer, k, doc.Content[0], func(*yaml.Node) string { return place })
}

// inFileAt is the place of nodes of a key in the file.
func (l *loader) inFileAt(key string) func(*yaml.Node) string {
	return func(n *yaml.Node) string { return fmt.Sprintf("%s:%d: %s", l.trl.path, n.Line, key) }
}

// each calls f for the entries of a map, whose keys have to be some of known.
func (l *loader) each(n *yaml.Node, at func(*yaml.Node) string, known []string, f func(name string, value *yaml.Node, place string)) {
	if n.Kind != yaml.MappingNode {
		l.problem(at(n), "%s; want a map, as {%s: ...}", listed(n), known[0])
		return
	}
	seen := map[string]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		place := at(name) + ": " + show(name.Value)
		switch {
		case name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value):
			did := DidYouMean(name.Value, known)
			if did == "" {
				did = "; want " + either(known)
			}
			l.problem(place, "unknown key%s", did)
		case l.once(seen, Key{Name: name.Value}, name.Value, place) && value.ShortTag() != "!!null":
			f(name.Value, value, place)
		}
	}
}

// columns reads names of columns.
func (l *loader) columns(n *yaml.Node, at func(*yaml.Node) string) map[string]string {
	columns := map[string]string{}
	l.each(n, at, data.Columns(), func(ours string, value *yaml.Node, place string) {
		theirs, ok := l.scalarOf(Key{Kind: reflect.String}, value, place).(string)
		switch {
		case !ok:
		case theirs == "":
			l.problem(place, "an empty name; want that of a column")
		case slices.Contains(slices.Collect(maps.Values(columns)), theirs):
			l.problem(place, "%s is given to two columns; leave one out", show(theirs))
		default:
			columns[ours] = theirs
		}
	})
	return columns
}

// scalarOf is a value of a kind within its limits; nil if it is not, which is said.
func (l *loader) scalarOf(k Key, n *yaml.Node, place string) any {
	v, err := scalar(k, n)
	if err == nil {
		err = l.ranges.check(k, v)
	}
	if err != nil {
		l.problem(place, "%v", err)
		return nil
	}
	return v
}

// datasets reads a list of data sets: maps, or paths alone.
func (l *loader) datasets(n *yaml.Node, at func(*yaml.Node) string) []data.Source {
	if n.Kind != yaml.SequenceNode {
		l.problem(at(n), "%s; want a list of maps, as [{path: pairs.jsonl}]", listed(n))
		return nil
	}
	var list []data.Source
	weights := 0
	for _, c := range n.Content {
		s := l.dataset(c, at)
		if s.Weight > 0 {
			weights++
		}
		list = append(list, s)
	}
	if weights > 0 && weights < len(list) {
		l.problem(at(n), "some data sets have a weight and others none; give each one, or a fraction to some")
	}
	return list
}

func (l *loader) dataset(n *yaml.Node, at func(*yaml.Node) string) (s data.Source) {
	if n.Kind == yaml.ScalarNode {
		s.Path, _ = l.scalarOf(Key{Kind: reflect.String}, n, at(n)).(string)
		return s
	}
	before := len(l.problems)
	l.each(n, at, []string{"path", "split", "columns", "weight", "fraction", "filter"}, func(name string, value *yaml.Node, place string) {
		inside := func(v *yaml.Node) string { return at(v) + ": " + name }
		switch name {
		case "path":
			s.Path, _ = l.scalarOf(Key{Kind: reflect.String}, value, place).(string)
		case "split":
			s.Split, _ = l.scalarOf(Key{Kind: reflect.String}, value, place).(string)
		case "weight":
			s.Weight, _ = l.scalarOf(Key{Kind: reflect.Float64, limits: "gt=0"}, value, place).(float64)
		case "fraction":
			s.Fraction, _ = l.scalarOf(Key{Kind: reflect.Float64, limits: "gt=0,lte=1"}, value, place).(float64)
		case "filter":
			s.Filter = l.filter(value, inside)
		case "columns":
			if value.Kind == yaml.SequenceNode { // TRL's: those to keep
				l.note(place, "a list of columns has no effect, for other columns are left alone; names are given as in {prompt: question}")
				break
			}
			s.Columns = l.columns(value, inside)
		}
	})
	switch {
	case len(l.problems) > before:
	case s.Path == "":
		l.problem(at(n), "a data set without a path; give it, as {path: pairs.jsonl}")
	case s.Weight > 0 && s.Fraction > 0:
		l.problem(at(n), "weight and fraction for one data set; leave one of them out")
	}
	return s
}

func (l *loader) filter(n *yaml.Node, at func(*yaml.Node) string) (f data.Filter) {
	l.each(n, at, []string{"min_margin", "min_score", "max_tokens", "tag"}, func(name string, value *yaml.Node, place string) {
		switch name {
		case "max_tokens":
			most, _ := l.scalarOf(Key{Kind: reflect.Int, limits: "gte=1"}, value, place).(int64)
			f.MaxTokens = int(most)
		case "tag":
			tags := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				tags = value.Content
			}
			for _, t := range tags {
				if text, ok := l.scalarOf(Key{Kind: reflect.String}, t, place).(string); ok {
					f.Tags = append(f.Tags, text)
				}
			}
		default:
			if least, ok := l.scalarOf(Key{Kind: reflect.Float64}, value, place).(float64); ok && name == "min_margin" {
				f.MinMargin = &least
			} else if ok {
				f.MinScore = &least
			}
		}
	})
	return f
}

// structureLiteral is the value of a structured key in one line of YAML.
func structureLiteral(v any) string {
	switch x := v.(type) {
	case string:
		return literal(reflect.ValueOf(x))
	case map[string]string:
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(x)) {
			parts = append(parts, k+": "+structureLiteral(x[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []string:
		var parts []string
		for _, s := range x {
			parts = append(parts, structureLiteral(s))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case []data.Source:
		var parts []string
		for _, s := range x {
			parts = append(parts, sourceLiteral(s))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	panic(fmt.Sprintf("no literal for %T", v)) // a field of train.Options
}

func sourceLiteral(s data.Source) string {
	var parts, filter []string
	add := func(to *[]string, name string, has bool, value any) {
		if !has {
			return
		}
		text, ok := value.(string)
		if !ok {
			text = literal(reflect.ValueOf(value))
		}
		*to = append(*to, name+": "+text)
	}
	add(&parts, "path", true, structureLiteral(s.Path))
	add(&parts, "split", s.Split != "", structureLiteral(s.Split))
	add(&parts, "columns", s.Columns != nil, structureLiteral(s.Columns))
	add(&parts, "weight", s.Weight > 0, s.Weight)
	add(&parts, "fraction", s.Fraction > 0, s.Fraction)
	if m := s.Filter.MinMargin; m != nil {
		add(&filter, "min_margin", true, *m)
	}
	if m := s.Filter.MinScore; m != nil {
		add(&filter, "min_score", true, *m)
	}
	add(&filter, "max_tokens", s.Filter.MaxTokens > 0, s.Filter.MaxTokens)
	add(&filter, "tag", len(s.Filter.Tags) > 0, structureLiteral(s.Filter.Tags))
	if filter != nil {
		parts = append(parts, "filter: {"+strings.Join(filter, ", ")+"}")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
