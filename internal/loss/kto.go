package loss

// KTO is Kahneman-Tversky optimization: Ethayarajh et al. 2024 (arXiv:2402.01306). It takes unpaired rows. With pc, rc the log-probs of the row's
// completion and w its label's weight,
//
//	L = w s(-b (pc-rc-z)) of a desirable row, w s(b (pc-rc-z)) of an undesirable one
//	dL/dpc = -w b s(v) s(-v) and w b s(v) s(-v), v = b (pc-rc-z)
//	z = the mean of (policy - reference) over the mismatched rows of the step, 0 where that is negative
//
// z stands for the divergence of the policy from the reference, the point from which gains and losses count. It is a constant for the
// gradient. A mismatched row is a prompt with the completion of another row; the loss is told the log-probs of those of the whole optimizer step,
// and z is the same however the step is cut. An evaluation has one z, over all its rows.
//
// TRL and the authors' HALOs take z over the micro-batch of all processes and match completions within it, the one after or before; here the
// partners are a function of the file, so that the reference's part is computed before training, once. HALOs leaves rows at 0 out of the mean.
// TRL's kto_pair, until 0.9.4, took z from matched pairs, which is another loss.
type KTO struct {
	beta float64
	labelWeights
}

var ktoInfo = Info{
	Name:            "kto",
	Summary:         "unpaired rows: gains and losses of reward against the policy's divergence from the reference",
	Paper:           "Ethayarajh et al. 2024, arXiv:2402.01306",
	Needs:           KTO{}.Needs(),
	Hyperparameters: append([]Hyperparameter{beta(0.1, pull)}, labelWeightKeys("kto")...),
	make:            func(s Settings) Loss { return KTO{s.number("beta"), labelWeightsOf(s, "kto")} },
}

// Name implements Loss.
func (KTO) Name() string { return "kto" }

// Needs implements Loss.
func (KTO) Needs() Needs { return Needs{Reference: true, Labels: true, Mismatched: true, Sums: true} }

// Beta implements Loss.
func (l KTO) Beta() float64 { return l.beta }

// StepZero implements Loss.
func (l KTO) StepZero() (float64, bool) { return l.stepZero() }

// Compute implements Loss.
func (l KTO) Compute(b Batch, r *Result) { l.compute(&b, l.beta, b.KL(), r) }
