package data

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"dpotrain/internal/compute"
)

// pair is an example whose two sides have their first scored ids at c and r.
func pair(c int, chosen []int32, r int, rejected []int32) Example {
	return Example{Sequences: []Sequence{{chosen, c}, {rejected, r}}}
}

// TestPack spells out whole batches. Prompt ids are 10 to 19, those of chosen 20 to 29, those of rejected 30 to 39.
func TestPack(t *testing.T) {
	for _, c := range []struct {
		name     string
		examples []Example
		want     compute.Batch
	}{
		{
			name:     "shared prompt",
			examples: []Example{pair(3, []int32{10, 11, 12, 20, 21}, 3, []int32{10, 11, 12, 30, 31, 32})},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: the prompt, once
					11, // row 1
					12, // row 2: its last row predicts the first id of both completions
					20, // row 3: chosen; its last id, 21, takes no row
					30, // row 4: rejected
					31, // row 5
				},
				Positions: []int32{0, 1, 2, 3, 3, 4}, // both completions go on from the end of the prompt
				Segments: []compute.Segment{
					{Start: 0, End: 3},
					{Start: 3, End: 4, PrefixStart: 0, PrefixEnd: 3},
					{Start: 4, End: 6, PrefixStart: 0, PrefixEnd: 3},
				},
				Targets: []compute.Target{
					{Row: 2, Token: 20, Sequence: 0},
					{Row: 2, Token: 30, Sequence: 1},
					{Row: 3, Token: 21, Sequence: 0},
					{Row: 4, Token: 31, Sequence: 1},
					{Row: 5, Token: 32, Sequence: 1},
				},
				Sequences: 2,
			},
		},
		{
			name:     "completions that begin alike share the prompt alone",
			examples: []Example{pair(2, []int32{10, 11, 20, 21, 22}, 2, []int32{10, 11, 20, 21, 32})},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0
					11, // row 1: predicts 20 twice, once for each side, so that the gradient flows twice
					20, // row 2: chosen
					21, // row 3
					20, // row 4: rejected, the same ids again
					21, // row 5
				},
				Positions: []int32{0, 1, 2, 3, 2, 3},
				Segments: []compute.Segment{
					{Start: 0, End: 2},
					{Start: 2, End: 4, PrefixStart: 0, PrefixEnd: 2},
					{Start: 4, End: 6, PrefixStart: 0, PrefixEnd: 2},
				},
				Targets: []compute.Target{
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 1, Token: 20, Sequence: 1},
					{Row: 2, Token: 21, Sequence: 0},
					{Row: 3, Token: 22, Sequence: 0},
					{Row: 4, Token: 21, Sequence: 1},
					{Row: 5, Token: 32, Sequence: 1},
				},
				Sequences: 2,
			},
		},
		{
			name:     "a border inside a token of one side",
			examples: []Example{pair(2, []int32{10, 11, 20, 21}, 3, []int32{10, 11, 12, 30})},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0
					11, // row 1: the shared prefix ends before the first scored id of either side; predicts chosen's
					20, // row 2: chosen
					12, // row 3: still prompt, and rejected's own
				},
				Positions: []int32{0, 1, 2, 2},
				Segments: []compute.Segment{
					{Start: 0, End: 2},
					{Start: 2, End: 3, PrefixStart: 0, PrefixEnd: 2},
					{Start: 3, End: 4, PrefixStart: 0, PrefixEnd: 2},
				},
				Targets: []compute.Target{
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 2, Token: 21, Sequence: 0},
					{Row: 3, Token: 30, Sequence: 1},
				},
				Sequences: 2,
			},
		},
		{
			name:     "prompts that differ before the border",
			examples: []Example{pair(3, []int32{10, 11, 12, 20}, 3, []int32{10, 13, 12, 30})},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: all that is shared; it predicts nothing
					11, // row 1: chosen's own prompt
					12, // row 2
					13, // row 3: rejected's own prompt
					12, // row 4: the same id as in row 2, but another past
				},
				Positions: []int32{0, 1, 2, 1, 2},
				Segments: []compute.Segment{
					{Start: 0, End: 1},
					{Start: 1, End: 3, PrefixStart: 0, PrefixEnd: 1},
					{Start: 3, End: 5, PrefixStart: 0, PrefixEnd: 1},
				},
				Targets: []compute.Target{
					{Row: 2, Token: 20, Sequence: 0},
					{Row: 4, Token: 30, Sequence: 1},
				},
				Sequences: 2,
			},
		},
		{
			name:     "no shared start, as keep_end leaves it",
			examples: []Example{pair(2, []int32{11, 12, 20}, 1, []int32{12, 30, 31})},
			want: compute.Batch{
				Tokens: []int32{
					11, // row 0: chosen, a sequence of its own
					12, // row 1
					12, // row 2: rejected, another
					30, // row 3
				},
				Positions: []int32{0, 1, 0, 1}, // both count from 0
				Segments:  []compute.Segment{{Start: 0, End: 2}, {Start: 2, End: 4}},
				Targets: []compute.Target{
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 2, Token: 30, Sequence: 1},
					{Row: 3, Token: 31, Sequence: 1},
				},
				Sequences: 2,
			},
		},
		{
			name:     "completions of one id have no rows of their own",
			examples: []Example{pair(2, []int32{10, 11, 20}, 2, []int32{10, 11, 30})},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0
					11, // row 1: predicts both completions
				},
				Positions: []int32{0, 1},
				Segments:  []compute.Segment{{Start: 0, End: 2}},
				Targets:   []compute.Target{{Row: 1, Token: 20, Sequence: 0}, {Row: 1, Token: 30, Sequence: 1}},
				Sequences: 2,
			},
		},
		{
			name: "a completion scored twice, the second time with its prompt and as it is, has its rows once",
			examples: []Example{{Sequences: pair(2, []int32{10, 11, 20, 21}, 2, []int32{10, 11, 30}).Sequences, Imitated: &Sequence{[]int32{10, 11, 20, 21}, 1},
				Weights: [][]float64{{1, 0.5}, nil}}},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: predicts the prompt's second id for what is imitated
					11, // row 1
					20, // row 2: chosen
				},
				Positions: []int32{0, 1, 2},
				Segments:  []compute.Segment{{Start: 0, End: 2}, {Start: 2, End: 3, PrefixStart: 0, PrefixEnd: 2}},
				Targets: []compute.Target{
					{Row: 0, Token: 11, Sequence: 2},
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 1, Token: 20, Sequence: 2},
					{Row: 1, Token: 30, Sequence: 1},
					{Row: 2, Token: 21, Sequence: 0},
					{Row: 2, Token: 21, Sequence: 2},
				},
				Weights:   []float64{1, 1, 1, 1, 0.5, 1},
				Sequences: 3,
			},
		},
		{
			name:     "another completion that is imitated shares the prompt",
			examples: []Example{{Sequences: pair(2, []int32{10, 11, 20}, 2, []int32{10, 11, 30}).Sequences, Imitated: &Sequence{[]int32{10, 11, 40, 41}, 2}}},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0
					11, // row 1: predicts the first id of all three
					40, // row 2: what is imitated
				},
				Positions: []int32{0, 1, 2},
				Segments:  []compute.Segment{{Start: 0, End: 2}, {Start: 2, End: 3, PrefixStart: 0, PrefixEnd: 2}},
				Targets: []compute.Target{
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 1, Token: 30, Sequence: 1},
					{Row: 1, Token: 40, Sequence: 2},
					{Row: 2, Token: 41, Sequence: 2},
				},
				Sequences: 3,
			},
		},
		{
			name:     "a single completion",
			examples: []Example{{Sequences: []Sequence{{[]int32{10, 11, 20, 21}, 2}}}},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: predicts 11, which is not scored
					11, // row 1
					20, // row 2
				},
				Positions: []int32{0, 1, 2},
				Segments:  []compute.Segment{{Start: 0, End: 3}},
				Targets:   []compute.Target{{Row: 1, Token: 20, Sequence: 0}, {Row: 2, Token: 21, Sequence: 0}},
				Sequences: 1,
			},
		},
		{
			name: "a list of four, which shares what all have in common",
			examples: []Example{{Sequences: []Sequence{
				{[]int32{10, 11, 20, 21}, 2}, {[]int32{10, 11, 30}, 2}, {[]int32{10, 11, 12, 40, 41}, 3}, {[]int32{10, 11, 50, 51}, 2},
			}}},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: the prompt, once
					11, // row 1: predicts the first id of three completions
					20, // row 2: the first completion; the second has no rows of its own
					12, // row 3: still prompt, and the third's own
					40, // row 4
					50, // row 5: the fourth
				},
				Positions: []int32{0, 1, 2, 2, 3, 2},
				Segments: []compute.Segment{
					{Start: 0, End: 2},
					{Start: 2, End: 3, PrefixStart: 0, PrefixEnd: 2},
					{Start: 3, End: 5, PrefixStart: 0, PrefixEnd: 2},
					{Start: 5, End: 6, PrefixStart: 0, PrefixEnd: 2},
				},
				Targets: []compute.Target{
					{Row: 1, Token: 20, Sequence: 0},
					{Row: 1, Token: 30, Sequence: 1},
					{Row: 1, Token: 50, Sequence: 3},
					{Row: 2, Token: 21, Sequence: 0},
					{Row: 3, Token: 40, Sequence: 2},
					{Row: 4, Token: 41, Sequence: 2},
					{Row: 5, Token: 51, Sequence: 3},
				},
				Sequences: 4,
			},
		},
		{
			name: "several examples",
			examples: []Example{
				pair(1, []int32{10, 20}, 1, []int32{10, 30, 31}),
				{Sequences: []Sequence{{[]int32{10, 21, 22}, 1}}},
				pair(2, []int32{11, 12, 23, 24}, 2, []int32{11, 12, 33}),
			},
			want: compute.Batch{
				Tokens: []int32{
					10, // row 0: prompt of the first
					30, // row 1: its rejected
					10, // row 2: the second, a single completion
					21, // row 3
					11, // row 4: prompt of the third
					12, // row 5
					23, // row 6: its chosen
				},
				Positions: []int32{0, 1, 0, 1, 0, 1, 2},
				Segments: []compute.Segment{
					{Start: 0, End: 1},
					{Start: 1, End: 2, PrefixStart: 0, PrefixEnd: 1},
					{Start: 2, End: 4},
					{Start: 4, End: 6},
					{Start: 6, End: 7, PrefixStart: 4, PrefixEnd: 6},
				},
				Targets: []compute.Target{
					{Row: 0, Token: 20, Sequence: 0},
					{Row: 0, Token: 30, Sequence: 1},
					{Row: 1, Token: 31, Sequence: 1},
					{Row: 2, Token: 21, Sequence: 2},
					{Row: 3, Token: 22, Sequence: 2},
					{Row: 5, Token: 23, Sequence: 3},
					{Row: 5, Token: 33, Sequence: 4},
					{Row: 6, Token: 24, Sequence: 3},
				},
				Sequences: 5,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := packed(c.examples)
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got  %+v\nwant %+v", *got, c.want)
			}
			rows := 0
			for _, e := range c.examples {
				rows += Rows(&e)
			}
			if rows != len(c.want.Tokens) {
				t.Errorf("Rows says %d, the batch has %d", rows, len(c.want.Tokens))
			}
		})
	}
}

