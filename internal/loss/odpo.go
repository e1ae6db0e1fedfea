package loss

import (
	"errors"
	"math"
)

// ODPO is DPO with an offset (Amini, Vieira and Cotterell 2024, arXiv:2402.10571): the margin of a pair has to be the wider, the more the
// scores of its completions differ. With d the difference of the scores:
//
//	u = b h - a f(d), f the logarithm or the identity
//	L = -log s(u)
//	dL/dpc = -b s(-u) = -dL/dpr
//
// The authors' f is the logarithm; a difference below 1 then gives an offset below 0, an easier pair than DPO's. Equal scores make it
// minus infinity: their code gives such pairs loss and gradient 0 and says nothing. Here the logarithm of what is not above 0 is refused
// before anything is computed, and the identity takes every difference.
//
// The authors tune beta and alpha by task: 0.7 and 0.5 (sentiment), 0.05 and 1 (toxicity), 0.5 and 1 (summaries). The last is the default
// here.
type ODPO struct {
	beta, alpha float64
	identity    bool
}

var odpoInfo = Info{
	Name:    "odpo",
	Summary: "dpo whose margin has to exceed an offset that grows with the difference of the scores",
	Paper:   "Amini et al. 2024, arXiv:2402.10571",
	Needs:   ODPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.5, pull), {
		Key: "odpo_alpha", Default: 1.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "size of the offset: higher asks for wider margins where scores differ more; 0 is dpo",
	}, {
		Key: "odpo_offset", Default: "log", Choices: []string{"log", "identity"},
		Meaning: "what the offset is of the difference of the scores: its logarithm, which needs chosen above rejected, or the difference itself",
	}},
	make: func(s Settings) Loss {
		return ODPO{s.number("beta"), s.number("odpo_alpha"), s["odpo_offset"] == "identity"}
	},
}

// Name implements Loss.
func (ODPO) Name() string { return "odpo" }

// Needs implements Loss.
func (ODPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Scores: true, Sums: true} }

// Beta implements Loss.
func (l ODPO) Beta() float64 { return l.beta }

// StepZero implements Loss: it is log(1 + e^(a f(d))), another number for each pair.
func (ODPO) StepZero() (float64, bool) { return 0, false }

// CheckScores refuses what the logarithm cannot take.
func (l ODPO) CheckScores(chosen, rejected float64) error {
	if l.identity || chosen-rejected > 0 {
		return nil
	}
	return errors.New("the score of chosen is not above that of rejected, and odpo_offset: log takes the logarithm of the difference; set odpo_offset: identity, or drop the row")
}

// Compute implements Loss.
func (l ODPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		d := b.scoreMargin(i)
		if !l.identity {
			d = math.Log(d)
		}
		u := l.beta*b.margin(i) - l.alpha*d
		r.Losses[i] = softplus(-u)
		g := l.beta * sigmoid(-u)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -g, g
	}
}
