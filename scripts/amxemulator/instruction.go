//go:build linux && amd64

package main

import (
	"encoding/binary"
	"fmt"
)

// operation is one of the instructions that are carried out.
type operation int

const (
	configure operation = iota // LDTILECFG
	release                    // TILERELEASE
	zero                       // TILEZERO
	load                       // TILELOADD
	store                      // TILESTORED
	dot                        // TDPBF16PS
)

// instruction is what decode makes of bytes and registers.
type instruction struct {
	op              operation
	r, a, b         int // tiles: written, stored or added to; factors
	address, stride uintptr
	length          int
}

func (in instruction) String() string {
	return fmt.Sprintf("%s tile %d, factors %d and %d, address %#x, stride %d", []string{"LDTILECFG", "TILERELEASE", "TILEZERO", "TILELOADD", "TILESTORED", "TDPBF16PS"}[in.op],
		in.r, in.a, in.b, in.address, int(in.stride))
}

// decode reads an instruction at the beginning of code: VEX prefix of three bytes, map 0F38, 128 bits, W0 (Intel's manual, volume 2, 2.3 and the
// instructions' pages). It knows no others and no address relative to the instruction pointer.
func decode(code []byte, registers *[16]uint64) (in instruction, ok bool) {
	if len(code) < 5 || code[0] != 0xc4 || code[1]&0x1f != 2 || code[2]&0x84 != 0 {
		return in, false
	}
	const none, p66, pF3, pF2 = 0, 1, 2, 3
	extend := func(bit byte) int { return int(^code[1]>>bit&1) << 3 }
	v, prefix, opcode, modrm := int(^code[2]>>3&15), code[2]&3, code[3], code[4]
	direct := modrm>>6 == 3
	in.r, in.length = int(modrm>>3&7)|extend(7), 5
	if in.r > 7 {
		return in, false
	}
	switch {
	case opcode == 0x5c && prefix == pF3 && direct && v < 8:
		in.op, in.a, in.b = dot, int(modrm&7), v
		return in, true
	case opcode == 0x49 && prefix == none && modrm == 0xc0 && v == 0:
		in.op = release
		return in, true
	case opcode == 0x49 && prefix == pF2 && direct && modrm&7 == 0 && v == 0:
		in.op = zero
		return in, true
	case direct || v != 0:
		return in, false
	case opcode == 0x49 && prefix == none && in.r == 0:
		in.op = configure
	case opcode == 0x4b && prefix == pF2 && modrm&7 == 4:
		in.op = load
	case opcode == 0x4b && prefix == pF3 && modrm&7 == 4:
		in.op = store
	default:
		return in, false
	}
	base := int(modrm & 7)
	mod := modrm >> 6
	if base == 4 {
		if len(code) < 6 {
			return in, false
		}
		sib := code[5]
		in.length++
		base = int(sib & 7)
		if index := int(sib>>3&7) | extend(6); index != 4 {
			in.stride = uintptr(registers[index] << (sib >> 6))
		}
	}
	if mod == 0 && base == 5 {
		return in, false
	}
	in.address = uintptr(registers[base|extend(5)])
	if in.op == configure {
		in.address += in.stride
	}
	switch mod {
	case 1:
		if len(code) < in.length+1 {
			return in, false
		}
		in.address += uintptr(int8(code[in.length]))
		in.length++
	case 2:
		if len(code) < in.length+4 {
			return in, false
		}
		in.address += uintptr(int32(binary.LittleEndian.Uint32(code[in.length:])))
		in.length += 4
	}
	return in, true
}
