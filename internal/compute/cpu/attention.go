package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// tile is the number of key positions handled together. Tiles begin at multiples of it, counted from position 0 of a
// sequence wherever its prefix ends, so that a row's sums run over the same keys in the same order in every batch.
const tile = 64

// queryBlock is the number of query rows of a segment handled together. Rows are independent of each other: it does not
// change results.
const queryBlock = 64

// attentionRef is compute.Device.Attention for one head of one row at position p; s has room for p+1 numbers. It
// returns the log-sum-exp.
func attentionRef[T float](o []T, q []T, k, v compute.Heads, kvHead int, seg compute.Segment, p int, shape compute.AttentionShape, s []T) T {
	lo, hi := visible(p, shape.Window)
	m := math.Inf(-1)
	for j := lo; j < hi; j++ {
		s[j] = T(shape.Scale) * dotRef(q, head[T](k, key(seg, j), kvHead, len(q)))
		m = max(m, float64(s[j]))
	}
	var sum float64
	for j := lo; j < hi; j++ {
		sum += math.Exp(float64(s[j]) - m)
	}
	lse := m + math.Log(sum)
	clear(o)
	for j := lo; j < hi; j++ {
		axpyRef(o, T(math.Exp(float64(s[j])-lse)), head[T](v, key(seg, j), kvHead, len(q)))
	}
	return T(lse)
}

// attentionBackwardRef adds the gradients that one head of one row at position p sends back to dq, dk and dv.
func attentionBackwardRef[T float](dq []T, dk, dv compute.Heads, do, o, q []T, lse T, k, v compute.Heads, kvHead int, seg compute.Segment, p int, shape compute.AttentionShape) {
	lo, hi := visible(p, shape.Window)
	delta := dotRef(do, o)
	n, scale := len(q), T(shape.Scale)
	for j := lo; j < hi; j++ {
		r := key(seg, j)
		kj, vj := head[T](k, r, kvHead, n), head[T](v, r, kvHead, n)
		prob := T(math.Exp(float64(scale*dotRef(q, kj)) - float64(lse)))
		ds := prob * (dotRef(do, vj) - delta) * scale
		axpyRef(dq, ds, kj)
		axpyRef(head[T](dk, r, kvHead, n), ds, q)
		axpyRef(head[T](dv, r, kvHead, n), prob, do)
	}
}

// attentionScratch is one worker's memory for attention.
type attentionScratch struct {
	gemm         gemmScratch
	q            []float32 // [queryBlock, D] scaled queries
	k, v, dk, dv []float32 // [tile, D] where a tile crosses the border between prefix and segment
	s, ds        []float32 // [queryBlock, tile]
	m, l, delta  []float32 // [heads of a kv head, queryBlock]
}

func (a *attentionScratch) grow(d, group int) {
	if len(a.q) < queryBlock*d {
		a.q = make([]float32, queryBlock*d)
		a.k, a.v = make([]float32, tile*d), make([]float32, tile*d)
		a.dk, a.dv = make([]float32, tile*d), make([]float32, tile*d)
	}
	if a.s == nil {
		a.s, a.ds = make([]float32, queryBlock*tile), make([]float32, queryBlock*tile)
	}
	if len(a.m) < group*queryBlock {
		a.m, a.l, a.delta = make([]float32, group*queryBlock), make([]float32, group*queryBlock), make([]float32, group*queryBlock)
	}
}

// block is a run of query rows of one segment, for one kv head.
type block struct {
	seg      compute.Segment
	from, to int // rows
	kvHead   int
}

// keyTile gives the keys (or values) of positions [first, first+n) of a segment as rows with a leading dimension. They
// are copied to room only where the tile crosses the border to the prefix.
func keyTile(x compute.Heads, kvHead int, seg compute.Segment, first, n, d int, room []float32) (rows []float32, ld int) {
	r0, r1 := key(seg, first), key(seg, first+n-1)
	if r1-r0 == n-1 {
		return b0[float32](x.Buf, x.Off+r0*x.Stride+kvHead*x.HeadStride), x.Stride
	}
	for j := range n {
		copy(room[j*d:(j+1)*d], head[float32](x, key(seg, first+j), kvHead, d))
	}
	return room, d
}

// scores fills s [rows, tile] with the scaled scores of the block's rows against positions [first, first+n) of which
// a row may see only some; the others become -Inf.
func (a *attentionScratch) scores(lv Level, b block, firstRowPosition, first, n, d int, shape compute.AttentionShape, keys []float32, ldk int) {
	rows := b.to - b.from
	gemmSerial(&a.gemm, kernels{Level: lv}, nt, rows, n, d, a.q, d, keys, ldk, a.s, tile, false)
	for i := range rows {
		lo, hi := visible(firstRowPosition+i, shape.Window)
		lo, hi = min(max(lo-first, 0), n), max(min(hi-first, n), 0)
		s := a.s[i*tile : (i+1)*tile]
		for j := range s[:lo] {
			s[j] = negInf
		}
		for j := max(lo, hi); j < tile; j++ {
			s[j] = negInf
		}
	}
}

