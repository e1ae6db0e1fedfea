//go:build !noasm

#include "textflag.h"

// The kernels of the NEON level, by hand: avo does not write arm64. Their meaning stands at their declarations in gemm_arm64.go. Two
// instructions that the Go assembler does not know are given as words; d, n and m are numbers of registers of 4 float32.

// FMLA adds register n times lane i of register m to register d: fmla Vd.4S, Vn.4S, Vm.S[i].
#define FMLA(d, n, m, i) WORD $(0x4f801000 | ((i)&1)<<21 | (m)<<16 | ((i)>>1)<<11 | (n)<<5 | (d))

// FADD adds register m to register d: fadd Vd.4S, Vm.4S, Vd.4S.
#define FADD(d, m) WORD $(0x4e20d400 | (d)<<16 | (m)<<5 | (d))

// The tile is 12 rows of A by 8 columns of B. Row r of its sums is in registers 8+2r and 9+2r. For one k, registers 0 to 2 hold A's
// numbers and registers 3 and 4 those of B.
#define ROW(r, m, i) FMLA(8+2*(r), 3, m, i); FMLA(9+2*(r), 4, m, i)
#define ROWS4 ROW(0, 0, 0); ROW(1, 0, 1); ROW(2, 0, 2); ROW(3, 0, 3)
#define ROWS8 ROWS4; ROW(4, 1, 0); ROW(5, 1, 1); ROW(6, 1, 2); ROW(7, 1, 3)
#define ROWS12 ROWS8; ROW(8, 2, 0); ROW(9, 2, 1); ROW(10, 2, 2); ROW(11, 2, 3)

#define ZERO(a, b, c, d) VEOR a.B16, a.B16, a.B16; VEOR b.B16, b.B16, b.B16; VEOR c.B16, c.B16, c.B16; VEOR d.B16, d.B16, d.B16
#define ZEROS \
	ZERO(V8, V9, V10, V11) \
	ZERO(V12, V13, V14, V15) \
	ZERO(V16, V17, V18, V19) \
	ZERO(V20, V21, V22, V23) \
	ZERO(V24, V25, V26, V27) \
	ZERO(V28, V29, V30, V31)

// ADDROW adds a row of C, at R7, to row r of the sums and goes to the next; the last of the R8 rows ends it.
#define ADDROW(r) \
	VLD1 (R7), [V0.S4, V1.S4] \
	ADD  R5, R7 \
	FADD(8+2*(r), 0) \
	FADD(9+2*(r), 1) \
	SUBS $1, R8 \
	BEQ  store

// STOREROW writes a row of the sums, which is in registers a and b, to C at R3; the last of the R0 rows ends it.
#define STOREROW(a, b) \
	VST1 [a.S4, b.S4], (R3) \
	ADD  R5, R3 \
	SUBS $1, R0 \
	BEQ  done

// func microNEON(rows, k int, a, b, c *float32, ldc int, accumulate int)
TEXT ·microNEON(SB), NOSPLIT, $0-56
	MOVD rows+0(FP), R0
	MOVD k+8(FP), R4
	MOVD a+16(FP), R1
	MOVD b+24(FP), R2
	MOVD c+32(FP), R3
	MOVD ldc+40(FP), R5
	LSL  $2, R0, R6 // bytes from one k to the next in a
	ZEROS
	CMP  $8, R0
	BGT  twelve
	CMP  $4, R0
	BGT  eight

four:
	VLD1   (R1), [V0.S4]
	ADD    R6, R1
	VLD1.P 32(R2), [V3.S4, V4.S4]
	ROWS4
	SUBS   $1, R4
	BNE    four
	B      end

eight:
	VLD1   (R1), [V0.S4, V1.S4]
	ADD    R6, R1
	VLD1.P 32(R2), [V3.S4, V4.S4]
	ROWS8
	SUBS   $1, R4
	BNE    eight
	B      end

