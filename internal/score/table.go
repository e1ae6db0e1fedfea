package score

import (
	"math"
	"slices"

	"dpotrain/internal/data"
)

// Logps are what the reference makes of one example: of each of its sequences one element.
type Logps struct {
	Sums      []float64   // log-probs in nats, summed over the scored tokens in order
	Tokens    [][]float32 // log-probs in nats of the scored tokens; nil unless Options.Tokens asks for them
	Entropies []float64   // of the distributions that the scored tokens were scored by, in nats, summed; nil unless Options.Entropies
	LogVocab  float64     // what an entropy is at most, in nats: the logarithm of the reference's vocabulary
}

// Weighted are l with the sums taken again with the weights of e, from Tokens, which are not kept.
func (l Logps) Weighted(e *data.Example) Logps {
	w := Logps{Sums: slices.Clone(l.Sums), Entropies: l.Entropies, LogVocab: l.LogVocab}
	for j, weights := range e.Weights {
		if weights == nil {
			continue
		}
		w.Sums[j] = 0
		for t, v := range l.Tokens[j] {
			w.Sums[j] += float64(float64(v) * weights[t]) // rounded by itself, as in package model
		}
	}
	return w
}

// Table are Logps of many examples, in few long lists. A Table that is nil has none.
type Table struct {
	o         Options
	logVocab  float64
	ends      []int32 // of the examples, in the lists
	sums      []float64
	tokens    [][]float32
	entropies []float64
}

func newTable(examples, vocab int, o Options) *Table {
	t := &Table{o: o, logVocab: math.Log(float64(vocab)), ends: make([]int32, 0, examples), sums: make([]float64, 0, 2*examples)}
	if o.Entropies {
		t.entropies = make([]float64, 0, 2*examples)
	}
	return t
}

// Sums are a table of log-probs that were computed elsewhere, each example's those of its sequences.
func Sums(examples int, of func(i int) []float64) *Table {
	t := newTable(examples, 1, Options{})
	for i := range examples {
		t.sums = append(t.sums, of(i)...)
		t.end()
	}
	return t
}

// add takes in a sequence, as far as it is asked for.
func (t *Table) add(logps, entropies []float32) {
	t.sums = append(t.sums, sum(logps))
	if t.o.Tokens {
		t.tokens = append(t.tokens, logps)
	}
	if t.o.Entropies {
		t.entropies = append(t.entropies, sum(entropies))
	}
}

// end says that the sequences of an example are all added.
func (t *Table) end() { t.ends = append(t.ends, int32(len(t.sums))) }

// Len is the number of examples.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return len(t.ends)
}

// At are the Logps of example i.
func (t *Table) At(i int) Logps {
	from, to := t.span(i)
	l := Logps{Sums: t.sums[from:to:to], LogVocab: t.logVocab}
	if t.tokens != nil {
		l.Tokens = t.tokens[from:to:to]
	}
	if t.entropies != nil {
		l.Entropies = t.entropies[from:to:to]
	}
	return l
}

func (t *Table) span(i int) (from, to int32) {
	if i > 0 {
		from = t.ends[i-1]
	}
	return from, t.ends[i]
}

// Set puts others in the place of the Logps of example i, which has as many sequences.
func (t *Table) Set(i int, l Logps) {
	from, to := t.span(i)
	copy(t.sums[from:to], l.Sums)
	if t.tokens != nil {
		copy(t.tokens[from:to], l.Tokens)
	}
	if t.entropies != nil {
		copy(t.entropies[from:to], l.Entropies)
	}
}

// All are the Logps of all examples; nil if there are none.
func (t *Table) All() []Logps {
	if t == nil {
		return nil
	}
	all := make([]Logps, t.Len())
	for i := range all {
		all[i] = t.At(i)
	}
	return all
}
