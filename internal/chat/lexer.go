package chat

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a stretch of a template: text, or what stands between the marks of an output or a tag.
type piece struct {
	kind   pieceKind
	text   string  // of pieceText
	tokens []token // of the others, ending with an endToken
	line   int
}

type pieceKind int

const (
	pieceText   pieceKind = iota
	pieceOutput           // {{ ... }}
	pieceTag              // {% ... %}
)

type token struct {
	kind tokenKind
	text string // a string's value, a number as written, a name or an operator
	line int
}

type tokenKind int

const (
	endToken tokenKind = iota
	nameToken
	stringToken
	intToken
	floatToken
	opToken
)

// is says whether the token is the name or operator s.
func (t token) is(s string) bool { return (t.kind == opToken || t.kind == nameToken) && t.text == s }

func (t token) String() string {
	if t.kind == endToken {
		return "the end of the tag"
	}
	return strconv.Quote(t.text)
}

// syntaxError is a fault in a template's text.
type syntaxError struct {
	line int
	msg  string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, short(e.msg)) }

var (
	openMark = regexp.MustCompile(`\{[{%#][-+]?`)
	endRaw   = regexp.MustCompile(`(\{%[-+]?)\s*endraw\s*([-+]?)%\}`)
	endMark  = map[string]*regexp.Regexp{"}}": regexp.MustCompile(`^(-?)\}\}`), "%}": regexp.MustCompile(`^([-+]?)%\}`)}
	number   = regexp.MustCompile(`^(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+|[0-9][0-9_]*(\.[0-9][0-9_]*)?([eE][-+]?[0-9][0-9_]*)?)`)
	operator = regexp.MustCompile(`^(?:\*\*|//|==|!=|>=|<=|[-+*/%~\[\](){}<>=.:|,])`)
)

// lexer cuts a template into pieces as Jinja does with trim_blocks and lstrip_blocks: the line break after a tag and the
// blanks before one that begins a line belong to the tag.
type lexer struct {
	source    string
	at        int
	lineStart bool // what precedes at ended a line
	counted   int  // line breaks are counted up to here
	breaks    int
	pieces    []piece
}

// lex cuts a template into pieces.
func lex(source string) (pieces []piece, err error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{source: strings.TrimSuffix(source, "\n"), lineStart: true}
	defer func() {
		if e, ok := recover().(*syntaxError); ok {
			pieces, err = nil, e
		}
	}()
	for l.at < len(l.source) {
		l.next()
	}
	return l.pieces, nil
}

// next reads text up to the next mark, and what the mark begins.
func (l *lexer) next() {
	rest := l.source[l.at:]
	m := openMark.FindStringIndex(rest)
	if m == nil {
		l.text(rest)
		l.at = len(l.source)
		return
	}
	text, mark := rest[:m[0]], rest[m[0]:m[1]]
	text = l.strip(text, mark)
	l.text(text)
	line := l.line(l.at + m[0])
	l.at += m[1]
	switch mark[1] {
	case '#':
		n := strings.Index(l.source[l.at:], "#}")
		if n < 0 {
			fail(line, "a comment without end; want #}")
		}
		l.at += n
		l.close(l.source[l.at-min(n, 1):l.at], true)
	case '{':
		l.pieces = append(l.pieces, piece{kind: pieceOutput, tokens: l.tokens("}}"), line: line})
	case '%':
		tokens := l.tokens("%}")
		if tokens[0].is("raw") {
			m := endRaw.FindStringSubmatchIndex(l.source[l.at:])
			if m == nil {
				fail(line, "raw without endraw")
			}
			rest := l.source[l.at:]
			l.text(l.strip(rest[:m[0]], rest[m[2]:m[3]]))
			l.at += m[1] - 2
			l.close(rest[m[4]:m[5]], true)
			return
		}
		l.pieces = append(l.pieces, piece{kind: pieceTag, tokens: tokens, line: line})
	}
}

func (l *lexer) text(s string) {
	if s != "" {
		l.pieces = append(l.pieces, piece{kind: pieceText, text: s})
	}
}

// strip takes the white space off a text that belongs to the mark after it.
func (l *lexer) strip(text, mark string) string {
	n := strings.LastIndexByte(text, '\n') + 1
	switch blank := strings.TrimFunc(text[n:], isSpace) == "" && (n > 0 || l.lineStart); {
	case strings.HasSuffix(mark, "-"):
		return strings.TrimRightFunc(text, isSpace)
	case mark[1] != '{' && !strings.HasSuffix(mark, "+") && blank:
		return text[:n]
	}
	return text
}

