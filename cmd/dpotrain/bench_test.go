package main

import (
	"encoding/json"
	"math"
	"testing"

	"dpotrain/internal/bench"
	"dpotrain/internal/compute/cpu"
)

// TestBench: the passes' floors are the same operations at the same peak, once for the reference pass, three times for training and four
// times with the reference beside the policy; shares and speeds go by the time that was measured.
func TestBench(t *testing.T) {
	for loss, times := range map[string]float64{"dpo": 3, "tdpo1": 4} {
		out, _ := dpotrain(t, "bench", "--passes-only", "--json", "--model", "../../examples/model", "--data", "../../examples/train.jsonl", "--loss", loss,
			"--pairs", "2", "--threads", "1", "--token-cache-dir", t.TempDir())
		var r bench.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatal(err)
		}
		if r.Kernels != cpu.Best().String() || r.Threads != 1 || len(r.Machine) != 1 || !(r.Machine[0].FP32 > 0) || len(r.Products) > 0 || len(r.Passes) != 2 {
			t.Fatalf("%s: %s", loss, out)
		}
		for i, want := range []string{"reference", "training"} {
			p := r.Passes[i]
			near := func(got, want float64) bool { return math.Abs(got-want) <= 1e-12*want }
			if p.Pass != want || p.Precision != "fp32" || p.Threads != 1 || p.Pairs != 2 || p.Rows != r.Passes[0].Rows || !(p.Rows > 0 && p.Seconds > 0 && p.Floor > 0) ||
				!near(p.Share, p.Floor/p.Seconds) || !near(p.RowsPerS, float64(p.Rows)/p.Seconds) || !near(p.PairsPerS, 2/p.Seconds) {
				t.Errorf("%s: %+v", loss, p)
			}
		}
		if got := r.Passes[1].Floor / r.Passes[0].Floor; math.Abs(got-times) > 1e-9 {
			t.Errorf("%s: the floor of training is %g times that of the reference pass, want %g", loss, got, times)
		}
	}
}
