package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/config"
	"dpotrain/internal/data"
	"dpotrain/internal/testfiles"
	"dpotrain/internal/train"
)

// TestShow holds the text of a pair to that in the README, and those of other rows to what a letter in front of their lines says. Weights are not
// there.
func TestShow(t *testing.T) {
	ware := newKitchenware(t)
	readme := read(t, testfiles.Path(t, "..", "README.md"))
	quick, examples := testfiles.Path(t, "..", "examples"), testfiles.Path(t, "..", "configs", "quickstart.yaml")
	k := newKitchen(t, ware)
	k.copy(quick, "examples")
	k.remove("examples/model/model.safetensors", "examples/model/config.json", "model/model.safetensors", "model/config.json")
	text, _ := dpotrain(t, "show", "--config", examples, "--row", "2")
	begin := "    $ dpotrain show --config configs/quickstart.yaml --row 2\n"
	_, shown, _ := strings.Cut(readme, begin)
	shown, _, _ = strings.Cut(shown, "    ...\n")
	if want := strings.ReplaceAll("\n"+shown, "\n    ", "\n")[1:]; shown == "" || !strings.HasPrefix(text, want) {
		t.Errorf("got\n%s\nthe README has\n%s", text, want)
	}

	k.write("rows.jsonl", `{"prompt":"The cat","completion":" sat\n\ttoday","label":false,"weight":0.5}
{"prompt":"The cat","completion":" sat"}
{"prompt":"ca","chosen":"t sat","rejected":"n not"}
{"prompt":[{"role":"user","content":"cat?"}],"chosen":[{"role":"assistant","content":"cat \u001b[31m!"}],"rejected":[{"role":"assistant","content":"hen"}]}
{"prompt":"The cat","chosen":" sat","rejected":" at","sft_target":" a"}
`)
	for _, c := range []struct{ args, want string }{
		{"--row 1", `
rows.jsonl:1: an unpaired row; weight 0.5; nothing is cut off

prompt, not scored: 3 tokens, 0 to 2
  <|bos|>│The│ cat
  ids 1 263 315

completion (label false), scored: 9 tokens, 3 to 11
-  s│at│⏎
- \t│t│od│a│y│<|eos|>
`},
		{"--row 2 --max-length 4", `
rows.jsonl:2: a completion; weight 1; cut off by max_length 4, keep_start: 2 tokens of completion

prompt, not scored: 3 tokens, 0 to 2
  <|bos|>│The│ cat
  ids 1 263 315

completion, scored: 1 tokens, 3 to 3
+  s
  ids 273
`},
		{"--row 3", `
rows.jsonl:3: a pair; weight 1; nothing is cut off

prompt, not scored: 2 tokens, 0 to 1
  <|bos|>│c
  ids 1 71

chosen, scored: 4 tokens, 2 to 5
+ at│ s│at│<|eos|>
  ids 314 273 314 2

rejected, scored: 6 tokens, 2 to 7
- an│ │n│o│t│<|eos|>
  ids 293 225 82 83 88 2
`},
		{"--row 3 --max-length 4 --truncation-mode keep_end", `
rows.jsonl:3: a pair; weight 1; cut off by max_length 4, keep_end: 2 tokens of chosen, 4 tokens of rejected

chosen, not scored: 1 tokens, 0 to 0
. at
  ids 314

chosen, scored: 3 tokens, 1 to 3
+  s│at│<|eos|>
  ids 273 314 2

rejected, not scored: 1 tokens, 0 to 0
. n
  ids 82
`},
		{"--row 4 --chat-template zephyr", `
rows.jsonl:4: a pair; weight 1; nothing is cut off

prompt, not scored: 25 tokens, 0 to 24
  <│|│u│s│er│|│>│⏎
  c│at│?│<|eos|>│⏎
  <│|│as│s│i│s│t│an│t│|│>│⏎
  ids 32 96 89 87 274 96 34 203 71 314 35 2 203 32 96 286 87 77 87 88 293 88 96 34 203

chosen, scored: 11 tokens, 25 to 35
+ c│at│ │\x1b│[│3│1│m│!│<|eos|>│⏎
`},
		{"--row 5 --loss rpo", `
rows.jsonl:5: a pair; weight 1; nothing is cut off

prompt, not scored: 3 tokens, 0 to 2
  <|bos|>│The│ cat
  ids 1 263 315

chosen, scored: 3 tokens, 3 to 5
+  s│at│<|eos|>
  ids 273 314 2

rejected, scored: 3 tokens, 3 to 5
-  a│t│<|eos|>
  ids 272 88 2

imitated, scored: 2 tokens, 3 to 4
+  a│<|eos|>
  ids 272 2
`},
		{"--row 5 --loss orpo --orpo-nll-on-prompt", `
rows.jsonl:5: a pair; weight 1; nothing is cut off

prompt, not scored: 3 tokens, 0 to 2
  <|bos|>│The│ cat
  ids 1 263 315

chosen, scored: 3 tokens, 3 to 5
+  s│at│<|eos|>
  ids 273 314 2

rejected, scored: 3 tokens, 3 to 5
-  a│t│<|eos|>
  ids 272 88 2

imitated, scored: 4 tokens, 1 to 4
+ The│ cat│ a│<|eos|>
  ids 263 315 272 2
`},
	} {
		got, _ := dpotrain(t, slices.Concat([]string{"show", "--model", "model", "--data", "rows.jsonl"}, strings.Fields(c.args))...)
		if !strings.HasPrefix(got, c.want[1:]) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", c.args, got, c.want)
		}
		if strings.Contains(got, "\x1b") {
			t.Errorf("%s: escapes on what is no terminal: %q", c.args, got)
		}
	}
}

