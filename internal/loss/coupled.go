package loss

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// This file has what is needed of losses that see more than a pair at a time: those that couple the pairs of an optimizer step (Needs.Coupled),
// and of these those that remember something from step to step.

// Part is the examples [from, to) of the batch, in the same memory.
func (b *Batch) Part(from, to int) Batch {
	return Batch{
		ChosenLogps: part(b.ChosenLogps, from, to), RejectedLogps: part(b.RejectedLogps, from, to),
		RefChosenLogps: part(b.RefChosenLogps, from, to), RefRejectedLogps: part(b.RefRejectedLogps, from, to),
		ChosenTokens: part(b.ChosenTokens, from, to), RejectedTokens: part(b.RejectedTokens, from, to),
		MiddleLogps: part(b.MiddleLogps, from, to), RefMiddleLogps: part(b.RefMiddleLogps, from, to),
		ChosenKL: part(b.ChosenKL, from, to), RejectedKL: part(b.RejectedKL, from, to), RefEntropies: part(b.RefEntropies, from, to),
		ChosenScores: part(b.ChosenScores, from, to), RejectedScores: part(b.RejectedScores, from, to),
		Desirable: part(b.Desirable, from, to), MismatchedLogps: b.MismatchedLogps, RefMismatchedLogps: b.RefMismatchedLogps,
		ChosenAlignments: part(b.ChosenAlignments, from, to), RejectedAlignments: part(b.RejectedAlignments, from, to),
		SFTLogps: part(b.SFTLogps, from, to), SFTTokens: part(b.SFTTokens, from, to),
		ChosenWins: part(b.ChosenWins, from, to), RejectedWins: part(b.RejectedWins, from, to), Weights: part(b.Weights, from, to),
	}
}

// Part is the examples [from, to) of the result, in the same memory.
func (r *Result) Part(from, to int) Result {
	return Result{Losses: part(r.Losses, from, to), DChosenLogps: part(r.DChosenLogps, from, to), DRejectedLogps: part(r.DRejectedLogps, from, to),
		DMiddleLogps: part(r.DMiddleLogps, from, to), DSFTLogps: part(r.DSFTLogps, from, to),
		DChosenKL: part(r.DChosenKL, from, to), DRejectedKL: part(r.DRejectedKL, from, to)}
}

func part[T any](s []T, from, to int) []T {
	if len(s) == 0 { // the loss needs none
		return nil
	}
	return s[from:to]
}

// Stateful is a loss that remembers something of the optimizer steps behind it. It couples pairs. Compute uses what it remembers as it is, and
// so is an evaluation.
type Stateful interface {
	Loss
	// Step takes all pairs of an optimizer step, one at least, into what is remembered, and fills r as Compute does. draw is random numbers of
	// this step's own, the same ones whenever it is repeated.
	Step(b Batch, draw *rand.Rand, r *Result)
	// State is what is remembered, by name; SetState takes it back, and fails on one that State cannot have given.
	State() State
	SetState(State) error
}

// Remembers names what the loss remembers; nothing if it is not Stateful.
func (i Info) Remembers() []string {
	full, _ := i.Settings(nil) // defaults are in range
	if l, err := i.build(full); err == nil {
		if l, ok := l.(Stateful); ok {
			return slices.Sorted(maps.Keys(l.State()))
		}
	}
	return nil
}

// State is what a loss remembers: finite numbers by name, in nats or counts and never scaled with a hyperparameter.
type State map[string]float64

// remembered is a number of a loss's state.
type remembered struct {
	name   string
	value  *float64
	signed bool // it may be below 0
}

// stateOf is the state made of numbers.
func stateOf(list []remembered) State {
	s := State{}
	for _, m := range list {
		s[m.name] = *m.value
	}
	return s
}

// setState sets numbers to those of a state, all of them or, if anything is wrong, none.
func setState(list []remembered, s State) error {
	for _, m := range list {
		if v, ok := s[m.name]; !ok || v-v != 0 || v < 0 && !m.signed {
			return fmt.Errorf("state %v: no %s that can be", s, m.name)
		}
	}
	for name := range s {
		if !slices.ContainsFunc(list, func(m remembered) bool { return m.name == name }) {
			return fmt.Errorf("state %v: %s is not known", s, name)
		}
	}
	for _, m := range list {
		*m.value = s[m.name]
	}
	return nil
}

// Reporter is a loss with metrics of its own.
type Reporter interface {
	Metrics() []Metric // of the last optimizer step
}

// Metric is a named number.
type Metric struct {
	Name  string
	Value float64
}
