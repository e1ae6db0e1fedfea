package train

import (
	"fmt"
	"math"
	"slices"

	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
)

// watch looks over a run and says in plain words what goes wrong, with the evidence and what to do: each thing once in a run, however
// often that is resumed. docs/metrics.md has its rules.
type watch struct {
	loss loss.Loss
	watchState
}

// watchState is what a watch remembers, in a checkpoint too.
type watchState struct {
	Window   looked   `json:"window"`   // since it last looked
	Coef     float64  `json:"coef"`     // the larger mean coefficient of the two sides at the first look; 0 before that
	Examples int      `json:"examples"` // that it has looked at
	Fell     bool     `json:"fell"`     // the look before showed displacement
	Said     []string `json:"said"`     // kinds of warnings
}

// looked is what it sees of the steps of a window.
type looked struct {
	Examples int         `json:"examples"`
	Wins     float64     `json:"wins"`    // pairs whose reward is higher for the chosen side
	Margins  float64     `json:"margins"` // of rewards, summed over pairs
	Untied   bool        `json:"untied"`  // rewards of a pair differ
	Shifts   eval.Shifts `json:"shifts"`
}

// watchExamples is the least number of examples that it looks at together, watchLong what it sees before it says that nothing was learnt.
const (
	watchExamples = 100
	watchLong     = 500
)

func newWatch(l loss.Loss) *watch { return &watch{loss: l} }

// look is one look of a watch: what it sees, and where in the run.
type look struct {
	looked
	needs       loss.Needs
	step, total int
	say         func(what string, holds bool, format string, a ...any) // says a thing if it holds, once in a run
}

// add counts a step of a run that is to have so many; it returns what there is to say.
func (w *watch) add(t *eval.Tally, step, total int) (warnings []string) {
	say := func(what string, holds bool, format string, a ...any) {
		if holds && !slices.Contains(w.Said, what) {
			w.Said = append(w.Said, what)
			warnings = append(warnings, fmt.Sprintf(format, a...))
		}
	}
	if first := t.Shifts(); step == 1 && first.Known { // no update has been made yet
		away := max(math.Abs(first.Chosen.PerToken()), math.Abs(first.Rejected.PerToken()))
		say("reference", away > 0.1,
			"before the first update the policy is already %.2g nats a token away from ref_model; unless that is meant, leave out ref_model, or give the model that training begins from", away)
	}
	w.Window.add(t)
	if w.Window.Examples < watchExamples {
		return warnings
	}
	l := look{w.Window, w.loss.Needs(), step, total, say}
	w.Window = looked{}
	w.Examples += l.Examples
	w.displacement(l)
	w.saturation(l)
	margin, learnt := w.chance(l)
	w.length(l, learnt)
	say("margin", l.needs.Reference && margin > 20,
		"rewards/margins is %.0f: the policy has moved very far from the reference, and its answers may fall apart; lower learning_rate, raise beta, or train for fewer epochs", margin)
	return warnings
}

// displacement: what should become more probable has become less so, of two looks in a row.
func (w *watch) displacement(l look) {
	chosen, rejected := l.Shifts.Chosen.PerToken(), l.Shifts.Rejected.PerToken()
	falls := chosen < -0.1
	switch {
	case l.needs.Rejected:
		falls = falls && l.Shifts.Rate() > 0.5
		cure := "train for fewer epochs, or add sft to the loss, which holds the chosen side up"
		if l.needs.Reference {
			cure = "raise beta, or take a loss that holds the chosen side up, as rpo, dpop, cal_dpo or nca_pair"
		}
		l.say("displacement", falls && w.Fell,
			"chosen answers become less probable together with rejected ones: by %.2g nats a token since the reference, in %.0f %% of the last %d pairs; lower learning_rate, %s",
			-chosen, 100*l.Shifts.Rate(), l.Examples, cure)
	case l.needs.Labels:
		falls = falls && rejected < chosen
		l.say("displacement", falls && w.Fell,
			"desirable completions become less probable together with undesirable ones: by %.2g and %.2g nats a token since the reference over the last %d rows; lower learning_rate, raise beta, or give desirable rows more weight",
			-chosen, -rejected, l.Examples)
	default:
		l.say("displacement", falls && w.Fell,
			"completions become less probable, and the loss is to make them more so: by %.2g nats a token since the reference over the last %d; lower learning_rate", -chosen, l.Examples)
	}
	w.Fell = falls
}

// saturation: the loss pulls no longer as it did.
func (w *watch) saturation(l look) {
	now := max(l.Shifts.Chosen.MeanCoef(), l.Shifts.Rejected.MeanCoef())
	l.say("saturation", now < 0.01*w.Coef,
		"the %s are settled: the loss pulls at the last %d with %.2g of its first strength, so further steps change little; stop here, or lower beta", l.rows(), l.Examples, now/w.Coef)
	if w.Coef == 0 {
		w.Coef = now
	}
}

// chance: after half of the run the sides are no further apart than chance alone takes them. learnt says that the chosen side is above the
// rejected one.
func (w *watch) chance(l look) (margin float64, learnt bool) {
	long, n := 2*l.step >= l.total && w.Examples >= watchLong, float64(l.Examples)
	if l.needs.Rejected {
		accuracy := l.Wins / n
		chance := math.Abs(accuracy-0.5) < 1/math.Sqrt(n) // two standard deviations
		l.say("chance", chance && long && l.Untied,
			"after %d of %d steps rewards/accuracies is %.2f over the last %d pairs, which is chance; raise learning_rate, or look whether chosen and rejected are exchanged in part of the data", l.step, l.total, accuracy, l.Examples)
		return l.Margins / n, accuracy > 0.5
	}
	apart, deviation, ok := l.Shifts.Apart()
	if !ok || !l.needs.Labels {
		return 0, false
	}
	margin = w.loss.Beta() * apart
	l.say("chance", math.Abs(apart) < 2*deviation && long,
		"after %d of %d steps rewards/margins is %.2g over the last %d rows, no further from 0 than chance alone would take it; raise learning_rate, or look whether part of the labels is exchanged", l.step, l.total, margin, l.Examples)
	return margin, apart > 2*deviation
}

// length: what is learnt is how long answers are.
func (w *watch) length(l look, learnt bool) {
	correlation := l.Shifts.Correlation()
	longer, cure := "the chosen answer is", "balance the pairs' lengths, or take dpo_norm, rdpo or simpo"
	switch {
	case l.needs.Labels:
		longer, cure = "desirable completions are than undesirable ones", "balance the completions' lengths"
	case !l.needs.Reference:
		cure = "balance the pairs' lengths"
	}
	way := "briefly"
	if correlation > 0 {
		way = "at length"
	}
	l.say("length", math.Abs(correlation) > 0.8 && learnt,
		"margins go by length: over the last %d %s their correlation with how much longer %s comes to %.2f, so the model may learn to answer %s; %s",
		l.Examples, l.rows(), longer, correlation, way, cure)
}

// rows is what the examples are called.
func (l look) rows() string {
	if l.needs.Rejected {
		return "pairs"
	}
	return "rows"
}

// add counts a step.
func (s *looked) add(t *eval.Tally) {
	n := float64(t.Examples())
	s.Examples += t.Examples()
	if accuracy, ok := t.Accuracy(); ok {
		margin, _ := t.Margin()
		s.Wins += accuracy * n
		s.Margins += margin * n
		s.Untied = s.Untied || !t.AllTied()
	}
	s.Shifts.Merge(t.Shifts())
}
