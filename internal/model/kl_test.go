package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// tdpo is the mean over the pairs of -log sigmoid(beta (h - alpha K)). K is the divergence of the rejected completion minus that of the chosen
// one; with chosen, that of a number for each pair instead, through which no gradient goes.
func tdpo(refs []float64, alpha float64, chosen []float64) model.LossFunc {
	return func(out *model.Output) (float64, model.Derivatives, error) {
		pairs := float64(len(refs) / 2)
		total, d := 0.0, model.Derivatives{Logps: make([]float64, len(refs)), KL: make([]float64, len(refs))}
		for i := 0; i < len(refs); i += 2 {
			held := out.KL[i]
			if chosen != nil {
				held = chosen[i/2]
			}
			u := goldenBeta * ((out.Logps[i] - refs[i]) - (out.Logps[i+1] - refs[i+1]) - alpha*(out.KL[i+1]-held))
			total += math.Log1p(math.Exp(-u)) / pairs
			g := goldenBeta / (1 + math.Exp(u)) / pairs
			d.Logps[i], d.Logps[i+1], d.KL[i+1] = -g, g, alpha*g
			if chosen == nil {
				d.KL[i] = -alpha * g
			}
		}
		return total, d, nil
	}
}

// compared is a graph with a reference: the model of a folder as it is.
func compared(t testing.TB, m *model.Model, dir string, d compute.Device, o model.GraphOptions) *model.Graph {
	t.Helper()
	o.KL = true
	g := newGraph(t, m, o)
	g.Compare(newGraph(t, load(t, dir, d), model.GraphOptions{Reference: true}))
	return g
}

// TestKLGradients holds the gradients of TDPO's two losses, of whole models in float64, against central differences, and those of the fast
// kernels against float64: one whose head is the embedding, and one with a head and biases of its own. Scaled by 1.2 the policy is far
// enough from its reference for the divergences to count.
func TestKLGradients(t *testing.T) {
	const scale = 1.2
	for _, name := range []string{"llama", "gpt2-untied"} {
		dir := testfiles.Path(t, "models", name)
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "llama" {
				t.Skip("one model alone under -short")
			}
			m := load(t, dir, float64Device)
			b := pack(smallPairs(m.Config.Spec.Vocab, m.Config.Spec.Windows)...)
			refs := slices.Clone(forward(t, newGraph(t, m, model.GraphOptions{}), b).Logps)
			scaleWeights(m, float64Device, scale)
			fw := compared(t, m, dir, float64Device, model.GraphOptions{})
			kl := slices.Clone(forward(t, fw, b).KL)
			t.Logf("divergences of %.3g nats", kl)
			for i, k := range kl {
				if !(k > 1e-3) {
					t.Errorf("sequence %d: divergence %v", i, k)
				}
			}
			for name, loss := range map[string]model.LossFunc{"tdpo1": tdpo(refs, 1, nil), "tdpo2": tdpo(refs, 0.5, []float64{kl[0], kl[2]})} {
				d := trained(t, m, float64Device, compared(t, m, dir, float64Device, model.GraphOptions{Training: true}), b, loss)
				again := trained(t, m, float64Device, compared(t, m, dir, float64Device, model.GraphOptions{Training: true, Recompute: true}), b, loss)
				for tensor, v := range d {
					if !slices.Equal(v, again[tensor]) {
						t.Errorf("%s: %s: the gradient is another with Recompute", name, tensor)
					}
				}
				centralDifferences(t, m, fw, b, loss, d)
				for _, lv := range cpu.Levels() {
					dev := newDevice(t, lv, 2)
					m := load(t, dir, dev)
					scaleWeights(m, dev, scale)
					g := compared(t, m, dir, dev, model.GraphOptions{Training: true})
					share, tensor := farthest(d, trained(t, m, dev, g, b, loss))
					t.Logf("%s, %v: gradients within %.2g of the l2 (%s)", name, lv, share, tensor)
					if !(share <= 1e-3) {
						t.Errorf("%s, %v: %s: the gradient differs by %.3g of its l2 from float64, want at most 1e-3", name, lv, tensor, share)
					}
					for i, k := range forwardBackward(t, g, b, noLoss).KL {
						if !(math.Abs(k-kl[i]) <= 1e-4*kl[i]) {
							t.Errorf("%s, %v: sequence %d: divergence %v, in float64 %v", name, lv, i, k, kl[i])
						}
					}
				}
			}
		})
	}
}

