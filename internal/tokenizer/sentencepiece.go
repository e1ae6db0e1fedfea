package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// spaceSymbol is how the pieces of SentencePiece write a space.
const spaceSymbol = "▁"

const (
	maxSentencePiece = 512 // bytes of a piece of a tokenizer.model
)

// sentencePieceFile is tokenizer.model: the fields of sentencepiece_model.proto that change ids, with that file's defaults.
type sentencePieceFile struct {
	pieces []modelPiece

	model            uint64 // modelUnigram, modelBPE or another
	byteFallback     bool
	suffix           bool // spaces belong to the word before them
	unknown          int  // ids; negative: none
	bos, eos, pad    int
	charsmap         []byte // empty: text stays as it is
	addDummyPrefix   bool   // a space in front
	trimSpaces       bool   // at the ends, and all but one of several
	escapeSpaces     bool   // a space is written ▁
	denormalizerRule bool   // decoded text is changed
}

const modelUnigram, modelBPE = 1, 2

// modelPiece is an entry of the vocabulary.
type modelPiece struct {
	text  string
	score float32
	kind  uint64
}

// Kinds of pieces.
const (
	pieceNormal = iota + 1
	pieceUnknown
	pieceControl // such as <s>
	pieceUser    // never cut
	pieceUnused  // never met
	pieceByte    // <0x00> to <0xFF>
)

var errProtobuf = errors.New("not a SentencePiece model, or damaged; get the file again")

func readSentencePiece(data []byte) (*sentencePieceFile, error) {
	f := &sentencePieceFile{model: modelUnigram, bos: 1, eos: 2, pad: -1, addDummyPrefix: true, trimSpaces: true, escapeSpaces: true}
	seen := map[protowire.Number]bool{}
	err := eachField(data, func(number protowire.Number, v protoValue) error {
		seen[number] = true
		switch number {
		case 1:
			p := modelPiece{kind: pieceNormal}
			err := eachField(v.bytes, func(number protowire.Number, v protoValue) error {
				switch number {
				case 1:
					p.text = string(v.bytes)
				case 2:
					p.score = math.Float32frombits(v.fixed)
				case 3:
					p.kind = v.varint
				}
				return nil
			})
			if len(f.pieces) == maxPieces || p.text == "" || len(p.text) > maxSentencePiece || !utf8.ValidString(p.text) {
				return errProtobuf
			}
			f.pieces = append(f.pieces, p)
			return err
		case 2:
			return eachField(v.bytes, f.readTrainer)
		case 3:
			return eachField(v.bytes, f.readNormalizer)
		case 5: // the denormalizer
			return eachField(v.bytes, func(number protowire.Number, v protoValue) error {
				f.denormalizerRule = f.denormalizerRule || number == 2 && len(v.bytes) > 0
				return nil
			})
		}
		return nil
	})
	if err == nil && (len(f.pieces) == 0 || !seen[2] || !seen[3]) { // they stand behind the pieces: the file may be cut short
		err = errProtobuf
	}
	return f, err
}

func (f *sentencePieceFile) readTrainer(number protowire.Number, v protoValue) error {
	switch number {
	case 3:
		f.model = v.varint
	case 24:
		f.suffix = v.varint != 0
	case 35:
		f.byteFallback = v.varint != 0
	case 40:
		f.unknown = int(int32(v.varint))
	case 41:
		f.bos = int(int32(v.varint))
	case 42:
		f.eos = int(int32(v.varint))
	case 43:
		f.pad = int(int32(v.varint))
	}
	return nil
}

func (f *sentencePieceFile) readNormalizer(number protowire.Number, v protoValue) error {
	switch number {
	case 2:
		f.charsmap = v.bytes
	case 3:
		f.addDummyPrefix = v.varint != 0
	case 4:
		f.trimSpaces = v.varint != 0
	case 5:
		f.escapeSpaces = v.varint != 0
	}
	return nil
}

// protoValue is the value of a field, in the one of its forms that the file has.
type protoValue struct {
	varint uint64
	fixed  uint32
	bytes  []byte
}

