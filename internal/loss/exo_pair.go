package loss

import "math"

// EXOPair is Efficient Exact Optimization for pairs (Ji et al. 2024, arXiv:2402.00856, eq. 16): the divergence KL(q || p) of what the policy
// says of the pair, q = (s(u), s(-u)), from the label p = (1-e, e), in the direction opposite to DPO's. With u = b h,
//
//	L = s(u) (log s(u) - log(1-e)) + s(-u) (log s(-u) - log e)
//	dL/dpc = b s(u) s(-u) (u - log((1-e)/e)) = -dL/dpr
//
// It is 0 at u = log((1-e)/e), 6.907 for e 0.001, and wider margins are pushed back. With e 0.001 a pair pulls hardest at u = -0.28, and the
// further it is on the wrong side of that the less: at u = -10 2300 times less, where DPO pulls hardest.
//
// e has to be above 0: log e is in the loss. TRL takes label_smoothing for it and refuses its own default, 0. The authors' code has the logs
// of the label as 0 and -10, which do not add up to probability 1, and a beta each for policy and label.
type EXOPair struct{ beta, smoothing float64 }

var exoPairInfo = Info{
	Name:    "exo_pair",
	Summary: "KL divergence from policy to label, the reverse of dpo's: pairs far on the wrong side pull little",
	Paper:   "Ji et al. 2024, arXiv:2402.00856",
	Needs:   EXOPair{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull), {
		Key: "label_smoothing", Default: 1e-3, Range: Range{Low: 0, LowOpen: true, High: 0.5, HighOpen: true},
		Meaning: "the label's probability that the rejected side is the better one: higher caps the margin lower",
	}},
	make: func(s Settings) Loss { return EXOPair{s.number("beta"), s.number("label_smoothing")} },
}

// Name implements Loss.
func (EXOPair) Name() string { return "exo_pair" }

// Needs implements Loss.
func (EXOPair) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l EXOPair) Beta() float64 { return l.beta }

// StepZero implements Loss: -log 2 - log(e (1-e))/2.
func (l EXOPair) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l EXOPair) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l EXOPair) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	u := l.beta * (chosen - rejected)
	right, wrong := math.Log1p(-l.smoothing), math.Log(l.smoothing)
	p, q := sigmoid(u), sigmoid(-u)
	g := l.beta * p * q * (u - (right - wrong))
	return p*(-softplus(-u)-right) + q*(-softplus(u)-wrong), g, -g
}
