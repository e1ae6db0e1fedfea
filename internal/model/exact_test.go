package model_test

import (
	"fmt"
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

// exactModel is a model for the exactness tests.
type exactModel struct {
	name string
	new  func(t testing.TB, d compute.Device) *model.Model
	wide bool        // one block, and matrices larger than a block of a matrix product in every direction
	low  []cpu.Level // levels to test besides the best
}

// ownModels are the folders of testdata/models, those with the numbers of another left out.
func ownModels(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(testfiles.Path(t, "models"), "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("testdata/models: %d models, %v", len(dirs), err)
	}
	return slices.DeleteFunc(dirs, twin)
}

// exactModels are all of testdata at the best level. The levels differ in products and vector kernels, not in how a model is
// made of them: some models, which have all of these and all kinds of attention, go through the lower ones.
func exactModels(t *testing.T) []exactModel {
	t.Helper()
	var all []exactModel
	for _, dir := range ownModels(t) {
		em := exactModel{name: filepath.Base(dir), new: func(t testing.TB, d compute.Device) *model.Model { return load(t, dir, d) }}
		switch em.name {
		case "llama", "gpt2", "mistral-old":
			em.low = []cpu.Level{cpu.Generic, cpu.AVX2}
		}
		all = append(all, em)
	}
	for _, r := range []struct {
		name, config string
		wide         bool
		low          []cpu.Level
	}{
		{"llama wide", `{"model_type": "llama", "vocab_size": 3100, "hidden_size": 400, "intermediate_size": 800, "num_hidden_layers": 1,
			"num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.05}`, true, []cpu.Level{cpu.AVX2}},
		{"gpt2 wide", `{"model_type": "gpt2", "vocab_size": 3100, "n_embd": 400, "n_layer": 1, "n_head": 4, "n_positions": 112, "initializer_range": 0.05}`,
			true, []cpu.Level{cpu.AVX2}},
		{"window longer than a tile", `{"model_type": "mistral", "vocab_size": 100, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
			"num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 70, "initializer_range": 0.2}`, false, nil},
	} {
		all = append(all, exactModel{r.name, func(t testing.TB, d compute.Device) *model.Model { return random(t, r.config, d, 5) }, r.wide, r.low})
	}
	return all
}

// eachExact runs a test for every model and its levels, and in bf16 where this CPU has it.
func eachExact(t *testing.T, f func(t *testing.T, em exactModel, k kernels)) {
	for _, em := range exactModels(t) {
		var all []kernels
		for _, lv := range cpu.Levels() {
			if lv == cpu.Best() || slices.Contains(em.low, lv) {
				all = append(all, kernels{lv, "fp32"})
			}
		}
		all = append(all, bf16Kernels()...)
		for _, k := range all {
			t.Run(em.name+"/"+k.String(), func(t *testing.T) { f(t, em, k) })
		}
	}
}

// random makes a model with random weights, biases and norms among them.
func random(t testing.TB, config string, d compute.Device, seed uint64) *model.Model {
	t.Helper()
	c, err := model.ParseConfig("config.json", []byte(config))
	if err != nil {
		t.Fatal(err)
	}
	m := model.NewRandom(c, d, seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for _, p := range m.Params {
		if p.Decay {
			continue
		}
		v := m.Values(m.W, p)
		for i := range v {
			v[i] += float32(0.1 * r.NormFloat64())
		}
		m.SetValues(m.W, p, v)
	}
	return m
}

// randomPairs have prompts shorter than, as long as and longer than an attention tile of 64 keys, and completions from one
// id up, some across the border of a tile, or of the windows of the models here: 20 and 70 keys. One pair's completions
// begin alike, one's prompts differ from the fourth id on, as they do after truncation, and one's from the first.
func randomPairs(vocab int, seed uint64) []example {
	r := rand.New(rand.NewPCG(seed, 2))
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = int32(r.IntN(vocab))
		}
		return v
	}
	var es []example
	for _, n := range [][3]int{{1, 1, 4}, {5, 12, 1}, {63, 1, 2}, {64, 3, 9}, {65, 20, 2}, {50, 30, 14}, {90, 7, 18}, {14, 9, 5}} {
		prompt := ids(n[0])
		side := func(n int) sequence { return sequence{append(slices.Clone(prompt), ids(n)...), len(prompt)} }
		es = append(es, example{side(n[1]), side(n[2])})
	}
	copy(es[4][1].ids[65:], es[4][0].ids[65:66])
	copy(es[5][1].ids[3:50], ids(47))
	copy(es[1][1].ids[:5], ids(5))
	return es
}

// bits are what a sequence's scored ids got.
type bits struct{ logps, entropy []float64 }

func (b bits) equal(c bits) bool {
	return slices.Equal(b.logps, c.logps) && slices.Equal(b.entropy, c.entropy) // no NaN is equal to itself
}

