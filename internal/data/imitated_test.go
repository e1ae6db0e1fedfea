package data

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImitateTable: an empty cell of a table is no target.
func TestImitateTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	if err := os.WriteFile(path, []byte("prompt,chosen,rejected,sft_target\na,c,r,t\na,c,r,\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := &maker{ctx: t.Context(), encoder: whole, form: Pairs, wanted: Wanted{SFT: true}}
	set, err := m.loadOne(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if e := set.list(); len(e) != 2 || e[0].Imitated == nil || whole.show(*e[0].Imitated) != "^a|t$" || e[1].Imitated != nil {
		t.Errorf("%+v", e)
	}
}

// TestImitateRanked: every pair of a ranked row, and its list, have what is imitated.
func TestImitateRanked(t *testing.T) {
	const rows = `{"prompt":"ab","completions":["c","d","e"],"sft_target":"xy"}` + "\n" + `{"prompt":"ab","completions":["c","d","e"]}`
	for _, c := range []struct {
		form   Form
		wanted Wanted
		want   string
	}{
		{Pairs, Wanted{SFT: true}, "^ab|xy$ ^ab|xy$ - -"},
		{Pairs, Wanted{SFT: true, SFTPlain: true}, "^ab|xy$ ^ab|xy$ ^ab|c$ ^ab|d$"},
		{Lists, Wanted{SFT: true, SFTPrompt: true}, "^|abxy$ ^|abc$"},
		{Pairs, Wanted{}, "- - - -"},
	} {
		m := &maker{ctx: t.Context(), encoder: whole, form: c.form, wanted: c.wanted, options: Options{RankedPairs: "adjacent"}}
		set, err := m.loadFrom("x.jsonl", strings.NewReader(rows), func(int64) {})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range set.list() {
			text := "-"
			if e.Imitated != nil {
				text = whole.show(*e.Imitated)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, " "); text != c.want || (set.Reports[0].unread.n > 0) == c.wanted.SFT {
			t.Errorf("%+v: %s, %d unread; want %s", c.wanted, text, set.Reports[0].unread.n, c.want)
		}
	}
}

// TestImitate: what is imitated beside a pair, as the loss wants it. want shows chosen, rejected and that.
func TestImitate(t *testing.T) {
	const pairRow = `"prompt":"ab","chosen":"cd","rejected":"e"`
	sft, plain, onPrompt := Wanted{SFT: true}, Wanted{SFT: true, SFTPlain: true}, Wanted{SFT: true, SFTPrompt: true}
	for _, c := range []struct {
		name   string
		wanted Wanted
		row    string
		want   string // or a part of the error, or why the row is left out
		unread bool
	}{
		{"nobody wants any", Wanted{}, pairRow, "^ab|cd$ ^ab|e$", false},
		{"nobody reads it", Wanted{}, pairRow + `,"sft_target":"x"`, "^ab|cd$ ^ab|e$", true},
		{"there is none", sft, pairRow, "^ab|cd$ ^ab|e$", false},
		{"null is none", sft, pairRow + `,"sft_target":null`, "^ab|cd$ ^ab|e$", false},
		{"a column", sft, pairRow + `,"sft_target":"xy"`, "^ab|cd$ ^ab|e$ ^ab|xy$", false},
		{"the prompt of both is its prompt", sft, `"chosen":"ab cd","rejected":"ab e","sft_target":"ab xy"`, "^ab| cd$ ^ab| e$ ^ab| xy$", false},
		{"the chosen one without weights", plain, pairRow, "^ab|cd$ ^ab|e$ ^ab|cd$", false},
		{"a column goes before that", plain, pairRow + `,"sft_target":"xy"`, "^ab|cd$ ^ab|e$ ^ab|xy$", false},
		{"with its prompt", onPrompt, pairRow, "^ab|cd$ ^ab|e$ ^|abcd$", false},
		{"a column with the prompt", onPrompt, pairRow + `,"sft_target":"xy"`, "^ab|cd$ ^ab|e$ ^|abxy$", false},
		{"it is cut as the others are", sft, pairRow + `,"sft_target":"uvwxyz"`, "^ab|cd$ ^ab|e$ ^ab|uvwx", false},
		{"messages", sft, `"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"y"}],"rejected":[{"role":"assistant","content":"n"}],"sft_target":[{"role":"assistant","content":"z"}]`,
			"u:q;a:|y; u:q;a:|n; u:q;a:|z;", false},
		{"messages with the prompt inside", sft, `"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"y"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"n"}],"sft_target":[{"role":"user","content":"q"},{"role":"assistant","content":"z"}]`,
			"u:q;a:|y; u:q;a:|n; u:q;a:|z;", false},

		{"empty", sft, pairRow + `,"sft_target":""`, "sft_target: empty text; give a completion, or leave the column out", false},
		{"a number", sft, pairRow + `,"sft_target":7`, "sft_target: 7; want text or a list of messages", false},
		{"twice", sft, pairRow + `,"sft_target":"x","sft_target":"x"`, "sft_target: stands twice in the row", false},
		{"messages beside text", sft, pairRow + `,"sft_target":[{"role":"assistant","content":"z"}]`, "text in one column and messages in another", false},
		{"another prompt", sft, `"chosen":"ab cd","rejected":"ab e","sft_target":"xy"`, "sft_target: does not begin with what chosen and rejected begin with; give the prompt in a column of its own", false},
		{"messages of another prompt", sft, `"chosen":[{"role":"user","content":"q"},{"role":"assistant","content":"y"}],"rejected":[{"role":"user","content":"q"},{"role":"assistant","content":"n"}],"sft_target":[{"role":"assistant","content":"z"}]`,
			"sft_target: does not begin with", false},
		{"an unknown role", sft, `"prompt":[{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"y"}],"rejected":[{"role":"assistant","content":"n"}],"sft_target":[{"role":"bot","content":"z"}]`,
			`sft_target: message 1: role: "bot" is not known to the chat template`, false},
	} {
		m := maker{encoder: whole, template: template(t, plainTemplate), form: Pairs, wanted: c.wanted, options: Options{MaxLength: 16, TruncationMode: "keep_start"}}
		if strings.Contains(c.name, "cut") {
			m.options.MaxLength = 7
		}
		got, err := m.make([]byte("{"+c.row+"}"), lineReader)
		text := ""
		switch {
		case err != nil:
			text = err.Error()
		case got.drop != kept:
			text = dropTexts[got.drop].what
		default:
			text = whole.showAll(got.example)
			if s := got.example.Imitated; s != nil {
				text += " " + whole.showAll(Example{Sequences: []Sequence{*s}})
			}
		}
		if failed := err != nil; text != c.want && !(failed && strings.Contains(text, c.want)) || got.unread != c.unread {
			t.Errorf("%s: %s: %s, unread %v; want %s, %v", c.name, c.row, text, got.unread, c.want, c.unread)
		}
	}

	// A target that the cut leaves nothing of takes the row with it, though the pair, whose border lies inside a token, would be left.
	m := maker{encoder: letters{pieces: []string{"bbx"}, bos: true, eos: true}, form: Pairs, wanted: sft, options: Options{MaxLength: 4, TruncationMode: "keep_start"}}
	const short = `{"prompt":"abb","chosen":"xp","rejected":"xq","sft_target":"d"}`
	if got, err := m.make([]byte(short), lineReader); err != nil || got.drop != dropTruncatedAway {
		t.Errorf("%s: dropped because %v, %v", short, dropTexts[got.drop].what, err)
	}
}
