package refcache

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
)

// The sizes and limits of format version 1; the package doc is the specification.
const (
	magic         = "DPOTREFS"
	formatVersion = 1

	headerHead = 52      // magic, version, fingerprint, length of the facts, checksum
	maxFacts   = 1 << 16 // bytes of JSON

	recordHead = 24 // length, key, checksum
	minRecord  = recordHead + checksumSize
	maxRecord  = 1 << 26 // bytes; 16 million tokens. Bounds what opening a hostile file can allocate

	checksumSize = 4
	fieldHead    = 6 // tag, length
)

// Field is a kind of number that a record may have of every scored token, float32 each. Its value is its tag in the file.
type Field uint16

const (
	Logps     Field = 1 // log-probs in nats
	Entropies Field = 2 // entropies in nats of the distributions that the tokens were scored by
)

// knownFields are those of this version of the program.
var knownFields = []Field{Logps, Entropies}

func (f Field) String() string {
	if f == Entropies {
		return "entropy"
	}
	return "log-prob"
}

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// sealed reports whether b ends in the checksum of what stands before it.
func sealed(b []byte) bool {
	n := len(b) - checksumSize
	return n >= 0 && checksum(b[:n]) == le.Uint32(b[n:])
}

// ErrNewer is wrapped by the error for a file of a later version of the format.
var ErrNewer = errors.New("a newer dpotrain wrote it")

// damage is the error for the record, or the header, at byte offset of a file.
type damage struct {
	path   string
	offset int64
}

func damaged(path string, offset int64) error { return &damage{path, offset} }

func (d *damage) Error() string {
	what := "record"
	if d.offset == 0 {
		what = "header"
	}
	return fmt.Sprintf(`%s: %s at byte %d is damaged; move the file away and run "dpotrain precompute-ref" again`, d.path, what, d.offset)
}

// encodeHeader returns the header of a new file.
func encodeHeader(fp Fingerprint, facts Facts) ([]byte, error) {
	text, err := json.Marshal(facts)
	if err != nil {
		return nil, err
	}
	if len(text) > maxFacts {
		return nil, fmt.Errorf("the facts about the reference take %d bytes, at most %d are possible; shorten the model's name", len(text), maxFacts)
	}
	b := append([]byte(nil), magic...)
	b = le.AppendUint32(b, formatVersion)
	b = append(b, fp[:]...)
	b = le.AppendUint32(b, uint32(len(text)))
	b = le.AppendUint32(b, checksum(b))
	b = append(b, text...)
	return le.AppendUint32(b, checksum(b)), nil
}

// readHeader reads the header of the first size bytes of f and returns where the records begin, or 0 if the header was never
// finished.
func readHeader(f *os.File, size int64) (fp Fingerprint, facts Facts, end int64, err error) {
	path := f.Name()
	b := make([]byte, min(size, headerHead))
	if _, err := f.ReadAt(b, 0); err != nil {
		return fp, facts, 0, err
	}
	written := bytes.TrimRight(b, "\x00")
	if !bytes.HasPrefix([]byte(magic), written[:min(len(written), len(magic))]) {
		return fp, facts, 0, fmt.Errorf("%s: not a reference cache; move the file away", path)
	}
	if len(b) >= 12 && le.Uint32(b[8:]) > formatVersion {
		return fp, facts, 0, fmt.Errorf("%s: format version %d, but this dpotrain reads version %d: %w; use that one or another ref_cache_dir", path, le.Uint32(b[8:]), formatVersion, ErrNewer)
	}
	if len(b) < headerHead || !sealed(b) {
		return fp, facts, 0, tornOrDamaged(f, 0, headerHead-1, size)
	}
	factsSize := le.Uint32(b[44:])
	if le.Uint32(b[8:]) != formatVersion || factsSize > maxFacts {
		return fp, facts, 0, damaged(path, 0)
	}
	end = headerHead + int64(factsSize) + checksumSize
	if end > size {
		return fp, facts, 0, nil
	}
	b = make([]byte, end)
	if _, err := f.ReadAt(b, 0); err != nil {
		return fp, facts, 0, err
	}
	if !sealed(b) {
		return fp, facts, 0, tornOrDamaged(f, 0, end, size)
	}
	if err := json.Unmarshal(b[headerHead:end-checksumSize], &facts); err != nil {
		return fp, facts, 0, damaged(path, 0)
	}
	return Fingerprint(b[12:44]), facts, end, nil
}

