package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

func maxRef[T float](x []T) T {
	m := T(math.Inf(-1))
	for _, v := range x {
		if v > m || v != v {
			m = v
		}
	}
	return m
}

func expSumRef[T float](y, x []T, shift T) T {
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v - shift))
		y[i] = T(e)
		sum += e
	}
	return T(sum)
}

func expScaleRef[T float](y, x []T, shift, scale T) {
	for i, v := range x {
		y[i] = T(math.Exp(float64(v-shift))) * scale
	}
}

func dotRef[T float](x, y []T) T {
	var sum T
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

func scaleRef[T float](y []T, a T, x []T) {
	for i, v := range x {
		y[i] = a * v
	}
}

func axpyRef[T float](y []T, a T, x []T) {
	for i, v := range x {
		y[i] += a * v
	}
}

func sumSquaresRef[T float](x []T) float64 {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	return sum
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func siluMulRef[T float](y, gate, up []T) {
	for i, g := range gate {
		y[i] = T(float64(g)*sigmoid(float64(g))) * up[i]
	}
}

// siluMulBackRef writes what siluMulRef does, and the gradients of its inputs.
func siluMulBackRef[T float](y, dGate, dUp, dy, gate, up []T) {
	for i, g := range gate {
		s, d := sigmoid(float64(g)), float64(dy[i])
		u := float64(up[i])
		y[i] = T(float64(g)*s) * up[i]
		dUp[i] = T(d * float64(g) * s)
		dGate[i] = T(d * u * s * (1 + float64(g)*(1-s)))
	}
}

func geluRef[T float](y, x []T) {
	for i, v := range x {
		f := float64(v)
		y[i] = T(0.5 * f * (1 + math.Erf(f/math.Sqrt2)))
	}
}

// geluBackRef writes what geluRef does, and the gradient of its input: the derivative of x Phi(x) is Phi(x) + x phi(x), phi being the
// normal density.
func geluBackRef[T float](y, dx, dy, x []T) {
	for i, v := range x {
		f := float64(v)
		p := 0.5 * (1 + math.Erf(f/math.Sqrt2))
		y[i] = T(f * p)
		dx[i] = T(float64(dy[i]) * (p + f*math.Exp(-f*f/2)/math.Sqrt(2*math.Pi)))
	}
}

// geluC is sqrt(2/pi).
const geluC = 0.7978845608028654

func geluTanhRef[T float](y, x []T) {
	for i, v := range x {
		f := float64(v)
		y[i] = T(0.5 * f * (1 + math.Tanh(geluC*(f+0.044715*f*f*f))))
	}
}

// geluTanhBackRef writes what geluTanhRef does, and the gradient of its input.
func geluTanhBackRef[T float](y, dx, dy, x []T) {
	for i, v := range x {
		f := float64(v)
		t := math.Tanh(geluC * (f + 0.044715*f*f*f))
		y[i] = T(0.5 * f * (1 + t))
		dx[i] = T(float64(dy[i]) * (0.5*(1+t) + 0.5*f*(1-t*t)*geluC*(1+3*0.044715*f*f)))
	}
}

// adamWCoefficients are compute.AdamW with what is the same for all elements worked out.
type adamWCoefficients struct {
	beta1, beta2, eps, gradScale float64
	keep                         float64 // 1 - lr * weight decay
	rate                         float64 // lr / (1-beta1^t)
	rootCorrection               float64 // sqrt(1-beta2^t)
}

func coefficients(c compute.AdamW) adamWCoefficients {
	t := float64(c.Step)
	return adamWCoefficients{beta1: c.Beta1, beta2: c.Beta2, eps: c.Epsilon, gradScale: c.GradScale, keep: 1 - c.LearningRate*c.WeightDecay,
		rate: c.LearningRate / (1 - math.Pow(c.Beta1, t)), rootCorrection: math.Sqrt(1 - math.Pow(c.Beta2, t))}
}

func adamWRef[T float](w, g, m, v []T, c adamWCoefficients) {
	for i := range w {
		gi := float64(g[i]) * c.gradScale
		mi := c.beta1*float64(m[i]) + (1-c.beta1)*gi
		vi := c.beta2*float64(v[i]) + (1-c.beta2)*gi*gi
		m[i], v[i] = T(mi), T(vi)
		w[i] = T(float64(w[i])*c.keep - c.rate*mi/(math.Sqrt(vi)/c.rootCorrection+c.eps))
	}
}

// The kernels below pick the assembly of a level where there is one. Levels without run the plain loops of this file, which
// keep several sums so that additions overlap, with the polynomial exponential exp32.

// lanes is the number of partial sums of reductions: element i is added to sum i mod lanes, and the sums are added in halves, so that a
// result is a function of the values alone. At level AVX2 there are 8.
const lanes = 16

func sumLanes(s *[lanes]float32) float32 {
	for half := lanes / 2; half > 0; half /= 2 {
		for i := range half {
			s[i] += s[half+i]
		}
	}
	return s[0]
}

// expTable holds what the exponential is made of: the bounds of x below which e^x is 0, as it would be less than the smallest
// normal number, and above which it is +Inf; 1/ln 2; ln 2 in two parts; the coefficients of Cephes' expf from the highest power down; 1.
var expTable = [12]float32{-87.3, 89, 1.44269504, 0.693359375, -2.12194440e-4, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
	1.6666665459e-1, 5.0000001201e-1, 1}

// exp32 is e^x with a relative error below 2e-7; a NaN stays one.
func exp32(x float32) float32 {
	if x != x {
		return x
	}
	if x < expTable[0] {
		return 0
	}
	if x > 88 { // 2^n could be too large, and e^x not yet
		return float32(math.Exp(float64(x)))
	}
	const magic = 12582912 // 1.5 * 2^23: adding it rounds to a whole number
	n := x*expTable[2] + magic
	n -= magic
	r := x - n*expTable[3]
	r -= n * expTable[4]
	p := expTable[5]
	for _, c := range expTable[6:] {
		p = p*r + c
	}
	p = p*r + 1
	return p * math.Float32frombits(uint32(int32(n)+127)<<23)
}

// maxOf is the largest of x: -Inf of nothing, a NaN if there is one.
func maxOf(lv Level, x []float32) float32 {
	if lv.vectors() && len(x) > 0 {
		return maxVector(lv, x)
	}
	return maxRef(x)
}

// expSum writes y = e^(x-shift) and returns the sum of y; y may be x.
func expSum(lv Level, y, x []float32, shift float32) float32 {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		return expSumVector(lv, y, x, shift)
	}
	var s [lanes]float32
	for i, v := range x {
		y[i] = exp32(v - shift)
		s[i%lanes] += y[i]
	}
	return sumLanes(&s)
}

// expScale writes y = e^(x-shift) * scale; y may be x.
func expScale(lv Level, y, x []float32, shift, scale float32) {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		expScaleVector(lv, y, x, shift, scale)
		return
	}
	for i, v := range x {
		y[i] = exp32(v-shift) * scale
	}
}