// line is the number of the line that holds a place; places come in order.
func (l *lexer) line(at int) int {
	l.breaks += strings.Count(l.source[l.counted:at], "\n")
	l.counted = at
	return 1 + l.breaks
}

// close goes past the two bytes of an end mark, and the white space that belongs to it: all of it after a minus, else one
// line break after a tag or comment.
func (l *lexer) close(control string, tag bool) {
	from := l.at
	l.at += 2
	switch rest := l.source[l.at:]; {
	case control == "-":
		l.at += len(rest) - len(strings.TrimLeftFunc(rest, isSpace))
	case tag && control != "+" && strings.HasPrefix(rest, "\n"):
		l.at++
	}
	l.lineStart = strings.HasSuffix(l.source[from:l.at], "\n")
}

var closing = map[string]string{"(": ")", "[": "]", "{": "}"}

// maxBrackets bounds how deep brackets stand in each other.
const maxBrackets = 100

// tokens reads up to and with the end mark.
func (l *lexer) tokens(end string) []token {
	var (
		tokens []token
		open   []string // the brackets that are to come
		begin  = l.line(l.at)
		line   = begin
	)
	for {
		rest := l.source[l.at:]
		trimmed := strings.TrimLeftFunc(rest, isSpace)
		line += strings.Count(rest[:len(rest)-len(trimmed)], "\n")
		l.at += len(rest) - len(trimmed)
		rest = trimmed
		if rest == "" {
			fail(begin, "a tag without end; want "+end)
		}
		if len(open) == 0 {
			if m := endMark[end].FindStringSubmatch(rest); m != nil {
				l.at += len(m[1])
				l.close(m[1], end == "%}")
				return append(tokens, token{endToken, "", line})
			}
		}
		t := token{line: line}
		size := 0
		switch c, _ := utf8.DecodeRuneInString(rest); {
		case c == '"' || c == '\'':
			t.kind = stringToken
			t.text, size = unquote(rest, line)
			line += strings.Count(rest[:size], "\n")
		case '0' <= c && c <= '9':
			m := number.FindStringSubmatch(rest)
			t.kind, t.text, size = intToken, strings.ReplaceAll(m[0], "_", ""), len(m[0])
			if m[1]+m[2] != "" {
				t.kind = floatToken
			}
		case c == '_' || unicode.IsLetter(c):
			n := strings.IndexFunc(rest, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
			if n < 0 {
				n = len(rest)
			}
			t.kind, t.text, size = nameToken, rest[:n], n
		default:
			t.kind, t.text = opToken, operator.FindString(rest)
			if size = len(t.text); size == 0 {
				fail(line, fmt.Sprintf("unexpected %q", c))
			}
		}
		if t.kind == opToken {
			switch t.text {
			case "(", "[", "{":
				if open = append(open, closing[t.text]); len(open) > maxBrackets {
					fail(line, fmt.Sprintf("more than %d brackets in each other", maxBrackets))
				}
			case ")", "]", "}":
				if len(open) == 0 || open[len(open)-1] != t.text {
					fail(line, fmt.Sprintf("unexpected %q", t.text))
				}
				open = open[:len(open)-1]
			}
		}
		tokens = append(tokens, t)
		l.at += size
	}
}

// unquote reads a string literal with Python's escapes; it returns its value and its size in the source.
func unquote(s string, line int) (string, int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == s[0]:
			return b.String(), i + 1
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		default:
			i++
			digits, base := 0, 16
			switch c := s[i]; c {
			case '\n':
			case '\\', '\'', '"':
				b.WriteByte(c)
			case 'a', 'b', 'f', 'n', 'r', 't', 'v':
				b.WriteByte("\a\b\f\n\r\t\v"[strings.IndexByte("abfnrtv", c)])
			case 'x':
				digits = 2
			case 'u':
				digits = 4
			case 'U':
				digits = 8
			case '0', '1', '2', '3', '4', '5', '6', '7':
				i--
				base = 8
				for digits = 1; digits < 3 && i+1+digits < len(s) && '0' <= s[i+1+digits] && s[i+1+digits] <= '7'; digits++ {
				}
			default: // as Python does, with a warning
				b.WriteByte('\\')
				b.WriteByte(c)
			}
			if digits > 0 {
				n, err := strconv.ParseUint(s[i+1:min(i+1+digits, len(s))], base, 32)
				if err != nil || i+1+digits > len(s) {
					fail(line, "a wrong escape in a string")
				}
				b.WriteRune(rune(n))
				i += digits
			}
		}
	}
	fail(line, "a string without end")
	return "", 0
}

// fail ends reading a template.
func fail(line int, msg string) { panic(&syntaxError{line, msg}) }

// isSpace is str.isspace of Python for one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }
