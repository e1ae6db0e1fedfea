package train

import (
	"path/filepath"
	"slices"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestStrategies: with epoch there is an evaluation and a checkpoint after each epoch, the last being short; with no there
// is neither, and the held-out pairs are not even read.
func TestStrategies(t *testing.T) {
	for _, c := range []struct {
		eval, save  string
		evaluations []float64 // after these steps
		checkpoints []string
	}{
		{eval: "epoch", save: "epoch", evaluations: []float64{3, 6, 8}, checkpoints: []string{"checkpoint-3", "checkpoint-6", "checkpoint-8"}},
		{eval: "steps", save: "steps", evaluations: []float64{5, 8}, checkpoints: []string{"checkpoint-4", "checkpoint-8"}},
		{eval: "no", save: "no"},
	} {
		o := tiny(t)
		o.Data = head(t, o.Data, 10) // 3 steps an epoch
		o.EvalData = head(t, testfiles.Path(t, "pairs_eval.jsonl"), 2)
		if c.eval == "no" {
			o.EvalData = "nowhere.jsonl"
		}
		o.NumTrainEpochs, o.EvalStrategy, o.EvalSteps, o.SaveStrategy, o.SaveSteps = 2.5, c.eval, 5, c.save, 4
		r := mustRun(t, o)
		var evaluations []float64
		for _, row := range r.rows(t) {
			if _, ok := row["eval_loss"]; ok {
				evaluations = append(evaluations, row["step"])
			}
		}
		if !slices.Equal(evaluations, c.evaluations) {
			t.Errorf("eval_strategy %s: evaluations after %v, want %v", c.eval, evaluations, c.evaluations)
		}
		paths, err := filepath.Glob(filepath.Join(o.OutputDir, "checkpoint-*"))
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range paths {
			paths[i] = filepath.Base(p)
		}
		if !slices.Equal(paths, c.checkpoints) {
			t.Errorf("save_strategy %s: %v, want %v", c.save, paths, c.checkpoints)
		}
	}
}
