package model_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// countingDevice counts what is allocated on a device.
type countingDevice struct {
	compute.Device
	calls, numbers int
}

func (d *countingDevice) Alloc(n int) compute.Buffer {
	d.calls++
	d.numbers += n
	return d.Device.Alloc(n)
}

// shapes are n batches of different numbers of pairs and lengths, the first of them the largest in rows and in scored ids.
func shapes(vocab, n int) []*compute.Batch {
	r := rand.New(rand.NewPCG(6, 6))
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = int32(r.IntN(vocab))
		}
		return v
	}
	pair := func(prompt, chosen, rejected int) example {
		p := ids(prompt)
		return example{{append(p[:prompt:prompt], ids(chosen)...), prompt}, {append(p[:prompt:prompt], ids(rejected)...), prompt}}
	}
	all := []*compute.Batch{pack(pair(70, 20, 20), pair(70, 20, 20), pair(70, 20, 20))}
	for len(all) < n {
		var es []example
		for range 1 + r.IntN(3) {
			es = append(es, pair(1+r.IntN(10+60*(r.IntN(10)/9)), 1+r.IntN(20), 1+r.IntN(20)))
		}
		all = append(all, pack(es...))
	}
	return all
}

// TestGraphsDoNotGrow runs 1,000 batches of different shapes through both graphs of a model: no node more, nothing
// allocated on the device after the largest batch, and little garbage for the host.
func TestGraphsDoNotGrow(t *testing.T) {
	const batches = 1000
	// Bytes a run, of two blocks, the median of 20 parts; measured: llama 632 and 1,216, gpt2 632 and 1,168, which is gorgonia's machine. On a
	// busy machine single parts have more, which is the Go runtime's own; what a graph leaves behind is in every part.
	const forwardLimit, trainingLimit = 1000, 2000
	for _, name := range []string{"llama", "gpt2"} {
		t.Run(name, func(t *testing.T) {
			d := &countingDevice{Device: newDevice(t, cpu.Best(), 2)}
			m := load(t, testfiles.Path(t, "models", name), d)
			fw, training := newGraph(t, m, model.GraphOptions{}), newGraph(t, m, model.GraphOptions{Training: true})
			dLogps := make([]float64, batches)
			loss := byLogps(func(logps []float64) (float64, []float64, error) { return 0, dLogps[:len(logps)], nil })
			all := shapes(m.Config.Spec.Vocab, batches)
			forward(t, fw, all[0])
			forwardBackward(t, training, all[0], loss)
			nodes, calls, numbers := [2]int{fw.Nodes(), training.Nodes()}, d.calls, d.numbers
			for _, g := range []struct {
				name  string
				limit uint64
				run   func(*compute.Batch)
			}{
				{"forward", forwardLimit, func(b *compute.Batch) { forward(t, fw, b) }},
				{"training", trainingLimit, func(b *compute.Batch) { forwardBackward(t, training, b, loss) }},
			} {
				var before, after runtime.MemStats
				var parts []uint64
				for part := range slices.Chunk(all, batches/20) {
					runtime.ReadMemStats(&before)
					for _, b := range part {
						g.run(b)
					}
					runtime.ReadMemStats(&after)
					parts = append(parts, (after.TotalAlloc-before.TotalAlloc)/uint64(len(part)))
				}
				slices.Sort(parts)
				garbage := parts[len(parts)/2]
				t.Logf("%s: %d bytes of garbage a run, %d to %d", g.name, garbage, parts[0], parts[len(parts)-1])
				if garbage > g.limit {
					t.Errorf("%s: %d bytes of garbage a run, want at most %d", g.name, garbage, g.limit)
				}
			}
			if now := [2]int{fw.Nodes(), training.Nodes()}; now != nodes {
				t.Errorf("%v nodes, after the first batch there were %v", now, nodes)
			}
			if d.calls != calls {
				t.Errorf("%d numbers in %d pieces were allocated after the largest batch", d.numbers-numbers, d.calls-calls)
			}
		})
	}
}

// TestOutput: sums, entropies and best ids are those of float64, and the sums add up token by token.
func TestOutput(t *testing.T) {
	dir := testfiles.Path(t, "models", "llama")
	b := pack(randomPairs(320, 9)...)
	want := forward(t, newGraph(t, load(t, dir, float64Device), model.GraphOptions{}), b)
	for _, lv := range cpu.Levels() {
		m := load(t, dir, newDevice(t, lv, 2))
		out := forward(t, newGraph(t, m, model.GraphOptions{}), b)
		if len(out.Logps) != b.Sequences || len(out.TokenLogps) != len(b.Targets) || len(out.Entropy) != len(b.Targets) || len(out.Best) != len(b.Targets) {
			t.Fatalf("%v: %d, %d, %d, %d numbers for %d sequences and %d targets", lv,
				len(out.Logps), len(out.TokenLogps), len(out.Entropy), len(out.Best), b.Sequences, len(b.Targets))
		}
		for i, logps := range bySequence(b, out.TokenLogps) {
			if got := out.Logps[i]; got != sumOf(logps) || !(math.Abs(got-want.Logps[i]) <= 1e-5*float64(len(logps))) {
				t.Errorf("%v: sequence %d: %v; its tokens give %v, float64 gives %v", lv, i, got, sumOf(logps), want.Logps[i])
			}
		}
		for i := range b.Targets {
			if !(math.Abs(out.Entropy[i]-want.Entropy[i]) <= 1e-5) || out.Best[i] != want.Best[i] {
				t.Errorf("%v: target %d: entropy %v, best id %d; float64 gives %v, %d", lv, i, out.Entropy[i], out.Best[i], want.Entropy[i], want.Best[i])
			}
		}
	}
}

