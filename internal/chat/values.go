package chat

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The values of a template are nil (Python's None), bool, int, float64, string and the types below. They do not change once
// made, but for the fields of a namespace, which has no text and no parts to compare: nothing walks in circles.
type (
	undefined string // why there is no value
	list      []any
	tuple     []any
	object    struct { // a Python dict
		keys   []string // in order
		values map[string]any
	}
	namespace struct{ fields map[string]any }
	loop      struct { // the variable loop
		items   []any
		at      int
		changed []any
	}
	function func(r *run, a args) any
)

// set gives a dict that is being made a value; a key that is there keeps its place.
func (o *object) set(key string, v any) {
	if _, has := o.values[key]; !has {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a str"
	case undefined:
		return "an undefined value"
	case list:
		return "a list"
	case tuple:
		return "a tuple"
	case object:
		return "a dict"
	case *namespace:
		return "a namespace"
	case *loop:
		return "the loop variable"
	}
	return "a function"
}

// defined ends the rendering if one of the values is not there.
func (r *run) defined(values ...any) {
	for _, v := range values {
		if u, ok := v.(undefined); ok {
			r.fail("%s", string(u))
		}
	}
}

// sequence is the items of a list or tuple.
func sequence(v any) []any {
	switch x := v.(type) {
	case list:
		return x
	case tuple:
		return x
	}
	return nil
}

// sameKind makes items a list or a tuple, as v is one.
func sameKind(v any, items []any) any {
	if _, ok := v.(tuple); ok {
		return tuple(items)
	}
	return list(items)
}

// integer takes a bool for 0 or 1, as Python does.
func integer(v any) (int, bool) {
	switch x := v.(type) {
	case int:
		return x, true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

func number64(v any) (float64, bool) {
	if f, ok := v.(float64); ok {
		return f, true
	}
	n, ok := integer(v)
	return float64(n), ok
}

func truth(v any) bool {
	switch x := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return x
	case int:
		return x != 0
	case float64:
		return x != 0
	case string:
		return x != ""
	case list:
		return len(x) > 0
	case tuple:
		return len(x) > 0
	case object:
		return len(x.keys) > 0
	}
	return true
}

// items are what a loop goes through.
func (r *run) items(v any) []any {
	switch x := v.(type) {
	case list, tuple:
		return sequence(x)
	case undefined:
		return nil
	case object:
		r.spend(len(x.keys) * itemWork)
		keys := make([]any, len(x.keys))
		for i, k := range x.keys {
			keys[i] = k
		}
		return keys
	case string:
		r.spend(len(x) * itemWork)
		chars := make([]any, 0, len(x))
		for _, c := range x {
			chars = append(chars, string(c))
		}
		return chars
	}
	r.fail("%s is no list", typeName(v))
	return nil
}

func joined(texts []any) string {
	var b strings.Builder
	for _, t := range texts {
		b.WriteString(t.(string))
	}
	return b.String()
}

// attribute is v.name.
func (r *run) attribute(v any, name string) any {
	switch x := v.(type) {
	case undefined:
		r.defined(x)
	case string:
		if m, ok := stringMethods[name]; ok {
			return function(func(r *run, a args) any { return m(r, x, a) })
		}
	case object:
		if m, ok := objectMethods[name]; ok {
			return function(func(r *run, a args) any { return m(r, x, a) })
		}
		if f, ok := x.values[name]; ok {
			return f
		}
	case list, tuple:
		if m, ok := sequenceMethods[name]; ok {
			return function(func(r *run, a args) any { return m(r, sequence(x), a) })
		}
	case *namespace:
		if f, ok := x.fields[name]; ok {
			return f
		}
	case *loop:
		if f := x.field(name); f != nil {
			return f
		}
	}
	r.spend(min(len(name), maxMessage))
	return undefined(fmt.Sprintf("%s has no %s", typeName(v), short(name)))
}

// item is v[key].
func (r *run) item(v, key any) any {
	r.defined(v, key)
	if name, ok := key.(string); ok {
		if o, ok := v.(object); ok {
			if f, ok := o.values[name]; ok {
				return f
			}
		}
		return r.attribute(v, name)
	}
	if n, ok := integer(key); ok {
		items := sequence(v)
		if s, ok := v.(string); ok {
			items = r.items(s)
		}
		if n < 0 {
			n += len(items)
		}
		if 0 <= n && n < len(items) {
			return items[n]
		}
	}
	return undefined(fmt.Sprintf("%s has no such item", typeName(v)))
}

// field is a field of the variable loop, nil if there is none.
func (l *loop) field(name string) any {
	n := len(l.items)
	neighbour := func(i int) any {
		if i < 0 || i >= n {
			return undefined("there is no such item in the loop")
		}
		return l.items[i]
	}
	switch name {
	case "index":
		return l.at + 1
	case "index0":
		return l.at
	case "revindex":
		return n - l.at
	case "revindex0":
		return n - l.at - 1
	case "first":
		return l.at == 0
	case "last":
		return l.at == n-1
	case "length":
		return n
	case "depth": // of a recursive loop, which there are none of
		return 1
	case "depth0":
		return 0
	case "previtem":
		return neighbour(l.at - 1)
	case "nextitem":
		return neighbour(l.at + 1)
	case "cycle":
		return function(func(r *run, a args) any {
			if len(a.positional) == 0 {
				r.fail("loop.cycle: want values")
			}
			return a.positional[l.at%len(a.positional)]
		})
	case "changed":
		return function(func(r *run, a args) any {
			same := l.changed != nil && r.equal(list(l.changed), list(a.positional))
			l.changed = a.positional
			return !same
		})
	}
	return nil
}

// equal is ==.
func (r *run) equal(a, b any) bool {
	r.enter()
	defer r.leave()
	r.spend(itemWork)
	if x, ok := number64(a); ok {
		y, ok := number64(b)
		return ok && x == y
	}
	switch x := a.(type) {
	case nil:
		return b == nil
	case string:
		y, ok := b.(string)
		r.spend(min(len(x), len(y)))
		return ok && x == y
	case undefined:
		_, ok := b.(undefined)
		return ok
	case list, tuple:
		return typeName(a) == typeName(b) && slices.EqualFunc(sequence(a), sequence(b), r.equal)
	case object:
		y, ok := b.(object)
		if !ok || len(x.keys) != len(y.keys) {
			return false
		}
		for _, k := range x.keys {
			if v, ok := y.values[k]; !ok || !r.equal(x.values[k], v) {
				return false
			}
		}
		return true
	case *namespace, *loop:
		return a == b
	}
	return false
}

// compare orders two numbers or two texts.
func (r *run) compare(a, b any) int {
	if x, ok := number64(a); ok {
		if y, ok := number64(b); ok {
			return cmp.Compare(x, y)
		}
	}
	x, ok := a.(string)
	y, also := b.(string)
	if !ok || !also {
		r.defined(a, b)
		r.fail("%s and %s cannot be compared", typeName(a), typeName(b))
	}
	r.spend(min(len(x), len(y)))
	return strings.Compare(x, y)
}

func (r *run) less(a, b any) bool { return r.compare(a, b) < 0 }

// contains is "v in of".
func (r *run) contains(of, v any) bool {
	switch x := of.(type) {
	case string:
		s, ok := v.(string)
		if !ok {
			r.fail("%s cannot be in a str", typeName(v))
		}
		r.spend(len(x))
		return strings.Contains(x, s)
	case list, tuple:
		return slices.ContainsFunc(sequence(x), func(w any) bool { return r.equal(v, w) })
	case object:
		s, ok := v.(string)
		_, has := x.values[s]
		return ok && has
	case undefined:
		return false
	}
	r.fail("nothing can be in %s", typeName(of))
	return false
}

// text is str() of Python; an undefined value has none.
func (r *run) text(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case undefined:
		return ""
	}
	var b strings.Builder
	r.repr(&b, v)
	return b.String()
}

// repr writes what repr() of Python gives.
func (r *run) repr(b *strings.Builder, v any) {
	r.enter()
	defer r.leave()
	before := b.Len()
	r.spend(itemWork)
	switch x := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[x])
	case int:
		b.WriteString(strconv.Itoa(x))
	case float64:
		b.WriteString(floatText(x))
	case string:
		r.spend(4 * len(x)) // \x01
		quoteText(b, x)
	case list:
		r.reprAll(b, "[", "]", len(x), func(i int) { r.repr(b, x[i]) })
	case tuple:
		end := ")"
		if len(x) == 1 {
			end = ",)"
		}
		r.reprAll(b, "(", end, len(x), func(i int) { r.repr(b, x[i]) })
	case object:
		r.reprAll(b, "{", "}", len(x.keys), func(i int) {
			r.repr(b, x.keys[i])
			b.WriteString(": ")
			r.repr(b, x.values[x.keys[i]])
		})
	case undefined:
		b.WriteString("Undefined")
	default:
		r.fail("%s has no text", typeName(v))
	}
	r.spend(b.Len() - before)
}

