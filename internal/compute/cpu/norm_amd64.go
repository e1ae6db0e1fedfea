//go:build !noasm

package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// The functions here are the plain ones of norm.go by the generated AVX-512 kernels, for rows that are not empty.

func sumSquaresVector(x []float32) (sum float64) {
	sumSquaresAVX512(len(x), first(x), &sum)
	return sum
}

func rmsNormVector(y, x, w []float32, eps float64) float32 {
	rstd := float32(1 / math.Sqrt(sumSquaresVector(x)/float64(len(x))+eps))
	rmsScaleAVX512(len(x), first(y), first(x), first(w), &rstd)
	return rstd
}

func rmsNormBackwardVector(dx, dy, x, w []float32, rstd float32) {
	var sum float64
	sumProductsAVX512(len(x), first(dy), first(w), first(x), &sum)
	c := float32(sum/float64(len(x))) * rstd * rstd
	rmsBackAVX512(len(x), first(dx), first(dy), first(x), first(w), &rstd, &c)
}

func layerNormVector(y, x, w, b []float32, eps float64) (mean, rstd float32) {
	var sum, squares float64
	sumAVX512(len(x), first(x), &sum)
	m := sum / float64(len(x))
	sumAroundAVX512(len(x), first(x), &m, &squares)
	mean, rstd = float32(m), float32(1/math.Sqrt(squares/float64(len(x))+eps))
	layerScaleAVX512(len(x), first(y), first(x), first(w), first(b), &mean, &rstd)
	return mean, rstd
}

func layerNormBackwardVector(dx, dy, x, w []float32, mean, rstd float32) {
	var sum, dot float64 // of g = dy*w, and of g*x: sum of g*xhat is (dot - mean*sum) * rstd
	sumProductsAVX512(len(x), first(dy), first(w), first(x), &dot)
	sumOfProductAVX512(len(x), first(dy), first(w), &sum)
	n := float64(len(x))
	a, c := float32(sum/n), float32((dot-float64(mean)*sum)*float64(rstd)/n)
	layerBackAVX512(len(x), first(dx), first(dy), first(x), first(w), &mean, &rstd, &a, &c)
}

// columnPiece is the number of columns that a kernel sums at once.
const columnPiece = 16

func columnSumsVector(dst []float32, dy compute.Mat, from, to int) {
	y := from32(dy)
	for ; from < to; from += columnPiece {
		var sums [columnPiece]float64
		n := min(columnPiece, to-from)
		columnSumsAVX512(n, dy.Rows, &y[from], 4*dy.Stride, &sums[0])
		addSums(dst[from:from+n], &sums)
	}
}

func rmsNormWeightVector(dw []float32, dy, x compute.Mat, rstd []float32, from, to int) {
	dys, xs := from32(dy), from32(x)
	for ; from < to; from += columnPiece {
		var sums [columnPiece]float64
		n := min(columnPiece, to-from)
		rmsWeightAVX512(n, x.Rows, &dys[from], 4*dy.Stride, &xs[from], 4*x.Stride, first(rstd), &sums[0])
		addSums(dw[from:from+n], &sums)
	}
}

func layerNormWeightVector(dw, db []float32, dy, x compute.Mat, mean, rstd []float32, from, to int) {
	columnSumsVector(db, dy, from, to)
	dys, xs := from32(dy), from32(x)
	for ; from < to; from += columnPiece {
		var sums [columnPiece]float64
		n := min(columnPiece, to-from)
		layerWeightAVX512(n, x.Rows, &dys[from], 4*dy.Stride, &xs[from], 4*x.Stride, first(rstd), first(mean), &sums[0])
		addSums(dw[from:from+n], &sums)
	}
}

func addSums(dst []float32, sums *[columnPiece]float64) {
	for j := range dst {
		dst[j] += float32(sums[j])
	}
}

func from32(m compute.Mat) []float32 { return from[float32](m) }

func ropeVector(x, cos, sin []float32, sign float32) {
	half := len(cos)
	ropeAVX512(half, first(x), first(x[half:2*half]), first(cos), first(sin), &sign)
}

func geluTanhVector(y, x []float32) { geluTanhAVX512(len(x), first(y), first(x), &geluTable[0]) }

func geluTanhBackVector(y, dx, dy, x []float32) {
	geluTanhBackAVX512(len(x), first(y), first(dx), first(dy), first(x), &geluTable[0])
}

// geluTable is expTable and the constants of the tanh form of GELU.
var geluTable = func() (t [len(expTable) + 3]float32) {
	copy(t[:], expTable[:])
	copy(t[len(expTable):], []float32{geluC, 0.044715, 0.5})
	return t
}()
