package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// The instructions of AMX, which neither avo nor Go's assembler knows, are written byte by byte. All are of the 0F38 map with a VEX prefix of three
// bytes; pp is 0 for no prefix, 2 for F3, 3 for F2. r is the register in the reg field, v the one in vvvv.

func vex(pp, opcode byte, r, x, b bool, v int, modrm ...byte) {
	bit := func(high bool, at int) byte {
		if high {
			return 0
		}
		return 1 << at
	}
	for _, by := range append([]byte{0xc4, bit(r, 7) | bit(x, 6) | bit(b, 5) | 2, byte(^v&15)<<3 | pp, opcode}, modrm...) {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(by)}})
	}
}

// number is that of a register in an instruction.
func number(r Register) byte {
	for i, g := range []Register{RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15} {
		if r == g {
			return byte(i)
		}
	}
	panic("amx: not a general register")
}

// tileConfigure takes the tiles' sizes from 64 bytes at address base, which is not RSP, RBP, R12 or R13.
func tileConfigure(base Register) { n := number(base); vex(0, 0x49, false, false, n > 7, 0, n&7) }

// tileRelease gives the tiles back: without it the kernel would keep 8 KiB more for every switch of threads.
func tileRelease() { vex(0, 0x49, false, false, false, 0, 0xc0) }

func tileZero(tile byte) { vex(3, 0x49, false, false, false, 0, 0xc0|tile<<3) }

// tileMemory is a load or store of the rows at disp(base), stride bytes apart.
func tileMemory(pp, tile byte, base, stride Register, disp int32) {
	b, s := number(base), number(stride)
	sib := s&7<<3 | b&7
	vex(pp, 0x4b, false, s > 7, b > 7, 0, 2<<6|tile<<3|4, sib, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24))
}

func tileLoad(tile byte, base, stride Register, disp int32)  { tileMemory(3, tile, base, stride, disp) }
func tileStore(tile byte, base, stride Register, disp int32) { tileMemory(2, tile, base, stride, disp) }

// tileDot adds to tile c the products of tile a, rows of 32 bf16, and tile b, rows of 16 pairs of bf16.
func tileDot(c, a, b byte) { vex(2, 0x5c, false, false, false, int(b), 0xc0|c<<3|a) }

// The tiles: 0 to 3 are those of C, row by row; 4 and 5 the upper and the lower of A, 6 and 7 the left and the right of B.
const (
	upper, lower = 4, 5
	left, right  = 6, 7
)

// A step of k, 32 numbers: bytes of a tile of A, of which each row has 64, and of a panel of B, whose 16 rows have 128.
const stepBytes = 2048