twelve:
	VLD1   (R1), [V0.S4, V1.S4, V2.S4]
	ADD    R6, R1
	VLD1.P 32(R2), [V3.S4, V4.S4]
	ROWS12
	SUBS   $1, R4
	BNE    twelve

end:
	MOVD accumulate+48(FP), R7
	CBZ  R7, store
	MOVD R3, R7
	MOVD R0, R8
	ADDROW(0)
	ADDROW(1)
	ADDROW(2)
	ADDROW(3)
	ADDROW(4)
	ADDROW(5)
	ADDROW(6)
	ADDROW(7)
	ADDROW(8)
	ADDROW(9)
	ADDROW(10)
	ADDROW(11)

store:
	STOREROW(V8, V9)
	STOREROW(V10, V11)
	STOREROW(V12, V13)
	STOREROW(V14, V15)
	STOREROW(V16, V17)
	STOREROW(V18, V19)
	STOREROW(V20, V21)
	STOREROW(V22, V23)
	STOREROW(V24, V25)
	STOREROW(V26, V27)
	STOREROW(V28, V29)
	STOREROW(V30, V31)

done:
	RET

// QUAD transposes a square of 4x4 numbers: rows a, b, c and d become columns, in w, x, y and z. On the way
// registers 16 to 19 hold a0 b0 a2 b2, a1 b1 a3 b3 and the same of c and d.
#define QUAD(a, b, c, d, w, x, y, z) \
	VTRN1 b.S4, a.S4, V16.S4 \
	VTRN2 b.S4, a.S4, V17.S4 \
	VTRN1 d.S4, c.S4, V18.S4 \
	VTRN2 d.S4, c.S4, V19.S4 \
	VTRN1 V18.D2, V16.D2, w.D2 \
	VTRN1 V19.D2, V17.D2, x.D2 \
	VTRN2 V18.D2, V16.D2, y.D2 \
	VTRN2 V19.D2, V17.D2, z.D2

#define LOADROW(a, b) \
	VLD1 (R5), [a.S4, b.S4] \
	ADD  R2, R5

// STORECOLUMNS writes four columns of 8 numbers, one to a row of dst.
#define STORECOLUMNS \
	VST1 [V20.S4, V21.S4], (R3) \
	ADD  R4, R3 \
	VST1 [V22.S4, V23.S4], (R3) \
	ADD  R4, R3 \
	VST1 [V24.S4, V25.S4], (R3) \
	ADD  R4, R3 \
	VST1 [V26.S4, V27.S4], (R3) \
	ADD  R4, R3

// func transpose8(n int, src *float32, lds int, dst *float32, ldd int)
TEXT ·transpose8(SB), NOSPLIT, $0-40
	MOVD n+0(FP), R0
	MOVD src+8(FP), R1
	MOVD lds+16(FP), R2
	MOVD dst+24(FP), R3
	MOVD ldd+32(FP), R4

square:
	MOVD R1, R5
	LOADROW(V0, V1)
	LOADROW(V2, V3)
	LOADROW(V4, V5)
	LOADROW(V6, V7)
	LOADROW(V8, V9)
	LOADROW(V10, V11)
	LOADROW(V12, V13)
	LOADROW(V14, V15)
	QUAD(V0, V2, V4, V6, V20, V22, V24, V26)
	QUAD(V8, V10, V12, V14, V21, V23, V25, V27)
	STORECOLUMNS
	QUAD(V1, V3, V5, V7, V20, V22, V24, V26)
	QUAD(V9, V11, V13, V15, V21, V23, V25, V27)
	STORECOLUMNS
	ADD  $32, R1
	SUBS $1, R0
	BNE  square
	RET

// func peakNEON(n int, x *float32)
TEXT ·peakNEON(SB), NOSPLIT, $0-16
	MOVD   n+0(FP), R0
	MOVD   x+8(FP), R1
	ZEROS
	VLD1.P 48(R1), [V0.S4, V1.S4, V2.S4]
	VLD1   (R1), [V3.S4, V4.S4]

round:
	ROWS12
	SUBS $1, R0
	BNE  round
	RET
