package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"dpotrain/internal/loss"
)

var update = flag.Bool("update", false, "write the tables of docs/coming-from-trl.md")

// trlKey is a line of testdata/trl-keys.tsv.
type trlKey struct {
	name, def, class string // def is JSON
	last             string // the last version that has it; empty: the newest
}

func trlKeys(t testing.TB) []trlKey {
	t.Helper()
	text, err := os.ReadFile("testdata/trl-keys.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var keys []trlKey
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' {
			continue
		}
		f := append(strings.Split(strings.TrimSuffix(line, "\n"), "\t"), "")
		if len(f) < 4 || !json.Valid([]byte(f[1])) {
			t.Fatalf("%q: want name, default as JSON, class, and perhaps the last version", line)
		}
		keys = append(keys, trlKey{f[0], f[1], f[2], f[3]})
	}
	return keys
}

// plainJSON is a default as plainText writes it.
func plainJSON(t testing.TB, def string) string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(def), &doc); err != nil {
		t.Fatal(err)
	}
	return plainText(doc.Content[0])
}

// TestTRLTable holds the table against TRL's keys and our own.
func TestTRLTable(t *testing.T) {
	keys := map[string]trlKey{}
	for _, k := range trlKeys(t) {
		keys[k.name] = k
		row := trlTable[k.name]
		if row == nil {
			t.Errorf("%s of %s has no row in trlRows", k.name, k.class)
			continue
		}
		if from := map[string]string{"": "", "transformers 5.0.0": fromTransformers5, "transformers 4.56.2": fromTransformers4}[k.last]; row.from != from {
			t.Errorf("%s: the row says it is of %q, the list that %q had it last", k.name, row.from, k.last)
		}
		if def := plainJSON(t, k.def); row.fate == refused && !slices.Contains(row.idle, def) {
			t.Errorf("%s: TRL's default %s is refused", k.name, def)
		}
	}
	if len(keys) < 190 {
		t.Errorf("%d keys; the list is cut short", len(keys))
	}
	if len(trlTable) != len(trlRows) {
		t.Errorf("%d rows and %d keys; a key has two rows", len(trlRows), len(trlTable))
	}
	for _, row := range trlRows {
		if _, ok := keys[row.key]; !ok && row.from == "" {
			t.Errorf("%s: no key of TRL's; say where it is from", row.key)
		}
		k, ours := find(Keys(), row.key)
		switch {
		case ours && k.Name == row.key && row.fate != same:
			t.Errorf(`%s is a key of ours now: make its row {key: %[1]q} in trlRows`, row.key)
		case row.fate == same && (!ours || k.Name != row.key):
			t.Errorf("%s: no key of ours", row.key)
		case ours && k.Alias == row.key && row.fate != translated, !ours && row.fate == translated && row.read == nil:
			t.Errorf("%s: an alias, and only an alias, is translated without a function", row.key)
		}
		if row.fate != same && row.text == "" || row.fate != refused && row.idle != nil || row.fate != same && (row.means != nil || row.near != nil) || row.fate == refused && row.read != nil {
			t.Errorf("%+v: does not go together", row)
		}
	}
}

// TestTRLDefaults: a key that we share with TRL has TRL's default, or is among those that are said to differ.
func TestTRLDefaults(t *testing.T) {
	ours := input{}.mustLoad(t).Options
	differ := map[string]bool{}
	for _, key := range trlKeys(t) {
		row := trlTable[key.name]
		k, ok := find(Keys(), key.name)
		if !ok || row.foreign() {
			continue
		}
		def := plainJSON(t, key.def)
		if text, ok := row.means[def]; ok {
			def = text
		}
		if def == "null" || def == "" { // as if not given
			if key.name == "eval_steps" {
				differ[key.name] = ours.EvalSteps != ours.LoggingSteps // TRL's when evaluating by steps
			}
			continue
		}
		got, want := k.in(Values(ours)), def
		if v, err := k.parse(def); err == nil {
			want = fmt.Sprint(v)
		}
		if k.uses != nil || k.structured() {
			continue // the losses' own, below; a list that is empty
		}
		if v, err := k.parse(got); err != nil || fmt.Sprint(v) != want {
			differ[key.name] = true
		}
	}
	if want := map[string]bool{"eval_strategy": true, "eval_steps": true, "gradient_checkpointing": true}; !maps.Equal(differ, want) {
		t.Errorf("defaults that are not TRL's: %v, want %v; take TRL's, or add a row to trlDiffers and say it here", differ, want)
	}
	for _, name := range trlLosses {
		if info, ok := loss.Describe(name); ok {
			r := input{file: "loss_type: " + name}.mustLoad(t)
			notes := strings.Join(r.Notes, "\n")
			if beta, used := r.Options.LossSettings["beta"]; used && beta != 0.1 != strings.Contains(notes, "beta is the loss's own by default (TRL: 0.1 for every loss)") {
				t.Errorf("loss %s: the default of beta is %v, TRL's 0.1; notes %q", info.Name, beta, notes)
			}
		}
	}
}

// TestTRLAllDefaults reads a file with every key of TRL's at its default: it is the same run as one that says nothing,
// without a warning, but for what TRL evaluates.
func TestTRLAllDefaults(t *testing.T) {
	var b strings.Builder
	for _, k := range trlKeys(t) {
		fmt.Fprintf(&b, "%s: %s\n", k.name, k.def)
	}
	r := input{file: b.String()}.mustLoad(t)
	if len(r.Warnings) > 0 {
		t.Errorf("warnings %q", r.Warnings)
	}
	want := input{}.mustLoad(t).Options
	want.EvalStrategy, want.GradientCheckpointing = "no", true
	if !reflect.DeepEqual(r.Options, want) {
		t.Errorf("TRL's defaults are\n%+v\nours\n%+v", r.Options, want)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "c.yaml: without effect here: accelerator_config, ") && !strings.Contains(r.Notes[0], "report_to") {
		t.Errorf("notes %q, want one", r.Notes)
	}
}

