// Package loss computes direct-alignment losses from the log-probabilities of whole completions.
//
// A loss sees no model and no tensor. For each example it is given the summed token log-probabilities, in nats, of the
// chosen and the rejected completion under the policy and, unless it is reference-free, under the reference, with both
// lengths in tokens. Some read scores or win rates of the row as well, the reference's entropy or the divergence from it;
// those on unpaired rows, and the mismatched rows of kto, are told of in unpaired.go, those on ranked lists in lists.go. It
// returns the loss of each example and its derivative with respect to the policy's
// log-probabilities, in float64 and in closed form; the caller takes the mean over the examples of an optimizer step.
// Most losses take each example by itself; those that couple them, and may remember something from step to step, are told of in coupled.go.
// A weighted sum of losses is a loss too: Mix. So is a loss with modifiers, which are in modifiers.go.
//
// Notation in the docs of the losses: pc, pr and rc, rr are the log-probs of chosen and rejected under policy and
// reference, nc and nr the lengths, h = (pc-rc) - (pr-rr) the margin, s the sigmoid, b beta.
//
// To add a loss (docs/adding-a-loss.md): one file with its type, paper, equation and Info; its place in catalogue; a YAML file in configs/losses; a section in
// docs/losses.md. Its hyperparameters stand in its Info and nowhere else: config keys, flags, checks, completion and "dpotrain losses"
// follow from there, and the tests of this package hold every loss of the catalogue to what all have in common. A modifier is a row of modifiers,
// a case of modify, and a section of its own in docs/losses.md.
package loss

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Batch is the examples of an optimizer step or a part of it, one element each. Log-probs are sums in nats over the
// scored tokens, of which every completion has at least one.
type Batch struct {
	ChosenLogps, RejectedLogps       []float64 // of the policy; rejected is not read when the loss needs none
	RefChosenLogps, RefRejectedLogps []float64 // of the reference; not read when the loss needs none
	ChosenTokens, RejectedTokens     []int     // scored tokens

	// Divergence KL(reference || policy) of the next-token distributions in nats, summed over the scored tokens; not read when the loss needs
	// none.
	ChosenKL, RejectedKL []float64

	// Entropy of the reference's distributions at the scored tokens: the mean over the tokens of each completion, then over the two, as a share
	// of the logarithm of the vocabulary, from 0 to 1. Not read when the loss needs none.
	RefEntropies []float64

	// What the data says of the completions; not read when the loss needs none. Of the scores only their difference counts.
	ChosenScores, RejectedScores []float64
	ChosenWins, RejectedWins     []float64 // probability that the completion beats one of the policy's

	// Of ranked lists, the completions between the best and the worst, which stand in the place of chosen and rejected; one element each example, or
	// none where all are pairs.
	MiddleLogps, RefMiddleLogps [][]float64

	// Of unpaired rows, whose completions stand in the place of the chosen ones.
	Desirable []bool // they are to be learnt, else to be unlearnt
	// Log-probs of mismatched rows, prompts with completions of other rows: of all rows of the optimizer step, also where the batch is a part of it.
	MismatchedLogps, RefMismatchedLogps []float64

	// How much likelier the policy finds the tokens of a completion than such as it would draw itself: log p - log sum_v p_v^2, summed; not read
	// when the loss needs none.
	ChosenAlignments, RejectedAlignments []float64

	// Of what supervised fine-tuning imitates in place of the chosen completion, by the policy; empty, and of an example without tokens: of that itself,
	// whose sums have no weights then.
	SFTLogps  []float64
	SFTTokens []int

	Weights []float64 // of the examples; empty: all 1. They are for Weigh
}

// Len is the number of examples.
func (b *Batch) Len() int { return len(b.ChosenLogps) }

// margin is h of example i. The log-ratios are taken first, so that it is exactly 0 where policy and reference agree.
func (b *Batch) margin(i int) float64 {
	chosen, rejected := b.logRatios(i)
	return chosen - rejected
}

// scoreMargin is by how much the chosen completion of example i has the higher score.
func (b *Batch) scoreMargin(i int) float64 { return b.ChosenScores[i] - b.RejectedScores[i] }

// Weigh multiplies the losses that l gave for a batch by the examples' weights, and the derivatives with them.
func Weigh(l Loss, b *Batch, r *Result) {
	if own, ok := l.(weigher); ok {
		own.weigh(b, r)
		return
	}
	for i, w := range b.Weights {
		r.scale(i, w)
	}
}

// weigher is a loss whose derivatives of an example are not all of that example's own loss.
type weigher interface{ weigh(b *Batch, r *Result) }

// Result has one element for each example.
type Result struct {
	Losses         []float64   // before reduction
	DChosenLogps   []float64   // derivative of the sum of Losses
	DRejectedLogps []float64   // likewise; zeros when the loss needs no rejected completion
	DMiddleLogps   [][]float64 // likewise, of the loss on lists; empty with the others
	DSFTLogps      []float64   // likewise, by Batch.SFTLogps; zeros where there are none
	DChosenKL      []float64   // likewise; zeros when the loss needs no divergences
	DRejectedKL    []float64   // likewise
}

