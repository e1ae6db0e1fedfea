package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels here take n numbers, 16 at a time, and the last few with a mask in K1: an element's result does not depend
// on its place. K1 has all bits set until the tail.

// masking says that load and store are to heed K1. They do in tails alone: loads with a mask do not set off Zen 5's prefetcher, and what
// comes from memory comes at half the speed or a quarter.
var masking bool

// masked opens the loop over vectors: body handles 16 numbers at the pointers, of which those in K1 count.
func masked(n GPPhysical, pointers []GPPhysical, body func()) {
	masking = false
	MOVQ(I32(-1), R10)
	KMOVW(R10.As32(), K1)
	CMPQ(n, Imm(16))
	JL(LabelRef("tail"))
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(64), p)
	}
	SUBQ(Imm(16), n)
	CMPQ(n, Imm(16))
	JGE(LabelRef("loop"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	// K1 = (1 << n) - 1; n is in CX.
	MOVQ(U64(1), R10)
	SHLQ(CL, R10)
	DECQ(R10)
	KMOVW(R10.As32(), K1)
	masking = true
	body()
	Label("done")
}

// Constants of the exponential in the order of expTable: see there.
const (
	expLow = iota
	expHigh
	expLog2e
	expLn2High
	expLn2Low
	expP0
	expOne = expP0 + 6
	expN   = expOne + 1
)

// constants broadcasts the table to registers from first on.
func constants(table GPPhysical, first int) func(i int) VecPhysical {
	for i := range expN {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, zmm[first+i])
	}
	return func(i int) VecPhysical { return zmm[first+i] }
}

// exp replaces x by e^x, with n and p and K2 as room: x = n ln 2 + r, and a polynomial in r (Cephes' expf) times 2^n. A NaN
// stays one: VMAXPS and VMINPS return their second source, which is x, when one is. Where the result would be below the
// smallest normal number it is 0: making subnormal numbers takes Intel's CPUs a hundred times as long.
func exp(c func(int) VecPhysical, x, n, p VecPhysical) {
	VCMPPS(Imm(5), c(expLow), x, K2) // not less than, or unordered
	VMAXPS(x, c(expLow), x)
	VMINPS(x, c(expHigh), x)
	VMULPS(c(expLog2e), x, n)
	VRNDSCALEPS(U8(8), n, n)
	VFNMADD231PS(c(expLn2High), n, x)
	VFNMADD231PS(c(expLn2Low), n, x)
	VMOVAPS(c(expP0), p)
	for i := 1; i < 6; i++ {
		VFMADD213PS(c(expP0+i), x, p)
	}
	// p = (p*x + 1)*x + 1
	VFMADD213PS(c(expOne), x, p)
	VFMADD213PS(c(expOne), x, p)
	VSCALEFPS_Z(n, p, K2, x)
}

func load(from GPPhysical, to VecPhysical) {
	if masking {
		VMOVUPS_Z(Mem{Base: from}, K1, to)
	} else {
		VMOVUPS(Mem{Base: from}, to)
	}
}

func store(from VecPhysical, to GPPhysical) {
	if masking {
		VMOVUPS(from, K1, Mem{Base: to})
	} else {
		VMOVUPS(from, Mem{Base: to})
	}
}

// tree reduces the 16 numbers of x to one in its first place, halves first: with op, by way of t.
func tree(x, t VecPhysical, op func(ops ...Op)) {
	VEXTRACTF32X8(U8(1), x, t.AsY())
	op(t.AsY(), x.AsY(), x.AsY())
	VEXTRACTF128(U8(1), x.AsY(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0x0e), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0x01), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
}

// storeSum stores the sum of the 16 numbers of x, halves first: see sumLanes.
func storeSum(x, t VecPhysical, out GPPhysical) {
	tree(x, t, VADDPS)
	VMOVSS(x.AsX(), Mem{Base: out})
}

