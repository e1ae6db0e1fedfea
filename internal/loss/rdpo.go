package loss

import "math"

// RDPO is length-regularised DPO, R-DPO (Park et al. 2024, arXiv:2403.19159): each token of an answer costs a in reward.
//
//	u = b h + a (nc-nr)
//	L = -log s(u)
//	dL/dpc = -b s(-u) = -dL/dpr
//
// A pair whose chosen side is the longer one counts as partly settled by its length and pulls less, one whose chosen side is the
// shorter one pulls more. With a = 0 it is DPO.
//
// The sign follows from the objective r - a n, whose optimum has the reward b log(policy/reference) + a n; Oat and the lenN of
// SamPO's code have it too. One survey prints, and some code has, a minus, which favours long answers.
type RDPO struct{ beta, alpha float64 }

var rdpoInfo = Info{
	Name:    "rdpo",
	Summary: "dpo with a price on length, so that answers do not grow",
	Paper:   "Park et al. 2024, arXiv:2403.19159",
	Needs:   RDPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "rdpo_alpha", Default: 0.05, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "what a token costs, in units of the reward: higher makes answers shorter",
	}},
	make: func(s Settings) Loss { return RDPO{s.number("beta"), s.number("rdpo_alpha")} },
}

// Name implements Loss.
func (RDPO) Name() string { return "rdpo" }

// Needs implements Loss.
func (RDPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l RDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: it depends on the lengths, unless they cost nothing.
func (l RDPO) StepZero() (float64, bool) { return math.Ln2, l.alpha == 0 }

// Compute implements Loss.
func (l RDPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta*b.margin(i) + l.alpha*float64(b.ChosenTokens[i]-b.RejectedTokens[i])
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
	}
}
