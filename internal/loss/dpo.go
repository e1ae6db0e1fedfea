package loss

import "math"

// DPO is the sigmoid loss of Rafailov et al. 2023 (arXiv:2305.18290, eq. 7):
//
//	L = -log s(b h)
//	dL/dpc = -b s(-b h) = -dL/dpr
//
// It has no label smoothing: that is cDPO, a loss of its own. Its default beta is 0.1.
type DPO struct{ beta float64 }

var dpoInfo = Info{
	Name:            "dpo",
	Aliases:         []string{"sigmoid"}, // TRL
	Summary:         "logistic loss of the margin",
	Paper:           "Rafailov et al. 2023, arXiv:2305.18290",
	Needs:           DPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	Instead:         map[string]string{"label_smoothing": "cdpo", "rdpo_alpha": "rdpo", "rpo_alpha": "rpo", "cpo_alpha": "cpo"},
	make:            func(s Settings) Loss { return DPO{s.number("beta")} },
}

// Name implements Loss.
func (DPO) Name() string { return "dpo" }

// Needs implements Loss.
func (DPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l DPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (DPO) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l DPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta * b.margin(i)
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
	}
}
