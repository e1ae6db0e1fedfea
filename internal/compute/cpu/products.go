package cpu

import (
	"math/rand/v2"
	"time"

	"dpotrain/internal/compute"
)

// Layer is a linear layer as a benchmark wants it: so many tokens through a matrix from In to Out.
type Layer struct {
	Name            string
	Tokens, In, Out int
}

// Layers are those of small language models, of short batches and long, heads too.
var Layers = []Layer{
	{"SmolLM2-135M q, o", 512, 576, 576}, {"SmolLM2-135M q, o", 2048, 576, 576}, {"SmolLM2-135M k, v", 2048, 576, 192},
	{"SmolLM2-135M up", 512, 576, 1536}, {"SmolLM2-135M up", 2048, 576, 1536}, {"SmolLM2-135M down", 2048, 1536, 576},
	{"SmolLM2-135M up", 4096, 576, 1536}, {"SmolLM2-135M head", 512, 576, 49152}, {"GPT-2 qkv", 1024, 768, 2304}, {"GPT-2 up", 1024, 768, 3072},
	{"GPT-2 down", 1024, 3072, 768}, {"GPT-2 head", 512, 768, 50257}, {"15M q, o", 512, 288, 288}, {"15M up", 512, 288, 768},
	{"15M up", 2048, 288, 768}, {"attention", 512, 64, 512},
}

// Flops are the floating-point operations of one of the layer's three products.
func (l Layer) Flops() float64 { return 2 * float64(l.Tokens) * float64(l.In) * float64(l.Out) }

// Peak measures how many floating-point operations a second this CPU can do in matrix products, on so many threads: multiply-adds on
// registers and nothing else. What products reach is a share of it. It takes a tenth of a second. 0 means that there is no assembly for
// this CPU, or no bf16.
func Peak(bf16 bool, threads int) (flops float64) {
	rounds, perRound := peakKernel(bf16)
	if rounds == nil {
		return 0
	}
	p := newPool(threads)
	defer p.close()
	const n = 20000
	for end := time.Now().Add(time.Second / 10); time.Now().Before(end); {
		start := time.Now()
		p.run(threads, func(int, int) { rounds(n) })
		flops = max(flops, float64(threads*n*perRound)/time.Since(start).Seconds())
	}
	return flops
}

// Bandwidth measures how many bytes a second so many threads read from memory.
func Bandwidth(threads int) (bytes float64) {
	p := newPool(threads)
	defer p.close()
	const n = 64 << 20 // 256 MiB, more than caches hold
	x := newFloats(n)
	for i := range x {
		x[i] = 1
	}
	sums := make([]float64, threads)
	pieces := n / chunk
	for range 5 {
		start := time.Now()
		p.run(pieces, func(i, worker int) { sums[worker] += sumSquares(Best(), x[i*chunk:(i+1)*chunk]) })
		bytes = max(bytes, 4*n/time.Since(start).Seconds())
	}
	return bytes
}

// Products times the layer's forward product (NT), that of its input's gradient (NN) and that of its weights' (TN), in operations a second,
// the best of several runs of each. The result's rows are padded as those of a model's head are.
func (d *Device) Products(l Layer) (forward, input, weights float64) {
	r := rand.New(rand.NewPCG(1, 1))
	random := func(rows, cols int) compute.Mat {
		stride := cols
		if cols > 4096 {
			stride = roundUp(cols, 16) + 16
		}
		x := newFloats(rows * stride)
		for i := range x {
			x[i] = r.Float32() - 0.5
		}
		return compute.Mat{Buf: buffer[float32](x), Rows: rows, Cols: cols, Stride: stride}
	}
	x, w, y := random(l.Tokens, l.In), random(l.Out, l.In), random(l.Tokens, l.Out)
	best := func(f func()) float64 {
		fastest := time.Duration(1 << 62)
		for began, runs := time.Now(), 0; runs < 3 || runs < 40 && time.Since(began) < time.Second/4; runs++ {
			start := time.Now()
			f()
			fastest = min(fastest, time.Since(start))
		}
		return l.Flops() / fastest.Seconds()
	}
	return best(func() { d.MatMul(compute.NT, y, x, w, false) }),
		best(func() { d.MatMul(compute.NN, x, y, w, false) }),
		best(func() { d.MatMul(compute.TN, w, y, x, false) })
}
