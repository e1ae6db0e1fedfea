package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
	"dpotrain/internal/testfiles"
)

// headDevice counts the passes through the model's head, and spoils those from one of them on.
type headDevice struct {
	compute.Device
	passes, spoil int
}

func (d *headDevice) LogProbs(logits compute.Mat, targets compute.RowTargets, logps, lse, entropy, collision []float64, best []int32) {
	d.Device.LogProbs(logits, targets, logps, lse, entropy, collision, best)
	if d.passes++; d.spoil > 0 && d.passes >= d.spoil {
		logps[len(logps)-1] += 1e-12
	}
}

// stepOf is a step of n pairs with a policy that is not the reference.
type stepOf struct {
	stepper
	head     *headDevice
	examples []*data.Example
	refs     []score.Logps
}

// same wants the loss of a step within 1e-12 of what it is in one piece, and of its gradient each tensor within 2e-6 of its l2: what another
// cut may change.
func (s *stepOf) same(t *testing.T, how string, loss, whole float64, gradient, wholeGradient []float32) {
	t.Helper()
	if !(math.Abs(loss-whole) <= 1e-12*math.Abs(whole)) {
		t.Errorf("%s: loss %.17g, in one %.17g", how, loss, whole)
	}
	all := 0.0
	for _, p := range s.policy.Params {
		var diff, l2 float64
		for i := p.Off; i < p.Off+p.Len(); i++ {
			d := float64(gradient[i]) - float64(wholeGradient[i])
			diff, l2 = diff+d*d, l2+float64(wholeGradient[i])*float64(wholeGradient[i])
		}
		if !(diff <= 2e-6*2e-6*l2) {
			t.Errorf("%s: %s differs by %.3g of its l2", how, p.Name, math.Sqrt(diff/l2))
		}
		all += l2
	}
	if all == 0 {
		t.Errorf("%s: the gradient is 0", how)
	}
}

func newStep(t *testing.T, n int) *stepOf {
	t.Helper()
	o := tiny(t)
	s := &stepOf{head: &headDevice{Device: device(t, 1)}}
	s.dev = s.head
	var err error
	if s.policy, err = model.Load(o.Model, s.dev); err != nil {
		t.Fatal(err)
	}
	if s.graph, err = s.policy.NewGraph(model.GraphOptions{Training: true, Rows: 500}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.graph.Close() })
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), o.Data, data.Pairs, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(21, 0))
	for _, e := range data.All(data.First(set.Examples, n)) {
		var ref score.Logps
		for _, q := range e.Sequences { // a token has about 5.8 nats, the logarithm of the vocabulary
			ref.Sums = append(ref.Sums, -float64(len(q.IDs)-q.First)*5.8+4*rng.Float64()-2)
		}
		s.examples, s.refs = append(s.examples, e), append(s.refs, ref)
	}
	return s
}

// take computes the step with a loss and a budget of rows: its mean loss and gradient.
func (s *stepOf) take(t *testing.T, l loss.Loss, budget int) (mean float64, gradient []float32) {
	t.Helper()
	s.loss, s.budget, s.seed = l, budget, 42
	tally := eval.NewTally(l)
	if _, err := s.gradient(3, s.examples, s.refs, tally); err != nil {
		t.Fatal(err)
	}
	if tally.Examples() != len(s.examples) {
		t.Errorf("%d examples counted, want %d", tally.Examples(), len(s.examples))
	}
	gradient = make([]float32, s.policy.Len())
	s.dev.Download(gradient, s.policy.G, 0)
	return tally.Loss(), gradient
}

