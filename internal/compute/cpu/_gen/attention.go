package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The kernels of attention go through rows of 64 scores, of which a row's query sees those whose bit is set in a number of seen.

// seenMasks are the masks of a row's four vectors.
var seenMasks = []Op{K3, K4, K5, K6}

// loadSeen loads the masks of a row; it uses RAX.
func loadSeen(seen GPPhysical) {
	MOVQ(Mem{Base: seen}, RAX)
	KMOVQ(RAX, K3)
	for j := 1; j < 4; j++ {
		KSHIFTRQ(U8(16*j), K3, seenMasks[j])
	}
}

func softmaxRowsAVX512() {
	begin("softmaxRowsAVX512", "func(rows int, s *float32, seen *uint64, m, change, sums, table *float32)", "softmaxRowsAVX512 is softmaxRowsRef.")
	rows, s, seen := length("rows", RCX), pointer("s", RSI), pointer("seen", RDI)
	m, change, sums := pointer("m", R8), pointer("change", R9), pointer("sums", R11)
	c := constants(pointer("table", RDX), 16)
	lowest := Z15
	MOVL(U32(0xff800000), RAX.As32()) // -Inf
	VPBROADCASTD(RAX.As32(), lowest)
	scores, n, p := zmm[0:4], zmm[4:8], zmm[8:12]
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	loadSeen(seen)
	for j, x := range scores {
		VMOVAPS(lowest, x)
		VMOVUPS(Mem{Base: s, Disp: 64 * j}, seenMasks[j], x)
	}
	VMAXPS(scores[1], scores[0], n[0])
	VMAXPS(scores[3], scores[2], n[1])
	VMAXPS(n[1], n[0], n[0])
	tree(n[0], n[1], VMAXPS)
	// The maximum so far and what it changes by, which is 0 and not NaN while nothing has been seen.
	VMOVSS(Mem{Base: m}, X12)
	VMAXSS(n[0].AsX(), X12, X13)
	VMOVSS(X13, Mem{Base: m})
	VSUBSS(X13, X12, X14)
	VCMPSS(U8(4), X13, X12, X12) // not equal
	VANDPS(X12, X14, X14)
	VMOVSS(X14, Mem{Base: change})
	VBROADCASTSS(X13, Z13)
	for j, x := range scores {
		VSUBPS(Z13, x, x)
		exp(c, x, n[j], p[j])
		VMOVAPS_Z(x, seenMasks[j], x)
		VMOVUPS(x, Mem{Base: s, Disp: 64 * j})
	}
	for _, x := range scores[1:] {
		VADDPS(x, scores[0], scores[0])
	}
	storeSum(scores[0], scores[1], sums)
	ADDQ(U32(256), s)
	for _, p := range []GPPhysical{m, change, sums} {
		ADDQ(Imm(4), p)
	}
	ADDQ(Imm(8), seen)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func softmaxRowsBackAVX512() {
	begin("softmaxRowsBackAVX512", "func(rows int, s, ds *float32, seen *uint64, lse, delta, table *float32)", "softmaxRowsBackAVX512 is softmaxRowsBackRef.")
	rows, s, ds, seen := length("rows", RCX), pointer("s", RSI), pointer("ds", RDX), pointer("seen", RDI)
	lse, delta := pointer("lse", R8), pointer("delta", R9)
	c := constants(pointer("table", R11), 16)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	loadSeen(seen)
	VBROADCASTSS(Mem{Base: lse}, Z14)
	VBROADCASTSS(Mem{Base: delta}, Z15)
	for j := range 4 {
		x := zmm[j]
		VMOVUPS(Mem{Base: s, Disp: 64 * j}, x)
		VSUBPS(Z14, x, x)
		exp(c, x, zmm[4+j], zmm[8+j])
		VMOVAPS_Z(x, seenMasks[j], x)
		VMOVUPS(x, Mem{Base: s, Disp: 64 * j})
		VMOVUPS(Mem{Base: ds, Disp: 64 * j}, zmm[4+j])
		VSUBPS(Z15, zmm[4+j], zmm[4+j])
		VMULPS_Z(x, zmm[4+j], seenMasks[j], x)
		VMOVUPS(x, Mem{Base: ds, Disp: 64 * j})
	}
	ADDQ(U32(256), s)
	ADDQ(U32(256), ds)
	for _, p := range []GPPhysical{lse, delta} {
		ADDQ(Imm(4), p)
	}
	ADDQ(Imm(8), seen)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

// eachOfRows opens a loop over rows of n numbers, at x and y with ldx and ldy bytes from one to the next: start begins a row, body
// handles 16 numbers, end ends a row. It uses RAX, RBX, RCX, R8 to R13.
func eachOfRows(start func(), body func(y, x GPPhysical), end func()) {
	rows, n := length("rows", RBX), length("n", R8)
	y, ldy := pointer("y", RDI), length("ldy", R9)
	x, ldx := pointer("x", RSI), length("ldx", R11)
	MOVQ(n, RCX)
	ANDQ(Imm(15), RCX)
	MOVQ(U32(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(RAX.As32(), K1)
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	start()
	MOVQ(y, R12)
	MOVQ(x, R13)
	MOVQ(n, RCX)
	SUBQ(Imm(16), RCX)
	JL(LabelRef("rest"))
	Label("vector")
	masking = false
	body(R12, R13)
	ADDQ(Imm(64), R12)
	ADDQ(Imm(64), R13)
	SUBQ(Imm(16), RCX)
	JGE(LabelRef("vector"))
	Label("rest")
	CMPQ(RCX, I8(-16))
	JE(LabelRef("next"))
	masking = true
	body(R12, R13)
	Label("next")
	end()
	ADDQ(ldy, y)
	ADDQ(ldx, x)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	VZEROUPPER()
	RET()
}

func rowsAVX512() {
	begin("scaleRowsAVX512", "func(rows, n int, y *float32, ldy int, x *float32, ldx int, a *float32)", "scaleRowsAVX512 is scaleRowsRef; ldy and ldx are in bytes.")
	a := pointer("a", RDX)
	eachOfRows(func() {
		VBROADCASTSS(Mem{Base: a}, Z0)
		ADDQ(Imm(4), a)
	}, func(y, x GPPhysical) {
		load(x, Z1)
		VMULPS(Z0, Z1, Z1)
		store(Z1, y)
	}, func() {})
	begin("addRowsAVX512", "func(rows, n int, y *float32, ldy int, x *float32, ldx int)", "addRowsAVX512 is addRowsRef; ldy and ldx are in bytes.")
	eachOfRows(func() {}, func(y, x GPPhysical) {
		load(x, Z1)
		load(y, Z2)
		VADDPS(Z1, Z2, Z2)
		store(Z2, y)
	}, func() {})

	begin("dotRowsAVX512", "func(rows, n int, y *float32, ldy int, x *float32, ldx int, out *float32)", "dotRowsAVX512 is dotRowsRef, each sum as sumLanes says; ldy and ldx are in bytes.")
	out := pointer("out", RDX)
	eachOfRows(func() { zero512(Z0) }, func(y, x GPPhysical) {
		load(y, Z1)
		load(x, Z2)
		VFMADD231PS(Z1, Z2, Z0)
	}, func() {
		storeSum(Z0, Z1, out)
		ADDQ(Imm(4), out)
	})
}
