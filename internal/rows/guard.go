package rows

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// The parquet library believes what files say: it takes memory for the sizes and counts that stand in them. Here they are held against
// limits, and against what really comes out, before the library sees a row group.

const (
	maxFooter     = 16 << 20 // bytes
	maxPage       = 32 << 20 // bytes of a page, packed or not
	maxPageValues = 4 << 20
	maxPages      = 128 << 20 // bytes of the largest pages of all columns together
	maxPageHeader = 64 << 10
	maxGroups     = 64 // in each other
	bytesValue    = 9  // of a value while its page is read: two levels, an offset or index
)

// checkFooter looks over the end of a parquet file, which says where everything is.
func checkFooter(r io.ReaderAt, size int64) error {
	const tail = 8 // length and magic
	var b [tail]byte
	if size < tail+4 {
		return errors.New("a parquet file that is cut off; get it again")
	}
	if _, err := r.ReadAt(b[:], size-tail); err != nil {
		return err
	}
	n := int64(binary.LittleEndian.Uint32(b[:]))
	switch {
	case string(b[4:]) == "PARE":
		return errors.New("an encrypted parquet file; write it without encryption")
	case string(b[4:]) != parquetMagic, n > size-tail-4:
		return errors.New("a parquet file that is cut off or damaged; get it again")
	case n > maxFooter:
		return fmt.Errorf("a parquet file that says %d bytes of itself, more than %d; it is damaged, or write it with larger row groups", n, maxFooter)
	}
	footer := make([]byte, n)
	if _, err := r.ReadAt(footer, size-tail-n); err != nil {
		return err
	}
	if _, err := skimStruct(footer); err != nil {
		return err
	}
	var meta struct {
		Schema []format.SchemaElement `thrift:"2,required"`
	}
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, footer, &meta); err != nil {
		return errThrift
	}
	return checkSchema(meta.Schema)
}

// checkSchema bounds the groups within groups of a schema: the library keeps the names above it with every group.
func checkSchema(elements []format.SchemaElement) error {
	var left []int32 // of the open groups: elements that are still to come
	for _, e := range elements {
		for len(left) > 0 && left[len(left)-1] == 0 {
			left = left[:len(left)-1]
		}
		if len(left) > 0 {
			left[len(left)-1]--
		}
		if left = append(left, max(e.NumChildren.V, 0)); len(left) > maxGroups {
			return fmt.Errorf("columns within more than %d groups; leave them out", maxGroups)
		}
	}
	return nil
}

// plainDictionary is what data pages of the first version call RLEDictionary.
const plainDictionary format.Encoding = 2

// guard checks the pages of row groups.
type guard struct {
	file      io.ReaderAt
	size      int64
	page, raw []byte // of the page at hand, as it is in the file and unpacked
	unzstd    *zstd.Decoder
}

