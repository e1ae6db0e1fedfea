// Package cpu is the compute.Device of the CPU: float32, kernels in Go assembly where the CPU has the instructions, in
// plain Go elsewhere, on a pool of workers.
//
// Beside every fast kernel stands its plain version, xxxRef, generic over float32 and float64, which reads like the
// formula. Reference is a Device made of the plain versions alone: in float64 it is what tests hold the fast kernels
// and whole models against.
//
// To add a kernel: the plain version, the method of Device, the method of Reference, a case in package computetest.
package cpu

import (
	"runtime"

	"dpotrain/internal/compute"
)

// Device computes in float32 with the kernels of one level.
type Device struct {
	level     Level
	linear    kernels // of matrix products: of the same level, or of AMX
	threads   int
	pool      *pool
	scratch   []workerScratch
	blocks    []block
	families  []family
	sums      []float64
	headGrads []float32 // of keys and values, of every head

	on   operands
	work work
}

// operands are those of the operation at hand. Its kernels read them from here and capture nothing: a closure that captures them would be
// garbage of some hundred bytes, at every call. An operation empties them at its end, so that they hold on to no buffer.
type operands struct {
	y, x, u, dy, dx, du compute.Mat // that are gone through row by row
	w, b, dw, db        []float32   // of one row: weights and biases, and their gradients
	mean, rstd          []float32   // [N]
	eps                 float64
	vector              bool    // the assembly is to be used
	ids                 []int32 // rows of a table, or positions
	heads               compute.Heads
	count               int // of heads
	inverse             bool
	targets             compute.RowTargets
	logps, lse, entropy []float64
	collision           []float64 // nil: not wanted
	refLSE, kl          []float64
	best                []int32
	attention           attentionOperands
	all, g, m, v        []float32 // whole buffers
	m16, v16            moments
	from, to            int
	adamW               adamWCoefficients
	noise               noiseKey
}

// work is what the workers do: one of the functions for each piece.
type work struct {
	call    func(piece, worker int) // for the pool, made once
	piece   func(d *Device, piece, worker int)
	row     func(d *Device, i int)
	columns func(d *Device, from, to int)
	n       int // rows or columns
}

// pieces calls f for every piece in [0, n), in parallel.
func (d *Device) pieces(n int, f func(d *Device, piece, worker int)) {
	if d.work.call == nil {
		d.work.call = func(piece, worker int) { d.work.piece(d, piece, worker) }
	}
	d.work.piece = f
	d.pool.run(n, d.work.call)
}

// workerScratch is the memory of one worker.
type workerScratch struct {
	attention attentionScratch
	row       []float32 // [V]
}

// New opens the CPU. threads 0 means as many as the Go runtime may use. It fails when the CPU lacks the level or the precision asked
// for.
func New(o compute.Options) (*Device, error) {
	o, err := Resolve(o)
	if err != nil {
		return nil, err
	}
	lv, err := ParseLevel(o.CPU)
	if err != nil {
		return nil, err
	}
	n := o.Threads
	if n == 0 {
		n = runtime.GOMAXPROCS(0)
	}
	level := lv
	if lv == AMX {
		level = AVX512
	}
	return &Device{level: level, linear: kernels{lv, o.Precision == bf16}, threads: n, pool: newPool(n), scratch: make([]workerScratch, n)}, nil
}

// Family implements compute.Device. Products of bf16 at level AMX have other bits than at AVX512, and so the family another name: cpu-amx. Other
// processors than x86-64 have families of their own, as cpu-neon-arm64: Go fuses multiplications and additions on some of them, and its
// exponentials and logarithms differ in the last bit.
func (d *Device) Family() string {
	family := "cpu-" + d.linear.Level.String()
	if runtime.GOARCH != "amd64" {
		family += "-" + runtime.GOARCH
	}
	return family
}

// Threads implements compute.Device.
func (d *Device) Threads() int { return d.threads }

// Close implements compute.Device.
func (d *Device) Close() { d.pool.close() }

// Alloc implements compute.Device.
func (d *Device) Alloc(n int) compute.Buffer { return buffer[float32](newFloats(n)) }

// Upload implements compute.Device.
func (d *Device) Upload(dst compute.Buffer, off int, src []float32) {
	if m, ok := dst.(moments); ok {
		m.upload(off, src)
		return
	}
	copy(numbers[float32](dst)[off:off+len(src)], src)
}

// Download implements compute.Device.
func (d *Device) Download(dst []float32, src compute.Buffer, off int) {
	if m, ok := src.(moments); ok {
		m.download(dst, off)
		return
	}
	copy(dst, numbers[float32](src)[off:off+len(dst)])
}

// Zero implements compute.Device.
func (d *Device) Zero(x compute.Mat) {
	if x.Rows > 1 && x.Stride > x.Cols {
		d.on.x = x
		d.rows(x.Rows, func(d *Device, i int) { clear(row[float32](d.on.x, i)) })
	} else {
		n := x.Rows * x.Cols
		d.on.all = from[float32](x)[:n]
		d.pieces((n+chunk-1)/chunk, func(d *Device, i, _ int) {
			x := d.on.all
			clear(x[i*chunk : min(len(x), (i+1)*chunk)])
		})
	}
	d.on = operands{}
}

// MatMul implements compute.Device.
func (d *Device) MatMul(f compute.Form, dst, a, b compute.Mat, accumulate bool) {
	m, n, k := matMulSizes(f, dst, a, b)
	gemm(d.pool, d.linear, form(f), m, n, k, from[float32](a), a.Stride, from[float32](b), b.Stride, from[float32](dst), dst.Stride, accumulate)
}

// matMulSizes gives m, n and k, and panics when the operands do not fit.
func matMulSizes(f compute.Form, dst, a, b compute.Mat) (m, n, k int) {
	m, k = a.Rows, a.Cols
	if f == compute.TN {
		m, k = k, m
	}
	n, kb := b.Cols, b.Rows
	if f == compute.NT {
		n, kb = kb, n
	}
	if k != kb || dst.Rows != m || dst.Cols != n {
		panic("cpu: MatMul: shapes do not fit")
	}
	return m, n, k
}

// vectors says that rows of n numbers are for the assembly.
func (d *Device) vectors(n int) bool { return d.level.vectors() && n > 0 }

// rowsApiece is the number of rows that make one piece of a row-wise pass.
const rowsApiece = 16

// rows calls f for every row, in parallel.
func (d *Device) rows(n int, f func(d *Device, i int)) {
	d.work.n, d.work.row = n, f
	d.pieces((n+rowsApiece-1)/rowsApiece, func(d *Device, piece, _ int) {
		for i := piece * rowsApiece; i < min(d.work.n, (piece+1)*rowsApiece); i++ {
			d.work.row(d, i)
		}
	})
}

// columnsApiece is the number of columns that make one piece of a pass that sums over rows: whole cache lines.
const columnsApiece = 32

// columns calls f for ranges that cover n columns, in parallel.
func (d *Device) columns(n int, f func(d *Device, from, to int)) {
	d.work.n, d.work.columns = n, f
	d.pieces((n+columnsApiece-1)/columnsApiece, func(d *Device, piece, _ int) {
		d.work.columns(d, piece*columnsApiece, min(d.work.n, (piece+1)*columnsApiece))
	})
}

// growScratch gives every worker room for a row of n numbers.
func (d *Device) growScratch(n int) {
	for i := range d.scratch {
		if len(d.scratch[i].row) < n {
			d.scratch[i].row = make([]float32, n)
		}
	}
}
