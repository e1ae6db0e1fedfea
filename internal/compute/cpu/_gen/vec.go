package main

import (
	"fmt"
	"slices"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa is a set of instructions. The kernels here are written once for both.
//
// They take n numbers, a register of them at a time, and the last few with a mask: an element's result does not depend on its place. In the
// loop nothing is masked: loads with a mask do not set off Zen 5's prefetcher, and what comes from memory comes at half the speed or a quarter.
type isa struct {
	name    string
	r       []VecPhysical
	size    int // bytes of a register
	wide    bool
	masking bool // load and store are to heed the mask, which is in K1 or, of AVX2, in Y15
}

var (
	avx512 = &isa{name: "AVX512", r: zmm, size: 64, wide: true}
	avx2   = &isa{name: "AVX2", r: ymm, size: 32}
)

// Registers of AVX2 that are not for the kernels' own numbers.
const (
	oneRegister  = 14
	keepRegister = 13 // what exp keeps
	maskRegister = 15
)

// lanes is the number of float32 in a register.
func (set *isa) lanes() int { return set.size / 4 }

// begin opens the kernel of this level; its name stands for NAME in the doc.
func (set *isa) begin(name, signature, doc string) {
	if set == avx2 {
		both = append(both, kernel{name, signature})
	}
	name += set.name
	begin(name, signature, strings.ReplaceAll(doc, "NAME", name))
}

// kernel is one that both sets have, with the same arguments.
type kernel struct{ name, signature string }

var both []kernel

// choices is the Go source of functions that call the kernel of a level.
func choices() string {
	text := "//go:build !noasm\n\npackage cpu\n\n// The functions here call a kernel of the level, which is AVX512 or AVX2.\n"
	for _, k := range both {
		parameters := strings.TrimSuffix(strings.TrimPrefix(k.signature, "func("), ")")
		var names []string
		for p := range strings.SplitSeq(parameters, ", ") {
			name, _, _ := strings.Cut(p, " ")
			names = append(names, name)
		}
		arguments := strings.Join(names, ", ")
		text += fmt.Sprintf("\nfunc %sKernel(lv Level, %s) {\n\tif lv == AVX512 {\n\t\t%sAVX512(%s)\n\t} else {\n\t\t%sAVX2(%s)\n\t}\n}\n",
			k.name, parameters, k.name, arguments, k.name, arguments)
	}
	return text
}

func (set *isa) end() {
	VZEROUPPER()
	RET()
}

func (set *isa) zero(r VecPhysical) {
	if set.wide {
		VPXORD(r, r, r)
	} else {
		VXORPS(r, r, r)
	}
}

// firstOnes sets the mask to the first RCX numbers, of which there are fewer than a register has. It uses R10, and of AVX2 RCX.
func (set *isa) firstOnes() {
	if set.wide {
		MOVQ(U64(1), R10)
		SHLQ(CL, R10)
		DECQ(R10)
		KMOVW(R10.As32(), K1)
		return
	}
	// The numbers of tailMask are 8 times -1 and 8 times 0.
	LEAQ(tailMask.Offset(32), R10)
	NEGQ(RCX)
	VMOVDQU(Mem{Base: R10, Index: RCX, Scale: 4}, set.r[maskRegister])
}

// tailMask is where firstOnes of AVX2 takes masks from.
var tailMask Mem

func dataOfAVX2() {
	tailMask = GLOBL("tailMask", RODATA|NOPTR)
	for i := range 16 {
		ones := U32(0)
		if i < 8 {
			ones = 1<<32 - 1
		}
		DATA(4*i, ones)
	}
}

// masked opens the loop over vectors: body handles the numbers at the pointers, in a tail those that the mask has. n is in RCX.
func (set *isa) masked(n GPPhysical, pointers []GPPhysical, body func()) {
	set.masking = false
	if set.wide {
		MOVQ(I32(-1), R10)
		KMOVW(R10.As32(), K1)
	}
	CMPQ(n, Imm(uint64(set.lanes())))
	JL(LabelRef("tail"))
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(uint64(set.size)), p)
	}
	SUBQ(Imm(uint64(set.lanes())), n)
	CMPQ(n, Imm(uint64(set.lanes())))
	JGE(LabelRef("loop"))
	Label("tail")
	TESTQ(n, n)
	JZ(LabelRef("done"))
	set.firstOnes()
	set.masking = true
	body()
	Label("done")
}

