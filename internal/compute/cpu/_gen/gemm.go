package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var zmm = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15, Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}
var ymm = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}

// begin opens a function that touches no Go pointers besides its arguments.
func begin(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Doc(doc)
	Pragma("noescape")
}

func pointer(name string, r Register) GPPhysical { return Load(Param(name), r).(GPPhysical) }

// vectors is what differs between the two instruction sets in a micro kernel: rows x 2 vectors of accumulators, two vectors
// of b and two broadcasts of a.
type vectors struct {
	regs []VecPhysical
	size int // bytes of a vector
	zero func(VecPhysical)
}

// micro writes c[rows, 2 vectors] = (c +) a b: for every k, in order, one element of a for each row and two vectors of b.
func micro(name string, rows int, v vectors) {
	begin(fmt.Sprintf("%s%d", name, rows), "func(k int, a, b, c *float32, ldc int, accumulate int)",
		fmt.Sprintf("%s%d computes a tile of %d rows; see microRef. ldc is in bytes.", name, rows, rows))
	k := Load(Param("k"), RCX)
	a, b, c := pointer("a", RSI), pointer("b", RDI), pointer("c", RDX)
	ldc := Load(Param("ldc"), R8)
	accumulate := Load(Param("accumulate"), R9)
	acc := func(i, j int) VecPhysical { return v.regs[4+2*i+j] }
	MOVQ(c, R10)
	for i := range rows {
		PREFETCHT0(Mem{Base: R10})
		PREFETCHT0(Mem{Base: R10, Disp: 2*v.size - 1})
		if i < rows-1 {
			ADDQ(ldc, R10)
		}
		v.zero(acc(i, 0))
		v.zero(acc(i, 1))
	}
	round := func(u int) {
		VMOVUPS(Mem{Base: b, Disp: 2 * v.size * u}, v.regs[0])
		VMOVUPS(Mem{Base: b, Disp: 2*v.size*u + v.size}, v.regs[1])
		for i := range rows {
			x := v.regs[2+i&1]
			VBROADCASTSS(Mem{Base: a, Disp: 4*i + 4*rows*u}, x)
			VFMADD231PS(v.regs[0], x, acc(i, 0))
			VFMADD231PS(v.regs[1], x, acc(i, 1))
		}
	}
	const unroll = 4
	CMPQ(k, Imm(unroll))
	JL(LabelRef("tail"))
	Label("loop")
	for u := range unroll {
		round(u)
	}
	ADDQ(U32(uint64(4*rows*unroll)), a)
	ADDQ(U32(uint64(2*v.size*unroll)), b)
	SUBQ(Imm(unroll), k)
	CMPQ(k, Imm(unroll))
	JGE(LabelRef("loop"))
	Label("tail")
	TESTQ(k, k)
	JZ(LabelRef("done"))
	round(0)
	ADDQ(U32(uint64(4*rows)), a)
	ADDQ(U32(uint64(2*v.size)), b)
	DECQ(k)
	JMP(LabelRef("tail"))
	Label("done")
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("store"))
	MOVQ(c, R10)
	for i := range rows {
		VADDPS(Mem{Base: R10}, acc(i, 0), acc(i, 0))
		VADDPS(Mem{Base: R10, Disp: v.size}, acc(i, 1), acc(i, 1))
		if i < rows-1 {
			ADDQ(ldc, R10)
		}
	}
	Label("store")
	for i := range rows {
		VMOVUPS(acc(i, 0), Mem{Base: c})
		VMOVUPS(acc(i, 1), Mem{Base: c, Disp: v.size})
		if i < rows-1 {
			ADDQ(ldc, c)
		}
	}
	VZEROUPPER()
	RET()
}

func microAVX512(rows int) {
	micro("microAVX512x", rows, vectors{zmm, 64, func(r VecPhysical) { VPXORD(r, r, r) }})
}

func microAVX2(rows int) {
	micro("microAVX2x", rows, vectors{ymm, 32, func(r VecPhysical) { VXORPS(r, r, r) }})
}