// appendRecord appends the record of a sequence to b: values are its numbers of each of the fields, as many of each.
func appendRecord(b []byte, k Key, fields []Field, values [][]float32) []byte {
	start := len(b)
	b = le.AppendUint32(b, uint32(recordSize(len(values[0]), len(fields))))
	b = append(b, k[:]...)
	b = le.AppendUint32(b, checksum(b[start:]))
	for i, f := range fields {
		b = le.AppendUint16(b, uint16(f))
		b = le.AppendUint32(b, uint32(4*len(values[i])))
		for _, v := range values[i] {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	}
	return le.AppendUint32(b, checksum(b[start:]))
}

// recordSize is the size in bytes of the record of a sequence with so many scored tokens and fields.
func recordSize(tokens, fields int) int {
	return recordHead + fields*(fieldHead+4*tokens) + checksumSize
}

// record is one record as scan meets it.
type record struct {
	key    Key
	offset int64  // of its first byte in the file
	size   int    // bytes
	fields []byte // valid until the next record
}

// values are the numbers of a field, four bytes each; nil if the record has none.
func (r record) values(f Field) []byte {
	b, _ := findField(r.fields, f)
	return b
}

// has reports whether the record has all of the fields.
func (r record) has(fields []Field) bool {
	return !slices.ContainsFunc(fields, func(f Field) bool { return r.values(f) == nil })
}

// sound reports whether the fields fill the record exactly, and those that are known are of whole numbers.
func (r record) sound() bool {
	return !slices.ContainsFunc(knownFields, func(f Field) bool {
		b, ok := findField(r.fields, f)
		return !ok || len(b)%4 != 0
	})
}

// scan reads the records of f from byte offset from, which must be the start of one, to byte size, and gives each to visit, whose error ends it. It returns
// where the last whole record ends; what lies between that and size is a torn tail. Memory is bounded by the largest record.
func scan(f *os.File, from, size int64, visit func(record) error) (end int64, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, from, size-from), 1<<20)
	buf := make([]byte, recordHead, 1<<12)
	for at := from; ; {
		if size-at < recordHead {
			return at, nil
		}
		buf = buf[:recordHead]
		if _, err := io.ReadFull(in, buf); err != nil {
			return at, cutShort(err)
		}
		if !sealed(buf) {
			return at, tornOrDamaged(f, at, at+recordHead-1, size)
		}
		n := int64(le.Uint32(buf))
		if n < minRecord || n > maxRecord {
			return at, damaged(f.Name(), at)
		}
		if n > size-at {
			return at, nil
		}
		buf = slices.Grow(buf, int(n)-recordHead)[:n]
		if _, err := io.ReadFull(in, buf[recordHead:]); err != nil {
			return at, cutShort(err)
		}
		if !sealed(buf) {
			return at, tornOrDamaged(f, at, at+n, size)
		}
		r := record{key: Key(buf[4:20]), offset: at, size: int(n), fields: buf[recordHead : n-checksumSize]}
		if !r.sound() {
			return at, damaged(f.Name(), at)
		}
		if err := visit(r); err != nil {
			return at, err
		}
		at += n
	}
}

// cutShort forgives the end of the file: a writer may have cut off a torn tail since its size was taken.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// tornOrDamaged judges a record or header at byte at that does not check: it is torn if from limit to size nothing but zero bytes
// stands, else damaged.
func tornOrDamaged(f *os.File, at, limit, size int64) error {
	end, err := dataEnd(f, at, size)
	if err == nil && end > limit {
		err = damaged(f.Name(), at)
	}
	return err
}

// dataEnd returns the end of the last byte between from and size that is not zero, or from.
func dataEnd(f *os.File, from, size int64) (int64, error) {
	in := io.NewSectionReader(f, from, size-from)
	buf := make([]byte, 1<<16)
	end := from
	for at := from; ; {
		n, err := in.Read(buf)
		if written := len(bytes.TrimRight(buf[:n], "\x00")); written > 0 {
			end = at + int64(written)
		}
		at += int64(n)
		if err == io.EOF {
			return end, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// findField returns the bytes of the first field of a kind that has any, nil if there is none, and whether the fields fill b exactly.
func findField(b []byte, f Field) (found []byte, ok bool) {
	for len(b) > 0 {
		if len(b) < fieldHead {
			return nil, false
		}
		n := le.Uint32(b[2:])
		if int64(n) > int64(len(b)-fieldHead) {
			return nil, false
		}
		body := b[fieldHead : fieldHead+int(n)]
		if Field(le.Uint16(b)) == f && found == nil && n > 0 {
			found = body
		}
		b = b[fieldHead+int(n):]
	}
	return found, true
}
