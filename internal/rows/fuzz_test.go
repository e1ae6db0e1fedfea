package rows

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// FuzzRead reads any bytes as a file of any name. It never panics and takes no memory that the bytes do not have; whatever is read is
// within its bounds, and what comes out of parquet and CSV is JSON.
func FuzzRead(f *testing.F) {
	names := []string{"x.jsonl", "x.json", "x.csv", "x.tsv", "x.parquet"}
	for i, s := range []string{
		"{\"a\":1}\n\n{\"b\":2}", "\ufeff[{\"a\":\"]\\\"\"},\n{}]", "a,\"b\"\"\"\n1,2\n\"\n\",\xff\n", "a\tb\n1\t\n", "x;prompt\n;\n", "[1,]", "[", "",
		"PAR1PAR1", "PAR1\x15\x04\x00\x00\x00\x00PAR1", "BZh91", "\x1f\x8b", "<html>",
	} {
		for _, packed := range [][]byte{[]byte(s), gzipped([]byte(s)), zstded([]byte(s))} {
			f.Add(packed, uint8(i))
		}
	}
	files, err := filepath.Glob(filepath.Join(testfiles.Path(f, "rows"), "*.parquet"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content, uint8(4))
	}
	f.Fuzz(func(t *testing.T, content []byte, name uint8) {
		path := names[int(name)%len(names)]
		r, err := NewReader(path, bytes.NewReader(content))
		if err != nil {
			if !strings.HasPrefix(err.Error(), path+":") {
				t.Errorf("error without a place: %v", err)
			}
			return
		}
		defer r.Close()
		rows, err := all(r)
		if err != nil && !strings.HasPrefix(err.Error(), path+":") {
			t.Errorf("error without a place: %v", err)
		}
		last := 0
		for _, row := range rows {
			if row.Number < last || row.Number < 1 || len(row.Text) > MaxRow || (row.Err == nil) == (len(row.Text) == 0) {
				t.Fatalf("row %d after %d, %d bytes, error %v", row.Number, last, len(row.Text), row.Err)
			}
			last = row.Number
			if (r.ByRow() || r.AllText()) && row.Err == nil && !json.Valid(row.Text) {
				t.Fatalf("not JSON: %q", row.Text)
			}
		}
	})
}

// FuzzThrift goes over any bytes as a struct: no panic, and no more memory is allowed for than the bound.
func FuzzThrift(f *testing.F) {
	for _, s := range []string{"\x00", "\x15\x02\x19\x1c\x00\x00", "\x29\xfc\xff\xff\xff\xff\x07", "\x18\x03abc\x00", "\x1c\x1c\x1c\x00\x00\x00\x00", "\x27\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := skimStruct(b); n > len(b) || err == nil && (n == 0 || b[n-1] != 0) {
			t.Errorf("%d of %d bytes, error %v", n, len(b), err)
		}
	})
}
