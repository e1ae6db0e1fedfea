package model_test

import (
	"math"
	"path/filepath"
	"slices"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
)

// TestAlignments: what a sequence's tokens are more likely than such as the model would draw, against the log-probs of every id after the same prompt.
// Nothing else of the output depends on whether it is asked for.
func TestAlignments(t *testing.T) {
	dir := ownModels(t)[slices.IndexFunc(ownModels(t), func(d string) bool { return filepath.Base(d) == "llama" })]
	dev := newDevice(t, cpu.Levels()[0], 2)
	m := load(t, dir, dev)
	with, without := newGraph(t, m, model.GraphOptions{Alignments: true}), newGraph(t, m, model.GraphOptions{})
	prompt := []int32{5, 17, 3, 250}
	var all []example
	for v := range m.Config.Spec.Vocab {
		all = append(all, example{{append(slices.Clone(prompt), int32(v)), len(prompt)}})
	}
	out := forward(t, with, pack(all...))
	var squares float64
	for _, l := range out.Logps {
		squares += math.Exp(2 * l)
	}
	for v, l := range out.Logps {
		if want := l - math.Log(squares); !(math.Abs(out.Alignments[v]-want) <= 1e-5) {
			t.Fatalf("id %d: alignment %.9g, want %.9g", v, out.Alignments[v], want)
		}
	}

	// Of several tokens it is the sum.
	pairs := smallPairs(m.Config.Spec.Vocab, m.Config.Spec.Windows)
	got := slices.Clone(forward(t, with, pack(pairs...)).Alignments)
	for i, e := range alone(pairs...) {
		var sum float64
		for n := e[0].first; n < len(e[0].ids); n++ {
			sum += forward(t, with, pack(example{{e[0].ids[:n+1], n}})).Alignments[0]
		}
		if !(math.Abs(got[i]-sum) <= 1e-12) {
			t.Errorf("sequence %d: alignment %.17g, the sum over its tokens is %.17g", i, got[i], sum)
		}
	}
	wanted, plain := forward(t, with, pack(pairs...)), forward(t, without, pack(pairs...))
	if !slices.Equal(wanted.Logps, plain.Logps) || !slices.Equal(wanted.TokenLogps, plain.TokenLogps) || !slices.Equal(wanted.Entropy, plain.Entropy) || len(plain.Alignments) > 0 {
		t.Error("the output is another where alignments are asked for, or there are some where they are not")
	}
}
