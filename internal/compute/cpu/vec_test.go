package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// edges are lengths around the borders of vectors (16), of the unrolled loops and of nothing.
var edges = []int{0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000}

// vectors are arguments of a kernel, in memory with guards around each.
type vectors struct {
	t     *testing.T
	whole [][]float32
}

const guard = 12345.5

// make gives n numbers from f between guards.
func (v *vectors) make(n int, f func() float32) []float32 {
	const margin = 20
	whole := make([]float32, n+2*margin)
	for i := range whole {
		whole[i] = guard
		if i >= margin && i < margin+n {
			whole[i] = f()
		}
	}
	v.whole = append(v.whole, whole)
	return whole[margin : margin+n : margin+n]
}

// check says that no guard was written to.
func (v *vectors) check() {
	v.t.Helper()
	for k, w := range v.whole {
		for i := range 20 {
			if w[i] != guard || w[len(w)-1-i] != guard {
				v.t.Fatalf("argument %d: memory around it was written to", k)
			}
		}
	}
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// eachLevel runs a test at every level of this machine and every edge length.
func eachLevel(t *testing.T, f func(t *testing.T, lv Level, n int, v *vectors, normal func() float32)) {
	for _, lv := range Levels() {
		for _, n := range edges {
			t.Run(fmt.Sprintf("%v/%d", lv, n), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(n), 3))
				v := &vectors{t: t}
				f(t, lv, n, v, func() float32 { return float32(r.NormFloat64()) })
				v.check()
			})
		}
	}
}

// near wants got within share of want, or of one where want is smaller.
func near(t *testing.T, what string, got []float32, want []float64, share float64) {
	t.Helper()
	for i, w := range want {
		if !(math.Abs(float64(got[i])-w) <= share*max(1, math.Abs(w))) {
			t.Fatalf("%s %d is %v, want %v", what, i, got[i], w)
		}
	}
}

// exponentialShare is the relative error of e^(x-shift): 2e-7 of exp32, and what rounding x-shift to float32 makes of it.
func exponentialShare(x, shift float32) float64 {
	return 3e-7 + math.Abs(float64(x-shift))/(1<<24)
}

func TestExponentials(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		x, y := v.make(n, func() float32 { return 10 * normal() }), v.make(n, normal)
		const shift, scale = 2.5, -0.75
		want := make([]float64, n)
		wantSum := expSumRef(want, widen(x), shift)
		got := expSum(lv, y, x, shift)
		for i, w := range want {
			if !(math.Abs(float64(y[i])-w) <= exponentialShare(x[i], shift)*w+1e-37) {
				t.Fatalf("e^(%v-%v) is %v, want %v", x[i], shift, y[i], w)
			}
		}
		if !(math.Abs(float64(got)-wantSum) <= 2e-6*wantSum) {
			t.Errorf("the sum is %v, want %v", got, wantSum)
		}
		expScaleRef(want, widen(x), shift, scale)
		expScale(lv, y, x, shift, scale)
		for i, w := range want {
			if !(math.Abs(float64(y[i])-w) <= exponentialShare(x[i], shift)*-w+1e-37) {
				t.Fatalf("e^(%v-%v) times %v is %v, want %v", x[i], shift, scale, y[i], w)
			}
		}
	})
}

// TestExponentialEnds: where e^x becomes 0, infinite or stays a NaN, in any place of a vector, at every level.
func TestExponentialEnds(t *testing.T) {
	inf := math.Inf(1)
	for _, lv := range Levels() {
		for _, x := range []float64{-inf, -1e30, -200, -87.4, -87.2, -1e-30, 0, 1e-30, 87, 88.3, 88.4, 88.5, 88.7, 90, 1e30, inf, math.NaN()} {
			want := math.Exp(x)
			if x < float64(expTable[0]) {
				want = 0
			}
			for at := range 19 {
				y, in := make([]float32, 19), make([]float32, 19)
				in[at] = float32(x)
				expScale(lv, y, in, 0, 1)
				for i, v := range y {
					want := want
					if i != at {
						want = 1
					}
					if got := float64(v); got != want && !(math.Abs(got-want) <= 5e-6*want) && !(want > math.MaxFloat32 && got > math.MaxFloat32) && !(want != want && got != got) {
						t.Fatalf("%v: e^%v in place %d of 19 is %v, want %v", lv, x, i, got, want)
					}
				}
			}
		}
	}
}

