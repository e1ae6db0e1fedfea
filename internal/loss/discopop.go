package loss

import "math"

// DiscoPOP is the log-ratio modulated loss that a language model found in a search over losses (Lu et al. 2024, arXiv:2406.08414). With
// u = b h and m = s(u/tau),
//
//	L = -(1-m) log s(u) + m e^-u
//	dL/dpc = b ((m (1-m)/tau) (e^-u + log s(u)) - (1-m) s(-u) - m e^-u) = -dL/dpr
//
// The logistic loss of DPO on the wrong side goes over into an exponential one on the right. Between them it is not convex: at tau 0.05 it
// rises for u from -0.1186 to 0.0720, so that the first steps, from u = 0, widen the margin the wrong way, and a pair can come to rest in the
// local minimum at -0.1186. From tau 0.11 on it falls everywhere.
//
// The defaults, beta 0.05 and tau 0.05, are the authors'. TRL has their tau and beta 0.1. Both compute e^-u by itself, which overflows before
// m brings it down; here the product is one exponential. For tau up to 1 it is at most 1; for tau above 1 it grows without end on the
// wrong side, and its exponent is held to 80.
type DiscoPOP struct{ beta, tau float64 }

var discoPOPInfo = Info{
	Name:    "discopop",
	Summary: "found by a language model: logistic for wrong margins, exponential for right ones, not convex between",
	Paper:   "Lu et al. 2024, arXiv:2406.08414",
	Needs:   DiscoPOP{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.05, pull), {
		Key: "discopop_tau", Default: 0.05, Neutral: 0.05, // TRL's default, which its files may have with any loss
		Range:   Range{Low: 0, LowOpen: true, High: math.Inf(1)},
		Meaning: "width, in units of beta times the margin, of the passage from logistic to exponential: higher makes it softer",
	}},
	make: func(s Settings) Loss { return DiscoPOP{s.number("beta"), s.number("discopop_tau")} },
}

// Name implements Loss.
func (DiscoPOP) Name() string { return "discopop" }

// Needs implements Loss.
func (DiscoPOP) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l DiscoPOP) Beta() float64 { return l.beta }

// StepZero implements Loss: (1 + log 2)/2.
func (l DiscoPOP) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l DiscoPOP) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l DiscoPOP) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	u := l.beta * (chosen - rejected)
	v := u / l.tau
	left, right := sigmoid(-v), sigmoid(v)
	logistic := softplus(-u)
	exponential, slope := heldExp(-softplus(-v) - u) // m e^-u
	// The derivative of -softplus(-v) - u is left/tau - 1.
	g := l.beta * (slope*(left/l.tau-1) - left*sigmoid(-u) - left*right/l.tau*logistic)
	return left*logistic + exponential, g, -g
}