// check looks over the pages of a row group.
func (g *guard) check(group *format.RowGroup, leaves []*parquet.Column) error {
	if len(group.Columns) != len(leaves) {
		return errThrift
	}
	var sum int64
	for i := range group.Columns {
		m := &group.Columns[i].MetaData
		from := m.DataPageOffset
		if d := m.DictionaryPageOffset; d != 0 {
			from = d
		}
		if group.Columns[i].FilePath != "" {
			return fmt.Errorf("column %s lies in another file; write all columns into one", name(leaves[i]))
		}
		if from < 4 || m.TotalCompressedSize < 0 || from > g.size || m.TotalCompressedSize > g.size-from {
			return fmt.Errorf("column %s is said to lie outside of the file; it is damaged, get it again", name(leaves[i]))
		}
		largest, err := g.column(io.NewSectionReader(g.file, from, m.TotalCompressedSize), m.Codec, leaves[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", name(leaves[i]), err)
		}
		if sum += largest; sum > maxPages {
			return fmt.Errorf("the pages of a row group take more than %d MiB together; write the file with smaller pages (data_page_size, or fewer columns)", maxPages>>20)
		}
	}
	return nil
}

// column looks over the pages of a column, and returns what the largest takes in memory.
func (g *guard) column(chunk *io.SectionReader, codec format.CompressionCodec, leaf *parquet.Column) (largest int64, err error) {
	in := bufio.NewReaderSize(chunk, maxPageHeader)
	dictionary := int64(0)
	for {
		head, err := in.Peek(maxPageHeader)
		if len(head) == 0 && err == io.EOF {
			return largest + dictionary, nil
		}
		if err != nil && err != io.EOF {
			return 0, err
		}
		n, err := skimStruct(head)
		if err != nil {
			return 0, err
		}
		var h format.PageHeader
		if err := thrift.Unmarshal(&thrift.CompactProtocol{}, head[:n], &h); err != nil {
			return 0, errThrift
		}
		in.Discard(n)
		values := max(h.DataPageHeader.V.NumValues, h.DictionaryPageHeader.V.NumValues, h.DataPageHeaderV2.V.NumValues)
		switch {
		case h.CompressedPageSize < 0 || h.UncompressedPageSize < 0 || values < 0:
			return 0, errThrift
		case h.CompressedPageSize > maxPage || h.UncompressedPageSize > maxPage:
			return 0, fmt.Errorf("a page of %d bytes, more than %d; the file is damaged, or write it with smaller pages (data_page_size)", max(h.CompressedPageSize, h.UncompressedPageSize), maxPage)
		case values > maxPageValues:
			return 0, fmt.Errorf("a page of %d values, more than %d; the file is damaged, or write it with smaller row groups (row_group_size)", values, maxPageValues)
		}
		g.page = resized(g.page, int(h.CompressedPageSize))
		if _, err := io.ReadFull(in, g.page); err != nil {
			return 0, errors.New("a page is cut off; the file is damaged, get it again")
		}
		if err := g.content(&h, codec, leaf); err != nil {
			return 0, err
		}
		takes := int64(h.CompressedPageSize) + int64(h.UncompressedPageSize) + bytesValue*int64(values)
		if h.Type == format.DictionaryPage {
			dictionary += takes
		} else {
			largest = max(largest, takes)
		}
	}
}

// content unpacks the page at hand and checks that no more values come out of it than it has.
func (g *guard) content(h *format.PageHeader, codec format.CompressionCodec, leaf *parquet.Column) error {
	page := g.page
	values, encoding := int(h.DataPageHeader.V.NumValues), h.DataPageHeader.V.Encoding
	var levels []part
	if h.Type == format.DataPageV2 {
		v2 := &h.DataPageHeaderV2.V
		values, encoding = int(v2.NumValues), v2.Encoding
		rep, def := int(v2.RepetitionLevelsByteLength), int(v2.DefinitionLevelsByteLength)
		if rep < 0 || def < 0 || rep > len(page) || def > len(page)-rep || v2.NumNulls < 0 || int(v2.NumNulls) > values {
			return errThrift
		}
		levels = []part{{page[:rep], leaf.MaxRepetitionLevel()}, {page[rep : rep+def], leaf.MaxDefinitionLevel()}}
		page = page[rep+def:]
		if v2.IsCompressed.Valid && !v2.IsCompressed.V {
			codec = format.Uncompressed
		}
	}
	if h.Type == format.DictionaryPage {
		values, encoding = int(h.DictionaryPageHeader.V.NumValues), format.Plain
	}
	page, err := g.unpack(page, codec)
	if err != nil {
		return err
	}
	if h.Type == format.DataPage {
		for _, most := range []int{leaf.MaxRepetitionLevel(), leaf.MaxDefinitionLevel()} {
			if most == 0 {
				continue
			}
			if len(page) < 4 || int64(binary.LittleEndian.Uint32(page)) > int64(len(page)-4) {
				return errThrift
			}
			n := int(binary.LittleEndian.Uint32(page))
			levels = append(levels, part{page[4 : 4+n], most})
			page = page[4+n:]
		}
		if e := h.DataPageHeader.V; len(levels) > 0 && (e.DefinitionLevelEncoding != format.RLE || leaf.MaxRepetitionLevel() > 0 && e.RepetitionLevelEncoding != format.RLE) {
			return errors.New("levels in an encoding that is not used any more; write the file again with a newer program")
		}
	}
	for _, l := range levels {
		if !runsWithin(l.bytes, bitsOf(l.most), values) {
			return errThrift
		}
	}
	sound := true
	switch encoding {
	case format.Plain, format.ByteStreamSplit:
	case plainDictionary, format.RLEDictionary:
		sound = len(page) == 0 || page[0] <= 32 && runsWithin(page[1:], int(page[0]), values)
	case format.RLE: // truth values
		sound = len(page) >= 4 && runsWithin(page[4:], 1, values)
	case format.DeltaBinaryPacked, format.DeltaLengthByteArray:
		d := skim{b: page}
		for range 2 { // the sizes of blocks
			if _, err := d.varint(); err != nil {
				return err
			}
		}
		n, err := d.varint()
		sound = err == nil && n <= uint64(values)
	default:
		return fmt.Errorf("a page in encoding %s, which is not read; write the file without it", encoding)
	}
	if !sound {
		return errThrift
	}
	return nil
}

// part are levels of at most most.
type part struct {
	bytes []byte
	most  int
}

func bitsOf(most int) (n int) {
	for ; most > 0; most >>= 1 {
		n++
	}
	return n
}

// runsWithin says that runs of equal or packed values of so many bits are no more than values, but for what the last is filled up with.
func runsWithin(b []byte, bits, values int) bool {
	const padding = 512
	left := int64(values) + padding
	for len(b) > 0 {
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return false
		}
		b = b[n:]
		count, size := u>>1, uint64(bits+7)/8
		if count > maxPageValues+padding {
			return false
		}
		if u&1 != 0 { // in groups of eight
			size = count * uint64(bits)
			count *= 8
		}
		if left -= int64(count); left < 0 {
			return false
		}
		b = b[min(size, uint64(len(b))):]
	}
	return true
}

