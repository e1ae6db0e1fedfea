package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Constants of AdamW with moments of bf16: the coefficients, the parts of the key, the multipliers, the lower half's bits, and the numbers of
// a register, by which elements go on.
const (
	momentScale = iota
	momentBeta1
	momentRest1
	momentBeta2
	momentRest2
	momentRoot
	momentEps
	momentRate
	momentKeep
	momentKey0
	momentKey1
	momentMul1
	momentMul2
	momentLow
	momentLanes
	momentElements
)

// moments updates the numbers of a register at w, whose gradients are at g and whose moments of bf16 at m and v; element holds which they are.
// Of the constants eps and key1 are in registers. The noise is noiseKey.noise.
func (set *isa) moments(c func(i int) Op, element, eps, key1 VecPhysical, w, g, m, v GPPhysical) {
	r := set.r
	forM, forV := r[6], r[5] // 16 random bits
	set.xor(c(momentKey0), element, forV)
	VPADDD(c(momentLanes), element, element)
	set.xorShifted(forV, forM, 16)
	VPMULLD(c(momentMul1), forV, forV)
	set.xorShifted(forV, forM, 15)
	VPADDD(key1, forV, forV)
	VPMULLD(c(momentMul2), forV, forV)
	set.xorShifted(forV, forM, 15)
	if set.wide {
		VPANDD(c(momentLow), forV, forM)
	} else {
		VPAND(c(momentLow), forV, forM)
	}
	VPSRLD(U8(16), forV, forV)

	set.load(g, r[0])
	VMULPS(c(momentScale), r[0], r[0])
	set.load16(m, r[1])
	VMULPS(c(momentBeta1), r[1], r[1])
	VFMADD231PS(c(momentRest1), r[0], r[1])
	set.load16(v, r[2])
	VMULPS(c(momentBeta2), r[2], r[2])
	VMULPS(r[0], r[0], r[0])
	VFMADD231PS(c(momentRest2), r[0], r[2])
	VSQRTPS(r[2], r[3])
	VFMADD132PS(c(momentRoot), eps, r[3]) // sqrt(v)/sqrt(1-b2^t) + eps
	VMULPS(c(momentRate), r[1], r[4])
	VDIVPS(r[3], r[4], r[4])
	set.load(w, r[7])
	VMULPS(c(momentKeep), r[7], r[7])
	VSUBPS(r[4], r[7], r[7])
	set.store(r[7], w)
	set.store16(r[1], forM, r[8], m)
	set.store16(r[2], forV, r[8], v)
}

func (set *isa) xor(a Op, b, to VecPhysical) {
	if set.wide {
		VPXORD(a, b, to)
	} else {
		VPXOR(a, b, to)
	}
}

// xorShifted writes x ^ x>>n, with t as room.
func (set *isa) xorShifted(x, t VecPhysical, n uint8) {
	VPSRLD(U8(n), x, t)
	set.xor(t, x, x)
}

// load16 loads bf16 as float32.
func (set *isa) load16(from GPPhysical, to VecPhysical) {
	if set.masking {
		VPMOVZXWD_Z(Mem{Base: from}, K1, to)
	} else {
		VPMOVZXWD(Mem{Base: from}, to)
	}
	VPSLLD(U8(16), to, to)
}

// store16 rounds x to bf16 stochastically: it adds 16 random bits and cuts off as many, which a NaN is spared. K2 or t is room.
func (set *isa) store16(x, random, t VecPhysical, to GPPhysical) {
	const ordered = 7 // not a NaN
	if !set.wide {
		VCMPPS(U8(ordered), x, x, t)
		VPAND(t, random, random)
		VPADDD(random, x, x)
		VPSRLD(U8(16), x, x)
		VPACKUSDW(x, x, x)
		VPERMQ(U8(0x08), x, x)
		VMOVDQU(x.AsX(), Mem{Base: to})
		return
	}
	VCMPPS(U8(ordered), x, x, K2)
	VPADDD(random, x, K2, x)
	VPSRLD(U8(16), x, x)
	if set.masking {
		VPMOVDW(x, K1, Mem{Base: to})
	} else {
		VPMOVDW(x, Mem{Base: to})
	}
}

// adamWMomentsAVX512 is adamWAVX512 with moments of bf16; all constants are in registers.
func adamWMomentsAVX512() {
	begin("adamWMomentsAVX512", "func(n int, w, grad *float32, m, v *uint16, coefficients *float32, noise *uint32)",
		"adamWMomentsAVX512 is adamWMomentsRef with coefficients in the order of adamWTable; noise is the first element, the two parts of the key, and the multipliers.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("coefficients", R9)
	element := Z25
	c := func(i int) Op {
		if i >= momentKey0 {
			i++ // element
		}
		return zmm[16+i]
	}
	for i := range momentKey0 {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, c(i))
	}
	noise := pointer("noise", R9)
	for i, x := range []Op{element, c(momentKey0), c(momentKey1), c(momentMul1), c(momentMul2)} {
		VPBROADCASTD(Mem{Base: noise, Disp: 4 * i}, x)
	}
	MOVL(U32(1<<16-1), R10.As32())
	VPBROADCASTD(R10.As32(), c(momentLow))
	MOVL(U32(16), R10.As32())
	VPBROADCASTD(R10.As32(), c(momentLanes))
	// Elements are counted from the first: 0, 1 ... 15.
	for i, x := range []uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908} {
		MOVQ(U64(x), R10)
		VPINSRQ(U8(i), R10, X0, X0)
	}
	VPMOVZXBD(X0, Z0)
	VPADDD(Z0, element, element)
	avx512.masked(n, []GPPhysical{w, g}, func() {
		avx512.moments(c, element, zmm[16+momentEps], zmm[17+momentKey1], w, g, m, v)
		ADDQ(Imm(32), m)
		ADDQ(Imm(32), v)
	})
	avx512.end()
}

// adamWMomentsAVX2 is adamWAVX2 with moments of bf16, 8 at a time. Most constants stay in memory, 8 of each.
func adamWMomentsAVX2() {
	begin("adamWMomentsAVX2", "func(n int, w, grad *float32, m, v *uint16, table *float32)",
		"adamWMomentsAVX2 is adamWMomentsRef for n numbers, 8 or a multiple of it, with the constants that adamWMomentsVector lays out.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("table", R9)
	c := func(i int) Op { return Mem{Base: table, Disp: 32 * i} }
	element, eps, key1 := Y13, Y14, Y15
	VMOVDQU(c(momentElements), element)
	VMOVUPS(c(momentEps), eps)
	VMOVDQU(c(momentKey1), key1)
	avx2.masking = false
	Label("loop")
	avx2.moments(c, element, eps, key1, w, g, m, v)
	for _, p := range []GPPhysical{w, g} {
		ADDQ(Imm(32), p)
	}
	for _, p := range []GPPhysical{m, v} {
		ADDQ(Imm(16), p)
	}
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	avx2.end()
}
