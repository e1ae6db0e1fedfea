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

// eachRowOfScores is the rest of a kernel: a loop over rows, of which each has 64 numbers at the scores and one at the numbers and seen.
func (set *isa) eachRowOfScores(rows GPPhysical, scores, numbers []GPPhysical, seen GPPhysical, body func()) {
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	body()
	for _, p := range scores {
		ADDQ(U32(256), p)
	}
	for _, p := range numbers {
		ADDQ(Imm(4), p)
	}
	ADDQ(Imm(8), seen)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	set.end()
}

// raise raises the maximum at m to the largest of a row and leaves it in top; by what it changes, which is 0 and not NaN while nothing has
// been seen, goes to change. was and by are room.
func raise(m, change GPPhysical, largest, top, was, by VecPhysical) {
	VMOVSS(Mem{Base: m}, was)
	VMAXSS(largest, was, top)
	VMOVSS(top, Mem{Base: m})
	VSUBSS(top, was, by)
	const notEqual = 4
	VCMPSS(U8(notEqual), top, was, was)
	VANDPS(was, by, by)
	VMOVSS(by, Mem{Base: change})
}

func softmaxRowsAVX512() {
	set := avx512
	set.begin("softmaxRows", "func(rows int, s *float32, seen *uint64, m, change, sums, table *float32)", "NAME is softmaxRowsRef.")
	rows, s, seen := length("rows", RCX), pointer("s", RSI), pointer("seen", RDI)
	m, change, sums := pointer("m", R8), pointer("change", R9), pointer("sums", R11)
	c := set.constants(pointer("table", RDX))
	lowest := Z15
	MOVL(U32(0xff800000), RAX.As32()) // -Inf
	VPBROADCASTD(RAX.As32(), lowest)
	scores, n, p := zmm[0:4], zmm[4:8], zmm[8:12]
	set.eachRowOfScores(rows, []GPPhysical{s}, []GPPhysical{m, change, sums}, seen, func() {
		loadSeen(seen)
		for j, x := range scores {
			VMOVAPS(lowest, x)
			VMOVUPS(Mem{Base: s, Disp: 64 * j}, seenMasks[j], x)
		}
		VMAXPS(scores[1], scores[0], n[0])
		VMAXPS(scores[3], scores[2], n[1])
		VMAXPS(n[1], n[0], n[0])
		set.tree(n[0], n[1], VMAXPS)
		raise(m, change, X4, X13, X12, X14)
		VBROADCASTSS(X13, Z13)
		for j, x := range scores {
			VSUBPS(Z13, x, x)
			set.exp(c, x, n[j], p[j])
			VMOVAPS_Z(x, seenMasks[j], x)
			VMOVUPS(x, Mem{Base: s, Disp: 64 * j})
		}
		for _, x := range scores[1:] {
			VADDPS(x, scores[0], scores[0])
		}
		set.storeSum(scores[0], scores[1], sums)
	})
}

func softmaxRowsBackAVX512() {
	set := avx512
	set.begin("softmaxRowsBack", "func(rows int, s, ds *float32, seen *uint64, lse, delta, table *float32)", "NAME is softmaxRowsBackRef.")
	rows, s, ds, seen := length("rows", RCX), pointer("s", RSI), pointer("ds", RDX), pointer("seen", RDI)
	lse, delta := pointer("lse", R8), pointer("delta", R9)
	c := set.constants(pointer("table", R11))
	set.eachRowOfScores(rows, []GPPhysical{s, ds}, []GPPhysical{lse, delta}, seen, func() {
		loadSeen(seen)
		VBROADCASTSS(Mem{Base: lse}, Z14)
		VBROADCASTSS(Mem{Base: delta}, Z15)
		for j := range 4 {
			x := zmm[j]
			VMOVUPS(Mem{Base: s, Disp: 64 * j}, x)
			VSUBPS(Z14, x, x)
			set.exp(c, x, zmm[4+j], zmm[8+j])
			VMOVAPS_Z(x, seenMasks[j], x)
			VMOVUPS(x, Mem{Base: s, Disp: 64 * j})
			VMOVUPS(Mem{Base: ds, Disp: 64 * j}, zmm[4+j])
			VSUBPS(Z15, zmm[4+j], zmm[4+j])
			VMULPS_Z(x, zmm[4+j], seenMasks[j], x)
			VMOVUPS(x, Mem{Base: ds, Disp: 64 * j})
		}
	})
}

