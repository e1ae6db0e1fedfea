// Package config puts a run's settings together: defaults, then a flat YAML file, then variables DPOTRAIN_KEY, then flags.
//
// The keys are the fields of train.Options. A file is read strictly first, so that an unknown key, a wrong type or a
// value out of range is an error with file, line and key; all problems come out together. viper then layers the values.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/go-playground/validator/v10"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// Layer says where a value comes from; higher ones win.
type Layer int

// The layers.
const (
	Default Layer = iota
	File
	Variable
	Flag
)

// LoadOptions say what there is to read.
type LoadOptions struct {
	File    string         // path of a YAML file; empty: none
	Flags   *pflag.FlagSet // with flags of AddFlags; nil: none
	Environ []string       // as os.Environ gives it
}

// Resolved is settings put together.
type Resolved struct {
	Options  train.Options
	Warnings []string

	given map[string]given // by key, the highest layer's
}

// given is a value somebody gave.
type given struct {
	value any
	layer Layer
	place string // in front of messages: configs/ipo.yaml:14: beta, DPOTRAIN_BETA, --beta
}

// Origin is the layer that a key's value comes from.
func (r *Resolved) Origin(key string) Layer { return r.given[key].layer }

// Errors is all that is wrong with a run's settings.
type Errors []string

func (e Errors) Error() string { return strings.Join(e, "\n") }

// maxFile bounds a config file.
const maxFile = 1 << 20

// Load puts settings together. All that is wrong comes out as one Errors.
func Load(o LoadOptions) (*Resolved, error) {
	l := &loader{keys: Keys(), Resolved: &Resolved{given: map[string]given{}}}
	if o.File != "" {
		if err := l.readFile(o.File); err != nil {
			return nil, err
		}
	}
	l.readVariables(o.Environ)
	l.readFlags(o.Flags)
	l.ownBeta()
	if err := l.resolve(); err != nil {
		return nil, err
	}
	if len(l.problems) > 0 {
		return nil, l.problems
	}
	return l.Resolved, nil
}

type loader struct {
	*Resolved
	keys     []Key
	problems Errors
	losses   [Flag + 1]string
}

func (l *loader) problem(place, format string, a ...any) {
	l.problems = append(l.problems, place+": "+fmt.Sprintf(format, a...))
}

// give keeps a value unless a higher layer has one.
func (l *loader) give(k Key, v any, layer Layer, place string) {
	if k.Name == "loss" {
		name := fmt.Sprint(v)
		if info, ok := loss.Describe(name); ok {
			v, name = info.Name, info.Name
		}
		l.losses[layer] = name
	}
	l.given[k.Name] = given{v, layer, place}
}

// readFile reads a YAML file: a flat map of scalars.
func (l *loader) readFile(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() || info.Size() > maxFile {
		return fmt.Errorf("%s: a folder, or larger than %d MiB; want a YAML file of settings", path, maxFile>>20)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("%s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(doc.Content) == 0 {
		return nil // nothing but comments
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: want lines of the form key: value", path, root.Line)
	}
	seen := map[string]string{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		name, value := root.Content[i], root.Content[i+1]
		place := fmt.Sprintf("%s:%d: %s", path, name.Line, name.Value)
		k, ok := find(l.keys, name.Value)
		if !ok {
			l.problem(place, "unknown key%s", l.suggest(name.Value))
			continue
		}
		if other, twice := seen[k.Name]; twice {
			if other == name.Value {
				l.problem(place, "stands twice")
			} else {
				l.problem(place, "the same setting as %s, which stands above", other)
			}
			continue
		}
		seen[k.Name] = name.Value
		v, err := scalar(k, value, name.Value)
		if err != nil {
			l.problem(place, "%v", err)
		} else if v != nil {
			l.give(k, v, File, place)
		}
	}
	return nil
}

// scalar reads a node as a value of k; nil for a null.
func scalar(k Key, n *yaml.Node, name string) (any, error) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 1 && name == "loss_type" {
		n = n.Content[0] // TRL writes loss_type: [sigmoid]
	}
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("a list or a map; want %s", k.wanted())
	}
	kind := n.ShortTag()
	switch {
	case kind == "!!null":
		return nil, nil
	case k.Kind == reflect.String && kind == "!!str",
		k.Kind == reflect.Bool && kind == "!!bool",
		k.Kind == reflect.Int && kind == "!!int",
		k.Kind == reflect.Float64 && (kind == "!!int" || kind == "!!float"):
		return k.parse(n.Value)
	}
	quoted := ""
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		quoted = " without quotes"
	}
	return nil, fmt.Errorf("%q; want %s%s", n.Value, k.wanted(), quoted)
}

