package cpu

import "dpotrain/internal/compute"

// SiLUMul implements compute.Device.
func (d *Device) SiLUMul(y, gate, up compute.Mat) {
	sameShape("SiLUMul", y, gate)
	sameShape("SiLUMul", y, up)
	d.on = operands{y: y, x: gate, u: up}
	d.rows(y.Rows, func(d *Device, i int) {
		o := &d.on
		siluMul(d.level, row[float32](o.y, i), row[float32](o.x, i), row[float32](o.u, i))
	})
	d.on = operands{}
}

// SiLUMulBackward implements compute.Device.
func (d *Device) SiLUMulBackward(y, dGate, dUp, dy, gate, up compute.Mat) {
	sameShape("SiLUMulBackward", y, gate)
	sameShape("SiLUMulBackward", dGate, gate)
	sameShape("SiLUMulBackward", dUp, gate)
	sameShape("SiLUMulBackward", dy, gate)
	d.on = operands{y: y, dx: dGate, du: dUp, dy: dy, x: gate, u: up}
	d.rows(dy.Rows, func(d *Device, i int) {
		o := &d.on
		siluMulBack(d.level, row[float32](o.y, i), row[float32](o.dx, i), row[float32](o.du, i), row[float32](o.dy, i), row[float32](o.x, i), row[float32](o.u, i))
	})
	d.on = operands{}
}

// GELU implements compute.Device.
func (d *Device) GELU(y, x compute.Mat) {
	sameShape("GELU", y, x)
	d.on = operands{y: y, x: x}
	d.rows(y.Rows, func(d *Device, i int) { gelu(d.level, row[float32](d.on.y, i), row[float32](d.on.x, i)) })
	d.on = operands{}
}

// GELUBackward implements compute.Device.
func (d *Device) GELUBackward(y, dx, dy, x compute.Mat) {
	sameShape("GELUBackward", y, x)
	sameShape("GELUBackward", dx, x)
	sameShape("GELUBackward", dy, x)
	d.on = operands{y: y, dx: dx, dy: dy, x: x}
	d.rows(dy.Rows, func(d *Device, i int) {
		geluBack(d.level, row[float32](d.on.y, i), row[float32](d.on.dx, i), row[float32](d.on.dy, i), row[float32](d.on.x, i))
	})
	d.on = operands{}
}

// GELUTanh implements compute.Device.
func (d *Device) GELUTanh(y, x compute.Mat) {
	sameShape("GELUTanh", y, x)
	d.on = operands{y: y, x: x}
	d.rows(y.Rows, func(d *Device, i int) { geluTanh(d.level, row[float32](d.on.y, i), row[float32](d.on.x, i)) })
	d.on = operands{}
}

// GELUTanhBackward implements compute.Device.
func (d *Device) GELUTanhBackward(y, dx, dy, x compute.Mat) {
	sameShape("GELUTanhBackward", y, x)
	sameShape("GELUTanhBackward", dx, x)
	sameShape("GELUTanhBackward", dy, x)
	d.on = operands{y: y, dx: dx, dy: dy, x: x}
	d.rows(dy.Rows, func(d *Device, i int) {
		geluTanhBack(d.level, row[float32](d.on.y, i), row[float32](d.on.dx, i), row[float32](d.on.dy, i), row[float32](d.on.x, i))
	})
	d.on = operands{}
}
