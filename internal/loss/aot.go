package loss

import (
	"cmp"
	"math"
	"slices"
)

// AOT is alignment by optimal transport on pairs: Melnyk et al. 2024 (arXiv:2406.05882), with its logistic loss. It compares no pair with its
// own reference, but the distribution of the policy's margins with that of the reference's: with the margins of all pairs of the step sorted,
//
//	U = pc - pr, V = rc - rr, U(k) and V(k) the k-th smallest
//	u = b (U(k) - V(k))
//	L(k) = -(1-e) log s(u) - e log s(-u)
//	dL(k)/dpc = b (s(u) - (1-e)) = -dL(k)/dpr for the pair with U(k)
//
// L(k) counts as the loss of that pair. Equal margins keep the order of their pairs. Alone in its step a pair has the loss of dpo, with
// smoothing that of cdpo.
//
// The sort goes over the whole optimizer step, however that is cut, and in an evaluation over all pairs. TRL sorts what a device computes at a time,
// so that results depend on per_device_train_batch_size. The name aot_pair is refused: up to TRL 0.27 it was the unpaired loss.
type AOT struct{ beta, smoothing float64 }

var aotInfo = Info{
	Name:            "aot",
	Aliases:         []string{"aot_paired"},
	Summary:         "the step's margins, sorted, above the reference's, sorted",
	Paper:           "Melnyk et al. 2024, arXiv:2406.05882",
	Needs:           AOT{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.01, pull), aotSmoothing},
	make:            func(s Settings) Loss { return AOT{s.number("beta"), s.number("label_smoothing")} },
}

// aotSmoothing is off by default, as in TRL.
var aotSmoothing = Hyperparameter{Key: "label_smoothing", Default: 0.0, Neutral: 0.0, Range: Range{Low: 0, High: 0.5, HighOpen: true},
	Meaning: "share of the ranks that is taken to have chosen and rejected exchanged: higher caps the distance lower"}

// Name implements Loss.
func (AOT) Name() string { return "aot" }

// Needs implements Loss.
func (AOT) Needs() Needs { return Needs{Reference: true, Rejected: true, Coupled: true, Sums: true} }

// Beta implements Loss.
func (l AOT) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2, for both sort to the same numbers.
func (AOT) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss.
func (l AOT) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	policy, reference := make([]float64, b.Len()), make([]float64, b.Len())
	for i := range policy {
		policy[i], reference[i] = b.ChosenLogps[i]-b.RejectedLogps[i], b.RefChosenLogps[i]-b.RefRejectedLogps[i]
	}
	byPolicy, byReference := ascending(policy), ascending(reference)
	for k, i := range byPolicy {
		loss, slope := smoothed(l.beta*(policy[i]-reference[byReference[k]]), l.smoothing)
		r.Losses[i] = loss
		r.DChosenLogps[i], r.DRejectedLogps[i] = l.beta*slope, -l.beta*slope
	}
}

// ascending are the indices of values from the smallest on; of equal ones the first comes first.
func ascending(values []float64) []int {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(values[i], values[j]) })
	return order
}