func (l *loader) suggest(name string) string {
	var known []string
	for _, k := range l.keys {
		known = append(known, k.Name)
		if k.Alias != "" {
			known = append(known, k.Alias)
		}
	}
	if n, ok := nearest(name, known); ok {
		return fmt.Sprintf(" (did you mean %s?)", n)
	}
	return ""
}

// readVariables reads DPOTRAIN_KEY variables. One of an unknown key is a warning: it may belong to something else.
func (l *loader) readVariables(environ []string) {
	slices.Sort(environ)
	for _, e := range environ {
		name, text, _ := strings.Cut(e, "=")
		key, ok := strings.CutPrefix(name, variablePrefix)
		if !ok || name == "DPOTRAIN_TESTDATA" {
			continue
		}
		k, ok := find(l.keys, strings.ToLower(key))
		if !ok {
			l.Warnings = append(l.Warnings, fmt.Sprintf("%s: unknown variable%s", name, l.suggest(strings.ToLower(key))))
			continue
		}
		l.text(k, text, Variable, name)
	}
}

// readFlags reads the flags that were given.
func (l *loader) readFlags(fs *pflag.FlagSet) {
	if fs == nil {
		return
	}
	fs.Visit(func(f *pflag.Flag) {
		if v, ok := f.Value.(*flagValue); ok {
			l.text(v.key, v.text, Flag, "--"+f.Name)
		}
	})
}

func (l *loader) text(k Key, text string, layer Layer, place string) {
	v, err := k.parse(text)
	if err != nil {
		l.problem(place, "%v", err)
		return
	}
	l.give(k, v, layer, place)
}

// ownBeta drops a beta that was meant for another loss: one from a lower layer than the loss, when the loss has no beta or
// another default. One from the same or a higher layer that the loss does not use is an error.
func (l *loader) ownBeta() {
	beta, ok := l.given["beta"]
	name, chosen := "dpo", Default
	if g, ok := l.given["loss"]; ok {
		name, chosen = fmt.Sprint(g.value), g.layer
	}
	info, known := loss.Describe(name)
	if !ok || !known {
		return
	}
	if beta.layer >= chosen {
		if info.DefaultBeta == 0 {
			l.problem(beta.place, "loss %s does not use it; leave it out", name)
		}
		return
	}
	before := "dpo"
	for layer := Default; layer <= beta.layer; layer++ {
		if l.losses[layer] != "" {
			before = l.losses[layer]
		}
	}
	if old, _ := loss.Describe(before); info.DefaultBeta != old.DefaultBeta {
		l.Warnings = append(l.Warnings, fmt.Sprintf("%s: meant for loss %s and not carried over to %s", beta.place, before, name))
		delete(l.given, "beta")
	}
}

// resolve layers the values and checks ranges and rules between keys.
func (l *loader) resolve() error {
	v := viper.New()
	file := map[string]any{}
	for _, k := range l.keys {
		if k.Default != "" {
			d, err := k.parse(k.Default)
			if err != nil {
				return fmt.Errorf("default of %s: %w", k.Name, err)
			}
			v.SetDefault(k.Name, d)
		} else if !k.optional {
			v.SetDefault(k.Name, reflect.Zero(reflect.TypeFor[string]()).Interface())
		}
	}
	for name, g := range l.given {
		if g.layer == File {
			file[name] = g.value
		} else {
			v.Set(name, g.value)
		}
	}
	if err := v.MergeConfigMap(file); err != nil {
		return err
	}
	if err := v.UnmarshalExact(&l.Options); err != nil {
		return err
	}
	check := validator.New()
	check.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		return name
	})
	var bad validator.ValidationErrors
	if err := check.Struct(l.Options); errors.As(err, &bad) {
		for _, b := range bad {
			if b.Tag() == "required" {
				continue // what a command needs is its own to say: Require
			}
			l.problem(l.place(b.Field()), "%v is out of range; want %s", deref(b.Value()), rangeText(b.Tag(), b.Param()))
		}
	} else if err != nil {
		return err
	}
	if _, err := loss.New(l.Options.Loss, loss.Settings{}); err != nil {
		l.problem(l.place("loss"), "%s", strings.TrimPrefix(err.Error(), "loss: "))
	}
	if l.Options.WarmupSteps > 0 && l.Options.WarmupRatio > 0 {
		l.Warnings = append(l.Warnings, fmt.Sprintf("warmup_steps %v goes before warmup_ratio %v", l.Options.WarmupSteps, l.Options.WarmupRatio))
	}
	return nil
}

