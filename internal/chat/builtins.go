package chat

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// args are the arguments of a call, evaluated.
type args struct {
	positional []any
	names      []string // in order
	named      map[string]any
}

// find gives the argument at a place or of a name.
func (a args) find(i int, name string) (any, bool) {
	if i < len(a.positional) {
		return a.positional[i], true
	}
	v, ok := a.named[name]
	return v, ok
}

// atMost ends the rendering if there are arguments other than these, or one twice.
func (a args) atMost(r *run, of string, names ...string) {
	if len(a.positional) > len(names) {
		r.fail("%s: %d arguments, want at most %d", of, len(a.positional), len(names))
	}
	for _, name := range a.names {
		if i := slices.Index(names, name); i < 0 {
			r.fail("%s: there is no argument %s", of, name)
		} else if i < len(a.positional) {
			r.fail("%s: argument %s is given twice", of, name)
		}
	}
}

// text, number and flag give an argument, or missing if it is not given or None.
func (a args) text(r *run, i int, name, missing string) string {
	v, ok := a.find(i, name)
	if !ok || v == nil {
		return missing
	}
	s, ok := v.(string)
	if !ok {
		r.fail("%s: want a str, not %s", name, typeName(v))
	}
	return s
}

func (a args) number(r *run, i int, name string, missing int) int {
	v, ok := a.find(i, name)
	if !ok || v == nil {
		return missing
	}
	n, ok := integer(v)
	if !ok {
		r.fail("%s: want an int, not %s", name, typeName(v))
	}
	return n
}

func (a args) flag(i int, name string) bool {
	v, _ := a.find(i, name)
	return truth(v)
}

// need gives an argument that must be there.
func (a args) need(r *run, i int, name string) any {
	v, ok := a.find(i, name)
	if !ok {
		r.fail("argument %s is missing", name)
	}
	return v
}

// functions are what templates can call without having made it.
var functions map[string]function

// filter is what stands behind |.
type filter func(r *run, in any, a args) any

var filters map[string]filter

// test is what stands behind is.
type test func(r *run, in any, a args) bool

var tests map[string]test

// maxRange bounds what range gives.
const maxRange = 100_000

func init() {
	functions = map[string]function{
		"raise_exception": func(r *run, a args) any {
			panic(&runError{r.line, &TemplateError{short(r.text(a.need(r, 0, "message")))}})
		},
		"strftime_now": func(r *run, a args) any {
			r.dated = true
			return strftime(r, time.Now(), a.text(r, 0, "format", ""))
		},
		"namespace": func(r *run, a args) any {
			n := &namespace{map[string]any{}}
			for _, o := range a.positional {
				o, ok := o.(object)
				if !ok {
					r.fail("namespace: want names with values")
				}
				maps.Copy(n.fields, o.values)
			}
			maps.Copy(n.fields, a.named)
			return n
		},
		"dict": func(r *run, a args) any {
			if len(a.positional) > 0 {
				r.fail("dict: want names with values")
			}
			return object{a.names, a.named}
		},
		"range": rangeOf,
	}
	initFilters()
	initTests()
}

func rangeOf(r *run, a args) any {
	a.atMost(r, "range", "start", "stop", "step")
	start, stop, step := 0, a.number(r, 0, "stop", 0), 1
	if len(a.positional) > 1 {
		start, stop, step = stop, a.number(r, 1, "stop", 0), a.number(r, 2, "step", 1)
	}
	if step == 0 {
		r.fail("range: a step of 0")
	}
	l := list{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; {
		if len(l) == maxRange {
			r.over("range: more than %d items", maxRange)
		}
		r.spend(itemWork)
		l = append(l, i)
		next := i + step
		if (next > i) != (step > 0) {
			break
		}
		i = next
	}
	return l
}

// strftime writes a time by Python's codes.
func strftime(r *run, t time.Time, format string) string {
	r.spend(len(format) * itemWork)
	codes := map[byte]string{'d': "02", 'b': "Jan", 'B': "January", 'Y': "2006", 'y': "06", 'm': "01", 'H': "15", 'M': "04", 'S': "05",
		'A': "Monday", 'a': "Mon", 'j': "002", 'I': "03", 'p': "PM", 'F': "2006-01-02", 'T': "15:04:05"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			b.WriteByte(format[i])
			continue
		}
		i++
		bare := i+1 < len(format) && format[i] == '-' // without leading zeros
		if bare {
			i++
		}
		if i < len(format) && format[i] == '%' {
			b.WriteByte('%')
			continue
		}
		if i == len(format) || codes[format[i]] == "" {
			r.fail("strftime_now: %q: a code that is not supported", format)
		}
		s := t.Format(codes[format[i]])
		if trimmed := strings.TrimLeft(s, "0"); bare && trimmed != "" {
			s = trimmed
		}
		b.WriteString(s)
	}
	return b.String()
}