func key(s sequence) string { return fmt.Sprint(s.ids, s.first) }

// bitsOf spreads an output over the sequences of the examples it was made of.
func bitsOf(b *compute.Batch, es []example, out *model.Output) map[string]bits {
	logps, entropy := bySequence(b, out.TokenLogps), bySequence(b, out.Entropy)
	all := map[string]bits{}
	i := 0
	for _, e := range es {
		for _, s := range e {
			all[key(s)] = bits{logps[i], entropy[i]}
			i++
		}
	}
	return all
}

// mix is examples that share a batch.
type mix struct {
	name     string
	examples []example
}

// mixes put the sequences of pairs together in different ways.
func mixes(pairs []example) []mix {
	reversed, swapped := slices.Clone(pairs), slices.Clone(pairs)
	slices.Reverse(reversed)
	for i, e := range swapped {
		swapped[i] = example{e[1], e[0]}
	}
	// Every chosen completion with a partner of its own prompt, but for one more id.
	var others []example
	for _, e := range pairs {
		partner := sequence{append(slices.Clone(e[0].ids[:e[0].first]), e[0].ids[0], e[0].ids[0]), e[0].first}
		others = append(others, example{e[0], partner})
	}
	odd := []example{pairs[6], {pairs[0][1]}, pairs[2], {pairs[6][0]}, {pairs[3][1]}, pairs[5], {pairs[4][0]}, pairs[1]}
	all := []mix{{"pairs", pairs}, {"reversed", reversed}, {"chosen and rejected swapped", swapped}, {"alone, in one batch", alone(pairs...)},
		{"other partners", others}, {"odd", odd}, {"lists", lists(pairs)}}
	for i, e := range pairs {
		all = append(all, mix{fmt.Sprintf("pair %d", i), []example{e}})
	}
	return all
}

// lists put a completion of two ids and one of up to 17 between those of every pair.
func lists(pairs []example) []example {
	var all []example
	for _, e := range pairs {
		prompt := e[0].ids[:e[0].first]
		short := sequence{slices.Concat(prompt, prompt[:1], prompt[:1]), len(prompt)}
		long := sequence{slices.Concat(short.ids, prompt[:min(15, len(prompt))]), len(prompt)}
		all = append(all, example{e[0], short, long, e[1]})
	}
	return all
}

// noLoss sends nothing back.
func noLoss(out *model.Output) (float64, model.Derivatives, error) {
	return 0, model.Derivatives{Logps: make([]float64, len(out.Logps))}, nil
}

// TestForwardIsExact: a sequence's log-probs and entropies are the same bits whatever shares its batch, alone or with a
// shared prefix, on any number of threads, in both graphs, with and without recomputation, with any chunk of the head.
func TestForwardIsExact(t *testing.T) {
	const seed = 3
	eachExact(t, func(t *testing.T, em exactModel, kn kernels) {
		single := em.new(t, newPreciseDevice(t, kn, 1))
		vocab := single.Config.Spec.Vocab
		pairs := randomPairs(vocab, seed)
		ms := mixes(pairs)
		if em.wide {
			ms = ms[5:9]
		}
		want := map[string]bits{}
		fw := newGraph(t, single, model.GraphOptions{})
		for _, m := range ms {
			for _, e := range alone(m.examples...) {
				if _, ok := want[key(e[0])]; !ok {
					b := pack(e)
					out := forward(t, fw, b)
					want[key(e[0])] = bits{slices.Clone(out.TokenLogps), slices.Clone(out.Entropy)}
				}
			}
		}
		chunks := []int{0, 1, 5*vocab/2 + 1} // numbers of logits: all, one row, two rows at once
		graphs := []model.GraphOptions{{}, {Training: true}, {Training: true, Recompute: true}}
		for threads := 1; threads <= 3; threads++ {
			m := em.new(t, newPreciseDevice(t, kn, threads))
			for i, o := range graphs {
				o.Logits = chunks[(threads+i)%len(chunks)]
				o.Rows = 100 * i // memory laid out before, or while it runs
				g := newGraph(t, m, o)
				for j, mx := range ms {
					if (j+threads+i)%3 != 0 { // every mix meets every number of threads, and every kind of graph, once
						continue
					}
					b := pack(mx.examples...)
					var out *model.Output
					if o.Training {
						out = forwardBackward(t, g, b, noLoss)
					} else {
						out = forward(t, g, b)
					}
					for k, got := range bitsOf(b, mx.examples, out) {
						if !got.equal(want[k]) {
							t.Fatalf("seed %d, %d threads, %+v, %s: sequence %s\n got %v\nwant %v", seed, threads, o, mx.name, k, got, want[k])
						}
					}
				}
			}
		}
	})
}

