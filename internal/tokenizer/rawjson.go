package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// rawJSON is a value as it stands in the file. It shares the memory of what is decoded, which readJSON never changes: a vocabulary is the
// larger part of a file, and a copy would be as large again.
type rawJSON []byte

func (r *rawJSON) UnmarshalJSON(data []byte) error {
	*r = data
	return nil
}

func (r rawJSON) isNull() bool { return len(r) == 0 || string(r) == "null" }

// isList and isObject go by the first byte: a value is JSON already.
func (r rawJSON) isList() bool   { return len(r) > 0 && r[0] == '[' }
func (r rawJSON) isObject() bool { return len(r) > 0 && r[0] == '{' }

// each calls visit for every element of a list, or for every key and value of an object, one after the other.
func (r rawJSON) each(visit func(rawJSON) error) error {
	for i := 1; i < len(r); {
		switch r[i] {
		case ' ', '\t', '\r', '\n', ',', ':', ']', '}':
			i++
			continue
		}
		end := r.end(i)
		if err := visit(r[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// count is the number of elements of a list, or of keys and values of an object.
func (r rawJSON) count() (n int) {
	r.each(func(rawJSON) error { n++; return nil })
	return n
}

// eachMember calls visit for every key and value of an object.
func (r rawJSON) eachMember(visit func(key string, value rawJSON) error) error {
	key, isKey := "", true
	return r.each(func(v rawJSON) error {
		if isKey = !isKey; isKey {
			return visit(key, v)
		}
		var err error
		key, err = v.text()
		return err
	})
}

// end returns where the value that begins at i ends.
func (r rawJSON) end(i int) int {
	depth := 0
	for ; i < len(r); i++ {
		switch r[i] {
		case '"':
			for i++; i < len(r) && r[i] != '"'; i++ {
				if r[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(r))
			}
		case '[', '{':
			depth++
		case ']', '}':
			if depth--; depth == 0 {
				return i + 1
			} else if depth < 0 {
				return i
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(r)
}

// text decodes a text.
func (r rawJSON) text() (string, error) {
	if n := len(r); n >= 2 && r[0] == '"' && bytes.IndexByte(r, '\\') < 0 && utf8.Valid(r) {
		return string(r[1 : n-1]), nil
	}
	var s string
	err := json.Unmarshal(r, &s)
	return s, err
}

// limit refuses a value that has more lists, objects and elements than max, before it is decoded and takes many times its size in memory.
func (r rawJSON) limit(key string, max int) error {
	n := 0
	for i := 0; i < len(r); i++ {
		switch r[i] {
		case '"':
			i = r.end(i) - 1
		case '[', '{', ',':
			n++
		}
	}
	if n > max {
		return fmt.Errorf("%s: more than %d values; this is no tokenizer file", key, max)
	}
	return nil
}

// decode decodes a value of at most max lists, objects and elements into v.
func (r rawJSON) decode(key string, max int, v any) error {
	if r.isNull() {
		return nil
	}
	if err := r.limit(key, max); err != nil {
		return err
	}
	if err := json.Unmarshal(r, v); err != nil {
		return jsonError(err, key)
	}
	return nil
}
