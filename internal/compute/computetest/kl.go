package computetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dpotrain/internal/compute"
)

// divergence is what a device makes of rows of a policy's and a reference's logits.
type divergence struct {
	kl, refLSE []float64
	dx         []float32 // gradient of sum(coef * kl) by the policy's logits
}

// upload makes a matrix whose rows lie apart, as those of logits do.
func upload(d compute.Device, rows, cols int, host []float32) compute.Mat {
	m := compute.Mat{Buf: d.Alloc(rows * (cols + 3)), Rows: rows, Cols: cols, Stride: cols + 3}
	for i := range rows {
		d.Upload(m.Buf, i*m.Stride, host[i*cols:(i+1)*cols])
	}
	return m
}

// klOf computes divergences and their gradient of rows of v logits.
func klOf(d compute.Device, v int, policy, reference []float32, coef []float64) (r divergence) {
	rows := len(policy) / v
	x, y := upload(d, rows, v, policy), upload(d, rows, v, reference)
	lse := logSumExps(d, x)
	r.kl, r.refLSE, r.dx = make([]float64, rows), make([]float64, rows), make([]float32, len(policy))
	d.KL(x, y, lse, r.refLSE, r.kl)
	d.KLBackward(y, x, coef, lse, r.refLSE)
	for i := range rows {
		d.Download(r.dx[i*v:(i+1)*v], y.Buf, i*y.Stride)
	}
	return r
}

// logSumExps are those of rows of logits, as LogProbs has them.
func logSumExps(d compute.Device, x compute.Mat) []float64 {
	none := compute.RowTargets{First: make([]int32, x.Rows+1)}
	lse := make([]float64, x.Rows)
	d.LogProbs(x, none, nil, lse, make([]float64, x.Rows), nil, make([]int32, x.Rows))
	return lse
}

// klDifferences holds the divergence in float64 against its definition, and its gradient against central differences.
func klDifferences(t *testing.T) {
	const rows, v, h = 4, 9, 1e-5
	r := rand.New(rand.NewPCG(5, 6))
	x, y, z := reference.Alloc(rows*v), reference.Alloc(rows*v), reference.Alloc(rows*v)
	reference.Upload(y, 0, random(r, rows*v))
	reference.Upload(x, 0, random(r, rows*v))
	for i := range v { // a row that is far away, and one that is near
		reference.Numbers(x)[i] *= 20
		reference.Numbers(x)[v+i] = reference.Numbers(y)[v+i] + 1e-3*float64(i)
	}
	coef := []float64{0.3, -2, 1.5, 0.7}
	lse, refLSE, kl := make([]float64, rows), make([]float64, rows), make([]float64, rows)
	at := func() float64 {
		copy(lse, logSumExps(reference, mat(x, rows, v)))
		reference.KL(mat(x, rows, v), mat(y, rows, v), lse, refLSE, kl)
		sum := 0.0
		for i, k := range kl {
			sum += coef[i] * k
		}
		return sum
	}
	var want []float64
	for j := range reference.Numbers(x) {
		want = append(want, centralDifference(&reference.Numbers(x)[j], h, at))
	}
	at()
	for i := range rows {
		sum := 0.0
		for j := range v {
			p := reference.Numbers(y)[i*v+j] - refLSE[i]
			sum += math.Exp(p) * (p - (reference.Numbers(x)[i*v+j] - lse[i]))
		}
		if !(math.Abs(kl[i]-sum) <= 1e-14+1e-13*sum) {
			t.Errorf("row %d: divergence %.17g, by its definition %.17g", i, kl[i], sum)
		}
	}
	reference.Upload(z, 0, make([]float32, rows*v))
	copy(reference.Numbers(z), reference.Numbers(y))
	reference.KLBackward(mat(z, rows, v), mat(x, rows, v), coef, lse, refLSE)
	for j, g := range reference.Numbers(z) {
		if !(math.Abs(g-want[j]) <= 1e-8) {
			t.Errorf("logit %d: gradient %.12g, central difference %.12g", j, g, want[j])
		}
	}
}

