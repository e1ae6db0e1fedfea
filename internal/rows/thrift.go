package rows

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"github.com/parquet-go/parquet-go/format"
)

// What a parquet file says of itself is in Thrift's compact protocol. The library takes memory for as many elements as a list claims
// to have, so that some bytes could ask for terabytes; a skim goes over the bytes first and adds up what decoding them will take.

// skim is a place in a Thrift value.
type skim struct {
	b    []byte
	at   int
	left int64 // bytes of memory that what comes may take
}

const (
	maxThrift   = 96 << 20 // bytes of memory
	maxNested   = 32       // values in each other
	bytesStruct = int64(unsafe.Sizeof(format.ColumnChunk{}))
	bytesOther  = 24
)

var (
	errThrift = errors.New("what the file says of itself cannot be read; the file is damaged, get it again")
	errMany   = errors.New("the file claims to have more parts than memory holds; it is damaged, or write it with larger row groups")
)

// skimStruct is the length of the struct that b begins with.
func skimStruct(b []byte) (int, error) {
	s := skim{b: b, left: maxThrift}
	err := s.value(12, 0)
	return s.at, err
}

func (s *skim) byte() (byte, error) {
	if s.at >= len(s.b) {
		return 0, errThrift
	}
	s.at++
	return s.b[s.at-1], nil
}

func (s *skim) varint() (uint64, error) {
	v, n := binary.Uvarint(s.b[s.at:])
	if n <= 0 {
		return 0, errThrift
	}
	s.at += n
	return v, nil
}

func (s *skim) skip(n uint64) error {
	if n > uint64(len(s.b)-s.at) {
		return errThrift
	}
	s.at += int(n)
	return nil
}

// value goes over a value of a type of the protocol, as lists have it.
func (s *skim) value(kind byte, depth int) error {
	if depth > maxNested {
		return errThrift
	}
	switch kind {
	case 1, 2, 3: // a truth value, a byte
		return s.skip(1)
	case 4, 5, 6: // numbers
		_, err := s.varint()
		return err
	case 7:
		return s.skip(8)
	case 8: // bytes
		n, err := s.varint()
		if err != nil {
			return err
		}
		return s.skip(n)
	case 9, 10:
		return s.list(depth)
	case 12:
		return s.fields(depth)
	}
	return errThrift // no part of parquet is a map
}

func (s *skim) list(depth int) error {
	b, err := s.byte()
	if err != nil {
		return err
	}
	n := uint64(b >> 4)
	if n == 15 {
		if n, err = s.varint(); err != nil {
			return err
		}
	}
	if n > uint64(len(s.b)-s.at) { // an element takes a byte at least
		return errThrift
	}
	each := int64(bytesOther)
	if b&15 == 12 {
		each = bytesStruct
	}
	if s.left -= int64(n) * each; s.left < 0 {
		return errMany
	}
	for range n {
		if err := s.value(b&15, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (s *skim) fields(depth int) error {
	for {
		b, err := s.byte()
		if err != nil || b == 0 {
			return err
		}
		if b>>4 == 0 { // else the number of the field is told from the one before
			if _, err := s.varint(); err != nil {
				return err
			}
		}
		if kind := b & 15; kind > 2 { // a truth value is its type
			if err := s.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
}
