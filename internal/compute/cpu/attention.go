package cpu

import (
	"math"
	"slices"

	"dpotrain/internal/compute"
)

// queryBlock is the number of query rows of a segment handled together, those at positions from a multiple of it to the next: one that is
// a tile of keys, so that of the tiles that a block sees one alone, its last, is half seen. Rows are independent
// of each other: it does not change results.
const queryBlock = tile

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
	gemm    gemmScratch
	rows    []float32    // [heads of a kv head * queryBlock, D] scaled queries
	packed  []float32    // the same, packed
	o       []float32    // [heads of a kv head * queryBlock, D] sums of values
	s, ds   []float32    // [heads of a kv head * queryBlock, tile]
	m, l    []float32    // [heads of a kv head * queryBlock] maximum and sum
	change  []float32    // the same, of what the maximum changes by
	sums    []float32    // the same, of a tile
	seen    []uint64     // the same
	scale   []float32    // the same, all of them the shape's
	k, v    []float32    // [tile, D] where a tile crosses the border between prefix and segment
	dk, dv  []float32    // [tile, D]
	keys    [2][]float32 // packed tile of keys, for scores and for gradients of queries
	values  []float32    // packed tile of values
	queries []packedQueries
}

// block is a run of query rows of one segment, for one kv head.
type block struct {
	seg      compute.Segment
	from, to int // rows
	kvHead   int
}

func (b block) rows() int { return b.to - b.from }

// position is that of the block's first row.
func (b block) position() int { return firstPosition(b.seg) + b.from - b.seg.Start }

// blockEnd is the end of the block that begins at row r of a segment.
func blockEnd(seg compute.Segment, r int) int {
	position := firstPosition(seg) + r - seg.Start
	return min(seg.End, r+queryBlock-position%queryBlock)
}

// queryBlocks appends the blocks of a segment.
func queryBlocks(blocks []block, seg compute.Segment, kvHead int) []block {
	for r := seg.Start; r < seg.End; r = blockEnd(seg, r) {
		blocks = append(blocks, block{seg, r, blockEnd(seg, r), kvHead})
	}
	return blocks
}

// keyTile gives the keys (or values) of positions [first, first+n) of a segment as rows with a leading dimension. They
// are copied to room only where the tile crosses the border to the prefix.
func keyTile(x compute.Heads, kvHead int, seg compute.Segment, first, n, d int, room *[]float32) (rows []float32, ld int) {
	r0, r1 := key(seg, first), key(seg, first+n-1)
	if r1-r0 == n-1 {
		return b0[float32](x.Buf, x.Off+r0*x.Stride+kvHead*x.HeadStride), x.Stride
	}
	to := growFloats(room, tile*d)
	for j := range n {
		copy(to[j*d:(j+1)*d], head[float32](x, key(seg, first+j), kvHead, d))
	}
	return to, d
}

var negInf = float32(math.Inf(-1))

// Attention implements compute.Device: key tiles in order of position with a running maximum and sum (Milakov and
// Gimelshein 2018, arXiv:1805.02867; Dao et al. 2022, arXiv:2205.14135), parallel over blocks of query rows and kv heads. The
// rows of all heads that share a kv head are one matrix.
func (d *Device) Attention(o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	d.blocks = d.blocks[:0]
	for _, s := range segments {
		for h := range shape.KVHeads {
			d.blocks = queryBlocks(d.blocks, s, h)
		}
	}
	d.on.attention = attentionOperands{o: o, lse: lse, q: q, k: k, v: v, shape: shape}
	d.pieces(len(d.blocks), func(d *Device, i, worker int) {
		d.attentionBlock(&d.scratch[worker].attention, d.blocks[i])
	})
	d.on = operands{}
}

