package train

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/score"
)

// stepper computes the gradient of one optimizer step, cut into micro-batches.
//
// A loss that couples the examples of a step has to see them all before the first derivative is known. Where they are more than one
// micro-batch, the forward half of the graph runs over all of them first; then each goes forward again, to the same bits, and backward.
type stepper struct {
	policy *model.Model
	dev    compute.Device
	graph  *model.Graph
	loss   loss.Loss
	budget int   // rows of a micro-batch
	seed   int64 // of what a loss draws
	prove  bool
	within float64 // nats a token; where it is not 0, the reference's log-probs are of another program

	packer     data.Packer
	batch      compute.Batch
	outcomes   eval.Outcomes
	mismatched mismatched
	in         loss.Batch  // of the micro-batch at hand
	res        loss.Result // likewise
	d          model.Derivatives
	whole      whole
}

// mismatched are the log-probs of the mismatched rows of the step at hand.
type mismatched struct{ policy, reference []float64 }

// whole is a step of a loss that couples its examples.
type whole struct {
	draw     *rand.Rand
	known    bool           // what follows is that of the step at hand
	outcomes []eval.Outcome // without the statistics
	in       loss.Batch
	res      loss.Result
}

// gradient leaves in G the gradient of the mean weighted loss over the examples of a step, counted from 0, adds what it saw to the tally and returns
// the gradient's norm. A loss or gradient that is not finite is an error that names an example and wraps errNonFinite. After an error the loss
// remembers nothing of the step.
func (s *stepper) gradient(step int, examples []*data.Example, refs []score.Logps, t *eval.Tally) (norm float64, err error) {
	if l, ok := s.loss.(loss.Stateful); ok {
		was := l.State()
		defer func() {
			if err != nil {
				err = errors.Join(err, l.SetState(was))
			}
		}()
	}
	s.policy.ResetGradients()
	rows := make([]int, len(examples))
	for i, e := range examples {
		rows[i] = trainingSize(e).Rows
	}
	cut := plan.Cut(rows, s.budget)
	if s.loss.Needs().Mismatched {
		if examples, err = s.passMismatched(examples, refs, cut); err != nil {
			return 0, err
		}
	}
	if s.whole.known = false; s.loss.Needs().Coupled {
		s.whole.draw = rand.New(rand.NewPCG(uint64(s.seed), ^uint64(step))) // data.Order has the low numbers
		if len(cut) > 1 {
			if err := s.lookAhead(examples, refs, cut); err != nil {
				return 0, err
			}
		}
	}
	for _, r := range cut {
		if err := s.microBatch(examples, refs, r, len(examples)); err != nil {
			return 0, err
		}
		t.Add(s.outcomes.List, &s.in, &s.res)
	}
	norm = s.policy.GradNorm()
	if !finite(norm) {
		return 0, s.blame(examples, refs)
	}
	return norm, nil
}

// passMismatched computes the log-probs of the mismatched rows of a step, which no gradient goes through, and gives back its examples without them.
func (s *stepper) passMismatched(examples []*data.Example, refs []score.Logps, cut []plan.Range) (own []*data.Example, err error) {
	m := &s.mismatched
	m.policy, m.reference = m.policy[:0], m.reference[:0]
	other := make([]*data.Example, len(examples))
	for i, e := range examples {
		var a *data.Example
		a, other[i] = splitMismatched(e)
		own = append(own, a)
		m.reference = append(m.reference, refs[i].Sums[1])
	}
	for _, r := range cut {
		s.packer.Pack(&s.batch, other[r.From:r.To])
		out, err := s.graph.ForwardHalf(&s.batch)
		if err != nil {
			return nil, err
		}
		m.policy = append(m.policy, out.Logps...)
	}
	for i, p := range m.policy {
		if !finite(p) {
			return nil, s.nonFinite("log-prob of the mismatched row", examples[i])
		}
		if s.prove && p != m.reference[i] {
			return nil, notProved(examples[i], "the mismatched row", p, m.reference[i])
		}
	}
	return own, nil
}

