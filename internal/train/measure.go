package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
)

// Pass is what was measured of a pass over examples.
type Pass struct {
	Seconds float64
	Flops   float64 // that the pass cannot do without; see model.Model.Flops

	PeakMemory int64 // bytes that the process had at most until the pass was done; 0 where that is not known
}

// Measurement is how long the passes over examples took, at best: they are timed three times, after one that is not.
type Measurement struct {
	Pairs, Rows int // rows computed: prompts once for both completions
	Steps       int // optimizer steps of the training pass
	Reference   Pass
	Training    Pass // forward, backward, clipping and AdamW
}

// Measure times a reference pass and a training pass over the first pairs of the training data. The weights that come out are dropped.
// say is told what comes next.
func Measure(ctx context.Context, req Request, pairs int, say func(string)) (*Measurement, error) {
	o := &req.Options
	if err := o.complete(); err != nil {
		return nil, err
	}
	l, err := loss.New(o.Loss, o.LossSettings)
	if err != nil {
		return nil, err
	}
	o.EvalData, o.EvalFraction, o.TrustRefLogps = "", 0, false
	in, err := Open(ctx, req, l)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	all := data.First(in.Train.Examples, pairs)
	if all.Len() == 0 {
		return nil, fmt.Errorf("%s: no row is left to measure with", in.Train.Name)
	}
	o.Rows.Shuffle, o.NumTrainEpochs, o.MaxSteps = false, 1, -1
	s := newSchedule(o, all.Len())
	p := in.planner(o)
	p.training, p.train, p.eval = &s, all, all
	if p.policy, err = model.LoadConfig(o.Model); err != nil {
		return nil, err
	}
	if l.Needs().KL {
		p.reference = p.policy
	}
	x, err := p.choose()
	if err != nil {
		return nil, err
	}
	o.MicroBatchTokens = x.budget
	req.Log.Info(x.summary())
	if err := in.loadPolicy(req, o.Model); err != nil {
		return nil, err
	}
	m := &Measurement{Pairs: all.Len()}
	list := make([]*data.Example, all.Len())
	for i, e := range data.All(all) {
		list[i] = e
		m.Rows += data.Rows(e)
	}
	list, _ = eval.Weigh(l, list, nil, func(i int) *rand.Rand { return eval.TrainingDraw(o.Rows.Seed, 0, i) })
	say("reference pass")
	forward, err := in.Policy.NewGraph(x.evalGraph())
	if err != nil {
		return nil, err
	}
	defer forward.Close()
	refs, err := m.referencePass(ctx, in, forward, list, askFor(l.Needs(), o))
	if err != nil {
		return nil, err
	}
	say("training pass")
	if err := m.trainingPass(ctx, in, o, l, &x, list, refs); err != nil {
		return nil, err
	}
	return m, nil
}

// referencePass measures what the policy takes in the reference's place, and gives back its log-probs.
func (m *Measurement) referencePass(ctx context.Context, in *Inputs, forward *model.Graph, list []*data.Example, ask score.Options) (refs []score.Logps, err error) {
	for _, e := range list {
		m.Reference.Flops += in.forwardFlops(e)
	}
	m.Reference.Seconds, err = timed(func() (err error) {
		t, err := score.Compute(ctx, forward, list, ask, nil)
		refs = t.All()
		return err
	})
	m.Reference.PeakMemory = peakMemory()
	return refs, err
}

// trainingPass measures optimizer steps over all examples.
func (m *Measurement) trainingPass(ctx context.Context, in *Inputs, o *Options, l loss.Loss, x *planned, list []*data.Example, refs []score.Logps) (err error) {
	s := stepper{policy: in.Policy, dev: in.Device, loss: l, budget: o.MicroBatchTokens, seed: o.Rows.Seed}
	if s.graph, err = in.Policy.NewGraph(x.trainingGraph()); err != nil {
		return err
	}
	defer s.graph.Close()
	if x.compare {
		ref, err := in.Policy.Copy().NewGraph(x.referenceGraph())
		if err != nil {
			return err
		}
		defer ref.Close()
		s.graph.Compare(ref)
	}
	for _, e := range list { // backward takes twice what forward does; mismatched rows, and a reference beside, go forward alone
		own, mismatched := splitMismatched(e)
		m.Training.Flops += 3 * in.forwardFlops(own)
		if x.compare {
			m.Training.Flops += in.forwardFlops(own)
		}
		if mismatched != nil {
			m.Training.Flops += in.forwardFlops(mismatched)
		}
	}
	adam := newOptimizer(in.Policy, in.Device, o)
	t := eval.NewTally(l)
	m.Training.Seconds, err = timed(func() error {
		m.Steps = 0
		for at := 0; at < len(list); at += o.stepSize() {
			if err := ctx.Err(); err != nil {
				return err
			}
			to := min(len(list), at+o.stepSize())
			norm, err := s.gradient(m.Steps, list[at:to], refs[at:to], t)
			if err != nil {
				return err
			}
			m.Steps++
			adam.update(m.Steps, o.LearningRate, clipFactor(norm, o.MaxGradNorm))
		}
		return nil
	})
	m.Training.PeakMemory = peakMemory()
	return err
}

// forwardFlops are those that the policy's forward pass over an example cannot do without.
func (in *Inputs) forwardFlops(e *data.Example) float64 {
	var packer data.Packer
	var batch compute.Batch
	packer.Pack(&batch, []*data.Example{e})
	return in.Policy.Flops(&batch)
}

// timed runs f and says how many seconds it takes: the best of three runs after a first one, which lays out memory.
func timed(f func() error) (seconds float64, err error) {
	if err := f(); err != nil {
		return 0, err
	}
	for run := range 3 {
		start := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		if took := time.Since(start).Seconds(); run == 0 || took < seconds {
			seconds = took
		}
	}
	return seconds, nil
}
