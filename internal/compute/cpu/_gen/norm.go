package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Sums over a row are taken in float64: 16 float32 are widened to two registers, each with a sum of its own.

// widen makes two registers of float64 of the float32 in x.
func widen(x, low, high VecPhysical) {
	VEXTRACTF32X8(U8(1), x, high.AsY())
	VCVTPS2PD(x.AsY(), low)
	VCVTPS2PD(high.AsY(), high)
}

// storeSum64 stores the sum of 8 numbers in each of a and b.
func storeSum64(a, b, t VecPhysical, out GPPhysical) {
	VADDPD(b, a, a)
	VEXTRACTF64X4(U8(1), a, t.AsY())
	VADDPD(t.AsY(), a.AsY(), a.AsY())
	VEXTRACTF128(U8(1), a.AsY(), t.AsX())
	VADDPD(t.AsX(), a.AsX(), a.AsX())
	VPERMILPD(U8(1), a.AsX(), t.AsX())
	VADDSD(t.AsX(), a.AsX(), a.AsX())
	VMOVSD(a.AsX(), Mem{Base: out})
}

// sum64 opens a kernel that stores a sum over rows of numbers: term leaves its 16 float64 in two registers to add.
func sum64(name, signature, doc string, pointers []string, setup func(), term func(p []GPPhysical) (low, high VecPhysical)) {
	begin(name, signature, doc)
	n, out := length("n", RCX), pointer("out", R9)
	at := []GPPhysical{RSI, RDI, R8}[:len(pointers)]
	for i, p := range pointers {
		Load(Param(p), at[i])
	}
	if setup != nil {
		setup()
	}
	VPXORD(Z14, Z14, Z14)
	VPXORD(Z15, Z15, Z15)
	masked(n, at, func() {
		low, high := term(at)
		VADDPD(low, Z14, Z14)
		VADDPD(high, Z15, Z15)
	})
	storeSum64(Z14, Z15, Z0, out)
	VZEROUPPER()
	RET()
}

func square(low, high VecPhysical) {
	VMULPD(low, low, low)
	VMULPD(high, high, high)
}

