package tokenizer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A regexNode is a part of a pattern: one of the types below.
type regexNode any

type (
	setNode      struct{ set runeSet } // a rune of a set
	sequenceNode []regexNode           // one after the other
	choiceNode   []regexNode           // the first that leads to a match
	placeNode    int32                 // a kind of place
	lookNode     struct {              // a look that takes nothing; behind: at one rune, body is a setNode
		body        regexNode
		not, behind bool
	}
	repeatNode struct {
		body             regexNode
		min, max         int  // max may be unlimited
		lazy, possessive bool // possessive: body is a setNode
	}
)

const (
	unlimited  = -1
	maxRepeats = 1000 // in {n,m}
)

// regexParser reads a pattern in Oniguruma's syntax, of which it knows what can be matched in linear time: no references
// to groups, and look-behind and possessive repeats of single characters only. Text is Unicode throughout: \w, \d, \s and \b too.
type regexParser struct {
	rest    string
	fold    bool // (?i)
	dotAll  bool // (?m): a dot is a line feed, too
	inClass bool // within brackets
	err     error
}

func parseRegex(pattern string) (regexNode, error) {
	p := regexParser{rest: pattern}
	if !utf8.ValidString(pattern) {
		return nil, fmt.Errorf("not UTF-8")
	}
	n := p.choice()
	if p.rest != "" {
		p.fail("a ) without its (")
	}
	return n, p.err
}

// fail notes the first error; nothing is read after it.
func (p *regexParser) fail(format string, args ...any) regexNode {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
	p.rest = ""
	return sequenceNode{}
}

func (p *regexParser) take(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	if ok {
		p.rest = rest
	}
	return ok
}

func (p *regexParser) rune() rune {
	r, n := utf8.DecodeRuneInString(p.rest)
	p.rest = p.rest[n:]
	return r
}

func (p *regexParser) choice() regexNode {
	choices := choiceNode{p.sequence()}
	for p.take("|") {
		choices = append(choices, p.sequence())
	}
	if len(choices) == 1 {
		return choices[0]
	}
	return choices
}

func (p *regexParser) sequence() regexNode {
	var s sequenceNode
	for p.rest != "" && p.rest[0] != '|' && p.rest[0] != ')' {
		n := p.atom()
		for p.err == nil {
			r, ok := p.quantifier()
			if !ok {
				break
			}
			if _, single := n.(setNode); r.possessive && !single {
				return p.fail("a possessive repeat of more than a single character is not supported")
			}
			r.body = n
			n = r
		}
		s = append(s, n)
	}
	if len(s) == 1 {
		return s[0]
	}
	return s
}

// quantifier reads what follows an atom: a repeat without its body.
func (p *regexParser) quantifier() (repeatNode, bool) {
	var r repeatNode
	interval := false
	switch {
	case p.take("*"):
		r = repeatNode{min: 0, max: unlimited}
	case p.take("+"):
		r = repeatNode{min: 1, max: unlimited}
	case p.take("?"):
		r = repeatNode{min: 0, max: 1}
	default:
		if r.min, r.max, interval = p.interval(); !interval {
			return r, false
		}
	}
	if r.min > maxRepeats || r.max > maxRepeats {
		p.fail("more than %d repeats", maxRepeats)
	}
	fixed := interval && r.min == r.max // a? behind it makes it optional, not lazy; a + repeats it
	if !fixed && p.take("?") {
		r.lazy = true
	} else if !interval && p.take("+") {
		r.possessive = true
	}
	return r, true
}

// interval reads {n}, {n,}, {,m} or {n,m}. Anything else is plain text.
func (p *regexParser) interval() (low, high int, ok bool) {
	body, rest, ok := strings.Cut(p.rest, "}")
	if !ok || len(body) < 2 || body[0] != '{' {
		return 0, 0, false
	}
	first, second, comma := strings.Cut(body[1:], ",")
	number := func(s string, otherwise int) (n int) {
		if n = otherwise; s != "" {
			v, err := strconv.ParseUint(s, 10, 31)
			n, ok = int(v), ok && err == nil
		}
		return n
	}
	low = number(first, 0)
	high = low
	if comma {
		high = number(second, unlimited)
		ok = ok && (first != "" || second != "")
	}
	if ok {
		p.rest = rest
	}
	if ok && high != unlimited && high < low {
		p.fail("{%d,%d} repeats", low, high)
	}
	return low, high, ok
}

