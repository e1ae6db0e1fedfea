package cpu

import "dpotrain/internal/compute"

// float is a number format that the plain kernels are written for.
type float interface {
	float32 | float64
}

// buffer is compute.Buffer in main memory.
type buffer[T float] []T

func (b buffer[T]) Len() int { return len(b) }

// numbers is all of a buffer's memory. It panics if b belongs to another device.
func numbers[T float](b compute.Buffer) []T { return b.(buffer[T]) }

// from is the memory of m from its first element on, for kernels that take a leading dimension.
func from[T float](m compute.Mat) []T { return b0[T](m.Buf, m.Off) }

func b0[T float](b compute.Buffer, off int) []T {
	s := numbers[T](b)
	return s[off:]
}

// row is row i of m.
func row[T float](m compute.Mat, i int) []T {
	o := m.Off + i*m.Stride
	return numbers[T](m.Buf)[o : o+m.Cols]
}

// head is the vector of D numbers of head h in row i.
func head[T float](x compute.Heads, i, h, d int) []T {
	o := x.Off + i*x.Stride + h*x.HeadStride
	return numbers[T](x.Buf)[o : o+d]
}

// sameShape panics if two views differ in rows or columns.
func sameShape(op string, a, b compute.Mat) {
	if a.Rows != b.Rows || a.Cols != b.Cols {
		panic("cpu: " + op + ": shapes differ")
	}
}

// key is the row that holds position q for the rows of segment s.
func key(s compute.Segment, q int) int {
	if n := s.PrefixEnd - s.PrefixStart; q >= n {
		return s.Start + q - n
	}
	return s.PrefixStart + q
}

// firstPosition is the position of a segment's first row.
func firstPosition(s compute.Segment) int { return s.PrefixEnd - s.PrefixStart }

// visible is the range [lo, hi) of positions that a row at position p sees.
func visible(p, window int) (lo, hi int) {
	if window > 0 {
		lo = max(0, p-window+1)
	}
	return lo, p + 1
}
