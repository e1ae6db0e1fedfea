package cpu

import (
	"math"
	"math/rand/v2"
	"testing"

	"dpotrain/internal/compute"
)

// coefficientsOf are those of a step.
func coefficientsOf(step int) adamWCoefficients {
	return coefficients(compute.AdamW{LearningRate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.1, Step: step, GradScale: 0.5})
}

// TestAdamWMoments holds the update with moments of bf16 against its plain version in float64, at every level and every edge length. A moment
// is rounded the same way but where the last bits of float32 decide; then it is the other neighbour.
func TestAdamWMoments(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		w, g := v.make(n, normal), v.make(n, normal)
		const margin, mark = 40, 0x7b7b
		m, m2 := make(moments, n+2*margin), make(moments, n+2*margin)
		for i := range m {
			m[i], m2[i] = mark, mark
		}
		inside := func(m moments) moments { return m[margin : margin+n : margin+n] }
		clear(inside(m))
		clear(inside(m2))
		wantW, wantM, wantM2 := widen(w), make(moments, n), make(moments, n)
		const first = 1<<32 - 20 // the count of elements wraps around
		flips := 0
		for step := 1; step <= 20; step++ {
			c := coefficientsOf(step)
			adamWMoments(lv, w, g, inside(m), inside(m2), uint32(first), keyOf(step), c)
			adamWMomentsRef(wantW, widen(g), wantM, wantM2, uint32(first), keyOf(step), c)
			near(t, "weights", w, wantW, 2e-6) // 20 roundings of 2^-24
			for i := range n {
				for _, x := range []struct {
					name      string
					got, want *uint16
				}{{"first", &inside(m)[i], &wantM[i]}, {"second", &inside(m2)[i], &wantM2[i]}} {
					switch d := int(*x.got) - int(*x.want); {
					case d == 1 || d == -1:
						flips++
						*x.want = *x.got // go on from the same
					case d != 0:
						t.Fatalf("step %d, element %d: %s moment %v, want %v", step, i, x.name, widenBF16(*x.got), widenBF16(*x.want))
					}
				}
			}
			for i := range g {
				g[i] = normal()
			}
		}
		// Results differ by some 1e-7 of neighbours that are at least 1/256 apart.
		if limit := 3 + n*40/1000; flips > limit {
			t.Errorf("%d of %d moments are rounded the other way, want at most %d", flips, 40*n, limit)
		}
		v.check()
		for i := range margin {
			if m[i] != mark || m2[i] != mark || m[margin+n+i] != mark || m2[margin+n+i] != mark {
				t.Fatal("memory around the moments was written to")
			}
		}
	})
}

// TestAdamWMomentsPieces: however elements are divided into calls, the bits are the same, for what is random goes by the place.
func TestAdamWMomentsPieces(t *testing.T) {
	for _, lv := range Levels() {
		const n = 1000
		run := func(size int) ([]float32, moments, moments) {
			r := rand.New(rand.NewPCG(7, 7))
			w, g, m, v := make([]float32, n), make([]float32, n), make(moments, n), make(moments, n)
			for step := 1; step <= 3; step++ {
				for i := range g {
					g[i] = float32(r.NormFloat64())
				}
				for a := 0; a < n; a += size {
					b := min(n, a+size)
					adamWMoments(lv, w[a:b], g[a:b], m[a:b], v[a:b], uint32(a), keyOf(step), coefficientsOf(step))
				}
			}
			return w, m, v
		}
		w, m, v := run(n)
		for _, size := range []int{1, 7, 16, 333} {
			w2, m2, v2 := run(size)
			for i := range n {
				if w[i] != w2[i] || m[i] != m2[i] || v[i] != v2[i] {
					t.Fatalf("%v: element %d is another in pieces of %d", lv, i, size)
				}
			}
		}
	}
}

// TestStochasticRounding: on average a rounded number is the number, wherever it lies between its neighbours, for either half of the noise,
// over elements of one step and over steps of one element. Each mean of n draws is held to five standard deviations.
func TestStochasticRounding(t *testing.T) {
	const n = 1 << 16
	for _, x := range []float32{1.00001, 1.001, 1.0039, 1.005, 1.0078, 3.3333333e-5, 7.7e-12, 1e-39, 250.3} {
		low := math.Float32frombits(math.Float32bits(x) &^ (1<<16 - 1))
		high := math.Float32frombits(math.Float32bits(low) + 1<<16)
		share := float64(x-low) / float64(high-low)
		for _, way := range []struct {
			name string
			draw func(i int) uint32
		}{
			{"elements, low half", func(i int) uint32 { return keyOf(3).noise(uint32(i)) & (1<<16 - 1) }},
			{"elements, high half", func(i int) uint32 { return keyOf(3).noise(uint32(i)) >> 16 }},
			{"steps, low half", func(i int) uint32 { return keyOf(i).noise(77) & (1<<16 - 1) }},
			{"steps, high half", func(i int) uint32 { return keyOf(i).noise(77) >> 16 }},
		} {
			up := 0
			for i := range n {
				for _, sign := range []float32{1, -1} {
					switch got := widenBF16(stochasticBF16(sign*x, way.draw(i))); got {
					case sign * high:
						up++
					case sign * low:
					default:
						t.Fatalf("%v became %v, want %v or %v", sign*x, got, sign*low, sign*high)
					}
				}
			}
			want := share * n * 2
			if limit := 5 * 2 * math.Sqrt(n*share*(1-share)); math.Abs(float64(up)-want) > limit {
				t.Errorf("%v by %s: up %d times of %d, want %.0f +- %.0f", x, way.name, up, 2*n, want, limit)
			}
		}
	}
	for _, x := range []float32{0, 1, -1, float32(math.Inf(1)), float32(math.Inf(-1))} {
		for _, noise := range []uint32{0, 1, 1<<16 - 1} {
			if got := widenBF16(stochasticBF16(x, noise)); got != x {
				t.Errorf("%v became %v", x, got)
			}
		}
	}
	for _, bits := range []uint32{0x7fc00000, 0xffc00000, 0x7fffffff, 0xffffffff} {
		x := math.Float32frombits(bits)
		if a, b := widenBF16(stochasticBF16(x, 1<<16-1)), widenBF16(nearestBF16(x)); a == a || b == b {
			t.Errorf("NaN %x became %v and %v", bits, a, b)
		}
	}
}

