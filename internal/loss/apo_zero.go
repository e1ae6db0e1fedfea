package loss

// APOZero is Anchored Preference Optimization for a model that is worse than the chosen completions (D'Oosterlinck et al. 2024,
// arXiv:2408.06266). With a and c the log-ratios of chosen and rejected,
//
//	L = s(-b a) + s(b c)
//	dL/dpc = -b s(b a) s(-b a), dL/dpr = b s(b c) s(-b c)
//
// Chosen goes up and rejected down, each on its own and with the reference for anchor. Either stops pulling far from it, on the right side
// and on the wrong one.
//
// The paper writes -s(b a) for the first term. With TRL this is 1 - s(b a), greater by 1 and never negative; gradients are the same. TRL's
// apo_zero_unpaired, for single completions, is another loss.
type APOZero struct{ beta float64 }

var apoZeroInfo = Info{
	Name:            "apo_zero",
	Summary:         "raises chosen and lowers rejected, each by itself: for answers better than the model's own",
	Paper:           "D'Oosterlinck et al. 2024, arXiv:2408.06266",
	Needs:           APOZero{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	make:            func(s Settings) Loss { return APOZero{s.number("beta")} },
}

// Name implements Loss.
func (APOZero) Name() string { return "apo_zero" }

// Needs implements Loss.
func (APOZero) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l APOZero) Beta() float64 { return l.beta }

// StepZero implements Loss: 1.
func (l APOZero) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l APOZero) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l APOZero) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	a, c := l.beta*chosen, l.beta*rejected
	return sigmoid(-a) + sigmoid(c), -l.beta * sigmoid(a) * sigmoid(-a), l.beta * sigmoid(c) * sigmoid(-c)
}
