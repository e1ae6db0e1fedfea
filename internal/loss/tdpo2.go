package loss

import "math"

// TDPO2 is the second form of token-level DPO (Zeng et al. 2024, arXiv:2404.11999), TDPO1 with the chosen completion's divergence held
// fixed and a weight a. With sg the identity that lets no gradient through,
//
//	u = b (h - a (Kl-sg(Kw)))
//	L = -log s(u)
//	dL/dpc = -b s(-u) = -dL/dpr
//	dL/dKl = a b s(-u),  dL/dKw = 0
//
// so that the rejected side is held near the reference and the chosen one is free. With a = 0 it is DPO. The authors' default is a = 0.5; the
// command in their README that is to run this form runs TDPO1, as its config leaves if_tdpo2 false.
type TDPO2 struct{ beta, alpha float64 }

var tdpo2Info = Info{
	Name:    "tdpo2",
	Summary: "dpo that holds the distributions of the rejected side",
	Paper:   "Zeng et al. 2024, arXiv:2404.11999",
	Needs:   TDPO2{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "tdpo2_alpha", Default: 0.5, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "weight of the divergence: higher holds the rejected side closer to the reference",
	}},
	make: func(s Settings) Loss { return TDPO2{s.number("beta"), s.number("tdpo2_alpha")} },
}

// Name implements Loss.
func (TDPO2) Name() string { return "tdpo2" }

// Needs implements Loss.
func (TDPO2) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true, KL: true} }

// Beta implements Loss.
func (l TDPO2) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (TDPO2) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l TDPO2) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta * (b.margin(i) - l.alpha*(b.RejectedKL[i]-b.ChosenKL[i]))
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
		r.DRejectedKL[i] = l.alpha * g
	}
}
