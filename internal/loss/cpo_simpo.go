package loss

import "math"

// CPOSimPO is SimPO (arXiv:2405.14734) with the supervised fine-tuning of CPO (arXiv:2401.08417) beside it, a combination of the CPO
// authors' that their code has and no paper of its own:
//
//	u = b (pc/nc - pr/nr - g)
//	L = -log s(u) - a pc/nc
//	dL/dpc = -b s(-u)/nc - a/nc, dL/dpr = b s(-u)/nr
//
// It is what TRL's CPO trainer does for loss_type simpo, unless cpo_alpha is 0; as for SimPO, TRL has gamma itself for g, gamma over
// beta, and averages the second term over the tokens of a batch.
type CPOSimPO struct {
	simpo SimPO
	alpha float64
}

var cpoSimpoInfo = Info{
	Name:    "cpo_simpo",
	Summary: "simpo and supervised fine-tuning",
	Paper:   "Xu et al. 2024, arXiv:2401.08417, with Meng et al. 2024, arXiv:2405.14734",
	Needs:   CPOSimPO{}.Needs(),
	Instead: map[string]string{"ld_alpha": "cpo", "sampo": "cpo"},
	Hyperparameters: []Hyperparameter{beta(2, contrast), {
		Key: "cpo_simpo_gamma_beta_ratio", Default: 0.5, Range: Range{Low: 0, High: math.Inf(1)}, Meaning: meanTarget,
	}, {
		Key: "cpo_simpo_alpha", Default: 1.0, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)}, Meaning: sftAlpha,
	}},
	make: func(s Settings) Loss {
		return CPOSimPO{SimPO{s.number("beta"), s.number("cpo_simpo_gamma_beta_ratio")}, s.number("cpo_simpo_alpha")}
	},
}

// Name implements Loss.
func (CPOSimPO) Name() string { return "cpo_simpo" }

// Needs implements Loss.
func (CPOSimPO) Needs() Needs { return Needs{Rejected: true, Means: true, SFT: true} }

// Beta implements Loss.
func (l CPOSimPO) Beta() float64 { return l.simpo.beta }

// StepZero implements Loss: there is no reference to be equal to.
func (CPOSimPO) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l CPOSimPO) Compute(b Batch, r *Result) {
	l.simpo.Compute(b, r)
	for i := range r.Losses {
		r.addSFT(&b, i, l.alpha)
	}
}
