package config

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/go-playground/validator/v10"
	"github.com/spf13/pflag"

	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/plan"
	"dpotrain/internal/train"
)

// Key is one setting.
type Key struct {
	Name    string
	Alias   string // another trainer's name, accepted too; empty if there is none
	Default string // as users would write it; empty if there is none
	Help    string
	Kind    reflect.Kind // String, Bool, Int (64 bits) or Float64; of the few that are not scalars Map or Slice
	Path    string       // file or dir, if the value is the path of one
	Size    string       // of a text that is a size in bytes: the word that may stand in its place
	Map     bool         // a map of names to values, kept as the text of a JSON object

	index    []int      // of the field in train.Options
	optional bool       // the field is a pointer, nil when nobody gave the key
	limits   string     // the validator's, of a value that is there
	uses     []loss.Use // a hyperparameter of losses, whose field is a map: the losses that use it
}

// Flag is the key's flag, without the dashes in front.
func (k Key) Flag() string { return dashes(k.Name) }

// Flags are Flag and that of the alias, if there is one.
func (k Key) Flags() []string {
	if k.Alias == "" {
		return []string{k.Flag()}
	}
	return []string{k.Flag(), dashes(k.Alias)}
}

// Value is one that a key can have.
type Value struct {
	Value string
	Help  string // may be empty
}

// Values are all that a key can have, where they are a fixed set, and those of chat_template that have a name everywhere; nil otherwise.
func (k Key) Values() []Value {
	var values []Value
	switch {
	case k.Name == "loss":
		for _, name := range loss.Names() {
			info, _ := loss.Describe(name)
			values = append(values, Value{name, info.Summary})
		}
	case k.Name == "chat_template":
		for _, name := range data.ChatFormats() {
			values = append(values, Value{Value: name})
		}
	case k.Name == "metric_for_best_model":
		for _, m := range eval.MetricsOf(loss.Needs{Reference: true, Rejected: true, Lists: true}) {
			values = append(values, Value{"eval_" + m.Name, m.Unit})
		}
	case k.Kind == reflect.Bool:
		values = []Value{{Value: "true"}, {Value: "false"}}
	default:
		if _, allowed, ok := strings.Cut(k.limits, "oneof="); ok {
			for _, v := range strings.Fields(allowed) {
				values = append(values, Value{Value: v})
			}
		}
	}
	return values
}

// allows says that a text is one of a fixed set of values.
func (k Key) allows(text string) bool {
	return slices.ContainsFunc(k.Values(), func(v Value) bool { return v.Value == text })
}

// Variable is the key's environment variable.
func (k Key) Variable() string { return variable(k.Name) }

const variablePrefix = "DPOTRAIN_"

func variable(name string) string { return variablePrefix + strings.ToUpper(name) }

func dashes(name string) string { return strings.ReplaceAll(name, "_", "-") }

// Keys are all settings, in the order of train.Options.
func Keys() []Key { return slices.Clone(allKeys()) }

var allKeys = sync.OnceValue(func() []Key { return keysOf(reflect.TypeFor[train.Options](), nil) })

func keysOf(t reflect.Type, index []int) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		name, opts, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		switch opts {
		case "squash":
			keys = append(keys, keysOf(f.Type, at)...)
			continue
		case "remain":
			for _, uses := range loss.Uses() {
				keys = append(keys, hyperparameter(uses, at))
			}
			continue
		}
		k := Key{Name: name, Alias: f.Tag.Get("alias"), Default: f.Tag.Get("default"), Help: f.Tag.Get("help"), Path: f.Tag.Get("path"), Size: f.Tag.Get("size"), Map: f.Tag.Get("map") != "", index: at}
		if name == "loss" {
			k.Help += ": one of those that \"dpotrain losses\" lists, or a weighted sum of them, as dpo=0.8,sft=1"
		}
		if k.Kind = f.Type.Kind(); k.Kind == reflect.Pointer {
			k.Kind, k.optional = f.Type.Elem().Kind(), true
		}
		if k.Kind == reflect.Int64 {
			k.Kind = reflect.Int
		}
		var limits []string
		for _, l := range strings.Split(f.Tag.Get("validate"), ",") {
			if l != "required" && l != "omitempty" && l != "" { // whether a value has to be there is for Require to say
				limits = append(limits, l)
			}
		}
		k.limits = strings.Join(limits, ",")
		keys = append(keys, k)
	}
	return keys
}

