package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/loss"
	"dpotrain/internal/testfiles"
)

// documented are the names in the first column of the tables of docs/metrics.md.
func documented(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	code := regexp.MustCompile("`([^`]+)`")
	for line := range strings.Lines(read(t, "..", "..", "docs", "metrics.md")) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 || !strings.HasPrefix(line, "|") {
			continue
		}
		for _, m := range code.FindAllStringSubmatch(cells[1], -1) {
			names[m[1]] = true
		}
		// A metric of the model says also what is normal and what to do.
		if len(cells) == 7 && strings.Contains(cells[1], "/") {
			for i, cell := range cells[2:6] {
				if strings.TrimSpace(cell) == "" {
					t.Errorf("%s: column %d is empty", strings.TrimSpace(cells[1]), i+2)
				}
			}
		}
	}
	return names
}

// TestMetricsDocs: docs/metrics.md has every name that training, eval and --per-pair write with any loss, and no other.
func TestMetricsDocs(t *testing.T) {
	docs := documented(t)
	written := map[string]bool{}
	p := newPlace(t)
	few := p.write(t, "few.jsonl", strings.ReplaceAll(strings.Join(strings.SplitAfter(read(t, testfiles.Path(t, "pairs_eval.jsonl")), "\n")[:4], ""),
		`{"prompt"`, `{"chosen_score": 2, "rejected_score": 0.5, "p_win": 0.75, "p_win_rejected": 0.3, "prompt"`)) // what some losses read besides
	per := filepath.Join(p.dir, "per.jsonl")
	alike := map[loss.Needs]bool{}
	for _, name := range loss.Names() {
		l, err := loss.New(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Losses that are given the same write the same, but for those with metrics of their own.
		needs := l.Needs()
		needs.Sums, needs.Means = false, false
		if _, own := l.(loss.Reporter); alike[needs] && !own {
			continue
		}
		alike[needs] = true
		more := []string{"--loss", name, "--data", few, "--eval-data", few, "--max-steps", "1", "--on-nonfinite", "skip", "--load-best-model-at-end", "--overwrite"}
		if name == "dpo" {
			more = append(more, "--reference-update-steps", "1")
		}
		dpotrain(t, p.train(t, more...)...)
		out, _ := dpotrain(t, "eval", "--model", p.run, "--data", few, "--json", "--per-pair", per)
		for line := range strings.Lines(read(t, p.run, "metrics.jsonl") + out + read(t, per)) {
			if at := strings.Index(line, `"line": `); at > 0 { // behind the file
				line = "{" + line[at:]
			}
			m := numbers(t, line)
			_, evaluation := m["eval_loss"]
			for key := range m {
				short, ok := strings.CutPrefix(key, "eval_")
				if evaluation && ok && docs[short] {
					key = short
				}
				written[key] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		if !docs[name] {
			t.Errorf("%s is written and is not in docs/metrics.md", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		if !written[name] {
			t.Errorf("%s is in docs/metrics.md and nothing writes it", name)
		}
	}
}
