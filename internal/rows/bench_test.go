package rows

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// BenchmarkRead reads rows of about 1.5 KB: prompt, chosen and rejected as UltraFeedback has them in length.
func BenchmarkRead(b *testing.B) {
	var lines, table bytes.Buffer
	table.WriteString("prompt,chosen,rejected\n")
	for i := range 4000 {
		texts := [3]string{fmt.Sprintf("Question %d: ", i) + strings.Repeat("why is that so? ", 20), strings.Repeat("This is a \\\"good\\\" answer.\\n", 25), strings.Repeat("This is none. ", 35)}
		fmt.Fprintf(&lines, "{\"prompt\": \"%s\", \"chosen\": \"%s\", \"rejected\": \"%s\"}\n", texts[0], texts[1], texts[2])
		fmt.Fprintf(&table, "%s,\"%s\",%s\n", texts[0], strings.ReplaceAll(texts[1], "\\\"", "\"\""), texts[2])
	}
	list := "[" + strings.Join(strings.Split(strings.TrimSpace(lines.String()), "\n"), ",\n") + "]"
	for _, c := range []struct {
		what    string
		content []byte
	}{{"x.jsonl", lines.Bytes()}, {"x.json", []byte(list)}, {"x.csv", table.Bytes()}, {"x.jsonl.gz", gzipped(lines.Bytes())}, {"x.jsonl.zst", zstded(lines.Bytes())}} {
		b.Run(c.what, func(b *testing.B) {
			size := int64(lines.Len())
			b.SetBytes(size)
			for b.Loop() {
				r, err := NewReader(c.what, bytes.NewReader(c.content))
				if err != nil {
					b.Fatal(err)
				}
				for {
					if _, err := r.Next(); err == io.EOF {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				r.Close()
			}
		})
	}
}
