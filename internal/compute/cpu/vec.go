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

func sumExpRef[T float](x []T, shift T) T {
	var sum float64
	for _, v := range x {
		sum += math.Exp(float64(v - shift))
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

func siluMulBackRef[T float](dGate, dUp, dy, gate, up []T) {
	for i, g := range gate {
		s, d := sigmoid(float64(g)), float64(dy[i])
		u := float64(up[i])
		dUp[i] = T(d * float64(g) * s)
		dGate[i] = T(d * u * s * (1 + float64(g)*(1-s)))
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

func geluTanhBackRef[T float](dx, dy, x []T) {
	for i, v := range x {
		f := float64(v)
		t := math.Tanh(geluC * (f + 0.044715*f*f*f))
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

func maxOf(lv Level, x []float32) float32                       { return maxRef(x) }
func sumExp(lv Level, x []float32, shift float32) float32       { return sumExpRef(x, shift) }
func expScale(lv Level, y, x []float32, shift, scale float32)   { expScaleRef(y, x, shift, scale) }
func dot(lv Level, x, y []float32) float32                      { return dotRef(x, y) }
func axpy(lv Level, y []float32, a float32, x []float32)        { axpyRef(y, a, x) }
func sumSquares(lv Level, x []float32) float64                  { return sumSquaresRef(x) }
func adamW(lv Level, w, g, m, v []float32, c adamWCoefficients) { adamWRef(w, g, m, v, c) }
func siluMul(lv Level, y, gate, up []float32)                   { siluMulRef(y, gate, up) }
func siluMulBack(lv Level, dGate, dUp, dy, gate, up []float32) {
	siluMulBackRef(dGate, dUp, dy, gate, up)
}
func geluTanh(lv Level, y, x []float32)          { geluTanhRef(y, x) }
func geluTanhBack(lv Level, dx, dy, x []float32) { geluTanhBackRef(dx, dy, x) }