func (p *regexParser) atom() regexNode {
	switch r := p.rune(); r {
	case '(':
		return p.group()
	case '[':
		return setNode{p.class()}
	case '.':
		if p.dotAll {
			return setNode{runeSet(nil).negate()}
		}
		return setNode{runeSet{'\n', '\n'}.negate()}
	case '^':
		return placeNode(lineStart)
	case '$':
		return placeNode(lineEnd)
	case '*', '+', '?':
		return p.fail("nothing in front of %c to repeat", r)
	case '\\':
		return p.escape()
	default:
		return setNode{p.single(r)}
	}
}

// single is the set of one rune, in both cases where case does not count.
func (p *regexParser) single(r rune) runeSet {
	if p.fold {
		return runeSet{r, r}.fold()
	}
	return runeSet{r, r}
}

// group reads what follows an opening parenthesis, up to its end.
func (p *regexParser) group() regexNode {
	fold, dotAll := p.fold, p.dotAll // flags end with the group
	defer func() { p.fold, p.dotAll = fold, dotAll }()
	var n regexNode
	switch {
	case p.take("?:"):
		n = p.choice()
	case p.take("?="):
		n = lookNode{body: p.choice()}
	case p.take("?!"):
		n = lookNode{body: p.choice(), not: true}
	case p.take("?<="):
		n = p.behind(false)
	case p.take("?<!"):
		n = p.behind(true)
	case p.take("?>"):
		n = p.atomic()
	case p.take("?<"):
		_, rest, ok := strings.Cut(p.rest, ">") // the name
		if !ok {
			return p.fail("a group (?< without its >")
		}
		p.rest = rest
		n = p.choice()
	case p.take("?"):
		return p.flags()
	default:
		n = p.choice()
	}
	if !p.take(")") {
		return p.fail("a ( without its )")
	}
	return n
}

func (p *regexParser) behind(not bool) regexNode {
	body := p.choice()
	if _, ok := body.(setNode); !ok {
		return p.fail("a look behind at more than a single character is not supported")
	}
	return lookNode{body: body, not: not, behind: true}
}

// atomic reads a group that does not give back what it took. Where that is a repeat of single characters, it is a possessive one.
func (p *regexParser) atomic() regexNode {
	r, ok := p.choice().(repeatNode)
	if _, single := r.body.(setNode); !ok || !single || r.lazy {
		return p.fail("a group (?>...) of more than a repeated character is not supported")
	}
	r.possessive = true
	return r
}

// flags reads (?i:...) and the like, of which (?i) alone lasts to the end of the group around it, alternatives included.
func (p *regexParser) flags() regexNode {
	on := true
	for {
		switch {
		case p.take("-"):
			on = false
		case p.take("i"):
			p.fold = on
		case p.take("m"):
			p.dotAll = on
		case p.take(":"):
			n := p.choice()
			if !p.take(")") {
				return p.fail("a ( without its )")
			}
			return n
		case p.take(")"):
			return p.choice()
		default:
			return p.fail("a group %.3q is not supported", "(?"+p.rest)
		}
	}
}

// escape reads what follows a backslash outside of a class.
func (p *regexParser) escape() regexNode {
	for letter, kind := range map[string]int32{"A": textStart, "z": textEnd, "Z": textEndOrLastLine, "b": wordBorder, "B": noWordBorder} {
		if p.take(letter) {
			return placeNode(kind)
		}
	}
	switch {
	case p.take("w"):
		return setNode{wordRunes}
	case p.take("W"):
		return setNode{wordRunes.negate()}
	}
	set, _ := p.escapedSet()
	return setNode{set}
}

// escapedSet reads what follows a backslash, in a class or not, and says whether that is a single rune.
func (p *regexParser) escapedSet() (set runeSet, single bool) {
	if p.rest == "" {
		p.fail("a \\ at the end")
		return nil, false
	}
	r := p.rune()
	if name, ok := map[rune]string{'d': "digit", 's': "space", 'w': "word", 'h': "xdigit"}[unicode.ToLower(r)]; ok {
		set = posixSets[name]()
		if unicode.IsUpper(r) {
			set = set.negate()
		}
		return set, false
	}
	switch {
	case r == 'p' || r == 'P':
		return p.property(r == 'P'), false
	case r == 'x' || r == 'u':
		r = p.code(r)
	case strings.ContainsRune("tnrfvae", r):
		r = map[rune]rune{'t': '\t', 'n': '\n', 'r': '\r', 'f': '\f', 'v': '\v', 'a': '\a', 'e': '\x1b'}[r]
	case '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z':
		p.fail("\\%c is not supported", r)
	}
	return p.single(r), true
}