func packed(examples []Example) *compute.Batch {
	var b compute.Batch
	Packer{}.Pack(&b, pointers(examples))
	return &b
}

func pointers(examples []Example) []*Example {
	list := make([]*Example, len(examples))
	for i := range examples {
		list[i] = &examples[i]
	}
	return list
}

// TestPackReadsBack packs random examples, reads every sequence back out of the batch and looks at all that the model
// relies on. One batch and its memory serve for all of them.
func TestPackReadsBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var b compute.Batch
	for round := range 500 {
		examples := make([]Example, r.IntN(6))
		rows, scored := 0, 0
		for i := range examples {
			examples[i] = randomExample(r)
			rows += Rows(&examples[i])
			scored += Scored(&examples[i])
		}
		Packer{}.Pack(&b, pointers(examples))
		if b.Rows() != rows {
			t.Fatalf("round %d: %d rows, Rows says %d", round, b.Rows(), rows)
		}
		predict := map[int]bool{}
		for _, target := range b.Targets {
			predict[target.Row] = true
		}
		if len(predict) != scored {
			t.Fatalf("round %d: %d rows predict a scored id, Scored says %d\nexamples %+v", round, len(predict), scored, examples)
		}
		if err := readBack(&b, examples); err != nil {
			t.Fatalf("round %d (seed 1, 2): %v\nexamples %+v\nbatch %+v", round, err, examples, b)
		}
	}
}