// hyperparameter is the key of one, which is a part of the field at index.
func hyperparameter(uses []loss.Use, index []int) Key {
	u := uses[0]
	k := Key{Name: u.Key, Kind: reflect.TypeOf(u.Default).Kind(), index: index, optional: true, uses: uses}
	if len(u.Choices) > 0 {
		k.limits = "oneof=" + strings.Join(u.Choices, " ")
	}
	// The default of most losses goes first, and only the others are named with theirs.
	losses := map[any][]string{}
	for _, u := range uses {
		losses[u.Default] = append(losses[u.Default], u.Loss)
	}
	var defaults []string
	for _, v := range slices.SortedFunc(maps.Keys(losses), func(a, b any) int {
		if n := len(losses[b]) - len(losses[a]); n != 0 {
			return n
		}
		return strings.Compare(losses[a][0], losses[b][0])
	}) {
		text := fmt.Sprint(v)
		if len(uses) == 1 || len(defaults) > 0 {
			text += " for " + strings.Join(losses[v], ", ")
		}
		defaults = append(defaults, text)
	}
	k.Help = u.Meaning + "; default: " + strings.Join(defaults, "; ")
	return k
}

// value is the key's value in o; ok is false if there is none.
func (k Key) value(o train.Options) (v reflect.Value, ok bool) {
	v = reflect.ValueOf(o).FieldByIndex(k.index)
	if k.uses != nil {
		v = v.MapIndex(reflect.ValueOf(k.Name))
	}
	if k.structured() {
		return v, v.Len() > 0
	}
	if k.optional {
		if !v.IsValid() || v.IsNil() {
			return v, false
		}
		v = v.Elem()
	}
	return v, true
}

// find is the key with a name or alias.
func find(keys []Key, name string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return name != "" && (k.Name == name || k.Alias == name) })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// wanted says what a value of the key looks like.
func (k Key) wanted() string {
	switch {
	case k.Size != "":
		return "a size such as 3GiB"
	case k.Map:
		return "a map such as {name: value}"
	}
	switch k.Kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Map:
		return "a map in a line of YAML, as {prompt: question}"
	case reflect.Slice:
		return "a list of maps in a line of YAML, as [{path: pairs.jsonl}]"
	}
	return "text"
}

// parse reads a value as users write it: string, bool, int64 or float64. Numbers are decimal, and neither octal (010),
// hexadecimal, infinite nor with separators.
func (k Key) parse(s string) (any, error) {
	var v any
	var err error
	switch k.Kind {
	case reflect.String:
		if !utf8.ValidString(s) {
			return nil, fmt.Errorf("%s is not valid UTF-8; use another name", show(s))
		}
		if k.Size != "" && s != k.Size {
			if _, err := plan.ParseBytes(s); err != nil {
				return nil, fmt.Errorf("%s: %w, or %s", show(s), err, k.Size)
			}
		}
		if k.Map && s != "" {
			return parseMap(s)
		}
		return s, nil
	case reflect.Bool:
		switch s {
		case "true", "True", "TRUE":
			return true, nil
		case "false", "False", "FALSE":
			return false, nil
		}
		return nil, fmt.Errorf("%s; want true or false", show(s))
	case reflect.Int:
		v, err = strconv.ParseInt(s, 10, 64)
	default:
		var f float64
		f, err = strconv.ParseFloat(s, 64)
		if strings.ContainsAny(s, "_xX") {
			err = strconv.ErrSyntax
		} else if f-f != 0 && err == nil || strings.EqualFold(strings.TrimLeft(s, "+-"), ".inf") || strings.EqualFold(s, ".nan") {
			return nil, fmt.Errorf("%s; want a finite number", show(s))
		}
		v = f
	}
	digits := strings.TrimLeft(s, "+-")
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, fmt.Errorf("%s is out of range", show(s))
	case err != nil:
		return nil, fmt.Errorf("%s; want %s", show(s), k.wanted())
	case len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9':
		return nil, fmt.Errorf("%s; write the number without zeros in front, which some read as octal", show(s))
	}
	return v, nil
}

