package model_test

import (
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// sequence is token ids of which those from first on are scored.
type sequence struct {
	ids   []int32
	first int
}

// example is a pair, chosen before rejected, one sequence on its own, or a list of more.
type example []sequence

// pairOf is a golden pair as an example.
func pairOf(p testfiles.Pair) example {
	side := func(completion []int32) sequence {
		return sequence{append(append([]int32(nil), p.PromptIDs...), completion...), len(p.PromptIDs)}
	}
	return example{side(p.ChosenIDs), side(p.RejectedIDs)}
}

func pairsOf(ps []testfiles.Pair) []example {
	es := make([]example, len(ps))
	for i, p := range ps {
		es[i] = pairOf(p)
	}
	return es
}

// alone makes an example of every sequence.
func alone(es ...example) []example {
	var all []example
	for _, e := range es {
		for _, s := range e {
			all = append(all, example{s})
		}
	}
	return all
}

// shared is the length of the unscored ids that all of several sequences begin with.
func (e example) shared() int {
	if len(e) == 1 {
		return 0
	}
	n := 0
	for !slices.ContainsFunc(e, func(s sequence) bool { return n == s.first || s.ids[n] != e[0].ids[n] }) {
		n++
	}
	return n
}

// pack lays examples out as package data does: what the sequences of one share comes first and once, and the last id of a sequence has
// no row, as nothing is predicted from it.
func pack(examples ...example) *compute.Batch {
	b := &compute.Batch{}
	for _, e := range examples {
		n, prefix := e.shared(), b.Rows()
		rows := func(ids []int32, position int) {
			start := b.Rows()
			for i, id := range ids {
				b.Tokens, b.Positions = append(b.Tokens, id), append(b.Positions, int32(position+i))
			}
			if len(ids) > 0 {
				b.Segments = append(b.Segments, compute.Segment{Start: start, End: b.Rows(), PrefixStart: prefix, PrefixEnd: prefix + position})
			}
		}
		rows(e[0].ids[:n], 0)
		for i, s := range e {
			if n > 0 && s.first == n {
				b.Targets = append(b.Targets, compute.Target{Row: prefix + n - 1, Token: s.ids[n], Sequence: b.Sequences + i})
			}
		}
		for i, s := range e {
			start := b.Rows()
			rows(s.ids[n:len(s.ids)-1], n)
			for t := max(s.first, n+1); t < len(s.ids); t++ {
				b.Targets = append(b.Targets, compute.Target{Row: start + t - 1 - n, Token: s.ids[t], Sequence: b.Sequences + i})
			}
		}
		b.Sequences += len(e)
	}
	return b
}

// bySequence spreads a batch's token log-probs over its sequences.
func bySequence(b *compute.Batch, tokenLogps []float64) [][]float64 {
	all := make([][]float64, b.Sequences)
	for i, t := range b.Targets {
		all[t.Sequence] = append(all[t.Sequence], tokenLogps[i])
	}
	return all
}

// TestPack spells out a small batch, row by row.
func TestPack(t *testing.T) {
	b := pack(
		example{{[]int32{5, 6, 7, 8}, 2}, {[]int32{5, 6, 9}, 2}}, // the prompt 5 6 is shared; 9 has no row
		example{{[]int32{1, 2, 3}, 1}},                           // alone
		example{{[]int32{3, 4, 2}, 1}, {[]int32{2, 4, 1}, 1}},    // nothing shared
	)
	want := compute.Batch{
		Tokens:    []int32{5, 6, 7, 1, 2, 3, 4, 2, 4},
		Positions: []int32{0, 1, 2, 0, 1, 0, 1, 0, 1},
		Segments:  []compute.Segment{{Start: 0, End: 2}, {Start: 2, End: 3, PrefixStart: 0, PrefixEnd: 2}, {Start: 3, End: 5}, {Start: 5, End: 7}, {Start: 7, End: 9}},
		Targets: []compute.Target{
			{Row: 1, Token: 7, Sequence: 0}, {Row: 1, Token: 9, Sequence: 1}, {Row: 2, Token: 8, Sequence: 0},
			{Row: 3, Token: 2, Sequence: 2}, {Row: 4, Token: 3, Sequence: 2},
			{Row: 5, Token: 4, Sequence: 3}, {Row: 6, Token: 2, Sequence: 3}, {Row: 7, Token: 4, Sequence: 4}, {Row: 8, Token: 1, Sequence: 4}},
		Sequences: 5,
	}
	for i := range b.Segments { // a prefix of no rows may lie anywhere
		if s := &b.Segments[i]; s.PrefixStart == s.PrefixEnd {
			s.PrefixStart, s.PrefixEnd = 0, 0
		}
	}
	sameBatch(t, b, &want)
}

func sameBatch(t *testing.T, got, want *compute.Batch) {
	t.Helper()
	equal := got.Sequences == want.Sequences && len(got.Targets) == len(want.Targets) && len(got.Segments) == len(want.Segments) && got.Rows() == want.Rows()
	for i := range want.Tokens {
		equal = equal && got.Tokens[i] == want.Tokens[i] && got.Positions[i] == want.Positions[i]
	}
	for i := range want.Segments {
		equal = equal && got.Segments[i] == want.Segments[i]
	}
	for i := range want.Targets {
		equal = equal && got.Targets[i] == want.Targets[i]
	}
	if !equal {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// float64Device is the measure.
var float64Device = cpu.Reference[float64]{}

// newDevice opens the CPU; it is closed with the test.
func newDevice(t testing.TB, lv cpu.Level, threads int) *cpu.Device {
	t.Helper()
	return newPreciseDevice(t, kernels{lv, "fp32"}, threads)
}

// kernels are a level and the precision of its matrix products.
type kernels struct {
	level     cpu.Level
	precision string
}

func (k kernels) String() string {
	if k.precision == "bf16" && k.level != cpu.AMX {
		return "bf16"
	}
	return k.level.String()
}

// bf16Kernels are those of this CPU that round.
func bf16Kernels() (all []kernels) {
	if cpu.HasBF16() {
		all = append(all, kernels{cpu.AVX512, "bf16"})
	}
	if cpu.HasAMX() {
		all = append(all, kernels{cpu.AMX, "bf16"})
	}
	return all
}

// newPreciseDevice is newDevice with a precision.
func newPreciseDevice(t testing.TB, k kernels, threads int) *cpu.Device {
	t.Helper()
	d, err := cpu.New(compute.Options{CPU: k.level.String(), Precision: k.precision, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func load(t testing.TB, dir string, d compute.Device) *model.Model {
	t.Helper()
	m, err := model.Load(dir, d)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// newGraph builds a graph; it is closed with the test.
func newGraph(t testing.TB, m *model.Model, o model.GraphOptions) *model.Graph {
	t.Helper()
	g, err := m.NewGraph(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return g
}

// forward is a run of a forward-only graph.
func forward(t testing.TB, g *model.Graph, b *compute.Batch) *model.Output {
	t.Helper()
	out, err := g.Forward(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forwardBackward is a run of a training graph.
func forwardBackward(t testing.TB, g *model.Graph, b *compute.Batch, loss model.LossFunc) *model.Output {
	t.Helper()
	out, err := g.ForwardBackward(b, loss)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
