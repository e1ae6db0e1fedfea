package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rivo/uniseg"
)

// charsmap is a precompiled normalization of SentencePiece: which stretches of text become which other text. The stretches
// form a double-array trie of darts-clone (https://github.com/s-yata/darts-clone), a node being a number of 32 bits.
type charsmap struct {
	units []uint32
	texts string // the other texts, with a NUL behind each
}

// A unit's fields, as darts-clone packs them.
func unitHasLeaf(u uint32) bool  { return u>>8&1 == 1 }
func unitValue(u uint32) uint32  { return u &^ (1 << 31) }
func unitLabel(u uint32) uint32  { return u & (1<<31 | 0xFF) }
func unitOffset(u uint32) uint32 { return u >> 10 << (u & (1 << 9) >> 6) }

const maxCharsmap = 4 << 20 // bytes; that of NFKC with case folding has 0.3 MB

var (
	errCharsmap      = errors.New("damaged; get the file again")
	errLargeCharsmap = fmt.Errorf("more than %d bytes; this is no normalization", maxCharsmap)
)

// readCharsmap reads the bytes of a trie, their count in front, and the texts. What it returns leads nowhere outside of them.
func readCharsmap(data []byte) (*charsmap, error) {
	if len(data) > maxCharsmap {
		return nil, errLargeCharsmap
	}
	if len(data) < 4 {
		return nil, errCharsmap
	}
	size := binary.LittleEndian.Uint32(data)
	data = data[4:]
	if size == 0 || size%4 != 0 || uint64(size) > uint64(len(data)) {
		return nil, errCharsmap
	}
	m := &charsmap{units: make([]uint32, size/4), texts: string(data[size:])}
	for i := range m.units {
		m.units[i] = binary.LittleEndian.Uint32(data[4*i:])
	}
	if !utf8.ValidString(m.texts) || !strings.HasSuffix(m.texts, "\x00") {
		return nil, errCharsmap
	}
	for text := range strings.SplitSeq(m.texts, "\x00") {
		if len(text) > maxContent {
			return nil, fmt.Errorf("puts in %d bytes for a character, more than %d", len(text), maxContent)
		}
	}
	for i, u := range m.units {
		leaf := uint32(i) ^ unitOffset(u)
		if !unitHasLeaf(u) || leaf >= uint32(len(m.units)) {
			continue
		}
		if v := unitValue(m.units[leaf]); v >= uint32(len(m.texts)) || !utf8.RuneStart(m.texts[v]) {
			return nil, errCharsmap
		}
	}
	return m, nil
}

// find calls found for the stretches that s begins with, the shortest first, until it says that this is enough.
func (m *charsmap) find(s string, found func(length int, value uint32) (enough bool)) {
	at := unitOffset(m.units[0])
	for i := range min(len(s), maxContent) {
		if s[i] == 0 {
			return
		}
		if at ^= uint32(s[i]); at >= uint32(len(m.units)) {
			return
		}
		u := m.units[at]
		if unitLabel(u) != uint32(s[i]) {
			return
		}
		if at ^= unitOffset(u); at >= uint32(len(m.units)) {
			return
		}
		if unitHasLeaf(u) && found(i+1, unitValue(m.units[at])) {
			return
		}
	}
}

// text is what a value of find leads to.
func (m *charsmap) text(value uint32) string {
	text, _, _ := strings.Cut(m.texts[value:], "\x00")
	return text
}

// longest returns the length of the longest stretch that s begins with and its text; 0 if there is none.
func (m *charsmap) longest(s string) (length int, text string) {
	var value uint32
	m.find(s, func(n int, v uint32) bool {
		length, value = n, v
		return false
	})
	if length > 0 {
		text = m.text(value)
	}
	return length, text
}

// replacement is what tokenizers puts in place of the whole of s: the text of the shortest stretch that s begins with.
func (m *charsmap) replacement(s string) (text string, ok bool) {
	m.find(s, func(_ int, v uint32) bool {
		text, ok = m.text(v), true
		return true
	})
	return text, ok
}

// normalize is the normalizer Precompiled. It replaces clusters of fewer than 6 bytes that a reader sees as one character (Unicode's
// Standard Annex 29), and else single characters.
func (m *charsmap) normalize(s span) (span, error) {
	w := newRewriter(s)
	changed := false
	replace := func(start, end int) bool {
		text, ok := m.replacement(s.text[start:end])
		if ok {
			changed = true
			w.keep(start)
			w.replace(end, text)
		}
		return ok
	}
	for at := 0; at < len(s.text); {
		end := at + clusterLen(s.text[at:])
		if end-at >= 6 || !replace(at, end) {
			for i, r := range s.text[at:end] {
				replace(at+i, at+i+utf8.RuneLen(r))
			}
		}
		at = end
	}
	if !changed {
		return s, nil
	}
	return w.finish()
}

// clusterLen is the length of the first cluster of s.
func clusterLen(s string) int {
	if s[0] < utf8.RuneSelf && (len(s) == 1 || s[1] < utf8.RuneSelf && s[0] != '\r') {
		return 1
	}
	cluster, _, _, _ := uniseg.FirstGraphemeClusterInString(s, -1)
	return len(cluster)
}
