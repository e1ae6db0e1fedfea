package tokenizer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Decode returns the text of ids. Ids outside the vocabulary are left out, with skipSpecial special tokens too. Bytes that
// are not UTF-8, as when ids end within a character, become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		if text, ok := t.texts[id]; ok && !(skipSpecial && t.skipped[id]) {
			texts = append(texts, text)
		}
	}
	for _, decode := range t.decoders {
		texts = decode(texts)
	}
	return strings.Join(texts, "")
}

// decoder turns the texts of ids towards plain text. It may change the slice it is given.
type decoder func([]string) []string

// compileDecoder appends the decoders that c describes to out. key says where c stands in the file.
func (b *builder) compileDecoder(c component, key string, out []decoder) ([]decoder, error) {
	if err := b.countStep(key); err != nil {
		return nil, err
	}
	one := func(d decoder) ([]decoder, error) { return append(out, d), nil }
	switch c.Type {
	case "Sequence":
		for i, sub := range c.Decoders {
			var err error
			if out, err = b.compileDecoder(sub, fmt.Sprintf("%s.decoders[%d]", key, i), out); err != nil {
				return nil, err
			}
		}
		return out, nil
	case "Replace":
		if c.Pattern == nil || c.Pattern.String == nil || len(c.Content) > len(*c.Pattern.String) || *c.Pattern.String == "" {
			return nil, fmt.Errorf("%s: a Replace decoder is supported only with a String pattern and content that is no longer", key)
		}
		return one(eachText(func(s string) string { return strings.ReplaceAll(s, *c.Pattern.String, c.Content) }))
	case "Fuse":
		return one(fuse)
	case "Strip":
		if utf8.RuneCountInString(c.Content) != 1 || c.Start < 0 || c.Stop < 0 {
			return nil, fmt.Errorf("%s: want content of one character, and start and stop of 0 or more", key)
		}
		return one(eachText(func(s string) string { return stripText(s, c.Content, c.Start, c.Stop) }))
	case "ByteFallback":
		return one(joinByteTokens)
	case "ByteLevel":
		return one(decodeByteLevel)
	case "Metaspace":
		scheme, err := c.prependScheme(key)
		if err != nil {
			return nil, err
		}
		return one(func(texts []string) []string {
			for i, s := range texts {
				with := " "
				if i == 0 && scheme != "never" {
					with = "" // all of them, not only the first: as tokenizers does
				}
				texts[i] = strings.ReplaceAll(s, c.Replacement, with)
			}
			return texts
		})
	}
	return nil, unsupported(key, c.Type, "Sequence, Replace, Fuse, Strip, ByteFallback, ByteLevel, Metaspace")
}

func fuse(texts []string) []string { return []string{strings.Join(texts, "")} }

// joinWithSpaces is what tokenizers does where tokenizer.json names no decoder.
func joinWithSpaces(texts []string) []string { return []string{strings.Join(texts, " ")} }

func eachText(f func(string) string) decoder {
	return func(texts []string) []string {
		for i, s := range texts {
			texts[i] = f(s)
		}
		return texts
	}
}

// stripText takes up to start times what from the start of s, and up to stop times from its end.
func stripText(s, what string, start, stop int) string {
	for ; start > 0 && strings.HasPrefix(s, what); start-- {
		s = s[len(what):]
	}
	for ; stop > 0 && strings.HasSuffix(s, what); stop-- {
		s = s[:len(s)-len(what)]
	}
	return s
}

// joinByteTokens turns runs of <0x00> ... <0xFF> into the characters whose bytes they are. A run that is not UTF-8 becomes
// one U+FFFD a byte.
func joinByteTokens(texts []string) []string {
	out := make([]string, 0, len(texts))
	var run []byte
	flush := func() {
		switch {
		case len(run) == 0:
		case utf8.Valid(run):
			out = append(out, string(run))
		default:
			out = append(out, strings.Repeat("\uFFFD", len(run)))
		}
		run = run[:0]
	}
	for _, s := range texts {
		if len(s) == 6 && strings.HasPrefix(s, "<0x") && s[5] == '>' {
			if b, err := strconv.ParseUint(s[3:5], 16, 8); err == nil {
				run = append(run, byte(b))
				continue
			}
		}
		flush()
		out = append(out, s)
	}
	flush()
	return out
}

// A byte-level vocabulary writes every byte as a visible rune: printable ones of Latin-1 as themselves, the others as
// U+0100, U+0101, ... in the order of their values.
var (
	byteRunes [256]rune
	runeBytes = map[rune]byte{}
)

func init() {
	next := rune(256)
	for b := range byteRunes {
		r := rune(b)
		if b <= ' ' || b >= 0x7F && b <= 0xA0 || b == 0xAD {
			r = next
			next++
		}
		byteRunes[b] = r
		runeBytes[r] = byte(b)
	}
}

// bytesOf returns the bytes that a piece of a byte-level vocabulary stands for, false if it holds other runes.
func bytesOf(text string) ([]byte, bool) {
	out := make([]byte, 0, len(text))
	for _, r := range text {
		b, ok := runeBytes[r]
		if !ok {
			return nil, false
		}
		out = append(out, b)
	}
	return out, true
}

// decodeByteLevel turns pieces into bytes and joins them. A text with other runes, such as an added token, stays itself.
func decodeByteLevel(texts []string) []string {
	var out []byte
	for _, s := range texts {
		if raw, ok := bytesOf(s); ok {
			out = append(out, raw...)
		} else {
			out = append(out, s...)
		}
	}
	return []string{validUTF8(out)}
}

// validUTF8 puts one U+FFFD in place of each longest start of a character that is cut short, and of each byte that can
// start none, as Unicode advises and as Rust and Python do; strings.ToValidUTF8 puts one for a whole run of such bytes.
func validUTF8(data []byte) string {
	if utf8.Valid(data) {
		return string(data)
	}
	var sb strings.Builder
	for len(data) > 0 {
		r, n := utf8.DecodeRune(data)
		if r == utf8.RuneError && n == 1 {
			n = truncatedLen(data)
		}
		sb.WriteRune(r)
		data = data[n:]
	}
	return sb.String()
}

// truncatedLen is the number of bytes at the start of data, which is no valid character, that could begin one; at least 1.
func truncatedLen(data []byte) int {
	for n := min(3, len(data)); n > 1; n-- {
		if start := data[:n]; !utf8.FullRune(start) {
			return n
		}
	}
	return 1
}