// place is where a key's value was given.
func (l *loader) place(key string) string {
	if g, ok := l.given[key]; ok {
		return g.place
	}
	return key
}

func deref(v any) any {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && !r.IsNil() {
		return r.Elem().Interface()
	}
	return v
}

func rangeText(tag, param string) string {
	switch tag {
	case "gt":
		return "more than " + param
	case "gte":
		return param + " or more"
	case "lt":
		return "less than " + param
	case "lte":
		return param + " or less"
	case "oneof":
		return strings.Join(strings.Fields(param), ", ")
	}
	return tag + " " + param
}

// Require checks that the named keys have a value.
func (r *Resolved) Require(names ...string) error {
	var missing Errors
	for _, n := range names {
		k, _ := find(Keys(), n)
		if reflect.ValueOf(r.Options).FieldByIndex(k.index).IsZero() {
			missing = append(missing, fmt.Sprintf("%s: not given; give --%s, or %s: in a config file (%s)", n, k.Flag(), n, k.Help))
		}
	}
	if len(missing) > 0 {
		return missing
	}
	return nil
}

// Marshal is settings as a config file: every key, with its help above.
func Marshal(o train.Options) []byte {
	var b bytes.Buffer
	b.WriteString("# Settings of a dpotrain run, resolved: every key with its value. To repeat the run:\n#   dpotrain train --config THIS_FILE --output-dir DIR\n")
	v := reflect.ValueOf(o)
	for _, k := range Keys() {
		f := v.FieldByIndex(k.index)
		fmt.Fprintf(&b, "\n# %s\n", k.Help)
		if k.optional {
			if f.IsNil() {
				fmt.Fprintf(&b, "# %s:\n", k.Name)
				continue
			}
			f = f.Elem()
		}
		fmt.Fprintf(&b, "%s: %s\n", k.Name, literal(f))
	}
	return b.Bytes()
}

// literal is a value as YAML has it.
func literal(f reflect.Value) string {
	switch f.Kind() {
	case reflect.Float64:
		return strconv.FormatFloat(f.Float(), 'g', -1, 64)
	case reflect.String:
		text, err := yaml.Marshal(f.String())
		if err != nil {
			panic(err) // a string
		}
		if s := strings.TrimSuffix(string(text), "\n"); !strings.ContainsAny(s, "\n") {
			return s
		}
		return strconv.Quote(f.String())
	}
	return fmt.Sprint(f.Interface())
}

// harmless are the keys that may change between a run and its continuation: they say where things are and what is
// shown, or are compared by content.
var harmless = []string{"model", "ref_model", "data", "eval_data", "output_dir", "ref_cache_dir", "on_bad_row", "threads", "logging_steps", "eval_steps",
	"save_steps", "save_total_limit", "save_dtype", "resume_from_checkpoint"}

// Differences are the settings that differ between two runs and change results, a line each.
func Differences(was, now train.Options) []string {
	var lines []string
	a, b := reflect.ValueOf(was), reflect.ValueOf(now)
	for _, k := range Keys() {
		if slices.Contains(harmless, k.Name) {
			continue
		}
		x, y := deref(a.FieldByIndex(k.index).Interface()), deref(b.FieldByIndex(k.index).Interface())
		if fmt.Sprint(x) != fmt.Sprint(y) {
			lines = append(lines, fmt.Sprintf("%s: was %v, now %v", k.Name, x, y))
		}
	}
	return lines
}
