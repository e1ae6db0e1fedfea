// Package computetest holds every compute.Device to the same measure: the plain kernels in float64, whose gradients are
// themselves held against central differences; and the rule that results do not depend on what else is in a call.
package computetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
)

// reference is the measure.
var reference = cpu.Reference[float64]{}

// operation is one operation with its backward: forward fills out from in and returns the function that fills dIn from
// dOut. dIn is zero before.
type operation struct {
	name    string
	in      []int // lengths of the inputs that have a gradient
	out     int
	forward func(d compute.Device, in []compute.Buffer, out compute.Buffer) (backward func(dOut compute.Buffer, dIn []compute.Buffer))
}

// Layout of the attention cases: a prompt shared by two completions, longer than a key tile; one shared by three, shorter; a sequence on its own.
var segments = []compute.Segment{
	{Start: 0, End: 70},
	{Start: 70, End: 80, PrefixStart: 0, PrefixEnd: 70},
	{Start: 80, End: 150, PrefixStart: 0, PrefixEnd: 70},
	{Start: 150, End: 153},
	{Start: 153, End: 160, PrefixStart: 150, PrefixEnd: 153},
	{Start: 160, End: 161, PrefixStart: 150, PrefixEnd: 153},
	{Start: 161, End: 163, PrefixStart: 150, PrefixEnd: 153},
	{Start: 163, End: 168},
}

const attentionRows = 168

func mat(b compute.Buffer, rows, cols int) compute.Mat { return compute.Matrix(b, rows, cols) }

