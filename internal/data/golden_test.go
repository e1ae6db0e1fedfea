package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dpotrain/internal/testfiles"
)

// tokenized is testdata/tokenized.json: what transformers makes of pairs.jsonl and pairs_chat.jsonl.
type tokenized struct {
	Pairs, Chats []struct {
		PromptText   string  `json:"prompt_text"`
		ChosenText   string  `json:"chosen_text"`
		RejectedText string  `json:"rejected_text"`
		PromptIDs    []int32 `json:"prompt_ids"`
		ChosenIDs    []int32 `json:"chosen_ids"`   // with the prompt's
		RejectedIDs  []int32 `json:"rejected_ids"` // likewise
	}
}

func readTokenized(t *testing.T) (golden tokenized) {
	t.Helper()
	text, err := os.ReadFile(testfiles.Path(t, "tokenized.json"))
	if err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	return golden
}

func open(t testing.TB, dir string) *Reader {
	t.Helper()
	r, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// folders of the project's own models with the tokenizer, in the layouts of transformers 5 and 4.
var folders = []string{"llama", "gpt2"}

// TestGoldenText holds text pairs to transformers' ids, with an EOS that they lack behind.
func TestGoldenText(t *testing.T) {
	golden := readTokenized(t).Pairs
	// Rows whose prompt alone ends in other tokens: the first scored id is the one that holds the border.
	across := map[int]int{
		41: 2,  // The[ fo|x]
		42: 6,  // the small[ ow|l]
		43: 12, // hen do?[ |The]
		58: 20, // a token: [<|bo|s|>], which the tokenizer takes for its own BOS
	}
	for _, folder := range folders {
		r := open(t, testfiles.Path(t, "models", folder))
		eos, ok := r.tokenizer.EOS()
		if !ok {
			t.Fatalf("%s: no EOS", folder)
		}
		set, err := r.Load(t.Context(), testfiles.Path(t, "pairs.jsonl"), Pairs, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if set.Len() != len(golden) || set.Reports[0].across.n != len(across) || set.Reports[0].other.n != 0 {
			t.Fatalf("%s: %d examples of %d, %q; want %d across", folder, set.Len(), len(golden), set.Reports[0].Lines(), len(across))
		}
		for i, e := range set.list() {
			g := golden[i]
			for side, ids := range [][]int32{g.ChosenIDs, g.RejectedIDs} {
				want := Sequence{slices.Clone(ids), len(g.PromptIDs)}
				if n, ok := across[e.Line]; ok {
					want.First = n
				} else if !slices.Equal(ids[:want.First], g.PromptIDs) {
					t.Fatalf("line %d: the prompt's ids are not the first of the whole; a row in across is missing", e.Line)
				}
				if ids[len(ids)-1] != eos.ID {
					want.IDs = append(want.IDs, eos.ID)
				} else if e.Line != 56 { // The owl ends it itself
					t.Fatalf("line %d: transformers' ids end with EOS", e.Line)
				}
				if got := e.Sequences[side]; !slices.Equal(got.IDs, want.IDs) || got.First != want.First {
					t.Errorf("%s, line %d, side %d:\ngot  %v\nwant %v", folder, e.Line, side, got, want)
				}
			}
		}
	}
}

// TestGoldenChat holds chat pairs to the text that transformers renders, and to its ids.
func TestGoldenChat(t *testing.T) {
	golden := readTokenized(t).Chats
	text, err := os.ReadFile(testfiles.Path(t, "pairs_chat.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	rows := bytes.Split(text, []byte("\n"))
	for _, folder := range folders {
		r := open(t, testfiles.Path(t, "models", folder))
		set, err := r.Load(t.Context(), testfiles.Path(t, "pairs_chat.jsonl"), Pairs, Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if set.Len() != len(golden) || len(set.Reports[0].Lines()) > 0 || len(set.Reports[0].Warnings()) > 0 {
			t.Fatalf("%s: %d examples of %d, %q, %q", folder, set.Len(), len(golden), set.Reports[0].Lines(), set.Reports[0].Warnings())
		}
		m := maker{encoder: r.tokenizer, template: r.template}
		for i, e := range set.list() {
			g := golden[i]
			for side, ids := range [][]int32{g.ChosenIDs, g.RejectedIDs} {
				if got := e.Sequences[side]; !slices.Equal(got.IDs, ids) || got.First != len(g.PromptIDs) || !slices.Equal(ids[:got.First], g.PromptIDs) {
					t.Errorf("%s, line %d, side %d:\ngot  %v\nwant %v from %d", folder, e.Line, side, got, ids, len(g.PromptIDs))
				}
			}
			row, err := lineReader.parse(rows[i])
			if err != nil {
				t.Fatal(err)
			}
			c, err := row.conversation(Pairs)
			if err != nil {
				t.Fatal(err)
			}
			p, err := m.prompt(c)
			if err != nil || p.text != g.PromptText {
				t.Errorf("%s, line %d: prompt %q, error %v, want %q", folder, e.Line, p.text, err, g.PromptText)
			}
			for side, want := range []string{g.ChosenText, g.RejectedText} {
				if whole, err := m.renderWhole(p, c, c.completions[side].messages); err != nil || whole != want {
					t.Errorf("%s, line %d, side %d: %q, error %v, want %q", folder, e.Line, side, whole, err, want)
				}
			}
		}
	}
}

// TestSharedSets loads every set of preferences of others with tokenizers that fit, and states what becomes of the rows.
// The figures are those that transformers 5.23.0 gives by the same rules.
func TestSharedSets(t *testing.T) {
	if testing.Short() {
		t.Skip("encodes megabytes of text")
	}
	type counts struct {
		Kept, Dropped, Across, Other int
		Truncated                    [2]int
	}
	readers := map[string]*Reader{}
	for _, c := range []struct {
		file, folder string
		form         Form
		maxLength    int
		want         counts
	}{
		{"stories_happy_train", "models/stories260k", Pairs, 256, counts{Kept: 2144}},
		{"stories_happy_eval", "models/stories260k", Pairs, 256, counts{Kept: 200}},
		{"stories_happy_eval", "models/gpt2-stories", Pairs, 256, counts{Kept: 200}},
		{"stories_happy_eval", "models/babyllama-105", Pairs, 256, counts{Kept: 200, Truncated: [2]int{55, 41}}},
		{"pandalm_human", "tokenizers/gpt2", Pairs, 0, counts{Kept: 836, Across: 51}},
		{"llmbar", "tokenizers/starcoder", Pairs, 0, counts{Kept: 419, Across: 22}},
		{"hh_harmless_mild", "tokenizers/phi-3", Pairs, 512, counts{Kept: 398, Dropped: 2, Across: 28, Truncated: [2]int{2, 2}}},
		{"hh_harmless_mild", "tokenizers/phi-3", Completions, 512, counts{Kept: 398, Dropped: 2, Across: 19, Truncated: [2]int{2, 0}}},
		{"dpo_en_chat", "tokenizers/qwen3", Pairs, 1024, counts{Kept: 265, Dropped: 35, Truncated: [2]int{47, 49}}},
		{"kto_en_chat", "tokenizers/qwen3", Completions, 1024, counts{Kept: 280, Dropped: 20, Truncated: [2]int{36, 0}}},
		{"kto_en_chat", "tokenizers/qwen3", Labelled, 1024, counts{Kept: 280, Dropped: 20, Truncated: [2]int{14, 22}}},
	} {
		t.Run(fmt.Sprintf("%s %s form %d", c.file, filepath.Base(c.folder), c.form), func(t *testing.T) {
			r := readers[c.folder]
			if r == nil {
				r = open(t, testfiles.Shared(t, c.folder))
				readers[c.folder] = r
			}
			r.Wanted.Mismatched = c.form == Labelled
			set, err := r.Load(t.Context(), testfiles.Shared(t, "preferences", c.file+".jsonl"), c.form, Options{MaxLength: c.maxLength, TruncationMode: "keep_start"}, nil)
			if err != nil {
				t.Fatal(err)
			}
			rep := set.Reports[0]
			if got := (counts{rep.Kept, rep.Dropped(), rep.across.n, rep.other.n, rep.Truncated}); got != c.want {
				t.Errorf("got %+v, want %+v; %q", got, c.want, rep.Lines())
			}
			for _, e := range set.list() {
				for _, s := range e.Sequences {
					if s.First < 1 || s.First >= len(s.IDs) || c.maxLength > 0 && len(s.IDs) > c.maxLength || int(slices.Max(s.IDs)) >= r.VocabSize() || slices.Min(s.IDs) < 0 {
						t.Fatalf("%s: first %d, %d ids up to %d", e.Place(), s.First, len(s.IDs), slices.Max(s.IDs))
					}
				}
			}
		})
	}
}

// TestFiles are those that a saved model is given to load its tokenizer from.
func TestFiles(t *testing.T) {
	for folder, want := range map[string][]string{
		"llama": {"chat_template.jinja", "generation_config.json", "tokenizer.json", "tokenizer_config.json"},
		"gpt2":  {"generation_config.json", "tokenizer.json", "tokenizer_config.json"},
	} {
		dir := testfiles.Path(t, "models", folder)
		r := open(t, dir)
		files, err := r.Files()
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Sorted(maps.Keys(files)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", folder, got, want)
		}
		copied := t.TempDir()
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(copied, name), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		path := testfiles.Path(t, "pairs_chat.jsonl")
		a, errA := r.Load(t.Context(), path, Pairs, Options{}, nil)
		b, errB := open(t, copied).Load(t.Context(), path, Pairs, Options{}, nil)
		if errA != nil || errB != nil || !slices.EqualFunc(a.list(), b.list(), sameExample) {
			t.Errorf("%s: the copy reads rows in another way; errors %v, %v", folder, errA, errB)
		}
	}
}

func sameExample(a, b Example) bool {
	return a.Line == b.Line && slices.EqualFunc(a.Sequences, b.Sequences, func(x, y Sequence) bool { return x.First == y.First && slices.Equal(x.IDs, y.IDs) })
}

// TestFilesWithFormat: a model that is saved after its rows were written in a built-in format has that as its template.
func TestFilesWithFormat(t *testing.T) {
	dir := testfiles.Path(t, "models", "llama")
	r, err := Open(dir, "zephyr")
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(copied, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	path := testfiles.Path(t, "pairs_chat.jsonl")
	a, errA := r.Load(t.Context(), path, Pairs, Options{}, nil)
	b, errB := open(t, copied).Load(t.Context(), path, Pairs, Options{}, nil)
	if errA != nil || errB != nil || !slices.EqualFunc(a.list(), b.list(), sameExample) {
		t.Errorf("the copy reads rows in another way; errors %v, %v", errA, errB)
	}
	own, err := open(t, dir).Load(t.Context(), path, Pairs, Options{}, nil)
	if err != nil || slices.EqualFunc(a.list(), own.list(), sameExample) {
		t.Errorf("the format makes the same of the rows as the folder's own template; error %v", err)
	}
}
