// Package rows reads the rows of files, whatever the format: JSONL, a JSON list of objects, CSV with a header, or parquet, each plain
// or compressed with gzip or zstd.
//
// Find is given what a user names (a file, a folder, a pattern) and gives back files in order of name. Open reads one of them, and
// NewReader a stream: what comes out of Next is the text of a JSON object for every row, so that whoever reads rows knows nothing of
// formats. The format is told from the content; only a table of text has to be called .csv or .tsv, unless its header speaks of prompts.
//
// Files may be hostile: a row has at most MaxRow bytes, a compressed file must not come to hundreds of times its size, and all that
// a parquet file says of itself is checked before memory is taken for it (guard.go).
//
// To add a format: a type with next, its place in open, a row in the tables of rows_test.go, and docs/formats.md.
package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// MaxRow is the most bytes of a row; what is longer is no row.
const MaxRow = 16 << 20

const bufferSize = 1 << 20

// Row is a row of a file.
type Row struct {
	Number int    // of the line in which it begins, from 1; of a parquet file that of the row
	Text   []byte // a JSON object, if the file is as it should be
	Err    error  // the row cannot be read, though others can
}

// Reader reads the rows of a file in order.
type Reader struct {
	path   string
	rows   interface{ next() (Row, error) }
	file   *os.File // nil for a stream
	before fs.FileInfo
	read   *counter
	close  []func()
}

// Open begins to read a file. Errors name it.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	r := &Reader{path: path, file: f, close: []func(){func() { f.Close() }}}
	if r.before, err = f.Stat(); err == nil && r.before.IsDir() {
		err = fmt.Errorf("%s: a folder; %s", path, insteadOfFolder(path))
	}
	var in io.Reader = f
	if err == nil && r.regular() && r.before.Size() > 0 {
		in = io.LimitReader(f, r.before.Size()) // or there would be no end to a file that grows faster than it is read
	}
	if err == nil {
		err = r.open(in)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// NewReader begins to read a stream, such as standard input, under the name that errors have for it.
func NewReader(name string, in io.Reader) (*Reader, error) {
	r := &Reader{path: name}
	if err := r.open(in); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// open finds out what there is to read.
func (r *Reader) open(in io.Reader) error {
	r.read = &counter{in: in}
	plain := bufio.NewReaderSize(r.read, bufferSize)
	if _, err := plain.Peek(4); err != nil && err != io.EOF {
		return fmt.Errorf("%s:1: %w", r.path, err)
	}
	compressed := false
	if kind := compressionOf(plain); kind != nil {
		unpacked, err := kind(plain)
		if err != nil {
			return fmt.Errorf("%s: %w", r.path, damaged(err))
		}
		r.close = append(r.close, func() { unpacked.Close() })
		plain, compressed = bufio.NewReaderSize(&unpacker{in: unpacked, read: r.read}, bufferSize), true
		if _, err := plain.Peek(4); err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", r.path, err)
		}
	}
	head, _ := plain.Peek(min(plain.Buffered(), headSize)) // reads no more
	if bytes.HasPrefix(head, []byte(parquetMagic)) {
		return r.openParquet(plain, compressed)
	}
	if separator := separatorOf(head, Ending(r.path)); separator != 0 {
		t, err := newTable(plain, separator)
		if err != nil {
			return fmt.Errorf("%s:%w", r.path, err)
		}
		r.rows = t
		return nil
	}
	if what := foreign(head, r.path); what != "" {
		return fmt.Errorf("%s: %s", r.path, what)
	}
	if text := bytes.TrimLeft(bytes.TrimPrefix(head, byteOrderMark), " \t\r\n"); len(text) > 0 && text[0] == '[' {
		r.rows = newList(plain)
	} else {
		r.rows = &lines{in: plain}
	}
	return nil
}

// openParquet reads the file itself, or what comes out of a compressed file or a stream from a copy: parquet is not read from the
// beginning to the end.
func (r *Reader) openParquet(in io.Reader, compressed bool) error {
	f := r.file
	if compressed || !r.regular() {
		spool, remove, err := Spool(r.path, in)
		if err != nil {
			return err
		}
		r.close = append(r.close, remove)
		f = spool
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	p, err := newParquet(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", r.path, err)
	}
	r.rows = p
	r.close = append(r.close, p.close)
	return nil
}

// Next is the next row; io.EOF after the last. Other errors name the file, and there is no row after one.
func (r *Reader) Next() (Row, error) {
	row, err := r.rows.next()
	if err != nil && err != io.EOF {
		var at *placeError
		if errors.As(err, &at) {
			return row, fmt.Errorf("%s: %w", r.Place(at.number), at.err)
		}
		return row, fmt.Errorf("%s: %w", r.path, err)
	}
	return row, err
}

// placeError is an error of the row or line with a number.
type placeError struct {
	number int
	err    error
}

func (e *placeError) Error() string { return fmt.Sprintf("%d: %v", e.number, e.err) }
func (e *placeError) Unwrap() error { return e.err }

// ByRow says that rows are counted, for the file has no lines.
func (r *Reader) ByRow() bool { _, is := r.rows.(*parquetRows); return is }

// ByLine says that a row is a line.
func (r *Reader) ByLine() bool { _, is := r.rows.(*lines); return is }

// InList says that a row is an element of a list, whose rows may all stand in one line.
func (r *Reader) InList() bool { _, is := r.rows.(*list); return is }

// AllText says that every value is a text, for the format has no other.
func (r *Reader) AllText() bool { _, is := r.rows.(*table); return is }

// Place names a row in messages: pairs.jsonl:7, or pairs.parquet: row 7.
func (r *Reader) Place(number int) string { return Place(r.path, number, r.ByRow()) }

// Place is that of a Reader.
func Place(path string, number int, byRow bool) string {
	if byRow {
		return fmt.Sprintf("%s: row %d", path, number)
	}
	return fmt.Sprintf("%s:%d", path, number)
}

// Progress is how much of the file is read, in bytes; total is 0 if it is not known.
func (r *Reader) Progress() (done, total int64) {
	if r.before != nil {
		total = r.before.Size()
	}
	if p, is := r.rows.(*parquetRows); is {
		return int64(p.share() * float64(total)), total
	}
	return r.read.n, total
}

// regular says that the file's size and time say something; those of a pipe do not.
func (r *Reader) regular() bool { return r.before != nil && r.before.Mode().IsRegular() }

// Changed is an error if the file was changed since it was opened. A line that is cut off by a change looks like a bad row: the change
// is the error to tell.
func (r *Reader) Changed() error {
	if !r.regular() {
		return nil
	}
	after, err := r.file.Stat()
	if err != nil {
		return err
	}
	if after.Size() != r.before.Size() || !after.ModTime().Equal(r.before.ModTime()) {
		return fmt.Errorf("%s: changed while it was read (%d bytes before, %d after); start again when it is written", r.path, r.before.Size(), after.Size())
	}
	return nil
}

// Close gives back what the reader holds.
func (r *Reader) Close() {
	for i := len(r.close) - 1; i >= 0; i-- {
		r.close[i]()
	}
	r.close = nil
}

// counter counts what is read.
type counter struct {
	in io.Reader
	n  int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.n += int64(n)
	return n, err
}
