// Package loss computes direct-alignment losses from the log-probabilities of whole completions.
//
// A loss sees no model and no tensor. For each example it is given the summed token log-probabilities, in nats, of the
// chosen and the rejected completion under the policy and, unless it is reference-free, under the reference, with both
// lengths in tokens. It returns the loss of each example and its derivative with respect to the policy's
// log-probabilities, in float64 and in closed form; the caller takes the mean over the examples of an optimizer step.
//
// Notation in the docs of the losses: pc, pr and rc, rr are the log-probs of chosen and rejected under policy and
// reference, nc and nr the lengths, h = (pc-rc) - (pr-rr) the margin, s the sigmoid, b beta.
//
// To add a loss: one file with its type, paper and equation; a row in catalogue; rows in the tables of loss_test.go; a
// YAML file in configs.
package loss

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Batch is the examples of an optimizer step or a part of it, one element each. Log-probs are sums in nats over the
// scored tokens.
type Batch struct {
	ChosenLogps, RejectedLogps       []float64 // of the policy; rejected is empty when the loss needs none
	RefChosenLogps, RefRejectedLogps []float64 // of the reference; empty when the loss needs none
	ChosenTokens, RejectedTokens     []int     // scored tokens
}

// Len is the number of examples.
func (b *Batch) Len() int { return len(b.ChosenLogps) }

// Result has one element for each example.
type Result struct {
	Losses         []float64 // before reduction
	DChosenLogps   []float64 // derivative of the sum of Losses
	DRejectedLogps []float64
}

// resize gives r n elements, with new memory only when there is too little.
func (r *Result) resize(n int) {
	for _, s := range []*[]float64{&r.Losses, &r.DChosenLogps, &r.DRejectedLogps} {
		*s = slices.Grow((*s)[:0], n)[:n]
		clear(*s)
	}
}

// Needs says what a loss has to be given.
type Needs struct {
	Reference bool // log-probs of the reference
	Rejected  bool // pairs; else single completions
}

// Loss is one of the catalogue with its hyperparameters.
type Loss interface {
	Name() string
	Needs() Needs
	// Beta scales the rewards that are logged: beta times the log-ratio of policy to reference.
	Beta() float64
	// Compute fills r, whose slices it resizes.
	Compute(b Batch, r *Result)
	// StepZero is the loss of every example when policy and reference are the same model; ok is false if that is no
	// constant.
	StepZero() (value float64, ok bool)
}

// Settings are hyperparameters as users give them; nil stands for the loss's own default.
type Settings struct {
	Beta *float64
}

// Info describes a loss of the catalogue.
type Info struct {
	Name        string
	Aliases     []string // TRL's names for it
	Summary     string
	Paper       string
	Needs       Needs
	DefaultBeta float64 // 0 when the loss has no beta

	make func(beta float64) Loss
}

var catalogue = []Info{
	{Name: "dpo", Aliases: []string{"sigmoid"}, Summary: "logistic loss of the margin", Paper: "Rafailov et al. 2023, arXiv:2305.18290",
		Needs: Needs{Reference: true, Rejected: true}, DefaultBeta: 0.1, make: func(b float64) Loss { return DPO{b} }},
	{Name: "ipo", Summary: "regression of the per-token margin to 1/(2 beta)", Paper: "Azar et al. 2023, arXiv:2310.12036",
		Needs: Needs{Reference: true, Rejected: true}, DefaultBeta: 0.1, make: func(b float64) Loss { return IPO{b} }},
	{Name: "ipo_sum", Summary: "regression of the margin to 1/(2 beta), as the paper writes it", Paper: "Azar et al. 2023, arXiv:2310.12036",
		Needs: Needs{Reference: true, Rejected: true}, DefaultBeta: 0.1, make: func(b float64) Loss { return IPOSum{b} }},
	{Name: "sft", Summary: "mean negative log-likelihood of the completion", Paper: "supervised fine-tuning",
		make: func(float64) Loss { return SFT{} }},
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

// New makes a loss. It fails on an unknown name, and on a hyperparameter that the loss does not use or that is out of
// range.
func New(name string, s Settings) (Loss, error) {
	l, ok := Describe(name)
	if !ok {
		return nil, fmt.Errorf("loss: %q: unknown loss%s; there are %s", name, suggestion(name), strings.Join(Names(), ", "))
	}
	beta := l.DefaultBeta
	if s.Beta != nil {
		beta = *s.Beta
		if l.DefaultBeta == 0 {
			return nil, fmt.Errorf("beta: loss %s does not use it; leave it out", l.Name)
		}
		if !(beta > 0) || math.IsInf(beta, 0) {
			return nil, fmt.Errorf("beta: %v is out of range; want a number above 0", beta)
		}
	}
	return l.make(beta), nil
}

// suggestion names the loss that a mistyped name was probably meant for: the same but for case and dashes, else one that
// begins alike.
func suggestion(name string) string {
	lower := strings.ToLower(strings.NewReplacer("-", "_", " ", "_").Replace(name))
	if l, ok := Describe(lower); ok {
		return fmt.Sprintf(" (did you mean %s?)", l.Name)
	}
	for _, l := range catalogue {
		for _, n := range append([]string{l.Name}, l.Aliases...) {
			if len(lower) > 2 && (strings.HasPrefix(n, lower) || strings.HasPrefix(lower, n)) {
				return fmt.Sprintf(" (did you mean %s?)", l.Name)
			}
		}
	}
	return ""
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

// margin is h of example i.
func (b *Batch) margin(i int) float64 {
	return (b.ChosenLogps[i] - b.RefChosenLogps[i]) - (b.RejectedLogps[i] - b.RefRejectedLogps[i])
}