// TestShowDatasets: what validate names of a mix show finds, and both say of which data set it is.
func TestShowDatasets(t *testing.T) {
	k := newKitchen(t, newKitchenware(t))
	k.write("q.csv", "question,chosen,rejected\nwhy,a,b\nhow,c,\n")
	k.write("mix.yaml", "model: model\ndatasets:\n- pairs.jsonl\n- {path: q.csv, columns: {prompt: question}}\n")
	out, _ := exits(t, exitUnusable, "validate", "--config", "mix.yaml")
	contains(t, out, "error empty-completion", "  see   dpotrain show --dataset 2 --file q.csv --row 3\n")
	_, log := exits(t, exitFailed, "show", "--config", "mix.yaml", "--dataset", "2", "--file", "q.csv", "--row", "3")
	contains(t, log, "q.csv:3: left out, because the completion to unlearn is empty")
	out, _ = exits(t, exitUnusable, "validate", "--config", "mix.yaml", "--json")
	contains(t, out, `"dataset": 2`)

	out, _ = dpotrain(t, "show", "--config", "mix.yaml", "--row", "13")
	if want := "q.csv:2 (row 13, data set 2): a pair; "; !strings.HasPrefix(out, want) {
		t.Errorf("got %s, want %s", out, want)
	}
	out, _ = dpotrain(t, "show", "--config", "mix.yaml", "--dataset", "2", "--row", "2", "--json")
	if want := `{"file": "q.csv", "line": 2, "dataset": 2, "kind": "pair", `; !strings.HasPrefix(out, want) {
		t.Errorf("got %s, want %s", out, want)
	}
	k.write("pairs/a.jsonl", read(t, "pairs.jsonl"))
	k.write("pairs/b.csv", read(t, "q.csv"))
	out, _ = dpotrain(t, "show", "--model", "model", "--data", "pairs", "--columns", "{prompt: question}", "--file", "b.csv", "--row", "2")
	if want := "pairs/b.csv:2: a pair; "; !strings.HasPrefix(filepath.ToSlash(out), want) {
		t.Errorf("got %s, want %s", out, want)
	}
}

