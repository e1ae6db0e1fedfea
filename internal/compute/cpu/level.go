package cpu

import (
	"fmt"
	"strings"

	xcpu "golang.org/x/sys/cpu"
)

// Level is a set of kernels. Higher ones need more of the CPU.
type Level int

// The levels there are.
const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2 and FMA
	AVX512               // AVX-512 F, BW, DQ and VL
)

var levelNames = []string{"generic", "avx2", "avx512"}

func (l Level) String() string { return levelNames[l] }

// Best is the highest level this CPU and this build have.
func Best() Level {
	x := &xcpu.X86
	switch {
	case !haveAssembly || !x.HasAVX2 || !x.HasFMA:
		return Generic
	case x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL:
		return AVX512
	}
	return AVX2
}

// ParseLevel reads a level's name; auto, or nothing, is the best one. A level this CPU lacks is an error.
func ParseLevel(s string) (Level, error) {
	best := Best()
	if s == "" || s == "auto" {
		return best, nil
	}
	for i, name := range levelNames {
		if s != name {
			continue
		}
		if Level(i) > best {
			return 0, fmt.Errorf("cpu: %s: this CPU or this build does not have it; there is %s, or auto", s, strings.Join(levelNames[:best+1], ", "))
		}
		return Level(i), nil
	}
	return 0, fmt.Errorf("cpu: %q: unknown level; want auto or one of %s", s, strings.Join(levelNames[:best+1], ", "))
}

// kernels are the functions of one level. The functions on slices want them to be of one length; see the dispatching
// functions in vec.go for what they compute.
type kernels struct {
	rows, columns int  // of a tile
	lanes         int  // numbers in a row of packed A; a row of packed B has columns
	strided       bool // tile may read operands that are not packed

	// tile computes C (or adds to C, when add is not 0), rows x n with n at most columns, from kc steps: at step p the
	// number of A for row i is at a[i*aRow+p*aCol], and the row of B at b[p*bRow:], columns numbers, of which n count. Each
	// element is the sum over p in order, and add adds that sum to C. An operand that is not packed is read only when
	// strided; aRow is 1 and aCol is lanes, bRow is columns in packed ones.
	tile func(rows, n, kc int, a []float32, aRow, aCol int, b []float32, bRow int, c []float32, cRow int, add bool)
	// pack copies w rows of kc numbers (transposed), or kc rows of w numbers, to kc rows of w numbers, dRow apart.
	pack func(transposed bool, w, kc int, src []float32, ld int, dst []float32, dRow int)

	maxOf        func(x []float32) float32
	sumExp       func(x []float32, shift float32) float32
	expScale     func(y, x []float32, shift, scale float32)
	dot          func(x, y []float32) float32
	axpy         func(y []float32, a float32, x []float32)
	sumSquares   func(x []float32) float64
	adamW        func(w, g, m, v []float32, c *adamWFactors)
	siluMul      func(y, gate, up []float32)
	siluMulBack  func(dGate, dUp, dy, gate, up []float32)
	geluTanh     func(y, x []float32)
	geluTanhBack func(dx, dy, x []float32)
}

// levels has the kernels of each Level; those that the build lacks are nil.
var levels = [...]*kernels{Generic: &generic, AVX2: avx2, AVX512: avx512}
