package loss

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Mix is a sum of losses, each times its weight: L = sum of w_k L_k, and so are the derivatives. MPO (Wang et al. 2024, arXiv:2411.10442) is
// dpo=0.8,bco=0.2,sft=1, in the text form that is a sum's name. One loss with weight 1 is that loss itself.
//
// Every part has hyperparameters of its own, with its own defaults: in Settings "dpo.beta" is that of part dpo, and "beta" that of every part
// which uses it and has none of its own. A part that needs no rejected completion, as sft, sees the chosen side of the pairs of the others. With
// plackett_luce, on ranked lists, one on pairs sees the best against the worst of each.
//
// The rewards that are logged, and Beta, are those of the first part that has a reference; without one, of the first part on pairs; without
// one, of the first part. A part that couples pairs makes the sum one that does; a part that remembers something makes it a StatefulMix.
type Mix struct {
	name  string
	needs Needs
	parts []mixed
}

// mixed is a loss in a sum.
type mixed struct {
	Loss
	weight float64
}

// StatefulMix is a Mix of which at least one part is Stateful. The names in its state begin with the part's: bco.mean.
type StatefulMix struct{ Mix }

// Name implements Loss: the text form.
func (l *Mix) Name() string { return l.name }

// Needs implements Loss: all that any part needs.
func (l *Mix) Needs() Needs { return l.needs }

// shown is the part whose rewards are logged.
func (l *Mix) shown() Loss {
	for _, needs := range []func(Needs) bool{func(n Needs) bool { return n.Reference }, func(n Needs) bool { return n.Rejected }} {
		if i := slices.IndexFunc(l.parts, func(p mixed) bool { return needs(p.Needs()) }); i >= 0 {
			return l.parts[i].Loss
		}
	}
	return l.parts[0].Loss
}

// Beta implements Loss.
func (l *Mix) Beta() float64 { return l.shown().Beta() }

// Rewards are those of the part that is logged; see Mix.
func (l *Mix) Rewards(b *Batch, i int) (chosen, rejected float64) { return Rewards(l.shown(), b, i) }

// CheckScores asks every part; see the function of this name.
func (l *Mix) CheckScores(chosen, rejected float64) error {
	for _, p := range l.parts {
		if err := CheckScores(p.Loss, chosen, rejected); err != nil {
			return err
		}
	}
	return nil
}

// StepZero implements Loss: there is one if every part has one.
func (l *Mix) StepZero() (float64, bool) {
	var sum float64
	for _, p := range l.parts {
		v, ok := p.StepZero()
		if !ok {
			return 0, false
		}
		sum += p.weight * v
	}
	return sum, true
}

// StepZeroOf is that of every part; see the function of this name.
func (l *Mix) StepZeroOf(b *Batch, i int) (float64, bool) {
	var sum float64
	for _, p := range l.parts {
		v, ok := StepZeroOf(p.Loss, b, i)
		if !ok {
			return 0, false
		}
		sum += p.weight * v
	}
	return sum, true
}

// Compute implements Loss.
func (l *Mix) Compute(b Batch, r *Result) {
	l.sum(b, r, func(p Loss, r *Result) { p.Compute(b, r) })
}

// weigh implements weigher: sum has done it.
func (*Mix) weigh(*Batch, *Result) {}

// sum fills r with the weighted sum of what the parts give. Each weighs the examples in its own way.
func (l *Mix) sum(b Batch, r *Result, compute func(Loss, *Result)) {
	if l.needs.Lists {
		r.resizeLists(&b)
	} else {
		r.resize(b.Len())
	}
	var one Result
	for _, p := range l.parts {
		compute(p.Loss, &one)
		Weigh(p.Loss, &b, &one)
		r.add(p.weight, &one)
	}
}

// add adds weight times another result for the same examples.
func (r *Result) add(weight float64, one *Result) {
	for i := range r.Losses {
		r.Losses[i] += weight * one.Losses[i]
		r.DChosenLogps[i] += weight * one.DChosenLogps[i]
		r.DRejectedLogps[i] += weight * one.DRejectedLogps[i]
		r.DSFTLogps[i] += weight * one.DSFTLogps[i]
		r.DChosenKL[i] += weight * one.DChosenKL[i]
		r.DRejectedKL[i] += weight * one.DRejectedKL[i]
	}
	for i, list := range one.DMiddleLogps {
		for j, d := range list {
			r.DMiddleLogps[i][j] += weight * d
		}
	}
}

// Metrics implements Reporter: those of the parts, under their own names.
func (l *Mix) Metrics() []Metric {
	var all []Metric
	for _, p := range l.parts {
		if p, ok := p.Loss.(Reporter); ok {
			all = append(all, p.Metrics()...)
		}
	}
	return all
}

