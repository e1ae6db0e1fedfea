package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"
)

// regex is a regular expression as Oniguruma, which tokenizers uses, understands it (regexparse.go). It finds what a
// backtracking engine finds: at each place the match that the alternatives' order and the repeats' greed prefer.
//
// It works from the end of the text to its start. For every place and instruction it notes where a match that goes on with
// this instruction from there would end; the instructions look only at the place behind and at others of the same place.
// So the time is the product of text and program whatever the two are, look-ahead included, and no pattern explodes.
type regex struct {
	program []instruction // every instruction stands behind those of the same place that it looks at
	start   int32
	sets    []runeSet
	ascii   [utf8.RuneSelf][]bool // by rune and set: the set has the rune
}

// instruction is one step of a match. a and b are the instructions that follow.
type instruction struct {
	op   opcode
	set  int32
	a, b int32
}

type opcode uint8

const (
	opMatch  opcode = iota // the end
	opSet                  // a rune of set, then a
	opWhile                // a rune of set, then a; b only if there is none. What it took is not given back: possessive
	opEither               // a, or else b
	opTry                  // a rune of set, then a; or else b
	opAhead                // if a matches, then b
	opNot                  // unless a matches, then b
	opAssert               // if the place is of kind set, then a
	opBehind               // if the rune before is in set, then a
)

// A kind of place is what opAssert asks for.
const (
	textStart int32 = iota
	textEnd
	textEndOrLastLine // the end, or before the line feed that ends the text
	lineStart
	lineEnd
	wordBorder
	noWordBorder
)

const (
	maxRegex        = 4096    // bytes of a pattern; the parser recurses where parentheses nest
	maxInstructions = 2048    // of all patterns of a tokenizer, with which the time for a text grows
	maxWork         = 1 << 30 // steps for the bytes of a text: some seconds
	stepsToStart    = 64      // for how many instructions the time counts that a pattern needs for a word of one letter
	maxHeldEnds     = 1 << 16 // of longer texts the ends are not held while the matches are used
)

// regexScratch is memory that all patterns share. Of a long text it is four bytes a byte, given back before the matches are used, for
// what uses them may run the next pattern.
type regexScratch struct {
	ends         []int32
	here, behind []int32
	member       []bool
}

var regexScratches = sync.Pool{New: func() any { return new(regexScratch) }}

// find calls found for the matches in s, from left to right and without overlap. An empty match does not touch the match before it.
// With joined, matches that touch are given as one.
func (re *regex) find(s string, joined bool, found func(start, end int)) {
	scratch := regexScratches.Get().(*regexScratch)
	ends := re.ends(scratch, s)
	if len(s) <= maxHeldEnds {
		eachMatch(ends, s, joined, found)
		regexScratches.Put(scratch)
		return
	}
	n := 0
	eachMatch(ends, s, joined, func(int, int) { n++ })
	matches := make([][2]int32, 0, n)
	eachMatch(ends, s, joined, func(start, end int) { matches = append(matches, [2]int32{int32(start), int32(end)}) })
	regexScratches.Put(scratch)
	for _, m := range matches {
		found(int(m[0]), int(m[1]))
	}
}

// eachMatch goes over the matches of which ends has the ends.
func eachMatch(ends []int32, s string, joined bool, found func(start, end int)) {
	last := none
	for i := 0; i <= len(s); {
		e := int(ends[i])
		if e < 0 || e == i && i == last {
			i += max(1, runeLen(s[i:]))
			continue
		}
		start := i
		i, last = e, e
		for joined && i > start && i < len(s) && int(ends[i]) > i {
			i = int(ends[i])
			last = i
		}
		found(start, i)
	}
}

func runeLen(s string) int {
	_, n := utf8.DecodeRuneInString(s)
	return n
}

