package model

import (
	"gorgonia.org/gorgonia"

	"dpotrain/internal/compute"
)

// headMemory is what the head needs: only rows that predict a scored id pass through it, chunk by chunk.
type headMemory struct {
	rows      []int32            // [R] rows of the batch that predict something, in order
	targets   compute.RowTargets // of these rows
	lse       []float64          // [R]
	entropy   []float64          // [R]
	collision []float64          // [R], with GraphOptions.Alignments
	best      []int32            // [R]
	chunk     compute.RowTargets // targets of one chunk, counted from its first
	coef      []float64          // [M] dL/d(log-prob of a target)

	kl, refLSE []float64 // [R] divergence of the reference, its log-sum-exp; with a reference only, as what follows
	dKL        []float64 // [R] dL/dkl

	size      int            // rows that the buffers are laid out for
	x, h      compute.Buffer // [R,C] the block's output at these rows, and its norm
	dx, dh    compute.Buffer // [R,C], training only
	stats     normStats
	logits    compute.Buffer // [chunk, V]
	chunkRows int
	refLogits compute.Buffer // [headRows, V] the reference's
	refRows   int
}

// bind finds the rows that predict something.
func (h *headMemory) bind(b *compute.Batch, o GraphOptions) {
	h.rows, h.targets.First, h.targets.Tokens = h.rows[:0], h.targets.First[:0], h.targets.Tokens[:0]
	for i, t := range b.Targets {
		if i == 0 || t.Row != b.Targets[i-1].Row {
			h.rows = append(h.rows, int32(t.Row))
			h.targets.First = append(h.targets.First, int32(i))
		}
		h.targets.Tokens = append(h.targets.Tokens, t.Token)
	}
	h.targets.First = append(h.targets.First, int32(len(b.Targets)))
	n := len(h.rows)
	h.lse, h.entropy, h.best = grow(h.lse, n), grow(h.entropy, n), grow(h.best, n)
	if o.Alignments {
		h.collision = grow(h.collision, n)
	}
	h.coef = grow(h.coef, len(b.Targets))
	h.kl, h.refLSE, h.dKL = grow(h.kl, n), grow(h.refLSE, n), grow(h.dKL, n)
}

// reserve lays out the buffers for n rows.
func (h *headMemory) reserve(s *Spec, dev compute.Device, o GraphOptions, n int) {
	if n <= h.size {
		return
	}
	if h.size > 0 {
		n = max(n, min(o.Rows, 2*h.size))
	}
	h.lay(s, dev.Alloc, o, n)
}

// lay makes the buffers for n rows.
func (h *headMemory) lay(s *Spec, alloc allocator, o GraphOptions, n int) {
	h.size = n
	h.x, h.h, h.stats = alloc(n*s.Hidden), alloc(n*s.Hidden), newStats(s, alloc, n)
	if o.Training {
		h.dx, h.dh = alloc(n*s.Hidden), alloc(n*s.Hidden)
	}
	if rows := o.LogitRows(s, n); rows > h.chunkRows {
		h.chunkRows = rows
		h.logits = alloc(rows * logitsStride(s))
	}
	if rows := min(n, headRows); o.KL && rows > h.refRows {
		h.refRows = rows
		h.refLogits = alloc(rows * logitsStride(s))
	}
}

// headRows is the number of rows that the head's gradients are taken of at a time. It is the same whatever number of logits is held: the
// gradient of the table is a sum over rows, whose bits depend on how they are grouped. 128 and 512 are as fast.
const headRows = 256

// LogitRows is the number of n rows whose logits are held at once. In training it is a multiple of headRows, if not all. Of a reference it is
// none: the policy holds them.
func (o GraphOptions) LogitRows(s *Spec, n int) int {
	if o.Reference {
		return 0
	}
	rows := max(1, o.Logits/s.Vocab)
	if o.Training && rows < n {
		rows = max(1, rows/headRows) * headRows
	}
	return min(n, rows)
}

// chunkOf is the number of rows that are held at once of so many. Where it is not all of them it is a multiple of headRows, if there is room
// for that many, for the room may have been made for another number of rows.
func (h *headMemory) chunkOf(rows int) int {
	if rows <= h.chunkRows || h.chunkRows < headRows {
		return h.chunkRows
	}
	return h.chunkRows / headRows * headRows
}

// logitsStride is the distance between rows of logits. Rows a whole number of pages apart would all fall on the same few places of a
// cache: measured, products with the logits run 3 % faster with a gap.
func logitsStride(s *Spec) int { return (s.Vocab+15)/16*16 + 16 }

// logitsOf is rows of the chunk's logits.
func (h *headMemory) logitsOf(s *Spec, rows int) compute.Mat {
	return compute.Mat{Buf: h.logits, Rows: rows, Cols: s.Vocab, Stride: logitsStride(s)}
}

// chunkTargets are the targets of rows [from, to), counted from the chunk's first target, which is returned too.
func (h *headMemory) chunkTargets(from, to int) (compute.RowTargets, int, int) {
	a, b := h.targets.First[from], h.targets.First[to]
	h.chunk.First = grow(h.chunk.First, to-from+1)
	for i := range h.chunk.First {
		h.chunk.First[i] = h.targets.First[from+i] - a
	}
	h.chunk.Tokens = h.targets.Tokens[a:b]
	return h.chunk, int(a), int(b)
}

// refLogitsOf computes the reference's logits of rows [from, to).
func (g *Graph) refLogitsOf(from, to int) compute.Mat {
	ref, s := g.reference, &g.model.Config.Spec
	l := compute.Mat{Buf: g.head.refLogits, Rows: to - from, Cols: s.Vocab, Stride: logitsStride(s)}
	width := ref.model.Config.Spec.Hidden
	g.model.dev.MatMul(compute.NT, l, compute.Matrix(ref.head.h, len(ref.head.rows), width).RowRange(from, to), ref.model.weight(ref.headName()).w, false)
	return l
}

