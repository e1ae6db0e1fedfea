package model

import (
	"math"

	"dpotrain/internal/compute"
)

// weight is a parameter and its gradient.
type weight struct {
	w, g  compute.Mat
	begun *bool // g holds what was added since ResetGradients; before, anything
}

// addProduct adds the product of dy^T and x to the gradient; the first after ResetGradients writes it, and so spares filling it with zeros.
func (w *weight) addProduct(dev compute.Device, dy, x compute.Mat) {
	dev.MatMul(compute.TN, w.g, dy, x, *w.begun)
	*w.begun = true
}

// sum is the gradient for an operation that adds to it: the first after ResetGradients finds zeros.
func (w *weight) sum(dev compute.Device) compute.Mat {
	if !*w.begun {
		dev.Zero(w.g)
		*w.begun = true
	}
	return w.g
}

// affine is the parameters of a linear layer, or of several with one input whose outputs lie side by side: their weights and their
// biases are adjacent in W, and so they are one.
type affine struct {
	inOut        bool // the weight is [in, out]
	weight, bias weight
}

// normed is a norm's parameters; RMSNorm has no bias.
type normed struct {
	weight, bias weight
}

// block is one transformer block: x2 = x + attention(norm1(x)), y = x2 + mlp(norm2(x2)); in a parallel one the last x2 is x.
type block struct {
	spec         *Spec
	window       int // keys a row sees, itself included; 0: all before it
	norm1, norm2 normed
	qNorm, kNorm normed // with Spec.QKNorm
	qkv, out     affine
	up, down     affine
}

func (m *Model) weight(name string) weight {
	w := weight{w: m.mat(m.W, name), begun: &m.begun[m.index[name]]}
	if m.G != nil {
		w.g = m.mat(m.G, name)
	}
	return w
}

func (m *Model) affine(ls ...linear) affine {
	a := affine{inOut: ls[0].inOut, weight: m.weight(ls[0].name + ".weight")}
	if len(ls) > 1 && a.inOut {
		panic("model: " + ls[0].name + ": layers whose weights are [in, out] are not one matrix")
	}
	if ls[0].bias {
		a.bias = m.weight(ls[0].name + ".bias")
	}
	for _, l := range ls[1:] {
		a.weight.w.Rows += l.out
		a.weight.g.Rows += l.out
		if l.bias {
			a.bias.w.Cols += l.out
			a.bias.g.Cols += l.out
		}
	}
	return a
}

func (m *Model) normed(prefix string) normed {
	n := normed{weight: m.weight(prefix + ".weight")}
	if m.Config.Spec.Norm == LayerNorm {
		n.bias = m.weight(prefix + ".bias")
	}
	return n
}

func (m *Model) block(i int) *block {
	s, l := &m.Config.Spec, m.layout.layer(i)
	b := &block{spec: s, norm1: m.normed(l.norm1), norm2: m.normed(l.norm2),
		qkv: m.affine(l.qkv...), out: m.affine(l.out), up: m.affine(l.up...), down: m.affine(l.down)}
	if s.Windows != nil {
		b.window = s.Windows[i]
	}
	if s.QKNorm {
		b.qNorm, b.kNorm = m.normed(l.qNorm), m.normed(l.kNorm)
	}
	return b
}

// activations are what a block's backward needs of its forward. Norm outputs and the activation's product are not among
// them: they are computed again.
type activations struct {
	x            compute.Mat // [N,C] input; set by forward, belongs to the block before
	qkv          compute.Buffer
	qk           compute.Buffer // [N, (H+K) D] queries and keys after their norm; with Spec.QKNorm
	headStats    []normStats    // [H+K] of that norm
	o            compute.Buffer // [N, HD] attention's output
	lse          compute.Buffer // [N, H]
	x2           compute.Buffer // [N,C] after attention
	up           compute.Buffer // [N, F] or [N, 2F]
	stat1, stat2 normStats
}

// normStats are a norm's statistics, [N] each.
type normStats struct {
	mean, rstd compute.Buffer
}