func maxAVX512() {
	begin("maxAVX512", "func(n int, x, out *float32)", "maxAVX512 writes to out the largest of x; a NaN wins. n is at least 1.")
	n, x, out := pointer("n", RCX), pointer("x", RSI), pointer("out", RDI)
	// -Inf where nothing was seen.
	MOVL(U32(0xff800000), R10.As32())
	VPBROADCASTD(R10.As32(), Z0)
	KXORW(K3, K3, K3)
	masked(n, []GPPhysical{x}, func() {
		load(x, Z1)
		VMAXPS(Z1, Z0, K1, Z0)
		VCMPPS(Imm(3), Z1, Z1, K1, K2) // unordered
		KORW(K2, K3, K3)
	})
	tree(Z0, Z4, VMAXPS)
	KORTESTW(K3, K3)
	JZ(LabelRef("number"))
	MOVL(U32(0x7fc00000), R10.As32()) // NaN
	VMOVD(R10.As32(), X0)
	Label("number")
	VMOVSS(X0, Mem{Base: out})
	VZEROUPPER()
	RET()
}

func scaleAVX512() {
	begin("scaleAVX512", "func(n int, y, x, a *float32)", "scaleAVX512 writes y = x * *a.")
	n, y, x, a := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("a", RDI)
	VBROADCASTSS(Mem{Base: a}, Z0)
	masked(n, []GPPhysical{x, y}, func() {
		load(x, Z1)
		VMULPS(Z0, Z1, Z1)
		store(Z1, y)
	})
	VZEROUPPER()
	RET()
}

func expScaleAVX512() {
	begin("expScaleAVX512", "func(n int, y, x, table, shift, scale *float32)", "expScaleAVX512 writes y = e^(x-shift) * scale.")
	n, y, x, table := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	shift, scale := pointer("shift", R8), pointer("scale", R9)
	c := constants(table, 16)
	VBROADCASTSS(Mem{Base: shift}, Z0)
	VBROADCASTSS(Mem{Base: scale}, Z5)
	masked(n, []GPPhysical{x, y}, func() {
		load(x, Z1)
		VSUBPS(Z0, Z1, Z1)
		exp(c, Z1, Z2, Z3)
		VMULPS(Z5, Z1, Z1)
		store(Z1, y)
	})
	VZEROUPPER()
	RET()
}

func expSumAVX512() {
	begin("expSumAVX512", "func(n int, y, x, table, shift, out *float32)", "expSumAVX512 writes y = e^(x-shift), and to out the sum of y: see sumLanes.")
	n, y, x, table := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	shift, out := pointer("shift", R8), pointer("out", R9)
	c := constants(table, 16)
	VBROADCASTSS(Mem{Base: shift}, Z0)
	VPXORD(Z4, Z4, Z4)
	masked(n, []GPPhysical{x, y}, func() {
		load(x, Z1)
		VSUBPS(Z0, Z1, Z1)
		exp(c, Z1, Z2, Z3)
		VADDPS(Z1, Z4, K1, Z4)
		store(Z1, y)
	})
	storeSum(Z4, Z1, out)
	VZEROUPPER()
	RET()
}

func dotAVX512() {
	begin("dotAVX512", "func(n int, x, y, out *float32)", "dotAVX512 writes to out the sum of x*y: see sumLanes.")
	n, x, y, out := pointer("n", RCX), pointer("x", RSI), pointer("y", RDI), pointer("out", R8)
	VPXORD(Z0, Z0, Z0)
	masked(n, []GPPhysical{x, y}, func() {
		load(x, Z1)
		load(y, Z2)
		VFMADD231PS(Z1, Z2, K1, Z0)
	})
	storeSum(Z0, Z1, out)
	VZEROUPPER()
	RET()
}

