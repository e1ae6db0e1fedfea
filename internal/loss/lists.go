package loss

// This file has what is needed of losses on ranked lists: several completions of one prompt, best first. The best stands in the place of the
// chosen one, the worst in that of the rejected one, and Batch and Result have those between them besides. A pair is a list of two.

// listRatios are those of policy to reference for the completions of example i, a list, best first.
func (b *Batch) listRatios(i int) []float64 {
	best, worst := b.logRatios(i)
	a := []float64{best}
	if len(b.MiddleLogps) > 0 {
		for j, p := range b.MiddleLogps[i] {
			a = append(a, p-b.RefMiddleLogps[i][j])
		}
	}
	return append(a, worst)
}

// resizeLists is resize for the lists of b.
func (r *Result) resizeLists(b *Batch) {
	r.resize(b.Len())
	r.DMiddleLogps = make([][]float64, b.Len())
	for i, m := range b.MiddleLogps {
		r.DMiddleLogps[i] = make([]float64, len(m))
	}
}

// setList sets the derivatives of example i by the log-probs of its completions, best first.
func (r *Result) setList(i int, d []float64) {
	last := len(d) - 1
	r.DChosenLogps[i], r.DRejectedLogps[i] = d[0], d[last]
	copy(r.DMiddleLogps[i], d[1:last])
}

// Concordance is the share of all pairs of completions of example i, a list, whose rewards are in the order of the list. Equal ones are not.
func (b *Batch) Concordance(i int) float64 {
	a := b.listRatios(i)
	right := 0
	for k := range a {
		for _, worse := range a[k+1:] {
			if a[k] > worse {
				right++
			}
		}
	}
	return float64(right) / float64(len(a)*(len(a)-1)/2)
}
