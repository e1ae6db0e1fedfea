package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

const (
	mainFile       = "tokenizer.json"
	modelFileName  = "tokenizer.model"
	vocabFile      = "vocab.json"
	mergesFile     = "merges.txt"
	settingsFile   = "tokenizer_config.json"
	rolesFile      = "special_tokens_map.json"
	addedFile      = "added_tokens.json"
	generationName = "generation_config.json"
)

// folderFiles are the files that Files looks for.
var folderFiles = []string{
	mainFile, settingsFile, rolesFile, addedFile, vocabFile, mergesFile, modelFileName, "chat_template.jinja", generationName,
}

// Load reads the tokenizer of a model folder. The vocabulary is that of tokenizer.json, which needs tokenizer_config.json beside it;
// without it that of tokenizer.model, a SentencePiece model; without either that of vocab.json with merges.txt, as GPT-2
// and Qwen 2 have them. tokenizer_config.json, special_tokens_map.json, added_tokens.json and generation_config.json need not be there.
//
// Where the files disagree, the roles (bos_token, eos_token, ...) are those of tokenizer_config.json, then those of
// special_tokens_map.json, then those that belong to tokenizer.model or to the class of vocab.json, then the first ids of
// generation_config.json. Tokens of added_tokens_decoder, of added_tokens.json where the former is missing, and of the roles become
// added tokens if tokenizer.json has not made them such. A stated add_bos_token or add_eos_token decides over the
// post-processor where the class is LlamaTokenizer(Fast) or there is no post-processor, as in transformers 4; elsewhere
// the post-processor decides, as in transformers 5.
//
// It returns an error naming file and key for anything that is damaged, contradictory or not implemented.
func Load(dir string) (*Tokenizer, error) {
	b := &builder{texts: map[int32]string{}, ids: map[string]int32{}, added: map[int32]addedToken{}, alone: map[string]bool{}, users: map[string]addedToken{}}
	if err := b.readBeside(dir); err != nil {
		return nil, err
	}
	name, err := b.readVocabulary(dir)
	if err != nil {
		return nil, err
	}
	if err := b.readSettings(); err != nil {
		return nil, inFile(dir, settingsFile, err)
	}
	if err := b.readAdded(); err != nil {
		return nil, inFile(dir, addedFile, err)
	}
	if err := b.addRoles(name); err != nil {
		return nil, inFile(dir, settingsFile, err)
	}
	t, err := b.build()
	if err != nil {
		return nil, inFile(dir, name, err)
	}
	for _, name := range folderFiles {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			t.files = append(t.files, name)
		}
	}
	return t, nil
}

