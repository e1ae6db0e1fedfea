package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	mainFile       = "tokenizer.json"
	settingsFile   = "tokenizer_config.json"
	rolesFile      = "special_tokens_map.json"
	generationName = "generation_config.json"
)

// folderFiles are the files that Files looks for.
var folderFiles = []string{
	mainFile, settingsFile, rolesFile, "added_tokens.json", "vocab.json", "merges.txt", "tokenizer.model",
	"chat_template.jinja", generationName,
}

// Load reads the tokenizer of a model folder: tokenizer.json and tokenizer_config.json, which must be there, and
// special_tokens_map.json and generation_config.json, which need not.
//
// Where the files disagree, the roles (bos_token, eos_token, ...) are those of tokenizer_config.json, then those of
// special_tokens_map.json, then the ids of generation_config.json. Tokens of added_tokens_decoder and of the roles become
// added tokens if tokenizer.json has not made them such. A stated add_bos_token or add_eos_token decides over the
// post-processor where the class is LlamaTokenizer(Fast) or there is no post-processor, as in transformers 4; elsewhere
// the post-processor decides, as in transformers 5.
//
// It returns an error naming file and key for anything that is damaged, contradictory or not implemented.
func Load(dir string) (*Tokenizer, error) {
	var f tokenizerFile
	var c, roles configFile
	var g generationFile
	if err := readJSON(dir, mainFile, &f); errors.Is(err, fs.ErrNotExist) {
		return nil, noTokenizer(dir)
	} else if err != nil {
		return nil, err
	}
	if err := readJSON(dir, settingsFile, &c); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: no such file; get it from where %s comes from", filepath.Join(dir, settingsFile), mainFile)
	} else if err != nil {
		return nil, err
	}
	if err := readJSON(dir, rolesFile, &roles); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := readJSON(dir, generationName, &g); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}

	b := &builder{texts: map[int32]string{}, ids: map[string]int32{}, added: map[int32]addedToken{}}
	if err := b.readMain(&f, &c); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, mainFile), err)
	}
	if err := b.readSettings(&c, &roles, &g); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, settingsFile), err)
	}
	t, err := b.build(&c)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, mainFile), err)
	}
	for _, name := range folderFiles {
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			t.files = append(t.files, name)
		}
	}
	return t, nil
}

// builder gathers the parts of a Tokenizer.
type builder struct {
	texts map[int32]string
	ids   map[string]int32 // the reverse of texts
	added map[int32]addedToken
	steps int

	normalizers []normalizer
	splitters   []splitter
	byteLevel   bool
	model       *bpe
	post        template
	hasPost     bool
	decoders    []decoder

	special map[string]string
}

// readMain takes in tokenizer.json.
func (b *builder) readMain(f *tokenizerFile, c *configFile) error {
	switch {
	case f.Model.Type == "BPE", f.Model.Type == "" && len(f.Model.Merges) > 0: // files before 2021 do not name it
	case f.Model.Type == "" && len(f.Model.Vocab) == 0:
		return errors.New("model: missing; this is not the tokenizer.json of a Hugging Face tokenizer")
	default:
		return unsupported("model", f.Model.Type, "BPE")
	}
	if len(f.Model.Vocab) == 0 {
		return errors.New("model.vocab: missing; it is an object of pieces and ids")
	}
	var vocab map[string]int64
	if err := json.Unmarshal(f.Model.Vocab, &vocab); err != nil {
		return jsonError(err, "model.vocab")
	}
	if len(vocab) == 0 {
		return errors.New("model.vocab: empty")
	}
	for _, text := range slices.Sorted(maps.Keys(vocab)) { // sorted, so that the same file gives the same error
		if err := b.addID(text, vocab[text]); err != nil {
			return fmt.Errorf("model.vocab: %w", err)
		}
	}
	inVocab := maps.Clone(b.ids)
	for i, a := range f.AddedTokens {
		if err := b.addToken(a); err != nil {
			return fmt.Errorf("added_tokens[%d]: %w", i, err)
		}
	}

	var err error
	if f.Normalizer != nil {
		if b.normalizers, err = b.compileNormalizer(*f.Normalizer, "normalizer", nil); err != nil {
			return err
		}
	}
	if f.PreTokenizer != nil {
		if f.PreTokenizer.Type == "ByteLevel" && c.AddPrefixSpace != nil {
			f.PreTokenizer.AddPrefixSpace = c.AddPrefixSpace
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
	b.model, err = newBPE(&f.Model, inVocab, b.ids, b.byteLevel)
	return err
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
	if err := b.addID(a.Content, a.ID); err != nil {
		return err
	}
	if _, ok := b.added[int32(a.ID)]; !ok {
		b.added[int32(a.ID)] = a
	}
	return nil
}

// readSettings takes in the other files: more added tokens, and the roles.
func (b *builder) readSettings(c, roles *configFile, g *generationFile) error {
	for _, key := range slices.Sorted(maps.Keys(c.AddedTokensDecoder)) {
		a := c.AddedTokensDecoder[key]
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil {
			return fmt.Errorf("added_tokens_decoder: key %.100q is not an id", key)
		}
		a.ID = id
		if err := b.addToken(a); err != nil {
			return fmt.Errorf("added_tokens_decoder[%.100s]: %w", key, err)
		}
	}
	b.special = c.roles()
	for role, text := range roles.roles() {
		if b.special[role] == "" {
			b.special[role] = text
		}
	}
	for role, ids := range map[string]idList{"bos_token": g.BOS, "eos_token": g.EOS} {
		if b.special[role] == "" && len(ids) > 0 && ids[0] >= 0 && ids[0] < maxID {
			b.special[role] = b.texts[int32(ids[0])]
		}
	}
	maps.DeleteFunc(b.special, func(_, text string) bool { return text == "" })
	for _, role := range slices.Sorted(maps.Keys(b.special)) {
		text := b.special[role]
		id, ok := b.ids[text]
		if !ok {
			if role == "bos_token" || role == "eos_token" {
				return fmt.Errorf("%s: %.100q is not in the vocabulary; add it to %s or name another token", role, text, mainFile)
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
func (b *builder) build(c *configFile) (*Tokenizer, error) {
	t := &Tokenizer{
		normalizers: b.normalizers, splitters: b.splitters, model: b.model, post: b.post, decoders: b.decoders,
		texts: b.texts, skipped: map[int32]bool{}, special: b.special,
	}
	t.size = int(slices.Max(slices.Collect(maps.Keys(b.texts)))) + 1
	t.bos, t.eos, t.pad = b.role("bos_token"), b.role("eos_token"), b.role("pad_token")

	for _, id := range slices.Sorted(maps.Keys(b.added)) {
		a := b.added[id]
		t.skipped[id] = a.Special
		if !a.Normalized {
			t.rawAdded.add(a.Content, a)
			continue
		}
		s := span{text: a.Content}
		var err error
		for _, normalize := range b.normalizers {
			if s, err = normalize(s); err != nil {
				return nil, fmt.Errorf("added token %.100q: %w", a.Content, err)
			}
		}
		t.normalizedAdded.add(s.text, a)
	}

	if strings.TrimSuffix(c.Class, "Fast") == "LlamaTokenizer" || !b.hasPost {
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
