// Command gen writes the assembly of package cpu: kernels_amd64.s and its declarations. Run it by scripts/generate-kernels.
package main

import . "github.com/mmcloughlin/avo/build"

func main() {
	ConstraintExpr("!noasm")
	micros()
	packing512()
	transpose8()
	maxAVX512()
	scaleAVX512()
	expScaleAVX512()
	expSumAVX512()
	dotAVX512()
	axpyAVX512()
	siluMulAVX512()
	siluMulBackAVX512()
	geluTanh()
	softmaxRowsAVX512()
	softmaxRowsBackAVX512()
	rowsAVX512()
	norms()
	adamWAVX512()
	adamWMomentsAVX512()
	peaks()
	Generate()
}
