package cpu

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// operand is a matrix with leading dimension ld, in memory with guards before, between and behind its rows.
type operand struct {
	whole      []float32
	rows, cols int
	ld         int
}

// margin is the number of guards in front of a matrix and behind it.
const margin = 70

func newOperand(rows, cols, gap int, fill float32, value func() float32) *operand {
	o := &operand{rows: rows, cols: cols, ld: cols + gap}
	o.whole = make([]float32, margin+rows*o.ld+margin)
	for i := range o.whole {
		o.whole[i] = fill
	}
	for i := range rows {
		for j := range cols {
			o.whole[margin+i*o.ld+j] = value()
		}
	}
	return o
}

// from is the memory from the first element to the last.
func (o *operand) from() []float32 {
	end := margin
	if o.rows > 0 {
		end += (o.rows-1)*o.ld + o.cols
	}
	return o.whole[margin:end:end]
}

func (o *operand) at(i, j int) float64 { return float64(o.whole[margin+i*o.ld+j]) }

// operand is the element as a product with these kernels reads it.
func (kn kernels) operand(o *operand, i, j int) float64 {
	if kn.bf16 {
		return float64(roundBF16(float32(o.at(i, j))))
	}
	return o.at(i, j)
}

func (kn kernels) String() string {
	if kn.bf16 && kn.Level != AMX {
		return "bf16"
	}
	return kn.Level.String()
}

// allKernels are those that this machine has.
func allKernels() []kernels {
	var all []kernels
	for _, lv := range Levels() {
		all = append(all, kernels{Level: lv})
	}
	if HasBF16() {
		all = append(all, kernels{AVX512, true})
	}
	if HasAMX() {
		all = append(all, kernels{AMX, true})
	}
	return all
}

// survives says that every guard is still there.
func (o *operand) survives(fill float32) bool {
	for i, v := range o.whole {
		at := i - margin
		inside := at >= 0 && at < o.rows*o.ld && at%o.ld < o.cols
		if !inside && math.Float32bits(v) != math.Float32bits(fill) {
			return false
		}
	}
	return true
}

var forms = []struct {
	form
	name string
}{{nn, "NN"}, {nt, "NT"}, {tn, "TN"}}

// testProduct holds one product, in every form, written and added, against float64. A float32 sum of k random terms errs by
// about 1e-7 of the sum of their absolute values; four times that is allowed. With bf16 the operands are rounded before. Whatever the
// number of threads it is the same bits.
func testProduct(t *testing.T, pools []*pool, kn kernels, m, n, k, gap int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(m*10000+n), uint64(k)))
	value := func() float32 { return float32(r.NormFloat64()) }
	nan := float32(math.NaN()) // between the rows of a and b: a number read there and used would show
	for _, f := range forms {
		a, b := newOperand(m, k, gap, nan, value), newOperand(k, n, gap, nan, value)
		ata := func(i, l int) float64 { return kn.operand(a, i, l) }
		atb := func(l, j int) float64 { return kn.operand(b, l, j) }
		switch f.form {
		case tn:
			a = newOperand(k, m, gap, nan, value)
			ata = func(i, l int) float64 { return kn.operand(a, l, i) }
		case nt:
			b = newOperand(n, k, gap, nan, value)
			atb = func(l, j int) float64 { return kn.operand(b, j, l) }
		}
		before := newOperand(m, n, gap, guard, value)
		for _, accumulate := range []bool{false, true} {
			var first []float32
			for _, p := range pools {
				c := &operand{whole: slices.Clone(before.whole), rows: m, cols: n, ld: before.ld}
				gemm(p, kn, f.form, m, n, k, a.from(), a.ld, b.from(), b.ld, c.from(), c.ld, accumulate)
				if !c.survives(guard) {
					t.Fatalf("%v %s %dx%dx%d gap %d: memory around the result was written to", kn, f.name, m, n, k, gap)
				}
				if first != nil {
					if !slices.Equal(first, c.whole) {
						t.Fatalf("%v %s %dx%dx%d gap %d, accumulate %v: other bits with %d threads", kn, f.name, m, n, k, gap, accumulate, len(p.workers)+1)
					}
					continue
				}
				first = c.whole
				for i := range m {
					for j := range n {
						var want, terms float64
						if accumulate {
							want, terms = before.at(i, j), math.Abs(before.at(i, j))
						}
						for l := range k {
							x := ata(i, l) * atb(l, j)
							want += x
							terms += math.Abs(x)
						}
						if got := c.at(i, j); !(math.Abs(got-want) <= 4e-7*terms) {
							t.Fatalf("%v %s %dx%dx%d gap %d, accumulate %v: element %d,%d is %v, want %v", kn, f.name, m, n, k, gap, accumulate, i, j, got, want)
						}
					}
				}
			}
		}
	}
}