// operations are all that have a gradient, at sizes around the borders of kernels.
func operations() []operation {
	var ops []operation
	add := func(o operation) { ops = append(ops, o) }
	for _, s := range [][3]int{{1, 1, 1}, {5, 7, 3}, {17, 33, 40}, {15, 31, 29}} {
		m, n, k := s[0], s[1], s[2]
		for f, name := range map[compute.Form]string{compute.NN: "NN", compute.NT: "NT", compute.TN: "TN"} {
			shape := func(a, b compute.Buffer) (x, y compute.Mat) {
				switch f {
				case compute.NT:
					return mat(a, m, k), mat(b, n, k)
				case compute.TN:
					return mat(a, k, m), mat(b, k, n)
				}
				return mat(a, m, k), mat(b, k, n)
			}
			add(operation{fmt.Sprintf("MatMul%s/%dx%dx%d", name, m, n, k), []int{m * k, k * n}, m * n,
				func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
					a, b := shape(in[0], in[1])
					d.MatMul(f, mat(out, m, n), a, b, false)
					return func(dOut compute.Buffer, dIn []compute.Buffer) {
						da, db := shape(dIn[0], dIn[1])
						dc := mat(dOut, m, n)
						switch f {
						case compute.NN:
							d.MatMul(compute.NT, da, dc, b, true)
							d.MatMul(compute.TN, db, a, dc, true)
						case compute.NT:
							d.MatMul(compute.NN, da, dc, b, true)
							d.MatMul(compute.TN, db, dc, a, true)
						case compute.TN:
							d.MatMul(compute.NT, da, b, dc, true)
							d.MatMul(compute.NN, db, a, dc, true)
						}
					}
				}})
		}
	}
	for _, s := range [][2]int{{1, 8}, {5, 7}, {19, 33}} {
		n, c := s[0], s[1]
		size := fmt.Sprintf("/%dx%d", n, c)
		add(operation{"RMSNorm" + size, []int{n * c, c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				rstd := d.Alloc(n)
				d.RMSNorm(mat(out, n, c), mat(in[0], n, c), mat(in[1], 1, c), rstd, 1e-5)
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.RMSNormBackward(mat(dIn[0], n, c), mat(dIn[1], 1, c), mat(dOut, n, c), mat(in[0], n, c), mat(in[1], 1, c), rstd)
				}
			}})
		add(operation{"LayerNorm" + size, []int{n * c, c, c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				mean, rstd := d.Alloc(n), d.Alloc(n)
				d.LayerNorm(mat(out, n, c), mat(in[0], n, c), mat(in[1], 1, c), mat(in[2], 1, c), mean, rstd, 1e-2)
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.LayerNormBackward(mat(dIn[0], n, c), mat(dIn[1], 1, c), mat(dIn[2], 1, c), mat(dOut, n, c), mat(in[0], n, c), mat(in[1], 1, c), mean, rstd)
				}
			}})
		add(operation{"AddBias" + size, []int{n * c, c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				d.Copy(mat(out, n, c), mat(in[0], n, c))
				d.AddBias(mat(out, n, c), mat(in[1], 1, c))
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.Add(mat(dIn[0], n, c), mat(dOut, n, c))
					d.AddBiasBackward(mat(dIn[1], 1, c), mat(dOut, n, c))
				}
			}})
		add(operation{"SiLUMul" + size, []int{n * c, n * c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				d.SiLUMul(mat(out, n, c), mat(in[0], n, c), mat(in[1], n, c))
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.Copy(mat(dIn[0], n, c), mat(dOut, n, c))
					d.SiLUMulBackward(mat(out, n, c), mat(dIn[0], n, c), mat(dIn[1], n, c), mat(dIn[0], n, c), mat(in[0], n, c), mat(in[1], n, c))
				}
			}})
		add(operation{"GELU" + size, []int{n * c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				d.GELU(mat(out, n, c), mat(in[0], n, c))
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.Copy(mat(dIn[0], n, c), mat(dOut, n, c))
					d.GELUBackward(mat(out, n, c), mat(dIn[0], n, c), mat(dIn[0], n, c), mat(in[0], n, c))
				}
			}})
		add(operation{"GELUTanh" + size, []int{n * c}, n * c,
			func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
				d.GELUTanh(mat(out, n, c), mat(in[0], n, c))
				return func(dOut compute.Buffer, dIn []compute.Buffer) {
					d.GELUTanhBackward(mat(out, n, c), mat(dIn[0], n, c), mat(dOut, n, c), mat(in[0], n, c))
				}
			}})
	}
	rows := []int32{3, 0, 3, 1, 3}
	add(operation{"Gather", []int{4 * 35}, 5 * 35,
		func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
			d.Gather(mat(out, 5, 35), mat(in[0], 4, 35), rows)
			return func(dOut compute.Buffer, dIn []compute.Buffer) {
				d.ScatterAdd(mat(dIn[0], 4, 35), mat(dOut, 5, 35), rows)
			}
		}})
	add(ropeOperation())
	for _, a := range []compute.AttentionShape{
		{Heads: 1, KVHeads: 1, HeadDim: 4, Scale: 0.5},
		{Heads: 6, KVHeads: 2, HeadDim: 5, Scale: 0.4},
		{Heads: 2, KVHeads: 2, HeadDim: 8, Scale: 0.3, Window: 7},
		{Heads: 2, KVHeads: 1, HeadDim: 4, Scale: 0.5, Window: 65},
	} {
		add(attentionOperation(a))
	}
	return ops
}

// ropeOperation turns two of three heads' first six numbers of seven.
func ropeOperation() operation {
	const n, heads, dim, half, places = 5, 2, 7, 3, 9
	positions := []int32{0, 1, 8, 3, 3}
	table := func(d compute.Device, f func(float64) float64) compute.Mat {
		v := make([]float32, places*half)
		for i := range v {
			v[i] = float32(f(float64(i/half) * math.Pow(10, -float64(i%half))))
		}
		b := d.Alloc(len(v))
		d.Upload(b, 0, v)
		return mat(b, places, half)
	}
	return operation{"RoPE", []int{n * 3 * dim}, n * 3 * dim,
		func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
			cos, sin := table(d, math.Cos), table(d, math.Sin)
			view := func(b compute.Buffer) compute.Heads { return compute.Heads{Buf: b, Stride: 3 * dim, HeadStride: dim} }
			d.Copy(mat(out, n, 3*dim), mat(in[0], n, 3*dim))
			d.RoPE(view(out), heads, positions, cos, sin, false)
			return func(dOut compute.Buffer, dIn []compute.Buffer) {
				d.Copy(mat(dIn[0], n, 3*dim), mat(dOut, n, 3*dim))
				d.RoPE(view(dIn[0]), heads, positions, cos, sin, true)
			}
		}}
}