func axpyAVX512() {
	begin("axpyAVX512", "func(n int, y, a, x *float32)", "axpyAVX512 adds *a * x to y.")
	n, y, a, x := pointer("n", RCX), pointer("y", RDX), pointer("a", RDI), pointer("x", RSI)
	VBROADCASTSS(Mem{Base: a}, Z0)
	masked(n, []GPPhysical{x, y}, func() {
		load(x, Z1)
		load(y, Z2)
		VFMADD231PS(Z0, Z1, Z2)
		store(Z2, y)
	})
	VZEROUPPER()
	RET()
}

// sigmoid writes 1/(1+e^-x) to s; x stays.
func sigmoid(c func(int) VecPhysical, s, x, n, p VecPhysical) {
	VPXORD(s, s, s)
	VSUBPS(x, s, s)
	exp(c, s, n, p)
	VADDPS(c(expOne), s, s)
	VDIVPS(s, c(expOne), s)
}

func siluMulAVX512() {
	begin("siluMulAVX512", "func(n int, y, gate, up, table *float32)", "siluMulAVX512 writes y = silu(gate) * up.")
	n, y, gate, up, table := pointer("n", RCX), pointer("y", RDX), pointer("gate", RSI), pointer("up", RDI), pointer("table", R8)
	c := constants(table, 16)
	masked(n, []GPPhysical{y, gate, up}, func() {
		load(gate, Z1)
		sigmoid(c, Z2, Z1, Z3, Z4)
		VMULPS(Z1, Z2, Z2)
		load(up, Z3)
		VMULPS(Z3, Z2, Z2)
		store(Z2, y)
	})
	VZEROUPPER()
	RET()
}

func siluMulBackAVX512() {
	begin("siluMulBackAVX512", "func(n int, y, dGate, dUp, dy, gate, up, table *float32)",
		"siluMulBackAVX512 writes y = silu(gate) * up, dUp = dy*silu(gate) and dGate = dy*up*s*(1+gate*(1-s)) with s the sigmoid of gate.")
	n, y, dGate, dUp, dy := pointer("n", RCX), pointer("y", R11), pointer("dGate", RDX), pointer("dUp", RBX), pointer("dy", RSI)
	gate, up, table := pointer("gate", RDI), pointer("up", R8), pointer("table", R9)
	c := constants(table, 16)
	masked(n, []GPPhysical{y, dGate, dUp, dy, gate, up}, func() {
		load(gate, Z1)
		load(dy, Z5)
		load(up, Z6)
		sigmoid(c, Z2, Z1, Z3, Z4)
		VSUBPS(Z2, c(expOne), Z7)
		VFMADD213PS(c(expOne), Z1, Z7) // 1 + gate*(1-s)
		VMULPS(Z2, Z7, Z7)
		VMULPS(Z6, Z7, Z7)
		VMULPS(Z5, Z7, Z7)
		VMULPS(Z1, Z2, Z2)
		VMULPS(Z6, Z2, Z6)
		VMULPS(Z5, Z2, Z2)
		store(Z6, y)
		store(Z7, dGate)
		store(Z2, dUp)
	})
	VZEROUPPER()
	RET()
}

// adamWAVX512 takes its coefficients in the order of adamWCoefficients32.
func adamWAVX512() {
	begin("adamWAVX512", "func(n int, w, grad, m, v, coefficients *float32)", "adamWAVX512 is adamWRef with coefficients in the order of adamWTable.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("coefficients", R9)
	for i := range 9 {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, zmm[16+i])
	}
	scale, b1, rest1, b2, rest2, root, eps, rate, keep := Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24
	masked(n, []GPPhysical{w, g, m, v}, func() {
		load(g, Z0)
		VMULPS(scale, Z0, Z0)
		load(m, Z1)
		VMULPS(b1, Z1, Z1)
		VFMADD231PS(rest1, Z0, Z1)
		store(Z1, m)
		load(v, Z2)
		VMULPS(b2, Z2, Z2)
		VMULPS(Z0, Z0, Z0)
		VFMADD231PS(rest2, Z0, Z2)
		store(Z2, v)
		VSQRTPS(Z2, Z3)
		VFMADD213PS(eps, root, Z3) // sqrt(v)/sqrt(1-b2^t) + eps
		VMULPS(rate, Z1, Z1)
		VDIVPS(Z3, Z1, Z1)
		load(w, Z4)
		VMULPS(keep, Z4, Z4)
		VSUBPS(Z1, Z4, Z4)
		store(Z4, w)
	})
	VZEROUPPER()
	RET()
}

