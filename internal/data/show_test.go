package data

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dpotrain/internal/testfiles"
	"dpotrain/internal/tokenizer"
)

// TestShow: every line of the test data is shown as Load reads it, or with the reason why it does not keep it.
func TestShow(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	for _, file := range []string{"pairs.jsonl", "pairs_chat.jsonl"} {
		path := testfiles.Path(t, file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Count(string(text), "\n")
		for _, o := range []Options{{}, {MaxLength: 24, TruncationMode: "keep_start"}, {MaxLength: 60, TruncationMode: "keep_start"}, {MaxLength: 9, TruncationMode: "keep_end"}} {
			for _, form := range []Form{Pairs, Labelled, Completions} {
				examples := map[int][]Example{} // by line
				set, err := r.Load(t.Context(), path, form, o, nil)
				if err == nil {
					for _, e := range set.list() {
						examples[e.Line] = append(examples[e.Line], e)
					}
				}
				for line := 1; line <= lines; line++ {
					shown, err := r.Show([]Source{{Path: path}}, At{Row: line}, form, o)
					want := examples[line]
					if err != nil {
						if place := fmt.Sprintf("%s:%d: left out, because ", path, line); len(want) > 0 || !strings.HasPrefix(err.Error(), place) {
							t.Errorf("%+v, form %d: %v", o, form, err)
						}
						continue
					}
					if len(shown.Examples) != len(want) {
						t.Errorf("%s:%d, %+v, form %d: %d examples, want %d", path, line, o, form, len(shown.Examples), len(want))
						continue
					}
					for i, e := range shown.Examples {
						if e.Line != line || e.Label != want[i].Label || !sameExample(e.Example, want[i]) {
							t.Errorf("%s:%d, %+v, form %d: %+v, want %+v", path, line, o, form, e.Example, want[i])
						}
						checkShown(t, r, shown, e, o)
					}
				}
			}
		}
	}
}

// checkShown holds texts and tokens against the ids.
func checkShown(t *testing.T, r *Reader, shown *Shown, e ShownExample, o Options) {
	t.Helper()
	for i, q := range e.Sequences {
		side := e.Sides[i]
		whole, err := r.tokenizer.Encode(shown.Prompt+side.Text, false)
		if err != nil {
			t.Fatal(err)
		}
		n := len(whole.IDs)
		if bos, _ := r.tokenizer.BOS(); whole.IDs[0] != bos.ID {
			n++ // the text is of a row without messages, and the tokenizer puts that in front
		}
		if len(q.IDs)+side.Cut != n || len(side.Tokens) != len(q.IDs) || side.Cut > 0 && len(q.IDs) != o.MaxLength {
			t.Errorf("%s, side %d, %+v: %d ids, %d cut of %d, %d tokens", e.Place(), i, o, len(q.IDs), side.Cut, n, len(side.Tokens))
		}
		text := strings.Join(side.Tokens, "")
		if i := slices.IndexFunc(side.Tokens, func(s string) bool { return !utf8.ValidString(s) }); i >= 0 {
			t.Errorf("%s: token %q is half of a character", e.Place(), side.Tokens[i])
		}
		fits := strings.HasPrefix(strings.TrimPrefix(text, "<|bos|>"), strings.TrimPrefix(shown.Prompt, "<|bos|>")) || side.Cut > 0
		if all := "<|bos|>" + strings.TrimPrefix(shown.Prompt+side.Text, "<|bos|>"); !strings.Contains(all, text) || !fits || side.Cut == 0 && text != all {
			t.Errorf("%s, side %d, %+v: tokens %q are not of %q", e.Place(), i, o, text, all)
		}
		if e.Shared > q.First || !slices.Equal(q.IDs[:e.Shared], e.Sequences[0].IDs[:e.Shared]) {
			t.Errorf("%s: %d ids are shared, and side %d is %v", e.Place(), e.Shared, i, q)
		}
	}
}

// TestShowForms: without a form the row says what it is.
func TestShowForms(t *testing.T) {
	path := write(t, strings.Join([]string{
		`{"prompt":"a","chosen":"b","rejected":"c"}`,
		`{"prompt":"a","completion":"b","label":false}`,
		``,
		`{"prompt":"a","completion":"b"}`,
		`{"text":"ab"}`,
		`{"prompt":"a","chosen":"b"}`,
		`{"prompt":"a","chosen":"b","rejected":"b"}`,
		`{"prompt":"a","completion":"b","label":1}`,
		`{"prompt":7}`,
		`{"prompt":"a","completions":["b","c","d"],"scores":[1,3,2]}`,
		`{"prompt":"a","completions":["b","c"],"scores":[1,1]}`,
	}, "\n"))
	r := open(t, testfiles.Path(t, "models", "llama"))
	for line, want := range map[int]string{
		1: "2 sequences", 2: "1 sequences, undesirable", 4: "1 sequences", 5: "1 sequences", 6: "1 sequences",
		3:  "PATH:3: no row begins at this line; the next is at 4",
		7:  "PATH:7: left out, because chosen and rejected are the same; look at the data",
		8:  "PATH:8: label: 1; want true or false",
		9:  "PATH:9: prompt: 7; want text or a list of messages",
		10: "3 sequences",
		11: "PATH:11: left out, because no two completions are left that differ in text and in rank; look at the columns completions and scores, and max_length",
		12: "PATH:12: no such row; the last is 11",
		99: "PATH:99: no such row; the last is 11",
	} {
		shown, err := r.Show([]Source{{Path: path}}, At{Row: line}, AnyForm, Options{OnBadRow: "skip"})
		got := text(err)
		if err == nil {
			got = fmt.Sprintf("%d sequences", len(shown.Examples[0].Sequences))
			if shown.Examples[0].Label == Undesirable {
				got += ", undesirable"
			}
		}
		if want := strings.ReplaceAll(want, "PATH", path); got != want {
			t.Errorf("line %d:\ngot  %s\nwant %s", line, got, want)
		}
	}
}

// TestShowFormats: rows of files that have no lines, or several rows in one, go by their number.
func TestShowFormats(t *testing.T) {
	list := filepath.Join(t.TempDir(), "pairs.json")
	if err := os.WriteFile(list, []byte(`[{"prompt":"a","chosen":"b","rejected":"c"}, {"prompt":"d","chosen":"e","rejected":"f"}]`), 0o666); err != nil {
		t.Fatal(err)
	}
	r := open(t, testfiles.Path(t, "models", "llama"))
	set, err := r.Load(t.Context(), list, Pairs, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range set.list() {
		if shown, err := r.Show([]Source{{Path: list}}, At{Row: i + 1}, Pairs, Options{}); err != nil || !sameExample(shown.Examples[0].Example, want) || shown.Examples[0].Line != 1 {
			t.Errorf("row %d: %+v, error %v", i+1, shown, err)
		}
	}
	parquet := testfiles.Path(t, "rows", "snappy.parquet")
	if shown, err := r.Show([]Source{{Path: parquet}}, At{Row: 2}, Pairs, Options{}); err != nil || shown.Examples[0].Line != 2 || !shown.Examples[0].ByRow {
		t.Errorf("row 2: %+v, error %v", shown, err)
	}
	for number, want := range map[int]string{61: "PATH: row 61: no such row; the last is 60"} {
		if _, err := r.Show([]Source{{Path: parquet}}, At{Row: number}, Pairs, Options{}); text(err) != strings.Replace(want, "PATH", parquet, 1) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestShowSeveral: rows of several files are counted in the order in which Mix reads them, each read as its data set says; a file or a data set that is
// named has its own lines.
func TestShowSeveral(t *testing.T) {
	r := open(t, testfiles.Path(t, "models", "llama"))
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"set/a.jsonl":      "{\"prompt\":\"1\",\"chosen\":\"b\",\"rejected\":\"c\"}\n\n{\"prompt\":\"2\",\"chosen\":\"b\",\"rejected\":\"c\"}\n",
		"set/b.json":       `[{"prompt":"3","chosen":"b","rejected":"c"}, {"prompt":"4","chosen":"b","rejected":"c"}]`,
		"set/deep/a.jsonl": `{"prompt":"5","chosen":"b","rejected":"c"}`,
		"q.csv":            "question,chosen,rejected,chosen_score\n6,b,c,1\n7,b,c,2\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	two := 2.0
	set := []Source{{Path: "set"}}
	all := []Source{{Path: "set"}, {Path: "q.csv", Columns: map[string]string{"prompt": "question"}, Filter: Filter{MinScore: &two}}, {Path: "set/*.jsonl"}}
	for _, c := range []struct {
		sources []Source
		at      At
		want    string // data set, place, prompt; or the error
	}{
		{set, At{Row: 1}, "1 set/a.jsonl:1 1, counted"},
		{set, At{Row: 2}, "1 set/a.jsonl:3 2, counted"},
		{set, At{Row: 4}, "1 set/b.json:1 4, counted"},
		{set, At{Row: 5}, "1 set/deep/a.jsonl:1 5, counted"},
		{set, At{Row: 6}, "row 6: no such row; the data have 5, in 3 files"},
		{set, At{Row: 3, File: "set/a.jsonl"}, "1 set/a.jsonl:3 2"},
		{set, At{Row: 2, File: "./set/a.jsonl"}, "set/a.jsonl:2: no row begins at this line; the next is at 3"},
		{set, At{Row: 2, File: "b.json"}, "1 set/b.json:1 4"},
		{set, At{Row: 1, File: "deep/a.jsonl"}, "1 set/deep/a.jsonl:1 5"},
		{set, At{Row: 1, File: "a.jsonl"}, "a.jsonl: set/a.jsonl, set/deep/a.jsonl end so; give more of the path"},
		{set, At{Row: 1, File: "c.jsonl"}, "c.jsonl: not among the files of the data, which are set/a.jsonl, set/b.json, set/deep/a.jsonl; give one of them"},
		{all, At{Row: 7}, "2 q.csv:3 7, counted"},
		{all, At{Row: 6}, "q.csv:2: left out, because the filter does not take the row; look at the filter"},
		{all, At{Row: 9}, "3 set/a.jsonl:3 2, counted"},
		{all, At{Row: 10}, "row 10: no such row; the data have 9, in 5 files"},
		{all, At{Row: 3, Dataset: 2}, "2 q.csv:3 7"},
		{all, At{Row: 3, Dataset: 3}, "3 set/a.jsonl:3 2"},
		{all, At{Row: 3, Dataset: 1}, "1 set/b.json:1 3, counted"},
		{all, At{Row: 3, File: "set/a.jsonl"}, "set/a.jsonl: a file of data sets 1 and 3; say which with --dataset"},
		{all, At{Row: 3, File: "set/a.jsonl", Dataset: 1}, "1 set/a.jsonl:3 2"},
		{all, At{Row: 1, File: "set/a.jsonl", Dataset: 2}, "set/a.jsonl: not among the files of the data, which are q.csv; give one of them"},
	} {
		shown, err := r.Show(c.sources, c.at, Pairs, Options{})
		got := text(err)
		if err == nil {
			got = fmt.Sprintf("%d %s %s", shown.Dataset, shown.Examples[0].Place(), shown.Prompt)
			if shown.Counted {
				got += ", counted"
			}
		}
		if want := filepath.FromSlash(c.want); filepath.FromSlash(got) != want {
			t.Errorf("%+v of %d data sets:\ngot  %s\nwant %s", c.at, len(c.sources), got, want)
		}
	}
}

// TestShowWhole: a sequence is cut from the shortest that it can be cut from, for one side may be the beginning of the other.
func TestShowWhole(t *testing.T) {
	w := &watch{}
	for _, ids := range [][]int32{{1, 2, 3, 4}, {1, 2}, {3, 4, 5}} {
		w.sides = append(w.sides, watched{fmt.Sprint(ids), 1, tokenizer.Encoding{IDs: ids}})
	}
	for _, c := range []struct {
		ids  []int32
		want string
		from int
	}{{[]int32{1, 2}, "[1 2]", 0}, {[]int32{1, 2, 3}, "[1 2 3 4]", 0}, {[]int32{3, 4}, "[3 4 5]", 0}, {[]int32{2, 3, 4}, "[1 2 3 4]", 1}, {[]int32{4, 5}, "[3 4 5]", 1}} {
		if got, from := w.whole(Sequence{IDs: c.ids}); got.text != c.want || from != c.from {
			t.Errorf("%v: %s from %d, want %s from %d", c.ids, got.text, from, c.want, c.from)
		}
	}
}
