package cpu

// The level AMX: products of bf16 by the matrix unit of Intel's servers from Sapphire Rapids on (TDPBF16PS), 16 times the multiply-adds of
// AVX-512 in a cycle. Its tiles are registers of up to 16 rows of 64 bytes, whose sizes are configured. Four of them are a tile of C,
// 32x32; two hold 32 rows of A for 32 of k, two the pairs of bf16 of 32 columns of B. Everything else, packing too, is done by the vectors of AVX-512.
//
// An element of C is, for each 32 of k in order, the sum of the 16 products at even k and that of the 16 at odd k, each with fused
// multiply-adds from 0 on; the two are added, and that to the element's sum so far, which begins
// with what C holds where the product is added to it. As VDPBF16PS does, the instruction rounds to the nearest
// whatever the mode, takes numbers too small to be normal for 0 and gives 0 for them.

// tileRows is the height of a tile at level AMX.
const tileRows = 32

// clearDepth puts zeros behind the block's k in the packed panels of B: A has zeros there too, but what is not a number times 0 is none.
func (g *product) clearDepth(b []float32) {
	used := (g.kc + 1) / 2
	for j := range g.panels() {
		clear(b[j*g.panelSize+used*g.panel : (j+1)*g.panelSize])
	}
}