func norms() {
	sum64("sumSquaresAVX512", "func(n int, x *float32, out *float64)", "sumSquaresAVX512 writes to out the sum of squares of x.", []string{"x"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			load(p[0], Z0)
			widen(Z0, Z1, Z2)
			square(Z1, Z2)
			return Z1, Z2
		})
	sum64("sumAVX512", "func(n int, x *float32, out *float64)", "sumAVX512 writes to out the sum of x.", []string{"x"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			load(p[0], Z0)
			widen(Z0, Z1, Z2)
			return Z1, Z2
		})
	sum64("sumAroundAVX512", "func(n int, x *float32, mean, out *float64)", "sumAroundAVX512 writes to out the sum of the squares of x - *mean.", []string{"x"},
		func() { VBROADCASTSD(Mem{Base: pointer("mean", RDX)}, Z3) },
		func(p []GPPhysical) (low, high VecPhysical) {
			load(p[0], Z0)
			widen(Z0, Z1, Z2)
			// Numbers past the end are 0, whose distance from the mean must not count.
			KSHIFTRW(U8(8), K1, K2)
			VSUBPD_Z(Z3, Z1, K1, Z1)
			VSUBPD_Z(Z3, Z2, K2, Z2)
			square(Z1, Z2)
			return Z1, Z2
		})
	sum64("sumProductsAVX512", "func(n int, x, y, z *float32, out *float64)", "sumProductsAVX512 writes to out the sum of (x*y) * z, the first product in float32.", []string{"x", "y", "z"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			load(p[0], Z0)
			load(p[1], Z1)
			VMULPS(Z1, Z0, Z0)
			widen(Z0, Z2, Z3)
			load(p[2], Z0)
			widen(Z0, Z4, Z5)
			VMULPD(Z4, Z2, Z2)
			VMULPD(Z5, Z3, Z3)
			return Z2, Z3
		})

	sum64("sumOfProductAVX512", "func(n int, x, y *float32, out *float64)", "sumOfProductAVX512 writes to out the sum of x*y, the products in float32.", []string{"x", "y"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			load(p[0], Z0)
			load(p[1], Z1)
			VMULPS(Z1, Z0, Z0)
			widen(Z0, Z2, Z3)
			return Z2, Z3
		})

	begin("rmsScaleAVX512", "func(n int, y, x, w, rstd *float32)", "rmsScaleAVX512 writes y = x * *rstd * w.")
	n, y, x, w := length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("w", RDI)
	VBROADCASTSS(Mem{Base: pointer("rstd", R8)}, Z0)
	masked(n, []GPPhysical{y, x, w}, func() {
		load(x, Z1)
		VMULPS(Z0, Z1, Z1)
		load(w, Z2)
		VMULPS(Z2, Z1, Z1)
		store(Z1, y)
	})
	VZEROUPPER()
	RET()

	begin("layerScaleAVX512", "func(n int, y, x, w, b, mean, rstd *float32)", "layerScaleAVX512 writes y = (x - *mean) * *rstd * w + b.")
	n, y, x, w = length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("w", RDI)
	b := pointer("b", R8)
	VBROADCASTSS(Mem{Base: pointer("mean", R9)}, Z3)
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, Z0)
	masked(n, []GPPhysical{y, x, w, b}, func() {
		load(x, Z1)
		VSUBPS(Z3, Z1, Z1)
		VMULPS(Z0, Z1, Z1)
		load(w, Z2)
		load(b, Z4)
		VFMADD213PS(Z4, Z2, Z1)
		store(Z1, y)
	})
	VZEROUPPER()
	RET()

	begin("rmsBackAVX512", "func(n int, dx, dy, x, w, rstd, c *float32)", "rmsBackAVX512 adds *rstd * (dy*w - x * *c) to dx.")
	n, dx, dy := length("n", RCX), pointer("dx", RDX), pointer("dy", RSI)
	x, w = pointer("x", RDI), pointer("w", R8)
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, Z0)
	VBROADCASTSS(Mem{Base: pointer("c", R9)}, Z1)
	masked(n, []GPPhysical{dx, dy, x, w}, func() {
		load(dy, Z2)
		load(w, Z3)
		VMULPS(Z3, Z2, Z2)
		load(x, Z3)
		VFNMADD231PS(Z1, Z3, Z2)
		load(dx, Z4)
		VFMADD231PS(Z0, Z2, Z4)
		store(Z4, dx)
	})
	VZEROUPPER()
	RET()

	begin("layerBackAVX512", "func(n int, dx, dy, x, w, mean, rstd, a, c *float32)", "layerBackAVX512 adds *rstd * (dy*w - *a - (x - *mean) * *rstd * *c) to dx.")
	n, dx, dy = length("n", RCX), pointer("dx", RDX), pointer("dy", RSI)
	x, w = pointer("x", RDI), pointer("w", R8)
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, Z0)
	VBROADCASTSS(Mem{Base: pointer("c", R9)}, Z1)
	VBROADCASTSS(Mem{Base: pointer("mean", R9)}, Z5)
	VBROADCASTSS(Mem{Base: pointer("a", R9)}, Z6)
	VMULPS(Z0, Z1, Z1)
	masked(n, []GPPhysical{dx, dy, x, w}, func() {
		load(dy, Z2)
		load(w, Z3)
		VMULPS(Z3, Z2, Z2)
		VSUBPS(Z6, Z2, Z2)
		load(x, Z3)
		VSUBPS(Z5, Z3, Z3)
		VFNMADD231PS(Z1, Z3, Z2)
		load(dx, Z4)
		VFMADD231PS(Z0, Z2, Z4)
		store(Z4, dx)
	})
	VZEROUPPER()
	RET()

	columnSums("columnSumsAVX512", "func(n int, rows int, dy *float32, ldy int, sums *float64)",
		"columnSumsAVX512 writes to sums, 16 numbers, the sums of 1 to 16 columns of dy over the rows, which are ldy bytes apart.", nil, func(dy VecPhysical) {})
	columnSums("rmsWeightAVX512", "func(n int, rows int, dy *float32, ldy int, x *float32, ldx int, rstd *float32, sums *float64)",
		"rmsWeightAVX512 is columnSumsAVX512 of dy * x * rstd, with a number of rstd for each row.", []string{"rstd"}, func(dy VecPhysical) {
			VMULPS(Z1, dy, dy)
			VMULPS(Z2, dy, dy)
		})
	columnSums("layerWeightAVX512", "func(n int, rows int, dy *float32, ldy int, x *float32, ldx int, rstd *float32, mean *float32, sums *float64)",
		"layerWeightAVX512 is columnSumsAVX512 of dy * (x - mean) * rstd.", []string{"rstd", "mean"}, func(dy VecPhysical) {
			VSUBPS(Z3, Z1, Z1)
			VMULPS(Z1, dy, dy)
			VMULPS(Z2, dy, dy)
		})

	begin("ropeAVX512", "func(n int, x, y, cos, sin, sign *float32)", "ropeAVX512 turns pairs of numbers of x and y: x*cos - y*sin and y*cos + x*sin, with sin times *sign.")
	n, x, y = length("n", RCX), pointer("x", RSI), pointer("y", RDI)
	cos, sin := pointer("cos", RDX), pointer("sin", R8)
	VBROADCASTSS(Mem{Base: pointer("sign", R9)}, Z0)
	masked(n, []GPPhysical{x, y, cos, sin}, func() {
		load(x, Z1)
		load(y, Z2)
		load(cos, Z3)
		load(sin, Z4)
		VMULPS(Z0, Z4, Z4)
		VMULPS(Z3, Z1, Z5)
		VFNMADD231PS(Z4, Z2, Z5)
		VMULPS(Z3, Z2, Z6)
		VFMADD231PS(Z4, Z1, Z6)
		store(Z5, x)
		store(Z6, y)
	})
	VZEROUPPER()
	RET()
}

