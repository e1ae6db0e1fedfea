package loss

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// This file has the modifiers: settings that change what a loss is given or what it gives, and that many losses can have. A loss with one is a
// loss. Those of a sum are of the whole sum.

// Modifier is one of them. It is off at its default, which is its neutral value.
type Modifier struct {
	Hyperparameter
	Summary string
	Paper   string
	Goes    string // the losses that it goes with, in words

	refuses func(Info) string // why a loss cannot have it; empty: it can
}

// modifiers are all of them, in the order in which help texts list them.
var modifiers = []Modifier{{
	Hyperparameter: Hyperparameter{Key: "ld_alpha", Default: 1.0, Neutral: 1.0, Range: Range{Low: 0, High: 1},
		Meaning: "what the tokens of the longer completion count that lie beyond the length of the shorter one: lower makes length count less"},
	Summary: "lets what a completion is longer than the other one count less",
	Paper:   "Liu et al. 2024, arXiv:2409.06411",
	Goes:    ofSums,
	refuses: onSums,
}, {
	Hyperparameter: Hyperparameter{Key: "sampo", Default: false, Neutral: false,
		Meaning: "whether only as many tokens of the longer completion count as the shorter one has, drawn anew in every epoch"},
	Summary: "counts as many tokens of the longer completion as the shorter one has, at random",
	Paper:   "Lu et al. 2024, arXiv:2406.10957",
	Goes:    ofSums,
	refuses: onSums,
}, {
	Hyperparameter: Hyperparameter{Key: "wpo", Default: false, Neutral: false,
		Meaning: "whether a pair counts by how likely the policy is to write its completions itself, from 0 to 1"},
	Summary: "weighs pairs by how likely the policy is to write them",
	Paper:   "Zhou et al. 2024, arXiv:2406.11827",
	Goes:    "losses on pairs that do not couple those of a step",
	refuses: func(i Info) string {
		if i.Needs.Coupled {
			return fmt.Sprintf("loss %s couples the pairs of a step, and weights are of each by itself", i.Name)
		}
		return onPairs(i)
	},
}, {
	Hyperparameter: Hyperparameter{Key: "sft_weight", Default: 0.0, Neutral: 0.0, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "weight of supervised fine-tuning on the chosen completion, added to the loss: higher keeps it likelier"},
	Summary: "adds supervised fine-tuning on the chosen completion, or on that of a desirable row",
	Paper:   "Pang et al. 2024, arXiv:2404.19733",
	Goes:    "all losses but sft and sums with it",
	refuses: func(i Info) string {
		if slices.ContainsFunc(i.Parts(), func(p Part) bool { return p.Name == sftInfo.Name }) {
			return fmt.Sprintf("loss %s has supervised fine-tuning with a weight of its own", i.Name)
		}
		return ""
	},
}}

// ofSums is what goes with weights of tokens, and onSums says why a loss does not.
const ofSums = "losses on pairs that are of sums over tokens"

func onSums(i Info) string {
	if i.Needs.KL {
		return fmt.Sprintf("loss %s compares log-probs with divergences, which are of all tokens alike", i.Name)
	}
	if slices.ContainsFunc(i.Parts(), func(p Part) bool { return !p.Needs.Sums && p.Name != sftInfo.Name }) {
		return fmt.Sprintf("loss %s is of means per token, and this is of sums", i.Name)
	}
	return onPairs(i)
}

// onPairs says why a loss cannot have a modifier of pairs.
func onPairs(i Info) string {
	switch {
	case i.Needs.Lists:
		return fmt.Sprintf("loss %s is of lists, and this is of pairs", i.Name)
	case i.Needs.Rejected:
		return ""
	}
	return fmt.Sprintf("loss %s is of single completions, and this is of pairs", i.Name)
}

// Modifiers lists all modifiers.
func Modifiers() []Modifier { return slices.Clone(modifiers) }