// TestKLIsExact: a sequence's divergence is the same bits whatever shares its batch, in both graphs, on any number of threads and however many
// logits are held; between equal models it is exactly 0, and a run without a reference has none.
func TestKLIsExact(t *testing.T) {
	dir := testfiles.Path(t, "models", "llama")
	pairs := randomPairs(load(t, dir, newDevice(t, cpu.Best(), 1)).Config.Spec.Vocab, 5)
	want := map[string]float64{}
	for _, threads := range []int{1, 3} {
		dev := newDevice(t, cpu.Best(), threads)
		same := load(t, dir, dev)
		m := load(t, dir, dev)
		scaleWeights(m, dev, 1.1)
		for _, o := range []model.GraphOptions{{}, {Training: true}, {Training: true, Recompute: true}, {Logits: 1000}} {
			equal, g := compared(t, same, dir, dev, o), compared(t, m, dir, dev, o)
			run := func(g *model.Graph, b *compute.Batch) *model.Output {
				if o.Training {
					return forwardBackward(t, g, b, noLoss)
				}
				return forward(t, g, b)
			}
			for _, x := range mixes(pairs) {
				b := pack(x.examples...)
				for i, k := range run(equal, b).KL {
					if k != 0 {
						t.Fatalf("%s: sequence %d: divergence %v from an equal model", x.name, i, k)
					}
				}
				i := 0
				kl := run(g, b).KL
				for _, e := range x.examples {
					for _, s := range e {
						if was, ok := want[key(s)]; ok && was != kl[i] || !(kl[i] > 0) {
							t.Fatalf("%+v, %d threads: %s: sequence %d: divergence %v, elsewhere %v", o, threads, x.name, i, kl[i], was)
						}
						want[key(s)] = kl[i]
						i++
					}
				}
			}
			g.Compare(nil)
			if out := run(g, pack(pairs...)); len(out.KL) != 0 {
				t.Errorf("without a reference: divergences %v", out.KL)
			}
		}
	}
}

// TestKLLogitsHeld: gradients through the divergence are the same bits whatever number of logits is held, and for any number of threads.
func TestKLLogitsHeld(t *testing.T) {
	dir := testfiles.Path(t, "models", "llama")
	var want []float64
	for _, threads := range []int{1, 2} {
		dev := newDevice(t, cpu.Best(), threads)
		m := load(t, dir, dev)
		scaleWeights(m, dev, 1.1)
		vocab := m.Config.Spec.Vocab
		r := rand.New(rand.NewPCG(8, 8))
		var all []example
		for range 8 { // 560 scored rows
			ids := make([]int32, 90)
			for i := range ids {
				ids[i] = int32(r.IntN(vocab))
			}
			all = append(all, example{{ids, 20}})
		}
		b := pack(all...)
		refs := slices.Clone(forward(t, newGraph(t, m, model.GraphOptions{}), b).Logps)
		for _, rows := range []int{1, 256, 300, 512, 560} {
			d := trained(t, m, dev, compared(t, m, dir, dev, model.GraphOptions{Training: true, Logits: rows * vocab}), b, tdpo(refs, 1, nil))
			var got []float64
			for _, p := range m.Params {
				got = append(got, d[p.Name]...)
			}
			if want == nil {
				want = got
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d threads, room for the logits of %d rows: the gradient is another", threads, rows)
			}
		}
	}
}

// TestCompareRefuses: a reference that does not fit is a bug of the caller.
func TestCompareRefuses(t *testing.T) {
	dev := newDevice(t, cpu.Best(), 1)
	m := load(t, testfiles.Path(t, "models", "llama"), dev)
	ref := newGraph(t, m, model.GraphOptions{Reference: true})
	other := newGraph(t, load(t, testfiles.Path(t, "models", "gpt2-untied"), dev), model.GraphOptions{Reference: true})
	elsewhere := newGraph(t, load(t, testfiles.Path(t, "models", "llama"), newDevice(t, cpu.Best(), 1)), model.GraphOptions{Reference: true})
	plain, kl := newGraph(t, m, model.GraphOptions{}), newGraph(t, m, model.GraphOptions{KL: true})
	for i, f := range []func(){
		func() { plain.Compare(ref) }, func() { kl.Compare(plain) }, func() { kl.Compare(other) }, func() { kl.Compare(elsewhere) }, func() { ref.Forward(pack()) },
		func() { m.NewGraph(model.GraphOptions{Reference: true, Training: true}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error(fmt.Sprint("case ", i, " does not panic"))
				}
			}()
			f()
		}()
	}
}
