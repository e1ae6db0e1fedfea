package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"dpotrain/internal/files"
)

// Limits on what a folder may bring. The largest known tokenizer.json has 33 MB, 262,144 pieces and 514,906 merges (Gemma 3), the longest
// known piece some 1,000 bytes.
const (
	maxFile    = 48 << 20 // bytes of a file
	maxPieces  = 1 << 19  // pieces of a vocabulary
	maxMerges  = 1 << 20  // merges, and pairs that the pieces of a BPE tokenizer.model can be cut into
	maxTokens  = 1 << 16  // added tokens of a file
	maxBeside  = 16 << 20 // bytes of a file that is not the vocabulary
	maxIDs     = 1 << 10  // ids of one role
	maxPiece   = 1 << 14  // bytes of a vocabulary entry
	maxAdded   = 512      // bytes of an added token, which is looked for from every place of a text
	maxContent = 64       // bytes that a normalizer, pre-tokenizer or decoder puts in
	maxSteps   = 64       // normalizers, pre-tokenizers, post-processors and decoders together
)

// tokenizerFile is tokenizer.json.
type tokenizerFile struct {
	AddedTokens   []addedToken
	Normalizer    *component
	PreTokenizer  *component
	PostProcessor *component
	Decoder       *component
	Model         modelFile
}

func (f *tokenizerFile) UnmarshalJSON(data []byte) error {
	const perToken, perComponent = 8, 64 // values
	var raw struct {
		AddedTokens   rawJSON   `json:"added_tokens"`
		Normalizer    rawJSON   `json:"normalizer"`
		PreTokenizer  rawJSON   `json:"pre_tokenizer"`
		PostProcessor rawJSON   `json:"post_processor"`
		Decoder       rawJSON   `json:"decoder"`
		Model         modelFile `json:"model"`
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return jsonError(err, "")
	}
	f.Model = raw.Model
	if err := raw.AddedTokens.decode("added_tokens", perToken*maxTokens, &f.AddedTokens); err != nil {
		return err
	}
	for _, c := range []struct {
		key  string
		raw  rawJSON
		into **component
	}{
		{"normalizer", raw.Normalizer, &f.Normalizer}, {"pre_tokenizer", raw.PreTokenizer, &f.PreTokenizer},
		{"post_processor", raw.PostProcessor, &f.PostProcessor}, {"decoder", raw.Decoder, &f.Decoder},
	} {
		if err := c.raw.decode(c.key, perComponent*maxSteps, c.into); err != nil {
			return err
		}
	}
	return nil
}

// addedToken is an entry of added_tokens, and of added_tokens_decoder in tokenizer_config.json, where the id is the key.
type addedToken struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// component is a normalizer, pre-tokenizer, post-processor or decoder; Type says which fields count.
type component struct {
	Type string `json:"type"`

	Normalizers   []component `json:"normalizers"`
	Pretokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`

	Pattern    *pattern `json:"pattern"`
	Content    string   `json:"content"`
	Prepend    string   `json:"prepend"`
	StripLeft  bool     `json:"strip_left"`
	StripRight bool     `json:"strip_right"`

	PrecompiledCharsmap string `json:"precompiled_charsmap"` // base64

	Behavior         string `json:"behavior"`
	Invert           bool   `json:"invert"`
	IndividualDigits bool   `json:"individual_digits"`
	AddPrefixSpace   *bool  `json:"add_prefix_space"`
	UseRegex         *bool  `json:"use_regex"`
	Replacement      string `json:"replacement"`
	PrependScheme    string `json:"prepend_scheme"`
	Split            *bool  `json:"split"`
	Start            int    `json:"start"`
	Stop             int    `json:"stop"`

	Single        []templatePiece            `json:"single"`
	SpecialTokens map[string]templateSpecial `json:"special_tokens"`
	CLS           *tokenAndID                `json:"cls"`
	SEP           *tokenAndID                `json:"sep"`
}

type pattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// templatePiece is a place in a TemplateProcessing: the sequence, or ids that special_tokens lists.
type templatePiece struct {
	Sequence     *templateID `json:"Sequence"`
	SpecialToken *templateID `json:"SpecialToken"`
}

type templateID struct {
	ID string `json:"id"`
}

type templateSpecial struct {
	IDs []int64 `json:"ids"`
}

// tokenAndID is a token of a RobertaProcessing or BertProcessing: a list of its text and its id.
type tokenAndID struct {
	text string
	id   int64
}

func (t *tokenAndID) UnmarshalJSON(data []byte) error {
	pair := []any{&t.text, &t.id}
	if err := json.Unmarshal(data, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return errors.New("cls or sep: not a list of a text and its id")
	}
	return nil
}

// modelFile is the key model. Vocab and Merges are read once Type is known: their shapes depend on it.
type modelFile struct {
	Type                    string   `json:"type"`
	Dropout                 *float64 `json:"dropout"`
	UnkToken                *string  `json:"unk_token"`
	ContinuingSubwordPrefix *string  `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string  `json:"end_of_word_suffix"`
	FuseUnk                 bool     `json:"fuse_unk"`
	ByteFallback            bool     `json:"byte_fallback"`
	IgnoreMerges            bool     `json:"ignore_merges"`
	UnkID                   *int     `json:"unk_id"`
	Vocab                   rawJSON  `json:"vocab"`
	Merges                  rawJSON  `json:"merges"`

	pairs [][2]string // of merges.txt, in place of Merges
}

