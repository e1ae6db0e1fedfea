package model_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// goldenBeta is the beta of every golden loss.
const goldenBeta = 0.1

// dpo is the mean over the pairs of -log sigmoid(beta h), h being the margin over the reference log-probs.
func dpo(refs []float64) model.LossFunc {
	return pairLoss(refs, nil, func(h float64) (loss, dh float64) {
		return math.Log1p(math.Exp(-goldenBeta * h)), -goldenBeta / (1 + math.Exp(goldenBeta*h))
	})
}

// ipo is the mean of (h - 1/(2 beta))^2 with h from per-token means.
func ipo(refs []float64, lengths []int) model.LossFunc {
	return pairLoss(refs, lengths, func(h float64) (loss, dh float64) {
		d := h - 1/(2*goldenBeta)
		return d * d, 2 * d
	})
}

// pairLoss is the mean of f over the pairs' margins; with lengths the margins are of per-token means.
func pairLoss(refs []float64, lengths []int, f func(h float64) (loss, dh float64)) model.LossFunc {
	return byLogps(func(logps []float64) (float64, []float64, error) {
		pairs := float64(len(logps) / 2)
		total, d := 0.0, make([]float64, len(logps))
		for i := 0; i < len(logps); i += 2 {
			chosen, rejected := 1.0, 1.0
			if lengths != nil {
				chosen, rejected = 1/float64(lengths[i]), 1/float64(lengths[i+1])
			}
			loss, dh := f(chosen*(logps[i]-refs[i]) - rejected*(logps[i+1]-refs[i+1]))
			total += loss / pairs
			d[i], d[i+1] = chosen*dh/pairs, -rejected*dh/pairs
		}
		return total, d, nil
	})
}

// sft is minus the mean over the pairs of the chosen's per-token mean.
func sft(lengths []int) model.LossFunc {
	return byLogps(func(logps []float64) (float64, []float64, error) {
		pairs := float64(len(logps) / 2)
		total, d := 0.0, make([]float64, len(logps))
		for i := 0; i < len(logps); i += 2 {
			d[i] = -1 / (pairs * float64(lengths[i]))
			total += d[i] * logps[i]
		}
		return total, d, nil
	})
}

// byLogps is a loss of log-probs alone.
func byLogps(f func(logps []float64) (loss float64, dLogps []float64, err error)) model.LossFunc {
	return func(out *model.Output) (float64, model.Derivatives, error) {
		loss, d, err := f(out.Logps)
		return loss, model.Derivatives{Logps: d}, err
	}
}

// lengthsOf are the scored ids of every sequence.
func lengthsOf(es []example) []int {
	var n []int
	for _, e := range es {
		for _, s := range e {
			n = append(n, len(s.ids)-s.first)
		}
	}
	return n
}

// goldenModel is a folder with weights and the file of its reference numbers.
type goldenModel struct {
	name, dir, expected string
	exact               bool // the numbers were computed in float64 throughout; else partly in float32, as transformers does
	large               bool // float64 takes long
}

// goldenModels are all that there are numbers for: those of testdata and, where it is, those of the shared test data whose
// architecture is supported.
func goldenModels(t *testing.T) []goldenModel {
	t.Helper()
	var all []goldenModel
	add := func(dirs, expected string, exact, large bool) {
		paths, err := filepath.Glob(dirs)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d models, %v", dirs, len(paths), err)
		}
		for _, dir := range paths {
			g := goldenModel{filepath.Base(filepath.Dir(dir)) + "/" + filepath.Base(dir), dir, expected, exact, large}
			if expected == "" {
				g.expected = filepath.Join(dir, "expected.json")
			}
			if !exact && !supported(t, dir) {
				t.Logf("%s: architecture not supported, left out", g.name)
				continue
			}
			all = append(all, g)
		}
	}
	add(filepath.Join(testfiles.Path(t, "models"), "*"), "", true, false)
	if root := os.Getenv(testfiles.Variable); root == "" {
		t.Logf("%s is not set: the project's own models alone", testfiles.Variable)
	} else {
		add(filepath.Join(testfiles.Shared(t, "models-random"), "*"), "", false, false)
		for _, m := range [][2]string{{"stories260k", "llama_stories260k"}, {"gpt2-stories", "gpt2_gpt2-stories"}, {"nano-sort-gpt2", "gpt2_nano-sort"}} {
			add(testfiles.Shared(t, "models", m[0]), testfiles.Shared(t, "expected", m[1]+".json"), false, true)
		}
	}
	return all
}