// Step implements Stateful. What the parts draw comes from the same numbers, in their order.
func (l *StatefulMix) Step(b Batch, draw *rand.Rand, r *Result) {
	l.sum(b, r, func(p Loss, r *Result) {
		if s, ok := p.(Stateful); ok {
			s.Step(b, draw, r)
		} else {
			p.Compute(b, r)
		}
	})
}

// State implements Stateful.
func (l *StatefulMix) State() State {
	s := State{}
	for _, p := range l.parts {
		if p, ok := p.Loss.(Stateful); ok {
			for name, v := range p.State() {
				s[OwnKey(p.Name(), name)] = v
			}
		}
	}
	return s
}

// SetState implements Stateful.
func (l *StatefulMix) SetState(s State) error {
	var parts []Stateful
	var states []State
	known := 0
	for _, p := range l.parts {
		p, ok := p.Loss.(Stateful)
		if !ok {
			continue
		}
		own := State{}
		for name, v := range s {
			if name, ok := strings.CutPrefix(name, OwnKey(p.Name(), "")); ok {
				own[name] = v
			}
		}
		known += len(own)
		parts, states = append(parts, p), append(states, own)
	}
	if known != len(s) {
		return fmt.Errorf("state %v: not all is of a part of loss %s", s, l.name)
	}
	for k, p := range parts {
		was := p.State()
		if err := p.SetState(states[k]); err != nil {
			err = fmt.Errorf("%s: %w", p.Name(), err)
			for j := range k { // all or none
				err = errors.Join(err, parts[j].SetState(states[j]))
			}
			return err
		}
		states[k] = was
	}
	return nil
}

// Term is a loss of a sum.
type Term struct {
	Name   string // or an alias
	Weight float64
}

// Part is a loss of a sum.
type Part struct {
	Info
	Weight float64
}

// Parts are the losses that this one is the sum of; itself with weight 1 if it is no sum.
func (i Info) Parts() []Part {
	if len(i.parts) == 0 {
		return []Part{{i, 1}}
	}
	return slices.Clone(i.parts)
}

// UnknownError is a name that no loss has.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("loss: %q: unknown loss; \"dpotrain losses\" lists them", e.Name)
}

// Of describes the loss of a text: a name, an alias, or a sum as dpo=0.8,sft=1, in which a weight that is not given is 1. An *UnknownError is
// returned for a name that no loss has.
func Of(text string) (Info, error) {
	if !strings.ContainsAny(text, ",=") {
		return one(text)
	}
	var terms []Term
	for entry := range strings.SplitSeq(text, ",") {
		name, weight, given := strings.Cut(entry, "=")
		t := Term{strings.TrimSpace(name), 1}
		if t.Name == "" {
			return Info{}, fmt.Errorf("loss: %q: a loss without a name; want NAME=WEIGHT,NAME=WEIGHT", text)
		}
		if weight = strings.TrimSpace(weight); given {
			v, err := strconv.ParseFloat(weight, 64)
			if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(weight, "_xX") {
				return Info{}, fmt.Errorf("loss: %s: weight %q; want a number", strconv.Quote(t.Name), weight)
			}
			t.Weight = v
		}
		terms = append(terms, t)
	}
	return Sum(terms...)
}

// one describes the loss of a name.
func one(name string) (Info, error) {
	if why := Refused(name); why != "" {
		return Info{}, fmt.Errorf("loss: %q: %s", name, why)
	}
	info, ok := Describe(name)
	if !ok {
		return Info{}, &UnknownError{name}
	}
	return info, nil
}

// Sum describes a sum of losses, of which there is one at least and none twice. Weights are finite and above 0.
func Sum(terms ...Term) (Info, error) {
	weights := Range{Low: 0, LowOpen: true, High: math.Inf(1)}
	var sum Info
	var text []string
	for _, t := range terms {
		info, err := one(t.Name)
		if err != nil {
			return Info{}, err
		}
		if info.Needs.Labels && (len(terms) > 1 || t.Weight != 1) {
			return Info{}, fmt.Errorf("loss: %s works on single completions with labels, and sums are of losses on pairs; leave it out, or give it alone", info.Name)
		}
		if !weights.has(t.Weight) {
			return Info{}, fmt.Errorf("loss: weight %v of %s is out of range; want a finite number > 0", t.Weight, info.Name)
		}
		if slices.ContainsFunc(sum.parts, func(p Part) bool { return p.Name == info.Name }) {
			return Info{}, fmt.Errorf("loss: %s stands there twice; give it once, with the sum of the weights", info.Name)
		}
		sum.parts = append(sum.parts, Part{info, t.Weight})
		text = append(text, info.Name+"="+strconv.FormatFloat(t.Weight, 'g', -1, 64))
		sum.Needs = sum.Needs.and(info.Needs)
		for _, h := range info.Hyperparameters {
			if _, there := sum.own(h.Key); !there {
				sum.Hyperparameters = append(sum.Hyperparameters, h)
			}
		}
	}
	if len(terms) == 1 && terms[0].Weight == 1 {
		return sum.parts[0].Info, nil
	}
	sum.Name, sum.Summary = strings.Join(text, ","), "weighted sum of losses"
	return sum, nil
}