// loadBits spreads the next 8 bits of a row, which are the lowest of RAX, to all of the register seen: a number is all ones where its
// score is seen. bit is 1, 2, 4 ... 128.
func loadBits(seen, bit VecPhysical) {
	VMOVD(EAX, seen.AsX())
	VPBROADCASTD(seen.AsX(), seen)
	SHRQ(Imm(8), RAX)
	VPAND(bit, seen, seen)
	VPCMPEQD(bit, seen, seen)
}

// loadBit loads what loadBits wants; it uses RAX.
func loadBit(bit VecPhysical) {
	MOVQ(U64(0x8040201008040201), RAX)
	VMOVQ(RAX, bit.AsX())
	VPMOVZXBD(bit.AsX(), bit)
}

func softmaxRowsAVX2() {
	set := avx2
	set.begin("softmaxRows", "func(rows int, s *float32, seen *uint64, m, change, sums, table *float32)", "NAME is softmaxRowsRef.")
	rows, s, seen := length("rows", RCX), pointer("s", RSI), pointer("seen", RDI)
	m, change, sums := pointer("m", R8), pointer("change", R9), pointer("sums", R11)
	c := set.constants(pointer("table", RDX))
	x, n, p, largest, sum, mask, lowest, bit := Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7
	MOVL(U32(0xff800000), EAX) // -Inf
	VMOVD(EAX, lowest.AsX())
	VBROADCASTSS(lowest.AsX(), lowest)
	loadBit(bit)
	set.eachRowOfScores(rows, []GPPhysical{s}, []GPPhysical{m, change, sums}, seen, func() {
		MOVQ(Mem{Base: seen}, RAX)
		VMOVAPS(lowest, largest)
		for j := range 8 {
			loadBits(mask, bit)
			VBLENDVPS(mask, Mem{Base: s, Disp: 32 * j}, lowest, x)
			VMAXPS(x, largest, largest)
		}
		set.tree(largest, n, VMAXPS)
		raise(m, change, X3, X2, X1, X0)
		VBROADCASTSS(X2, largest)
		set.zero(sum)
		MOVQ(Mem{Base: seen}, RAX)
		for j := range 8 {
			loadBits(mask, bit)
			VMOVUPS(Mem{Base: s, Disp: 32 * j}, x)
			VSUBPS(largest, x, x)
			set.exp(c, x, n, p)
			VANDPS(mask, x, x)
			VMOVUPS(x, Mem{Base: s, Disp: 32 * j})
			VADDPS(x, sum, sum)
		}
		set.storeSum(sum, n, sums)
	})
}

func softmaxRowsBackAVX2() {
	set := avx2
	set.begin("softmaxRowsBack", "func(rows int, s, ds *float32, seen *uint64, lse, delta, table *float32)", "NAME is softmaxRowsBackRef.")
	rows, s, ds, seen := length("rows", RCX), pointer("s", RSI), pointer("ds", RDX), pointer("seen", RDI)
	lse, delta := pointer("lse", R8), pointer("delta", R9)
	c := set.constants(pointer("table", R11))
	x, n, p, sum, mean, mask, bit := Y0, Y1, Y2, Y3, Y4, Y5, Y6
	loadBit(bit)
	set.eachRowOfScores(rows, []GPPhysical{s, ds}, []GPPhysical{lse, delta}, seen, func() {
		MOVQ(Mem{Base: seen}, RAX)
		VBROADCASTSS(Mem{Base: lse}, sum)
		VBROADCASTSS(Mem{Base: delta}, mean)
		for j := range 8 {
			loadBits(mask, bit)
			VMOVUPS(Mem{Base: s, Disp: 32 * j}, x)
			VSUBPS(sum, x, x)
			set.exp(c, x, n, p)
			VANDPS(mask, x, x)
			VMOVUPS(x, Mem{Base: s, Disp: 32 * j})
			VMOVUPS(Mem{Base: ds, Disp: 32 * j}, n)
			VSUBPS(mean, n, n)
			VMULPS(n, x, x)
			VANDPS(mask, x, x) // what is not seen may be NaN
			VMOVUPS(x, Mem{Base: ds, Disp: 32 * j})
		}
	})
}

