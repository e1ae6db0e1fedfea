package cpu_test

import (
	"fmt"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/computetest"
	"dpotrain/internal/compute/cpu"
)

func TestReferenceGradients(t *testing.T) { computetest.Gradients(t) }

func TestDevice(t *testing.T) {
	for lv := cpu.Generic; lv <= cpu.Best(); lv++ {
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
