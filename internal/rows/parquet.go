package rows

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

const (
	parquetMagic = "PAR1"
	maxColumns   = 4096 // that hold values
	maxDepth     = 32   // of columns in columns
	maxRowValues = 1 << 20
	valuesRead   = 256 // at a time
)

// parquetRows are the rows of a parquet file, each written as the JSON that would be read as the same row: lists are lists, groups and
// maps are objects, null is null.
type parquetRows struct {
	file   *parquet.File
	guard  guard
	row    shape   // an object of the file's columns
	leaves []*leaf // in the order of the file
	group  int     // the next one
	left   int64   // rows of the group at hand
	number int     // of the last row
	all    int64
}

// shape is what the values of a column become. All levels are those of the parquet format: a value is there from a definition level
// on, and an element whose repetition level is that of a list goes on with it.
type shape struct {
	kind   kind
	null   int     // definition level below which it is null
	leaves []*leaf // at or below the column
	some   int     // of a list or map: definition level from which there is an element
	repeat int     // likewise: repetition level of further elements
	name   []byte  // in an object, with quotes and a colon
	parts  []shape // of an object its fields, of a list its element, of a map key and value
	text   func([]byte, parquet.Value) []byte
}

type kind int

const (
	single kind = iota
	object
	listOf
	mapOf
)

// leaf reads the values of a column that holds some.
type leaf struct {
	column *parquet.Column
	pages  parquet.Pages
	values parquet.ValueReader // of the page at hand
	buffer []parquet.Value
	ahead  []parquet.Value // of buffer, not yet taken into a row
	row    []parquet.Value
	at     int // in row
}

var (
	errPage   = errors.New("a page is damaged; get the file again")
	errLevels = errors.New("the columns of a row do not fit together; the file is damaged, get it again")
)

func name(c *parquet.Column) string { return fmt.Sprintf("%.60q", strings.Join(c.Path(), ".")) }

// recovered turns a panic into an error. The library has some for files that are not as they should be.
func recovered(err *error) {
	if recover() != nil {
		*err = errPage
	}
}

func newParquet(r io.ReaderAt, size int64) (p *parquetRows, err error) {
	defer recovered(&err)
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, errThrift
	}
	p = &parquetRows{file: f, guard: guard{file: r, size: size}}
	for _, g := range f.Metadata().RowGroups {
		if g.NumRows < 0 || g.NumRows > math.MaxInt32 {
			return nil, errThrift
		}
		p.all += g.NumRows
	}
	if p.row, err = p.content(f.Root(), 0); err != nil {
		return nil, err
	}
	return p, nil
}

// shape is that of a column and of all below it.
func (p *parquetRows) shape(c *parquet.Column, depth int) (shape, error) {
	s, err := p.content(c, depth)
	if err == nil && c.Repeated() {
		s = shape{kind: listOf, some: c.MaxDefinitionLevel(), repeat: c.MaxRepetitionLevel(), parts: []shape{s}, leaves: s.leaves}
	}
	s.name = append(appendText(nil, c.Name()), ':')
	return s, err
}

// content is the shape of what the column holds once.
func (p *parquetRows) content(c *parquet.Column, depth int) (s shape, err error) {
	if depth > maxDepth || len(p.leaves) >= maxColumns {
		return s, fmt.Errorf("column %s: more columns than are read, or deeper ones; leave some out", name(c))
	}
	if !utf8.ValidString(c.Name()) {
		return s, errors.New("the name of a column is invalid UTF-8; rename it")
	}
	if c.Optional() {
		s.null = c.MaxDefinitionLevel()
	}
	if c.Leaf() {
		l := &leaf{column: c, buffer: make([]parquet.Value, valuesRead)}
		p.leaves = append(p.leaves, l)
		s.leaves, s.text = []*leaf{l}, textOf(c)
		return s, nil
	}
	parts := c.Columns()
	s.kind = object
	if t := c.Type().LogicalType(); t != nil && len(parts) == 1 && parts[0].Repeated() {
		within := parts[0]
		s.some, s.repeat = within.MaxDefinitionLevel(), within.MaxRepetitionLevel()
		switch t.Value.(type) {
		case *format.ListType:
			s.kind = listOf
			// Lists of old have the element where there should be a group of its own around it.
			if within.Leaf() || len(within.Columns()) != 1 || within.Name() == "array" || within.Name() == c.Name()+"_tuple" {
				one, err := p.content(within, depth+1)
				s.parts, s.leaves = []shape{one}, one.leaves
				return s, err
			}
			parts = within.Columns()
		case *format.MapType:
			if len(within.Columns()) == 2 {
				s.kind, parts = mapOf, within.Columns()
			}
		}
	}
	for _, part := range parts {
		one, err := p.shape(part, depth+1)
		if err != nil {
			return s, err
		}
		s.parts, s.leaves = append(s.parts, one), append(s.leaves, one.leaves...)
	}
	if len(s.leaves) == 0 {
		return s, fmt.Errorf("column %s has no values; leave it out", name(c))
	}
	return s, nil
}

