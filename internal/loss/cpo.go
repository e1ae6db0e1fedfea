package loss

import "math"

// CPO is Contrastive Preference Optimization (Xu et al. 2024, arXiv:2401.08417): DPO as if the reference found all completions
// equally likely, beside supervised fine-tuning on the chosen one, which keeps it likely; a is cpo_alpha.
//
//	u = b (pc - pr)
//	L = -log s(u) - a pc/nc
//	dL/dpc = -b s(-u) - a/nc, dL/dpr = b s(-u)
//
// The contrast is of sums, so that at the start the longer side is usually the less likely one. The paper writes the second term
// as the log-prob of the whole completion; TRL and the authors' code, ALMA, take the mean over the tokens of a batch. Here each
// completion counts the same.
type CPO struct{ beta, alpha float64 }

var cpoInfo = Info{
	Name:    "cpo",
	Summary: "dpo without a reference, and supervised fine-tuning in its place",
	Paper:   "Xu et al. 2024, arXiv:2401.08417",
	Needs:   CPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, contrast), {
		Key: "cpo_alpha", Default: 1.0, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)}, Meaning: sftAlpha,
	}},
	make: func(s Settings) Loss { return CPO{s.number("beta"), s.number("cpo_alpha")} },
}

// sftAlpha is what alpha means to CPO and CPOSimPO.
const sftAlpha = "weight of supervised fine-tuning on the chosen completion beside the contrast: higher keeps it likelier"

// Name implements Loss.
func (CPO) Name() string { return "cpo" }

// Needs implements Loss.
func (CPO) Needs() Needs { return Needs{Rejected: true, Sums: true, Means: true, SFT: true} }

// Beta implements Loss.
func (l CPO) Beta() float64 { return l.beta }

// Rewards are beta times the log-probs, of whole completions as in the contrast; TRL logs the same.
func (l CPO) Rewards(b *Batch, i int) (chosen, rejected float64) {
	return l.beta * b.ChosenLogps[i], l.beta * b.RejectedLogps[i]
}

// StepZero implements Loss: there is no reference to be equal to.
func (CPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l CPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u := l.beta * (b.ChosenLogps[i] - b.RejectedLogps[i])
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
		r.addSFT(&b, i, l.alpha)
	}
}
