package data

import (
	"math/rand/v2"
	"unsafe"

	"dpotrain/internal/compute"
)

// Order is the order of n examples in an epoch: as they stand, or shuffled. It is a function of seed and epoch alone:
// Fisher and Yates' shuffle, from the last place down, with numbers of PCG-DXSM (math/rand/v2) seeded with the two.
func Order(n int, seed int64, epoch int, shuffle bool) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
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

// shared is the length of the prefix that several sequences have in common and none scores.
func (e *Example) shared() int {
	if len(e.Sequences) < 2 {
		return 0
	}
	first := e.Sequences[0]
	n := first.First
	for _, s := range e.Sequences[1:] {
		n = min(n, s.First)
		for i := range n {
			if s.IDs[i] != first.IDs[i] {
				n = i
				break
			}
		}
	}
	return n
}

// Rows is the number of rows an example takes in a batch. The last id of a sequence takes none: nothing is predicted
// from it.
func Rows(e Example) int {
	shared := e.shared()
	n := shared
	for _, s := range e.Sequences {
		n += len(s.IDs) - 1 - shared
	}
	return n
}

// Scored is the number of an example's rows that predict a scored id. One row may predict the first of several completions.
func Scored(e Example) int {
	shared := e.shared()
	n, last := 0, 0
	for _, s := range e.Sequences {
		n += len(s.IDs) - max(s.First, shared+1)
		if s.First == shared {
			last = 1 // the last row of the prefix
		}
	}
	return n + last
}

// Bytes is what examples take in memory.
func Bytes(examples []Example) int64 {
	n := int64(unsafe.Sizeof(Example{})) * int64(cap(examples))
	for _, e := range examples {
		if e.Numbers != nil {
			n += int64(unsafe.Sizeof(Numbers{}))
		}
		n += int64(unsafe.Sizeof(Sequence{})) * int64(cap(e.Sequences))
		for _, s := range e.Sequences {
			n += 4 * int64(cap(s.IDs))
		}
	}
	return n
}

// Packer lays out examples. It keeps no reference to them.
type Packer struct{}

// Pack replaces the content of b by the examples, in order, reusing its memory. Sequences are numbered in order of the
// examples, and in an example as they stand there.
func (Packer) Pack(b *compute.Batch, examples []*Example) {
	b.Tokens, b.Positions, b.Segments, b.Targets, b.Sequences = b.Tokens[:0], b.Positions[:0], b.Segments[:0], b.Targets[:0], 0
	for _, e := range examples {
		pack(b, e)
	}
}

func pack(b *compute.Batch, e *Example) {
	shared := e.shared()
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
	segment(e.Sequences[0].IDs[:shared], 0)
	// The last row of the prefix predicts the first scored id of every sequence whose scored part begins there.
	for i, s := range e.Sequences {
		if s.First == shared { // never where nothing is shared: the first id is not scored
			b.Targets = append(b.Targets, compute.Target{Row: prefix + shared - 1, Token: s.IDs[shared], Sequence: b.Sequences + i})
		}
	}
	for i, s := range e.Sequences {
		start := segment(s.IDs[shared:len(s.IDs)-1], shared)
		for t := max(s.First, shared+1); t < len(s.IDs); t++ {
			b.Targets = append(b.Targets, compute.Target{Row: start + t - 1 - shared, Token: s.IDs[t], Sequence: b.Sequences + i})
		}
	}
	b.Sequences += len(e.Sequences)
}
