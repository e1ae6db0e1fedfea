package cpu

import (
	"fmt"
	"runtime"
	"testing"

	"dpotrain/internal/compute"
)

// BenchmarkProducts times the products of Layers with every kernel of this machine, in GFLOP/s and as a share of the peak of the best.
// "dpotrain bench" prints the same as a table.
func BenchmarkProducts(b *testing.B) {
	for _, kn := range allKernels() {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			peak := Peak(kn.bf16, threads)
			for _, l := range Layers {
				b.Run(fmt.Sprintf("%v/threads=%d/%s,%d", kn, threads, l.Name, l.Tokens), func(b *testing.B) {
					o := compute.Options{CPU: kn.Level.String(), Threads: threads}
					if kn.bf16 {
						o.Precision = bf16
					}
					d, err := New(o)
					if err != nil {
						b.Fatal(err)
					}
					defer d.Close()
					for b.Loop() {
						forward, input, weights := d.Products(l)
						mean := 3 / (1/forward + 1/input + 1/weights)
						b.ReportMetric(mean/1e9, "GFLOP/s")
						if peak > 0 {
							b.ReportMetric(100*mean/peak, "%peak")
						}
					}
				})
			}
		}
	}
}

// TestMeasurements: what is measured is of an order that a CPU can have, or one that is emulated on a busy machine.
func TestMeasurements(t *testing.T) {
	peak := Peak(false, 1)
	if Best() > Generic && (peak < 1e7 || peak > 1e13) {
		t.Errorf("a peak of %g flop/s", peak)
	}
	d, err := New(compute.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	forward, input, weights := d.Products(Layer{"small", 64, 32, 48})
	for _, f := range []float64{forward, input, weights} {
		if f < 1e6 || peak > 0 && f > 1.5*peak {
			t.Errorf("products at %g flop/s, with a peak of %g", f, peak)
		}
	}
	if testing.Short() {
		return
	}
	if b := Bandwidth(1); b < 1e8 || b > 1e12 {
		t.Errorf("a bandwidth of %g B/s", b)
	}
}