// scratch is memory that blocks use one after the other.
type scratch struct {
	h    compute.Buffer // [N,C] norm output
	act  compute.Buffer // [N,F] input of the last linear layer
	dh   compute.Buffer // [N,C]
	dUp  compute.Buffer // [N, F] or [N, 2F]
	dqkv compute.Buffer // in the memory of dUp, which nobody needs any more when it comes
	dqk  compute.Buffer // [N, (H+K) D]; with Spec.QKNorm
	do   compute.Buffer // [N, HD]
}

func (s *Spec) queryWidth() int { return s.Heads * s.HeadDim }
func (s *Spec) kvWidth() int    { return s.KVHeads * s.HeadDim }
func (s *Spec) qkWidth() int    { return s.queryWidth() + s.kvWidth() }
func (s *Spec) qkvWidth() int   { return s.qkWidth() + s.kvWidth() }
func (s *Spec) upWidth() int {
	if s.MLP == SwiGLU {
		return 2 * s.Intermediate
	}
	return s.Intermediate
}

func newStats(s *Spec, alloc allocator, rows int) normStats {
	n := normStats{rstd: alloc(rows)}
	if s.Norm == LayerNorm {
		n.mean = alloc(rows)
	}
	return n
}

func newActivations(s *Spec, alloc allocator, rows int) *activations {
	a := &activations{
		qkv: alloc(rows * s.qkvWidth()), o: alloc(rows * s.queryWidth()), lse: alloc(rows * s.Heads), x2: alloc(rows * s.Hidden),
		up: alloc(rows * s.upWidth()), stat1: newStats(s, alloc, rows), stat2: newStats(s, alloc, rows),
	}
	if s.QKNorm {
		a.qk = alloc(rows * s.qkWidth())
		for range s.Heads + s.KVHeads {
			a.headStats = append(a.headStats, newStats(s, alloc, rows))
		}
	}
	return a
}

func newScratch(s *Spec, alloc allocator, rows int, training bool) *scratch {
	t := &scratch{h: alloc(rows * s.Hidden), act: alloc(rows * s.Intermediate)}
	if training {
		t.dh, t.do, t.dUp = alloc(rows*s.Hidden), alloc(rows*s.queryWidth()), alloc(rows*max(s.upWidth(), s.qkvWidth()))
		t.dqkv = t.dUp
		if s.QKNorm {
			t.dqk = alloc(rows * s.qkWidth())
		}
	}
	return t
}

// norm writes the norm of x to y.
func norm(dev compute.Device, s *Spec, n normed, y, x compute.Mat, st normStats) {
	if s.Norm == LayerNorm {
		dev.LayerNorm(y, x, n.weight.w, n.bias.w, st.mean, st.rstd, s.NormEps)
		return
	}
	dev.RMSNorm(y, x, n.weight.w, st.rstd, s.NormEps)
}

// normBackward adds to dx and to the norm's gradients.
func normBackward(dev compute.Device, s *Spec, n normed, dx, dy, x compute.Mat, st normStats) {
	if s.Norm == LayerNorm {
		dev.LayerNormBackward(dx, n.weight.sum(dev), n.bias.sum(dev), dy, x, n.weight.w, st.mean, st.rstd)
		return
	}
	dev.RMSNormBackward(dx, n.weight.sum(dev), dy, x, n.weight.w, st.rstd)
}

// forward writes (or adds, with accumulate) x W^T + b to y.
func (a *affine) forward(dev compute.Device, y, x compute.Mat, accumulate bool) {
	f := compute.NT
	if a.inOut {
		f = compute.NN
	}
	dev.MatMul(f, y, x, a.weight.w, accumulate)
	if a.bias.w.Cols > 0 {
		dev.AddBias(y, a.bias.w)
	}
}

// backward adds the gradients of weight and bias, and writes that of x to dx.
func (a *affine) backward(dev compute.Device, dx, dy, x compute.Mat) {
	a.inputBackward(dev, dx, dy)
	a.weightBackward(dev, dy, x)
}

func (a *affine) inputBackward(dev compute.Device, dx, dy compute.Mat) {
	f := compute.NN
	if a.inOut {
		f = compute.NT
	}
	dev.MatMul(f, dx, dy, a.weight.w, false)
}

