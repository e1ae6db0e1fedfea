package tokenizer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"unicode/utf8"
)

// bpe cuts words into pieces by byte-pair encoding: it begins with the single symbols of a word, runes or bytes, and joins
// the two neighbours with the best rank until no more can be joined.
type bpe struct {
	byteLevel   bool             // symbols are bytes, else runes
	bytes       byteIDs          // of byte symbols, or of the bytes that stand for a rune without id
	runes       map[rune]int32   // ids of rune symbols
	words       map[string]int32 // ids of words that are not cut
	merges      map[uint64]merge // by pairKey
	unknown     int32            // id of what has no id, none: it is dropped
	fuseUnknown bool             // neighbours without id become one

	cache   wordCache
	scratch sync.Pool // of *bpeScratch
}

// merge says what a pair becomes, and how early.
type merge struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

func emptyBPE() *bpe {
	m := &bpe{bytes: noBytes(), runes: map[rune]int32{}, merges: map[uint64]merge{}, unknown: none}
	m.scratch.New = func() any { return new(bpeScratch) }
	m.cache.seed = maphash.MakeSeed()
	return m
}

// newBPE builds the model.
func (b *builder) newBPE(f *modelFile) (*bpe, error) {
	if f.Dropout != nil && *f.Dropout != 0 {
		return nil, fmt.Errorf("model.dropout: %g makes the ids random; set it to null", *f.Dropout)
	}
	if f.ContinuingSubwordPrefix != nil && *f.ContinuingSubwordPrefix != "" {
		return nil, errors.New("model.continuing_subword_prefix: not supported; use a tokenizer without it")
	}
	if f.EndOfWordSuffix != nil && *f.EndOfWordSuffix != "" {
		return nil, errors.New("model.end_of_word_suffix: not supported; use a tokenizer without it")
	}
	m := emptyBPE()
	m.byteLevel, m.fuseUnknown = b.byteLevel, f.FuseUnk
	if f.UnkToken != nil && *f.UnkToken != "" {
		id, ok := b.ids[*f.UnkToken]
		if !ok {
			return nil, fmt.Errorf("model.unk_token: %.100q is not in the vocabulary; add it or set it to null", *f.UnkToken)
		}
		m.unknown = id
	}
	switch {
	case m.byteLevel:
		for value, r := range byteRunes {
			id, ok := b.piece(string(r))
			if ok {
				m.bytes[value] = id
			} else if f.ByteFallback {
				return nil, fmt.Errorf("model.byte_fallback: not supported for a byte-level vocabulary that lacks %.100q", string(r))
			}
		}
	case f.ByteFallback:
		m.bytes = fallbackBytes(b.piece)
	}
	if f.IgnoreMerges {
		m.words = make(map[string]int32, len(b.ids))
	}
	for text, id := range b.vocabulary() {
		if r, n := utf8.DecodeRuneInString(text); n > 0 && n == len(text) {
			m.runes[r] = id
		}
		if f.IgnoreMerges && text != "" {
			if m.byteLevel {
				raw, ok := bytesOf(text)
				if !ok {
					continue // holds runes that no byte becomes: never met
				}
				text = string(raw)
			}
			m.words[text] = id
		}
	}
	return m, f.eachMerge(func(rank int, p [2]string) error {
		left, okLeft := b.piece(p[0])
		right, okRight := b.piece(p[1])
		joined, ok := b.piece(p[0] + p[1])
		if !okLeft || !okRight || !ok {
			return fmt.Errorf("model.merges[%d]: %.100q and %.100q, or the two joined, are not in the vocabulary", rank, p[0], p[1])
		}
		m.merges[pairKey(left, right)] = merge{int32(rank), joined}
		return nil
	})
}

// encode yields the pieces of a word.
func (m *bpe) encode(word string, yield func(part)) {
	if id, ok := m.words[word]; ok {
		yield(part{id, 0, int32(len(word))})
		return
	}
	if parts, ok := m.cache.get(word); ok {
		for _, p := range parts {
			yield(p)
		}
		return
	}
	s := m.scratch.Get().(*bpeScratch)
	m.start(s, word)
	m.join(s)
	s.parts = s.parts[:0]
	for i := int32(0); i >= 0 && len(s.symbols) > 0; i = s.symbols[i].next {
		if p := s.symbols[i].part; len(word) <= maxCachedWord {
			s.parts = append(s.parts, p)
		} else {
			yield(p)
		}
	}
	m.cache.put(word, s.parts)
	for _, p := range s.parts {
		yield(p)
	}
	m.scratch.Put(s)
}