// transposed opens a function that transposes blocks of rows: n blocks of width columns, from rows that are lds bytes
// apart to rows that are ldd bytes apart.
func transposed(name string, regs []VecPhysical, size int, body func()) {
	width := size / 4
	begin(name, "func(n int, src *float32, lds int, dst *float32, ldd int)",
		fmt.Sprintf("%s transposes n blocks of %dx%d numbers: rows of src, lds bytes apart, become columns of dst, whose rows are ldd bytes apart.", name, width, width))
	n := Load(Param("n"), RCX)
	src, dst := pointer("src", RSI), pointer("dst", RDI)
	lds, ldd := Load(Param("lds"), R8), Load(Param("ldd"), R9)
	Label("loop")
	MOVQ(src, R10)
	for i := range width {
		VMOVUPS(Mem{Base: R10}, regs[i])
		if i < width-1 {
			ADDQ(lds, R10)
		}
	}
	body()
	for i := range width {
		VMOVUPS(regs[i], Mem{Base: dst})
		ADDQ(ldd, dst)
	}
	ADDQ(U32(uint64(size)), src)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transpose16 works up from pairs to quadruples to lanes, and uses all 32 registers.
func transpose16() {
	transposed("transpose16", zmm, 64, func() {
		for i := 0; i < 16; i += 2 {
			VUNPCKLPS(zmm[i+1], zmm[i], zmm[16+i])
			VUNPCKHPS(zmm[i+1], zmm[i], zmm[17+i])
		}
		for g := range 4 {
			a, b, c, d := zmm[16+4*g], zmm[17+4*g], zmm[18+4*g], zmm[19+4*g]
			VUNPCKLPD(c, a, zmm[4*g])
			VUNPCKHPD(c, a, zmm[4*g+1])
			VUNPCKLPD(d, b, zmm[4*g+2])
			VUNPCKHPD(d, b, zmm[4*g+3])
		}
		// Register 4g+c holds in lane l column 4l+c of rows 4g to 4g+3.
		for c := range 4 {
			VSHUFF32X4(U8(0x88), zmm[4+c], zmm[c], zmm[16+c])
			VSHUFF32X4(U8(0xdd), zmm[4+c], zmm[c], zmm[20+c])
			VSHUFF32X4(U8(0x88), zmm[12+c], zmm[8+c], zmm[24+c])
			VSHUFF32X4(U8(0xdd), zmm[12+c], zmm[8+c], zmm[28+c])
		}
		for c := range 4 {
			VSHUFF32X4(U8(0x88), zmm[24+c], zmm[16+c], zmm[c])
			VSHUFF32X4(U8(0xdd), zmm[24+c], zmm[16+c], zmm[8+c])
			VSHUFF32X4(U8(0x88), zmm[28+c], zmm[20+c], zmm[4+c])
			VSHUFF32X4(U8(0xdd), zmm[28+c], zmm[20+c], zmm[12+c])
		}
	})
}

func transpose8() {
	transposed("transpose8", ymm, 32, func() {
		for i := 0; i < 8; i += 2 {
			VUNPCKLPS(ymm[i+1], ymm[i], ymm[8+i])
			VUNPCKHPS(ymm[i+1], ymm[i], ymm[9+i])
		}
		for g := range 2 {
			a, b, c, d := ymm[8+4*g], ymm[9+4*g], ymm[10+4*g], ymm[11+4*g]
			VUNPCKLPD(c, a, ymm[4*g])
			VUNPCKHPD(c, a, ymm[4*g+1])
			VUNPCKLPD(d, b, ymm[4*g+2])
			VUNPCKHPD(d, b, ymm[4*g+3])
		}
		for c := range 4 {
			VPERM2F128(U8(0x20), ymm[4+c], ymm[c], ymm[8+c])
			VPERM2F128(U8(0x31), ymm[4+c], ymm[c], ymm[12+c])
		}
		for i := range 8 {
			VMOVAPS(ymm[8+i], ymm[i])
		}
	})
}

func copy16() {
	begin("copy16", "func(n int, src *float32, lds int, dst *float32, ldd int)", "copy16 copies n rows of 16 numbers, lds and ldd bytes apart.")
	n := Load(Param("n"), RCX)
	src, dst := pointer("src", RSI), pointer("dst", RDI)
	lds, ldd := Load(Param("lds"), R8), Load(Param("ldd"), R9)
	Label("loop")
	VMOVUPS(Mem{Base: src}, Z0)
	ADDQ(lds, src)
	VMOVUPS(Z0, Mem{Base: dst})
	ADDQ(ldd, dst)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
