package train

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/model"
)

// comparing are losses that compare the distributions of policy and reference: of pairs by themselves, and with a loss that couples them.
var comparing = []string{"tdpo1", "tdpo2", "bco=0.5,tdpo1=1"}

// TestCompareCut: a step of such a loss is the same step however it is cut, with the reference going forward over the same micro-batches; and
// where pairs are not coupled its gradient is the mean of those of its pairs.
func TestCompareCut(t *testing.T) {
	s := newStep(t, 12)
	ref, err := model.Load(scaled(t, tiny(t).Model, 1.1), s.dev)
	if err != nil {
		t.Fatal(err)
	}
	refGraph, err := ref.NewGraph(model.GraphOptions{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	defer refGraph.Close()
	for _, recompute := range []bool{false, true} {
		if s.graph, err = s.policy.NewGraph(model.GraphOptions{Training: true, KL: true, Recompute: recompute}); err != nil {
			t.Fatal(err)
		}
		defer s.graph.Close()
		s.graph.Compare(refGraph)
		for _, name := range comparing {
			want, whole := s.take(t, newLoss(t, name), 1<<20)
			s.graph.Compare(nil)
			if dpo, _ := s.take(t, newLoss(t, "dpo"), 1<<20); dpo == want {
				t.Errorf("%s: the loss is that of dpo", name)
			}
			s.graph.Compare(refGraph)
			for _, budget := range []int{300, 1} {
				got, gradient := s.take(t, newLoss(t, name), budget)
				s.same(t, fmt.Sprintf("%s, %d rows at a time", name, budget), got, want, gradient, whole)
			}
			if newLoss(t, name).Needs().Coupled {
				continue
			}
			mean := make([]float32, len(whole))
			all := *s
			for i := range all.examples {
				s.examples, s.refs = all.examples[i:i+1], all.refs[i:i+1]
				_, gradient := s.take(t, newLoss(t, name), 1)
				for k, g := range gradient {
					mean[k] += g / float32(len(all.examples))
				}
			}
			s.examples, s.refs = all.examples, all.refs
			s.same(t, name+", the mean of the pairs' own", want, want, mean, whole)
		}
		// An evaluation of the same pairs finds what the step finds.
		examples := make(data.Slice, len(s.examples))
		for i, e := range s.examples {
			examples[i] = *e
		}
		forward, err := s.policy.NewGraph(model.GraphOptions{KL: true})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		forward.Compare(refGraph)
		for _, name := range comparing[:2] {
			want, _ := s.take(t, newLoss(t, name), 1<<20)
			e, err := eval.Run(t.Context(), forward, examples, s.refs, newLoss(t, name), 300, nil)
			if err != nil {
				t.Fatal(err)
			}
			kl, ok := e.Metrics(nil, "").Value("kl/rejected")
			if !ok || !(kl > 0) || math.Abs(e.Loss()-want) > 1e-12*want {
				t.Errorf("%s: evaluation: kl/rejected %v, %v, loss %.17g, want %.17g", name, kl, ok, e.Loss(), want)
			}
		}
	}
}

// TestCompare: the reference stays as it was while the policy learns; runs that are interrupted, or compute blocks again, give the same bits;
// and eval of the tuned model those of the last evaluation.
func TestCompare(t *testing.T) {
	for _, name := range comparing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := resumable(t)
			o.Loss, o.NumTrainEpochs = name, 0.8
			o.EvalData = head(t, o.EvalData, 6)
			o.EvalStrategy, o.EvalSteps, o.EvalOnStart = "steps", 3, true
			whole := mustRun(t, o)
			contains(t, whole.stderr, "the first step proves that their log-probs are the same bits and their divergence is 0",
				"compares distributions: the reference goes forward beside the policy in training and evaluations, with ")
			steps := whole.steps(t)
			if first := steps[0]; first["kl/chosen"] != 0 || first["kl/rejected"] != 0 || first["rewards/margins"] != 0 {
				t.Errorf("first step: %v, want divergences of 0", first)
			}
			if last := steps[len(steps)-1]; !(last["kl/chosen"] > 0 && last["kl/rejected"] > 0) {
				t.Errorf("last step: %v, want divergences above 0", last)
			}
			var evaluation row
			for _, one := range whole.rows(t) {
				if _, ok := one["eval_loss"]; ok {
					if evaluation == nil && (one["eval_kl/chosen"] != 0 || one["eval_kl/rejected"] != 0) {
						t.Errorf("evaluation before the first step: %v, want divergences of 0", one)
					}
					evaluation = one
				}
			}
			again := o
			again.RefModel = o.Model
			got, stderr := evalRow(t, again, whole.dir)
			if got["loss"] != evaluation["eval_loss"] || got["kl/chosen"] != evaluation["eval_kl/chosen"] || got["kl/rejected"] != evaluation["eval_kl/rejected"] || got["kl/rejected"] == 0 {
				t.Errorf("eval gives %v, want the last evaluation, %v\n%s", got, evaluation, stderr)
			}
			for _, stop := range []int{1, 4} {
				o := elsewhere(t, o)
				mustStop(t, o, stop)
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
			o = elsewhere(t, o)
			o.GradientCheckpointing = true
			sameBits(t, mustRun(t, o), whole)
		})
	}
}

