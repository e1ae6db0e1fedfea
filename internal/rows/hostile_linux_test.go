package rows

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"dpotrain/internal/testfiles"
)

// endless is a text followed by another over and over.
type endless struct {
	first, again []byte
	at           int
}

func (e *endless) Read(b []byte) (n int, err error) {
	for n < len(b) {
		if len(e.first) > 0 {
			k := copy(b[n:], e.first)
			e.first, n = e.first[k:], n+k
			continue
		}
		k := copy(b[n:], e.again[e.at:])
		e.at, n = (e.at+k)%len(e.again), n+k
	}
	return n, nil
}

func repeated(first, again string) io.Reader {
	return &endless{first: []byte(first), again: []byte(strings.Repeat(again, 1+(1<<16)/len(again)))}
}

// bomb is an endless compressed file, made of packed pieces of the same.
func bomb(pack func([]byte) []byte, again string) io.Reader {
	piece := pack(bytes.Repeat([]byte(again), (8<<20)/len(again)))
	return &endless{first: piece, again: piece}
}

// lying is a parquet file of which what it says of itself was changed.
func lying(change func(*format.FileMetaData)) io.Reader {
	type row struct{ A, B string }
	var b bytes.Buffer
	w := parquet.NewGenericWriter[row](&b)
	w.Write([]row{{"a", "b"}, {"c", "d"}})
	w.Close()
	text := b.Bytes()
	at := len(text) - 8 - int(binary.LittleEndian.Uint32(text[len(text)-8:]))
	var meta format.FileMetaData
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, text[at:len(text)-8], &meta); err != nil {
		panic(err)
	}
	change(&meta)
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, &meta)
	if err != nil {
		panic(err)
	}
	return parquetOf(text[4:at], footer)
}

// parquetOf is a file of pages and a footer.
func parquetOf(pages, footer []byte) io.Reader {
	text := append([]byte(parquetMagic), pages...)
	text = append(text, footer...)
	text = binary.LittleEndian.AppendUint32(text, uint32(len(footer)))
	return bytes.NewReader(append(text, parquetMagic...))
}

// page is a parquet file of one column, whose only page has that header and content; packed as codec says.
func page(h format.PageHeader, content []byte, codec format.CompressionCodec) io.Reader {
	h.CompressedPageSize = int32(len(content))
	head, err := thrift.Marshal(&thrift.CompactProtocol{}, &h)
	if err != nil {
		panic(err)
	}
	size := int64(len(head) + len(content))
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, &format.FileMetaData{Version: 1, NumRows: 1,
		Schema: []format.SchemaElement{
			{Name: "root", NumChildren: thrift.New[int32](1)},
			{Name: "a", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(format.Optional)},
		},
		RowGroups: []format.RowGroup{{NumRows: 1, TotalByteSize: size, Columns: []format.ColumnChunk{{MetaData: format.ColumnMetaData{
			Type: format.ByteArray, Encoding: []format.Encoding{format.Plain, format.RLEDictionary}, PathInSchema: []string{"a"}, Codec: codec, NumValues: 1,
			TotalUncompressedSize: size, TotalCompressedSize: size, DataPageOffset: 4}}}}}})
	if err != nil {
		panic(err)
	}
	return parquetOf(append(head, content...), footer)
}

// schema is a parquet file of such a schema, without rows.
func schema(elements ...format.SchemaElement) io.Reader {
	footer, err := thrift.Marshal(&thrift.CompactProtocol{}, &format.FileMetaData{Version: 1, Schema: elements})
	if err != nil {
		panic(err)
	}
	return parquetOf(nil, footer)
}

// nested is a column within so many groups.
func nested(groups int, kind format.FieldRepetitionType) []format.SchemaElement {
	elements := []format.SchemaElement{{Name: "root", NumChildren: thrift.New[int32](1)}}
	for range groups {
		elements = append(elements, format.SchemaElement{Name: "g", NumChildren: thrift.New[int32](1), RepetitionType: thrift.New(kind)})
	}
	return append(elements, format.SchemaElement{Name: "a", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(format.Optional)})
}

// dataPage is the header of a page of so many values.
func dataPage(values, size int32, encoding format.Encoding) format.PageHeader {
	return format.PageHeader{Type: format.DataPage, UncompressedPageSize: size, DataPageHeader: thrift.New(format.DataPageHeader{
		NumValues: values, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE})}
}

