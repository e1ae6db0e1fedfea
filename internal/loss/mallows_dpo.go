package loss

import "math"

// MallowsDPO is DPO with a temperature for every pair, MallowsPO-theta of Chen et al. 2024 (arXiv:2405.14953): where the reference is sure of
// what it would say, people are taken to agree, and the pair counts for more.
//
//	phi = -c log(H)     H: entropy of the reference at the completions, from 0 to 1; see Batch.RefEntropies
//	u = phi b h
//	L = -log s(u)
//	dL/dpc = -phi b s(-u) = -dL/dpr
//
// H comes to 1 for a reference that knows nothing: phi is 0 there, and the pair does not pull at all. Towards 0 phi has no bound; H counts as
// 1e-5 at least, since below that little of it is more than rounding, so that phi is at most 11.5 c.
//
// The scale c, the authors' dispersion_mean, is 0.29 as in their code. It is one over the mean of -log H, so that phi is 1 on average, for a
// reference with H near 0.03, as a tuned model of billions of parameters has. Their code also has beta 10, with means per token and without
// the log-probs of the reference, which is SimPO with phi; this is the paper's equation, with DPO's beta and sums.
type MallowsDPO struct{ beta, scale float64 }

var mallowsDPOInfo = Info{
	Name:    "mallows_dpo",
	Summary: "dpo with a temperature for every pair, by how sure the reference is",
	Paper:   "Chen et al. 2024, arXiv:2405.14953",
	Needs:   MallowsDPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "mallows_dpo_scale", Default: 0.29, Range: Range{Low: 0, LowOpen: true, High: math.Inf(1)},
		Meaning: "what the negative logarithm of the entropy is multiplied by: higher stays closer to the reference, as beta",
	}},
	make: func(s Settings) Loss { return MallowsDPO{s.number("beta"), s.number("mallows_dpo_scale")} },
}

// leastEntropy is what H is taken for where it is less.
const leastEntropy = 1e-5

// Name implements Loss.
func (MallowsDPO) Name() string { return "mallows_dpo" }

// Needs implements Loss.
func (MallowsDPO) Needs() Needs {
	return Needs{Reference: true, Rejected: true, Sums: true, Entropies: true}
}

// Beta implements Loss. The rewards that are logged are without phi, as the authors' are.
func (l MallowsDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (MallowsDPO) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l MallowsDPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		slope := l.scale * -math.Log(min(1, max(leastEntropy, b.RefEntropies[i]))) * l.beta
		u := slope * b.margin(i)
		r.Losses[i] = softplus(-u)
		g := slope * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
	}
}