// TestCompareAnother: the reference may be another model, as long as the vocabulary is one.
func TestCompareAnother(t *testing.T) {
	o := tiny(t)
	o.Loss, o.MaxSteps, o.RefModel = "tdpo2", 1, scaled(t, o.Model, 1.05)
	r := mustRun(t, o)
	if first := r.steps(t)[0]; !(first["kl/chosen"] > 0 && first["kl/rejected"] > 0) {
		t.Errorf("first step: %v, want divergences above 0", first)
	}
	o = elsewhere(t, o)
	o.RefModel = modelWith(t, "llama", "llama", "vocab_size", 400)
	_, err := tryRun(t, o, 0)
	want := fmt.Sprintf("loss tdpo2 compares the distributions of policy and reference, and model %s has a vocabulary of 320, ref_model %s one of 400; take a reference with the same, or another loss", o.Model, o.RefModel)
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestCompareProof: a divergence that is not 0 where it has to be ends the run.
func TestCompareProof(t *testing.T) {
	s := newStep(t, 2)
	ref, err := model.Load(scaled(t, tiny(t).Model, 1.001), s.dev)
	if err != nil {
		t.Fatal(err)
	}
	refGraph, err := ref.NewGraph(model.GraphOptions{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	defer refGraph.Close()
	if s.graph, err = s.policy.NewGraph(model.GraphOptions{Training: true, KL: true}); err != nil {
		t.Fatal(err)
	}
	defer s.graph.Close()
	for i, e := range s.examples {
		s.packer.Pack(&s.batch, []*data.Example{e})
		out, err := s.graph.ForwardHalf(&s.batch)
		if err != nil {
			t.Fatal(err)
		}
		s.refs[i].Sums = slices.Clone(out.Logps)
	}
	s.graph.Compare(refGraph)
	s.loss, s.budget, s.prove = newLoss(t, "tdpo1"), 1<<20, true
	if _, err := s.gradient(0, s.examples, s.refs, eval.NewTally(s.loss)); err == nil || !strings.Contains(err.Error(), "are the same model, but their divergence is ") {
		t.Errorf("error %v, want that the divergence is not 0", err)
	}
}

// TestCompareMemory: what a run takes on the device is what its plan says, the reference beside the policy included; and a dry run says it.
func TestCompareMemory(t *testing.T) {
	o := tiny(t)
	o.Loss, o.EvalData, o.EvalStrategy = "tdpo2", o.Data, "steps"
	r := runnerOf(t, o)
	d := &countingDevice{Device: r.in.Device}
	r.in.Device = d
	if err := r.in.loadPolicy(r.Request, o.Model); err != nil {
		t.Fatal(err)
	}
	if err := r.passOne(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	pass := r.planned.reference.Memory(r.planned.passGraph())
	d.numbers -= pass.Activations + pass.Scratch + pass.Head // is over
	if err := r.build(); err != nil {
		t.Fatal(err)
	}
	defer r.stepper.graph.Close()
	var want int64
	for _, part := range r.planned.phases[1].Parts {
		switch part.Name {
		case "weights", "gradients", "optimizer", "activations", "head", "scratch", "evaluation", "reference":
			want += part.Bytes
		}
	}
	x := &r.planned
	want -= max(d.Workspace(x.policy.Workload(x.trainingGraph())), d.Workspace(x.reference.Workload(x.referenceGraph()))) // which kernels take besides
	want /= numberBytes
	if d.numbers != want {
		t.Errorf("%d numbers on the device, planned %d", d.numbers, want)
	}
	before := d.numbers
	for step := range 3 {
		examples, refs := r.examples(step)
		if _, err := r.stepper.gradient(step, examples, refs, eval.NewTally(r.loss)); err != nil {
			t.Fatal(err)
		}
	}
	r.evalGraph.Compare(r.refGraph)
	if _, err := eval.Run(t.Context(), r.evalGraph, r.in.Eval.Examples, r.evalRefs.All(), r.loss, r.o.MicroBatchTokens, nil); err != nil {
		t.Fatal(err)
	}
	if d.numbers != before {
		t.Errorf("%d more numbers after three steps and an evaluation", d.numbers-before)
	}

	var out, errs bytes.Buffer
	if err := DryRun(t.Context(), request(o, &out, &errs, nil)); err != nil {
		t.Fatal(err)
	}
	contains(t, out.String(), "reference ", "weights and forward pass of the model that is compared with")
	contains(t, errs.String(), "compares distributions")
	o.Loss = "dpo"
	out.Reset()
	if err := DryRun(t.Context(), request(o, &out, &errs, nil)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "compared with") {
		t.Errorf("dpo: %s", out.String())
	}
}