const (
	wantList    = "what the file says of itself cannot be read; the file is damaged, get it again"
	wantOutside = `column "A" is said to lie outside of the file; it is damaged, get it again`
	wantRatio   = "more than 200 bytes come out of each that is in the compressed file, and text is not like that; if the file is your own, unpack it first"
)

var hostile = []struct {
	what, name string
	in         func() io.Reader
	want       string // behind the name
}{
	{"a line without end", "x.jsonl", func() io.Reader { return repeated(`{"prompt":"`, "a") }, ":1: the line has more than 16777216 bytes; want one row a line"},
	{"lists without end", "x.json", func() io.Reader { return repeated("[", "[") }, ":1: the row has more than 16777216 bytes; want a list of objects"},
	{"a row of a list without end", "x.json", func() io.Reader { return repeated(`[{"a":1}, {"b":"`, "x\n") }, ":1: the row has more than 16777216 bytes; want a list of objects"},
	{"a cell in quotes without end", "x.csv", func() io.Reader { return repeated("a,b\n1,2\n1,\"", "x,y\n") },
		":3: no end of the row within 16777216 bytes or 1048576 cells; look for a quote that is not closed"},
	{"a CSV header without end", "x.csv", func() io.Reader { return repeated("prompt,", "a,") }, ":1: no end of the row within 16777216 bytes or 1048576 cells; look for a quote that is not closed"},
	{"gzip: a line", "x.jsonl.gz", func() io.Reader { return bomb(gzipped, "a") }, ":1: the line has more than 16777216 bytes; want one row a line"},
	{"gzip: blank lines", "x.jsonl.gz", func() io.Reader { return bomb(gzipped, "\n") }, ": " + wantRatio},
	{"zstd: a line", "x.jsonl.zst", func() io.Reader { return bomb(zstded, "a") }, ":1: the line has more than 16777216 bytes; want one row a line"},
	{"zstd: rows", "x.jsonl.zst", func() io.Reader { return bomb(zstded, "{\"prompt\":\"a\"}\n") }, ": " + wantRatio},
	{"zstd: a parquet file", "x.parquet.zst", func() io.Reader { return bomb(zstded, parquetMagic) }, ": " + wantRatio},
	{"zstd: a large window", "x.jsonl.zst", func() io.Reader { return strings.NewReader("\x28\xb5\x2f\xfd\x00\xa0" + strings.Repeat("\x00", 64)) },
		": compressed with zstd so that unpacking takes more than 32 MiB; unpack it first, or compress it without --ultra and --long"},
	{"parquet: a schema of 2147483647 columns", "x.parquet", func() io.Reader { return parquetOf(nil, []byte{0x29, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0x00}) }, ": " + wantList},
	{"parquet: ten million empty row groups", "x.parquet", func() io.Reader {
		return parquetOf(nil, append(append([]byte{0x49, 0xfc}, binary.AppendUvarint(nil, 10<<20)...), make([]byte, 11<<20)...))
	}, ": the file claims to have more parts than memory holds; it is damaged, or write it with larger row groups"},
	{"parquet: a name without end", "x.parquet", func() io.Reader { return parquetOf(nil, []byte{0x68, 0xff, 0xff, 0xff, 0xff, 0x07}) }, ": " + wantList},
	{"parquet: structs in structs", "x.parquet", func() io.Reader { return parquetOf(nil, bytes.Repeat([]byte{0x1c}, 1<<20)) }, ": " + wantList},
	{"parquet: a column beyond the file", "x.parquet", func() io.Reader {
		return lying(func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.TotalCompressedSize = 1 << 60 })
	}, ": " + wantOutside},
	{"parquet: a column before the file", "x.parquet", func() io.Reader {
		return lying(func(m *format.FileMetaData) { m.RowGroups[0].Columns[0].MetaData.DataPageOffset = -9 })
	}, ": " + wantOutside},
	{"parquet: more rows than there are", "x.parquet", func() io.Reader { return lying(func(m *format.FileMetaData) { m.RowGroups[0].NumRows = 1 << 30 }) },
		`: row 3: column "A": fewer rows than the file claims to have; it is damaged, get it again`},
	{"parquet: fewer than no rows", "x.parquet", func() io.Reader { return lying(func(m *format.FileMetaData) { m.RowGroups[0].NumRows = -1 }) }, ": " + wantList},
	{"parquet: a column in another file", "x.parquet", func() io.Reader {
		return lying(func(m *format.FileMetaData) { m.RowGroups[0].Columns[1].FilePath = "/etc/passwd" })
	}, `: column "B" lies in another file; write all columns into one`},
	{"parquet: a codec that is not read", "x.parquet", func() io.Reader { return page(dataPage(1, 10, format.Plain), make([]byte, 10), format.Brotli) },
		`: column "a": compressed with BROTLI, which is not read; write the file with zstd, snappy or gzip`},
	{"parquet: a page of two billion values", "x.parquet", func() io.Reader {
		return page(dataPage(1<<31-1, 10, format.Plain), make([]byte, 10), format.Uncompressed)
	},
		`: column "a": a page of 2147483647 values, more than 4194304; the file is damaged, or write it with smaller row groups (row_group_size)`},
	{"parquet: a page of two gigabytes", "x.parquet", func() io.Reader { return page(dataPage(1, 1<<31-1, format.Plain), make([]byte, 10), format.Snappy) },
		`: column "a": a page of 2147483647 bytes, more than 33554432; the file is damaged, or write it with smaller pages (data_page_size)`},
	{"parquet: snappy of four gigabytes", "x.parquet", func() io.Reader {
		return page(dataPage(1, 10, format.Plain), []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0}, format.Snappy)
	},
		`: column "a": a page of more than 33554432 bytes; the file is damaged, or write it with smaller pages (data_page_size)`},
	{"parquet: a gzip bomb", "x.parquet", func() io.Reader {
		return page(dataPage(1, 10, format.Plain), gzipped(make([]byte, 256<<20)), format.Gzip)
	},
		`: column "a": a page of more than 33554432 bytes; the file is damaged, or write it with smaller pages (data_page_size)`},
	{"parquet: a zstd bomb", "x.parquet", func() io.Reader {
		return page(dataPage(1, 10, format.Plain), zstded(make([]byte, 256<<20)), format.Zstd)
	},
		`: column "a": a page of more than 33554432 bytes; the file is damaged, or write it with smaller pages (data_page_size)`},
	{"parquet: levels of two billion values in a run", "x.parquet", func() io.Reader {
		return page(dataPage(1, 20, format.Plain), append([]byte{6, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1}, make([]byte, 10)...), format.Uncompressed)
	}, `: column "a": ` + wantList},
	{"parquet: indexes of two billion values in a run", "x.parquet", func() io.Reader {
		return page(dataPage(1, 20, format.RLEDictionary), []byte{2, 0, 0, 0, 2, 1, 8, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0}, format.Uncompressed)
	}, `: column "a": ` + wantList},
	{"parquet: lengths of two billion values", "x.parquet", func() io.Reader {
		return page(dataPage(1, 20, format.DeltaLengthByteArray), []byte{2, 0, 0, 0, 2, 1, 0x80, 1, 4, 0xff, 0xff, 0xff, 0xff, 0x07, 0}, format.Uncompressed)
	}, `: column "a": ` + wantList},
	{"parquet: an index beyond the dictionary", "x.parquet", func() io.Reader {
		return page(dataPage(1, 9, format.RLEDictionary), []byte{2, 0, 0, 0, 2, 1, 8, 2, 5}, format.Uncompressed)
	}, `: row 1: column "a": a page is damaged; get the file again`},
	{"parquet: a dictionary of two billion values", "x.parquet", func() io.Reader {
		return page(format.PageHeader{Type: format.DictionaryPage, UncompressedPageSize: 9, DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: 1<<31 - 1})},
			make([]byte, 9), format.Uncompressed)
	}, `: column "a": a page of 2147483647 values, more than 4194304; the file is damaged, or write it with smaller row groups (row_group_size)`},
	{"parquet: a page with levels of two gigabytes", "x.parquet", func() io.Reader {
		return page(format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: 9, DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 1, NumRows: 1,
			Encoding: format.Plain, DefinitionLevelsByteLength: 1<<31 - 1})}, make([]byte, 9), format.Uncompressed)
	}, `: column "a": ` + wantList},
	{"parquet: a page with levels of less than no bytes", "x.parquet", func() io.Reader {
		return page(format.PageHeader{Type: format.DataPageV2, UncompressedPageSize: 9, DataPageHeaderV2: thrift.New(format.DataPageHeaderV2{NumValues: 1, NumRows: 1,
			Encoding: format.Plain, DefinitionLevelsByteLength: -5, RepetitionLevelsByteLength: 5})}, make([]byte, 9), format.Uncompressed)
	}, `: column "a": ` + wantList},
	{"parquet: a page of no kind", "x.parquet", func() io.Reader {
		return page(format.PageHeader{Type: 99, UncompressedPageSize: 9}, make([]byte, 9), format.Uncompressed)
	}, `: row 1: column "a": a page is damaged; get the file again`},
	{"parquet: a text of two gigabytes", "x.parquet", func() io.Reader {
		return page(dataPage(1, 10, format.Plain), []byte{2, 0, 0, 0, 2, 1, 0xff, 0xff, 0xff, 0x7f}, format.Uncompressed)
	}, `: row 1: column "a": a page is damaged; get the file again`},
	{"parquet: groups in groups", "x.parquet", func() io.Reader { return schema(nested(10_000, format.Optional)...) }, `: columns within more than 64 groups; leave them out`},
	{"parquet: lists in lists", "x.parquet", func() io.Reader { return schema(nested(200, format.Repeated)...) }, `: columns within more than 64 groups; leave them out`},
	{"parquet: a group of more columns than there are", "x.parquet", func() io.Reader {
		return schema(format.SchemaElement{Name: "root", NumChildren: thrift.New[int32](1<<31 - 1)})
	}, ": " + wantList},
	{"parquet: a group of less than no columns", "x.parquet", func() io.Reader {
		return schema(format.SchemaElement{Name: "root", NumChildren: thrift.New[int32](-1)})
	}, `: a page is damaged; get the file again`},
	{"parquet: rows of nothing", "x.parquet", func() io.Reader {
		return lying(func(m *format.FileMetaData) {
			m.Schema, m.NumRows = m.Schema[:1], 1<<60
			m.Schema[0].NumChildren = thrift.New[int32](0)
			m.RowGroups[0].Columns, m.RowGroups[0].NumRows = nil, 1<<60
		})
	}, ": " + wantList},
	{"parquet: a footer of four gigabytes", "x.parquet", func() io.Reader { return strings.NewReader(parquetMagic + "\x00\x00\xff\xff\xff\xff" + parquetMagic) }, `: a parquet file that is cut off or damaged; get it again`},
	{"parquet: a column twice", "x.parquet", func() io.Reader {
		return lying(func(m *format.FileMetaData) {
			m.RowGroups[0].Columns = append(m.RowGroups[0].Columns, m.RowGroups[0].Columns...)
		})
	}, ": " + wantList},
	{"parquet: a group without columns", "x.parquet", func() io.Reader { return lying(func(m *format.FileMetaData) { m.RowGroups[0].Columns = nil }) }, ": " + wantList},
	{"a row of lists in lists", "x.jsonl", func() io.Reader { return repeated(`{"a":`, "[") }, ":1: the line has more than 16777216 bytes; want one row a line"},
	{"rows of a list in lists", "x.json", func() io.Reader { return repeated("[{\"a\":", "[") }, ":1: the row has more than 16777216 bytes; want a list of objects"},
	{"gzip: a gzip bomb in a gzip bomb", "x.jsonl.gz", func() io.Reader { return bytes.NewReader(gzipped(gzipped(make([]byte, 512<<20)))) }, `: compressed twice; unpack it first (gunzip)`},
}

const hostileVariable = "DPOTRAIN_HOSTILE_ROWS"

// TestHostile reads each hostile file in a process of its own: an error within seconds and within 200 MB.
func TestHostile(t *testing.T) {
	if which := os.Getenv(hostileVariable); which != "" {
		for _, h := range hostile {
			if h.what == which {
				testfiles.Say(readStream(h.name, h.in()))
			}
		}
		return
	}
	if testing.Short() {
		t.Skip("starts a process for each file")
	}
	for _, h := range hostile {
		t.Run(h.what, func(t *testing.T) {
			said := testfiles.Bounds{Time: 20 * time.Second, Megabytes: 200}.Bounded(t, "TestHostile", hostileVariable+"="+h.what, "TMPDIR="+t.TempDir())
			// In which row a stream of bytes becomes too much for its size depends on how far it was read ahead.
			if want := h.name + h.want; said != want && !(strings.HasSuffix(h.want, wantRatio) && strings.HasSuffix(said, wantRatio)) {
				t.Errorf("\ngot  %s\nwant %s", said, want)
			}
		})
	}
}

// readStream reads rows until the error.
func readStream(name string, in io.Reader) error {
	r, err := NewReader(name, in)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		if _, err := r.Next(); err != nil {
			return err
		}
	}
}