// attentionBlock computes the rows of a block, for all heads of its kv head.
func (d *Device) attentionBlock(a *attentionScratch, b block) {
	on := &d.on.attention
	shape := on.shape
	n, group, rows := shape.HeadDim, shape.Heads/shape.KVHeads, b.rows()
	all := group * rows
	queries, o := growFloats(&a.rows, all*n), growFloats(&a.o, all*n)
	s, m, l := growFloats(&a.s, all*tile), growFloats(&a.m, all), growFloats(&a.l, all)
	change, sums := growFloats(&a.change, all), growFloats(&a.sums, all)
	for h := range group {
		scaleRows(d.level, n, queries[h*rows*n:], n, headRows32(on.q, b.from, b.kvHead*group+h), on.q.Stride, a.scales(shape.Scale, rows))
	}
	for r := range all {
		m[r], l[r] = negInf, 0
	}
	clear(o)
	scores := product{kernels: d.linear, form: nt, m: all, k: n, a: queries, lda: n, c: s, ldc: tile}
	scores.whole()
	packed := scores.packA(&a.packed, 0, scores.tiles)
	values := product{kernels: d.linear, form: nn, m: all, n: n, a: s, lda: tile, c: o, ldc: n, accumulate: true}

	p0 := b.position()
	end := p0 + rows // positions [.., end) are seen by some row
	begin, _ := visible(p0, shape.Window)
	for first := begin - begin%tile; first < end; first += tile {
		keys := min(tile, end-first)
		scores.n = keys
		scores.b, scores.ldb = keyTile(on.k, b.kvHead, b.seg, first, keys, n, &a.k)
		scores.whole()
		scores.multiply(&a.gemm, 0, scores.tiles, packed, scores.packB(&a.gemm.b))
		softmaxRows(d.level, s, a.seenRows(group, rows, p0, first, shape.Window), m, change, sums)
		changed := false
		for _, c := range change {
			changed = changed || c != 0
		}
		if changed {
			expScale(d.level, change, change, 0, 1)
			scaleRows(d.level, n, o, n, o, n, change)
			for r, c := range change {
				l[r] *= c
			}
		}
		for r, sum := range sums {
			l[r] += sum
		}
		values.k = keys
		values.b, values.ldb = keyTile(on.v, b.kvHead, b.seg, first, keys, n, &a.v)
		values.whole()
		values.multiply(&a.gemm, 0, values.tiles, values.packA(&a.gemm.a, 0, values.tiles), values.packB(&a.gemm.b))
	}
	for r := range all {
		row[float32](on.lse, b.from+r%rows)[b.kvHead*group+r/rows] = float32(float64(m[r]) + math.Log(float64(l[r])))
		l[r] = 1 / l[r]
	}
	for h := range group {
		scaleRows(d.level, n, headRows32(on.o, b.from, b.kvHead*group+h), on.o.Stride, o[h*rows*n:], n, l[h*rows:(h+1)*rows])
	}
}

// headRows32 are the float32 rows of head h from row i on, x.Stride apart.
func headRows32(x compute.Heads, i, h int) []float32 {
	return b0[float32](x.Buf, x.Off+i*x.Stride+h*x.HeadStride)
}

// scales is the same number for each of so many rows.
func (a *attentionScratch) scales(scale float64, rows int) []float32 {
	x := growFloats(&a.scale, queryBlock)
	for i := range x {
		x[i] = float32(scale)
	}
	return x[:rows]
}

// seenRows are the keys of the tile from position first on that rows from position p0 on see, the same for each of the heads.
func (a *attentionScratch) seenRows(heads, rows, p0, first, window int) []uint64 {
	if len(a.seen) < heads*queryBlock {
		a.seen = make([]uint64, heads*queryBlock)
	}
	for r := range rows {
		if window == 0 && first+tile <= p0+1 {
			a.seen[r] = math.MaxUint64
		} else {
			a.seen[r] = seenBits(p0+r, first, window)
		}
	}
	for h := 1; h < heads; h++ {
		copy(a.seen[h*rows:(h+1)*rows], a.seen)
	}
	return a.seen[:heads*rows]
}