// show is a text as it stands, or quoted if it is empty, long or not plain, so that no text garbles the terminal.
func show(s string) string {
	const longest = 60 // bytes
	if len(s) > longest {
		return strconv.QuoteToASCII(s[:longest]) + "..."
	}
	if q := strconv.Quote(s); s == "" || strings.Contains(s, " ") || q != `"`+s+`"` {
		return q
	}
	return s
}

// ranges checks values against the limits in the options' tags.
type ranges struct{ validate *validator.Validate }

func newRanges() ranges { return ranges{validator.New()} }

// check says in plain words what a value ought to be, if it is not.
func (r ranges) check(k Key, v any) error {
	if k.uses != nil && k.limits == "" { // which of the losses it is for is known only when all layers are read
		if slices.ContainsFunc(k.uses, func(u loss.Use) bool { return u.Check(v) == nil }) {
			return nil
		}
		return k.uses[0].Check(v)
	}
	if k.limits == "" || r.validate.Var(v, k.limits) == nil {
		return nil
	}
	var parts []string
	for _, limit := range strings.Split(k.limits, ",") {
		name, param, _ := strings.Cut(limit, "=")
		if name == "oneof" {
			allowed := strings.Fields(param)
			return fmt.Errorf("%s; want %s%s", show(v.(string)), either(allowed), DidYouMean(v.(string), allowed))
		}
		parts = append(parts, comparisons[name]+" "+param)
	}
	return fmt.Errorf("%v is out of range; want %s", v, strings.Join(parts, " and "))
}

// comparisons are the validator's limits that options may use besides oneof.
var comparisons = map[string]string{"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}

// either joins words: a, b or c.
func either(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// AddFlags gives a flag set one flag for each of the named keys, in the order of Keys; no names mean all keys. With loss
// come the hyperparameters of all losses. An alias is a flag too, hidden in the help. What is given is read by Load, so that
// all problems come out together.
func AddFlags(fs *pflag.FlagSet, names ...string) {
	fs.SortFlags = false
	for _, k := range Keys() {
		name := k.Name
		if k.uses != nil {
			name = "loss"
		}
		if len(names) > 0 && !slices.Contains(names, name) {
			continue
		}
		help := k.Help
		if k.Default != "" {
			help += " (default " + k.Default + ")"
		}
		f := fs.VarPF(&flagValue{key: k}, k.Flag(), "", help)
		if k.Kind == reflect.Bool {
			f.NoOptDefVal = "true"
		}
		if k.Alias != "" {
			fs.VarPF(f.Value, dashes(k.Alias), "", "the same as --"+k.Flag()).Hidden = true
		}
	}
}

// SuggestFlag is the flag, without the dashes in front, that an unknown one was probably meant for; empty if there is none.
func SuggestFlag(fs *pflag.FlagSet, name string) string {
	var known []Key
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, Key{Name: asWritten(f.Name)})
		}
	})
	return dashes(suggest(known, name))
}

// flagValue keeps the text given to a flag. It implements pflag.Value.
type flagValue struct {
	key  Key
	text string
}

func (f *flagValue) String() string     { return f.text }
func (f *flagValue) Set(s string) error { f.text = s; return nil }

// Type is the word for the value in the help.
func (f *flagValue) Type() string {
	switch {
	case f.key.Path != "":
		return f.key.Path
	case f.key.Size != "":
		return "size"
	case f.key.Map:
		return "map"
	case f.key.Kind == reflect.Bool:
		return "bool"
	case f.key.Kind == reflect.Int:
		return "int"
	case f.key.Kind == reflect.Float64:
		return "number"
	case f.key.structured():
		return "yaml"
	}
	return "string"
}
