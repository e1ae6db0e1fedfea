package loss

import "math"

// TruncatedQuadratic is the truncated quadratic loss of GPO (Tang et al. 2024, arXiv:2402.05749, table 1):
//
//	L = max(0, 1 - b h)^2
//	dL/dpc = -2 b max(0, 1 - b h) = -dL/dpr
//
// A pair pulls the harder the further it is from a reward margin of 1, and not at all beyond.
type TruncatedQuadratic struct{ beta float64 }

var truncatedQuadraticInfo = Info{
	Name:            "truncated_quadratic",
	Summary:         "squared hinge of the margin: pairs that are settled are left alone, those far off pull hardest",
	Paper:           "Tang et al. 2024, arXiv:2402.05749",
	Needs:           TruncatedQuadratic{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	make:            func(s Settings) Loss { return TruncatedQuadratic{s.number("beta")} },
}

// Name implements Loss.
func (TruncatedQuadratic) Name() string { return "truncated_quadratic" }

// Needs implements Loss.
func (TruncatedQuadratic) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l TruncatedQuadratic) Beta() float64 { return l.beta }

// StepZero implements Loss: 1.
func (TruncatedQuadratic) StepZero() (float64, bool) { return 1, true }

// Compute implements Loss.
func (l TruncatedQuadratic) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		short := math.Max(0, 1-l.beta*b.margin(i))
		r.Losses[i] = short * short
		r.DChosenLogps[i], r.DRejectedLogps[i] = -2*l.beta*short, 2*l.beta*short
	}
}
