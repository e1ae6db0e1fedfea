package cpu

import "math"

// roundBF16 is x as the kernels round it to bf16: to the nearest number with 8 significant bits, the even one of two as near; what is
// too small for a normal number becomes 0 and a NaN stays one.
func roundBF16(x float32) float32 {
	const mantissa, half = 1<<16 - 1, 1<<15 - 1
	u := math.Float32bits(x)
	switch {
	case x != x:
		u |= 1 << 22 // quiet
	case u<<1>>24 == 0:
		u &= 1 << 31
	default:
		u += half + u>>16&1
	}
	return math.Float32frombits(u &^ mantissa)
}
