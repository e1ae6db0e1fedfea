package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// FuzzRawJSON holds what is read of a value where it lies to what package json decodes.
func FuzzRawJSON(f *testing.F) {
	for _, s := range []string{
		`[]`, `{}`, `[1,"a",[2,[]],{"b":[3]}]`, "{ \"a\" : 1 ,\n\"b\\u00e9\":\t-1e5}", `["\\",null,true,"]"]`, `{"":{"":""},"}":"{"}`, `["\ud83d","\"",""]`, `[[["a","b"],["c"]]]`, "[\"\xff\"]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if data = bytes.TrimSpace(data); !json.Valid(data) {
			return
		}
		raw := rawJSON(data)
		if err := raw.limit("x", len(data)); err != nil {
			t.Errorf("%q: %v", data, err)
		}
		var want any
		if err := json.Unmarshal(data, &want); err != nil {
			return // a number that is too large
		}
		var got any
		var err error
		switch {
		case raw.isList():
			list := []any{}
			err = raw.each(func(v rawJSON) error {
				var x any
				err := json.Unmarshal(v, &x)
				list = append(list, x)
				return err
			})
			got = list
			if raw.limit("x", len(list)-1) == nil {
				t.Errorf("%q: %d elements are not counted", data, len(list))
			}
		case raw.isObject():
			object := map[string]any{}
			err = raw.eachMember(func(key string, v rawJSON) error {
				var x any
				err := json.Unmarshal(v, &x)
				object[key] = x
				return err
			})
			got = object
		case data[0] == '"':
			got, err = raw.text()
		default:
			return
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v, want %v", data, got, err, want)
		}
		stop := errors.New("stop")
		if seen := 0; raw.isList() && !bytes.Equal(data, []byte("[]")) {
			if err := raw.each(func(rawJSON) error { seen++; return stop }); seen > 0 && err != stop || seen > 1 {
				t.Errorf("%q: %d elements behind an error, %v", data, seen, err)
			}
		}
	})
}