// code reads the digits of \x41, \x{1F600} or \u00e9.
func (p *regexParser) code(kind rune) rune {
	digits, n := p.rest, 4
	if kind == 'x' {
		n = 2
		if body, ok := strings.CutPrefix(p.rest, "{"); ok {
			digits, n = body, max(0, strings.IndexByte(body, '}'))
		}
	}
	v, err := strconv.ParseUint(digits[:min(n, len(digits))], 16, 31)
	if err != nil || !utf8.ValidRune(rune(v)) {
		p.fail("\\%c without the code of a character", kind)
		return 0
	}
	if p.take("{") {
		n++ // the closing brace
	}
	p.rest = p.rest[min(n, len(p.rest)):]
	return rune(v)
}

// property reads {Name} or {^Name}.
func (p *regexParser) property(negate bool) runeSet {
	name, rest, ok := strings.Cut(p.rest, "}")
	if !ok || !strings.HasPrefix(name, "{") {
		p.fail(`\p without {...}`)
		return nil
	}
	p.rest = rest
	name, not := strings.CutPrefix(name[1:], "^")
	set, ok := propertySet(name)
	if !p.inClass && strings.EqualFold(name, "word") {
		set = wordRunes
	}
	if !ok {
		p.fail("%.40q is no known property", name)
	}
	if not != negate {
		set = set.negate()
	}
	return set
}

// class reads what follows an opening bracket, up to its end.
func (p *regexParser) class() runeSet {
	defer func(inClass bool) { p.inClass = inClass }(p.inClass)
	p.inClass = true
	negate := p.take("^")
	set := p.classItems()
	for p.take("&&") {
		set = set.intersect(p.classItems())
	}
	if !p.take("]") {
		p.fail("a [ without its ]")
	}
	if p.fold {
		set = set.fold()
	}
	if negate {
		set = set.negate()
	}
	return set
}

// classItems reads characters, ranges and sets up to a closing bracket or &&.
func (p *regexParser) classItems() runeSet {
	var set runeSet
	for p.rest != "" && !strings.HasPrefix(p.rest, "]") && !strings.HasPrefix(p.rest, "&&") {
		if p.take("[:") {
			set = append(set, p.posix()...)
			continue
		}
		if p.take("[") {
			set = append(set, p.class()...)
			continue
		}
		low, single := p.classRune()
		if !single || !strings.HasPrefix(p.rest, "-") || strings.HasPrefix(p.rest, "-]") || strings.HasPrefix(p.rest, "-[") {
			set = append(set, low...)
			continue
		}
		p.take("-")
		high, single := p.classRune()
		if !single || p.err == nil && high[0] < low[0] {
			p.fail("a range that does not end behind its start")
			return nil
		}
		if p.err == nil {
			set = append(set, low[0], high[0])
		}
	}
	if len(set) == 0 {
		p.fail("an empty class")
	}
	return set.sorted()
}