// eachOfRows opens a loop over rows of n numbers, at x and y with ldx and ldy bytes from one to the next: start begins a row, body
// handles a register of numbers, end ends a row. It uses RBX, RCX, R8 to R13.
func (set *isa) eachOfRows(start func(), body func(y, x GPPhysical), end func()) {
	lanes := uint64(set.lanes())
	rows, n := length("rows", RBX), length("n", R8)
	y, ldy := pointer("y", RDI), length("ldy", R9)
	x, ldx := pointer("x", RSI), length("ldx", R11)
	MOVQ(n, RCX)
	ANDQ(Imm(lanes-1), RCX)
	set.firstOnes()
	TESTQ(rows, rows)
	JZ(LabelRef("done"))
	Label("row")
	start()
	MOVQ(y, R12)
	MOVQ(x, R13)
	MOVQ(n, RCX)
	SUBQ(Imm(lanes), RCX)
	JL(LabelRef("rest"))
	Label("vector")
	set.masking = false
	body(R12, R13)
	ADDQ(Imm(uint64(set.size)), R12)
	ADDQ(Imm(uint64(set.size)), R13)
	SUBQ(Imm(lanes), RCX)
	JGE(LabelRef("vector"))
	Label("rest")
	CMPQ(RCX, I8(-int8(lanes)))
	JE(LabelRef("next"))
	set.masking = true
	body(R12, R13)
	Label("next")
	end()
	ADDQ(ldy, y)
	ADDQ(ldx, x)
	DECQ(rows)
	JNZ(LabelRef("row"))
	Label("done")
	set.end()
}

func (set *isa) rows() {
	r := set.r
	set.begin("scaleRows", "func(rows, n int, y *float32, ldy int, x *float32, ldx int, a *float32)", "NAME is scaleRowsRef; ldy and ldx are in bytes.")
	a := pointer("a", RDX)
	set.eachOfRows(func() {
		VBROADCASTSS(Mem{Base: a}, r[0])
		ADDQ(Imm(4), a)
	}, func(y, x GPPhysical) {
		set.load(x, r[1])
		VMULPS(r[0], r[1], r[1])
		set.store(r[1], y)
	}, func() {})
	set.begin("addRows", "func(rows, n int, y *float32, ldy int, x *float32, ldx int)", "NAME is addRowsRef; ldy and ldx are in bytes.")
	set.eachOfRows(func() {}, func(y, x GPPhysical) {
		set.load(x, r[1])
		set.load(y, r[2])
		VADDPS(r[1], r[2], r[2])
		set.store(r[2], y)
	}, func() {})

	set.begin("dotRows", "func(rows, n int, y *float32, ldy int, x *float32, ldx int, out *float32)", "NAME is dotRowsRef, each sum as sumLanes says; ldy and ldx are in bytes.")
	out := pointer("out", RDX)
	set.eachOfRows(func() { set.zero(r[0]) }, func(y, x GPPhysical) {
		set.load(y, r[1])
		set.load(x, r[2])
		VFMADD231PS(r[1], r[2], r[0])
	}, func() {
		set.storeSum(r[0], r[1], out)
		ADDQ(Imm(4), out)
	})
}
