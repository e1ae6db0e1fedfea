package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// adamWMomentsAVX512 is adamWAVX512 with moments of bf16. Its noise is noiseKey.noise.
func adamWMomentsAVX512() {
	begin("adamWMomentsAVX512", "func(n int, w, grad *float32, m, v *uint16, coefficients *float32, noise *uint32)",
		"adamWMomentsAVX512 is adamWMomentsRef with coefficients in the order of adamWTable; noise is the first element, the two parts of the key, and the multipliers.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("coefficients", R9)
	for i := range 9 {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, zmm[16+i])
	}
	scale, b1, rest1, b2, rest2, root, eps, rate, keep := Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24
	noise := pointer("noise", R9)
	element, key0, key1, mul1, mul2, low, sixteen := Z25, Z26, Z27, Z28, Z29, Z30, Z31
	for i, x := range []VecPhysical{element, key0, key1, mul1, mul2} {
		VPBROADCASTD(Mem{Base: noise, Disp: 4 * i}, x)
	}
	MOVL(U32(1<<16-1), R10.As32())
	VPBROADCASTD(R10.As32(), low)
	MOVL(U32(16), R10.As32())
	VPBROADCASTD(R10.As32(), sixteen)
	// Elements are counted from the first: 0, 1 ... 15.
	for i, x := range []uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908} {
		MOVQ(U64(x), R10)
		VPINSRQ(U8(i), R10, X0, X0)
	}
	VPMOVZXBD(X0, Z0)
	VPADDD(Z0, element, element)

	load16 := func(from GPPhysical, to VecPhysical) {
		if avx512.masking {
			VPMOVZXWD_Z(Mem{Base: from}, K1, to)
		} else {
			VPMOVZXWD(Mem{Base: from}, to)
		}
		VPSLLD(U8(16), to, to)
	}
	// store16 rounds x stochastically: it adds 16 random bits and cuts off as many, which a NaN is spared.
	store16 := func(x, random VecPhysical, to GPPhysical) {
		VCMPPS(U8(7), x, x, K2) // both are ordered
		VPADDD(random, x, K2, x)
		VPSRLD(U8(16), x, x)
		if avx512.masking {
			VPMOVDW(x, K1, Mem{Base: to})
		} else {
			VPMOVDW(x, Mem{Base: to})
		}
	}
	// shifted writes x ^ x>>n.
	shifted := func(x, t VecPhysical, n uint8) {
		VPSRLD(U8(n), x, t)
		VPXORD(t, x, x)
	}
	avx512.masked(n, []GPPhysical{w, g}, func() {
		VPXORD(key0, element, Z5)
		VPADDD(sixteen, element, element)
		shifted(Z5, Z6, 16)
		VPMULLD(mul1, Z5, Z5)
		shifted(Z5, Z6, 15)
		VPADDD(key1, Z5, Z5)
		VPMULLD(mul2, Z5, Z5)
		shifted(Z5, Z6, 15)
		VPANDD(low, Z5, Z6)
		VPSRLD(U8(16), Z5, Z5)

		avx512.load(g, Z0)
		VMULPS(scale, Z0, Z0)
		load16(m, Z1)
		VMULPS(b1, Z1, Z1)
		VFMADD231PS(rest1, Z0, Z1)
		load16(v, Z2)
		VMULPS(b2, Z2, Z2)
		VMULPS(Z0, Z0, Z0)
		VFMADD231PS(rest2, Z0, Z2)
		VSQRTPS(Z2, Z3)
		VFMADD213PS(eps, root, Z3) // sqrt(v)/sqrt(1-b2^t) + eps
		VMULPS(rate, Z1, Z4)
		VDIVPS(Z3, Z4, Z4)
		avx512.load(w, Z7)
		VMULPS(keep, Z7, Z7)
		VSUBPS(Z4, Z7, Z7)
		avx512.store(Z7, w)
		store16(Z1, Z6, m)
		store16(Z2, Z5, v)
		ADDQ(Imm(32), m)
		ADDQ(Imm(32), v)
	})
	VZEROUPPER()
	RET()
}

