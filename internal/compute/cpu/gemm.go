package cpu

// form says how the operands of a product lie in memory: see compute.Form.
type form int

const (
	nn form = iota // C[m,n] = A[m,k] B[k,n]
	nt             // C[m,n] = A[m,k] B[n,k]^T
	tn             // C[m,n] = A[k,m]^T B[k,n]
)

// Blocking, after Goto and van de Geijn 2008. A block of B, blockK x blockN, is packed into panels of panel columns and
// shared by all workers; each worker packs blocks of A of up to blockM rows. blockK fits a panel of B into half of a
// 32 KiB level-1 cache, blockM x blockK into half of a 1 MiB level-2 cache.
const (
	blockK = 384
	blockM = 336
	blockN = 3072
)

// smallProduct is the number of multiplications below which a product is not worth waking workers for.
const smallProduct = 64 * 64 * 64

// tileOf is the size of the micro kernel's tile: rows of A and columns of B.
func tileOf(lv Level) (rows, panel int) {
	switch lv {
	case AVX512:
		return 14, 32
	case AVX2:
		return 6, 16
	}
	return 2, 4
}

// gemmScratch is one worker's packed block of A and a tile for the edge of C. The owner of the product has b too.
type gemmScratch struct {
	a, b, edge []float32
}

// product is one call of gemm.
type product struct {
	lv         Level
	form       form
	m, n, k    int
	a, b, c    []float32
	lda, ldb   int
	ldc        int
	accumulate bool

	rows, panel int // of a tile
	jc, nc      int // columns [jc, jc+nc) of the block of B
	pc, kc      int // of k
	stepK       int // length of a block of k; the last may be shorter. It depends on k alone
	blockRows   int // rows of a block of A
	packed      []float32
}

// gemm writes (or adds, with accumulate) the product of a and b to c, on all workers.
//
// Every element of c is the sum over k in order, with fused multiply-adds but for the Generic level, in blocks of k whose
// borders depend on k alone; the blocks' sums are added in order. So an element's bits depend on its row of A and its
// column of B only: not on the number of threads, nor on what else is in the product; and AVX2 and AVX512 agree.
func gemm(p *pool, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	if len(p.workers) == 0 || m*n*k < smallProduct {
		gemmSerial(&p.gemm[0], lv, f, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
		return
	}
	g := &p.product
	*g = product{lv: lv, form: f, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc, accumulate: accumulate}
	if !g.start() {
		return
	}
	// Two blocks of rows for each worker, so that one which is late does not keep the others waiting for long.
	pieces := 2 * (len(p.workers) + 1)
	g.blockRows = min(blockM, max(g.rows, roundUp((m+pieces-1)/pieces, g.rows)))
	for more := true; more; more = g.next() {
		g.packed = growFloats(&p.gemm[0].b, g.panels()*g.panel*g.kc+slack)
		p.run(g.panels(), func(j, _ int) { g.packB(j) })
		p.run(g.rowBlocks(), func(i, worker int) { g.rowBlock(&p.gemm[worker], i) })
	}
}

// gemmSerial is gemm on the calling goroutine.
func gemmSerial(sc *gemmScratch, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	g := product{lv: lv, form: f, m: m, n: n, k: k, a: a, b: b, c: c, lda: lda, ldb: ldb, ldc: ldc, accumulate: accumulate}
	g.serial(sc)
}

func (g *product) serial(sc *gemmScratch) {
	if !g.start() {
		return
	}
	g.blockRows = blockM
	for more := true; more; more = g.next() {
		g.packed = growFloats(&sc.b, g.panels()*g.panel*g.kc+slack)
		for j := range g.panels() {
			g.packB(j)
		}
		for i := range g.rowBlocks() {
			g.rowBlock(sc, i)
		}
	}
}

// start goes to the first block and says whether there is one.
func (g *product) start() bool {
	g.rows, g.panel = tileOf(g.lv)
	if g.m <= 0 || g.n <= 0 {
		return false
	}
	if g.k <= 0 {
		if !g.accumulate {
			for i := range g.m {
				clear(g.c[i*g.ldc : i*g.ldc+g.n])
			}
		}
		return false
	}
	blocks := (g.k + blockK - 1) / blockK
	g.stepK = roundUp((g.k+blocks-1)/blocks, 32)
	g.kc, g.nc = min(g.stepK, g.k), min(blockN, g.n)
	return true
}

// next moves on along k, then along n, and says whether there is a block left.
func (g *product) next() bool {
	g.pc += g.stepK
	if g.pc >= g.k {
		g.pc = 0
		g.jc += blockN
	}
	g.kc, g.nc = min(g.stepK, g.k-g.pc), min(blockN, g.n-g.jc)
	return g.jc < g.n
}

func (g *product) panels() int    { return (g.nc + g.panel - 1) / g.panel }
func (g *product) rowBlocks() int { return (g.m + g.blockRows - 1) / g.blockRows }

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// slack is room behind packed blocks for vectors that reach over the end of the last row.
const slack = 64

// growFloats gives n numbers of memory that is kept.
func growFloats(s *[]float32, n int) []float32 {
	if len(*s) < n {
		*s = make([]float32, n)
	}
	return (*s)[:n]
}

// packB packs panel j of the block of B, columns past the edge as zeros.
func (g *product) packB(j int) {
	first := j * g.panel
	width := min(g.panel, g.nc-first)
	dst := g.packed[j*g.panel*g.kc:]
	if width < g.panel {
		clear(dst[:g.panel*g.kc])
	}
	pack(g.lv, dst, g.panel, g.b, g.ldb, g.form == nt, g.jc+first, width, g.n, g.pc, g.kc)
}

// rowBlock computes block i of the rows of C: it packs the rows of A, cut evenly into tiles, and runs them over all
// panels.
func (g *product) rowBlock(sc *gemmScratch, i int) {
	first := i * g.blockRows
	m := min(g.blockRows, g.m-first)
	tiles := (m + g.rows - 1) / g.rows
	a := growFloats(&sc.a, m*g.kc+slack)
	edge := growFloats(&sc.edge, 14*32)
	each, more := m/tiles, m%tiles
	height := func(t int) int {
		if t < more {
			return each + 1
		}
		return each
	}
	for t, at := 0, 0; t < tiles; t++ {
		r := height(t)
		pack(g.lv, a[at*g.kc:], r, g.a, g.lda, g.form != tn, first+at, r, g.m, g.pc, g.kc)
		at += r
	}
	add := 0
	if g.accumulate || g.pc > 0 {
		add = 1
	}
	for j := range g.panels() {
		width := min(g.panel, g.nc-j*g.panel)
		b := g.packed[j*g.panel*g.kc:]
		for t, at := 0, 0; t < tiles; t++ {
			r := height(t)
			c := g.c[(first+at)*g.ldc+g.jc+j*g.panel:]
			if width == g.panel {
				micro(g.lv, r, g.kc, a[at*g.kc:], b, c, g.ldc, add)
			} else {
				micro(g.lv, r, g.kc, a[at*g.kc:], b, edge, g.panel, 0)
				for x := range r {
					row, part := c[x*g.ldc:x*g.ldc+width], edge[x*g.panel:x*g.panel+width]
					if add == 0 {
						copy(row, part)
					} else {
						addRef(row, part)
					}
				}
			}
			at += r
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
// s[(l0+lane)*ld + k]; else a column, s[k*ld + l0+lane].
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
