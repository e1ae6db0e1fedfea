package loss

import "math"

// CDPO is conservative DPO (E. Mitchell, "A note on DPO with noisy preferences and relationship to IPO", 2023; code in the
// DPO authors' repository). It takes a share e of the pairs to have their sides exchanged:
//
//	u = b h
//	L = -(1-e) log s(u) - e log s(-u)
//	dL/dpc = b (s(u) - (1-e)) = -dL/dpr
//
// It is smallest at u = log((1-e)/e), 2.197 for e 0.1, and beyond that pushes the margin back: a cap that DPO lacks. With e
// = 0 it is DPO. The authors' README names 0.1 as a start that is not tuned, the default here; HALOs has 0.2.
//
// TRL had it as label_smoothing of its sigmoid loss until 0.28; from 0.29 on that loss ignores label_smoothing without a
// word. Robust DPO has the opposite sign of the second term and is another loss.
type CDPO struct{ beta, smoothing float64 }

var cdpoInfo = Info{
	Name:    "cdpo",
	Summary: "dpo for labels of which a share is wrong: the margin has a finite optimum",
	Paper:   "Mitchell 2023, A note on DPO with noisy preferences",
	Needs:   CDPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "label_smoothing", Default: 0.1, Neutral: 0.0, Range: Range{Low: 0, High: 0.5, HighOpen: true},
		Meaning: "share of the pairs that is taken to have chosen and rejected exchanged: higher caps the margin lower",
	}},
	make: func(s Settings) Loss { return CDPO{s.number("beta"), s.number("label_smoothing")} },
}

// Name implements Loss.
func (CDPO) Name() string { return "cdpo" }

// Needs implements Loss.
func (CDPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l CDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (CDPO) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l CDPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		loss, slope := smoothed(l.beta*b.margin(i), l.smoothing)
		r.Losses[i] = loss
		r.DChosenLogps[i], r.DRejectedLogps[i] = l.beta*slope, -l.beta*slope
	}
}

// smoothed is -(1-e) log s(u) - e log s(-u) and its derivative: softplus(u) is softplus(-u) + u, and s(u) is 1 - s(-u). Nothing cancels,
// and u = 0 gives exactly log 2.
func smoothed(u, e float64) (loss, slope float64) { return softplus(-u) + e*u, e - sigmoid(-u) }
