package rows

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// table are the rows of a CSV file with a header: objects whose values are all texts.
type table struct {
	in     *csv.Reader
	within *within
	names  [][]byte // of columns, each with quotes and a colon
	line   int      // of the last row
}

// separatorOf is what stands between the columns of a file of that ending, or of one whose header speaks of prompts or completions; 0
// if it is no table. Of comma, semicolon and tab it is the one that the header has most of.
func separatorOf(head []byte, ending string) rune {
	line, _, _ := bytes.Cut(bytes.TrimPrefix(head, byteOrderMark), []byte("\n"))
	if ending != ".csv" && ending != ".tsv" && (bytes.ContainsAny(line, "{[<") || !bytes.Contains(line, []byte("chosen")) && !bytes.Contains(line, []byte("prompt"))) {
		return 0
	}
	best, most := rune(0), 0
	for _, c := range []rune{',', ';', '\t'} {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	if best == 0 && ending == ".csv" && len(line) > 0 {
		best = ',' // of one column
	}
	return best
}

// newTable reads the header. Its errors begin with the line.
func newTable(in *bufio.Reader, separator rune) (*table, error) {
	if mark, _ := in.Peek(len(byteOrderMark)); bytes.Equal(mark, byteOrderMark) {
		in.Discard(len(mark))
	}
	t := &table{within: &within{in: in, left: MaxRow, separator: byte(separator), cells: maxCells}}
	t.in = csv.NewReader(t.within)
	t.in.Comma, t.in.ReuseRecord = separator, true
	header, err := t.in.Read()
	if err != nil {
		if err == io.EOF {
			return nil, errors.New(" no rows; want a header and a row a line")
		}
		var at *placeError
		if errors.As(t.wrong(err), &at) {
			return nil, at
		}
		return nil, fmt.Errorf(" %w", err)
	}
	seen := map[string]bool{}
	for _, name := range header {
		if seen[name] {
			return nil, fmt.Errorf("1: the header has two columns %.40q; rename one", name)
		}
		if !utf8.ValidString(name) {
			return nil, errors.New("1: invalid UTF-8; save the file as UTF-8")
		}
		seen[name] = true
		t.names = append(t.names, append(appendText(nil, name), ':'))
	}
	t.line = 1
	return t, nil
}

func (t *table) next() (Row, error) {
	t.within.left, t.within.cells = MaxRow, maxCells
	cells, err := t.in.Read()
	if err == io.EOF {
		return Row{}, err
	}
	short := errors.Is(err, csv.ErrFieldCount)
	if err != nil && !short {
		return Row{}, t.wrong(err)
	}
	t.line, _ = t.in.FieldPos(0)
	if short {
		return Row{Number: t.line, Err: fmt.Errorf("%d cells, and the header has %d; look for a separator or a quote too many", len(cells), len(t.names))}, nil
	}
	size := 2
	for i, c := range cells {
		size += len(t.names[i]) + len(c) + len(c)/8 + 3
	}
	text := append(make([]byte, 0, size), '{')
	for i, c := range cells {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendText(append(text, t.names[i]...), c)
	}
	return Row{Number: t.line, Text: append(text, '}')}, nil
}

// wrong is an error of package csv in our words.
func (t *table) wrong(err error) error {
	if errors.Is(err, errNotWithin) {
		return &placeError{t.line + 1, fmt.Errorf("no end of the row within %d bytes or %d cells; look for a quote that is not closed", MaxRow, maxCells)}
	}
	p, ok := errors.AsType[*csv.ParseError](err)
	if !ok {
		return err
	}
	if errors.Is(p.Err, csv.ErrBareQuote) {
		return &placeError{p.Line, fmt.Errorf("a quote inside of a cell, at byte %d of the line; put the cell in quotes, and double those inside of it", p.Column)}
	}
	return &placeError{p.StartLine, errors.New("a cell in quotes does not end as it should; close the quotes, and double those inside of it")}
}

// maxCells bounds the separators in a row, for each may be the end of a cell, which takes memory.
const maxCells = 1 << 20

// within reads on as long as there is something left to read of one row.
type within struct {
	in        io.Reader
	left      int
	separator byte
	cells     int // left, too
}

var errNotWithin = errors.New("too long")

func (w *within) Read(b []byte) (int, error) {
	if w.left <= 0 || w.cells <= 0 {
		return 0, errNotWithin
	}
	n, err := w.in.Read(b[:min(len(b), w.left)])
	w.left -= n
	w.cells -= bytes.Count(b[:n], []byte{w.separator})
	return n, err
}

// appendText appends a text as JSON has it. Bytes that are not UTF-8 stay as they are.
func appendText(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\t':
			b = append(b, '\\', 't')
		case '\r':
			b = append(b, '\\', 'r')
		default:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}