// microAMX opens the kernel for tiles of C that are so many tiles of the hardware high and wide.
func microAMX(down, across int) {
	begin(fmt.Sprintf("microAMX%dx%d", down, across),
		"func(tiles int, panels int, steps int, a, b, c *float32, ldc int, rows int, accumulate int, config *byte)", fmt.Sprintf(
			"microAMX%dx%d computes tiles of C of up to %d rows and %d columns: so many below each other, for each of so many panels of B. See multiplyTiles.", down, across, 16*down, 16*across))
	a, b, c := RSI, RDI, RDX
	ldc, strideA, strideB := R8, R9, R10
	k, ahead, end, tilesLeft, next, panel, top := RCX, R11, RBX, R12, R13, R14, R15
	panelsLeft := AllocLocal(8)
	Load(Param("config"), RAX)
	tileConfigure(RAX)
	Load(Param("ldc"), ldc)
	MOVQ(U32(64), strideA)
	MOVQ(U32(128), strideB)
	Load(Param("b"), panel)
	Load(Param("c"), top)
	Load(Param("panels"), RAX)
	MOVQ(RAX, panelsLeft)

	Label("panel")
	Load(Param("a"), a)
	MOVQ(top, c)
	Load(Param("tiles"), tilesLeft)
	Load(Param("steps"), next)
	SHLQ(Imm(11), next)
	ADDQ(panel, next)

	Label("tile")
	ofC := func(do func(tile byte, row Register, disp int32)) {
		MOVQ(c, RAX)
		for i := range down {
			for j := range across {
				do(byte(2*i+j), RAX, int32(64*j))
			}
			if i < down-1 {
				MOVQ(ldc, RAX)
				SHLQ(Imm(4), RAX)
				ADDQ(c, RAX)
			}
		}
	}
	Load(Param("accumulate"), RAX)
	TESTQ(RAX, RAX)
	JZ(LabelRef("zero"))
	ofC(func(tile byte, row Register, disp int32) { tileLoad(tile, row, ldc, disp) })
	JMP(LabelRef("begin"))
	Label("zero")
	for i := range down {
		for j := range across {
			tileZero(byte(2*i + j))
		}
	}
	Label("begin")
	MOVQ(panel, b)
	Load(Param("steps"), k)
	MOVQ(c, ahead)
	Load(Param("rows"), end)
	IMULQ(ldc, end)
	ADDQ(c, end)

	Label("step")
	for j := range across {
		tileLoad(left+byte(j), b, strideB, int32(64*j))
	}
	for i := range down {
		tileLoad(upper+byte(i), a, strideA, int32(1024*i))
	}
	for i := range down {
		for j := range across {
			tileDot(byte(2*i+j), upper+byte(i), left+byte(j))
		}
	}
	// The lines of C that will be written, two rows at a time, from the first again after the last; and an eighth of the next panel of B, which the
	// tiles below each other bring in together before it is needed.
	for _, row := range []Mem{{Base: ahead}, {Base: ahead, Index: ldc, Scale: 1}} {
		for j := range across {
			PREFETCHT0(row.Offset(64 * j))
		}
	}
	LEAQ(Mem{Base: ahead, Index: ldc, Scale: 2}, ahead)
	CMPQ(ahead, end)
	CMOVQGE(c, ahead)
	for i := range 4 {
		PREFETCHT1(Mem{Base: next, Disp: 64 * i})
	}
	ADDQ(U32(256), next)
	ADDQ(U32(stepBytes), a)
	ADDQ(U32(stepBytes), b)
	DECQ(k)
	JNZ(LabelRef("step"))

	ofC(func(tile byte, row Register, disp int32) { tileStore(tile, row, ldc, disp) })
	MOVQ(end, c)
	ADDQ(Imm(64), a) // the gap behind a tile
	DECQ(tilesLeft)
	JNZ(LabelRef("tile"))
	MOVQ(b, panel)
	ADDQ(U32(128), top)
	DECQ(panelsLeft)
	JNZ(LabelRef("panel"))
	tileRelease()
	RET()
}