// next reads a value of every leaf, or more where lists are in the row, and puts the row together.
func (p *parquetRows) next() (row Row, err error) {
	defer recovered(&err)
	for p.left == 0 {
		groups := p.file.Metadata().RowGroups
		if p.group == len(groups) {
			return Row{}, io.EOF
		}
		if err := p.open(&groups[p.group]); err != nil {
			return Row{}, err
		}
	}
	p.left--
	p.number++
	for _, l := range p.leaves {
		if err := l.next(); err != nil {
			return Row{}, &placeError{p.number, fmt.Errorf("column %s: %w", name(l.column), err)}
		}
	}
	text, err := p.row.write(nil)
	if err == errLong {
		return Row{Number: p.number, Err: err}, nil
	}
	for _, l := range p.leaves {
		if err == nil && l.at != len(l.row) {
			err = errLevels
		}
	}
	if err != nil {
		return Row{}, &placeError{p.number, err}
	}
	return Row{Number: p.number, Text: text}, nil
}

// open begins the next row group.
func (p *parquetRows) open(g *format.RowGroup) error {
	columns := make([]*parquet.Column, len(p.leaves))
	for i, l := range p.leaves {
		columns[i] = l.column
		l.close()
	}
	if err := p.guard.check(g, columns); err != nil {
		return err
	}
	for i, chunk := range p.file.RowGroups()[p.group].ColumnChunks() {
		p.leaves[i].pages = chunk.Pages()
	}
	p.left = g.NumRows
	p.group++
	return nil
}

func (p *parquetRows) close() {
	p.guard.close()
	for _, l := range p.leaves {
		l.close()
	}
}

// share is how much of the rows is read.
func (p *parquetRows) share() float64 { return float64(p.number) / float64(max(p.all, 1)) }

func (l *leaf) close() {
	if l.pages != nil {
		l.pages.Close()
	}
	l.pages, l.values, l.ahead = nil, nil, nil
}

// next reads what the leaf has of a row: up to the next value that begins one.
func (l *leaf) next() error {
	l.row, l.at = l.row[:0], 0
	for {
		if len(l.ahead) == 0 {
			if err := l.fill(); err == io.EOF && len(l.row) > 0 {
				return nil
			} else if err == io.EOF {
				return errors.New("fewer rows than the file claims to have; it is damaged, get it again")
			} else if err != nil {
				return errPage
			}
		}
		v := l.ahead[0]
		switch {
		case v.RepetitionLevel() == 0 && len(l.row) > 0:
			return nil
		case len(l.row) == maxRowValues:
			return fmt.Errorf("more than %d values in a row; leave the column out", maxRowValues)
		}
		l.row, l.ahead = append(l.row, v), l.ahead[1:]
	}
}

// fill reads values ahead. Pages are left to the collector of garbage, for values point into them.
func (l *leaf) fill() error {
	for {
		if l.values == nil {
			page, err := l.pages.ReadPage()
			if err != nil {
				return err
			}
			l.values = page.Values()
		}
		n, err := l.values.ReadValues(l.buffer)
		if n > 0 {
			l.ahead = l.buffer[:n]
			return nil
		}
		if err != io.EOF {
			return errPage
		}
		l.values = nil
	}
}

// level is the definition level of the leaf's next value in the row.
func (l *leaf) level() (int, error) {
	if l.at == len(l.row) {
		return 0, errLevels
	}
	return l.row[l.at].DefinitionLevel(), nil
}

// goesOn says that the next value belongs to a list of that repetition level.
func (l *leaf) goesOn(repeat int) bool {
	return l.at < len(l.row) && l.row[l.at].RepetitionLevel() == repeat
}