// clearTail makes the numbers of x that the mask does not have 0.
func (set *isa) clearTail(x VecPhysical) {
	switch {
	case !set.masking:
	case set.wide:
		VMOVAPS_Z(x, K1, x)
	default:
		VANDPS(set.r[maskRegister], x, x)
	}
}

// Constants of the exponential in the order of expTable: see there. AVX2 has another after them, and constants of other kernels follow.
const (
	expLow = iota
	expHigh
	expLog2e
	expLn2High
	expLn2Low
	expP0
	expOne = expP0 + 6
	expN   = expOne + 1

	expBias = expN // of AVX2
)

// constants are those of the table, with more after the exponential's: a number each in registers from 16 on, those that are more at own;
// of AVX2, which has too few, they stay in memory, 8 numbers each, but for 1.
func (set *isa) constants(table GPPhysical, own ...VecPhysical) func(i int) Op {
	if !set.wide {
		VMOVUPS(Mem{Base: table, Disp: 32 * expOne}, set.r[oneRegister])
		return func(i int) Op {
			switch {
			case i == expOne:
				return set.r[oneRegister]
			case i >= expN:
				i++ // expBias
			}
			return Mem{Base: table, Disp: 32 * i}
		}
	}
	at := append(slices.Clone(zmm[16:16+expN]), own...)
	for i, r := range at {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, r)
	}
	return func(i int) Op { return at[i] }
}

// exp replaces x by e^x, with n and p and K2, or a register of AVX2, as room: x = n ln 2 + r, and a polynomial in r (Cephes' expf) times 2^n.
// A NaN stays one: VMAXPS and VMINPS return their second source, which is x, when one is. Where the result would be below the
// smallest normal number it is 0: making subnormal numbers takes Intel's CPUs a hundred times as long.
func (set *isa) exp(c func(int) Op, x, n, p VecPhysical) {
	keep := set.r[keepRegister]
	const notLess = 5 // or unordered
	if set.wide {
		VCMPPS(Imm(notLess), c(expLow), x, K2)
		VMAXPS(x, c(expLow), x)
		VMINPS(x, c(expHigh), x)
	} else {
		VCMPPS(Imm(notLess), c(expLow), x, keep)
		VMOVUPS(c(expLow), p)
		VMAXPS(x, p, x)
		VMOVUPS(c(expHigh), p)
		VMINPS(x, p, x)
	}
	VMULPS(c(expLog2e), x, n)
	if set.wide {
		VRNDSCALEPS(U8(8), n, n)
	} else {
		VROUNDPS(U8(8), n, n)
	}
	VFNMADD231PS(c(expLn2High), n, x)
	VFNMADD231PS(c(expLn2Low), n, x)
	VMOVUPS(c(expP0), p)
	for i := 1; i < 6; i++ {
		VFMADD213PS(c(expP0+i), x, p)
	}
	// p = (p*x + 1)*x + 1
	VFMADD213PS(c(expOne), x, p)
	VFMADD213PS(c(expOne), x, p)
	if set.wide {
		VSCALEFPS_Z(n, p, K2, x)
		return
	}
	// 2^n in two parts, for n may be 128, which an exponent does not reach.
	bias := set.bias(c)
	VCVTPS2DQ(n, n)
	VPSRAD(U8(1), n, x)
	VPSUBD(x, n, n)
	for _, part := range []VecPhysical{x, n} {
		VPADDD(bias, part, part)
		VPSLLD(U8(23), part, part)
		VMULPS(part, p, p)
	}
	VANDPS(keep, p, x)
}

// one is the register that holds 1.
func (set *isa) one(c func(int) Op) VecPhysical { return c(expOne).(VecPhysical) }

// bias is the constant of AVX2 that is not in the other table: the bias of exponents.
func (set *isa) bias(c func(int) Op) Op {
	m := c(expLow).(Mem)
	m.Disp = 32 * expBias
	return m
}

