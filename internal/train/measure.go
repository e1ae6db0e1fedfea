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
	in, err := Open(req, l)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	all := in.Train.Examples
	all = all[:min(len(all), pairs)]
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no row is left to measure with", in.Train.Name)
	}
	o.Rows.Shuffle, o.NumTrainEpochs, o.MaxSteps = false, 1, -1
	s := newSchedule(o, len(all))
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
	m := &Measurement{Pairs: len(all)}
	list, rows := make([]*data.Example, len(all)), make([]int, len(all))
	for i := range all {
		list[i], rows[i] = &all[i], data.Rows(all[i])
		m.Rows += rows[i]
	}
	list, _ = eval.Weigh(l, list, nil, func(i int) *rand.Rand { return eval.TrainingDraw(o.Rows.Seed, 0, i) })

	say("reference pass")
	forward, err := in.Policy.NewGraph(x.evalGraph())
	if err != nil {
		return nil, err
	}
	defer forward.Close()
	var (
		packer data.Packer
		batch  compute.Batch
		refs   []score.Logps
	)
	for _, e := range list {
		packer.Pack(&batch, []*data.Example{e})
		m.Reference.Flops += in.Policy.Flops(&batch)
	}
	reference := func() (err error) {
		refs, err = score.Compute(ctx, forward, list, score.Options{Tokens: l.Needs().TokenWeights, Entropies: l.Needs().Entropies, MicroBatchTokens: o.MicroBatchTokens}, nil)
		return err
	}
	if m.Reference.Seconds, err = timed(reference); err != nil {
		return nil, err
	}
	m.Reference.PeakMemory = peakMemory()

	say("training pass")
	stepper := stepper{policy: in.Policy, dev: in.Device, loss: l, budget: o.MicroBatchTokens, seed: o.Rows.Seed}
	if stepper.graph, err = in.Policy.NewGraph(x.trainingGraph()); err != nil {
		return nil, err
	}
	defer stepper.graph.Close()
	if x.compare {
		ref, err := in.Policy.Copy().NewGraph(x.referenceGraph())
		if err != nil {
			return nil, err
		}
		defer ref.Close()
		stepper.graph.Compare(ref)
	}
	adam := newOptimizer(in.Policy, in.Device, o)
	t := eval.NewTally(l)
	training := func() error {
		m.Steps = 0
		for at := 0; at < len(list); at += o.stepSize() {
			if err := ctx.Err(); err != nil {
				return err
			}
			to := min(len(list), at+o.stepSize())
			norm, err := stepper.gradient(m.Steps, list[at:to], refs[at:to], t)
			if err != nil {
				return err
			}
			m.Steps++
			adam.update(m.Steps, o.LearningRate, clipFactor(norm, o.MaxGradNorm))
		}
		return nil
	}
	for _, e := range list { // backward takes twice what forward does; mismatched rows, and a reference beside, go forward alone
		own, mismatched := splitMismatched(e)
		packer.Pack(&batch, []*data.Example{own})
		m.Training.Flops += 3 * in.Policy.Flops(&batch)
		if x.compare {
			m.Training.Flops += in.Policy.Flops(&batch)
		}
		if mismatched != nil {
			packer.Pack(&batch, []*data.Example{mismatched})
			m.Training.Flops += in.Policy.Flops(&batch)
		}
	}
	m.Training.Seconds, err = timed(training)
	m.Training.PeakMemory = peakMemory()
	return m, err
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