// lookAhead computes the losses of all examples of a step from its micro-batches' forward passes.
func (s *stepper) lookAhead(examples []*data.Example, refs []score.Logps, cut []plan.Range) error {
	s.whole.outcomes = s.whole.outcomes[:0]
	for _, r := range cut {
		s.packer.Pack(&s.batch, examples[r.From:r.To])
		s.outcomes.Start(examples[r.From:r.To])
		out, err := s.graph.ForwardHalf(&s.batch)
		if err != nil {
			return err
		}
		s.outcomes.SetLogps(out)
		s.whole.outcomes = append(s.whole.outcomes, s.outcomes.List...)
	}
	return s.wholeStep(examples, s.whole.outcomes, refs)
}

// wholeStep computes the losses of all examples of a step at once.
func (s *stepper) wholeStep(examples []*data.Example, outcomes []eval.Outcome, refs []score.Logps) error {
	for i, e := range examples { // or the losses of all would not be finite
		if !finite(outcomes[i].Logps[0]) || !finite(outcomes[i].Logps[1]) || !finite(outcomes[i].SFTLogp) || slices.ContainsFunc(outcomes[i].Middle, func(p float64) bool { return !finite(p) }) {
			return s.nonFinite("log-prob", e)
		}
	}
	w := &s.whole
	eval.LossBatch(&w.in, s.loss, outcomes, refs)
	if l, ok := s.loss.(loss.Stateful); ok {
		l.Step(w.in, w.draw, &w.res)
	} else {
		s.loss.Compute(w.in, &w.res)
	}
	loss.Weigh(s.loss, &w.in, &w.res)
	w.known = true
	return nil
}

// losses fills res for the examples of a range, whose log-probs are in outcomes.
func (s *stepper) losses(examples []*data.Example, refs []score.Logps, r plan.Range) error {
	partRefs := refs
	if refs != nil {
		partRefs = refs[r.From:r.To]
	}
	eval.LossBatch(&s.in, s.loss, s.outcomes.List, partRefs)
	s.in.MismatchedLogps, s.in.RefMismatchedLogps = append(s.in.MismatchedLogps, s.mismatched.policy...), append(s.in.RefMismatchedLogps, s.mismatched.reference...)
	if !s.loss.Needs().Coupled {
		s.loss.Compute(s.in, &s.res)
		loss.Weigh(s.loss, &s.in, &s.res)
		return nil
	}
	if !s.whole.known { // the range is the whole step
		if err := s.wholeStep(examples, s.outcomes.List, refs); err != nil {
			return err
		}
	}
	before := s.whole.in.Part(r.From, r.To)
	if !slices.Equal(s.in.ChosenLogps, before.ChosenLogps) || !slices.Equal(s.in.RejectedLogps, before.RejectedLogps) || !slices.EqualFunc(s.in.MiddleLogps, before.MiddleLogps, slices.Equal) ||
		len(s.in.SFTLogps) > 0 && !slices.Equal(s.in.SFTLogps, before.SFTLogps) ||
		!slices.Equal(s.in.ChosenKL, before.ChosenKL) || !slices.Equal(s.in.RejectedKL, before.RejectedKL) {
		return fmt.Errorf("%s: the log-probs of this example or one of the %d after it are not those that the losses of the step were computed from; please report this", examples[r.From].Place(), r.To-r.From-1)
	}
	s.res = s.whole.res.Part(r.From, r.To)
	return nil
}

// microBatch adds to G the gradient of the losses of a range of the step's examples, times their weights, divided by n.
func (s *stepper) microBatch(all []*data.Example, refs []score.Logps, r plan.Range, n int) error {
	examples := all[r.From:r.To]
	s.packer.Pack(&s.batch, examples)
	s.outcomes.Start(examples)
	out, err := s.graph.ForwardBackward(&s.batch, func(out *model.Output) (float64, model.Derivatives, error) {
		s.outcomes.SetLogps(out)
		if err := s.losses(all, refs, r); err != nil {
			return 0, s.d, err
		}
		s.d.Logps, s.d.KL = s.d.Logps[:0], s.d.KL[:0]
		var sum float64
		for i, e := range examples {
			if !finite(s.res.Losses[i]) {
				return 0, s.d, s.nonFinite("loss", e)
			}
			sum += s.res.Losses[i]
			chosen := len(s.d.Logps)
			s.d.Logps = append(s.d.Logps, s.res.DChosenLogps[i]/float64(n))
			if s.loss.Needs().Lists {
				for _, d := range s.res.DMiddleLogps[i] {
					s.d.Logps = append(s.d.Logps, d/float64(n))
				}
			}
			if len(e.Sequences) > 1 {
				s.d.Logps = append(s.d.Logps, s.res.DRejectedLogps[i]/float64(n))
			}
			rejected := len(s.d.Logps) - 1
			if e.Imitated != nil {
				s.d.Logps = append(s.d.Logps, s.res.DSFTLogps[i]/float64(n))
			}
			if s.loss.Needs().KL {
				s.d.KL = append(s.d.KL, make([]float64, len(s.d.Logps)-chosen)...)
				s.d.KL[chosen], s.d.KL[rejected] = s.res.DChosenKL[i]/float64(n), s.res.DRejectedKL[i]/float64(n)
			}
		}
		if s.prove {
			proof := s.proveStepZero
			if s.within > 0 {
				proof = s.proveTrusted
			}
			if err := proof(examples); err != nil {
				return 0, s.d, err
			}
		}
		return sum / float64(n), s.d, nil
	})
	if err != nil {
		return err
	}
	s.outcomes.SetStatistics(&s.batch, out)
	return nil
}

