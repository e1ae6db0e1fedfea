package report

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestRowJSON(t *testing.T) {
	for _, tt := range []struct {
		row  Row
		want string
	}{
		{nil, `{}`},
		{Row{Int("step", 12), Float("loss", 0.1), Float("rewards/margins", -2), Float("num", 1e21), Float("tiny", 1e-300)},
			`{"step": 12, "loss": 0.1, "rewards/margins": -2, "num": 1e+21, "tiny": 1e-300}`},
		{Row{Int("step", math.MaxInt64), Float("a", math.NaN()), Float("b", math.Inf(1)), Float("c", math.Inf(-1))},
			`{"step": 9223372036854775807, "a": "NaN", "b": "Infinity", "c": "-Infinity"}`},
		{Row{Float("a\"b\n", 1)}, `{"a\"b\n": 1}`},
	} {
		got := string(tt.row.JSON())
		if got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("no JSON: %s", got)
		}
	}
}

// TestRowJSONBits: a number that is read back is the same to the bit.
func TestRowJSONBits(t *testing.T) {
	for _, v := range []float64{0.1, 1.0 / 3, math.Pi * 1e-200, math.MaxFloat64, math.SmallestNonzeroFloat64, -123456789.123456789} {
		var back map[string]float64
		if err := json.Unmarshal(Row{Float("x", v)}.JSON(), &back); err != nil || back["x"] != v {
			t.Errorf("%v is read back as %v, %v", v, back["x"], err)
		}
	}
}

func TestMetricString(t *testing.T) {
	for _, tt := range []struct {
		m    Metric
		want string
	}{{Float("x", 0.123456789), "0.123457"}, {Float("x", math.NaN()), "NaN"}, {Float("x", 1e-9), "1e-09"}, {Int("x", 12345), "12,345"}} {
		if got := tt.m.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func mustOpen(t *testing.T, path string, keep int64) *MetricsFile {
	t.Helper()
	m, err := OpenMetrics(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func appendSteps(t *testing.T, m *MetricsFile, steps ...int64) {
	t.Helper()
	for _, s := range steps {
		if err := m.Append(Row{Int("step", s)}); err != nil {
			t.Fatal(err)
		}
	}
}

func checkFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
}

// TestMetricsFile: a run is resumed after its first row, twice; a new run begins with nothing.
func TestMetricsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	m := mustOpen(t, path, 0)
	appendSteps(t, m, 1)
	keep := m.Bytes()
	appendSteps(t, m, 2, 3)
	checkFile(t, path, "{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n") // before Sync and Close
	if err := errors.Join(m.Sync(), m.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m = mustOpen(t, path, keep)
		if m.Bytes() != keep {
			t.Errorf("Bytes is %d after opening, want %d", m.Bytes(), keep)
		}
		appendSteps(t, m, 9)
		m.Close()
		checkFile(t, path, "{\"step\": 1}\n{\"step\": 9}\n")
		if m.Bytes() != 2*keep {
			t.Errorf("Bytes is %d, want %d", m.Bytes(), 2*keep)
		}
	}
	mustOpen(t, path, 0).Close()
	checkFile(t, path, "")
}

// TestMetricsFileErrors: a file that does not belong to the checkpoint is refused and left as it is.
func TestMetricsFileErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	const text = "{\"step\": 1}\n{\"step\": 2}\n"
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		keep int64
		want string
	}{
		{25, "has 24 bytes, want at least the 25 that it had when the checkpoint was made; put back"},
		{-1, "has 24 bytes, want at least the -1"},
		{13, "byte 13 is inside a line"},
		{11, "byte 11 is inside a line"},
	} {
		_, err := OpenMetrics(path, tt.keep)
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+tt.want) {
			t.Errorf("keeping %d: error %v, want one that begins with %s: %s", tt.keep, err, path, tt.want)
		}
		checkFile(t, path, text)
	}
	missing := filepath.Join(t.TempDir(), "metrics.jsonl")
	if _, err := OpenMetrics(missing, 12); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) || !strings.Contains(err.Error(), "put back") {
		t.Errorf("no file: error %v", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty file was left behind: %v", err)
	}
}

// TestParseRow: what JSON writes is read back to the bit.
func TestParseRow(t *testing.T) {
	row := Row{Int("step", 3), Float("loss", 0.1), Float("grad_norm", math.NaN()), Float("eval_loss", math.Inf(1)), Float("rewards/chosen", math.Inf(-1)), Float("tiny", 5e-324)}
	got, err := ParseRow(row.JSON())
	if err != nil || len(got) != len(row) {
		t.Fatalf("%s: read %v, %v", row.JSON(), got, err)
	}
	for i, m := range row {
		want, ok := row.Value(m.Name)
		v, has := got.Value(m.Name)
		if !ok || !has || got[i].Name != m.Name || math.Float64bits(v) != math.Float64bits(want) {
			t.Errorf("%s: read %s %v, %v; want %v", m.Name, got[i].Name, v, has, want)
		}
	}
	if v, ok := got.Value("other"); ok {
		t.Errorf("a name that is not there has the value %v", v)
	}
	for _, text := range []string{"", "[1]", `{"a": true}`, `{"a": {"b": 1}}`, `{"a": "x"}`, `{"a": null}`, `{"a": 1`, `{"a"`} {
		if r, err := ParseRow([]byte(text)); err == nil {
			t.Errorf("%s: read %v", text, r)
		}
	}
}

// FuzzParseRow: what is read as a row is written and read again as the same numbers.
func FuzzParseRow(f *testing.F) {
	for _, s := range []string{`{"step": 1, "loss": 0.6931471805599453, "x": "NaN", "y": "-Infinity"}`, `{}`, `{"a": 1e400}`, `{"a": [1]}`, `{"a": "0x1p-2"}`, `{"a"`, `null`, `{"a": true}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRow(text)
		if err != nil {
			return
		}
		again, err := ParseRow(r.JSON())
		if err != nil || len(again) != len(r) {
			t.Fatalf("%q: written as %s and read again: %v, %v", text, r.JSON(), again, err)
		}
		for i, m := range r {
			same := again[i].value == m.value || again[i].value != again[i].value && m.value != m.value
			// Bytes that are no UTF-8 are written as the replacement character.
			if !same || utf8.ValidString(m.Name) && again[i].Name != m.Name {
				t.Errorf("%q: %+v is read again as %+v", text, m, again[i])
			}
		}
	})
}
