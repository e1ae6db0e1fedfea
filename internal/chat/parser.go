package chat

import (
	"fmt"
	"slices"
	"strconv"
)

// Bounds of a template's text.
const (
	maxSource = 256 << 10 // bytes
	maxNested = 200       // levels of tags and of expressions in each other
)

// parser makes nodes of pieces.
type parser struct {
	pieces []piece
	tokens []token // that are left of the current piece
	nested int
	loops  int             // around the current tag, in its macro
	names  map[string]bool // of variables, wherever they are read
}

// parse reads a template's text; names are those of the variables in it.
func parse(source string) (body block, names map[string]bool, err error) {
	pieces, err := lex(source)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if e, ok := recover().(*syntaxError); ok {
			body, err = nil, e
		}
	}()
	p := &parser{pieces: pieces, names: map[string]bool{}}
	body, _ = p.block("")
	return body, p.names, nil
}

func (p *parser) peek() token { return p.tokens[0] }

// take goes past a token; the endToken stays.
func (p *parser) take() token {
	t := p.tokens[0]
	if t.kind != endToken {
		p.tokens = p.tokens[1:]
	}
	return t
}

func (p *parser) accept(s string) bool {
	if p.peek().is(s) {
		p.take()
		return true
	}
	return false
}

func (p *parser) want(s string) {
	if !p.accept(s) {
		p.fail("want %q, not %v", s, p.peek())
	}
}

func (p *parser) name() string {
	t := p.take()
	if t.kind != nameToken {
		p.fail("want a name, not %v", t)
	}
	return t.text
}

func (p *parser) end() {
	if t := p.peek(); t.kind != endToken {
		p.fail("unexpected %v", t)
	}
}

func (p *parser) fail(format string, a ...any) { fail(p.peek().line, fmt.Sprintf(format, a...)) }

// enter counts a level; the caller defers the function it returns.
func (p *parser) enter() func() {
	if p.nested++; p.nested > maxNested {
		p.fail("more than %d levels in each other", maxNested)
	}
	return func() { p.nested-- }
}

// block reads nodes up to a tag called one of ends, and returns that tag's name; its tokens are left to the caller. opened is
// the tag that waits for the end, empty for the whole template.
func (p *parser) block(opened string, ends ...string) (block, string) {
	defer p.enter()()
	line := 0
	if opened != "" {
		line = p.peek().line
	}
	var body block
	for len(p.pieces) > 0 {
		c := p.pieces[0]
		p.pieces = p.pieces[1:]
		if c.kind == pieceText {
			body = append(body, textNode(c.text))
			continue
		}
		p.tokens = c.tokens
		if c.kind == pieceOutput {
			body = append(body, &outputNode{c.line, p.tuple(true)})
			p.end()
			continue
		}
		name := p.name()
		if slices.Contains(ends, name) {
			return body, name
		}
		body = append(body, p.tag(name, c.line))
		p.end()
	}
	if opened != "" {
		fail(line, fmt.Sprintf("{%% %s %%} without {%% end%s %%}", opened, opened))
	}
	return body, ""
}

// tag reads a tag from behind its name on, to the end of the tag that closes it.
func (p *parser) tag(name string, line int) node {
	switch name {
	case "if":
		n := &ifNode{line: line}
		for end := "elif"; end != "endif"; {
			var b branch
			if end == "elif" {
				b.test = p.expression()
			}
			p.end()
			b.body, end = p.block("if", "elif", "else", "endif")
			if b.test == nil && end != "endif" {
				p.fail("%s behind else", end)
			}
			n.branches = append(n.branches, b)
		}
		return n
	case "for":
		n := &forNode{line: line, targets: p.targets()}
		p.want("in")
		n.over = p.tuple(false)
		if p.accept("if") {
			n.test = p.expression()
		}
		p.end()
		var end string
		p.loops++
		n.body, end = p.block("for", "else", "endfor")
		if p.loops--; end == "else" {
			p.end()
			n.empty, _ = p.block("for", "endfor")
		}
		return n
	case "set":
		n := &setNode{line: line, targets: p.targets()}
		if p.accept("=") {
			n.value = p.tuple(true)
			return n
		}
		if len(n.targets) != 1 {
			p.fail("want =")
		}
		n.value = p.filters(&variable{bodyName}, false)
		p.end()
		n.body, _ = p.block("set", "endset")
		return n
	case "macro":
		n := &macroNode{line: line, name: p.name()}
		for p.want("("); !p.accept(")"); {
			if len(n.params) > 0 {
				p.want(",")
			}
			n.params = append(n.params, p.name())
			var value expr
			if p.accept("=") {
				value = p.expression()
			}
			n.defaults = append(n.defaults, value)
		}
		p.end()
		loops := p.loops
		p.loops = 0
		n.body, _ = p.block("macro", "endmacro")
		p.loops = loops
		return n
	case "generation":
		p.end()
		body, _ := p.block("generation", "endgeneration")
		return &generationNode{body}
	case "break", "continue":
		if p.loops == 0 {
			p.fail("%s outside a loop", name)
		}
		return map[string]jump{"break": leaveLoop, "continue": nextRound}[name]
	}
	fail(line, fmt.Sprintf("{%% %s %%} is not supported in a chat template", name))
	return nil
}

