package loss

import "math"

// AlphaPO is SimPO with a reward of another shape (Gupta et al. 2025, arXiv:2501.03884):
//
//	f(x) = (1 - e^(-a x))/a, and x for a = 0
//	u = b (f(pc/nc) - f(pr/nr) - g)
//	L = -log s(u)
//	dL/dpc = -b s(-u) e^(-a pc/nc)/nc, dL/dpr = b s(-u) e^(-a pr/nr)/nr
//
// For a above 0 an improbable side pulls more than a probable one, for a below 0 less; a = 0 is SimPO, a = 1 makes the reward the
// negative inverse of the mean probability, a = -1 that probability. The defaults are the authors' for Mistral Instruct: beta 2.5, a
// 0.25, and g, the paper's gamma over beta, 0.1. It is not alpha-DPO (arXiv:2410.10148).
//
// TRL has it in its CPO trainer, with alpha, 0 by default, and gamma itself. Its paper index has gamma 0.1 for these settings, where
// the authors' ratio makes 0.25. It raises probabilities to a power, which overflows for improbable completions; here f goes on as a
// straight line from a x = -80 on, which takes 320 nats a token at the default.
type AlphaPO struct{ beta, alpha, ratio float64 }

var alphapoInfo = Info{
	Name:    "alphapo",
	Summary: "simpo with a reward of another shape: improbable sides pull more, or less; no reference",
	Paper:   "Gupta et al. 2025, arXiv:2501.03884",
	Needs:   AlphaPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(2.5, contrast), {
		Key: "alphapo_alpha", Default: 0.25, Range: Range{Low: math.Inf(-1), High: math.Inf(1)},
		Meaning: "shape of the reward, 0 is simpo's: above 0 improbable sides pull more, below 0 less",
	}, {
		Key: "alphapo_gamma_beta_ratio", Default: 0.1, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "margin of the shaped rewards that a pair has to reach, the paper's gamma over beta: higher pulls the sides further apart",
	}},
	make: func(s Settings) Loss {
		return AlphaPO{s.number("beta"), s.number("alphapo_alpha"), s.number("alphapo_gamma_beta_ratio")}
	},
}

// Name implements Loss.
func (AlphaPO) Name() string { return "alphapo" }

// Needs implements Loss.
func (AlphaPO) Needs() Needs { return Needs{Rejected: true, Means: true} }

// Beta implements Loss.
func (l AlphaPO) Beta() float64 { return l.beta }

// Rewards are beta f of the mean log-probs: the loss has a shape of its own for them.
func (l AlphaPO) Rewards(b *Batch, i int) (chosen, rejected float64) {
	c, r := b.meanLogps(i)
	fc, _ := l.shape(c)
	fr, _ := l.shape(r)
	return l.beta * fc, l.beta * fr
}

// StepZero implements Loss: there is no reference to be equal to.
func (AlphaPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l AlphaPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		chosen, rejected := b.meanLogps(i)
		fc, dc := l.shape(chosen)
		fr, dr := l.shape(rejected)
		u := l.beta * (fc - fr - l.ratio)
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g*dc/float64(b.ChosenTokens[i]), g*dr/float64(b.RejectedTokens[i])
	}
}

// shape is f(x) and its derivative.
func (l AlphaPO) shape(x float64) (value, slope float64) {
	const last = 80 // e^80 is within float32 too, in which a model takes its gradient
	switch e := -l.alpha * x; {
	case e > last:
		slope = math.Exp(last)
		return (1-slope)/l.alpha + slope*(x+last/l.alpha), slope
	case e == 0:
		return x, 1
	default:
		return x * (math.Expm1(e) / e), math.Exp(e) // (1-e^e)/alpha, for any alpha
	}
}
