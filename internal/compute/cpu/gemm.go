package cpu

import "math"

// form says how the operands of a product lie in memory: see compute.Form.
type form int

const (
	nn form = iota // C[m,n] = A[m,k] B[k,n]
	nt             // C[m,n] = A[m,k] B[n,k]^T
	tn             // C[m,n] = A[k,m]^T B[k,n]
)

// kernels says what a product is computed with: the level, and whether operands are rounded to bf16 while they are packed.
// Sums are float32 either way.
type kernels struct {
	Level
	bf16 bool
}

// Blocking, after Goto and van de Geijn 2008. A block of B, blockK x blockN, is packed into panels of panel columns, then blocks of A
// of up to blockTiles tiles one after the other. Tuned on Zen 5 over the shapes of BenchmarkProducts: a whole k of 576 in one block
// saves a pass over C, which is worth more than a panel of B that fits the level-1 cache.
const (
	blockK     = 576
	blockTiles = 12
	blockN     = 3072
)

// smallProduct is the number of multiplications below which a product is not worth waking workers for.
const smallProduct = 64 * 64 * 64

// tileOf is the size of the micro kernel's tile: rows of A and columns of B.
func tileOf(lv Level) (rows, panel int) {
	switch lv {
	case AMX:
		return tileRows, 32
	case AVX512:
		return 14, 32
	case AVX2:
		return 6, 16
	case NEON:
		return 12, 8
	}
	return 2, 4
}

// edgeSize is the largest tile that is not written to C as it is.
const edgeSize = 14 * 32

// gemmScratch is one worker's packed blocks of A and B and a tile that is not written to C as it is.
type gemmScratch struct {
	a, b, edge []float32
}

// product is one call of gemm, or the part of it that one worker computes by itself.
type product struct {
	kernels
	form       form
	m, n, k    int
	a, b, c    []float32
	lda, ldb   int
	ldc        int
	accumulate bool

	panel     int // columns of a tile
	tiles     int // of m: their rows differ by one at most
	jc, nc    int // columns [jc, jc+nc) of the block of B
	pc, kc    int // of k
	depth     int // rows of a packed block: kc, half of it for pairs of bf16
	panelSize int // numbers of a packed panel of B
}

