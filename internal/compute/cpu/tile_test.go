package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

func TestSeenBits(t *testing.T) {
	for _, window := range []int{0, 1, 5, 64, 100} {
		for _, first := range []int{0, 64, 128} {
			for p := range 260 {
				bits := seenBits(p, first, window)
				lo, hi := visible(p, window)
				for j := range tile {
					if got, want := bits>>j&1 == 1, first+j >= lo && first+j < hi; got != want {
						t.Fatalf("window %d: position %d sees %d: %v, want %v", window, p, first+j, got, want)
					}
				}
			}
		}
	}
}

// eachTile runs a test at every level with some numbers of rows, of which the keys that are seen are all, none, the first, some in the
// middle and single ones in turn. Scores are normal where they are seen and NaN elsewhere.
func eachTile(t *testing.T, f func(t *testing.T, lv Level, rows int, v *vectors, seen []uint64, scores func() []float32, normal func() float32)) {
	for _, lv := range Levels() {
		for _, rows := range []int{0, 1, 2, 7, 56} {
			t.Run(fmt.Sprintf("%v/%d", lv, rows), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(rows), 5))
				v := &vectors{t: t}
				seen := make([]uint64, rows)
				for i := range seen {
					seen[i] = []uint64{math.MaxUint64, 0, 1<<r.IntN(64) - 1, 0x00ffff_ff000000, 1 << r.IntN(64), 1 << 63, 1}[i%7]
				}
				normal := func() float32 { return float32(3 * r.NormFloat64()) }
				scores := func() []float32 {
					s := v.make(rows*tile, normal)
					for i := range s {
						if seen[i/tile]>>(i%tile)&1 == 0 {
							s[i] = float32(math.NaN())
						}
					}
					return s
				}
				f(t, lv, rows, v, seen, scores, normal)
				v.check()
			})
		}
	}
}

func TestSoftmaxRows(t *testing.T) {
	eachTile(t, func(t *testing.T, lv Level, rows int, v *vectors, seen []uint64, scores func() []float32, normal func() float32) {
		s, m := scores(), v.make(rows, normal)
		for i := range m {
			if i%2 == 0 {
				m[i] = negInf // the first tile
			}
		}
		change, sums := v.make(rows, normal), v.make(rows, normal)
		wantS, wantM, wantChange, wantSums := widen(s), widen(m), widen(change), widen(sums)
		softmaxRowsRef(wantS, seen, wantM, wantChange, wantSums)
		softmaxRows(lv, s, seen, m, change, sums)
		for i := range rows {
			if float64(m[i]) != wantM[i] {
				t.Fatalf("row %d: maximum %v, want %v", i, m[i], wantM[i])
			}
			if c := float64(change[i]); c != wantChange[i] && !(math.Abs(c-wantChange[i]) <= 1e-6) {
				t.Fatalf("row %d: change %v, want %v", i, c, wantChange[i])
			}
		}
		near(t, "exponential", s, wantS, 1e-6)
		near(t, "sum", sums, wantSums, 2e-6)
	})
}

func TestSoftmaxRowsBack(t *testing.T) {
	eachTile(t, func(t *testing.T, lv Level, rows int, v *vectors, seen []uint64, scores func() []float32, normal func() float32) {
		s, ds := scores(), scores()
		lse, delta := v.make(rows, func() float32 { return 9 + normal()/10 }), v.make(rows, normal)
		wantS, wantDS := widen(s), widen(ds)
		softmaxRowsBackRef(wantS, wantDS, seen, widen(lse), widen(delta))
		softmaxRowsBack(lv, s, ds, seen, lse, delta)
		near(t, "probability", s, wantS, 1e-6)
		near(t, "gradient of a score", ds, wantDS, 2e-6)
	})
}

// TestSoftmaxNotANumber: a NaN among the scores that are seen spoils its row and no other.
func TestSoftmaxNotANumber(t *testing.T) {
	for _, lv := range Levels() {
		for at := range tile {
			s, m := make([]float32, 2*tile), []float32{negInf, negInf}
			s[at] = float32(math.NaN())
			change, sums := make([]float32, 2), make([]float32, 2)
			softmaxRows(lv, s, []uint64{math.MaxUint64, math.MaxUint64}, m, change, sums)
			if sums[0] == sums[0] || sums[1] != tile {
				t.Fatalf("%v: a NaN at %d makes the sums %v, want NaN and %d", lv, at, sums, tile)
			}
		}
	}
}

func TestRows(t *testing.T) {
	eachLevel(t, func(t *testing.T, lv Level, n int, v *vectors, normal func() float32) {
		for _, rows := range []int{0, 1, 3} {
			x, y := newOperand(rows, n, 5, guard, normal), newOperand(rows, n, 3, guard, normal)
			xs, ys := x.from(), y.from()
			a := v.make(rows, normal)

			out := v.make(rows, normal)
			want := make([]float64, rows)
			dotRowsRef(n, want, widen(ys), y.ld, widen(xs), x.ld)
			dotRows(lv, n, out, ys, y.ld, xs, x.ld)
			near(t, "dot", out, want, 1e-5*math.Sqrt(float64(n+1)))

			want = widen(ys)
			addRowsRef(rows, n, want, y.ld, widen(xs), x.ld)
			addRows(lv, rows, n, ys, y.ld, xs, x.ld)
			near(t, "sum", ys, want, 2e-7)

			scaleRowsRef(n, want, y.ld, widen(xs), x.ld, widen(a))
			scaleRows(lv, n, ys, y.ld, xs, x.ld, a)
			near(t, "product", ys, want, 2e-7)

			clearRows(rows, n, ys, y.ld)
			for i := range rows {
				for j := range n {
					if y.at(i, j) != 0 {
						t.Fatalf("row %d, column %d is %v after clearing", i, j, y.at(i, j))
					}
				}
			}
			if !x.survives(guard) || !y.survives(guard) {
				t.Fatal("memory around the rows was written to")
			}
		}
	})
}
