package cpu

import (
	"math"
	"testing"
)

func TestRoundBF16(t *testing.T) {
	inf := float32(math.Inf(1))
	for _, tt := range []struct{ x, want float32 }{
		{0, 0}, {1, 1}, {-2.5, -2.5}, {inf, inf}, {-inf, -inf},
		{1 + 1.0/256, 1},           // half way between 1 and 1 + 1/128: the even one
		{1 + 3.0/256, 1 + 2.0/128}, // likewise
		{1 + 1.001/256, 1 + 1.0/128},
		{math.MaxFloat32, inf},
		{1e-40, 0},
	} {
		if got := roundBF16(tt.x); got != tt.want {
			t.Errorf("roundBF16(%v) = %v, want %v", tt.x, got, tt.want)
		}
	}
	if got := roundBF16(float32(math.NaN())); got == got {
		t.Errorf("roundBF16(NaN) = %v", got)
	}
}
