package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// splitter cuts a span into words and appends them to out. Empty words are dropped.
type splitter func(s span, out []span) ([]span, error)

// compileSplitter appends the pre-tokenizers that c describes to b.splitters. key says where c stands in the file.
func (b *builder) compileSplitter(c component, key string) error {
	if err := b.countStep(key); err != nil {
		return err
	}
	if b.byteLevel && c.Type != "Sequence" {
		return fmt.Errorf("%s: %s after ByteLevel is not supported; ByteLevel must be the last pre-tokenizer", key, c.Type)
	}
	add := func(find matcher, cut behavior, invert bool) {
		b.splitters = append(b.splitters, func(s span, out []span) ([]span, error) { return split(s, find, cut, invert, out), nil })
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
		find, err := b.compilePattern(c.Pattern, key)
		if err != nil {
			return err
		}
		cut, ok := behaviors[c.Behavior]
		if !ok {
			return unknownBehavior(key, c.Behavior)
		}
		add(find, cut, c.Invert)
		return nil
	case "Digits":
		cut := contiguous
		if c.IndividualDigits {
			cut = isolated
		}
		add(findRunes(unicode.IsNumber), cut, false)
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
			b.splitters = append(b.splitters, func(s span, out []span) ([]span, error) {
				if strings.HasPrefix(s.text, " ") {
					return append(out, s), nil
				}
				s, err := prepend(s, " ")
				return append(out, s), err
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
		b.splitters = append(b.splitters, func(s span, out []span) ([]span, error) { return metaspace(s, c, scheme, out) })
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

func metaspace(s span, c component, scheme string, out []span) ([]span, error) {
	s, err := replaceAll(s, findString(" "), c.Replacement)
	if err != nil {
		return nil, err
	}
	if (scheme == "always" || scheme == "first" && s.place(0) == 0) && !strings.HasPrefix(s.text, c.Replacement) {
		if s, err = prepend(s, c.Replacement); err != nil {
			return nil, err
		}
	}
	if c.Split != nil && !*c.Split {
		return append(out, s), nil
	}
	return split(s, findString(c.Replacement), mergedWithNext, false, out), nil
}

// cutAtSpaces cuts in front of every run of ▁, for a BPE model that has no piece across such a place: the ids are the same, and words
// that come again need not be joined again.
func cutAtSpaces(s span, out []span) ([]span, error) {
	start := 0
	for at := 0; ; {
		n := strings.Index(s.text[at:], spaceSymbol)
		if n < 0 {
			return append(out, s.slice(start, len(s.text))), nil
		}
		if n > 0 && at+n > start {
			out = append(out, s.slice(start, at+n))
			start = at + n
		}
		at += n + len(spaceSymbol)
	}
}

// spacesBegin says that ▁ is a piece, and that no piece has one behind another rune.
func spacesBegin(vocab map[string]int32) bool {
	for text := range vocab {
		for strings.HasPrefix(text, spaceSymbol) {
			text = text[len(spaceSymbol):]
		}
		if strings.Contains(text, spaceSymbol) {
			return false
		}
	}
	_, ok := vocab[spaceSymbol]
	return ok
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
func split(s span, find matcher, cut behavior, invert bool, out []span) []span {
	matches := find(s.text)
	type stretch struct {
		start, end int
		match      bool
	}
	stretches := make([]stretch, 0, 2*len(matches)+1)
	at := 0
	for _, m := range matches {
		if m.start > at {
			stretches = append(stretches, stretch{at, m.start, invert})
		}
		stretches = append(stretches, stretch{m.start, m.end, !invert})
		at = m.end
	}
	if at < len(s.text) {
		stretches = append(stretches, stretch{at, len(s.text), invert})
	}

	words := stretches[:0] // never ahead of the stretch that is read
	last := func() *stretch { return &words[len(words)-1] }
	switch cut {
	case isolated:
		words = stretches
	case removed:
		for _, x := range stretches {
			if !x.match {
				words = append(words, x)
			}
		}
	case mergedWithPrevious, contiguous:
		previous := false
		for _, x := range stretches {
			join := x.match && !previous
			if cut == contiguous {
				join = x.match == previous
			}
			if previous = x.match; join && len(words) > 0 {
				last().end = x.end
			} else {
				words = append(words, x)
			}
		}
	case mergedWithNext:
		for i := 0; i < len(stretches); i++ {
			x := stretches[i]
			if x.match && i+1 < len(stretches) && !stretches[i+1].match {
				i++
				x.end = stretches[i].end
			}
			words = append(words, x)
		}
	}
	for _, x := range words {
		if x.end > x.start {
			out = append(out, s.slice(x.start, x.end))
		}
	}
	return out
}

// matcher finds all matches of a pattern in a text, in order and without overlap.
type matcher func(text string) []match

type match struct{ start, end int } // bytes [start, end)

// compilePattern returns the matcher of a Split or Replace. key says where that stands in the file.
func (b *builder) compilePattern(p *pattern, key string) (matcher, error) {
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
	re, err := compileRegex(*p.Regex, key+".Regex", maxInstructions-b.instructions)
	if err != nil {
		return nil, err
	}
	b.instructions += len(re.program)
	return re.find, nil
}

// findString matches a text literally.
func findString(what string) matcher {
	return func(s string) []match {
		var out []match
		for i := 0; ; {
			k := strings.Index(s[i:], what)
			if k < 0 {
				return out
			}
			out = append(out, match{i + k, i + k + len(what)})
			i += k + len(what)
		}
	}
}

// findRunes matches every rune that is of a kind.
func findRunes(is func(rune) bool) matcher {
	return func(s string) []match {
		var out []match
		for i, r := range s {
			if is(r) {
				out = append(out, match{i, i + utf8.RuneLen(r)})
			}
		}
		return out
	}
}

// findWords matches \w+|[^\w\s]+.
func findWords(s string) []match {
	var out []match
	const space, word, other = 0, 1, 2
	last := space
	for i, r := range s {
		kind := other
		switch {
		case unicode.IsSpace(r):
			kind = space
		case isWord(r):
			kind = word
		}
		end := i + utf8.RuneLen(r)
		if kind != space && kind == last {
			out[len(out)-1].end = end
		} else if kind != space {
			out = append(out, match{i, end})
		}
		last = kind
	}
	return out
}

// scannerMatcher matches word after word.
func scannerMatcher(scan func(string) int) matcher {
	return func(s string) []match {
		out := make([]match, 0, len(s)/4+1)
		for i := 0; i < len(s); {
			n := scan(s[i:])
			out = append(out, match{i, i + n})
			i += n
		}
		return out
	}
}
