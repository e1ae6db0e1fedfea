package loss

// RewardAwareFwdKL is RewardAwareBwdKL with the divergence the other way round, rpo_fwd_kl of NeMo-Aligner (Adler et al. 2024,
// arXiv:2406.11704, has the family):
//
//	u = b h, v = c d
//	L = KL(s(u) || s(v)), of two coins
//	dL/dpc = b s(u) s(-u) (u - v) = -dL/dpr
//
// The factor s(u) s(-u) lets go of pairs whose margin is far from 0 on either side: one that is far on the wrong side, which the backward
// divergence pulls at hardest, is hardly moved.
type RewardAwareFwdKL struct{ rewardAware }

var rewardAwareFwdKLInfo = Info{
	Name:            "reward_aware_fwd_kl",
	Aliases:         []string{"rpo_fwd_kl"}, // NeMo-Aligner
	Summary:         "as reward_aware_bwd_kl, but leaves alone pairs whose margin is far from 0",
	Paper:           "Adler et al. 2024, arXiv:2406.11704",
	Needs:           rewardAware{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, rewardAwareBeta), rewardScale("reward_aware_fwd_kl")},
	make: func(s Settings) Loss {
		return RewardAwareFwdKL{rewardAware{s.number("beta"), s.number("reward_aware_fwd_kl_reward_scale")}}
	},
}

// Name implements Loss.
func (RewardAwareFwdKL) Name() string { return "reward_aware_fwd_kl" }

// Compute implements Loss.
func (l RewardAwareFwdKL) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		u, v := l.beta*b.margin(i), l.scale*b.scoreMargin(i)
		r.Losses[i] = coinKL(u, v)
		g := l.beta * sigmoid(u) * sigmoid(-u) * (u - v)
		r.DChosenLogps[i], r.DRejectedLogps[i] = g, -g
	}
}
