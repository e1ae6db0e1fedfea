package loss

import "math"

// RPO is the loss of Iterative Reasoning Preference Optimization (Pang et al. 2024, arXiv:2404.19733): DPO with the negative log-likelihood
// of the chosen completion beside it.
//
//	L = -log s(b h) - alpha pc/nc
//	dL/dpc = -b s(-b h) - alpha/nc, dL/dpr = b s(-b h)
//
// The second term, SFT's, keeps the chosen completion from becoming less probable. It is of the policy alone: the loss has no constant value at
// the start. With alpha 0 it is DPO.
//
// The paper divides by the length, and so do Oat, OpenRLHF and LLaMA-Factory. TRL, which had it as rpo_alpha and now has it as a list of sigmoid
// and sft with weights, takes the mean over the tokens of the micro-batch: long completions weigh more, and results depend on what shares a
// batch. The defaults are the paper's, beta 0.1 and alpha 1.
//
// Regularized Preference Optimization (Liu et al. 2024, arXiv:2405.16436) has the same form, with beta 0.01 and alpha 0.005. Reward-aware
// Preference Optimization, called RPO too, is another loss.
type RPO struct{ beta, alpha float64 }

var rpoInfo = Info{
	Name:    "rpo",
	Summary: "dpo and the mean negative log-likelihood of the chosen completion, weighted",
	Paper:   "Pang et al. 2024, arXiv:2404.19733",
	Needs:   RPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "rpo_alpha", Default: 1.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "weight of the chosen completion's mean negative log-likelihood: higher imitates it more, 0 is dpo",
	}},
	make: func(s Settings) Loss { return RPO{s.number("beta"), s.number("rpo_alpha")} },
}

// Name implements Loss.
func (RPO) Name() string { return "rpo" }

// Needs implements Loss.
func (RPO) Needs() Needs {
	return Needs{Reference: true, Rejected: true, Sums: true, Means: true, SFT: true}
}

// Beta implements Loss.
func (l RPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2 for alpha 0; else the likelihood adds what the completion is worth.
func (l RPO) StepZero() (float64, bool) { return math.Ln2, l.alpha == 0 }

// Compute implements Loss.
func (l RPO) Compute(b Batch, r *Result) {
	DPO{l.beta}.Compute(b, r)
	for i := range r.Losses {
		r.addSFT(&b, i, l.alpha)
	}
}
