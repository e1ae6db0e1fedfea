package data

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func labelled(t *testing.T, path string, mismatched bool, o Options) (*Set, error) {
	t.Helper()
	m := &maker{ctx: t.Context(), encoder: whole, options: o, form: Labelled, wanted: Wanted{Mismatched: mismatched, By: "loss kto", Unpaired: "bco, kto"}}
	return m.loadOne(path, nil)
}

func TestLabelled(t *testing.T) {
	path := write(t, strings.Join([]string{
		`{"prompt": "p1", "completion": "a", "label": true}`,
		`{"prompt": "p2", "completion": "b", "label": false, "weight": 0.5, "chosen": "x", "rejected": "y"}`,
		`{"prompt": "p3", "chosen": "c", "rejected": "d", "weight": 2}`,
		`{"prompt": "p4", "chosen": "e", "rejected": "e"}`,
		`{"prompt": "p5", "completion": "", "label": false}`,
		`{"chosen": "p6 f", "rejected": "p6 g"}`,
	}, "\n"))
	set, err := labelled(t, path, false, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range set.list() {
		got = append(got, fmt.Sprintf("%d %s %d %v", e.Line, whole.showAll(e), e.Label, e.Weight()))
	}
	if want := []string{"1 ^p1|a$ 1 1", "2 ^p2|b$ 2 0.5", "3 ^p3|c$ 1 2", "3 ^p3|d$ 2 2", "6 ^p6| f$ 1 1", "6 ^p6| g$ 2 1"}; !slices.Equal(got, want) {
		t.Errorf("examples\n%q, want\n%q", got, want)
	}
	if want := []string{"p1", "p2", "p3", "p3", "p6", "p6"}; !slices.Equal(set.Prompts(), want) {
		t.Errorf("prompts %q, want %q", set.Prompts(), want)
	}
	r := set.Reports[0]
	if r.Rows != 6 || r.Kept != 6 || r.Dropped() != 2 || r.Apart != 2 || r.Labels != [3]int{0, 3, 3} {
		t.Errorf("report %+v", r)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "2 pairs taken apart") || !strings.Contains(text, "3 desirable, 3 undesirable") {
		t.Errorf("it says %s", text)
	}
	set, err = labelled(t, write(t, `{"prompt": "p1", "completion": "a", "label": false}`), false, Options{})
	if err != nil || len(set.Reports[0].Warnings()) != 1 || !strings.Contains(set.Reports[0].Warnings()[0], "no row is desirable") {
		t.Errorf("of undesirable rows alone: %v, warnings %q", err, set.Reports[0].Warnings())
	}
}

// TestLabelErrors are those of rows, word for word.
func TestLabelErrors(t *testing.T) {
	for _, tt := range []struct {
		form      Form
		row, want string
	}{
		{Labelled, `{"prompt": "p", "completion": "c"}`, "label: missing (there are prompt, completion); a row with completion needs it for loss kto: true for one to learn, false for one to unlearn"},
		{Labelled, `{"prompt": "p", "completion": "c", "label": null}`, "label: null; a row with completion needs it for loss kto: true for one to learn, false for one to unlearn"},
		{Labelled, `{"prompt": "p", "completion": "c", "label": 1}`, "label: 1; want true or false"},
		{Labelled, `{"prompt": "p", "completion": "c", "label": "true"}`, `label: "true"; want true or false`},
		{Labelled, `{"prompt": "p", "completion": "c", "label": true, "label": false}`, "label: stands twice in the row; leave one out"},
		{Labelled, `{"completion": "c", "label": true}`, "prompt: missing; a row with completion needs one"},
		{Labelled, `{"prompt": "p", "label": true}`, "no column completion (there are prompt, label); an unpaired row has prompt, completion and label, a pair prompt, chosen and rejected"},
		{Labelled, `{"prompt": "p", "chosen": "c"}`, "rejected: missing (there are prompt, chosen); a pair has prompt, chosen and rejected"},
		{Labelled, `{"prompt": [{"role": "user", "content": "p"}], "completion": "c", "label": true}`, "text in one column and messages in another; want one kind in a row"},
		{Pairs, `{"prompt": "p", "completion": "c", "label": true}`, "a completion with a label, and loss kto takes pairs: prompt, chosen and rejected; losses that take such rows: bco, kto"},
		{Pairs, `{"prompt": "p", "completion": "c"}`, "chosen: missing (there are prompt, completion); a pair has prompt, chosen and rejected"},
		{Pairs, `{"prompt": "p", "chosen": "c", "rejected": "r", "completion": "c", "label": 7}`, ""},
		{Completions, `{"prompt": "p", "completion": "c", "label": 7}`, ""},
	} {
		m := &maker{ctx: t.Context(), encoder: whole, form: tt.form, wanted: Wanted{By: "loss kto", Unpaired: "bco, kto"}}
		if _, err := m.make([]byte(tt.row), lineReader); text(err) != tt.want {
			t.Errorf("%s: %q, want %q", tt.row, text(err), tt.want)
		}
	}
}

// TestMismatched: every row gets its prompt with a completion of another prompt, the same for the same file.
func TestMismatched(t *testing.T) {
	row := func(prompt, completion string) string {
		return fmt.Sprintf(`{"prompt": %q, "completion": %q, "label": true}`, prompt, completion)
	}
	pair := func(prompt, chosen, rejected string) string {
		return fmt.Sprintf(`{"prompt": %q, "chosen": %q, "rejected": %q}`, prompt, chosen, rejected)
	}
	for _, tt := range []struct {
		name string
		o    Options
		rows []string
		want []string
	}{
		{"rows", Options{}, []string{row("p", "a"), row("q", "b"), row("r", "c")}, []string{"^p|b$", "^q|c$", "^r|a$"}},
		{"pairs", Options{}, []string{pair("p", "a", "b"), pair("q", "c", "d"), pair("r", "e", "f")}, []string{"^p|c$", "^p|d$", "^q|e$", "^q|f$", "^r|a$", "^r|b$"}},
		{"runs", Options{}, []string{row("p", "a"), row("p", "b"), row("p", "c"), row("q", "d"), row("p", "e"), row("p", "f")},
			[]string{"^p|d$", "^p|d$", "^p|d$", "^q|e$", "^p|d$", "^p|d$"}},
		{"a run around the end", Options{}, []string{row("p", "a"), row("q", "b"), row("p", "c")}, []string{"^p|b$", "^q|c$", "^p|b$"}},
		{"cut", Options{MaxLength: 4}, []string{row("p", "a"), row("q", "bcd")}, []string{"^p|bc", "^q|a$"}},
		{"cut at the start", Options{MaxLength: 4, TruncationMode: "keep_end"}, []string{row("pp", "a"), row("q", "bc")}, []string{"p|bc$", "q|a$"}},
	} {
		path := write(t, strings.Join(tt.rows, "\n"))
		set, err := labelled(t, path, true, tt.o)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for _, e := range set.list() {
			if len(e.Sequences) != 2 || len(e.Own()) != 1 {
				t.Fatalf("%s: %+v", tt.name, e)
			}
			got = append(got, whole.show(e.Sequences[1]))
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		for i, e := range set.list() {
			if s := e.Sequences[1]; s.First >= len(s.IDs) || tt.o.MaxLength > 0 && len(s.IDs) > tt.o.MaxLength {
				t.Errorf("%s: row %d: %+v", tt.name, i, s)
			}
		}
	}
	for _, rows := range [][]string{{row("p", "a")}, {row("p", "a"), row("p", "b")}} {
		path := write(t, strings.Join(rows, "\n"))
		_, err := labelled(t, path, true, Options{})
		if want := path + ": all rows have the same prompt, and none has a completion of another prompt to be compared with; loss kto needs that: give rows of several prompts"; text(err) != want {
			t.Errorf("%q, want %q", text(err), want)
		}
	}
}

// TestUnwanted: a loss that learns all completions learns those with label false too, and that is told.
func TestUnwanted(t *testing.T) {
	set, err := Load(write(t, `{"prompt": "p", "completion": "a", "label": true}`+"\n"+`{"prompt": "p", "completion": "b", "label": false}`), Completions, whole, nil, Options{}, nil)
	if err != nil || set.Len() != 2 || len(set.Reports[0].Warnings()) != 1 || !strings.Contains(set.Reports[0].Warnings()[0], "label is false, and the completion is learnt all the same: 1 (line 2)") {
		t.Errorf("%v, warnings %q", err, set.Reports[0].Warnings())
	}
}

func TestUnpaired(t *testing.T) {
	for content, want := range map[string]bool{
		`{"prompt": "p", "completion": "c", "label": true}`:                     true,
		"\n \n" + `{"prompt": "p", "completion": "c", "label": 3}` + "\n" + `x`: true,
		"\ufeff" + `{"prompt": "p", "completion": "c", "label": true}`:          true,
		`{"prompt": "p", "completion": "c"}`:                                    false,
		`{"prompt": "p", "chosen": "c", "rejected": "r", "label": true}`:        false,
		"": false, "x": false, "[]": false,
	} {
		if got := Unpaired(Source{Path: write(t, content)}); got != want {
			t.Errorf("%q: %v, want %v", content, got, want)
		}
	}
	if Unpaired(Source{Path: t.TempDir()}) || Unpaired(Source{Path: "nowhere.jsonl"}) {
		t.Error("what is no file has unpaired rows")
	}
}
