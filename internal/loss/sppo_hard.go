package loss

// SPPOHard is the loss of Self-Play Preference Optimization (Wu et al. 2024, arXiv:2405.00675) for preferences that are certain. With a and
// c the log-ratios of chosen and rejected and t = 1/(2b),
//
//	L = (a - t)^2 + (c + t)^2
//	dL/dpc = 2 (a - t), dL/dpr = 2 (c + t)
//
// Each completion is led to a target of its own: the chosen one is to become e^t times as probable as under the reference, the rejected one
// e^-t times. The paper's eta is 1/b; its runs have eta 1000, b 0.001, the default here, with targets of 500 nats a completion that are
// never reached. TRL's default, 0.1, sets them to 5 nats and is another regime.
//
// The authors' code has probabilities of winning for targets and half the sum; this is TRL's sppo_hard, which takes them as 1 and 0 and does
// not halve.
type SPPOHard struct{ beta float64 }

var sppoHardInfo = Info{
	Name:            "sppo_hard",
	Summary:         "regression of the log-ratios to 1/(2 beta) and -1/(2 beta)",
	Paper:           "Wu et al. 2024, arXiv:2405.00675",
	Needs:           SPPOHard{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.001, "1/eta of the paper: chosen is led to 1/(2 beta) nats above the reference, rejected as far below; higher stays closer")},
	make:            func(s Settings) Loss { return SPPOHard{s.number("beta")} },
}

// Name implements Loss.
func (SPPOHard) Name() string { return "sppo_hard" }

// Needs implements Loss.
func (SPPOHard) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l SPPOHard) Beta() float64 { return l.beta }

// StepZero implements Loss: 1/(2 b^2).
func (l SPPOHard) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l SPPOHard) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l SPPOHard) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	target := 1 / (2 * l.beta)
	up, down := chosen-target, rejected+target
	return up*up + down*down, 2 * up, 2 * down
}