// tanhOf replaces x by the hyperbolic tangent of x: 1 - 2/(e^2x + 1), with n and p as room.
func tanhOf(c func(int) VecPhysical, x, n, p VecPhysical) {
	VADDPS(x, x, x)
	exp(c, x, n, p)
	VADDPS(c(expOne), x, x)
	VADDPS(c(expOne), c(expOne), n)
	VDIVPS(x, n, n)
	VSUBPS(n, c(expOne), x)
}

// geluTanh takes three constants after the table of the exponential: sqrt(2/pi), 0.044715 and 1/2.
func geluTanh() {
	constantsOfGELU := func(table GPPhysical) (c func(int) VecPhysical, root, cubic, half VecPhysical) {
		c = constants(table, 16)
		for i := range 3 {
			VBROADCASTSS(Mem{Base: table, Disp: 4 * (expN + i)}, zmm[12+i])
		}
		return c, Z12, Z13, Z14
	}
	begin("geluTanhAVX512", "func(n int, y, x, table *float32)", "geluTanhAVX512 writes y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).")
	n, y, x, table := length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	c, root, cubic, half := constantsOfGELU(table)
	// argument writes sqrt(2/pi) (x + 0.044715 x^3) to t, and x^2 to s.
	argument := func(x, s, t VecPhysical) {
		VMULPS(x, x, s)
		VMULPS(cubic, s, t)
		VFMADD213PS(x, x, t)
		VMULPS(root, t, t)
	}
	masked(n, []GPPhysical{y, x}, func() {
		load(x, Z0)
		argument(Z0, Z1, Z2)
		tanhOf(c, Z2, Z3, Z4)
		VADDPS(c(expOne), Z2, Z2)
		VMULPS(half, Z0, Z0)
		VMULPS(Z2, Z0, Z0)
		store(Z0, y)
	})
	VZEROUPPER()
	RET()

	begin("geluTanhBackAVX512", "func(n int, y, dx, dy, x, table *float32)", "geluTanhBackAVX512 writes what geluTanhAVX512 does, and the gradient of its input.")
	n, dx, dy := length("n", RCX), pointer("dx", RDX), pointer("dy", R8)
	y = pointer("y", R9)
	x, table = pointer("x", RSI), pointer("table", RDI)
	c, root, cubic, half = constantsOfGELU(table)
	VADDPS(cubic, cubic, Z15)
	VADDPS(cubic, Z15, Z15) // 3 * 0.044715
	masked(n, []GPPhysical{y, dx, dy, x}, func() {
		load(x, Z0)
		argument(Z0, Z1, Z2)
		tanhOf(c, Z2, Z3, Z4)
		VMULPS(Z2, Z2, Z3)
		VSUBPS(Z3, c(expOne), Z3)       // 1 - t^2
		VFMADD213PS(c(expOne), Z15, Z1) // 1 + 3*0.044715 x^2
		VMULPS(root, Z3, Z3)
		VMULPS(Z1, Z3, Z3)
		VMULPS(Z0, Z3, Z3)
		VADDPS(c(expOne), Z2, Z2)
		VMULPS(half, Z0, Z0)
		VMULPS(Z2, Z0, Z0)
		VADDPS(Z3, Z2, Z2)
		VMULPS(half, Z2, Z2)
		load(dy, Z5)
		VMULPS(Z5, Z2, Z2)
		store(Z0, y)
		store(Z2, dx)
	})
	VZEROUPPER()
	RET()
}