// classRune reads a character or an escaped set of a class.
func (p *regexParser) classRune() (set runeSet, single bool) {
	if fold := p.fold; fold { // the class is folded as a whole
		p.fold = false
		defer func() { p.fold = fold }()
	}
	if p.take(`\b`) {
		return runeSet{'\b', '\b'}, true
	}
	if p.take(`\`) {
		return p.escapedSet()
	}
	r := p.rune()
	return runeSet{r, r}, true
}

// posix reads what follows [: in a class.
func (p *regexParser) posix() runeSet {
	name, rest, ok := strings.Cut(p.rest, ":]")
	name, not := strings.CutPrefix(name, "^")
	set := posixSets[name]
	if !ok || set == nil {
		p.fail("%.40q is no class such as [:alpha:]", name)
		return nil
	}
	p.rest = rest
	if not {
		return set().negate()
	}
	return set()
}

// runeSet is a set of runes: the first and the last of each range, ascending and apart.
type runeSet []rune

func (s runeSet) has(r rune) bool {
	i, found := slices.BinarySearch(s, r)
	return found || i%2 == 1
}

func (s runeSet) equal(t runeSet) bool { return slices.Equal(s, t) }

// sorted brings ranges that stand in any order into the form of a set.
func (s runeSet) sorted() runeSet {
	ranges := make([][2]rune, 0, len(s)/2)
	for i := 0; i+1 < len(s); i += 2 {
		ranges = append(ranges, [2]rune{s[i], s[i+1]})
	}
	slices.SortFunc(ranges, func(a, b [2]rune) int { return int(a[0]) - int(b[0]) })
	out := make(runeSet, 0, len(s))
	for _, x := range ranges {
		if n := len(out); n > 0 && x[0] <= out[n-1]+1 {
			out[n-1] = max(out[n-1], x[1])
		} else {
			out = append(out, x[0], x[1])
		}
	}
	return out
}

func (s runeSet) negate() runeSet {
	var out runeSet
	next := rune(0)
	for i := 0; i+1 < len(s); i += 2 {
		if s[i] > next {
			out = append(out, next, s[i]-1)
		}
		next = s[i+1] + 1
	}
	if next <= unicode.MaxRune {
		out = append(out, next, unicode.MaxRune)
	}
	return out
}

func (s runeSet) union(t runeSet) runeSet { return slices.Concat(s, t).sorted() }

func (s runeSet) intersect(t runeSet) runeSet { return s.negate().union(t.negate()).negate() }

// fold adds the other cases of every rune.
func (s runeSet) fold() runeSet {
	out := slices.Clone(s)
	for _, r := range foldingRunes() {
		if s.has(r) {
			eachFold(r, func(f rune) { out = append(out, f, f) })
		}
	}
	return out.sorted()
}

// foldingRunes are those that have another case.
var foldingRunes = sync.OnceValue(func() []rune {
	var out []rune
	for _, c := range unicode.CaseRanges {
		for r := rune(c.Lo); r <= rune(c.Hi); r++ {
			if unicode.SimpleFold(r) != r {
				out = append(out, r)
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) { // ß is in none of the ranges, but ẞ is
					out = append(out, f)
				}
			}
		}
	}
	for r := range foldDifferences {
		out = append(out, r)
	}
	slices.Sort(out)
	return slices.Compact(out)
})

// tableSet is the set of the runes of a table.
func tableSet(t *unicode.RangeTable) runeSet {
	var out runeSet
	add := func(low, high, stride rune) {
		if stride == 1 {
			out = append(out, low, high)
			return
		}
		for r := low; r <= high; r += stride {
			out = append(out, r, r)
		}
	}
	for _, r := range t.R16 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	for _, r := range t.R32 {
		add(rune(r.Lo), rune(r.Hi), rune(r.Stride))
	}
	return out.sorted()
}

// wordRunes are \w outside of a class, and what \b looks for: letters, marks, decimal digits and connectors, and in Oniguruma also
// the superscripts and fractions of Latin-1, which it leaves out of a class.
var wordRunes = posixSets["word"]().union(runeSet{'²', '³', '¹', '¹', '¼', '¾'})

// posixSets are the sets of [:name:]. Each is made once.
var posixSets = map[string]func() runeSet{
	"alpha":      namedSets("L", "Nl", "Other_Alphabetic"),
	"digit":      namedSets("Nd"),
	"alnum":      namedSets("L", "Nl", "Other_Alphabetic", "Nd"),
	"lower":      namedSets("Ll", "Other_Lowercase"),
	"upper":      namedSets("Lu", "Other_Uppercase"),
	"punct":      namedSets("P", "S"),
	"space":      namedSets("White_Space"),
	"cntrl":      namedSets("Cc"),
	"word":       namedSets("L", "M", "Nd", "Nl", "Pc", "Other_Alphabetic"),
	"xdigit":     func() runeSet { return runeSet{'0', '9', 'A', 'F', 'a', 'f'} },
	"ascii":      func() runeSet { return runeSet{0, unicode.MaxASCII} },
	"alphabetic": namedSets("L", "Nl", "Other_Alphabetic"),
	"any":        func() runeSet { return runeSet{0, unicode.MaxRune} },
}

func namedSets(names ...string) func() runeSet {
	return sync.OnceValue(func() runeSet {
		var s runeSet
		for _, name := range names {
			s = s.union(namedSet(name))
		}
		return s
	})
}

var propertySets sync.Map // from the name in the pattern to a runeSet

// propertySet returns the set of \p{name}: a category, a script, a property of Unicode or a class of POSIX. Case, spaces,
// hyphens and underscores of a name do not count.
func propertySet(name string) (runeSet, bool) {
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer(" ", "", "_", "", "-", "").Replace(s))
	}
	name = plain(name)
	if set, ok := propertySets.Load(name); ok {
		return set.(runeSet), true
	}
	find := func() (runeSet, bool) {
		if name == "punct" { // [:punct:] has symbols, too
			return namedSet("P"), true
		}
		if set, ok := posixSets[name]; ok {
			return set(), true
		}
		for alias, short := range unicode.CategoryAliases {
			if plain(alias) == name {
				return namedSet(short), true
			}
		}
		for _, group := range []map[string]*unicode.RangeTable{unicode.Categories, unicode.Scripts, unicode.Properties} {
			for full := range group {
				if plain(full) == name {
					return namedSet(full), true
				}
			}
		}
		for full := range patternDifferences { // of scripts that are new
			if plain(full) == name {
				return namedSet(full), true
			}
		}
		return nil, false
	}
	set, ok := find()
	if ok {
		propertySets.Store(name, set)
	}
	return set, ok
}