// onText makes a filter of a string method; what is no string is written as one first.
func onText(name string) filter {
	return func(r *run, in any, a args) any { return stringMethods[name](r, r.text(in), a) }
}

func initFilters() {
	length := func(r *run, in any, _ args) any {
		switch x := in.(type) {
		case string:
			r.spend(len(x))
			return utf8.RuneCountInString(x)
		case object:
			return len(x.keys)
		}
		return len(r.items(in))
	}
	or := func(r *run, in any, a args) any {
		_, missing := in.(undefined)
		if missing || a.flag(1, "boolean") && !truth(in) {
			if v, ok := a.find(0, "default_value"); ok {
				return v
			}
			return ""
		}
		return in
	}
	filters = map[string]filter{
		"trim":  func(r *run, in any, a args) any { return stringMethods["strip"](r, r.text(in), a) },
		"lower": onText("lower"), "upper": onText("upper"), "capitalize": onText("capitalize"), "title": onText("title"), "replace": onText("replace"),
		"string": func(r *run, in any, _ args) any { return r.text(in) },
		"safe":   func(r *run, in any, _ args) any { return r.text(in) },
		"length": length, "count": length, "default": or, "d": or,
		"abs": func(r *run, in any, _ args) any {
			if n, ok := integer(in); ok && n != math.MinInt {
				return max(n, -n)
			}
			f, ok := number64(in)
			if !ok {
				r.fail("abs: want a number, not %s", typeName(in))
			}
			return math.Abs(f)
		},
		"int": func(r *run, in any, a args) any {
			a.atMost(r, "int", "default")
			r.defined(in)
			if n, ok := integer(in); ok {
				return n
			}
			f, ok := in.(float64)
			if s, text := in.(string); text {
				r.spend(2 * len(s))
				s = strings.TrimFunc(s, isSpace)
				if n, err := strconv.Atoi(strings.ReplaceAll(s, "_", "")); err == nil {
					return n
				}
				f, ok = parseFloat(s)
			}
			if !ok || math.Abs(f) >= 1<<62 || math.IsNaN(f) {
				return a.number(r, 0, "default", 0)
			}
			return int(f)
		},
		"float": func(r *run, in any, a args) any {
			r.defined(in)
			f, ok := number64(in)
			if s, text := in.(string); text {
				r.spend(2 * len(s))
				f, ok = parseFloat(strings.TrimFunc(s, isSpace))
			}
			if v, given := a.find(0, "default"); !ok && given {
				return v
			}
			return f
		},
		"round": round,
		"list":  func(r *run, in any, _ args) any { return list(r.copied(in)) },
		"items": func(r *run, in any, _ args) any {
			switch x := in.(type) {
			case object:
				return objectMethods["items"](r, x, args{})
			case undefined:
				return list{}
			}
			r.fail("items: want a dict, not %s", typeName(in))
			return nil
		},
		"first": func(r *run, in any, _ args) any { return firstOf(r.items(in)) },
		"last": func(r *run, in any, _ args) any {
			items := r.items(in)
			return firstOf(items[max(len(items)-1, 0):])
		},
		"reverse": func(r *run, in any, _ args) any {
			items := r.copied(in)
			slices.Reverse(items)
			if _, ok := in.(string); ok {
				return joined(items)
			}
			return list(items)
		},
		"join": func(r *run, in any, a args) any {
			a.atMost(r, "join", "d", "attribute")
			with := a.text(r, 0, "d", "")
			by := a.text(r, 1, "attribute", "")
			var b strings.Builder
			for i, v := range r.items(in) {
				r.spend(itemWork)
				if i > 0 {
					r.spend(len(with))
					b.WriteString(with)
				}
				s := r.text(r.path(v, by))
				r.spend(len(s))
				b.WriteString(s)
			}
			return b.String()
		},
		"sum": func(r *run, in any, a args) any {
			a.atMost(r, "sum", "attribute", "start")
			var total any = a.number(r, 1, "start", 0)
			for _, v := range r.items(in) {
				total = (&binary{op: "+", left: &literal{total}, right: &literal{r.path(v, a.text(r, 0, "attribute", ""))}}).eval(r)
			}
			return total
		},
		"min": func(r *run, in any, a args) any {
			return firstOf(r.sorted(in, a.text(r, 1, "attribute", ""), a.flag(0, "case_sensitive"), false))
		},
		"max": func(r *run, in any, a args) any {
			return firstOf(r.sorted(in, a.text(r, 1, "attribute", ""), a.flag(0, "case_sensitive"), true))
		},
		"sort": func(r *run, in any, a args) any {
			a.atMost(r, "sort", "reverse", "case_sensitive", "attribute")
			return list(r.sorted(in, a.text(r, 2, "attribute", ""), a.flag(1, "case_sensitive"), a.flag(0, "reverse")))
		},
		"unique": func(r *run, in any, a args) any {
			var kept, keys list
			for _, v := range r.items(in) {
				key := r.sortKey(r.path(v, a.text(r, 1, "attribute", "")), a.flag(0, "case_sensitive"))
				if !r.contains(keys, key) {
					kept, keys = append(kept, v), append(keys, key)
				}
			}
			return kept
		},
		"dictsort": func(r *run, in any, a args) any {
			a.atMost(r, "dictsort", "case_sensitive")
			o, ok := in.(object)
			if !ok {
				r.fail("dictsort: want a dict, not %s", typeName(in))
			}
			var pairs list
			for _, k := range r.sorted(o, "", a.flag(0, "case_sensitive"), false) {
				pairs = append(pairs, tuple{k, o.values[k.(string)]})
			}
			return pairs
		},
		"map": func(r *run, in any, a args) any {
			var mapped list
			if by, ok := a.named["attribute"]; ok {
				for _, v := range r.items(in) {
					w := r.path(v, r.text(by))
					if missing, ok := a.named["default"]; ok {
						if _, none := w.(undefined); none {
							w = missing
						}
					}
					mapped = append(mapped, w)
				}
				return mapped
			}
			name := r.text(a.need(r, 0, "filter"))
			f, ok := filters[name]
			if !ok {
				r.fail("there is no filter %s", name)
			}
			r.enter()
			defer r.leave()
			for _, v := range r.items(in) {
				r.step()
				mapped = append(mapped, f(r, v, args{a.positional[1:], a.names, a.named}))
			}
			return mapped
		},
		"select": selecting(false, true), "reject": selecting(false, false), "selectattr": selecting(true, true), "rejectattr": selecting(true, false),
		"indent": func(r *run, in any, a args) any {
			a.atMost(r, "indent", "width", "first", "blank")
			by := a.text2(r, 0, "width", 4)
			text := r.text(in)
			r.spend(len(text) + len(by)*(1+strings.Count(text, "\n")))
			lines := strings.Split(text, "\n")
			for i, line := range lines {
				if (i > 0 || a.flag(1, "first")) && (line != "" || a.flag(2, "blank")) {
					lines[i] = by + line
				}
			}
			return strings.Join(lines, "\n")
		},
		"wordcount": func(r *run, in any, _ args) any {
			text := r.text(in)
			r.spend(len(text) * itemWork)
			return len(strings.FieldsFunc(text, isSpace))
		},
		"tojson": toJSON,
	}
}

