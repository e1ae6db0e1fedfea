package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"

	"github.com/zeebo/xxh3"
)

// Digest names the content of examples, wherever their rows lie: 64 hexadecimal digits, the SHA-256 of the XXH3-128 sums of each 4,096 of them.
func Digest(x Examples) string {
	const together = 4096
	n := x.Len()
	parts := (n + together - 1) / together
	sums := make([]byte, 16*parts)
	parallel(parts, func(part int) {
		h := xxh3.New()
		var b []byte
		for i := part * together; i < min((part+1)*together, n); i++ {
			b = x.At(i).appendContent(b[:0])
			h.Write(b)
		}
		sum := h.Sum128().Bytes()
		copy(sums[16*part:], sum[:])
	})
	sum := sha256.Sum256(sums)
	return hex.EncodeToString(sum[:])
}

// appendContent appends all that training sees of an example.
func (e *Example) appendContent(b []byte) []byte {
	le := binary.LittleEndian
	sequence := func(s *Sequence) {
		b = le.AppendUint32(le.AppendUint32(b, uint32(len(s.IDs))), uint32(s.First))
		for _, id := range s.IDs {
			b = le.AppendUint32(b, uint32(id))
		}
	}
	flag := func(is bool) byte {
		if is {
			return 1
		}
		return 0
	}
	b = append(b, byte(e.Label), flag(e.Numbers != nil), flag(e.Imitated != nil))
	b = le.AppendUint32(b, uint32(len(e.Sequences)))
	for i := range e.Sequences {
		sequence(&e.Sequences[i])
	}
	if e.Imitated != nil {
		sequence(e.Imitated)
	}
	if e.Numbers != nil {
		for _, x := range e.Numbers.list() {
			b = le.AppendUint64(b, math.Float64bits(*x))
		}
	}
	return b
}
