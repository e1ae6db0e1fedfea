package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
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

func length(name string, r Register) GPPhysical { return Load(Param(name), r).(GPPhysical) }

// evex writes an instruction of the 0F38 map on three zmm registers, d = op(s1, s2), which neither avo nor Go's assembler
// knows. pp is the prefix: 2 for F3, 3 for F2.
func evex(pp, opcode byte, d, s1, s2 int) {
	not := func(n, bit int) byte { return byte(^n >> bit & 1) }
	for _, b := range []byte{
		0x62,
		not(d, 3)<<7 | not(s2, 4)<<6 | not(s2, 3)<<5 | not(d, 4)<<4 | 2,
		not(s1, 3)<<6 | not(s1, 2)<<5 | not(s1, 1)<<4 | not(s1, 0)<<3 | 4 | pp,
		2<<5 | not(s1, 4)<<3, // 512 bits, no mask
		opcode,
		3<<6 | byte(d&7)<<3 | byte(s2&7),
	} {
		Instruction(&ir.Instruction{Opcode: "BYTE", Operands: []Op{U8(b)}})
	}
}

// dpbf16 adds to the 16 float32 of acc the products of both bf16 in each number of x and y.
func dpbf16(x, y, acc int) { evex(2, 0x52, acc, x, y) }

// cvtne2bf16 rounds the 16 float32 of low and of high to bf16: the lower half of d is low's.
func cvtne2bf16(high, low, d int) { evex(3, 0x72, d, high, low) }

// lead is how many steps of k before the end a kernel asks for the tile of c once more. The first request, at the beginning, brings it from memory;
// a and b then push it out of the level-1 cache, and stores that miss it cost 2 to 4 % of a product on Zen 4.
const lead = 16

// request asks for the lines of a tile of c.
func request(c, ldc GPPhysical, rows, vectors, size int) {
	for i := range rows {
		PREFETCHT0(Mem{Base: c})
		if vectors > 1 {
			PREFETCHT0(Mem{Base: c, Disp: 2*size - 4})
		}
		if i < rows-1 {
			ADDQ(ldc, c)
		}
	}
}

// micro opens a kernel that writes the first vectors, 1 or 2, of c[rows, 2 vectors] = (c +) a b: for every step of k, in order, one number
// of a for each row and the vectors of b. finish stores the accumulators, which are registers 4 and up, row by row.
func micro(name string, rows, vectors int, regs []VecPhysical, size int, doc string, zero func(VecPhysical), fma func(b, a, acc int), finish func(rows, vectors int, acc func(i, j int) VecPhysical)) {
	name = fmt.Sprintf("%s%d", name, rows)
	begin(name, "func(k int, a, b, c *float32, ldc int, n int, accumulate int)", fmt.Sprintf("%s computes a tile of %d rows; %s. ldc is in bytes.", name, rows, doc))
	k := length("k", RCX)
	a, b, c := pointer("a", RSI), pointer("b", RDI), pointer("c", RDX)
	ldc := length("ldc", R8)
	acc := func(i, j int) int { return 4 + 2*i + j }
	request(c, ldc, rows, vectors, size)
	for i := range rows {
		for j := range vectors {
			zero(regs[acc(i, j)])
		}
	}
	step := func(u int) {
		for j := range vectors {
			VMOVUPS(Mem{Base: b, Disp: 2*size*u + j*size}, regs[j])
		}
		for i := range rows {
			x := 2 + i&1
			VBROADCASTSS(Mem{Base: a, Disp: 4*i + 4*rows*u}, regs[x])
			for j := range vectors {
				fma(j, x, acc(i, j))
			}
		}
	}
	const unroll = 4
	rest := R10 // steps from the second request for c on
	MOVQ(U32(lead), rest)
	SUBQ(rest, k)
	JG(LabelRef("enter"))
	ADDQ(rest, k)
	XORQ(rest, rest)
	Label("enter")
	CMPQ(k, Imm(unroll))
	JL(LabelRef("pause"))
	Label("loop")
	for u := range unroll {
		step(u)
	}
	ADDQ(U32(uint64(4*rows*unroll)), a)
	ADDQ(U32(uint64(2*size*unroll)), b)
	SUBQ(Imm(unroll), k)
	CMPQ(k, Imm(unroll))
	JGE(LabelRef("loop"))
	Label("pause")
	TESTQ(rest, rest)
	JZ(LabelRef("tail"))
	request(pointer("c", RDX), ldc, rows, vectors, size)
	ADDQ(rest, k)
	XORQ(rest, rest)
	CMPQ(k, Imm(unroll))
	JGE(LabelRef("loop"))
	Label("tail")
	TESTQ(k, k)
	JZ(LabelRef("done"))
	step(0)
	ADDQ(U32(uint64(4*rows)), a)
	ADDQ(U32(uint64(2*size)), b)
	DECQ(k)
	JMP(LabelRef("tail"))
	Label("done")
	finish(rows, vectors, func(i, j int) VecPhysical { return regs[acc(i, j)] })
	VZEROUPPER()
	RET()
}

