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
				set, err := r.Load(path, form, o, nil)
				if err == nil {
					for _, e := range set.Examples {
						examples[e.Line] = append(examples[e.Line], e)
					}
				}
				for line := 1; line <= lines; line++ {
					shown, err := r.Show(Source{Path: path}, line, form, o)
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
		shown, err := r.Show(Source{Path: path}, line, AnyForm, Options{OnBadRow: "skip"})
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
	set, err := r.Load(list, Pairs, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range set.Examples {
		if shown, err := r.Show(Source{Path: list}, i+1, Pairs, Options{}); err != nil || !sameExample(shown.Examples[0].Example, want) || shown.Examples[0].Line != 1 {
			t.Errorf("row %d: %+v, error %v", i+1, shown, err)
		}
	}
	parquet := testfiles.Path(t, "rows", "snappy.parquet")
	if shown, err := r.Show(Source{Path: parquet}, 2, Pairs, Options{}); err != nil || shown.Examples[0].Line != 2 || !shown.Examples[0].ByRow {
		t.Errorf("row 2: %+v, error %v", shown, err)
	}
	for number, want := range map[int]string{61: "PATH: row 61: no such row; the last is 60"} {
		if _, err := r.Show(Source{Path: parquet}, number, Pairs, Options{}); text(err) != strings.Replace(want, "PATH", parquet, 1) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := r.Show(Source{Path: testfiles.Path(t, "rows")}, 1, Pairs, Options{}); err == nil || !strings.Contains(err.Error(), "give the one that has the row") {
		t.Errorf("a folder: error %v", err)
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
