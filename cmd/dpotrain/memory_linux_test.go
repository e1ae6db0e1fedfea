package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

var peakLine = regexp.MustCompile(`(?m)^peak memory: ([0-9.]+) MiB$`)

// measured runs a command in a process of its own and returns the most memory it had, in MiB, as Linux counted it. (What the system tells the
// parent of a process counts the parent's own memory too, which a child has until it becomes another program.)
func measured(t *testing.T, args ...string) float64 {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	text, err := cmd.CombinedOutput()
	found := peakLine.FindSubmatch(text)
	if err != nil || found == nil {
		t.Fatalf("%q: %v, no peak memory in\n%s", args, err, text)
	}
	peak, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return peak
}

var togetherRow = regexp.MustCompile(`(?m)^together +([0-9.]+) MiB +([0-9.]+) MiB`)

// TestMemoryPlan holds the plan of --dry-run against the memory that the passes really take: within a tenth. The models are large enough for
// their own memory to be most of it; the smaller takes 160 MiB in training, the larger 620, of which the program itself is 24.
func TestMemoryPlan(t *testing.T) {
	if testing.Short() {
		t.Skip("trains models of 6 and 30 million parameters")
	}
	p := newPlace(t)
	for _, m := range []struct {
		name                         string
		hidden, layers, inner, heads int
		kvHeads, vocab               int
		parameters                   string
		settings                     []string
	}{
		{"small", 256, 6, 704, 4, 4, 4096, "5,868,800", []string{"--per-device-train-batch-size=8"}},
		{"small, recomputed", 256, 6, 704, 4, 4, 4096, "5,868,800", []string{"--per-device-train-batch-size=16", "--gradient-checkpointing"}},
		{"large", 512, 8, 1408, 8, 2, 8192, "26,747,392", []string{"--per-device-train-batch-size=16"}},
		{"large, with a reference that is renewed", 512, 8, 1408, 8, 2, 8192, "26,747,392", []string{"--per-device-train-batch-size=16", "--reference-update-steps=1"}},
		{"large, bf16 moments and small micro-batches", 512, 8, 1408, 8, 2, 8192, "26,747,392", []string{"--optim=adamw_bf16", "--micro-batch-tokens=300"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "config.json")
			text := fmt.Sprintf(`{"model_type": "llama", "hidden_size": %d, "num_hidden_layers": %d, "intermediate_size": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
"vocab_size": %d, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true}`, m.hidden, m.layers, m.inner, m.heads, m.kvHeads, m.vocab)
			if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			model := filepath.Join(dir, "model")
			made, _ := dpotrain(t, "init", "--config", config, "--tokenizer", p.model, "--output", model)
			contains(t, made, m.parameters+" parameters")
			settings := append([]string{"--model", model, "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", filepath.Join(dir, "cache"), "--output-dir", filepath.Join(dir, "run"),
				"--threads=2", "--max-steps=3"}, m.settings...)
			table, _ := dpotrain(t, append([]string{"train", "--dry-run"}, settings...)...)
			found := togetherRow.FindStringSubmatch(table)
			if found == nil {
				t.Fatalf("no sums in\n%s", table)
			}
			for i, command := range []string{"precompute-ref", "train"} {
				plan, err := strconv.ParseFloat(found[1+i], 64)
				if err != nil {
					t.Fatal(err)
				}
				peak := measured(t, append([]string{command}, settings...)...)
				t.Logf("%s: planned %.1f MiB, measured %.1f: %+.1f %%", command, plan, peak, 100*(peak/plan-1))
				if math.Abs(peak-plan) > 0.1*peak {
					t.Errorf("%s took %.1f MiB, the plan was %.1f; want it within a tenth\n%s", command, peak, plan, table)
				}
			}
		})
	}
}

// TestDryRun: it says the settings and the memory, and leaves nothing behind.
func TestDryRun(t *testing.T) {
	p := newPlace(t)
	before := listing(t, p.dir)
	out, log := dpotrain(t, p.train(t, "--dry-run", "--max-steps=7", "--gradient-checkpointing", "--memory-limit=1GB")...)
	contains(t, out, "optimizer steps ", "7 of 8 pairs", "gradient_checkpointing ", "micro_batch_tokens ", "2048", "reference pass", "weights ", "gradients ", "optimizer ", "adamw: two moments of 4 bytes",
		"activations ", "blocks computed again", "head ", "together ", "of 953.7 MiB (memory_limit: 1GB)", "nothing was computed or written")
	contains(t, log, "memory: ")
	if after := listing(t, p.dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
	// It refuses what a run would refuse.
	_, log = exits(t, exitUsage, p.train(t, "--dry-run", "--memory-limit=20MB")...)
	contains(t, oneLine(t, log), "memory: the ", " takes ", "more than 19.1 MiB (memory_limit: 20MB)")
	dpotrain(t, p.train(t, "--max-steps=1")...)
	_, log = exits(t, exitUsage, p.train(t, "--dry-run")...)
	contains(t, oneLine(t, log), "already holds a run")
	dpotrain(t, p.train(t, "--dry-run", "--overwrite")...)
}

// listing is the names and sizes of all files below a folder.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			fmt.Fprintf(&b, "%s %d\n", path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