// said are lines without the folder in front of c.yaml.
func said(list []string) string {
	return strings.Join(lines(errors.New(strings.Join(list, "\n"))), "\n")
}

// TestTRLValues gives a line or two of a file that is meant for TRL, and data.
func TestTRLValues(t *testing.T) {
	for _, c := range []struct {
		file    string
		set     map[string]string // our keys that it sets, and to what
		problem string            // behind c.yaml:N:, if it is one
		warning string
		note    string
	}{
		// The same, with values of TRL's that we write otherwise.
		{file: "max_length: null", set: map[string]string{"max_length": "0"}},
		{file: "save_total_limit: null", set: map[string]string{"save_total_limit": "0"}},
		{file: "max_grad_norm: null", set: map[string]string{"max_grad_norm": "0"}},
		{file: "eval_steps: null", set: map[string]string{"eval_steps": "0"}},
		{file: "resume_from_checkpoint: true", set: map[string]string{"resume_from_checkpoint": "latest"}},
		{file: "resume_from_checkpoint: false", set: map[string]string{"resume_from_checkpoint": `""`}},
		{file: "resume_from_checkpoint: a/b", set: map[string]string{"resume_from_checkpoint": "a/b"}},
		{file: "save_strategy: best\neval_strategy: epoch\neval_data: e\nmetric_for_best_model: eval_rewards/accuracies\ngreater_is_better: true\nload_best_model_at_end: true",
			set: map[string]string{"save_strategy": "best", "metric_for_best_model": "eval_rewards/accuracies", "greater_is_better": "true", "load_best_model_at_end": "true"}},
		{file: "save_strategy: bets", problem: "save_strategy: bets; want steps, epoch, best or no (did you mean best?)"},

		// Losses.
		{file: "loss_type: ipo", set: map[string]string{"loss": "ipo"}},
		{file: "loss_type: [sigmoid]\nbeta: 0.2", set: map[string]string{"loss": "dpo", "beta": "0.2"}},
		{file: "loss_type: [sigmoid, hinge]", set: map[string]string{"loss": "[{name: dpo, weight: 1, beta: 0.1}, {name: hinge, weight: 1, beta: 0.1}]"}},
		{file: "loss_type: [sigmoid, sft]\nloss_weights: [0.8, 1.0]", set: map[string]string{"loss": "[{name: dpo, weight: 0.8, beta: 0.1}, {name: sft, weight: 1}]"}, note: "loss sft is the mean over completions (TRL: "},
		{file: "loss_weights: [0.8, 1.0]\nloss_type: [sigmoid, hinge]\nbeta: 0.2", set: map[string]string{"loss": "[{name: dpo, weight: 0.8, beta: 0.2}, {name: hinge, weight: 1, beta: 0.2}]"}},
		{file: "loss: [sigmoid, hinge]\nloss_weights: [2, 1]", set: map[string]string{"loss": "[{name: dpo, weight: 2, beta: 0.1}, {name: hinge, weight: 1, beta: 0.1}]"}},
		{file: "loss_type: [sigmoid, bco_pair, sft]\nloss_weights: [0.8, 0.2, 1.0]", problem: `loss_type: "bco_pair": since TRL 0.29 this is BCO without the shift`},
		{file: "loss_type: [sigmoid, robust]", note: "label_smoothing of loss robust is 0.1 (TRL: 0.0, which is sigmoid)"},
		{file: "loss_type: [sigmoid, nca_pair]\nloss_weights: null", note: "beta is the loss's own by default (TRL: 0.1 for every loss)"},
		{file: "loss_type: [sigmoid, nca_pair]\nbeta: 0.1"},
		{file: "loss_type: [sigmoid, {name: nca_pair, beta: 0.1}]"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: [0.8, 0.2, 1.0]", problem: "loss_weights: 3 weights for 2 losses; want one for each"},
		{file: "loss_type: sigmoid\nloss_weights: [0.8, 0.2]", problem: "loss_weights: 2 weights for 1 loss; want one for each"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: 1", problem: "loss_weights: 1 weight for 2 losses; want one for each"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: [1, 0]", problem: "loss_weights: weight 0 of hinge is out of range; want a finite number > 0"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: [1, a]", problem: "loss_weights: a; want a number"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: [1, null]", problem: "loss_weights: no value; want a number"},
		{file: "loss_type: [sigmoid, hinge]\nloss_weights: {a: 1}", problem: "loss_weights: a map; want a number"},
		{file: "loss: [{name: dpo, weight: 1}, hinge]\nloss_weights: [1, 1]", problem: "loss_weights: the losses have weights of their own; leave one out"},
		{file: "loss: dpo=1,hinge=2\nloss_weights: [1, 1]", problem: "loss_weights: the losses have weights of their own; leave one out"},
		{file: "loss_type: exo_pair\nlabel_smoothing: 1e-3", set: map[string]string{"loss": "exo_pair", "label_smoothing": "0.001"}},
		{file: "loss_type: exo_pair\nlabel_smoothing: 0.0", problem: "label_smoothing: 0 is out of range; want > 0 and < 0.5"},
		{file: "loss_type: nca_pair", set: map[string]string{"loss": "nca_pair", "beta": "0.01"}, note: "beta is the loss's own by default (TRL: 0.1 for every loss)"},
		{file: "loss_type: nca_pair\nbeta: 0.1", set: map[string]string{"loss": "nca_pair", "beta": "0.1"}},
		{file: "loss_type: discopop\ndiscopop_tau: 0.1", set: map[string]string{"loss": "discopop", "discopop_tau": "0.1"}},
		{file: "loss_type: sigmoid\ndiscopop_tau: 0.05"},
		{file: "loss_type: sigmoid\ndiscopop_tau: 0.1", problem: "discopop_tau: loss dpo does not use it; leave it out"},
		{file: "loss_type: sigmoid\nrpo_alpha: null"},
		{file: "loss_type: sigmoid\nrpo_alpha: 1.0", problem: "rpo_alpha: loss dpo does not use it; use loss rpo, or leave it out"},
		{file: "loss_type: bco_pair", problem: `loss_type: "bco_pair": since TRL 0.29 this is BCO without the shift of its rewards, which is weaker; give bco, which has the shift`},
		{file: "loss_type: aot_pair", problem: `loss_type: "aot_pair": up to TRL 0.27 this was the loss for completions that are not paired`},
		{file: "loss: ipo\nloss_type: sigmoid", problem: "loss_type: the same setting as loss, which is given too; leave one out"},
		{file: "loss_type: sigmoid\nloss: ipo", problem: "loss: the same setting as loss_type, which is given too; leave one out"},
		{file: "loss_type: sigmoid\nloss_type: ipo", problem: "loss_type: given twice; leave one out"},
		{file: "loss_type: null", problem: "loss_type: no value; want text, or drop the line for the default, dpo"},
		{file: "loss_weights: [1.0]"},
		{file: "loss_weights: [0.5]", problem: "loss_weights: given without loss_type; give the losses there, one for each weight"},
		{file: "loss_type: sigmoid\nloss_weights: [0.5]", set: map[string]string{"loss": "[{name: dpo, weight: 0.5, beta: 0.1}]"}},
		{file: "label_smoothing: 0.0\nloss_type: [sigmoid]"},
		{file: "label_smoothing: 0.1", problem: "label_smoothing: loss dpo does not use it; use loss cdpo"},
		{file: "loss_type: sigmoid_norm", set: map[string]string{"loss": "dpo_norm"}, note: "beta is the loss's own by default (TRL: 0.1 for every loss)"},
		{file: "loss_type: sigmoid_norm\nbeta: 0.1", set: map[string]string{"loss": "dpo_norm"}},
		{file: "loss_type: robust", set: map[string]string{"loss": "robust"}, note: "label_smoothing of loss robust is 0.1 (TRL: 0.0, which is sigmoid)"},
		{file: "loss_type: robust\nlabel_smoothing: 0.2", set: map[string]string{"loss": "robust", "label_smoothing": "0.2"}},
		{file: "loss_type: simpo\ncpo_alpha: 0.0\nbeta: 2.5", set: map[string]string{"loss": "simpo", "beta": "2.5"}},
		{file: "loss_type: simpo\nbeta: 2.5", set: map[string]string{"loss": "simpo", "beta": "2.5"}, note: "loss simpo is without supervised fine-tuning (TRL: "},
		{file: "loss_type: simpo\ncpo_alpha: 1.0", problem: "cpo_alpha: loss simpo does not use it; leave it out"},
		{file: "loss_type: simpo\nsimpo_gamma: 0.5", problem: "simpo_gamma: here it is a ratio to beta: give simpo_gamma_beta_ratio"},
		{file: "loss_type: alphapo\nalpha: 0.25", problem: "alpha: in TRL it shapes the reward of every loss, here that of loss alphapo alone: give alphapo_alpha"},
		{file: "loss: cpo\ncpo_alpha: 0.5\nalpha: 0.0", set: map[string]string{"loss": "cpo", "cpo_alpha": "0.5"}},
		{file: "loss_type: sigmoid\ncpo_alpha: 1.0", problem: "cpo_alpha: loss dpo does not use it; use loss cpo"},
		{file: "use_weighting: true", set: map[string]string{"wpo": "true"}, note: "wpo is with weights of at most 1 (TRL: use_weighting, with any weight)"},
		{file: "use_weighting: false"},
		{file: "use_weighting: null"},
		{file: "use_weighting: true\nwpo: true", problem: "wpo: the same setting as use_weighting, which is given too; leave one out"},
		{file: "loss_type: aot\nuse_weighting: true", problem: "use_weighting: loss aot couples the pairs of a step, and weights are of each by itself; leave it out"},
		{file: "ld_alpha: null"},
		{file: "ld_alpha: 1.0", set: map[string]string{"ld_alpha": "1"}},
		{file: "ld_alpha: 0.5\nbf16: false", set: map[string]string{"ld_alpha": "0.5"}},
		{file: "loss_type: ipo\nld_alpha: 0.5", problem: "ld_alpha: loss ipo is of means per token, and this is of sums; use loss ipo_sum, or leave it out"},
		{file: "f_divergence_type: reverse_kl\nf_alpha_divergence_coef: 0.5", note: "c.yaml: without effect here: f_alpha_divergence_coef"},
		{file: "f_divergence_type: js_divergence", problem: "f_divergence_type: the divergence is reverse_kl"},
		{file: "disable_dropout: false", problem: "disable_dropout: dropout is off here, in training too"},
		{file: "loss_type: sft", set: map[string]string{"loss": "sft"}, note: "loss sft is the mean over completions (TRL: "},

		// Precision.
		{file: "bf16: true", set: map[string]string{"precision": "auto"}},
		{file: "fp16: yes", warning: "c.yaml:1: fp16: computed in fp32 here; results are more exact, not less"},
		{file: `bf16: "True"`, set: map[string]string{"precision": "auto"}},
		{file: "bf16: true\ndtype: bfloat16\nmodel_init_kwargs: {dtype: torch.float16, attn_implementation: x}",
			set: map[string]string{"precision": "auto"}, note: "without effect here: model_init_kwargs.attn_implementation"},
		{file: "precision: fp32\nbf16: true"},
		{file: "bf16: true\nprecision: fp32"},
		{file: "bf16: false\nfp16: null"},
		{file: "dtype: auto\ntorch_dtype: float32", note: "c.yaml: differs from TRL: precision is fp32 (TRL: bf16 unless fp16 is given)"},
		{file: "bf16: maybe", problem: "bf16: maybe; want true or false"},
		{file: "bf16: [true]", problem: "bf16: [true]; want true or false"},
		{file: "dtype: int8", problem: "dtype: int8; want auto, bfloat16, float16 or float32"},
		{file: "mixed_precision: 'no'"},
		{file: "model_init_kwargs: '{\"torch_dtype\": \"bfloat16\"}'", set: map[string]string{"precision": "auto"}},
		{file: "dtype: float16\nfp16: true", warning: "c.yaml:1: dtype (and fp16): computed in fp32 here"},
		{file: "model_init_kwargs: {quantization_config: {bits: 4}}", problem: "model_init_kwargs: quantization_config: a model has no such setting here; drop it"},
		{file: "model_init_kwargs: bfloat16", problem: "model_init_kwargs: bfloat16; want a map of names to values"},

		// Schedule and optimizer.
		{file: "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 0.1, num_cycles: 0.5}", set: map[string]string{"min_lr_rate": "0.1"}},
		{file: "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: '{\"min_lr\": 1e-7}'", set: map[string]string{"min_lr": "1e-07"}},
		{file: "lr_scheduler_type: inverse_sqrt\nlr_scheduler_kwargs: {timescale: 50}", set: map[string]string{"timescale": "50"}},
		{file: "lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr: 0}\nmin_lr: 0", problem: "min_lr: the same setting as lr_scheduler_kwargs.min_lr, which is given too"},
		{file: "lr_scheduler_kwargs: {power: 2}", problem: "lr_scheduler_kwargs: power: no schedule has such a setting here"},
		{file: "lr_scheduler_kwargs: {min_lr: [1]}", problem: "lr_scheduler_kwargs: min_lr: "},
		{file: "lr_scheduler_kwargs: {}"},
		{file: "lr_scheduler_type: polynomial", problem: "lr_scheduler_type: polynomial; want linear, "},
		{file: "optim: adamw_torch_fused", set: map[string]string{"optim": "adamw"}},
		{file: "optim: adamw_hf", set: map[string]string{"optim": "adamw"}},
		{file: "optim: adamw_bf16", set: map[string]string{"optim": "adamw_bf16"}},
		{file: "optim: adamw_bnb_8bit", set: map[string]string{"optim": "adamw_bf16"}, warning: "c.yaml:1: optim: adamw_bnb_8bit is adamw_bf16 here: moments of 8 bits are not here"},
		{file: "optim: adafactor", problem: "optim: adafactor; want adamw or adamw_bf16"},
		{file: "gradient_checkpointing: true", set: map[string]string{"gradient_checkpointing": "true"}},
		{file: "report_to: none\ngradient_checkpointing_kwargs: {use_reentrant: false}", set: map[string]string{"gradient_checkpointing": "false"}, note: "without effect here: report_to, gradient_checkpointing_kwargs"},
		{file: "optim_args: betas=0.9", problem: "optim_args: AdamW has adam_beta1"},
		{file: "neftune_noise_alpha: 5", problem: "neftune_noise_alpha: no noise"},

		// Order of the data.
		{file: "data_seed: 7", set: map[string]string{"seed": "7"}},
		{file: "seed: 3\ndata_seed: 7", set: map[string]string{"seed": "7"}, warning: "c.yaml:2: data_seed: takes the place of seed 3"},
		{file: "data_seed: 7\nseed: 7", set: map[string]string{"seed": "7"}},
		{file: "data_seed: null\nseed: 3", set: map[string]string{"seed": "3"}},
		{file: "data_seed: x", problem: "data_seed: x; want a whole number"},
		{file: "train_sampling_strategy: sequential", set: map[string]string{"shuffle": "false"}},
		{file: "train_sampling_strategy: random"},
		{file: "group_by_length: true", warning: "c.yaml:1: group_by_length: pairs come in random order here"},
		{file: "dataloader_drop_last: true", warning: "c.yaml:1: dataloader_drop_last: the pairs left over", note: "without effect here: dataloader_drop_last"},
		{file: "dataloader_num_workers: 4\nreport_to: [wandb, tensorboard]\nhub_token: hf_secret", note: "c.yaml: without effect here: dataloader_num_workers, report_to, hub_token"},

		// Evaluation and checkpoints.
		{file: "eval_strategy: epoch", set: map[string]string{"eval_strategy": "epoch"}, warning: "c.yaml:1: eval_strategy: not used, because there is no eval_data"},
		{file: "eval_strategy: steps\nlogging_dir: x", warning: "c.yaml:1: eval_strategy: not used, because there is no eval_data", note: "without effect here: logging_dir"},
		{file: "evaluation_strategy: steps\neval_data: e", set: map[string]string{"eval_strategy": "steps", "eval_steps": "10"}},
		{file: "evaluation_strategy: steps\neval_strategy: steps", problem: "eval_strategy: the same setting as evaluation_strategy, which is given too"},
		{file: "evaluation_strategy: 'no'", set: map[string]string{"eval_strategy": "no"}},
		{file: "report_to: none\neval_data: e", note: "eval_strategy is steps, with one evaluation at the end (TRL: no)"},
		{file: "eval_delay: 0"},
		{file: "eval_delay: 100", problem: "eval_delay: every evaluation is made"},
		{file: "overwrite_output_dir: true", set: map[string]string{"overwrite": "true"}},

		// Several processes, the Hub, LoRA.
		{file: "num_processes: 4\ngradient_accumulation_steps: 2", set: map[string]string{"gradient_accumulation_steps": "8"}, warning: "c.yaml:1: num_processes: TRL runs 4 processes, each with its pairs; gradient_accumulation_steps is 4 x 2 here"},
		{file: "num_processes: 1"},
		{file: "num_processes: 0", problem: "num_processes: 0; want a number of processes"},
		{file: "num_processes: 99999999999", problem: "num_processes: 99999999999; want a number of processes"},
		{file: "accelerate_config: single_gpu"},
		{file: "accelerate_config: zero2", problem: "accelerate_config: there is one process; drop the line, and put num_processes: N in its place"},
		{file: "deepspeed: null\nfsdp: ''"},
		{file: "deepspeed: ds.json", problem: "deepspeed: there is one process"},
		{file: "fsdp: full_shard", problem: "fsdp: there is one process"},
		{file: "push_to_hub: false"},
		{file: "push_to_hub: no"},
		{file: "push_to_hub: true", problem: "push_to_hub: nothing is uploaded; drop the line, and when the run is done: hf upload NAME OUTPUT_DIR"},
		{file: "use_peft: true", problem: "use_peft: LoRA is not here yet"},
		{file: "use_peft: false\nlora_target_modules: [q_proj, v_proj]", note: "without effect here: lora_target_modules"},
		{file: "max_prompt_length: 512", problem: "max_prompt_length: TRL 1 has dropped it too"},

		{file: "report_too: none", problem: "report_too: unknown key (did you mean report_to?)"},
		{file: "Report_To: none", problem: "Report_To: unknown key (did you mean report_to?)"},
		{file: "report_to: none\nreport_to: none", problem: "report_to: given twice; leave one out"},
		{file: "report_to: &a none\nrun_name: *a", note: "without effect here: report_to, run_name"},
		{file: "use_peft: &a true\npush_to_hub: *a", problem: "use_peft: "},
	} {
		in := input{file: c.file + "\n", flags: []string{"--data=d"}}
		r, err := in.load(t)
		if c.problem != "" {
			if got := lines(err); len(got) == 0 || !strings.Contains(got[0], ": "+c.problem) {
				t.Errorf("%q: error %q, want %q", c.file, got, c.problem)
			} else if len(got) > 1 && !strings.Contains(c.file, "&a") {
				t.Errorf("%q: more than one error: %q", c.file, got)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		for name, want := range c.set {
			k, _ := find(Keys(), name)
			if got := k.in(Values(r.Options)); got != want {
				t.Errorf("%q: %s is %s, want %s", c.file, name, got, want)
			}
		}
		if got := said(r.Warnings); !strings.Contains(got, c.warning) || c.warning == "" && got != "" {
			t.Errorf("%q: warnings %q, want %q", c.file, got, c.warning)
		}
		if got := said(r.Notes); !strings.Contains(got, c.note) || c.note == "" && strings.Contains(got, "without effect") {
			t.Errorf("%q: notes %q, want %q", c.file, got, c.note)
		}
		if strings.Contains(said(append(r.Warnings, r.Notes...))+string(Marshal(r.Options)), "hf_secret") {
			t.Errorf("%q: a token is shown", c.file)
		}
		roundTrip(t, r.Options) // a run is repeated from our keys alone
	}
}

// TestTRLShapes: a key without effect takes any value, one that is refused its idle ones only, and every error names the
// place. Nothing panics.
func TestTRLShapes(t *testing.T) {
	load := func(file string) map[string]string { // the first problem of every line
		_, err := input{file: file, flags: []string{"--data=d"}}.load(t)
		problems, _ := errors.AsType[Errors](err)
		if err != nil && problems == nil {
			t.Fatal(err)
		}
		list := map[string]string{}
		for _, p := range problems {
			key, _, _ := strings.Cut(regexp.MustCompile(`^.*c\.yaml:\d+: `).ReplaceAllString(p.Place, ""), ":")
			if list[key] == "" {
				list[key] = p.Text
			}
		}
		return list
	}
	for _, value := range []string{"7", "x", "true", "null", "[a, 1]", "[[a]]", "{a: {b: [c]}}", "{}", "[]", "'{\"a\": 1}'", "'{'", "!!binary aa", "&x [*x]"} {
		var all strings.Builder
		for i, row := range trlRows {
			if row.fate == translated {
				for key, text := range load(row.key + ": " + value) {
					if key != row.key && !slices.Contains([]string{"lr_scheduler_type"}, key) {
						t.Errorf("%s: %s: error at %s: %s", row.key, value, key, text)
					}
				}
			} else if row.fate != same {
				fmt.Fprintf(&all, "%s: %s\n", row.key, strings.ReplaceAll(value, "x [*x", fmt.Sprintf("x%d [*x%[1]d", i)))
			}
		}
		problems := load(all.String())
		for _, row := range trlRows {
			switch text, bad := problems[row.key]; {
			case row.fate == unused && row.read == nil && bad:
				t.Errorf("%s: %s: %s", row.key, value, text)
			case row.fate == refused && (text != row.text) == !slices.Contains(row.idle, value):
				t.Errorf("%s: %s: error %q, want %q but for %q", row.key, value, text, row.text, row.idle)
			}
		}
	}
	for i := range 5 {
		var idle strings.Builder
		for _, row := range trlRows {
			if i < len(row.idle) {
				fmt.Fprintf(&idle, "%s: %s\n", row.key, cmp.Or(row.idle[i], "''"))
			}
		}
		if problems := load("beta: 0.1\n" + idle.String()); len(problems) > 0 {
			t.Errorf("%s%q", idle.String(), problems)
		}
	}
}

// TestTRLOtherLayers: what a flag or a variable says goes above what follows from TRL's keys, and both know our names only.
func TestTRLOtherLayers(t *testing.T) {
	in := input{file: "bf16: true\nnum_processes: 4\nloss_type: ipo\neval_strategy: epoch\n",
		environ: []string{"DPOTRAIN_DATA=d", "DPOTRAIN_BF16=1"}, flags: []string{"--precision=fp32", "--gradient-accumulation-steps=2", "--loss=dpo", "--eval-data=e"}}
	r := in.mustLoad(t)
	if o := r.Options; o.GradientAccumulationSteps != 2 || o.Loss != "dpo" || o.Data != "d" {
		t.Errorf("%+v: the file wins over flags", o)
	}
	if got, want := said(r.Warnings), "DPOTRAIN_BF16: no such setting; TRL's keys are for config files, variables have the names of dpotrain's own"; got != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

// TestTRLHalf: a wish for bf16 becomes precision: auto, unless the file says the precision.
func TestTRLHalf(t *testing.T) {
	for file, want := range map[string]string{
		"bf16: true":      "auto",
		"fp16: true":      "fp32",
		"dtype: bfloat16": "auto",
		"dtype: float16":  "fp32",
		"model_init_kwargs: {torch_dtype: torch.bfloat16}": "auto",
		"bf16: true\nprecision: fp32":                      "fp32",
		"precision: fp32\nmixed_precision: bf16":           "fp32",
		"bf16: false":                                      "fp32",
	} {
		l := newLoader(Keys())
		l.readFile(write(t, file))
		if g, _, _ := l.top("precision", Flag); g.value != want || len(l.problems) > 0 {
			t.Errorf("%s: precision %v, problems %v; want %s", file, g.value, l.problems, want)
		}
	}
}

// TestTRLFixtures reads what TRL's documents show, with data from flags and without.
func TestTRLFixtures(t *testing.T) {
	const needsData = "rows are read from files here, given as data and eval_data: parquet files of the data set as they are, or what two lines of Python write:"
	want := map[string]struct {
		set      map[string]string
		problems []string // whatever is given besides
		without  []string // and without data
		warnings []string
		unused   string
	}{
		"cli.yaml": {set: map[string]string{"model": "Qwen/Qwen2.5-0.5B", "num_train_epochs": "3", "per_device_train_batch_size": "8"},
			without: []string{"cli.yaml:3: dataset_name: " + needsData, "    from datasets import load_dataset",
				`    for split, file in [("train", "train.jsonl")]: load_dataset("anthropic/hh-rlhf", split=split).to_json(file)`},
			unused: "dataset_name"},
		"cli-processes.yaml": {set: map[string]string{"gradient_accumulation_steps": "4"}, without: []string{"cli-processes.yaml:3: dataset_name: " + needsData, "", ""},
			warnings: []string{"cli-processes.yaml:4: num_processes: TRL runs 4 processes"}, unused: "dataset_name"},
		"cli-accelerate.yaml": {problems: []string{"cli-accelerate.yaml:4: accelerate_config: there is one process; drop the line, and put num_processes: N in its place"},
			without: []string{"cli-accelerate.yaml:3: dataset_name: " + needsData, "", ""}},
		"cli-mixture.yaml": {set: map[string]string{"model": "Qwen/Qwen2.5-0.5B"}}, // that its data sets are on the Hub is found when they are read
		"example_config.yaml": {set: map[string]string{"model": "Qwen/Qwen2.5-0.5B", "learning_rate": "0.0001", "lr_scheduler_type": "cosine"},
			without: []string{"example_config.yaml:7: dataset_name: " + needsData, "", ""}, unused: "env, report_to, dataset_name"},
		"dpo-full.yaml": {set: map[string]string{"learning_rate": "5e-07", "max_steps": "1000", "gradient_accumulation_steps": "8", "eval_steps": "50", "output_dir": "Qwen2-0.5B-DPO"},
			without: []string{"dpo-full.yaml:2: dataset_name: " + needsData, "",
				`    for split, file in [("train", "train.jsonl"), ("test", "test.jsonl")]: load_dataset("trl-lib/ultrafeedback_binarized", split=split).to_json(file)`},
			unused: "remove_unused_columns, dataset_name"},
		"dpo-lora.yaml":     {problems: []string{"dpo-lora.yaml:13: use_peft: LoRA is not here yet; drop the line to train all weights"}, without: []string{"dpo-lora.yaml:2: dataset_name: " + needsData, "", ""}},
		"dpo-vlm.yaml":      {problems: []string{"dpo-vlm.yaml:11: use_peft: LoRA is not here yet"}, without: []string{"dpo-vlm.yaml:2: dataset_name: " + needsData, "", ""}},
		"paper-dpo.yaml":    {set: map[string]string{"loss": "dpo", "per_device_train_batch_size": "64", "learning_rate": "1e-06", "beta": "0.1"}},
		"paper-slic.yaml":   {set: map[string]string{"loss": "hinge", "per_device_train_batch_size": "512", "learning_rate": "0.0001", "beta": "0.1"}},
		"paper-tr-dpo.yaml": {set: map[string]string{"reference_update_steps": "512", "reference_mixup": "0.6", "beta": "0.05", "max_grad_norm": "2"}},
		"paper-mpo.yaml":    {problems: []string{`paper-mpo.yaml:2: loss_type: "bco_pair": since TRL 0.29 this is BCO without the shift`}},
		"paper-robust.yaml": {set: map[string]string{"loss": "robust", "label_smoothing": "0.1", "max_length": "512", "per_device_train_batch_size": "16", "learning_rate": "0.001", "beta": "0.1"}},
		"guide.yaml":        {set: map[string]string{"max_length": "0", "eval_steps": "100", "gradient_accumulation_steps": "8"}, unused: "use_liger_kernel, padding_free"},
		"handbook.yaml": {problems: []string{"handbook.yaml:25: max_prompt_length: TRL 1 has dropped it too; max_length bounds prompt and completion together; drop the line"},
			without: []string{"handbook.yaml:4: dataset_mixer: " + needsData, "",
				`    concatenate_datasets([load_dataset("HuggingFaceH4/ultrafeedback_binarized", split="train")]).to_json("train.jsonl")`}},
	}
	files, err := filepath.Glob("testdata/trl/*.yaml")
	if err != nil || len(files) != len(want) {
		t.Errorf("%d files (%v), want %d", len(files), err, len(want))
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			c, ok := want[name]
			if !ok {
				t.Fatal("nothing is said of it here")
			}
			check := func(what string, err error, want []string) {
				var got []string
				if err != nil {
					got = strings.Split(err.Error(), "\n")
				}
				if len(got) != len(want) {
					t.Errorf("%s: %q, want %q", what, got, want)
					return
				}
				for i := range got {
					if !strings.HasPrefix(strings.TrimPrefix(got[i], "testdata/trl/"), want[i]) {
						t.Errorf("%s: %q, want %q", what, got[i], want[i])
					}
				}
			}
			_, err := Load(LoadOptions{File: path})
			check("without data", err, append(slices.Clone(c.problems), c.without...))
			flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
			AddFlags(flags)
			if err := flags.Parse([]string{"--data=train.jsonl", "--eval-data=test.jsonl"}); err != nil {
				t.Fatal(err)
			}
			r, err := Load(LoadOptions{File: path, Flags: flags})
			check("with data", err, c.problems)
			if err != nil {
				return
			}
			for name, want := range c.set {
				k, _ := find(Keys(), name)
				if got := k.in(Values(r.Options)); got != want {
					t.Errorf("%s is %s, want %s", name, got, want)
				}
			}
			if len(r.Warnings) > 0 || len(c.warnings) > 0 {
				check("warnings", errors.New(strings.Join(r.Warnings, "\n")), c.warnings)
			}
			if notes := strings.Join(r.Notes, "\n"); !strings.Contains(notes+"\n", "without effect here: "+c.unused+"\n") == (c.unused != "") {
				t.Errorf("notes %q, want %q", notes, c.unused)
			}
			roundTrip(t, r.Options)
		})
	}
}

// TestTRLExport: the lines of Python for all ways to name rows. A name is quoted, so that no name is code.
func TestTRLExport(t *testing.T) {
	for file, want := range map[string]string{
		"dataset_name: a/b\ndataset_config: null":                                       `for split, file in [("train", "train.jsonl")]: load_dataset("a/b", split=split).to_json(file)`,
		"dataset_config: c\ndataset_name: a/b\ndataset_train_split: train[:5%]":         `for split, file in [("train[:5%]", "train.jsonl")]: load_dataset("a/b", "c", split=split).to_json(file)`,
		"eval_strategy: epoch\ndataset_test_split: t\ndataset_name: a/b":                `for split, file in [("train", "train.jsonl"), ("t", "test.jsonl")]: load_dataset("a/b", split=split).to_json(file)`,
		"eval_strategy: 'no'\ndataset_name: a/b":                                        `for split, file in [("train", "train.jsonl")]: load_dataset("a/b", split=split).to_json(file)`,
		"dataset_name: 'x\") or f(\"'":                                                  `load_dataset("x\") or f(\"", split=split)`,
		"dataset_mixture: {datasets: [{id: a, config: c, split: s}, {id: b}], seed: 1}": `concatenate_datasets([load_dataset("a", "c", split="s"), load_dataset("b", split="train")]).to_json("train.jsonl")`,
		"dataset_mixer: {a/b: 1.0, c: 0.5}":                                             `concatenate_datasets([load_dataset("a/b", split="train"), load_dataset("c", split="train")]).to_json("train.jsonl")`,
	} {
		_, err := input{file: file}.load(t)
		if got := lines(err); len(got) != 3 || !strings.Contains(got[2], want) || !strings.HasPrefix(got[1], "    from datasets import ") {
			t.Errorf("%s: error %q, want %s", file, got, want)
		}
		if r, err := (input{file: file, flags: []string{"--data=d"}}).load(t); err != nil || !strings.Contains(said(r.Notes), "without effect here: ") {
			t.Errorf("%s: with data: %v", file, err)
		}
	}
	for _, none := range []string{"dataset_name: null", "datasets: []"} {
		if _, err := (input{file: none}).load(t); err != nil {
			t.Errorf("%s: %v", none, err)
		}
	}
}

const (
	doc      = "../../docs/coming-from-trl.md"
	docBegin = "<!-- From here to the next mark: go test ./internal/config -run TRLDoc -update -->\n"
	docEnd   = "<!-- Until here. -->\n"
)

// TestTRLDoc holds the tables of docs/coming-from-trl.md against this package.
func TestTRLDoc(t *testing.T) {
	text, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := bytes.Index(text, []byte(docBegin)), bytes.Index(text, []byte(docEnd))
	if begin < 0 || end < begin {
		t.Fatalf("%s: the marks around the tables are missing", doc)
	}
	begin += len(docBegin)
	want := docTables(t)
	if *update {
		if err := os.WriteFile(doc, slices.Concat(text[:begin], []byte(want), text[end:]), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text[begin:end]) != want {
		t.Errorf("%s: the tables are not what go test ./internal/config -run TRLDoc -update writes", doc)
	}
}

// docTables are a table of each fate, and one of what differs.
func docTables(t *testing.T) string {
	defaults := map[string]string{}
	for _, k := range trlKeys(t) {
		defaults[k.name] = "`" + k.def + "`"
	}
	var b strings.Builder
	for _, part := range []struct {
		fate  fate
		title string
		text  string
		last  string
	}{
		{same, "The same", "Keys of dpotrain's own, with TRL's name and meaning. `null` is taken where TRL takes it.", "remark"},
		{translated, "Translated", "", "becomes"},
		{refused, "Refused", "An error that says what to do instead. Values that ask for nothing are accepted without a word.", "what the error says"},
		{unused, "Without effect", "One line at the start names those that your file has.", "why"},
	} {
		fmt.Fprintf(&b, "### %s\n\n", part.title)
		if part.text != "" {
			fmt.Fprintf(&b, "%s\n\n", part.text)
		}
		accepted := ""
		if part.fate == refused {
			accepted = "accepted | "
		}
		fmt.Fprintf(&b, "| key | TRL's default | %s%s |\n|---|---|%s\n", accepted, part.last, strings.Repeat("---|", 1+len(accepted)/11))
		for _, row := range trlRows {
			if row.fate != part.fate {
				continue
			}
			def := defaults[row.key]
			if def == "" {
				def = "(" + row.from + ")"
			} else if row.from != "" {
				def += " (" + row.from + ")"
			}
			accepted := ""
			if part.fate == refused {
				var list []string
				for _, v := range row.idle {
					if v == "" {
						v = `""`
					}
					list = append(list, "`"+v+"`")
				}
				accepted = strings.Join(list, ", ") + " | "
			}
			text := row.text
			if row.means != nil {
				values := map[string][]string{}
				for _, v := range slices.Sorted(maps.Keys(row.means)) {
					values[row.means[v]] = append(values[row.means[v]], "`"+v+"`")
				}
				var list []string
				for _, to := range slices.Sorted(maps.Keys(values)) {
					theirs, is := strings.Join(values[to], ", "), " is "
					if len(values[to]) > 1 {
						is = " are "
					}
					if to == "" {
						list = append(list, theirs+is+"as if not given")
					} else {
						list = append(list, theirs+is+"`"+to+"`")
					}
				}
				text = strings.TrimPrefix(text+"; "+strings.Join(list, ", "), "; ")
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s%s |\n", row.key, def, accepted, text)
		}
		b.WriteString("\n")
	}
	b.WriteString("## What differs\n\n| | here | TRL | why |\n|---|---|---|---|\n")
	for _, d := range trlDiffers {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", d.what, d.ours, d.theirs, d.why)
	}
	b.WriteString("\n")
	return b.String()
}

// TestTRLSync: the reference is renewed as TRL renews it, by keys that do nothing without sync_ref_model.
func TestTRLSync(t *testing.T) {
	for _, c := range []struct {
		file, steps, mixup string // steps empty: never
		problem, note      string
	}{
		{file: "sync_ref_model: true", steps: "512", mixup: "0.6"},
		{file: "ref_model_sync_steps: 64\nsync_ref_model: true\nref_model_mixup_alpha: 1.0", steps: "64", mixup: "1"},
		{file: "sync_ref_model: false\nref_model_sync_steps: 64", mixup: "1", note: "without effect here: ref_model_sync_steps"},
		{file: "ref_model_mixup_alpha: 0.6\nref_model_sync_steps: 64", mixup: "1", note: "without effect here: ref_model_sync_steps, ref_model_mixup_alpha"},
		{file: "sync_ref_model: null", mixup: "1"},
		{file: "sync_ref_model: 7", problem: "c.yaml:1: sync_ref_model: 7; want true or false"},
		{file: "sync_ref_model: true\nref_model_sync_steps: 0", problem: "c.yaml:2: ref_model_sync_steps: 0 is out of range; want >= 1"},
		{file: "sync_ref_model: true\nref_model_mixup_alpha: 1.5", problem: "c.yaml:2: ref_model_mixup_alpha: 1.5 is out of range; want > 0 and <= 1"},
		{file: "sync_ref_model: true\nreference_update_steps: 5", problem: "c.yaml:1: sync_ref_model: the same setting as reference_update_steps, which is given too; leave one out"},
		{file: "sync_ref_model: true\nloss_type: simpo", problem: "c.yaml:1: sync_ref_model: loss simpo has no reference that could be renewed; leave it out, or take a loss with a reference"},
	} {
		r, err := input{file: c.file}.load(t)
		if c.problem != "" {
			if got := lines(err); len(got) != 1 || got[0] != c.problem {
				t.Errorf("%q: %q, want %q", c.file, got, c.problem)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		values := Values(r.Options)
		if values["reference_update_steps"] != c.steps || values["reference_mixup"] != c.mixup {
			t.Errorf("%q: renewed every %q steps, mixup %q; want %q, %q", c.file, values["reference_update_steps"], values["reference_mixup"], c.steps, c.mixup)
		}
		if got := strings.Join(r.Notes, "\n"); !strings.Contains(got, c.note) || c.note == "" && strings.Contains(got, "without effect") {
			t.Errorf("%q: notes %q, want %q", c.file, got, c.note)
		}
	}
}
