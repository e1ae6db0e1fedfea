package train

import (
	"bytes"
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
	"dpotrain/internal/testfiles"
)

// float64Device is the measure.
var float64Device = cpu.Reference[float64]{}

// policyStep is an optimizer step of a policy whose weights are those of a model times scale, against that model, through pass one and the stepper.
type policyStep struct {
	stepper
	refGraph *model.Graph // of the reference, to compare with
	examples []*data.Example
	refs     []score.Logps
}

func newPolicyStep(t *testing.T, dir string, dev compute.Device, scale float64, x data.Examples) *policyStep {
	t.Helper()
	policy, err := model.Load(dir, dev)
	if err != nil {
		t.Fatal(err)
	}
	s := &policyStep{stepper: stepper{policy: policy, dev: dev, budget: 1 << 20, seed: 42}}
	rows := 0
	for _, e := range data.All(x) {
		s.examples = append(s.examples, e)
		rows += data.Rows(e)
	}
	ref := score.Reference{Digest: policy.Digest(), Family: dev.Family(), Precision: "fp32", Vocab: policy.Config.Spec.Vocab, Load: func() (*model.Model, error) { return policy, nil }}
	logps, _, _, err := score.Bring(context.Background(), ref, t.TempDir(), score.Options{Entropies: true, MicroBatchTokens: s.budget, Graph: model.GraphOptions{Rows: rows}}, x)
	if err != nil {
		t.Fatal(err)
	}
	s.refs = logps[0].All()
	if s.graph, err = policy.NewGraph(model.GraphOptions{Training: true, KL: true, Rows: rows}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.graph.Close() })
	if s.refGraph, err = policy.Copy().NewGraph(model.GraphOptions{Reference: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.refGraph.Close() })
	for _, p := range policy.Params {
		if w := numbersOf(policy, dev, policy.W, p); dev == compute.Device(float64Device) {
			for i := range w {
				w[i] *= scale
			}
		} else {
			narrow := make([]float32, len(w))
			for i, v := range w {
				narrow[i] = float32(v * scale)
			}
			policy.SetValues(policy.W, p, narrow)
		}
	}
	return s
}

// numbersOf is a tensor of a buffer laid out like the weights: with float64Device its own memory, else a copy.
func numbersOf(m *model.Model, d compute.Device, b compute.Buffer, p model.Param) []float64 {
	if d == compute.Device(float64Device) {
		return float64Device.Numbers(b)[p.Off : p.Off+p.Len()]
	}
	var wide []float64
	for _, v := range m.Values(b, p) {
		wide = append(wide, float64(v))
	}
	return wide
}

// take leaves the gradient of the mean loss over the step in G, and returns that mean.
func (s *policyStep) take(t *testing.T, l loss.Loss) float64 {
	t.Helper()
	s.loss = l
	tally := eval.NewTally(l)
	if _, err := s.gradient(0, s.examples, s.refs, tally); err != nil {
		t.Fatal(err)
	}
	return tally.Loss()
}

// constant is a loss whose constants for the gradient do not move with the weights: mismatched rows and tdpo2's divergences of chosen are those of the first
// step, and what it remembers stays as it is.
type constant struct {
	loss.Loss
	mismatched, chosenKL []float64
}

func (h *constant) Compute(b loss.Batch, r *loss.Result) {
	if h.mismatched == nil && h.chosenKL == nil {
		h.mismatched, h.chosenKL = slices.Clone(b.MismatchedLogps), slices.Clone(b.ChosenKL)
	}
	b.MismatchedLogps = h.mismatched
	if h.Name() == "tdpo2" {
		b.ChosenKL = h.chosenKL
	}
	h.Loss.Compute(b, r)
}

// withoutConstants are settings with which a number that counts as a constant for the gradient does not depend on the weights.
var withoutConstants = map[string]loss.Settings{
	"beta_dpo": {"beta_dpo_a": 0.0}, // its beta
}

