package loss

import "math"

// SLiC is the loss of SLiC-HF (Zhao et al. 2023, arXiv:2305.10425), a hinge of the log-probs themselves beside supervised
// fine-tuning on the chosen completion, which stands in for a reference:
//
//	m = d - (pc-pr)
//	L = max(0, m) - w pc/nc
//	dL/dpc = -1 where m > 0, else 0, less w/nc; dL/dpr = 1 where m > 0, else 0
//
// The log-probs of the hinge are sums, so that d is in nats a completion. Sources do not say how the second term is normalised: by
// the length, or with slic_sft_average false not at all, w pc and w in the place of w pc/nc and w/nc. The defaults are those of
// HALOs, whose own SLiC trainer fails on shapes; the paper fine-tunes on a data set, for which the chosen side stands here.
//
// What TRL and Oat call hinge or SLiC is the loss of RSO, Hinge here: log-ratios to a reference, and no second term.
type SLiC struct {
	delta, weight float64
	average       bool
}

var slicInfo = Info{
	Name:    "slic",
	Summary: "hinge of the log-probs and supervised fine-tuning; no reference",
	Paper:   "Zhao et al. 2023, arXiv:2305.10425",
	Needs:   SLiC{}.Needs(),
	Hyperparameters: []Hyperparameter{{
		Key: "slic_delta", Default: 1.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "nats by which the chosen completion has to be likelier than the rejected one: higher pulls them further apart",
	}, {
		Key: "sft_weight", Default: 0.1, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "weight of supervised fine-tuning on the chosen completion: higher keeps it likelier",
	}, {
		Key: "slic_sft_average", Default: true,
		Meaning: "whether supervised fine-tuning takes the mean over a completion's tokens; with false, their sum",
	}},
	make: func(s Settings) Loss {
		return SLiC{s.number("slic_delta"), s.number("sft_weight"), s["slic_sft_average"].(bool)}
	},
}

// Name implements Loss.
func (SLiC) Name() string { return "slic" }

// Needs implements Loss.
func (SLiC) Needs() Needs { return Needs{Rejected: true, Sums: true, Means: true, SFT: true} }

// Beta implements Loss: there is none.
func (SLiC) Beta() float64 { return 0 }

// Rewards are the log-probs, whose difference the hinge is of.
func (SLiC) Rewards(b *Batch, i int) (chosen, rejected float64) {
	return b.ChosenLogps[i], b.RejectedLogps[i]
}

// StepZero implements Loss: there is no reference to be equal to.
func (SLiC) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (l SLiC) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		if m := l.delta - (b.ChosenLogps[i] - b.RejectedLogps[i]); m > 0 {
			r.Losses[i] = m
			r.DChosenLogps[i], r.DRejectedLogps[i] = -1, 1
		}
		weight := l.weight
		if !l.average {
			weight *= float64(b.imitated(i))
		}
		r.addSFT(&b, i, weight)
	}
}
