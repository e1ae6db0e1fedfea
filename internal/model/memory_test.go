package model_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// TestMemory: a graph takes what Memory says it takes, to the number, before and after a batch as large as its options say.
func TestMemory(t *testing.T) {
	for _, name := range []string{"llama", "gpt2", "gpt_neox", "qwen3"} {
		for _, o := range []model.GraphOptions{
			{Logits: 1 << 20}, {Training: true, Logits: 1 << 20}, {Training: true, Recompute: true, Logits: 1 << 20}, {Training: true, Logits: 1000},
			{KL: true, Logits: 1 << 20}, {Training: true, KL: true, Logits: 1 << 20}, {Reference: true, Logits: 1 << 20},
		} {
			t.Run(fmt.Sprintf("%s/%+v", name, o), func(t *testing.T) {
				d := &countingDevice{Device: newDevice(t, cpu.Best(), 1)}
				m := load(t, testfiles.Path(t, "models", name), d)
				if want := m.Config.Parameters(); d.numbers != want || m.Len() != want {
					t.Errorf("%d numbers for the weights, want %d; Len is %d", d.numbers, want, m.Len())
				}
				b := shapes(m.Config.Spec.Vocab, 1)[0]
				o.Rows = b.Rows()
				for i, target := range b.Targets {
					if i == 0 || target.Row != b.Targets[i-1].Row {
						o.Scored++
					}
				}
				for _, p := range b.Positions {
					o.Length = max(o.Length, int(p)+1)
				}
				want := m.Config.Memory(o)
				if want.Activations <= 0 || want.Scratch <= 0 || want.Head <= 0 {
					t.Errorf("%+v: want more than nothing", want)
				}
				d.numbers = 0
				g := newGraph(t, m, o)
				gradients := 0
				if o.Training {
					gradients = m.Len()
				}
				if got := int64(d.numbers - gradients); got != want.Activations+want.Scratch+want.Head {
					t.Errorf("%d numbers for the graph, want %+v", got, want)
				}
				run := g
				switch other := o; {
				case o.KL:
					other = model.GraphOptions{Reference: true, Rows: o.Rows, Scored: o.Scored, Length: o.Length}
					g.Compare(newGraph(t, m, other))
				case o.Reference:
					other.Reference, other.KL = false, true
					run = newGraph(t, m, other)
					run.Compare(g)
				}
				calls := d.calls
				if o.Training {
					forwardBackward(t, run, b, noLoss)
				} else {
					forward(t, run, b)
				}
				if d.calls != calls {
					t.Errorf("%d more pieces for a batch as large as was said", d.calls-calls)
				}
			})
		}
	}
}

// TestLogitsHeld: gradients are the same bits whatever number of logits is held, and in a graph that has grown.
func TestLogitsHeld(t *testing.T) {
	for _, lv := range cpu.Levels() {
		t.Run(lv.String(), func(t *testing.T) {
			d := newDevice(t, lv, 2)
			m := load(t, testfiles.Path(t, "models", "llama"), d)
			r := rand.New(rand.NewPCG(8, 8))
			sequences := func(n int) *compute.Batch { // of 90 ids, 70 of them scored
				var all []example
				for range n {
					ids := make([]int32, 90)
					for i := range ids {
						ids[i] = int32(r.IntN(m.Config.Spec.Vocab))
					}
					all = append(all, example{{ids, 20}})
				}
				return pack(all...)
			}
			large, small := sequences(11), sequences(4) // 770 and 280 scored rows
			loss := byLogps(func(logps []float64) (float64, []float64, error) {
				d := make([]float64, len(logps))
				for i := range d {
					d[i] = float64(i%5-2) / 10
				}
				return 0, d, nil
			})
			gradient := func(g *model.Graph) []float32 {
				m.ResetGradients()
				forwardBackward(t, g, large, loss)
				host := make([]float32, m.Len())
				d.Download(host, m.G, 0)
				return host
			}
			vocab := m.Config.Spec.Vocab
			want := gradient(newGraph(t, m, model.GraphOptions{Training: true, Logits: 770 * vocab}))
			for _, rows := range []int{1, 256, 300, 512, 600, 769} {
				for _, first := range []*compute.Batch{nil, small} {
					g := newGraph(t, m, model.GraphOptions{Training: true, Logits: rows * vocab})
					if first != nil {
						forwardBackward(t, g, first, loss)
					}
					if !slices.Equal(gradient(g), want) {
						t.Errorf("with room for the logits of %d rows, grown %v, the gradient is another", rows, first != nil)
					}
				}
			}
		})
	}
}

// TestGraphsAreFreed makes graph after graph: nothing stays of those that nobody has any more, closed or not.
func TestGraphsAreFreed(t *testing.T) {
	m := load(t, testfiles.Path(t, "models", "llama"), newDevice(t, cpu.Best(), 1))
	b := shapes(m.Config.Spec.Vocab, 1)[0]
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var before int64
	o := model.GraphOptions{Rows: 2000, Scored: 100, Logits: 1 << 20}
	size := m.Config.Memory(o)
	for i := range 20 {
		if i == 2 {
			before = inUse()
		}
		g, err := m.NewGraph(o)
		if err != nil {
			t.Fatal(err)
		}
		forward(t, g, b)
		if i%2 == 0 {
			if err := g.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if grown, one := inUse()-before, 4*(size.Activations+size.Scratch+size.Head); grown > one {
		t.Errorf("%d bytes more after 18 graphs of %d", grown, one)
	}
}