func (a *affine) weightBackward(dev compute.Device, dy, x compute.Mat) {
	if a.bias.w.Cols > 0 {
		dev.AddBiasBackward(a.bias.sum(dev), dy)
	}
	if a.inOut {
		dy, x = x, dy
	}
	a.weight.addProduct(dev, dy, x)
}

// heads are the queries, keys and values that attention works on: those in qkv, but for queries and keys with a norm of
// their own, which are in qk.
func (s *Spec) heads(qkv, qk compute.Buffer) (q, k, v compute.Heads) {
	q = compute.Heads{Buf: qkv, Stride: s.qkvWidth(), HeadStride: s.HeadDim}
	k, v = q, q
	k.Off, v.Off = s.queryWidth(), s.qkWidth()
	if s.QKVByHead {
		q.HeadStride, k.HeadStride, v.HeadStride = 3*s.HeadDim, 3*s.HeadDim, 3*s.HeadDim
		k.Off, v.Off = s.HeadDim, 2*s.HeadDim
	}
	if s.QKNorm {
		q.Buf, k.Buf = qk, qk
		q.Stride, k.Stride = s.qkWidth(), s.qkWidth()
	}
	return q, k, v
}

// headNorm is the norm of head h of the H+K in qk, and the head's columns.
func (b *block) headNorm(h int) (n normed, from, to int) {
	n = b.qNorm
	if h >= b.spec.Heads {
		n = b.kNorm
	}
	return n, h * b.spec.HeadDim, (h + 1) * b.spec.HeadDim
}

// normHeads writes the norm of the queries and keys in qkv to qk.
func (b *block) normHeads(dev compute.Device, a *activations, rows int) {
	s := b.spec
	y, x := compute.Matrix(a.qk, rows, s.qkWidth()), compute.Matrix(a.qkv, rows, s.qkvWidth())
	for h, st := range a.headStats {
		n, from, to := b.headNorm(h)
		norm(dev, s, n, y.Columns(from, to), x.Columns(from, to), st)
	}
}

// normHeadsBackward adds the gradient of the queries and keys in qkv, of which that in qk is dqk, to dqkv.
func (b *block) normHeadsBackward(dev compute.Device, a *activations, dqkv, dqk compute.Buffer, rows int) {
	s := b.spec
	dx, dy, x := compute.Matrix(dqkv, rows, s.qkvWidth()), compute.Matrix(dqk, rows, s.qkWidth()), compute.Matrix(a.qkv, rows, s.qkvWidth())
	for h, st := range a.headStats {
		n, from, to := b.headNorm(h)
		normBackward(dev, s, n, dx.Columns(from, to), dy.Columns(from, to), x.Columns(from, to), st)
	}
}

// attentionOut views a buffer [N, H D] by heads.
func (s *Spec) attentionOut(o compute.Buffer) compute.Heads {
	return compute.Heads{Buf: o, Stride: s.queryWidth(), HeadStride: s.HeadDim}
}

// activate writes the input of the last linear layer.
func (b *block) activate(dev compute.Device, act, up compute.Mat) {
	switch f := b.spec.Intermediate; b.spec.MLP {
	case SwiGLU:
		dev.SiLUMul(act, up.Columns(0, f), up.Columns(f, 2*f))
	case GELU:
		dev.GELU(act, up)
	case GELUTanh:
		dev.GELUTanh(act, up)
	}
}

// activateBackward writes the input of the last linear layer once more, and overwrites dUp, whose first columns hold its gradient.
func (b *block) activateBackward(dev compute.Device, act, dUp, up compute.Mat) {
	f := b.spec.Intermediate
	dAct := dUp.Columns(0, f)
	switch b.spec.MLP {
	case SwiGLU:
		dev.SiLUMulBackward(act, dAct, dUp.Columns(f, 2*f), dAct, up.Columns(0, f), up.Columns(f, 2*f))
	case GELU:
		dev.GELUBackward(act, dAct, dAct, up)
	case GELUTanh:
		dev.GELUTanhBackward(act, dAct, dAct, up)
	}
}

// attention is the shape of attention in blocks with a window.
func (s *Spec) attention(window int) compute.AttentionShape {
	return compute.AttentionShape{Heads: s.Heads, KVHeads: s.KVHeads, HeadDim: s.HeadDim, Scale: 1 / math.Sqrt(float64(s.HeadDim)), Window: window}
}

