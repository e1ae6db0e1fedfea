package tokenizer

import (
	"fmt"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a span into words and yields them. Empty words are dropped. Words are passed on one by one: a list of those of a long
// text would take many times its memory.
type splitter func(s span, yield func(span)) error

// maxPrefixing is how many pre-tokenizers may change the text, each of which holds a copy while its words go through the next.
const maxPrefixing = 2

// compileSplitter appends the pre-tokenizers that c describes to b.splitters. key says where c stands in the file.
func (b *builder) compileSplitter(c component, key string) error {
	if err := b.countStep(key); err != nil {
		return err
	}
	if b.byteLevel && c.Type != "Sequence" {
		return fmt.Errorf("%s: %s after ByteLevel is not supported; ByteLevel must be the last pre-tokenizer", key, c.Type)
	}
	add := func(find matcher, cut behavior, invert bool) {
		b.splitters = append(b.splitters, func(s span, yield func(span)) error {
			split(s, find, cut, invert, yield)
			return nil
		})
	}
	switch c.Type {
	case "Sequence":
		for i, sub := range c.Pretokenizers {
			if err := b.compileSplitter(sub, fmt.Sprintf("%s.pretokenizers[%d]", key, i)); err != nil {
				return err
			}
		}
		return nil
	case "Split":
		cut, ok := behaviors[c.Behavior]
		if !ok {
			return unknownBehavior(key, c.Behavior)
		}
		find, err := b.compilePattern(c.Pattern, key, cut == contiguous)
		if err != nil {
			return err
		}
		add(find, cut, c.Invert)
		return nil
	case "Digits":
		cut := contiguous
		if c.IndividualDigits {
			cut = isolated
		}
		add(findRunes(isDigit), cut, false)
		return nil
	case "Whitespace":
		add(findWords, removed, true)
		return nil
	case "WhitespaceSplit":
		add(findRunes(unicode.IsSpace), removed, false)
		return nil
	case "Punctuation":
		cut, ok := behaviors[c.Behavior]
		if c.Behavior == "" {
			cut, ok = isolated, true
		}
		if !ok {
			return unknownBehavior(key, c.Behavior)
		}
		add(findRunes(isPunctuation), cut, false)
		return nil
	case "ByteLevel":
		b.byteLevel = true
		if c.AddPrefixSpace != nil && *c.AddPrefixSpace {
			b.splitters = append(b.splitters, func(s span, yield func(span)) error {
				if !strings.HasPrefix(s.text, " ") {
					var err error
					if s, err = prepend(s, " "); err != nil {
						return err
					}
				}
				yield(s)
				return nil
			})
		}
		if c.UseRegex == nil || *c.UseRegex {
			add(scannerMatcher(gpt2Word), isolated, false)
		}
		return nil
	case "Metaspace":
		scheme, err := c.prependScheme(key)
		if err != nil {
			return err
		}
		if b.prefixing++; b.prefixing > maxPrefixing {
			return fmt.Errorf("%s: more than %d of type Metaspace; one is enough", key, maxPrefixing)
		}
		b.splitters = append(b.splitters, func(s span, yield func(span)) error { return metaspace(s, c, scheme, yield) })
		return nil
	}
	return unsupported(key, c.Type, "Sequence, Split, Digits, ByteLevel, Metaspace, Whitespace, WhitespaceSplit, Punctuation")
}

func unknownBehavior(key, name string) error {
	return fmt.Errorf("%s.behavior: %.100q is not one of Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous", key, name)
}

// prependScheme checks a Metaspace and returns where it puts a space: always, first or never. Older files say add_prefix_space instead.
func (c component) prependScheme(key string) (string, error) {
	if utf8.RuneCountInString(c.Replacement) != 1 {
		return "", fmt.Errorf("%s.replacement: %.100q is not one character", key, c.Replacement)
	}
	legacy := c.AddPrefixSpace != nil && !*c.AddPrefixSpace
	switch c.PrependScheme {
	case "":
		if legacy {
			return "never", nil
		}
		return "always", nil
	case "always", "first", "never":
		if legacy && c.PrependScheme != "never" {
			return "", fmt.Errorf("%s: prepend_scheme %.100q contradicts add_prefix_space false; drop one of them", key, c.PrependScheme)
		}
		return c.PrependScheme, nil
	}
	return "", fmt.Errorf("%s.prepend_scheme: %.100q is not one of always, first, never", key, c.PrependScheme)
}

func metaspace(s span, c component, scheme string, yield func(span)) error {
	s, err := replaceAll(s, findString(" "), c.Replacement)
	if err != nil {
		return err
	}
	if (scheme == "always" || scheme == "first" && s.place(0) == 0) && !strings.HasPrefix(s.text, c.Replacement) {
		if s, err = prepend(s, c.Replacement); err != nil {
			return err
		}
	}
	if c.Split != nil && !*c.Split {
		yield(s)
		return nil
	}
	split(s, findString(c.Replacement), mergedWithNext, false, yield)
	return nil
}

// cutAtSpaces cuts in front of every run of ▁, for a BPE model that has no piece across such a place: the ids are the same, and words
// that come again need not be joined again.
func cutAtSpaces(s span, yield func(span)) error {
	start := 0
	for at := 0; ; {
		n := strings.Index(s.text[at:], spaceSymbol)
		if n < 0 {
			yield(s.slice(start, len(s.text)))
			return nil
		}
		if n > 0 && at+n > start {
			yield(s.slice(start, at+n))
			start = at + n
		}
		at += n + len(spaceSymbol)
	}
}

// spacesBegin says that ▁ is a piece, and that no piece has one behind another rune.
func spacesBegin(vocab iter.Seq2[string, int32]) bool {
	alone := false
	for text := range vocab {
		alone = alone || text == spaceSymbol
		for strings.HasPrefix(text, spaceSymbol) {
			text = text[len(spaceSymbol):]
		}
		if strings.Contains(text, spaceSymbol) {
			return false
		}
	}
	return alone
}

// behavior says what becomes of the stretches that match a pattern.
type behavior uint8

const (
	isolated           behavior = iota // words of their own
	removed                            // dropped
	mergedWithPrevious                 // joined to the stretch before
	mergedWithNext                     // joined to the stretch behind
	contiguous                         // matches that touch are one word
)

var behaviors = map[string]behavior{
	"Isolated": isolated, "Removed": removed, "MergedWithPrevious": mergedWithPrevious,
	"MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// split cuts s at the matches of find. With invert the matches and what lies between them change places.
func split(s span, find matcher, cut behavior, invert bool, yield func(span)) {
	c := cutter{of: s, cut: cut, invert: invert, yield: yield}
	find(s.text, c.found)
	if c.at < len(s.text) {
		c.add(stretch{c.at, len(s.text), invert})
	}
	c.flush()
}

// stretch is a match, or what lies between two matches.
type stretch struct {
	start, end int
	match      bool
}

// cutter makes words of stretches.
type cutter struct {
	of       span
	cut      behavior
	invert   bool
	yield    func(span)
	at       int     // what lies before is in a stretch
	previous bool    // the last stretch is a match
	held     stretch // to which the next may be joined; empty if there is none
}

func (c *cutter) found(start, end int) {
	if start > c.at {
		c.add(stretch{c.at, start, c.invert})
	}
	c.add(stretch{start, end, !c.invert})
	c.at = end
}

func (c *cutter) add(x stretch) {
	join := false
	switch c.cut {
	case removed:
		if x.match {
			return
		}
	case mergedWithPrevious:
		join = x.match && !c.previous
	case mergedWithNext:
		join = !x.match && c.previous
	case contiguous:
		join = x.match == c.previous
	}
	c.previous = x.match
	if join && c.held.end == x.start {
		c.held.end = x.end
		return
	}
	c.flush()
	c.held = x
}

// flush yields the word that is held. Empty ones are dropped.
func (c *cutter) flush() {
	if c.held.end > c.held.start {
		c.yield(c.of.slice(c.held.start, c.held.end))
	}
}

// matcher finds all matches [start, end) of a pattern in a text, in order and without overlap.
type matcher func(text string, found func(start, end int))

// compilePattern returns the matcher of a Split or Replace. key says where that stands in the file. With joined, matches that
// touch may be given as one.
func (b *builder) compilePattern(p *pattern, key string, joined bool) (matcher, error) {
	key += ".pattern"
	switch {
	case p == nil || (p.String == nil) == (p.Regex == nil):
		return nil, fmt.Errorf(`%s: want {"String": ...} or {"Regex": ...}`, key)
	case p.String != nil:
		if *p.String == "" {
			return nil, fmt.Errorf("%s.String: empty", key)
		}
		return findString(*p.String), nil
	}
	if scan := scanners[*p.Regex]; scan != nil {
		return scannerMatcher(scan), nil
	}
	re, err := compileRegex(*p.Regex, key+".Regex", maxInstructions-b.patterns.instructions)
	if err != nil {
		return nil, err
	}
	b.patterns.add(re, fmt.Sprintf("%s.Regex %.200q", key, *p.Regex))
	return func(s string, found func(start, end int)) { re.find(s, joined, found) }, nil
}

// findString matches a text literally.
func findString(what string) matcher {
	return func(s string, found func(start, end int)) {
		for i := 0; ; {
			k := strings.Index(s[i:], what)
			if k < 0 {
				return
			}
			found(i+k, i+k+len(what))
			i += k + len(what)
		}
	}
}

// findRunes matches every rune that is of a kind.
func findRunes(is func(rune) bool) matcher {
	return func(s string, found func(start, end int)) {
		for i, r := range s {
			if is(r) {
				found(i, i+utf8.RuneLen(r))
			}
		}
	}
}

// findWords matches \w+|[^\w\s]+.
func findWords(s string, found func(start, end int)) {
	const space, word, other = 0, 1, 2
	last, start := space, 0
	for i, r := range s {
		kind := other
		switch {
		case unicode.IsSpace(r):
			kind = space
		case isWord(r):
			kind = word
		}
		if kind == last {
			continue
		}
		if last != space {
			found(start, i)
		}
		last, start = kind, i
	}
	if last != space {
		found(start, len(s))
	}
}

// scannerMatcher matches word after word.
func scannerMatcher(scan func(string) int) matcher {
	return func(s string, found func(start, end int)) {
		for i := 0; i < len(s); {
			n := scan(s[i:])
			found(i, i+n)
			i += n
		}
	}
}
