package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// peak opens a function whose loop is n rounds of independent multiply-adds, 4 for every accumulator.
func peak(name string, regs []VecPhysical, accumulators int, what string, fma func(x, y, acc int)) {
	begin(name, "func(n int, x *float32)", name+" does n rounds of "+what+" on registers loaded from x and nothing else: the peak of the machine.")
	n := Load(Param("n"), RCX)
	x := pointer("x", RSI)
	for i, r := range regs {
		VMOVUPS(Mem{Base: x, Disp: 64 * i}, r)
	}
	Label("loop")
	for range 4 {
		for i := range accumulators {
			fma(len(regs)-1, len(regs)-2, i)
		}
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func peaks() {
	peak("peakAVX512", zmm, 28, "4x28 multiply-adds of 16 float32", func(x, y, acc int) { VFMADD231PS(zmm[x], zmm[y], zmm[acc]) })
	peak("peakBF16", zmm, 28, "4x28 multiply-adds of 32 bf16", dpbf16)
	peak("peakAVX2", ymm, 12, "4x12 multiply-adds of 8 float32", func(x, y, acc int) { VFMADD231PS(ymm[x], ymm[y], ymm[acc]) })
}
