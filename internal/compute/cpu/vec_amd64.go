//go:build !noasm

package cpu

import (
	"math"
	"slices"
)

// The functions here call the generated kernels of a level, whose arguments are not empty and of one length.

// constants is the table of a level: AVX-512 keeps the constants in registers, AVX2 reads 8 of each from memory.
func (l Level) constants(table, table8 []float32) *float32 {
	if l == AVX2 {
		return &table8[0]
	}
	return &table[0]
}

// The tables of kernels with an exponential.
var (
	expTable8      = table8(nil)
	geluTable      = slices.Concat(expTable[:], geluConstants[:])
	geluTable8     = table8(geluConstants[:])
	geluTanhTable  = slices.Concat(expTable[:], geluTanhConstants[:])
	geluTanhTable8 = table8(geluTanhConstants[:])
)

// geluTanhConstants are those of the tanh form of GELU.
var geluTanhConstants = [...]float32{geluC, 0.044715, 0.5, 3 * 0.044715}

// geluConstants are those of GELU; see normal32.
var geluConstants = [...]float32{-0.5, math.Float32frombits(math.MaxInt32), normalSlope,
	0.5 * normalPolynomial[0], 0.5 * normalPolynomial[1], 0.5 * normalPolynomial[2], 0.5 * normalPolynomial[3], 0.5 * normalPolynomial[4], normalDensity}

// table8 is expTable, the bias of an exponent and more, 8 times each.
func table8(more []float32) (t []float32) {
	for _, c := range slices.Concat(expTable[:], []float32{math.Float32frombits(127)}, more) {
		t = append(t, c, c, c, c, c, c, c, c)
	}
	return t
}

func maxVector(lv Level, x []float32) float32 {
	var m float32
	maxKernel(lv, len(x), first(x), &m)
	return m
}

func expSumVector(lv Level, y, x []float32, shift float32) (sum float32) {
	expSumKernel(lv, len(x), first(y), first(x), lv.constants(expTable[:], expTable8), &shift, &sum)
	return sum
}

func expScaleVector(lv Level, y, x []float32, shift, scale float32) {
	expScaleKernel(lv, len(x), first(y), first(x), lv.constants(expTable[:], expTable8), &shift, &scale)
}

func dotVector(lv Level, x, y []float32) (sum float32) {
	dotKernel(lv, len(x), first(x), first(y), &sum)
	return sum
}

func scaleVector(lv Level, y []float32, a float32, x []float32) {
	scaleKernel(lv, len(x), first(y), first(x), &a)
}

func softmaxRowsVector(lv Level, s []float32, seen []uint64, m, change, sums []float32) {
	softmaxRowsKernel(lv, len(seen), first(s), &seen[0], first(m), first(change), first(sums), lv.constants(expTable[:], expTable8))
}

func softmaxRowsBackVector(lv Level, s, ds []float32, seen []uint64, lse, delta []float32) {
	softmaxRowsBackKernel(lv, len(seen), first(s), first(ds), &seen[0], first(lse), first(delta), lv.constants(expTable[:], expTable8))
}

func scaleRowsVector(lv Level, n int, y []float32, ldy int, x []float32, ldx int, a []float32) {
	scaleRowsKernel(lv, len(a), n, first(y), 4*ldy, first(x), 4*ldx, first(a))
}

func dotRowsVector(lv Level, n int, out, y []float32, ldy int, x []float32, ldx int) {
	dotRowsKernel(lv, len(out), n, first(y), 4*ldy, first(x), 4*ldx, first(out))
}

func addRowsVector(lv Level, rows, n int, y []float32, ldy int, x []float32, ldx int) {
	addRowsKernel(lv, rows, n, first(y), 4*ldy, first(x), 4*ldx)
}

func axpyVector(lv Level, y []float32, a float32, x []float32) {
	axpyKernel(lv, len(x), first(y), &a, first(x))
}

func siluMulVector(lv Level, y, gate, up []float32) {
	siluMulKernel(lv, len(y), first(y), first(gate), first(up), lv.constants(expTable[:], expTable8))
}

func siluMulBackVector(lv Level, y, dGate, dUp, dy, gate, up []float32) {
	siluMulBackKernel(lv, len(dy), first(y), first(dGate), first(dUp), first(dy), first(gate), first(up), lv.constants(expTable[:], expTable8))
}

// adamWTable is the coefficients as the kernels want them.
func adamWTable(c adamWCoefficients) [9]float32 {
	return [9]float32{float32(c.gradScale), float32(c.beta1), float32(1 - c.beta1), float32(c.beta2), float32(1 - c.beta2),
		float32(1 / c.rootCorrection), float32(c.eps), float32(c.rate), float32(c.keep)}
}

func adamWVector(lv Level, w, g, m, v []float32, c adamWCoefficients) {
	table := adamWTable(c)
	adamWKernel(lv, len(w), first(w), first(g), first(m), first(v), &table[0])
}

func adamWMomentsVector(lv Level, w, g []float32, m, v moments, element uint32, key noiseKey, c adamWCoefficients) {
	coefficients := adamWTable(c)
	if lv == AVX512 {
		noise := [5]uint32{element, key[0], key[1], noiseMul1, noiseMul2}
		adamWMomentsAVX512(len(w), first(w), first(g), &m[0], &v[0], &coefficients[0], &noise[0])
		return
	}
	const lanes = 8
	var table [16 * lanes]float32
	at := 0
	put := func(bits uint32) {
		for i := range lanes {
			table[at+i] = math.Float32frombits(bits)
		}
		at += lanes
	}
	for _, c := range coefficients {
		put(math.Float32bits(c))
	}
	for _, n := range []uint32{key[0], key[1], noiseMul1, noiseMul2, 1<<16 - 1, lanes} {
		put(n)
	}
	elements := func(from uint32) {
		for i := range lanes {
			table[at+i] = math.Float32frombits(from + uint32(i))
		}
	}
	whole := len(w) / lanes * lanes
	if whole > 0 {
		elements(element)
		adamWMomentsAVX2(whole, first(w), first(g), &m[0], &v[0], &table[0])
	}
	if whole < len(w) { // what is left goes through the same kernel, so that a result does not depend on its place
		var wr, gr [lanes]float32
		var mr, vr [lanes]uint16
		copy(wr[:], w[whole:])
		copy(gr[:], g[whole:])
		copy(mr[:], m[whole:])
		copy(vr[:], v[whole:])
		elements(element + uint32(whole))
		adamWMomentsAVX2(lanes, &wr[0], &gr[0], &mr[0], &vr[0], &table[0])
		copy(w[whole:], wr[:])
		copy(m[whole:], mr[:])
		copy(v[whole:], vr[:])
	}
}

func geluVector(lv Level, y, x []float32) {
	geluKernel(lv, len(x), first(y), first(x), lv.constants(geluTable, geluTable8))
}

func geluBackVector(lv Level, y, dx, dy, x []float32) {
	geluBackKernel(lv, len(x), first(y), first(dx), first(dy), first(x), lv.constants(geluTable, geluTable8))
}

func geluTanhVector(lv Level, y, x []float32) {
	geluTanhKernel(lv, len(x), first(y), first(x), lv.constants(geluTanhTable, geluTanhTable8))
}

func geluTanhBackVector(lv Level, y, dx, dy, x []float32) {
	geluTanhBackKernel(lv, len(x), first(y), first(dx), first(dy), first(x), lv.constants(geluTanhTable, geluTanhTable8))
}
