package tokenizer

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// modelProto is a tokenizer.model in the making.
type modelProto struct {
	pieces              []modelPiece
	trainer, normalizer []byte
	rest                []byte
}

func varint(b []byte, number protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.VarintType), v)
}

func lengthBytes(b []byte, number protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, number, protowire.BytesType), v)
}

func (m modelProto) bytes() []byte {
	var out []byte
	for _, p := range m.pieces {
		piece := lengthBytes(nil, 1, []byte(p.text))
		piece = protowire.AppendFixed32(protowire.AppendTag(piece, 2, protowire.Fixed32Type), math.Float32bits(p.score))
		if p.kind != pieceNormal {
			piece = varint(piece, 3, p.kind)
		}
		out = lengthBytes(out, 1, piece)
	}
	out = lengthBytes(out, 2, m.trainer)
	out = lengthBytes(out, 3, m.normalizer)
	return append(out, m.rest...)
}

// dir writes the model, and settings where they are not empty.
func (m modelProto) dir(t testing.TB, settings string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, modelFileName), m.bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if settings != "" {
		if err := os.WriteFile(filepath.Join(dir, settingsFile), []byte(settings), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// llamaProto is a BPE model in the manner of Llama 2:
//
//	0 <unk>   1 <s>   2 </s>   3..258 <0x00>..<0xFF>   259 ▁a -0   260 ab -1   261 ▁ab -2   262 ▁ -3   263 a -4   264 b -5   265 ba -6
//	266 <sep>
func llamaProto() modelProto {
	m := modelProto{pieces: []modelPiece{{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {"</s>", 0, pieceControl}}}
	for b := range 256 {
		m.pieces = append(m.pieces, modelPiece{byteToken(byte(b)), 0, pieceByte})
	}
	for i, text := range []string{"▁a", "ab", "▁ab", "▁", "a", "b", "ba"} {
		m.pieces = append(m.pieces, modelPiece{text, float32(-i), pieceNormal})
	}
	m.pieces = append(m.pieces, modelPiece{"<sep>", 0, pieceUser})
	m.trainer = varint(varint(nil, 3, modelBPE), 35, 1)
	m.normalizer = varint(nil, 4, 0) // spaces stay
	return m
}

// unigramProto is a Unigram model in the manner of T5, which takes spaces away:
//
//	0 <unk>   1 <s>   2 </s>   3 ▁ -2   4 a -1   5 b -1   6 ab -1.5   7 ba -1.5   8 bb, unused
func unigramProto() modelProto {
	return modelProto{pieces: []modelPiece{
		{"<unk>", 0, pieceUnknown}, {"<s>", 0, pieceControl}, {"</s>", 0, pieceControl}, {"▁", -2, pieceNormal},
		{"a", -1, pieceNormal}, {"b", -1, pieceNormal}, {"ab", -1.5, pieceNormal}, {"ba", -1.5, pieceNormal}, {"bb", 9, pieceUnused},
	}}
}

func TestSentencePieceModel(t *testing.T) {
	tok, err := Load(llamaProto().dir(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	checkEncode(t, tok, true, []encodeCase{
		{"", nil, nil},
		{"ab", []int32{261}, []Offset{{0, 2}}},
		{"aab", []int32{259, 260}, []Offset{{0, 1}, {1, 3}}}, // ▁a has a better score than ab, and that than ▁ab
		{"aba", []int32{261, 263}, []Offset{{0, 2}, {2, 3}}}, // ▁ab has a better score than ba
		{"b", []int32{262, 264}, []Offset{{0, 0}, {0, 1}}},
		{" ab", []int32{262, 261}, []Offset{{0, 0}, {0, 3}}},
		{"a<sep>ab", []int32{259, 266, 260}, []Offset{{0, 1}, {1, 6}, {6, 8}}},
		{"a</s>ab", []int32{259, 2, 260}, []Offset{{0, 1}, {1, 5}, {5, 7}}}, // no space but in front of the text
		{"é", []int32{262, 3 + 0xC3, 3 + 0xA9}, []Offset{{0, 0}, {0, 1}, {1, 2}}},
		{"<0x41>", []int32{262, 3 + '<', 3 + '0', 3 + 'x', 3 + '4', 3 + '1', 3 + '>'}, nil},
	})
	for _, text := range []string{"ab", " ab  a", "é<sep>\x00", "", "b  "} {
		enc, err := tok.Encode(text, false)
		if got := tok.Decode(enc.IDs, false); err != nil || got != text {
			t.Errorf("%q came back as %q, %v", text, got, err)
		}
	}
	if bos, _ := tok.BOS(); bos != (Special{1, "<s>"}) {
		t.Errorf("BOS %v", bos)
	}
	if eos, _ := tok.EOS(); eos != (Special{2, "</s>"}) {
		t.Errorf("EOS %v", eos)
	}
	if got, want := tok.Files(), []string{"tokenizer.model"}; !slices.Equal(got, want) {
		t.Errorf("Files %v, want %v", got, want)
	}

	tok, err = Load(llamaProto().dir(t, `{"add_bos_token": true, "add_eos_token": true, "eos_token": "<sep>"}`))
	if err != nil {
		t.Fatal(err)
	}
	checkEncode(t, tok, true, []encodeCase{{"b", []int32{1, 262, 264, 266}, nil}})
	if _, ok := tok.Pad(); ok || !tok.AppendsEOS() {
		t.Errorf("pad %v, appends EOS %v", ok, tok.AppendsEOS())
	}

	tok, err = Load(unigramProto().dir(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	checkEncode(t, tok, false, []encodeCase{
		{"  ab   bb  ", []int32{3, 6, 3, 5, 5}, []Offset{{2, 2}, {2, 4}, {4, 5}, {7, 8}, {8, 9}}},
		{"   ", nil, nil},
		{"xy a", []int32{3, 0, 3, 4}, []Offset{{0, 0}, {0, 2}, {2, 3}, {3, 4}}},
	})
	if got := tok.Decode([]int32{3, 6, 3, 4}, false); got != "ab a" {
		t.Errorf("decoded %q", got)
	}
}

// TestSentencePieceRounds: of the ways 0 00 and 00 0 to 000 the sums are the same but for rounding. In float32 they are -17.429001 and
// -17.428999, in float64 they are the same; SentencePiece adds in float32.
func TestSentencePieceRounds(t *testing.T) {
	m := modelProto{pieces: []modelPiece{{"<unk>", 0, pieceUnknown}, {"▁", -7.64, pieceNormal}, {"0", -6.362, pieceNormal}, {"00", -3.427, pieceNormal}}}
	tok, err := Load(m.dir(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	checkEncode(t, tok, false, []encodeCase{{"000", []int32{1, 3, 2}, nil}})
}

func TestSentencePieceErrors(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*modelProto)
		want   string
	}{
		{"word model", func(m *modelProto) { m.trainer = varint(nil, 3, 3) }, "trainer_spec.model_type: 3 is not supported; want 1 (Unigram) or 2 (BPE)"},
		{"suffix", func(m *modelProto) { m.trainer = varint(m.trainer, 24, 1) }, "treat_whitespace_as_suffix is not supported; use a model that writes a space before a word"},
		{"spaces", func(m *modelProto) { m.normalizer = varint(nil, 5, 0) }, "escape_whitespaces false is not supported; use a model that writes a space as ▁"},
		{"denormalizer", func(m *modelProto) { m.rest = lengthBytes(nil, 5, lengthBytes(nil, 2, []byte("x"))) }, "a denormalizer is not supported; use a model without one"},
		{"rules", func(m *modelProto) { m.normalizer = lengthBytes(nil, 2, []byte("x")) }, "normalizer_spec.precompiled_charsmap: damaged; get the file again"},
		{"no pieces", func(m *modelProto) { m.pieces = nil }, "not a SentencePiece model, or damaged; get the file again"},
		{"no text", func(m *modelProto) { m.pieces[5].text = "" }, "not a SentencePiece model, or damaged; get the file again"},
		{"long", func(m *modelProto) { m.pieces[5].text = strings.Repeat("x", 513) }, "not a SentencePiece model, or damaged; get the file again"},
		{"not UTF-8", func(m *modelProto) { m.pieces[5].text = "\xff" }, "not a SentencePiece model, or damaged; get the file again"},
		{"cut", func(m *modelProto) { m.rest = []byte{0x0a, 0x05, 'x'} }, "not a SentencePiece model, or damaged; get the file again"},
		{"no number", func(m *modelProto) { m.pieces[300-40].score = float32(math.NaN()) }, "pieces[260]: score NaN"},
		{"twice", func(m *modelProto) { m.pieces[4].text = "<s>" }, `pieces[4]: "<s>": id 4, but it already has id 1`},
		{"no unknown", func(m *modelProto) { m.pieces[0].kind = pieceNormal }, "0 unknown tokens, unk_id 0; want one and its id"},
		{"unknown id", func(m *modelProto) { m.trainer = varint(m.trainer, 40, 7) }, "1 unknown tokens, unk_id 7; want one and its id"},
		{"negative unknown id", func(m *modelProto) { m.trainer = varint(m.trainer, 40, math.MaxUint64) }, "1 unknown tokens, unk_id -1; want one and its id"},
		{"unused", func(m *modelProto) { m.pieces[261].kind = pieceUnused }, `pieces[261]: "▁ab" is unused, which is not supported for BPE`},
	} {
		m := llamaProto()
		c.change(&m)
		dir := m.dir(t, "")
		want := filepath.Join(dir, modelFileName) + ": " + c.want
		if _, err := Load(dir); err == nil || err.Error() != want {
			t.Errorf("%s: error %v\nwant %s", c.name, err, want)
		}
	}
	// every way to cut the file short
	whole := unigramProto().bytes()
	for n := range whole {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, modelFileName), whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if tok, err := Load(dir); err == nil && tok.VocabSize() != 9 {
			t.Errorf("cut at byte %d of %d it is a tokenizer of %d ids", n, len(whole), tok.VocabSize())
		}
	}
}

// TestCharsmap: rules that lead astray are an error, or no rules; those of testdata are checked with the rest there.
func TestCharsmap(t *testing.T) {
	const leaf = 1 << 8
	units := func(list ...uint32) []byte {
		out := binary.LittleEndian.AppendUint32(nil, uint32(4*len(list)))
		for _, u := range list {
			out = binary.LittleEndian.AppendUint32(out, u)
		}
		return out
	}
	// The root's offset is 1, so that A (65) is unit 64; that has a leaf at 64^1, whose value is where in the texts x stands.
	good := make([]uint32, 128)
	good[0] = 1 << 10
	good[1^'A'] = 1<<10 | leaf | 'A'
	good[1^'A'^1] = 1 << 31 // value 0
	m, err := readCharsmap(append(units(good...), "x\x00"...))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := m.normalize(span{text: "BAA\u0301"}); err != nil || s.text != "Bxx" { // the cluster of A and its accent is one
		t.Errorf("%q, %v", s.text, err)
	}
	if n, text := m.longest("AB"); n != 1 || text != "x" {
		t.Errorf("longest %d %q", n, text)
	}
	m, err = readCharsmap(append(units(good...), " x\x00"...)) // A becomes a space and x
	if err != nil {
		t.Fatal(err)
	}
	n := spaceNormalizer{rules: m, users: newMatchSet(nil), addPrefix: true, trim: true}
	if s, err := n.normalize(span{text: " ABA"}); err != nil || s.text != "▁xB▁x" { // no space behind the one in front
		t.Errorf("%q, %v", s.text, err)
	}
	for name, data := range map[string][]byte{
		"empty":         nil,
		"no units":      append(units(), "x\x00"...),
		"huge claim":    {0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"odd size":      {5, 0, 0, 0, 1, 2, 3, 4, 5, 0},
		"no texts":      units(good...),
		"no NUL":        append(units(good...), "x"...),
		"text not UTF8": append(units(good...), "\xff\x00"...),
		"long text":     append(units(good...), strings.Repeat("x", 65)+"\x00"...),
		"value outside": append(units(leaf|1<<10, 77), "x\x00"...),
		"inside a rune": append(units(leaf|1<<10, 1), "é\x00"...),
	} {
		if _, err := readCharsmap(data); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// Units that lead back to themselves: the way ends with the text, or after maxContent bytes.
	cycle := make([]uint32, 256)
	for i := range cycle {
		cycle[i] = uint32('A') | leaf
	}
	for i := range cycle {
		cycle[i] &^= 1 << 31
	}
	if m, err := readCharsmap(append(units(cycle...), bytes.Repeat([]byte("x\x00"), 400)...)); err == nil {
		if _, err := m.normalize(span{text: strings.Repeat("A", 1000)}); err != nil {
			t.Error(err)
		}
	}
}

func FuzzSentencePiece(f *testing.F) {
	for _, m := range []modelProto{llamaProto(), unigramProto()} {
		f.Add(m.bytes(), " ab<sep>é  b</s>")
	}
	for _, name := range []string{"spm-bpe", "spm-rules"} {
		data, err := os.ReadFile(filepath.Join("testdata/cases", name, modelFileName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "A\u0301 ½ <sep>\r\n…")
	}
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, modelFileName), data, 0o644); err != nil {
			t.Fatal(err)
		}
		tok, err := loadInBounds(t, dir, len(data))
		if err != nil {
			if !strings.HasPrefix(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q is not one line that names a file", err)
			}
			return
		}
		checkAny(t, tok, text)
	})
}

// loadInBounds loads a folder with files of size bytes, and checks that this takes no more than a multiple of that in memory. What is
// made only once, for patterns, is in the constant.
func loadInBounds(t *testing.T, dir string, size int) (*Tokenizer, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	tok, err := Load(dir)
	runtime.ReadMemStats(&after)
	if made := after.TotalAlloc - before.TotalAlloc; made > 16<<20+2000*uint64(size) {
		t.Errorf("%d bytes made of %d", made, size)
	}
	return tok, err
}

// checkAny checks what holds for every tokenizer and text.
func checkAny(t *testing.T, tok *Tokenizer, text string) {
	t.Helper()
	enc, err := tok.Encode(text, true)
	if err != nil {
		return // not UTF-8, or too long
	}
	if len(enc.IDs) != len(enc.Offsets) {
		t.Fatalf("%d ids, %d offsets", len(enc.IDs), len(enc.Offsets))
	}
	for i, o := range enc.Offsets {
		if o.Start < 0 || o.Start > o.End || int(o.End) > len(text) || enc.IDs[i] < 0 || int(enc.IDs[i]) >= tok.VocabSize() {
			t.Fatalf("id %d, offset %v in a text of %d bytes", enc.IDs[i], o, len(text))
		}
	}
	tok.Decode(enc.IDs, false)
}