// attentionOperation has queries, keys and values side by side, as a model has them.
func attentionOperation(a compute.AttentionShape) operation {
	q, kv := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	width := q + 2*kv
	view := func(b compute.Buffer) (x, y, z compute.Heads) {
		h := compute.Heads{Buf: b, Stride: width, HeadStride: a.HeadDim}
		x, y, z = h, h, h
		y.Off, z.Off = q, q+kv
		return x, y, z
	}
	outView := func(b compute.Buffer) compute.Heads { return compute.Heads{Buf: b, Stride: q, HeadStride: a.HeadDim} }
	return operation{fmt.Sprintf("Attention/%d,%d,%d,window%d", a.Heads, a.KVHeads, a.HeadDim, a.Window), []int{attentionRows * width}, attentionRows * q,
		func(d compute.Device, in []compute.Buffer, out compute.Buffer) func(compute.Buffer, []compute.Buffer) {
			qs, ks, vs := view(in[0])
			lse := d.Alloc(attentionRows * a.Heads)
			d.Attention(outView(out), mat(lse, attentionRows, a.Heads), qs, ks, vs, a, segments)
			return func(dOut compute.Buffer, dIn []compute.Buffer) {
				d.Upload(dIn[0], 0, slices.Repeat([]float32{7}, dIn[0].Len())) // to be overwritten
				dq, dk, dv := view(dIn[0])
				d.AttentionBackward(dq, dk, dv, outView(dOut), outView(out), mat(lse, attentionRows, a.Heads), qs, ks, vs, a, segments)
			}
		}}
}

