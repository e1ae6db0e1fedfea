package cpu

import "dpotrain/internal/compute"

// SiLUMul implements compute.Device.
func (d *Device) SiLUMul(y, gate, up compute.Mat) {
	sameShape("SiLUMul", y, gate)
	sameShape("SiLUMul", y, up)
	d.rows(y.Rows, func(i int) { siluMul(d.level, row[float32](y, i), row[float32](gate, i), row[float32](up, i)) })
}

// SiLUMulBackward implements compute.Device.
func (d *Device) SiLUMulBackward(dGate, dUp, dy, gate, up compute.Mat) {
	sameShape("SiLUMulBackward", dGate, gate)
	sameShape("SiLUMulBackward", dUp, gate)
	sameShape("SiLUMulBackward", dy, gate)
	d.rows(dy.Rows, func(i int) {
		siluMulBack(d.level, row[float32](dGate, i), row[float32](dUp, i), row[float32](dy, i), row[float32](gate, i), row[float32](up, i))
	})
}

// GELU implements compute.Device.
func (d *Device) GELU(y, x compute.Mat) {
	sameShape("GELU", y, x)
	d.rows(y.Rows, func(i int) { gelu(row[float32](y, i), row[float32](x, i)) })
}

// GELUBackward implements compute.Device.
func (d *Device) GELUBackward(dx, dy, x compute.Mat) {
	sameShape("GELUBackward", dx, x)
	sameShape("GELUBackward", dy, x)
	d.rows(dy.Rows, func(i int) { geluBack(row[float32](dx, i), row[float32](dy, i), row[float32](x, i)) })
}

// GELUTanh implements compute.Device.
func (d *Device) GELUTanh(y, x compute.Mat) {
	sameShape("GELUTanh", y, x)
	d.rows(y.Rows, func(i int) { geluTanh(d.level, row[float32](y, i), row[float32](x, i)) })
}

// GELUTanhBackward implements compute.Device.
func (d *Device) GELUTanhBackward(dx, dy, x compute.Mat) {
	sameShape("GELUTanhBackward", dx, x)
	sameShape("GELUTanhBackward", dy, x)
	d.rows(dy.Rows, func(i int) { geluTanhBack(d.level, row[float32](dx, i), row[float32](dy, i), row[float32](x, i)) })
}