// newPools are pools of 1 to n threads; they are closed with the test.
func newPools(t testing.TB, n int) []*pool {
	var all []*pool
	for threads := 1; threads <= n; threads++ {
		p := newPool(threads)
		t.Cleanup(p.close)
		all = append(all, p)
	}
	return all
}

// around are sizes at the edges of a unit.
func around(unit int) []int { return []int{0, 1, unit - 1, unit, unit + 1, 2*unit + 1} }

// TestGemmTiles crosses all sizes at the edges of a tile.
func TestGemmTiles(t *testing.T) {
	pools := newPools(t, 3)
	for _, kn := range allKernels() {
		t.Run(kn.String(), func(t *testing.T) {
			rows, panel := tileOf(kn.Level)
			for _, m := range around(rows) {
				for _, n := range around(panel) {
					for _, k := range []int{0, 1, 7, 8, 9, 15, 16, 17, 40} {
						testProduct(t, pools, kn, m, n, k, (m+n+k)%4)
					}
				}
			}
		})
	}
}

// TestGemmBlocks goes to the edges of a block, one dimension at a time. Some of the products are large enough to be shared
// among workers, one of each has a block more.
func TestGemmBlocks(t *testing.T) {
	pools := newPools(t, 3)
	for _, kn := range allKernels() {
		t.Run(kn.String(), func(t *testing.T) {
			height, _ := tileOf(kn.Level)
			blockM := blockTiles * height
			for _, s := range [][3]int{
				{blockM - 1, 33, 35}, {blockM, 33, 35}, {blockM + 1, 33, 35}, {2*blockM + 1, 17, 24},
				{15, blockN - 1, 7}, {15, blockN, 7}, {15, blockN + 1, 7},
				{31, 47, blockK - 1}, {31, 47, blockK}, {31, 47, blockK + 1}, {13, 35, 2*blockK + 1},
				{64, 64, 63}, {64, 64, 64}, {101, 67, blockK + 77},
			} {
				testProduct(t, pools, kn, s[0], s[1], s[2], 3)
				if s[0]*s[1]*s[2] >= smallProduct {
					testProduct(t, pools[:2], kn, s[0], s[1], s[2], 0)
				}
			}
		})
	}
}