func newLoss(t *testing.T, name string) loss.Loss {
	t.Helper()
	l, err := loss.New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// remembering is a loss of a name after a step that was not this one, if that makes a difference.
func remembering(t *testing.T, name string) loss.Loss {
	l := newLoss(t, name)
	if s, ok := l.(loss.Stateful); ok {
		var r loss.Result
		s.Step(loss.Batch{ChosenLogps: []float64{-8, -5, -7}, RejectedLogps: []float64{-6, -9, -7}, RefChosenLogps: []float64{-7, -6, -7}, RefRejectedLogps: []float64{-7, -7, -7.5},
			ChosenTokens: []int{1, 1, 1}, RejectedTokens: []int{1, 1, 1}}, rand.New(rand.NewPCG(1, 1)), &r)
	}
	return l
}

// mpo is a sum of losses one of which couples the pairs of a step.
const mpo = "dpo=0.8,bco=0.2,sft=1"

// coupledLosses are those that couple the pairs of a step.
func coupledLosses(t *testing.T) []string {
	return slices.DeleteFunc(append(loss.Names(), mpo), func(name string) bool { return !newLoss(t, name).Needs().Coupled })
}

// TestCoupledCut: a step of a loss that couples its pairs is the same step however it is cut. Log-probs are the same bits, and so the loss differs
// by the order of its sum alone; gradients differ as those of any loss, by 2e-6 of each tensor at most.
func TestCoupledCut(t *testing.T) {
	const pairs = 12
	s := newStep(t, pairs)
	rows := 0
	for _, e := range s.examples {
		rows += data.Rows(e)
	}
	for _, name := range append(coupledLosses(t), "dpo=0.8,sft=1") {
		want, whole := s.take(t, remembering(t, name), 1<<20)
		if alone, _ := s.take(t, newLoss(t, "dpo"), 1<<20); alone == want {
			t.Fatalf("%s: the loss is that of dpo", name)
		}
		for budget, parts := range map[int]int{rows: 1, rows - 1: 2, 1: pairs} {
			s.head.passes = 0
			got, gradient := s.take(t, remembering(t, name), budget)
			passes := 2 * parts
			if parts == 1 || !newLoss(t, name).Needs().Coupled { // the sum is cut as its parts are
				passes = parts
			}
			if s.head.passes != passes {
				t.Errorf("%s, %d rows at a time: %d passes forward of %d micro-batches, want %d", name, budget, s.head.passes, parts, passes)
			}
			s.same(t, fmt.Sprintf("%s, %d rows at a time", name, budget), got, want, gradient, whole)
		}
	}
}

// joined is a loss that is said to couple its pairs.
type joined struct{ loss.Loss }

func (j joined) Needs() loss.Needs {
	n := j.Loss.Needs()
	n.Coupled = true
	return n
}

// TestNotCoupled: seeing the whole step first changes no bit of a loss that need not; without need of it nothing is computed twice.
func TestNotCoupled(t *testing.T) {
	s := newStep(t, 8)
	dpo := newLoss(t, "dpo")
	for _, budget := range []int{1 << 20, 200, 1} {
		s.head.passes = 0
		want, gradient := s.take(t, dpo, budget)
		once := s.head.passes
		s.head.passes = 0
		got, other := s.take(t, joined{dpo}, budget)
		if got != want || !slices.Equal(gradient, other) {
			t.Errorf("%d rows at a time: loss %v, looking at the whole step first %v; gradients are the same: %v", budget, want, got, slices.Equal(gradient, other))
		}
		if twice := s.head.passes; twice != 2*once && !(once == 1 && twice == 1) {
			t.Errorf("%d rows at a time: %d passes forward, looking at the whole step first %d", budget, once, twice)
		}
	}
}

// TestCoupledErrors: log-probs that change between the passes, or are not finite, are errors that name an example, and so is a gradient that is not
// finite. The loss remembers nothing of such a step.
func TestCoupledErrors(t *testing.T) {
	s := newStep(t, 6)
	s.budget = 1
	try := func(l loss.Loss, want ...string) {
		t.Helper()
		s.loss = l
		state := func() string {
			if l, ok := l.(loss.Stateful); ok {
				return fmt.Sprint(l.State())
			}
			return ""
		}
		was := state()
		_, err := s.gradient(0, s.examples, s.refs, eval.NewTally(l))
		if err == nil {
			t.Fatalf("no error, want %q", want)
		}
		contains(t, err.Error(), want...)
		if now := state(); now != was {
			t.Errorf("after %v the loss remembers %s, before %s", err, now, was)
		}
	}
	for _, name := range coupledLosses(t) {
		s.head.passes, s.head.spoil = 0, 9 // the third example's second pass
		try(remembering(t, name), s.examples[2].Place(), "are not those that the losses of the step were computed from")
		s.head.spoil = 0
	}
	for _, budget := range []int{1, 1 << 20} {
		s.budget = budget
		try(steepStep{remembering(t, "bco").(loss.Stateful)}, s.examples[2].Place(), "the gradient of this example is not finite")
	}
	// Weights that are no use give log-probs that are none.
	w := make([]float32, s.policy.Len())
	s.dev.Download(w, s.policy.W, 0)
	for i := range w {
		w[i] *= 1e30
	}
	s.dev.Upload(s.policy.W, 0, w)
	for _, budget := range []int{1, 1 << 20} {
		s.budget = budget
		try(remembering(t, "bco"), s.examples[0].Place(), "the log-prob of this example is not finite")
	}
}

// steepStep has an infinite derivative for the third example of a step.
type steepStep struct{ loss.Stateful }

func (s steepStep) Step(b loss.Batch, draw *rand.Rand, r *loss.Result) {
	s.Stateful.Step(b, draw, r)
	r.DChosenLogps[2] = math.Inf(1)
}

// remembers are options of a short run with a loss that remembers something, whose steps are cut into several micro-batches.
func remembers(t *testing.T, name string) Options {
	o := resumable(t)
	o.Loss, o.NumTrainEpochs, o.SaveSteps = name, 1.2, 4
	return o
}

// TestResumeState stops runs of losses that remember something, and goes on with them to the same bits.
func TestResumeState(t *testing.T) {
	for name, own := range map[string][]string{"bco": {"delta"}, "beta_dpo": {"beta_used", "M0"}, mpo: {"delta"}} {
		t.Run(name, func(t *testing.T) {
			o := remembers(t, name)
			whole := mustRun(t, o)
			steps := whole.steps(t)
			if len(steps) != 12 {
				t.Fatalf("%d steps, want 12", len(steps))
			}
			for _, metric := range own {
				if first, last := steps[0][metric], steps[11][metric]; first == last || math.IsNaN(last) {
					t.Errorf("%s is %v in the first step and %v in the last", metric, first, last)
				}
			}
			for _, stop := range []int{1, 7, 10} {
				o := elsewhere(t, o)
				mustStop(t, o, stop)
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
			// There was something to go on from.
			o = elsewhere(t, o)
			mustStop(t, o, 7)
			r := runnerOf(t, o)
			if found, err := restoreLoss(r.loss, lastCheckpoint(t, o.OutputDir)); err != nil || !found {
				t.Fatalf("the state of step 7: %v, %v", found, err)
			}
			if now := r.loss.(loss.Stateful).State(); fmt.Sprint(now) == fmt.Sprint(newLoss(t, name).(loss.Stateful).State()) {
				t.Errorf("the state after step 7 is that before the first: %v", now)
			}
		})
	}
}

// evalRow is what Eval prints of a model.
func evalRow(t *testing.T, o Options, dir string) (got row, stderr string) {
	t.Helper()
	o.Model, o.Data = dir, o.EvalData
	var out, errs bytes.Buffer
	if err := Eval(context.Background(), request(o, &out, &errs, nil), EvalOptions{JSON: true, LossGiven: true}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got, errs.String()
}

// TestEvalState: a saved model is evaluated with what its loss remembered there, and gives the bits of the evaluation in training: the model of the
// last step, and that of the best one.
func TestEvalState(t *testing.T) {
	const without = "has no state of loss "
	for _, name := range []string{"bco", "beta_dpo"} {
		o := remembers(t, name)
		higher := true // the loss falls: the best of all is the first evaluation
		o.EvalSteps, o.LoadBestModelAtEnd, o.GreaterIsBetter = 4, true, &higher
		r := mustRun(t, o)
		losses := map[float64]float64{}
		best := 0.0
		for _, one := range r.rows(t) {
			if v, ok := one["eval_loss"]; ok {
				losses[one["step"]] = v
			}
			if v, ok := one["best_step"]; ok {
				best = v
			}
		}
		if best != 4 || losses[4] == losses[12] {
			t.Fatalf("%s: best step %v, losses %v", name, best, losses)
		}
		sameFile(t, filepath.Join(r.dir, RunFile), filepath.Join(r.dir, "checkpoint-4", RunFile))
		for step, dir := range map[float64]string{4: r.dir, 12: filepath.Join(r.dir, "checkpoint-12")} {
			got, stderr := evalRow(t, o, dir)
			if got["loss"] != losses[step] || strings.Contains(stderr, without) {
				t.Errorf("%s: eval of %s gives the loss %v, training after step %v %v\n%s", name, dir, got["loss"], step, losses[step], stderr)
			}
		}
		// A model whose run had another loss has nothing to tell, and is evaluated as at the start of a run.
		o.Loss = map[string]string{"bco": "beta_dpo", "beta_dpo": "bco"}[name]
		got, stderr := evalRow(t, o, r.dir)
		contains(t, stderr, r.dir+" "+without+o.Loss)
		if o.Loss == "beta_dpo" {
			o.Loss = "dpo"
			if dpo, _ := evalRow(t, o, r.dir); got["loss"] != dpo["loss"] {
				t.Errorf("beta_dpo without a state: loss %v, dpo %v", got["loss"], dpo["loss"])
			}
		}
	}
}

func TestRestoreLoss(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		loss, text string
		found      bool
		err        string
	}{
		{"bco", "", false, ""},
		{"dpo", "", true, ""},
		{"bco", `{"version": 1, "reference": "00"}`, false, ""},
		{"bco", `{"version": 1, "loss_state": {"loss": "beta_dpo", "values": {}}}`, false, ""},
		{"bco", `{"version": 1, "loss_state": {"loss": "bco", "values": {"mean": -1.5, "pairs": 64}}}`, true, ""},
		{"bco", `{"version": 1, "loss_state": {"loss": "bco", "values": {"mean": -1.5}}}`, false, "is damaged: loss_state: "},
		{"bco", `{"version": 1, "loss_state": {"loss": "bco", "values": {"mean": -1.5, "pairs": -1}}}`, false, "is damaged: loss_state: "},
		{"bco", `{"version": 1, "loss_state": "none"}`, false, "is damaged"},
		{mpo, `{"version": 1, "loss_state": {"loss": "bco", "values": {"mean": -1.5, "pairs": 64}}}`, false, ""},
		{mpo, `{"version": 1, "loss_state": {"loss": "dpo=0.8,bco=0.2,sft=1", "values": {"mean": -1.5, "pairs": 64}}}`, false, "is damaged: loss_state: "},
		{"dpo=0.8,sft=1", "", true, ""},
		{"bco", `{"version": 2}`, false, "use a newer dpotrain"},
	} {
		path := filepath.Join(dir, RunFile)
		if err := os.WriteFile(path, []byte(tt.text), 0o666); err != nil {
			t.Fatal(err)
		}
		if tt.text == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		l := newLoss(t, tt.loss)
		found, err := restoreLoss(l, dir)
		if found != tt.found || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s from %s: %v, %v, want %v, error %q", tt.loss, tt.text, found, err, tt.found, tt.err)
		}
		if s, ok := l.(loss.Stateful); ok && found && s.State()["mean"] != -1.5 {
			t.Errorf("%s from %s: %v", tt.loss, tt.text, s.State())
		}
	}
}

// TestCoupledMemory: seeing a step before its gradient takes no memory on the device.
func TestCoupledMemory(t *testing.T) {
	numbers := map[string]int64{}
	for _, name := range []string{"dpo", "bco"} {
		o := tiny(t)
		o.Loss, o.MicroBatchTokens = name, 100
		r := runnerOf(t, o)
		d := &countingDevice{Device: r.in.Device}
		r.in.Device = d
		if err := r.in.loadPolicy(r.Request, o.Model); err != nil {
			t.Fatal(err)
		}
		if err := r.passOne(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := r.build(); err != nil {
			t.Fatal(err)
		}
		examples, refs := r.examples(0)
		if _, err := r.stepper.gradient(0, examples, refs, eval.NewTally(r.loss)); err != nil {
			t.Fatal(err)
		}
		numbers[name] = d.numbers
		if err := r.stepper.graph.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if numbers["dpo"] != numbers["bco"] || numbers["dpo"] == 0 {
		t.Errorf("numbers on the device: %v, want as many", numbers)
	}
}

// TestCoupledSkip: of steps that are skipped nothing is remembered.
func TestCoupledSkip(t *testing.T) {
	o := tiny(t)
	o.Loss, o.LossSettings = "bco", loss.Settings{"beta": 1e300} // of which no float32 gradient is finite
	o.Data = head(t, testfiles.Path(t, "pairs.jsonl"), 8)
	o.NumTrainEpochs, o.OnNonfinite, o.SaveSteps = 1, "skip", 2
	r := mustRun(t, o)
	contains(t, r.stderr, "2 of 2 steps were skipped")
	l := newLoss(t, "bco")
	if found, err := restoreLoss(l, filepath.Join(r.dir, "checkpoint-2")); err != nil || !found || l.(loss.Stateful).State()["pairs"] != 0 {
		t.Errorf("after two skipped steps: %v, %v, %v", l.(loss.Stateful).State(), found, err)
	}
}