// readBeside reads the files beside the vocabulary, which need not be there.
func (b *builder) readBeside(dir string) error {
	for _, f := range []struct {
		name string
		into any
	}{{settingsFile, &b.settings}, {rolesFile, &b.roles}, {addedFile, &b.addedIDs}, {generationName, &b.generation}} {
		if err := readJSON(dir, f.name, maxBeside, f.into); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// readVocabulary takes in the file with the vocabulary, and returns its name.
func (b *builder) readVocabulary(dir string) (name string, err error) {
	var f tokenizerFile
	switch err := readJSON(dir, mainFile, maxFile, &f); {
	case err == nil:
		if _, err := os.Stat(filepath.Join(dir, settingsFile)); err != nil {
			return "", fmt.Errorf("%s: no such file; get it from where %s comes from", filepath.Join(dir, settingsFile), mainFile)
		}
		return mainFile, inFile(dir, mainFile, b.readMain(&f))
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	switch data, err := readFile(dir, modelFileName, maxFile); {
	case err == nil:
		f, err := readSentencePiece(data)
		if err == nil {
			err = b.readSentencePieceModel(f)
		}
		return modelFileName, inFile(dir, modelFileName, err)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	var vocab rawJSON
	if err := readJSON(dir, vocabFile, maxFile, &vocab); errors.Is(err, fs.ErrNotExist) {
		return "", noTokenizer(dir)
	} else if err != nil {
		return "", err
	}
	text, err := readFile(dir, mergesFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return "", noTokenizer(dir)
	} else if err != nil {
		return "", err
	}
	merges, err := readMergesText(string(text))
	if err != nil {
		return "", fmt.Errorf("%s:%w", filepath.Join(dir, mergesFile), err)
	}
	return vocabFile, inFile(dir, vocabFile, b.readVocabAndMerges(vocab, merges))
}

// inFile puts a file's path in front of an error.
func inFile(dir, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
}

// builder gathers the parts of a Tokenizer.
type builder struct {
	settings, roles configFile // roles is special_tokens_map.json
	addedIDs        idsByText
	generation      generationFile

	texts map[int32]string
	ids   map[string]int32 // the reverse of texts
	added map[int32]addedToken
	alone map[string]bool       // texts of added tokens that the vocabulary has not
	users map[string]addedToken // of tokenizer.model, by the texts that stand for them once normalized
	steps int

	patterns  patternList
	prefixing int // pre-tokenizers of type Metaspace

	normalizers []normalizer
	splitters   []splitter
	byteLevel   bool
	model       model
	post        template
	hasPost     bool
	decoders    []decoder

	defaults map[string]string // roles that belong to the vocabulary
	special  map[string]string
}

// readMain takes in tokenizer.json.
func (b *builder) readMain(f *tokenizerFile) error {
	kind := f.Model.Type
	if kind == "" { // files before 2021 do not name it
		switch {
		case len(f.Model.Merges) > 0 || f.Model.pairs != nil:
			kind = "BPE"
		case f.Model.UnkID != nil:
			kind = "Unigram"
		case len(f.Model.Vocab) == 0:
			return errors.New("model: missing; this is not the tokenizer.json of a Hugging Face tokenizer")
		}
	}
	if kind != "BPE" && kind != "Unigram" {
		return unsupported("model", kind, "BPE, Unigram")
	}
	var pieces []scoredPiece
	var err error
	if kind == "BPE" {
		err = b.readVocab(f.Model.Vocab)
	} else {
		pieces, err = b.readScores(f.Model.Vocab)
	}
	if err != nil {
		return err
	}
	for i, a := range f.AddedTokens {
		if err := b.addToken(a); err != nil {
			return fmt.Errorf("added_tokens[%d]: %w", i, err)
		}
	}

	if f.Normalizer != nil {
		if b.normalizers, err = b.compileNormalizer(*f.Normalizer, "normalizer", nil); err != nil {
			return err
		}
	}
	if f.PreTokenizer != nil {
		if f.PreTokenizer.Type == "ByteLevel" && b.settings.AddPrefixSpace != nil {
			f.PreTokenizer.AddPrefixSpace = b.settings.AddPrefixSpace
		}
		if err := b.compileSplitter(*f.PreTokenizer, "pre_tokenizer"); err != nil {
			return err
		}
	}
	if f.PostProcessor != nil {
		b.hasPost = true
		b.post, err = b.compileTemplate(*f.PostProcessor, "post_processor")
		if err != nil {
			return err
		}
	}
	if f.Decoder != nil {
		if b.decoders, err = b.compileDecoder(*f.Decoder, "decoder", nil); err != nil {
			return err
		}
	} else {
		b.decoders = []decoder{joinWithSpaces}
	}
	if kind == "BPE" {
		if len(b.splitters) == 0 && !b.byteLevel && spacesBegin(b.vocabulary()) {
			b.splitters = []splitter{cutAtSpaces}
		}
		b.model, err = b.newBPE(&f.Model)
		return err
	}
	b.model, err = b.newUnigram(&f.Model, pieces)
	return err
}

// readVocab takes in model.vocab of a BPE tokenizer: an object of pieces and ids.
func (b *builder) readVocab(data rawJSON) error {
	if data.isNull() {
		return errors.New("model.vocab: missing; it is an object of pieces and ids")
	}
	if !data.isObject() {
		return jsonError(json.Unmarshal(data, &map[string]int64{}), "model.vocab")
	}
	b.expect(data.count() / 2)
	err := data.eachMember(func(text string, value rawJSON) error {
		id, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			if err := json.Unmarshal(value, &id); err != nil {
				return jsonError(err, "model.vocab")
			}
		}
		if err := b.addPiece(text, id); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
		return nil
	})
	if err == nil && len(b.ids) == 0 {
		err = errors.New("model.vocab: empty")
	}
	return err
}

// readScores takes in model.vocab of a Unigram tokenizer: a list of pieces with their scores, by id.
func (b *builder) readScores(data rawJSON) ([]scoredPiece, error) {
	if data.isNull() {
		return nil, errors.New("model.vocab: missing; it is a list of pieces with their scores")
	}
	if !data.isList() {
		return nil, jsonError(json.Unmarshal(data, new([]any)), "model.vocab")
	}
	pieces := make([]scoredPiece, 0, b.expect(data.count()))
	err := data.each(func(raw rawJSON) error {
		p, err := readPiece(raw)
		if err != nil {
			return jsonError(err, "model.vocab")
		}
		if err := b.addPiece(p.text, int64(len(pieces))); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
		pieces = append(pieces, p)
		return nil
	})
	return pieces, err
}

// expect makes room for n pieces, if there may be as many: growing would take several times as much.
func (b *builder) expect(n int) int {
	n = min(n, maxPieces)
	if len(b.ids) == 0 {
		b.ids, b.texts = make(map[string]int32, n), make(map[int32]string, n)
	}
	return n
}

// addPiece gives a piece of the vocabulary its id.
func (b *builder) addPiece(text string, id int64) error {
	if len(b.ids) == maxPieces {
		return fmt.Errorf("more than %d pieces", maxPieces)
	}
	return b.addID(text, id)
}

func (b *builder) newUnigram(f *modelFile, pieces []scoredPiece) (*unigram, error) {
	if b.byteLevel {
		return nil, errors.New("pre_tokenizer: ByteLevel is not supported for a Unigram model")
	}
	if f.UnkID == nil {
		return nil, errors.New("model.unk_id: missing; it is the id of what the vocabulary does not have")
	}
	m, err := newUnigram(pieces, *f.UnkID)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if f.ByteFallback {
		m.bytes = fallbackBytes(b.piece)
	}
	return m, nil
}

// vocabulary are the pieces and their ids, without the tokens that are added to them.
func (b *builder) vocabulary() iter.Seq2[string, int32] {
	return func(yield func(string, int32) bool) {
		for text, id := range b.ids {
			if !b.alone[text] && !yield(text, id) {
				return
			}
		}
	}
}

// piece returns the id of a piece of the vocabulary.
func (b *builder) piece(text string) (int32, bool) {
	id, ok := b.ids[text]
	return id, ok && !b.alone[text]
}

// addID gives text an id.
func (b *builder) addID(text string, id int64) error {
	if len(text) > maxPiece {
		return fmt.Errorf("id %d: %d bytes, more than %d", id, len(text), maxPiece)
	}
	if id < 0 || id >= maxID {
		return fmt.Errorf("%.100q: id %d is not in 0..%d", text, id, maxID-1)
	}
	if old, ok := b.ids[text]; ok && int64(old) != id {
		return fmt.Errorf("%.100q: id %d, but it already has id %d", text, id, old)
	}
	if old, ok := b.texts[int32(id)]; ok && old != text {
		return fmt.Errorf("%.100q and %.100q both have id %d", old, text, id)
	}
	b.texts[int32(id)] = text
	b.ids[text] = int32(id)
	return nil
}

// addToken makes a an added token, unless that text is one already.
func (b *builder) addToken(a addedToken) error {
	if a.Content == "" {
		return nil
	}
	if len(a.Content) > maxAdded {
		return fmt.Errorf("id %d: %d bytes, more than %d", a.ID, len(a.Content), maxAdded)
	}
	if _, ok := b.ids[a.Content]; !ok {
		b.alone[a.Content] = true
	}
	if err := b.addID(a.Content, a.ID); err != nil {
		return err
	}
	if _, ok := b.added[int32(a.ID)]; !ok {
		b.added[int32(a.ID)] = a
	}
	return nil
}

// readSettings takes in more added tokens and the roles.
func (b *builder) readSettings() error {
	for _, key := range slices.Sorted(maps.Keys(b.settings.AddedTokensDecoder)) {
		a := b.settings.AddedTokensDecoder[key]
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return fmt.Errorf("added_tokens_decoder: key %.100q is not an id", key)
		}
		a.ID = id
		if err := b.addToken(a); err != nil {
			return fmt.Errorf("added_tokens_decoder[%.100s]: %w", key, err)
		}
	}
	b.special = b.settings.roles()
	fill := func(role, text string) {
		if b.special[role] == "" {
			b.special[role] = text
		}
	}
	for role, text := range b.roles.roles() {
		fill(role, text)
	}
	for role, text := range b.defaults {
		if _, ok := b.ids[text]; ok {
			fill(role, text)
		}
	}
	for role, ids := range map[string]idList{"bos_token": b.generation.BOS, "eos_token": b.generation.EOS} {
		if len(ids) > 0 && ids[0] >= 0 && ids[0] < maxID {
			fill(role, b.texts[int32(ids[0])])
		}
	}
	maps.DeleteFunc(b.special, func(_, text string) bool { return text == "" })
	return nil
}

// readAdded takes in added_tokens.json, which counts where tokenizer_config.json lists no added tokens.
func (b *builder) readAdded() error {
	if b.settings.AddedTokensDecoder != nil {
		return nil
	}
	special := slices.Collect(maps.Values(b.special))
	for _, text := range slices.Sorted(maps.Keys(b.addedIDs)) {
		is := slices.Contains(special, text)
		if err := b.addToken(addedToken{ID: b.addedIDs[text], Content: text, Special: is, Normalized: !is}); err != nil {
			return err
		}
	}
	return nil
}

// addRoles makes the tokens with a role added tokens. vocabulary is the file that should have them.
func (b *builder) addRoles(vocabulary string) error {
	for _, role := range slices.Sorted(maps.Keys(b.special)) {
		text := b.special[role]
		id, ok := b.ids[text]
		if !ok {
			if role == "bos_token" || role == "eos_token" {
				return fmt.Errorf("%s: %.100q is not in the vocabulary; add it to %s or name another token", role, text, vocabulary)
			}
			continue // transformers would invent an id, for which the model has no row
		}
		if err := b.addToken(addedToken{ID: int64(id), Content: text, Special: true}); err != nil {
			return fmt.Errorf("%s: %w", role, err)
		}
	}
	return nil
}

// build puts the parts together once all files are read.
func (b *builder) build() (*Tokenizer, error) {
	t := &Tokenizer{
		normalizers: b.normalizers, splitters: b.splitters, patterns: b.patterns, model: b.model, post: b.post, decoders: b.decoders,
		texts: b.texts, skipped: map[int32]bool{}, special: b.special,
	}
	t.size = int(slices.Max(slices.Collect(maps.Keys(b.texts)))) + 1
	t.bos, t.eos, t.pad = b.role("bos_token"), b.role("eos_token"), b.role("pad_token")

	if t.eos != nil {
		t.stops = []int32{t.eos.ID}
	}
	for _, id := range b.generation.EOS {
		if b.checkID(id) == nil && !slices.Contains(t.stops, int32(id)) {
			t.stops = append(t.stops, int32(id))
		}
	}

	raw, normalized := map[string]addedToken{}, maps.Clone(b.users)
	for _, id := range slices.Sorted(maps.Keys(b.added)) {
		a := b.added[id]
		t.skipped[id] = a.Special
		if !a.Normalized {
			raw[a.Content] = a
			continue
		}
		s := span{text: a.Content}
		var err error
		for _, normalize := range b.normalizers {
			if s, err = normalize(s); err != nil {
				return nil, fmt.Errorf("added token %.100q: %w", a.Content, err)
			}
		}
		if _, ok := normalized[s.text]; !ok { // two may be the same once normalized: the smaller id wins
			normalized[s.text] = a
		}
		t.texts[id] = s.text // tokenizers decodes it so, too
	}
	t.rawAdded, t.normalizedAdded = newMatchSet(raw), newMatchSet(normalized)

	if c := b.settings; c.class() == "LlamaTokenizer" || !b.hasPost {
		var err error
		if t.post.prefix, err = override(c.AddBOS, t.bos, t.post.prefix); err != nil {
			return nil, fmt.Errorf("add_bos_token of %s: %w", settingsFile, err)
		}
		if t.post.suffix, err = override(c.AddEOS, t.eos, t.post.suffix); err != nil {
			return nil, fmt.Errorf("add_eos_token of %s: %w", settingsFile, err)
		}
	}
	return t, nil
}

// role returns the token of a role, nil if there is none or it has no id.
func (b *builder) role(key string) *Special {
	text := b.special[key]
	id, ok := b.ids[text]
	if text == "" || !ok {
		return nil
	}
	return &Special{id, text}
}

// override returns what stands on one side of a sequence: what add says, if it says anything.
func override(add *bool, s *Special, ids []int32) ([]int32, error) {
	switch {
	case add == nil:
		return ids, nil
	case !*add:
		return nil, nil
	case s == nil:
		return nil, errors.New("true, but the folder names no such token; name it or say false")
	}
	return []int32{s.ID}, nil
}

// countStep bounds the number of components, and with it what a hostile file can make of a short text.
func (b *builder) countStep(key string) error {
	if b.steps++; b.steps > maxSteps {
		return fmt.Errorf("%s: more than %d components", key, maxSteps)
	}
	return nil
}
