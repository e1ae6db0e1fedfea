package model_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
)

// sliding is the config of a small Mistral with a window, or without one if it is 0.
func sliding(layers, window int) string {
	w := "null"
	if window > 0 {
		w = fmt.Sprint(window)
	}
	return fmt.Sprintf(`{"model_type": "mistral", "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": %d, "num_attention_heads": 4,
		"num_key_value_heads": 2, "head_dim": 6, "initializer_range": 0.3, "sliding_window": %s}`, layers, w)
}

func randomIDs(r *rand.Rand, n int) []int32 {
	v := make([]int32, n)
	for i := range v {
		v[i] = int32(r.IntN(50))
	}
	return v
}

// tokenLogps are those of ids[1:], alone in a batch.
func tokenLogps(t *testing.T, g *model.Graph, ids []int32) []float64 {
	t.Helper()
	return slices.Clone(forward(t, g, pack(example{{ids, 1}})).TokenLogps)
}

// TestWindowIsShorterContext: with one block, a row that sees the last W keys says what a model without a window says of these W
// ids alone, for rotary positions count from one row to the other. W is below, at and above the border of a key tile.
func TestWindowIsShorterContext(t *testing.T) {
	ids := randomIDs(rand.New(rand.NewPCG(1, 2)), 100)
	for _, tt := range []struct {
		d         compute.Device
		tolerance float64 // nats; cosines and sines are float32 on every device
	}{{float64Device, 2e-6}, {newDevice(t, cpu.Best(), 2), 2e-5}} {
		whole := newGraph(t, random(t, sliding(1, 0), tt.d, 4), model.GraphOptions{})
		far := tokenLogps(t, whole, ids)
		for _, window := range []int{1, 2, 7, 63, 64, 65, 70} {
			got := tokenLogps(t, newGraph(t, random(t, sliding(1, window), tt.d, 4), model.GraphOptions{}), ids)
			differs := 0.0
			for i := range got {
				context := ids[max(0, i+1-window) : i+2]
				near := tokenLogps(t, whole, context)
				if want := near[len(near)-1]; !(math.Abs(got[i]-want) <= tt.tolerance) {
					t.Errorf("%s, window %d: log-prob of id %d is %.9g, after the last %d ids alone %.9g", tt.d.Family(), window, i+1, got[i], window, want)
				}
				differs = max(differs, math.Abs(got[i]-far[i]))
			}
			if differs < 0.01 {
				t.Errorf("%s, window %d: the window changes no log-prob by more than %g", tt.d.Family(), window, differs)
			}
		}
	}
}

// TestWindowReach: L blocks with a window of W reach back L(W-1) ids and, to the bit, no further.
func TestWindowReach(t *testing.T) {
	const layers, window, reach = 2, 7, 2 * 6
	r := rand.New(rand.NewPCG(3, 4))
	ids := randomIDs(r, 90)
	for _, lv := range cpu.Levels() {
		g := newGraph(t, random(t, sliding(layers, window), newDevice(t, lv, 2), 5), model.GraphOptions{})
		want := tokenLogps(t, g, ids)
		for _, at := range []int{0, 3, 50, 63, 64} {
			other := slices.Clone(ids)
			other[at] = (ids[at] + 1) % 50
			got := tokenLogps(t, g, other)
			for i := range got { // of id i+1, from position i on
				changes := i+1 >= at && i <= at+reach
				if same := got[i] == want[i]; same == changes {
					t.Errorf("%v: another id at %d: the log-prob of id %d is %v and was %v", lv, at, i+1, got[i], want[i])
				}
			}
		}
	}
}

// TestWindowIsExact: packed and alone give the same bits where the window ends in the prompt, at its end, in the completion or beyond, on
// both sides of the border of a key tile.
func TestWindowIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 7))
	var pairs []example
	for _, n := range [][3]int{{4, 30, 9}, {8, 5, 40}, {9, 3, 12}, {60, 30, 3}, {64, 70, 20}, {75, 9, 60}} { // prompt, chosen, rejected
		prompt := randomIDs(r, n[0])
		side := func(n int) sequence { return sequence{slices.Concat(prompt, randomIDs(r, n)), len(prompt)} }
		pairs = append(pairs, example{side(n[1]), side(n[2])})
	}
	for _, lv := range cpu.Levels() {
		for _, window := range []int{3, 9, 64, 70, 100} {
			m := random(t, sliding(2, window), newDevice(t, lv, 1), 8)
			fw := newGraph(t, m, model.GraphOptions{})
			want := map[string]bits{}
			for _, e := range alone(pairs...) {
				b := pack(e)
				for k, v := range bitsOf(b, []example{e}, forward(t, fw, b)) {
					want[k] = bits{slices.Clone(v.logps), slices.Clone(v.entropy)}
				}
			}
			m = random(t, sliding(2, window), newDevice(t, lv, 2), 8)
			train := newGraph(t, m, model.GraphOptions{Training: true, Recompute: true})
			for _, mx := range bothWays(pairs) {
				b := pack(mx...)
				got := bitsOf(b, mx, forwardBackward(t, train, b, noLoss))
				if len(got) == 0 || !maps.EqualFunc(got, want, bits.equal) {
					t.Errorf("%v, window %d: other bits in one batch", lv, window)
				}
			}
		}
	}
}

// bothWays are the pairs as they are, and backwards with the sides swapped.
func bothWays(pairs []example) [][]example {
	var back []example
	for _, e := range slices.Backward(pairs) {
		back = append(back, example{e[1], e[0]})
	}
	return [][]example{pairs, back}
}