// ends returns, for the first byte of every rune of s and for its end, where the match that begins there ends, or none.
func (re *regex) ends(scratch *regexScratch, s string) []int32 {
	scratch.ends = slices.Grow(scratch.ends[:0], len(s)+1)
	scratch.here, scratch.behind = slices.Grow(scratch.here[:0], len(re.program)), slices.Grow(scratch.behind[:0], len(re.program))
	scratch.member = slices.Grow(scratch.member[:0], len(re.sets))
	ends := scratch.ends[:len(s)+1]
	here, behind := scratch.here[:len(re.program)], scratch.behind[:len(re.program)]
	for k := range behind {
		behind[k] = none
	}
	other := scratch.member[:len(re.sets)] // of a rune beyond ASCII, or of none
	clear(other)
	member := other // by set: it has the rune at i
	after := rune(none)
	for i := len(s); ; {
		before, size := lastRune(s[:i])
		for k, c := range re.program {
			end := int32(none)
			switch c.op {
			case opMatch:
				end = int32(i)
			case opSet:
				if member[c.set] {
					end = behind[c.a]
				}
			case opWhile:
				if member[c.set] {
					end = behind[c.a]
				} else {
					end = here[c.b]
				}
			case opEither:
				if end = here[c.a]; end == none {
					end = here[c.b]
				}
			case opTry:
				if member[c.set] {
					end = behind[c.a]
				}
				if end == none {
					end = here[c.b]
				}
			case opAhead:
				if here[c.a] != none {
					end = here[c.b]
				}
			case opNot:
				if here[c.a] == none {
					end = here[c.b]
				}
			case opAssert:
				if isPlace(c.set, i, len(s), before, after) {
					end = here[c.a]
				}
			case opBehind:
				if before != none && re.sets[c.set].has(before) {
					end = here[c.a]
				}
			}
			here[k] = end
		}
		ends[i] = here[re.start]
		if i == 0 {
			return ends
		}
		i -= size
		if after = before; before < utf8.RuneSelf {
			member = re.ascii[before]
		} else {
			member = other
			for k, set := range re.sets {
				member[k] = set.has(before)
			}
		}
		here, behind = behind, here
	}
}

func lastRune(s string) (rune, int) {
	if s == "" {
		return none, 0
	}
	return utf8.DecodeLastRuneInString(s)
}

// isPlace says whether place i of a text of n bytes, between the runes before and after, is of a kind.
func isPlace(kind int32, i, n int, before, after rune) bool {
	switch kind {
	case textStart:
		return i == 0
	case textEnd:
		return i == n
	case textEndOrLastLine:
		return i == n || i == n-1 && after == '\n'
	case lineStart:
		return i == 0 || before == '\n' && i < n // none behind the line feed that ends the text
	case lineEnd:
		return i == n || after == '\n'
	}
	return (wordRunes.has(before) != wordRunes.has(after)) == (kind == wordBorder)
}

// patternList is what there is to know of all patterns of a tokenizer.
type patternList struct {
	instructions int
	steps        int    // instructions, and what it takes to start
	longest      int    // steps of one
	name         string // of that one: its key and its text
}

func (l *patternList) add(re *regex, name string) {
	l.instructions += len(re.program)
	steps := len(re.program) + stepsToStart
	l.steps += steps
	if steps > l.longest {
		l.longest, l.name = steps, name
	}
}

// check refuses a text of n bytes that the patterns would take too long for.
func (l *patternList) check(n int) error {
	if n*l.steps <= maxWork {
		return nil
	}
	return fmt.Errorf("text of %d bytes is too long for the tokenizer's patterns, which take %d steps a byte, %d of them for %s; cut it to %d bytes",
		n, l.steps, l.longest, l.name, maxWork/l.steps)
}

// compileRegex reads a pattern that has at most limit instructions. key says where it stands in the file.
func compileRegex(pattern, key string, limit int) (*regex, error) {
	if len(pattern) > maxRegex {
		return nil, fmt.Errorf("%s: %d bytes, more than %d", key, len(pattern), maxRegex)
	}
	tree, err := parseRegex(pattern)
	if err != nil {
		return nil, fmt.Errorf("%s: %w in %.200q", key, err, pattern)
	}
	c := regexCompiler{limit: limit, known: map[instruction]int32{}}
	end := c.emit(instruction{op: opMatch})
	start := c.compile(tree, end)
	if c.err == nil {
		start = c.sort(start)
	}
	if c.err != nil {
		return nil, fmt.Errorf("%s: %w in %.200q", key, c.err, pattern)
	}
	re := &regex{program: c.program, start: start, sets: c.sets}
	for r := range re.ascii {
		re.ascii[r] = make([]bool, len(re.sets))
		for k, set := range re.sets {
			re.ascii[r][k] = set.has(rune(r))
		}
	}
	return re, nil
}

// regexCompiler makes a program of a tree.
type regexCompiler struct {
	limit   int
	program []instruction
	known   map[instruction]int32 // the places of those that are there; what goes on in the same way is there once
	sets    []runeSet
	err     error
}

// emit returns the place of an instruction, which is added if it is not there.
func (c *regexCompiler) emit(i instruction) int32 {
	if place, ok := c.known[i]; ok {
		return place
	}
	place := c.add(i)
	c.known[i] = place
	return place
}

func (c *regexCompiler) add(i instruction) int32 {
	if len(c.program) >= c.limit {
		c.err = fmt.Errorf("more than %d steps", maxInstructions)
		return 0
	}
	c.program = append(c.program, i)
	return int32(len(c.program) - 1)
}

