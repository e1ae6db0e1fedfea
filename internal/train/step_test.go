package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
	"dpotrain/internal/testfiles"
)

// TestLearning: with every loss of the catalogue, and a sum of some, a tiny model learns four pairs within thirty steps. What it learnt is measured with one
// yardstick for all, reward accuracy against the model that it began as.
func TestLearning(t *testing.T) {
	for _, name := range append(loss.Names(), mpo) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tiny(t)
			o.Data = with(t, head(t, o.Data, 4), `"chosen_score": 2, "rejected_score": 0.5, "p_win": 0.75, "p_win_rejected": 0.3`) // for losses that read them
			o.Loss = name
			o.MaxSteps = 30
			o.LearningRate = 3e-3
			r := mustRun(t, o)
			first, last := r.steps(t)[0]["loss"], r.steps(t)[29]["loss"]
			if !(last < first) {
				t.Errorf("loss %v after %v, want less", last, first)
			}
			o.Loss, o.LossSettings = "dpo", nil
			ref := o.Model
			o.Model = r.dir
			var out, errs bytes.Buffer
			if err := Eval(context.Background(), request(o, &out, &errs, nil), EvalOptions{Ref: ref, JSON: true, LossGiven: true}); err != nil {
				t.Fatal(err)
			}
			var got row
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if got["rewards/accuracies"] != 1 || got["rewards/margins"] <= 0 {
				t.Errorf("reward accuracy %v, want 1; margin %v", got["rewards/accuracies"], got["rewards/margins"])
			}
		})
	}
}

// TestStepZero: the first step proves that policy and reference agree, where they are the same model; elsewhere the start says that it
// does not.
func TestStepZero(t *testing.T) {
	const proves, proves0 = "the first step proves", "no proof"
	t.Run("the same model", func(t *testing.T) {
		o := tiny(t)
		o.MaxSteps = 1
		r := mustRun(t, o)
		contains(t, r.stderr, proves)
		one := r.steps(t)[0]
		if one["rewards/margins"] != 0 || one["rewards/chosen"] != 0 || one["rewards/ties"] != 1 || one["rewards/accuracies"] != 0 || math.Abs(one["loss"]-math.Ln2) > 1e-15 {
			t.Errorf("first step: %v, want margins of 0, ties alone and the loss log 2", one)
		}
	})
	t.Run("a copy of it", func(t *testing.T) {
		o := tiny(t)
		o.MaxSteps = 1
		o.RefModel = filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(o.RefModel, os.DirFS(o.Model)); err != nil {
			t.Fatal(err)
		}
		contains(t, mustRun(t, o).stderr, proves)
	})
	t.Run("another model", func(t *testing.T) {
		o := tiny(t)
		o.MaxSteps = 1
		o.RefModel = filepath.Join(t.TempDir(), "other")
		if _, err := Init(InitOptions{Config: filepath.Join(o.Model, "config.json"), Tokenizer: o.Model, Output: o.RefModel, Seed: 3}); err != nil {
			t.Fatal(err)
		}
		r := mustRun(t, o)
		contains(t, r.stderr, proves0, "different models")
		if strings.Contains(r.stderr, proves) {
			t.Errorf("%q and %q are both in\n%s", proves, proves0, r.stderr)
		}
		if m := r.steps(t)[0]["rewards/margins"]; m == 0 {
			t.Error("the first margin is 0")
		}
	})
	t.Run("no reference", func(t *testing.T) {
		o := tiny(t)
		o.MaxSteps = 1
		o.Loss = "sft"
		contains(t, mustRun(t, o).stderr, proves0, "loss sft")
	})
	t.Run("a checkpoint", func(t *testing.T) {
		o := tiny(t)
		o.MaxSteps = 2
		o.LoggingSteps = 1
		mustStop(t, o, 1)
		o.ResumeFromCheckpoint = "latest"
		contains(t, mustRun(t, o).stderr, proves0, "goes on from a checkpoint")
	})
	for side, record := range map[string]int{"chosen": 0, "rejected": 1} {
		t.Run("a cache that lies about "+side, func(t *testing.T) {
			o := tiny(t)
			o.Rows.Shuffle = false
			var out, errs bytes.Buffer
			if err := PrecomputeRef(context.Background(), request(o, &out, &errs, nil)); err != nil {
				t.Fatal(err)
			}
			forge(t, o.RefCacheDir, record)
			r, err := tryRun(t, o, 0)
			if err == nil {
				t.Fatalf("no error\n%s", r.stderr)
			}
			contains(t, err.Error(), o.Data+":1: ", "the same model", "log-prob of "+side, "precompute-ref")
			if n := len(r.rows(t)); n != 0 {
				t.Errorf("%d lines of metrics, want none", n)
			}
			if _, err := os.Stat(filepath.Join(r.dir, "model.safetensors")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a model was saved: %v", err)
			}
		})
	}
}