var negInf = float32(math.Inf(-1))

// scaledQueries copies the block's queries of one head, times scale, to a.q.
func (a *attentionScratch) scaledQueries(q compute.Heads, b block, h, d int, scale float32) {
	for i := b.from; i < b.to; i++ {
		dst := a.q[(i-b.from)*d : (i-b.from+1)*d]
		for j, v := range head[float32](q, i, h, d) {
			dst[j] = v * scale
		}
	}
}

// Attention implements compute.Device: key tiles in order of position with a running maximum and sum (Milakov and
// Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135), parallel over blocks of query rows and kv heads.
func (d *Device) Attention(o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	group := shape.Heads / shape.KVHeads
	for i := range d.scratch {
		d.scratch[i].attention.grow(shape.HeadDim, group)
	}
	d.blocks = d.blocks[:0]
	for _, s := range segments {
		for r := s.Start; r < s.End; r += queryBlock {
			for h := range shape.KVHeads {
				d.blocks = append(d.blocks, block{s, r, min(r+queryBlock, s.End), h})
			}
		}
	}
	d.pool.run(len(d.blocks), func(i, worker int) {
		d.attentionBlock(&d.scratch[worker].attention, d.blocks[i], o, lse, q, k, v, shape)
	})
}

func (d *Device) attentionBlock(a *attentionScratch, b block, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape) {
	n, group := shape.HeadDim, shape.Heads/shape.KVHeads
	p0 := firstPosition(b.seg) + b.from - b.seg.Start
	end := p0 + b.to - b.from // positions [.., end) are seen by some row
	begin, _ := visible(p0, shape.Window)
	begin -= begin % tile
	for g := range group * queryBlock {
		a.m[g], a.l[g] = negInf, 0
	}
	for first := begin; first < end; first += tile {
		keys := min(tile, end-first)
		kt, ldk := keyTile(k, b.kvHead, b.seg, first, keys, n, a.k)
		vt, ldv := keyTile(v, b.kvHead, b.seg, first, keys, n, a.v)
		for g := range group {
			h := b.kvHead*group + g
			a.scaledQueries(q, b, h, n, float32(shape.Scale))
			a.scores(d.level, b, p0, first, keys, n, shape, kt, ldk)
			for i := range b.to - b.from {
				s := a.s[i*tile : (i+1)*tile]
				m, l := &a.m[g*queryBlock+i], &a.l[g*queryBlock+i]
				out := head[float32](o, b.from+i, h, n)
				top := max(*m, maxOf(d.level, s))
				if top == negInf {
					clear(s)
					if first == begin {
						clear(out)
					}
					continue
				}
				if first == begin {
					clear(out)
				} else if *m != top {
					fade := float32(math.Exp(float64(*m - top)))
					*l *= fade
					for j := range out {
						out[j] *= fade
					}
				}
				*l += expSum(d.level, s, s, top)
				*m = top
			}
			gemmSerial(&a.gemm, kernels{Level: d.level}, nn, b.to-b.from, n, keys, a.s, tile, vt, ldv,
				b0[float32](o.Buf, o.Off+b.from*o.Stride+h*o.HeadStride), o.Stride, true)
		}
	}
	for g := range group {
		h := b.kvHead*group + g
		for i := range b.to - b.from {
			m, l := a.m[g*queryBlock+i], a.l[g*queryBlock+i]
			out := head[float32](o, b.from+i, h, n)
			for j := range out {
				out[j] /= l
			}
			row[float32](lse, b.from+i)[h] = float32(float64(m) + math.Log(float64(l)))
		}
	}
}

// family is a segment without prefix and the segments that have it as their prefix: what attention's gradients of
// keys and values add up over.
type family struct {
	segments []compute.Segment
	kvHead   int
}

