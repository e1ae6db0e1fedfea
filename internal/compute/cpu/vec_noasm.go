//go:build !amd64 || noasm

package cpu

import "dpotrain/internal/compute"

// No level of these builds calls any of these: only those of x86-64 have vector kernels.

func maxVector(_ Level, x []float32) float32                       { return maxRef(x) }
func expSumVector(_ Level, y, x []float32, shift float32) float32  { return expSumRef(y, x, shift) }
func expScaleVector(_ Level, y, x []float32, shift, scale float32) { expScaleRef(y, x, shift, scale) }
func dotVector(_ Level, x, y []float32) float32                    { return dotRef(x, y) }
func scaleVector(_ Level, y []float32, a float32, x []float32)     { scaleRef(y, a, x) }
func softmaxRowsVector(_ Level, s []float32, seen []uint64, m, change, sums []float32) {
	softmaxRowsRef(s, seen, m, change, sums)
}
func softmaxRowsBackVector(_ Level, s, ds []float32, seen []uint64, lse, delta []float32) {
	softmaxRowsBackRef(s, ds, seen, lse, delta)
}
func scaleRowsVector(_ Level, n int, y []float32, ldy int, x []float32, ldx int, a []float32) {
	scaleRowsRef(n, y, ldy, x, ldx, a)
}
func dotRowsVector(_ Level, n int, out, y []float32, ldy int, x []float32, ldx int) {
	dotRowsRef(n, out, y, ldy, x, ldx)
}
func addRowsVector(_ Level, rows, n int, y []float32, ldy int, x []float32, ldx int) {
	addRowsRef(rows, n, y, ldy, x, ldx)
}
func axpyVector(_ Level, y []float32, a float32, x []float32) { axpyRef(y, a, x) }
func siluMulVector(_ Level, y, gate, up []float32)            { siluMulRef(y, gate, up) }
func siluMulBackVector(_ Level, y, dGate, dUp, dy, gate, up []float32) {
	siluMulBackRef(y, dGate, dUp, dy, gate, up)
}
func adamWVector(_ Level, w, g, m, v []float32, c adamWCoefficients) { adamWRef(w, g, m, v, c) }
func adamWMomentsVector(_ Level, w, g []float32, m, v moments, element uint32, key noiseKey, c adamWCoefficients) {
	adamWMomentsRef(w, g, m, v, element, key, c)
}

func sumSquaresVector(_ Level, x []float32) float64 { return sumSquaresRef(x) }
func rmsNormVector(_ Level, y, x, w []float32, eps float64) float32 {
	return rmsNormRef(y, x, w, eps)
}
func rmsNormBackwardVector(_ Level, dx, dy, x, w []float32, rstd float32) {
	rmsNormBackwardRef(dx, dy, x, w, rstd)
}
func rmsNormWeightVector(_ Level, dw []float32, dy, x compute.Mat, rstd []float32, from, to int) {
	rmsNormWeightRef(dw, dy, x, rstd, from, to)
}
func layerNormVector(_ Level, y, x, w, b []float32, eps float64) (mean, rstd float32) {
	return layerNormRef(y, x, w, b, eps)
}
func layerNormBackwardVector(_ Level, dx, dy, x, w []float32, mean, rstd float32) {
	layerNormBackwardRef(dx, dy, x, w, mean, rstd)
}
func layerNormWeightVector(_ Level, dw, db []float32, dy, x compute.Mat, mean, rstd []float32, from, to int) {
	layerNormWeightRef(dw, db, dy, x, mean, rstd, from, to)
}
func columnSumsVector(_ Level, dst []float32, dy compute.Mat, from, to int) {
	columnSumsRef(dst, dy, from, to)
}
func ropeVector(_ Level, x, cos, sin []float32, sign float32) { ropeRef(x, cos, sin, sign) }
func geluVector(_ Level, y, x []float32)                      { geluRef(y, x) }
func geluBackVector(_ Level, y, dx, dy, x []float32)          { geluBackRef(y, dx, dy, x) }
func geluTanhVector(_ Level, y, x []float32)                  { geluTanhRef(y, x) }
func geluTanhBackVector(_ Level, y, dx, dy, x []float32)      { geluTanhBackRef(y, dx, dy, x) }
