package cpu

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"dpotrain/internal/compute"
)

// workspace is what a device's operations have taken, in bytes.
func (d *Device) workspace() int64 {
	n := cap(d.headGrads)
	gemm := func(g *gemmScratch) int { return cap(g.a) + cap(g.b) + cap(g.edge) }
	for i := range d.scratch {
		a := &d.scratch[i].attention
		n += cap(d.scratch[i].row) + gemm(&a.gemm) + gemm(&d.pool.gemm[i])
		for _, x := range [][]float32{a.rows, a.packed, a.o, a.s, a.ds, a.m, a.l, a.k, a.v, a.dk, a.dv, a.keys[0], a.keys[1], a.values} {
			n += cap(x)
		}
		for _, q := range a.queries[:cap(a.queries)] {
			n += cap(q.left) + cap(q.right) + cap(q.leftOut) + cap(q.rightOut) + cap(q.delta)
		}
	}
	return 4 * int64(n)
}

// TestWorkspace runs what a model runs: what the operations take is at most what Workspace says and, with one thread, little less. A second one
// may come late to every piece of work, and take nothing.
func TestWorkspace(t *testing.T) {
	for _, w := range []compute.Workload{
		{Rows: 500, Hidden: 576, Width: 1536, Vocab: 5000, Attention: compute.AttentionShape{Heads: 9, KVHeads: 3, HeadDim: 64, Scale: 0.125}},
		{Rows: 500, Hidden: 576, Width: 1536, Vocab: 5000, Attention: compute.AttentionShape{Heads: 9, KVHeads: 3, HeadDim: 64, Scale: 0.125}, Training: true},
		{Rows: 1000, Hidden: 768, Width: 3072, Vocab: 8000, Attention: compute.AttentionShape{Heads: 12, KVHeads: 12, HeadDim: 64, Scale: 0.125}, Training: true},
		{Rows: 150, Hidden: 192, Width: 512, Vocab: 600, Attention: compute.AttentionShape{Heads: 3, KVHeads: 1, HeadDim: 64, Scale: 0.125}, Training: true},
		{Rows: 70, Hidden: 80, Width: 200, Vocab: 100, Attention: compute.AttentionShape{Heads: 2, KVHeads: 1, HeadDim: 40, Scale: 0.125}, Training: true},
	} {
		if testing.Short() && w.Hidden > 200 {
			continue // on an emulated CPU they take half an hour
		}
		all := []compute.Options{{Threads: 1}, {Threads: 2}}
		for _, kn := range allKernels() {
			if kn.bf16 {
				all = append(all, compute.Options{Precision: bf16, CPU: kn.Level.String(), Threads: 1})
			}
		}
		for _, options := range all {
			t.Run(fmt.Sprintf("%+v/%+v", w, options), func(t *testing.T) {
				d, err := New(options)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				r := rand.New(rand.NewPCG(1, 1))
				mat := func(rows, cols int) compute.Mat {
					b := d.Alloc(rows * cols)
					x := numbers[float32](b)
					for i := range x {
						x[i] = float32(r.NormFloat64())
					}
					return compute.Matrix(b, rows, cols)
				}
				hidden := w.Hidden
				linear := func(rows, in, out int) {
					x, weight, y := mat(rows, in), mat(out, in), mat(rows, out)
					d.MatMul(compute.NT, y, x, weight, false)
					if w.Training {
						d.MatMul(compute.NN, x, y, weight, false)
						d.MatMul(compute.TN, weight, y, x, true)
					}
				}
				linear(w.Rows, hidden, w.Width)
				linear(w.Rows, w.Width, hidden)
				linear(w.Rows/2, hidden, w.Vocab)
				third := w.Rows / 3
				segments := []compute.Segment{{Start: 0, End: third}, {Start: third, End: 2 * third, PrefixEnd: third}, {Start: 2 * third, End: w.Rows, PrefixEnd: third}}
				heads := func(n int) compute.Heads {
					m := mat(w.Rows, n*w.Attention.HeadDim)
					return compute.Heads{Buf: m.Buf, Stride: m.Cols, HeadStride: w.Attention.HeadDim}
				}
				q, k, v, o, lse := heads(w.Attention.Heads), heads(w.Attention.KVHeads), heads(w.Attention.KVHeads), heads(w.Attention.Heads), mat(w.Rows, w.Attention.Heads)
				for range 3 { // so that each worker has had a block of every kind
					d.Attention(o, lse, q, k, v, w.Attention, segments)
					if w.Training {
						d.AttentionBackward(heads(w.Attention.Heads), heads(w.Attention.KVHeads), heads(w.Attention.KVHeads), o, o, lse, q, k, v, w.Attention, segments)
					}
				}
				one := make([]float64, 1)
				d.LogProbs(mat(1, w.Vocab), compute.RowTargets{First: []int32{0, 1}, Tokens: []int32{0}}, one, []float64{0}, []float64{0}, []float64{0}, []int32{0})
				got, want := d.workspace(), d.Workspace(w)
				t.Logf("%d bytes, at most %d", got, want)
				if got > want || options.Threads == 1 && got < want/2 {
					t.Errorf("%d bytes were taken, Workspace says %d", got, want)
				}
			})
		}
	}
}
