package loss

import "math"

// CalDPO is calibrated DPO (Xiao et al. 2024, arXiv:2412.14516). With a and c the log-ratios of chosen and rejected, w the weight and
// t = 1/(2b),
//
//	L = -log s(h) + w ((a - t)^2 + (c + t)^2)
//	dL/dpc = -s(-h) + 2 w (a - t), dL/dpr = s(-h) + 2 w (c + t)
//
// DPO sees only the margin, and can widen it while both sides become less probable; the squares, which are SPPOHard, lead each side to a
// value of its own. b sets these targets and nothing else: it is not in the sigmoid.
//
// The weight is 1 in the authors' first repository, the default here, and 0.5 in their second. Their b is 0.1 (targets of 5 nats) for
// dialogue and 0.001 to 0.003 for summaries and chat. The commands that their README prints choose plain DPO. TRL does not have it.
type CalDPO struct{ beta, weight float64 }

var calDPOInfo = Info{
	Name:    "cal_dpo",
	Summary: "dpo with a regression that leads the reward of each side to a value of its own",
	Paper:   "Xiao et al. 2024, arXiv:2412.14516",
	Needs:   CalDPO{}.Needs(),
	Hyperparameters: []Hyperparameter{
		beta(0.1, "chosen is led to 1/(2 beta) nats above the reference, rejected as far below: higher stays closer to it"),
		{
			Key: "cal_dpo_weight", Default: 1.0, Range: Range{Low: 0, High: math.Inf(1)},
			Meaning: "weight of the regression beside the logistic loss: higher holds the log-ratios closer to their targets",
		},
	},
	make: func(s Settings) Loss { return CalDPO{s.number("beta"), s.number("cal_dpo_weight")} },
}

// Name implements Loss.
func (CalDPO) Name() string { return "cal_dpo" }

// Needs implements Loss.
func (CalDPO) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l CalDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2 + w/(2 b^2).
func (l CalDPO) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l CalDPO) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l CalDPO) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	squares, up, down := SPPOHard{l.beta}.at(chosen, rejected)
	h := chosen - rejected
	g := sigmoid(-h)
	return softplus(-h) + l.weight*squares, l.weight*up - g, l.weight*down + g
}