// mlpInput is what the second norm reads.
func (b *block) mlpInput(x, x2 compute.Mat) compute.Mat {
	if b.spec.Parallel {
		return x
	}
	return x2
}

// forward writes the block's output to y [N,C], which may not be x.
func (b *block) forward(r *run, y, x compute.Mat, a *activations) {
	dev, s, t, n := r.dev, b.spec, r.scratch, x.Rows
	a.x = x
	h := compute.Matrix(t.h, n, s.Hidden)
	norm(dev, s, b.norm1, h, x, a.stat1)
	b.qkv.forward(dev, compute.Matrix(a.qkv, n, s.qkvWidth()), h, false)
	if s.QKNorm {
		b.normHeads(dev, a, n)
	}
	q, k, v := s.heads(a.qkv, a.qk)
	r.rope(q, s.Heads, false)
	r.rope(k, s.KVHeads, false)
	dev.Attention(s.attentionOut(a.o), compute.Matrix(a.lse, n, s.Heads), q, k, v, s.attention(b.window), r.batch.Segments)
	x2 := compute.Matrix(a.x2, n, s.Hidden)
	dev.Copy(x2, x)
	b.out.forward(dev, x2, compute.Matrix(a.o, n, s.queryWidth()), true)

	norm(dev, s, b.norm2, h, b.mlpInput(x, x2), a.stat2)
	up, act := compute.Matrix(a.up, n, s.upWidth()), compute.Matrix(t.act, n, s.Intermediate)
	b.up.forward(dev, up, h, false)
	b.activate(dev, act, up)
	dev.Copy(y, x2)
	b.down.forward(dev, y, act, true)
}

// backward turns d [N,C], the gradient of the block's output, into that of its input, and adds the parameters'.
func (b *block) backward(r *run, d compute.Mat, a *activations) {
	dev, s, t, n := r.dev, b.spec, r.scratch, d.Rows
	h, dh := compute.Matrix(t.h, n, s.Hidden), compute.Matrix(t.dh, n, s.Hidden)
	in2 := b.mlpInput(a.x, compute.Matrix(a.x2, n, s.Hidden))
	up, dUp := compute.Matrix(a.up, n, s.upWidth()), compute.Matrix(t.dUp, n, s.upWidth())
	act, do, o := compute.Matrix(t.act, n, s.Intermediate), compute.Matrix(t.do, n, s.queryWidth()), compute.Matrix(a.o, n, s.queryWidth())

	b.down.inputBackward(dev, dUp.Columns(0, s.Intermediate), d)
	b.activateBackward(dev, act, dUp, up)
	b.down.weightBackward(dev, d, act)
	norm(dev, s, b.norm2, h, in2, a.stat2)
	b.up.backward(dev, dh, dUp, h)
	if s.Parallel { // attention's output has the gradient d as it came, for the MLP does not read it
		b.out.backward(dev, do, d, o)
	}
	normBackward(dev, s, b.norm2, d, dh, in2, a.stat2)
	if !s.Parallel {
		b.out.backward(dev, do, d, o)
	}

	if s.QKNorm {
		dev.Zero(compute.Matrix(t.dqkv, n, s.qkvWidth())) // normHeadsBackward adds to it
	}
	q, k, v := s.heads(a.qkv, a.qk)
	dq, dk, dv := s.heads(t.dqkv, t.dqk)
	dev.AttentionBackward(dq, dk, dv, s.attentionOut(t.do), s.attentionOut(a.o), compute.Matrix(a.lse, n, s.Heads), q, k, v, s.attention(b.window), r.batch.Segments)
	r.rope(dq, s.Heads, true)
	r.rope(dk, s.KVHeads, true)
	if s.QKNorm {
		b.normHeadsBackward(dev, a, t.dqkv, t.dqk, n)
	}
	norm(dev, s, b.norm1, h, a.x, a.stat1)
	b.qkv.backward(dev, dh, compute.Matrix(t.dqkv, n, s.qkvWidth()), h)
	normBackward(dev, s, b.norm1, d, dh, a.x, a.stat1)
}
