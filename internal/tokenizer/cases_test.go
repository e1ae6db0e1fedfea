package tokenizer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"unicode/utf8"
)

// TestCases compares with what the Python packages tokenizers, transformers and sentencepiece make of the same texts: of
// testdata/cases, and of the folder that DPOTRAIN_TOKENIZER_CASES names. scripts/check-tokenizers writes both.
func TestCases(t *testing.T) {
	folders, err := filepath.Glob("testdata/cases/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("testdata/cases: %d folders, %v", len(folders), err)
	}
	if more := os.Getenv("DPOTRAIN_TOKENIZER_CASES"); more != "" {
		list, err := filepath.Glob(filepath.Join(more, "*"))
		if err != nil || len(list) == 0 {
			t.Fatalf("DPOTRAIN_TOKENIZER_CASES=%s: %d folders, %v", more, len(list), err)
		}
		folders = append(folders, list...)
	}
	for _, dir := range folders {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tok, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			cases := readCases(t, dir)
			wrong := 0
			for _, c := range cases {
				if c.check(t, tok); t.Failed() {
					if wrong++; wrong == 10 {
						t.Fatal("and perhaps more")
					}
				}
			}
			t.Logf("%d texts", len(cases))
		})
	}
}

// textCase is a line of cases.jsonl.
type textCase struct {
	Text    string
	IDs     []int32  // without the ids around a sequence
	Around  []int32  // with them; nil: not in the file
	Offsets [][2]int // characters; nil: not in the file
	Decoded *string  // of IDs; nil: not in the file
	Plain   *string  // of IDs without special tokens
}

func readCases(t *testing.T, dir string) []textCase {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, "cases.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []textCase
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var c textCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if lines.Err() != nil || len(cases) == 0 {
		t.Fatalf("%d cases, %v", len(cases), lines.Err())
	}
	return cases
}

func (c textCase) check(t *testing.T, tok *Tokenizer) {
	t.Helper()
	enc, err := tok.Encode(c.Text, false)
	if err != nil || !slices.Equal(enc.IDs, c.IDs) {
		t.Errorf("Encode(%+.300q): %v\n got %s\nwant %s", c.Text, err, short(enc.IDs), short(c.IDs))
		return
	}
	checkOffsets(t, c.Text, enc)
	if c.Around != nil {
		if enc, err := tok.Encode(c.Text, true); err != nil || !slices.Equal(enc.IDs, c.Around) {
			t.Errorf("Encode(%+.300q) with special tokens: %v\n got %s\nwant %s", c.Text, err, short(enc.IDs), short(c.Around))
		}
	}
	for skipSpecial, want := range map[bool]*string{false: c.Decoded, true: c.Plain} {
		if want == nil {
			continue
		}
		if got := tok.Decode(c.IDs, skipSpecial); got != *want {
			t.Errorf("Decode(%s, %v):\n got %+.800q\nwant %+.800q", short(c.IDs), skipSpecial, got, *want)
		}
	}
	if c.Offsets == nil {
		return
	}
	starts := make([]int, 0, len(c.Text)+1) // the byte where each character begins
	for i := range c.Text {
		starts = append(starts, i)
	}
	starts = append(starts, len(c.Text))
	for i, o := range enc.Offsets {
		if o.Start == o.End { // an invented space, which has no place of its own here
			continue
		}
		want := Offset{int32(starts[c.Offsets[i][0]]), int32(starts[c.Offsets[i][1]])}
		for o.Start > 0 && !utf8.RuneStart(c.Text[o.Start]) { // they count whole characters
			o.Start--
		}
		for int(o.End) < len(c.Text) && !utf8.RuneStart(c.Text[o.End]) {
			o.End++
		}
		if o != want {
			t.Errorf("Encode(%+.300q): id %d, %d, stands for %v, want %v", c.Text, i, enc.IDs[i], o, want)
			return
		}
	}
}

// short writes ids, of many only the first.
func short(ids []int32) string {
	text := fmt.Sprint(ids)
	return text[:min(len(text), 600)]
}