// attentionOperands are those of attention and of its backward.
type attentionOperands struct {
	o, q, k, v, do, dq, dk, dv compute.Heads
	headK, headV               compute.Heads // gradients of the keys and values of every head
	lse                        compute.Mat
	shape                      compute.AttentionShape
}

// family is a segment without prefix and the segments that have it as their prefix: what attention's gradients of
// keys and values add up over. One head of it is a piece of work.
type family struct {
	segments []compute.Segment
	head     int
}

// rows are those of all its segments, if they lie one behind the other: how much work it is.
func (f family) rows() int { return f.segments[len(f.segments)-1].End - f.segments[0].Start }

// AttentionBackward implements compute.Device, parallel over families and heads; the probabilities are computed again from
// the stored log-sum-exp. The gradients of keys and values that heads share are kept apart and added in order.
func (d *Device) AttentionBackward(dq, dk, dv, do, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	d.families = d.families[:0]
	for i := 0; i < len(segments); {
		n := i + 1
		for n < len(segments) && segments[n].PrefixEnd > segments[n].PrefixStart {
			if segments[n].PrefixStart != segments[i].Start || segments[n].PrefixEnd != segments[i].End {
				panic("cpu: AttentionBackward: a prefix is not the segment before")
			}
			n++
		}
		for h := range shape.Heads {
			d.families = append(d.families, family{segments[i:n], h})
		}
		i = n
	}
	slices.SortStableFunc(d.families, func(a, b family) int { return b.rows() - a.rows() }) // the longest first, or a worker ends late
	rows, group := segments[len(segments)-1].End, shape.Heads/shape.KVHeads
	headK, headV := dk, dv // of every head
	if group > 1 {
		size := shape.HeadDim * rows
		headK = compute.Heads{Buf: buffer[float32](growFloats(&d.headGrads, 2*shape.Heads*size)), Stride: shape.HeadDim, HeadStride: size}
		headV = headK
		headV.Off = shape.Heads * size
	}
	d.on.attention = attentionOperands{o: o, lse: lse, q: q, k: k, v: v, do: do, dq: dq, dk: dk, dv: dv, headK: headK, headV: headV, shape: shape}
	d.pieces(len(d.families), func(d *Device, i, worker int) {
		d.attentionFamilyBackward(&d.scratch[worker].attention, d.families[i])
	})
	if group > 1 {
		d.work.n = rows
		d.pieces((rows+rowsApiece-1)/rowsApiece, func(d *Device, piece, _ int) {
			from := piece * rowsApiece
			d.sumHeads(from, min(d.work.n, from+rowsApiece))
		})
	}
	d.on = operands{}
}

// sumHeads writes the sums over the heads that share a kv head to dk and dv, for some rows.
func (d *Device) sumHeads(from, to int) {
	on := &d.on.attention
	n, group := on.shape.HeadDim, on.shape.Heads/on.shape.KVHeads
	for _, sum := range []struct{ y, x compute.Heads }{{on.dk, on.headK}, {on.dv, on.headV}} {
		for h := range on.shape.KVHeads {
			y := headRows32(sum.y, from, h)
			for i := range to - from {
				copy(y[i*sum.y.Stride:i*sum.y.Stride+n], head[float32](sum.x, from+i, h*group, n))
			}
			for other := h*group + 1; other < (h+1)*group; other++ {
				addRows(d.level, to-from, n, y, sum.y.Stride, headRows32(sum.x, from, other), sum.x.Stride)
			}
		}
	}
}

// packedQueries is what the backward needs of a block of query rows for every tile of keys: queries and gradients of the output,
// packed as the left operand of products with keys and values, and as the right one of those that make their gradients.
type packedQueries struct {
	block
	left, right, leftOut, rightOut []float32
	delta, lse                     []float32 // [rows] do . o, and the log-sum-exp
	begun                          bool      // gradients of the queries have been written
}

