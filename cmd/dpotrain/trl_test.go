package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestTRLConfig trains with a config of TRL's, model and rows given by flags, and with the same settings in our own keys:
// the same model, bit for bit. The resolved config of the first is in our keys, and repeats it.
func TestTRLConfig(t *testing.T) {
	p := newPlace(t)
	theirs := p.write(t, "theirs.yaml", `
env: {CUDA_VISIBLE_DEVICES: 0}
model_name_or_path: Qwen/Qwen2-0.5B-Instruct
dataset_name: trl-lib/ultrafeedback_binarized
loss_type: [sigmoid]
beta: 0.2
bf16: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 2
num_processes: 2
num_train_epochs: 1
learning_rate: 1.0e-3
lr_scheduler_type: cosine_with_min_lr
lr_scheduler_kwargs: {min_lr_rate: 0.1}
optim: adamw_torch_fused
data_seed: 7
max_length: null
eval_strategy: epoch
save_strategy: "no"
save_total_limit: null
gradient_checkpointing: true
report_to: none
`)
	where := func(run string) []string {
		return []string{"--model", p.model, "--data", testfiles.Path(t, "pairs.jsonl"), "--eval-data", testfiles.Path(t, "pairs_eval.jsonl"),
			"--output-dir", filepath.Join(p.dir, run), "--ref-cache-dir", p.cache}
	}
	_, log := dpotrain(t, append([]string{"train", "--config", theirs}, where("theirs")...)...)
	contains(t, log, "theirs.yaml: without effect here: env, report_to, dataset_name\n",
		"theirs.yaml:10: num_processes: TRL runs 2 processes, each with its pairs; gradient_accumulation_steps is 2 x 2 here, so that a step has as many\n")
	dpotrain(t, append([]string{"train", "--beta=0.2", "--per-device-train-batch-size=8", "--num-train-epochs=1", "--learning-rate=1e-3", "--lr-scheduler-type=cosine_with_min_lr",
		"--min-lr-rate=0.1", "--seed=7", "--max-length=0", "--precision=auto", "--eval-strategy=epoch", "--save-strategy=no"}, where("ours")...)...)
	_, log = dpotrain(t, append([]string{"train", "--config", filepath.Join(p.dir, "theirs", "dpotrain.yaml")}, where("again")...)...)
	if strings.Contains(log, "without effect") || strings.Contains(log, "WRN") {
		t.Errorf("the resolved config has keys of TRL's:\n%s", log)
	}
	for _, other := range []string{"ours", "again"} {
		if read(t, p.dir, "theirs", "model.safetensors") != read(t, p.dir, other, "model.safetensors") {
			t.Errorf("%s: another model", other)
		}
		if a, b := metrics(t, filepath.Join(p.dir, "theirs")), metrics(t, filepath.Join(p.dir, other)); !slices.Equal(a, b) {
			t.Errorf("%s: metrics\n%q\nwant\n%q", other, b, a)
		}
	}

	// Without rows nothing is done, and the way to get them is shown.
	_, log = exits(t, exitUsage, "train", "--config", theirs, "--model", p.model, "--output-dir", filepath.Join(p.dir, "none"))
	contains(t, log, "theirs.yaml:4: dataset_name: rows are read from files here", "\n    from datasets import load_dataset\n    for split, file in ")
	if left, _ := filepath.Glob(filepath.Join(p.dir, "none*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}