// randomExample draws one to five sequences of few ids, so that they often have something in common.
func randomExample(r *rand.Rand) Example {
	var e Example
	for range 1 + r.IntN(5) {
		ids := make([]int32, 2+r.IntN(6))
		for i := range ids {
			ids[i] = int32(r.IntN(2))
		}
		e.Sequences = append(e.Sequences, Sequence{ids, 1 + r.IntN(len(ids)-1)})
	}
	switch n := len(e.Sequences); r.IntN(3) {
	case 1: // the ids of one of them, scored from elsewhere
		ids := e.Sequences[r.IntN(n)].IDs
		e.Imitated = &Sequence{ids, 1 + r.IntN(len(ids)-1)}
	case 2:
		e.Imitated, e.Sequences = &e.Sequences[n-1], e.Sequences[:max(1, n-1)]
	}
	if r.IntN(2) == 0 {
		for _, s := range e.Sequences {
			var weights []float64
			for range r.IntN(2) * (len(s.IDs) - s.First) {
				weights = append(weights, r.Float64())
			}
			e.Weights = append(e.Weights, weights)
		}
	}
	return e
}

// readBack checks a batch against the examples it was made of.
func readBack(b *compute.Batch, examples []Example) error {
	at := 0
	for _, s := range b.Segments {
		if s.Start != at || s.End <= s.Start {
			return fmt.Errorf("segment %+v does not follow row %d", s, at)
		}
		for row := s.Start; row < s.End; row++ {
			if want := s.PrefixEnd - s.PrefixStart + row - s.Start; int(b.Positions[row]) != want {
				return fmt.Errorf("row %d has position %d, want %d", row, b.Positions[row], want)
			}
		}
		at = s.End
	}
	if at != b.Rows() || len(b.Positions) != b.Rows() {
		return fmt.Errorf("segments cover %d of %d rows, positions %d", at, b.Rows(), len(b.Positions))
	}
	if !slices.IsSortedFunc(b.Targets, func(x, y compute.Target) int { return x.Row - y.Row }) {
		return fmt.Errorf("targets are not sorted by row")
	}
	n := 0
	for _, e := range examples {
		sequences := e.Sequences
		if e.Imitated != nil {
			sequences = append(slices.Clip(sequences), *e.Imitated)
		}
		for i, s := range sequences {
			if err := readSequence(b, n, s); err != nil {
				return fmt.Errorf("sequence %d: %w", n, err)
			}
			var weights, want []float64
			for k, t := range b.Targets {
				if t.Sequence == n && len(b.Weights) > 0 {
					weights = append(weights, b.Weights[k])
					want = append(want, e.weight(i, len(want)))
				}
			}
			if !slices.Equal(weights, want) || len(b.Weights) == 0 && e.Weights != nil {
				return fmt.Errorf("sequence %d: weights %v, want %v", n, weights, want)
			}
			n++
		}
	}
	if n := len(b.Weights); n != 0 && n != len(b.Targets) {
		return fmt.Errorf("%d weights for %d targets", n, len(b.Targets))
	}
	if n != b.Sequences {
		return fmt.Errorf("%d sequences, want %d", b.Sequences, n)
	}
	return nil
}