// and is what two losses need together.
func (n Needs) and(m Needs) Needs {
	return Needs{Reference: n.Reference || m.Reference, Rejected: n.Rejected || m.Rejected, Lists: n.Lists || m.Lists, Sums: n.Sums || m.Sums, Means: n.Means || m.Means,
		Entropies: n.Entropies || m.Entropies, KL: n.KL || m.KL, Scores: n.Scores || m.Scores, Wins: n.Wins || m.Wins, Coupled: n.Coupled || m.Coupled, SFT: n.SFT || m.SFT, SFTPrompt: n.SFTPrompt || m.SFTPrompt}
}

// OwnKey is the name of what belongs to one loss of a sum: dpo.beta.
func OwnKey(loss, key string) string { return loss + "." + key }

// CutOwnKey cuts an OwnKey in two; ok is false for the key of a loss that is no part of a sum, as beta.
func CutOwnKey(name string) (loss, key string, ok bool) { return strings.Cut(name, ".") }

// sumSettings are Settings of a sum, complete, each under its part's own key.
func (i Info) sumSettings(given Settings) (Settings, error) {
	full := Settings{}
	for _, p := range i.parts {
		own, err := p.Info.Settings(p.of(given))
		if err != nil {
			return nil, p.named(err, given)
		}
		for key, v := range own {
			full[OwnKey(p.Name, key)] = v
		}
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if _, used := full[key]; used {
			continue
		}
		of := func(p Part) bool { _, ok := p.own(key); return ok }
		taken := func(p Part) bool { _, own := given[OwnKey(p.Name, key)]; return of(p) && !own }
		switch name, own, dotted := CutOwnKey(key); {
		case dotted:
			for _, p := range i.parts {
				if _, ok := p.modifier(own); ok && p.Name == name {
					return nil, &SettingError{key, "it is of the whole sum; give it beside the list of losses"}
				}
				if p.Name == name {
					return nil, &SettingError{key, p.Unused(own)}
				}
			}
			return nil, &SettingError{key, fmt.Sprintf("loss %s has no part %s; leave it out", i.Name, name)}
		case !slices.ContainsFunc(i.parts, of):
			return nil, &SettingError{key, i.Unused(key)}
		case !slices.ContainsFunc(i.parts, taken):
			return nil, &SettingError{key, "every loss of the sum that uses it has a value of its own in the list of losses; change it there, or leave this out"}
		}
	}
	return full, nil
}

// of are those of a sum's settings that are for the part.
func (p Part) of(given Settings) Settings {
	s := Settings{}
	for _, h := range p.Hyperparameters {
		for _, key := range []string{h.Key, OwnKey(p.Name, h.Key)} {
			if v, ok := given[key]; ok {
				s[h.Key] = v
			}
		}
	}
	return s
}

// named gives an error of the part's the key that the value was given under in a sum.
func (p Part) named(err error, given Settings) error {
	if wrong, ok := errors.AsType[*SettingError](err); ok {
		if key := OwnKey(p.Name, wrong.Key); given[key] != nil {
			return &SettingError{key, wrong.Text}
		}
	}
	return err
}

// sum makes a sum of complete settings.
func (i Info) sum(s Settings) (Loss, error) {
	m := Mix{name: i.Name, needs: i.Needs}
	remembers := false
	for _, p := range i.parts {
		l, err := p.Info.build(p.of(s))
		if err != nil {
			return nil, p.named(err, s)
		}
		if _, ok := l.(Stateful); ok {
			remembers = true
		}
		m.parts = append(m.parts, mixed{l, p.Weight})
	}
	if v, ok := m.StepZero(); ok && math.IsInf(v, 0) {
		return nil, &SettingError{"loss", fmt.Sprintf("the weights of %s make its first value infinite; give lower ones", i.Name)}
	}
	if remembers {
		return &StatefulMix{m}, nil
	}
	return &m, nil
}
