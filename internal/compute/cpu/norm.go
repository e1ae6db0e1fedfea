package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// rmsNormRef is compute.Device.RMSNorm for one row; it returns rstd.
func rmsNormRef[T float](y, x, w []T, eps float64) T {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	rstd := T(1 / math.Sqrt(sum/float64(len(x))+eps))
	for i, v := range x {
		y[i] = v * rstd * w[i]
	}
	return rstd
}

// rmsNormBackwardRef adds one row's gradient to dx: rstd * (g - x * rstd^2 * mean(g*x)) with g = dy*w.
func rmsNormBackwardRef[T float](dx, dy, x, w []T, rstd T) {
	var sum float64
	for i, v := range x {
		sum += float64(dy[i]*w[i]) * float64(v)
	}
	c := T(sum/float64(len(x))) * rstd * rstd
	for i, v := range x {
		dx[i] += rstd * (dy[i]*w[i] - v*c)
	}
}

// rmsNormWeightRef adds columns [from, to) of dy * x * rstd, summed over the rows in order, to dw. The sums are float64: the
// terms mostly cancel, and what float32 left of them differed by 2e-6 from one cut into micro-batches to another.
func rmsNormWeightRef[T float](dw []T, dy, x compute.Mat, rstd []T, from, to int) {
	for ; from < to; from += columnsApiece {
		var sums [columnsApiece]float64
		n := min(columnsApiece, to-from)
		for i := range x.Rows {
			xi, dyi, r := row[T](x, i)[from:from+n], row[T](dy, i)[from:from+n], rstd[i]
			for j, v := range dyi {
				sums[j] += float64(v * xi[j] * r)
			}
		}
		for j, s := range sums[:n] {
			dw[from+j] += T(s)
		}
	}
}

// layerNormRef is compute.Device.LayerNorm for one row; it returns mean and rstd.
func layerNormRef[T float](y, x, w, b []T, eps float64) (mean, rstd T) {
	var sum, sq float64
	for _, v := range x {
		sum += float64(v)
	}
	m := sum / float64(len(x))
	for _, v := range x {
		d := float64(v) - m
		sq += d * d
	}
	mean, rstd = T(m), T(1/math.Sqrt(sq/float64(len(x))+eps))
	for i, v := range x {
		y[i] = (v-mean)*rstd*w[i] + b[i]
	}
	return mean, rstd
}

// layerNormBackwardRef adds one row's gradient to dx: rstd * (g - mean(g) - xhat * mean(g*xhat)) with g = dy*w and
// xhat = (x-mean)*rstd.
func layerNormBackwardRef[T float](dx, dy, x, w []T, mean, rstd T) {
	var sum, dot float64
	for i, v := range x {
		g := float64(dy[i] * w[i])
		sum += g
		dot += g * float64((v-mean)*rstd)
	}
	a, c := T(sum/float64(len(x))), T(dot/float64(len(x)))
	for i, v := range x {
		dx[i] += rstd * (dy[i]*w[i] - a - (v-mean)*rstd*c)
	}
}

// layerNormWeightRef adds columns [from, to) of dy*xhat and of dy, summed over the rows in order, to dw and db; in float64,
// as rmsNormWeightRef does.
func layerNormWeightRef[T float](dw, db []T, dy, x compute.Mat, mean, rstd []T, from, to int) {
	for ; from < to; from += columnsApiece {
		var sums, biases [columnsApiece]float64
		n := min(columnsApiece, to-from)
		for i := range x.Rows {
			xi, dyi, m, r := row[T](x, i)[from:from+n], row[T](dy, i)[from:from+n], mean[i], rstd[i]
			for j, v := range dyi {
				sums[j] += float64(v * (xi[j] - m) * r)
				biases[j] += float64(v)
			}
		}
		for j, s := range sums[:n] {
			dw[from+j] += T(s)
			db[from+j] += T(biases[j])
		}
	}
}