// pass takes the value that every leaf has for something that is not there.
func (s *shape) pass() error {
	for _, l := range s.leaves {
		if l.at == len(l.row) {
			return errLevels
		}
		l.at++
	}
	return nil
}

var errLong = fmt.Errorf("the row has more than %d bytes; leave columns out", MaxRow)

// write appends the value as JSON.
func (s *shape) write(b []byte) (_ []byte, err error) {
	first := s.leaves[0]
	level, err := first.level()
	switch {
	case err != nil:
		return nil, err
	case len(b) > MaxRow:
		return nil, errLong
	case level < s.null:
		return append(b, "null"...), s.pass()
	case s.kind == single:
		v := first.row[first.at]
		first.at++
		if v.IsNull() {
			return append(b, "null"...), nil
		}
		if size := len(b) + len(v.Bytes()); size > MaxRow {
			return nil, errLong
		}
		return s.text(b, v), nil
	case s.kind == object:
		b = append(b, '{')
		for i := range s.parts {
			if i > 0 {
				b = append(b, ',')
			}
			if b, err = s.parts[i].write(append(b, s.parts[i].name...)); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	open, end := byte('['), byte(']')
	if s.kind == mapOf {
		open, end = '{', '}'
	}
	b = append(b, open)
	if level < s.some {
		return append(b, end), s.pass()
	}
	for {
		from := len(b)
		if b, err = s.parts[0].write(b); err != nil {
			return nil, err
		}
		if s.kind == mapOf {
			if b[from] != '"' { // the names of an object are texts
				b = appendText(b[:from:from], string(b[from:]))
			}
			if b, err = s.parts[1].write(append(b, ':')); err != nil {
				return nil, err
			}
		}
		if !first.goesOn(s.repeat) {
			return append(b, end), nil
		}
		b = append(b, ',')
	}
}

// textOf writes the values of a leaf as JSON.
func textOf(c *parquet.Column) func([]byte, parquet.Value) []byte {
	logical := c.Type().LogicalType()
	isText, scale, unsigned := false, -1, false
	if logical != nil {
		switch t := logical.Value.(type) {
		case *format.StringType, *format.EnumType, *format.JsonType:
			isText = true
		case *format.DecimalType:
			scale = int(t.Scale)
		case *format.IntType:
			unsigned = !t.IsSigned
		}
	}
	return func(b []byte, v parquet.Value) []byte {
		switch v.Kind() {
		case parquet.Boolean:
			return strconv.AppendBool(b, v.Boolean())
		case parquet.Int32, parquet.Int64:
			n := v.Int64()
			if v.Kind() == parquet.Int32 {
				n = int64(v.Int32())
			}
			switch {
			case scale > 0:
				return appendDecimal(b, big.NewInt(n), scale)
			case unsigned && v.Kind() == parquet.Int32:
				return strconv.AppendUint(b, uint64(v.Uint32()), 10)
			case unsigned:
				return strconv.AppendUint(b, v.Uint64(), 10)
			}
			return strconv.AppendInt(b, n, 10)
		case parquet.Float:
			return appendFloat(b, float64(v.Float()))
		case parquet.Double:
			return appendFloat(b, v.Double())
		}
		text := v.Bytes()
		switch {
		case scale >= 0:
			return appendDecimal(b, signed(text), scale)
		case isText, v.Kind() == parquet.ByteArray && utf8.Valid(text):
			return appendText(b, string(text))
		}
		return fmt.Appendf(b, `"%d bytes"`, len(text)) // an image, or a moment in time of old: nothing that is read
	}
}

// appendFloat appends a number as JSON, and one that JSON does not have as a text.
func appendFloat(b []byte, x float64) []byte {
	if x-x != 0 {
		return fmt.Appendf(b, `"%v"`, x)
	}
	return strconv.AppendFloat(b, x, 'g', -1, 64)
}

// signed is a number in two's complement, the highest byte first.
func signed(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// appendDecimal appends n divided by 10 to the power of scale.
func appendDecimal(b []byte, n *big.Int, scale int) []byte {
	if scale > 100 || scale < 0 { // of no type that there is
		return append(b, "null"...)
	}
	if n.Sign() < 0 {
		b = append(b, '-')
	}
	digits := new(big.Int).Abs(n).String()
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	b = append(b, digits[:len(digits)-scale]...)
	if scale > 0 {
		b = append(append(b, '.'), digits[len(digits)-scale:]...)
	}
	return b
}
