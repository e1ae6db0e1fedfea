package tokenizer

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// unigram cuts a word into the pieces whose scores have the largest sum (Kudo 2018, arXiv:1804.10959), by Viterbi's
// algorithm: for every place in the word the best way to come there.
type unigram struct {
	pieces       *trie
	scores       []float64 // by id
	unknown      int32     // id of what has no piece
	unknownScore float64
	bytes        byteIDs // for what has no piece
	rounds       bool    // sums are rounded to float32, as SentencePiece has them; tokenizers does not round

	cache   wordCache
	scratch sync.Pool // of *unigramScratch
}

// unknownPenalty is how much worse than the worst piece a rune without a piece is: the number of SentencePiece.
const unknownPenalty = 10

// maxUnigramPiece bounds the pieces that are looked at from every place, in bytes.
const maxUnigramPiece = 512

// newUnigram takes the pieces by id. Those without a text are not looked for.
func newUnigram(pieces []scoredPiece, unknown int) (*unigram, error) {
	if unknown < 0 || unknown >= len(pieces) {
		return nil, fmt.Errorf("unknown id %d is not in 0..%d", unknown, len(pieces)-1)
	}
	m := &unigram{unknown: int32(unknown), scores: make([]float64, len(pieces)), bytes: noBytes()}
	m.scratch.New = func() any { return new(unigramScratch) }
	m.cache.seed = maphash.MakeSeed()
	lowest, texts := pieces[0].score, make([]string, len(pieces))
	for id, p := range pieces {
		if len(p.text) > maxUnigramPiece {
			return nil, fmt.Errorf("piece %d: %d bytes, more than %d", id, len(p.text), maxUnigramPiece)
		}
		m.scores[id] = p.score
		lowest = min(lowest, p.score)
		texts[id] = p.text
	}
	m.unknownScore = lowest - unknownPenalty
	m.pieces = newTrie(texts)
	return m, nil
}

// best is the best way to a place in a word: by piece id from start on.
type best struct {
	score     float64
	id, start int32 // start is none as long as there is no way
}

type unigramScratch struct {
	ways  []best
	parts []part // of a word short enough for the cache
}

// encode yields the pieces of a word.
func (m *unigram) encode(word string, yield func(part)) {
	if parts, ok := m.cache.get(word); ok {
		for _, p := range parts {
			yield(p)
		}
		return
	}
	s := m.scratch.Get().(*unigramScratch)
	m.findWays(s, word)
	if len(word) > maxCachedWord {
		m.walk(s, word, yield)
	} else {
		s.parts = s.parts[:0]
		m.walk(s, word, func(p part) { s.parts = append(s.parts, p) })
		m.cache.put(word, s.parts)
		for _, p := range s.parts {
			yield(p)
		}
	}
	m.scratch.Put(s)
}

// findWays fills s.ways for every place of the word.
func (m *unigram) findWays(s *unigramScratch, word string) {
	s.ways = slices.Grow(s.ways[:0], len(word)+1)[:len(word)+1]
	for i := range s.ways {
		s.ways[i] = best{start: none}
	}
	s.ways[0].score = 0
	for i, r := range word {
		size := utf8.RuneLen(r)
		from := s.ways[i].score
		single := false // the rune is a piece
		reach := func(end int, id int32, score float64) {
			score += from
			if m.rounds {
				score = float64(float32(score))
			}
			if w := &s.ways[end]; w.start == none || score > w.score {
				*w = best{score, id, int32(i)}
			}
		}
		node := int32(trieRoot)
		for end := i; end < len(word); {
			if node = m.pieces.next(node, word[end]); node == none {
				break
			}
			end++
			if id := m.pieces.nodes[node].id; id != none {
				reach(end, id, m.scores[id])
				single = single || end == i+size
			}
		}
		if !single {
			reach(i+size, m.unknown, m.unknownScore)
		}
	}
}

// walk yields the pieces on the best way to the end. Unknown ones side by side are one.
func (m *unigram) walk(s *unigramScratch, word string, yield func(part)) {
	// The ways lead back. They are turned round: start becomes the end of the piece that begins there.
	for end, w := int32(len(word)), s.ways[len(word)]; end > 0; {
		start := w.start
		before := s.ways[start]
		s.ways[start] = best{id: w.id, start: end}
		end, w = start, before
	}
	for at := int32(0); at < int32(len(word)); {
		p := part{s.ways[at].id, at, s.ways[at].start}
		for p.id == m.unknown && int(p.end) < len(word) && s.ways[p.end].id == m.unknown {
			p.end = s.ways[p.end].start
		}
		m.spell(p, word, yield)
		at = p.end
	}
}

// spell yields a piece, and bytes in place of an unknown one where the vocabulary has them.
func (m *unigram) spell(p part, word string, yield func(part)) {
	if p.id == m.unknown {
		text := word[p.start:p.end]
		if id, ok := m.pieces.find(text); ok {
			p.id = id // the unknown token, written out
		} else if m.bytes.spell(text) {
			for i := p.start; i < p.end; i++ {
				yield(part{m.bytes[word[i]], i, i + 1})
			}
			return
		}
	}
	yield(p)
}

// scoredPiece is an entry of a Unigram vocabulary.
type scoredPiece struct {
	text  string
	score float64
}

// readPiece decodes a list of a text and its score.
func readPiece(raw rawJSON) (p scoredPiece, err error) {
	n, ok := 0, raw.isList()
	if ok {
		err = raw.each(func(v rawJSON) (err error) {
			switch n++; n {
			case 1:
				p.text, err = v.text()
			case 2:
				p.score, ok = parseScore(string(v))
			}
			return err
		})
	}
	if err == nil && (!ok || n != 2) {
		err = errors.New("not a text and a score")
	}
	return p, err
}

// parseScore reads a number as serde_json does, through which tokenizers reads its files: digits beyond the 64 bits of an integer
// are left out, and integer and power of ten are rounded each by itself. The last bit may differ from that of the nearest number,
// and with it which of two ways of the same sum is taken.
func parseScore(text string) (float64, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	power, err := 0, error(nil)
	if exponent != "" {
		power, err = strconv.Atoi(exponent)
	}
	if err != nil || whole == "" {
		return 0, false
	}
	var digits uint64
	dropped := 0
	for _, c := range whole + fraction {
		d := uint64(c - '0')
		if dropped > 0 || digits > (math.MaxUint64-d)/10 {
			dropped++
			continue
		}
		digits = digits*10 + d
	}
	power += dropped - len(fraction)
	score := float64(digits)
	if power < -308 || power > 308 {
		return 0, digits == 0 || power < 0
	}
	if power < 0 {
		score /= math.Pow10(-power)
	} else {
		score *= math.Pow10(power)
	}
	if strings.HasPrefix(text, "-") {
		score = -score
	}
	return score, !math.IsInf(score, 0)
}