// readSequence follows the targets of sequence n: each must be predicted from a row that sees the ids before it, and
// nothing else.
func readSequence(b *compute.Batch, n int, want Sequence) error {
	next := want.First
	for _, t := range b.Targets {
		if t.Sequence != n {
			continue
		}
		if next >= len(want.IDs) || t.Token != want.IDs[next] {
			return fmt.Errorf("a target %+v, want one for id %d of %+v", t, next, want)
		}
		if seen := seenFrom(b, t.Row); !slices.Equal(seen, want.IDs[:next]) {
			return fmt.Errorf("target %+v sees %v, want %v", t, seen, want.IDs[:next])
		}
		next++
	}
	if next != len(want.IDs) {
		return fmt.Errorf("targets up to id %d, want %d", next, len(want.IDs))
	}
	return nil
}

// seenFrom are the ids that a row sees: its segment's prefix, and its segment up to itself.
func seenFrom(b *compute.Batch, row int) []int32 {
	for _, s := range b.Segments {
		if s.Start <= row && row < s.End {
			return slices.Concat(b.Tokens[s.PrefixStart:s.PrefixEnd], b.Tokens[s.Start:row+1])
		}
	}
	return nil
}

// TestOrder holds the order of an epoch fixed: a run that is repeated or resumed by a later version must see its pairs in
// the same order. If these change, runs made before cannot be repeated.
func TestOrder(t *testing.T) {
	for _, c := range []struct {
		seed    int64
		epoch   int
		shuffle bool
		want    []int32
	}{
		{42, 0, false, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}},
		{42, 0, true, []int32{3, 2, 5, 6, 4, 1, 0, 7, 9, 8}},
		{42, 1, true, []int32{3, 6, 9, 2, 7, 8, 4, 0, 5, 1}},
		{-1, 0, true, []int32{0, 9, 7, 1, 3, 6, 4, 5, 8, 2}},
	} {
		if got := Order(10, c.seed, c.epoch, c.shuffle); !slices.Equal(got, c.want) {
			t.Errorf("seed %d, epoch %d, shuffle %v: %v, want %v", c.seed, c.epoch, c.shuffle, got, c.want)
		}
	}
	for _, n := range []int{0, 1, 2, 7, 1000} {
		for epoch := range 3 {
			order := Order(n, 5, epoch, true)
			if again := Order(n, 5, epoch, true); !slices.Equal(order, again) {
				t.Errorf("n %d, epoch %d: two calls differ", n, epoch)
			}
			if slices.Sort(order); len(order) != n || !slices.Equal(order, Order(n, 0, 0, false)) {
				t.Errorf("n %d, epoch %d: not a permutation: %v", n, epoch, order)
			}
		}
	}
	if slices.Equal(Order(1000, 5, 0, true), Order(1000, 5, 1, true)) || slices.Equal(Order(1000, 5, 0, true), Order(1000, 6, 0, true)) {
		t.Error("another epoch or seed gives the same order")
	}
}

// TestOrderIsFair counts where each example of four stands over many epochs: 24,000 of them put one in a place 6,000
// times, give or take 67 (one standard deviation).
func TestOrderIsFair(t *testing.T) {
	const n, epochs = 4, 24000
	var counts [n][n]int
	for epoch := range epochs {
		for place, k := range Order(n, 42, epoch, true) {
			counts[place][k]++
		}
	}
	for place := range counts {
		for k, got := range counts[place] {
			if got < 5700 || got > 6300 {
				t.Errorf("example %d stands in place %d in %d of %d epochs, want about %d", k, place, got, epochs, epochs/n)
			}
		}
	}
}

// TestBytes: the ids are most of it, and what was cut off is not held on to.
func TestBytes(t *testing.T) {
	ids := make([]int32, 100, 150)
	e := []Example{{Sequences: []Sequence{{ids, 50}, {ids[:10], 5}}}}
	if got, least := Slice(e).Bytes(), int64(4*300+2*32); got < least || got > least+200 {
		t.Errorf("%d bytes, want %d and a little", got, least)
	}
}