// klCompare holds a device's divergences and gradients against float64: of distributions far apart, near, as near as float32 can tell, and
// the same.
func klCompare(t *testing.T, d compute.Device) {
	for _, v := range []int{1, 15, 16, 17, 64, 300, 4099} {
		for _, apart := range []float32{10, 1, 0.1, 1e-3, 1e-6, 0} {
			r := rand.New(rand.NewPCG(uint64(v), 7))
			y := random(r, 3*v)
			x := slices.Clone(y)
			for i, e := range random(r, 3*v) {
				y[i] = 5*y[i] + 8
				x[i] = y[i] + apart*e
			}
			coef := []float64{0.5, -2, 0}
			got, want := klOf(d, v, x, y, coef), klOf(reference, v, x, y, coef)
			what := fmt.Sprintf("V=%d, %g apart", v, apart)
			for i := range got.kl {
				// Probabilities are right to 5e-7 of themselves; what is left of two that cancel is 0.028 of them or more, or a series.
				if !(got.kl[i] >= 0 && math.Abs(got.kl[i]-want.kl[i]) <= 4e-5*want.kl[i]+1e-13) || apart == 0 && got.kl[i] != 0 {
					t.Errorf("%s: row %d: divergence %.9g, want %.9g", what, i, got.kl[i], want.kl[i])
				}
				if !(math.Abs(got.refLSE[i]-want.refLSE[i]) <= 4e-6) {
					t.Errorf("%s: row %d: log-sum-exp of the reference %.9g, want %.9g", what, i, got.refLSE[i], want.refLSE[i])
				}
			}
			// The difference of two probabilities: the error is a share of theirs, not of its own. Each is of a log-sum-exp and a difference of
			// up to 64, which float32 rounds by 2e-6.
			lse := logSumExps(reference, upload(reference, 3, v, x))
			for i := range got.dx {
				p := math.Abs(coef[i/v]) * math.Exp(float64(max(x[i], y[i]))-min(want.refLSE[i/v], lse[i/v]))
				if !(math.Abs(float64(got.dx[i]-want.dx[i])) <= 1e-5*p+1e-37) || apart == 0 && got.dx[i] != 0 {
					t.Fatalf("%s: logit %d: gradient %.9g, want %.9g", what, i, got.dx[i], want.dx[i])
				}
			}
			// A row's numbers do not depend on the others.
			for i := range 3 {
				alone := klOf(d, v, x[i*v:i*v+v], y[i*v:i*v+v], coef[i:i+1])
				if alone.kl[0] != got.kl[i] || !slices.Equal(alone.dx, got.dx[i*v:i*v+v]) {
					t.Errorf("%s: row %d alone: divergence %.17g, among others %.17g", what, i, alone.kl[0], got.kl[i])
				}
			}
		}
	}
}

// klExtremes: ids that one side rules out, logits far apart, and what is no number; as the plain kernels have it.
func klExtremes(t *testing.T, d compute.Device) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	long := func(first ...float32) []float32 { return append(first, make([]float32, 20)...) }
	for _, tt := range []struct {
		name              string
		policy, reference []float32
		want              float64
	}{
		{"the reference rules an id out", long(0, 0), long(-inf, 0), math.Log(22. / 21)},
		{"both rule it out", long(-inf, 0), long(-inf, 0), 0},
		{"the policy rules it out", long(-inf, 0), long(0, 0), math.Inf(1)},
		{"sure of the same id", long(1e4, 0), long(2e4, 0), 0},
		{"sure of different ids", long(1e4, 0), long(0, 1e4), 1e4},
		{"the reference is sure", long(0, 0), long(1e4, 0), math.Log(22)},
		{"NaN in the policy", long(nan, 0), long(0, 0), math.NaN()},
		{"NaN in the reference", long(0, 0), long(nan, 0), math.NaN()},
		{"+Inf in the policy", long(inf, 0), long(0, 0), math.NaN()},
		{"+Inf in the reference", long(0, 0), long(inf, 0), math.NaN()},
	} {
		for _, dev := range []compute.Device{reference, d} {
			got := klOf(dev, len(tt.policy), tt.policy, tt.reference, []float64{1})
			if !(math.Abs(got.kl[0]-tt.want) <= 1e-6*tt.want) && got.kl[0] != tt.want && !(math.IsNaN(tt.want) && math.IsNaN(got.kl[0])) {
				t.Errorf("%s, %s: %v, want %v", dev.Family(), tt.name, got.kl[0], tt.want)
			}
			if nan := slices.ContainsFunc(got.dx, func(v float32) bool { return v != v }); nan != math.IsNaN(tt.want) {
				t.Errorf("%s, %s: gradient %v", dev.Family(), tt.name, got.dx)
			}
		}
	}
}
