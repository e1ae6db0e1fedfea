//go:build !amd64 || noasm

package cpu

// Builds without assembly have the Generic level alone, which calls none of these.

func maxVector(x []float32) float32                         { return maxRef(x) }
func expSumVector(y, x []float32, shift float32) float32    { return expSumRef(y, x, shift) }
func expScaleVector(y, x []float32, shift, scale float32)   { expScaleRef(y, x, shift, scale) }
func dotVector(x, y []float32) float32                      { return dotRef(x, y) }
func scaleVector(y []float32, a float32, x []float32)       { scaleRef(y, a, x) }
func softmaxBackVector(s, ds []float32, lse, delta float32) { softmaxBackRef(s, ds, lse, delta) }
func axpyVector(y []float32, a float32, x []float32)        { axpyRef(y, a, x) }
func siluMulVector(y, gate, up []float32)                   { siluMulRef(y, gate, up) }
func siluMulBackVector(dGate, dUp, dy, gate, up []float32)  { siluMulBackRef(dGate, dUp, dy, gate, up) }
func adamWVector(w, g, m, v []float32, c adamWCoefficients) { adamWRef(w, g, m, v, c) }
