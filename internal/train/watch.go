package train

import (
	"fmt"
	"math"

	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
)

// watch looks over a run and says in plain words what goes wrong, with the evidence and what to do: each thing once. docs/metrics.md has
// its rules.
type watch struct {
	loss   loss.Loss
	window *eval.Tally // pairs since it last looked
	first  *eval.Tally // the first window
	pairs  int         // seen so far
	fell   bool        // the window before showed displacement
	said   map[string]bool
}

// watchPairs is the least number of pairs that it looks at together.
const watchPairs = 100

func newWatch(l loss.Loss) *watch {
	return &watch{loss: l, window: eval.NewTally(l), said: map[string]bool{}}
}

// add counts a step of a run that is to have so many; it returns what there is to say.
func (w *watch) add(t *eval.Tally, step, total int) (warnings []string) {
	w.window.Merge(t)
	if !w.loss.Needs().Rejected || w.window.Examples() < watchPairs {
		return nil
	}
	seen := w.window
	w.window = eval.NewTally(w.loss)
	w.pairs += seen.Examples()
	if w.first == nil {
		w.first = seen
	}
	metrics, began := seen.Metrics(nil, ""), w.first.Metrics(nil, "")
	value := func(name string) float64 {
		v, _ := metrics.Value(name)
		return v
	}
	say := func(what string, holds bool, format string, a ...any) {
		if holds && !w.said[what] {
			w.said[what] = true
			warnings = append(warnings, fmt.Sprintf(format, a...))
		}
	}
	n := seen.Examples()

	rate, perToken := value("displacement/rate"), value("shift/chosen_per_token")
	falls := rate > 0.5 && perToken < -0.1
	say("displacement", falls && w.fell,
		"chosen answers become less probable together with rejected ones: by %.2g nats a token since the reference, in %.0f %% of the last %d pairs; lower learning_rate, raise beta, or take a loss that holds the chosen side up, as rpo, dpop, cal_dpo or nca_pair",
		-perToken, 100*rate, n)
	w.fell = falls

	if before, ok := began.Value("grad/coef_chosen"); ok {
		now := max(value("grad/coef_chosen"), value("grad/coef_rejected"))
		say("saturation", seen != w.first && now < 0.01*before,
			"the pairs are settled: the loss pulls at the last %d with %.2g of its first strength, so further steps change little; stop here, or lower beta", n, now/before)
	}

	accuracy := value("rewards/accuracies")
	chance := math.Abs(accuracy-0.5) < 1/math.Sqrt(float64(n)) // two standard deviations
	say("chance", chance && 2*step >= total && w.pairs >= 500 && !seen.AllTied(),
		"after %d of %d steps rewards/accuracies is %.2f over the last %d pairs, which is chance; raise learning_rate, or look whether chosen and rejected are exchanged in part of the data", step, total, accuracy, n)

	correlation := value("length/margin_correlation")
	say("length", math.Abs(correlation) > 0.8 && accuracy > 0.5,
		"margins go by length: over the last %[2]d pairs their correlation with how much longer the chosen answer is comes to %.2[1]f, so the model may learn to answer %[3]s; balance the pairs' lengths, or take dpo_norm, rdpo or simpo",
		correlation, n, map[bool]string{true: "at length", false: "briefly"}[correlation > 0])

	if margin, ok := seen.Margin(); ok && w.loss.Needs().Reference {
		say("margin", margin > 20, "rewards/margins is %.0f: the policy has moved very far from the reference, and its answers may fall apart; lower learning_rate, raise beta, or train for fewer epochs", margin)
	}
	return warnings
}
