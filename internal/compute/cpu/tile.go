package cpu

import "math"

// What attention does to rows of a tile: the softmax of scores as it goes from tile to tile (Milakov and Gimelshein 2018,
// arXiv:1805.02867), its gradient, and rows that lie some way apart.

// tile is the number of key positions handled together. Tiles begin at multiples of it, counted from position 0 of a
// sequence wherever its prefix ends, so that a row's sums run over the same keys in the same order in every batch.
const tile = 64

// seenBits are the keys of a tile that a row at position p sees, the first being at position first: a bit each.
func seenBits(p, first, window int) uint64 {
	lo, hi := visible(p, window)
	lo, hi = max(lo-first, 0), min(hi-first, tile)
	if lo >= hi {
		return 0
	}
	return math.MaxUint64 >> (tile - hi + lo) << lo
}

// softmaxRowsRef goes through a tile of scores: it raises m, a row's maximum so far, to that of the scores that are seen, writes by what
// it changed, which is at most 0, and replaces scores by e^(score-m), and by 0 where they are not seen; sums are those of a row.
func softmaxRowsRef[T float](s []T, seen []uint64, m, change, sums []T) {
	for r, bits := range seen {
		row := s[r*tile : (r+1)*tile]
		change[r], sums[r] = raise(&m[r], row, bits), 0
		for j, x := range row {
			row[j] = 0
			if bits>>j&1 != 0 {
				row[j] = T(math.Exp(float64(x - m[r])))
				sums[r] += row[j]
			}
		}
	}
}

// raise raises m to the largest score that is seen, and returns by what it changes: 0 and not NaN while nothing has been seen.
func raise[T float](m *T, row []T, seen uint64) (change T) {
	was := *m
	for j, x := range row {
		if seen>>j&1 != 0 && x > *m {
			*m = x
		}
	}
	if was == *m {
		return 0
	}
	return was - *m
}

// softmaxRowsBackRef replaces scores by the probabilities p = e^(score-lse), and their gradients ds by p*(ds-delta); both are 0 where a
// key is not seen.
func softmaxRowsBackRef[T float](s, ds []T, seen []uint64, lse, delta []T) {
	for r, bits := range seen {
		row, grad := s[r*tile:(r+1)*tile], ds[r*tile:(r+1)*tile]
		for j, x := range row {
			row[j] = 0
			if bits>>j&1 != 0 {
				row[j] = T(math.Exp(float64(x - lse[r])))
			}
			if grad[j] -= delta[r]; bits>>j&1 == 0 {
				grad[j] = 0
			}
			grad[j] *= row[j]
		}
	}
}

// scaleRowsRef writes rows of n numbers, y = x * a with a number of a for each row; ldy and ldx are from one row to the next.
func scaleRowsRef[T float](n int, y []T, ldy int, x []T, ldx int, a []T) {
	for r, f := range a {
		scaleRef(y[r*ldy:r*ldy+n], f, x[r*ldx:r*ldx+n])
	}
}

// addRowsRef adds rows of n numbers, y += x.
func addRowsRef[T float](rows, n int, y []T, ldy int, x []T, ldx int) {
	for r := range rows {
		addRef(y[r*ldy:r*ldy+n], x[r*ldx:r*ldx+n])
	}
}

// clearRows writes zeros to rows of n numbers.
func clearRows(rows, n int, y []float32, ldy int) {
	if n == ldy {
		clear(y[:rows*n])
		return
	}
	for r := range rows {
		clear(y[r*ldy : r*ldy+n])
	}
}

// dotRowsRef writes the sum of x * y of each row of n numbers to out.
func dotRowsRef[T float](n int, out, y []T, ldy int, x []T, ldx int) {
	for r := range out {
		out[r] = dotRef(y[r*ldy:r*ldy+n], x[r*ldx:r*ldx+n])
	}
}

// softmaxRows is softmaxRowsRef by the kernels of the level.
func softmaxRows(lv Level, s []float32, seen []uint64, m, change, sums []float32) {
	n := len(seen)
	s, m, change, sums = s[:n*tile], m[:n], change[:n], sums[:n]
	if lv.vectors() && n > 0 {
		softmaxRowsVector(lv, s, seen, m, change, sums)
		return
	}
	for r, bits := range seen {
		row := s[r*tile : (r+1)*tile]
		change[r] = raise(&m[r], row, bits)
		var parts [lanes]float32
		for j, x := range row {
			row[j] = 0
			if bits>>j&1 != 0 {
				row[j] = exp32(x - m[r])
				parts[j%lanes] += row[j]
			}
		}
		sums[r] = sumLanes(&parts)
	}
}

// softmaxRowsBack is softmaxRowsBackRef by the kernels of the level.
func softmaxRowsBack(lv Level, s, ds []float32, seen []uint64, lse, delta []float32) {
	n := len(seen)
	s, ds, lse, delta = s[:n*tile], ds[:n*tile], lse[:n], delta[:n]
	if lv.vectors() && n > 0 {
		softmaxRowsBackVector(lv, s, ds, seen, lse, delta)
		return
	}
	for r, bits := range seen {
		row, grad := s[r*tile:(r+1)*tile], ds[r*tile:(r+1)*tile]
		for j, x := range row {
			row[j] = 0
			if bits>>j&1 == 0 {
				grad[j] = 0
				continue
			}
			row[j] = exp32(x - lse[r])
			grad[j] = row[j] * (grad[j] - delta[r])
		}
	}
}

// scaleRows is scaleRowsRef by the kernels of the level.
func scaleRows(lv Level, n int, y []float32, ldy int, x []float32, ldx int, a []float32) {
	if lv.vectors() && len(a) > 0 && n > 0 {
		_, _ = y[(len(a)-1)*ldy+n-1], x[(len(a)-1)*ldx+n-1]
		scaleRowsVector(lv, n, y, ldy, x, ldx, a)
		return
	}
	scaleRowsRef(n, y, ldy, x, ldx, a)
}

// addRows is addRowsRef by the kernels of the level.
func addRows(lv Level, rows, n int, y []float32, ldy int, x []float32, ldx int) {
	if lv.vectors() && rows > 0 && n > 0 {
		_, _ = y[(rows-1)*ldy+n-1], x[(rows-1)*ldx+n-1]
		addRowsVector(lv, rows, n, y, ldy, x, ldx)
		return
	}
	addRowsRef(rows, n, y, ldy, x, ldx)
}

// dotRows is dotRowsRef by the kernels of the level.
func dotRows(lv Level, n int, out, y []float32, ldy int, x []float32, ldx int) {
	if lv.vectors() && len(out) > 0 && n > 0 {
		_, _ = y[(len(out)-1)*ldy+n-1], x[(len(out)-1)*ldx+n-1]
		dotRowsVector(lv, n, out, y, ldy, x, ldx)
		return
	}
	for r := range out {
		out[r] = dot(lv, y[r*ldy:r*ldy+n], x[r*ldx:r*ldx+n])
	}
}