// TestForwardHalf: the forward half of a training graph gives the bits of a forward-only graph, leaves the gradients as they were, and leaves no trace in
// what comes after it.
func TestForwardHalf(t *testing.T) {
	dev := newDevice(t, cpu.Best(), 2)
	m := load(t, testfiles.Path(t, "models", "gpt2-untied"), dev)
	fw, training := newGraph(t, m, model.GraphOptions{}), newGraph(t, m, model.GraphOptions{Training: true})
	batch := pack(smallPairs(120, nil)...)
	want := slices.Clone(forward(t, fw, batch).Logps)
	gradients := func() []float32 {
		g := make([]float32, m.Len())
		dev.Download(g, m.G, 0)
		return g
	}
	ones := byLogps(func(logps []float64) (float64, []float64, error) {
		return 0, slices.Repeat([]float64{1}, len(logps)), nil
	})
	forwardBackward(t, training, batch, ones)
	once := gradients()
	m.ResetGradients()
	out, err := training.ForwardHalf(batch)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(out.Logps, want) {
		t.Errorf("%v, forward only %v", out.Logps, want)
	}
	if !slices.Equal(gradients(), once) {
		t.Error("the gradients have changed")
	}
	forwardBackward(t, training, batch, ones)
	if !slices.Equal(gradients(), once) {
		t.Error("the gradients of the next run are others")
	}
}

// TestGraphErrors: a batch that does not fit the model, a loss that fails and one that panics are errors, after which the
// graph goes on.
func TestGraphErrors(t *testing.T) {
	m := load(t, testfiles.Path(t, "models", "gpt2-untied"), newDevice(t, cpu.Best(), 2)) // 112 positions, 120 ids
	fw, training := newGraph(t, m, model.GraphOptions{}), newGraph(t, m, model.GraphOptions{Training: true})
	good := pack(smallPairs(120, nil)...)
	want := slices.Clone(forward(t, fw, good).TokenLogps)
	sequenceOf := func(n int, id int32) *compute.Batch {
		ids := make([]int32, n)
		ids[n-1] = id
		return pack(example{{ids, 1}})
	}
	inside := sequenceOf(9, 1)
	inside.Tokens[3] = 120
	for _, tt := range []struct {
		name  string
		batch *compute.Batch
		loss  model.LossFunc // nil: forward
		err   string
	}{
		{"no scored ids", &compute.Batch{Tokens: []int32{1}, Positions: []int32{0}, Segments: []compute.Segment{{End: 1}}}, nil, "a batch without scored ids"},
		{"a target beyond the vocabulary", sequenceOf(4, 120), nil, "token id 120 is outside the model's vocabulary of 120; the tokenizer belongs to another model"},
		{"a negative target", sequenceOf(4, -1), noLoss, "token id -1 is outside the model's vocabulary of 120; the tokenizer belongs to another model"},
		{"an id beyond the vocabulary", inside, noLoss, "token id 120 is outside the model's vocabulary of 120; the tokenizer belongs to another model"},
		{"as many rows as positions", sequenceOf(113, 1), nil, ""},
		{"a row more than positions", sequenceOf(114, 1), nil, "a sequence has more than 112 tokens, and the model has learned positions for no more; set max_length to 112 or less"},
		{"a loss that fails", good, func(*model.Output) (float64, model.Derivatives, error) {
			return 0, model.Derivatives{}, errors.New("row 7 is bad")
		}, "row 7 is bad"},
		{"a loss that panics", good, func(*model.Output) (float64, model.Derivatives, error) { panic("oh no") }, "loss: oh no"},
		{"too few gradients", good, func(*model.Output) (float64, model.Derivatives, error) { return 0, model.Derivatives{}, nil }, "head backward: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var err error
			if tt.loss == nil {
				_, err = fw.Forward(tt.batch)
			} else {
				_, err = training.ForwardBackward(tt.batch, tt.loss)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if got := forward(t, fw, good).TokenLogps; !slices.Equal(got, want) {
				t.Errorf("forward gives %v afterwards, before %v", got, want)
			}
			if got := forwardBackward(t, training, good, noLoss).TokenLogps; !slices.Equal(got, want) {
				t.Errorf("training gives %v afterwards, before %v", got, want)
			}
		})
	}
	for name, f := range map[string]func(){"Forward": func() { training.Forward(good) }, "ForwardBackward": func() { fw.ForwardBackward(good, noLoss) },
		"ForwardHalf": func() { fw.ForwardHalf(good) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s of the other graph does not panic", name)
				}
			}()
			f()
		}()
	}
}

// BenchmarkStep is forward and backward of three pairs, 324 rows and 120 scored ids, in a model of 119k parameters.
func BenchmarkStep(b *testing.B) {
	for _, threads := range []int{1, 2, 4} {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			m := random(b, `{"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
				"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true}`, newDevice(b, cpu.Best(), threads), 1)
			g := newGraph(b, m, model.GraphOptions{Training: true})
			batch := shapes(512, 1)[0]
			d := model.Derivatives{Logps: make([]float64, batch.Sequences)}
			loss := func(*model.Output) (float64, model.Derivatives, error) { return 0, d, nil }
			forwardBackward(b, g, batch, loss)
			b.ReportAllocs()
			for b.Loop() {
				forwardBackward(b, g, batch, loss)
			}
			b.ReportMetric(float64(batch.Rows()*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
