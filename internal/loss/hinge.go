package loss

// Hinge is the loss of RSO (Liu et al. 2023, arXiv:2309.06657), the hinge of SLiC on log-ratios to a reference:
//
//	L = max(0, 1 - b h)
//	dL/dpc = -b where b h < 1, else 0; dL/dpr = -dL/dpc
//
// A pair whose margin has reached 1/b gives exactly no gradient. The paper's gamma is beta here; its runs have 0.05, the
// default is TRL's 0.1. TRL calls it SLiC in places; SLiC-HF itself (arXiv:2305.10425) has no reference and a term of
// supervised fine-tuning, and is another loss.
type Hinge struct{ beta float64 }

var hingeInfo = Info{
	Name:            "hinge",
	Aliases:         []string{"rso"},
	Summary:         "hinge of the margin: a pair with margin 1/beta is done",
	Paper:           "Liu et al. 2023, arXiv:2309.06657",
	Needs:           Hinge{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, "the margin that a pair has to reach is 1/beta: higher stays closer to the reference")},
	make:            func(s Settings) Loss { return Hinge{s.number("beta")} },
}

// Name implements Loss.
func (Hinge) Name() string { return "hinge" }

// Needs implements Loss.
func (Hinge) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l Hinge) Beta() float64 { return l.beta }

// StepZero implements Loss: 1.
func (Hinge) StepZero() (float64, bool) { return 1, true }

// Compute implements Loss.
func (l Hinge) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		if u := l.beta * b.margin(i); u < 1 {
			r.Losses[i] = 1 - u
			r.DChosenLogps[i], r.DRejectedLogps[i] = -l.beta, l.beta
		}
	}
}
