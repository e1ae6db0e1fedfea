package model_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// smallPairs have few ids, so that a float64 run takes a millisecond or two: one shares its prompt, the other, whose chosen completion
// is a single id, only the first id of it. A window ends inside the first one's chosen completion.
func smallPairs(vocab int, windows []int) []example {
	r := rand.New(rand.NewPCG(8, 8))
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = int32(r.IntN(vocab))
		}
		return v
	}
	prompt := 6
	for _, w := range windows {
		prompt = max(prompt, w-3)
	}
	a, b := ids(prompt), ids(4)
	return []example{
		{{append(slices.Clone(a), ids(5)...), prompt}, {append(slices.Clone(a), ids(2)...), prompt}},
		{{append(slices.Clone(b), ids(1)...), 4}, {append(slices.Clone(b[:1]), ids(4)...), 3}},
	}
}

// TestWholeModelGradients holds the gradients of the DPO loss of a whole model of every architecture in float64 against
// central differences, and those of the fast kernels against float64.
func TestWholeModelGradients(t *testing.T) {
	dirs := ownModels(t)
	without := model.Architectures()
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			m := load(t, dir, float64Device)
			without = slices.DeleteFunc(without, func(a string) bool { return a == m.Config.Spec.ModelType })
			b := pack(smallPairs(m.Config.Spec.Vocab, m.Config.Spec.Windows)...)
			fw := newGraph(t, m, model.GraphOptions{})
			refs := slices.Clone(forward(t, fw, b).Logps)
			const scale = 1.05 // of the policy's weights, which makes the margins differ from zero
			scaleWeights(m, float64Device, scale)
			d := trained(t, m, float64Device, newGraph(t, m, model.GraphOptions{Training: true}), b, dpo(refs))
			again := trained(t, m, float64Device, newGraph(t, m, model.GraphOptions{Training: true, Recompute: true}), b, dpo(refs))
			for name, v := range d {
				if !slices.Equal(v, again[name]) {
					t.Errorf("%s: the gradient is another with Recompute", name)
				}
			}
			centralDifferences(t, m, fw, b, dpo(refs), d)

			for _, lv := range cpu.Levels() {
				dev := newDevice(t, lv, 2)
				m := load(t, dir, dev)
				scaleWeights(m, dev, scale)
				share, tensor := farthest(d, trained(t, m, dev, newGraph(t, m, model.GraphOptions{Training: true}), b, dpo(refs)))
				t.Logf("%v: gradients within %.2g of the l2 (%s)", lv, share, tensor)
				if !(share <= 1e-3) {
					t.Errorf("%v: %s: the gradient differs by %.3g of its l2 from float64, want at most 1e-3", lv, tensor, share)
				}
			}
		})
	}
	if len(without) > 0 {
		t.Errorf("testdata/models has no model of %v", without)
	}
}

// TestListGradients does so for the loss of a ranked list of four on one prompt, with models that have all kinds of attention.
func TestListGradients(t *testing.T) {
	for _, name := range []string{"llama", "gpt2", "mistral-old"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, testfiles.Path(t, "models", name), float64Device)
			b := pack(lists(smallPairs(m.Config.Spec.Vocab, m.Config.Spec.Windows))[0])
			if b.Sequences != 4 || b.Segments[3].PrefixEnd != b.Segments[0].End {
				t.Fatalf("no list of four on one prefix: %+v", b.Segments)
			}
			fw := newGraph(t, m, model.GraphOptions{})
			loss := plackettLuce(slices.Clone(forward(t, fw, b).Logps))
			scaleWeights(m, float64Device, 1.05)
			centralDifferences(t, m, fw, b, loss, trained(t, m, float64Device, newGraph(t, m, model.GraphOptions{Training: true}), b, loss))
		})
	}
}