// resize gives r n elements, all 0, with new memory only when there is too little.
func (r *Result) resize(n int) {
	for _, s := range []*[]float64{&r.Losses, &r.DChosenLogps, &r.DRejectedLogps, &r.DSFTLogps, &r.DChosenKL, &r.DRejectedKL} {
		*s = slices.Grow((*s)[:0], n)[:n]
		clear(*s)
	}
	r.DMiddleLogps = r.DMiddleLogps[:0]
}

// scale multiplies loss and derivatives of example i.
func (r *Result) scale(i int, by float64) {
	r.Losses[i] *= by
	r.DChosenLogps[i] *= by
	r.DRejectedLogps[i] *= by
	if len(r.DMiddleLogps) > 0 {
		for j := range r.DMiddleLogps[i] {
			r.DMiddleLogps[i][j] *= by
		}
	}
	r.DSFTLogps[i] *= by
	r.DChosenKL[i] *= by
	r.DRejectedKL[i] *= by
}

// Needs says what a loss has to be given.
type Needs struct {
	Reference  bool // log-probs of the reference
	Rejected   bool // pairs; else single completions
	Lists      bool // ranked lists, of which a pair is one of two; Rejected is true as well
	Sums       bool // log-probs of completions
	Means      bool // log-probs of completions divided by their lengths; with Sums, each in a term of its own
	Entropies  bool // of the reference at the completions
	KL         bool // divergences of the reference, which has to run beside the policy
	Labels     bool // unpaired rows: single completions with labels
	Mismatched bool // mismatched rows of the whole step
	Scores     bool // scores of both completions
	Wins       bool // probabilities of winning of both completions
	Alignments bool // of both completions
	SFT        bool // what supervised fine-tuning imitates, where that is not the chosen completion as it is
	SFTPrompt  bool // likewise, and with its prompt

	TokenWeights bool // log-probs of policy and reference are sums with the weights of TokenWeights
	Coupled      bool // all examples of an optimizer step at once, for the numbers of one depend on the others
}

// String is what a user has to have: pairs, reference.
func (n Needs) String() string {
	words := []string{"completions"}
	switch {
	case n.Lists:
		words[0] = "lists or pairs"
	case n.Rejected:
		words[0] = "pairs"
	case n.Labels:
		words[0] = "labels"
	}
	if n.Reference {
		words = append(words, "reference")
	}
	if n.Entropies {
		words = append(words, "entropies")
	}
	if n.KL {
		words = append(words, "divergences")
	}
	if n.Scores {
		words = append(words, "scores")
	}
	if n.Wins {
		words = append(words, "win rates")
	}
	if n.Coupled || n.Mismatched {
		words = append(words, "whole steps")
	}
	return strings.Join(words, ", ")
}

// Logps says of what the loss takes log-probs: sums over a completion, means over its tokens, or both.
func (n Needs) Logps() string {
	switch {
	case n.Sums && n.Means:
		return "sums and means"
	case n.Means:
		return "means"
	}
	return "sums"
}

// Loss is one of the catalogue with its hyperparameters, or a Mix of them.
type Loss interface {
	Name() string
	Needs() Needs
	// Beta scales the rewards that are logged; see Rewards.
	Beta() float64
	// Compute fills r, whose slices it resizes and overwrites.
	Compute(b Batch, r *Result)
	// StepZero is the loss of every example when policy and reference are the same model; ok is false if that is no
	// constant; see StepZeroOf.
	StepZero() (value float64, ok bool)
}

// Info describes a loss of the catalogue, or a sum of them.
type Info struct {
	Name    string
	Aliases []string // other trainers' names for it
	Summary string
	Paper   string
	Needs   Needs

	Hyperparameters []Hyperparameter
	Instead         map[string]string // for a key that it does not use, the loss that is this one with it

	make  func(s Settings) Loss // s is complete and checked
	parts []Part                // of a sum; see Sum
}

// catalogue is every loss, in the order in which help texts list them.
var catalogue = []Info{
	dpoInfo,
	plackettLuceInfo,
	cdpoInfo,
	robustInfo,
	ipoInfo,
	ipoSumInfo,
	odpoInfo,
	rebelInfo,
	hingeInfo,
	bcoInfo,
	ktoInfo,
	apoZeroUnpairedInfo,
	aotInfo,
	aotUnpairedInfo,
	betaDPOInfo,
	rewardAwareBwdKLInfo,
	rewardAwareFwdKLInfo,
	sppoInfo,
	dnoInfo,
	dnoPrctInfo,
	calDPOInfo,
	exoPairInfo,
	ncaPairInfo,
	sppoHardInfo,
	apoZeroInfo,
	apoDownInfo,
	discoPOPInfo,
	dpopInfo,
	rpoInfo,
	fdpoInfo,
	mallowsDPOInfo,
	tdpo1Info,
	tdpo2Info,
	dpoNormInfo,
	rdpoInfo,
	orpoInfo,
	simpoInfo,
	slicInfo,
	alphapoInfo,
	cpoInfo,
	cpoSimpoInfo,
	sftInfo,
}