// packingAMX are the kernels that pack tiles of A as the hardware loads them: for every 32 of k, 64 bytes for each of 32 rows.
func packingAMX(pairs, zeros Mem) {
	begin("packRowsAMX", "func(rows int, k int, src *float32, lds int, dst *float32)",
		"packRowsAMX packs k columns of up to 32 rows, lds bytes apart: 32 of a row rounded to bf16, the next row 64 bytes after it, the next 32 columns 2048 bytes after them. Zeros fill up the last 32.")
	rows, src, lds, dst := length("rows", RDX), pointer("src", RSI), length("lds", R8), pointer("dst", RDI)
	Load(Param("k"), RCX)
	MOVQ(RCX, RBX)
	ANDQ(Imm(31), RCX)
	SHRQ(Imm(5), RBX)
	masksOfRCX()
	from, to, left := R10, R11, R12
	Label("row")
	MOVQ(src, from)
	MOVQ(dst, to)
	MOVQ(RBX, left)
	TESTQ(left, left)
	JZ(LabelRef("rest"))
	Label("loop")
	VMOVUPS(Mem{Base: from}, Z0)
	VMOVUPS(Mem{Base: from, Disp: 64}, Z1)
	cvtne2bf16(1, 0, 0)
	VMOVUPS(Z0, Mem{Base: to})
	ADDQ(U32(128), from)
	ADDQ(U32(stepBytes), to)
	DECQ(left)
	JNZ(LabelRef("loop"))
	Label("rest")
	TESTQ(RCX, RCX)
	JZ(LabelRef("end"))
	VMOVUPS_Z(Mem{Base: from}, K1, Z0)
	VMOVUPS_Z(Mem{Base: from, Disp: 64}, K2, Z1)
	cvtne2bf16(1, 0, 0)
	VMOVUPS(Z0, Mem{Base: to})
	Label("end")
	ADDQ(lds, src)
	ADDQ(Imm(64), dst)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()

	begin("packColumnsAMX", "func(n int, k int, src *float32, lds int, dst *float32, apart int)",
		"packColumnsAMX packs n columns of k rows, 1 to 32 and lds bytes apart, as rows of 32 bf16: 16 columns after the other, tiles of 32 columns apart bytes behind each other. Zeros fill up the 32.")
	n, lds := length("n", RBX), length("lds", R8)
	src = pointer("src", RSI)
	dst = pointer("dst", RDI)
	other, here := R9, R10 // how far it is from the upper half of a tile to the lower one, and from that to the next tile
	Load(Param("apart"), other)
	MOVQ(U32(1024), here)
	SUBQ(here, other)
	LEAQ(zeros, R11)
	MOVQ(lds, R15)
	SHLQ(Imm(5), R15)
	KXNORW(K1, K1, K1)
	Label("square")
	CMPQ(n, Imm(16))
	JGE(LabelRef("whole"))
	MOVQ(n, RCX)
	masksOfRCX()
	Label("whole")
	VMOVDQU32(pairs, Z31)
	MOVQ(src, R12)
	Load(Param("k"), R13)
	for i := range 32 {
		at := 16 + i%2
		if i%2 == 0 {
			at = i / 2
		}
		VMOVUPS_Z(Mem{Base: R12}, K1, zmm[at])
		PREFETCHT1(Mem{Base: R12, Index: R15, Scale: 1}) // 32 rows further, which come next
		if i%2 == 1 {
			cvtne2bf16(at, i/2, i/2)
			VPERMW(zmm[i/2], Z31, zmm[i/2])
		}
		if i < 31 {
			ADDQ(lds, R12)
			DECQ(R13)
			CMOVQLE(R11, R12)
		}
	}
	transpose()
	for i := range 16 {
		VMOVUPS(zmm[i], Mem{Base: dst, Disp: 64 * i})
	}
	ADDQ(here, dst)
	XCHGQ(here, other)
	ADDQ(Imm(64), src)
	SUBQ(Imm(16), n)
	JG(LabelRef("square"))
	VZEROUPPER()
	RET()
}

func amx(pairs Mem) {
	zeros := GLOBL("zeros64", RODATA|NOPTR)
	for i := range 8 {
		DATA(8*i, U64(0))
	}
	for down := 1; down <= 2; down++ {
		for across := 1; across <= 2; across++ {
			microAMX(down, across)
		}
	}
	packingAMX(pairs, zeros.Offset(0))

	begin("peakAMX", "func(n int, x *float32, config *byte)", "peakAMX does n rounds of 4x4 products of tiles loaded from x and nothing else: the peak of the machine.")
	Load(Param("config"), RAX)
	tileConfigure(RAX)
	rounds := length("n", RCX)
	x := pointer("x", RSI)
	MOVQ(U32(64), R9)
	for i := range byte(8) {
		tileLoad(i, x, R9, int32(i%2)*1024)
	}
	Label("loop")
	for range 4 {
		for i := range byte(4) {
			tileDot(i, upper+i/2, left+i%2)
		}
	}
	DECQ(rounds)
	JNZ(LabelRef("loop"))
	tileRelease()
	RET()

	TEXT("enabledState", NOSPLIT, "func() uint32")
	Doc("enabledState is the lower half of XCR0: the registers that the operating system saves. The CPU must have XGETBV.")
	XORL(ECX, ECX)
	XGETBV()
	Store(EAX, ReturnIndex(0))
	RET()
}
