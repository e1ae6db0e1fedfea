package loss

// IPO is the squared loss of Azar et al. 2023 (arXiv:2310.12036, eq. 17) on per-token means; beta is the paper's tau:
//
//	d = (pc-rc)/nc - (pr-rr)/nr
//	L = (d - 1/(2b))^2
//	dL/dpc = 2 (d - 1/(2b)) / nc, dL/dpr = -2 (d - 1/(2b)) / nr
//
// The paper writes sums and never speaks of lengths; the DPO authors' repository and OpenRLHF follow it (ipo_sum here).
// TRL, HALOs and LLaMA-Factory divide by the lengths, on the word of the IPO authors as TRL reports it; that is the
// default here. The target 1/(2b) is in nats a token: with beta 0.1 it is 5, out of reach, and the loss pushes at a
// constant strength; 0.1 to 1 are worth a search.
type IPO struct{ beta float64 }

var ipoInfo = Info{
	Name:            "ipo",
	Summary:         "regression of the per-token margin to 1/(2 beta)",
	Paper:           "Azar et al. 2023, arXiv:2310.12036",
	Needs:           IPO{}.Needs(),
	Instead:         map[string]string{"ld_alpha": "ipo_sum", "sampo": "ipo_sum"},
	Hyperparameters: []Hyperparameter{beta(0.1, "the paper's tau: the margin is led to 1/(2 beta) nats a token; higher stays closer to the reference")},
	make:            func(s Settings) Loss { return IPO{s.number("beta")} },
}

// Name implements Loss.
func (IPO) Name() string { return "ipo" }

// Needs implements Loss.
func (IPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Means: true} }

// Beta implements Loss.
func (l IPO) Beta() float64 { return l.beta }

// StepZero implements Loss: 1/(4 b^2).
func (l IPO) StepZero() (float64, bool) { return ipoStepZero(l.beta), true }

// Compute implements Loss.
func (l IPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		e := b.meanMargin(i) - ipoTarget(l.beta)
		r.Losses[i] = e * e
		r.DChosenLogps[i], r.DRejectedLogps[i] = 2*e/float64(b.ChosenTokens[i]), -2*e/float64(b.RejectedTokens[i])
	}
}

// ipoTarget is the margin that the loss regresses to.
func ipoTarget(beta float64) float64 { return 1 / (2 * beta) }

// ipoStepZero is the loss at margin 0.
func ipoStepZero(beta float64) float64 { return ipoTarget(beta) * ipoTarget(beta) }
