package data

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestForms reads every form of rows that TRL and data sets on the Hub have. A chat is shown as the plain template writes it.
func TestForms(t *testing.T) {
	const u, a, b, s = `{"role":"user","content":"q"}`, `{"role":"assistant","content":"y"}`, `{"role":"assistant","content":"n"}`, `{"role":"system","content":"s"}`
	for _, c := range []struct {
		name string
		form Form
		row  string
		want string
	}{
		{"pair, explicit prompt", Pairs, `{"prompt":"p ","chosen":"y","rejected":"n"}`, "^p |y$ ^p |n$"},
		{"pair, implicit prompt", Pairs, `{"chosen":"p y","rejected":"p n"}`, "^p| y$ ^p| n$"},
		{"pair, implicit prompt beside null", Pairs, `{"prompt":null,"chosen":"p y","rejected":"p n"}`, "^p| y$ ^p| n$"},
		{"chat pair, explicit prompt", Pairs, `{"prompt":[` + u + `],"chosen":[` + a + `],"rejected":[` + b + `]}`, "u:q;a:|y; u:q;a:|n;"},
		{"chat pair, implicit prompt", Pairs, `{"chosen":[` + s + `,` + u + `,` + a + `],"rejected":[` + s + `,` + u + `,` + b + `]}`, "s:s;u:q;a:|y; s:s;u:q;a:|n;"},
		{"UltraFeedback, binarised", Pairs, `{"prompt":"q","prompt_id":"1","chosen":[` + u + `,` + a + `],"rejected":[` + u + `,` + b + `],"messages":[` + u + `,` + a + `],"score_chosen":8,"score_rejected":7.5}`,
			"u:q;a:|y; u:q;a:|n;"},
		{"text before answers that are messages", Pairs, `{"prompt":"q","chosen":[` + a + `],"rejected":[` + b + `]}`, "u:q;a:|y; u:q;a:|n;"},
		{"Anthropic's whole dialogues", Pairs, `{"chosen":"\n\nHuman: q\n\nAssistant: y","rejected":"\n\nHuman: q\n\nAssistant: n"}`, "^\n\nHuman: q\n\nAssistant:| y$ ^\n\nHuman: q\n\nAssistant:| n$"},
		{"prompt and completion", Completions, `{"prompt":"p","completion":"c"}`, "^p|c$"},
		{"prompt and completion, chat", Completions, `{"prompt":[` + u + `],"completion":[` + a + `]}`, "u:q;a:|y;"},
		{"text and completion that is messages", Completions, `{"prompt":"q","completion":[` + a + `]}`, "u:q;a:|y;"},
		{"text and whole conversation", Completions, `{"prompt":"q","chosen":[` + u + `,` + a + `]}`, "u:q;a:|y;"},
		{"UltraFeedback for its chosen side", Completions, `{"prompt":"q","chosen":[` + u + `,` + a + `],"rejected":[` + u + `,` + b + `]}`, "u:q;a:|y;"},
		{"language modelling", Completions, `{"text":"abc"}`, "^|abc$"},
		{"unpaired", Labelled, `{"prompt":"p","completion":"c","label":true}`, "^p|c$"},
		{"unpaired, chat", Labelled, `{"prompt":[` + u + `],"completion":[` + a + `],"label":false}`, "u:q;a:|y;"},
	} {
		m := maker{encoder: whole, template: template(t, plainTemplate), form: c.form}
		got, err := m.make([]byte(c.row), lineReader)
		if show := whole.showAll(got.example); err != nil || show != c.want {
			t.Errorf("%s: %q, error %v, want %q", c.name, show, err, c.want)
		}
	}
}

