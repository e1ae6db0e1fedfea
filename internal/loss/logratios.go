package loss

import "math"

// logRatio is that of the chosen or only completion of example i, policy minus reference in nats.
func (b *Batch) logRatio(i int) float64 { return b.ChosenLogps[i] - b.RefChosenLogps[i] }

// logRatios are those of both completions of example i.
func (b *Batch) logRatios(i int) (chosen, rejected float64) {
	return b.logRatio(i), b.RejectedLogps[i] - b.RefRejectedLogps[i]
}

// ofLogRatios is a loss that depends on the two log-ratios of a pair alone, with its derivatives. Those of the policy's log-probs are the
// same.
type ofLogRatios func(chosen, rejected float64) (loss, dChosen, dRejected float64)

// compute is Compute of such a loss.
func (f ofLogRatios) compute(b *Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		r.Losses[i], r.DChosenLogps[i], r.DRejectedLogps[i] = f(b.logRatios(i))
	}
}

// stepZero is its value where policy and reference agree, from the same code, and so the same to the bit.
func (f ofLogRatios) stepZero() (float64, bool) {
	loss, _, _ := f(0, 0)
	return loss, true
}

// maxExponent is what the exponent of a loss that takes e to the power of a log-ratio is held to, as in TRL: e^80 is 5.5e34, and even
// float32 holds it. Log-ratios of whole completions pass it easily.
const maxExponent = 80

// heldExp is e^x with x held to maxExponent, and its derivative, which is 0 beyond.
func heldExp(x float64) (value, slope float64) {
	if x > maxExponent {
		return math.Exp(maxExponent), 0
	}
	value = math.Exp(x)
	return value, value
}