// gradients runs a step cut into micro-batches and returns every tensor's gradient.
func gradients(t *testing.T, m *model.Model, d compute.Device, g *model.Graph, cut [][]example, coefficients map[string]float64) map[string][]float64 {
	t.Helper()
	resetGradients(m, d)
	for _, part := range cut {
		var ds []float64
		for _, e := range alone(part...) {
			ds = append(ds, coefficients[key(e[0])])
		}
		forwardBackward(t, g, pack(part...), byLogps(func([]float64) (float64, []float64, error) { return 0, ds, nil }))
	}
	all := map[string][]float64{}
	for _, p := range m.Params {
		all[p.Name] = slices.Clone(numbersOf(m, d, m.G, p))
	}
	return all
}

// farthest is the largest difference of two gradients, as a share of each tensor's l2.
func farthest(a, b map[string][]float64) (share float64, tensor string) {
	for name, x := range a {
		var diff, norm float64
		for i, v := range x {
			diff += (v - b[name][i]) * (v - b[name][i])
			norm += v * v
		}
		if s := math.Sqrt(diff / norm); !(s <= share) {
			share, tensor = s, name
		}
	}
	return share, tensor
}

// TestGradientIsExact: gradients are the same bits for any number of threads, with and without recomputation and whatever
// the graph ran before, as long as the step is cut into the same micro-batches; with another cut they are within 2e-6 of
// every tensor's l2. In bf16 that holds as long as pairs stay together. A sequence on its own sends its part of a prompt's gradient
// through products of its own, whose operands are rounded by up to 2^-9 where they were rounded as one sum: by then what is rounded
// differs, and two such roundings a layer are allowed to show.
func TestGradientIsExact(t *testing.T) {
	const seed, limit, limitAlone16 = 4, 2e-6, 1e-2
	eachExact(t, func(t *testing.T, em exactModel, kn kernels) {
		d := newPreciseDevice(t, kn, 1)
		m := em.new(t, d)
		pairs := randomPairs(m.Config.Spec.Vocab, seed)
		if em.wide {
			pairs = pairs[:4]
		} else {
			pairs = append(pairs, randomPairs(m.Config.Spec.Vocab, seed+1)...)
			pairs[3] = append(pairs[3], lists(pairs)[3][1:3]...) // a list of four
		}
		coefficients := map[string]float64{} // as DPO has them: of the pair's two completions, opposite
		r := rand.New(rand.NewPCG(seed, 3))
		for _, e := range pairs {
			c := 0.1 / float64(len(pairs)) * (0.3 + 0.4*r.Float64())
			coefficients[key(e[0])], coefficients[key(e[1])] = -c, c
			for i, s := range e[2:] {
				coefficients[key(s)] = c / float64(i+2)
			}
		}
		var one, two [][]example // micro-batches of one pair, and of two
		for i, e := range pairs {
			one = append(one, []example{e})
			if i%2 == 0 {
				two = append(two, pairs[i:i+2])
			}
		}
		whole := [][]example{pairs}
		train := model.GraphOptions{Training: true}
		want := gradients(t, m, d, newGraph(t, m, train), whole, coefficients)
		wantTwo := gradients(t, m, d, newGraph(t, m, model.GraphOptions{Training: true, Rows: 1000}), two, coefficients)

		for threads := 2; threads <= 3; threads++ {
			recompute := threads == 3
			d := newPreciseDevice(t, kn, threads)
			m := em.new(t, d)
			g := newGraph(t, m, model.GraphOptions{Training: true, Recompute: recompute})
			for _, c := range []struct {
				name string
				cut  [][]example
				want map[string][]float64
			}{{"two pairs at a time", two, wantTwo}, {"the whole step", whole, want}} {
				got := gradients(t, m, d, g, c.cut, coefficients)
				for name, v := range c.want {
					if !slices.Equal(got[name], v) {
						t.Fatalf("seed %d, %d threads, recompute %v, %s: other bits in %s", seed, threads, recompute, c.name, name)
					}
				}
			}
		}

		limitAlone := limit
		if kn.precision == "bf16" {
			limitAlone = limitAlone16
		}
		for _, c := range []struct {
			name  string
			got   map[string][]float64
			limit float64
		}{
			{"one pair at a time", gradients(t, m, d, newGraph(t, m, train), one, coefficients), limit},
			{"two pairs at a time", wantTwo, limit},
			{"every sequence on its own", gradients(t, m, d, newGraph(t, m, train), [][]example{alone(pairs...)}, coefficients), limitAlone},
		} {
			share, tensor := farthest(want, c.got)
			t.Logf("%s: %.2g of the l2 of %s", c.name, share, tensor)
			if !(share <= c.limit) {
				t.Errorf("seed %d, %s instead of the whole step: %s differs by %.3g of its l2, want at most %g", seed, c.name, tensor, share, c.limit)
			}
		}
	})
}
