package data

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestInspect: each row is seen as Load takes it in, or with the reason why it does not.
func TestInspect(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	for _, file := range []string{"pairs.jsonl", "pairs_chat.jsonl"} {
		path := testfiles.Path(t, file)
		for _, o := range []Options{{}, {MaxLength: 24, TruncationMode: "keep_start"}, {MaxLength: 9, TruncationMode: "keep_end"}} {
			for _, form := range []Form{Pairs, Completions, AnyForm} {
				examples := map[int]Example{} // by line
				if set, err := r.Load(t.Context(), path, max(form, Pairs), o, nil); err == nil {
					for _, e := range set.list() {
						examples[e.Line] = e
					}
				}
				last := 0
				err := r.Inspect(Source{Path: path}, form, o, nil, func(row *Inspected) error {
					at := fmt.Sprintf("%s, %+v, form %d", row.Where(), o, form)
					last++
					e, is := examples[row.Line]
					if row.Err != nil || row.Place != last || is != (row.Drop == Kept) {
						t.Errorf("%s: row %d of %d, error %v, drop %d; Load keeps it: %v", at, row.Place, last, row.Err, row.Drop, is)
					}
					for i, s := range e.Sequences {
						side := row.Sides[i]
						if side.Kept != len(s.IDs) || o.MaxLength == 0 && (side.First != s.First || !slices.Equal(side.IDs, s.IDs)) {
							t.Errorf("%s: side %d is %+v, want %+v", at, i, side, s)
						}
					}
					return nil
				})
				if err != nil || last == 0 {
					t.Errorf("%s: %d rows, %v", path, last, err)
				}
			}
		}
	}
}

// TestInspectTexts spells out what is told of rows, bad ones too.
func TestInspectTexts(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	const rows = `[{"prompt":[{"role":"user","content":"Hi"}],"chosen":[{"role":"assistant","content":"Yes"}],"rejected":[{"role":"assistant","content":" No "}],"margin":2},
{"prompt":"a","chosen":1,"rejected":"c"}, {"prompt":"a","completions":["b","","c"],"scores":[1,3,2]}]`
	var got []string
	err := r.Inspect(Source{Path: "rows.json", Stream: strings.NewReader(rows)}, AnyForm, Options{}, nil, func(row *Inspected) error {
		if row.Err != nil {
			got = append(got, fmt.Sprintf("%s row %d: %v", row.Where(), row.Place, row.Err))
			return nil
		}
		s := fmt.Sprintf("%s row %d: form %d %q %q scores %v %v", row.Where(), row.Place, row.Form, row.Prompt, row.Rendered, row.Scores, row.Scored)
		for _, side := range row.Sides {
			s += fmt.Sprintf("; %q %q %v", side.Texts, side.Rendered, len(side.IDs) > 0)
		}
		got = append(got, s)
		return nil
	})
	want := []string{
		`rows.json:1 row 1: form 0 ["Hi"] "<|bos|><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" scores [2 0] true; ["Yes"] "Yes<|im_end|>\n" true; [" No "] "No<|im_end|>\n" true`,
		`rows.json:2 row 2: chosen: 1; want text or a list of messages`,
		`rows.json:2 row 3: form 3 ["a"] "a" scores [0 0] false; [""] "" false; ["c"] "c<|eos|>" true; ["b"] "b<|eos|>" true`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestInspectTarget: what is imitated is no side of a row.
func TestInspectTarget(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	r.Wanted.SFT = true
	const rows = `{"prompt":"a","completions":["b","c"],"sft_target":"t"}` + "\n" + `{"prompt":"a","chosen":"b","rejected":"c","sft_target":"t"}`
	for _, form := range []Form{Lists, Pairs} {
		err := r.Inspect(Source{Path: "rows.jsonl", Stream: strings.NewReader(rows)}, form, Options{}, nil, func(row *Inspected) error {
			if row.Err != nil || len(row.Sides) != 2 || row.Sides[0].Rendered != "b<|eos|>" || row.Sides[1].Rendered != "c<|eos|>" {
				t.Errorf("form %d, line %d: %+v", form, row.Line, row)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestHeaders of the built-in formats, and of a template that has none or refuses.
func TestHeaders(t *testing.T) {
	dir := testfiles.Path(t, "models", "llama")
	for template, want := range map[string][2]string{
		"":                               {"<|im_start|>user", "<|im_start|>assistant"},
		"plain":                          {"User:", "Assistant:"},
		"alpaca":                         {"### Instruction:", "### Response:"},
		"gemma":                          {"<start_of_turn>user", "<start_of_turn>model"},
		"zephyr":                         {"<|user|>", "<|assistant|>"},
		"llama-3":                        {"<|start_header_id|>user<|end_header_id|>", "<|start_header_id|>assistant<|end_header_id|>"},
		"phi-3":                          {"<|user|>", "<|assistant|>"},
		"{{ messages[0].content }}":      {},
		"{{ raise_exception('never') }}": {},
	} {
		r, err := Open(dir, template)
		if err != nil {
			t.Fatal(err)
		}
		if user, assistant := r.Headers(); [2]string{user, assistant} != want {
			t.Errorf("%s: %q, %q, want %q", template, user, assistant, want)
		}
	}
	plain := t.TempDir() // no template
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		text, err := os.ReadFile(testfiles.Path(t, "models", "llama", name))
		if err == nil {
			err = os.WriteFile(plain+"/"+name, text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if user, assistant := open(t, plain).Headers(); user != "" || assistant != "" {
		t.Errorf("without a template: %q, %q", user, assistant)
	}
}
