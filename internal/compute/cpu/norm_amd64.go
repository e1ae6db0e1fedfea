//go:build !noasm

package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// The functions here are the plain ones of norm.go by the generated kernels, for rows that are not empty.

func sumSquaresVector(lv Level, x []float32) (sum float64) {
	sumSquaresKernel(lv, len(x), first(x), &sum)
	return sum
}

func rmsNormVector(lv Level, y, x, w []float32, eps float64) float32 {
	rstd := float32(1 / math.Sqrt(sumSquaresVector(lv, x)/float64(len(x))+eps))
	rmsScaleKernel(lv, len(x), first(y), first(x), first(w), &rstd)
	return rstd
}

func rmsNormBackwardVector(lv Level, dx, dy, x, w []float32, rstd float32) {
	var sum float64
	sumProductsKernel(lv, len(x), first(dy), first(w), first(x), &sum)
	c := float32(sum/float64(len(x))) * rstd * rstd
	rmsBackKernel(lv, len(x), first(dx), first(dy), first(x), first(w), &rstd, &c)
}

func layerNormVector(lv Level, y, x, w, b []float32, eps float64) (mean, rstd float32) {
	var sum, squares float64
	sumKernel(lv, len(x), first(x), &sum)
	m := sum / float64(len(x))
	sumAroundKernel(lv, len(x), first(x), &m, &squares)
	mean, rstd = float32(m), float32(1/math.Sqrt(squares/float64(len(x))+eps))
	layerScaleKernel(lv, len(x), first(y), first(x), first(w), first(b), &mean, &rstd)
	return mean, rstd
}

func layerNormBackwardVector(lv Level, dx, dy, x, w []float32, mean, rstd float32) {
	var sum, dot float64 // of g = dy*w, and of g*x: sum of g*xhat is (dot - mean*sum) * rstd
	sumProductsKernel(lv, len(x), first(dy), first(w), first(x), &dot)
	sumOfProductKernel(lv, len(x), first(dy), first(w), &sum)
	n := float64(len(x))
	a, c := float32(sum/n), float32((dot-float64(mean)*sum)*float64(rstd)/n)
	layerBackKernel(lv, len(x), first(dx), first(dy), first(x), first(w), &mean, &rstd, &a, &c)
}

// widest is the number of columns that a kernel sums at once, at the level that sums most.
const widest = 16

// eachColumns calls sum for columns [from, to), some at a time, and adds what it leaves in sums to dst.
func eachColumns(lv Level, dst []float32, from, to int, sum func(from, n int, sums *float64)) {
	piece := widest
	if lv == AVX2 {
		piece = 8
	}
	for ; from < to; from += piece {
		var sums [widest]float64
		n := min(piece, to-from)
		sum(from, n, &sums[0])
		for j, s := range sums[:n] {
			dst[from+j] += float32(s)
		}
	}
}

func columnSumsVector(lv Level, dst []float32, dy compute.Mat, from, to int) {
	y := from32(dy)
	eachColumns(lv, dst, from, to, func(from, n int, sums *float64) {
		columnSumsKernel(lv, n, dy.Rows, &y[from], 4*dy.Stride, sums)
	})
}

func rmsNormWeightVector(lv Level, dw []float32, dy, x compute.Mat, rstd []float32, from, to int) {
	dys, xs := from32(dy), from32(x)
	eachColumns(lv, dw, from, to, func(from, n int, sums *float64) {
		rmsWeightKernel(lv, n, x.Rows, &dys[from], 4*dy.Stride, &xs[from], 4*x.Stride, first(rstd), sums)
	})
}

func layerNormWeightVector(lv Level, dw, db []float32, dy, x compute.Mat, mean, rstd []float32, from, to int) {
	columnSumsVector(lv, db, dy, from, to)
	dys, xs := from32(dy), from32(x)
	eachColumns(lv, dw, from, to, func(from, n int, sums *float64) {
		layerWeightKernel(lv, n, x.Rows, &dys[from], 4*dy.Stride, &xs[from], 4*x.Stride, first(rstd), first(mean), sums)
	})
}

func from32(m compute.Mat) []float32 { return from[float32](m) }

func ropeVector(lv Level, x, cos, sin []float32, sign float32) {
	half := len(cos)
	ropeKernel(lv, half, first(x), first(x[half:2*half]), first(cos), first(sin), &sign)
}
