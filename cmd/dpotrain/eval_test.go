package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// evaluations are the lines of evaluations in a metrics.jsonl by step, without eval_ in front and without times.
func evaluations(t testing.TB, dir string) map[int]map[string]float64 {
	t.Helper()
	all := map[int]map[string]float64{}
	for _, line := range metrics(t, dir) {
		m := numbers(t, line)
		if _, ok := m["eval_loss"]; !ok {
			continue
		}
		one := map[string]float64{}
		for name, v := range m {
			if short, ok := strings.CutPrefix(name, "eval_"); ok {
				one[short] = v
			}
		}
		all[int(m["step"])] = one
	}
	return all
}

// sameNumbers checks that an evaluation by the command gives the bits of one inside training.
func sameNumbers(t testing.TB, got, want map[string]float64) {
	t.Helper()
	if len(want) < 5 {
		t.Fatalf("only %d numbers to compare with", len(want))
	}
	for name, w := range want {
		if g, ok := got[name]; !ok || g != w {
			t.Errorf("%s = %v, want %v", name, g, w)
		}
	}
}

// TestEval: the command gives the numbers of the evaluation inside training, whichever way it gets at the settings.
func TestEval(t *testing.T) {
	p := newPlace(t)
	// The pairs are cut by max_length, and the settings are far from the defaults, so that it shows which were used.
	dpotrain(t, p.train(t, "--eval-steps", "5", "--beta", "0.3", "--max-length", "40", "--truncation-mode", "keep_end", "--micro-batch-tokens", "100")...)
	inside := evaluations(t, p.run)
	if len(inside) != 4 { // after steps 5, 10, 15, 16
		t.Fatalf("%d evaluations, want 4", len(inside))
	}
	held := testfiles.Path(t, "pairs_eval.jsonl")
	evaluate := func(args ...string) map[string]float64 {
		t.Helper()
		out, _ := dpotrain(t, append([]string{"eval", "--json"}, args...)...)
		if strings.Count(out, "\n") != 1 {
			t.Errorf("want one line of JSON:\n%s", out)
		}
		return numbers(t, out)
	}

	got := evaluate("--model", p.run, "--data", held)
	sameNumbers(t, got, inside[16])
	if got["examples"] != 20 {
		t.Errorf("%v examples, want 20", got["examples"])
	}
	sameNumbers(t, evaluate("--model", p.run), inside[16]) // eval_data of the run
	sameNumbers(t, evaluate("--model", p.run, "--threads", "2", "--micro-batch-tokens", "3000"), inside[16])
	sameNumbers(t, evaluate("--model", p.run, "--ref", p.model, "--data", held), inside[16])
	sameNumbers(t, evaluate("--model", filepath.Join(p.run, "checkpoint-10")), inside[10])
	sameNumbers(t, evaluate("--config", filepath.Join(p.run, "dpotrain.yaml"), "--model", filepath.Join(p.run, "checkpoint-5")), inside[5])

	// Flags go above the run's settings.
	other := evaluate("--model", p.run, "--beta", "0.6")
	if g, w := other["rewards/margins"], 2*inside[16]["rewards/margins"]; g-w > 1e-12*w || w-g > 1e-12*w {
		t.Errorf("with twice the beta the margin is %v, want %v", g, w)
	}
	whole := evaluate("--model", p.run, "--max-length", "0")
	if whole["logps/chosen"] == inside[16]["logps/chosen"] {
		t.Error("--max-length changes nothing")
	}
	sft := evaluate("--model", p.run, "--loss", "sft")
	if _, ok := sft["rewards/margins"]; ok || sft["loss"] <= 0 {
		t.Errorf("loss sft: %v", sft)
	}
	// A config of the user's goes before the run's settings; the reference is the run's all the same.
	config := p.write(t, "ipo.yaml", "loss: ipo\nmax_length: 40\ntruncation_mode: keep_end\n")
	ipo := evaluate("--config", config, "--model", p.run, "--data", held, "--ref-cache-dir", filepath.Join(p.dir, "empty"))
	if ipo["loss"] == inside[16]["loss"] || ipo["logps/chosen"] != inside[16]["logps/chosen"] {
		t.Errorf("with a config for ipo: loss %v, chosen %v; dpo has %v, %v", ipo["loss"], ipo["logps/chosen"], inside[16]["loss"], inside[16]["logps/chosen"])
	}

	out, _ := dpotrain(t, "eval", "--model", p.run)
	contains(t, out, "metric", "value", "unit", "nats a completion", "share")
	for name, v := range inside[16] {
		if !strings.Contains(out, name) || !strings.Contains(out, fmt.Sprintf("%.6g", v)) {
			t.Errorf("%s with %.6g is not in the table:\n%s", name, v, out)
		}
	}
}