// headOp is the final norm, the projection to the vocabulary and the log-probs. Its value is the log-prob of every
// sequence.
func (g *Graph) headOp(table weight, n normed) *op {
	s, dev, h := &g.model.Config.Spec, g.model.dev, &g.head
	top := g.x[s.Layers]
	logits := func(from, to int) compute.Mat {
		l := h.logitsOf(s, to-from)
		dev.MatMul(compute.NT, l, compute.Matrix(h.h, len(h.rows), s.Hidden).RowRange(from, to), table.w, false)
		return l
	}
	out := &value{}
	o := &op{name: "head", do: func([]gorgonia.Value) (gorgonia.Value, error) {
		h.reserve(s, dev, g.options, len(h.rows))
		rows := len(h.rows)
		x := compute.Matrix(h.x, rows, s.Hidden)
		dev.Gather(x, top.mat, h.rows)
		norm(dev, s, n, compute.Matrix(h.h, rows, s.Hidden), x, h.stats)
		if g.options.Reference {
			return out, nil
		}
		for from, chunk := 0, h.chunkOf(rows); from < rows; from += chunk {
			to := min(rows, from+chunk)
			t, a, b := h.chunkTargets(from, to)
			var collision []float64
			if g.options.Alignments {
				collision = h.collision[from:to]
			}
			l := logits(from, to)
			dev.LogProbs(l, t, g.out.TokenLogps[a:b], h.lse[from:to], h.entropy[from:to], collision, h.best[from:to])
			for at := from; g.reference != nil && at < to; at += headRows {
				end := min(to, at+headRows)
				dev.KL(l.RowRange(at-from, end-from), g.refLogitsOf(at, end), h.lse[at:end], h.refLSE[at:end], h.kl[at:end])
			}
		}
		g.sumTargets()
		out.host = g.out.Logps
		return out, nil
	}}
	o.symDiff = func(_ gorgonia.Nodes, _, grad *gorgonia.Node) (*gorgonia.Node, error) {
		return g.apply(&op{name: "head backward", do: func(in []gorgonia.Value) (gorgonia.Value, error) {
			dLogps := in[0].(*value).host
			weights := g.run.batch.Weights
			for i, t := range g.run.batch.Targets {
				h.coef[i] = dLogps[t.Sequence]
				if len(weights) > 0 {
					h.coef[i] *= weights[i]
				}
			}
			divergence := len(g.dLoss.KL) > 0
			if divergence {
				g.spreadKL()
			}
			rows := len(h.rows)
			dx, dh := compute.Matrix(h.dx, rows, s.Hidden), compute.Matrix(h.dh, rows, s.Hidden)
			chunk := h.chunkOf(rows)
			held := (rows - 1) / chunk * chunk // the rows from here on are still there
			for from := (rows - 1) / headRows * headRows; from >= 0; from -= headRows {
				to := min(rows, from+headRows)
				if from < held {
					held -= chunk
					logits(held, held+chunk)
				}
				l := h.logitsOf(s, to-held).RowRange(from-held, to-held)
				t, a, b := h.chunkTargets(from, to)
				var dl compute.Mat
				if divergence {
					dl = g.refLogitsOf(from, to)
					dev.KLBackward(dl, l, h.dKL[from:to], h.lse[from:to], h.refLSE[from:to])
				}
				dev.LogProbsBackward(l, t, h.coef[a:b], h.lse[from:to])
				if divergence {
					dev.Add(l, dl)
				}
				table.addProduct(dev, l, compute.Matrix(h.h, rows, s.Hidden).RowRange(from, to))
				dev.MatMul(compute.NN, dh.RowRange(from, to), l, table.w, false)
			}
			dev.Zero(dx)
			normBackward(dev, s, n, dx, dh, compute.Matrix(h.x, rows, s.Hidden), h.stats)
			dev.Zero(g.d.mat)
			dev.ScatterAdd(g.d.mat, dx, h.rows)
			return g.d, nil
		}}, grad)
	}
	return o
}

// spreadKL adds up what the loss wants of a row's divergence: it counts for every target of the row.
func (g *Graph) spreadKL() {
	clear(g.head.dKL)
	r := 0
	for _, t := range g.run.batch.Targets {
		for int(g.head.rows[r]) != t.Row {
			r++
		}
		g.head.dKL[r] += g.dLoss.KL[t.Sequence]
	}
}

// sumTargets adds up the sequences' log-probs and divergences in order of position and spreads the rows' statistics over the targets.
func (g *Graph) sumTargets() {
	clear(g.out.Logps)
	clear(g.out.Alignments)
	clear(g.out.KL)
	weights, r := g.run.batch.Weights, 0
	for i, t := range g.run.batch.Targets {
		for int(g.head.rows[r]) != t.Row {
			r++
		}
		logp := g.out.TokenLogps[i]
		if len(weights) > 0 {
			logp = float64(logp * weights[i]) // rounded by itself, as where the reference's sum is taken (package score): the same bits on every machine
		}
		g.out.Logps[t.Sequence] += logp
		if g.options.Alignments {
			g.out.Alignments[t.Sequence] += g.out.TokenLogps[i] - g.head.collision[r]
		}
		if g.reference != nil {
			g.out.KL[t.Sequence] += g.head.kl[r]
		}
		g.out.Entropy[i] = g.head.entropy[r]
		g.out.Best[i] = g.head.best[r]
	}
}