// TestColumns reads rows whose columns have other names.
func TestColumns(t *testing.T) {
	for _, c := range []struct {
		columns map[string]string
		row     string
		want    string // chosen with its scores, or the error
	}{
		{map[string]string{"prompt": "question", "chosen": "better", "rejected": "Worse"}, `{"question":"p","better":"y","Worse":"n","chosen_score":2,"rejected_score":1}`, "^p|y$ 2 1"},
		{map[string]string{"chosen": "rejected", "rejected": "chosen"}, `{"prompt":"p","chosen":"n","rejected":"y","margin":3}`, "^p|y$ 3 0"},
		{map[string]string{"prompt": "q"}, `{"prompt":7,"q":"p","chosen":"y","rejected":"n","margin":1}`, "^p|y$ 1 0"},
		{map[string]string{"prompt": "prompt"}, `{"prompt":"p","chosen":"y","rejected":"n","margin":1}`, "^p|y$ 1 0"},
		{nil, `{"prompt":"p","chosen":"y","rejected":"n","score_chosen":2,"score_rejected":1}`, "^p|y$ 2 1"},
		{map[string]string{"chosen_score": "a", "rejected_score": "b"}, `{"prompt":"p","chosen":"y","rejected":"n","score_chosen":"x","score_rejected":[],"a":1,"b":0}`, "^p|y$ 1 0"},
		{nil, `{"prompt":"p","chosen":"y","rejected":"n","score_chosen":2,"chosen_score":1}`, "chosen_score: stands twice in the row; leave one out"},
		{nil, `{"prompt":"p","chosen":"y","rejected":"n","score_chosen":"x","score_rejected":1}`, `chosen_score: "x"; want a number`},
		{map[string]string{"rejected": "worse"}, `{"prompt":"p","chosen":"y","rejected":"n"}`, "rejected: missing, for there is no column worse (there are prompt, chosen, rejected); a pair has prompt, chosen and rejected"},
		{map[string]string{"rejected": "worse"}, `{"prompt":"p","chosen":"y","worse":null}`, "worse (rejected): null; a pair has prompt, chosen and rejected"},
		{map[string]string{"chosen": "better"}, `{"prompt":"p","better":1,"rejected":"n"}`, "better (chosen): 1; want text or a list of messages"},
		{map[string]string{"margin": "gap"}, `{"prompt":"p","chosen":"y","rejected":"n","gap":"x"}`, `gap (margin): "x"; want a number`},
		{map[string]string{"margin": "gap"}, `{"prompt":"p","chosen":"y","rejected":"n"}`, "chosen_score: missing (there are prompt, chosen, rejected); loss odpo needs chosen_score and rejected_score, or margin"},
	} {
		m := maker{encoder: whole, form: Pairs, wanted: Wanted{Scores: true, By: "loss odpo"}}
		got, err := m.make([]byte(c.row), rowReader{inLine: true, naming: newNaming(c.columns)})
		show := text(err)
		if err == nil {
			show = fmt.Sprintf("%s %v %v", whole.show(got.example.Sequences[0]), got.example.Numbers.ChosenScore, got.example.Numbers.RejectedScore)
		}
		if show != c.want {
			t.Errorf("%v, %s:\ngot  %s\nwant %s", c.columns, c.row, show, c.want)
		}
	}
}

func TestFilter(t *testing.T) {
	one, two := 1.0, 2.0
	const text = `"prompt":"p","chosen":"yyyy","rejected":"n"`
	for _, c := range []struct {
		filter Filter
		row    string
		want   string // taken, left or the error
	}{
		{Filter{MinMargin: &one}, `{` + text + `,"chosen_score":3,"rejected_score":2}`, "taken"},
		{Filter{MinMargin: &one}, `{` + text + `,"chosen_score":3,"rejected_score":2.01}`, "left"},
		{Filter{MinMargin: &one}, `{` + text + `,"margin":1}`, "taken"},
		{Filter{MinMargin: &one}, `{` + text + `}`, "chosen_score: missing (there are prompt, chosen, rejected); filter min_margin needs chosen_score and rejected_score, or margin"},
		{Filter{MinScore: &two}, `{` + text + `,"score_chosen":2}`, "taken"},
		{Filter{MinScore: &two}, `{` + text + `,"score_chosen":1.99}`, "left"},
		{Filter{MinScore: &two}, `{` + text + `,"margin":5}`, "chosen_score: missing (there are prompt, chosen, rejected, margin); filter min_score needs chosen_score"},
		{Filter{MaxTokens: 7}, `{` + text + `}`, "taken"}, // ^pyyyy$
		{Filter{MaxTokens: 6}, `{` + text + `}`, "left"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `,"tag":"b"}`, "taken"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `,"tag":["x","a"]}`, "taken"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `,"tag":"ab"}`, "left"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `,"tag":[]}`, "left"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `,"tag":null}`, "left"},
		{Filter{Tags: []string{"a", "b"}}, `{` + text + `}`, "left"},
		{Filter{Tags: []string{"a"}}, `{` + text + `,"tag":1}`, "tag: 1; want text or a list of texts"},
		{Filter{Tags: []string{"a"}, MinMargin: &one}, `{` + text + `,"tag":"a","margin":0}`, "left"},
	} {
		m := maker{encoder: whole, form: Pairs}
		made, err := m.make([]byte(c.row), rowReader{inLine: true, naming: newNaming(nil), filter: c.filter})
		got := "taken"
		if err != nil {
			got = err.Error()
		} else if made.drop == dropFiltered {
			got = "left"
		}
		if got != c.want {
			t.Errorf("%+v, %s: %s, want %s", c.filter, c.row, got, c.want)
		}
	}
	set, err := mixed(t, Options{}, 0, Source{Path: write(t, strings.Repeat(numbered(1)+"\n", 3)+`{"prompt":"p","chosen":"c","rejected":"r","tag":"x"}`), Filter: Filter{Tags: []string{"x"}}})
	if err != nil || set.Len() != 1 || len(set.Reports[0].Warnings()) != 0 || !slices.Equal(set.Reports[0].Lines(), []string{"dropped because the filter does not take the row: 3 (lines 1, 2, 3)"}) {
		t.Errorf("error %v, %+v", err, set)
	}
}