// RMSNorm implements compute.Device.
func (d *Device) RMSNorm(y, x, w compute.Mat, rstd compute.Buffer, eps float64) {
	sameShape("RMSNorm", y, x)
	d.on = operands{y: y, x: x, w: row[float32](w, 0), rstd: numbers[float32](rstd), eps: eps, vector: d.vectors(x.Cols)}
	d.rows(x.Rows, func(d *Device, i int) {
		o := &d.on
		y, x := row[float32](o.y, i), row[float32](o.x, i)
		if o.vector {
			o.rstd[i] = rmsNormVector(d.level, y, x, o.w, o.eps)
		} else {
			o.rstd[i] = rmsNormRef(y, x, o.w, o.eps)
		}
	})
	d.on = operands{}
}

// RMSNormBackward implements compute.Device.
func (d *Device) RMSNormBackward(dx, dw, dy, x, w compute.Mat, rstd compute.Buffer) {
	sameShape("RMSNormBackward", dx, x)
	sameShape("RMSNormBackward", dy, x)
	d.on = operands{dx: dx, dy: dy, x: x, w: row[float32](w, 0), dw: row[float32](dw, 0), rstd: numbers[float32](rstd), vector: d.vectors(x.Cols)}
	d.rows(x.Rows, func(d *Device, i int) {
		o := &d.on
		dx, dy, x := row[float32](o.dx, i), row[float32](o.dy, i), row[float32](o.x, i)
		if o.vector {
			rmsNormBackwardVector(d.level, dx, dy, x, o.w, o.rstd[i])
		} else {
			rmsNormBackwardRef(dx, dy, x, o.w, o.rstd[i])
		}
	})
	d.columns(x.Cols, func(d *Device, from, to int) {
		o := &d.on
		if o.vector {
			rmsNormWeightVector(d.level, o.dw, o.dy, o.x, o.rstd, from, to)
		} else {
			rmsNormWeightRef(o.dw, o.dy, o.x, o.rstd, from, to)
		}
	})
	d.on = operands{}
}

// LayerNorm implements compute.Device.
func (d *Device) LayerNorm(y, x, w, b compute.Mat, mean, rstd compute.Buffer, eps float64) {
	sameShape("LayerNorm", y, x)
	d.on = operands{y: y, x: x, w: row[float32](w, 0), b: row[float32](b, 0), mean: numbers[float32](mean), rstd: numbers[float32](rstd), eps: eps, vector: d.vectors(x.Cols)}
	d.rows(x.Rows, func(d *Device, i int) {
		o := &d.on
		y, x := row[float32](o.y, i), row[float32](o.x, i)
		if o.vector {
			o.mean[i], o.rstd[i] = layerNormVector(d.level, y, x, o.w, o.b, o.eps)
		} else {
			o.mean[i], o.rstd[i] = layerNormRef(y, x, o.w, o.b, o.eps)
		}
	})
	d.on = operands{}
}

// LayerNormBackward implements compute.Device.
func (d *Device) LayerNormBackward(dx, dw, db, dy, x, w compute.Mat, mean, rstd compute.Buffer) {
	sameShape("LayerNormBackward", dx, x)
	sameShape("LayerNormBackward", dy, x)
	d.on = operands{dx: dx, dy: dy, x: x, w: row[float32](w, 0), dw: row[float32](dw, 0), db: row[float32](db, 0), mean: numbers[float32](mean), rstd: numbers[float32](rstd),
		vector: d.vectors(x.Cols)}
	d.rows(x.Rows, func(d *Device, i int) {
		o := &d.on
		dx, dy, x := row[float32](o.dx, i), row[float32](o.dy, i), row[float32](o.x, i)
		if o.vector {
			layerNormBackwardVector(d.level, dx, dy, x, o.w, o.mean[i], o.rstd[i])
		} else {
			layerNormBackwardRef(dx, dy, x, o.w, o.mean[i], o.rstd[i])
		}
	})
	d.columns(x.Cols, func(d *Device, from, to int) {
		o := &d.on
		if o.vector {
			layerNormWeightVector(d.level, o.dw, o.db, o.dy, o.x, o.mean, o.rstd, from, to)
		} else {
			layerNormWeightRef(o.dw, o.db, o.dy, o.x, o.mean, o.rstd, from, to)
		}
	})
	d.on = operands{}
}
