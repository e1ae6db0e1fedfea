package rows

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// TestWriter: what is written is read as the same rows.
func TestWriter(t *testing.T) {
	const hi = `[{"role":"user","content":"hi"}]`
	for _, c := range []struct {
		unpaired, chat bool
		rows, want     []string // nil: the same
	}{
		{false, false, []string{`{"prompt":"a","chosen":" é\n","rejected":"","weight":0.5,"chosen_score":2,"rejected_score":-1,"margin":3}`, `{"prompt":"","chosen":"b","rejected":"c","id":7}`},
			[]string{`{"prompt":"a","chosen":" é\n","rejected":"","weight":0.5,"chosen_score":2,"rejected_score":-1,"margin":3}`, `{"prompt":"","chosen":"b","rejected":"c","weight":null,"chosen_score":null,"rejected_score":null,"margin":null}`}},
		{false, true, []string{`{"prompt":` + hi + `,"chosen":[{"content":"b","role":"assistant"}],"rejected":[{"role":"assistant","content":""}]}`},
			[]string{`{"prompt":` + hi + `,"chosen":[{"role":"assistant","content":"b"}],"rejected":[{"role":"assistant","content":""}],"weight":null,"chosen_score":null,"rejected_score":null,"margin":null}`}},
		{true, false, []string{`{"prompt":"a","completion":"b","label":false}`}, []string{`{"prompt":"a","completion":"b","label":false,"weight":null,"chosen_score":null,"rejected_score":null,"margin":null}`}},
		{true, true, []string{`{"prompt":` + hi + `,"completion":` + hi + `,"label":true}`}, []string{`{"prompt":` + hi + `,"completion":` + hi + `,"label":true,"weight":null,"chosen_score":null,"rejected_score":null,"margin":null}`}},
	} {
		var file bytes.Buffer
		w := NewWriter(&file, c.unpaired, c.chat)
		for _, row := range c.rows {
			if err := w.Write([]byte(row)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		in, err := NewReader("rows.parquet", &file)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		for _, want := range c.want {
			row, err := in.Next()
			if err := errors.Join(err, row.Err); err != nil || string(row.Text) != want {
				t.Errorf("%v: got\n%s\nwant\n%s", err, row.Text, want)
			}
		}
		if _, err := in.Next(); err != io.EOF {
			t.Errorf("behind the last row: %v", err)
		}
	}
}

// TestWriterRefuses what a column cannot hold.
func TestWriterRefuses(t *testing.T) {
	for row, want := range map[string]string{
		`{"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":null}],"rejected":[]}`:               "a message with content: null; ",
		`{"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"","tool_calls":[]}],"rejected":[]}`: "a message with tool_calls: []; ",
		`{"prompt":"a","chosen":"b","rejected":"c"}`: "text and messages, ",
		`{"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":""}],"rejected":[],"weight":"x"}`: "text and messages, or a score that is no number; ",
	} {
		if err := NewWriter(io.Discard, false, true).Write([]byte(row)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", row, err, want)
		}
	}
}
