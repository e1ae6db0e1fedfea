package train

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/checkpoint"
)

// evaluations are the values of a metric by step.
func (r outcome) evaluations(t *testing.T, metric string) (steps []int, values []float64) {
	t.Helper()
	for _, one := range r.rows(t) {
		if v, ok := one["eval_"+metric]; ok {
			steps, values = append(steps, int(one["step"])), append(values, v)
		}
	}
	return steps, values
}

// wobbly are options of a run of twelve steps whose held-out entropy rises and then falls.
func wobbly(t testing.TB) Options {
	o := resumable(t)
	o.MaxSteps, o.LearningRate = 12, 1e-2
	o.EvalSteps, o.SaveSteps = 2, 5
	o.MetricForBestModel, o.GreaterIsBetter, o.LoadBestModelAtEnd = "eval_entropy", &[]bool{true}[0], true
	return o
}

// TestBest: the tuned model is that of the evaluation that metrics.jsonl says was the best, whatever save_steps and
// save_total_limit are, and the best and the newest checkpoint stay.
func TestBest(t *testing.T) {
	var bests []int
	for _, tt := range []struct {
		metric string
		higher bool
		change func(o *Options)
	}{
		{"loss", false, func(o *Options) { o.MetricForBestModel, o.GreaterIsBetter = "", nil }},
		{"entropy", true, func(o *Options) { o.SaveDtype, o.SaveTotalLimit = "bfloat16", 1 }},
		{"rewards/margins", true, func(o *Options) {
			o.SaveTotalLimit, o.MetricForBestModel, o.GreaterIsBetter = 2, "rewards/margins", nil
		}},
		{"entropy", true, func(o *Options) { o.SaveStrategy = "best" }},
		{"logps/rejected", true, func(o *Options) { o.EvalSteps, o.MetricForBestModel = 0, "logps/rejected" }},
	} {
		o := wobbly(t)
		tt.change(&o)
		r := mustRun(t, o)
		steps, values := r.evaluations(t, tt.metric)
		at := 0
		for i, v := range values {
			if tt.higher && v > values[at] || !tt.higher && v < values[at] {
				at = i
			}
		}
		name := fmt.Sprintf("%s, limit %d, save %s", tt.metric, o.SaveTotalLimit, o.SaveStrategy)
		if o.EvalSteps == 0 && !slices.Equal(steps, []int{5, 10, 12}) {
			t.Errorf("%s: evaluations after steps %v, want one of each checkpoint", name, steps)
		}
		bests = append(bests, steps[at])
		last := r.rows(t)[len(r.rows(t))-1]
		if int(last["best_step"]) != steps[at] || last["best_metric"] != values[at] {
			t.Errorf("%s: best step %v, %v; want %d, %v of\n%v\n%v", name, last["best_step"], last["best_metric"], steps[at], values[at], steps, values)
		}
		best := filepath.Join(o.OutputDir, fmt.Sprintf("checkpoint-%d", steps[at]))
		sameFile(t, filepath.Join(o.OutputDir, "model.safetensors"), filepath.Join(best, "model.safetensors"))
		want := fmt.Sprintf("best checkpoint: %s, eval_%s %.4f", best, tt.metric, values[at])
		if !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "; its weights are the tuned model") {
			t.Errorf("%s: stderr lacks %q:\n%s", name, want, r.stderr)
		}
		// A direction that nobody gave is not in the resolved config, where it would be taken for another metric's too.
		resolved, err := os.ReadFile(filepath.Join(o.OutputDir, ConfigFile))
		if err != nil || strings.Contains(string(resolved), "GreaterIsBetter:<nil>") != (o.GreaterIsBetter == nil) {
			t.Errorf("%s: greater_is_better is not as it was given (%v):\n%s", name, err, resolved)
		}
		saved, err := checkpoint.List(o.OutputDir)
		if err != nil {
			t.Fatal(err)
		}
		if limit := o.SaveTotalLimit; limit > 0 && len(saved) > max(limit, 2) || !slices.Contains(saved, steps[at]) {
			t.Errorf("%s: checkpoints %v, want at most %d with %d", name, saved, max(limit, 2), steps[at])
		}
		if newest := saved[len(saved)-1]; o.SaveStrategy == "steps" && newest != 12 {
			t.Errorf("%s: the newest checkpoint is %d, want 12", name, newest)
		}
	}
	if !slices.Contains(bests, 12) || !slices.Contains(bests, 5) || !slices.ContainsFunc(bests, func(step int) bool { return step > 2 && step%5 != 0 && step < 12 }) {
		t.Errorf("best steps %v: want the first, the last, and one between that has a checkpoint for being the best alone", bests)
	}
}

func sameFile(t *testing.T, got, want string) {
	t.Helper()
	a, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		t.Errorf("%s is not %s", got, want)
	}
}

// TestBestKept: without load_best_model_at_end the tuned model is the last one, and the best is kept all the same.
func TestBestKept(t *testing.T) {
	o := wobbly(t)
	o.LoadBestModelAtEnd, o.SaveTotalLimit = false, 1
	r := mustRun(t, o)
	best := filepath.Join(o.OutputDir, fmt.Sprintf("checkpoint-%v", r.rows(t)[len(r.rows(t))-1]["best_step"]))
	if !checkpoint.IsCheckpoint(best) || best == lastCheckpoint(t, o.OutputDir) {
		t.Errorf("best checkpoint %s: want it there, and not the last", best)
	}
	sameFile(t, filepath.Join(o.OutputDir, "model.safetensors"), filepath.Join(lastCheckpoint(t, o.OutputDir), "model.safetensors"))
	if want := "; the tuned model is that of the last step"; !strings.Contains(r.stderr, want) {
		t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
	}
}

// TestBestResume stops runs before and after the best evaluation and goes on.
func TestBestResume(t *testing.T) {
	o := wobbly(t)
	o.SaveTotalLimit = 1
	whole := mustRun(t, o)
	for _, step := range []int{1, 5, 7, 11} {
		o := elsewhere(t, o)
		mustStop(t, o, step)
		o.ResumeFromCheckpoint = "latest"
		again := mustRun(t, o)
		sameBits(t, again, whole)
		if !strings.Contains(again.stderr, "; its weights are the tuned model") {
			t.Errorf("step %d: stderr does not name the best:\n%s", step, again.stderr)
		}
	}
}

// TestBestGone: a best checkpoint that is not there any more when the run goes on, or cannot be read at its end.
func TestBestGone(t *testing.T) {
	o := wobbly(t)
	best := filepath.Join(o.OutputDir, fmt.Sprintf("checkpoint-%v", func() any { rows := mustRun(t, o).rows(t); return rows[len(rows)-1]["best_step"] }()))
	o.Overwrite = true
	mustStop(t, o, 11)
	weights := filepath.Join(best, "model.safetensors")
	text, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)-1] ^= 1
	if err := os.WriteFile(weights, text, 0o666); err != nil {
		t.Fatal(err)
	}
	o.ResumeFromCheckpoint, o.SaveSteps = "latest", 0
	r, err := tryRun(t, o, 0)
	for _, want := range []string{"load_best_model_at_end", weights, "the model of the last step is in " + filepath.Join(o.OutputDir, "checkpoint-12")} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it\n%s", err, want, r.stderr)
		}
	}
	if err := os.RemoveAll(best); err != nil {
		t.Fatal(err)
	}
	r = mustRun(t, o)
	if want := "the best checkpoint so far, " + best; !strings.Contains(r.stderr, want) {
		t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
	}
}