// unpack is a page unpacked, of at most maxPage bytes.
func (g *guard) unpack(page []byte, codec format.CompressionCodec) ([]byte, error) {
	if len(page) == 0 {
		return page, nil
	}
	var err error
	large := false
	switch codec {
	case format.Uncompressed:
		return page, nil
	case format.Snappy:
		var n int
		if n, err = snappy.DecodedLen(page); err != nil {
			break
		}
		if large = n > maxPage; !large {
			g.raw = resized(g.raw, n)
			g.raw, err = snappy.Decode(g.raw, page)
		}
	case format.Gzip:
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(page)); err != nil {
			break
		}
		out := bytes.NewBuffer(g.raw[:0])
		_, err = io.Copy(out, io.LimitReader(z, maxPage+1))
		g.raw = out.Bytes()
		large = len(g.raw) > maxPage
	case format.Zstd:
		if g.unzstd == nil {
			if g.unzstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderMaxWindow(maxPage)); err != nil {
				return nil, err
			}
		}
		g.raw, err = g.unzstd.DecodeAll(page, g.raw[:0])
		large = errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded)
	default:
		return nil, fmt.Errorf("compressed with %s, which is not read; write the file with zstd, snappy or gzip", codec)
	}
	if large {
		return nil, fmt.Errorf("a page of more than %d bytes; the file is damaged, or write it with smaller pages (data_page_size)", maxPage)
	}
	if err != nil {
		return nil, errors.New("a page is damaged; get the file again")
	}
	return g.raw, nil
}

func (g *guard) close() {
	if g.unzstd != nil {
		g.unzstd.Close()
	}
}

func resized(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}
