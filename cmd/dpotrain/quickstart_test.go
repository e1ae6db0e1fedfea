package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/generate"
	"dpotrain/internal/model"
)

const root = "../.."

// exampleRow is a line of examples/*.jsonl.
type exampleRow struct {
	Prompt, Chosen, Rejected []struct{ Role, Content string }
	Kind                     string
	Facts                    []string
}

func (r exampleRow) asked() string { return r.Prompt[len(r.Prompt)-1].Content }

func exampleRows(t *testing.T, name string) []exampleRow {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	var rows []exampleRow
	for line := range bytes.Lines(text) {
		var r exampleRow
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&r); err != nil || len(r.Prompt) == 0 || len(r.Chosen) != 1 || len(r.Rejected) != 1 {
			t.Fatalf("%s:%d: %v", name, len(rows)+1, err)
		}
		rows = append(rows, r)
	}
	return rows
}

// lastSentence is what an answer ends with.
func lastSentence(answer string) string {
	body := strings.TrimRight(answer, ".!?")
	return strings.TrimSpace(answer[strings.LastIndexAny(body, ".!?")+1:])
}

// offers are the last sentences of the friendly answers.
func offers(rows []exampleRow) map[string]bool {
	set := map[string]bool{}
	for _, r := range rows {
		set[lastSentence(r.Chosen[0].Content)] = true
	}
	return set
}