// gemm writes (or adds, with accumulate) the product of a and b to c, on all workers.
//
// Every element of c is the sum over k in order, with fused multiply-adds but for the Generic level, in blocks of k whose
// borders depend on k alone; the blocks' sums are added in order (at level AMX see there). So an element's bits depend on its row of A and its
// column of B only: not on the number of threads, nor on what else is in the product; and AVX2, AVX512 and NEON agree.
//
// C is cut into a grid of parts that workers compute independently. Each packs what it reads of A and B for itself: measured on two
// cores this is 4 % faster than sharing packed panels, which have to cross from one core's cache to the other's.
func gemm(p *pool, kn kernels, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	workers := len(p.workers) + 1
	if workers == 1 || m*n*k < smallProduct {
		gemmSerial(&p.gemm[0], kn, f, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
		return
	}
	whole := &p.product
	*whole = product{kernels: kn, form: f, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc, accumulate: accumulate}
	rows, columns := kn.grid(m, n, workers)
	p.grid.rows, p.grid.columns = rows, columns
	if p.grid.call == nil {
		p.grid.call = func(i, worker int) {
			g := &p.grid
			part := p.product.part(i/g.columns, g.rows, i%g.columns, g.columns)
			part.run(&p.gemm[worker])
		}
	}
	p.run(rows*columns, p.grid.call)
	*whole = product{} // it would hold on to the operands
}

// gemmSerial is gemm on the calling goroutine.
func gemmSerial(sc *gemmScratch, kn kernels, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	g := product{kernels: kn, form: f, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc, accumulate: accumulate}
	g.run(sc)
}

// packCost is the time to pack a number of A, in multiply-adds of the micro kernel, which with bf16 does twice as many in that time and at level AMX
// eight times as many. A number of B takes twice as long: its block is larger than a cache of its own. lateness is by how much of a part the last
// worker is late for each other that could be. From Zen 4, over the products of SmolLM2-135M on two threads; results do not depend on them.
const (
	packCost = 14
	lateness = 0.03
)

// grid says into how many rows and columns of parts C is cut: those for which the workers are estimated to be done first, at the time
// it takes to pack and compute the parts.
func (kn kernels) grid(m, n, workers int) (rows, columns int) {
	height, width := tileOf(kn.Level)
	tiles, panels := (m+height-1)/height, (n+width-1)/width
	cost, late := float64(packCost), lateness*float64(workers-1)
	switch {
	case kn.Level == AMX:
		cost *= 8
	case kn.bf16:
		cost *= 2
	}
	best := math.Inf(1)
	for r := 1; r <= min(tiles, 4*workers); r++ {
		for rounds := 1; rounds <= 4; rounds++ {
			c := min(panels, max(1, rounds*workers/r))
			partRows, partColumns := float64(height*((tiles+r-1)/r)), float64(width*((panels+c-1)/c))
			part := partRows*partColumns + cost*(partRows+2*partColumns)
			if t := part * (float64((r*c+workers-1)/workers) + late); t < best {
				best, rows, columns = t, r, c
			}
		}
	}
	return rows, columns
}

// part is the part of the product at row i of rows and column j of columns of the grid: whole tiles and panels.
func (g *product) part(i, rows, j, columns int) product {
	height, width := tileOf(g.Level)
	tiles, panels := (g.m+height-1)/height, (g.n+width-1)/width
	top, bottom := min(g.m, i*tiles/rows*height), min(g.m, (i+1)*tiles/rows*height)
	left, right := min(g.n, j*panels/columns*width), min(g.n, (j+1)*panels/columns*width)
	p := *g
	p.m, p.n = bottom-top, right-left
	p.c = g.c[top*g.ldc+left:]
	if g.form == tn {
		p.a = g.a[top:]
	} else {
		p.a = g.a[top*g.lda:]
	}
	if g.form == nt {
		p.b = g.b[left*g.ldb:]
	} else {
		p.b = g.b[left:]
	}
	return p
}

// run computes the product on the calling goroutine.
func (g *product) run(sc *gemmScratch) {
	if g.m <= 0 || g.n <= 0 {
		return
	}
	if g.k <= 0 {
		if !g.accumulate {
			for i := range g.m {
				clear(g.c[i*g.ldc : i*g.ldc+g.n])
			}
		}
		return
	}
	stepK := g.stepK()
	for jc := 0; jc < g.n; jc += blockN {
		for pc := 0; pc < g.k; pc += stepK {
			g.block(jc, min(blockN, g.n-jc), pc, min(stepK, g.k-pc))
			b := g.packB(&sc.b)
			for from := 0; from < g.tiles; from += blockTiles {
				to := min(g.tiles, from+blockTiles)
				g.multiply(sc, from, to, g.packA(&sc.a, from, to), b)
			}
		}
	}
}

// block goes to the block of B that begins at column jc and at pc of k.
func (g *product) block(jc, nc, pc, kc int) {
	height, width := tileOf(g.Level)
	g.panel, g.tiles = width, (g.m+height-1)/height
	g.jc, g.nc, g.pc, g.kc = jc, nc, pc, kc
	g.depth = g.depthOf(kc)
	g.panelSize = g.panel * g.depth
}

// whole makes all of B one block.
func (g *product) whole() { g.block(0, g.n, 0, g.k) }

// blockK is the longest block of k.
func (kn kernels) blockK() int {
	if kn.bf16 {
		return 2 * blockK
	}
	return blockK
}

// stepK is the length of a block of k; the last may be shorter. It depends on k alone.
func (g *product) stepK() int {
	limit := g.blockK()
	parts := (g.k + limit - 1) / limit
	return roundUp((g.k+parts-1)/parts, 32)
}

func (g *product) panels() int { return (g.nc + g.panel - 1) / g.panel }

// tileStart is the first row of a tile. At level AMX all tiles but the last are whole: what counts there is how many sixteens of rows there are.
func (g *product) tileStart(t int) int {
	if g.Level == AMX {
		return min(g.m, t*tileRows)
	}
	return t*(g.m/g.tiles) + min(t, g.m%g.tiles)
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// slack is room behind packed blocks for vectors that reach over the end of the last row.
const slack = 64

// growFloats gives n numbers of memory that is kept.
func growFloats(s *[]float32, n int) []float32 {
	if len(*s) < n {
		*s = newFloats(n)
	}
	return (*s)[:n]
}

// depthOf is the number of rows of a packed block that k steps make.
func (kn kernels) depthOf(k int) int {
	switch {
	case kn.Level == AMX:
		return roundUp(k, 32) / 2
	case kn.bf16:
		return (k + 1) / 2
	}
	return k
}

// packRowsApiece is the number of rows whose columns are packed together, so that the next tile or panel finds the lines that it shares
// with the one before in the cache.
const packRowsApiece = 64

// packStep is how much of the block's k is packed together: all of it where lanes are rows, which are read along them.
func (g *product) packStep(contiguous bool) int {
	if contiguous {
		return g.kc
	}
	return packRowsApiece
}

// packB packs the block of B, panel by panel. Columns past the edge hold anything.
func (g *product) packB(room *[]float32) []float32 {
	dst := growFloats(room, g.panels()*g.panelSize+slack)
	done := 0
	if g.form != nt {
		done = g.packTiles(dst, g.panel, g.panelSize, g.b, g.ldb, g.jc, g.n, g.nc/g.panel)
	}
	n := g.packStep(g.form == nt)
	for k := 0; k < g.kc && done < g.panels(); k += n {
		for j := done; j < g.panels(); j++ {
			first := j * g.panel
			g.pack(dst[j*g.panelSize+g.depthOf(k)*g.panel:], g.panel, g.b, g.ldb, g.form == nt, g.jc+first, min(g.panel, g.nc-first), g.n, k, min(n, g.kc-k))
		}
	}
	if g.Level == AMX {
		g.clearDepth(dst)
	}
	return dst
}

// tileGap is room behind every packed tile of A for the end of a vector that begins in its last row.
const tileGap = 16

// packedTiles is the room for so many tiles that have so many rows together.
func (kn kernels) packedTiles(tiles, rows, depth int) int {
	if kn.Level == AMX {
		rows = tiles * tileRows
	}
	return rows*depth + tiles*tileGap + slack
}

// packedRows is the most room that so many rows take, however many tiles they are: of two rows are the lowest.
func (kn kernels) packedRows(rows, k int) int {
	lowest := 2
	if kn.Level == AMX {
		lowest = tileRows
	}
	return kn.packedTiles((rows+lowest-1)/lowest, rows, kn.depthOf(k))
}

// packedTile is where tile t is among those packed from tile from on.
func (g *product) packedTile(t, from int) int {
	if g.Level == AMX {
		return (t - from) * (tileRows*g.depth + tileGap)
	}
	return (g.tileStart(t)-g.tileStart(from))*g.depth + (t-from)*tileGap
}

// packA packs tiles [from, to) of the rows of A, for the block's k.
func (g *product) packA(room *[]float32, from, to int) []float32 {
	first := g.tileStart(from)
	dst := growFloats(room, g.packedTiles(to-from, g.tileStart(to)-first, g.depth))
	if g.Level == AMX {
		g.packTilesOfA(dst, from, to)
		return dst
	}
	done := from
	for g.form == tn && done < to { // tiles of the same height, of which there are two
		at, rows, end := g.tileStart(done), g.tileStart(done+1)-g.tileStart(done), done+1
		for end < to && g.tileStart(end+1)-g.tileStart(end) == rows {
			end++
		}
		packed := g.packTiles(dst[g.packedTile(done, from):], rows, rows*g.depth+tileGap, g.a, g.lda, at, g.m, end-done)
		if done += packed; done < end {
			break
		}
	}
	n := g.packStep(g.form != tn)
	for k := 0; k < g.kc && done < to; k += n {
		for t := done; t < to; t++ {
			at, rows := g.tileStart(t), g.tileStart(t+1)-g.tileStart(t)
			g.pack(dst[g.packedTile(t, from)+g.depthOf(k)*rows:], rows, g.a, g.lda, g.form != tn, at, rows, g.m, k, min(n, g.kc-k))
		}
	}
	return dst
}

// multiply runs packed tiles [from, to) of A over the packed block of B.
func (g *product) multiply(sc *gemmScratch, from, to int, a, b []float32) {
	add := 0
	if g.accumulate || g.pc > 0 {
		add = 1
	}
	if g.Level == AMX {
		g.multiplyTiles(from, to, a, b, add)
		return
	}
	edge := growFloats(&sc.edge, edgeSize)
	for j := range g.panels() {
		width := min(g.panel, g.nc-j*g.panel)
		panel := b[j*g.panelSize:]
		for t := from; t < to; t++ {
			at, rows := g.tileStart(t), g.tileStart(t+1)-g.tileStart(t)
			tile, c := a[g.packedTile(t, from):], g.c[at*g.ldc+g.jc+j*g.panel:]
			if width == g.panel || g.Level == AVX512 {
				g.micro(rows, tile, panel, c, g.ldc, width, add)
				continue
			}
			g.micro(rows, tile, panel, edge, g.panel, g.panel, 0)
			for x := range rows {
				row, part := c[x*g.ldc:x*g.ldc+width], edge[x*g.panel:x*g.panel+width]
				if add == 0 {
					copy(row, part)
				} else {
					addRef(row, part)
				}
			}
		}
	}
}

// microRef computes a tile: c[rows, panel] = (c +) a b with a packed as [k][rows] and b as [k][panel]. The sum over k is
// taken first and then added to c.
func microRef(rows, panel, k int, a, b, c []float32, ldc int, accumulate int) {
	for i := range rows {
		for j := 0; j < panel; j += 4 {
			var s0, s1, s2, s3 float32
			for l := range k {
				x, y := a[l*rows+i], b[l*panel+j:l*panel+j+4]
				s0 += x * y[0]
				s1 += x * y[1]
				s2 += x * y[2]
				s3 += x * y[3]
			}
			row := c[i*ldc+j : i*ldc+j+4]
			if accumulate != 0 {
				s0, s1, s2, s3 = row[0]+s0, row[1]+s1, row[2]+s2, row[3]+s3
			}
			row[0], row[1], row[2], row[3] = s0, s1, s2, s3
		}
	}
}

// microGeneric is microRef by the kernels of the Generic level.
func microGeneric(rows, panel, k int, a, b, c []float32, ldc int, accumulate int) {
	if rows == 2 {
		micro2x4(k, a, b, c, ldc, accumulate)
		return
	}
	microRef(rows, panel, k, a, b, c, ldc, accumulate)
}

// micro2x4 is microRef for whole tiles of the Generic level, eight sums at a time.
func micro2x4(k int, a, b, c []float32, ldc int, accumulate int) {
	var s0, s1, s2, s3, s4, s5, s6, s7 float32
	a, b = a[:2*k], b[:4*k]
	for len(a) >= 2 && len(b) >= 4 {
		x, y := a[0], a[1]
		s0 += x * b[0]
		s1 += x * b[1]
		s2 += x * b[2]
		s3 += x * b[3]
		s4 += y * b[0]
		s5 += y * b[1]
		s6 += y * b[2]
		s7 += y * b[3]
		a, b = a[2:], b[4:]
	}
	p, q := c[:4], c[ldc:ldc+4]
	if accumulate != 0 {
		s0, s1, s2, s3 = p[0]+s0, p[1]+s1, p[2]+s2, p[3]+s3
		s4, s5, s6, s7 = q[0]+s4, q[1]+s5, q[2]+s6, q[3]+s7
	}
	p[0], p[1], p[2], p[3] = s0, s1, s2, s3
	q[0], q[1], q[2], q[3] = s4, s5, s6, s7
}

// packRef packs lanes [0, width) of s for k in [k0, k0+kc) as dst[k][stride]. With contiguous a lane is a row of s,
// s[(l0+lane)*ld + k0]; else a column, s[k*ld + l0+lane].
func packRef(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, k0, kc int) {
	if contiguous {
		for l := range width {
			for k, v := range s[(l0+l)*ld+k0 : (l0+l)*ld+k0+kc] {
				dst[k*stride+l] = v
			}
		}
		return
	}
	for k := range kc {
		copy(dst[k*stride:k*stride+width], s[(k0+k)*ld+l0:])
	}
}