// Modifiers are those that the loss can have. A hyperparameter of its own with the same key takes the place of one.
func (i Info) Modifiers() []Modifier {
	return slices.DeleteFunc(Modifiers(), func(m Modifier) bool { _, own := i.own(m.Key); return own || m.refuses(i) != "" })
}

// modifier finds one that the loss can have by its key.
func (i Info) modifier(key string) (Modifier, bool) {
	return findModifier(i.Modifiers(), key)
}

func findModifier(list []Modifier, key string) (Modifier, bool) {
	at := slices.IndexFunc(list, func(m Modifier) bool { return m.Key == key })
	if at < 0 {
		return Modifier{}, false
	}
	return list[at], true
}

// takeModifiers parts settings into those of modifiers and all others.
func (i Info) takeModifiers(given Settings) (taken, others Settings, err error) {
	taken, others = Settings{}, Settings{}
	for key, v := range given {
		m, ok := i.modifier(key)
		if !ok {
			others[key] = v
			continue
		}
		if err := m.Check(v); err != nil {
			return nil, nil, &SettingError{key, err.Error()}
		}
		taken[key] = v
	}
	return taken, others, nil
}

// modified is a loss with modifiers that are on.
type modified struct {
	Loss
	ldAlpha   float64
	sampo     bool
	wpo       bool
	sftWeight float64
}

// statefulModified is one of a loss that remembers something.
type statefulModified struct{ modified }

// modify gives a loss the modifiers that are on in complete settings.
func (i Info) modify(l Loss, s Settings) Loss {
	m := modified{Loss: l, ldAlpha: 1}
	on := false
	for _, mod := range i.Modifiers() {
		v, given := s[mod.Key]
		if !given || v == mod.Neutral {
			continue
		}
		on = true
		switch mod.Key {
		case "ld_alpha":
			m.ldAlpha = v.(float64)
		case "sampo":
			m.sampo = v.(bool)
		case "wpo":
			m.wpo = v.(bool)
		case "sft_weight":
			m.sftWeight = v.(float64)
		}
	}
	if !on {
		return l
	}
	if _, ok := l.(Stateful); ok {
		return &statefulModified{m}
	}
	return &m
}

// Needs implements Loss.
func (m *modified) Needs() Needs {
	n := m.Loss.Needs()
	n.Alignments = n.Alignments || m.wpo
	if m.sftWeight > 0 {
		n.SFT, n.Means = true, true
	}
	n.TokenWeights = n.TokenWeights || m.sampo || m.ldAlpha != 1
	return n
}

// TokenWeights are what the tokens of a pair's completions count in the sums of the log-probs by policy and reference alike: nil for a side whose tokens
// all count 1, as those of the shorter one do. draw is random numbers of this pair's own. With n tokens in the shorter completion, those of the
// longer one count
//
//	1 the first n, and alpha what lies beyond      LD-DPO, Liu et al. 2024 (arXiv:2409.06411), alpha being ld_alpha
//	1 n of them, drawn without replacement, else 0      SamPO, Lu et al. 2024 (arXiv:2406.10957)
//
// So the margin of equal models is 0. TRL from 0.18 to 0.28 and LLaMA-Factory weigh the policy's sums alone in the former, and the authors of the
// latter draw for each model anew: there it is not.
func TokenWeights(l Loss, chosen, rejected int, draw *rand.Rand) (c, r []float64) {
	m, ok := l.(interface {
		tokenWeights(n, shorter int, draw *rand.Rand) []float64
	})
	if !ok {
		return nil, nil
	}
	n := min(chosen, rejected)
	return m.tokenWeights(chosen, n, draw), m.tokenWeights(rejected, n, draw)
}

// tokenWeights are those of a completion of n tokens beside one that is shorter, or no longer.
func (m *modified) tokenWeights(n, shorter int, draw *rand.Rand) []float64 {
	if n == shorter {
		return nil
	}
	weights := make([]float64, n)
	left := shorter
	for t := range weights {
		switch {
		case !m.sampo && t < shorter:
			weights[t] = 1
		case !m.sampo:
			weights[t] = m.ldAlpha
		case draw.IntN(n-t) < left: // as likely for each set of as many tokens
			weights[t] = 1
			left--
		}
	}
	return weights
}

