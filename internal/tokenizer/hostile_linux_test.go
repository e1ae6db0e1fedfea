package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dpotrain/internal/testfiles"
)

// small is a tokenizer.json with another key.
const small = `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, %s}`

// hostileFile is a tokenizer and a text made to take time or memory.
type hostileFile struct {
	what, file string
	content    func() io.Reader
	text       repeated
	want       string // "": no error
}

// repeated is a text over and over up to so many bytes, with another behind it.
type repeated struct {
	unit string
	size int
	last string
}

func (r repeated) String() string {
	if r.unit == "" {
		return r.last
	}
	return strings.Repeat(r.unit, (r.size-len(r.last))/len(r.unit)) + r.last
}

func hostileFiles() []hostileFile {
	splitAt := func(pattern string) string {
		return fmt.Sprintf(small, `"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "`+pattern+`"}}`)
	}
	splits := func(n int, split string) string {
		return fmt.Sprintf(small, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [`+strings.Repeat(split+",", n-1)+split+`]}`)
	}
	nested := func(open, middle, end string, n int) string {
		return strings.Repeat(open, n) + middle + strings.Repeat(end, n)
	}
	var runs strings.Builder // pieces a, aa, aaa, ...
	for i := range 4000 {
		fmt.Fprintf(&runs, `%s["%s", -1]`, map[bool]string{true: ","}[i > 0], strings.Repeat("a", 1+i%500)+strings.Repeat("b", i/500))
	}
	cycle := make([]byte, 4+4*256+2)
	binary.LittleEndian.PutUint32(cycle, 4*256)
	for i := range 256 { // every unit has the label A, a leaf and the offset 0: A leads from each to unit 65 and from there to itself
		binary.LittleEndian.PutUint32(cycle[4+4*i:], 'A'|1<<8)
	}
	copy(cycle[4+4*256:], "x\x00")
	charsmap := base64.StdEncoding.EncodeToString(cycle)
	longest, nothing := repeated{"a", maxText, ""}, repeated{}
	text := func(s string) func() io.Reader { return func() io.Reader { return strings.NewReader(s) } }
	const many = `{"type": "Split", "behavior": "Contiguous", "pattern": {"Regex": "."}}`

	return []hostileFile{
		{"a pattern that explodes", mainFile, text(splitAt(`(a+)+$`)), repeated{"a", maxText, "!"}, ""},
		{"a pattern of every letter", mainFile, text(splitAt(`.`)), longest, ""},
		{"a pattern of no letter", mainFile, text(splitAt(`(?=a)`)), longest, ""},
		{"looks in looks", mainFile, text(splitAt(nested("(?=(a+)+", "b", ")a", 100))), longest, ""},
		{"patterns of every letter", mainFile, text(splits(60, strings.Replace(many, "Contiguous", "Isolated", 1))), repeated{"a", maxText / 4, ""}, ""},
		{"patterns that join letters", mainFile, text(splits(60, many)), repeated{"a", maxText / 4, ""}, ""},
		{"a pattern of many steps", mainFile, text(splitAt(`a{0,450}a{0,450}b`)), repeated{"a", maxText, "b"}, ""},
		{"a pattern of too many steps", mainFile, text(splitAt(`a{0,500}a{0,500}b`)), longest, `text of 1048576 bytes is too long for the tokenizer's patterns, which take 1066 steps a byte, ` +
			`1066 of them for pre_tokenizer.pattern.Regex "a{0,500}a{0,500}b"; cut it to 1007262 bytes`},
		{"a large pattern", mainFile, text(splitAt(`(?:a{0,1000}){0,1000}`)), nothing, "more than 2048 steps"},
		{"many large patterns", mainFile, text(splits(60, `{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "a{900}"}}`)), nothing, "more than 2048 steps"},
		{"deep parentheses", mainFile, text(splitAt(nested("(", "a", ")", 2000))), longest, ""},
		{"a pattern in a normalizer", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "Replace", "pattern": {"Regex": "."}, "content": "b"}`)), longest, ""},
		{"normalizers", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "Sequence", "normalizers": [`+strings.TrimSuffix(strings.Repeat(
			`{"type": "Replace", "pattern": {"String": "a"}, "content": "b"},{"type": "Replace", "pattern": {"String": "b"}, "content": "a"},`, 30), ",")+`]}`)), longest, ""},
		{"marks", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "NFKC"}`)), repeated{"\u0323\u0301", maxText, ""}, ""},
		{"spaces that grow", mainFile, text(`{"model": {"type": "BPE", "vocab": {"▁": 0, "a": 1}, "merges": []}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}}`),
			repeated{"aa  ", maxText/2 - 8, ""}, ""},
		{"spaces again and again", mainFile, text(splits(60, `{"type": "Metaspace", "replacement": "b", "prepend_scheme": "always"}`)), longest, "more than 2 of type Metaspace"},
		{"pairs", mainFile, text(`{"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1, "aaaa": 2}, "merges": ["a a", "aa aa"]}}`), longest, ""},
		{"bytes", mainFile, text(`{"model": {"type": "BPE", "vocab": {"b": 0}, "merges": []}, "pre_tokenizer": {"type": "ByteLevel", "use_regex": false}}`), repeated{"b", maxText, ""}, ""},
		{"deep JSON", mainFile, text(fmt.Sprintf(small, `"normalizer": `+nested(`{"type": "Sequence", "normalizers": [`, "", "]}", 4000))), nothing, "normalizer: more than 4096 values"},
		{"deeper JSON", mainFile, text(nested("[", "", "]", 100_000)), nothing, "exceeded max depth"},
		{"nested brackets in a value", mainFile, text(`{"model": {"type": "BPE", "vocab": ` + nested("[", "", "]", 9_000) + `}}`), nothing, "model.vocab: a list where an object belongs"},
		{"a huge id", mainFile, text(`{"model": {"type": "BPE", "vocab": {"a": 16777215}, "merges": []}}`), repeated{last: "a"}, ""},
		{"text that doubles", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "Sequence", "normalizers": [`+strings.TrimSuffix(strings.Repeat(
			`{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},`, 40), ",")+`]}`)), repeated{last: "aaa"}, "text of 3 bytes has more than 65536 once normalized"},
		{"pieces of every length", mainFile, text(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [` + runs.String() + `]}}`), longest, ""},
		{"rules in a circle", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "Precompiled", "precompiled_charsmap": "`+charsmap+`"}`)), nothing, "damaged"},
		{"rules of a claimed size", mainFile, text(fmt.Sprintf(small, `"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/P///wAAAAA="}`)), nothing, "damaged"},
		{"added tokens of one letter", mainFile, text(fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": "`+strings.Repeat("a", 511)+`b"}]`)), longest, ""},
		{"a text of added tokens", mainFile, text(fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": "b"}]`)), repeated{"b", maxText, ""}, ""},
		{"blanks as added tokens", mainFile, text(fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": " ", "lstrip": true}, {"id": 6, "content": "\n", "rstrip": true}]`)),
			repeated{" ", maxText, strings.Repeat("\n", maxText/2)}, ""},
		{"a long added token", mainFile, text(fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": "`+strings.Repeat("a", 600)+`"}]`)), nothing, "added_tokens[0]: id 5: 600 bytes, more than 512"},
		{"pieces that are cut in many ways", modelFileName, text(string(cutPieces().bytes())), repeated{"a", maxText - len(spaceSymbol), ""}, ""},
		{"empty pieces", modelFileName, func() io.Reader { return strings.NewReader(strings.Repeat("\x0a\x00", 20_000_000)) }, nothing, "not a SentencePiece model"},
		{"a claimed length", modelFileName, text("\x0a\xff\xff\xff\xff\x0f\x0a"), nothing, "not a SentencePiece model"},
		{"ten million merges", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": [`, `"a a"`, 10_000_000, `]}}`), nothing, "more than 50331648 bytes"},
		{"two million merges", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": [`, `"a a"`, 2_000_000, `]}}`), nothing, "model.merges: more than 1048576"},
		{"five million lists of merges", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": [`, `["a","a"]`, 5_000_000, `]}}`), nothing, "model.merges: more than 1048576"},
		{"the same piece again and again", mainFile, list(`{"model": {"type": "BPE", "merges": [], "vocab": {`, `"a":0`, 8_000_000, `}}}`), repeated{last: "a"}, ""},
		{"a million pieces", mainFile, pieces(`{"model": {"type": "BPE", "merges": [], "vocab": {`, `"%06x":%d`, 1_000_000, `}}}`), nothing, "model.vocab: more than 524288 pieces"},
		{"a million scores", mainFile, pieces(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [`, `["%06x",-%d]`, 1_000_000, `]}}`), nothing, "model.vocab: more than 524288 pieces"},
		{"as many pieces as there may be", mainFile, pieces(`{"model": {"type": "BPE", "merges": [], "vocab": {`, `"%06x":%d`, maxPieces, `}}}`), repeated{last: "a"}, ""},
		{"as many scores as there may be", mainFile, pieces(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [`, `["%06x",-%d]`, maxPieces, `]}}`), repeated{last: "a"}, ""},
		{"as many merges as there may be", mainFile, everyWord, repeated{last: "abcd"}, ""},
		{"a score that is no number", mainFile, text(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", NaN]]}}`), nothing, "not JSON"},
		{"an infinite score", mainFile, text(`{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", -1e999]]}}`), nothing, "not a text and a score"},
		{"four million added tokens", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "added_tokens": [`, `{}`, 4_000_000, `]}`), nothing, "added_tokens: more than 524288 values"},
		{"ten million components", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": "Sequence", "normalizers": [`, `{}`, 10_000_000, `]}}`), nothing,
			"normalizer: more than 4096 values"},
		{"a large charsmap", mainFile, list(`{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "normalizer": {"type": "Precompiled", "precompiled_charsmap": "`, "AAAA", 8_000_000, `"}}`), nothing, "more than"},
		{"ten million tokens by their ids", settingsFile, list(`{"added_tokens_decoder": {`, `"1":{}`, 2_000_000, `}}`), nothing, "added_tokens_decoder: more than 524288 values"},
		{"ten million end tokens", generationName, list(`{"eos_token_id": [`, `1`, 8_000_000, `]}`), nothing, "more than 1024 values"},
		{"a large added_tokens.json", addedFile, list(`{`, `"a":1`, 2_000_000, `}`), nothing, "added tokens: more than 131072 values"},
		{"a file without end", mainFile, func() io.Reader { return io.LimitReader(endless{}, 1<<30) }, nothing, "more than 50331648 bytes"},
		{"a million pieces of SentencePiece", modelFileName, func() io.Reader { return strings.NewReader(strings.Repeat("\x0a\x03\x0a\x01a", 1_000_000)) }, nothing, "not a SentencePiece model"},
		{"groups in groups", modelFileName, text(strings.Repeat("\x13", 1_000_000)), nothing, "not a SentencePiece model"},
	}
}

// list is a JSON list of n times the same.
func list(begin, element string, n int, end string) func() io.Reader {
	return func() io.Reader {
		return io.MultiReader(strings.NewReader(begin), strings.NewReader(strings.Repeat(element+",", n-1)), strings.NewReader(element+end))
	}
}

// pieces is a vocabulary of n pieces.
func pieces(begin, element string, n int, end string) func() io.Reader {
	return func() io.Reader {
		var b bytes.Buffer
		b.WriteString(begin)
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, element, i, i)
		}
		b.WriteString(end)
		return &b
	}
}

// everyWord is a vocabulary of every word of up to four letters, and merges to all of them.
func everyWord() io.Reader {
	var words []string
	for at := -1; at < 26+26*26+26*26*26; at++ {
		before := ""
		if at >= 0 {
			before = words[at]
		}
		for c := 'a'; c <= 'z'; c++ {
			words = append(words, before+string(c))
		}
	}
	var b bytes.Buffer
	b.WriteString(`{"model": {"type": "BPE", "vocab": {`)
	for id, w := range words {
		fmt.Fprintf(&b, `%s"%s":%d`, map[bool]string{true: ","}[id > 0], w, id)
	}
	b.WriteString(`}, "merges": ["a b"`)
	for _, w := range words {
		for cut := 1; cut < min(len(w), 3); cut++ {
			fmt.Fprintf(&b, `,"%s %s"`, w[:cut], w[cut:])
		}
	}
	b.WriteString(`]}}`)
	return &b
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

const hostileVariable = "DPOTRAIN_HOSTILE_TOKENIZER"

// TestHostileFiles: files made to take time or memory, and texts made for them, the longest that are encoded among them, end within
// seconds, by an error or without, and within 200 MB. Each is read in a process of its own.
func TestHostileFiles(t *testing.T) {
	if which := os.Getenv(hostileVariable); which != "" {
		for _, h := range hostileFiles() {
			if h.what == which {
				testfiles.Say(h.run(os.Getenv("TMPDIR")))
			}
		}
		return
	}
	if testing.Short() {
		t.Skip("starts a process for each file")
	}
	for _, h := range hostileFiles() {
		t.Run(h.what, func(t *testing.T) {
			dir := t.TempDir()
			files := map[string]io.Reader{mainFile: strings.NewReader(fmt.Sprintf(small, `"decoder": null`)), settingsFile: strings.NewReader("{}"), h.file: h.content()}
			if h.file == modelFileName {
				delete(files, mainFile)
			}
			for name, content := range files {
				f, err := os.Create(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(f, content); err != nil {
					t.Fatal(err)
				}
				f.Close()
			}
			said := testfiles.Bounds{Time: 10 * time.Second, Megabytes: 200}.Bounded(t, "TestHostileFiles", hostileVariable+"="+h.what, "TMPDIR="+dir)
			if h.want == "" && said != "<nil>" || !strings.Contains(said, h.want) {
				t.Errorf("error %.500s, want %q", said, h.want)
			}
		})
	}
}

// run loads the tokenizer and encodes the text with it, if that is quick three times: what is left of one must not add up.
func (h hostileFile) run(dir string) error {
	tok, err := Load(dir)
	text := h.text.String()
	began := time.Now()
	for i := 0; i < 3 && err == nil && time.Since(began) < time.Second; i++ {
		_, err = tok.Encode(text, true)
	}
	return err
}

// cutPieces is a BPE model of a, aa, aaa and so on, each of which is cut in every place.
func cutPieces() modelProto {
	m := modelProto{pieces: []modelPiece{{"<unk>", 0, pieceUnknown}}, trainer: varint(nil, 3, modelBPE)}
	for i := range maxSentencePiece {
		m.pieces = append(m.pieces, modelPiece{string(bytes.Repeat([]byte("a"), i+1)), float32(-i), pieceNormal})
	}
	return m
}
