package train

import (
	"math"
	"strings"
	"testing"
)

// TestWeights: the first step on four pairs, two of which have weight 0, has half the loss and half the gradient of a step on the other two
// alone. A weight of 2 for all doubles both, and no other metric knows of weights. The proof of the first step knows.
func TestWeights(t *testing.T) {
	o := tiny(t)
	o.Data = head(t, o.Data, 4)
	o.MaxSteps, o.Rows.Shuffle = 1, false
	step := func(weights ...string) row {
		o := o
		o.OutputDir = t.TempDir() + "/run"
		if len(weights) > 0 {
			o.Data = with(t, o.Data, weights...)
		}
		r := mustRun(t, o)
		contains(t, r.stderr, "the first step proves")
		if has := strings.Contains(r.stderr, "weight is not 1"); has != (len(weights) > 0) {
			t.Errorf("weights %q: they are told: %v\n%s", weights, has, r.stderr)
		}
		return r.steps(t)[0]
	}
	plain := step()
	o.Data = head(t, o.Data, 2)
	two := step()
	o.Data = head(t, tiny(t).Data, 4)
	for _, tt := range []struct {
		weights []string
		of      row
		factor  float64
	}{
		{[]string{`"weight": 1`, `"weight": 1.0`, `"weight": 0`}, two, 0.5},
		{[]string{`"weight": 2`}, plain, 2},
	} {
		got := step(tt.weights...)
		for _, name := range []string{"loss", "grad_norm"} {
			// Micro-batches are cut elsewhere, so that float32 sums differ by rounding.
			if want := tt.factor * tt.of[name]; !(math.Abs(got[name]-want) <= 1e-5*want) {
				t.Errorf("weights %q: %s %v, want %v", tt.weights, name, got[name], want)
			}
		}
		for _, name := range []string{"rewards/margins", "logps/chosen", "logps/rejected", "entropy", "num_tokens"} {
			if got[name] != plain[name] {
				t.Errorf("weights %q: %s %v, want %v", tt.weights, name, got[name], plain[name])
			}
		}
	}
}

// TestChangedNumbers: a run does not go on with other scores or weights than it began with, and does with the same written otherwise.
func TestChangedNumbers(t *testing.T) {
	for _, tt := range []struct {
		loss, was, now string
		refused        bool
	}{
		{"rebel", `"chosen_score": 5, "rejected_score": 2`, `"chosen_score": 5, "rejected_score": 2.5`, true},
		{"rebel", `"chosen_score": 5, "rejected_score": 2`, `"rejected_score": 2e0, "note": "x", "weight": 1, "chosen_score": 5.0`, false},
		{"dpo", `"weight": 2`, `"weight": 3`, true},
		{"dpo", `"weight": 2`, `"id": 7`, true},
		{"dpo", `"chosen_score": 5`, `"chosen_score": 6`, false}, // which dpo does not read
	} {
		o := tiny(t)
		o.Loss, o.MaxSteps, o.LoggingSteps = tt.loss, 2, 1
		rows := o.Data
		o.Data = with(t, rows, tt.was)
		mustStop(t, o, 1)
		o.Data = with(t, rows, tt.now)
		o.ResumeFromCheckpoint = "latest"
		_, err := tryRun(t, o, 0)
		if (err != nil) != tt.refused {
			t.Errorf("%s: %s, then %s: %v, refused: want %v", tt.loss, tt.was, tt.now, err, tt.refused)
		}
		if err != nil {
			contains(t, err.Error(), "are not those the run began with")
		}
	}
}