func (set *isa) load(from GPPhysical, to VecPhysical) {
	switch {
	case !set.masking:
		VMOVUPS(Mem{Base: from}, to)
	case set.wide:
		VMOVUPS_Z(Mem{Base: from}, K1, to)
	default:
		VMASKMOVPS(Mem{Base: from}, set.r[maskRegister], to)
	}
}

func (set *isa) store(from VecPhysical, to GPPhysical) {
	switch {
	case !set.masking:
		VMOVUPS(from, Mem{Base: to})
	case set.wide:
		VMOVUPS(from, K1, Mem{Base: to})
	default:
		VMASKMOVPS(from, set.r[maskRegister], Mem{Base: to})
	}
}

// tree reduces the numbers of x to one in its first place, halves first: with op, by way of t.
func (set *isa) tree(x, t VecPhysical, op func(ops ...Op)) {
	if set.wide {
		VEXTRACTF32X8(U8(1), x, t.AsY())
		op(t.AsY(), x.AsY(), x.AsY())
	}
	VEXTRACTF128(U8(1), x.AsY(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0x0e), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
	VPERMILPS(U8(0x01), x.AsX(), t.AsX())
	op(t.AsX(), x.AsX(), x.AsX())
}

// storeSum stores the sum of the numbers of x, halves first: see sumLanes.
func (set *isa) storeSum(x, t VecPhysical, out GPPhysical) {
	set.tree(x, t, VADDPS)
	VMOVSS(x.AsX(), Mem{Base: out})
}

func (set *isa) max() {
	r := set.r
	set.begin("max", "func(n int, x, out *float32)", "NAME writes to out the largest of x; a NaN wins. n is at least 1.")
	n, x, out := pointer("n", RCX), pointer("x", RSI), pointer("out", RDI)
	m, lowest, unordered := r[0], r[2], r[3]
	MOVL(U32(0xff800000), R10.As32()) // -Inf
	VMOVD(R10.As32(), lowest.AsX())
	VBROADCASTSS(lowest.AsX(), lowest)
	VMOVAPS(lowest, m)
	if set.wide {
		KXORW(K3, K3, K3)
	} else {
		set.zero(unordered)
	}
	const notANumber = 3 // unordered
	set.masked(n, []GPPhysical{x}, func() {
		set.load(x, r[1])
		switch {
		case !set.masking:
		case set.wide:
			VBLENDMPS(r[1], lowest, K1, r[1])
		default:
			VBLENDVPS(r[maskRegister], r[1], lowest, r[1])
		}
		VMAXPS(r[1], m, m)
		if set.wide {
			VCMPPS(Imm(notANumber), r[1], r[1], K2)
			KORW(K2, K3, K3)
		} else {
			VCMPPS(Imm(notANumber), r[1], r[1], r[1])
			VORPS(r[1], unordered, unordered)
		}
	})
	set.tree(m, r[4], VMAXPS)
	if set.wide {
		KORTESTW(K3, K3)
	} else {
		VPTEST(unordered, unordered)
	}
	JZ(LabelRef("number"))
	MOVL(U32(0x7fc00000), R10.As32()) // NaN
	VMOVD(R10.As32(), X0)
	Label("number")
	VMOVSS(X0, Mem{Base: out})
	set.end()
}

func (set *isa) scale() {
	r := set.r
	set.begin("scale", "func(n int, y, x, a *float32)", "NAME writes y = x * *a.")
	n, y, x, a := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("a", RDI)
	VBROADCASTSS(Mem{Base: a}, r[0])
	set.masked(n, []GPPhysical{x, y}, func() {
		set.load(x, r[1])
		VMULPS(r[0], r[1], r[1])
		set.store(r[1], y)
	})
	set.end()
}

func (set *isa) expScale() {
	r := set.r
	set.begin("expScale", "func(n int, y, x, table, shift, scale *float32)", "NAME writes y = e^(x-shift) * scale.")
	n, y, x, table := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	shift, scale := pointer("shift", R8), pointer("scale", R9)
	c := set.constants(table)
	VBROADCASTSS(Mem{Base: shift}, r[0])
	VBROADCASTSS(Mem{Base: scale}, r[5])
	set.masked(n, []GPPhysical{x, y}, func() {
		set.load(x, r[1])
		VSUBPS(r[0], r[1], r[1])
		set.exp(c, r[1], r[2], r[3])
		VMULPS(r[5], r[1], r[1])
		set.store(r[1], y)
	})
	set.end()
}

func (set *isa) expSum() {
	r := set.r
	set.begin("expSum", "func(n int, y, x, table, shift, out *float32)", "NAME writes y = e^(x-shift), and to out the sum of y: see sumLanes.")
	n, y, x, table := pointer("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	shift, out := pointer("shift", R8), pointer("out", R9)
	c := set.constants(table)
	VBROADCASTSS(Mem{Base: shift}, r[0])
	set.zero(r[4])
	set.masked(n, []GPPhysical{x, y}, func() {
		set.load(x, r[1])
		VSUBPS(r[0], r[1], r[1])
		set.exp(c, r[1], r[2], r[3])
		set.clearTail(r[1])
		VADDPS(r[1], r[4], r[4])
		set.store(r[1], y)
	})
	set.storeSum(r[4], r[1], out)
	set.end()
}

func (set *isa) dot() {
	r := set.r
	set.begin("dot", "func(n int, x, y, out *float32)", "NAME writes to out the sum of x*y: see sumLanes.")
	n, x, y, out := pointer("n", RCX), pointer("x", RSI), pointer("y", RDI), pointer("out", R8)
	set.zero(r[0])
	set.masked(n, []GPPhysical{x, y}, func() {
		set.load(x, r[1])
		set.load(y, r[2])
		VFMADD231PS(r[1], r[2], r[0])
	})
	set.storeSum(r[0], r[1], out)
	set.end()
}

func (set *isa) axpy() {
	r := set.r
	set.begin("axpy", "func(n int, y, a, x *float32)", "NAME adds *a * x to y.")
	n, y, a, x := pointer("n", RCX), pointer("y", RDX), pointer("a", RDI), pointer("x", RSI)
	VBROADCASTSS(Mem{Base: a}, r[0])
	set.masked(n, []GPPhysical{x, y}, func() {
		set.load(x, r[1])
		set.load(y, r[2])
		VFMADD231PS(r[0], r[1], r[2])
		set.store(r[2], y)
	})
	set.end()
}

// sigmoid writes 1/(1+e^-x) to s; x stays.
func (set *isa) sigmoid(c func(int) Op, s, x, n, p VecPhysical) {
	set.zero(s)
	VSUBPS(x, s, s)
	set.exp(c, s, n, p)
	VADDPS(c(expOne), s, s)
	VDIVPS(s, set.one(c), s)
}

func (set *isa) siluMul() {
	r := set.r
	set.begin("siluMul", "func(n int, y, gate, up, table *float32)", "NAME writes y = silu(gate) * up.")
	n, y, gate, up, table := pointer("n", RCX), pointer("y", RDX), pointer("gate", RSI), pointer("up", RDI), pointer("table", R8)
	c := set.constants(table)
	set.masked(n, []GPPhysical{y, gate, up}, func() {
		set.load(gate, r[1])
		set.sigmoid(c, r[2], r[1], r[3], r[4])
		VMULPS(r[1], r[2], r[2])
		set.load(up, r[3])
		VMULPS(r[3], r[2], r[2])
		set.store(r[2], y)
	})
	set.end()
}

func (set *isa) siluMulBack() {
	r := set.r
	set.begin("siluMulBack", "func(n int, y, dGate, dUp, dy, gate, up, table *float32)", "NAME writes y = silu(gate) * up, dUp = dy*silu(gate) and dGate = dy*up*s*(1+gate*(1-s)) with s the sigmoid of gate.")
	n, y, dGate, dUp, dy := pointer("n", RCX), pointer("y", R11), pointer("dGate", RDX), pointer("dUp", RBX), pointer("dy", RSI)
	gate, up, table := pointer("gate", RDI), pointer("up", R8), pointer("table", R9)
	c := set.constants(table)
	set.masked(n, []GPPhysical{y, dGate, dUp, dy, gate, up}, func() {
		set.load(gate, r[1])
		set.load(dy, r[5])
		set.load(up, r[6])
		set.sigmoid(c, r[2], r[1], r[3], r[4])
		VSUBPS(r[2], set.one(c), r[7])
		VFMADD213PS(c(expOne), r[1], r[7]) // 1 + gate*(1-s)
		VMULPS(r[2], r[7], r[7])
		VMULPS(r[6], r[7], r[7])
		VMULPS(r[5], r[7], r[7])
		VMULPS(r[1], r[2], r[2])
		VMULPS(r[6], r[2], r[6])
		VMULPS(r[5], r[2], r[2])
		set.store(r[6], y)
		set.store(r[7], dGate)
		set.store(r[2], dUp)
	})
	set.end()
}

func (set *isa) adamW() {
	r := set.r
	set.begin("adamW", "func(n int, w, grad, m, v, coefficients *float32)", "NAME is adamWRef with coefficients in the order of adamWTable.")
	n, w, g, m, v := pointer("n", RCX), pointer("w", RDX), pointer("grad", RSI), pointer("m", RDI), pointer("v", R8)
	table := pointer("coefficients", R9)
	at := r[5:14]
	for i, x := range at {
		VBROADCASTSS(Mem{Base: table, Disp: 4 * i}, x)
	}
	scale, b1, rest1, b2, rest2, root, eps, rate, keep := at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7], at[8]
	set.masked(n, []GPPhysical{w, g, m, v}, func() {
		set.load(g, r[0])
		VMULPS(scale, r[0], r[0])
		set.load(m, r[1])
		VMULPS(b1, r[1], r[1])
		VFMADD231PS(rest1, r[0], r[1])
		set.store(r[1], m)
		set.load(v, r[2])
		VMULPS(b2, r[2], r[2])
		VMULPS(r[0], r[0], r[0])
		VFMADD231PS(rest2, r[0], r[2])
		set.store(r[2], v)
		VSQRTPS(r[2], r[3])
		VFMADD213PS(eps, root, r[3]) // sqrt(v)/sqrt(1-b2^t) + eps
		VMULPS(rate, r[1], r[1])
		VDIVPS(r[3], r[1], r[1])
		set.load(w, r[4])
		VMULPS(keep, r[4], r[4])
		VSUBPS(r[1], r[4], r[4])
		set.store(r[4], w)
	})
	set.end()
}

// tanhOf replaces x by the hyperbolic tangent of x: 1 - 2/(e^2x + 1), with n and p as room.
func (set *isa) tanhOf(c func(int) Op, x, n, p VecPhysical) {
	one := set.one(c)
	VADDPS(x, x, x)
	set.exp(c, x, n, p)
	VADDPS(one, x, x)
	VADDPS(one, one, n)
	VDIVPS(x, n, n)
	VSUBPS(n, one, x)
}

// Constants of geluTanh after those of the exponential, as in geluTanhTable: sqrt(2/pi), 0.044715, 1/2 and 3 times 0.044715.
const (
	geluRoot = expN + iota
	geluCubic
	geluHalf
	geluCubic3
)

func (set *isa) geluTanh() {
	r := set.r
	var c func(int) Op
	// argument writes sqrt(2/pi) (x + 0.044715 x^3) to t, and x^2 to s.
	argument := func(x, s, t VecPhysical) {
		VMULPS(x, x, s)
		VMULPS(c(geluCubic), s, t)
		VFMADD213PS(x, x, t)
		VMULPS(c(geluRoot), t, t)
	}
	set.begin("geluTanh", "func(n int, y, x, table *float32)", "NAME writes y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).")
	n, y, x, table := length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	c = set.constants(table, r[5], r[6], r[7], r[8])
	set.masked(n, []GPPhysical{y, x}, func() {
		set.load(x, r[0])
		argument(r[0], r[1], r[2])
		set.tanhOf(c, r[2], r[3], r[4])
		VADDPS(c(expOne), r[2], r[2])
		VMULPS(c(geluHalf), r[0], r[0])
		VMULPS(r[2], r[0], r[0])
		set.store(r[0], y)
	})
	set.end()

	set.begin("geluTanhBack", "func(n int, y, dx, dy, x, table *float32)", "NAME writes what geluTanh does, and the gradient of its input.")
	n, dx, dy := length("n", RCX), pointer("dx", RDX), pointer("dy", R8)
	y = pointer("y", R9)
	x, table = pointer("x", RSI), pointer("table", RDI)
	c = set.constants(table, r[5], r[6], r[7], r[8])
	set.masked(n, []GPPhysical{y, dx, dy, x}, func() {
		set.load(x, r[0])
		argument(r[0], r[1], r[2])
		set.tanhOf(c, r[2], r[3], r[4])
		VMULPS(r[2], r[2], r[3])
		VSUBPS(r[3], set.one(c), r[3])               // 1 - t^2
		VFMADD132PS(c(geluCubic3), set.one(c), r[1]) // 1 + 3*0.044715 x^2
		VMULPS(c(geluRoot), r[3], r[3])
		VMULPS(r[1], r[3], r[3])
		VMULPS(r[0], r[3], r[3])
		VADDPS(c(expOne), r[2], r[2])
		VMULPS(c(geluHalf), r[0], r[0])
		VMULPS(r[2], r[0], r[0])
		VADDPS(r[3], r[2], r[2])
		VMULPS(c(geluHalf), r[2], r[2])
		set.load(dy, r[1])
		VMULPS(r[1], r[2], r[2])
		set.store(r[0], y)
		set.store(r[2], dx)
	})
	set.end()
}

// Constants of gelu after those of the exponential, as in geluTable: -1/2, the bits that make a number's size, 0.3275911/sqrt(2), the
// polynomial of normal32 from the highest power down with its factor 1/2, and 1/sqrt(2 pi).
const (
	normalMinusHalf = expN + iota
	normalSize
	normalSlope
	normalP0
	normalDensity = normalP0 + 5
	normalN       = normalDensity + 1
)

// normal writes to phi the normal distribution function at x, and to e e^(-x^2/2), with n and p as room: see normal32.
func (set *isa) normal(c func(int) Op, phi, e, x, n, p VecPhysical) {
	one := set.one(c)
	VMULPS(x, x, e)
	VMULPS(c(normalMinusHalf), e, e)
	set.exp(c, e, n, p)
	VANDPS(c(normalSize), x, n)
	VFMADD132PS(c(normalSlope), one, n)
	VDIVPS(n, one, n)
	VMOVUPS(c(normalP0), p)
	for i := 1; i < 5; i++ {
		VFMADD213PS(c(normalP0+i), n, p)
	}
	VMULPS(n, p, p)
	VMULPS(e, p, p) // the tail beyond the size of x
	VSUBPS(p, one, phi)
	if set.wide {
		VPMOVD2M(x, K2)
		VMOVAPS(p, K2, phi)
	} else {
		VBLENDVPS(x, p, phi, phi)
	}
}

func (set *isa) gelu() {
	r := set.r
	own := []VecPhysical{Z28, Z29, Z30, Z31, Z11, Z12, Z13, Z14, Z15}
	set.begin("gelu", "func(n int, y, x, table *float32)", "NAME writes y = x Phi(x) with Phi the normal distribution function.")
	n, y, x, table := length("n", RCX), pointer("y", RDX), pointer("x", RSI), pointer("table", RDI)
	c := set.constants(table, own...)
	set.masked(n, []GPPhysical{y, x}, func() {
		set.load(x, r[0])
		set.normal(c, r[1], r[2], r[0], r[3], r[4])
		VMULPS(r[0], r[1], r[1])
		set.store(r[1], y)
	})
	set.end()

	set.begin("geluBack", "func(n int, y, dx, dy, x, table *float32)", "NAME writes what gelu does, and the gradient of its input.")
	n, dx, dy := length("n", RCX), pointer("dx", RDX), pointer("dy", R8)
	y = pointer("y", R9)
	x, table = pointer("x", RSI), pointer("table", RDI)
	c = set.constants(table, own...)
	set.masked(n, []GPPhysical{y, dx, dy, x}, func() {
		set.load(x, r[0])
		set.load(dy, r[5])
		set.normal(c, r[1], r[2], r[0], r[3], r[4])
		VMULPS(c(normalDensity), r[2], r[2])
		VMULPS(r[0], r[2], r[2])
		VADDPS(r[1], r[2], r[2])
		VMULPS(r[5], r[2], r[2])
		VMULPS(r[0], r[1], r[1])
		set.store(r[1], y)
		set.store(r[2], dx)
	})
	set.end()
}
