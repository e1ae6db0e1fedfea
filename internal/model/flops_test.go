package model_test

import (
	"path/filepath"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
)

// flopsDevice counts the operations of products and attention that it is asked for.
type flopsDevice struct {
	compute.Device
	flops float64
}

func (d *flopsDevice) MatMul(form compute.Form, dst, a, b compute.Mat, accumulate bool) {
	inner := a.Cols
	if form == compute.TN {
		inner = a.Rows
	}
	d.flops += 2 * float64(dst.Rows) * float64(dst.Cols) * float64(inner)
	d.Device.MatMul(form, dst, a, b, accumulate)
}

func (d *flopsDevice) Attention(o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	for _, s := range segments {
		for row := s.Start; row < s.End; row++ {
			seen := s.PrefixEnd - s.PrefixStart + row - s.Start + 1
			if shape.Window > 0 {
				seen = min(seen, shape.Window)
			}
			d.flops += 4 * float64(shape.Heads) * float64(shape.HeadDim) * float64(seen)
		}
	}
	d.Device.Attention(o, lse, q, k, v, shape, segments)
}

// TestFlops holds the count of a pass's operations against those that the device is asked for.
func TestFlops(t *testing.T) {
	for _, dir := range ownModels(t) {
		d := &flopsDevice{Device: newDevice(t, cpu.Best(), 1)}
		m := load(t, dir, d)
		b := pack(randomPairs(m.Config.Spec.Vocab, 4)...)
		forward(t, newGraph(t, m, model.GraphOptions{}), b)
		if got := m.Flops(b); got != d.flops {
			t.Errorf("%s: %g operations, and the device did %g", filepath.Base(dir), got, d.flops)
		}
	}
}
