package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRowJSON(t *testing.T) {
	r := Row{Int("step", 12), Float("loss", 0.1), Float("rewards/margins", math.NaN()), Float("grad_norm", math.Inf(1)), Float("x", math.Inf(-1)), Float("tiny", 1e-300)}
	want := `{"step": 12, "loss": 0.1, "rewards/margins": "NaN", "grad_norm": "Infinity", "x": "-Infinity", "tiny": 1e-300}`
	if got := string(r.JSON()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMetricsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	m, err := OpenMetrics(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	var keep int64
	for i := range 3 {
		if err := m.Append(Row{Int("step", int64(i))}); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			keep = m.Bytes()
		}
	}
	m.Close()
	if m, err = OpenMetrics(path, keep); err != nil {
		t.Fatal(err)
	}
	if err := m.Append(Row{Int("step", 9)}); err != nil {
		t.Fatal(err)
	}
	m.Close()
	got, err := os.ReadFile(path)
	if want := "{\"step\": 0}\n{\"step\": 9}\n"; err != nil || string(got) != want || m.Bytes() != int64(len(want)) {
		t.Errorf("%v, %d bytes: %q, want %q", err, m.Bytes(), got, want)
	}
	if _, err := OpenMetrics(path, 1000); err == nil || !strings.Contains(err.Error(), "lines are missing") {
		t.Errorf("a file that is too short: error %v", err)
	}
}

func TestPlainProgress(t *testing.T) {
	var b bytes.Buffer
	at := time.Unix(1000, 0)
	p := newProgress(&b, "reference log-probs", 4000, "sequences", false, func() time.Time { return at })
	p.Start(1000)
	for range 25 {
		at = at.Add(time.Second)
		p.Add(40, "35,100 tokens")
	}
	p.Printf("a message\n")
	p.Done()
	p.Done()
	want := "reference log-probs: 1,400/4,000 sequences (35 %)  35,100 tokens, 1m05s left\n" +
		"reference log-probs: 1,800/4,000 sequences (45 %)  35,100 tokens, 55.0s left\na message\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}

// TestMessagesBesideBar: a message clears the bar and begins a line of its own.
func TestMessagesBesideBar(t *testing.T) {
	var b bytes.Buffer
	p := newProgress(&b, "training", 10, "step", true, time.Now)
	p.Add(1, "loss 0.5")
	Logger(&b).Warn("careful")
	p.Printf("step 1\n")
	p.Done()
	for _, want := range []string{"\r", "WRN careful\n", "step 1\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in %q", want, b.String())
		}
	}
	for _, line := range []string{"WRN careful", "step 1\n"} {
		before := b.String()[:strings.Index(b.String(), line)]
		if rest := before[strings.LastIndexAny(before, "\r\n")+1:]; strings.TrimSpace(rest) != "" {
			t.Errorf("%q is glued to %q", line, rest)
		}
	}
}

func TestLoggerPlain(t *testing.T) {
	var b bytes.Buffer
	Logger(&b).Info("model x", "layers", 3)
	if got := b.String(); got != "model x layers=3\n" {
		t.Errorf("%q", got)
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(999), "999"}, {Count(1000), "1,000"}, {Count(-1234567), "-1,234,567"},
		{Bytes(1023), "1023 B"}, {Bytes(1536), "1.5 KiB"}, {Bytes(3 << 30), "3.0 GiB"},
		{Duration(1500 * time.Millisecond), "1.5s"}, {Duration(61 * time.Second), "1m01s"}, {Duration(2*time.Hour + 3*time.Minute), "2h03m"},
		{Float("x", 0.123456789).String(), "0.123457"}, {Int("x", 12345).String(), "12,345"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
	var b bytes.Buffer
	Table(&b, []string{"metric", "value"}, [][]string{{"loss", "0.5"}, {"rewards/margins", "-12.25"}})
	want := "metric            value\nloss                0.5\nrewards/margins  -12.25\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
