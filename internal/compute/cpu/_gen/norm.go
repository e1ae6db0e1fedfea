package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// Sums over a row are taken in float64: the float32 of a register are widened to two registers, each with a sum of its own.

// widen makes two registers of float64 of the float32 in x.
func (set *isa) widen(x, low, high VecPhysical) {
	if set.wide {
		VEXTRACTF32X8(U8(1), x, high.AsY())
		VCVTPS2PD(x.AsY(), low)
		VCVTPS2PD(high.AsY(), high)
		return
	}
	VEXTRACTF128(U8(1), x, high.AsX())
	VCVTPS2PD(x.AsX(), low)
	VCVTPS2PD(high.AsX(), high)
}

// clearWideTail makes the float64 of low and high that the mask does not have 0, with K2 or t as room.
func (set *isa) clearWideTail(low, high, t VecPhysical) {
	mask := set.r[maskRegister]
	switch {
	case !set.masking:
	case set.wide:
		KSHIFTRW(U8(8), K1, K2)
		VMOVAPD_Z(low, K1, low)
		VMOVAPD_Z(high, K2, high)
	default:
		VPMOVSXDQ(mask.AsX(), t)
		VANDPD(t, low, low)
		VEXTRACTF128(U8(1), mask, t.AsX())
		VPMOVSXDQ(t.AsX(), t)
		VANDPD(t, high, high)
	}
}

// storeSum64 stores the sum of the float64 of a and b.
func (set *isa) storeSum64(a, b, t VecPhysical, out GPPhysical) {
	VADDPD(b, a, a)
	if set.wide {
		VEXTRACTF64X4(U8(1), a, t.AsY())
		VADDPD(t.AsY(), a.AsY(), a.AsY())
	}
	VEXTRACTF128(U8(1), a.AsY(), t.AsX())
	VADDPD(t.AsX(), a.AsX(), a.AsX())
	VPERMILPD(U8(1), a.AsX(), t.AsX())
	VADDSD(t.AsX(), a.AsX(), a.AsX())
	VMOVSD(a.AsX(), Mem{Base: out})
}

// sum64 opens a kernel that stores a sum over rows of numbers: term leaves its float64 in two registers to add.
func (set *isa) sum64(name, signature, doc string, pointers []string, setup func(), term func(p []GPPhysical) (low, high VecPhysical)) {
	set.begin(name, signature, doc)
	n, out := length("n", RCX), pointer("out", R9)
	at := []GPPhysical{RSI, RDI, R8}[:len(pointers)]
	for i, p := range pointers {
		Load(Param(p), at[i])
	}
	if setup != nil {
		setup()
	}
	a, b := set.r[12], set.r[13]
	set.zero(a)
	set.zero(b)
	set.masked(n, at, func() {
		low, high := term(at)
		VADDPD(low, a, a)
		VADDPD(high, b, b)
	})
	set.storeSum64(a, b, set.r[0], out)
	set.end()
}

func square(low, high VecPhysical) {
	VMULPD(low, low, low)
	VMULPD(high, high, high)
}