// plackettLuce is minus the log-probability of a ranking, best first, by the textbook.
func plackettLuce(refs []float64) model.LossFunc {
	return byLogps(func(logps []float64) (float64, []float64, error) {
		total, d := 0.0, make([]float64, len(logps))
		odds := make([]float64, len(logps))
		for i, p := range logps {
			odds[i] = math.Exp(goldenBeta * (p - refs[i]))
		}
		for k := range odds[:len(odds)-1] {
			var sum float64
			for _, o := range odds[k:] {
				sum += o
			}
			total -= math.Log(odds[k] / sum)
			d[k] -= goldenBeta
			for j := k; j < len(odds); j++ {
				d[j] += goldenBeta * odds[j] / sum
			}
		}
		return total, d, nil
	})
}

// trained is every tensor's gradient of a loss on a training graph.
func trained(t *testing.T, m *model.Model, d compute.Device, g *model.Graph, b *compute.Batch, loss model.LossFunc) map[string][]float64 {
	t.Helper()
	resetGradients(m, d)
	forwardBackward(t, g, b, loss)
	all := map[string][]float64{}
	var squares float64
	for _, p := range m.Params {
		all[p.Name] = slices.Clone(numbersOf(m, d, m.G, p))
		for _, v := range all[p.Name] {
			squares += v * v
		}
	}
	if got, want := m.GradNorm(), math.Sqrt(squares); !(math.Abs(got-want) <= 1e-9*want) {
		t.Errorf("GradNorm is %.12g, want %.12g", got, want)
	}
	return all
}

// resetGradients is ResetGradients with something in G that would show wherever the next backward neither wrote nor cleared first.
func resetGradients(m *model.Model, d compute.Device) {
	stale := make([]float32, m.G.Len())
	for i := range stale {
		stale[i] = float32(math.NaN())
	}
	d.Upload(m.G, 0, stale)
	m.ResetGradients()
}

// centralDifferences checks a sample of the elements of every tensor: those with the largest gradients, and random ones.
func centralDifferences(t *testing.T, m *model.Model, fw *model.Graph, b *compute.Batch, loss model.LossFunc, got map[string][]float64) {
	t.Helper()
	const largest, others, limit = 2, 2, 1e-7
	at := func() float64 {
		l, _, _ := loss(forward(t, fw, b))
		return l
	}
	r := rand.New(rand.NewPCG(1, 9))
	furthest := 0.0
	for _, p := range m.Params {
		w, g := numbersOf(m, float64Device, m.W, p), got[p.Name]
		order := make([]int, len(g))
		var squares, gradients float64
		for i, v := range g {
			order[i] = i
			squares += w[i] * w[i]
			gradients += v * v
		}
		l2 := math.Sqrt(gradients)
		if l2 == 0 {
			t.Errorf("%s: no gradient", p.Name)
			continue
		}
		slices.SortFunc(order, func(i, j int) int { return int(math.Copysign(1, math.Abs(g[j])-math.Abs(g[i]))) })
		sample := order[:min(largest, len(order))]
		for range others {
			sample = append(sample, order[r.IntN(len(order))])
		}
		// The five-point formula: its error falls with h^4, so that h can be large enough for the loss's own rounding.
		h := 1e-3 * max(math.Sqrt(squares/float64(len(w))), 1e-2)
		for _, i := range sample {
			old := w[i]
			f := func(steps float64) float64 {
				w[i] = old + steps*h
				defer func() { w[i] = old }()
				return at()
			}
			want := (8*(f(1)-f(-1)) - (f(2) - f(-2))) / (12 * h)
			diff := math.Abs(g[i]-want) / l2
			furthest = max(furthest, diff)
			if !(diff <= limit) {
				t.Errorf("%s, element %d: gradient %.12g, central difference %.12g, l2 %.6g: differs by %.3g of it, want at most %g", p.Name, i, g[i], want, l2, diff, limit)
			}
		}
	}
	t.Logf("float64: gradients within %.2g of the l2 of central differences", furthest)
}
