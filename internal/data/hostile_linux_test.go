package data

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dpotrain/internal/rows"
	"dpotrain/internal/testfiles"
)

// hostileRow is a row made to take memory, which stands in the file a few times, and what is said of the file.
type hostileRow struct {
	what, begin, again, end string
	size                    int // bytes of the row, at most
	want                    string
}

const (
	wholeRow     = rows.MaxRow
	wholeText    = 1 << 20 // the longest that is encoded
	oneMessage   = `{"role":"user","content":"a"},`
	lastMessages = `{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"b"}],"rejected":[{"role":"assistant","content":"c"}]}`
)

var hostileRows = []hostileRow{
	{"a text of a whole row", `{"chosen":"b","rejected":"c","prompt":"`, "a", `"}`, wholeRow, "can be encoded at once"},
	{"the longest text", `{"chosen":"b","rejected":"c","prompt":"`, "a", `"}`, wholeText, "chosen and rejected are the same"},
	{"the longest text, and completions of it", `{"completions":["b"` + strings.Repeat(`,"c"`, maxRanked-1) + `],"prompt":"`, "a", `"}`, wholeText - 64, "no two completions are left"},
	{"escapes", `{"chosen":"b","rejected":"c","prompt":"`, `\u0000`, `"}`, wholeRow, "can be encoded at once"},
	{"messages", `{"prompt":[`, oneMessage, lastMessages, wholeRow, "more than 131072 values"},
	{"as many messages as there may be", `{"prompt":[`, oneMessage, lastMessages, 43_000 * len(oneMessage), "can be encoded at once"},
	{"values in a message", `{"prompt":[{"role":"user","content":"a","x":[`, "0,", `0]},` + lastMessages, wholeRow, "more than 131072 values"},
	{"tools", `{"chosen":"b","rejected":"c","tools":[`, "{},", `{}]}`, wholeRow, "more than 131072 values"},
	{"columns", `{"chosen":"b","rejected":"c"`, `,"":0`, `}`, wholeRow, "more than 131072 values"},
	{"completions", `{"prompt":"a","completions":["a"`, `,""`, `]}`, wholeRow, "more than 131072 values"},
	{"lists in lists", `{"chosen":"b","rejected":"c","tools":`, "[", `}`, wholeRow, "more than 131072 values"},
	{"lists in lists of a column that is not read", `{"chosen":"b","rejected":"c","x":`, "[", `}`, 100_000, "not JSON"},
	{"digits", `{"chosen":"b","rejected":"c","weight":`, "1", `}`, wholeRow, "chosen and rejected are the same"},
}

const hostileVariable = "DPOTRAIN_HOSTILE_DATA"

// TestHostile prepares a file of such rows, with a tokenizer of as many tokens as a text has bytes, in a process of its own: an error within
// seconds and within 200 MB.
func TestHostile(t *testing.T) {
	const times = 3
	if dir := os.Getenv(hostileVariable); dir != "" {
		r, err := Open(dir, "chatml")
		if err == nil {
			_, err = r.Load(context.Background(), filepath.Join(dir, "pairs.jsonl"), Pairs, Options{MaxLength: 64, TruncationMode: "keep_end", OnBadRow: "skip"}, nil)
		}
		testfiles.Say(err)
		return
	}
	if testing.Short() {
		t.Skip("starts a process for each row")
	}
	for _, h := range hostileRows {
		t.Run(h.what, func(t *testing.T) {
			dir := t.TempDir()
			f, err := os.Create(filepath.Join(dir, "pairs.jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			for range times {
				io.WriteString(f, h.begin+strings.Repeat(h.again, (h.size-len(h.begin)-len(h.end)-1)/len(h.again))+h.end+"\n")
			}
			f.Close()
			for name, content := range map[string]string{
				"tokenizer_config.json": `{"eos_token": "e"}`,
				"tokenizer.json": `{"model": {"type": "BPE", "unk_token": "a", "vocab": {"a": 0, "e": 1}, "merges": []},
					"pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "."}}}`,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			said := testfiles.Bounds{Time: 20 * time.Second, Megabytes: 200}.Bounded(t, "TestHostile", hostileVariable+"="+dir)
			if !strings.Contains(said, h.want) {
				t.Errorf("error %.1000s, want %q", said, h.want)
			}
		})
	}
}