// random are n normal numbers as float32, so that every device can hold them exactly.
func random(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// result is what an operation made of the same inputs on some device.
type result struct {
	out []float32
	dIn [][]float32
}

// apply runs an operation with inputs and a gradient of the output drawn from a seed.
func apply(d compute.Device, o operation, seed uint64) result {
	r := rand.New(rand.NewPCG(seed, 1))
	load := func(n int) compute.Buffer {
		b := d.Alloc(n)
		d.Upload(b, 0, random(r, n))
		return b
	}
	read := func(b compute.Buffer) []float32 {
		v := make([]float32, b.Len())
		d.Download(v, b, 0)
		return v
	}
	in, dIn := make([]compute.Buffer, len(o.in)), make([]compute.Buffer, len(o.in))
	for i, n := range o.in {
		in[i], dIn[i] = load(n), d.Alloc(n)
	}
	out, dOut := d.Alloc(o.out), load(o.out)
	backward := o.forward(d, in, out)
	res := result{out: read(out)}
	backward(dOut, dIn)
	for _, b := range dIn {
		res.dIn = append(res.dIn, read(b))
	}
	return res
}

// Gradients holds the plain kernels' gradients in float64 against central differences.
func Gradients(t *testing.T) {
	for _, o := range operations() {
		t.Run(o.name, func(t *testing.T) { centralDifferences(t, o) })
	}
	t.Run("LogProbs", logProbsDifferences)
	t.Run("KL", klDifferences)
}

// centralDifferences checks a sample of the elements of every input.
func centralDifferences(t *testing.T, o operation) {
	const h, samples, tolerance = 1e-5, 40, 1e-7
	r := rand.New(rand.NewPCG(7, 2))
	in, dIn := make([]compute.Buffer, len(o.in)), make([]compute.Buffer, len(o.in))
	for i, n := range o.in {
		in[i], dIn[i] = reference.Alloc(n), reference.Alloc(n)
		reference.Upload(in[i], 0, random(r, n))
	}
	out, dOut := reference.Alloc(o.out), reference.Alloc(o.out)
	reference.Upload(dOut, 0, random(r, o.out))
	o.forward(reference, in, out)(dOut, dIn)
	at := func() float64 {
		o.forward(reference, in, out)
		sum := 0.0
		for i, v := range reference.Numbers(out) {
			sum += v * reference.Numbers(dOut)[i]
		}
		return sum
	}
	for i := range in {
		x, g := reference.Numbers(in[i]), reference.Numbers(dIn[i])
		for range min(samples, len(x)) {
			j := r.IntN(len(x))
			if want := centralDifference(&x[j], h, at); !(math.Abs(want-g[j]) <= tolerance*max(1, math.Abs(want))) {
				t.Fatalf("input %d, element %d: gradient %.12g, central difference %.12g", i, j, g[j], want)
			}
		}
	}
}

// centralDifference is the slope of f as x moves by h to either side; x is as before afterwards.
func centralDifference(x *float64, h float64, f func() float64) float64 {
	old := *x
	*x = old + h
	up := f()
	*x = old - h
	down := f()
	*x = old
	return (up - down) / (2 * h)
}

// Two rows share a target count of one, one row has two, one has none.
var logProbTargets = compute.RowTargets{First: []int32{0, 1, 3, 3, 4}, Tokens: []int32{2, 0, 5, 6}}

const logProbRows, logProbVocab = 4, 7

func logProbsDifferences(t *testing.T) {
	const h = 1e-5
	r := rand.New(rand.NewPCG(3, 4))
	x := reference.Alloc(logProbRows * logProbVocab)
	reference.Upload(x, 0, random(r, x.Len()))
	coef := []float64{0.3, -2, 1.5, 0.7}
	logps, lse, entropy, best := make([]float64, 4), make([]float64, 4), make([]float64, 4), make([]int32, 4)
	at := func() float64 {
		reference.LogProbs(mat(x, logProbRows, logProbVocab), logProbTargets, logps, lse, entropy, nil, best)
		sum := 0.0
		for i, l := range logps {
			sum += coef[i] * l
		}
		return sum
	}
	var want []float64
	for j := range reference.Numbers(x) {
		want = append(want, centralDifference(&reference.Numbers(x)[j], h, at))
	}
	at()
	reference.LogProbsBackward(mat(x, logProbRows, logProbVocab), logProbTargets, coef, lse)
	for j, g := range reference.Numbers(x) {
		if !(math.Abs(g-want[j]) <= 1e-7) {
			t.Errorf("logit %d: gradient %.12g, central difference %.12g", j, g, want[j])
		}
	}
}

// Run holds a device to the measure. Tolerances are shares of each tensor's l2: float32 rounds to 6e-8, and the longest
// sums here have some 150 terms.
func Run(t *testing.T, d compute.Device) {
	for _, o := range operations() {
		t.Run(o.name, func(t *testing.T) {
			got, want := apply(d, o, 11), apply(reference, o, 11)
			compare(t, "output", got.out, want.out, 1e-6)
			for i := range got.dIn {
				compare(t, fmt.Sprintf("gradient of input %d", i), got.dIn[i], want.dIn[i], 4e-6)
			}
		})
	}
	t.Run("LogProbs", func(t *testing.T) { logProbsCompare(t, d) })
	t.Run("KL", func(t *testing.T) { klCompare(t, d) })
	t.Run("KLExtremes", func(t *testing.T) { klExtremes(t, d) })
	t.Run("AdamW", func(t *testing.T) { adamWCompare(t, d) })
	t.Run("SumSquares", func(t *testing.T) { sumSquaresCompare(t, d) })
	t.Run("Memory", func(t *testing.T) { memory(t, d) })
	t.Run("RowsAreIndependent", func(t *testing.T) { rowsAreIndependent(t, d) })
}

// compare wants the l2 of the difference below a share of want's l2.
func compare(t *testing.T, what string, got, want []float32, share float64) {
	t.Helper()
	var diff, norm float64
	for i, w := range want {
		e := float64(got[i]) - float64(w)
		diff += e * e
		norm += float64(w) * float64(w)
	}
	if !(math.Sqrt(diff) <= share*math.Sqrt(norm)) {
		t.Errorf("%s: differs by %.3g of an l2 of %.3g; want at most %g of it", what, math.Sqrt(diff), math.Sqrt(norm), share)
	}
}

func logProbsCompare(t *testing.T, d compute.Device) {
	for _, v := range []int{1, 15, 16, 17, 64, 300, 4099} {
		r := rand.New(rand.NewPCG(uint64(v), 5))
		host := random(r, 3*v)
		for i := range host {
			host[i] *= 5
		}
		targets := compute.RowTargets{First: []int32{0, 1, 3, 4}, Tokens: []int32{0, int32(v - 1), int32(v / 2), int32(v / 3)}}
		coef := []float64{0.5, 1, -2, 0.1}
		run := func(d compute.Device) (logps, lse, entropy, collision []float64, best []int32, dx []float32) {
			x := d.Alloc(3 * v)
			d.Upload(x, 0, host)
			logps, lse, entropy, collision, best, dx = make([]float64, 4), make([]float64, 3), make([]float64, 3), make([]float64, 3), make([]int32, 3), make([]float32, 3*v)
			d.LogProbs(mat(x, 3, v), targets, logps, lse, entropy, nil, best)
			d.LogProbs(mat(x, 3, v), targets, logps, lse, entropy, collision, best)
			d.LogProbsBackward(mat(x, 3, v), targets, coef, lse)
			d.Download(dx, x, 0)
			return
		}
		logps, lse, entropy, collision, best, dx := run(d)
		wantLogps, wantLSE, wantEntropy, wantCollision, wantBest, wantDx := run(reference)
		for i := range logps {
			if !(math.Abs(logps[i]-wantLogps[i]) <= 4e-6) {
				t.Errorf("V=%d: log-prob %d is %.9g, want %.9g", v, i, logps[i], wantLogps[i])
			}
		}
		for i := range lse {
			if !(math.Abs(lse[i]-wantLSE[i]) <= 4e-6 && math.Abs(entropy[i]-wantEntropy[i]) <= 4e-5) || best[i] != wantBest[i] {
				t.Errorf("V=%d: row %d: log-sum-exp %.9g, entropy %.9g, best %d; want %.9g, %.9g, %d", v, i, lse[i], entropy[i], best[i], wantLSE[i], wantEntropy[i], wantBest[i])
			}
			if !(math.Abs(collision[i]-wantCollision[i]) <= 4e-6) {
				t.Errorf("V=%d: row %d: log of the sum of squares %.9g, want %.9g", v, i, collision[i], wantCollision[i])
			}
		}
		compare(t, fmt.Sprintf("V=%d: gradient of the logits", v), dx, wantDx, 4e-6)
	}
}

func adamWCompare(t *testing.T, d compute.Device) {
	const n, from, to = 70001, 3, 70000
	run := func(d compute.Device) []float32 {
		r := rand.New(rand.NewPCG(9, 9))
		load := func() compute.Buffer {
			b := d.Alloc(n)
			d.Upload(b, 0, random(r, n))
			return b
		}
		w, m, v := load(), d.Alloc(n), d.Alloc(n)
		for step := 1; step <= 3; step++ {
			d.AdamW(w, load(), m, v, from, to, compute.AdamW{LearningRate: 0.01, Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.1, Step: step, GradScale: 0.5})
		}
		out := make([]float32, n)
		d.Download(out, w, 0)
		return out
	}
	got, want := run(d), run(reference)
	for i := range want {
		if !(math.Abs(float64(got[i]-want[i])) <= 1e-6*max(1, math.Abs(float64(want[i])))) {
			t.Fatalf("weight %d is %v, want %v", i, got[i], want[i])
		}
	}
}

func sumSquaresCompare(t *testing.T, d compute.Device) {
	const n = 50021
	host := random(rand.New(rand.NewPCG(1, 1)), n)
	sum := func(d compute.Device) float64 {
		b := d.Alloc(n)
		d.Upload(b, 0, host)
		return d.SumSquares(b, 1, n)
	}
	if got, want := sum(d), sum(reference); !(math.Abs(got-want) <= 1e-7*want) {
		t.Errorf("%.12g, want %.12g", got, want)
	}
	host[n/2] = float32(math.NaN())
	if got := sum(d); got-got == 0 {
		t.Errorf("with a NaN among the numbers: %g, want something not finite", got)
	}
}

// memory: what is allocated is zero, Upload and Download reach what they are asked for and nothing else, Zero clears all, or some columns of some rows.
func memory(t *testing.T, d compute.Device) {
	for _, n := range []int{0, 1, 1000, 1<<14 - 1, 1 << 14, 3<<14 + 5} {
		host, want := make([]float32, n), make([]float32, n)
		check := func(what string, b compute.Buffer) {
			t.Helper()
			if b.Len() != n {
				t.Fatalf("%d numbers: the buffer has %d", n, b.Len())
			}
			d.Download(host, b, 0)
			for i, v := range host {
				if v != want[i] {
					t.Fatalf("%d numbers, %s: number %d is %v, want %v", n, what, i, v, want[i])
				}
			}
		}
		b := d.Alloc(n)
		check("after Alloc", b)
		from, to := n/3, n-n/4
		part := random(rand.New(rand.NewPCG(uint64(n), 6)), to-from)
		copy(want[from:], part)
		d.Upload(b, from, part)
		check("after Upload", b)
		back := make([]float32, to-from)
		d.Download(back, b, from)
		for i, v := range back {
			if v != part[i] {
				t.Fatalf("%d numbers: number %d comes back as %v, want %v", n, from+i, v, part[i])
			}
		}
		if rows, cols := 3, n/5; cols > 1 {
			some := compute.Mat{Buf: b, Off: cols / 2, Rows: rows, Cols: cols - 1, Stride: cols}
			d.Zero(some)
			for i := range rows {
				clear(want[some.Off+i*some.Stride:][:some.Cols])
			}
			check("after Zero of columns", b)
		}
		d.Zero(compute.Matrix(b, 1, n))
		clear(want)
		check("after Zero", b)
	}
}

// rowsAreIndependent runs row-wise operations on all rows and on single rows: the bits must be the same.
func rowsAreIndependent(t *testing.T, d compute.Device) {
	const n, c, v = 37, 65, 33
	r := rand.New(rand.NewPCG(21, 4))
	load := func(k int) compute.Buffer {
		b := d.Alloc(k)
		d.Upload(b, 0, random(r, k))
		return b
	}
	x, w, bias := load(n*c), load(v*c), load(c)
	for _, o := range []struct {
		name string
		cols int
		run  func(y, x compute.Mat)
	}{
		{"MatMul NT", v, func(y, x compute.Mat) { d.MatMul(compute.NT, y, x, mat(w, v, c), false) }},
		{"MatMul NN", v, func(y, x compute.Mat) { d.MatMul(compute.NN, y, x, mat(w, c, v), false) }},
		{"RMSNorm", c, func(y, x compute.Mat) { d.RMSNorm(y, x, mat(bias, 1, c), d.Alloc(n), 1e-6) }},
		{"LayerNorm", c, func(y, x compute.Mat) {
			d.LayerNorm(y, x, mat(bias, 1, c), mat(bias, 1, c), d.Alloc(n), d.Alloc(n), 1e-6)
		}},
		{"SiLUMul", c, func(y, x compute.Mat) { d.SiLUMul(y, x, x) }},
		{"GELU", c, func(y, x compute.Mat) { d.GELU(y, x) }},
		{"GELUTanh", c, func(y, x compute.Mat) { d.GELUTanh(y, x) }},
	} {
		all := make([]float32, n*o.cols)
		y := d.Alloc(n * o.cols)
		o.run(mat(y, n, o.cols), mat(x, n, c))
		d.Download(all, y, 0)
		for _, rows := range [][2]int{{0, 1}, {5, 6}, {7, 22}, {n - 1, n}} {
			part := make([]float32, (rows[1]-rows[0])*o.cols)
			p := d.Alloc(len(part))
			o.run(mat(p, rows[1]-rows[0], o.cols), mat(x, n, c).RowRange(rows[0], rows[1]))
			d.Download(part, p, 0)
			for i, got := range part {
				if want := all[rows[0]*o.cols+i]; got != want {
					t.Fatalf("%s: rows %v alone: element %d is %v, among all rows %v", o.name, rows, i, got, want)
				}
			}
		}
	}
}