// TestLossGradients: of every loss of the catalogue, and sums of some, the gradient by the weights of a whole model in float64, as a step leaves it, is that of the
// step's mean loss by central differences, along a random direction. Rows have all that a loss may read, each its own, and weights.
func TestLossGradients(t *testing.T) {
	pairs := func(t *testing.T) string {
		return with(t, head(t, tiny(t).Data, 4), `"chosen_score": 2, "rejected_score": 0.5, "p_win": 0.75, "p_win_rejected": 0.3, "weight": 0.5`,
			`"chosen_score": 1.5, "rejected_score": 1, "p_win": 0.6, "p_win_rejected": 0.2`, `"chosen_score": 4, "rejected_score": -1, "p_win": 0.5, "p_win_rejected": 0.45, "weight": 2`)
	}
	for _, name := range append(loss.Names(), mpo, "aot_unpaired=0.5,dpo=1") {
		t.Run(name, func(t *testing.T) { checkLossGradient(t, name, pairs(t)) })
	}
	for _, name := range loss.Unpaired() {
		t.Run(name+" of unpaired rows", func(t *testing.T) { checkLossGradient(t, name, unpaired(t, tiny(t).Data, 4)) })
	}
}

func checkLossGradient(t *testing.T, name, path string) {
	const seed, limit = 22, 1e-7
	l, err := loss.New(name, withoutConstants[name])
	if err != nil {
		t.Fatal(err)
	}
	o := tiny(t)
	o.Data = path
	var out, errs bytes.Buffer
	in, err := Open(t.Context(), request(o, &out, &errs, nil), l)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	const scale = 1.05 // which makes the margins differ from zero
	s := newPolicyStep(t, o.Model, float64Device, scale, in.Train.Examples)
	_, remembers := l.(loss.Stateful)
	if remembers {
		s.take(t, l) // for something to be remembered
	}
	if l.Needs().KL {
		s.graph.Compare(s.refGraph)
	}
	if remembers || l.Needs().Mismatched || name == "tdpo2" {
		l = &constant{Loss: l}
	}
	s.take(t, l)
	gradient, weights := slices.Clone(float64Device.Numbers(s.policy.G)), float64Device.Numbers(s.policy.W)
	rng := rand.New(rand.NewPCG(seed, 0))
	// In each tensor as long as its weights: what a direction changes of the loss is then of the size of norm.
	direction := make([]float64, len(weights))
	var slope, norm float64
	for _, p := range s.policy.Params {
		var squares float64
		for i := p.Off; i < p.Off+p.Len(); i++ {
			squares += weights[i] * weights[i]
		}
		for i := p.Off; i < p.Off+p.Len(); i++ {
			direction[i] = rng.NormFloat64() * math.Sqrt(squares/float64(p.Len()))
			slope += gradient[i] * direction[i]
			norm += gradient[i] * direction[i] * gradient[i] * direction[i]
		}
	}
	norm = math.Sqrt(norm)
	old := slices.Clone(weights)
	at := func(steps float64) float64 {
		const h = 1e-4
		for i := range weights {
			weights[i] = old[i] + steps*h*direction[i]
		}
		return s.take(t, l) / h
	}
	want := (8*(at(1)-at(-1)) - (at(2) - at(-2))) / 12 // the five-point formula: its error falls with h^4
	diff := math.Abs(slope-want) / norm
	t.Logf("differs by %.2g of the gradient", diff)
	if !(diff <= limit) {
		t.Errorf("slope %.12g, central difference %.12g: differs by %.3g of the gradient, want at most %g (seed %d)", slope, want, diff, limit, seed)
	}
}

// torchLosses are the losses of the shared expected/ by their names there, with beta 0.1 where it says no other.
var torchLosses = map[string]struct {
	name     string
	settings loss.Settings
}{
	"sft_nll":       {"sft", nil},
	"dpo":           {"dpo", loss.Settings{"beta": 0.1}},
	"cdpo_eps0.1":   {"cdpo", loss.Settings{"beta": 0.1, "label_smoothing": 0.1}},
	"ipo_sum":       {"ipo_sum", loss.Settings{"beta": 0.1}},
	"ipo_mean":      {"ipo", loss.Settings{"beta": 0.1}},
	"hinge":         {"hinge", loss.Settings{"beta": 0.1}},
	"simpo_b2_g0.5": {"simpo", loss.Settings{"beta": 2.0, "simpo_gamma_beta_ratio": 0.25}},
	"orpo_l0.1":     {"orpo", loss.Settings{"beta": 0.1}},
}