// dot is the sum of x*y.
func dot(lv Level, x, y []float32) float32 {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		return dotVector(lv, x, y)
	}
	var s [lanes]float32
	for i, v := range x {
		s[i%lanes] += v * y[i]
	}
	return sumLanes(&s)
}

// scale writes y = a*x; y may be x.
func scale(lv Level, y []float32, a float32, x []float32) {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		scaleVector(lv, y, a, x)
		return
	}
	scaleRef(y, a, x)
}

// axpy adds a*x to y.
func axpy(lv Level, y []float32, a float32, x []float32) {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		axpyVector(lv, y, a, x)
		return
	}
	axpyRef(y, a, x)
}

// sumSquares is the sum of squares, in float64.
func sumSquares(lv Level, x []float32) float64 {
	if lv.vectors() && len(x) > 0 {
		return sumSquaresVector(lv, x)
	}
	var s [4]float64
	i := 0
	for ; i+4 <= len(x); i += 4 {
		for j, v := range x[i : i+4] {
			s[j] += float64(v) * float64(v)
		}
	}
	return s[0] + s[1] + s[2] + s[3] + sumSquaresRef(x[i:])
}

// siluMul writes y = silu(gate) * up.
func siluMul(lv Level, y, gate, up []float32) {
	y, up = y[:len(gate)], up[:len(gate)]
	if lv.vectors() && len(gate) > 0 {
		siluMulVector(lv, y, gate, up)
		return
	}
	for i, g := range gate {
		y[i] = g * sigmoid32(g) * up[i]
	}
}

