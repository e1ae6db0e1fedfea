package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestPlain: what rows become as pairs and as unpaired rows; a line behind "error: " is an error.
func TestPlain(t *testing.T) {
	const chat = `[{"role":"user","content":"hi"},{"role":"assistant","content":"A"}]`
	for _, c := range []struct {
		name, file, rows string
		pairs, unpaired  string
	}{
		{"a pair, with its columns", "r.jsonl", `{"id": 7, "prompt": "a", "chosen": " <b>", "rejected": " c", "score_chosen": 2.50, "weight": 0.5, "rejected_score": 1}`,
			`{"prompt":"a","chosen":" <b>","rejected":" c","id":7,"chosen_score":2.50,"weight":0.5,"rejected_score":1}`,
			`{"prompt":"a","completion":" <b>","label":true,"id":7,"weight":0.5}` + "\n" + `{"prompt":"a","completion":" c","label":false,"id":7,"weight":0.5}`},
		{"a prompt within both sides", "r.jsonl", `{"chosen": "a b c", "rejected": "a b d"}`, `{"prompt":"a b","chosen":" c","rejected":" d"}`,
			`{"prompt":"a b","completion":" c","label":true}` + "\n" + `{"prompt":"a b","completion":" d","label":false}`},
		{"messages within both sides", "r.jsonl", `{"chosen": ` + chat + `, "rejected": [{"content": "hi", "role": "user"}, {"role": "assistant", "content": "B", "x": 1}]}`,
			`{"prompt":[{"role":"user","content":"hi"}],"chosen":[{"role":"assistant","content":"A"}],"rejected":[{"role":"assistant","content":"B","x":1}]}`,
			`{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"A"}],"label":true}` + "\n" +
				`{"prompt":[{"role":"user","content":"hi"}],"completion":[{"role":"assistant","content":"B","x":1}],"label":false}`},
		{"a ranked row", "r.jsonl", `{"prompt": "a", "completions": ["w", "b", "m"], "scores": [1, 3, 2], "tag": "x"}`, `{"prompt":"a","chosen":"b","rejected":"w","chosen_score":3,"rejected_score":1,"tag":"x"}`,
			`{"prompt":"a","completion":"b","label":true,"tag":"x"}` + "\n" + `{"prompt":"a","completion":"w","label":false,"tag":"x"}`},
		{"a ranked row without scores", "r.jsonl", `{"prompt": "a", "completions": ["w", "b"]}`, `{"prompt":"a","chosen":"w","rejected":"b"}`,
			`{"prompt":"a","completion":"w","label":true}` + "\n" + `{"prompt":"a","completion":"b","label":false}`},
		{"a ranked row of ties", "r.jsonl", `{"prompt": "a", "completions": ["w", "b"], "scores": [1, 1]}`, "", ""},
		{"an unpaired row", "r.jsonl", `{"completion": "b", "label": false, "prompt": "a", "id": null}`, "error: r.jsonl:1: " + errNoPair.Error(), `{"prompt":"a","completion":"b","label":false,"id":null}`},
		{"a bad label", "r.jsonl", `{"completion": "b", "label": 1, "prompt": "a"}`, "error: r.jsonl:1: " + errNoPair.Error(), "error: r.jsonl:1: label: 1; want true or false"},
		{"a completion", "r.jsonl", `{"completion": "b", "prompt": "a"}`, "error: r.jsonl:1: " + errNoPair.Error(), "error: r.jsonl:1: " + errNoLabel.Error()},
		{"a ranked row without a prompt", "r.jsonl", `{"completions": ["w", "b"]}`, "error: r.jsonl:1: prompt: missing (there are completions); a row with completions needs one", "error: r.jsonl:1: prompt: missing (there are completions); a row with completions needs one"},
		{"a table", "r.csv", "prompt,completion,label,n\na,\"b\n\",True,1\n", "error: r.csv:2: " + errNoPair.Error(), `{"prompt":"a","completion":"b\n","label":true,"n":1}`},
		{"a row that is no row", "r.jsonl", "{}\n\n{\"prompt\"", "error: r.jsonl:1: no column completion, chosen or text; a row of a loss without pairs has prompt and completion, prompt and chosen, or text", "error: r.jsonl:1: no column completion, chosen or text; a row of a loss without pairs has prompt and completion, prompt and chosen, or text"},
	} {
		path := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(path, []byte(c.rows), 0o666); err != nil {
			t.Fatal(err)
		}
		for i, make := range []func(*Plain, Options) ([][]Column, error){(*Plain).Pairs, (*Plain).Unpaired} {
			want := []string{c.pairs, c.unpaired}[i]
			var got strings.Builder
			err := Scan(Source{Path: path}, nil, func(p *Plain) error {
				rows, err := make(p, Options{RankedPairs: "best_worst"})
				for _, columns := range rows {
					got.Write(Line(columns))
				}
				if err != nil {
					got.WriteString("error: " + c.file + strings.TrimPrefix(p.Where(), path) + ": " + err.Error())
				}
				return nil
			})
			if err != nil {
				got.WriteString("error: " + c.file + strings.TrimPrefix(err.Error(), path))
			}
			if strings.TrimSpace(got.String()) != want {
				t.Errorf("%s, %d: got\n%s\nwant\n%s", c.name, i, got.String(), want)
			}
		}
	}
}

// TestPlainHash: Scan tells prompts apart as Load does, or a fraction would hold out others.
func TestPlainHash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.jsonl")
	rows := `{"prompt":"a","chosen":"b","rejected":"c"}
{"chosen":"a b","rejected":"a c"}
{"prompt":"d","completions":["b","c"]}
`
	if err := os.WriteFile(path, []byte(rows), 0o666); err != nil {
		t.Fatal(err)
	}
	var want, got []uint64
	set, err := Load(path, Pairs, letters{eos: true}, nil, Options{RankedPairs: "best_worst"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range set.list() {
		want = append(want, e.prompt.hash)
	}
	err = Scan(Source{Path: path}, nil, func(p *Plain) error { got = append(got, p.Prompt); return nil })
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%x, %v, want %x", got, err, want)
	}
}

// TestScanProgress: it is that of all files together, and does not begin again with each.
func TestScanProgress(t *testing.T) {
	dir := t.TempDir()
	row := `{"prompt":"a","chosen":"b","rejected":"c"}` + "\n"
	text := strings.Repeat(row, batchRows)
	for _, name := range []string{"a.jsonl", "b.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	n := int64(len(text))
	var seen [][2]int64
	err := Scan(Source{Path: dir}, func(done, total int64) { seen = append(seen, [2]int64{done, total}) }, func(*Plain) error { return nil })
	if want := [][2]int64{{n, 2 * n}, {2 * n, 2 * n}}; err != nil || !slices.Equal(seen, want) {
		t.Errorf("%v, error %v; want %v", seen, err, want)
	}
}

// TestPlainTies: by no rule does a ranked row become pairs whose scores are all the same.
func TestPlainTies(t *testing.T) {
	path := write(t, strings.Repeat(`{"prompt":"a","completions":["w","b","m"],"scores":[1,1,1]}`+"\n", 20)) // best_random draws by line
	for _, rule := range []string{"best_worst", "best_random", "all", "adjacent"} {
		err := Scan(Source{Path: path}, nil, func(p *Plain) error {
			rows, err := p.Pairs(Options{RankedPairs: rule})
			if err == nil && len(rows) > 0 {
				err = fmt.Errorf("%d pairs", len(rows))
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
