package loss

import "math"

// DPONorm is DPO on means per token, as Tulu 3 was trained (Lambert et al. 2024, arXiv:2411.15124):
//
//	d = (pc-rc)/nc - (pr-rr)/nr
//	L = -log s(b d)
//	dL/dpc = -b s(-b d)/nc, dL/dpr = b s(-b d)/nr
//
// Long completions weigh no more than short ones. A mean is smaller than a sum by the length, so that beta has to be larger: 5, the
// default here, in Tulu 3's program open-instruct. TRL calls the loss sigmoid_norm and leaves beta at 0.1, with which it hardly moves.
type DPONorm struct{ beta float64 }

var dpoNormInfo = Info{
	Name:            "dpo_norm",
	Aliases:         []string{"sigmoid_norm"}, // TRL
	Summary:         "dpo with log-probs per token: length does not count",
	Paper:           "Lambert et al. 2024, arXiv:2411.15124",
	Needs:           DPONorm{}.Needs(),
	Instead:         map[string]string{"ld_alpha": "dpo", "sampo": "dpo"},
	Hyperparameters: []Hyperparameter{beta(5, pull+"; counts for means per token")},
	make:            func(s Settings) Loss { return DPONorm{s.number("beta")} },
}

// meanMargin is the margin of example i per token, each side by its own length.
func (b *Batch) meanMargin(i int) float64 {
	chosen, rejected := b.logRatios(i)
	return chosen/float64(b.ChosenTokens[i]) - rejected/float64(b.RejectedTokens[i])
}

// Name implements Loss.
func (DPONorm) Name() string { return "dpo_norm" }

// Needs implements Loss.
func (DPONorm) Needs() Needs { return Needs{Reference: true, Rejected: true, Means: true} }

// Beta implements Loss.
func (l DPONorm) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (DPONorm) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l DPONorm) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta * b.meanMargin(i)
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g/float64(b.ChosenTokens[i]), g/float64(b.RejectedTokens[i])
	}
}
