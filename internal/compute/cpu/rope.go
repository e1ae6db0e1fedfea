package cpu

import "dpotrain/internal/compute"

// ropeRef turns one head: numbers j and j+R/2 by the angle whose cosine and sine are cos[j] and sin[j]; sign -1 turns
// back.
func ropeRef[T float](x, cos, sin []T, sign T) {
	half := len(cos)
	for j, c := range cos {
		a, b, s := x[j], x[j+half], sign*sin[j]
		x[j] = a*c - b*s
		x[j+half] = b*c + a*s
	}
}

// signOf is 1, or with inverse -1.
func signOf[T float](inverse bool) T {
	if inverse {
		return -1
	}
	return 1
}

// RoPE implements compute.Device.
func (d *Device) RoPE(x compute.Heads, heads int, positions []int32, cos, sin compute.Mat, inverse bool) {
	d.on = operands{heads: x, count: heads, ids: positions, x: cos, u: sin, inverse: inverse, vector: d.vectors(cos.Cols)}
	d.rows(len(positions), func(d *Device, i int) {
		o := &d.on
		p, sign := int(o.ids[i]), signOf[float32](o.inverse)
		cos, sin := row[float32](o.x, p), row[float32](o.u, p)
		for h := range o.count {
			x := head[float32](o.heads, i, h, 2*len(cos))
			if o.vector {
				ropeVector(d.level, x, cos, sin, sign)
			} else {
				ropeRef(x, cos, sin, sign)
			}
		}
	})
	d.on = operands{}
}
