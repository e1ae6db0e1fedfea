package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// pairsOfLength writes pairs whose sequences have about so many tokens, a letter being one at least.
func pairsOfLength(t *testing.T, name string, tokens ...int) string {
	t.Helper()
	var text strings.Builder
	for _, n := range tokens {
		fmt.Fprintf(&text, `{"prompt": "xyz", "chosen": "%s", "rejected": " q"}`+"\n", strings.Repeat("zqx", n/3))
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// modelWith copies a model of testdata, with the tokenizer of another and one key of the config changed.
func modelWith(t *testing.T, name, tokenizer, key string, value any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "changed")
	if err := os.CopyFS(dir, os.DirFS(testfiles.Path(t, "models", name))); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"tokenizer.json", "tokenizer_config.json"} {
		text, err := os.ReadFile(testfiles.Path(t, "models", tokenizer, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	config[key] = value
	if text, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTooManyPositions: a model with 144 learned positions takes sequences of 145 tokens, the last of which has no row. A longer one
// is an error before anything is computed or written.
func TestTooManyPositions(t *testing.T) {
	gpt2, llama := testfiles.Path(t, "models", "gpt2"), testfiles.Path(t, "models", "llama")
	for _, tt := range []struct {
		name      string
		policy    string
		ref       string
		data      []int
		eval      []int
		maxLength int
		want      string
	}{
		{"short", gpt2, "", []int{9, 30}, []int{9}, 0, ""},
		{"145 tokens", gpt2, "", []int{9, 300}, []int{300}, 145, ""},
		{"146 tokens", gpt2, "", []int{9, 300, 300}, nil, 146,
			"pairs.jsonl:2: a sequence of 146 tokens, and " + gpt2 + " has learned positions for 144; set max_length to 144 or less (2 of 6 sequences are longer)"},
		{"held out", gpt2, "", []int{9}, []int{9, 9, 300}, 200, "held.jsonl:3: a sequence of 200 tokens, and " + gpt2},
		{"the reference", llama, gpt2, []int{9, 300}, nil, 200, "pairs.jsonl:2: a sequence of 200 tokens, and " + gpt2},
		{"an id of another vocabulary", llama, modelWith(t, "llama-linear", "llama", "use_cache", true), []int{9}, nil, 0, "pairs.jsonl:1: token id "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tiny(t)
			o.Model, o.RefModel, o.MaxSteps, o.Rows.MaxLength = tt.policy, tt.ref, 1, tt.maxLength
			o.Data = pairsOfLength(t, "pairs.jsonl", tt.data...)
			if tt.eval != nil {
				o.EvalData = pairsOfLength(t, "held.jsonl", tt.eval...)
			}
			out, err := tryRun(t, o, 0)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("error %v, want one line with %q", err, tt.want)
			}
			for _, path := range []string{filepath.Join(out.dir, MetricsFile), o.RefCacheDir} {
				if _, err := os.Stat(path); !os.IsNotExist(err) {
					t.Errorf("%s is there: %v", path, err)
				}
			}
			var stdout, stderr bytes.Buffer
			if err := PrecomputeRef(context.Background(), request(o, &stdout, &stderr, nil)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("precompute-ref: error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// TestBeyondMaxPositions: rotary positions go on beyond max_position_embeddings, with one warning, even where policy and reference
// are two folders.
func TestBeyondMaxPositions(t *testing.T) {
	o := tiny(t)
	o.Model = modelWith(t, "llama", "llama", "max_position_embeddings", 20)
	o.RefModel = modelWith(t, "llama", "llama", "max_position_embeddings", 20)
	o.MaxSteps = 1
	o.Data, o.EvalData = pairsOfLength(t, "pairs.jsonl", 9, 60, 6), pairsOfLength(t, "held.jsonl", 90)
	out, err := tryRun(t, o, 0)
	if err != nil {
		t.Fatal(err)
	}
	const want = "2 of 8 sequences are longer than the model's max_position_embeddings of 20, the first at "
	if n := strings.Count(out.stderr, "max_position_embeddings"); n != 1 || !strings.Contains(out.stderr, want) || !strings.Contains(out.stderr, "pairs.jsonl:2, the longest with ") ||
		!strings.Contains(out.stderr, "set max_length to 20\n") {
		t.Errorf("%d warnings, want one with %q:\n%s", n, want, out.stderr)
	}
	o.Rows.MaxLength, o.OutputDir = 20, filepath.Join(t.TempDir(), "run")
	if out, err = tryRun(t, o, 0); err != nil || strings.Contains(out.stderr, "max_position_embeddings") {
		t.Errorf("with max_length 20: %v\n%s", err, out.stderr)
	}
}