// target is what a value is given to: a variable, or a field of a namespace.
type target struct{ name, field string }

func (p *parser) targets() []target {
	bracket := p.accept("(")
	var ts []target
	for {
		t := target{name: p.name()}
		if p.accept(".") {
			t.field = p.name()
		}
		if ts = append(ts, t); !p.accept(",") {
			break
		}
	}
	if bracket {
		p.want(")")
	}
	return ts
}

// tuple reads one expression, or several with commas between them, which make a list.
func (p *parser) tuple(conditional bool) expr {
	read := p.expression
	if !conditional {
		read = p.or
	}
	first := read()
	if !p.peek().is(",") {
		return first
	}
	l := &listExpr{items: []expr{first}, tuple: true}
	for p.accept(",") {
		if t := p.peek(); t.kind == endToken || t.is(")") {
			break
		}
		l.items = append(l.items, read())
	}
	return l
}

func (p *parser) expression() expr {
	defer p.enter()()
	e := p.or()
	for p.accept("if") {
		c := &conditional{yes: e, test: p.or()}
		if p.accept("else") {
			c.no = p.expression()
		}
		e = c
	}
	return e
}

func (p *parser) or() expr {
	e := p.and()
	for p.accept("or") {
		e = &logic{or: true, left: e, right: p.and()}
	}
	return e
}

func (p *parser) and() expr {
	e := p.not()
	for p.accept("and") {
		e = &logic{left: e, right: p.not()}
	}
	return e
}

func (p *parser) not() expr {
	defer p.enter()()
	if p.accept("not") {
		return &negation{p.not()}
	}
	return p.comparison()
}

func (p *parser) comparison() expr {
	first := p.sum()
	var c *comparison
	for {
		op := p.peek()
		switch {
		case op.kind == opToken && slices.Contains([]string{"==", "!=", "<", "<=", ">", ">="}, op.text), op.is("in"):
			p.take()
		case op.is("not") && p.tokens[1].is("in"):
			p.take()
			p.take()
			op.text = "not in"
		default:
			if c == nil {
				return first
			}
			return c
		}
		if c == nil {
			c = &comparison{first: first}
		}
		c.ops = append(c.ops, op.text)
		c.rest = append(c.rest, p.sum())
	}
}

// binary reads operands with operators of one rank between them.
func (p *parser) binary(operand func() expr, ops ...string) expr {
	e := operand()
	for p.peek().kind == opToken && slices.Contains(ops, p.peek().text) {
		e = &binary{op: p.take().text, left: e, right: operand()}
	}
	return e
}

func (p *parser) sum() expr     { return p.binary(p.concat, "+", "-") }
func (p *parser) concat() expr  { return p.binary(p.product, "~") }
func (p *parser) product() expr { return p.binary(p.power, "*", "/", "//", "%") }
func (p *parser) power() expr {
	return p.binary(func() expr { return p.unary(true) }, "**")
}

// unary reads an operand with what stands before and behind it; filtered says that filters and tests may follow.
func (p *parser) unary(filtered bool) expr {
	defer p.enter()()
	var e expr
	switch {
	case p.accept("-"):
		e = &binary{op: "-", left: &literal{0}, right: p.unary(false)}
	case p.accept("+"):
		e = &binary{op: "+", left: &literal{0}, right: p.unary(false)}
	default:
		e = p.primary()
	}
	e = p.postfix(e)
	if filtered {
		e = p.filters(e, true)
	}
	return e
}

