package loss

// SPPO is self-play preference optimization (Wu et al. 2024, arXiv:2405.00675) with win rates: each completion's log-ratio is led to a
// target of its own. With wc and wr the probabilities that chosen and rejected beat a completion of the policy:
//
//	L = ((pc-rc - (wc - 1/2)/b)^2 + (pr-rr - (wr - 1/2)/b)^2) / 2
//	dL/dpc = pc-rc - (wc - 1/2)/b
//	dL/dpr = pr-rr - (wr - 1/2)/b
//
// beta is 1/eta of the paper, whose eta is 1000; the targets are then up to 500 nats away, out of reach, and what the loss gives is mostly a
// direction. Under TRL's common beta of 0.1 they would be 5 nats. The reference is the policy of the round before.
//
// It is halved as the authors have it; TRL's sppo_hard, which takes chosen to win always and rejected never, is not, and is another loss.
type SPPO struct{ beta float64 }

var sppoInfo = Info{
	Name:            "sppo",
	Summary:         "regression of each completion's log-ratio to a target from its win rate",
	Paper:           "Wu et al. 2024, arXiv:2405.00675",
	Needs:           SPPO{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.001, "the paper's 1/eta: log-ratios are led to (win rate - 1/2)/beta nats; higher stays closer to the reference")},
	make:            func(s Settings) Loss { return SPPO{s.number("beta")} },
}

// Name implements Loss.
func (SPPO) Name() string { return "sppo" }

// Needs implements Loss.
func (SPPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Wins: true, Sums: true} }

// Beta implements Loss.
func (l SPPO) Beta() float64 { return l.beta }

// StepZero implements Loss: it depends on the win rates of the pair.
func (SPPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l SPPO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		chosen, rejected := b.logRatios(i)
		chosen -= (b.ChosenWins[i] - 0.5) / l.beta
		rejected -= (b.RejectedWins[i] - 0.5) / l.beta
		r.Losses[i] = (chosen*chosen + rejected*rejected) / 2
		r.DChosenLogps[i], r.DRejectedLogps[i] = chosen, rejected
	}
}
