package loss

// SFT is supervised fine-tuning on one completion an example, the mean negative log-likelihood of its tokens:
//
//	L = -pc/nc
//	dL/dpc = -1/nc
//
// Every example counts the same, whatever its length. TRL's SFTTrainer takes the mean over the tokens of the batch
// instead, so that long completions weigh more and results depend on how the batch was put together.
type SFT struct{}

var sftInfo = Info{
	Name:    "sft",
	Summary: "mean negative log-likelihood of the completion",
	Paper:   "supervised fine-tuning",
	Needs:   SFT{}.Needs(),
	make:    func(Settings) Loss { return SFT{} },
}

// Name implements Loss.
func (SFT) Name() string { return "sft" }

// Needs implements Loss.
func (SFT) Needs() Needs { return Needs{Means: true, SFT: true} }

// Beta implements Loss: there are no rewards.
func (SFT) Beta() float64 { return 0 }

// StepZero implements Loss: there is no reference to be equal to.
func (SFT) StepZero() (float64, bool) { return 0, false }

// Compute implements Loss.
func (SFT) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	for i := range r.Losses {
		r.addSFT(&b, i, 1)
	}
}

// addSFT adds weight times the loss sft of what example i imitates: its chosen completion, or what stands in its place.
func (r *Result) addSFT(b *Batch, i int, weight float64) {
	logp, derivative := b.ChosenLogps[i], &r.DChosenLogps[i]
	if b.imitatesOther(i) {
		logp, derivative = b.SFTLogps[i], &r.DSFTLogps[i]
	}
	n := float64(b.imitated(i))
	r.Losses[i] -= weight * (logp / n)
	*derivative -= weight / n
}

// imitatesOther says that something stands in the place of the chosen completion of example i.
func (b *Batch) imitatesOther(i int) bool { return len(b.SFTTokens) > 0 && b.SFTTokens[i] > 0 }

// imitated is the number of tokens that example i imitates.
func (b *Batch) imitated(i int) int {
	if b.imitatesOther(i) {
		return b.SFTTokens[i]
	}
	return b.ChosenTokens[i]
}
