package train

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/safetensors"
	"dpotrain/internal/testfiles"
)

// poisoned are options of fine-tuning a model that gives an infinite loss for one example of the data alone: it has an id
// that no other has, and the model, whose last norm gives nothing but positive numbers, has a logit of minus infinity for
// it. The data are in order, and line is the example's. Two examples make a step.
func poisoned(t *testing.T) (o Options, line int) {
	t.Helper()
	o = tiny(t)
	o.Model = testfiles.Path(t, "models", "gpt2")
	text, err := os.ReadFile(filepath.Join(o.Model, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	untied := strings.Replace(string(text), `"tie_word_embeddings": true`, `"tie_word_embeddings": false`, 1)
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(untied), 0o666); err != nil {
		t.Fatal(err)
	}
	init := InitOptions{Config: config, Tokenizer: o.Model, Output: filepath.Join(t.TempDir(), "model"), Seed: 1}
	if _, err := Init(init); err != nil {
		t.Fatal(err)
	}
	o.Model = init.Output
	o.Loss, o.Rows.Shuffle, o.LRSchedulerType = "sft", false, "constant"
	o.Data = head(t, testfiles.Path(t, "pairs.jsonl"), 16)
	if text, err = os.ReadFile(o.Data); err != nil {
		t.Fatal(err)
	}
	rows := slices.Collect(strings.Lines(string(text)))
	rows[5] = strings.Replace(rows[5], `"chosen": "`, `"chosen": " ~~`, 1)
	if err := os.WriteFile(o.Data, []byte(strings.Join(rows, "")), 0o666); err != nil {
		t.Fatal(err)
	}
	o.PerDeviceTrainBatchSize, o.NumTrainEpochs, o.LoggingSteps = 2, 1, 1
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), o.Data, data.Completions, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	lines := map[int32][]int{} // that have an id
	for _, e := range data.All(set.Examples) {
		for _, id := range e.Sequences[0].IDs {
			if !slices.Contains(lines[id], e.Line) {
				lines[id] = append(lines[id], e.Line)
			}
		}
	}
	for id := range int32(reader.VocabSize()) {
		if in := lines[id]; len(in) == 1 && in[0] == 6 {
			weights := filepath.Join(o.Model, "model.safetensors")
			fillRow(t, weights, "transformer.ln_f.bias", 0, 32, 20) // a norm of 32 numbers with weights 1 is above -6
			fillRow(t, weights, "lm_head.weight", int(id), 32, -3e38)
			return o, in[0]
		}
	}
	t.Fatal("no id is in line 6 alone")
	return o, 0
}

