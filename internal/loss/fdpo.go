package loss

import "math"

// FDPO is f-DPO (Wang et al. 2023, arXiv:2309.16240): DPO derived with another divergence f between policy and reference than the reverse KL.
// With a and c the log-ratios of chosen and rejected, q(x) = f'(e^x) up to a constant, and u = b (q(a) - q(c)),
//
//	L = -log s(u)
//	dL/dpc = -b s(-u) q'(a), dL/dpr = b s(-u) q'(c)
//
//	reverse_kl        q(x) = x                             q'(x) = 1
//	js_divergence     q(x) = log s(x)                      q'(x) = s(-x)
//	forward_kl        q(x) = 1 - e^-x                      q'(x) = e^-x
//	alpha_divergence  q(x) = (1 - e^(-alpha x))/alpha      q'(x) = e^(-alpha x)
//
// reverse_kl is DPO; alpha_divergence goes from it, alpha 0, to forward_kl, alpha 1. The default is js_divergence, the only one that is
// not DPO again and stands log-ratios of whole completions: its q' is between 0 and 1. The exponents of the last two are held to 80; beyond,
// the log-ratio of a side below -80 or -80/alpha, q is constant and that side gives no gradient.
//
// alpha is the authors' and that of TRL to 0.28; from 1.0 on TRL's f_alpha_divergence_coef is 1 - alpha. TRL holds the exponent of its alpha
// divergence and not that of forward_kl: in float32 two log-ratios of -100 make it NaN.
type FDPO struct {
	beta       float64
	divergence string
	alpha      float64
}

var fdpoInfo = Info{
	Name:    "fdpo",
	Summary: "dpo with another divergence than the reverse KL",
	Paper:   "Wang et al. 2023, arXiv:2309.16240",
	Needs:   FDPO{}.Needs(),
	Hyperparameters: []Hyperparameter{
		beta(0.1, pull),
		{
			Key: "fdpo_divergence", Default: "js_divergence", Choices: []string{"reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"},
			Meaning: "measure of the distance from the reference: reverse_kl is dpo, js_divergence counts chosen above it little, the gradients of the others grow exponentially with the nats that a side lost",
		},
		{
			Key: "fdpo_alpha", Default: 0.5, Range: Range{Low: 0, LowOpen: true, High: 1, HighOpen: true},
			Meaning: "alpha of alpha_divergence, which alone has one: towards 0 it is reverse_kl, towards 1 forward_kl",
			With:    Setting{"fdpo_divergence", "alpha_divergence"},
		},
	},
	make: func(s Settings) Loss {
		return FDPO{s.number("beta"), s["fdpo_divergence"].(string), s.number("fdpo_alpha")}
	},
}

// Name implements Loss.
func (FDPO) Name() string { return "fdpo" }

// Needs implements Loss.
func (FDPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l FDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (l FDPO) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l FDPO) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l FDPO) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	up, dUp := l.q(chosen)
	down, dDown := l.q(rejected)
	u := l.beta * (up - down)
	g := l.beta * sigmoid(-u)
	return softplus(-u), -g * dUp, g * dDown
}

// q is that of the divergence, with its derivative.
func (l FDPO) q(x float64) (value, slope float64) {
	alpha := l.alpha
	switch l.divergence {
	case "reverse_kl":
		return x, 1
	case "js_divergence":
		return -softplus(-x), sigmoid(-x)
	case "forward_kl":
		alpha = 1
	}
	_, slope = heldExp(-alpha * x)
	return -math.Expm1(min(-alpha*x, maxExponent)) / alpha, slope
}
