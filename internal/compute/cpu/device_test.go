package cpu_test

import (
	"fmt"
	"math"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/computetest"
	"dpotrain/internal/compute/cpu"
)

func TestReferenceGradients(t *testing.T) { computetest.Gradients(t) }

func TestDevice(t *testing.T) {
	for _, lv := range cpu.Levels() {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%v/%d", lv, threads), func(t *testing.T) {
				d, err := cpu.New(compute.Options{CPU: lv.String(), Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				computetest.Run(t, d)
			})
		}
	}
}

// TestShapesThatDoNotFit: operands of other sizes are a bug of the caller, and no memory beyond them is touched.
func TestShapesThatDoNotFit(t *testing.T) {
	d, err := cpu.New(compute.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	m := func(rows, cols int) compute.Mat { return compute.Matrix(d.Alloc(rows*cols), rows, cols) }
	for name, f := range map[string]func(){
		"MatMul NN": func() { d.MatMul(compute.NN, m(2, 3), m(2, 4), m(5, 3), false) },
		"MatMul NT": func() { d.MatMul(compute.NT, m(2, 3), m(2, 4), m(4, 3), false) },
		"MatMul TN": func() { d.MatMul(compute.TN, m(2, 3), m(2, 4), m(2, 3), false) },
		"Copy":      func() { d.Copy(m(2, 3), m(3, 2)) },
		"Add":       func() { d.Add(m(2, 3), m(2, 4)) },
		"SiLUMul":   func() { d.SiLUMul(m(2, 3), m(2, 3), m(2, 4)) },
		"RMSNorm":   func() { d.RMSNorm(m(2, 3), m(2, 4), m(1, 3), d.Alloc(2), 1e-5) },
		"of another device": func() {
			d.Copy(m(2, 3), compute.Matrix(cpu.Reference[float64]{}.Alloc(6), 2, 3))
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s does not panic", name)
				}
			}()
			f()
		}()
	}
}

// TestNotANumberLogits: log-probs of logits with a NaN are NaN, and nothing panics.
func TestNotANumberLogits(t *testing.T) {
	for _, lv := range cpu.Levels() {
		d, err := cpu.New(compute.Options{CPU: lv.String(), Threads: 2})
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 2*40)
		x[17] = float32(math.NaN())
		b := d.Alloc(len(x))
		d.Upload(b, 0, x)
		logps, lse, entropy, collision, best := make([]float64, 2), make([]float64, 2), make([]float64, 2), make([]float64, 2), make([]int32, 2)
		d.LogProbs(compute.Matrix(b, 2, 40), compute.RowTargets{First: []int32{0, 1, 2}, Tokens: []int32{3, 3}}, logps, lse, entropy, collision, best)
		if !math.IsNaN(logps[0]) || !math.IsNaN(lse[0]) || !math.IsNaN(collision[0]) || best[0] < 0 || best[0] >= 40 {
			t.Errorf("%v: row with a NaN: log-prob %v, log-sum-exp %v, best %d", lv, logps[0], lse[0], best[0])
		}
		if want := -math.Log(40); !(math.Abs(logps[1]-want) <= 1e-6) {
			t.Errorf("%v: row beside it: log-prob %v, want %v", lv, logps[1], want)
		}
		d.Close()
	}
}
