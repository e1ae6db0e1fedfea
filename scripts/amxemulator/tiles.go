//go:build linux && amd64

package main

import (
	"encoding/binary"
	"errors"
	"math"
)

// tile is a register of 16 rows.
type tile [16][64]byte

// tiles is the state of AMX of one thread.
type tiles struct {
	configured bool
	rows       [8]int
	columns    [8]int // bytes of a row
	data       [8]tile
}

// configure is LDTILECFG: palette 1 and sizes, or palette 0, which is release. What the CPU faults at is an error.
func (u *tiles) configure(config [64]byte) error {
	*u = tiles{}
	if config[0] == 0 {
		return nil
	}
	if config[0] != 1 || config[1] != 0 {
		return errors.New("palette or first row")
	}
	for i := range 8 {
		u.columns[i], u.rows[i] = int(binary.LittleEndian.Uint16(config[16+2*i:])), int(config[48+i])
		if u.columns[i] > 64 || u.rows[i] > 16 || (u.columns[i] == 0) != (u.rows[i] == 0) {
			return errors.New("size of a tile")
		}
	}
	for i, b := range config {
		if b != 0 && (i >= 2 && i < 16 || i >= 32 && i < 48 || i >= 56) {
			return errors.New("reserved byte")
		}
	}
	u.configured = true
	return nil
}

// size is that of a tile, which must be configured.
func (u *tiles) size(r int) (rows, columns int, err error) {
	if !u.configured || u.rows[r] == 0 {
		return 0, 0, errors.New("the tile is not configured")
	}
	return u.rows[r], u.columns[r], nil
}

func (u *tiles) zero(r int) error {
	if _, _, err := u.size(r); err != nil {
		return err
	}
	u.data[r] = tile{}
	return nil
}

// dot is TDPBF16PS, after the pseudo-code in Intel's manual (volume 2, TDPBF16PS): for every element of the result the products of the first
// numbers of the pairs and those of the second are summed apart, from 0 on and in order of k, by fused multiply-adds; the two sums are added, and
// that to the element. Everywhere denormal operands are 0, denormal results become 0, and rounding is to the nearest, ties to even.
func (u *tiles) dot(c, a, b int) error {
	rows, columns, err := u.size(c)
	rowsA, columnsA, errA := u.size(a)
	rowsB, columnsB, errB := u.size(b)
	switch {
	case err != nil || errA != nil || errB != nil:
		return errors.Join(err, errA, errB)
	case c == a || c == b || a == b:
		return errors.New("a tile is there twice")
	case rows != rowsA || columns != columnsB || columnsA != 4*rowsB || columns%4 != 0 || columnsA%4 != 0:
		return errors.New("sizes do not fit")
	}
	var factors [16][32]float64 // of B
	for k := range rowsB {
		for n := range columnsB / 2 {
			factors[k][n] = float64(bf16(binary.LittleEndian.Uint16(u.data[b][k][2*n:])))
		}
	}
	for m := range rows {
		var sums [32]float64
		for k := range rowsB {
			for half := range 2 {
				x := float64(bf16(binary.LittleEndian.Uint16(u.data[a][m][4*k+2*half:])))
				for n := half; n < columns/2; n += 2 {
					sums[n] = float64(flush(float32(sums[n] + x*factors[k][n]))) // see add: the product is exact
				}
			}
		}
		for n := range columns / 4 {
			at := u.data[c][m][4*n:]
			sum := add(float32(sums[2*n]), float32(sums[2*n+1]))
			binary.LittleEndian.PutUint32(at, math.Float32bits(add(flush(math.Float32frombits(binary.LittleEndian.Uint32(at))), sum)))
		}
	}
	for m := rows; m < 16; m++ {
		u.data[c][m] = [64]byte{}
	}
	return nil
}

// add is the sum of two numbers of 24 bits at most, rounded to float32 as if it were exact before: float64 has more than twice as many (Figueroa 1995).
func add(x, y float32) float32 { return flush(float32(float64(x) + float64(y))) }

// bf16 is a bf16 as a number, 0 if it is denormal.
func bf16(x uint16) float32 { return flush(math.Float32frombits(uint32(x) << 16)) }

// flush puts 0, of the same sign, in place of a denormal number.
func flush(x float32) float32 {
	if u := math.Float32bits(x); u>>23&0xff == 0 {
		return math.Float32frombits(u & (1 << 31))
	}
	return x
}
