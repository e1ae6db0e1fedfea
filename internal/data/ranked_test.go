package data

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/testfiles"
)

// ranks loads rows with the tokenizer whole and the plain template.
func ranks(t testing.TB, form Form, wanted Wanted, o Options, rows ...string) (*Set, error) {
	t.Helper()
	m := &maker{ctx: t.Context(), encoder: whole, template: template(t, plainTemplate), options: o, form: form, wanted: wanted}
	return m.loadFrom("ranked.jsonl", strings.NewReader(strings.Join(rows, "\n")), func(int64) {})
}

// rankedRow is one with the prompt p.
func rankedRow(completions, scores string) string {
	if scores != "" {
		scores = `, "scores": ` + scores
	}
	return fmt.Sprintf(`{"prompt": "p", "completions": %s%s}`, completions, scores)
}

func TestRankedRows(t *testing.T) {
	const four = `["a", "b", "c", "d"]`
	for _, c := range []struct {
		name string
		form Form
		o    Options
		row  string
		want []string
	}{
		{"in order", Lists, Options{}, rankedRow(four, ""), []string{"^p|a$ ^p|b$ ^p|c$ ^p|d$"}},
		{"by scores", Lists, Options{}, rankedRow(four, "[1, 7.5, -2, 3]"), []string{"^p|b$ ^p|d$ ^p|a$ ^p|c$"}},
		{"scores that are null", Lists, Options{}, rankedRow(four, "null"), []string{"^p|a$ ^p|b$ ^p|c$ ^p|d$"}},
		{"the first of equals stays", Lists, Options{}, rankedRow(four, "[1, 2, 2, 1]"), []string{"^p|b$ ^p|a$"}},
		{"empty ones are left out", Lists, Options{}, rankedRow(`["", "b", "", "d"]`, ""), []string{"^p|b$ ^p|d$"}},
		{"the better of the same texts stays", Lists, Options{}, rankedRow(`["a", "b", "a", "b"]`, "[1, 2, 3, 4]"), []string{"^p|b$ ^p|a$"}},
		{"the same after truncation", Lists, Options{MaxLength: 4}, rankedRow(`["abcd", "abce", "b"]`, ""), []string{"^p|ab ^p|b$"}},
		{"a pair is a list of two", Lists, Options{}, `{"prompt": "p", "chosen": "c", "rejected": "r"}`, []string{"^p|c$ ^p|r$"}},
		{"a pair without prompt", Lists, Options{}, `{"chosen": "p c", "rejected": "p r"}`, []string{"^p| c$ ^p| r$"}},
		{"completions go before a pair", Lists, Options{}, `{"prompt": "p", "chosen": "c", "rejected": "r", "completions": ["a", "b"]}`, []string{"^p|a$ ^p|b$"}},
		{"messages", Lists, Options{},
			`{"prompt": [{"role": "user", "content": "hi"}], "completions": [[{"role": "assistant", "content": "x"}], [{"role": "assistant", "content": "y"}]], "scores": [0, 1]}`,
			[]string{"u:hi;a:|y; u:hi;a:|x;"}},

		{"best and worst", Pairs, Options{}, rankedRow(four, "[1, 7.5, -2, 3]"), []string{"^p|b$ ^p|c$"}},
		{"best and worst, empty ones left out", Pairs, Options{}, rankedRow(`["", "b", "c", ""]`, ""), []string{"^p|b$ ^p|c$"}},
		{"all", Pairs, Options{RankedPairs: "all"}, rankedRow(`["a", "b", "c"]`, ""), []string{"^p|a$ ^p|b$", "^p|a$ ^p|c$", "^p|b$ ^p|c$"}},
		{"all but equals", Pairs, Options{RankedPairs: "all"}, rankedRow(`["a", "b", "c"]`, "[1, 2, 2]"), []string{"^p|b$ ^p|a$", "^p|c$ ^p|a$"}},
		{"adjacent", Pairs, Options{RankedPairs: "adjacent"}, rankedRow(four, ""), []string{"^p|a$ ^p|b$", "^p|b$ ^p|c$", "^p|c$ ^p|d$"}},
		{"adjacent but equals", Pairs, Options{RankedPairs: "adjacent"}, rankedRow(four, "[3, 2, 2, 1]"), []string{"^p|a$ ^p|b$", "^p|c$ ^p|d$"}},
		{"the best against the only worse one", Pairs, Options{RankedPairs: "best_random"}, rankedRow(`["a", "b", "c"]`, "[2, 2, 1]"), []string{"^p|a$ ^p|c$"}},
		{"chosen and rejected go before completions", Pairs, Options{}, `{"prompt": "p", "chosen": "c", "rejected": "r", "completions": [{"model": "x"}]}`, []string{"^p|c$ ^p|r$"}},
		{"completions that are null", Pairs, Options{}, `{"prompt": "p", "chosen": "c", "rejected": "r", "completions": null}`, []string{"^p|c$ ^p|r$"}},

		{"the best alone", Completions, Options{}, rankedRow(four, "[1, 7.5, -2, 3]"), []string{"^p|b$"}},
		{"the best that is not empty", Completions, Options{}, rankedRow(`["", "b"]`, ""), []string{"^p|b$"}},
		{"equals are no harm to the best", Completions, Options{}, rankedRow(four, "[1, 1, 1, 1]"), []string{"^p|a$"}},
		{"taken apart", Labelled, Options{}, rankedRow(four, ""), []string{"^p|a$", "^p|d$"}},
		{"all, taken apart", Labelled, Options{RankedPairs: "all"}, rankedRow(`["a", "b", "c"]`, "[1, 2, 2]"), []string{"^p|b$", "^p|a$", "^p|c$", "^p|a$"}},
	} {
		set, err := ranks(t, c.form, Wanted{}, c.o, c.row)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, e := range set.list() {
			got = append(got, whole.showAll(e))
			if e.Place() != "ranked.jsonl:1" {
				t.Errorf("%s: %s", c.name, e.Place())
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestRankedNumbers: scores are those of the two completions, and win rates the shares of the others that they are better than: of 1, 4, 4 and 9
// the first beats none, the next two one and half of each other, the last all three.
func TestRankedNumbers(t *testing.T) {
	row := `{"prompt": "p", "completions": ["a", "b", "c", "d"], "scores": [1, 4, 4, 9], "weight": 0.5, "chosen_score": "not of this row"}`
	for _, c := range []struct {
		what   string
		form   Form
		wanted Wanted
		rule   string
		want   []Numbers
	}{
		{"nothing", Pairs, Wanted{}, "all", []Numbers{{Weight: 0.5}, {Weight: 0.5}, {Weight: 0.5}, {Weight: 0.5}, {Weight: 0.5}}},
		{"scores", Pairs, Wanted{Scores: true}, "adjacent", []Numbers{{9, 4, 0, 0, 0.5, 0, 0}, {4, 1, 0, 0, 0.5, 0, 0}}},
		{"wins", Pairs, Wanted{Wins: true}, "adjacent", []Numbers{{0, 0, 1, 0.5, 0.5, 0, 0}, {0, 0, 0.5, 0, 0.5, 0, 0}}},
		{"both, of a list", Lists, Wanted{Scores: true, Wins: true}, "", []Numbers{{9, 1, 1, 0, 0.5, 0, 0}}},
		{"both, of best and worst", Pairs, Wanted{Scores: true, Wins: true}, "", []Numbers{{9, 1, 1, 0, 0.5, 0, 0}}},
	} {
		set, err := ranks(t, c.form, c.wanted, Options{RankedPairs: c.rule}, row)
		if err != nil {
			t.Fatal(err)
		}
		var got []Numbers
		for _, e := range set.list() {
			got = append(got, *e.Numbers)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	set, err := ranks(t, Pairs, Wanted{Wins: true}, Options{}, rankedRow(`["a", "b", "c"]`, ""))
	if err != nil || *set.Examples.At(0).Numbers != (Numbers{0, 0, 1, 0, 1, 0, 0}) {
		t.Errorf("win rates of a row in order: %+v, %v", set.Examples.At(0).Numbers, err)
	}
	set, err = ranks(t, Lists, Wanted{}, Options{}, rankedRow(`["a", "b"]`, ""))
	if err != nil || set.Examples.At(0).Numbers != nil {
		t.Errorf("numbers that nobody wanted: %+v, %v", set.Examples.At(0).Numbers, err)
	}
}

// TestBestRandom: which completion is drawn is a function of seed and line, each of the worse ones as often as the others. Of 3,000 rows a third is
// 1,000, give or take 26 (one standard deviation).
func TestBestRandom(t *testing.T) {
	rows := slices.Repeat([]string{rankedRow(`["a", "b", "c", "d"]`, "")}, 3000)
	drawn := func(seed int64, rows []string) (all []string) {
		set, err := ranks(t, Pairs, Wanted{}, Options{RankedPairs: "best_random", Seed: seed}, rows...)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range set.list() {
			all = append(all, whole.showAll(e))
		}
		return all
	}
	first := drawn(42, rows)
	if !slices.Equal(first, drawn(42, rows)) || slices.Equal(first, drawn(43, rows)) {
		t.Error("the same seed draws others, or another seed the same")
	}
	if !slices.Equal(first[:100], drawn(42, rows[:100])) {
		t.Error("a shorter file draws others for the same lines")
	}
	counts := map[string]int{}
	for _, pair := range first {
		counts[pair]++
	}
	for _, pair := range []string{"^p|a$ ^p|b$", "^p|a$ ^p|c$", "^p|a$ ^p|d$"} {
		if n := counts[pair]; len(counts) != 3 || n < 870 || n > 1130 {
			t.Errorf("%s was drawn %d times of %d; want about %d", pair, n, len(rows), len(rows)/3)
		}
	}
}

// TestRankedReport: what is left out is counted and named.
func TestRankedReport(t *testing.T) {
	rows := []string{
		rankedRow(`["a", "b", "c"]`, "[3, 2, 1]"),
		rankedRow(`["a", "b", "c"]`, "[2, 2, 1]"),
		rankedRow(`["a", "", "a", "d"]`, ""),
		rankedRow(`["a", "b"]`, "[1, 1]"),
		rankedRow(`["", "b"]`, ""),
		rankedRow(`["a", "a"]`, ""),
		rankedRow(`["abcdefgh", "abcdefgi", "b", "b"]`, ""),
		`{"prompt": "p", "chosen": "c", "rejected": "r"}`,
	}
	const dropped = "dropped because no two completions are left that differ in text and in rank: 3 (lines 4, 5, 6)\n"
	for _, c := range []struct {
		form Form
		rule string
		kept int
		want string
	}{
		{Lists, "", 5, dropped + "truncated to max_length 8: 1 chosen, 0 rejected; the longest sequence has 11 tokens\n" +
			"1 lists of more than two completions, the longest of 3\n" +
			"completions left out because they are empty, before or after truncation: 1, in rows: 1 (line 3)\n" +
			"completions left out because they are the same as a better one: 3, in rows: 2 (lines 3, 7)\n" +
			"completions left out of lists because another has the same score: 1, in rows: 1 (line 2)"},
		{Pairs, "all", 8, dropped + "truncated to max_length 8: 1 chosen, 0 rejected; the longest sequence has 11 tokens\n" +
			"4 ranked rows became 7 pairs\n" +
			"completions left out because they are empty, before or after truncation: 1, in rows: 1 (line 3)\n" +
			"completions left out because they are the same as a better one: 3, in rows: 2 (lines 3, 7)\n" +
			"pairs not made because both completions have the same score: 1, in rows: 1 (line 2)"},
	} {
		set, err := ranks(t, c.form, Wanted{}, Options{RankedPairs: c.rule, MaxLength: 8}, rows...)
		if err != nil {
			t.Fatal(err)
		}
		r := set.Reports[0]
		if got := strings.Join(r.Lines(), "\n"); got != c.want || r.Rows != 8 || r.Kept != c.kept || r.Dropped() != 3 {
			t.Errorf("form %d: %d rows, %d kept, %d dropped, report\n%s\nwant %d kept,\n%s", c.form, r.Rows, r.Kept, r.Dropped(), got, c.kept, c.want)
		}
	}
}

// TestRankedErrors are those of rows, word for word.
func TestRankedErrors(t *testing.T) {
	scores := Wanted{Scores: true, By: "loss odpo"}
	say := func(n int) string { return `["` + strings.Repeat(`a", "`, n-1) + `a"]` }
	for _, tt := range []struct {
		form      Form
		wanted    Wanted
		row, want string
	}{
		{Lists, Wanted{}, rankedRow(`"a"`, ""), `completions: "a"; want a list of texts, or of lists of messages`},
		{Lists, Wanted{}, rankedRow(`{"a": 1}`, ""), `completions: {"a": 1}; want a list of texts, or of lists of messages`},
		{Lists, Wanted{}, rankedRow(`[]`, ""), "completions: a list of 0; want 2 to 64, best first or with scores"},
		{Lists, Wanted{}, rankedRow(`["a"]`, ""), "completions: a list of 1; want 2 to 64, best first or with scores"},
		{Lists, Wanted{}, rankedRow(say(65), ""), "completions: a list of more than 64; want 2 to 64, best first or with scores"},
		{Pairs, Wanted{}, rankedRow(`["a", 5]`, ""), "completions: completion 2: 5; want text or a list of messages"},
		{Pairs, Wanted{}, rankedRow(`["a", null]`, ""), "completions: completion 2: null; want text or a list of messages"},
		{Pairs, Wanted{}, rankedRow(`["a", {"role": "assistant", "content": "b"}]`, ""), `completions: completion 2: {"role": "assistant", "content": "b"}; want text or a list of messages`},
		{Pairs, Wanted{}, rankedRow(`["a", "\ud83d"]`, ""), `completions: completion 2: \ud83d is half of a character; it was cut in two where the file was made`},
		{Pairs, Wanted{}, rankedRow(`["a", [{"role": "assistant", "content": "b"}]]`, ""), "completions: texts and messages; want one kind in a row"},
		{Pairs, Wanted{}, rankedRow(`[[{"role": "assistant", "content": "b"}], [{"role": "assistant"}]]`, ""), "completions: completion 2: message 1: content: missing; want a string, a list or null"},
		{Pairs, Wanted{}, rankedRow(`[[{"role": "assistant", "content": "b"}], [{"role": "assistant", "content": "c"}]]`, ""), "text in one column and messages in another; want one kind in a row"},
		{Pairs, Wanted{}, `{"prompt": [{"role": "user", "content": "a"}], "completions": [[{"role": "assistant", "content": "b"}], [{"role": "assitant", "content": "c"}]], "scores": [1, 2]}`,
			`completions: completion 2: message 1: role: "assitant" is not known to the chat template; want system, developer, user, assistant, tool`},
		{Pairs, Wanted{}, `{"completions": ["a", "b"]}`, "prompt: missing (there are completions); a row with completions needs one"},
		{Pairs, Wanted{}, `{"prompt": "p", "completions": ["a", "b"], "completions": ["c", "d"]}`, "completions: stands twice in the row; leave one out"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, "5"), "scores: 5; want a list of numbers, one for each completion"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, "[1]"), "scores: a list of 1, and there are 2 completions; give one for each"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, "[1, 2, 3]"), "scores: a list of 3, and there are 2 completions; give one for each"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, "[1"+strings.Repeat(", 1", 64)+"]"), "scores: a list of more than 64, and there are 2 completions; give one for each"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, `[1, "2"]`), `scores: score 2: "2"; want a number`},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, `[1, null]`), "scores: score 2: null; want a number"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, `[[1], 2]`), "scores: score 1: [1]; want a number"},
		{Pairs, Wanted{}, rankedRow(`["a", "b"]`, `[1, 1e999]`), "scores: score 2: 1e999 is out of range; want a finite number"},
		{Pairs, scores, rankedRow(`["a", "b"]`, ""), "scores: missing (there are prompt, completions); loss odpo needs one for each completion"},
		{Pairs, scores, rankedRow(`["a", "b"]`, "null"), "scores: null; loss odpo needs one for each completion"},
		{Pairs, Wanted{}, `{"prompt": "p", "completions": ["a", "b"], "weight": -1}`, "weight: -1; want a number of at least 0"},
		{Lists, Wanted{}, `{"prompt": "p", "text": "t"}`, "completions: missing (there are prompt, text); a ranked row has prompt and completions, best first or with scores, a pair prompt, chosen and rejected"},
		{Lists, Wanted{}, `{"prompt": "p", "chosen": "c"}`, "rejected: missing (there are prompt, chosen); a pair has prompt, chosen and rejected"},
		{Lists, Wanted{Unpaired: "kto", By: "loss plackett_luce"}, `{"prompt": "p", "completion": "c", "label": true}`,
			"a completion with a label, and loss plackett_luce takes pairs: prompt, chosen and rejected; losses that take such rows: kto"},
	} {
		_, err := ranks(t, tt.form, tt.wanted, Options{}, tt.row, tt.row)
		if want := "ranked.jsonl:1: " + tt.want + " (line 2 too)"; text(err) != want {
			t.Errorf("%s:\n%q, want\n%q", tt.row, text(err), want)
		}
	}
}

