package loss

import "math"

// ORPO is Odds Ratio Preference Optimization (Hong, Lee and Thorne 2024, arXiv:2403.07691), supervised fine-tuning with a term that
// compares the odds of the two sides; beta is the paper's lambda, its weight:
//
//	ac = pc/nc, ar = pr/nr
//	o = log(e^ac/(1-e^ac)) - log(e^ar/(1-e^ar))
//	L = -ac - b log s(o)
//	dL/dpc = -(1 + b s(-o)/(1-e^ac))/nc, dL/dpr = b s(-o)/(1-e^ar)/nr
//
// The first term is of the completion alone, as in the paper and LLaMA-Factory. The authors' code, unless told otherwise, and TRL
// score the prompt's tokens in it too, as is done here where orpo_nll_on_prompt says so: the mean is over all tokens of prompt and completion
// but the first, which nothing predicts. Both take the mean over the tokens of a batch. TRL too calls the weight beta and has 0.1; in
// the authors' code it is alpha, 1 by default and 0.1 or 0.05 in their scripts.
//
// The odds have no bound where the mean log-prob comes to 0, and code that differentiates them gives NaN there. From -1e-6 on they
// are continued with the slope that they have there.
type ORPO struct {
	beta     float64
	onPrompt bool
}

var orpoInfo = Info{
	Name:    "orpo",
	Summary: "supervised fine-tuning with an odds ratio against the rejected side; no reference",
	Paper:   "Hong et al. 2024, arXiv:2403.07691",
	Needs:   ORPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, "the paper's lambda, the weight of the odds ratio: higher pushes the sides apart harder"), {
		Key: "orpo_nll_on_prompt", Default: false, Neutral: false,
		Meaning: "whether supervised fine-tuning is of the prompt's tokens too, as in the authors' code and TRL; with false, of the completion's alone",
	}},
	make: func(s Settings) Loss { return ORPO{s.number("beta"), s["orpo_nll_on_prompt"].(bool)} },
}

// Name implements Loss.
func (ORPO) Name() string { return "orpo" }

// Needs implements Loss.
func (l ORPO) Needs() Needs {
	return Needs{Rejected: true, Means: true, SFT: true, SFTPrompt: l.onPrompt}
}

// Beta implements Loss.
func (l ORPO) Beta() float64 { return l.beta }

// StepZero implements Loss: there is no reference to be equal to.
func (ORPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l ORPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		chosen, rejected := b.meanLogps(i)
		oc, dc := logOdds(chosen)
		or, dr := logOdds(rejected)
		o := oc - or
		r.Losses[i] = l.beta * softplus(-o)
		g := l.beta * sigmoid(-o)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g*dc/float64(b.ChosenTokens[i]), g*dr/float64(b.RejectedTokens[i])
		r.addSFT(&b, i, 1)
	}
}

// logOdds is log(p/(1-p)) for p = e^a, and its derivative. Above a = -1e-6 it goes on as a straight line.
func logOdds(a float64) (value, slope float64) {
	const last = -1e-6
	at := min(a, last)
	q := -math.Expm1(at) // 1-p
	return at - math.Log(q) + (a-at)/q, 1 / q
}
