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

	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// unpaired makes unpaired rows of the first n pairs of a file: of each its chosen completion, then its rejected one, but for every third pair, of
// which there is the rejected one alone.
func unpaired(t testing.TB, path string, n int) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	i := 0
	for line := range strings.Lines(string(text)) {
		var pair map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &pair); err != nil {
			t.Fatal(err)
		}
		if i++; i > n {
			break
		}
		if i%3 != 0 {
			fmt.Fprintf(&rows, `{"prompt": %s, "completion": %s, "label": true}`+"\n", pair["prompt"], pair["chosen"])
		}
		fmt.Fprintf(&rows, `{"prompt": %s, "completion": %s, "label": false}`+"\n", pair["prompt"], pair["rejected"])
	}
	out := filepath.Join(t.TempDir(), "unpaired.jsonl")
	if err := os.WriteFile(out, []byte(rows.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestUnpairedLearning: a tiny model learns eight unpaired rows of five prompts to the last label: every desirable one has a higher reward than
// any undesirable one of its prompt, and than the mean of them.
func TestUnpairedLearning(t *testing.T) {
	for _, name := range loss.Unpaired() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := tiny(t)
			o.Data = unpaired(t, o.Data, 5)
			o.Loss, o.MaxSteps, o.LearningRate, o.PerDeviceTrainBatchSize, o.MicroBatchTokens = name, 40, 3e-3, 9, 100
			r := mustRun(t, o)
			contains(t, r.stderr, "unpaired rows: 4 desirable, 5 undesirable", "prove")
			steps := r.steps(t)
			first, last := steps[0], steps[39]
			if !(last["loss"] < 0.8*first["loss"]) || first["rewards/margins"] != 0 || !(last["rewards/chosen"] > 0.1 && last["rewards/rejected"] < -0.1) {
				t.Errorf("first step %v\nlast step %v", first, last)
			}
			if margin := last["rewards/chosen"] - last["rewards/rejected"]; last["rewards/margins"] != margin {
				t.Errorf("margin %v, want %v", last["rewards/margins"], margin)
			}
			for _, none := range []string{"rewards/accuracies", "rewards/ties", "logps/accuracies", "displacement/rate"} {
				if _, ok := last[none]; ok {
					t.Errorf("there is a metric %s", none)
				}
			}
			if first["shift/chosen"] != 0 || !(last["shift/chosen"] > 0 && last["shift/rejected"] < 0) {
				t.Errorf("shifts %v and %v", last["shift/chosen"], last["shift/rejected"])
			}
			if kl, ok := last["kl"]; ok != (name == "kto") || first["kl"] != 0 || ok && !(kl >= 0) {
				t.Errorf("kl %v in the first step, %v in the last, %v", first["kl"], kl, ok)
			}
			ref := o.Model
			o.EvalData = o.Data
			got, _ := evalRow(t, o, r.dir)
			if got["examples"] != 9 || !(got["rewards/margins"] > last["rewards/margins"]/2) {
				t.Errorf("%s against %s: %v", r.dir, ref, got)
			}
		})
	}
}

// TestUnpairedResume stops runs on unpaired rows, and goes on with them to the same bits.
func TestUnpairedResume(t *testing.T) {
	for _, name := range loss.Unpaired() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := remembers(t, name)
			o.Data, o.EvalData = unpaired(t, o.Data, 36), unpaired(t, o.EvalData, 6)
			if name == "kto" { // or the policy would lose more on mismatched rows than it gains, and z be 0
				o.LossSettings = loss.Settings{"kto_desirable_weight": 20.0}
			}
			whole := mustRun(t, o)
			steps := whole.steps(t)
			if name == "kto" && (steps[0]["kl"] != 0 || !slices.ContainsFunc(steps, func(s row) bool { return s["kl"] > 0 })) {
				t.Errorf("kl is never above 0, or above 0 in the first step: %v", steps)
			}
			for _, stop := range []int{1, 7} {
				o := elsewhere(t, o)
				mustStop(t, o, stop)
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
			// Rows with another label are other data.
			o = elsewhere(t, o)
			mustStop(t, o, 7)
			text, err := os.ReadFile(o.Data)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(o.Data, []byte(strings.Replace(string(text), `"label": true`, `"label": false`, 1)), 0o666); err != nil {
				t.Fatal(err)
			}
			o.ResumeFromCheckpoint = "latest"
			if _, err := tryRun(t, o, 0); err == nil || !strings.Contains(err.Error(), "resume: ") {
				t.Errorf("with another label: %v", err)
			}
		})
	}
}

