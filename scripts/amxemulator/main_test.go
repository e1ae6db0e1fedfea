//go:build linux && amd64

package main

import (
	"encoding/binary"
	"math"
	"testing"
)

// TestDecode: bytes as GNU as 2.40 writes them.
func TestDecode(t *testing.T) {
	var registers [16]uint64
	for i := range registers {
		registers[i] = uint64(1000 * i)
	}
	for _, tt := range []struct {
		source string
		code   []byte
		want   instruction
	}{
		{"ldtilecfg (%rax)", []byte{0xc4, 0xe2, 0x78, 0x49, 0x00}, instruction{op: configure}},
		{"ldtilecfg (%r11)", []byte{0xc4, 0xc2, 0x78, 0x49, 0x03}, instruction{op: configure, address: 11000}},
		{"tilerelease", []byte{0xc4, 0xe2, 0x78, 0x49, 0xc0}, instruction{op: release}},
		{"tilezero %tmm3", []byte{0xc4, 0xe2, 0x7b, 0x49, 0xd8}, instruction{op: zero, r: 3}},
		{"tileloadd (%rsi,%r9,1), %tmm4", []byte{0xc4, 0xa2, 0x7b, 0x4b, 0x24, 0x0e}, instruction{op: load, r: 4, address: 6000, stride: 9000}},
		{"tileloadd 0x400(%rsi,%r9,1), %tmm5", []byte{0xc4, 0xa2, 0x7b, 0x4b, 0xac, 0x0e, 0, 4, 0, 0}, instruction{op: load, r: 5, address: 7024, stride: 9000}},
		{"tilestored %tmm1, 0x40(%rdx,%r8,1)", []byte{0xc4, 0xa2, 0x7a, 0x4b, 0x4c, 0x02, 0x40}, instruction{op: store, r: 1, address: 2064, stride: 8000}},
		{"tilestored %tmm2, (%r12,%r8,1)", []byte{0xc4, 0x82, 0x7a, 0x4b, 0x14, 0x04}, instruction{op: store, r: 2, address: 12000, stride: 8000}},
		{"tdpbf16ps %tmm6, %tmm4, %tmm0", []byte{0xc4, 0xe2, 0x4a, 0x5c, 0xc4}, instruction{op: dot, r: 0, a: 4, b: 6}},
		{"tdpbf16ps %tmm7, %tmm5, %tmm3", []byte{0xc4, 0xe2, 0x42, 0x5c, 0xdd}, instruction{op: dot, r: 3, a: 5, b: 7}},
	} {
		tt.want.length = len(tt.code)
		if got, ok := decode(append(tt.code, 0x90, 0x90), &registers); !ok || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", tt.source, got, ok, tt.want)
		}
		if got, ok := decode(tt.code[:len(tt.code)-1], &registers); ok {
			t.Errorf("%s, cut short: %v", tt.source, got)
		}
	}
	for _, code := range [][]byte{{0x0f, 0x0b, 0, 0, 0}, {0xc4, 0xe2, 0x4b, 0x5e, 0xc4}, {0xc4, 0xe2, 0x79, 0x49, 0x00}} { // ud2, tdpbssd, sttilecfg
		if in, ok := decode(code, &registers); ok {
			t.Errorf("% x is taken for %v", code, in)
		}
	}
}

// TestDot: rows of 3 and 2 columns, 4 of k.
func TestDot(t *testing.T) {
	var config [64]byte
	config[0] = 1
	for tile, size := range [][2]byte{{3, 8}, {3, 8}, {2, 8}} {
		config[48+tile], config[16+2*tile] = size[0], size[1]
	}
	var u tiles
	if err := u.dot(0, 1, 2); err == nil {
		t.Error("a tile that is not configured is multiplied")
	}
	if err := u.configure(config); err != nil {
		t.Fatal(err)
	}
	tiny, inf := float32(0x1p-126), float32(math.Inf(1))
	a := [3][4]float32{{1, 2, 3, 4}, {1, 0, inf, 0}, {0x1p-127, 0, 0, 0}}
	b := [4][2]float32{{5, -1}, {6, 0}, {7, 1}, {8, 0.5}}
	c := [3][2]float32{{0.25, 0}, {0, 0}, {0x1p-127, tiny}}
	// Row 0: 5+21, 12+32 and a quarter; -1+3 and 0+2. Row 2: denormal numbers are 0.
	want := [3][2]float32{{70.25, 4}, {inf, inf}, {0, tiny}}
	fill := func(tile, row, at int, x float32) {
		binary.LittleEndian.PutUint16(u.data[tile][row][2*at:], uint16(math.Float32bits(x)>>16))
	}
	for m := range 3 {
		for k := range 4 {
			fill(1, m, k, a[m][k])
		}
		for n := range 2 {
			binary.LittleEndian.PutUint32(u.data[0][m][4*n:], math.Float32bits(c[m][n]))
		}
	}
	for k := range 4 {
		for n := range 2 {
			fill(2, k/2, 2*n+k%2, b[k][n])
		}
	}
	u.data[0][3][0] = 1 // a row that is not configured becomes 0
	if err := u.dot(0, 1, 2); err != nil {
		t.Fatal(err)
	}
	for m := range want {
		for n, w := range want[m] {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(u.data[0][m][4*n:])); got != w {
				t.Errorf("element %d,%d is %v, want %v", m, n, got, w)
			}
		}
	}
	if u.data[0][3][0] != 0 {
		t.Error("a row that is not configured is kept")
	}
	if err := u.dot(0, 1, 1); err == nil {
		t.Error("a tile is taken twice")
	}
	config[17] = 1
	if err := u.configure(config); err == nil {
		t.Error("rows of 264 bytes are taken")
	}
}

// TestAdd: denormal results become 0, and ties go to the even number.
func TestAdd(t *testing.T) {
	for _, tt := range []struct{ x, y, want float32 }{
		{1, 0x1p-24, 1}, {1 + 0x1p-23, 0x1p-24, 1 + 0x1p-22}, {1, 0x1p-24 + 0x1p-47, 1 + 0x1p-23},
		{0x1.8p-126, -0x1p-126, 0}, {math.MaxFloat32, math.MaxFloat32, float32(math.Inf(1))},
	} {
		if got := add(tt.x, tt.y); got != tt.want {
			t.Errorf("%v + %v = %v, want %v", tt.x, tt.y, got, tt.want)
		}
	}
}