// symbol is a piece of a word while it is being put together, in a doubly linked list.
type symbol struct {
	part
	previous, next int32 // none at the ends
}

// candidate is a pair of neighbours that may be joined: its rank above the place of the left one, by which their order is that of
// joining, by rank and then from left to right. It is void once the pair at that place has another rank.
type candidate uint64

// bpeScratch is memory that words share.
type bpeScratch struct {
	symbols []symbol
	heap    []candidate
	parts   []part
}

func (s *bpeScratch) add(id int32, start, end int) {
	k := int32(len(s.symbols))
	s.symbols = append(s.symbols, symbol{part{id, int32(start), int32(end)}, k - 1, k + 1})
}

// start fills s.symbols with the single symbols of word.
func (m *bpe) start(s *bpeScratch, word string) {
	s.symbols = s.symbols[:0]
	unknown := false // the symbol before this one is the unknown one
	addUnknown := func(i, j int) {
		switch {
		case m.unknown < 0:
		case unknown && m.fuseUnknown:
			s.symbols[len(s.symbols)-1].end = int32(j)
		default:
			s.add(m.unknown, i, j)
			unknown = true
		}
	}
	if m.byteLevel {
		for i := range len(word) {
			if id := m.bytes[word[i]]; id >= 0 {
				s.add(id, i, i+1)
				unknown = false
			} else {
				addUnknown(i, i+1)
			}
		}
	} else {
		for i, r := range word {
			j := i + utf8.RuneLen(r)
			if id, ok := m.runes[r]; ok {
				s.add(id, i, j)
				unknown = false
			} else if m.bytes.spell(word[i:j]) {
				for k := i; k < j; k++ {
					s.add(m.bytes[word[k]], k, k+1)
				}
				unknown = false
			} else {
				addUnknown(i, j)
			}
		}
	}
	if n := len(s.symbols); n > 0 {
		s.symbols[n-1].next = -1
	}
}

// join joins the symbols of s; n symbols take O(n log n).
func (m *bpe) join(s *bpeScratch) {
	s.heap = s.heap[:0]
	for i := range s.symbols {
		m.propose(s, int32(i))
	}
	for len(s.heap) > 0 {
		c := s.pop()
		at := int32(uint32(c))
		left := &s.symbols[at]
		if left.id < 0 || left.next < 0 {
			continue
		}
		right := &s.symbols[left.next]
		join, ok := m.merges[pairKey(left.id, right.id)]
		if !ok || join.rank != int32(c>>32) {
			continue
		}
		left.id, left.end, left.next = join.id, right.end, right.next
		right.id = -1
		if left.next >= 0 {
			s.symbols[left.next].previous = at
		}
		if left.previous >= 0 {
			m.propose(s, left.previous)
		}
		m.propose(s, at)
	}
}

// propose makes symbol at and its neighbour to the right a candidate, if they can be joined.
func (m *bpe) propose(s *bpeScratch, at int32) {
	left := s.symbols[at]
	if left.next < 0 {
		return
	}
	right := s.symbols[left.next].id
	if join, ok := m.merges[pairKey(left.id, right)]; ok {
		s.push(candidate(uint64(join.rank)<<32 | uint64(at)))
	}
}

// push and pop keep s.heap a binary heap; container/heap would box every candidate.
func (s *bpeScratch) push(c candidate) {
	s.heap = append(s.heap, c)
	i := len(s.heap) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if c >= s.heap[parent] {
			break
		}
		s.heap[i] = s.heap[parent]
		i = parent
	}
	s.heap[i] = c
}

func (s *bpeScratch) pop() candidate {
	top := s.heap[0]
	n := len(s.heap) - 1
	c := s.heap[n]
	s.heap = s.heap[:n]
	if n == 0 {
		return top
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && s.heap[child+1] < s.heap[child] {
			child++
		}
		if s.heap[child] >= c {
			break
		}
		s.heap[i] = s.heap[child]
		i = child
	}
	s.heap[i] = c
	return top
}
