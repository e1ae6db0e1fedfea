package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/testfiles"
)

// FuzzLoad reads any bytes as a file. It never panics; either there is an error, or every row is an example, dropped or
// skipped, and every example can be packed and keeps to max_length.
func FuzzLoad(f *testing.F) {
	text := func(elem ...string) []byte {
		content, err := os.ReadFile(testfiles.Path(f, elem...))
		if err != nil {
			f.Fatal(err)
		}
		return content
	}
	add := func(content []byte) {
		for _, form := range []Form{Pairs, Completions} {
			for _, skip := range []bool{false, true} {
				f.Add(content, form == Pairs, skip, uint16(12), skip)
			}
		}
	}
	for _, line := range slices.Concat(bytes.Split(text("pairs.jsonl"), []byte("\n"))[38:], bytes.Split(text("pairs_chat.jsonl"), []byte("\n"))[:4]) {
		add(line)
	}
	for _, s := range []string{
		"", "\ufeff", "\n\r\n", "{}", "[]", "{\"a\":1", "x\n" + numbered(1), numbered(1) + "\r\n\n" + numbered(2), "\x1f\x8b", "\xff",
		`{"text":"<|bos|>abc<|eos|>"}`, `{"prompt":"","completion":""}`, `{"chosen":"a\ud83d","rejected":"\ud83d\ude00"}`, `{"chosen":[],"rejected":[]}`,
		`{"prompt":[{"role":"user","content":[{"type":"text","text":"a"}]}],"chosen":[{"role":"assistant","content":null}],"rejected":[{"role":"tool","content":"x"}]}`,
		`{"prompt":"p","chosen":"a","rejected":"b","weight":0.5}` + "\n" + `{"prompt":"p","chosen":"a","rejected":"b","weight":-1}`,
		`{"prompt":"p","chosen":"a","rejected":"b","sft_target":"c d"}` + "\n" + `{"prompt":"p","chosen":"a","rejected":"b","sft_target":null}`,
		`{"chosen":"ab a","rejected":"ab b","sft_target":"ab "}`,
		`{"chosen":"a","chosen":"b","rejected":{}}`, `{"prompt":1,"tools":[]}`, `{"chosen":"` + strings.Repeat("ab ", 40) + `","rejected":"` + strings.Repeat("ab ", 39) + `"}`,
	} {
		add([]byte(s))
	}
	r := open(f, testfiles.Path(f, "models", "llama"))
	var b compute.Batch
	f.Fuzz(func(t *testing.T, content []byte, pairs, skip bool, maxLength uint16, keepEnd bool) {
		form, o := Completions, Options{MaxLength: int(maxLength), TruncationMode: "keep_start"}
		if pairs {
			form = Pairs
		}
		if skip {
			o.OnBadRow = "skip"
		}
		if keepEnd {
			o.TruncationMode = "keep_end"
		}
		m := &maker{ctx: t.Context(), encoder: r.tokenizer, template: r.template, options: o, form: form, wanted: Wanted{SFT: true, SFTPrompt: skip, SFTPlain: keepEnd}}
		set, err := m.loadFrom("pairs.jsonl", bytes.NewReader(content), func(int64) {})
		if err != nil {
			if set != nil || !strings.HasPrefix(err.Error(), "pairs.jsonl:") {
				t.Errorf("error without a place, or with a set: %v", err)
			}
			return
		}
		rep := set.Reports[0]
		if rep.Kept != set.Len() || rep.Kept == 0 || rep.Rows != rep.Kept+rep.Dropped()+rep.Skipped() || rep.Skipped() > 0 && !skip {
			t.Errorf("report %+v, %d examples", *rep, set.Len())
		}
		for _, e := range set.list() {
			if want := map[Form]int{Pairs: 2, Completions: 1}[form]; len(e.Sequences) != want {
				t.Fatalf("%d sequences, want %d", len(e.Sequences), want)
			}
			sequences := e.Sequences
			if e.Imitated != nil {
				sequences = append(slices.Clip(sequences), *e.Imitated)
			}
			for _, s := range sequences {
				if s.First < 1 || s.First >= len(s.IDs) || o.MaxLength > 0 && len(s.IDs) > o.MaxLength {
					t.Fatalf("%+v with max_length %d", s, o.MaxLength)
				}
			}
		}
		Packer{}.Pack(&b, pointers(set.list()))
		if err := readBack(&b, set.list()); err != nil {
			t.Error(err)
		}
	})
}

// FuzzRow reads any bytes as a row and holds texts and numbers to what encoding/json makes of them on its own.
func FuzzRow(f *testing.F) {
	for _, s := range []string{
		numbered(1), `{"text":"\u00e9\ud83d\ude00"}`, `{"chosen":"a","x":[1,{"y":null}],"rejected":"\""}`, `{"text":"a","text":"b"}`, `{"text":"a"}x`, `{"text":"\ud83d"}`, `{"text":"\\ud83d"}`, `{"a":`, `[{}]`,
		`{"chosen_score":-1.5e-3,"rejected_score":2,"p_win":1,"weight":0}`, `{"margin":1e999,"p_win":null}`, `{"margin":"x","weight":[]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			return // no row
		}
		r, err := lineReader.parse(line)
		var whole map[string]any
		plain := json.Unmarshal(line, &whole)
		if err != nil {
			if strings.Contains(err.Error(), "not JSON") && plain == nil {
				t.Errorf("%q: %v, but encoding/json reads it", line, err)
			}
			return
		}
		if plain != nil && !errors.As(plain, new(*json.UnmarshalTypeError)) {
			t.Fatalf("%q is read, and encoding/json says %v", line, plain)
		}
		for name, c := range r.cells {
			if want, isText := whole[name].(string); c.isChat() == isText || isText && c.text != want {
				t.Errorf("%q: %s is %+v, want %v", line, name, c, whole[name])
			}
		}
		for name := range r.numbers {
			if v, err := r.number(name); (err == nil) != (whole[name] != nil && v == whole[name]) {
				t.Errorf("%q: %s is %v, error %v, want %v", line, name, v, err, whole[name])
			}
		}
	})
}
