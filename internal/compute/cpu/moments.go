package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// moments is compute.Buffer in main memory with numbers of bf16, which is the upper half of float32.
type moments []uint16

func (m moments) Len() int { return len(m) }

// widenBF16 is a number of bf16 as float32.
func widenBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// nearestBF16 rounds to the nearest number of bf16, the even one of two as near; a NaN stays one.
func nearestBF16(x float32) uint16 {
	u := math.Float32bits(x)
	if x != x {
		return uint16(u>>16 | 1<<6)
	}
	return uint16((u + 1<<15 - 1 + u>>16&1) >> 16)
}

// upload writes numbers from off on.
func (m moments) upload(off int, src []float32) {
	m = m[off : off+len(src)]
	for i, v := range src {
		m[i] = nearestBF16(v)
	}
}

// download reads numbers from off on.
func (m moments) download(dst []float32, off int) {
	for i, h := range m[off : off+len(dst)] {
		dst[i] = widenBF16(h)
	}
}

// noiseKey is what a step's noise depends on besides the element.
type noiseKey [2]uint32

// keyOf mixes the step (SplitMix64, Steele, Lea and Flood 2014), so that neighbouring steps have nothing in common.
func keyOf(step int) noiseKey {
	z := uint64(step) * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return noiseKey{uint32(z), uint32(z >> 32)}
}

// Multipliers of the mixing of 32 bits with the lowest bias that is known (Wellons' hash prospector).
const (
	noiseMul1 = 0x21f0aaad
	noiseMul2 = 0x735a2d97
)

// noise is 32 random bits, a function of the step's key and the element alone: not of threads, nor of what else is updated.
func (k noiseKey) noise(element uint32) uint32 {
	x := element ^ k[0]
	x = (x ^ x>>16) * noiseMul1
	x = (x ^ x>>15) + k[1]
	x *= noiseMul2
	return x ^ x>>15
}

// stochasticBF16 rounds up in magnitude with the share of the way that x lies between its two neighbours in bf16, given 16 random bits:
// on average it is x. A NaN stays one.
func stochasticBF16(x float32, noise uint32) uint16 {
	u := math.Float32bits(x)
	if x == x {
		u += noise
	}
	return uint16(u >> 16)
}

// adamWMomentsRef is adamWRef with moments of bf16, which it rounds stochastically. first is the place of the first element among all
// numbers of the model.
func adamWMomentsRef[T float](w, g []T, m, v moments, first uint32, key noiseKey, c adamWCoefficients) {
	for i := range w {
		gi := float64(g[i]) * c.gradScale
		mi := c.beta1*float64(widenBF16(m[i])) + (1-c.beta1)*gi
		vi := c.beta2*float64(widenBF16(v[i])) + (1-c.beta2)*gi*gi
		n := key.noise(first + uint32(i))
		m[i], v[i] = stochasticBF16(float32(mi), n&(1<<16-1)), stochasticBF16(float32(vi), n>>16)
		w[i] = T(float64(w[i])*c.keep - c.rate*mi/(math.Sqrt(vi)/c.rootCorrection+c.eps))
	}
}

// adamWMoments updates weights and moments.
func adamWMoments(lv Level, w, g []float32, m, v moments, first uint32, key noiseKey, c adamWCoefficients) {
	g, m, v = g[:len(w)], m[:len(w)], v[:len(w)]
	if lv.vectors() && len(w) > 0 {
		adamWMomentsVector(lv, w, g, m, v, first, key, c)
		return
	}
	adamWMomentsRef(w, g, m, v, first, key, c)
}

// AllocBF16 implements compute.Device.
func (d *Device) AllocBF16(n int) compute.Buffer { return make(moments, n) }

// AllocBF16 implements compute.Device.
func (Reference[T]) AllocBF16(n int) compute.Buffer { return make(moments, n) }