// grow gives x room for a whole block of queries of n numbers, so that no shorter one before it matters.
func (x *packedQueries) grow(kn kernels, n int) {
	_, panel := tileOf(AVX512) // the widest
	room := kn.packedRows(queryBlock, n)
	growFloats(&x.left, room)
	growFloats(&x.leftOut, room)
	growFloats(&x.right, queryBlock*roundUp(n, panel)+slack)
	growFloats(&x.rightOut, queryBlock*roundUp(n, panel)+slack)
	growFloats(&x.delta, queryBlock)
	growFloats(&x.lse, queryBlock)
}

// packQueries fills a.queries with the blocks of a family.
func (d *Device) packQueries(a *attentionScratch, f family) {
	on := &d.on.attention
	n := on.shape.HeadDim
	count := 0 // a.queries are taken into use one by one
	for _, seg := range f.segments {
		for r := seg.Start; r < seg.End; r = blockEnd(seg, r) {
			if count < cap(a.queries) {
				a.queries = a.queries[:count+1] // one that a family before had
			} else {
				a.queries = append(a.queries, packedQueries{})
			}
			x := &a.queries[count]
			x.grow(d.linear, n)
			count++
			x.block = block{seg, r, blockEnd(seg, r), 0}
			rows := x.rows()
			x.begun = false
			scaled := growFloats(&a.rows, queryBlock*n)
			scaleRows(d.level, n, scaled, n, headRows32(on.q, r, f.head), on.q.Stride, a.scales(on.shape.Scale, rows))
			out := headRows32(on.do, r, f.head)
			dotRows(d.level, n, x.delta[:rows], out, on.do.Stride, headRows32(on.o, r, f.head), on.o.Stride)
			for i := range rows {
				x.lse[i] = row[float32](on.lse, r+i)[f.head]
			}
			left := product{kernels: d.linear, form: nt, m: rows, n: tile, k: n, a: scaled, lda: n}
			left.whole()
			left.packA(&x.left, 0, left.tiles)
			right := product{kernels: d.linear, form: tn, n: n, k: rows, b: scaled, ldb: n}
			right.whole()
			right.packB(&x.right)
			left.a, left.lda = out, on.do.Stride
			left.packA(&x.leftOut, 0, left.tiles)
			right.b, right.ldb = out, on.do.Stride
			right.packB(&x.rightOut)
		}
	}
	a.queries = a.queries[:count]
}

// attentionFamilyBackward goes through the tiles of keys: those inside the shared prefix once for all segments, the others
// for each segment.
func (d *Device) attentionFamilyBackward(a *attentionScratch, f family) {
	on := &d.on.attention
	n := on.shape.HeadDim
	for _, seg := range f.segments {
		clearRows(seg.End-seg.Start, n, headRows32(on.headK, seg.Start, f.head), on.headK.Stride)
		clearRows(seg.End-seg.Start, n, headRows32(on.headV, seg.Start, f.head), on.headV.Stride)
	}
	d.packQueries(a, f)
	root := f.segments[0]
	shared := (root.End - root.Start) / tile * tile // whole tiles of the prefix
	if len(f.segments) == 1 {
		shared = 0
	}
	for first := 0; first < shared; first += tile {
		d.attentionTileBackward(a, f.head, a.queries, root, first, tile)
	}
	at := 0
	for _, seg := range f.segments {
		begin := firstPosition(seg)
		end := begin + seg.End - seg.Start
		blocks := (end+queryBlock-1)/queryBlock - begin/queryBlock
		for first := shared; first < end; first += tile {
			d.attentionTileBackward(a, f.head, a.queries[at:at+blocks], seg, first, min(tile, end-first))
		}
		at += blocks
	}
	for i := range a.queries {
		x := &a.queries[i]
		dq := headRows32(on.dq, x.from, f.head)
		scaleRows(d.level, n, dq, on.dq.Stride, dq, on.dq.Stride, a.scales(on.shape.Scale, x.rows()))
	}
}