// proveStepZero checks, on the policy's first forward pass, that it gives the reference's log-probs to the bit and that
// the loss is its closed form there.
func (s *stepper) proveStepZero(examples []*data.Example) error {
	for i, e := range examples {
		first := "chosen"
		if e.Label != data.Unlabelled {
			first = "the completion"
		}
		if policy, ref := s.in.ChosenLogps[i], s.in.RefChosenLogps[i]; policy != ref {
			return notProved(e, first, policy, ref)
		}
		if s.loss.Needs().Rejected {
			if policy, ref := s.in.RejectedLogps[i], s.in.RefRejectedLogps[i]; policy != ref {
				return notProved(e, "rejected", policy, ref)
			}
		}
		if s.loss.Needs().Lists {
			for j, policy := range s.in.MiddleLogps[i] {
				if ref := s.in.RefMiddleLogps[i][j]; policy != ref {
					return notProved(e, fmt.Sprintf("completion %d of the list", j+2), policy, ref)
				}
			}
		}
		if s.loss.Needs().KL && (s.in.ChosenKL[i] != 0 || s.in.RejectedKL[i] != 0) {
			return fmt.Errorf("%s: before the first step policy and reference are the same model, but their divergence is %v for chosen and %v for rejected; please report this",
				e.Place(), s.in.ChosenKL[i], s.in.RejectedKL[i])
		}
		want, closed := loss.StepZeroOf(s.loss, &s.in, i)
		if want *= e.Weight(); closed && math.Abs(s.res.Losses[i]-want) > 1e-12*math.Abs(want) {
			return fmt.Errorf("%s: the loss before the first step is %v, want %v; please report this", e.Place(), s.res.Losses[i], want)
		}
	}
	return nil
}

func notProved(e *data.Example, what string, policy, ref float64) error {
	return fmt.Errorf("%s: before the first step policy and reference are the same model, but the log-prob of %s is %v by the policy and %v by the cache; "+
		"move the cache file away and run \"dpotrain precompute-ref\" again", e.Place(), what, policy, ref)
}

// errNonFinite marks a loss or gradient that is NaN or infinite.
var errNonFinite = errors.New("not finite")

func (s *stepper) nonFinite(what string, e *data.Example) error {
	return fmt.Errorf("%s: the %s of this example is %w", e.Place(), what, errNonFinite)
}

// blame finds the first example whose own gradient is not finite.
func (s *stepper) blame(examples []*data.Example, refs []score.Logps) error {
	for i, e := range examples {
		s.policy.ResetGradients()
		if err := s.microBatch(examples, refs, plan.Range{From: i, To: i + 1}, 1); err != nil {
			return err
		}
		if !finite(s.policy.GradNorm()) {
			return s.nonFinite("gradient", e)
		}
	}
	return fmt.Errorf("the gradient of the whole step is %w though that of every example is", errNonFinite)
}

func finite(x float64) bool { return x-x == 0 }

// clipFactor is torch.nn.utils.clip_grad_norm_'s; a limit of 0 does not clip.
func clipFactor(norm, limit float64) float64 {
	if limit == 0 {
		return 1
	}
	return min(1, limit/(norm+1e-6))
}