func (set *isa) norms() {
	r := set.r
	set.sum64("sumSquares", "func(n int, x *float32, out *float64)", "NAME writes to out the sum of squares of x.", []string{"x"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			set.load(p[0], r[0])
			set.widen(r[0], r[1], r[2])
			square(r[1], r[2])
			return r[1], r[2]
		})
	set.sum64("sum", "func(n int, x *float32, out *float64)", "NAME writes to out the sum of x.", []string{"x"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			set.load(p[0], r[0])
			set.widen(r[0], r[1], r[2])
			return r[1], r[2]
		})
	set.sum64("sumAround", "func(n int, x *float32, mean, out *float64)", "NAME writes to out the sum of the squares of x - *mean.", []string{"x"},
		func() { VBROADCASTSD(Mem{Base: pointer("mean", RDX)}, r[3]) },
		func(p []GPPhysical) (low, high VecPhysical) {
			set.load(p[0], r[0])
			set.widen(r[0], r[1], r[2])
			VSUBPD(r[3], r[1], r[1])
			VSUBPD(r[3], r[2], r[2])
			set.clearWideTail(r[1], r[2], r[4]) // numbers past the end are 0, whose distance from the mean must not count
			square(r[1], r[2])
			return r[1], r[2]
		})
	set.sum64("sumProducts", "func(n int, x, y, z *float32, out *float64)", "NAME writes to out the sum of (x*y) * z, the first product in float32.", []string{"x", "y", "z"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			set.load(p[0], r[0])
			set.load(p[1], r[1])
			VMULPS(r[1], r[0], r[0])
			set.widen(r[0], r[2], r[3])
			set.load(p[2], r[0])
			set.widen(r[0], r[4], r[5])
			VMULPD(r[4], r[2], r[2])
			VMULPD(r[5], r[3], r[3])
			return r[2], r[3]
		})

	set.sum64("sumOfProduct", "func(n int, x, y *float32, out *float64)", "NAME writes to out the sum of x*y, the products in float32.", []string{"x", "y"}, nil,
		func(p []GPPhysical) (low, high VecPhysical) {
			set.load(p[0], r[0])
			set.load(p[1], r[1])
			VMULPS(r[1], r[0], r[0])
			set.widen(r[0], r[2], r[3])
			return r[2], r[3]
		})

	set.begin("rmsScale", "func(n int, y, x, w, rstd *float32)", "NAME writes y = x * *rstd * w.")
	n, y, x, w := length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("w", RDI)
	VBROADCASTSS(Mem{Base: pointer("rstd", R8)}, r[0])
	set.masked(n, []GPPhysical{y, x, w}, func() {
		set.load(x, r[1])
		VMULPS(r[0], r[1], r[1])
		set.load(w, r[2])
		VMULPS(r[2], r[1], r[1])
		set.store(r[1], y)
	})
	set.end()

	set.begin("layerScale", "func(n int, y, x, w, b, mean, rstd *float32)", "NAME writes y = (x - *mean) * *rstd * w + b.")
	n, y, x, w = length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("w", RDI)
	b := pointer("b", R8)
	VBROADCASTSS(Mem{Base: pointer("mean", R9)}, r[3])
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, r[0])
	set.masked(n, []GPPhysical{y, x, w, b}, func() {
		set.load(x, r[1])
		VSUBPS(r[3], r[1], r[1])
		VMULPS(r[0], r[1], r[1])
		set.load(w, r[2])
		set.load(b, r[4])
		VFMADD213PS(r[4], r[2], r[1])
		set.store(r[1], y)
	})
	set.end()

	set.begin("rmsBack", "func(n int, dx, dy, x, w, rstd, c *float32)", "NAME adds *rstd * (dy*w - x * *c) to dx.")
	n, dx, dy := length("n", RCX), pointer("dx", RDX), pointer("dy", RSI)
	x, w = pointer("x", RDI), pointer("w", R8)
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, r[0])
	VBROADCASTSS(Mem{Base: pointer("c", R9)}, r[1])
	set.masked(n, []GPPhysical{dx, dy, x, w}, func() {
		set.load(dy, r[2])
		set.load(w, r[3])
		VMULPS(r[3], r[2], r[2])
		set.load(x, r[3])
		VFNMADD231PS(r[1], r[3], r[2])
		set.load(dx, r[4])
		VFMADD231PS(r[0], r[2], r[4])
		set.store(r[4], dx)
	})
	set.end()

	set.begin("layerBack", "func(n int, dx, dy, x, w, mean, rstd, a, c *float32)", "NAME adds *rstd * (dy*w - *a - (x - *mean) * *rstd * *c) to dx.")
	n, dx, dy = length("n", RCX), pointer("dx", RDX), pointer("dy", RSI)
	x, w = pointer("x", RDI), pointer("w", R8)
	VBROADCASTSS(Mem{Base: pointer("rstd", R9)}, r[0])
	VBROADCASTSS(Mem{Base: pointer("c", R9)}, r[1])
	VBROADCASTSS(Mem{Base: pointer("mean", R9)}, r[5])
	VBROADCASTSS(Mem{Base: pointer("a", R9)}, r[6])
	VMULPS(r[0], r[1], r[1])
	set.masked(n, []GPPhysical{dx, dy, x, w}, func() {
		set.load(dy, r[2])
		set.load(w, r[3])
		VMULPS(r[3], r[2], r[2])
		VSUBPS(r[6], r[2], r[2])
		set.load(x, r[3])
		VSUBPS(r[5], r[3], r[3])
		VFNMADD231PS(r[1], r[3], r[2])
		set.load(dx, r[4])
		VFMADD231PS(r[0], r[2], r[4])
		set.store(r[4], dx)
	})
	set.end()

	set.columnSums("columnSums", "func(n int, rows int, dy *float32, ldy int, sums *float64)", "NAME writes to sums, as many numbers as a register has, the sums of the first n columns of dy over the rows, which are ldy bytes apart.", nil, func(dy VecPhysical) {})
	set.columnSums("rmsWeight", "func(n int, rows int, dy *float32, ldy int, x *float32, ldx int, rstd *float32, sums *float64)", "NAME is columnSums of dy * x * rstd, with a number of rstd for each row.", []string{"rstd"}, func(dy VecPhysical) {
		VMULPS(r[1], dy, dy)
		VMULPS(r[2], dy, dy)
	})
	set.columnSums("layerWeight", "func(n int, rows int, dy *float32, ldy int, x *float32, ldx int, rstd *float32, mean *float32, sums *float64)", "NAME is columnSums of dy * (x - mean) * rstd.", []string{"rstd", "mean"}, func(dy VecPhysical) {
		VSUBPS(r[3], r[1], r[1])
		VMULPS(r[1], dy, dy)
		VMULPS(r[2], dy, dy)
	})

	set.begin("rope", "func(n int, x, y, cos, sin, sign *float32)", "NAME turns pairs of numbers of x and y: x*cos - y*sin and y*cos + x*sin, with sin times *sign.")
	n, x, y = length("n", RCX), pointer("x", RSI), pointer("y", RDI)
	cos, sin := pointer("cos", RDX), pointer("sin", R8)
	VBROADCASTSS(Mem{Base: pointer("sign", R9)}, r[0])
	set.masked(n, []GPPhysical{x, y, cos, sin}, func() {
		set.load(x, r[1])
		set.load(y, r[2])
		set.load(cos, r[3])
		set.load(sin, r[4])
		VMULPS(r[0], r[4], r[4])
		VMULPS(r[3], r[1], r[5])
		VFNMADD231PS(r[4], r[2], r[5])
		VMULPS(r[3], r[2], r[6])
		VFMADD231PS(r[4], r[1], r[6])
		set.store(r[5], x)
		set.store(r[6], y)
	})
	set.end()
}