// attentionTileBackward adds what the rows of some blocks send back through the keys and values at positions [first, first+keys) of
// segment seg, to dq, headK and headV of head h.
func (d *Device) attentionTileBackward(a *attentionScratch, h int, blocks []packedQueries, seg compute.Segment, first, keys int) {
	on := &d.on.attention
	n, kvHead, window := on.shape.HeadDim, h/(on.shape.Heads/on.shape.KVHeads), on.shape.Window
	kt, ldk := keyTile(on.k, kvHead, seg, first, keys, n, &a.k)
	vt, ldv := keyTile(on.v, kvHead, seg, first, keys, n, &a.v)
	s, ds := growFloats(&a.s, queryBlock*tile), growFloats(&a.ds, queryBlock*tile)
	// Gradients of keys in a row are added to where they belong; those of a tile that crosses the border to the prefix are gathered.
	r0 := key(seg, first)
	apart := key(seg, first+keys-1)-r0 != keys-1
	dKeys, dValues, ldg := headRows32(on.headK, r0, h), headRows32(on.headV, r0, h), on.headK.Stride
	if apart {
		dKeys, dValues, ldg = growFloats(&a.dk, tile*n)[:keys*n], growFloats(&a.dv, tile*n)[:keys*n], n
		clear(dKeys)
		clear(dValues)
	}

	scores := product{kernels: d.linear, form: nt, n: keys, k: n, b: kt, ldb: ldk, c: s, ldc: tile}
	dScores := product{kernels: d.linear, form: nt, n: keys, k: n, b: vt, ldb: ldv, c: ds, ldc: tile}
	dQueries := product{kernels: d.linear, form: nn, n: n, k: keys, b: kt, ldb: ldk, a: ds, lda: tile, ldc: on.dq.Stride}
	scores.whole()
	dScores.whole()
	dQueries.whole()
	keysT, valuesT, keysN := scores.packB(&a.keys[0]), dScores.packB(&a.values), dQueries.packB(&a.keys[1])
	for i := range blocks {
		x := &blocks[i]
		p0, rows := x.position(), x.rows()
		if begin, _ := visible(p0, window); first > p0+rows-1 || first+keys <= begin {
			continue // no row sees the tile
		}
		scores.m, dScores.m, dQueries.m = rows, rows, rows
		scores.whole()
		scores.multiply(&a.gemm, 0, scores.tiles, x.left, keysT)
		dScores.whole()
		dScores.multiply(&a.gemm, 0, dScores.tiles, x.leftOut, valuesT)
		softmaxRowsBack(d.level, s, ds, a.seenRows(1, rows, p0, first, window), x.lse, x.delta)
		dQueries.whole()
		dQueries.c, dQueries.accumulate = headRows32(on.dq, x.from, h), x.begun
		x.begun = true
		dQueries.multiply(&a.gemm, 0, dQueries.tiles, dQueries.packA(&a.gemm.a, 0, dQueries.tiles), keysN)
		add := product{kernels: d.linear, form: tn, m: keys, n: n, k: rows, a: ds, lda: tile, c: dKeys, ldc: ldg, accumulate: true}
		add.whole()
		add.multiply(&a.gemm, 0, add.tiles, add.packA(&a.gemm.a, 0, add.tiles), x.right)
		add.a, add.c = s, dValues
		add.multiply(&a.gemm, 0, add.tiles, add.packA(&a.gemm.a, 0, add.tiles), x.rightOut)
	}
	for j := 0; apart && j < keys; j++ {
		r := key(seg, first+j)
		axpy(d.level, head[float32](on.headK, r, h, n), 1, dKeys[j*n:(j+1)*n])
		axpy(d.level, head[float32](on.headV, r, h, n), 1, dValues[j*n:(j+1)*n])
	}
}