// unpairedStep is a step of unpaired rows with a policy that is not the reference.
func unpairedStep(t *testing.T, name string, n int) *stepOf {
	s := newStep(t, n)
	o := tiny(t)
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	reader.Wanted = wantedBy(newLoss(t, name))
	set, err := reader.Load(t.Context(), head(t, o.Data, n/2), data.Labelled, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.examples = nil
	for i := range data.All(set.Examples) {
		s.examples = append(s.examples, set.Examples.At(i))
		for len(s.refs[i].Sums) < len(set.Examples.At(i).Sequences) {
			s.refs[i].Sums = append(s.refs[i].Sums, 0)
		}
		for k, q := range set.Examples.At(i).Sequences {
			s.refs[i].Sums[k] = -float64(len(q.IDs)-q.First)*7.5 + float64(i%3)
		}
	}
	return s
}

// TestUnpairedCut: a step of unpaired rows is the same step however it is cut: z is over all its mismatched rows, which go forward once, and never back.
func TestUnpairedCut(t *testing.T) {
	for _, name := range []string{"kto", "apo_zero_unpaired"} {
		s := unpairedStep(t, name, 12)
		want, whole := s.take(t, newLoss(t, name), 1<<20)
		for budget, parts := range map[int]int{1 << 20: 1, 1: 12} {
			s.head.passes = 0
			got, gradient := s.take(t, newLoss(t, name), budget)
			passes := parts
			if name == "kto" {
				passes = 2 * parts
			}
			if s.head.passes != passes {
				t.Errorf("%s, %d rows at a time: %d passes forward, want %d", name, budget, s.head.passes, passes)
			}
			s.same(t, fmt.Sprintf("%s, %d rows at a time", name, budget), got, want, gradient, whole)
		}
		if name != "kto" {
			continue
		}
		// z by an evaluation of the same rows is that of the step.
		examples := make(data.Slice, len(s.examples))
		for i, e := range s.examples {
			examples[i] = *e
		}
		forward, err := s.policy.NewGraph(model.GraphOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		e, err := eval.Run(t.Context(), forward, examples, s.refs, newLoss(t, name), 300, nil)
		if err != nil {
			t.Fatal(err)
		}
		kl, ok := e.Metrics(nil, "").Value("kl")
		if !ok || kl == 0 || math.Abs(e.Loss()-want) > 1e-12*want {
			t.Errorf("evaluation: kl %v, %v, loss %.17g, want %.17g", kl, ok, e.Loss(), want)
		}
	}
}

// TestUnpairedMemory: no micro-batch of a run is larger than planned, mismatched rows included.
func TestUnpairedMemory(t *testing.T) {
	for _, budget := range []int{1, 100, 400} {
		o := tiny(t)
		o.Loss, o.MicroBatchTokens, o.NumTrainEpochs = "kto", budget, 2
		o.Data = unpaired(t, o.Data, 20)
		r := runnerOf(t, o)
		plan := r.planned.train
		for step := range r.schedule.total {
			list, _ := r.examples(step)
			var own, other, scored [2]int
			flush := func() {
				if max(own[0], other[0]) > plan.Rows || max(scored[0], scored[1]) > plan.Scored {
					t.Fatalf("%d rows at a time, step %d: %v and %v rows, %v scored; planned %+v", budget, step, own, other, scored, plan)
				}
				own, other, scored = [2]int{}, [2]int{}, [2]int{}
			}
			sum := 0
			for _, e := range list {
				n := trainingSize(e).Rows
				if sum > 0 && sum+n > budget {
					flush()
					sum = 0
				}
				sum += n
				a, b := splitMismatched(e)
				own[0] += data.Rows(a)
				other[0] += data.Rows(b)
				scored[0] += data.Scored(a)
				scored[1] += data.Scored(b)
			}
			flush()
		}
	}
}

// TestUnpairedData: what is said of data that a loss does not take, or takes apart.
func TestUnpairedData(t *testing.T) {
	o := tiny(t)
	rows := unpaired(t, o.Data, 6)
	pairs := head(t, o.Data, 6)
	o.MaxSteps = 1
	o.Data = rows
	_, err := tryRun(t, o, 0)
	if err == nil {
		t.Fatal("dpo takes unpaired rows")
	}
	contains(t, err.Error(), rows+":1: a completion with a label, and loss dpo takes pairs", "bco, kto, apo_zero_unpaired")
	for _, name := range []string{"kto", "apo_zero_unpaired"} {
		o := elsewhere(t, o)
		o.Loss, o.Data = name, pairs
		contains(t, mustRun(t, o).stderr, "12 examples", "6 pairs taken apart: a desirable and an undesirable row of each", "unpaired rows: 6 desirable, 6 undesirable")
	}
	o = elsewhere(t, o)
	o.Loss, o.Data = "bco", pairs
	contains(t, mustRun(t, o).stderr, "6 pairs")
	o = elsewhere(t, o)
	o.EvalData = rows
	o.SaveSteps = 1
	contains(t, mustRun(t, o).stderr, "12 examples", "6 pairs taken apart", "unpaired rows: 4 desirable, 6 undesirable")
	o = elsewhere(t, o)
	o.MetricForBestModel, o.LoadBestModelAtEnd = "rewards/accuracies", true
	if _, err = tryRun(t, o, 0); err == nil {
		t.Fatal("rewards/accuracies finds the best checkpoint among unpaired rows")
	}
	contains(t, err.Error(), "metric_for_best_model: rewards/accuracies; the rows are single completions with labels")
	o.MetricForBestModel, o.LoadBestModelAtEnd = "", false
	mixed := filepath.Join(t.TempDir(), "mixed.jsonl")
	for _, path := range []string{head(t, pairs, 1), rows} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(mixed, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(text)
		f.Close()
	}
	o.Loss, o.Data, o.EvalData = "bco", mixed, ""
	if _, err = tryRun(t, o, 0); err == nil {
		t.Fatal("bco takes unpaired rows behind a pair")
	}
	contains(t, err.Error(), mixed+":2: a completion with a label, and loss bco takes pairs", "bco where the first row of the file is one")
	o.Loss, o.Data = "kto", head(t, pairs, 1)
	if _, err = tryRun(t, o, 0); err == nil {
		t.Fatal("kto takes one prompt alone")
	}
	contains(t, err.Error(), o.Data+": all rows have the same prompt", "loss kto needs that")
	o = elsewhere(t, o)
	o.Loss, o.Data, o.EvalData, o.EvalSteps = "kto", rows, testfiles.Path(t, "pairs_eval.jsonl"), 1
	contains(t, mustRun(t, o).stderr, "pairs taken apart", "evaluation after step 1", "margin")
}

// TestUnpairedNoBest: held-out rows of one kind have no number of the other, and a run that is to find its best checkpoint by that says so.
func TestUnpairedNoBest(t *testing.T) {
	o := tiny(t)
	o.Data = unpaired(t, o.Data, 6)
	text, err := os.ReadFile(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	o.EvalData = filepath.Join(t.TempDir(), "desirable.jsonl")
	if err := os.WriteFile(o.EvalData, []byte(strings.ReplaceAll(string(text), `"label": false`, `"label": true`)), 0o666); err != nil {
		t.Fatal(err)
	}
	o.Loss, o.MaxSteps, o.EvalSteps, o.SaveSteps = "apo_zero_unpaired", 2, 1, 1
	o.MetricForBestModel, o.LoadBestModelAtEnd = "rewards/rejected", true
	r := mustRun(t, o)
	contains(t, r.stderr, "no evaluation had a number for eval_rewards/rejected, so that there is no best checkpoint; the tuned model is that of the last step")
	if strings.Contains(r.stderr, "the best so far:") {
		t.Errorf("stderr names a best checkpoint:\n%s", r.stderr)
	}
	rows := r.rows(t)
	if step, ok := rows[len(rows)-1]["best_step"]; ok {
		t.Errorf("best_step is %v", step)
	}
	sameFile(t, filepath.Join(o.OutputDir, "model.safetensors"), filepath.Join(lastCheckpoint(t, o.OutputDir), "model.safetensors"))
}
