package cpu

import (
	"math"
	"testing"

	"dpotrain/internal/compute"
)

// TestNorms holds norms, their gradients, sums of columns and rotations of rows of n numbers against the plain versions in float64. A
// row's sums are float64 at every level; what is left is the rounding of a few float32 operations.
func TestNorms(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		if n == 0 {
			return
		}
		const rows, eps = 5, 1e-3
		d := &Device{level: lv, threads: 1, pool: newPool(1), scratch: make([]workerScratch, 1)}
		ref := Reference[float64]{}
		far := func() float32 { return 3 + normal() } // a mean far from 0
		type pair struct {
			fast compute.Mat
			wide compute.Mat
		}
		mat := func(rows, cols int, f func() float32) pair {
			x := v.make(rows*cols, f)
			return pair{compute.Matrix(buffer[float32](x), rows, cols), compute.Matrix(buffer[float64](widen(x)), rows, cols)}
		}
		x, w, b, dy := mat(rows, n, far), mat(1, n, far), mat(1, n, normal), mat(rows, n, normal)
		check := func(what string, p pair, share float64) {
			t.Helper()
			got, want := numbers[float32](p.fast.Buf), numbers[float64](p.wide.Buf)
			for i, g := range want {
				if !(math.Abs(float64(got[i])-g) <= share*max(1, math.Abs(g))) {
					t.Fatalf("%s: number %d is %v, want %v", what, i, got[i], g)
				}
			}
		}
		y, dx, dw, db := mat(rows, n, normal), mat(rows, n, normal), mat(1, n, normal), mat(1, n, normal)
		mean, rstd := mat(1, rows, normal), mat(1, rows, normal)

		d.RMSNorm(y.fast, x.fast, w.fast, rstd.fast.Buf, eps)
		ref.RMSNorm(y.wide, x.wide, w.wide, rstd.wide.Buf, eps)
		check("RMSNorm", y, 1e-6)
		check("its rstd", rstd, 3e-7)
		d.RMSNormBackward(dx.fast, dw.fast, dy.fast, x.fast, w.fast, rstd.fast.Buf)
		ref.RMSNormBackward(dx.wide, dw.wide, dy.wide, x.wide, w.wide, rstd.wide.Buf)
		check("RMSNorm's gradient of x", dx, 3e-6)
		check("RMSNorm's gradient of w", dw, 3e-6)

		d.LayerNorm(y.fast, x.fast, w.fast, b.fast, mean.fast.Buf, rstd.fast.Buf, eps)
		ref.LayerNorm(y.wide, x.wide, w.wide, b.wide, mean.wide.Buf, rstd.wide.Buf, eps)
		// One number, or a few near each other, leave rstd up to 1/sqrt(eps) = 32 to multiply the rounding of x - mean.
		check("LayerNorm", y, 1e-4)
		copy(numbers[float64](mean.wide.Buf), widen(numbers[float32](mean.fast.Buf)))
		copy(numbers[float64](rstd.wide.Buf), widen(numbers[float32](rstd.fast.Buf)))
		d.LayerNormBackward(dx.fast, dw.fast, db.fast, dy.fast, x.fast, w.fast, mean.fast.Buf, rstd.fast.Buf)
		ref.LayerNormBackward(dx.wide, dw.wide, db.wide, dy.wide, x.wide, w.wide, mean.wide.Buf, rstd.wide.Buf)
		check("LayerNorm's gradient of x", dx, 1e-4)
		check("LayerNorm's gradient of w", dw, 2e-5)
		check("LayerNorm's gradient of b", db, 3e-6)

		d.AddBiasBackward(db.fast, dy.fast)
		ref.AddBiasBackward(db.wide, dy.wide)
		check("sums of columns", db, 3e-6)

		// Two heads of 2n numbers, and one that is left alone.
		heads := mat(rows, 6*n, normal)
		cos, sin := mat(rows, n, normal), mat(rows, n, normal)
		view := func(m compute.Mat) compute.Heads {
			return compute.Heads{Buf: m.Buf, Stride: m.Stride, HeadStride: 2 * n}
		}
		positions := []int32{0, 4, 2, 2, 1}
		for _, inverse := range []bool{false, true} {
			d.RoPE(view(heads.fast), 2, positions, cos.fast, sin.fast, inverse)
			ref.RoPE(view(heads.wide), 2, positions, cos.wide, sin.wide, inverse)
		}
		check("rotation", heads, 3e-6)
	})
}
