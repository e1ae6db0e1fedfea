//go:build !amd64 || noasm

package cpu

// Builds without assembly have the Generic level alone, which calls none of these.

func maxVector(x []float32) float32                                    { return maxRef(x) }
func expSumVector(y, x []float32, shift float32, sums *[lanes]float32) { panic("cpu: no assembly") }
func expScaleVector(y, x []float32, shift, scale float32)              { expScaleRef(y, x, shift, scale) }
func dotVector([]float32, []float32, *[lanes]float32)                  { panic("cpu: no assembly") }
func axpyVector(y []float32, a float32, x []float32)                   { axpyRef(y, a, x) }
func siluMulVector(y, gate, up []float32)                              { siluMulRef(y, gate, up) }
func siluMulBackVector(dGate, dUp, dy, gate, up []float32)             { siluMulBackRef(dGate, dUp, dy, gate, up) }
func adamWVector(w, g, m, v []float32, c adamWCoefficients)            { adamWRef(w, g, m, v, c) }