// TestGemmElementsAreIndependent: an element's bits depend on its row of A and its column of B alone, whatever else is in the
// product, also where a block of k ends inside.
func TestGemmElementsAreIndependent(t *testing.T) {
	p := newPools(t, 2)[1]
	const m, n, k = 90, 70, blockK + 70
	r := rand.New(rand.NewPCG(3, 4))
	value := func() float32 { return float32(r.NormFloat64()) }
	x, y := newOperand(k, max(m, k), 0, 0, value).from(), newOperand(k, max(n, k), 0, 0, value).from() // either way round
	for _, kn := range allKernels() {
		for _, f := range forms {
			// at is where row i of A, or column j of B, begins.
			lda, ldb := k, n
			at, bt := func(i int) int { return i * k }, func(j int) int { return j }
			switch f.form {
			case tn:
				lda, at = m, func(i int) int { return i }
			case nt:
				ldb, bt = k, func(j int) int { return j * k }
			}
			whole := make([]float32, m*n)
			gemm(p, kn, f.form, m, n, k, x, lda, y, ldb, whole, n, false)
			for _, part := range [][4]int{{0, 1, 0, 1}, {13, 14, 0, n}, {0, m, 33, 34}, {5, 47, 17, 50}, {1, m, 1, n}} {
				rows, cols := part[1]-part[0], part[3]-part[2]
				c := make([]float32, rows*cols)
				gemm(p, kn, f.form, rows, cols, k, x[at(part[0]):], lda, y[bt(part[2]):], ldb, c, cols, false)
				for i := range rows {
					if !slices.Equal(c[i*cols:(i+1)*cols], whole[(part[0]+i)*n+part[2]:(part[0]+i)*n+part[3]]) {
						t.Fatalf("%v %s: rows and columns %v alone: row %d has other bits", kn, f.name, part, i)
					}
				}
			}
		}
	}
}

// fma32 is x*y + z, rounded once. The product is exact in float64; its sum with z is rounded to the odd number of the two around it, which
// float32 then rounds as it would have rounded the exact sum (Boldo and Melquiond 2008).
func fma32(x, y, z float32) float32 {
	p, q := float64(x)*float64(y), float64(z)
	s := p + q
	b := s - p
	lost := (p - (s - b)) + (q - b) // exact: Knuth's TwoSum
	if u := math.Float64bits(s); lost != 0 && u&1 == 0 {
		if (lost > 0) == (s > 0) {
			u++
		} else {
			u--
		}
		s = math.Float64frombits(u)
	}
	return float32(s)
}

// TestGemmLevelsAgree: all vector levels give the bits of the plain loop: for a block of k after the other a sum in order, with fused
// multiply-adds, which is added to what was there.
func TestGemmLevelsAgree(t *testing.T) {
	if Best() == Generic {
		t.Skip("this machine, or this build, has no vector level")
	}
	// 1 + 2^-24 + 2^-60 is more than halfway to the next number; rounded to float64 before, it would be halfway, and 1.
	if got, want := fma32(1+0x1p-23, 1-0x1p-23, 0x1p-24), float32(1); got != want {
		t.Fatalf("fma32: %v, want %v", got, want)
	}
	if got, want := fma32(0x1p-30, 0x1p-30, 1+0x1p-23), float32(1+0x1p-23); got != want {
		t.Fatalf("fma32: %v, want %v", got, want)
	}
	p := newPools(t, 1)[0]
	const m, n, k = 53, 75, blockK + 90
	r := rand.New(rand.NewPCG(1, 2))
	value := func() float32 { return float32(r.NormFloat64()) }
	for _, f := range forms {
		a, b := newOperand(max(m, k), max(m, k), 0, 0, value), newOperand(max(n, k), max(n, k), 0, 0, value)
		ata := func(i, l int) float32 { return a.whole[margin+i*a.ld+l] }
		atb := func(l, j int) float32 { return b.whole[margin+l*b.ld+j] }
		switch f.form {
		case tn:
			ata = func(i, l int) float32 { return a.whole[margin+l*a.ld+i] }
		case nt:
			atb = func(l, j int) float32 { return b.whole[margin+j*b.ld+l] }
		}
		want := make([]float32, m*n)
		step := (&product{k: k}).stepK()
		for i := range m {
			for j := range n {
				for pc := 0; pc < k; pc += step {
					var sum float32
					for l := pc; l < min(k, pc+step); l++ {
						sum = fma32(ata(i, l), atb(l, j), sum)
					}
					want[i*n+j] += sum
				}
			}
		}
		for _, lv := range Levels()[1:] {
			got := make([]float32, m*n)
			gemm(p, kernels{Level: lv}, f.form, m, n, k, a.from(), a.ld, b.from(), b.ld, got, n, false)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v gives other bits than the plain loop", f.name, lv)
			}
		}
	}
}
