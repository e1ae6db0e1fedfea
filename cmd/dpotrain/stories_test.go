package main

import (
	"os"
	"path/filepath"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestStories is an epoch on a trained model and 2144 pairs with configs/stories-dpo.yaml. TRL with these settings ends with a
// held-out accuracy of 0.942 and a margin of 3.75.
func TestStories(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s on two cores")
	}
	model := testfiles.Shared(t, "models", "stories260k")
	pairs := filepath.Dir(testfiles.Shared(t, "preferences", "stories_happy_train.jsonl"))
	config := filepath.Join(testfiles.Path(t), "..", "configs", "stories-dpo.yaml")
	if _, err := os.Stat(config); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	out, _ := dpotrain(t, "train", "--config", config, "--model", model, "--data", filepath.Join(pairs, "stories_happy_train.jsonl"),
		"--eval-data", filepath.Join(pairs, "stories_happy_eval.jsonl"), "--output-dir", run, "--ref-cache-dir", filepath.Join(dir, "cache"))
	t.Log(out)
	last := evaluations(t, run)[134]
	t.Logf("loss %.3f, accuracy %.3f, margin %.2f", last["loss"], last["rewards/accuracies"], last["rewards/margins"])
	if a := last["rewards/accuracies"]; !(a >= 0.93) {
		t.Errorf("held-out accuracy %v, want at least 0.93", a)
	}
	if m := last["rewards/margins"]; !(m >= 3.3 && m <= 4.2) {
		t.Errorf("held-out margin %v, want 3.3 to 4.2", m)
	}
}
