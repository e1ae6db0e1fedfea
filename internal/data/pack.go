package data

import (
	"math/rand/v2"
	"slices"

	"dpotrain/internal/compute"
)

// Order is the order of n examples in an epoch: as they stand, or shuffled. It is a function of seed and epoch alone:
// Fisher and Yates' shuffle, from the last place down, with numbers of PCG-DXSM (math/rand/v2) seeded with the two.
func Order(n int, seed int64, epoch int, shuffle bool) []int32 {
	order := make([]int32, n)
	for i := range order {
		order[i] = int32(i)
	}
	if shuffle {
		r := rand.New(rand.NewPCG(uint64(seed), uint64(epoch)))
		for i := n - 1; i > 0; i-- {
			j := int(r.Uint64N(uint64(i + 1)))
			order[i], order[j] = order[j], order[i]
		}
	}
	return order
}

// twin is the sequence that has the ids of the imitated one, whose rows predict for it too; -1 if there is none.
func (e *Example) twin() int {
	if e.Imitated == nil {
		return -1
	}
	return slices.IndexFunc(e.Sequences, func(s Sequence) bool { return slices.Equal(s.IDs, e.Imitated.IDs) })
}

// laid are the sequences that have rows: all but an imitated one with a twin.
func (e *Example) laid() []Sequence {
	if e.Imitated == nil || e.twin() >= 0 {
		return e.Sequences
	}
	return append(slices.Clip(e.Sequences), *e.Imitated)
}

// shared is the length of the prefix that several sequences have in common and none scores, unless it is the imitated one.
func (e *Example) shared() int {
	all := e.laid()
	if len(all) < 2 {
		return 0
	}
	first := all[0]
	n := first.First
	for k, s := range all[1:] {
		if n = min(n, len(s.IDs)-1); k+1 < len(e.Sequences) {
			n = min(n, s.First)
		}
		for i := range n {
			if s.IDs[i] != first.IDs[i] {
				n = i
				break
			}
		}
	}
	return n
}

// weight is that of a scored id, counted from the first.
func (e *Example) weight(sequence, scored int) float64 {
	if sequence >= len(e.Weights) || e.Weights[sequence] == nil {
		return 1
	}
	return e.Weights[sequence][scored]
}

// Rows is the number of rows an example takes in a batch. The last id of a sequence takes none: nothing is predicted
// from it.
func Rows(e *Example) int {
	shared := e.shared()
	n := shared
	for _, s := range e.laid() {
		n += len(s.IDs) - 1 - shared
	}
	return n
}

// Scored is the number of an example's rows that predict a scored id. One row may predict the first of several completions.
func Scored(e *Example) int {
	shared, twin := e.shared(), e.twin()
	n, first := 0, shared+1 // that a row of the prefix predicts
	for i, s := range e.laid() {
		from := s.First
		if i == twin {
			from = min(from, e.Imitated.First)
		}
		n += len(s.IDs) - max(from, shared+1)
		first = min(first, from)
	}
	return n + shared + 1 - first
}

// Packer lays out examples. It keeps no reference to them.
type Packer struct{}

// Pack replaces the content of b by the examples, in order, reusing its memory. Sequences are numbered in order of the
// examples, and in an example as they stand there, the imitated one last.
func (Packer) Pack(b *compute.Batch, examples []*Example) {
	b.Tokens, b.Positions, b.Segments, b.Targets, b.Sequences = b.Tokens[:0], b.Positions[:0], b.Segments[:0], b.Targets[:0], 0
	b.Weights = b.Weights[:0]
	weighted := slices.ContainsFunc(examples, func(e *Example) bool { return e.Weights != nil })
	for _, e := range examples {
		pack(b, e, weighted)
	}
}

func pack(b *compute.Batch, e *Example, weighted bool) {
	shared, twin, laid := e.shared(), e.twin(), e.laid()
	prefix := len(b.Tokens)
	segment := func(ids []int32, position int) (start int) {
		start = len(b.Tokens)
		for i, id := range ids {
			b.Tokens = append(b.Tokens, id)
			b.Positions = append(b.Positions, int32(position+i))
		}
		if len(ids) > 0 {
			s := compute.Segment{Start: start, End: len(b.Tokens)}
			if position > 0 {
				s.PrefixStart, s.PrefixEnd = prefix, prefix+position
			}
			b.Segments = append(b.Segments, s)
		}
		return start
	}
	imitated := len(e.Sequences)
	// predict makes a row predict the id at a place of a sequence, if it is scored there, and of the imitated one with it.
	predict := func(row, sequence, place int) {
		s := laid[sequence]
		target := func(sequence, first int) {
			if place < first {
				return
			}
			b.Targets = append(b.Targets, compute.Target{Row: row, Token: s.IDs[place], Sequence: b.Sequences + sequence})
			if weighted {
				b.Weights = append(b.Weights, e.weight(sequence, place-first))
			}
		}
		target(sequence, s.First)
		if sequence == twin {
			target(imitated, e.Imitated.First)
		}
	}
	segment(laid[0].IDs[:shared], 0)
	// The last row of the prefix predicts the first scored id of every sequence whose scored part begins there; those before it predict for an imitated
	// sequence that scores its prompt.
	for place := 1; place <= shared; place++ {
		for i := range laid {
			predict(prefix+place-1, i, place)
		}
	}
	for i, s := range laid {
		start := segment(s.IDs[shared:len(s.IDs)-1], shared)
		for place := shared + 1; place < len(s.IDs); place++ {
			predict(start+place-1-shared, i, place)
		}
	}
	b.Sequences += len(e.Sequences)
	if e.Imitated != nil {
		b.Sequences++
	}
}
