// Package tokenizer turns text into token ids and back, as the Hugging Face tokenizer of a model folder does.
//
// Load is given a model folder and reads what has its vocabulary (tokenizer.json, or else tokenizer.model, or else vocab.json with
// merges.txt) and the files beside it (docs/tokenizers.md). The Tokenizer it returns never changes and may be used from many
// goroutines. On its way through Encode a text
//
//  1. is cut at the added tokens, such as <|im_end|> (added.go),
//  2. is normalized between them (normalize.go, charsmap.go),
//  3. is cut into words (pretokenize.go; regex.go runs the patterns, scan.go has the well-known ones by hand),
//  4. becomes ids, word by word (bpe.go, unigram.go),
//  5. gets the ids that belong around every sequence, such as BOS (postprocess.go).
//
// tokenizer.model has steps of its own for 2 and 4 (sentencepiece.go). Time and memory are in proportion to the text, whatever
// it is and whatever the files say.
//
// Text travels as spans (span.go), which know the original bytes behind every byte, so that each id can be led back to
// the text it stands for. Offsets are bytes of the original text. They differ from Hugging Face's, which count
// characters, leave out the space before a word where trim_offsets says so, and give an invented space the place of the
// character after it; here an invented space is an empty range.
//
// The ids are those of tokenizers 0.23, and of SentencePiece for tokenizer.model: scripts/check-tokenizers compares, and cases_test.go
// holds a part of it. A component that is not implemented is an error of Load, never an approximation. To add one: a case in
// compileNormalizer, compileSplitter, compileDecoder or compileTemplate, its fields in component (files.go), a row in the tables of
// tokenizer_test.go, and a tokenizer that has it in scripts/checktokenizers/trained.py. truncation and padding of tokenizer.json are left
// out on purpose, as they are in transformers unless asked for; so is clean_up_tokenization_spaces.
package tokenizer

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"unicode/utf8"
)

const (
	maxText   = 1 << 20 // longest text Encode takes, also after normalization, in bytes; it may take 100 times as much memory
	largeText = 1 << 18 // texts longer than this are encoded one at a time
	maxID     = 1 << 24 // ids are smaller than this

	// What normalizers may make of a text. The longest that Unicode makes of a character is 11 times as long.
	maxGrowth = 32      // times its bytes
	minGrown  = 1 << 16 // bytes, also of a shorter text
)

// Tokenizer is a loaded tokenizer. It is safe for concurrent use.
type Tokenizer struct {
	files []string

	rawAdded        *matchSet // added tokens looked for in the text as it is
	normalizedAdded *matchSet // added tokens looked for after normalization
	normalizers     []normalizer
	splitters       []splitter
	patterns        patternList
	model           model
	post            template
	decoders        []decoder

	texts   map[int32]string // every id's text as tokenizer.json writes it
	skipped map[int32]bool   // ids that Decode leaves out on request
	size    int

	special       map[string]string
	bos, eos, pad *Special
	stops         []int32
}

// Encoding is a text as ids. Offsets has one entry per id.
type Encoding struct {
	IDs     []int32
	Offsets []Offset
}

// Offset is the range [Start, End) of bytes of the original text that an id stands for. Ranges ascend; several ids within
// one character of a normalized text share its range. An id for a space that the tokenizer invented has an empty range
// at its place, an id added around the text has {0, 0}.
type Offset struct{ Start, End int32 }

// Special is a token with a role, such as the end of a sequence.
type Special struct {
	ID   int32
	Text string
}

// Encode returns the ids of text. With addSpecial it also adds what the tokenizer puts around every single sequence, as
// add_special_tokens=True does in transformers. Special tokens written out in text become their ids either way.
//
// It returns an error if text is not valid UTF-8, or is longer than 1 MiB before or after normalization.
func (t *Tokenizer) Encode(text string, addSpecial bool) (Encoding, error) {
	if len(text) > maxText {
		return Encoding{}, fmt.Errorf("text has %d bytes, more than the %d that can be encoded at once; cut it", len(text), maxText)
	}
	if !utf8.ValidString(text) {
		return Encoding{}, fmt.Errorf("text is not valid UTF-8 at byte %d; write it as UTF-8", validPrefix(text))
	}
	if len(text) > largeText {
		largeTexts.Lock()
		defer largeTexts.Unlock()
	}
	enc := Encoding{IDs: make([]int32, 0, len(text)/3+4), Offsets: make([]Offset, 0, len(text)/3+4)}
	if addSpecial {
		enc.addSpecial(t.post.prefix)
	}
	var failed error
	t.rawAdded.cut(span{text: text}, func(raw section) {
		if failed != nil {
			return
		}
		if raw.isToken() {
			enc.add(raw.id, raw.source(0, len(raw.text)))
			return
		}
		normal, err := t.normalize(raw.span)
		if err != nil {
			failed = err
			return
		}
		t.normalizedAdded.cut(normal, func(s section) {
			if s.isToken() {
				enc.add(s.id, s.source(0, len(s.text)))
			} else if err := t.encodePlain(&enc, s.span); err != nil {
				failed = err
			}
		})
	})
	if failed != nil {
		return Encoding{}, failed
	}
	if addSpecial {
		enc.addSpecial(t.post.suffix)
	}
	return enc, nil
}