func (r *run) reprAll(b *strings.Builder, begin, end string, n int, item func(int)) {
	b.WriteString(begin)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		item(i)
	}
	b.WriteString(end)
}

// floatText is repr() of a Python float.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(f, 'f', -1, 64)), "+")
	}
	s := strconv.FormatFloat(f, 'e', -1, 64)
	if e, err := strconv.Atoi(s[strings.IndexByte(s, 'e')+1:]); err == nil && (e < -4 || e >= 16) {
		return s
	}
	if s = strconv.FormatFloat(f, 'f', -1, 64); !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quoteText writes a string as Python's repr does.
func quoteText(b *strings.Builder, s string) {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	b.WriteRune(quote)
	for _, c := range s {
		switch {
		case c == quote || c == '\\':
			b.WriteRune('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == ' ' || unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			fmt.Fprintf(b, `\x%02x`, c)
		case c < 0x10000:
			fmt.Fprintf(b, `\u%04x`, c)
		default:
			fmt.Fprintf(b, `\U%08x`, c)
		}
	}
	b.WriteRune(quote)
}

// jsonStyle is how json.dumps of Python lays out its text.
type jsonStyle struct {
	indent      string // of a level; empty for one line
	broken      bool   // over lines
	comma, pair string
	sorted      bool
}

// json writes what json.dumps of Python gives, with ensure_ascii off; at is the indent so far.
func (r *run) json(b *strings.Builder, v any, style jsonStyle, at string) {
	r.enter()
	defer r.leave()
	before := b.Len()
	r.spend(itemWork)
	all := func(begin, end string, n int, item func(int, string)) {
		b.WriteString(begin)
		inner := at + style.indent
		r.spend(n * (len(inner) + len(style.comma) + len(style.pair)))
		for i := range n {
			if i > 0 {
				b.WriteString(style.comma)
			}
			if style.broken {
				b.WriteString("\n" + inner)
			}
			item(i, inner)
		}
		if style.broken && n > 0 {
			b.WriteString("\n" + at)
		}
		b.WriteString(end)
	}
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int:
		b.WriteString(strconv.Itoa(x))
	case float64:
		switch {
		case math.IsNaN(x):
			b.WriteString("NaN")
		case math.IsInf(x, 0):
			b.WriteString(map[bool]string{true: "Infinity", false: "-Infinity"}[x > 0])
		default:
			b.WriteString(floatText(x))
		}
	case string:
		r.spend(6 * len(x)) // \u0001
		jsonText(b, x)
	case list, tuple:
		items := sequence(x)
		all("[", "]", len(items), func(i int, at string) { r.json(b, items[i], style, at) })
	case object:
		keys := x.keys
		if style.sorted {
			keys = slices.Sorted(slices.Values(keys))
		}
		all("{", "}", len(keys), func(i int, at string) {
			r.json(b, keys[i], style, at)
			b.WriteString(style.pair)
			r.json(b, x.values[keys[i]], style, at)
		})
	case undefined:
		r.defined(x)
	default:
		r.fail("tojson: %s has no JSON form", typeName(v))
	}
	r.spend(b.Len() - before)
}

func jsonText(b *strings.Builder, s string) {
	b.WriteByte('"')
	for _, c := range s {
		if i := strings.IndexRune("\"\\\n\r\t\b\f", c); i >= 0 {
			b.WriteByte('\\')
			b.WriteByte(`"\nrtbf`[i])
		} else if c < ' ' {
			fmt.Fprintf(b, `\u%04x`, c)
		} else {
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
}
