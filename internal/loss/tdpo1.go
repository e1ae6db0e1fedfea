package loss

import "math"

// TDPO1 is the first form of token-level DPO (Zeng et al. 2024, arXiv:2404.11999): DPO, less what the rejected completion drifts from
// the reference more than the chosen one. With Kw, Kl the divergences KL(reference || policy) of the next-token distributions, summed over the
// tokens of chosen and rejected,
//
//	u = b (h - (Kl-Kw))
//	L = -log s(u)
//	dL/dpc = -b s(-u) = -dL/dpr
//	dL/dKw = -b s(-u) = -dL/dKl
//
// The gradient goes through the divergences: it lowers that of rejected and raises that of chosen.
type TDPO1 struct{ beta float64 }

var tdpo1Info = Info{
	Name:            "tdpo1",
	Summary:         "dpo that counts how far the distributions of each side drift",
	Paper:           "Zeng et al. 2024, arXiv:2404.11999",
	Needs:           TDPO1{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	Instead:         map[string]string{"tdpo2_alpha": "tdpo2"},
	make:            func(s Settings) Loss { return TDPO1{s.number("beta")} },
}

// Name implements Loss.
func (TDPO1) Name() string { return "tdpo1" }

// Needs implements Loss.
func (TDPO1) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true, KL: true} }

// Beta implements Loss.
func (l TDPO1) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (TDPO1) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l TDPO1) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta * (b.margin(i) - (b.RejectedKL[i] - b.ChosenKL[i]))
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
		r.DChosenKL[i], r.DRejectedKL[i] = -g, g
	}
}
