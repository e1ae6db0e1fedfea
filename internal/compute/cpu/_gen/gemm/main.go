// Command gemm writes the assembly of the matrix product: the tiles and the packing. See gemm.go and gemm_pack.go of
// package cpu for what the functions compute; scripts/check-kernels for how the files are written.
package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

var (
	z = []VecPhysical{Z0, Z1, Z2, Z3, Z4, Z5, Z6, Z7, Z8, Z9, Z10, Z11, Z12, Z13, Z14, Z15,
		Z16, Z17, Z18, Z19, Z20, Z21, Z22, Z23, Z24, Z25, Z26, Z27, Z28, Z29, Z30, Z31}
	y = []VecPhysical{Y0, Y1, Y2, Y3, Y4, Y5, Y6, Y7, Y8, Y9, Y10, Y11, Y12, Y13, Y14, Y15}
)

// lanes is the number of float32 in a vector register: 16 or 8. Everything here is written for both.
type lanes int

func (w lanes) bytes() int { return 4 * int(w) }

func (w lanes) bits() int { return 32 * int(w) }

func (w lanes) reg(i int) VecPhysical {
	if w == 16 {
		return z[i]
	}
	return y[i]
}

// masks512 sets K1 and K2 to the lanes of two vectors that hold the first n numbers; n is in RCX, at most 32.
func masks512() {
	MOVQ(U32(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(EAX, K1)
	SHRQ(Imm(16), RAX)
	KMOVW(EAX, K2)
}

// maskTable is 16 times all ones, then 16 times zero. The mask of the first n of 8 lanes lies 4*n bytes before its middle,
// and that of the 8 lanes after them 32 bytes on.
var maskTable Mem

// masks256 loads the lanes of two vectors that hold the first n numbers; n is in RCX, at most 16.
func masks256(first, second Op) {
	LEAQ(maskTable.Offset(64), RAX)
	NEGQ(RCX)
	VMOVUPS(Mem{Base: RAX, Index: RCX, Scale: 4}, first)
	VMOVUPS(Mem{Base: RAX, Index: RCX, Scale: 4, Disp: 32}, second)
}

// tile writes the kernel for rows rows and up to two vectors of columns. Its accumulators are registers 4 and up; 0 and 1
// hold a row of B, 2 and 3 numbers of A. A row of A is reached from one of five pointers three rows apart.
func tile(w lanes, rows int) {
	TEXT(fmt.Sprintf("tile%dx%d", w.bits(), rows), NOSPLIT, "func(kc int, a *float32, aRow int, aCol int, b *float32, bRow int, c *float32, cRow int, n int, add int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("tile%dx%d is the product of %d rows of A and up to %d columns of B; see kernels.tile. Strides are in bytes.", w.bits(), rows, rows, 2*w))
	acc := func(i, j int) VecPhysical { return w.reg(4 + 2*i + j) }

	c, cRow := Load(Param("c"), RDX), Load(Param("cRow"), RAX)
	for i := range rows {
		PREFETCHT0(Mem{Base: c})
		PREFETCHT0(Mem{Base: c, Disp: 2*w.bytes() - 4})
		if i+1 < rows {
			ADDQ(cRow, c)
		}
		for j := range 2 {
			VXORPS(acc(i, j), acc(i, j), acc(i, j))
		}
	}
	kc := Load(Param("kc"), RCX)
	aRow, aCol := Load(Param("aRow"), R8), Load(Param("aCol"), R9)
	b, bRow := Load(Param("b"), RDI), Load(Param("bRow"), RBX)
	pointers := []GPPhysical{RSI, R10, R11, R12, R13}[:(rows+2)/3]
	Load(Param("a"), pointers[0])
	for i, p := range pointers[1:] {
		LEAQ(Mem{Base: pointers[i], Index: aRow, Scale: 2}, p)
		ADDQ(aRow, p)
	}
	step := func() {
		VMOVUPS(Mem{Base: b}, w.reg(0))
		VMOVUPS(Mem{Base: b, Disp: w.bytes()}, w.reg(1))
		ADDQ(bRow, b)
		for i := range rows {
			m := Mem{Base: pointers[i/3]}
			if i%3 > 0 {
				m.Index, m.Scale = aRow, uint8(i%3)
			}
			x := w.reg(2 + i%2)
			VBROADCASTSS(m, x)
			if i%3 == 2 || i == rows-1 {
				ADDQ(aCol, pointers[i/3])
			}
			VFMADD231PS(w.reg(0), x, acc(i, 0))
			VFMADD231PS(w.reg(1), x, acc(i, 1))
		}
	}
	const unroll = 4
	SUBQ(Imm(unroll), kc)
	JL(LabelRef("tail"))
	Label("loop")
	for range unroll {
		step()
	}
	SUBQ(Imm(unroll), kc)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(unroll), kc)
	JZ(LabelRef("done"))
	Label("one")
	step()
	DECQ(kc)
	JNZ(LabelRef("one"))
	Label("done")

	rowsOfC := func(f func(i, j int, m Mem)) {
		Load(Param("c"), RDX)
		for i := range rows {
			for j := range 2 {
				f(i, j, Mem{Base: RDX, Disp: j * w.bytes()})
			}
			if i+1 < rows {
				ADDQ(RAX, RDX)
			}
		}
	}
	finish := func(label string, add, store func(i, j int, m Mem)) {
		Load(Param("cRow"), RAX)
		Load(Param("add"), RBX)
		TESTQ(RBX, RBX)
		JZ(LabelRef(label))
		rowsOfC(add)
		Label(label)
		rowsOfC(store)
		VZEROUPPER()
		RET()
	}
	Load(Param("n"), RCX)
	if w == 16 {
		masks512()
		k := []Op{K1, K2}
		finish("store",
			func(i, j int, m Mem) { VADDPS(m, acc(i, j), k[j], acc(i, j)) },
			func(i, j int, m Mem) { VMOVUPS(acc(i, j), k[j], m) })
		return
	}
	CMPQ(RCX, Imm(16))
	JEQ(LabelRef("full"))
	masks256(Y0, Y1)
	finish("storeMasked",
		func(i, j int, m Mem) {
			VMASKMOVPS(m, y[j], y[2+j])
			VADDPS(y[2+j], acc(i, j), acc(i, j))
		},
		func(i, j int, m Mem) { VMASKMOVPS(acc(i, j), y[j], m) })
	Label("full")
	finish("store",
		func(i, j int, m Mem) { VADDPS(m, acc(i, j), acc(i, j)) },
		func(i, j int, m Mem) { VMOVUPS(acc(i, j), m) })
}

// transpose writes the packing of rows into columns: a square of w rows and w columns at a time.
func transpose(w lanes) {
	TEXT(fmt.Sprintf("transpose%d", w.bits()), NOSPLIT, "func(rows int, kc int, src *float32, ld int, dst *float32, dRow int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("transpose%d copies rows rows of kc numbers, at most %d of them, to kc rows of %d numbers; those past rows are copies of the last.", w.bits(), w, w),
		"Strides are in bytes.")
	rows, kc := Load(Param("rows"), RDX), Load(Param("kc"), RCX)
	src, ld := Load(Param("src"), RSI).(GPPhysical), Load(Param("ld"), R8)
	dst, dRow := Load(Param("dst"), RDI).(GPPhysical), Load(Param("dRow"), R9)
	load := func(move func(i int, m Mem)) {
		MOVQ(src, R10)
		MOVQ(rows, R12)
		for i := range int(w) {
			move(i, Mem{Base: R10})
			if i+1 < int(w) {
				LEAQ(Mem{Base: R10, Index: ld.(GPPhysical), Scale: 1}, R11)
				DECQ(R12)
				CMOVQGT(R11, R10)
			}
		}
	}
	turn := func() func(i int) VecPhysical {
		if w == 16 {
			turn16()
			return func(i int) VecPhysical { return z[i] }
		}
		turn8()
		return func(i int) VecPhysical { return y[8+i] }
	}
	SUBQ(Imm(uint64(w)), kc)
	JL(LabelRef("tail"))
	Label("loop")
	load(func(i int, m Mem) { VMOVUPS(m, w.reg(i)) })
	out := turn()
	for i := range int(w) {
		VMOVUPS(out(i), Mem{Base: dst})
		ADDQ(dRow, dst)
	}
	ADDQ(U32(w.bytes()), src)
	SUBQ(Imm(uint64(w)), kc)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(uint64(w)), kc)
	JZ(LabelRef("done"))
	if w == 16 {
		masks512()
		load(func(i int, m Mem) { VMOVUPS_Z(m, K1, z[i]) })
	} else {
		MOVQ(kc, RBX)
		masks256(Y15, Y14)
		MOVQ(RBX, RCX)
		load(func(i int, m Mem) { VMASKMOVPS(m, Y15, y[i]) })
	}
	turn()
	for i := range int(w) - 1 {
		VMOVUPS(out(i), Mem{Base: dst})
		ADDQ(dRow, dst)
		DECQ(kc)
		JZ(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// turn16 transposes registers 0 to 15; it needs all the others.
func turn16() {
	for i := 0; i < 16; i += 2 {
		VUNPCKLPS(z[i+1], z[i], z[16+i])
		VUNPCKHPS(z[i+1], z[i], z[17+i])
	}
	for g := 0; g < 16; g += 4 { // quarter q of register g+c: numbers 4q+c of rows g to g+3
		VUNPCKLPD(z[18+g], z[16+g], z[g])
		VUNPCKHPD(z[18+g], z[16+g], z[g+1])
		VUNPCKLPD(z[19+g], z[17+g], z[g+2])
		VUNPCKHPD(z[19+g], z[17+g], z[g+3])
	}
	const even, odd = 0x88, 0xdd
	for c := range 4 {
		VSHUFF32X4(U8(even), z[4+c], z[c], z[16+c])
		VSHUFF32X4(U8(odd), z[4+c], z[c], z[20+c])
		VSHUFF32X4(U8(even), z[12+c], z[8+c], z[24+c])
		VSHUFF32X4(U8(odd), z[12+c], z[8+c], z[28+c])
	}
	for c := range 4 {
		VSHUFF32X4(U8(even), z[24+c], z[16+c], z[c])
		VSHUFF32X4(U8(even), z[28+c], z[20+c], z[4+c])
		VSHUFF32X4(U8(odd), z[24+c], z[16+c], z[8+c])
		VSHUFF32X4(U8(odd), z[28+c], z[20+c], z[12+c])
	}
}

// turn8 transposes registers 0 to 7 into 8 to 15.
func turn8() {
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(y[i+1], y[i], y[8+i])
		VUNPCKHPS(y[i+1], y[i], y[9+i])
	}
	for g := 0; g < 8; g += 4 { // half q of register g+c: numbers 4q+c of rows g to g+3
		VUNPCKLPD(y[10+g], y[8+g], y[g])
		VUNPCKHPD(y[10+g], y[8+g], y[g+1])
		VUNPCKLPD(y[11+g], y[9+g], y[g+2])
		VUNPCKHPD(y[11+g], y[9+g], y[g+3])
	}
	for c := range 4 {
		VPERM2F128(U8(0x20), y[4+c], y[c], y[8+c])
		VPERM2F128(U8(0x31), y[4+c], y[c], y[12+c])
	}
}

// columns writes the packing of rows that stay rows.
func columns(w lanes) {
	TEXT(fmt.Sprintf("columns%d", w.bits()), NOSPLIT, "func(n int, kc int, src *float32, ld int, dst *float32, dRow int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("columns%d copies the first n numbers, 1 to %d, of kc rows, and zeros up to the next multiple of %d. Strides are in bytes.", w.bits(), 2*w, w))
	Load(Param("n"), RCX)
	MOVQ(RCX, RBX)
	if w == 16 {
		masks512()
	} else {
		masks256(Y2, Y3)
	}
	kc := Load(Param("kc"), RCX)
	src, ld := Load(Param("src"), RSI).(GPPhysical), Load(Param("ld"), R8)
	dst, dRow := Load(Param("dst"), RDI).(GPPhysical), Load(Param("dRow"), R9)
	loop := func(label string, vectors int) {
		Label(label)
		for j := range vectors {
			if m := (Mem{Base: src, Disp: j * w.bytes()}); w == 16 {
				VMOVUPS_Z(m, []Op{K1, K2}[j], z[j])
			} else {
				VMASKMOVPS(m, y[2+j], y[j])
			}
		}
		ADDQ(ld, src)
		for j := range vectors {
			VMOVUPS(w.reg(j), Mem{Base: dst, Disp: j * w.bytes()})
		}
		ADDQ(dRow, dst)
		DECQ(kc)
		JNZ(LabelRef(label))
		VZEROUPPER()
		RET()
	}
	CMPQ(RBX, Imm(uint64(w)))
	JGT(LabelRef("two"))
	loop("one", 1)
	loop("two", 2)
}

func main() {
	ConstraintExpr("amd64,!noasm")
	maskTable = GLOBL("tileMasks", RODATA|NOPTR)
	for i := range 32 {
		var m uint32
		if i < 16 {
			m = 0xffffffff
		}
		DATA(4*i, U32(m))
	}
	for rows := range 14 {
		tile(16, rows+1)
	}
	for rows := range 6 {
		tile(8, rows+1)
	}
	transpose(16)
	transpose(8)
	columns(16)
	columns(8)
	Generate()
}
