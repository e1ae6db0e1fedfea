package loss

import "math"

// Robust is robust DPO (Chowdhury, Kini and Natarajan 2024, arXiv:2403.00409). It takes a share e of the pairs to have their sides
// exchanged, as CDPO does, and corrects the loss for them: over such labels it is on average what DPO is over true ones.
//
//	u = b h
//	L = (-(1-e) log s(u) + e log s(-u)) / (1-2e) = -log s(u) - u e/(1-2e)
//	dL/dpc = -b (s(-u) + e/(1-2e)) = -dL/dpr
//
// The second term has the sign opposite to CDPO's, and with it the opposite effect: a wide margin is not pushed back but on, without
// end and with at least b e/(1-2e), and the loss falls below 0. With e = 0 it is DPO.
//
// TRL has this formula; its default of label_smoothing is 0, which is DPO, where the paper recommends 0.1. Liger-Kernel's comment
// calls it cDPO, its code is this.
type Robust struct{ beta, smoothing float64 }

var robustInfo = Info{
	Name:    "robust",
	Summary: "dpo corrected for a share of wrong labels: right on average, without a bound",
	Paper:   "Chowdhury et al. 2024, arXiv:2403.00409",
	Needs:   Robust{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "label_smoothing", Default: 0.1, Neutral: 0.0, Range: Range{Low: 0, High: 0.5, HighOpen: true},
		Meaning: "share of the pairs that is taken to have chosen and rejected exchanged: higher pushes wide margins harder",
	}},
	make: func(s Settings) Loss { return Robust{s.number("beta"), s.number("label_smoothing")} },
}

// Name implements Loss.
func (Robust) Name() string { return "robust" }

// Needs implements Loss.
func (Robust) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l Robust) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (Robust) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l Robust) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	extra := l.smoothing / (1 - 2*l.smoothing)
	for i := range r.Losses {
		u := l.beta * b.margin(i)
		r.Losses[i] = softplus(-u) - extra*u
		g := l.beta * (sigmoid(-u) + extra)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
	}
}