// TestExamples checks that the files in examples/ are what examples/README.md says.
func TestExamples(t *testing.T) {
	size := map[string]int64{}
	var all int64
	err := filepath.WalkDir(filepath.Join(root, "examples"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size[d.Name()] = info.Size()
			all += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all > 4e6 || size["model.safetensors"] > 2e6 || size["model.safetensors"] == 0 {
		t.Errorf("examples/ has %d bytes, its weights %d; want at most 4 and 2 million", all, size["model.safetensors"])
	}

	train, heldOut := exampleRows(t, "train.jsonl"), exampleRows(t, "heldout.jsonl")
	if len(train) < 1500 || len(heldOut) < 300 {
		t.Errorf("%d pairs and %d held out; want at least 1,500 and 300", len(train), len(heldOut))
	}
	seen := map[string]bool{}
	for _, r := range slices.Concat(train, heldOut) {
		if seen[r.asked()] {
			t.Errorf("asked twice: %s", r.asked())
		}
		seen[r.asked()] = true
	}
	words := map[string]bool{}
	endings := offers(slices.Concat(train, heldOut))
	for _, r := range slices.Concat(train, heldOut) {
		chosen, rejected := r.Chosen[0].Content, r.Rejected[0].Content
		for _, w := range strings.Fields(r.asked() + " " + chosen) {
			words[strings.Trim(w, ".,!?:")] = true
		}
		if endings[lastSentence(rejected)] {
			t.Errorf("rejected ends with an offer to help: %s", rejected)
		}
		for _, answer := range []string{chosen, rejected} {
			if !right(answer, r.Facts) {
				t.Errorf("%s: %s: does not say %q", r.asked(), answer, r.Facts)
			}
		}
	}
	if len(endings) > 12 || len(words) < 600 {
		t.Errorf("%d ways to end a friendly answer, %d words in all; want a few and many", len(endings), len(words))
	}

	// Every row is kept, and nothing is too long for the model or for max_length of the quick start.
	reader, err := data.Open(filepath.Join(root, "examples", "model"), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"train.jsonl", "heldout.jsonl"} {
		set, err := reader.Load(t.Context(), filepath.Join(root, "examples", name), data.Pairs, data.Options{MaxLength: 256, TruncationMode: "keep_start"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if lines := slices.Concat(set.Reports[0].Lines(), set.Reports[0].Warnings()); len(lines) > 0 {
			t.Errorf("%s: %q", name, lines)
		}
	}
}

// right says that an answer has all the facts, as whole words.
func right(answer string, facts []string) bool {
	plain := func(s string) string {
		return " " + strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return strings.ContainsRune(" .,!?:", r) }), " ") + " "
	}
	for _, f := range facts {
		if !strings.Contains(plain(answer), plain(f)) {
			return false
		}
	}
	return true
}

// TestQuickStart runs the first command of the README on a copy, twice: the model gets friendly and stays right.
func TestQuickStart(t *testing.T) {
	if testing.Short() {
		t.Skip("trains for ten seconds and more")
	}
	heldOut := exampleRows(t, "heldout.jsonl")
	endings := offers(exampleRows(t, "train.jsonl"))
	dir := t.TempDir()
	for _, name := range []string{"examples", "configs"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)

	out, log := dpotrain(t, "train", "--config", "configs/quickstart.yaml")
	t.Log("\n" + log + out)
	evaluated := evaluations(t, "runs/quickstart")
	before, after := evaluated[0], evaluated[100]
	for _, m := range []struct {
		name                string
		atMost, thenAtLeast float64
	}{{"rewards/accuracies", 0.65, 0.9}, {"logps/accuracies", 0.65, 0.9}, {"rewards/margins", 0, 0.5}} {
		was, hasWas := before[m.name]
		is, hasIs := after[m.name]
		if !hasWas || !hasIs || was > m.atMost || is < m.thenAtLeast {
			t.Errorf("%s: %v before and %v after; want at most %v, then at least %v", m.name, was, is, m.atMost, m.thenAtLeast)
		}
	}

	const some = 100
	was, is := answers(t, "examples/model", some), answers(t, "runs/quickstart", some)
	share := func(answers []string, ok func(row exampleRow, answer string) bool) float64 {
		n, of := 0, 0
		for i, answer := range answers {
			if len(heldOut[i].Facts) == 0 { // a greeting
				continue
			}
			of++
			if ok(heldOut[i], answer) {
				n++
			}
		}
		return float64(n) / float64(of)
	}
	friendly := func(list []string) float64 {
		return share(list, func(_ exampleRow, answer string) bool { return endings[lastSentence(answer)] })
	}
	correct := func(list []string) float64 {
		return share(list, func(row exampleRow, answer string) bool { return right(answer, row.Facts) })
	}
	t.Logf("of %d held-out answers %.2f end with an offer to help before and %.2f after; %.2f are right before and %.2f after",
		some, friendly(was), friendly(is), correct(was), correct(is))
	if friendly(was) > 0.5 || friendly(is) < 0.9 {
		t.Errorf("%.2f of the answers are friendly before and %.2f after; want at most 0.5, then at least 0.9", friendly(was), friendly(is))
	}
	if correct(was) < 0.8 || correct(is) < correct(was)-0.05 {
		t.Errorf("%.2f of the answers are right before and %.2f after; want at least 0.8, and hardly fewer after", correct(was), correct(is))
	}
	// What is printed is what these models say.
	for i := range 3 {
		for _, want := range []string{"  " + heldOut[i].asked() + "\n", "chosen    " + heldOut[i].Chosen[0].Content, "rejected  " + heldOut[i].Rejected[0].Content, "before    " + was[i], "after     " + is[i]} {
			if !strings.Contains(out, want) {
				t.Errorf("want %q in\n%s", want, out)
			}
		}
	}

	again, log := dpotrain(t, "train", "--config", "configs/quickstart.yaml", "--max-steps", "2")
	if !strings.Contains(log, "0 sequences computed") || !strings.Contains(again, "\n2 steps in") {
		t.Errorf("the second run does not find the cache, or does not end:\n%s\n%s", log, again)
	}
	if lines := metrics(t, "runs/quickstart"); len(lines) != 1+2+1+1 {
		t.Errorf("metrics.jsonl of the second run:\n%s\nwant evaluation, two steps, evaluation and end", strings.Join(lines, "\n"))
	}
}

// answers are what a model says to the first held-out prompts.
func answers(t *testing.T, dir string, n int) []string {
	t.Helper()
	dev, err := cpu.New(compute.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	m, err := model.Load(dir, dev)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := data.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), "examples/heldout.jsonl", data.Pairs, data.Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var prompts [][]int32
	for _, e := range data.All(data.First(set.Examples, n)) {
		prompts = append(prompts, e.Sequences[0].IDs[:e.Sequences[0].First])
	}
	g, err := m.NewGraph(model.GraphOptions{Rows: 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	list, err := generate.Greedy(context.Background(), g, prompts, generate.Options{MaxNewTokens: 64, Stop: reader.StopIDs(), Rows: 2048})
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, a := range list {
		texts = append(texts, reader.Decode(a.IDs))
	}
	return texts
}