func parseFloat(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func firstOf(items []any) any {
	if len(items) == 0 {
		return undefined("an empty list has no such item")
	}
	return items[0]
}

// copied are the items of v in a slice of their own.
func (r *run) copied(v any) []any {
	items := r.items(v)
	r.spend(len(items) * itemWork)
	return slices.Clone(items)
}

// path is v.a.b for "a.b", and v for an empty path.
func (r *run) path(v any, path string) any {
	if path == "" {
		return v
	}
	for name := range strings.SplitSeq(path, ".") {
		r.step()
		if n, err := strconv.Atoi(name); err == nil {
			v = r.item(v, n)
		} else {
			v = r.item(v, name)
		}
	}
	return v
}

// sortKey is what a value is sorted by: texts in lower case unless told otherwise.
func (r *run) sortKey(v any, caseSensitive bool) any {
	if s, ok := v.(string); ok && !caseSensitive {
		r.spend(len(s))
		return strings.ToLower(s)
	}
	return v
}

// sorted are the items of v in order of an attribute; equals keep their order.
func (r *run) sorted(v any, attribute string, caseSensitive, reverse bool) []any {
	type keyed struct{ item, key any }
	var all []keyed
	for _, v := range r.items(v) {
		r.spend(2 * itemWork)
		all = append(all, keyed{v, r.sortKey(r.path(v, attribute), caseSensitive)})
	}
	slices.SortStableFunc(all, func(a, b keyed) int {
		r.spend(itemWork)
		if reverse {
			a, b = b, a
		}
		return r.compare(a.key, b.key)
	})
	items := make([]any, len(all))
	for i, k := range all {
		items[i] = k.item
	}
	return items
}

// selecting makes the filters that keep or drop the items that pass a test, themselves or an attribute of theirs.
func selecting(byAttribute, keep bool) filter {
	return func(r *run, in any, a args) any {
		by, rest := "", a.positional
		if byAttribute {
			by = r.text(a.need(r, 0, "attribute"))
			rest = rest[1:]
		}
		passes := func(v any) bool { return truth(v) }
		if len(rest) > 0 {
			name := r.text(rest[0])
			t, ok := tests[name]
			if !ok {
				r.fail("there is no test %s", name)
			}
			passes = func(v any) bool { return t(r, v, args{positional: rest[1:]}) }
		}
		var kept list
		for _, v := range r.items(in) {
			r.step()
			if passes(r.path(v, by)) == keep {
				kept = append(kept, v)
			}
		}
		return kept
	}
}

func round(r *run, in any, a args) any {
	a.atMost(r, "round", "precision", "method")
	f, ok := number64(in)
	if !ok {
		r.fail("round: want a number, not %s", typeName(in))
	}
	precision := a.number(r, 0, "precision", 0)
	if precision < -300 || precision > 300 {
		r.fail("round: precision %d: want -300 to 300", precision)
	}
	scale := math.Pow(10, float64(precision))
	switch method := a.text(r, 1, "method", "common"); method {
	case "common":
		if n, ok := integer(in); ok {
			return n
		}
		f = math.RoundToEven(f*scale) / scale
	case "ceil":
		f = math.Ceil(f*scale) / scale
	case "floor":
		f = math.Floor(f*scale) / scale
	default:
		r.fail("round: method %s: want common, ceil or floor", method)
	}
	return f
}

// text2 is a text, or as many blanks as a number says.
func (a args) text2(r *run, i int, name string, missing int) string {
	if v, _ := a.find(i, name); typeName(v) == "a str" {
		return v.(string)
	}
	return strings.Repeat(" ", r.times(1, a.number(r, i, name, missing)))
}

func toJSON(r *run, in any, a args) any {
	a.atMost(r, "tojson", "ensure_ascii", "indent", "separators", "sort_keys")
	if a.flag(0, "ensure_ascii") {
		r.fail("tojson: ensure_ascii is not supported")
	}
	style := jsonStyle{comma: ", ", pair: ": ", sorted: a.flag(3, "sort_keys")}
	if v, _ := a.find(1, "indent"); v != nil {
		style.indent, style.broken, style.comma = a.text2(r, 1, "indent", 0), true, ","
	}
	if v, _ := a.find(2, "separators"); v != nil {
		s := sequence(v)
		if len(s) != 2 {
			r.fail("tojson: separators: want two")
		}
		style.comma, style.pair = r.text(s[0]), r.text(s[1])
	}
	var b strings.Builder
	r.json(&b, in, style, "")
	return b.String()
}

func initTests() {
	kind := func(names ...string) test {
		return func(_ *run, in any, _ args) bool { return slices.Contains(names, typeName(in)) }
	}
	order := func(holds func(c int) bool) test {
		return func(r *run, in any, a args) bool { return holds(r.compare(in, a.need(r, 0, "other"))) }
	}
	equal := func(r *run, in any, a args) bool { return r.equal(in, a.need(r, 0, "other")) }
	less, more := order(func(c int) bool { return c < 0 }), order(func(c int) bool { return c > 0 })
	remainder := func(n int) test {
		return func(r *run, in any, _ args) bool { return r.remainder(in, 2) == n }
	}
	tests = map[string]test{
		"defined":     func(_ *run, in any, _ args) bool { return typeName(in) != typeName(undefined("")) },
		"undefined":   kind(typeName(undefined(""))),
		"none":        kind("None"),
		"boolean":     kind("a bool"),
		"integer":     kind("an int"),
		"float":       kind("a float"),
		"number":      kind("an int", "a float", "a bool"),
		"string":      kind("a str"),
		"mapping":     kind("a dict"),
		"sequence":    kind("a str", "a list", "a tuple", "a dict"),
		"iterable":    kind("a str", "a list", "a tuple", "a dict", typeName(undefined(""))),
		"callable":    kind("a function"),
		"true":        func(_ *run, in any, _ args) bool { return in == true },
		"false":       func(_ *run, in any, _ args) bool { return in == false },
		"odd":         remainder(1),
		"even":        remainder(0),
		"divisibleby": func(r *run, in any, a args) bool { return r.remainder(in, a.number(r, 0, "num", 0)) == 0 },
		"eq":          equal, "equalto": equal,
		"ne": func(r *run, in any, a args) bool { return !equal(r, in, a) },
		"lt": less, "lessthan": less, "gt": more, "greaterthan": more,
		"le": order(func(c int) bool { return c <= 0 }),
		"ge": order(func(c int) bool { return c >= 0 }),
		"in": func(r *run, in any, a args) bool { return r.contains(a.need(r, 0, "seq"), in) },
		"sameas": func(r *run, in any, a args) bool {
			v := a.need(r, 0, "other")
			return typeName(in) == typeName(v) && r.equal(in, v)
		},
		"lower": func(r *run, in any, _ args) bool { return truth(stringMethods["islower"](r, r.text(in), args{})) },
		"upper": func(r *run, in any, _ args) bool { return truth(stringMethods["isupper"](r, r.text(in), args{})) },
	}
}

func (r *run) remainder(v any, by int) int {
	n, ok := integer(v)
	if !ok || by == 0 {
		r.fail("want whole numbers, and not 0 to divide by")
	}
	return r.whole("%", n, by).(int)
}

var objectMethods = map[string]func(r *run, o object, a args) any{
	"get": func(r *run, o object, a args) any {
		a.atMost(r, "get", "key", "default")
		if k, ok := a.need(r, 0, "key").(string); ok {
			if v, ok := o.values[k]; ok {
				return v
			}
		}
		v, _ := a.find(1, "default")
		return v
	},
	"keys": func(r *run, o object, _ args) any { return list(r.items(o)) },
	"values": func(r *run, o object, _ args) any {
		values := list(r.items(o))
		for i, k := range o.keys {
			values[i] = o.values[k]
		}
		return values
	},
	"items": func(r *run, o object, _ args) any {
		pairs := list(r.items(o))
		for i, k := range o.keys {
			pairs[i] = tuple{k, o.values[k]}
		}
		return pairs
	},
	"copy":   func(_ *run, o object, _ args) any { return o },
	"update": unchangeable[object], "pop": unchangeable[object], "setdefault": unchangeable[object], "clear": unchangeable[object],
}

var sequenceMethods = map[string]func(r *run, s []any, a args) any{
	"index": func(r *run, s []any, a args) any {
		v := a.need(r, 0, "value")
		i := slices.IndexFunc(s, func(w any) bool { return r.equal(v, w) })
		if i < 0 {
			r.fail("index: the list has no such item")
		}
		return i
	},
	"count": func(r *run, s []any, a args) any {
		n, v := 0, a.need(r, 0, "value")
		for _, w := range s {
			if r.equal(v, w) {
				n++
			}
		}
		return n
	},
	"append": unchangeable[[]any], "extend": unchangeable[[]any], "insert": unchangeable[[]any], "pop": unchangeable[[]any],
	"remove": unchangeable[[]any], "sort": unchangeable[[]any], "reverse": unchangeable[[]any], "clear": unchangeable[[]any],
}

// unchangeable is what transformers' immutable sandbox does with methods that change a value.
func unchangeable[T any](r *run, _ T, _ args) any {
	r.fail("a chat template may not change lists and dicts; use + or a namespace")
	return nil
}

// stringMethods are those of Python's str.
var stringMethods map[string]func(r *run, s string, a args) any

func init() {
	trim := func(cut func(string, func(rune) bool) string) func(*run, string, args) any {
		return func(r *run, s string, a args) any {
			r.spend(len(s))
			if v, ok := a.find(0, "chars"); !ok || v == nil {
				return cut(s, isSpace)
			}
			chars := a.text(r, 0, "chars", "")
			r.spend(len(s) * (1 + len(chars)/16))
			return cut(s, func(c rune) bool { return strings.ContainsRune(chars, c) })
		}
	}
	plain := func(f func(string) string) func(*run, string, args) any {
		return func(r *run, s string, _ args) any {
			r.spend(2 * len(s))
			return f(s)
		}
	}
	is := func(member func(rune) bool) func(*run, string, args) any {
		return func(r *run, s string, _ args) any {
			r.spend(len(s))
			return s != "" && strings.IndexFunc(s, func(c rune) bool { return !member(c) }) < 0
		}
	}
	cased := func(of, other func(rune) bool) func(*run, string, args) any {
		return func(r *run, s string, _ args) any {
			r.spend(len(s))
			return strings.IndexFunc(s, of) >= 0 && strings.IndexFunc(s, other) < 0
		}
	}
	affix := func(has func(s, affix string) bool) func(*run, string, args) any {
		return func(r *run, s string, a args) any {
			v := a.need(r, 0, "prefix")
			if t, ok := v.(tuple); ok {
				return slices.ContainsFunc(t, func(p any) bool { r.spend(len(s)); return has(s, r.text(p)) })
			}
			r.spend(len(s))
			return has(s, a.text(r, 0, "prefix", ""))
		}
	}
	find := func(index func(s, sub string) int, must bool) func(*run, string, args) any {
		return func(r *run, s string, a args) any {
			a.atMost(r, "find", "sub")
			r.spend(len(s))
			i := index(s, a.text(r, 0, "sub", ""))
			if i < 0 && must {
				r.fail("index: the text has no such part")
			}
			return utf8.RuneCountInString(s[:max(i, 0)]) + min(i, 0)
		}
	}
	stringMethods = map[string]func(*run, string, args) any{
		"strip":      trim(strings.TrimFunc),
		"lstrip":     trim(strings.TrimLeftFunc),
		"rstrip":     trim(strings.TrimRightFunc),
		"lower":      plain(strings.ToLower),
		"upper":      plain(strings.ToUpper),
		"capitalize": plain(capitalize),
		"title":      plain(title),
		"isdigit":    is(unicode.IsDigit),
		"isalpha":    is(unicode.IsLetter),
		"isalnum":    is(func(c rune) bool { return unicode.IsLetter(c) || unicode.IsNumber(c) }),
		"isspace":    is(isSpace),
		"islower":    cased(unicode.IsLower, unicode.IsUpper),
		"isupper":    cased(unicode.IsUpper, unicode.IsLower),
		"startswith": affix(strings.HasPrefix),
		"endswith":   affix(strings.HasSuffix),
		"find":       find(strings.Index, false),
		"rfind":      find(strings.LastIndex, false),
		"index":      find(strings.Index, true),
		"rindex":     find(strings.LastIndex, true),
		"count": func(r *run, s string, a args) any {
			a.atMost(r, "count", "sub")
			r.spend(len(s))
			return strings.Count(s, a.text(r, 0, "sub", ""))
		},
		"removeprefix": func(r *run, s string, a args) any {
			r.spend(len(s))
			return strings.TrimPrefix(s, a.text(r, 0, "prefix", ""))
		},
		"removesuffix": func(r *run, s string, a args) any {
			r.spend(len(s))
			return strings.TrimSuffix(s, a.text(r, 0, "suffix", ""))
		},
		"replace": func(r *run, s string, a args) any {
			a.atMost(r, "replace", "old", "new", "count")
			old, with, count := a.text(r, 0, "old", ""), a.text(r, 1, "new", ""), a.number(r, 2, "count", -1)
			r.spend(len(s))
			n := strings.Count(s, old)
			if count >= 0 {
				n = min(n, count)
			}
			r.spend(len(s) + r.times(max(len(with), 1), n))
			return strings.Replace(s, old, with, count)
		},
		"join": func(r *run, s string, a args) any {
			return filters["join"](r, list(r.texts(a.need(r, 0, "iterable"))), args{positional: []any{s}})
		},
		"split":  func(r *run, s string, a args) any { return split(r, s, a, false) },
		"rsplit": func(r *run, s string, a args) any { return split(r, s, a, true) },
		"splitlines": func(r *run, s string, a args) any {
			keep := a.flag(0, "keepends")
			r.spend(len(s) * itemWork / 2)
			lines := list{}
			for s != "" {
				n := strings.IndexAny(s, "\n\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029")
				if n < 0 {
					return append(lines, s)
				}
				size := len(string([]rune(s[n:min(n+3, len(s))])[:1]))
				if strings.HasPrefix(s[n:], "\r\n") {
					size = 2
				}
				if keep {
					lines = append(lines, s[:n+size])
				} else {
					lines = append(lines, s[:n])
				}
				s = s[n+size:]
			}
			return lines
		},
	}
}

// texts are the items of v, which must be strings.
func (r *run) texts(v any) []any {
	items := r.items(v)
	r.spend(len(items) * itemWork)
	for _, t := range items {
		if _, ok := t.(string); !ok {
			r.fail("join: want strs, not %s", typeName(t))
		}
	}
	return items
}

func capitalize(s string) string {
	for i, c := range s {
		return string(unicode.ToTitle(c)) + strings.ToLower(s[i+len(string(c)):])
	}
	return s
}

func title(s string) string {
	inWord := false
	return strings.Map(func(c rune) rune {
		first := !inWord
		inWord = unicode.IsLetter(c)
		if first {
			return unicode.ToTitle(c)
		}
		return unicode.ToLower(c)
	}, s)
}

// split is str.split, or str.rsplit if it is from the right.
func split(r *run, s string, a args, right bool) any {
	a.atMost(r, "split", "sep", "maxsplit")
	most := a.number(r, 1, "maxsplit", -1)
	r.spend(len(s))
	parts := list{}
	sep := a.text(r, 0, "sep", "")
	if v, ok := a.find(0, "sep"); !ok || v == nil { // runs of white space
		if right {
			s = strings.TrimRightFunc(s, isSpace)
		} else {
			s = strings.TrimLeftFunc(s, isSpace)
		}
		for s != "" {
			r.spend(itemWork)
			var n int
			if n = strings.IndexFunc(s, isSpace); right {
				n = strings.LastIndexFunc(s, isSpace)
			}
			if n < 0 || most == 0 {
				parts = append(parts, s)
				break
			}
			most--
			if right {
				parts = append(parts, strings.TrimLeftFunc(s[n:], isSpace))
				s = strings.TrimRightFunc(s[:n], isSpace)
			} else {
				parts = append(parts, s[:n])
				s = strings.TrimLeftFunc(s[n:], isSpace)
			}
		}
	} else {
		if sep == "" {
			r.fail("split: an empty separator")
		}
		for {
			r.spend(itemWork)
			var n int
			if n = strings.Index(s, sep); right {
				n = strings.LastIndex(s, sep)
			}
			if n < 0 || most == 0 {
				parts = append(parts, s)
				break
			}
			most--
			if right {
				parts, s = append(parts, s[n+len(sep):]), s[:n]
			} else {
				parts, s = append(parts, s[:n]), s[n+len(sep):]
			}
		}
	}
	if right {
		slices.Reverse(parts)
	}
	return parts
}
