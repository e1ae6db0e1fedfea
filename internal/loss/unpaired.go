package loss

import "math"

// This file has what is needed of losses on unpaired rows: completions with a label, to be learnt or unlearnt.

// TakesBoth is a loss on pairs that takes unpaired rows too.
type TakesBoth interface {
	Loss
	// TakeUnpaired makes it one on unpaired rows. It fails with a *SettingError on a modifier that goes with pairs alone.
	TakeUnpaired() error
}

// Both is a loss as one that takes both; ok is false if it does not.
func Both(l Loss) (both TakesBoth, ok bool) {
	if m, is := l.(*statefulModified); is {
		_, ok := m.Loss.(TakesBoth)
		return m, ok
	}
	both, ok = l.(TakesBoth)
	return both, ok
}

// Unpaired lists the losses that take unpaired rows.
func Unpaired() []string {
	var names []string
	for _, info := range catalogue {
		full, _ := info.Settings(nil) // defaults are in range
		_, both := info.make(full).(TakesBoth)
		if info.Needs.Labels || both {
			names = append(names, info.Name)
		}
	}
	return names
}

// KL is how far the policy is from the reference, as mismatched rows tell: the mean of their log-ratios in nats, 0 where that is negative and
// where there are none.
func (b *Batch) KL() float64 {
	var sum float64
	for i, p := range b.MismatchedLogps {
		sum += p - b.RefMismatchedLogps[i]
	}
	if len(b.MismatchedLogps) == 0 {
		return 0
	}
	return max(0, sum/float64(len(b.MismatchedLogps)))
}

// labelWeights weigh desirable and undesirable rows.
type labelWeights struct{ desirable, undesirable float64 }

// labelWeightKeys are the hyperparameters of labelWeights for a loss.
func labelWeightKeys(loss string) []Hyperparameter {
	const balance = "higher learns more from them; weights times counts are best between 1:1 and 4:3 for desirable to undesirable rows"
	positive := Range{Low: 0, LowOpen: true, High: math.Inf(1)}
	return []Hyperparameter{
		{Key: loss + "_desirable_weight", Default: 1.0, Range: positive, Meaning: "weight of desirable rows: " + balance},
		{Key: loss + "_undesirable_weight", Default: 1.0, Range: positive, Meaning: "weight of undesirable rows: " + balance},
	}
}

// labelWeightsOf are those of settings.
func labelWeightsOf(s Settings, loss string) labelWeights {
	return labelWeights{s.number(loss + "_desirable_weight"), s.number(loss + "_undesirable_weight")}
}

// stepZero is the loss of every row where policy and reference agree: half the weight, a constant where both weights are the same.
func (w labelWeights) stepZero() (float64, bool) {
	return w.desirable / 2, w.desirable == w.undesirable
}

// compute is the loss 1 - s(v) of desirable rows and 1 - s(-v) of undesirable ones with v = beta (pc-rc-z), times their weights.
func (w labelWeights) compute(b *Batch, beta, z float64, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		v := beta * (b.logRatio(i) - z)
		weight, sign := w.desirable, 1.0
		if !b.Desirable[i] {
			weight, sign = w.undesirable, -1
		}
		r.Losses[i] = weight * sigmoid(-sign*v)
		r.DChosenLogps[i] = -sign * weight * beta * sigmoid(v) * sigmoid(-v)
	}
}