// Rewards are those of the loss.
func (m *modified) Rewards(b *Batch, i int) (chosen, rejected float64) { return Rewards(m.Loss, b, i) }

// CheckScores asks the loss; see the function of this name.
func (m *modified) CheckScores(chosen, rejected float64) error {
	return CheckScores(m.Loss, chosen, rejected)
}

// StepZero implements Loss: weights of pairs and the likelihood of a completion are no constants.
func (m *modified) StepZero() (float64, bool) {
	v, ok := m.Loss.StepZero()
	return v, ok && !m.wpo && m.sftWeight == 0
}

// StepZeroOf is that of the loss, as StepZero is; see the function of this name.
func (m *modified) StepZeroOf(b *Batch, i int) (float64, bool) {
	v, ok := StepZeroOf(m.Loss, b, i)
	return v, ok && !m.wpo && m.sftWeight == 0
}

// Compute implements Loss.
func (m *modified) Compute(b Batch, r *Result) {
	m.Loss.Compute(b, r)
	m.finish(&b, r)
}

// weigh implements weigher: finish has done it.
func (*modified) weigh(*Batch, *Result) {}

// finish does to what the loss gave what modifiers do, after the weights of the examples. What it adds is as a sum with sft has it, to the bit.
func (m *modified) finish(b *Batch, r *Result) {
	Weigh(m.Loss, b, r)
	if m.wpo {
		for i := range r.Losses {
			r.scale(i, b.wpoWeight(i))
		}
	}
	if m.sftWeight == 0 {
		return
	}
	labels := m.Loss.Needs().Labels
	var term Result
	term.resize(b.Len())
	for i := range term.Losses {
		if !labels || b.Desirable[i] {
			term.addSFT(b, i, 1)
		}
	}
	Weigh(SFT{}, b, &term)
	r.add(m.sftWeight, &term)
}

// wpoWeight is the weight of pair i in WPO (Zhou et al. 2024, arXiv:2406.11827), a constant for the gradient:
//
//	w(y) = exp(mean over the tokens of y of [log p(token) - log sum_v p(v)^2])
//	weight = min(1, w(chosen) w(rejected))
//
// The sum of squares is what a token drawn from the policy has on average, so that a completion of its own has a weight near 1. On tokens that
// are likelier than that w is above 1; the authors' code holds the product to 1, as is done here, and TRL does not.
func (b *Batch) wpoWeight(i int) float64 {
	return math.Exp(min(0, b.ChosenAlignments[i]/float64(b.ChosenTokens[i])+b.RejectedAlignments[i]/float64(b.RejectedTokens[i])))
}

// Metrics implements Reporter.
func (m *modified) Metrics() []Metric {
	if l, ok := m.Loss.(Reporter); ok {
		return l.Metrics()
	}
	return nil
}

// Step implements Stateful.
func (m *statefulModified) Step(b Batch, draw *rand.Rand, r *Result) {
	m.Loss.(Stateful).Step(b, draw, r)
	m.finish(&b, r)
}

// State implements Stateful.
func (m *statefulModified) State() State { return m.Loss.(Stateful).State() }

// SetState implements Stateful.
func (m *statefulModified) SetState(s State) error { return m.Loss.(Stateful).SetState(s) }

// TakeUnpaired implements TakesBoth; see Both.
func (m *statefulModified) TakeUnpaired() error {
	if m.Needs().TokenWeights {
		key := "ld_alpha"
		if m.sampo {
			key = "sampo"
		}
		return &SettingError{key, "it is of pairs, and the rows are single completions with labels; leave it out, or give pairs"}
	}
	return m.Loss.(TakesBoth).TakeUnpaired()
}