// refused are names that would be misunderstood, or that are no losses here, with what to say.
var refused = map[string]string{
	"aot_pair": "up to TRL 0.27 this was the loss for completions that are not paired, whatever it says; give aot for pairs, or aot_unpaired for what aot_pair was",
	"ld_dpo":   "it is a modifier of losses; give the loss, as dpo, and ld_alpha: 0.5 beside it",
	"sampo":    "it is a modifier of losses; give the loss, as dpo, and sampo: true beside it",
	"wpo":      "it is a modifier of losses; give the loss, as dpo, and wpo: true beside it",
	"tr_dpo":   "it is any loss with a reference that is renewed; give the loss, as dpo, and reference_update_steps: 512 beside it",
	"bco_pair": "since TRL 0.29 this is BCO without the shift of its rewards, which is weaker; give bco, which has the shift",
}

// Refused says why there is no loss of a name that other programs have; empty if there is nothing to say.
func Refused(name string) string { return refused[name] }

// Reward is the implicit reward of the completion of example i, an unpaired row.
func Reward(l Loss, b *Batch, i int) float64 {
	return l.Beta() * b.logRatio(i)
}

// Rewards are the implicit rewards of the completions of example i, as TRL logs them: beta times the log-ratio of policy to reference,
// or without a reference beta times the mean log-prob of a token. A loss with rewards of its own has a method of this name.
func Rewards(l Loss, b *Batch, i int) (chosen, rejected float64) {
	if own, ok := l.(interface {
		Rewards(b *Batch, i int) (chosen, rejected float64)
	}); ok {
		return own.Rewards(b, i)
	}
	if l.Needs().Reference {
		chosen, rejected = b.logRatios(i)
		return l.Beta() * chosen, l.Beta() * rejected
	}
	return l.Beta() * b.ChosenLogps[i] / float64(b.ChosenTokens[i]), l.Beta() * b.RejectedLogps[i] / float64(b.RejectedTokens[i])
}

// StepZeroOf is the loss of example i when policy and reference are the same model: StepZero, or what the loss's method of this name says, if
// it depends on the example. ok is false if there is no closed form.
func StepZeroOf(l Loss, b *Batch, i int) (value float64, ok bool) {
	if own, ok := l.(interface {
		StepZeroOf(b *Batch, i int) (value float64, ok bool)
	}); ok {
		return own.StepZeroOf(b, i)
	}
	return l.StepZero()
}

// Catalogue lists all losses.
func Catalogue() []Info { return slices.Clone(catalogue) }

// CheckScores says why a loss cannot work with the scores of a pair, and what to do; most can with all. A loss that cannot has a method of
// this name.
func CheckScores(l Loss, chosen, rejected float64) error {
	if own, ok := l.(interface {
		CheckScores(chosen, rejected float64) error
	}); ok {
		return own.CheckScores(chosen, rejected)
	}
	return nil
}

// Names lists the losses.
func Names() []string {
	names := make([]string, len(catalogue))
	for i, l := range catalogue {
		names[i] = l.Name
	}
	return names
}

// Describe finds a loss by its name or an alias.
func Describe(name string) (Info, bool) {
	i := slices.IndexFunc(catalogue, func(l Info) bool { return l.Name == name || slices.Contains(l.Aliases, name) })
	if i < 0 {
		return Info{}, false
	}
	return catalogue[i], true
}

// New makes the loss of a text as Of reads it, with its own defaults for what s does not have. It fails on an unknown name, and with a
// *SettingError on a hyperparameter that the loss does not use or that is out of range.
func New(text string, s Settings) (Loss, error) {
	info, err := Of(text)
	if err != nil {
		return nil, err
	}
	if s, err = info.Settings(s); err != nil {
		return nil, err
	}
	return info.build(s)
}

// build makes a loss of complete settings.
func (i Info) build(s Settings) (Loss, error) {
	l, err := i.plain(s)
	if err != nil {
		return nil, err
	}
	return i.modify(l, s), nil
}

// plain is build without modifiers.
func (i Info) plain(s Settings) (Loss, error) {
	if len(i.parts) > 0 {
		return i.sum(s)
	}
	l := i.make(s)
	if v, ok := l.StepZero(); ok && math.IsInf(v, 0) { // as ipo's target 1/(2 beta) squared, long before beta is 0
		at := slices.IndexFunc(i.Hyperparameters, func(h Hyperparameter) bool { return s[h.Key] != h.Default })
		h := i.Hyperparameters[max(at, 0)]
		return nil, &SettingError{h.Key, fmt.Sprintf("%v makes the first value of loss %s infinite; its default is %v", s[h.Key], i.Name, h.Default)}
	}
	return l, nil
}

// softplus is log(1+e^x), exact for large |x|.
func softplus(x float64) float64 {
	if x > 0 {
		return x + math.Log1p(math.Exp(-x))
	}
	return math.Log1p(math.Exp(x))
}

// sigmoid is 1/(1+e^-x), exact for large |x|.
func sigmoid(x float64) float64 {
	if x < 0 {
		e := math.Exp(x)
		return e / (1 + e)
	}
	return 1 / (1 + math.Exp(-x))
}
