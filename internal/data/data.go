// Package data turns rows of files into packed batches of token ids. Package rows knows the formats of files.
//
// A row becomes a pair of completions of one prompt, a single completion, one with a label (unpaired.go, where a pair becomes two of
// these), or a ranked list (ranked.go, where it becomes pairs for what takes pairs), text or chat; the chat template renders
// the whole conversation and the tokenizer encodes it once; the result is an Example: the ids of each sequence and where
// its scored part begins. Truncation happens here and nowhere else. A Packer lays examples out in a compute.Batch.
//
// Order is a function of seed and epoch, examples are one of the file and the options: nothing depends on time or on the
// number of threads.
//
// Lengths are tokens; lines count from 1. What is wrong with a row is an error with file and line (of a parquet file, row), or counted in the
// Report; what becomes of which row is in docs/formats.md.
//
// To add a column or a form of rows: parsing in row.go, numbers.go for a number, unpaired.go for labels or ranked.go for lists, its way to ids in example.go, rows in the tables of
// row_test.go, numbers_test.go and example_test.go, and docs/formats.md. A new reason to leave a row out is one of dropReason (report.go).
package data

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dpotrain/internal/chat"
	"dpotrain/internal/tokenizer"
)

// Form is what rows are read for.
type Form int

const (
	// Pairs have a chosen and a rejected completion: columns chosen and rejected, and prompt unless it is what both
	// begin with.
	Pairs Form = iota
	// Completions are single ones: prompt and completion, prompt and chosen, or text, which is scored from its second
	// id on. Of a row that has several of the columns completion, chosen and text the first in this order is read.
	Completions
	// Labelled are unpaired rows: prompt, completion and label. A pair becomes two of them, the chosen completion to learn and the rejected one to
	// unlearn.
	Labelled
	// Lists are ranked rows: prompt, and completions with scores or best first. A pair is a list of two. With Pairs and Labelled a ranked row becomes
	// pairs, by the rule of Options.RankedPairs, and of Completions it has its best one.
	Lists
)

// String is what reports call such rows.
func (f Form) String() string {
	switch f {
	case Pairs:
		return "pairs"
	case Completions:
		return "completions"
	case Labelled:
		return "unpaired"
	case Lists:
		return "ranked"
	}
	return "any"
}

// Encoder is the tokenizer, as far as rows need it.
type Encoder interface {
	Encode(text string, addSpecial bool) (tokenizer.Encoding, error)
	BOS() (tokenizer.Special, bool)
	EOS() (tokenizer.Special, bool)
	AppendsEOS() bool // Encode with addSpecial puts EOS behind the text
}

// Reader reads rows with the tokenizer and the chat template of a model folder.
type Reader struct {
	Wanted Wanted // numbers that Load reads; none unless set
	Store  Store

	dir       string
	tokenizer *tokenizer.Tokenizer
	template  *chat.Template // nil when the model has none
}

// ChatFormats are the built-in chat templates, by name.
func ChatFormats() []string { return chat.Formats() }

// Open loads a model folder's tokenizer, and its chat template or the one that chatTemplate names (Options.ChatTemplate).
func Open(dir, chatTemplate string) (*Reader, error) {
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{dir: dir, tokenizer: t}
	template, err := chat.Load(dir, chatTemplate, t.SpecialTokens())
	switch {
	case err == nil:
		r.template = template
	case !errors.Is(err, chat.ErrNoTemplate):
		return nil, err
	}
	return r, nil
}

// VocabSize is one more than the largest id.
func (r *Reader) VocabSize() int { return r.tokenizer.VocabSize() }

// Load reads the rows of a file, a folder, or a pattern of files, as Mix does.
func (r *Reader) Load(ctx context.Context, path string, form Form, o Options, progress func(done, total int64)) (*Set, error) {
	set, _, err := r.Mix(ctx, []Source{{Path: path}}, 0, form, o, progress)
	return set, err
}

// Mix reads data sets and mixes them, the examples of one behind those of another, and puts those of a fraction of the prompts into held,
// which is nil for 0. progress, if any, is called with bytes. No example left of a data set, and a file that another process changes meanwhile, is
// an error. When ctx ends it stops, and nothing is left behind.
func (r *Reader) Mix(ctx context.Context, sources []Source, fraction float64, form Form, o Options, progress func(done, total int64)) (set, held *Set, err error) {
	m, err := r.maker(ctx, form, o)
	if err != nil {
		return nil, nil, err
	}
	all, err := m.loadSources(sources, progress)
	if err != nil {
		return nil, nil, err
	}
	set = all
	if fraction > 0 {
		set, held, err = all.split(fraction)
	}
	if err == nil {
		err = m.finish(set, held)
	}
	if err != nil {
		all.Close()
		return nil, nil, err
	}
	return set, held, nil
}

func (r *Reader) maker(ctx context.Context, form Form, o Options) (*maker, error) {
	vars, err := o.vars()
	if err != nil {
		return nil, err
	}
	var files string
	if r.Store.Dir != "" {
		if files, err = r.tokenizerHash(); err != nil {
			return nil, err
		}
	}
	return &maker{ctx: ctx, tokenizer: files, encoder: r.tokenizer, template: r.template, vars: vars, options: o, form: form, wanted: r.Wanted, store: r.Store}, nil
}

// tokenizerHash names the contents of the tokenizer's files.
func (r *Reader) tokenizerHash() (string, error) {
	h := sha256.New()
	for _, name := range r.tokenizer.Files() {
		content, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n", name, len(content))
		h.Write(content)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Decode is the text of ids, without special tokens.
func (r *Reader) Decode(ids []int32) string { return r.tokenizer.Decode(ids, true) }

// StopIDs are the ids that end an answer: the tokenizer's EOS, and those that generation_config.json lists.
func (r *Reader) StopIDs() []int32 { return r.tokenizer.StopIDs() }

// Files are the contents of the tokenizer's files and the chat template, by name, for a folder in which a model is saved.
func (r *Reader) Files() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range r.tokenizer.Files() {
		content, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			return nil, fmt.Errorf("tokenizer of the saved model: %w", err)
		}
		files[name] = content
	}
	if r.template != nil {
		if err := r.template.Save(files); err != nil {
			return nil, fmt.Errorf("chat template of the saved model: %w", err)
		}
	}
	return files, nil
}