// columnSums opens a kernel that sums up to 16 columns over rows: dy is in Z0, x in Z1, the row's numbers of perRow in Z2 and Z3;
// term turns dy into what is summed.
func columnSums(name, signature, doc string, perRow []string, term func(dy VecPhysical)) {
	begin(name, signature, doc)
	n := length("n", RBX)
	MOVQ(n, RCX)
	MOVQ(U32(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(EAX, K1)
	rows, dy, ldy := length("rows", RCX), pointer("dy", RSI), length("ldy", R8)
	var x, ldx GPPhysical
	at := []GPPhysical{R10, R11}[:len(perRow)]
	if len(perRow) > 0 {
		x, ldx = pointer("x", RDI), length("ldx", R9)
	}
	for i, p := range perRow {
		Load(Param(p), at[i])
	}
	VPXORD(Z30, Z30, Z30)
	VPXORD(Z31, Z31, Z31)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	CMPQ(n, Imm(16))
	JNE(LabelRef("some"))
	for _, name := range []string{"all", "some"} {
		masking = name == "some"
		Label(name)
		load(dy, Z0)
		ADDQ(ldy, dy)
		if len(perRow) > 0 {
			load(x, Z1)
			ADDQ(ldx, x)
		}
		for i, p := range at {
			VBROADCASTSS(Mem{Base: p}, zmm[2+i])
			ADDQ(Imm(4), p)
		}
		term(Z0)
		widen(Z0, Z4, Z5)
		VADDPD(Z4, Z30, Z30)
		VADDPD(Z5, Z31, Z31)
		DECQ(rows)
		JNZ(LabelRef(name))
		if name == "all" {
			JMP(LabelRef("done"))
		}
	}
	Label("done")
	sums := pointer("sums", RDI)
	VMOVUPD(Z30, Mem{Base: sums})
	VMOVUPD(Z31, Mem{Base: sums, Disp: 64})
	VZEROUPPER()
	RET()
}
