package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"dpotrain/internal/train"
)

// Key is one setting.
type Key struct {
	Name    string
	Alias   string // another accepted name, of TRL; empty if there is none
	Default string // as users would write it; empty: none
	Help    string
	Kind    reflect.Kind // String, Bool, Int or Float64

	index    []int // of the field in train.Options
	optional bool  // a pointer, nil when not given
}

// Flag is the command-line flag, without dashes in front; Variable the environment variable.
func (k Key) Flag() string     { return strings.ReplaceAll(k.Name, "_", "-") }
func (k Key) Variable() string { return variablePrefix + strings.ToUpper(k.Name) }

const variablePrefix = "DPOTRAIN_"

// Keys are all settings, in the order of train.Options.
func Keys() []Key { return keysOf(reflect.TypeFor[train.Options](), nil) }

func keysOf(t reflect.Type, index []int) []Key {
	var keys []Key
	for i := range t.NumField() {
		f := t.Field(i)
		at := append(slices.Clone(index), i)
		name, opts, _ := strings.Cut(f.Tag.Get("mapstructure"), ",")
		if opts == "squash" {
			keys = append(keys, keysOf(f.Type, at)...)
			continue
		}
		k := Key{Name: name, Alias: f.Tag.Get("alias"), Default: f.Tag.Get("default"), Help: f.Tag.Get("help"), Kind: f.Type.Kind(), index: at}
		switch f.Type.Kind() {
		case reflect.Pointer:
			k.Kind, k.optional = f.Type.Elem().Kind(), true
		case reflect.Int64:
			k.Kind = reflect.Int
		}
		keys = append(keys, k)
	}
	return keys
}

// find is the key of a name or an alias.
func find(keys []Key, name string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name || k.Alias == name && name != "" })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// wanted says what a value of the key looks like.
func (k Key) wanted() string {
	switch k.Kind {
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	}
	return "a text"
}

// parse reads a value as a flag or a variable has it.
func (k Key) parse(s string) (any, error) {
	switch k.Kind {
	case reflect.Bool:
		if s == "true" || s == "false" {
			return s == "true", nil
		}
	case reflect.Int:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && !oddZero(s) {
			return n, nil
		}
	case reflect.Float64:
		if f, err := strconv.ParseFloat(s, 64); err == nil && f-f == 0 && !strings.ContainsAny(s, "_xXpP") && !oddZero(s) {
			return f, nil
		}
	default:
		return s, nil
	}
	return nil, fmt.Errorf("%q; want %s", s, k.wanted())
}

// oddZero says that a number begins with a zero that some read as octal.
func oddZero(s string) bool {
	s = strings.TrimLeft(s, "+-")
	return len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9'
}

// flagValue keeps a flag's text; it is read together with everything else, so that all problems come out together.
type flagValue struct {
	key  Key
	text string
}

func (f *flagValue) String() string     { return f.text }
func (f *flagValue) Set(s string) error { f.text = s; return nil }
func (f *flagValue) Type() string {
	switch f.key.Kind {
	case reflect.Bool:
		return "bool"
	case reflect.Int:
		return "int"
	case reflect.Float64:
		return "number"
	}
	return "string"
}

// AddFlags gives a flag set one flag for each of the named keys; none means all.
func AddFlags(fs *pflag.FlagSet, names ...string) {
	for _, k := range Keys() {
		if len(names) > 0 && !slices.Contains(names, k.Name) {
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
			a := fs.VarPF(f.Value, strings.ReplaceAll(k.Alias, "_", "-"), "", "the same as --"+k.Flag())
			a.Hidden = true
		}
	}
}

// nearest is the known name that a mistyped one was probably meant for.
func nearest(name string, known []string) (string, bool) {
	best, at := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := distance(name, k); d < at {
			best, at = k, d
		}
	}
	return best, best != ""
}

// distance is Levenshtein's, with a swap of neighbours as one step.
func distance(a, b string) int {
	rows := [3][]int{}
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = last, row, before
	}
	return rows[1][len(b)]
}