// twin says that a folder ending in old has the numbers of another, with a config.json as transformers 4 wrote it.
func twin(dir string) bool {
	for _, end := range []string{"-old", "_old"} {
		if other, ok := strings.CutSuffix(dir, end); ok {
			_, err := os.Stat(other)
			return err == nil
		}
	}
	return false
}

// supported reads a folder's model_type.
func supported(t *testing.T, dir string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		ModelType string `json:"model_type"`
	}
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return slices.Contains(model.Architectures(), c.ModelType)
}

// bounds are how far from the golden numbers a device may be.
type bounds struct {
	logp float64 // nats, of every token
	loss float64 // relative; absolute where the loss is below 1
	l2   float64 // relative, of every tensor's gradient
	part float64 // of the l2: listed entries and sum
}

var (
	// fast is what is asked of every device in fp32.
	fast = bounds{logp: 1e-4, loss: 1e-5, l2: 1e-3, part: 1e-3}
	// exact is what float64 reaches: the numbers are written with ten digits.
	exact = bounds{logp: 6e-9, loss: 1e-9, l2: 1e-9, part: 1e-9}
	// exactRotary is the same with rotary positions, whose cosines and sines are float32 on every device. Nothing else
	// differs: with float64 tables the log-probs come within 5e-9, the gradients within 1e-9.
	exactRotary = bounds{logp: 3e-6, loss: 1e-7, l2: 1e-6, part: 3e-6}
	// rounded is for operands of 8 bits: three times the most that was seen with VDPBF16PS. It tells a wrong product from one that rounds, no more.
	rounded = bounds{logp: 0.4, loss: 0.1, l2: 0.12, part: 0.4}
)

// worst are the largest differences seen.
type worst struct{ logp, l2, part float64 }

func TestGolden(t *testing.T) {
	for _, g := range goldenModels(t) {
		e := testfiles.LoadExpected(t, g.expected)
		if !g.large && !twin(g.dir) {
			t.Run(g.name+"/float64", func(t *testing.T) {
				e := *e
				e.IPO, e.SFT = nil, nil
				checkGolden(t, g, &e, float64Device, fast)
			})
		}
		for _, lv := range cpu.Levels() {
			t.Run(g.name+"/"+lv.String(), func(t *testing.T) {
				e := *e
				if lv != cpu.Best() && g.large {
					if testing.Short() {
						t.Skip("the best level alone under -short")
					}
					e.Pairs, e.IPO, e.SFT = e.Pairs[:e.Batch], nil, nil // the rest takes long
				}
				checkGolden(t, g, &e, newDevice(t, lv, 2), fast)
			})
		}
		for _, k := range bf16Kernels() {
			t.Run(g.name+"/"+k.String(), func(t *testing.T) {
				e := *e
				if g.large {
					e.Pairs = e.Pairs[:e.Batch]
				}
				checkGolden(t, g, &e, newPreciseDevice(t, k, 2), rounded)
			})
		}
	}
}

