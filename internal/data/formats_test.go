package data

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestFormats reads the same rows as lines, as a list, and as a table in which messages are JSON in a cell: the same examples.
func TestFormats(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	for _, name := range []string{"pairs.jsonl", "pairs_chat.jsonl"} {
		content, err := os.ReadFile(testfiles.Path(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "pairs.jsonl" { // CSV has one kind of line end, also in cells
			content = bytes.ReplaceAll(content, []byte(`\r\n`), []byte(`\n`))
		}
		lines := strings.Split(strings.TrimSpace(string(content)), "\n")
		var table bytes.Buffer
		w := csv.NewWriter(&table)
		names := []string{"rejected", "chosen", "margin"}
		if name == "pairs.jsonl" {
			names = append(names, "prompt")
		}
		w.Write(names)
		for i, l := range lines {
			var row map[string]json.RawMessage
			if err := json.Unmarshal([]byte(l), &row); err != nil {
				t.Fatal(err)
			}
			var cells []string
			for _, n := range names {
				cell := string(row[n])
				if strings.HasPrefix(cell, `"`) {
					if err := json.Unmarshal(row[n], &cell); err != nil {
						t.Fatal(err)
					}
				}
				if n == "margin" && i%2 == 0 {
					cell = "2.5"
				}
				cells = append(cells, cell)
			}
			w.Write(cells)
		}
		w.Flush()
		set, err := r.Load(t.Context(), write(t, string(content)), Pairs, Options{MaxLength: 64, TruncationMode: "keep_start"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for format, text := range map[string]string{"list.json": "[" + strings.Join(lines, ",\n") + "]", "table.csv": table.String()} {
			if format == "table.csv" && name == "pairs_chat.jsonl" {
				continue // some rows have a prompt and some have none, which a table cannot say
			}
			path := filepath.Join(t.TempDir(), format)
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := r.Load(t.Context(), path, Pairs, Options{MaxLength: 64, TruncationMode: "keep_start"}, nil)
			if err != nil {
				t.Errorf("%s as %s: %v", name, format, err)
				continue
			}
			for i, e := range got.list() {
				if !reflect.DeepEqual(e.Sequences, set.Examples.At(i).Sequences) {
					t.Fatalf("%s as %s, line %d: %v, want %v", name, format, e.Line, e.Sequences, set.Examples.At(i).Sequences)
				}
			}
			if got.Len() != set.Len() || !slices.Equal(got.Prompts(), set.Prompts()) {
				t.Errorf("%s as %s: %d examples, want %d", name, format, got.Len(), set.Len())
			}
		}
	}
}

// TestTable reads what cells of a table stand for.
func TestTable(t *testing.T) {
	const header = "prompt,chosen,rejected,chosen_score,rejected_score,weight,tools\n"
	for _, c := range []struct {
		row  string
		want Numbers
		err  string
	}{
		{`p,c,r, 3.5 ,-1e2,,`, Numbers{ChosenScore: 3.5, RejectedScore: -100, Weight: 1}, ""},
		{`p,"[""c""]",r,1,0,0.5,[]`, Numbers{ChosenScore: 1, Weight: 0.5}, ""},
		{`p,c,r,high,0,,`, Numbers{}, `:2: chosen_score: "high"; want a number`},
		{`p,c,r,,0,,`, Numbers{}, ":2: chosen_score: null; loss odpo needs chosen_score and rejected_score, or margin"},
		{`p,"[{'content': 'c', 'role': 'assistant'}]",r,1,0,,`, Numbers{}, ":2: chosen: a list of messages as Python prints it; write it with json.dumps, or the rows as JSONL"},
		{`p,c,r,1,0,,[1]`, Numbers{}, ":2: tools: tool 1: want an object: its JSON schema"},
	} {
		path := filepath.Join(t.TempDir(), "x.csv")
		if err := os.WriteFile(path, []byte(header+c.row+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		m := &maker{ctx: t.Context(), encoder: whole, form: Pairs, wanted: Wanted{Scores: true, By: "loss odpo"}}
		set, err := m.loadOne(path, nil)
		if got := strings.TrimPrefix(text(err), path); got != c.err {
			t.Errorf("%s: error %s, want %s", c.row, got, c.err)
		}
		if err == nil && *set.Examples.At(0).Numbers != c.want {
			t.Errorf("%s: %+v, want %+v", c.row, *set.Examples.At(0).Numbers, c.want)
		}
	}
}

// TestSeveralFiles: in order of their names, whose rows are told apart in what is said of them.
func TestSeveralFiles(t *testing.T) {
	dir := t.TempDir()
	const same = `{"prompt":"p0","chosen":"c","rejected":"c"}`
	for name, content := range map[string]string{"b.jsonl": numbered(3) + "\n" + same, "a.jsonl": numbered(1) + "\n" + same + "\n" + numbered(2), "c.csv": "prompt,chosen,rejected\np4,c,r\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var last, total int64
	set, err := Load(dir, Pairs, whole, nil, Options{}, func(done, all int64) { last, total = done, all })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range set.list() {
		got = append(got, strings.TrimPrefix(e.Place(), dir+string(filepath.Separator))+" "+whole.show(e.Sequences[0]))
	}
	if want := []string{"a.jsonl:1 ^p1|c$", "a.jsonl:3 ^p2|c$", "b.jsonl:1 ^p3|c$", "c.csv:2 ^p4|c$"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	want := "dropped because chosen and rejected are the same: 2 (" + filepath.Join(dir, "a.jsonl") + ":2, " + filepath.Join(dir, "b.jsonl") + ":2)"
	if lines := set.Reports[0].Lines(); len(lines) != 1 || lines[0] != want {
		t.Errorf("it says %q, want %q", lines, want)
	}
	if last != total || total == 0 {
		t.Errorf("progress ended at %d of %d bytes", last, total)
	}
}

// BenchmarkParse reads rows of JSONL, with all but their tokens.
func BenchmarkParse(b *testing.B) {
	row := []byte(`{"prompt":"` + strings.Repeat("why is that so? ", 20) + `","chosen":"` + strings.Repeat(`This is a \"good\" answer.\n`, 25) + `","rejected":"` + strings.Repeat("This is none. ", 35) + `","score":1.5}`)
	content := bytes.Repeat(append(row, '\n'), 4000)
	m := &maker{ctx: b.Context(), encoder: letters{}, form: Pairs}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		for _, line := range bytes.Split(content, []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			r, err := lineReader.parse(line)
			if err == nil {
				_, err = r.conversation(m.form)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
