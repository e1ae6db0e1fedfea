package tokenizer

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer changes a text before it is cut into words. It returns the span it was given where nothing changes.
type normalizer func(span) (span, error)

// compileNormalizer appends the normalizers that c describes to out. key says where c stands in the file.
func (b *builder) compileNormalizer(c component, key string, out []normalizer) ([]normalizer, error) {
	if err := b.countStep(key); err != nil {
		return nil, err
	}
	one := func(n normalizer) ([]normalizer, error) { return append(out, n), nil }
	switch c.Type {
	case "Sequence":
		for i, sub := range c.Normalizers {
			var err error
			if out, err = b.compileNormalizer(sub, fmt.Sprintf("%s.normalizers[%d]", key, i), out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "Prepend":
		if err := checkContent(c.Prepend, key+".prepend"); err != nil {
			return nil, err
		}
		return one(func(s span) (span, error) { return prepend(s, c.Prepend) })
	case "Replace":
		if err := checkContent(c.Content, key+".content"); err != nil {
			return nil, err
		}
		find, err := b.compilePattern(c.Pattern, key, false)
		if err != nil {
			return nil, err
		}
		return one(func(s span) (span, error) { return replaceAll(s, find, c.Content) })
	case "NFC":
		return one(unicodeForm{norm.NFC}.normalize)
	case "NFD":
		return one(unicodeForm{norm.NFD}.normalize)
	case "NFKC":
		return one(unicodeForm{norm.NFKC}.normalize)
	case "NFKD":
		return one(unicodeForm{norm.NFKD}.normalize)
	case "Lowercase":
		return one(lowercase)
	case "Strip":
		return one(func(s span) (span, error) { return strip(s, c.StripLeft, c.StripRight), nil })
	case "StripAccents":
		return one(func(s span) (span, error) { return replaceAll(s, findRunes(isAccent), "") })
	case "Precompiled":
		if len(c.PrecompiledCharsmap) > 2*maxCharsmap {
			return nil, fmt.Errorf("%s.precompiled_charsmap: %w", key, errLargeCharsmap)
		}
		data, err := base64.StdEncoding.DecodeString(c.PrecompiledCharsmap)
		if err != nil {
			return nil, fmt.Errorf("%s.precompiled_charsmap: %w", key, err)
		}
		m, err := readCharsmap(data)
		if err != nil {
			return nil, fmt.Errorf("%s.precompiled_charsmap: %w", key, err)
		}
		return one(m.normalize)
	}
	return nil, unsupported(key, c.Type, "Sequence, Prepend, Replace, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Precompiled")
}

// prepend puts text before s, unless s is empty.
func prepend(s span, text string) (span, error) {
	if s.text == "" || text == "" {
		return s, nil
	}
	w := newRewriter(s)
	w.replace(0, text)
	return w.finish()
}

func replaceAll(s span, find matcher, with string) (span, error) {
	var w *rewriter
	find(s.text, func(start, end int) {
		if w == nil {
			w = newRewriter(s)
		}
		w.keep(start)
		w.replace(end, with)
	})
	if w == nil {
		return s, nil
	}
	return w.finish()
}

// lowercase maps each rune by itself.
func lowercase(s span) (span, error) {
	w := newRewriter(s)
	changed := false
	for i, r := range s.text {
		lower := lowerCase(r)
		end := i + utf8.RuneLen(r)
		if lower == s.text[i:end] {
			w.keep(end)
			continue
		}
		w.replace(end, lower)
		changed = true
	}
	if !changed {
		return s, nil
	}
	return w.finish()
}

func strip(s span, left, right bool) span {
	i, j := 0, len(s.text)
	if right {
		j = len(strings.TrimRightFunc(s.text, unicode.IsSpace))
	}
	if left {
		i = j - len(strings.TrimLeftFunc(s.text[:j], unicode.IsSpace))
	}
	return s.slice(i, j)
}

// unicodeForm is one of the four Unicode normalization forms.
type unicodeForm struct{ form norm.Form }

// normalize rewrites s segment by segment: a segment is a rune that never combines with what stands before it, and all
// that follows it up to the next such rune. laterMarks stay as they are.
func (u unicodeForm) normalize(s span) (span, error) {
	if u.form.IsNormalString(s.text) {
		return s, nil
	}
	w := newRewriter(s)
	for i := 0; i < len(s.text); {
		if n := laterMarkLen(s.text[i:]); n > 0 {
			i += n
			w.keep(i)
			continue
		}
		j, marks := i, 0
		for j < len(s.text) {
			p := u.form.PropertiesString(s.text[j:])
			if j > i && (p.BoundaryBefore() || laterMarkLen(s.text[j:]) > 0) {
				break
			}
			if p.LeadCCC() != 0 || p.TrailCCC() != 0 {
				marks++
			}
			j += p.Size()
		}
		segment := s.text[i:j]
		var normal string
		if marks < 8 {
			normal = u.form.String(segment)
		} else {
			normal = u.longSegment(segment)
		}
		same := commonPrefix(segment, normal)
		w.keep(i + same)
		if normal != segment {
			w.replace(j, normal[same:])
		}
		i = j
	}
	return w.finish()
}

// laterMarkLen is the length of the one of laterMarks that s begins with, 0 if it begins with none.
func laterMarkLen(s string) int {
	if r, n := utf8.DecodeRuneInString(s); laterMarks.has(r) {
		return n
	}
	return 0
}

// longSegment normalizes a segment of many combining marks. Package norm follows the Stream-Safe Text Format, which
// breaks up more than 30 marks in a row with a U+034F; tokenizers do not.
func (u unicodeForm) longSegment(s string) string {
	type mark struct {
		r     rune
		class uint8 // canonical combining class
	}
	var runes []mark
	for _, r := range s {
		decomposition := norm.NFD.String(string(r))
		if u.form == norm.NFKC || u.form == norm.NFKD {
			decomposition = norm.NFKD.String(string(r))
		}
		for _, d := range decomposition {
			runes = append(runes, mark{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(runes); { // canonical order: by class, between starters
		j := i + 1
		if runes[i].class != 0 {
			for j < len(runes) && runes[j].class != 0 {
				j++
			}
			slices.SortStableFunc(runes[i:j], func(a, b mark) int { return int(a.class) - int(b.class) })
		}
		i = j
	}
	var out []mark
	starter, compose := -1, u.form == norm.NFC || u.form == norm.NFKC
	for _, m := range runes {
		blocked := len(out)-1 > starter && out[len(out)-1].class >= m.class
		if compose && starter >= 0 && !blocked {
			if r, ok := composed(out[starter].r, m.r); ok {
				out[starter].r = r
				continue
			}
		}
		if m.class == 0 {
			starter = len(out)
		}
		out = append(out, m)
	}
	var sb strings.Builder
	for _, m := range out {
		sb.WriteRune(m.r)
	}
	return sb.String()
}

// commonPrefix is the length of the longest run of whole runes with which both a and b begin.
func commonPrefix(a, b string) int {
	for i, r := range a {
		if q, n := utf8.DecodeRuneInString(b[min(i, len(b)):]); n == 0 || q != r {
			return i
		}
	}
	return len(a)
}

// composed returns the rune that is canonically equivalent to a followed by b, if there is one.
func composed(a, b rune) (rune, bool) {
	s := norm.NFC.String(string(a) + string(b))
	r, n := utf8.DecodeRuneInString(s)
	return r, n == len(s)
}