// largeTexts is held while a large text is encoded: many at once would take more memory than there is.
var largeTexts sync.Mutex

// normalize runs all normalizers over a stretch of text.
func (t *Tokenizer) normalize(raw span) (span, error) {
	s := raw
	for _, normalize := range t.normalizers {
		if err := t.patterns.check(len(s.text)); err != nil {
			return s, err
		}
		var err error
		if s, err = normalize(s); err != nil {
			return s, err
		}
		if limit := max(minGrown, maxGrowth*len(raw.text)); len(s.text) > limit {
			return s, fmt.Errorf("text of %d bytes has more than %d once normalized; the tokenizer's normalizer makes too much of it", len(raw.text), limit)
		}
	}
	return s, t.patterns.check(len(s.text))
}

// encodePlain appends the ids of normalized text without added tokens.
func (t *Tokenizer) encodePlain(enc *Encoding, s span) error {
	var word span
	one := func(p part) { enc.add(p.id, word.source(int(p.start), int(p.end))) }
	yield := func(w span) {
		word = w
		t.model.encode(w.text, one)
	}
	var failed error
	for _, split := range slices.Backward(t.splitters) {
		next := yield
		yield = func(w span) {
			if failed != nil {
				return
			}
			if err := split(w, next); err != nil {
				failed = err
			}
		}
	}
	yield(s)
	return failed
}

func (e *Encoding) add(id int32, o Offset) {
	e.IDs = append(e.IDs, id)
	e.Offsets = append(e.Offsets, o)
}

func (e *Encoding) addSpecial(ids []int32) {
	for _, id := range ids {
		e.add(id, Offset{})
	}
}

// IsSpecial says that an id is that of a special token, which Decode leaves out on request.
func (t *Tokenizer) IsSpecial(id int32) bool { return t.skipped[id] }

// Specials are the texts of all special tokens, sorted.
func (t *Tokenizer) Specials() []string {
	var texts []string
	for id, special := range t.skipped {
		if special {
			texts = append(texts, t.texts[id])
		}
	}
	slices.Sort(texts)
	return texts
}

// VocabSize is one more than the largest id, added tokens included. A model may have more rows than that.
func (t *Tokenizer) VocabSize() int { return t.size }

// BOS is the token that begins a sequence, if the tokenizer names one.
func (t *Tokenizer) BOS() (Special, bool) { return t.bos.value() }

// EOS is the token that ends a sequence, if the tokenizer names one.
func (t *Tokenizer) EOS() (Special, bool) { return t.eos.value() }

// StopIDs are the ids that end an answer: that of EOS, and those that generation_config.json lists.
func (t *Tokenizer) StopIDs() []int32 { return slices.Clone(t.stops) }

// AppendsEOS says that Encode with addSpecial puts the EOS token behind the text.
func (t *Tokenizer) AppendsEOS() bool {
	n := len(t.post.suffix)
	return n > 0 && t.eos != nil && t.post.suffix[n-1] == t.eos.ID
}

// Pad is the token that fills up short sequences, if the tokenizer names one and has it.
func (t *Tokenizer) Pad() (Special, bool) { return t.pad.value() }

func (s *Special) value() (Special, bool) {
	if s == nil {
		return Special{}, false
	}
	return *s, true
}

// SpecialTokens returns the texts of the tokens with a role, keyed by bos_token, eos_token, unk_token, sep_token,
// pad_token, cls_token and mask_token, as chat templates see them. Roles nobody has are absent.
func (t *Tokenizer) SpecialTokens() map[string]string { return maps.Clone(t.special) }

// Files names the files of the folder that belong beside a saved model for the tokenizer to load there.
func (t *Tokenizer) Files() []string { return slices.Clone(t.files) }

// validPrefix is the length of the longest prefix of s that is valid UTF-8.
func validPrefix(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return len(s)
}