// eachRow calls f for every row of c, whose pointer is loaded anew.
func eachRow(rows int, f func(i int, c GPPhysical)) {
	c, ldc := pointer("c", RDX), length("ldc", R8)
	for i := range rows {
		f(i, c)
		if i < rows-1 {
			ADDQ(ldc, c)
		}
	}
}

// finish512 stores the first n columns of a tile, or adds to them.
func finish512(rows, vectors int, acc func(i, j int) VecPhysical) {
	masks32("n")
	k := []Op{K1, K2}
	accumulate := length("accumulate", R9)
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("store"))
	eachRow(rows, func(i int, c GPPhysical) {
		for j := range vectors {
			VADDPS(Mem{Base: c, Disp: 64 * j}, acc(i, j), k[j], acc(i, j))
		}
	})
	Label("store")
	eachRow(rows, func(i int, c GPPhysical) {
		for j := range vectors {
			VMOVUPS(acc(i, j), k[j], Mem{Base: c, Disp: 64 * j})
		}
	})
}

// masks32 sets K1 and K2 to the lanes of two vectors that hold the first 1 to 32 numbers; it uses RAX and RCX.
func masks32(param string) {
	Load(Param(param), RCX)
	masksOfRCX()
}

// masksOfRCX is masks32 for the number in RCX, which may be 0 too.
func masksOfRCX() {
	MOVQ(U32(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(EAX, K1)
	SHRQ(Imm(16), RAX)
	KMOVW(EAX, K2)
}

// finish256 stores whole tiles only.
func finish256(rows, _ int, acc func(i, j int) VecPhysical) {
	accumulate := length("accumulate", R9)
	TESTQ(accumulate, accumulate)
	JZ(LabelRef("store"))
	eachRow(rows, func(i int, c GPPhysical) {
		for j := range 2 {
			VADDPS(Mem{Base: c, Disp: 32 * j}, acc(i, j), acc(i, j))
		}
	})
	Label("store")
	eachRow(rows, func(i int, c GPPhysical) {
		for j := range 2 {
			VMOVUPS(acc(i, j), Mem{Base: c, Disp: 32 * j})
		}
	})
}

func zero512(r VecPhysical) { VPXORD(r, r, r) }

func micros() {
	for rows := 1; rows <= 14; rows++ {
		float := func(b, a, acc int) { VFMADD231PS(zmm[b], zmm[a], zmm[acc]) }
		micro("microAVX512x", rows, 2, zmm, 64, "see microRef; n columns are stored", zero512, float, finish512)
		micro("microAVX512Halfx", rows, 1, zmm, 64, "see microRef; n columns are stored, 16 at most", zero512, float, finish512)
		micro("microBF16x", rows, 2, zmm, 64, "a and b hold pairs of bf16; n columns are stored", zero512, dpbf16, finish512)
		micro("microBF16Halfx", rows, 1, zmm, 64, "a and b hold pairs of bf16; n columns are stored, 16 at most", zero512, dpbf16, finish512)
	}
	for rows := 1; rows <= 6; rows++ {
		micro("microAVX2x", rows, 2, ymm, 32, "see microRef; n is not read, whole tiles are stored", func(r VecPhysical) { VXORPS(r, r, r) },
			func(b, a, acc int) { VFMADD231PS(ymm[b], ymm[a], ymm[acc]) }, finish256)
	}
}

// packRows opens a kernel that packs lanes which are rows of the source: squares of 16 rows and of as many columns as make 16
// numbers of the result are loaded by load and transposed. Lanes past the last row are copies of it.
func packRows(name, doc string, columns int, load func(i int, row Mem, mask bool)) {
	begin(name, "func(rows int, k int, src *float32, lds int, dst *float32, ldd int)",
		name+" packs k columns of up to 16 rows, lds bytes apart, as rows ldd bytes apart"+doc+". Lanes past the last row repeat it.")
	rows, k := length("rows", RDX), length("k", RCX)
	src, lds := pointer("src", RSI), length("lds", R8)
	dst, ldd := pointer("dst", RDI), length("ldd", R9)
	MOVQ(lds, R13)
	SHLQ(Imm(4), R13)
	square := func(mask bool) {
		MOVQ(src, R10)
		MOVQ(rows, R12)
		for i := range 16 {
			load(i, Mem{Base: R10}, mask)
			for at := 0; at < 4*columns && !mask; at += 64 {
				PREFETCHT1(Mem{Base: R10, Index: R13, Scale: 1, Disp: at}) // the rows after these, which come next
			}
			if i < 15 {
				LEAQ(Mem{Base: R10, Index: lds, Scale: 1}, R11)
				DECQ(R12)
				CMOVQGT(R11, R10)
			}
		}
		transpose()
	}
	SUBQ(Imm(uint64(columns)), k)
	JL(LabelRef("tail"))
	Label("loop")
	square(false)
	for i := range 16 {
		VMOVUPS(zmm[i], Mem{Base: dst})
		ADDQ(ldd, dst)
	}
	ADDQ(U32(uint64(4*columns)), src)
	SUBQ(Imm(uint64(columns)), k)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(uint64(columns)), k)
	JZ(LabelRef("done"))
	MOVQ(U32(1), RAX)
	SHLQ(CL, RAX)
	DECQ(RAX)
	KMOVW(EAX, K1)
	if columns == 32 {
		SHRQ(Imm(16), RAX)
		KMOVW(EAX, K2)
		INCQ(k)
		SHRQ(Imm(1), k)
	}
	square(true)
	for i := range 16 {
		VMOVUPS(zmm[i], Mem{Base: dst})
		ADDQ(ldd, dst)
		DECQ(k)
		JZ(LabelRef("done"))
	}
	Label("done")
	VZEROUPPER()
	RET()
}

// transpose turns registers 0 to 15, from pairs to quadruples to lanes; it uses all 32.
func transpose() {
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
	const even, odd = 0x88, 0xdd
	for c := range 4 {
		VSHUFF32X4(U8(even), zmm[4+c], zmm[c], zmm[16+c])
		VSHUFF32X4(U8(odd), zmm[4+c], zmm[c], zmm[20+c])
		VSHUFF32X4(U8(even), zmm[12+c], zmm[8+c], zmm[24+c])
		VSHUFF32X4(U8(odd), zmm[12+c], zmm[8+c], zmm[28+c])
	}
	for c := range 4 {
		VSHUFF32X4(U8(even), zmm[24+c], zmm[16+c], zmm[c])
		VSHUFF32X4(U8(even), zmm[28+c], zmm[20+c], zmm[4+c])
		VSHUFF32X4(U8(odd), zmm[24+c], zmm[16+c], zmm[8+c])
		VSHUFF32X4(U8(odd), zmm[28+c], zmm[20+c], zmm[12+c])
	}
}

// packColumns opens a kernel that packs lanes which are columns of the source: step loads one or two rows and leaves one or
// two vectors in registers 0 and 1.
func packColumns(name, doc string, start func(), step func(vectors int, src, lds GPPhysical), rest func(vectors int, src GPPhysical), rowsApiece int) {
	begin(name, "func(n int, k int, src *float32, lds int, dst *float32, ldd int)",
		name+" packs k rows, lds bytes apart, of 1 to 32 columns as rows ldd bytes apart"+doc+". Zeros fill up the last 16 lanes.")
	masks32("n")
	Load(Param("n"), RBX)
	k := length("k", RCX)
	src, lds := pointer("src", RSI), length("lds", R8)
	dst, ldd := pointer("dst", RDI), length("ldd", R9)
	write := func(vectors int) {
		for j := range vectors {
			VMOVUPS(zmm[j], Mem{Base: dst, Disp: 64 * j})
		}
		ADDQ(ldd, dst)
	}
	start()
	CMPQ(RBX, Imm(16))
	JLT(LabelRef("partOne"))
	JE(LabelRef("one"))
	CMPQ(RBX, Imm(32))
	JLT(LabelRef("partTwo"))
	for i, name := range []string{"two", "partOne", "one", "partTwo"} {
		avx512.masking = i%2 == 1
		vectors := []int{2, 1, 1, 2}[i]
		Label(name)
		SUBQ(Imm(uint64(rowsApiece)), k)
		JL(LabelRef(name + "Tail"))
		Label(name + "Loop")
		step(vectors, src, lds)
		write(vectors)
		SUBQ(Imm(uint64(rowsApiece)), k)
		JGE(LabelRef(name + "Loop"))
		Label(name + "Tail")
		if rest != nil {
			ADDQ(Imm(uint64(rowsApiece)), k)
			JZ(LabelRef(name + "Done"))
			rest(vectors, src)
			write(vectors)
		}
		Label(name + "Done")
		VZEROUPPER()
		RET()
	}
}

// packTiles opens a kernel that packs many tiles, or panels, of so many vectors of columns at once, row by row: what lies together in the source
// is read together. step does one or two rows of a tile.
func packTiles(name, doc string, vectors, rowsApiece int, start func(), step func(src, second Mem), rest func(src Mem)) {
	begin(name, "func(tiles int, k int, src *float32, lds int, step int, dst *float32, ldd int, apart int)", fmt.Sprintf(
		"%s packs k rows, lds bytes apart, of tiles that begin step bytes apart: %d columns of each as rows ldd bytes apart, a tile apart bytes behind the one before%s.", name, 16*vectors, doc))
	const ahead = 16 // rows whose lines are asked for
	tiles, k := length("tiles", RBX), length("k", RCX)
	src, lds, next := pointer("src", RSI), length("lds", R8), length("step", R10)
	dst, ldd, apart := pointer("dst", RDI), length("ldd", R9), length("apart", R11)
	MOVQ(lds, R15)
	SHLQ(Imm(4), R15)
	start()
	from, to, left := R12, R13, RAX
	row := func(body func(second Mem), end string) {
		MOVQ(src, from)
		MOVQ(dst, to)
		MOVQ(tiles, left)
		LEAQ(Mem{Base: src, Index: lds, Scale: 1}, RDX)
		Label(end)
		body(Mem{Base: RDX})
		for j := range vectors {
			VMOVUPS(zmm[j], Mem{Base: to, Disp: 64 * j})
		}
		ADDQ(next, from)
		ADDQ(next, RDX)
		ADDQ(apart, to)
		DECQ(left)
		JNZ(LabelRef(end))
		ADDQ(ldd, dst)
	}
	SUBQ(Imm(uint64(rowsApiece)), k)
	JL(LabelRef("tail"))
	Label("rows")
	row(func(second Mem) {
		for j := range vectors {
			PREFETCHT0(Mem{Base: from, Index: R15, Scale: 1, Disp: 64 * j})
			if rowsApiece > 1 {
				PREFETCHT0(Mem{Base: RDX, Index: R15, Scale: 1, Disp: 64 * j})
			}
		}
		step(Mem{Base: from}, second)
	}, "tile")
	for range rowsApiece {
		ADDQ(lds, src)
	}
	SUBQ(Imm(uint64(rowsApiece)), k)
	JGE(LabelRef("rows"))
	Label("tail")
	if rest != nil {
		ADDQ(Imm(uint64(rowsApiece)), k)
		JZ(LabelRef("done"))
		row(func(Mem) { rest(Mem{Base: from}) }, "last")
		Label("done")
	}
	VZEROUPPER()
	RET()
}

// loadColumns loads the columns of a row to registers from first on, and asks for those after them, which come next.
func loadColumns(vectors, first int, src GPPhysical) {
	for j := range vectors {
		if avx512.masking {
			VMOVUPS_Z(Mem{Base: src, Disp: 64 * j}, []Op{K1, K2}[j], zmm[first+j])
		} else {
			VMOVUPS(Mem{Base: src, Disp: 64 * j}, zmm[first+j])
		}
		PREFETCHT1(Mem{Base: src, Disp: 64 * (vectors + j)})
	}
}

func packing512() {
	packRows("packRowsAVX512", "", 16, func(i int, row Mem, mask bool) {
		if mask {
			VMOVUPS_Z(row, K1, zmm[i])
		} else {
			VMOVUPS(row, zmm[i])
		}
	})
	packRows("packRowsBF16", ", two columns rounded to bf16 in one number", 32, func(i int, row Mem, mask bool) {
		second := row
		second.Disp = 64
		if mask {
			VMOVUPS_Z(row, K1, zmm[i])
			VMOVUPS_Z(second, K2, zmm[16+i])
		} else {
			VMOVUPS(row, zmm[i])
			VMOVUPS(second, zmm[16+i])
		}
		cvtne2bf16(16+i, i, i)
	})
	packColumns("packColumnsAVX512", "", func() {}, func(vectors int, src, lds GPPhysical) {
		loadColumns(vectors, 0, src)
		ADDQ(lds, src)
	}, nil, 1)
	pairs := GLOBL("bf16Pairs", RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(uint32(16+i)<<16|uint32(i)))
	}
	// interleave makes numbers of the bf16 in two halves of a register.
	interleave := func(vectors int) {
		for j := range vectors {
			cvtne2bf16(2+j, j, j)
			VPERMW(zmm[j], Z31, zmm[j])
		}
	}
	packColumns("packColumnsBF16", ", two rows rounded to bf16 in one number", func() { VMOVDQU32(pairs.Offset(0), Z31) }, func(vectors int, src, lds GPPhysical) {
		loadColumns(vectors, 0, src)
		ADDQ(lds, src)
		loadColumns(vectors, 2, src)
		ADDQ(lds, src)
		interleave(vectors)
	}, func(vectors int, src GPPhysical) {
		loadColumns(vectors, 0, src)
		for j := range vectors {
			zero512(zmm[2+j])
		}
		interleave(vectors)
	}, 2)
	packingTiles512(pairs.Offset(0))
	amx(pairs.Offset(0))
}

