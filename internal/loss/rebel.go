package loss

import "math"

// REBEL regresses the margin to the difference of the scores (Gao et al. 2024, arXiv:2404.16767). With d that difference and c
// rebel_reward_scale:
//
//	L = (b h - c d)^2
//	dL/dpc = 2 b (b h - c d) = -dL/dpr
//
// Which completion is called chosen does not matter, and equal scores are a lesson too. The reference is the policy of the round before;
// in a single offline round that is the reference model.
//
// The paper's eta is 1/beta. The authors' code minimises (h - eta d)^2: the same minimum, with loss and gradient eta^2 times as large; at
// eta 1, their value for summaries and for chats, the two are one. NeMo-Aligner has the form with beta as rpo_sq, one of the distances of
// its reward-aware preference optimization.
type REBEL struct{ beta, scale float64 }

var rebelInfo = Info{
	Name:    "rebel",
	Aliases: []string{"rpo_sq"}, // NeMo-Aligner
	Summary: "regression of the margin to the difference of the scores",
	Paper:   "Gao et al. 2024, arXiv:2404.16767",
	Needs:   REBEL{}.Needs(),
	Hyperparameters: []Hyperparameter{
		beta(1, "the paper's 1/eta: beta times the margin is led to the difference of the scores; higher stays closer to the reference"),
		rewardScale("rebel"),
	},
	make: func(s Settings) Loss { return REBEL{s.number("beta"), s.number("rebel_reward_scale")} },
}

// rewardScale is the hyperparameter that turns differences of scores into nats.
func rewardScale(loss string) Hyperparameter {
	return Hyperparameter{Key: loss + "_reward_scale", Default: 1.0, Range: Range{Low: 0, LowOpen: true, High: math.Inf(1)},
		Meaning: "what the difference of the scores is multiplied by: higher asks for wider margins"}
}

// Name implements Loss.
func (REBEL) Name() string { return "rebel" }

// Needs implements Loss.
func (REBEL) Needs() Needs { return Needs{Reference: true, Rejected: true, Scores: true, Sums: true} }

// Beta implements Loss.
func (l REBEL) Beta() float64 { return l.beta }

// StepZero implements Loss: it is (c d)^2, another number for each pair.
func (REBEL) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l REBEL) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		e := l.beta*b.margin(i) - l.scale*b.scoreMargin(i)
		r.Losses[i] = e * e
		r.DChosenLogps[i], r.DRejectedLogps[i] = 2*l.beta*e, -2*l.beta*e
	}
}
