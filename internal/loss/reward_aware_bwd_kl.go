package loss

// RewardAwareBwdKL is the reward-aware preference optimization of Nemotron-4 (Adler et al. 2024, arXiv:2406.11704) with the backward
// divergence, rpo_bwd_kl of NeMo-Aligner: the probability that chosen beats rejected is led from above and below to the one that the
// scores give. With d the difference of the scores and c reward_aware_bwd_kl_reward_scale:
//
//	u = b h, v = c d
//	L = KL(s(v) || s(u)), of two coins
//	dL/dpc = b (s(u) - s(v)) = -dL/dpr
//
// It is smallest, 0, at u = v. The gradient is that of soft labels s(v): cross-entropy without the labels' entropy, which no policy changes.
// Other losses are called RPO too: dpo with a term of supervised fine-tuning is not this one.
type RewardAwareBwdKL struct{ rewardAware }

var rewardAwareBwdKLInfo = Info{
	Name:            "reward_aware_bwd_kl",
	Aliases:         []string{"rpo_bwd_kl"}, // NeMo-Aligner
	Summary:         "dpo with soft labels from the difference of the scores",
	Paper:           "Adler et al. 2024, arXiv:2406.11704",
	Needs:           rewardAware{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, rewardAwareBeta), rewardScale("reward_aware_bwd_kl")},
	make: func(s Settings) Loss {
		return RewardAwareBwdKL{rewardAware{s.number("beta"), s.number("reward_aware_bwd_kl_reward_scale")}}
	},
}

// Name implements Loss.
func (RewardAwareBwdKL) Name() string { return "reward_aware_bwd_kl" }

// Compute implements Loss.
func (l RewardAwareBwdKL) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u, v := l.beta*b.margin(i), l.scale*b.scoreMargin(i)
		r.Losses[i] = coinKL(v, u)
		g := l.beta * (sigmoid(-v) - sigmoid(-u)) // s(u) - s(v), to full precision where both are near 1
		r.DChosenLogps[i], r.DRejectedLogps[i] = g, -g
	}
}

// rewardAware is what the two directions of the divergence share.
type rewardAware struct{ beta, scale float64 }

const rewardAwareBeta = "beta times the margin is led to the difference of the scores; higher stays closer to the reference"

// Needs implements Loss.
func (rewardAware) Needs() Needs {
	return Needs{Reference: true, Rejected: true, Scores: true, Sums: true}
}

// Beta implements Loss.
func (l rewardAware) Beta() float64 { return l.beta }

// StepZero implements Loss: it depends on the scores of the pair.
func (rewardAware) StepZero() (float64, bool) { return 0, false }

// coinKL is the divergence KL(s(x) || s(y)) of two coins, from their log-odds. It is 0 at x = y, and exact for large |x| and |y|.
func coinKL(x, y float64) float64 {
	if x < 0 { // the other side of both coins
		x, y = -x, -y
	}
	// s(x) log s(x)/s(y) + s(-x) log s(-x)/s(-y), with log s(-x) = log s(x) - x
	return max(0, softplus(-y)-softplus(-x)+sigmoid(-x)*(y-x))
}
