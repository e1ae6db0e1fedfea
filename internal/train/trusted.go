package train

import (
	"fmt"
	"math"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/score"
)

// This file has what is different where the rows bring the reference's log-probs (trust_ref_logps): no pass one is made, and the first step
// can hold only what was computed elsewhere against the policy, which is not the same to the bit.

// trustedWithin is how far a margin may be from 0 where policy and reference are the same model, in nats a scored token of the pair.
const trustedWithin = 1e-3

// checkTrust refuses losses that the columns do not serve.
func checkTrust(o *Options, l loss.Loss) error {
	if o.trusts(l) && o.renewals() > 0 {
		return usage("trust_ref_logps: the rows have the log-probs of one reference, and reference_update_steps renews it; leave one of them out")
	}
	needs := l.Needs()
	if o.trusts(l) && needs.TokenWeights {
		return usage("trust_ref_logps: ref_chosen_logps and ref_rejected_logps are plain sums, and loss %s weighs tokens (ld_alpha, sampo); leave one of them out", l.Name())
	}
	if o.trusts(l) && (needs.Entropies || needs.KL) {
		return usage("trust_ref_logps: ref_chosen_logps and ref_rejected_logps are log-probs, and loss %s needs more of the reference than these; leave it out", l.Name())
	}
	if o.TrustRefLogps && needs.Reference && !needs.Rejected {
		return usage("trust_ref_logps: ref_chosen_logps and ref_rejected_logps are of pairs, and loss %s takes rows with labels; leave it out", l.Name())
	}
	return nil
}

// trusts says that the reference's log-probs come from the rows.
func (o *Options) trusts(l loss.Loss) bool { return o.TrustRefLogps && l.Needs().Reference }

// trusted are the log-probs that the rows bring.
func trusted(x data.Examples) *score.Table {
	return score.Sums(x.Len(), func(i int) []float64 {
		n := x.At(i).Numbers
		return []float64{n.RefChosenLogps, n.RefRejectedLogps}
	})
}

// trust takes the log-probs of the rows in place of pass one's.
func (r *runner) trust(from *checkpoint.Checkpoint, without string) error {
	sets := r.in.sets()
	r.refs, r.evalRefs = trusted(sets[0]), trusted(sets[1])
	r.Log.Info("reference log-probs: those of the rows (trust_ref_logps); no pass one")
	switch {
	case from != nil:
		was, err := readRunInfo(from.Path())
		if err != nil {
			return err
		}
		r.reference = was.Reference
		r.Log.Info(without + "the run goes on from a checkpoint")
	case r.o.ownReference():
		r.reference = r.in.Policy.Digest().String()
		r.stepper.prove, r.stepper.within = true, trustedWithin
		r.Log.Info(fmt.Sprintf("policy and reference are the same model: the first step proves that their margins differ by at most %v nats a token", trustedWithin))
	default:
		r.Log.Info(without + "they are different models")
	}
	return nil
}

// proveTrusted checks, on the policy's first forward pass, that the log-probs of a row are its own, as far as that can be said of what another
// program has computed.
func (s *stepper) proveTrusted(examples []*data.Example) error {
	for i, e := range examples {
		margin := (s.in.ChosenLogps[i] - s.in.RefChosenLogps[i]) - (s.in.RejectedLogps[i] - s.in.RefRejectedLogps[i])
		tokens := float64(s.in.ChosenTokens[i] + s.in.RejectedTokens[i])
		if !(math.Abs(margin) <= s.within*tokens) {
			return fmt.Errorf("%s: before the first step policy and reference are the same model, but with ref_chosen_logps %v and ref_rejected_logps %v the margin is %.4g nats, "+
				"%.2g a token: they are of another model, tokenizer, chat template or max_length; leave out trust_ref_logps, or compute them again",
				e.Place(), s.in.RefChosenLogps[i], s.in.RefRejectedLogps[i], margin, math.Abs(margin)/tokens)
		}
	}
	return nil
}
