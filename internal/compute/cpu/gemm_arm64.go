//go:build !noasm

package cpu

const haveAssembly = true

// The kernels of kernels_arm64.s.

// microNEON is microRef for 1 to 12 rows and a panel of 8, with fused multiply-adds; ldc is in bytes and k at least 1. It computes
// whole fours of rows: as many numbers are read behind those of each k of a as make the rows up to the next multiple of 4. They may be
// anything, and nothing of them is written.
//
//go:noescape
func microNEON(rows, k int, a, b, c *float32, ldc int, accumulate int)

// transpose8 transposes n squares of 8x8 numbers: rows of src, lds bytes apart, become columns of dst, whose rows are ldd bytes apart.
//
//go:noescape
func transpose8(n int, src *float32, lds int, dst *float32, ldd int)

// peakNEON runs n rounds of the multiply-adds of a k of a whole tile, on registers alone, with the 20 numbers of x.
//
//go:noescape
func peakNEON(n int, x *float32)

// micro computes all n columns of a tile by the kernels of the level.
func (g *product) micro(rows int, a, b, c []float32, ldc, n, accumulate int) {
	if g.Level != NEON {
		microGeneric(rows, g.panel, g.depth, a, b, c, ldc, accumulate)
		return
	}
	_, _, _ = a[(g.depth-1)*rows+roundUp(rows, 4)-1], b[g.panelSize-1], c[(rows-1)*ldc+n-1]
	microNEON(rows, g.depth, &a[0], &b[0], &c[0], 4*ldc, accumulate)
}

// pack is packRef for kc of the block's k from k on, by the kernels of the level; s has total lanes.
func (g *product) pack(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, total, k, kc int) {
	if g.Level != NEON {
		packRef(dst, stride, s, ld, contiguous, l0, width, g.pc+k, kc)
		return
	}
	pack8(dst, stride, s, ld, contiguous, l0, width, total, g.pc+k, kc)
}

func (g *product) packTiles([]float32, int, int, []float32, int, int, int, int) int { return 0 }

// peakKernel is the loop that Peak runs, and the floating-point operations of a round; nil if there is none.
func peakKernel(bf16 bool) (rounds func(n int), perRound int) {
	if bf16 {
		return nil, 0
	}
	var x [20]float32
	for i := range x {
		x[i] = 1 - float32(i)/1024 // no sum overflows in the rounds of a call
	}
	return func(n int) { peakNEON(n, &x[0]) }, 12 * 8 * 2
}
