package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refColumns are the reference's log-probs of the first pairs of o.Data as columns, by names; off is added to the first pair's chosen one.
func refColumns(t *testing.T, o Options, chosen, rejected string, off float64) []string {
	t.Helper()
	perPair := filepath.Join(t.TempDir(), "pairs.jsonl")
	var out, errs bytes.Buffer
	if err := Eval(context.Background(), request(o, &out, &errs, func(string) {}), EvalOptions{Ref: o.Model, LossGiven: true, PerPair: perPair}); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	text, err := os.ReadFile(perPair)
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for line := range strings.Lines(string(text)) {
		var row struct {
			Chosen   float64 `json:"ref_logps/chosen"`
			Rejected float64 `json:"ref_logps/rejected"`
		}
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			t.Fatal(err)
		}
		if len(columns) == 0 {
			row.Chosen += off
		}
		// As a program writes them that keeps float32.
		columns = append(columns, fmt.Sprintf(`"%s": %v, "%s": %v`, chosen, float32(row.Chosen), rejected, float32(row.Rejected)))
	}
	return columns
}

// TestTrusted: a run with the reference's log-probs in its rows is the run that computes them, but for their rounding. No cache is made, and no
// reference is read.
func TestTrusted(t *testing.T) {
	o := tiny(t)
	o.Data = head(t, o.Data, 8)
	o.MaxSteps = 4
	plain := mustRun(t, o)
	contains(t, plain.stderr, "reference log-probs: 16 sequences computed")
	for _, names := range [][2]string{{"ref_chosen_logps", "ref_rejected_logps"}, {"reference_chosen_logps", "reference_rejected_logps"}} {
		q := o
		q.Data = with(t, o.Data, refColumns(t, o, names[0], names[1], 0)...)
		q.EvalData = q.Data
		q.OutputDir, q.RefCacheDir = filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "cache")
		told := mustRun(t, q)
		contains(t, told.stderr, "ref_chosen_logps is not read, for the reference is computed here (trust_ref_logps: true takes the columns): 8 (lines 1, 2, 3, 4, 5 ...)")

		q.TrustRefLogps = true
		q.OutputDir, q.RefCacheDir = filepath.Join(t.TempDir(), "run"), filepath.Join(t.TempDir(), "cache")
		r := mustRun(t, q)
		contains(t, r.stderr, "reference log-probs: those of the rows (trust_ref_logps); no pass one", "the first step proves that their margins differ by at most 0.001 nats a token")
		if _, err := os.Stat(q.RefCacheDir); !os.IsNotExist(err) {
			t.Errorf("there is a cache: %v", err)
		}
		want, got := plain.steps(t), r.steps(t)
		for i := range want {
			for _, name := range []string{"loss", "rewards/margins", "logps/chosen"} {
				if math.Abs(got[i][name]-want[i][name]) > 1e-4*max(1, math.Abs(want[i][name])) {
					t.Errorf("step %d: %s %v, want %v", i+1, name, got[i][name], want[i][name])
				}
			}
		}
		// It goes on as it began, and the tuned model knows its reference.
		info, err := readRunInfo(q.OutputDir)
		if plainInfo, plainErr := readRunInfo(o.OutputDir); err != nil || plainErr != nil || info.Reference != plainInfo.Reference {
			t.Errorf("reference %q, want %q (%v, %v)", info.Reference, plainInfo.Reference, err, plainErr)
		}
	}
}

// TestTrustedWrong: columns that are not the policy's stop the first step where the policy is the reference, and a loss that they do not serve is refused.
func TestTrustedWrong(t *testing.T) {
	o := tiny(t)
	o.Data = head(t, o.Data, 4)
	o.MaxSteps = 1
	for _, c := range []struct {
		off     float64 // nats; the pair has 60 to 200 tokens
		stopped bool
	}{{0.02, false}, {1, true}, {-1, true}} {
		q := o
		q.Data = with(t, o.Data, refColumns(t, o, "ref_chosen_logps", "ref_rejected_logps", c.off)...)
		q.OutputDir, q.TrustRefLogps = filepath.Join(t.TempDir(), "run"), true
		_, err := tryRun(t, q, 0)
		if stopped := err != nil && strings.Contains(err.Error(), "pairs.jsonl:1: before the first step policy and reference are the same model, but with ref_chosen_logps -"); stopped != c.stopped {
			t.Errorf("off by %v nats: error %v, want one %v", c.off, err, c.stopped)
		}
	}
	o.TrustRefLogps = true
	for loss, want := range map[string]string{
		"dpo": "pairs.jsonl:1: ref_chosen_logps: missing (there are prompt, chosen, rejected); trust_ref_logps needs ref_chosen_logps and ref_rejected_logps (lines 2, 3, 4 too)",
		"kto": "trust_ref_logps: ref_chosen_logps and ref_rejected_logps are of pairs, and loss kto takes rows with labels; leave it out",
	} {
		o := o
		o.Loss = loss
		if _, err := tryRun(t, o, 0); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("loss %s: error %v, want %s", loss, err, want)
		}
	}
}