// eachField calls visit for every field of a message of a protocol buffer.
func eachField(data []byte, visit func(protowire.Number, protoValue) error) error {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return errProtobuf
		}
		data = data[n:]
		var v protoValue
		switch kind {
		case protowire.VarintType:
			v.varint, n = protowire.ConsumeVarint(data)
		case protowire.Fixed32Type:
			v.fixed, n = protowire.ConsumeFixed32(data)
		case protowire.BytesType:
			v.bytes, n = protowire.ConsumeBytes(data)
		default:
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return errProtobuf
		}
		data = data[n:]
		if err := visit(number, v); err != nil {
			return err
		}
	}
	return nil
}

// readSentencePieceModel takes in tokenizer.model. The ids are those that SentencePiece itself gives, but that control symbols
// such as <s> are found in a text, as in transformers, and that the space in front belongs to the text alone, not to
// what follows such a symbol.
func (b *builder) readSentencePieceModel(f *sentencePieceFile) error {
	switch {
	case f.suffix:
		return errors.New("treat_whitespace_as_suffix is not supported; use a model that writes a space before a word")
	case !f.escapeSpaces:
		return errors.New("escape_whitespaces false is not supported; use a model that writes a space as ▁")
	case f.denormalizerRule:
		return errors.New("a denormalizer is not supported; use a model without one")
	}
	n := spaceNormalizer{addPrefix: f.addDummyPrefix, trim: f.trimSpaces}
	if len(f.charsmap) > 0 {
		m, err := readCharsmap(f.charsmap)
		if err != nil {
			return fmt.Errorf("normalizer_spec.precompiled_charsmap: %w", err)
		}
		n.rules = m
	}
	unknowns := 0
	for id, p := range f.pieces {
		if math.IsNaN(float64(p.score)) || math.IsInf(float64(p.score), 0) {
			return fmt.Errorf("pieces[%d]: score %g", id, p.score)
		}
		if err := b.addID(p.text, int64(id)); err != nil {
			return fmt.Errorf("pieces[%d]: %w", id, err)
		}
		switch p.kind {
		case pieceUnknown:
			unknowns++
		case pieceControl:
			b.added[int32(id)] = addedToken{ID: int64(id), Content: p.text, Special: true}
		case pieceUser:
			b.users[strings.ReplaceAll(p.text, " ", spaceSymbol)] = addedToken{ID: int64(id), Content: p.text}
		}
	}
	if unknowns != 1 || f.unknown < 0 || f.unknown >= len(f.pieces) || f.pieces[f.unknown].kind != pieceUnknown {
		return fmt.Errorf("%d unknown tokens, unk_id %d; want one and its id", unknowns, f.unknown)
	}
	n.users = newMatchSet(b.users)
	b.normalizers = []normalizer{n.normalize}
	b.decoders = []decoder{eachText(func(s string) string { return strings.ReplaceAll(s, spaceSymbol, " ") }), joinByteTokens, fuse}
	switch {
	case f.trimSpaces:
		b.decoders = append(b.decoders, eachText(func(s string) string { return strings.TrimLeft(s, " ") }))
	case f.addDummyPrefix:
		b.decoders = append(b.decoders, eachText(func(s string) string { return strings.TrimPrefix(s, " ") }))
	}
	b.defaults = map[string]string{}
	for role, id := range map[string]int{"bos_token": f.bos, "eos_token": f.eos, "pad_token": f.pad, "unk_token": f.unknown} {
		if id >= 0 && id < len(f.pieces) && (f.pieces[id].kind == pieceControl || f.pieces[id].kind == pieceUnknown) {
			b.defaults[role] = f.pieces[id].text
		}
	}
	var err error
	switch f.model {
	case modelBPE:
		if spacesBegin(b.vocabulary()) {
			b.splitters = []splitter{cutAtSpaces}
		}
		b.model, err = f.bpe()
	case modelUnigram:
		b.model, err = f.unigram()
	default:
		err = fmt.Errorf("trainer_spec.model_type: %d is not supported; want %d (Unigram) or %d (BPE)", f.model, modelUnigram, modelBPE)
	}
	return err
}

