package loss

// IPOSum is IPO on sums, as the paper's equation 17 reads:
//
//	L = (h - 1/(2b))^2
//	dL/dpc = 2 (h - 1/(2b)) = -dL/dpr
//
// Its gradients grow with the margin's distance from the target, in nats a completion: clip the gradient norm.
type IPOSum struct{ beta float64 }

var ipoSumInfo = Info{
	Name:            "ipo_sum",
	Summary:         "regression of the margin to 1/(2 beta), as the paper writes it",
	Paper:           "Azar et al. 2023, arXiv:2310.12036",
	Needs:           IPOSum{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, "the paper's tau: the margin is led to 1/(2 beta) nats; higher stays closer to the reference")},
	make:            func(s Settings) Loss { return IPOSum{s.number("beta")} },
}

// Name implements Loss.
func (IPOSum) Name() string { return "ipo_sum" }

// Needs implements Loss.
func (IPOSum) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l IPOSum) Beta() float64 { return l.beta }

// StepZero implements Loss: 1/(4 b^2).
func (l IPOSum) StepZero() (float64, bool) { return ipoStepZero(l.beta), true }

// Compute implements Loss.
func (l IPOSum) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		e := b.margin(i) - ipoTarget(l.beta)
		r.Losses[i] = e * e
		r.DChosenLogps[i], r.DRejectedLogps[i] = 2*e, -2*e
	}
}