// forge changes the first log-prob of a record of the only cache file in a folder, and seals the record again. The format is described
// in package refcache.
func forge(t *testing.T, dir string, record int) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.refs"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%q, %v, want one cache file", paths, err)
	}
	b, err := os.ReadFile(paths[0])
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	at := 52 + int(le.Uint32(b[44:])) + 4
	for range record {
		at += int(le.Uint32(b[at:]))
	}
	r := b[at : at+int(le.Uint32(b[at:]))]
	const first = 24 + 2 + 4 // after length, key, checksum, tag and length of the field
	le.PutUint32(r[first:], math.Float32bits(math.Float32frombits(le.Uint32(r[first:]))-0.01))
	end := len(r) - 4
	le.PutUint32(r[end:], crc32.Checksum(r[:end], crc32.MakeTable(crc32.Castagnoli)))
	if err := os.WriteFile(paths[0], b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestNonFinite: a loss that is not finite stops the run before the step is applied, and names the line.
func TestNonFinite(t *testing.T) {
	t.Run("rate", func(t *testing.T) {
		o := tiny(t)
		o.Rows.Shuffle = false
		o.LearningRate = 1e37 // the first step leaves weights that are finite and no use
		o.LRSchedulerType = "constant"
		o.SaveSteps = 1
		r, err := tryRun(t, o, 0)
		if !errors.Is(err, errNonFinite) {
			t.Fatalf("%v, want %v", err, errNonFinite)
		}
		contains(t, err.Error(), "step 2: "+o.Data+":5: the loss of this example", "not applied", "learning_rate")
		if n := len(r.rows(t)); n != 1 {
			t.Errorf("%d lines of metrics, want that of the first step", n)
		}
		if steps, err := checkpoint.List(r.dir); err != nil || !slices.Equal(steps, []int{1}) {
			t.Errorf("checkpoints of steps %v, %v, want 1 alone", steps, err)
		}
		// Nothing was applied: the step taken again from the checkpoint fails alike.
		o.ResumeFromCheckpoint = "latest"
		if _, again := tryRun(t, o, 0); again == nil || again.Error() != err.Error() {
			t.Errorf("after going on: %v, want %v", again, err)
		}
	})
	t.Run("weights", func(t *testing.T) {
		o := tiny(t)
		o.Loss = "sft"
		o.Rows.Shuffle = false
		o.Model = scaled(t, o.Model, 1e30)
		r, err := tryRun(t, o, 0)
		if !errors.Is(err, errNonFinite) {
			t.Fatalf("%v, want %v", err, errNonFinite)
		}
		contains(t, err.Error(), "step 1: "+o.Data+":1: the loss of this example")
		if n := len(r.rows(t)); n != 0 {
			t.Errorf("%d lines of metrics, want none", n)
		}
	})
	t.Run("reference", func(t *testing.T) {
		o := tiny(t)
		o.Model = scaled(t, o.Model, 1e30)
		_, err := tryRun(t, o, 0)
		if err == nil {
			t.Fatal("no error")
		}
		contains(t, err.Error(), o.Data+":1: ", "reference")
	})
}

// scaled is a copy of a model with all its weights times a factor.
func scaled(t *testing.T, dir string, factor float32) string {
	t.Helper()
	dev := device(t, 1)
	m, err := model.Load(dir, dev)
	if err != nil {
		t.Fatal(err)
	}
	w := make([]float32, m.Len())
	dev.Download(w, m.W, 0)
	for i := range w {
		w[i] *= factor
	}
	dev.Upload(m.W, 0, w)
	r, err := data.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Files()
	if err != nil {
		t.Fatal(err)
	}
	files["config.json"] = m.Config.Text("float32")
	out := filepath.Join(t.TempDir(), "scaled")
	if err := checkpoint.WriteModel(out, m.Tensors("F32"), files); err != nil {
		t.Fatal(err)
	}
	return out
}

func device(t testing.TB, threads int) compute.Device {
	t.Helper()
	dev, err := cpu.New(compute.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	return dev
}

// steep is dpo with a derivative that is not what it was for the example that has a number of tokens.
type steep struct {
	loss.Loss
	tokens int
	factor float64
}

func (s steep) Compute(b loss.Batch, r *loss.Result) {
	s.Loss.Compute(b, r)
	for i, n := range b.ChosenTokens {
		if n == s.tokens {
			r.DChosenLogps[i] *= s.factor
		}
	}
}

// TestNonFiniteGradient: a gradient that is not finite though the losses are is blamed on the example that it comes from.
func TestNonFiniteGradient(t *testing.T) {
	o := tiny(t)
	dev := device(t, 1)
	policy, err := model.Load(o.Model, dev)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := policy.NewGraph(model.GraphOptions{Training: true, Rows: 500})
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), o.Data, data.Pairs, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	dpo, err := loss.New("dpo", nil)
	if err != nil {
		t.Fatal(err)
	}
	var examples []*data.Example
	var refs []score.Logps
	seen := map[int]bool{}
	for i := range data.All(set.Examples) { // of which no two have as many chosen tokens
		s := set.Examples.At(i).Sequences[0]
		if n := len(s.IDs) - s.First; !seen[n] && len(examples) < 5 {
			seen[n] = true
			examples, refs = append(examples, set.Examples.At(i)), append(refs, score.Logps{Sums: []float64{-50, -50}})
		}
	}
	third := examples[2].Sequences[0]
	for _, tt := range []struct {
		factor float64
		want   string // in the error; empty: none
	}{{1, ""}, {math.Inf(1), examples[2].Place() + ": the gradient of this example"}, {math.NaN(), examples[2].Place() + ": the gradient of this example"}, {1e200, examples[2].Place()}} {
		s := stepper{policy: policy, dev: dev, graph: graph, loss: steep{dpo, len(third.IDs) - third.First, tt.factor}, budget: 100}
		norm, err := s.gradient(0, examples, refs, eval.NewTally(dpo))
		switch {
		case tt.want == "" && (err != nil || !(norm > 0)):
			t.Errorf("factor %v: norm %v, %v, want one above 0", tt.factor, norm, err)
		case tt.want != "" && !errors.Is(err, errNonFinite):
			t.Errorf("factor %v: %v, want %v", tt.factor, err, errNonFinite)
		case tt.want != "":
			contains(t, err.Error(), tt.want)
		}
	}
}

func contains(t testing.TB, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// TestOptimizer holds three updates against torch.optim.AdamW's formulas in float64:
//
//	w -= lr * decay * w;  m = b1*m + (1-b1)*g;  v = b2*v + (1-b2)*g*g;  w -= lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps)
//
// of which torch's own documentation works out no number: with w = 1, g = 0.5, lr 0.1 and decay 0.5 the first step leaves
// 1 - 0.05 - 0.1*0.5/(0.5+1e-8) = 0.85.
func TestOptimizer(t *testing.T) {
	dev := device(t, 1)
	m, err := model.Load(testfiles.Path(t, "models", "llama3-bias-untied"), dev) // norms and biases of every kind
	if err != nil {
		t.Fatal(err)
	}
	graph, err := m.NewGraph(model.GraphOptions{Training: true, Rows: 8}) // for its gradients
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	o := defaults(t)
	o.WeightDecay = 0.5
	const rate, scale = 0.1, 0.25
	adam := newOptimizer(m, dev, &o)

	w, g := make([]float32, m.Len()), make([]float32, m.Len())
	want, m1, m2 := make([]float64, m.Len()), make([]float64, m.Len()), make([]float64, m.Len())
	for i := range w {
		w[i] = float32(i%7-3) / 3
		want[i] = float64(w[i])
	}
	w[0], want[0] = 1, 1
	dev.Upload(m.W, 0, w)
	for step := 1; step <= 3; step++ {
		for i := range g {
			g[i] = float32((i*step)%11-5) / 5
		}
		g[0] = 2 // 0.5 after scaling
		dev.Upload(m.G, 0, g)
		adam.update(step, rate, scale)
		for _, p := range m.Params {
			decay := 0.5
			if strings.HasSuffix(p.Name, ".bias") || strings.Contains(p.Name, "norm") {
				decay = 0
			}
			for i := p.Off; i < p.Off+p.Len(); i++ {
				grad := scale * float64(g[i])
				want[i] -= rate * decay * want[i]
				m1[i] = 0.9*m1[i] + (1-0.9)*grad
				m2[i] = 0.999*m2[i] + (1-0.999)*grad*grad
				t := float64(step)
				want[i] -= rate / (1 - math.Pow(0.9, t)) * m1[i] / (math.Sqrt(m2[i])/math.Sqrt(1-math.Pow(0.999, t)) + 1e-8)
			}
		}
		if step == 1 && math.Abs(want[0]-0.85) > 1e-8 {
			t.Fatalf("the formulas above give %v, want 0.85", want[0])
		}
	}
	dev.Download(w, m.W, 0)
	for _, p := range m.Params {
		for i := p.Off; i < p.Off+p.Len(); i++ {
			// float32 moments: three roundings of each, and one of the weight a step.
			if math.Abs(float64(w[i])-want[i]) > 1e-6 {
				t.Fatalf("%s, element %d: %v, want %v", p.Name, i-p.Off, w[i], want[i])
			}
		}
	}
}

func TestClipFactor(t *testing.T) {
	// torch.nn.utils.clip_grad_norm_: min(1, limit/(norm + 1e-6)).
	for _, tt := range []struct{ norm, limit, want float64 }{
		{0, 1, 1}, {0.5, 1, 1}, {1, 1, 1 / 1.000001}, {2, 1, 1 / 2.000001}, {10, 2.5, 2.5 / 10.000001}, {10, 0, 1}, {1e300, 1, 1e-300},
	} {
		if got := clipFactor(tt.norm, tt.limit); math.Abs(got-tt.want) > 1e-15*tt.want {
			t.Errorf("norm %v, limit %v: %v, want %v", tt.norm, tt.limit, got, tt.want)
		}
	}
}

// TestMicroBatches: however a step is cut, the same numbers come out but for rounding; and how a step's pairs are written down, as batch
// and accumulation, changes no bit.
func TestMicroBatches(t *testing.T) {
	o := tiny(t)
	o.PerDeviceTrainBatchSize, o.GradientAccumulationSteps = 12, 1
	o.NumTrainEpochs = 1
	whole := mustRun(t, o)
	cut := elsewhere(t, o)
	cut.MicroBatchTokens = 1 // every pair alone
	alone := mustRun(t, cut)
	a, b := whole.steps(t), alone.steps(t)
	if len(a) != 5 || len(b) != 5 {
		t.Fatalf("%d and %d steps, want 5", len(a), len(b))
	}
	for i := range a {
		for name, w := range a[i] {
			// Gradients differ by some 1e-7 of their size; five steps of AdamW at rate 1e-3 move the losses by a few times that.
			if g := b[i][name]; math.Abs(g-w) > 1e-5*max(1, math.Abs(w)) {
				t.Errorf("step %d: %s is %v in pieces and %v in one", i+1, name, g, w)
			}
		}
	}
	if a[0]["loss"] != b[0]["loss"] || a[0]["logps/chosen"] != b[0]["logps/chosen"] {
		t.Errorf("the first forward pass differs: %v and %v", a[0], b[0])
	}
	for _, split := range [][2]int{{1, 12}, {3, 4}, {6, 2}} {
		o := elsewhere(t, o)
		o.PerDeviceTrainBatchSize, o.GradientAccumulationSteps = split[0], split[1]
		sameBits(t, mustRun(t, o), whole)
	}
}

// TestThreads: the number of threads changes nothing in any file.
func TestThreads(t *testing.T) {
	o := tiny(t)
	o.EvalData = testfiles.Path(t, "pairs_eval.jsonl")
	o.NumTrainEpochs = 1
	o.SaveSteps = 5
	one := mustRun(t, o)
	o = elsewhere(t, o)
	o.RefCacheDir = filepath.Join(t.TempDir(), "cache") // pass one has threads, too
	o.Compute.Threads = 2
	two := mustRun(t, o)
	contains(t, one.stderr, "threads: 1,")
	contains(t, two.stderr, "threads: 2,")
	sameBits(t, two, one)
}

// TestMetrics reads metrics.jsonl and the console of a run whose epochs end with a short step.
func TestMetrics(t *testing.T) {
	o := tiny(t)
	o.Data = head(t, o.Data, 10)
	o.EvalData = head(t, testfiles.Path(t, "pairs_eval.jsonl"), 6)
	o.NumTrainEpochs = 2
	o.EvalSteps = 4
	o.LoggingSteps = 3
	r := mustRun(t, o)

	// Steps have 4, 4 and 2 pairs, twice; evaluations follow steps 4 and 6.
	step := []string{"step", "epoch", "loss", "grad_norm", "learning_rate", "rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins",
		"logps/chosen", "logps/rejected", "entropy", "mean_token_accuracy", "num_tokens"}
	evaluation := []string{"step", "epoch", "eval_loss", "eval_rewards/chosen", "eval_rewards/rejected", "eval_rewards/accuracies", "eval_rewards/margins",
		"eval_logps/chosen", "eval_logps/rejected", "eval_entropy", "eval_mean_token_accuracy", "eval_runtime", "eval_samples_per_second"}
	last := []string{"step", "epoch", "train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss"}
	kinds := []struct {
		step  float64
		names []string
	}{{1, step}, {2, step}, {3, step}, {4, step}, {4, evaluation}, {5, step}, {6, step}, {6, evaluation}, {6, last}}
	rows := r.rows(t)
	if len(rows) != len(kinds) {
		t.Fatalf("%d lines, want %d:\n%v", len(rows), len(kinds), rows)
	}
	var losses []float64
	tokens := 0.0
	for i, want := range kinds {
		got := rows[i]
		for _, name := range want.names {
			if _, ok := got[name]; !ok {
				t.Errorf("line %d: no %s: %v", i+1, name, got)
			}
		}
		// After steps 3 and 6 whole epochs are behind.
		if whole, part := math.Modf(got["epoch"]); got["step"] != want.step || whole != math.Floor(want.step/3) || (part == 0) != (math.Mod(want.step, 3) == 0) {
			t.Errorf("line %d: step %v, epoch %v, want %v, about %v", i+1, got["step"], got["epoch"], want.step, want.step/3)
		}
		if l, ok := got["loss"]; ok {
			losses = append(losses, l)
			if got["num_tokens"] <= tokens || got["num_tokens"] != math.Trunc(got["num_tokens"]) {
				t.Errorf("line %d: num_tokens %v after %v", i+1, got["num_tokens"], tokens)
			}
			tokens = got["num_tokens"]
			if m := got["rewards/chosen"] - got["rewards/rejected"]; math.Abs(m-got["rewards/margins"]) > 1e-14 {
				t.Errorf("line %d: margin %v, want chosen minus rejected, %v", i+1, got["rewards/margins"], m)
			}
		}
	}
	if got := rows[len(rows)-1]; math.Abs(got["train_loss"]-mean(losses)) > 1e-15 {
		t.Errorf("train_loss %v, want %v, the mean over the steps", got["train_loss"], mean(losses))
	}
	if first, second := rows[2]["num_tokens"], tokens; second != 2*first {
		t.Errorf("num_tokens after the epochs: %v and %v, want twice the first", first, second)
	}

	// The console line is the mean over the pairs since the last one: those of steps 1 to 3, of 4, 4 and 2 pairs.
	lines := regexp.MustCompile(`(?m)^step (\d+)/6  epoch ([0-9.]+)  loss ([0-9.]+)  .*grad_norm (\S+)  learning_rate (\S+)`).FindAllStringSubmatch(r.stderr, -1)
	if len(lines) != 2 || lines[0][1] != "3" || lines[1][1] != "6" || lines[0][2] != "1.00" || lines[1][2] != "2.00" {
		t.Fatalf("console lines %q, want those of steps 3 and 6:\n%s", lines, r.stderr)
	}
	for i, line := range lines {
		three := losses[3*i : 3*i+3]
		if want := fmt.Sprintf("%.4f", (4*three[0]+4*three[1]+2*three[2])/10); line[3] != want {
			t.Errorf("console: loss %s, want %s", line[3], want)
		}
	}
	rates := r.steps(t)
	if got, err := strconv.ParseFloat(lines[1][5], 64); err != nil || math.Abs(got-rates[5]["learning_rate"]) > 5e-3*got {
		t.Errorf("console: learning_rate %s, want that of the step, %v", lines[1][5], rates[5]["learning_rate"])
	}
	contains(t, r.stderr, "evaluation after step 4, 6 pairs", "evaluation after step 6, 6 pairs")
}

func mean(x []float64) float64 {
	var sum float64
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