// bytes are the ids of the byte pieces.
func (f *sentencePieceFile) bytes() byteIDs {
	if !f.byteFallback {
		return noBytes()
	}
	vocab := map[string]int32{}
	for id, p := range f.pieces {
		if p.kind == pieceByte {
			vocab[p.text] = int32(id)
		}
	}
	return fallbackBytes(func(text string) (int32, bool) {
		id, ok := vocab[text]
		return id, ok
	})
}

// bpe makes the model of the scores: of the pairs that a piece can be cut into, those of the highest score are joined
// first, and of those of the same score the leftmost.
func (f *sentencePieceFile) bpe() (*bpe, error) {
	m := emptyBPE()
	m.bytes, m.unknown, m.fuseUnknown = f.bytes(), int32(f.unknown), true
	vocab := map[string]int32{}
	var scores []float32
	for id, p := range f.pieces {
		if p.kind == pieceUnused {
			return nil, fmt.Errorf("pieces[%d]: %.100q is unused, which is not supported for BPE", id, p.text)
		}
		if p.kind != pieceNormal {
			continue
		}
		vocab[p.text] = int32(id)
		scores = append(scores, p.score)
		if r, n := utf8.DecodeRuneInString(p.text); n == len(p.text) {
			m.runes[r] = int32(id)
		}
	}
	slices.Sort(scores)
	scores = slices.Compact(scores)
	for text, id := range vocab {
		place, _ := slices.BinarySearch(scores, f.pieces[id].score)
		for cut := range text {
			left, okLeft := vocab[text[:cut]]
			right, okRight := vocab[text[cut:]]
			if okLeft && okRight {
				m.merges[pairKey(left, right)] = merge{int32(len(scores) - 1 - place), id}
			}
		}
		if len(m.merges) > maxMerges {
			return nil, fmt.Errorf("more than %d ways to cut pieces in two", maxMerges)
		}
	}
	return m, nil
}

func (f *sentencePieceFile) unigram() (*unigram, error) {
	pieces := make([]scoredPiece, len(f.pieces))
	lowest := float32(math.MaxFloat32)
	for id, p := range f.pieces {
		if p.kind == pieceNormal { // the others are never met in a text
			pieces[id] = scoredPiece{p.text, float64(p.score)}
			lowest = min(lowest, p.score)
		}
	}
	m, err := newUnigram(pieces, f.unknown)
	if err != nil {
		return nil, err
	}
	m.rounds, m.bytes = true, f.bytes()
	m.unknownScore = float64(lowest - unknownPenalty)
	return m, nil
}

// spaceNormalizer is how SentencePiece changes a text before it cuts it.
type spaceNormalizer struct {
	rules           *charsmap // nil: none
	users           *matchSet // symbols that stay as they are
	addPrefix, trim bool
}

// step returns the length of the first stretch of s that changes as one, and what it becomes.
func (n *spaceNormalizer) step(s string) (length int, text string) {
	if _, length := n.users.longest(s); length > 0 {
		return length, s[:length]
	}
	if n.rules != nil {
		if length, text := n.rules.longest(s); length > 0 {
			return length, text
		}
	}
	_, length = utf8.DecodeRuneInString(s)
	return length, s[:length]
}

func (n *spaceNormalizer) normalize(s span) (span, error) {
	w := newRewriter(s)
	at := 0
	if n.trim {
		for at < len(s.text) {
			length, text := n.step(s.text[at:])
			if text != " " {
				break
			}
			at += length
			w.replace(at, "")
		}
	}
	if at == len(s.text) {
		return s.slice(0, 0), nil
	}
	if n.addPrefix && s.place(0) == 0 {
		w.replace(at, spaceSymbol)
	}
	space := n.trim // a space came before
	for at < len(s.text) {
		length, text := n.step(s.text[at:])
		if space {
			text = strings.TrimLeft(text, " ")
		}
		if end := at + length; text == s.text[at:end] && !strings.Contains(text, " ") {
			w.keep(end)
		} else {
			w.replace(end, strings.ReplaceAll(text, " ", spaceSymbol))
		}
		if n.trim && text != "" {
			space = strings.HasSuffix(text, " ")
		}
		at += length
	}
	out, err := w.finish()
	if n.trim && err == nil {
		out = out.slice(0, len(strings.TrimRight(out.text, spaceSymbol)))
	}
	return out, err
}
