package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestChange: with eval_on_start and sample_prompts a run shows what it did to the policy, and so does a run that went on
// from a checkpoint of it.
func TestChange(t *testing.T) {
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	args := []string{"train", "--model", testfiles.Path(t, "models", "llama"), "--data", testfiles.Path(t, "pairs.jsonl"), "--eval-data", testfiles.Path(t, "pairs_eval.jsonl"),
		"--output-dir", run, "--ref-cache-dir", filepath.Join(dir, "cache"), "--learning-rate", "3e-3", "--num-train-epochs", "1", "--save-steps", "4",
		"--eval-on-start", "--sample-prompts", "2", "--max-new-tokens", "5"}
	out, log := dpotrain(t, args...)
	for _, want := range []string{"before the first step, 20 pairs: loss 0.6931  accuracy 0.000 (all tied)  margin 0.000"} {
		if !strings.Contains(log, want) {
			t.Errorf("want %q in\n%s", want, log)
		}
	}
	change, last, ok := strings.Cut(out, "8 steps in")
	if !ok || !strings.Contains(last, run) {
		t.Fatalf("stdout does not end with steps, time and output_dir:\n%s", out)
	}
	for _, want := range []string{"On 20 held-out pairs", "before", "after", "\nrewards/accuracies     0.000  ", "\nlogps/accuracies ", "20 of 20 pairs are tied", "\n  The red cat took a lamp to the river.\n    chosen    ", "\n    rejected  ", "\n    before    ", "\n    after     "} {
		if !strings.Contains(change, want) {
			t.Errorf("want %q in\n%s", want, change)
		}
	}
	if n := strings.Count(change, "\n    before    "); n != 2 {
		t.Errorf("%d answers from before, want 2:\n%s", n, change)
	}
	metrics, err := os.ReadFile(filepath.Join(run, "metrics.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(metrics), "\n")
	if !strings.HasPrefix(first, `{"step": 0, "epoch": 0, "eval_loss": 0.69314`) || !strings.Contains(first, `"eval_rewards/ties": 1,`) || !strings.Contains(first, `"eval_logps/accuracies": `) {
		t.Errorf("the first line of metrics.jsonl is %s", first)
	}

	resumed, _ := dpotrain(t, append(args, "--resume="+filepath.Join(run, "checkpoint-4"))...)
	if again, _, _ := strings.Cut(resumed, "4 steps in"); again != change {
		t.Errorf("after going on from step 4:\n%s\nwant\n%s", again, change)
	}

	plain, _ := dpotrain(t, append(args, "--overwrite", "--eval-on-start=false", "--sample-prompts", "0")...)
	if !strings.HasPrefix(plain, "8 steps in") {
		t.Errorf("without eval_on_start and sample_prompts:\n%s", plain)
	}
}

// TestChangeLearnedPositions: answers end where the model has no more positions, and a loss without pairs shows its own.
func TestChangeLearnedPositions(t *testing.T) {
	p := newPlace(t)
	out, _ := dpotrain(t, "train", "--model", testfiles.Path(t, "models", "gpt2"), "--data", testfiles.Path(t, "pairs.jsonl"), "--eval-data", testfiles.Path(t, "pairs_eval.jsonl"),
		"--output-dir", p.run, "--loss", "sft", "--max-steps", "2", "--eval-on-start", "--sample-prompts", "1", "--max-new-tokens", "1000")
	contains(t, out, "On 20 held-out examples", "\nloss ", "    wanted    ", "    before    ", "    after     ")
	for _, no := range []string{"rewards", "logps", "tied"} {
		if strings.Contains(out, no) {
			t.Errorf("loss sft knows no %s:\n%s", no, out)
		}
	}
}
