package cpu

import (
	"slices"

	"dpotrain/internal/compute"
)

// chunk is the number of elements that one piece of an elementwise pass over parameters takes; sums over parameters
// are made a chunk at a time, so that they do not depend on the number of threads.
const chunk = 1 << 14

// SumSquares implements compute.Device.
func (d *Device) SumSquares(b compute.Buffer, from, to int) float64 {
	d.on.all = numbers[float32](b)[from:to]
	n := (to - from + chunk - 1) / chunk
	d.sums = slices.Grow(d.sums[:0], n)[:n]
	d.pieces(n, func(d *Device, i, _ int) {
		x := d.on.all
		d.sums[i] = sumSquares(d.level, x[i*chunk:min(len(x), (i+1)*chunk)])
	})
	d.on = operands{}
	var sum float64
	for _, p := range d.sums {
		sum += p
	}
	return sum
}

// AdamW implements compute.Device.
func (d *Device) AdamW(w, g, m, v compute.Buffer, from, to int, c compute.AdamW) {
	d.on = operands{all: numbers[float32](w), g: numbers[float32](g), from: from, to: to, adamW: coefficients(c)}
	update := func(d *Device, i, _ int) {
		o := &d.on
		a := o.from + i*chunk
		b := min(o.to, a+chunk)
		adamW(d.level, o.all[a:b], o.g[a:b], o.m[a:b], o.v[a:b], o.adamW)
	}
	if m16, ok := m.(moments); ok {
		d.on.m16, d.on.v16, d.on.noise = m16, v.(moments), keyOf(c.Step)
		update = func(d *Device, i, _ int) {
			o := &d.on
			a := o.from + i*chunk
			b := min(o.to, a+chunk)
			adamWMoments(d.level, o.all[a:b], o.g[a:b], o.m16[a:b], o.v16[a:b], uint32(a), o.noise, o.adamW)
		}
	} else {
		d.on.m, d.on.v = numbers[float32](m), numbers[float32](v)
	}
	d.pieces((to-from+chunk-1)/chunk, update)
	d.on = operands{}
}
