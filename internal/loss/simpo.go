package loss

import "math"

// SimPO is Simple Preference Optimization (Meng, Xia and Chen 2024, arXiv:2405.14734). The reward is the mean log-prob of a token, and
// the chosen side's has to be above the rejected side's by a margin g:
//
//	u = b (pc/nc - pr/nr - g)
//	L = -log s(u)
//	dL/dpc = -b s(-u)/nc, dL/dpr = b s(-u)/nr
//
// The paper's gamma is b g. Like the authors' code this takes g, gamma over beta, which need not be changed with beta. The defaults
// are the authors' for Llama 3 Base; what they found best lies between 2 and 10 for beta and between 0.1 and 0.8 for g.
//
// TRL has it in its CPO trainer, with gamma itself, 0.5, and beta 0.1: a g of 5 nats a token, far above what the authors use. There
// loss_type simpo is this one only with cpo_alpha 0; its default 1 makes it CPOSimPO.
type SimPO struct{ beta, ratio float64 }

var simpoInfo = Info{
	Name:    "simpo",
	Summary: "logistic loss of the log-probs per token, above a margin; no reference",
	Paper:   "Meng et al. 2024, arXiv:2405.14734",
	Needs:   SimPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(2, contrast), {
		Key: "simpo_gamma_beta_ratio", Default: 0.5, Range: Range{Low: 0, High: math.Inf(1)}, Meaning: meanTarget,
	}},
	Instead: map[string]string{"alphapo_alpha": "alphapo", "cpo_simpo_alpha": "cpo_simpo", "ld_alpha": "cpo", "sampo": "cpo"},
	make:    func(s Settings) Loss { return SimPO{s.number("beta"), s.number("simpo_gamma_beta_ratio")} },
}

// What beta and the margin mean to losses on log-probs per token without a reference.
const (
	contrast   = "strength of the contrast between the sides: higher leaves a pair alone sooner once it is won"
	meanTarget = "margin in nats a token that a pair has to reach, the paper's gamma over beta: higher pulls the sides further apart"
)

// meanLogps are the mean log-probs of a token on both sides of example i.
func (b *Batch) meanLogps(i int) (chosen, rejected float64) {
	return b.ChosenLogps[i] / float64(b.ChosenTokens[i]), b.RejectedLogps[i] / float64(b.RejectedTokens[i])
}

// Name implements Loss.
func (SimPO) Name() string { return "simpo" }

// Needs implements Loss.
func (SimPO) Needs() Needs { return Needs{Rejected: true, Means: true} }

// Beta implements Loss.
func (l SimPO) Beta() float64 { return l.beta }

// StepZero implements Loss: there is no reference to be equal to.
func (SimPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l SimPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		chosen, rejected := b.meanLogps(i)
		u := l.beta * (chosen - rejected - l.ratio)
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g/float64(b.ChosenTokens[i]), g/float64(b.RejectedTokens[i])
	}
}
