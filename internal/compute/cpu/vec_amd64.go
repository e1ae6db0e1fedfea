//go:build !noasm

package cpu

// The functions here call the generated AVX-512 kernels, whose arguments are not empty and of one length.

func maxVector(x []float32) float32 {
	var m float32
	maxAVX512(len(x), first(x), &m)
	return m
}

func expSumVector(y, x []float32, shift float32) (sum float32) {
	expSumAVX512(len(x), first(y), first(x), &expTable[0], &shift, &sum)
	return sum
}

func expScaleVector(y, x []float32, shift, scale float32) {
	expScaleAVX512(len(x), first(y), first(x), &expTable[0], &shift, &scale)
}

func dotVector(x, y []float32) (sum float32) {
	dotAVX512(len(x), first(x), first(y), &sum)
	return sum
}

func scaleVector(y []float32, a float32, x []float32) { scaleAVX512(len(x), first(y), first(x), &a) }

func softmaxRowsVector(s []float32, seen []uint64, m, change, sums []float32) {
	softmaxRowsAVX512(len(seen), first(s), &seen[0], first(m), first(change), first(sums), &expTable[0])
}

func softmaxRowsBackVector(s, ds []float32, seen []uint64, lse, delta []float32) {
	softmaxRowsBackAVX512(len(seen), first(s), first(ds), &seen[0], first(lse), first(delta), &expTable[0])
}

func scaleRowsVector(n int, y []float32, ldy int, x []float32, ldx int, a []float32) {
	scaleRowsAVX512(len(a), n, first(y), 4*ldy, first(x), 4*ldx, first(a))
}

func dotRowsVector(n int, out, y []float32, ldy int, x []float32, ldx int) {
	dotRowsAVX512(len(out), n, first(y), 4*ldy, first(x), 4*ldx, first(out))
}

func addRowsVector(rows, n int, y []float32, ldy int, x []float32, ldx int) {
	addRowsAVX512(rows, n, first(y), 4*ldy, first(x), 4*ldx)
}

func axpyVector(y []float32, a float32, x []float32) { axpyAVX512(len(x), first(y), &a, first(x)) }

func siluMulVector(y, gate, up []float32) {
	siluMulAVX512(len(y), first(y), first(gate), first(up), &expTable[0])
}

func siluMulBackVector(y, dGate, dUp, dy, gate, up []float32) {
	siluMulBackAVX512(len(dy), first(y), first(dGate), first(dUp), first(dy), first(gate), first(up), &expTable[0])
}

// adamWTable is the coefficients as the kernels want them.
func adamWTable(c adamWCoefficients) [9]float32 {
	return [9]float32{float32(c.gradScale), float32(c.beta1), float32(1 - c.beta1), float32(c.beta2), float32(1 - c.beta2),
		float32(1 / c.rootCorrection), float32(c.eps), float32(c.rate), float32(c.keep)}
}

func adamWVector(w, g, m, v []float32, c adamWCoefficients) {
	table := adamWTable(c)
	adamWAVX512(len(w), first(w), first(g), first(m), first(v), &table[0])
}

func adamWMomentsVector(w, g []float32, m, v moments, element uint32, key noiseKey, c adamWCoefficients) {
	table, noise := adamWTable(c), [5]uint32{element, key[0], key[1], noiseMul1, noiseMul2}
	adamWMomentsAVX512(len(w), first(w), first(g), &m[0], &v[0], &table[0], &noise[0])
}
