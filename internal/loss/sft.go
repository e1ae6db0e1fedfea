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
func (SFT) Needs() Needs { return Needs{Means: true} }

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

// addSFT adds weight times the loss sft of the chosen completion of example i.
func (r *Result) addSFT(b *Batch, i int, weight float64) {
	n := float64(b.ChosenTokens[i])
	r.Losses[i] -= weight * (b.ChosenLogps[i] / n)
	r.DChosenLogps[i] -= weight / n
}