// TestShowStandardInput: so the row that validate or stats names of a stream can be seen too.
func TestShowStandardInput(t *testing.T) {
	newKitchen(t, newKitchenware(t))
	show := func(args ...string) (string, error) {
		root := newRootCommand()
		var out bytes.Buffer
		root.SetIn(strings.NewReader(read(t, "pairs.jsonl")))
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append([]string{"show", "--model", "model", "--data", "-"}, args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	want, _ := dpotrain(t, "show", "--model", "model", "--data", "pairs.jsonl", "--row", "5")
	if got, err := show("--row", "5"); err != nil || got != strings.Replace(want, "pairs.jsonl", "standard input", 1) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if _, err := show("--row", "13"); err == nil || err.Error() != "standard input:13: no such row; the last is 12" {
		t.Errorf("row 13: %v", err)
	}
}

// TestShowColours: on a terminal prompt and sides have their colours, and nothing else than colours goes to it.
func TestShowColours(t *testing.T) {
	newKitchen(t, newKitchenware(t)).write("rows.jsonl", `{"prompt":"cat","chosen":" \u001b]0;x\u0007sat","rejected":" not"}`)
	r, err := config.Load(config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	r.Options.Model, r.Options.Data = "model", "rows.jsonl"
	var out bytes.Buffer
	if err := train.Show(train.Request{Options: r.Options, Stdout: &out}, train.ShowOptions{At: data.At{Row: 1}, Colours: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[36m<|bos|>\x1b[0m", "\x1b[32m+\x1b[0m", "\x1b[31m-\x1b[0m", "\x1b[2m│\x1b[0m", `\x1b`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q has no %q", out.String(), want)
		}
	}
	plain := out.String()
	for _, code := range []string{"0", "2", "31", "32", "36"} {
		plain = strings.ReplaceAll(plain, "\x1b["+code+"m", "")
	}
	if strings.ContainsAny(plain, "\x1b\a") {
		t.Errorf("escapes of the row's own: %q", plain)
	}
}

// TestShowJSON: ids are those that transformers gives for chats, and the places of the first scored ones.
func TestShowJSON(t *testing.T) {
	var golden struct {
		Chats []struct {
			PromptText  string  `json:"prompt_text"`
			PromptIDs   []int32 `json:"prompt_ids"`
			ChosenIDs   []int32 `json:"chosen_ids"`
			RejectedIDs []int32 `json:"rejected_ids"`
		}
	}
	text, err := os.ReadFile(testfiles.Path(t, "tokenized.json"))
	if err == nil {
		err = json.Unmarshal(text, &golden)
	}
	if err != nil {
		t.Fatal(err)
	}
	model, pairs := testfiles.Path(t, "models", "llama"), testfiles.Path(t, "pairs_chat.jsonl")
	type shown struct {
		Kind                string
		Label               *bool
		Prompt              string
		PromptIDs           []int32  `json:"prompt_ids"`
		PromptTokens        []string `json:"prompt_tokens"`
		Chosen, Rejected    string
		ChosenIDs           []int32  `json:"chosen_ids"`
		RejectedIDs         []int32  `json:"rejected_ids"`
		CompletionIDs       []int32  `json:"completion_ids"`
		ChosenFirstScored   int      `json:"chosen_first_scored"`
		RejectedFirstScored int      `json:"rejected_first_scored"`
		CompletionFirst     int      `json:"completion_first_scored"`
		ChosenCut           int      `json:"chosen_cut"`
		RejectedTokens      []string `json:"rejected_tokens"`
		MaxLength           int      `json:"max_length"`
		Mode                string   `json:"truncation_mode"`
		ImitatedIDs         []int32  `json:"imitated_ids"`
		ImitatedFirst       int      `json:"imitated_first_scored"`
	}
	show := func(args ...string) (all []shown) {
		out, _ := dpotrain(t, slices.Concat([]string{"show", "--json", "--model", model, "--data", pairs}, args)...)
		for line := range strings.Lines(out) {
			var s shown
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			all = append(all, s)
		}
		return all
	}
	for _, row := range []int{1, 2, 7} {
		g := golden.Chats[row-1]
		arg := "--row=" + strconv.Itoa(row)
		s := show(arg)[0]
		n := len(g.PromptIDs)
		if s.Kind != "pair" || s.Prompt != g.PromptText || strings.Join(s.PromptTokens, "") != g.PromptText || !slices.Equal(s.PromptIDs, g.PromptIDs) ||
			!slices.Equal(s.ChosenIDs, g.ChosenIDs[n:]) || !slices.Equal(s.RejectedIDs, g.RejectedIDs[n:]) || s.ChosenFirstScored != n || s.RejectedFirstScored != n ||
			s.ChosenCut != 0 || s.MaxLength != 1024 || s.Mode != "keep_start" || strings.Join(s.RejectedTokens, "") != s.Rejected {
			t.Errorf("row %d: %+v, want %+v", row, s, g)
		}
		cut := show(arg, "--max-length", strconv.Itoa(len(g.ChosenIDs)-1))[0]
		if !slices.Equal(cut.PromptIDs, g.PromptIDs) || !slices.Equal(cut.ChosenIDs, g.ChosenIDs[n:len(g.ChosenIDs)-1]) || cut.ChosenCut != 1 || cut.ChosenFirstScored != n {
			t.Errorf("row %d, cut: %+v", row, cut)
		}
		apart := show(arg, "--loss", "kto")
		if len(apart) != 2 || apart[0].Kind != "unpaired" || !*apart[0].Label || *apart[1].Label || !slices.Equal(apart[0].PromptIDs, g.PromptIDs) ||
			!slices.Equal(apart[0].CompletionIDs, g.ChosenIDs[n:]) || !slices.Equal(apart[1].CompletionIDs, g.RejectedIDs[n:]) || apart[1].CompletionFirst != n {
			t.Errorf("row %d taken apart: %+v", row, apart)
		}
		one := show(arg, "--loss", "sft")
		if len(one) != 1 || one[0].Kind != "completion" || one[0].Label != nil || !slices.Equal(one[0].CompletionIDs, g.ChosenIDs[n:]) {
			t.Errorf("row %d for sft: %+v", row, one)
		}
		if imitated := show(arg, "--loss", "orpo", "--orpo-nll-on-prompt")[0]; !slices.Equal(imitated.ImitatedIDs, g.ChosenIDs[n:]) || imitated.ImitatedFirst != 1 {
			t.Errorf("row %d imitated with its prompt: %+v", row, imitated)
		}
		if plain := show(arg, "--loss", "rpo", "--sampo")[0]; plain.ImitatedIDs != nil {
			t.Errorf("row %d imitates the chosen completion as it is: %+v", row, plain)
		}
	}
}

// TestShowRanked: a ranked row is a list, best first, and with a loss on pairs as many pairs as ranked_pairs makes of it.
func TestShowRanked(t *testing.T) {
	p := newPlace(t)
	file := p.write(t, "ranked.jsonl", `{"prompt": "p", "completions": ["a", "b", "c"], "scores": [1, 3, 2]}`+"\n")
	args := []string{"show", "--model", testfiles.Path(t, "models", "llama"), "--data", file, "--row", "1"}
	out, _ := dpotrain(t, args...)
	for _, want := range []string{"a list, best first", "completion_1, scored", "completion_3, scored"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
	type row struct {
		Kind             string
		First            string `json:"completion_1"`
		Last             string `json:"completion_3"`
		Chosen, Rejected string
	}
	for _, c := range []struct {
		args []string
		want []row
	}{
		{nil, []row{{Kind: "list", First: "b", Last: "a"}}},
		{[]string{"--loss", "dpo"}, []row{{Kind: "pair", Chosen: "b", Rejected: "a"}}},
		{[]string{"--loss", "dpo", "--ranked-pairs", "adjacent"}, []row{{Kind: "pair", Chosen: "b", Rejected: "c"}, {Kind: "pair", Chosen: "c", Rejected: "a"}}},
	} {
		out, _ := dpotrain(t, slices.Concat(args, []string{"--json"}, c.args)...)
		var got []row
		for line := range strings.Lines(out) {
			var r row
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			for _, text := range []*string{&r.First, &r.Last, &r.Chosen, &r.Rejected} {
				*text, _, _ = strings.Cut(*text, "<") // the end-of-text token
			}
			got = append(got, r)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %+v, want %+v", c.args, got, c.want)
		}
	}
}