// TestFilterRanked: the margin of a ranked row is that of its best completion to its worst, its score that of the best, its length that of the longest; and
// what a filter takes becomes the pairs that it would become without one.
func TestFilterRanked(t *testing.T) {
	one, two := 1.0, 2.0
	row := func(completions, more string) string {
		return `{"prompt":"p","completions":` + completions + more + `}`
	}
	const four = `["yy","n","yyyy","nn"]` // ^pyyyy$ has 7 ids
	for _, c := range []struct {
		filter Filter
		row    string
		want   string // taken, left or the error
	}{
		{Filter{MinMargin: &one}, row(four, `,"scores":[1,2,1.5,1.25]`), "taken"},
		{Filter{MinMargin: &one}, row(four, `,"scores":[1.01,2,1.5,1.25]`), "left"},
		{Filter{MinMargin: &one}, row(four, ``), "scores: missing (there are prompt, completions); filter min_margin needs one for each completion"},
		{Filter{MinMargin: &one}, row(four, `,"scores":null,"margin":5`), "scores: null; filter min_margin needs one for each completion"},
		{Filter{MinScore: &two}, row(four, `,"scores":[-7,1,0,2]`), "taken"},
		{Filter{MinScore: &two}, row(four, `,"scores":[1,1.99,0,1]`), "left"},
		{Filter{MinScore: &two}, row(four, `,"chosen_score":3`), "scores: missing (there are prompt, completions, chosen_score); filter min_score needs one for each completion"},
		{Filter{MinScore: &two, MinMargin: &one}, row(four, `,"scores":[2,2,2,2]`), "left"},
		{Filter{MaxTokens: 7}, row(four, ``), "taken"},
		{Filter{MaxTokens: 6}, row(four, ``), "left"},
		{Filter{MaxTokens: 6}, row(`["","yyy"]`, ``), "none"}, // taken, and then there is one completion
		{Filter{Tags: []string{"a"}}, row(four, `,"tag":["x","a"]`), "taken"},
		{Filter{Tags: []string{"a"}}, row(four, `,"tag":"x"`), "left"},
		{Filter{Tags: []string{"a"}}, row(four, ``), "left"},
		{Filter{Tags: []string{"a"}}, row(four, `,"tag":{}`), "tag: {}; want text or a list of texts"},
		{Filter{Tags: []string{"a"}, MaxTokens: 7, MinMargin: &one, MinScore: &two}, row(four, `,"tag":"a","scores":[3,1,0,2]`), "taken"},
	} {
		for _, form := range []Form{Pairs, Lists, Labelled} {
			m := maker{encoder: whole, form: form, options: Options{MaxLength: 5, TruncationMode: "keep_start"}} // of which max_tokens knows nothing
			made, err := m.make([]byte(c.row), rowReader{inLine: true, naming: newNaming(nil), filter: c.filter})
			got := map[dropReason]string{kept: "taken", dropFiltered: "left", dropUnranked: "none"}[made.drop]
			if err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("%+v, %v, %s: %s, want %s", c.filter, form, c.row, got, c.want)
			}
		}
	}

	path := write(t, row(`["a","b","c"]`, `,"scores":[1,3,2],"tag":"x"`)+"\n"+row(`["d","e","f"]`, `,"scores":[1,3,2],"tag":"y"`)+"\n"+row(`["g","h","i"]`, `,"scores":[1,1.5,1],"tag":"x"`)+"\n")
	for rule, want := range map[string]string{"best_worst": "^p|b$ ^p|a$", "all": "^p|b$ ^p|c$, ^p|b$ ^p|a$, ^p|c$ ^p|a$", "adjacent": "^p|b$ ^p|c$, ^p|c$ ^p|a$"} {
		set, err := mixed(t, Options{RankedPairs: rule}, 0, Source{Path: path, Filter: Filter{Tags: []string{"x"}, MinMargin: &one}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range set.list() {
			got = append(got, whole.showAll(e))
		}
		if strings.Join(got, ", ") != want || set.Reports[0].dropped[dropFiltered].n != 2 {
			t.Errorf("%s: %q, want %s; %+v", rule, got, want, set.Reports[0])
		}
	}
}

// mixed reads data sets, and gives back what is not held out.
func mixed(t *testing.T, o Options, fraction float64, sources ...Source) (*Set, error) {
	t.Helper()
	m := &maker{ctx: t.Context(), encoder: whole, form: Pairs, options: o}
	set, err := m.loadSources(sources, nil)
	if err == nil && fraction > 0 {
		set, _, err = set.split(fraction)
	}
	return set, err
}

// file makes a data set of pairs with the numbers of a range as prompts.
func pairsOf(t *testing.T, from, to int) string {
	t.Helper()
	var content strings.Builder
	for i := from; i < to; i++ {
		content.WriteString(numbered(i) + "\n")
	}
	path := filepath.Join(t.TempDir(), fmt.Sprintf("%d.jsonl", from))
	if err := os.WriteFile(path, []byte(content.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// promptNumbers are those of a set's prompts, in order.
func promptNumbers(set *Set) (numbers []int) {
	for _, e := range set.list() {
		n := 0
		for _, id := range e.Sequences[0].IDs[2:e.Sequences[0].First] {
			n = 10*n + int(id) - '0'
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// TestMix takes shares of data sets by weight and by fraction.
func TestMix(t *testing.T) {
	a, b, c := pairsOf(t, 0, 100), pairsOf(t, 1000, 1060), pairsOf(t, 2000, 2010)
	for _, k := range []struct {
		sources []Source
		want    []int // of a, b, c
	}{
		{[]Source{{Path: a}, {Path: b}}, []int{100, 60, 0}},
		{[]Source{{Path: a, Weight: 1}, {Path: b, Weight: 1}}, []int{60, 60, 0}},
		{[]Source{{Path: a, Weight: 3}, {Path: b, Weight: 1}}, []int{100, 33, 0}},
		{[]Source{{Path: a, Weight: 0.5}, {Path: b, Weight: 0.3}, {Path: c, Weight: 0.2}}, []int{25, 15, 10}},
		{[]Source{{Path: a, Fraction: 0.29}, {Path: b, Fraction: 1}, {Path: c}}, []int{29, 60, 10}},
	} {
		set, err := mixed(t, Options{Seed: 1}, 0, k.sources...)
		if err != nil {
			t.Fatal(err)
		}
		numbers := promptNumbers(set)
		got := make([]int, 3)
		for _, n := range numbers {
			got[n/1000]++
		}
		if !slices.Equal(got, k.want) || !slices.IsSorted(numbers) || len(set.Prompts()) != min(len(numbers), PromptsKept) || set.Prompts()[0] != fmt.Sprintf("p%d", numbers[0]) {
			t.Errorf("%+v: %d, want %d; in order %v, prompts %q", k.sources, got, k.want, slices.IsSorted(numbers), set.Prompts())
		}
		again, err := mixed(t, Options{Seed: 1}, 0, k.sources...)
		if err != nil || !slices.Equal(promptNumbers(again), numbers) {
			t.Errorf("%+v: another mix at another time, error %v", k.sources, err)
		}
	}
	one, _ := mixed(t, Options{Seed: 1}, 0, Source{Path: a, Fraction: 0.5})
	other, _ := mixed(t, Options{Seed: 2}, 0, Source{Path: a, Fraction: 0.5})
	if slices.Equal(promptNumbers(one), promptNumbers(other)) {
		t.Error("the seed does not say which half is taken")
	}
	if lines := one.Reports[0].Lines(); !slices.Equal(lines, []string{"50 of 100 examples are taken, by weight or fraction"}) {
		t.Errorf("it says %q", lines)
	}
	if _, err := mixed(t, Options{}, 0, Source{Path: a}, Source{Path: c, Fraction: 0.01}); text(err) != c+": of 10 examples none is taken; give a larger weight or fraction" {
		t.Errorf("error %v", err)
	}
}

// TestSplitPrompts: no prompt is on both sides, however often it stands in which data set, and the prompts alone say on which.
func TestSplitPrompts(t *testing.T) {
	a, b := pairsOf(t, 0, 1000), pairsOf(t, 500, 2000)
	const fraction = 0.1
	m := &maker{ctx: t.Context(), encoder: whole, form: Pairs}
	sides := map[int]bool{} // held out
	for _, sources := range [][]Source{{{Path: a}, {Path: b}}, {{Path: b}}, {{Path: a}}} {
		all, err := m.loadSources(sources, nil)
		if err != nil {
			t.Fatal(err)
		}
		train, held, err := all.split(fraction)
		if err != nil {
			t.Fatal(err)
		}
		if train.Len()+held.Len() != all.Len() {
			t.Errorf("%d and %d of %d examples", train.Len(), held.Len(), all.Len())
		}
		for side, set := range map[bool]*Set{false: train, true: held} {
			for i, n := range promptNumbers(set) {
				if was, seen := sides[n]; seen && was != side {
					t.Fatalf("prompt %d is on both sides", n)
				}
				sides[n] = side
				if i < PromptsKept && set.Prompts()[i] != fmt.Sprintf("p%d", n) {
					t.Errorf("prompt %d is %q, want p%d", i, set.Prompts()[i], n)
				}
			}
		}
	}
	n := 0
	for _, held := range sides {
		if held {
			n++
		}
	}
	// 2000 prompts, each held out with probability 0.1: within five standard deviations.
	if mean, sigma := 2000*fraction, math.Sqrt(2000*fraction*(1-fraction)); math.Abs(float64(n)-mean) > 5*sigma {
		t.Errorf("%d of 2000 prompts are held out", n)
	}
	for fraction, want := range map[float64]string{1e-9: "eval_fraction: 1e-09 of 1000 examples leaves none to evaluate; give a larger one", 1 - 1e-12: "eval_fraction: 0.999999999999 of 1000 examples leaves none to train on; give a smaller one"} {
		if _, err := mixed(t, Options{}, fraction, Source{Path: a}); text(err) != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// TestHashPrompt: equal prompts have equal hashes whatever they are written like, and others have not.
func TestHashPrompt(t *testing.T) {
	m := maker{encoder: whole, template: template(t, plainTemplate)}
	hash := func(row string) uint64 {
		made, err := m.make([]byte(row), lineReader)
		if err != nil {
			t.Fatal(err)
		}
		return made.key.hash
	}
	const answers = `"chosen":[{"role":"assistant","content":"y"}],"rejected":[{"role":"assistant","content":"n"}]`
	same := []string{
		`{"prompt":[{"role":"user","content":"é"}],` + answers + `}`,
		`{"prompt":[ {"content":"\u00e9" , "role":"user"}],` + answers + `}`,
		`{"prompt":[{"role":"user","content":"é"}],"chosen":[{"role":"assistant","content":"other"}],"rejected":[{"role":"assistant","content":"n"}]}`,
		`{"chosen":[{"role":"user","content":"é"},{"role":"assistant","content":"y"}],"rejected":[{"role":"user","content":"é"},{"role":"assistant","content":"n"}]}`,
	}
	for _, row := range same {
		if hash(row) != hash(same[0]) {
			t.Errorf("%s: another hash", row)
		}
	}
	different := append(same[:1:1], `{"prompt":[{"role":"system","content":"é"}],`+answers+`}`, `{"prompt":[{"role":"user","content":"é "}],`+answers+`}`,
		`{"prompt":[{"role":"user","content":"é","name":"x"}],`+answers+`}`, `{"prompt":[{"role":"user","content":"é"},{"role":"user","content":"é"}],`+answers+`}`,
		`{"prompt":"é","chosen":"y","rejected":"n"}`, `{"prompt":"e","chosen":"y","rejected":"n"}`)
	seen := map[uint64]string{}
	for _, row := range different {
		if other, twice := seen[hash(row)]; twice {
			t.Errorf("the same hash: %s and %s", row, other)
		}
		seen[hash(row)] = row
	}
}