// columnSums opens a kernel that sums the columns of a register, or fewer, over rows: dy is in register 0, x in 1, the row's numbers of
// perRow in 2 and 3; term turns dy into what is summed.
func (set *isa) columnSums(name, signature, doc string, perRow []string, term func(dy VecPhysical)) {
	r := set.r
	set.begin(name, signature, doc)
	n := length("n", RBX)
	MOVQ(n, RCX)
	set.firstOnes()
	rows, dy, ldy := length("rows", RCX), pointer("dy", RSI), length("ldy", R8)
	var x, ldx GPPhysical
	at := []GPPhysical{R10, R11}[:len(perRow)]
	if len(perRow) > 0 {
		x, ldx = pointer("x", RDI), length("ldx", R9)
	}
	for i, p := range perRow {
		Load(Param(p), at[i])
	}
	a, b := r[6], r[7]
	set.zero(a)
	set.zero(b)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	CMPQ(n, Imm(uint64(set.lanes())))
	JNE(LabelRef("some"))
	for _, name := range []string{"all", "some"} {
		set.masking = name == "some"
		Label(name)
		set.load(dy, r[0])
		ADDQ(ldy, dy)
		if len(perRow) > 0 {
			set.load(x, r[1])
			ADDQ(ldx, x)
		}
		for i, p := range at {
			VBROADCASTSS(Mem{Base: p}, r[2+i])
			ADDQ(Imm(4), p)
		}
		term(r[0])
		set.widen(r[0], r[4], r[5])
		VADDPD(r[4], a, a)
		VADDPD(r[5], b, b)
		DECQ(rows)
		JNZ(LabelRef(name))
		if name == "all" {
			JMP(LabelRef("done"))
		}
	}
	Label("done")
	sums := pointer("sums", RDI)
	VMOVUPD(a, Mem{Base: sums})
	VMOVUPD(b, Mem{Base: sums, Disp: set.size})
	set.end()
}
