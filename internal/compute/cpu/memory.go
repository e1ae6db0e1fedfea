package cpu

import "dpotrain/internal/compute"

// newFloats gives n zeros.
func newFloats(n int) []float32 {
	x := make([]float32, n)
	askForHugePages(x)
	return x
}

// addRef adds src to dst.
func addRef[T float](dst, src []T) {
	for i, v := range src {
		dst[i] += v
	}
}

// columnSumsRef adds columns [from, to) of the rows, summed in order and in float64, to dst.
func columnSumsRef[T float](dst []T, rows compute.Mat, from, to int) {
	for ; from < to; from += columnsApiece {
		var sums [columnsApiece]float64
		n := min(columnsApiece, to-from)
		for i := range rows.Rows {
			for j, v := range row[T](rows, i)[from : from+n] {
				sums[j] += float64(v)
			}
		}
		for j, s := range sums[:n] {
			dst[from+j] += T(s)
		}
	}
}

// scatterAddRef adds columns [from, to) of row i of dy to row rows[i] of dTable, in order of i.
func scatterAddRef[T float](dTable, dy compute.Mat, rows []int32, from, to int) {
	for i, r := range rows {
		addRef(row[T](dTable, int(r))[from:to], row[T](dy, i)[from:to])
	}
}

// Copy implements compute.Device.
func (d *Device) Copy(dst, src compute.Mat) {
	sameShape("Copy", dst, src)
	d.on = operands{y: dst, x: src}
	d.rows(src.Rows, func(d *Device, i int) { copy(row[float32](d.on.y, i), row[float32](d.on.x, i)) })
	d.on = operands{}
}

// Add implements compute.Device.
func (d *Device) Add(dst, src compute.Mat) {
	sameShape("Add", dst, src)
	d.on = operands{y: dst, x: src}
	d.rows(src.Rows, func(d *Device, i int) { axpy(d.level, row[float32](d.on.y, i), 1, row[float32](d.on.x, i)) })
	d.on = operands{}
}

// AddBias implements compute.Device.
func (d *Device) AddBias(y, bias compute.Mat) {
	d.on = operands{y: y, b: row[float32](bias, 0)}
	d.rows(y.Rows, func(d *Device, i int) { axpy(d.level, row[float32](d.on.y, i), 1, d.on.b) })
	d.on = operands{}
}

// AddBiasBackward implements compute.Device.
func (d *Device) AddBiasBackward(dBias, dy compute.Mat) {
	d.on = operands{db: row[float32](dBias, 0), dy: dy, vector: d.vectors(dy.Cols)}
	d.columns(dy.Cols, func(d *Device, from, to int) {
		if d.on.vector {
			columnSumsVector(d.level, d.on.db, d.on.dy, from, to)
		} else {
			columnSumsRef(d.on.db, d.on.dy, from, to)
		}
	})
	d.on = operands{}
}

// Gather implements compute.Device.
func (d *Device) Gather(y, table compute.Mat, rows []int32) {
	d.on = operands{y: y, x: table, ids: rows}
	d.rows(len(rows), func(d *Device, i int) { copy(row[float32](d.on.y, i), row[float32](d.on.x, int(d.on.ids[i]))) })
	d.on = operands{}
}

// ScatterAdd implements compute.Device.
func (d *Device) ScatterAdd(dTable, dy compute.Mat, rows []int32) {
	d.on = operands{dx: dTable, dy: dy, ids: rows}
	d.columns(dy.Cols, func(d *Device, from, to int) { scatterAddRef[float32](d.on.dx, d.on.dy, d.on.ids, from, to) })
	d.on = operands{}
}
