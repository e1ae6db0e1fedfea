package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/data"
)

// numbered are n pairs, three of a prompt, in a file.
func numbered(t *testing.T, n int) data.Source {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"prompt":"%d","chosen":"b%d","rejected":"c"}`+"\n", i/3, i)
	}
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return data.Source{Path: path}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(strings.TrimSuffix(string(text), "\n"), "\n")
}

func prompts(t *testing.T, rows []string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, row := range rows {
		var r struct{ Prompt string }
		if err := json.Unmarshal([]byte(row), &r); err != nil {
			t.Fatal(err)
		}
		all[r.Prompt] = true
	}
	return all
}

// TestSplit: rows of a prompt are on one side, in their order, and another order of the rows moves none.
func TestSplit(t *testing.T) {
	s := numbered(t, 300)
	dir := t.TempDir()
	for _, o := range []SplitOptions{{Fraction: 0.2}, {Rows: 40}} {
		train, held := filepath.Join(dir, "train.jsonl"), filepath.Join(dir, "held.jsonl")
		n, err := Split(t.Context(), s, Output{Path: train, Overwrite: true}, Output{Path: held, Overwrite: true}, o, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := lines(t, train), lines(t, held)
		if n != (Divided{len(a), len(b)}) || len(a)+len(b) != 300 {
			t.Errorf("%+v: %+v, and %d and %d lines", o, n, len(a), len(b))
		}
		if o.Rows > 0 && len(b) != 39 { // 13 prompts of three rows each
			t.Errorf("%d rows held out, want 39", len(b))
		}
		if o.Fraction > 0 && (len(b) < 30 || len(b) > 90) { // 20 of 100 prompts, give or take two and a half standard deviations
			t.Errorf("%d rows held out of 300, want about 60", len(b))
		}
		heldOut := prompts(t, b)
		for prompt := range prompts(t, a) {
			if heldOut[prompt] {
				t.Errorf("%+v: prompt %s is on both sides", o, prompt)
			}
		}
		original := lines(t, s.Path)
		slices.Reverse(original)
		turned := filepath.Join(dir, "turned.jsonl")
		if err := os.WriteFile(turned, []byte(strings.Join(original, "\n")), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Split(t.Context(), data.Source{Path: turned}, Output{Path: train, Overwrite: true}, Output{Path: held, Overwrite: true}, o, nil); err != nil {
			t.Fatal(err)
		}
		if again := prompts(t, lines(t, held)); fmt.Sprint(again) != fmt.Sprint(heldOut) {
			t.Errorf("%+v: in another order %v are held out, not %v", o, again, heldOut)
		}
	}
}

// TestSample: as many rows as asked for, in their order, the same for a seed and others for another.
func TestSample(t *testing.T) {
	s := numbered(t, 300)
	draw := func(n int, seed int64) string {
		var b bytes.Buffer
		taken, err := Sample(t.Context(), s, Output{Path: Stdout, Stdout: &b}, n, seed, nil)
		if err != nil || taken != min(n, 300) || strings.Count(b.String(), "\n") != taken {
			t.Fatalf("%d of 300: %d, %v", n, taken, err)
		}
		return b.String()
	}
	all := draw(1000, 1)
	for n := range 10 {
		some, at := draw(n, 1), 0
		for row := range strings.Lines(some) {
			next := strings.Index(all[at:], row)
			if next < 0 {
				t.Fatalf("%d rows: %q is not there or not in its order", n, row)
			}
			at += next
		}
	}
	first, again, other := draw(10, 1), draw(10, 1), draw(10, 2)
	if first != again || first == other {
		t.Error("what is drawn is not a function of the seed")
	}
}

// TestConvert: pairs that were converted are the same rows again, and converting them once more changes nothing.
func TestConvert(t *testing.T) {
	s := numbered(t, 30)
	var once, twice bytes.Buffer
	if n, err := Convert(t.Context(), s, Output{Path: Stdout, Stdout: &once}, "pairs", data.Options{}, nil); err != nil || n != 30 {
		t.Fatalf("%d, %v", n, err)
	}
	path := filepath.Join(t.TempDir(), "once.jsonl")
	if err := os.WriteFile(path, once.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), data.Source{Path: path}, Output{Path: Stdout, Stdout: &twice}, "pairs", data.Options{}, nil); err != nil || twice.String() != once.String() {
		t.Errorf("%v: got\n%s\nwant\n%s", err, twice.String(), once.String())
	}
	if n, err := Convert(t.Context(), s, Output{Path: Stdout, Stdout: &twice}, "unpaired", data.Options{}, nil); err != nil || n != 60 {
		t.Errorf("unpaired: %d, %v", n, err)
	}
}

// TestConvertParquet: pairs go to parquet and back.
func TestConvertParquet(t *testing.T) {
	s := numbered(t, 30)
	out := Output{Path: filepath.Join(t.TempDir(), "pairs.parquet")}
	if n, err := Convert(t.Context(), s, out, "pairs", data.Options{}, nil); err != nil || n != 30 {
		t.Fatalf("%d, %v", n, err)
	}
	i := 0
	err := data.Scan(data.Source{Path: out.Path}, nil, func(p *data.Plain) error {
		want := fmt.Sprintf(`{"prompt":"%d","chosen":"b%d","rejected":"c","weight":null,"chosen_score":null,"rejected_score":null,"margin":null}`+"\n", i/3, i)
		if got := string(p.JSON()); got != want {
			t.Errorf("row %d: got %s, want %s", i, got, want)
		}
		i++
		return nil
	})
	if err != nil || i != 30 {
		t.Errorf("%d rows, %v", i, err)
	}
}

// TestFailure leaves nothing behind, and what was there before stays.
func TestFailure(t *testing.T) {
	dir := t.TempDir()
	bad, out := filepath.Join(dir, "bad.jsonl"), filepath.Join(dir, "out.jsonl")
	if err := os.WriteFile(bad, []byte(`{"prompt":"a","chosen":"b","rejected":"c"}`+"\n{\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, []byte("before"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Convert(t.Context(), data.Source{Path: bad}, Output{Path: out, Overwrite: true}, "pairs", data.Options{}, nil); err == nil || !strings.HasPrefix(err.Error(), bad+":2: ") {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(dir)
	if text := lines(t, out); err != nil || len(entries) != 2 || text[0] != "before" {
		t.Errorf("%v, %v, %q", entries, err, text)
	}
}

// TestCount spells out what is said of a few rows.
func TestCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows.jsonl")
	rows := `{"prompt":"a","chosen":"bé","rejected":"c","id":1}
{"prompt":"a","completion":"bcd","label":true,"id":"x"}
{"prompt":[{"role":"user","content":"hi"}],"completions":[[{"role":"assistant","content":"b"}],[{"role":"assistant","content":"c"}]],"id":null}
`
	if err := os.WriteFile(path, []byte(rows), 0o666); err != nil {
		t.Fatal(err)
	}
	stats, err := Count(t.Context(), data.Source{Path: path}, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(stats)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"rows":3,"forms":{"pairs":1,"ranked":1,"unpaired":1},"chats":1,"prompts":2,"columns":[` +
		`{"name":"prompt","as":"prompt","rows":3,"kinds":{"list":1,"text":2}},{"name":"chosen","as":"chosen","rows":1,"kinds":{"text":1}},` +
		`{"name":"rejected","as":"rejected","rows":1,"kinds":{"text":1}},{"name":"id","rows":3,"kinds":{"null":1,"number":1,"text":1}},` +
		`{"name":"completion","as":"completion","rows":1,"kinds":{"text":1}},{"name":"label","as":"label","rows":1,"kinds":{"boolean":1}},` +
		`{"name":"completions","as":"completions","rows":1,"kinds":{"list":1}}],"characters":[` +
		`{"name":"prompt","mean":1.3333333333333333,"min":1,"p50":1,"p90":2,"p99":2,"max":2},{"name":"chosen","mean":2,"min":2,"p50":2,"p90":2,"p99":2,"max":2},` +
		`{"name":"rejected","mean":1,"min":1,"p50":1,"p90":1,"p99":1,"max":1},{"name":"completion","mean":1.6666666666666667,"min":1,"p50":1,"p90":3,"p99":3,"max":3}]}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