// either is a, or else b.
func (c *regexCompiler) either(a, b int32) instruction {
	if first := c.program[a]; first.op == opSet {
		return instruction{op: opTry, set: first.set, a: first.a, b: b}
	}
	return instruction{op: opEither, a: a, b: b}
}

func (c *regexCompiler) set(s runeSet) int32 {
	for k, old := range c.sets {
		if old.equal(s) {
			return int32(k)
		}
	}
	c.sets = append(c.sets, s)
	return int32(len(c.sets) - 1)
}

// compile emits what matches n and then goes on with next, and returns where it begins.
func (c *regexCompiler) compile(n regexNode, next int32) int32 {
	if c.err != nil {
		return 0
	}
	switch n := n.(type) {
	case setNode:
		return c.emit(instruction{op: opSet, set: c.set(n.set), a: next})
	case sequenceNode:
		for i := len(n) - 1; i >= 0; i-- {
			next = c.compile(n[i], next)
		}
		return next
	case choiceNode:
		start := c.compile(n[len(n)-1], next)
		for i := len(n) - 2; i >= 0; i-- {
			start = c.emit(c.either(c.compile(n[i], next), start))
		}
		return start
	case placeNode:
		return c.emit(instruction{op: opAssert, set: int32(n), a: next})
	case lookNode:
		return c.compileLook(n, next)
	case repeatNode:
		return c.compileRepeat(n, next)
	}
	panic(fmt.Sprintf("regex node %T", n))
}

func (c *regexCompiler) compileLook(n lookNode, next int32) int32 {
	if n.behind {
		set := n.body.(setNode).set
		if n.not { // also where there is no rune before
			set = set.negate()
			place := c.emit(instruction{op: opAssert, set: textStart, a: next})
			return c.emit(instruction{op: opEither, a: c.emit(instruction{op: opBehind, set: c.set(set), a: next}), b: place})
		}
		return c.emit(instruction{op: opBehind, set: c.set(set), a: next})
	}
	op := opAhead
	if n.not {
		op = opNot
	}
	return c.emit(instruction{op: op, a: c.compile(n.body, c.emit(instruction{op: opMatch})), b: next})
}

func (c *regexCompiler) compileRepeat(n repeatNode, next int32) int32 {
	either := func(body, next int32) instruction {
		if n.lazy {
			body, next = next, body
		}
		return c.either(body, next)
	}
	switch {
	case n.possessive:
		end, set := next, c.set(n.body.(setNode).set)
		if n.max == unlimited {
			next = c.add(instruction{op: opWhile, set: set, b: end})
			c.program[next].a = next
			break
		}
		for range n.max - n.min {
			next = c.emit(instruction{op: opWhile, set: set, a: next, b: end})
		}
	case n.max == unlimited:
		loop := c.add(instruction{op: opEither})
		body := c.compile(n.body, loop)
		c.program[loop] = either(body, next)
		next = loop
	default:
		end := next
		for i := n.min; i < n.max && c.err == nil; i++ {
			next = c.emit(either(c.compile(n.body, next), end))
		}
	}
	for range n.min {
		start := c.compile(n.body, next)
		if start == next { // an empty body, or an error
			break
		}
		next = start
	}
	return next
}

var errEmptyLoop = errors.New("a part that may be empty is repeated without end, which is not supported")

// sort puts every instruction behind those that it looks at at the same place, and returns where start has gone. There is
// no such order where a loop can turn without taking a rune.
func (c *regexCompiler) sort(start int32) int32 {
	const unseen, open = -1, -2
	place := make([]int32, len(c.program))
	for i := range place {
		place[i] = unseen
	}
	var sorted []instruction
	var from []int32 // the instruction that stands at a place of sorted
	var visit func(i int32)
	visit = func(i int32) {
		if place[i] == open {
			c.err = errEmptyLoop
		}
		if place[i] != unseen || c.err != nil {
			return
		}
		place[i] = open
		in := c.program[i]
		switch in.op {
		case opEither, opAhead, opNot:
			visit(in.a)
			visit(in.b)
		case opAssert, opBehind:
			visit(in.a)
		case opWhile, opTry:
			visit(in.b)
		}
		place[i] = int32(len(sorted))
		sorted, from = append(sorted, in), append(from, i)
	}
	visit(start)
	for k := 0; k < len(sorted) && c.err == nil; k++ { // those that only a rune leads to
		switch sorted[k].op {
		case opSet, opWhile, opTry:
			visit(sorted[k].a)
		}
	}
	if c.err != nil {
		return 0
	}
	for k, in := range sorted {
		if in.op != opMatch {
			sorted[k].a = place[in.a]
		}
		switch in.op {
		case opWhile, opTry, opEither, opAhead, opNot:
			sorted[k].b = place[in.b]
		}
	}
	c.program = sorted
	return place[start]
}
