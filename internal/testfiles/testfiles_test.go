package testfiles

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// recorder is a test that only notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed string
}

func (r *recorder) Helper() {}

func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (r *recorder) Fatal(args ...any) { r.Fatalf("%s", fmt.Sprint(args...)) }

// record runs f to its end or to its first Skip or Fatal.
func record(t *testing.T, f func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r
}

func TestPath(t *testing.T) {
	if got := Path(t, "pairs.jsonl"); filepath.Base(filepath.Dir(got)) != "testdata" {
		t.Errorf("Path(pairs.jsonl) = %s, want a file of testdata", got)
	}
	r := record(t, func(t testing.TB) { Path(t, "no", "such.file") })
	if !strings.Contains(r.failed, "such.file") || !strings.Contains(r.failed, "scripts/make-testdata") {
		t.Errorf("missing file: failed with %q, want its name and the script", r.failed)
	}
}

func TestShared(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "here"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	relative, err := filepath.Rel(root(t), dir)
	if err != nil {
		t.Skip(err) // the two are on different drives
	}
	for _, tt := range []struct {
		name, value, file string
		skipped           string // part of the reason; empty for no skip
	}{
		{"absolute", dir, "here", ""},
		{"relative to the root", relative, "here", ""},
		{"unset", "", "here", "DPOTRAIN_TESTDATA is not set"},
		{"missing file", dir, "elsewhere", "elsewhere"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(Variable, tt.value)
			got := ""
			r := record(t, func(t testing.TB) { got = Shared(t, tt.file) })
			if !strings.Contains(r.skipped, tt.skipped) || (r.skipped != "") != (tt.skipped != "") {
				t.Fatalf("skipped with %q, want %q", r.skipped, tt.skipped)
			}
			if want := filepath.Join(dir, tt.file); tt.skipped == "" && got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestParseExpected(t *testing.T) {
	const (
		pairs  = `"pairs": [{"prompt_ids": [1], "chosen_ids": [2, 3], "rejected_ids": [4], "chosen_token_logps": [-1, -2]}]`
		losses = `{"loss": 0.5, "grads": {"w": {"l2": 1}}}`
	)
	for _, tt := range []struct {
		name, text string
		scale      float64
		ipo        bool
	}{
		{"ours", `{` + pairs + `, "policy_scale": 1.5, "dpo": ` + losses + `, "ipo": ` + losses + `}`, 1.5, true},
		{"models-random", `{` + pairs + `, "dpo": ` + losses + `}`, 1.02, false},
		{"expected", `{` + pairs + `, "training": {"batch": 1, "losses": {"dpo": ` + losses + `, "ipo_mean": ` + losses + `}}}`, 1.01, true},
	} {
		e, err := parseExpected([]byte(tt.text))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if e.Scale != tt.scale || e.Batch != 1 || e.DPO.Grads["w"].L2 != 1 || (e.IPO != nil) != tt.ipo || e.SFT != nil {
			t.Errorf("%s: got %+v, want scale %v, one pair, dpo, ipo %v, no sft", tt.name, e, tt.scale, tt.ipo)
		}
	}
	for _, text := range []string{
		`{`,
		`{` + pairs + `}`,
		`{"dpo": ` + losses + `}`,
		`{` + strings.Replace(pairs, "[-1, -2]", "[-1]", 1) + `, "dpo": ` + losses + `}`,
		`{` + strings.Replace(pairs, "[1]", "[]", 1) + `, "dpo": ` + losses + `}`,
		`{` + pairs + `, "training": {"batch": 2, "losses": {"dpo": ` + losses + `}}}`,
	} {
		if e, err := parseExpected([]byte(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", text, e)
		}
	}
}

// Every expected.json of ours reads, with all its losses, and its parts agree with each other.
func TestOwnExpected(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(Path(t, "models"), "*", "expected.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("testdata/models: %d models, %v", len(paths), err)
	}
	for _, path := range paths {
		e := LoadExpected(t, path)
		for name, loss := range map[string]*Loss{"dpo": e.DPO, "ipo": e.IPO, "sft": e.SFT} {
			if loss == nil || len(loss.Grads) != len(e.DPO.Grads) {
				t.Errorf("%s: %s: missing, or not the tensors of dpo", path, name)
			}
		}
		for i, p := range e.Pairs {
			if d := sum(p.ChosenTokenLogps) - p.ChosenLogp; math.Abs(d) > 1e-6 {
				t.Errorf("%s: pair %d: chosen log-probs sum to %v, want chosen_logp %v", path, i, sum(p.ChosenTokenLogps), p.ChosenLogp)
			}
			if d := sum(p.RejectedTokenLogps) - p.RejectedLogp; math.Abs(d) > 1e-6 {
				t.Errorf("%s: pair %d: rejected log-probs sum to %v, want rejected_logp %v", path, i, sum(p.RejectedTokenLogps), p.RejectedLogp)
			}
		}
	}
}

func TestSharedExpected(t *testing.T) {
	for _, pattern := range []string{"models-random/*/expected.json", "expected/llama_*.json", "expected/gpt2_*.json"} {
		paths, err := filepath.Glob(filepath.Join(Shared(t), filepath.FromSlash(pattern)))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: %d files, %v", pattern, len(paths), err)
		}
		for _, path := range paths {
			LoadExpected(t, path)
		}
	}
}

func sum(x []float64) (s float64) {
	for _, v := range x {
		s += v
	}
	return s
}