// configFile is tokenizer_config.json, and special_tokens_map.json, which has the roles only.
type configFile struct {
	Class              string     `json:"tokenizer_class"`
	AddBOS             *bool      `json:"add_bos_token"`
	AddEOS             *bool      `json:"add_eos_token"`
	AddPrefixSpace     *bool      `json:"add_prefix_space"`
	AddedTokensDecoder tokensByID `json:"added_tokens_decoder"`

	BOS  roleText `json:"bos_token"`
	EOS  roleText `json:"eos_token"`
	Unk  roleText `json:"unk_token"`
	Sep  roleText `json:"sep_token"`
	Pad  roleText `json:"pad_token"`
	CLS  roleText `json:"cls_token"`
	Mask roleText `json:"mask_token"`
}

// tokensByID are added tokens by their ids as texts.
type tokensByID map[string]addedToken

// idsByText is added_tokens.json.
type idsByText map[string]int64

func (t *idsByText) UnmarshalJSON(data []byte) error {
	if err := rawJSON(data).limit("added tokens", 2*maxTokens); err != nil {
		return err
	}
	return json.Unmarshal(data, (*map[string]int64)(t))
}

func (t *tokensByID) UnmarshalJSON(data []byte) error {
	if err := rawJSON(data).limit("added_tokens_decoder", 8*maxTokens); err != nil {
		return err
	}
	return json.Unmarshal(data, (*map[string]addedToken)(t))
}

// class is the name of the class in Python, which is the same for a fast tokenizer and a slow one.
func (c *configFile) class() string { return strings.TrimSuffix(c.Class, "Fast") }

// roles returns the texts by their keys, empty ones included.
func (c *configFile) roles() map[string]string {
	return map[string]string{
		"bos_token": string(c.BOS), "eos_token": string(c.EOS), "unk_token": string(c.Unk), "sep_token": string(c.Sep),
		"pad_token": string(c.Pad), "cls_token": string(c.CLS), "mask_token": string(c.Mask),
	}
}

// roleText is the text of a token: a string, or an object that has it as content.
type roleText string

func (r *roleText) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if len(data) > 0 && data[0] == '{' {
		err := json.Unmarshal(data, &object)
		*r = roleText(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(r))
}

// generationFile is generation_config.json.
type generationFile struct {
	BOS idList `json:"bos_token_id"`
	EOS idList `json:"eos_token_id"`
}

// idList is one id or a list of ids.
type idList []int64

func (l *idList) UnmarshalJSON(data []byte) error {
	if err := rawJSON(data).limit("bos_token_id or eos_token_id", maxIDs); err != nil {
		return err
	}
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]int64)(l))
	}
	var one *int64
	if err := json.Unmarshal(data, &one); err != nil || one == nil {
		return err
	}
	*l = idList{*one}
	return nil
}

// readFile reads dir/name, which has at most max bytes.
func readFile(dir, name string, max int64) ([]byte, error) {
	path := filepath.Join(dir, name)
	data, err := files.Read(path, max)
	if errors.Is(err, files.ErrTooLarge) {
		err = fmt.Errorf("%w; this is no tokenizer file", err)
	}
	if err != nil {
		return nil, err // names the path
	}
	if what := foreign(data); what != "" {
		return nil, fmt.Errorf("%s: %s", path, what)
	}
	return data, nil
}

// readJSON decodes dir/name into v. Errors name the file and, where the content is at fault, the byte and the key.
func readJSON(dir, name string, max int64, v any) error {
	data, err := readFile(dir, name, max)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, name), jsonError(err, ""))
	}
	return nil
}