func (p *parser) primary() expr {
	t := p.take()
	switch t.kind {
	case nameToken:
		switch t.text {
		case "true", "True":
			return &literal{true}
		case "false", "False":
			return &literal{false}
		case "none", "None":
			return &literal{nil}
		}
		p.names[t.text] = true
		return &variable{t.text}
	case stringToken:
		for p.peek().kind == stringToken {
			t.text += p.take().text
		}
		return &literal{t.text}
	case intToken:
		n, err := strconv.ParseInt(t.text, 0, strconv.IntSize)
		if err != nil {
			n, err = strconv.ParseInt(t.text, 10, strconv.IntSize)
		}
		if err != nil {
			fail(t.line, fmt.Sprintf("the number %s is too large", t.text))
		}
		return &literal{int(n)}
	case floatToken:
		f, err := strconv.ParseFloat(t.text, 64)
		if err != nil {
			fail(t.line, fmt.Sprintf("the number %s is too large", t.text))
		}
		return &literal{f}
	}
	switch {
	case t.is("("):
		if p.accept(")") {
			return &listExpr{tuple: true}
		}
		e := p.tuple(true)
		p.want(")")
		return e
	case t.is("["):
		l := &listExpr{}
		for !p.accept("]") {
			if len(l.items) > 0 {
				if p.want(","); p.accept("]") {
					break
				}
			}
			l.items = append(l.items, p.expression())
		}
		return l
	case t.is("{"):
		d := &dictExpr{}
		for !p.accept("}") {
			if len(d.keys) > 0 {
				if p.want(","); p.accept("}") {
					break
				}
			}
			d.keys = append(d.keys, p.expression())
			p.want(":")
			d.values = append(d.values, p.expression())
		}
		return d
	}
	fail(t.line, fmt.Sprintf("want an expression, not %v", t))
	return nil
}

func (p *parser) postfix(e expr) expr {
	for {
		switch {
		case p.accept("."):
			if t := p.peek(); t.kind == intToken {
				e = &item{e, p.primary()}
			} else {
				e = &attribute{e, p.name()}
			}
		case p.accept("["):
			e = p.subscript(e)
		case p.peek().is("("):
			e = &call{e, p.arguments()}
		default:
			return e
		}
	}
}

// subscript reads what stands in brackets behind a value: an index or a key, or the parts of a slice.
func (p *parser) subscript(e expr) expr {
	s := &slice{of: e}
	parts := []*expr{&s.from, &s.to, &s.step}
	n := 0
	for !p.accept("]") {
		if p.accept(":") {
			if n++; n == len(parts) {
				p.fail("a slice has at most three parts")
			}
			continue
		}
		if *parts[n] != nil {
			p.fail("want ], not %v", p.peek())
		}
		*parts[n] = p.expression()
	}
	switch {
	case n > 0:
		return s
	case s.from == nil:
		p.fail("want an index or a key")
	}
	return &item{e, s.from}
}

// arguments reads a call's arguments with their brackets.
func (p *parser) arguments() arguments {
	var a arguments
	for p.want("("); !p.accept(")"); {
		if len(a.positional)+len(a.names) > 0 {
			if p.want(","); p.accept(")") {
				break
			}
		}
		if p.peek().kind == nameToken && p.tokens[1].is("=") {
			a.names = append(a.names, p.name())
			p.take()
			a.named = append(a.named, p.expression())
			continue
		}
		if len(a.names) > 0 {
			p.fail("an argument without a name behind one with a name")
		}
		a.positional = append(a.positional, p.expression())
	}
	return a
}

// filters reads the filters behind a value, and with tests also its tests and calls.
func (p *parser) filters(e expr, tests bool) expr {
	for {
		switch {
		case p.accept("|"):
			name := p.name()
			f, ok := filters[name]
			if !ok {
				p.fail("there is no filter %s", name)
			}
			n := &filtered{of: e, name: name, filter: f}
			if p.peek().is("(") {
				n.arguments = p.arguments()
			}
			e = n
		case tests && p.accept("is"):
			e = p.test(e)
		case tests && p.peek().is("("):
			e = &call{e, p.arguments()}
		default:
			return e
		}
	}
}

func (p *parser) test(e expr) expr {
	not := p.accept("not")
	t := p.take()
	if t.kind != nameToken {
		p.fail("want the name of a test, not %v", t)
	}
	f, ok := tests[t.text]
	if !ok {
		p.fail("there is no test %s", t.text)
	}
	n := &tested{of: e, test: f}
	switch next := p.peek(); {
	case next.is("("):
		n.arguments = p.arguments()
	case next.is("is"):
		p.fail("a test of a test; use brackets")
	case next.kind == nameToken && !slices.Contains([]string{"else", "or", "and", "if"}, next.text),
		next.kind == stringToken, next.kind == intToken, next.kind == floatToken, next.is("["), next.is("{"):
		n.arguments.positional = []expr{p.postfix(p.primary())}
	}
	if not {
		return &negation{n}
	}
	return n
}