// Constants of adamWMomentsAVX2, 8 of each, as adamWMomentsTable has them: the coefficients, the parts of the key, the multipliers, the lower
// half's bits, and 8, by which elements go on.
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
	momentEight
	momentElements
)

// adamWMomentsAVX2 is adamWAVX2 with moments of bf16, 8 at a time.
func adamWMomentsAVX2() {
	begin("adamWMomentsAVX2", "func(n int, w, grad *float32, m, v *uint16, table *float32)",
		"adamWMomentsAVX2 is adamWMomentsRef for n numbers, 8 or a multiple of it, with the constants of adamWMomentsTable.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("table", R9)
	c := func(i int) Mem { return Mem{Base: table, Disp: 32 * i} }
	element, eps, key1 := Y13, Y14, Y15
	VMOVDQU(c(momentElements), element)
	VMOVUPS(c(momentEps), eps)
	VMOVDQU(c(momentKey1), key1)

	load16 := func(from GPPhysical, to VecPhysical) {
		VPMOVZXWD(Mem{Base: from}, to)
		VPSLLD(U8(16), to, to)
	}
	// store16 rounds x stochastically: it adds 16 random bits and cuts off as many, which a NaN is spared.
	store16 := func(x, random, t VecPhysical, to GPPhysical) {
		VCMPPS(U8(7), x, x, t) // both are ordered
		VPAND(t, random, random)
		VPADDD(random, x, x)
		VPSRLD(U8(16), x, x)
		VPACKUSDW(x, x, x)
		VPERMQ(U8(0x08), x, x)
		VMOVDQU(x.AsX(), Mem{Base: to})
	}
	// shifted writes x ^ x>>n.
	shifted := func(x, t VecPhysical, n uint8) {
		VPSRLD(U8(n), x, t)
		VPXOR(t, x, x)
	}
	Label("loop")
	VPXOR(c(momentKey0), element, Y5)
	VPADDD(c(momentEight), element, element)
	shifted(Y5, Y6, 16)
	VPMULLD(c(momentMul1), Y5, Y5)
	shifted(Y5, Y6, 15)
	VPADDD(key1, Y5, Y5)
	VPMULLD(c(momentMul2), Y5, Y5)
	shifted(Y5, Y6, 15)
	VPAND(c(momentLow), Y5, Y6)
	VPSRLD(U8(16), Y5, Y5)

	VMOVUPS(Mem{Base: g}, Y0)
	VMULPS(c(momentScale), Y0, Y0)
	load16(m, Y1)
	VMULPS(c(momentBeta1), Y1, Y1)
	VFMADD231PS(c(momentRest1), Y0, Y1)
	load16(v, Y2)
	VMULPS(c(momentBeta2), Y2, Y2)
	VMULPS(Y0, Y0, Y0)
	VFMADD231PS(c(momentRest2), Y0, Y2)
	VSQRTPS(Y2, Y3)
	VFMADD132PS(c(momentRoot), eps, Y3) // sqrt(v)/sqrt(1-b2^t) + eps
	VMULPS(c(momentRate), Y1, Y4)
	VDIVPS(Y3, Y4, Y4)
	VMOVUPS(Mem{Base: w}, Y7)
	VMULPS(c(momentKeep), Y7, Y7)
	VSUBPS(Y4, Y7, Y7)
	VMOVUPS(Y7, Mem{Base: w})
	store16(Y1, Y6, Y8, m)
	store16(Y2, Y5, Y8, v)
	for _, p := range []GPPhysical{w, g} {
		ADDQ(Imm(32), p)
	}
	for _, p := range []GPPhysical{m, v} {
		ADDQ(Imm(16), p)
	}
	SUBQ(Imm(8), n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
