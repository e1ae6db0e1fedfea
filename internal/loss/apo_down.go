package loss

import "math"

// APODown is Anchored Preference Optimization for a model that is better than the chosen completions (D'Oosterlinck et al. 2024,
// arXiv:2408.06266). With a the log-ratio of chosen and u = b h,
//
//	L = s(b a) + s(-u)
//	dL/dpc = b (s(b a) s(-b a) - s(u) s(-u)), dL/dpr = b s(u) s(-u)
//
// Both sides go down, rejected further than chosen: the margin widens while the model leaves answers that it has outgrown.
//
// The paper's loss is s(b a) - s(u), smaller by 1; the constant is TRL's, and the loss is never negative. Gradients are the same.
type APODown struct{ beta float64 }

var apoDownInfo = Info{
	Name:            "apo_down",
	Summary:         "lowers both sides, rejected further: for answers worse than the model's own",
	Paper:           "D'Oosterlinck et al. 2024, arXiv:2408.06266",
	Needs:           APODown{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	make:            func(s Settings) Loss { return APODown{s.number("beta")} },
}

// Name implements Loss.
func (APODown) Name() string { return "apo_down" }

// Needs implements Loss.
func (APODown) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l APODown) Beta() float64 { return l.beta }

// StepZero implements Loss: 1.
func (l APODown) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l APODown) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l APODown) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	a, u := l.beta*chosen, l.beta*(chosen-rejected)
	// s(a) s(-a) - s(u) s(-u) is (s(u) - s(a)) (s(u) - s(-a)), in which nothing cancels.
	dChosen = l.beta * sigmoidDifference(u, a, -l.beta*rejected) * sigmoidDifference(u, -a, l.beta*(2*chosen-rejected))
	return sigmoid(a) + sigmoid(-u), dChosen, l.beta * sigmoid(u) * sigmoid(-u)
}

// sigmoidDifference is s(x) - s(y), with all its digits where they are close, for d = x - y.
func sigmoidDifference(x, y, d float64) float64 {
	if d < 0 {
		return -sigmoidDifference(y, x, -d)
	}
	return -sigmoid(x) * sigmoid(-y) * math.Expm1(-d)
}