// TestLongestRow: a line of as many completions as a row may have values is refused without a list of them.
func TestLongestRow(t *testing.T) {
	row := []byte(rankedRow("["+strings.Repeat(`"",`, maxValues-100)+`""]`, ""))
	m := &maker{ctx: t.Context(), encoder: whole, form: Lists}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := m.make(row, lineReader)
	runtime.ReadMemStats(&after)
	if want := "completions: a list of more than 64; want 2 to 64, best first or with scores"; text(err) != want {
		t.Errorf("%q, want %q", text(err), want)
	}
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 8*uint64(len(row)) {
		t.Errorf("a line of %d bytes took %d", len(row), taken)
	}
}

// TestTruncatedLists: what a list would be with a smaller max_length.
func TestTruncatedLists(t *testing.T) {
	set, err := ranks(t, Lists, Wanted{}, Options{}, rankedRow(`["abcd", "abce", "b", "xyz"]`, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		length int
		want   string // empty: it is left out
	}{
		{7, "^p|abcd$ ^p|abce$ ^p|b$ ^p|xyz$"}, {5, "^p|abc ^p|b$ ^p|xyz"}, {3, "^p|a ^p|b ^p|x"}, {2, ""},
	} {
		cut, ok := Options{MaxLength: c.length, TruncationMode: "keep_start"}.Truncated(*set.Examples.At(0))
		if ok != (c.want != "") || ok && whole.showAll(cut) != c.want {
			t.Errorf("max_length %d: %s, %v; want %s", c.length, whole.showAll(cut), ok, c.want)
		}
	}
	if cut, ok := (Options{MaxLength: 3}).Truncated(Example{Sequences: set.Examples.At(0).Sequences[:2]}); ok {
		t.Errorf("both sides of a pair are %s", whole.showAll(cut))
	}
}

// TestRankedCSV: in a table the columns completions and scores hold JSON.
func TestRankedCSV(t *testing.T) {
	m := &maker{ctx: t.Context(), encoder: whole, form: Lists}
	set, err := m.loadFrom("ranked.csv", strings.NewReader("prompt,completions,scores\n"+`p,"[""a"", ""b"", ""c""]","[1, 3, 2]"`+"\n"+`q,"[""d"", ""e""]",`+"\n"), func(int64) {})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range set.list() {
		got = append(got, e.Place()+" "+whole.showAll(e))
	}
	if want := []string{"ranked.csv:2 ^p|b$ ^p|c$ ^p|a$", "ranked.csv:3 ^q|d$ ^q|e$"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// FuzzRanked reads any bytes as rows for lists, pairs and labels. It never panics; either there is an error with a place, or every row is there in examples
// of the form's number of sequences that can be packed, differ and keep to max_length.
func FuzzRanked(f *testing.F) {
	for _, row := range []string{
		rankedRow(`["ab", "b", "ab c", ""]`, ""), rankedRow(`["a", "b", "c"]`, "[1, 2, 2]"), rankedRow(`["a"]`, "[1]"), rankedRow(`["a", null]`, "[1, null]"), rankedRow(`[["a"], []]`, "{}"),
		rankedRow(`["a", "b"]`, "[1e308, -1e999]"), rankedRow(`"a"`, ""), rankedRow(`["a", "\ud83d"]`, "[]"), rankedRow("["+strings.Repeat(`"a",`, 64)+`"b"]`, ""),
		`{"prompt": [{"role": "user", "content": "p"}], "completions": [[{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": null}]], "scores": [0, -0.0], "weight": 2}`,
		`{"prompt": "p", "completions": ["a", "b"], "chosen": "c", "rejected": "d"}`, `{"completions": ["a", "b"], "completions": 1}`,
	} {
		for form := range byte(4) {
			f.Add([]byte(row+"\n"+row), form, form%2 == 0, byte(7*form), form == 3)
		}
	}
	reader := open(f, testfiles.Path(f, "models", "llama"))
	var b compute.Batch
	f.Fuzz(func(t *testing.T, content []byte, kind byte, skip bool, maxLength byte, keepEnd bool) {
		form := []Form{Lists, Pairs, Labelled, Completions}[kind%4]
		o := Options{MaxLength: int(maxLength), TruncationMode: "keep_start", RankedPairs: []string{"best_worst", "best_random", "all", "adjacent"}[kind/4%4], Seed: int64(kind)}
		if skip {
			o.OnBadRow = "skip"
		}
		if keepEnd {
			o.TruncationMode = "keep_end"
		}
		m := &maker{ctx: t.Context(), encoder: reader.tokenizer, template: reader.template, options: o, form: form, wanted: Wanted{Wins: true}}
		if form == Completions {
			m.wanted = Wanted{}
		}
		set, err := m.loadFrom("pairs.jsonl", bytes.NewReader(content), func(int64) {})
		if err != nil {
			if set != nil || !strings.HasPrefix(err.Error(), "pairs.jsonl:") {
				t.Errorf("error without a place, or with a set: %v", err)
			}
			return
		}
		lines := map[int]bool{}
		for _, e := range set.list() {
			lines[e.Line] = true
			if n := len(e.Sequences); form == Pairs && n != 2 || form == Lists && (n < 2 || n > maxRanked) || form > Pairs && form < Lists && n != 1 {
				t.Fatalf("form %d: %d sequences", form, n)
			}
			for i, s := range e.Sequences {
				if s.First < 1 || s.First >= len(s.IDs) || o.MaxLength > 0 && len(s.IDs) > o.MaxLength {
					t.Fatalf("%+v with max_length %d", s, o.MaxLength)
				}
				for _, other := range e.Sequences[:i] {
					if slices.Equal(s.IDs, other.IDs) {
						t.Fatalf("the same completion twice: %+v", e)
					}
				}
			}
			if n := e.Numbers; n != nil && (n.ChosenWins < 0 || n.ChosenWins > 1 || n.RejectedWins < 0 || n.RejectedWins > 1) {
				t.Fatalf("win rates %+v", *n)
			}
		}
		if r := set.Reports[0]; r.Kept != set.Len() || r.Rows != len(lines)+r.Dropped()+r.Skipped() || r.Skipped() > 0 && !skip {
			t.Errorf("report %+v, %d examples of %d lines", *r, set.Len(), len(lines))
		}
		Packer{}.Pack(&b, pointers(set.list()))
		if err := readBack(&b, set.list()); err != nil {
			t.Error(err)
		}
	})
}