func TestReductions(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		x, y := v.make(n, normal), v.make(n, normal)
		if got, want := float64(maxOf(lv, x)), maxRef(widen(x)); got != want {
			t.Errorf("max is %v, want %v", got, want)
		}
		terms := 0.0
		for i := range x {
			terms += math.Abs(float64(x[i]) * float64(y[i]))
		}
		if got, want := float64(dot(lv, x, y)), dotRef(widen(x), widen(y)); !(math.Abs(got-want) <= 1e-6*terms) {
			t.Errorf("dot is %v, want %v", got, want)
		}
		if got, want := sumSquares(lv, x), sumSquaresRef(widen(x)); !(math.Abs(got-want) <= 1e-12*want) {
			t.Errorf("sum of squares is %v, want %v", got, want)
		}
	})
}

func TestElementwise(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		x, y, z := v.make(n, normal), v.make(n, normal), v.make(n, normal)
		a, b := v.make(n, normal), v.make(n, normal)
		wantA := widen(a)
		axpyRef(wantA, 0.25, widen(x))
		axpy(lv, a, 0.25, x)
		near(t, "axpy", a, wantA, 2e-7)

		scaleRef(wantA, -1.5, widen(x))
		scale(lv, a, -1.5, x)
		near(t, "scale", a, wantA, 2e-7)
		wantB := widen(y)

		siluMulRef(wantA, widen(x), widen(y))
		siluMul(lv, a, x, y)
		near(t, "silu", a, wantA, 2e-6)
		again, wantAgain := make([]float32, len(x)), make([]float64, len(x))
		siluMulBackRef(wantAgain, wantA, wantB, widen(z), widen(x), widen(y))
		siluMulBack(lv, again, a, b, z, x, y)
		near(t, "silu again", again, wantAgain, 2e-6)
		near(t, "gradient of the gate", a, wantA, 2e-6)
		near(t, "gradient of up", b, wantB, 2e-6)

		geluRef(wantA, widen(x))
		gelu(lv, a, x)
		near(t, "gelu", a, wantA, 2e-6)
		geluBackRef(wantAgain, wantA, widen(z), widen(x))
		geluBack(lv, again, a, z, x)
		near(t, "gelu again", again, wantAgain, 2e-6)
		near(t, "gradient of gelu", a, wantA, 4e-6)

		geluTanhRef(wantA, widen(x))
		geluTanh(lv, a, x)
		near(t, "gelu by tanh", a, wantA, 2e-6)
		geluTanhBackRef(wantAgain, wantA, widen(z), widen(x))
		geluTanhBack(lv, again, a, z, x)
		near(t, "gelu by tanh again", again, wantAgain, 2e-6)
		near(t, "gradient of gelu by tanh", a, wantA, 4e-6)
	})
}

// TestNotANumber: a NaN and an infinity come out as they do of the plain loops.
func TestNotANumber(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, lv := range Levels() {
		for _, n := range []int{1, 17, 40} {
			for at := range n {
				x := make([]float32, n)
				y := make([]float32, n)
				x[at] = nan
				if m := maxOf(lv, x); m == m {
					t.Errorf("%v: max with a NaN at %d of %d is %v", lv, at, n, m)
				}
				if s := expSum(lv, y, x, 0); s == s || y[at] == y[at] {
					t.Errorf("%v: sum of exponentials with a NaN at %d of %d is %v", lv, at, n, s)
				}
				x[at] = -inf
				if s := expSum(lv, y, x, 0); s != float32(n-1) || y[at] != 0 {
					t.Errorf("%v: sum of exponentials with -Inf at %d of %d is %v, want %d", lv, at, n, s, n-1)
				}
				x[at] = inf
				if expScale(lv, y, x, 0, 1); y[at] != inf {
					t.Errorf("%v: e^Inf is %v", lv, y[at])
				}
			}
		}
	}
}