func checkGolden(t *testing.T, g goldenModel, e *testfiles.Expected, d compute.Device, b bounds) {
	var w worst
	m := load(t, g.dir, d)
	if g.exact && d == compute.Device(float64Device) {
		b = exact
		if m.Config.Spec.Rope != nil {
			b = exactRotary
		}
	}
	fw := newGraph(t, m, model.GraphOptions{})
	all := pack(pairsOf(e.Pairs)...)
	got := bySequence(all, forward(t, fw, all).TokenLogps)
	for i, p := range e.Pairs {
		for side, want := range [][]float64{p.ChosenTokenLogps, p.RejectedTokenLogps} {
			for j, v := range want {
				diff := math.Abs(got[2*i+side][j] - v)
				w.logp = max(w.logp, diff)
				if !(diff <= b.logp) {
					t.Errorf("pair %d, side %d, token %d: log-prob %.10g, want %.10g", i, side, j, got[2*i+side][j], v)
				}
			}
		}
		for side, want := range []float64{p.ChosenLogp, p.RejectedLogp} {
			if sum, n := sumOf(got[2*i+side]), float64(len(got[2*i+side])); !(math.Abs(sum-want) <= b.logp*n) {
				t.Errorf("pair %d, side %d: log-prob %.10g, want %.10g", i, side, sum, want)
			}
		}
	}

	examples := pairsOf(e.Pairs[:e.Batch])
	batch, lengths := pack(examples...), lengthsOf(examples)
	refs := slices.Clone(forward(t, fw, batch).Logps)
	scaleWeights(m, d, e.Scale)
	training := newGraph(t, m, model.GraphOptions{Training: true})
	for _, l := range []struct {
		name string
		want *testfiles.Loss
		loss model.LossFunc
	}{{"dpo", e.DPO, dpo(refs)}, {"ipo", e.IPO, ipo(refs, lengths)}, {"sft", e.SFT, sft(lengths)}} {
		if l.want == nil {
			continue
		}
		m.ResetGradients()
		out := forwardBackward(t, training, batch, l.loss)
		if !(math.Abs(out.Loss-l.want.Loss) <= b.loss*max(1, l.want.Loss)) {
			t.Errorf("%s: loss %.10g, want %.10g", l.name, out.Loss, l.want.Loss)
		}
		if len(l.want.Grads) != len(m.Params) {
			t.Errorf("%s: golden gradients of %d tensors, the model has %d", l.name, len(l.want.Grads), len(m.Params))
		}
		for _, p := range m.Params {
			want, ok := l.want.Grads[p.Name]
			if !ok {
				t.Errorf("%s: no golden gradient of %s", l.name, p.Name)
				continue
			}
			compareGradient(t, l.name+": "+p.Name, numbersOf(m, d, m.G, p), want, b, &w)
		}
	}
	t.Logf("largest differences: token log-prob %.2g nats; gradients: l2 %.2g relative, entries and sum %.2g of the l2", w.logp, w.l2, w.part)
}

// compareGradient holds a gradient against what is known of it.
func compareGradient(t *testing.T, what string, got []float64, want testfiles.Grad, b bounds, w *worst) {
	t.Helper()
	var squares float64
	for _, v := range got {
		squares += v * v
	}
	l2 := math.Abs(math.Sqrt(squares)-want.L2) / want.L2
	part := math.Abs(sumOf(got)-want.Sum) / want.L2
	for i, v := range want.First4 {
		part = max(part, math.Abs(got[i]-v)/want.L2)
	}
	for i, v := range want.Last4 {
		part = max(part, math.Abs(got[len(got)-len(want.Last4)+i]-v)/want.L2)
	}
	w.l2, w.part = max(w.l2, l2), max(w.part, part)
	if !(l2 <= b.l2) || !(part <= b.part) {
		t.Errorf("%s: the gradient's l2 differs by %.3g of it, an entry or the sum by %.3g of the l2; want at most %g and %g", what, l2, part, b.l2, b.part)
	}
}

// numbersOf is a tensor of a buffer laid out like W, in float64 where the device has that.
func numbersOf(m *model.Model, d compute.Device, b compute.Buffer, p model.Param) []float64 {
	if r, ok := d.(cpu.Reference[float64]); ok {
		return r.Numbers(b)[p.Off : p.Off+p.Len()]
	}
	wide := make([]float64, p.Len())
	for i, v := range m.Values(b, p) {
		wide[i] = float64(v)
	}
	return wide
}

// scaleWeights multiplies all weights.
func scaleWeights(m *model.Model, d compute.Device, by float64) {
	if r, ok := d.(cpu.Reference[float64]); ok {
		w := r.Numbers(m.W)
		for i := range w {
			w[i] *= by
		}
		return
	}
	for _, p := range m.Params {
		v := m.Values(m.W, p)
		for i := range v {
			v[i] = float32(float64(v[i]) * by)
		}
		m.SetValues(m.W, p, v)
	}
}

func sumOf(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}
