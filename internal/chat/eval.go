package chat

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of one rendering. Work is counted in bytes of text read or made; an item of a list counts as itemWork, a map as mapWork and
// as two items for each entry. What a template keeps in memory it has paid for, but for small values, of which a step makes one.
const (
	maxSteps = 2_000_000 // statements and parts of expressions
	maxDepth = 1_000     // of calls, statements and expressions in each other
	maxTime  = 2 * time.Second
	freeWork = 32 << 20 // and workEach for every byte of input
	workEach = 64
	freeText = 1 << 20 // bytes of output, and textEach for every byte of input
	textEach = 16
	itemWork = 32
	mapWork  = 256

	maxMessage = 1000 // bytes of an error, which may hold what the template says
)

// run is one rendering.
type run struct {
	scope    *scope
	out      *strings.Builder
	line     int
	steps    int
	work     int // that is left
	checked  int // work that was left when the time was last looked at
	room     int // for output
	depth    int
	deadline time.Time
	dated    bool // the time was asked for
}

// scope holds variables. Loops and macros have their own, in that of what is around them.
type scope struct {
	vars   map[string]any
	parent *scope
}

func (s *scope) find(name string) (any, bool) {
	for ; s != nil; s = s.parent {
		if v, ok := s.vars[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// runError ends a rendering.
type runError struct {
	line int
	err  error
}

// fail ends the rendering; render turns it into an error.
func (r *run) fail(format string, a ...any) { panic(&runError{r.line, fmt.Errorf(format, a...)}) }

// over ends a rendering that goes over a bound.
func (r *run) over(format string, a ...any) { r.fail("%w: "+format, append([]any{ErrBound}, a...)...) }

// ErrBound is returned when a rendering takes more than a template may: it loops or prints without end, or nearly so.
var ErrBound = errors.New("the chat template was stopped")

// short cuts a text down to what an error has room for.
func short(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// step counts a statement or a part of an expression.
func (r *run) step() {
	if r.steps++; r.steps > maxSteps {
		r.over("more than %d steps", maxSteps)
	}
	if r.steps%1024 == 0 {
		r.checkTime()
	}
}

func (r *run) checkTime() {
	if r.checked = r.work; time.Now().After(r.deadline) {
		r.over("more than %v", maxTime)
	}
}

// spend counts work before it is done.
func (r *run) spend(bytes int) {
	if r.work -= bytes; r.work < 0 || bytes < 0 {
		r.over("too much work for a conversation of this size")
	}
	if r.checked-r.work > 1<<20 {
		r.checkTime()
	}
}

// enter counts a level, which the caller leaves.
func (r *run) enter() {
	if r.depth++; r.depth > maxDepth {
		r.over("more than %d calls or expressions in each other", maxDepth)
	}
}

func (r *run) leave() { r.depth-- }

func (r *run) write(s string) {
	r.spend(len(s))
	if r.room -= len(s); r.room < 0 {
		r.over("too much text for a conversation of this size")
	}
	r.out.WriteString(s)
}

// capture gives the text that f writes.
func (r *run) capture(f func()) string {
	out := r.out
	r.out = &strings.Builder{}
	f()
	text := r.out.String()
	r.out = out
	return text
}

// inside runs f in a scope of its own, in outer.
func (r *run) inside(outer *scope, vars map[string]any, f func()) {
	old := r.scope
	r.scope = &scope{vars, outer}
	f()
	r.scope = old
}

// jump says how a block ended: at its end, or with break or continue.
type jump int

const (
	onward jump = iota
	leaveLoop
	nextRound
)

// node is a statement.
type node interface {
	run(r *run) jump
}

type block []node

func (b block) run(r *run) jump {
	r.enter()
	defer r.leave()
	for _, n := range b {
		r.step()
		if j := n.run(r); j != onward {
			return j
		}
	}
	return onward
}

func (j jump) run(*run) jump { return j }

type textNode string

func (t textNode) run(r *run) jump {
	r.write(string(t))
	return onward
}

type outputNode struct {
	line  int
	value expr
}

func (n *outputNode) run(r *run) jump {
	r.line = n.line
	r.write(r.text(r.eval(n.value)))
	return onward
}

type ifNode struct {
	line     int
	branches []branch
}

type branch struct {
	test expr // nil for else
	body block
}

func (n *ifNode) run(r *run) jump {
	r.line = n.line
	for _, b := range n.branches {
		if b.test == nil || truth(r.eval(b.test)) {
			return b.body.run(r)
		}
	}
	return onward
}

type forNode struct {
	line        int
	targets     []target
	over        expr
	test        expr // nil for all items
	body, empty block
}

func (n *forNode) run(r *run) jump {
	r.line = n.line
	items := r.items(r.eval(n.over))
	outer := r.scope
	if n.test != nil {
		var kept []any
		for _, v := range items {
			r.step()
			r.inside(outer, map[string]any{}, func() {
				r.assign(n.targets, v)
				if truth(r.eval(n.test)) {
					kept = append(kept, v)
				}
			})
		}
		items = kept
	}
	if len(items) == 0 {
		r.inside(outer, map[string]any{}, func() { n.empty.run(r) })
		return onward
	}
	l := &loop{items: items}
	for i, v := range items {
		r.step()
		l.at = i
		var j jump
		r.inside(outer, map[string]any{"loop": l}, func() {
			r.assign(n.targets, v)
			j = n.body.run(r)
		})
		if j == leaveLoop {
			break
		}
	}
	return onward
}

// assign gives a value to one target, or its items to several.
func (r *run) assign(targets []target, v any) {
	values := []any{v}
	if len(targets) > 1 {
		if values = r.items(v); len(values) != len(targets) {
			r.fail("%d values for %d variables", len(values), len(targets))
		}
	}
	for i, t := range targets {
		if t.field == "" {
			r.scope.vars[t.name] = values[i]
			continue
		}
		of, _ := r.scope.find(t.name)
		ns, ok := of.(*namespace)
		if !ok {
			r.fail("%s.%s: only a field of a namespace can be set", t.name, t.field)
		}
		ns.fields[t.field] = values[i]
	}
}

// generationNode is what the assistant says, marked for those who make masks of it.
type generationNode struct{ body block }

func (n *generationNode) run(r *run) (j jump) {
	r.inside(r.scope, map[string]any{}, func() { j = n.body.run(r) })
	return j
}

type setNode struct {
	line    int
	targets []target
	value   expr
	body    block // nil unless the value is what stands up to endset; its text is then the variable bodyName
}

// bodyName is a name that no template can write.
const bodyName = "(body)"

func (n *setNode) run(r *run) jump {
	r.line = n.line
	if n.body == nil {
		r.assign(n.targets, r.eval(n.value))
		return onward
	}
	var v any
	r.inside(r.scope, map[string]any{}, func() {
		r.scope.vars[bodyName] = r.capture(func() { n.body.run(r) })
		v = r.eval(n.value)
	})
	r.assign(n.targets, v)
	return onward
}

type macroNode struct {
	line     int
	name     string
	params   []string
	defaults []expr // nil where there is none
	body     block
}

func (n *macroNode) run(r *run) jump {
	r.spend(mapWork) // it keeps the scope that it stands in
	outer := r.scope
	outer.vars[n.name] = function(func(r *run, a args) any {
		a.atMost(r, n.name, n.params...)
		r.spend(mapWork + 2*len(n.params)*itemWork)
		var text string
		vars := map[string]any{}
		r.inside(outer, vars, func() {
			for i, name := range n.params {
				if v, ok := a.find(i, name); ok {
					vars[name] = v
				} else if n.defaults[i] != nil {
					vars[name] = r.eval(n.defaults[i])
				} else {
					vars[name] = undefined(fmt.Sprintf("parameter %s was not given", name))
				}
			}
			text = r.capture(func() { n.body.run(r) })
		})
		return text
	})
	return onward
}

// expr is an expression.
type expr interface {
	eval(r *run) any
}

// eval gives an expression's value.
func (r *run) eval(e expr) any {
	r.step()
	r.enter()
	v := e.eval(r)
	r.leave()
	return v
}

func (r *run) evalAll(es []expr) []any {
	values := make([]any, len(es))
	for i, e := range es {
		values[i] = r.eval(e)
	}
	return values
}

type literal struct{ value any }

func (e *literal) eval(*run) any { return e.value }

type variable struct{ name string }

func (e *variable) eval(r *run) any {
	if v, ok := r.scope.find(e.name); ok {
		return v
	}
	if f, ok := functions[e.name]; ok {
		return f
	}
	return undefined(fmt.Sprintf("%s is not defined", e.name))
}

type listExpr struct {
	items []expr
	tuple bool
}

func (e *listExpr) eval(r *run) any {
	if e.tuple {
		return tuple(r.evalAll(e.items))
	}
	return list(r.evalAll(e.items))
}

type dictExpr struct{ keys, values []expr }

func (e *dictExpr) eval(r *run) any {
	r.spend(mapWork + 2*len(e.keys)*itemWork)
	o := object{values: map[string]any{}}
	for i, k := range r.evalAll(e.keys) {
		name, ok := k.(string)
		if !ok {
			r.fail("a key that is not a string is not supported")
		}
		o.set(name, r.eval(e.values[i]))
	}
	return o
}

type attribute struct {
	of   expr
	name string
}

func (e *attribute) eval(r *run) any { return r.attribute(r.eval(e.of), e.name) }

type item struct{ of, key expr }

func (e *item) eval(r *run) any { return r.item(r.eval(e.of), r.eval(e.key)) }

type slice struct{ of, from, to, step expr }

func (e *slice) eval(r *run) any {
	of := r.eval(e.of)
	part := func(p expr) (int, bool) {
		if p == nil {
			return 0, false
		}
		switch n := r.eval(p).(type) {
		case int:
			return n, true
		case nil:
			return 0, false
		}
		r.fail("a slice wants whole numbers")
		return 0, false
	}
	step, ok := part(e.step)
	if !ok {
		step = 1
	}
	if step == 0 {
		r.fail("a slice with step 0")
	}
	r.defined(of)
	items := r.items(of)
	// As slice.indices of Python.
	first, last := 0, len(items)
	if step < 0 {
		first, last = len(items)-1, -1
	}
	bound := func(p expr, missing int) int {
		n, ok := part(p)
		if !ok {
			return missing
		}
		if n < 0 {
			n += len(items)
		}
		if step < 0 {
			return min(max(n, -1), len(items)-1)
		}
		return min(max(n, 0), len(items))
	}
	first, last = bound(e.from, first), bound(e.to, last)
	step = min(max(step, -len(items)-1), len(items)+1) // the next item is beyond the end all the same, and nothing overflows
	n := 0
	switch {
	case step > 0 && first < last:
		n = (last - first + step - 1) / step
	case step < 0 && first > last:
		n = (first - last - step - 1) / -step
	}
	r.spend(n * itemWork)
	kept := make([]any, n)
	for i := range kept {
		kept[i] = items[first+i*step]
	}
	switch of.(type) {
	case string:
		return joined(kept)
	case tuple:
		return tuple(kept)
	}
	return list(kept)
}

type call struct {
	of   expr
	with arguments
}

func (e *call) eval(r *run) any {
	f := r.eval(e.of)
	r.defined(f)
	g, ok := f.(function)
	if !ok {
		r.fail("%s cannot be called", typeName(f))
	}
	return g(r, e.with.eval(r))
}

// arguments are those of a call, a filter or a test.
type arguments struct {
	positional []expr
	names      []string
	named      []expr
}

func (a *arguments) eval(r *run) args {
	v := args{positional: r.evalAll(a.positional), names: a.names}
	if len(a.named) > 0 {
		r.spend(mapWork + 2*len(a.named)*itemWork)
	}
	for i, e := range a.named {
		if v.named == nil {
			v.named = map[string]any{}
		}
		if _, twice := v.named[a.names[i]]; twice {
			r.fail("argument %s is given twice", a.names[i])
		}
		v.named[a.names[i]] = r.eval(e)
	}
	return v
}

type filtered struct {
	of        expr
	name      string
	filter    filter
	arguments arguments
}

func (e *filtered) eval(r *run) any { return e.filter(r, r.eval(e.of), e.arguments.eval(r)) }

type tested struct {
	of        expr
	test      test
	arguments arguments
}

func (e *tested) eval(r *run) any { return e.test(r, r.eval(e.of), e.arguments.eval(r)) }

type negation struct{ of expr }

func (e *negation) eval(r *run) any { return !truth(r.eval(e.of)) }

type conditional struct {
	test, yes, no expr // no may be nil
}

func (e *conditional) eval(r *run) any {
	switch {
	case truth(r.eval(e.test)):
		return r.eval(e.yes)
	case e.no != nil:
		return r.eval(e.no)
	}
	return undefined("the condition is false and there is no else")
}

type logic struct {
	or          bool
	left, right expr
}

func (e *logic) eval(r *run) any {
	if v := r.eval(e.left); truth(v) == e.or {
		return v
	}
	return r.eval(e.right)
}

// comparison is first op rest op rest ..., which holds if each neighbouring pair does.
type comparison struct {
	first expr
	ops   []string
	rest  []expr
}

func (e *comparison) eval(r *run) any {
	left := r.eval(e.first)
	for i, op := range e.ops {
		right := r.eval(e.rest[i])
		var holds bool
		switch op {
		case "==":
			holds = r.equal(left, right)
		case "!=":
			holds = !r.equal(left, right)
		case "in":
			holds = r.contains(right, left)
		case "not in":
			holds = !r.contains(right, left)
		case "<":
			holds = r.less(left, right)
		case ">":
			holds = r.less(right, left)
		case "<=":
			holds = !r.less(right, left)
		case ">=":
			holds = !r.less(left, right)
		}
		if !holds {
			return false
		}
		left = right
	}
	return true
}

type binary struct {
	op          string
	left, right expr
}

func (e *binary) eval(r *run) any {
	left, right := r.eval(e.left), r.eval(e.right)
	if e.op == "~" {
		a, b := r.text(left), r.text(right)
		r.spend(len(a) + len(b))
		return a + b
	}
	r.defined(left, right)
	switch a := left.(type) {
	case string:
		if b, ok := right.(string); ok && e.op == "+" {
			r.spend(len(a) + len(b))
			return a + b
		}
		if n, ok := integer(right); ok && e.op == "*" {
			return strings.Repeat(a, r.times(len(a), n))
		}
		if e.op == "%" {
			return r.format(a, right)
		}
	case list, tuple:
		x := sequence(a)
		if n, ok := integer(right); ok && e.op == "*" {
			return sameKind(a, slices.Repeat(x, r.times(len(x)*itemWork, n)))
		}
		if y := sequence(right); e.op == "+" && typeName(a) == typeName(right) {
			r.spend((len(x) + len(y)) * itemWork)
			return sameKind(a, slices.Concat(x, y))
		}
	}
	if n, ok := integer(left); ok {
		switch b := right.(type) {
		case string:
			if e.op == "*" {
				return strings.Repeat(b, r.times(len(b), n))
			}
		case list, tuple:
			if x := sequence(b); e.op == "*" {
				return sameKind(b, slices.Repeat(x, r.times(len(x)*itemWork, n)))
			}
		}
		if m, ok := integer(right); ok {
			return r.whole(e.op, n, m)
		}
	}
	x, ok := number64(left)
	y, also := number64(right)
	if !ok || !also {
		r.fail("%s %s %s is not possible", typeName(left), e.op, typeName(right))
	}
	switch e.op {
	case "+":
		return x + y
	case "-":
		return x - y
	case "*":
		return x * y
	case "**":
		return math.Pow(x, y)
	}
	if y == 0 {
		r.fail("division by zero")
	}
	switch e.op {
	case "/":
		return x / y
	case "//":
		return math.Floor(x / y)
	}
	m := math.Mod(x, y) // %: the sign is the divisor's
	if m != 0 && (m < 0) != (y < 0) {
		m += y
	}
	return m
}

// times is how often something of a size is to be repeated, n or 0, paid for.
func (r *run) times(size, n int) int {
	if n <= 0 || size == 0 {
		return 0
	}
	if n > r.work/size {
		n = r.work/size + 1
	}
	r.spend(n * size)
	return n
}

// whole computes with whole numbers as Python does, but for their size.
func (r *run) whole(op string, a, b int) any {
	var c int
	exact := true
	switch op {
	case "+":
		c = a + b
		exact = (c > a) == (b > 0)
	case "-":
		c = a - b
		exact = (c < a) == (b > 0)
	case "*":
		c, exact = product(a, b)
	case "**":
		if b < 0 {
			return math.Pow(float64(a), float64(b))
		}
		c = 1
		for ; b > 0 && exact; b-- {
			r.step()
			c, exact = product(c, a)
		}
	default:
		switch {
		case b == 0:
			r.fail("division by zero")
		case op == "/":
			return float64(a) / float64(b)
		case a == math.MinInt && b == -1:
			exact = false
		case op == "//":
			if c = a / b; c*b != a && (a < 0) != (b < 0) {
				c--
			}
		default: // %: the sign is the divisor's
			if c = a % b; c != 0 && (c < 0) != (b < 0) {
				c += b
			}
		}
	}
	if !exact {
		r.fail("the result of %d %s %d is too large", a, op, b)
	}
	return c
}

func product(a, b int) (int, bool) {
	c := a * b
	return c, a == 0 || c/a == b && !(a == -1 && b == math.MinInt)
}

// format is % of a string: %s and %d.
func (r *run) format(format string, with any) string {
	r.spend(len(format))
	values := []any{with}
	if t, ok := with.(tuple); ok {
		values = t
	}
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(format, "%")
		b.WriteString(text)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			b.WriteByte('%')
			format = rest[1:]
			continue
		}
		if rest == "" || rest[0] != 's' && rest[0] != 'd' {
			r.fail("in a format only %%s, %%d and %%%% are supported")
		}
		if len(values) == 0 {
			r.fail("a format with too few values")
		}
		if _, ok := integer(values[0]); rest[0] == 'd' && !ok {
			r.fail("%%d wants a whole number")
		}
		s := r.text(values[0])
		r.spend(len(s))
		b.WriteString(s)
		values, format = values[1:], rest[1:]
	}
	if len(values) > 0 {
		r.fail("a format with too many values")
	}
	return b.String()
}

// execute renders a template. dated says that it asked for the time.
func execute(body block, vars map[string]any, input int) (text string, dated bool, err error) {
	r := &run{
		scope:    &scope{vars: vars},
		out:      &strings.Builder{},
		work:     freeWork + workEach*input,
		room:     freeText + textEach*input,
		deadline: time.Now().Add(maxTime),
	}
	r.checked = r.work
	defer func() {
		dated = r.dated
		switch e := recover().(type) {
		case nil:
		case *runError:
			var refusal *TemplateError
			switch err = e.err; {
			case errors.As(err, &refusal):
			case len(err.Error()) > maxMessage:
				err = fmt.Errorf("line %d: %s", e.line, short(err.Error()))
			default:
				err = fmt.Errorf("line %d: %w", e.line, e.err)
			}
		default:
			err = fmt.Errorf("line %d: %v", r.line, e)
		}
	}()
	body.run(r)
	return r.out.String(), r.dated, nil
}
