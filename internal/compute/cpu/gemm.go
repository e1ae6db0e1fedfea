package cpu

// form says which operand of a matrix product is transposed. All matrices are stored row by row.
type form int

const (
	nn form = iota // C[m,n] = A[m,k] B[k,n]
	nt             // C[m,n] = A[m,k] B[n,k]^T
	tn             // C[m,n] = A[k,m]^T B[k,n]
)

// How a product is cut. Only depthBlock touches the numbers: an element of C is the sum of one partial sum for each
// block of k, each made in order of k, and the borders of the blocks depend on k alone. So a row of C is the same bits
// whatever other rows and columns the call has, in a serial or a parallel product and on any number of threads; and
// the two assembly levels, which fuse the same multiplications and additions, agree in every bit.
const (
	depthBlock  = 384     // steps of k summed in registers before C is touched; a packed panel of B then stays in the L1 cache
	rowBlock    = 336     // rows of packed A: with depthBlock, half a MiB, which stays in the L2 cache
	packedB     = 3 << 19 // numbers of B that are packed together: 6 MiB, shared by all threads
	columnPiece = 512     // fewest columns of one piece of a parallel product: packing its rows of A again costs some 2 %
)

// product is one call: C = op(A) op(B), or C += op(A) op(B).
type product struct {
	*kernels
	form          form
	m, n, k       int
	a, b, c       []float32
	lda, ldb, ldc int
	accumulate    bool
	depth         int // length of the blocks of k; the last may be shorter
}

// newProduct checks the operands. It reports false when nothing is left to do: there is no element of C, or nothing to
// sum, for which it has cleared C unless accumulate.
func newProduct(lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) (product, bool) {
	if m < 0 || n < 0 || k < 0 {
		panic("cpu: gemm: negative size")
	}
	if m == 0 || n == 0 {
		return product{}, false
	}
	fits := func(rows, columns int, x []float32, ld int) bool {
		return rows == 0 || columns == 0 || ld >= columns && len(x) >= (rows-1)*ld+columns
	}
	aRows, aColumns, bRows, bColumns := m, k, k, n
	switch f {
	case nt:
		bRows, bColumns = n, k
	case tn:
		aRows, aColumns = k, m
	}
	if !fits(aRows, aColumns, a, lda) || !fits(bRows, bColumns, b, ldb) || !fits(m, n, c, ldc) {
		panic("cpu: gemm: an operand is shorter than its shape")
	}
	if k == 0 {
		for i := 0; i < m && !accumulate; i++ {
			clear(c[i*ldc : i*ldc+n])
		}
		return product{}, false
	}
	blocks := (k + depthBlock - 1) / depthBlock
	depth := roundUp((k+blocks-1)/blocks, 16)
	return product{levels[lv], f, m, n, k, a, b, c, lda, ldb, ldc, accumulate, depth}, true
}

// gemmScratch is the memory one goroutine needs for products. The zero value is ready.
type gemmScratch struct {
	a, b []float32
}

// gemmSerial computes C = op(A) op(B), plus C when accumulate, on the calling goroutine. lda, ldb and ldc are the
// distances between rows as stored. It does not read or write outside of the three matrices; C must not overlap A or
// B. It panics when a slice is too short.
func gemmSerial(sc *gemmScratch, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	p, ok := newProduct(lv, f, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
	if !ok {
		return
	}
	panel := newPanel(&p, p.n, 1)
	for {
		panel.reserve(&sc.b)
		for i := range panel.pieces() {
			panel.pack(i)
		}
		panel.multiply(sc, 0, p.m, 0, panel.columns)
		if !panel.next() {
			return
		}
	}
}

// gemm is gemmSerial in parallel: the same bits.
func gemm(pl *pool, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	p, ok := newProduct(lv, f, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
	if !ok {
		return
	}
	g := pl.takeGemm()
	defer pl.giveGemm(g)
}
