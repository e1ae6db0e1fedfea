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

// ropeRow turns all heads of one row.
func ropeRow[T float](turn func(x, cos, sin []T, sign T), x compute.Heads, i, heads int, cos, sin []T, inverse bool) {
	sign := T(1)
	if inverse {
		sign = -1
	}
	for h := range heads {
		turn(head[T](x, i, h, 2*len(cos)), cos, sin, sign)
	}
}

// RoPE implements compute.Device.
func (d *Device) RoPE(x compute.Heads, heads int, positions []int32, cos, sin compute.Mat, inverse bool) {
	d.on = operands{heads: x, count: heads, ids: positions, x: cos, u: sin, inverse: inverse, vector: d.vectors(cos.Cols)}
	d.rows(len(positions), func(d *Device, i int) {
		o := &d.on
		turn := ropeRef[float32]
		if o.vector {
			turn = ropeVector
		}
		p := int(o.ids[i])
		ropeRow(turn, o.heads, i, o.count, row[float32](o.x, p), row[float32](o.u, p), o.inverse)
	})
	d.on = operands{}
}
