package tokenizer

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"
)

// TestHostileFiles: files made to take time or memory, and texts made for them, end within seconds, by an error or without, and
// within 200 MB besides what was there before.
func TestHostileFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	const small = `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, %s}`
	splitAt := func(pattern string) string {
		return fmt.Sprintf(small, `"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "`+pattern+`"}}`)
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
	manyAs := strings.Repeat("a", 200_000)

	for _, c := range []struct {
		name, file, content, text, want string // want "": no error
	}{
		{"a pattern that explodes", mainFile, splitAt(`(a+)+$`), manyAs + "!", ""},
		{"looks in looks", mainFile, splitAt(nested("(?=(a+)+", "b", ")a", 100)), manyAs, ""},
		{"a large pattern", mainFile, splitAt(`(?:a{0,1000}){0,1000}`), "", "more than 2048 steps"},
		{"many large patterns", mainFile, fmt.Sprintf(small, `"pre_tokenizer": {"type": "Sequence", "pretokenizers": [`+strings.TrimSuffix(strings.Repeat(
			`{"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "a{900}"}},`, 60), ",")+`]}`), "", "more than 2048 steps"},
		{"deep parentheses", mainFile, splitAt(nested("(", "a", ")", 2000)), manyAs, ""},
		{"deep JSON", mainFile, fmt.Sprintf(small, `"normalizer": `+nested(`{"type": "Sequence", "normalizers": [`, "", "]}", 4000)), "", "more than 64 components"},
		{"deeper JSON", mainFile, nested("[", "", "]", 100_000), "", "exceeded max depth"},
		{"nested brackets in a value", mainFile, `{"model": {"type": "BPE", "vocab": ` + nested("[", "", "]", 9_000) + `}}`, "", "model.vocab: a list where an object belongs"},
		{"a huge id", mainFile, `{"model": {"type": "BPE", "vocab": {"a": 16777215}, "merges": []}}`, "a", ""},
		{"text that doubles", mainFile, fmt.Sprintf(small, `"normalizer": {"type": "Sequence", "normalizers": [`+strings.TrimSuffix(strings.Repeat(
			`{"type": "Replace", "pattern": {"String": "a"}, "content": "aa"},`, 40), ",")+`]}`), "aaa", "text of 3 bytes has more than 65536 once normalized"},
		{"pieces of every length", mainFile, `{"model": {"type": "Unigram", "unk_id": 0, "vocab": [` + runs.String() + `]}}`, manyAs, ""},
		{"rules in a circle", mainFile, fmt.Sprintf(small, `"normalizer": {"type": "Precompiled", "precompiled_charsmap": "`+charsmap+`"}`), strings.Repeat("A", 200_000), "damaged"},
		{"rules of a claimed size", mainFile, fmt.Sprintf(small, `"normalizer": {"type": "Precompiled", "precompiled_charsmap": "/P///wAAAAA="}`), "", "damaged"},
		{"added tokens of one letter", mainFile, fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": "`+strings.Repeat("a", 511)+`b"}]`), manyAs, ""},
		{"a long added token", mainFile, fmt.Sprintf(small, `"added_tokens": [{"id": 5, "content": "`+strings.Repeat("a", 600)+`"}]`), "", "added_tokens[0]: id 5: 600 bytes, more than 512"},
		{"pieces that are cut in many ways", modelFileName, string(cutPieces().bytes()), manyAs, ""},
		{"empty pieces", modelFileName, strings.Repeat("\x0a\x00", 20_000_000), "", "not a SentencePiece model"},
		{"a claimed length", modelFileName, "\x0a\xff\xff\xff\xff\x0f\x0a", "", "not a SentencePiece model"},
		{"groups in groups", modelFileName, strings.Repeat("\x13", 1_000_000), "", "not a SentencePiece model"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{settingsFile: "{}", c.file: c.content} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			peak := watchHeap()
			start := time.Now()
			tok, err := Load(dir)
			if err == nil {
				_, err = tok.Encode(c.text, true)
			}
			took := time.Since(start)
			if used := peak(); used > 200<<20 {
				t.Errorf("%d MiB", used>>20)
			}
			if took > 20*time.Second { // about 2 s on an idle machine
				t.Errorf("took %v", took)
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %.500v, want %q", err, c.want)
			}
		})
	}
}

// cutPieces is a BPE model of a, aa, aaa and so on, each of which is cut in every place.
func cutPieces() modelProto {
	m := modelProto{pieces: []modelPiece{{"<unk>", 0, pieceUnknown}}, trainer: varint(nil, 3, modelBPE)}
	for i := range maxSentencePiece {
		m.pieces = append(m.pieces, modelPiece{string(bytes.Repeat([]byte("a"), i+1)), float32(-i), pieceNormal})
	}
	return m
}

// watchHeap looks at the heap every few milliseconds until the function it returns is called, which says how far it grew.
func watchHeap() (peak func() uint64) {
	heap := func() uint64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before := heap()
	stop, done := make(chan bool), make(chan uint64)
	go func() {
		top := before
		for {
			top = max(top, heap())
			select {
			case <-stop:
				done <- top - before
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-done
	}
}
