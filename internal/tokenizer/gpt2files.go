package tokenizer

import (
	"fmt"
	"strings"
)

// readMergesText reads merges.txt: a pair a line, with a space between the two. Errors begin with the line.
func readMergesText(text string) ([][2]string, error) {
	pairs := [][2]string{} // not nil: they are there
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" || number == 1 && strings.HasPrefix(line, "#version") {
			continue
		}
		pair, err := mergePair(line)
		if err != nil {
			return nil, fmt.Errorf("%d: %w", number, err)
		}
		if len(pairs) == maxMerges {
			return nil, fmt.Errorf("%d: more than %d merges", number, maxMerges)
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}

// readVocabAndMerges takes in vocab.json and merges.txt: the vocabulary of a byte-level BPE tokenizer, whose other components go by
// the class that tokenizer_config.json names. Without a name it is GPT-2's.
func (b *builder) readVocabAndMerges(vocab rawJSON, merges [][2]string) error {
	const endOfText = "<|endoftext|>"
	yes, no := true, false
	bytes := component{Type: "ByteLevel", AddPrefixSpace: &no}
	f := &tokenizerFile{PreTokenizer: &bytes, Decoder: &component{Type: "ByteLevel"}}
	switch class := b.settings.class(); class {
	case "", "GPT2Tokenizer", "CodeGenTokenizer":
		if b.settings.AddPrefixSpace != nil && *b.settings.AddPrefixSpace {
			bytes.AddPrefixSpace = &yes
		}
		b.defaults = map[string]string{"bos_token": endOfText, "eos_token": endOfText, "unk_token": endOfText}
	case "Qwen2Tokenizer":
		bytes.UseRegex = &no
		words := qwen2Pattern
		f.Normalizer = &component{Type: "NFC"}
		f.PreTokenizer = &component{Type: "Sequence", Pretokenizers: []component{
			{Type: "Split", Pattern: &pattern{Regex: &words}, Behavior: "Isolated"}, bytes,
		}}
		b.defaults = map[string]string{"eos_token": endOfText, "pad_token": endOfText, "unk_token": endOfText}
	default:
		return fmt.Errorf("tokenizer_class %.100q is not supported without %s; %s", class, mainFile, "want GPT2Tokenizer, CodeGenTokenizer or Qwen2Tokenizer")
	}
	f.Model = modelFile{Type: "BPE", Vocab: vocab, pairs: merges}
	return b.readMain(f)
}
