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
	x := numbers[float32](b)[from:to]
	n := (len(x) + chunk - 1) / chunk
	d.sums = slices.Grow(d.sums[:0], n)[:n]
	parts := d.sums
	d.pool.run(n, func(i, _ int) {
		parts[i] = sumSquares(d.level, x[i*chunk:min(len(x), (i+1)*chunk)])
	})
	var sum float64
	for _, p := range parts {
		sum += p
	}
	return sum
}

// AdamW implements compute.Device.
func (d *Device) AdamW(w, g, m, v compute.Buffer, from, to int, c compute.AdamW) {
	k := coefficients(c)
	ws, gs := numbers[float32](w), numbers[float32](g)
	if m, ok := m.(moments); ok {
		v, key := v.(moments), keyOf(c.Step)
		d.pool.run((to-from+chunk-1)/chunk, func(i, _ int) {
			a := from + i*chunk
			b := min(to, a+chunk)
			adamWMoments(d.level, ws[a:b], gs[a:b], m[a:b], v[a:b], uint32(a), key, k)
		})
		return
	}
	ms, vs := numbers[float32](m), numbers[float32](v)
	d.pool.run((to-from+chunk-1)/chunk, func(i, _ int) {
		a := from + i*chunk
		b := min(to, a+chunk)
		adamW(d.level, ws[a:b], gs[a:b], ms[a:b], vs[a:b], k)
	})
}
