package loss

// APOZeroUnpaired is Anchored Preference Optimization on unpaired rows: D'Oosterlinck et al. 2024 (arXiv:2408.06266). With pc, rc the log-probs of the
// row's completion and w its label's weight,
//
//	L = w s(-b (pc-rc)) of a desirable row, w s(b (pc-rc)) of an undesirable one
//	dL/dpc = -w b s(v) s(-v) and w b s(v) s(-v), v = b (pc-rc)
//
// It is kto with z = 0: no mismatched rows are computed, and a row's loss depends on that row alone. Of a pair the two rows together have the
// loss of apo_zero. TRL's KTOTrainer has it under this name, with the same formula.
type APOZeroUnpaired struct {
	beta float64
	labelWeights
}

var apoZeroUnpairedInfo = Info{
	Name:            "apo_zero_unpaired",
	Summary:         "unpaired rows: raises desirable and lowers undesirable completions, each by itself",
	Paper:           "D'Oosterlinck et al. 2024, arXiv:2408.06266",
	Needs:           APOZeroUnpaired{}.Needs(),
	Hyperparameters: append([]Hyperparameter{beta(0.1, pull)}, labelWeightKeys("apo_zero_unpaired")...),
	make: func(s Settings) Loss {
		return APOZeroUnpaired{s.number("beta"), labelWeightsOf(s, "apo_zero_unpaired")}
	},
}

// Name implements Loss.
func (APOZeroUnpaired) Name() string { return "apo_zero_unpaired" }

// Needs implements Loss.
func (APOZeroUnpaired) Needs() Needs { return Needs{Reference: true, Labels: true, Sums: true} }

// Beta implements Loss.
func (l APOZeroUnpaired) Beta() float64 { return l.beta }

// StepZero implements Loss.
func (l APOZeroUnpaired) StepZero() (float64, bool) { return l.stepZero() }

// Compute implements Loss.
func (l APOZeroUnpaired) Compute(b Batch, r *Result) { l.compute(&b, l.beta, 0, r) }