// AttentionBackward implements compute.Device, parallel over families and kv heads; the probabilities are computed
// again from the stored log-sum-exp.
func (d *Device) AttentionBackward(dq, dk, dv, do, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	for i := range d.scratch {
		d.scratch[i].attention.grow(shape.HeadDim, 1)
	}
	d.families = d.families[:0]
	for i := 0; i < len(segments); {
		n := i + 1
		for n < len(segments) && segments[n].PrefixEnd > segments[n].PrefixStart {
			if segments[n].PrefixStart != segments[i].Start || segments[n].PrefixEnd != segments[i].End {
				panic("cpu: AttentionBackward: a prefix is not the segment before")
			}
			n++
		}
		for h := range shape.KVHeads {
			d.families = append(d.families, family{segments[i:n], h})
		}
		i = n
	}
	d.pool.run(len(d.families), func(i, worker int) {
		d.attentionFamilyBackward(&d.scratch[worker].attention, d.families[i], dq, dk, dv, do, o, lse, q, k, v, shape)
	})
}

func (d *Device) attentionFamilyBackward(a *attentionScratch, f family, dq, dk, dv, do, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape) {
	n, group := shape.HeadDim, shape.Heads/shape.KVHeads
	for _, seg := range f.segments {
		for r := seg.Start; r < seg.End; r++ {
			clear(head[float32](dk, r, f.kvHead, n))
			clear(head[float32](dv, r, f.kvHead, n))
		}
	}
	for _, seg := range f.segments {
		for r := seg.Start; r < seg.End; r += queryBlock {
			b := block{seg, r, min(r+queryBlock, seg.End), f.kvHead}
			for g := range group {
				d.attentionBlockBackward(a, b, f.kvHead*group+g, dq, dk, dv, do, o, lse, q, k, v, shape)
			}
		}
	}
}

func (d *Device) attentionBlockBackward(a *attentionScratch, b block, h int, dq, dk, dv, do, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape) {
	n, rows, scale := shape.HeadDim, b.to-b.from, float32(shape.Scale)
	for i := range rows {
		a.delta[i] = dot(d.level, head[float32](do, b.from+i, h, n), head[float32](o, b.from+i, h, n))
		clear(head[float32](dq, b.from+i, h, n))
	}
	a.scaledQueries(q, b, h, n, scale)
	dOut := b0[float32](do.Buf, do.Off+b.from*do.Stride+h*do.HeadStride)
	dQuery := b0[float32](dq.Buf, dq.Off+b.from*dq.Stride+h*dq.HeadStride)
	p0 := firstPosition(b.seg) + b.from - b.seg.Start
	end := p0 + rows
	begin, _ := visible(p0, shape.Window)
	begin -= begin % tile
	for first := begin; first < end; first += tile {
		keys := min(tile, end-first)
		kt, ldk := keyTile(k, b.kvHead, b.seg, first, keys, n, a.k)
		vt, ldv := keyTile(v, b.kvHead, b.seg, first, keys, n, a.v)
		a.scores(d.level, b, p0, first, keys, n, shape, kt, ldk)
		gemmSerial(&a.gemm, kernels{Level: d.level}, nt, rows, keys, n, dOut, do.Stride, vt, ldv, a.ds, tile, false)
		for i := range rows {
			s, ds, delta := a.s[i*tile:i*tile+keys], a.ds[i*tile:i*tile+keys], a.delta[i]
			expScale(d.level, s, s, row[float32](lse, b.from+i)[h], 1)
			for j, p := range s {
				ds[j] = p * (ds[j] - delta)
			}
		}
		gemmSerial(&a.gemm, kernels{Level: d.level}, nn, rows, n, keys, a.ds, tile, kt, ldk, dQuery, dq.Stride, true)
		d.addToKeys(a, dk, b, first, keys, n, rows, a.ds, a.q, n, a.dk)
		d.addToKeys(a, dv, b, first, keys, n, rows, a.s, dOut, do.Stride, a.dv)
	}
	for i := range rows {
		x := head[float32](dq, b.from+i, h, n)
		for j := range x {
			x[j] *= scale
		}
	}
}

// addToKeys adds weights^T x, [keys, D], to the rows of dx that hold positions [first, first+keys): weights is
// [rows, tile], x [rows, D] with leading dimension ldx.
func (d *Device) addToKeys(a *attentionScratch, dx compute.Heads, b block, first, keys, n, rows int, weights, x []float32, ldx int, room []float32) {
	r0, r1 := key(b.seg, first), key(b.seg, first+keys-1)
	if r1-r0 == keys-1 {
		gemmSerial(&a.gemm, kernels{Level: d.level}, tn, keys, n, rows, weights, tile, x, ldx, b0[float32](dx.Buf, dx.Off+r0*dx.Stride+b.kvHead*dx.HeadStride), dx.Stride, true)
		return
	}
	gemmSerial(&a.gemm, kernels{Level: d.level}, tn, keys, n, rows, weights, tile, x, ldx, room, n, false)
	for j := range keys {
		addRef(head[float32](dx, key(b.seg, first+j), b.kvHead, n), room[j*n:(j+1)*n])
	}
}