func sigmoid32(x float32) float32 { return 1 / (1 + exp32(-x)) }

// siluMulBack writes what siluMul does, and the gradients of its inputs; either may be dy.
func siluMulBack(lv Level, y, dGate, dUp, dy, gate, up []float32) {
	n := len(gate)
	y, dGate, dUp, dy, up = y[:n], dGate[:n], dUp[:n], dy[:n], up[:n]
	if lv.vectors() && n > 0 {
		siluMulBackVector(lv, y, dGate, dUp, dy, gate, up)
		return
	}
	for i, g := range gate {
		s, d := sigmoid32(g), dy[i]
		y[i] = g * s * up[i]
		dGate[i] = d * up[i] * s * (1 + g*(1-s))
		dUp[i] = d * g * s
	}
}

// normalPolynomial is that of erf in Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26, from the highest power down;
// normalSlope is its p/sqrt(2), normalDensity 1/sqrt(2 pi).
var normalPolynomial = [5]float32{1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592}

const (
	normalSlope   = 0.3275911 * 0.70710678
	normalDensity = 0.39894228
)

// normal32 is the normal distribution function at x, with an error below 2e-7, and e^(-x^2/2).
func normal32(x float32) (phi, e float32) {
	e = exp32(-0.5 * x * x)
	t := 1 / (1 + normalSlope*float32(math.Abs(float64(x))))
	var p float32
	for _, c := range normalPolynomial {
		p = (p + c) * t
	}
	tail := 0.5 * p * e
	if x < 0 {
		return tail, e
	}
	return 1 - tail, e
}

// gelu writes y = x Phi(x).
func gelu(lv Level, y, x []float32) {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		geluVector(lv, y, x)
		return
	}
	for i, v := range x {
		p, _ := normal32(v)
		y[i] = v * p
	}
}

// geluBack writes what gelu does, and the gradient of its input; dx may be dy.
func geluBack(lv Level, y, dx, dy, x []float32) {
	y, dx, dy = y[:len(x)], dx[:len(x)], dy[:len(x)]
	if lv.vectors() && len(x) > 0 {
		geluBackVector(lv, y, dx, dy, x)
		return
	}
	for i, v := range x {
		p, e := normal32(v)
		y[i] = v * p
		dx[i] = dy[i] * (p + v*e*normalDensity)
	}
}

// tanh32 is 1 - 2/(e^2x + 1).
func tanh32(x float32) float32 { return 1 - 2/(exp32(2*x)+1) }

// geluTanh writes y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).
func geluTanh(lv Level, y, x []float32) {
	y = y[:len(x)]
	if lv.vectors() && len(x) > 0 {
		geluTanhVector(lv, y, x)
		return
	}
	for i, v := range x {
		y[i] = 0.5 * v * (1 + tanh32(geluC*(v+0.044715*v*v*v)))
	}
}

// geluTanhBack writes what geluTanh does, and the gradient of its input; dx may be dy.
func geluTanhBack(lv Level, y, dx, dy, x []float32) {
	y, dx, dy = y[:len(x)], dx[:len(x)], dy[:len(x)]
	if lv.vectors() && len(x) > 0 {
		geluTanhBackVector(lv, y, dx, dy, x)
		return
	}
	for i, v := range x {
		t := tanh32(geluC * (v + 0.044715*v*v*v))
		y[i] = 0.5 * v * (1 + t)
		dx[i] = dy[i] * (0.5*(1+t) + 0.5*v*(1-t*t)*geluC*(1+3*0.044715*v*v))
	}
}

// adamW updates weights and moments.
func adamW(lv Level, w, g, m, v []float32, c adamWCoefficients) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	if lv.vectors() && len(w) > 0 {
		adamWVector(lv, w, g, m, v, c)
		return
	}
	adamWRef(w, g, m, v, c)
}
