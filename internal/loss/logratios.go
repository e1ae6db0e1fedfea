package loss

// logRatios are those of example i, policy minus reference in nats.
func (b *Batch) logRatios(i int) (chosen, rejected float64) {
	return b.ChosenLogps[i] - b.RefChosenLogps[i], b.RejectedLogps[i] - b.RefRejectedLogps[i]
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
