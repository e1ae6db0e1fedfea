package loss

import "math"

// DNO is the exact form of direct Nash optimization (Rosset et al. 2024, arXiv:2404.03715, eq. 12): dpo with soft labels from win rates.
// With wc and wr the probabilities that chosen and rejected beat a completion of the policy and c dno_reward_scale:
//
//	u = b h, q = s(c (wc - wr))
//	L = -q log s(u) - (1-q) log s(-u)
//	dL/dpc = b (s(u) - q) = -dL/dpr
//
// beta is the paper's eta. It is smallest at u = c (wc - wr), and wider margins are pushed back. With c = 1 the labels lie between 0.27 and
// 0.73, whatever the win rates; a larger c, or scores for win rates as reward_aware_bwd_kl takes them, tells pairs apart more. The paper's
// experiments use the practical form, dno_prct.
type DNO struct{ beta, scale float64 }

var dnoInfo = Info{
	Name:    "dno",
	Summary: "dpo with soft labels from the difference of the win rates",
	Paper:   "Rosset et al. 2024, arXiv:2404.03715",
	Needs:   DNO{}.Needs(),
	Hyperparameters: []Hyperparameter{
		beta(0.1, "the paper's eta: beta times the margin is led to the difference of the win rates; higher stays closer to the reference"), {
			Key: "dno_reward_scale", Default: 1.0, Range: Range{Low: 0, LowOpen: true, High: math.Inf(1)},
			Meaning: "what the difference of the win rates is multiplied by: higher asks for wider margins",
		}},
	make: func(s Settings) Loss { return DNO{s.number("beta"), s.number("dno_reward_scale")} },
}

// Name implements Loss.
func (DNO) Name() string { return "dno" }

// Needs implements Loss.
func (DNO) Needs() Needs { return Needs{Reference: true, Rejected: true, Wins: true, Sums: true} }

// Beta implements Loss.
func (l DNO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (DNO) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l DNO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u, v := l.beta*b.margin(i), l.scale*(b.ChosenWins[i]-b.RejectedWins[i])
		loss, slope := smoothed(u, sigmoid(-v)) // 1-q of the formula
		r.Losses[i] = loss
		r.DChosenLogps[i], r.DRejectedLogps[i] = l.beta*slope, -l.beta*slope
	}
}
