package doctor

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dpotrain/internal/data"
	"dpotrain/internal/testfiles"
)

var update = flag.Bool("update", false, "write the golden files of testdata anew")

// noEnd is a chat template that closes no message.
const noEnd = "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"

// object is a row: names of columns, each with its value.
func object(columns ...any) string {
	row := map[string]any{}
	for i := 0; i < len(columns); i += 2 {
		row[columns[i].(string)] = columns[i+1]
	}
	text, err := json.Marshal(row)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func says(role, content string) []any { return []any{map[string]any{"role": role, "content": content}} }

func pair(prompt, chosen, rejected string) string {
	return object("prompt", prompt, "chosen", chosen, "rejected", rejected)
}

func chatPair(prompt, chosen, rejected string) string {
	return object("prompt", says("user", prompt), "chosen", says("assistant", chosen), "rejected", says("assistant", rejected))
}

func unpaired(prompt, completion string, label bool) string {
	return object("prompt", prompt, "completion", completion, "label", label)
}

// each is n rows, made of their numbers.
func each(n int, row func(i int) string) string {
	var rows []string
	for i := range n {
		rows = append(rows, row(i))
	}
	return strings.Join(rows, "\n")
}

var cases = []struct {
	id          string
	shows, fine string // rows
	heldOut     string // evaluation data of both
	options     data.Options
	rows        int    // that show it; 0: it is of the file
	evidence    string // a part of it
}{
	{id: "no-rows", shows: "\n", fine: pair("a", " b", " c")},
	{id: "unreadable", shows: `{"prompt": 1}` + "\n{\"prompt\"\n\xff\n", fine: pair("a", " b", " c"), rows: 3, evidence: "prompt: 1; want text"},
	{id: "empty-completion", shows: pair("a", "", " c") + "\n" + pair("a", " b", "") + "\n" + unpaired("a", "", true), fine: pair("a", " b", " c"), rows: 3},
	{id: "identical", shows: pair("a", " b", " b"), fine: pair("a", " b", " c"), rows: 1, evidence: `" b`},
	{id: "identical-truncated", shows: pair("The cat", " sat on the mat", " sat on the hat"), fine: pair("The cat", " sat", " ran"), options: data.Options{MaxLength: 5}, rows: 1},
	{id: "truncated-away", shows: pair("The cat and the hen and the cat", " sat", " ran"), fine: pair("The", " sat", " ran"), options: data.Options{MaxLength: 5}, rows: 1, evidence: "a prompt of"},
	{id: "unranked", shows: `{"prompt": "a", "completions": [" b", " c"], "scores": [1, 1]}`, fine: `{"prompt": "a", "completions": [" b", " c"], "scores": [2, 1]}`, rows: 1},

	{id: "blank-completion", shows: pair("a", " \n", " c") + "\n" + unpaired("a", "\t", false), fine: pair("a", " b", " c"), rows: 2, evidence: `" \n"`},
	{id: "repeated", shows: pair("a", " b", " c") + "\n" + pair("a", " b", " d") + "\n" + pair("a", " b", " c"), fine: pair("a", " b", " c") + "\n" + pair("a", " c", " d"), rows: 1, evidence: ":1"},
	{id: "contradiction", shows: pair("a", " b", " c") + "\n" + pair("a", " c", " b") + "\n" + unpaired("a", " b", true) + "\n" + unpaired("a", " b", false),
		fine: pair("a", " b", " c") + "\n" + pair("b", " c", " b") + "\n" + unpaired("a", " b", true) + "\n" + unpaired("a", " c", false), rows: 2, evidence: "the other way round"},
	{id: "in-eval-data", shows: pair("a", " b", " c") + "\n" + pair("d", " b", " c"), fine: pair("d", " b", " c"), heldOut: pair("a", " e", " f"), rows: 1, evidence: `"a"`},
	{id: "in-eval-data", shows: `{"text": "a b"}` + "\n" + `{"text": "d"}`, fine: `{"text": "d"}`, heldOut: `{"text": "a b"}`, rows: 1},
	{id: "border", shows: pair("ca", "t sat", "n not"), fine: pair("The cat", " sat", " ran"), rows: 1, evidence: `"ca" + "t sat`},
	{id: "no-stop", shows: chatPair("a", "b", "c"), fine: pair("a", " b", " c"), options: data.Options{ChatTemplate: noEnd}, rows: 1},
	{id: "double-bos", shows: pair("<|bos|>a", " b", " c"), fine: pair("a", " b", " c"), rows: 1},
	{id: "double-eos", shows: pair("a", " b<|eos|>\n", " c") + "\n" + pair("a", " b<|eos|><|eos|>", " c") + "\n" + chatPair("a", "b<|eos|>", "c"), fine: pair("a", " b<|eos|>", " c") + "\n" + chatPair("a", "b", "c"),
		options: data.Options{ChatTemplate: "zephyr"}, rows: 3, evidence: "<|eos|>"},
	{id: "goes-on", shows: pair("a", " b<|eos|> and c", " c"), fine: pair("a", " b<|eos|>", " c<|eos|> <|eos|>"), rows: 1, evidence: "<|eos|> and c"},
	{id: "template-twice", shows: chatPair("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n", "b", "c") + "\n" + chatPair("a", "<|im_start|>assistant\nb", "c"),
		fine: chatPair("a", "b <|im_start|>assistant", "the user") + "\n" + pair("<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n", "b", "c"), rows: 2, evidence: "<|im_start|>user"},
	{id: "template-twice", shows: chatPair("User: a\n\nAssistant:", "b", "c"), fine: chatPair("Which user: a?", "b", "c"), options: data.Options{ChatTemplate: "plain"}, rows: 1},
	{id: "special-in-text", shows: chatPair("a<|eos|>", "b", "c"), fine: chatPair("a < b", "<eos>", "<c>"), rows: 1, evidence: "<|eos|> in "},
	{id: "control-characters", shows: pair("a\u0007", " b", " c") + "\n" + pair("a", " \ufeffb", " c") + "\n" + chatPair("a", "\u001b[31mb", "c") + "\n" + pair("a", " b", " c\u0085"), fine: pair("a\tb\r\n", " b\u00a0\u200d", " c"), rows: 4, evidence: "U+0007"},
	{id: "broken-unicode", shows: pair("a\ufffd", " b", " c") + "\n" + pair("a", " cafÃ©", " c") + "\n" + pair("a", " b", " itâ€™s"), fine: pair("a", " café, NÃO, Ã", " â, €"), rows: 3},
	{id: "score-against", shows: `{"prompt": "a", "chosen": " b", "rejected": " c", "chosen_score": 1, "rejected_score": 2}` + "\n" + `{"prompt": "a", "chosen": " b", "rejected": " d", "margin": -1}`,
		fine: `{"prompt": "a", "chosen": " b", "rejected": " c", "chosen_score": 2, "rejected_score": 1}`, rows: 2, evidence: "chosen 1, rejected 2"},
	{id: "score-tie", shows: `{"prompt": "a", "chosen": " b", "rejected": " c", "margin": 0}`, fine: `{"prompt": "a", "chosen": " b", "rejected": " c", "margin": 1, "chosen_score": null}`, rows: 1, evidence: "both 0"},
	{id: "one-label", shows: unpaired("a", " b", true) + "\n" + unpaired("a", " c", true), fine: unpaired("a", " b", true) + "\n" + unpaired("a", " c", false), evidence: "2 desirable, 0 undesirable"},
	{id: "length-tells", shows: each(60, func(i int) string { return pair(fmt.Sprint(i), " yes and no", " no") }), // 60 of 60: the interval begins at 94 %
		fine: each(60, func(i int) string {
			return pair(fmt.Sprint(i), strings.Repeat(" yes", 1+i%2), strings.Repeat(" no", 2-i%2))
		}), evidence: "the longer side is chosen in 100 % of the 60 pairs"},
	{id: "length-tells", shows: each(60, func(i int) string { return pair(fmt.Sprint(i), " no", " yes and no") }), // of few pairs it is not told
		fine: each(4, func(i int) string { return pair(fmt.Sprint(i), " no", " yes and no") }), evidence: "the shorter side is chosen in 100 %"},

	{id: "truncated", shows: pair("The cat", " sat on the mat", " ran"), fine: pair("The", " sat", " ran"), options: data.Options{MaxLength: 8}, evidence: "1 of 2 sequences"},
	{id: "prompt-alone", shows: pair("The cat\n\n", "sat", "ran"), fine: pair("The cat", "\n\nsat", "\n\nran"), rows: 1},
	{id: "script-switch", shows: pair("a", " this is said in Latin letters", " это сказано по-русски"), fine: pair("a", " это сказано по-русски", " Москва это город, this is one") + "\n" + pair("a", " yes", " да") + "\n" + pair("a", " 日本語で書かれています、本当に", " 漢字漢字漢字漢字漢字漢字漢字"),
		rows: 1, evidence: "chosen Latin, rejected Cyrillic"},
	{id: "label-balance", shows: each(9, func(i int) string { return unpaired(fmt.Sprint(i), " b", i > 0) }), fine: each(5, func(i int) string { return unpaired(fmt.Sprint(i), " b", i > 0) }), evidence: "8 desirable, 1 undesirable"},
	// A pair among them is one of each: 9 to 2, and 9 to 3.
	{id: "label-balance", shows: labelled(8, 1) + pair("a", " b", " c"), fine: labelled(7, 1) + pair("a", " b", " c") + "\n" + pair("b", " b", " c"), evidence: "8 desirable, 1 undesirable, and 1 of each from pairs and ranked rows"},
	{id: "label-balance", shows: labelled(1, 8) + ranked, fine: labelled(1, 7) + ranked + pair("a", " b", " c"), evidence: "1 desirable, 8 undesirable, and 1 of each from pairs and ranked rows"},
	{id: "label-balance", shows: labelled(8, 1) + pair("a", " b", " b") + "\n" + pair("b", " b", " b"), fine: labelled(4, 1) + pair("a", " b", " b"), evidence: "8 desirable, 1 undesirable"}, // which are left out
	{id: "label-balance", shows: labelled(5, 0) + pair("a", " b", " c"), fine: labelled(3, 0) + pair("a", " b", " c"), evidence: "5 desirable, 0 undesirable, and 1 of each from pairs and ranked rows"},
	{id: "one-label", shows: labelled(2, 0) + pair("a", " b", " b"), fine: labelled(2, 0) + pair("a", " b", " c"), evidence: "2 desirable, 0 undesirable"},
}

// ranked is a row of three completions.
const ranked = `{"prompt": "a", "completions": [" b", " c", " d"]}` + "\n"

// labelled are unpaired rows to learn and to unlearn.
func labelled(good, bad int) string {
	return each(good+bad, func(i int) string { return unpaired(fmt.Sprint(i), " b", i < good) }) + "\n"
}

// folder has the tokenizer and chat template of a tiny Llama, but with a token for two line ends: a text that ends with them has it, one in which
// something follows has not.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} {
		text, err := os.ReadFile(testfiles.Path(t, "models", "llama", name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "tokenizer.json" {
			var tokenizer map[string]any
			if err := json.Unmarshal(text, &tokenizer); err != nil {
				t.Fatal(err)
			}
			model := tokenizer["model"].(map[string]any)
			vocab := model["vocab"].(map[string]any)
			vocab["ĊĊ"] = len(vocab)
			model["merges"] = append(model["merges"].([]any), []string{"Ċ", "Ċ"})
			if text, err = json.Marshal(tokenizer); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func stream(name, rows string) []data.Source {
	return []data.Source{{Path: name, Stream: strings.NewReader(rows)}}
}

// check reads rows with this folder.
func check(t testing.TB, rows, heldOut string, o data.Options) *Report {
	t.Helper()
	r, err := data.Open(folder(t), o.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Form: data.AnyForm, Rows: o, Data: stream("rows.jsonl", rows)}
	if heldOut != "" {
		options.EvalData = stream("test.jsonl", heldOut)
	}
	report, err := Check(t.Context(), r, options)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (f *File) finding(id string) *Finding {
	for i := range f.Findings {
		if f.Findings[i].ID == id {
			return &f.Findings[i]
		}
	}
	return nil
}

// TestFindings: every finding is there for rows that show it, and not for others.
func TestFindings(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range cases {
		t.Run(c.id, func(t *testing.T) {
			tested[c.id] = true
			f := check(t, c.shows, c.heldOut, c.options).Files[0].finding(c.id)
			if f == nil || f.Rows != c.rows || !strings.Contains(f.Evidence, c.evidence) {
				t.Errorf("%s\ngot %+v, want %d rows and %q", c.shows, f, c.rows, c.evidence)
			}
			if f := check(t, c.fine, c.heldOut, c.options).Files[0].finding(c.id); f != nil {
				t.Errorf("%s\ngot %+v, want none", c.fine, f)
			}
		})
	}
	doc, err := os.ReadFile(testfiles.Path(t, "..", "docs", "data-doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range catalogue {
		if !tested[k.id] {
			t.Errorf("no case for %s", k.id)
		}
		if want := fmt.Sprintf("\n### %s\n\n%s: %s.\n", k.id, k.severity, k.what); !bytes.Contains(doc, []byte(want)) {
			t.Errorf("docs/data-doctor.md has no %q", want)
		}
	}
}

// TestDropped: every reason to leave a row out is an error, but for what nobody wanted.
func TestDropped(t *testing.T) {
	for why := data.Kept + 1; why < data.Drops; why++ {
		if why == data.Filtered {
			continue
		}
		if order(dropped[why]) < 0 || kindOf(dropped[why]).severity != Error {
			t.Errorf("reason %d: %q", why, dropped[why])
		}
	}
}

// TestUsable: errors alone make rows unusable.
func TestUsable(t *testing.T) {
	for _, c := range []struct {
		rows, heldOut, want string
	}{
		{pair("a", " \n", " c"), "", ""},
		{pair("a", " b", " c") + "\n" + pair("a", " b", " b"), "", "rows.jsonl: 1 of 2 rows cannot be used"},
		{pair("a", " b", " c"), "{}\n" + pair("a", " b", ""), "test.jsonl: 2 of 2 rows cannot be used"},
		{"\n", "", "rows.jsonl: no rows"},
	} {
		r := check(t, c.rows, c.heldOut, data.Options{})
		if r.Unusable() != c.want || r.Usable != (c.want == "") {
			t.Errorf("%s: %v, %q, want %q", c.rows, r.Usable, r.Unusable(), c.want)
		}
	}
}

// TestSources: several data sets are one, each with its filter, and what repeats a row of another is named with its file.
func TestSources(t *testing.T) {
	r, err := data.Open(folder(t), "")
	if err != nil {
		t.Fatal(err)
	}
	least := 1.0
	sources := append(stream("a.jsonl", pair("a", " b", " c")), stream("b.jsonl", object("prompt", "a", "chosen", " b", "rejected", " c", "margin", 1)+"\n"+object("prompt", "", "chosen", "", "rejected", "", "margin", 0))...)
	sources[1].Filter.MinMargin = &least
	report, err := Check(t.Context(), r, Options{Form: data.AnyForm, Data: sources})
	if err != nil {
		t.Fatal(err)
	}
	f := report.Files[0]
	if again := f.finding("repeated"); f.Path != "a.jsonl, b.jsonl" || f.Rows != 3 || f.Kept != 2 || again == nil || again.Evidence != "as a.jsonl:1" || again.Places[0].File != "b.jsonl" {
		t.Errorf("%+v", f)
	}
}

// TestGolden holds the whole report on a file with many faults, as text and as JSON. go test ./internal/doctor -run Golden -update writes both anew.
func TestGolden(t *testing.T) {
	rows, err := os.ReadFile(filepath.Join("testdata", "faulty.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	r := check(t, string(rows), pair("The cat", " sat", " ran"), data.Options{MaxLength: 40, TruncationMode: "keep_start"})
	var text, object bytes.Buffer
	r.Print(&text, false)
	if err := r.JSON(&object); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]byte{"faulty.txt": text.Bytes(), "faulty.json": object.Bytes()} {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestColours: the terminal gets no characters of rows or paths that it would obey, and without colours none at all.
func TestColours(t *testing.T) {
	r := check(t, pair("a\u001b[31m", " b", " b")+"\n"+object("\u001b]0;x\u0007", 1), "", data.Options{})
	var plain, coloured bytes.Buffer
	r.Print(&plain, false)
	r.Print(&coloured, true)
	if strings.Contains(plain.String(), "\x1b") || strings.Contains(plain.String(), "\a") {
		t.Errorf("%q", plain.String())
	}
	if !strings.Contains(coloured.String(), "\x1b[31merror\x1b[0m identical: ") {
		t.Errorf("%q", coloured.String())
	}
}

// TestMany: of many rows the first are named, and no more are kept.
func TestMany(t *testing.T) {
	f := check(t, each(1500, func(int) string { return pair("a", " b", " b") }), "", data.Options{}).Files[0].finding("identical")
	if f.Rows != 1500 || len(f.Places) != placesKept || f.Places[99].Line != 100 {
		t.Errorf("%d rows, %d places", f.Rows, len(f.Places))
	}
}

// FuzzTexts: whatever a text holds, the checks end, and what they quote is one line of UTF-8.
func FuzzTexts(f *testing.F) {
	for _, text := range []string{"", "a\u0007", "Ã©", "â€™", "<|eos|>", "User: a\n\nAssistant:", "\xff\xc3", "это \u2028 日本", strings.Repeat("é", 40) + "\u0080", "\xa9" + strings.Repeat("\x94", 400)} {
		f.Add(text)
	}
	s := newSpecials([]string{"<|eos|>", "", "é", "</s>"})
	f.Fuzz(func(t *testing.T, text string) {
		for _, evidence := range []string{controlCharacter(text), brokenUnicode(text), s.in(text), templated(text, "User:", "Assistant:"), scriptSwitch([]string{text}, []string{"this is in Latin"}), quote(text, len(text)/2, 1)} {
			if !utf8.ValidString(evidence) || strings.ContainsAny(evidence, "\n\r\x1b") || len(evidence) > 1000 {
				t.Errorf("%q: %q", text, evidence)
			}
		}
		blank([]string{text})
		if k := keyOf(text, "a"); k == keyOf(text+"a", "") || slices.Equal(k[:], make([]byte, len(k))) {
			t.Errorf("%q: the key of another", text)
		}
	})
}
