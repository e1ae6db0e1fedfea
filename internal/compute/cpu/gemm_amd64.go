//go:build !noasm

package cpu

import "unsafe"

const haveAssembly = true

// microKernel is the type of the generated kernels; see microRef.
type microKernel = func(k int, a, b, c *float32, ldc int, n int, accumulate int)

var (
	microKernels512 = [15]microKernel{nil, microAVX512x1, microAVX512x2, microAVX512x3, microAVX512x4, microAVX512x5, microAVX512x6, microAVX512x7,
		microAVX512x8, microAVX512x9, microAVX512x10, microAVX512x11, microAVX512x12, microAVX512x13, microAVX512x14}
	microKernelsBF16 = [15]microKernel{nil, microBF16x1, microBF16x2, microBF16x3, microBF16x4, microBF16x5, microBF16x6, microBF16x7,
		microBF16x8, microBF16x9, microBF16x10, microBF16x11, microBF16x12, microBF16x13, microBF16x14}
	microKernels512Half = [15]microKernel{nil, microAVX512Halfx1, microAVX512Halfx2, microAVX512Halfx3, microAVX512Halfx4, microAVX512Halfx5, microAVX512Halfx6,
		microAVX512Halfx7, microAVX512Halfx8, microAVX512Halfx9, microAVX512Halfx10, microAVX512Halfx11, microAVX512Halfx12, microAVX512Halfx13, microAVX512Halfx14}
	microKernelsBF16Half = [15]microKernel{nil, microBF16Halfx1, microBF16Halfx2, microBF16Halfx3, microBF16Halfx4, microBF16Halfx5, microBF16Halfx6,
		microBF16Halfx7, microBF16Halfx8, microBF16Halfx9, microBF16Halfx10, microBF16Halfx11, microBF16Halfx12, microBF16Halfx13, microBF16Halfx14}
	microKernels2 = [7]microKernel{nil, microAVX2x1, microAVX2x2, microAVX2x3, microAVX2x4, microAVX2x5, microAVX2x6}
)

// micro computes the first n columns of a tile by the kernels of the level, whose panels are those of tileOf; below AVX512 n is
// all of them.
func (g *product) micro(rows int, a, b, c []float32, ldc, n, accumulate int) {
	_, _, _ = a[rows*g.depth-1], b[g.panelSize-1], c[(rows-1)*ldc+n-1]
	switch {
	case n <= 16 && g.bf16:
		microKernelsBF16Half[rows](g.depth, &a[0], &b[0], &c[0], 4*ldc, n, accumulate)
	case n <= 16 && g.Level == AVX512:
		microKernels512Half[rows](g.depth, &a[0], &b[0], &c[0], 4*ldc, n, accumulate)
	case g.bf16:
		microKernelsBF16[rows](g.depth, &a[0], &b[0], &c[0], 4*ldc, n, accumulate)
	case g.Level == AVX512:
		microKernels512[rows](g.depth, &a[0], &b[0], &c[0], 4*ldc, n, accumulate)
	case g.Level == AVX2:
		microKernels2[rows](g.depth, &a[0], &b[0], &c[0], 4*ldc, n, accumulate)
	default:
		microGeneric(rows, g.panel, g.depth, a, b, c, ldc, accumulate)
	}
}

// pack is packRef for kc of the block's k from k on, by the kernels of the level; s has total lanes. They write whole vectors: what goes past the width of a row
// lies where the next row comes, or behind the last.
func (g *product) pack(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, total, k, kc int) {
	switch {
	case g.Level == AVX2:
		pack8(dst, stride, s, ld, contiguous, l0, width, total, g.pc+k, kc)
		return
	case !g.Level.wide():
		packRef(dst, stride, s, ld, contiguous, l0, width, g.pc+k, kc)
		return
	case !contiguous:
		if whole := roundUp(width, 16); l0+whole <= total {
			width = whole // what else is in the vector goes where numbers of no consequence go, and no mask is needed
		}
		_, _ = s[(g.pc+k+kc-1)*ld+l0+width-1], dst[(g.depthOf(kc)-1)*stride+roundUp(width, 16)-1]
		columns := packColumnsAVX512
		if g.bf16 {
			columns = packColumnsBF16
		}
		columns(width, kc, &s[(g.pc+k)*ld+l0], 4*ld, &dst[0], 4*stride)
		return
	}
	_, _ = s[(l0+width-1)*ld+g.pc+k+kc-1], dst[(g.depthOf(kc)-1)*stride+roundUp(width, 16)-1]
	rows := packRowsAVX512
	if g.bf16 {
		rows = packRowsBF16
	}
	for l := 0; l < width; l += 16 {
		rows(min(16, width-l), kc, &s[(l0+l)*ld+g.pc+k], 4*ld, &dst[l], 4*stride)
	}
}

// packTiles packs tiles (or panels) of the same width, whose lanes are columns of s from l0 on, of which there are total; a tile lies apart numbers
// behind the one before. It returns how many it has packed: those that have whole vectors in s.
func (g *product) packTiles(dst []float32, width, apart int, s []float32, ld, l0, total, tiles int) int {
	if !g.Level.wide() {
		return 0
	}
	vector := roundUp(width, 16)
	if tiles = min(tiles, (total-l0-vector)/width+1); tiles <= 0 || total-l0 < vector {
		return 0
	}
	_, _ = s[(g.pc+g.kc-1)*ld+l0+(tiles-1)*width+vector-1], dst[(tiles-1)*apart+(g.depth-1)*width+vector-1]
	kernel := packTiles1AVX512
	switch {
	case vector == 32 && g.bf16:
		kernel = packTiles2BF16
	case vector == 32:
		kernel = packTiles2AVX512
	case g.bf16:
		kernel = packTiles1BF16
	}
	kernel(tiles, g.kc, &s[g.pc*ld+l0], 4*ld, 4*width, &dst[0], 4*width, 4*apart)
	return tiles
}

// peakKernel is the loop that Peak runs, and the floating-point operations of a round; nil if there is none.
func peakKernel(bf16 bool) (rounds func(n int), perRound int) {
	// Numbers near 1 of which no sum overflows in the rounds of a call.
	var x [512]float32
	for i := range x {
		x[i] = 1 - float32(i)/1024
	}
	const accumulators512, accumulators2 = 4 * 28, 4 * 12
	switch best := Best(); {
	case bf16 && !HasBF16():
		return nil, 0
	case bf16 && HasAMX():
		config := tileConfig(32, 32)
		return func(n int) { peakAMX(n, &x[0], &config[0]) }, 4 * 4 * 16 * 16 * 64
	case bf16:
		return func(n int) { peakBF16(n, &x[0]) }, accumulators512 * 64
	case best == AVX512:
		return func(n int) { peakAVX512(n, &x[0]) }, accumulators512 * 32
	case best == AVX2:
		return func(n int) { peakAVX2(n, &x[0]) }, accumulators2 * 16
	}
	return nil, 0
}

// first is a pointer to the first number, or nil.
func first(x []float32) *float32 { return unsafe.SliceData(x) }
