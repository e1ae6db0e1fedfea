package model_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
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
	// Bytes a run, of two blocks; measured: llama 4,485 and 11,130, gpt2 5,021 and 12,146. Most of it are the closures that kernels are
	// called with: some 4.7 KB for a block forward and back, whatever its size.
	const forwardLimit, trainingLimit = 5500, 13500
	for _, name := range []string{"llama", "gpt2"} {
		t.Run(name, func(t *testing.T) {
			d := &countingDevice{Device: newDevice(t, cpu.Best(), 2)}
			m := load(t, testfiles.Path(t, "models", name), d)
			fw, training := newGraph(t, m, model.GraphOptions{}), newGraph(t, m, model.GraphOptions{Training: true})
			dLogps := make([]float64, batches)
			loss := func(logps []float64) (float64, []float64, error) { return 0, dLogps[:len(logps)], nil }
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
				runtime.ReadMemStats(&before)
				for _, b := range all {
					g.run(b)
				}
				runtime.ReadMemStats(&after)
				garbage := (after.TotalAlloc - before.TotalAlloc) / batches
				t.Logf("%s: %d bytes of garbage a run, in %d pieces", g.name, garbage, (after.Mallocs-before.Mallocs)/batches)
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

// BenchmarkStep is forward and backward of three pairs, 324 rows and 120 scored ids, in a model of 119k parameters.
func BenchmarkStep(b *testing.B) {
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprint(threads), func(b *testing.B) {
			m := random(b, `{"model_type": "llama", "vocab_size": 512, "hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 2,
				"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": true}`, newDevice(b, cpu.Best(), threads), 1)
			g := newGraph(b, m, model.GraphOptions{Training: true})
			batch := shapes(512, 1)[0]
			dLogps := make([]float64, batch.Sequences)
			loss := func([]float64) (float64, []float64, error) { return 0, dLogps, nil }
			forwardBackward(b, g, batch, loss)
			b.ReportAllocs()
			for b.Loop() {
				forwardBackward(b, g, batch, loss)
			}
			b.ReportMetric(float64(batch.Rows()*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
