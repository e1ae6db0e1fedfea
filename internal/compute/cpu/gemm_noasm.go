//go:build !(amd64 || arm64) || noasm

package cpu

const haveAssembly = false

func (g *product) micro(rows int, a, b, c []float32, ldc, _, accumulate int) {
	microGeneric(rows, g.panel, g.depth, a, b, c, ldc, accumulate)
}

func (g *product) pack(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, _, k, kc int) {
	packRef(dst, stride, s, ld, contiguous, l0, width, g.pc+k, kc)
}

func (g *product) packTiles([]float32, int, int, []float32, int, int, int, int) int { return 0 }

func peakKernel(bool) (rounds func(n int), perRound int) { return nil, 0 }