// foreign says what a file is that is no JSON file at all and often stands in the place of one; empty for any other.
func foreign(data []byte) string {
	switch {
	case len(bytes.TrimSpace(data)) == 0:
		return "empty; get the file again"
	case bytes.HasPrefix(data, []byte("version https://git-lfs")):
		return "a git-lfs pointer and not the file itself; get that with git lfs pull"
	case data[0] == '<':
		return "begins with <, as web pages do; get the file itself"
	}
	return ""
}

// noTokenizer says what to do about a folder without a vocabulary that Load reads.
func noTokenizer(dir string) error {
	for _, name := range []string{vocabFile, mergesFile, "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "tekken.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf(`%s: no such file; make it of %s once, in Python: from transformers import AutoTokenizer; AutoTokenizer.from_pretrained("%[3]s").save_pretrained("%[3]s")`,
				filepath.Join(dir, mainFile), name, filepath.ToSlash(dir))
		}
	}
	return fmt.Errorf("%s: no such file; give a folder with %s and %s, as a Hugging Face model has them", filepath.Join(dir, mainFile), mainFile, settingsFile)
}

// jsonError puts the place or key of a JSON error into words. key leads to the value that was decoded.
func jsonError(err error, key string) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d (%w); get the file again", syntax.Offset, err)
	case errors.As(err, &kind):
		if field := strings.Trim(key+"."+kind.Field, "."); field != "" {
			return fmt.Errorf("%.200s: %s where %s belongs; get the file again", field, jsonWord(kind.Value), goWord(kind.Type))
		}
		return fmt.Errorf("%s where %s belongs; get the file again", jsonWord(kind.Value), goWord(kind.Type))
	case key != "":
		return fmt.Errorf("%s: %w", key, err)
	}
	return err
}

// jsonWord names what package json found; numbers come with their digits.
func jsonWord(value string) string {
	switch value {
	case "string":
		return "text"
	case "bool":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "an object"
	}
	return fmt.Sprintf("%.40s", value)
}

// goWord names what a field of type t holds.
func goWord(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Pointer:
		return goWord(t.Elem())
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "a whole number"
}

// eachMerge calls visit for the pairs of merges, which are pairs of texts or texts with one space between the two.
func (f *modelFile) eachMerge(visit func(rank int, pair [2]string) error) error {
	rank := 0
	for _, pair := range f.pairs {
		if err := visit(rank, pair); err != nil {
			return err
		}
		rank++
	}
	if f.pairs != nil {
		return nil
	}
	if f.Merges.isNull() {
		return errors.New("model.merges: missing; it is a list of pairs")
	}
	if !f.Merges.isList() {
		return jsonError(json.Unmarshal(f.Merges, new([]string)), "model.merges")
	}
	return f.Merges.each(func(raw rawJSON) error {
		if rank == maxMerges {
			return fmt.Errorf("model.merges: more than %d", maxMerges)
		}
		var pair [2]string
		if raw.isList() {
			n := 0
			err := raw.each(func(raw rawJSON) (err error) {
				if n < 2 {
					pair[n], err = raw.text()
				}
				n++
				return err
			})
			if err != nil {
				return jsonError(err, "model.merges")
			}
			if n != 2 {
				return fmt.Errorf("model.merges[%d]: %d texts, want 2", rank, n)
			}
		} else {
			line, err := raw.text()
			if err != nil {
				return jsonError(err, "model.merges")
			}
			if strings.HasPrefix(line, "#version") {
				return nil
			}
			if pair, err = mergePair(line); err != nil {
				return fmt.Errorf("model.merges[%d]: %w", rank, err)
			}
		}
		rank++
		return visit(rank-1, pair)
	})
}

// mergePair reads a pair of merges that is written as one text.
func mergePair(line string) ([2]string, error) {
	left, right, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(right, " ") {
		return [2]string{}, fmt.Errorf("%.100q is not two texts with one space between them", line)
	}
	return [2]string{left, right}, nil
}

func unsupported(key, kind, supported string) error {
	return fmt.Errorf("%s: type %.100q is not supported; want %s", key, kind, supported)
}

// checkContent refuses texts with which a short input could be blown up.
func checkContent(text, key string) error {
	if len(text) > maxContent {
		return fmt.Errorf("%s: %d bytes, more than %d", key, len(text), maxContent)
	}
	return nil
}
