package loss

import "math"

// DPOP is DPO-Positive (Pal et al. 2024, arXiv:2402.13228): DPO whose margin is lowered for a chosen completion that has become less probable
// than under the reference.
//
//	u = b (h - lambda max(0, rc - pc))
//	L = -log s(u)
//	dL/dpc = -b s(-u) (1 + lambda where pc < rc), dL/dpr = b s(-u)
//
// DPO may widen a margin while both sides fall, most of all where they differ in few tokens; here such a pair pulls the chosen side back
// lambda times as hard. With lambda 0 it is DPO. At pc = rc, where every run from the reference begins, there is a kink, and the derivative is
// DPO's, from the right.
//
// The defaults are the paper's, beta 0.3 and lambda 50; lambda 5 and 500 did about as well there. Oat and the SamPO repository have the same
// formula; TRL does not have it.
type DPOP struct{ beta, lambda float64 }

var dpopInfo = Info{
	Name:    "dpop",
	Summary: "dpo that does not let the chosen completion become less probable",
	Paper:   "Pal et al. 2024, arXiv:2402.13228",
	Needs:   DPOP{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.3, pull), {
		Key: "dpop_lambda", Default: 50.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "how many times a nat that chosen lost counts against the margin: higher holds chosen up more firmly",
	}},
	make: func(s Settings) Loss { return DPOP{s.number("beta"), s.number("dpop_lambda")} },
}

// Name implements Loss.
func (DPOP) Name() string { return "dpop" }

// Needs implements Loss.
func (DPOP) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l DPOP) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (l DPOP) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l DPOP) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l DPOP) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	u := l.beta * (chosen - rejected - l.lambda*max(0, -chosen))
	g := l.beta * sigmoid(-u)
	dChosen = -g
	if chosen < 0 {
		dChosen *= 1 + l.lambda
	}
	return softplus(-u), dChosen, g
}
