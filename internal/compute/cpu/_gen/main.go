// Command gen writes the assembly of package cpu: kernels_amd64.s and its declarations, and choices_amd64.go, into the working folder. Run it
// by scripts/generate-kernels.
package main

import (
	"log"
	"os"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("!noasm")
	micros()
	packing512()
	transpose8()
	dataOfAVX2()
	for _, set := range []*isa{avx512, avx2} {
		set.max()
		set.scale()
		set.expScale()
		set.expSum()
		set.dot()
		set.axpy()
		set.siluMul()
		set.siluMulBack()
		set.gelu()
		set.geluTanh()
		set.rows()
		set.norms()
		set.adamW()
	}
	softmaxRowsAVX512()
	softmaxRowsBackAVX512()
	softmaxRowsAVX2()
	softmaxRowsBackAVX2()
	adamWMomentsAVX512()
	adamWMomentsAVX2()
	peaks()
	if err := os.WriteFile("choices_amd64.go", []byte("\n"+choices()), 0o666); err != nil {
		log.Fatal(err)
	}
	Generate()
}
