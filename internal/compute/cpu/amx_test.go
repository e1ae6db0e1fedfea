package cpu

import (
	"math"
	"math/rand/v2"
	"testing"
)

// bf16Kernels are those of allKernels that round.
func bf16Kernels(t *testing.T) (all []kernels) {
	for _, kn := range allKernels() {
		if kn.bf16 {
			all = append(all, kn)
		}
	}
	if all == nil {
		t.Skip("this machine, or this build, does not multiply bf16")
	}
	return all
}

// tdpbf16ps adds to c the products of a and b, 32 numbers or fewer, as the instruction does; see amx.go.
func tdpbf16ps(c float32, a, b []float32) float32 {
	normal := func(x float32) float32 {
		if math.Abs(float64(x)) < 0x1p-126 {
			return 0
		}
		return x
	}
	var sums [2]float32
	for i := range a {
		sums[i%2] = normal(fma32(a[i], b[i], sums[i%2]))
	}
	return normal(normal(c) + normal(sums[0]+sums[1]))
}

// TestAMXBits: products at level AMX are the bits of the plain loop, for one block of k and for two, written and added. Some factors are 2^-70: their products are too
// small to be normal.
func TestAMXBits(t *testing.T) {
	if !HasAMX() {
		t.Skip("this machine, or this build, has no AMX")
	}
	p := newPools(t, 1)[0]
	kn := kernels{AMX, true}
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range []int{1, 31, 32, 33, 100, kn.blockK() + 3} {
		const m, n = 37, 51
		a, b := make([]float32, m*k), make([]float32, k*n)
		for _, x := range [][]float32{a, b} {
			for i := range x {
				x[i] = roundBF16(float32(r.NormFloat64()))
				if r.IntN(8) == 0 {
					x[i] *= 0x1p-70
				}
			}
		}
		for _, accumulate := range []bool{false, true} {
			c := make([]float32, m*n)
			for i := range c {
				c[i] = float32(i)
			}
			gemm(p, kn, nn, m, n, k, a, k, b, n, c, n, accumulate)
			step := (&product{kernels: kn, k: k}).stepK()
			for i := range m {
				for j := range n {
					want := float32(0)
					if accumulate {
						want = float32(i*n + j)
					}
					for pc := 0; pc < k; pc += step {
						for l := pc; l < min(k, pc+step); l += 32 {
							var column []float32
							end := min(k, pc+step, l+32)
							for x := l; x < end; x++ {
								column = append(column, b[x*n+j])
							}
							want = tdpbf16ps(want, a[i*k+l:i*k+end], column)
						}
					}
					if got := c[i*n+j]; got != want {
						t.Fatalf("k %d, accumulate %v: element %d,%d is %v, want %v", k, accumulate, i, j, got, want)
					}
				}
			}
		}
	}
}

// TestProductsOfWhatIsNoNumber: a NaN or an infinity in a row of A or a column of B is seen in that row or column of C and nowhere else, also where
// the last tile and the last numbers of k are filled up.
func TestProductsOfWhatIsNoNumber(t *testing.T) {
	p := newPools(t, 1)[0]
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, kn := range bf16Kernels(t) {
		for _, s := range [][3]int{{40, 70, 64}, {33, 35, 33}, {3, 5, 7}} { // what is longer leaves a NaN where what follows has to put zeros
			m, n, k := s[0], s[1], s[2]
			for _, x := range []float32{nan, inf, -inf} {
				for _, f := range forms {
					a, b, c := make([]float32, m*k), make([]float32, k*n), make([]float32, m*n)
					for i := range a {
						a[i] = 1
					}
					for i := range b {
						b[i] = 1
					}
					lda, ldb := k, n
					atA, atB := (m-1)*k+k-1, (k-1)*n // the last row's last number, the first column's last
					if f.form == tn {
						lda, atA = m, (k-1)*m+m-1
					}
					if f.form == nt {
						ldb, atB = k, k-1
					}
					a[atA], b[atB] = x, x
					gemm(p, kn, f.form, m, n, k, a, lda, b, ldb, c, n, false)
					for i := range m {
						for j := range n {
							want := float32(k)
							switch {
							case i == m-1 && j == 0 && x == x:
								want = inf // the product of two infinities
							case i == m-1 || j == 0:
								want = x
							}
							if got := c[i*n+j]; got != want && (got == got || want == want) {
								t.Fatalf("%v %s %dx%dx%d with %v: element %d,%d is %v, want %v", kn, f.name, m, n, k, x, i, j, got, want)
							}
						}
					}
				}
			}
		}
	}
}
