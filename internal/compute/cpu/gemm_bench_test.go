package cpu

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// layers are the linear layers of small language models: tokens, in, out.
var layers = []struct {
	name            string
	tokens, in, out int
}{
	{"smol_qo_512", 512, 576, 576}, {"smol_kv_2048", 2048, 576, 192}, {"smol_up_512", 512, 576, 1536}, {"smol_down_2048", 2048, 1536, 576},
	{"smol_head_512", 512, 576, 49152}, {"gpt2_qkv_1024", 1024, 768, 2304}, {"m15_up_512", 512, 288, 768}, {"attn_512x64", 512, 64, 512},
}

// BenchmarkProducts times forward (NT), the gradient of the input (NN) and that of the weights (TN) of each layer, in GFLOP/s and as a
// share of the peak that is measured right before: that of the best kernels.
func BenchmarkProducts(b *testing.B) {
	for _, kn := range allKernels() {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			peak, err := Peak(kn.bf16, threads)
			if err != nil {
				b.Log(err)
			}
			for _, l := range layers {
				for f, name := range []string{"NN", "NT", "TN"} {
					b.Run(fmt.Sprintf("%v/threads=%d/%s/%s", kn, threads, l.name, name), func(b *testing.B) {
						benchmarkProduct(b, kn, threads, form(f), l.tokens, l.in, l.out, peak)
					})
				}
			}
		}
	}
}

func benchmarkProduct(b *testing.B, kn kernels, threads int, f form, tokens, in, out int, peak float64) {
	p := newPool(threads)
	defer p.close()
	r := rand.New(rand.NewPCG(1, 1))
	random := func(n int) []float32 {
		x := newFloats(n)
		for i := range x {
			x[i] = r.Float32() - 0.5
		}
		return x
	}
	x, w, y := random(tokens*in), random(out*in), random(tokens*out)
	best := time.Hour
	for b.Loop() {
		start := time.Now()
		switch f {
		case nt:
			gemm(p, kn, f, tokens, out, in, x, in, w, in, y, out, false)
		case nn:
			gemm(p, kn, f, tokens, in, out, y, out, w, in, x, in, false)
		case tn:
			gemm(p, kn, f, out, in, tokens, y, out, x, in, w, in, false)
		}
		best = min(best, time.Since(start))
	}
	flops := 2 * float64(tokens) * float64(in) * float64(out) / best.Seconds()
	b.ReportMetric(flops/1e9, "GFLOP/s")
	if peak > 0 {
		b.ReportMetric(100*flops/peak, "%peak")
	}
}