// TestNoise: bits are set half the time, and noise of neighbouring elements, neighbouring steps and the two halves has nothing in common: each
// pair of bits agrees half the time. Five standard deviations.
func TestNoise(t *testing.T) {
	const n = 1 << 15
	limit := 5 * math.Sqrt(n) / 2
	pairs := map[string]func(i int) (a, b uint32){
		"neighbouring elements": func(i int) (a, b uint32) { return keyOf(5).noise(uint32(i)), keyOf(5).noise(uint32(i + 1)) },
		"neighbouring steps":    func(i int) (a, b uint32) { return keyOf(i).noise(9), keyOf(i + 1).noise(9) },
		"steps of many":         func(i int) (a, b uint32) { return keyOf(1).noise(uint32(i)), keyOf(2).noise(uint32(i)) },
		"the two halves":        func(i int) (a, b uint32) { x := keyOf(1).noise(uint32(i)); return x, x>>16 | x<<16 },
	}
	for name, pair := range pairs {
		for bit := range 32 {
			ones, same := 0, 0
			for i := range n {
				a, b := pair(i)
				ones += int(a >> bit & 1)
				same += int(^(a ^ b) >> bit & 1)
			}
			if math.Abs(float64(ones)-n/2) > limit || math.Abs(float64(same)-n/2) > limit {
				t.Errorf("%s, bit %d: set %d and the same %d times of %d, want half +- %.0f", name, bit, ones, same, n, limit)
			}
		}
	}
}

// TestSecondMomentMoves: under a small gradient the second moment falls from 1 as in float32, where rounding to the nearest would leave it
// where it is. The mean over elements is within 1 % of the exact value.
func TestSecondMomentMoves(t *testing.T) {
	const n, steps, x = 1 << 12, 2000, 0.1
	w, g, m, v := make([]float32, n), make([]float32, n), make(moments, n), make(moments, n)
	for i := range n {
		g[i], v[i] = x, nearestBF16(1)
	}
	want, nearest := 1.0, nearestBF16(1)
	for step := 1; step <= steps; step++ {
		c := coefficientsOf(step)
		c.gradScale = 1
		adamWMoments(Best(), w, g, m, v, 0, keyOf(step), c)
		want = c.beta2*want + (1-c.beta2)*x*x
		nearest = nearestBF16(float32(c.beta2*float64(widenBF16(nearest)) + (1-c.beta2)*x*x))
	}
	var mean float64
	for _, h := range v {
		mean += float64(widenBF16(h)) / n
	}
	if !(math.Abs(mean-want) <= 0.01*want) {
		t.Errorf("the mean of the second moments is %v, want %v", mean, want)
	}
	if got := float64(widenBF16(nearest)); got < 2*want {
		t.Errorf("rounded to the nearest it is %v, as good as %v: the test shows nothing", got, want)
	}
}

func TestMomentsUpload(t *testing.T) {
	d, err := New(compute.Options{Precision: "fp32", CPU: "auto", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	b := d.AllocBF16(6)
	in := []float32{1, 1.00390625, 1.01171875, -3e-39, float32(math.Inf(-1))} // halves of a step: to the even neighbour
	d.Upload(b, 1, in)
	out := make([]float32, 6)
	d.Download(out, b, 0)
	want := []float32{0, 1, 1, 1.015625, widenBF16(nearestBF16(-3e-39)), float32(math.Inf(-1))}
	for i := range want {
		if out[i] != want[i] {
			t.Errorf("number %d is %v, want %v", i, out[i], want[i])
		}
	}
	if out[4] == 0 || !(math.Abs(float64(out[4])+3e-39) <= 5e-41) {
		t.Errorf("-3e-39 became %v", out[4])
	}
}

// BenchmarkAdamW updates a million weights with moments of either format.
func BenchmarkAdamW(b *testing.B) {
	const n = 1 << 20
	w, g, m, v := make([]float32, n), make([]float32, n), make([]float32, n), make([]float32, n)
	m16, v16 := make(moments, n), make(moments, n)
	for i := range g {
		g[i] = float32(i%7-3) / 3
	}
	for _, lv := range Levels() {
		b.Run(lv.String()+"/float32", func(b *testing.B) {
			for i := range b.N {
				adamW(lv, w, g, m, v, coefficientsOf(i+1))
			}
		})
		b.Run(lv.String()+"/bf16", func(b *testing.B) {
			for i := range b.N {
				adamWMoments(lv, w, g, m16, v16, 0, keyOf(i), coefficientsOf(i+1))
			}
		})
	}
}