// TestEvalForeign evaluates a model that no run of dpotrain made.
func TestEvalForeign(t *testing.T) {
	p := newPlace(t)
	held := testfiles.Path(t, "pairs_eval.jsonl")
	args := []string{"eval", "--model", p.model, "--data", held, "--ref-cache-dir", p.cache}
	_, log := exits(t, exitUsage, args...)
	contains(t, oneLine(t, log), p.model+" was not made by a run", "--loss", "--config")
	_, log = exits(t, exitUsage, append(args, "--loss", "dpo")...)
	contains(t, oneLine(t, log), p.model, "reference is not known", "--ref")
	out, _ := dpotrain(t, append(args, "--loss", "dpo", "--ref", p.model, "--json")...)
	if m := numbers(t, out); m["rewards/margins"] != 0 || m["rewards/ties"] != 1 || m["rewards/accuracies_high"] != 0 || m["loss"]-0.6931471805599453 > 1e-15 || m["loss"]-0.6931471805599453 < -1e-15 {
		t.Errorf("a model against itself: %v", m)
	}
	out, _ = dpotrain(t, append(args, "--loss", "sft", "--json")...) // needs no reference
	if m := numbers(t, out); m["loss"] <= 0 {
		t.Errorf("loss sft: %v", m)
	}
	config := p.write(t, "c.yaml", "loss: dpo\nref_model: "+p.model+"\n")
	dpotrain(t, "eval", "--config", config, "--model", p.model, "--data", held, "--ref-cache-dir", p.cache)
}

// TestEvalReference: the run's reference serves as long as it is the same or the cache has all.
func TestEvalReference(t *testing.T) {
	p := newPlace(t)
	p.model = p.copyModel(t, "model")
	dpotrain(t, p.train(t)...)
	want := evaluations(t, p.run)[16]
	held := testfiles.Path(t, "pairs_eval.jsonl")
	full := func() {
		t.Helper()
		out, _ := dpotrain(t, "eval", "--json", "--model", p.run, "--data", held)
		sameNumbers(t, numbers(t, out), want)
	}
	partial := func(args ...string) string {
		t.Helper()
		_, log := exits(t, exitFailed, append([]string{"eval", "--model", p.run, "--data", held}, args...)...)
		return oneLine(t, log)
	}
	rows := strings.SplitAfter(read(t, held), "\n")
	some := filepath.Join(p.dir, "some") // a cache with the first 15 of the 20 pairs
	dpotrain(t, "precompute-ref", "--model", p.model, "--data", p.write(t, "some.jsonl", strings.Join(rows[:15], "")), "--ref-cache-dir", some)
	empty := filepath.Join(p.dir, "empty")

	// Other weights in the folder.
	weights := filepath.Join(p.model, "model.safetensors")
	text := []byte(read(t, weights))
	text[len(text)-1] ^= 0x80 // the sign of the last weight
	if err := os.WriteFile(weights, text, 0o666); err != nil {
		t.Fatal(err)
	}
	full()
	contains(t, partial("--ref-cache-dir", empty), "20 of 20 rows have no log-probs in", empty, "ref_model "+p.model+" is not the model any more", "--ref", "precompute-ref")

	// No folder.
	if err := os.RemoveAll(p.model); err != nil {
		t.Fatal(err)
	}
	full()
	contains(t, partial("--ref-cache-dir", some), "5 of 20 rows have no log-probs in", some, p.model, "--ref", "precompute-ref")

	// The folder elsewhere.
	moved := testfiles.Path(t, "models", "llama")
	out, _ := dpotrain(t, "eval", "--json", "--model", p.run, "--data", held, "--ref-cache-dir", some, "--ref", moved)
	sameNumbers(t, numbers(t, out), want)

	// A checkpoint without the run around it knows its reference's digest alone.
	alone := filepath.Join(p.dir, "alone")
	if err := os.CopyFS(alone, os.DirFS(filepath.Join(p.run, "checkpoint-16"))); err != nil {
		t.Fatal(err)
	}
	out, _ = dpotrain(t, "eval", "--json", "--model", alone, "--data", held, "--ref-cache-dir", p.cache, "--loss", "dpo")
	sameNumbers(t, numbers(t, out), want)
	_, log := exits(t, exitFailed, "eval", "--model", alone, "--data", held, "--ref-cache-dir", empty, "--loss", "dpo")
	contains(t, oneLine(t, log), "20 of 20 rows have no log-probs in", alone+" does not say where", "--ref", "precompute-ref")
}
