package train

import (
	"errors"
	"fmt"
	"math"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/score"
)

// stepper computes the gradient of one optimizer step, cut into micro-batches.
type stepper struct {
	policy *model.Model
	dev    compute.Device
	graph  *model.Graph
	loss   loss.Loss
	budget int // rows of a micro-batch
	prove  bool

	packer   data.Packer
	batch    compute.Batch
	outcomes eval.Outcomes
	in       loss.Batch
	res      loss.Result
	dLogps   []float64
}

// gradient leaves in G the gradient of the mean weighted loss over the examples, adds what it saw to the tally and returns the
// gradient's norm. A loss or gradient that is not finite is an error that names an example and wraps errNonFinite.
func (s *stepper) gradient(examples []*data.Example, refs []score.Logps, t *eval.Tally) (norm float64, err error) {
	s.dev.Zero(s.policy.G)
	rows := make([]int, len(examples))
	for i, e := range examples {
		rows[i] = data.Rows(*e)
	}
	for _, r := range plan.Cut(rows, s.budget) {
		part, partRefs := examples[r.From:r.To], refs
		if refs != nil {
			partRefs = refs[r.From:r.To]
		}
		if err := s.microBatch(part, partRefs, len(examples)); err != nil {
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

// microBatch adds to G the gradient of the examples' losses, times their weights, divided by n, the number of examples of the whole step.
func (s *stepper) microBatch(examples []*data.Example, refs []score.Logps, n int) error {
	s.packer.Pack(&s.batch, examples)
	s.outcomes.Start(examples)
	out, err := s.graph.ForwardBackward(&s.batch, func(logps []float64) (float64, []float64, error) {
		s.outcomes.SetLogps(logps)
		eval.LossBatch(&s.in, s.loss, s.outcomes.List, refs)
		s.loss.Compute(s.in, &s.res)
		s.in.Weigh(&s.res)
		s.dLogps = s.dLogps[:0]
		var sum float64
		for i, e := range examples {
			if !finite(s.res.Losses[i]) {
				return 0, nil, s.nonFinite("loss", e)
			}
			sum += s.res.Losses[i]
			s.dLogps = append(s.dLogps, s.res.DChosenLogps[i]/float64(n))
			if len(e.Sequences) > 1 {
				s.dLogps = append(s.dLogps, s.res.DRejectedLogps[i]/float64(n))
			}
		}
		if s.prove {
			if err := s.proveStepZero(examples); err != nil {
				return 0, nil, err
			}
		}
		return sum / float64(n), s.dLogps, nil
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
	want, closed := s.loss.StepZero()
	for i, e := range examples {
		for _, side := range []struct {
			name        string
			policy, ref float64
		}{{"chosen", s.in.ChosenLogps[i], s.in.RefChosenLogps[i]}, {"rejected", s.in.RejectedLogps[i], s.in.RefRejectedLogps[i]}} {
			if side.policy != side.ref {
				return fmt.Errorf("%s: before the first step policy and reference are the same model, but the log-prob of %s is %v by the policy and %v by the cache; "+
					"move the cache file away and run \"dpotrain precompute-ref\" again", e.Place(), side.name, side.policy, side.ref)
			}
		}
		if want := want * e.Weight(); closed && math.Abs(s.res.Losses[i]-want) > 1e-12*math.Abs(want) {
			return fmt.Errorf("%s: the loss before the first step is %v, want %v; please report this", e.Place(), s.res.Losses[i], want)
		}
	}
	return nil
}

// errNonFinite marks a loss or gradient that is NaN or infinite.
var errNonFinite = errors.New("not finite")

func (s *stepper) nonFinite(what string, e *data.Example) error {
	return fmt.Errorf("%s: the %s of this example is %w", e.Place(), what, errNonFinite)
}

// blame finds the first example whose own gradient is not finite.
func (s *stepper) blame(examples []*data.Example, refs []score.Logps) error {
	for i, e := range examples {
		var ref []score.Logps
		if refs != nil {
			ref = refs[i : i+1]
		}
		s.dev.Zero(s.policy.G)
		if err := s.microBatch(examples[i:i+1], ref, 1); err != nil {
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
