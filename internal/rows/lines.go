package rows

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// lines are the rows of a JSONL file: one a line, but for blank ones.
type lines struct {
	in   *bufio.Reader
	line int
	end  bool
}

func (l *lines) next() (Row, error) {
	for !l.end {
		l.skipBlank()
		l.line++
		text, err := readLine(l.in, MaxRow)
		if err != nil && err != io.EOF {
			return Row{}, &placeError{l.line, err}
		}
		l.end = err == io.EOF
		// The mark also stands inside of files that were put together from several.
		if text = bytes.TrimSpace(bytes.TrimPrefix(text, byteOrderMark)); len(text) > 0 {
			return Row{Number: l.line, Text: text}, nil
		}
	}
	return Row{}, io.EOF
}

// skipBlank passes over white space, of which a compressed file may have no end.
func (l *lines) skipBlank() {
	for {
		l.in.Peek(1) // fills the buffer if it is empty
		ahead, _ := l.in.Peek(l.in.Buffered())
		blank := len(ahead) - len(bytes.TrimLeft(ahead, " \t\r\n"))
		l.line += bytes.Count(ahead[:blank], []byte("\n"))
		l.in.Discard(blank)
		if blank == 0 || blank < len(ahead) {
			return
		}
	}
}

// readLine reads a line with its end, of at most limit bytes. The last one comes with io.EOF.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	var text []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(text)+len(part) > limit {
			return nil, fmt.Errorf("the line has more than %d bytes; want one row a line", limit)
		}
		text = append(text, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
	}
}

// list are the rows of a JSON list: its elements, which may stretch over lines. It looks for where they end alone; whether they are
// JSON is for whoever reads them to say.
type list struct {
	in   *bufio.Reader
	line int

	opened, some, closed bool // the bracket was read, an element, the bracket at the end
}

func newList(in *bufio.Reader) *list { return &list{in: in, line: 1} }

func (l *list) next() (Row, error) {
	if l.closed {
		return Row{}, l.ended()
	}
	if !l.opened {
		if mark, _ := l.in.Peek(len(byteOrderMark)); bytes.Equal(mark, byteOrderMark) {
			l.in.Discard(len(mark))
		}
		if _, err := l.skipSpace(); err != nil { // the bracket, which was seen before
			return Row{}, err
		}
		l.opened = true
	}
	c, err := l.skipSpace()
	if err == io.EOF {
		return Row{}, &placeError{l.line, errUnended}
	} else if err != nil {
		return Row{}, err
	}
	if c == ']' && !l.some {
		l.closed = true
		return Row{}, l.ended()
	}
	l.some = true
	l.in.UnreadByte() // it was no end of line
	row := Row{Number: l.line}
	for e := (element{}); ; {
		if _, err := l.in.Peek(1); err == io.EOF {
			return Row{}, &placeError{row.Number, errUnended}
		} else if err != nil {
			return Row{}, err
		}
		ahead, _ := l.in.Peek(l.in.Buffered())
		n, end := e.length(ahead)
		if len(row.Text)+n > MaxRow {
			return Row{}, &placeError{row.Number, fmt.Errorf("the row has more than %d bytes; want a list of objects", MaxRow)}
		}
		row.Text = append(row.Text, ahead[:n]...)
		l.line += bytes.Count(ahead[:n], []byte("\n"))
		l.in.Discard(n)
		if !end {
			continue
		}
		row.Text = bytes.TrimSpace(row.Text)
		if len(row.Text) == 0 {
			return Row{}, &placeError{row.Number, errors.New("a comma and no row next to it; want objects with commas between them")}
		}
		c, err := l.in.ReadByte()
		l.closed = c == ']'
		return row, err
	}
}

// element finds the end of an element of a list in pieces of text.
type element struct {
	depth           int
	quoted, escaped bool
}

// length is how much of the text belongs to the element; end says that what follows ends it.
func (e *element) length(text []byte) (n int, end bool) {
	for i, c := range text {
		switch {
		case e.escaped:
			e.escaped = false
		case e.quoted:
			e.escaped, e.quoted = c == '\\', c != '"'
		case c == '"':
			e.quoted = true
		case c == '{' || c == '[':
			e.depth++
		case e.depth == 0 && (c == ',' || c == ']'):
			return i, true
		case c == '}' || c == ']':
			e.depth--
		}
	}
	return len(text), false
}

var errUnended = errors.New("the list does not end; the file is cut off, get it again")

// ended checks that nothing stands behind the list.
func (l *list) ended() error {
	_, err := l.skipSpace()
	if err == nil {
		err = &placeError{l.line, errors.New("more after the list; want one list of objects, or one object a line")}
	}
	return err
}

// skipSpace is the next byte that is no white space.
func (l *list) skipSpace() (byte, error) {
	for {
		c, err := l.readByte()
		if err != nil || c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return c, err
		}
	}
}

func (l *list) readByte() (byte, error) {
	c, err := l.in.ReadByte()
	if c == '\n' && err == nil {
		l.line++
	}
	return c, err
}
