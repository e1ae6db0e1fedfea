package train

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/safetensors"
	"dpotrain/internal/testfiles"
)

// TestCurve repeats the ten steps of testdata/trl_curve.json. Its loop in float64 differs from the one in float32 by up to
// 9e-7 in the loss: two sound implementations in float32 cannot be asked to be much nearer than a few times that.
func TestCurve(t *testing.T) {
	for _, level := range cpu.Levels() {
		t.Run(level.String(), func(t *testing.T) { testCurve(t, compute.Options{CPU: level.String()}, 1) })
	}
	// Operands of 8 bits instead of 24 differ more: three times as much as was seen.
	if cpu.HasBF16() {
		t.Run("bf16", func(t *testing.T) { testCurve(t, compute.Options{CPU: "avx512", Precision: "bf16"}, 2e4) })
	}
	if cpu.HasAMX() {
		t.Run("amx", func(t *testing.T) { testCurve(t, compute.Options{CPU: "amx", Precision: "bf16"}, 2e4) })
	}
}

// testCurve allows so many times the differences that float32 may have.
func testCurve(t *testing.T, kernels compute.Options, times float64) {
	text, err := os.ReadFile(testfiles.Path(t, "trl_curve.json"))
	if err != nil {
		t.Fatal(err)
	}
	var curve struct {
		Steps []row              `json:"steps"`
		L2    map[string]float64 `json:"final_l2"`
	}
	if err := json.Unmarshal(text, &curve); err != nil {
		t.Fatal(err)
	}
	o := tiny(t)
	o.Compute.CPU, o.Compute.Precision = kernels.CPU, kernels.Precision
	o.Data = head(t, testfiles.Path(t, "pairs.jsonl"), 40)
	o.Rows.Shuffle = false
	o.WarmupSteps = 2
	o.MaxSteps = 10
	r := mustRun(t, o)

	got := r.steps(t)
	if len(got) != len(curve.Steps) || len(got) != 10 {
		t.Fatalf("%d steps, want %d", len(got), len(curve.Steps))
	}
	// Log-probs are sums of some thirty float32 numbers of size 5, with as many digits in the file; a reward is a tenth of them.
	absolute := map[string]float64{"step": 0, "loss": 2e-6, "rewards/chosen": 3e-6, "rewards/rejected": 3e-6, "rewards/margins": 3e-6, "rewards/accuracies": 0}
	relative := map[string]float64{"grad_norm": 1e-5, "learning_rate": 1e-14, "logps/chosen": 1e-6, "logps/rejected": 1e-6}
	for i, want := range curve.Steps {
		for name, w := range want {
			limit, ok := absolute[name]
			if !ok {
				limit = relative[name] * math.Abs(w)
			}
			if name != "step" && name != "learning_rate" {
				limit *= times
			}
			g, ok := got[i][name]
			if !ok || math.Abs(g-w) > limit {
				t.Errorf("step %d: %s = %v, want %v within %.1g", i+1, name, g, w, limit)
			}
		}
	}
	compareL2(t, r, curve.L2, 2e-7*times)
}

// compareL2 compares the l2 of every tuned weight, within a share of it. Of GPT-2's bias of queries, keys and values that of the
// keys is left out: a softmax does not see it, and its gradient is rounding alone, of which Adam makes steps.
func compareL2(t *testing.T, r outcome, want map[string]float64, tolerance float64) {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(r.dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(f.Names()) != len(want) {
		t.Errorf("%d tensors, want %d", len(f.Names()), len(want))
	}
	for name, w := range want {
		x, ok := f.Tensor(name)
		if !ok {
			t.Errorf("no tensor %s", name)
			continue
		}
		values := make([]float32, x.Len())
		if err := x.Float32(values); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".attn.c_attn.bias") {
			clear(values[len(values)/3 : 2*len(values)/3])
		}
		if g := l2(values); math.Abs(g-w) > tolerance*w {
			t.Errorf("l2 of %s = %v, want %v within %.1g of it", name, g, w, tolerance)
		}
	}
}

func l2(values []float32) float64 {
	var sum float64
	for _, v := range values {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

// TestTRL repeats a run of TRL 1.16.0 itself on a trained model: 20 steps and an evaluation, every metric by TRL's name.
func TestTRL(t *testing.T) {
	text, err := os.ReadFile(testfiles.Shared(t, "expected", "trl_stories260k_dpo.json"))
	if err != nil {
		t.Fatal(err)
	}
	var trl struct {
		Config struct {
			Rows      int `json:"rows"`
			Batch     int `json:"batch"`
			MaxLength int `json:"max_length"`
			Eval      row `json:"eval"`
		} `json:"config"`
		History []row `json:"history"`
	}
	if err := json.Unmarshal(text, &trl); err != nil {
		t.Fatal(err)
	}
	o := tiny(t)
	o.Model = testfiles.Shared(t, "models", "stories260k")
	o.Data = head(t, testfiles.Shared(t, "preferences", "stories_happy_train.jsonl"), trl.Config.Rows)
	o.EvalData = head(t, testfiles.Shared(t, "preferences", "stories_happy_eval.jsonl"), 40)
	o.Rows.Shuffle = false
	o.Rows.MaxLength = trl.Config.MaxLength
	o.PerDeviceTrainBatchSize = trl.Config.Batch
	o.NumTrainEpochs = 1
	o.LearningRate = 1e-4
	o.Compute.Threads = 0
	r := mustRun(t, o)

	// TRL's history ends with a line of the whole run. It counts the logits of padding too; we have no such metric.
	notOurs := []string{"logits/chosen", "logits/rejected", "eval_logits/chosen", "eval_logits/rejected", "eval_runtime", "eval_samples_per_second",
		"eval_steps_per_second", "eval_num_tokens"}
	got := r.steps(t)
	if len(got) != 20 || len(trl.History) < 20 {
		t.Fatalf("%d steps, want 20 (TRL's history has %d lines)", len(got), len(trl.History))
	}
	for i, want := range trl.History[:20] {
		// Ten times what was measured; TRL logs log-probs of -100 and norms of 10 in float32.
		compareTRL(t, fmt.Sprintf("step %d", i+1), got[i], want, notOurs, func(name string, w float64) float64 {
			switch name {
			case "step", "epoch", "num_tokens", "rewards/accuracies":
				return 0
			case "learning_rate":
				return 1e-18
			case "grad_norm", "logps/chosen", "logps/rejected":
				return 2e-5 * math.Abs(w)
			}
			return 3e-5
		})
	}
	for _, one := range r.rows(t) {
		if _, ok := one["eval_loss"]; ok {
			compareTRL(t, "evaluation", one, trl.Config.Eval, notOurs, func(name string, w float64) float64 {
				switch name {
				case "eval_entropy", "eval_mean_token_accuracy": // TRL takes the mean over its batches, we over the tokens
					return 1e-3
				case "eval_logps/chosen", "eval_logps/rejected":
					return 2e-5 * math.Abs(w)
				}
				return 1e-5
			})
			return
		}
	}
	t.Error("no evaluation")
}

// compareTRL compares every metric that TRL has and we do not leave out.
func compareTRL(t *testing.T, what string, got, want row, notOurs []string, limit func(name string, want float64) float64) {
	t.Helper()
	for name, w := range want {
		if slices.Contains(notOurs, name) {
			continue
		}
		if g, ok := got[name]; !ok || !(math.Abs(g-w) <= limit(name, w)) {
			t.Errorf("%s: %s = %v, want %v within %.1g", what, name, g, w, limit(name, w))
		}
	}
}