// packingTiles512 are the kernels for a vector of columns and for two.
func packingTiles512(pairs Mem) {
	load := func(vectors, first int, src Mem) {
		for j := range vectors {
			VMOVUPS(src.Offset(64*j), zmm[first+j])
		}
	}
	for vectors := 1; vectors <= 2; vectors++ {
		interleave := func() {
			for j := range vectors {
				cvtne2bf16(2+j, j, j)
				VPERMW(zmm[j], Z31, zmm[j])
			}
		}
		packTiles(fmt.Sprintf("packTiles%dAVX512", vectors), "", vectors, 1, func() {}, func(src, _ Mem) { load(vectors, 0, src) }, nil)
		packTiles(fmt.Sprintf("packTiles%dBF16", vectors), ", two rows rounded to bf16 in one number", vectors, 2, func() { VMOVDQU32(pairs, Z31) }, func(src, second Mem) {
			load(vectors, 0, src)
			load(vectors, 2, second)
			interleave()
		}, func(src Mem) {
			load(vectors, 0, src)
			for j := range vectors {
				zero512(zmm[2+j])
			}
			interleave()
		})
	}
}

// transpose8 packs squares of 8 rows for AVX2.
func transpose8() {
	begin("transpose8", "func(n int, src *float32, lds int, dst *float32, ldd int)",
		"transpose8 transposes n squares of 8x8 numbers: rows of src, lds bytes apart, become columns of dst, whose rows are ldd bytes apart.")
	n := length("n", RCX)
	src, dst := pointer("src", RSI), pointer("dst", RDI)
	lds, ldd := length("lds", R8), length("ldd", R9)
	Label("loop")
	MOVQ(src, R10)
	for i := range 8 {
		VMOVUPS(Mem{Base: R10}, ymm[i])
		if i < 7 {
			ADDQ(lds, R10)
		}
	}
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
		VMOVUPS(ymm[8+i], Mem{Base: dst})
		ADDQ(ldd, dst)
	}
	ADDQ(U32(32), src)
	DECQ(n)
	JNZ(LabelRef("loop"))
	VZEROUPPER()
	RET()
}