// fillRow sets a row of a tensor of F32.
func fillRow(t *testing.T, path, name string, row, columns int, v float32) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := int(binary.LittleEndian.Uint64(text))
	var header map[string]json.RawMessage
	if err := json.Unmarshal(text[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	var tensor struct {
		Offsets []int `json:"data_offsets"`
	}
	if err := json.Unmarshal(header[name], &tensor); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i := range columns {
		binary.LittleEndian.PutUint32(text[8+n+tensor.Offsets[0]+4*(row*columns+i):], math.Float32bits(v))
	}
	if err := os.WriteFile(path, text, 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestNonfiniteStop: the run ends before the update, and says which line it is and what to do.
func TestNonfiniteStop(t *testing.T) {
	o, line := poisoned(t)
	r, err := tryRun(t, o, 0)
	step := (line + 1) / 2
	for _, want := range []string{fmt.Sprintf("step %d: %s:%d: the loss of this example is not finite", step, o.Data, line), "on_nonfinite: skip"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(r.dir, MetricsFile))
	if got := strings.Count(string(text), "\n"); err != nil || got != step-1 {
		t.Errorf("%d lines of metrics (%v), want %d", got, err, step-1)
	}
}

// TestNonfiniteSkip: a run that skips a step ends with the same weights as one whose data lack the step's examples: neither
// gradients nor the optimizer remember it.
func TestNonfiniteSkip(t *testing.T) {
	o, line := poisoned(t)
	o.OnNonfinite = "skip"
	o.SaveSteps = 8
	r := mustRun(t, o)
	step := (line + 1) / 2
	if want := fmt.Sprintf("step %d skipped: %s:%d: the loss of this example is not finite", step, o.Data, line); !strings.Contains(r.stderr, want) {
		t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
	}
	for _, want := range []string{"  1 skipped", "1 of 8 steps were skipped"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
		}
	}
	text, err := os.ReadFile(filepath.Join(o.OutputDir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 9 {
		t.Fatalf("%d lines of metrics, want 9", len(lines))
	}
	for i, one := range lines[:8] {
		skipped := 0
		if i+1 >= step {
			skipped = 1
		}
		if !strings.HasSuffix(one, fmt.Sprintf(`"skipped_steps": %d}`, skipped)) || strings.Contains(one, `"loss": "NaN", "grad_norm": "NaN"`) != (i+1 == step) {
			t.Errorf("step %d: %s", i+1, one)
		}
	}
	if strings.Contains(lines[8], "NaN") {
		t.Errorf("last line %s: the skipped step is in the mean loss", lines[8])
	}

	all, err := os.ReadFile(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	rows := slices.Collect(strings.Lines(string(all)))
	rows = slices.Delete(rows, 2*step-2, 2*step)
	without := elsewhere(t, o)
	without.Data = filepath.Join(t.TempDir(), "pairs.jsonl")
	without.SaveSteps = 7
	if err := os.WriteFile(without.Data, []byte(strings.Join(rows, "")), 0o666); err != nil {
		t.Fatal(err)
	}
	clean := mustRun(t, without)
	sameFiles(t, r.dir, clean.dir, ConfigFile, MetricsFile, ".dpotrain.lock")
	sameFile(t, filepath.Join(r.dir, "checkpoint-8", "dpotrain", "optimizer.safetensors"), filepath.Join(clean.dir, "checkpoint-7", "dpotrain", "optimizer.safetensors"))
}

// TestNonfiniteResume: a run that is stopped around a skipped step goes on to the same bits.
func TestNonfiniteResume(t *testing.T) {
	o, line := poisoned(t)
	o.OnNonfinite, o.NumTrainEpochs, o.Rows.Shuffle, o.SaveSteps = "skip", 2, true, 16
	whole := mustRun(t, o)
	if got := strings.Count(whole.stderr, fmt.Sprintf(":%d: the loss", line)); got != 2 {
		t.Fatalf("%d steps were skipped, want one in each of two epochs:\n%s", got, whole.stderr)
	}
	for _, stop := range []int{3, 9} {
		o := elsewhere(t, o)
		mustStop(t, o, stop)
		o.ResumeFromCheckpoint = "latest"
		again := mustRun(t, o)
		a, err := os.ReadFile(filepath.Join(again.dir, MetricsFile))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(whole.dir, MetricsFile))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := lastCut(string(a)), lastCut(string(b)); got != want {
			t.Errorf("stopped after step %d: metrics\n%s\nwant\n%s", stop, got, want)
		}
		for _, file := range []string{"model.safetensors", "checkpoint-16/dpotrain/optimizer.safetensors"} {
			sameFile(t, filepath.Join(again.dir, filepath.FromSlash(file)), filepath.Join(whole.dir, filepath.FromSlash(file)))
		}
	}
}

// lastCut is metrics.jsonl without its last line, which has times in it.
func lastCut(text string) string {
	lines := slices.Collect(strings.Lines(text))
	return strings.Join(lines[:len(lines)-1], "")
}

// TestNonfiniteGradient: with a beta that no float32 holds every gradient is infinite, though the loss at the start is not.
func TestNonfiniteGradient(t *testing.T) {
	o := tiny(t)
	o.Data = head(t, o.Data, 8)
	o.LossSettings = loss.Settings{"beta": 1e300}
	o.NumTrainEpochs, o.Rows.Shuffle = 1, false
	want := o.Data + ":1: the gradient of this example is not finite"
	if _, err := tryRun(t, o, 0); err == nil || !strings.Contains(err.Error(), "step 1: "+want) {
		t.Errorf("error %v, want %q in it", err, want)
	}
	o.Overwrite, o.OnNonfinite = true, "skip"
	r := mustRun(t, o)
	for _, want := range []string{"step 1 skipped: " + want, "2 of 2 steps were skipped"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, r.stderr)
		}
	}
	before, after := weightsOf(t, o.Model), weightsOf(t, o.OutputDir)
	for name, v := range before {
		if !slices.Equal(v, after[name]) {
			t.Errorf("%s has changed", name)
		}
	}
}

// weightsOf are the weights of a model folder by name.
func weightsOf(t *testing.T, dir string) map[string][]float32 {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	weights := map[string][]float32{}
	for _, name := range f.Names() {
		x, _ := f.Tensor(name)
		weights[name] = make([]float32, x.Len())
		if err := x.Float32(weights[name]); err != nil {
			t.Fatal(err)
		}
	}
	return weights
}