// TestTorchGradients: eight losses of four pairs have the value, and every tensor the gradient, that PyTorch's autograd in float64 gives them, where the policy
// is the trained model times 1.01 and the reference that model. In float64 what differs is the cache, which has the reference's log-probs as float32, 2e-7 nats a
// token, and the cosines of rotary positions, which are float32 on every device, 3e-6 nats a token and 3e-6 of a gradient (package model, TestGolden). Fast kernels are held
// to what every device is held to there: 1e-3 of a gradient's l2.
func TestTorchGradients(t *testing.T) {
	type bounds struct{ loss, l2, part float64 } // relative to 1 or more; relative; of the l2
	exact, fast := bounds{1e-7, 1e-6, 3e-6}, bounds{1e-5, 1e-3, 1e-3}
	for _, m := range []struct{ dir, expected string }{{"stories260k", "llama_stories260k"}, {"gpt2-stories", "gpt2_gpt2-stories"}} {
		dir, want := testfiles.Shared(t, "models", m.dir), testfiles.LoadExpected(t, testfiles.Shared(t, "expected", m.expected+".json"))
		var examples data.Slice
		for i, p := range want.Pairs[:want.Batch] {
			e := data.Example{File: m.expected, Line: i + 1}
			for _, completion := range [][]int32{p.ChosenIDs, p.RejectedIDs} {
				e.Sequences = append(e.Sequences, data.Sequence{IDs: slices.Concat(p.PromptIDs, completion), First: len(p.PromptIDs)})
			}
			examples = append(examples, e)
		}
		for _, d := range []struct {
			name   string
			dev    compute.Device
			bounds bounds
		}{{"float64", float64Device, exact}, {cpu.Best().String(), device(t, 2), fast}} {
			t.Run(m.dir+"/"+d.name, func(t *testing.T) {
				if t.Parallel(); testing.Short() && d.name == "float64" {
					t.Skip("takes half a minute")
				}
				s := newPolicyStep(t, dir, d.dev, want.Scale, examples)
				var furthest bounds
				for _, name := range slices.Sorted(maps.Keys(want.Losses)) {
					as, ok := torchLosses[name]
					if !ok {
						t.Errorf("%s: no loss of ours is known for it", name)
						continue
					}
					l, err := loss.New(as.name, as.settings)
					if err != nil {
						t.Fatal(err)
					}
					w := want.Losses[name]
					diff := math.Abs(s.take(t, l)-w.Loss) / max(1, w.Loss)
					furthest.loss = max(furthest.loss, diff)
					if !(diff <= d.bounds.loss) {
						t.Errorf("%s: loss %v, want %v", name, w.Loss*(1+diff), w.Loss)
					}
					if len(w.Grads) != len(s.policy.Params) {
						t.Errorf("%s: gradients of %d tensors, the model has %d", name, len(w.Grads), len(s.policy.Params))
					}
					for _, p := range s.policy.Params {
						l2, part := distance(numbersOf(s.policy, d.dev, s.policy.G, p), w.Grads[p.Name])
						furthest.l2, furthest.part = max(furthest.l2, l2), max(furthest.part, part)
						if !(l2 <= d.bounds.l2) || !(part <= d.bounds.part) {
							t.Errorf("%s: %s: the gradient's l2 differs by %.3g of it, an entry or the sum by %.3g of the l2", name, p.Name, l2, part)
						}
					}
				}
				t.Logf("%d losses: within %.2g, l2 within %.2g, entries and sums within %.2g of it", len(want.Losses), furthest.loss, furthest.l2, furthest.part)
			})
		}
	}
}

// distance is how far a gradient is from what is known of it: the l2, relative, and the listed entries and the sum, as shares of the l2.
func distance(got []float64, want testfiles.Grad) (l2, part float64) {
	var squares, sum float64
	for _, v := range got {
		squares += v * v
		sum += v
	}
	part = math.Abs(sum - want.Sum)
	for i, v := range want.First4 {
		part = max(part, math.Abs(got[i]-v))
	}
	for i, v := range want.Last4 {
		part = max(part, math.Abs(got[len(got)-len(want.Last4)+i]-v))
	}
	return math.Abs(math.Sqrt(squares)-want.L2) / want.L2, part / want.L2
}
