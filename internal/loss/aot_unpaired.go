package loss

import "math"

// AOTUnpaired is alignment by optimal transport without regard to what is paired with what: Melnyk et al. 2024 (arXiv:2406.05882), with its
// logistic loss. The log-ratios of all chosen and those of all rejected completions of the step are sorted, each by themselves, and every
// chosen one is to be above the rejected one of the same rank:
//
//	lw = pc - rc, ll = pr - rr, lw(k) and ll(k) the k-th smallest
//	u = b (lw(k) - ll(k))
//	L(k) = -(1-e) log s(u) - e log s(-u)
//	dL(k)/dpc = b (s(u) - (1-e)) for the completion with lw(k), dL(k)/dpr = -b (s(u) - (1-e)) for that with ll(k)
//
// L(k) counts as the loss of the pair with lw(k). Equal log-ratios keep the order of their pairs. Alone in its step a pair has the loss of dpo,
// with smoothing that of cdpo. It takes as many chosen completions as rejected ones: pairs, here as in TRL, though any chosen one may stand
// beside any rejected one.
// Its weight is that pair's, for the rejected completion too.
//
// As aot it sorts over the whole optimizer step. TRL calls it aot_unpaired since 0.28, and aot_pair before.
type AOTUnpaired struct{ beta, smoothing float64 }

var aotUnpairedInfo = Info{
	Name:            "aot_unpaired",
	Summary:         "the step's chosen rewards, sorted, above its rejected ones, sorted",
	Paper:           "Melnyk et al. 2024, arXiv:2406.05882",
	Needs:           AOTUnpaired{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.01, pull), aotSmoothing},
	make:            func(s Settings) Loss { return AOTUnpaired{s.number("beta"), s.number("label_smoothing")} },
}

// Name implements Loss.
func (AOTUnpaired) Name() string { return "aot_unpaired" }

// Needs implements Loss.
func (AOTUnpaired) Needs() Needs { return AOT{}.Needs() }

// Beta implements Loss.
func (l AOTUnpaired) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2.
func (AOTUnpaired) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l AOTUnpaired) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	byChosen, byRejected := ranks(&b)
	for k, i := range byChosen {
		j := byRejected[k]
		chosen, _ := b.logRatios(i)
		_, rejected := b.logRatios(j)
		loss, slope := smoothed(l.beta*(chosen-rejected), l.smoothing)
		r.Losses[i] = loss
		r.DChosenLogps[i], r.DRejectedLogps[j] = l.beta*slope, -l.beta*slope
	}
}

// weigh implements weigher.
func (AOTUnpaired) weigh(b *Batch, r *Result) {
	if len(b.Weights) == 0 {
		return
	}
	byChosen, byRejected := ranks(b)
	for k, i := range byChosen {
		r.Losses[i] *= b.Weights[i]
		r.DChosenLogps[i] *= b.Weights[i]
		r.DRejectedLogps[byRejected[k]] *= b.Weights[i]
	}
}

// ranks are the examples by the log-ratio of their chosen, and by that of their rejected completion, from the smallest on.
func ranks(b *Batch) (byChosen, byRejected []int) {
	chosen, rejected := make([]float64, b.Len()), make([]float64, b.Len())
	for i := range chosen {
		chosen[i], rejected[i] = b.logRatios(i)
	}
	return ascending(chosen), ascending(rejected)
}
