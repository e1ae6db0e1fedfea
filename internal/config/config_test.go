package config

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/train"
)

// input is what a test gives to Load.
type input struct {
	file    string // text; empty: no file
	environ []string
	flags   []string
}

func (in input) load(t testing.TB) (*Resolved, error) {
	t.Helper()
	o := LoadOptions{Environ: in.environ, Flags: pflag.NewFlagSet("test", pflag.ContinueOnError)}
	AddFlags(o.Flags)
	if err := o.Flags.Parse(in.flags); err != nil {
		t.Fatal(err)
	}
	if in.file != "" {
		o.File = write(t, in.file)
	}
	return Load(o)
}

func (in input) mustLoad(t testing.TB) *Resolved {
	t.Helper()
	r, err := in.load(t)
	if err != nil {
		t.Fatalf("%v\n%+v", err, in)
	}
	return r
}

func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines are those of an error, without the folder in front of c.yaml.
func lines(err error) []string {
	if err == nil {
		return nil
	}
	list := strings.Split(err.Error(), "\n")
	for i, l := range list {
		if at := strings.Index(l, "c.yaml"); at >= 0 {
			list[i] = l[at:]
		}
	}
	return list
}

func TestDefaults(t *testing.T) {
	r := input{}.mustLoad(t)
	want := train.Options{RefCacheDir: "ref_cache", TokenCacheDir: "token_cache", TokenCacheLimit: "20GB", MonitorReference: "auto", ReferenceMixup: 1, Loss: "dpo", LossSettings: loss.Settings{"beta": 0.1}, PerDeviceTrainBatchSize: 8, GradientAccumulationSteps: 1, MemoryLimit: "auto",
		LearningRate: 1e-6, LRSchedulerType: "linear", Optim: "adamw", AdamBeta1: 0.9, AdamBeta2: 0.999, AdamEpsilon: 1e-8, MaxGradNorm: 1,
		OnNonfinite: "stop", NumTrainEpochs: 3, MaxSteps: -1, LoggingSteps: 10, EvalStrategy: "steps", MaxNewTokens: 64, SaveStrategy: "steps", SaveSteps: 500, SaveDtype: "float32"}
	want.Rows.MaxLength, want.Rows.TruncationMode, want.Rows.OnBadRow, want.Rows.Shuffle, want.Rows.Seed = 1024, "keep_start", "error", true, 42
	want.Rows.RankedPairs = "best_worst"
	want.Compute.Precision, want.Compute.CPU = "fp32", "auto"
	if !reflect.DeepEqual(r.Options, want) {
		t.Errorf("defaults are\n%+v\nwant\n%+v", r.Options, want)
	}
	if len(r.Warnings) != 0 {
		t.Errorf("warnings of the defaults: %q", r.Warnings)
	}
}

// TestLayers gives one key in each set of the layers; the highest wins.
func TestLayers(t *testing.T) {
	for set := range 8 {
		in, want, origin := input{file: "model: m\n"}, 1e-6, Default
		if set&1 != 0 {
			in.file += "learning_rate: 1e-1\n"
			want, origin = 1e-1, File
		}
		if set&2 != 0 {
			in.environ = []string{"PATH=/bin", "DPOTRAIN_LEARNING_RATE=1e-2"}
			want, origin = 1e-2, Variable
		}
		if set&4 != 0 {
			in.flags = []string{"--learning-rate", "1e-3"}
			want, origin = 1e-3, Flag
		}
		r := in.mustLoad(t)
		if r.Options.LearningRate != want || r.Origin("learning_rate") != origin {
			t.Errorf("%+v: learning rate %v of layer %d, want %v of layer %d", in, r.Options.LearningRate, r.Origin("learning_rate"), want, origin)
		}
		if r.Options.Model != "m" || r.Origin("model") != File {
			t.Errorf("%+v: model %q of layer %d, want m of the file", in, r.Options.Model, r.Origin("model"))
		}
	}
}

// TestEveryKey gives every key in each of the three ways, under each of its names, a value that is not its default.
func TestEveryKey(t *testing.T) {
	for _, k := range Keys() {
		with := ""
		if k.uses != nil { // last, so that it is another loss than the default where there is one
			u := k.uses[len(k.uses)-1]
			with = "loss: " + u.Loss + "\n"
			if u.With.Key != "" {
				with += fmt.Sprintf("%s: %v\n", u.With.Key, u.With.Value)
			}
		}
		text := "x/y z"
		switch k.Kind {
		case reflect.Bool:
			text = "false"
		case reflect.Int:
			text = "7"
		case reflect.Float64:
			text = "0.25"
		}
		if _, param, ok := strings.Cut(k.limits, "oneof="); ok {
			text = slices.MaxFunc(strings.Fields(param), func(a, b string) int { // the last that is not the default
				return boolInt(a != k.Default) - boolInt(b != k.Default)
			})
		}
		if k.Size != "" {
			text = "3.5 GB"
		}
		if k.Map {
			text = `{"Name": [0.5, 7, "x", null], "b": {"c": true}}`
		}
		if k.Name == "metric_for_best_model" {
			text = "eval_loss"
		}
		if k.Name == "loss" {
			text = "ipo_sum"
		}
		var want any
		switch k.Name {
		case "columns":
			text, want = "{prompt: Q, chosen: A b}", map[string]string{"prompt": "Q", "chosen": "A b"}
		case "datasets":
			text, want = "[{path: x, split: test}]", []data.Source{{Path: "x", Split: "test"}}
		default:
			var err error
			if want, err = k.parse(text); err != nil {
				t.Fatal(err)
			}
		}
		names := []string{k.Name}
		if k.Alias != "" {
			names = append(names, k.Alias)
		}
		for _, name := range names {
			for layer, in := range map[Layer]input{
				File:     {file: name + ": " + text + "\n"},
				Variable: {environ: []string{variable(name) + "=" + text}},
				Flag:     {flags: []string{"--" + dashes(name) + "=" + text}},
			} {
				bare := input{file: with}
				in.file += with
				r, base := in.mustLoad(t), bare.mustLoad(t).Options
				v, ok := k.value(r.Options)
				if !ok || !reflect.DeepEqual(reflect.ValueOf(want).Convert(v.Type()).Interface(), v.Interface()) {
					t.Errorf("%+v: %s is %v, want %v", in, k.Name, v, want)
				}
				if r.Origin(k.Name) != layer {
					t.Errorf("%+v: layer %d", in, r.Origin(k.Name))
				}
				if k.uses != nil {
					if v, ok := base.LossSettings[k.Name]; ok {
						r.Options.LossSettings[k.Name] = v
					} else {
						delete(r.Options.LossSettings, k.Name)
					}
				} else {
					reflect.ValueOf(&r.Options).Elem().FieldByIndex(k.index).Set(reflect.ValueOf(base).FieldByIndex(k.index))
				}
				if !reflect.DeepEqual(r.Options, base) {
					t.Errorf("%+v: changed other keys too: %+v", in, r.Options)
				}
			}
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestKeys checks that the options' tags say what this package can read.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	r := newRanges()
	for _, k := range Keys() {
		for _, name := range []string{k.Name, k.Alias} {
			if name != "" && (seen[name] || name != strings.ToLower(name) || strings.ContainsAny(name, ".- ")) {
				t.Errorf("%q: want a key of its own, in lower case with underscores", name)
			}
			seen[name] = true
		}
		if k.Help == "" || strings.ContainsAny(k.Help, "\n`") {
			t.Errorf("%s: help %q; want one line without backquotes", k.Name, k.Help)
		}
		if k.optional && k.Default != "" {
			t.Errorf("%s: a pointer has no default", k.Name)
		}
		if k.Default == "" && !k.optional && !k.structured() && k.Kind != reflect.String {
			t.Errorf("%s: want a default", k.Name)
		}
		if k.Default != "" {
			if v, err := k.parse(k.Default); err != nil {
				t.Errorf("%s: default: %v", k.Name, err)
			} else if err := r.check(k, v); err != nil {
				t.Errorf("%s: default: %v", k.Name, err)
			}
		}
		for _, limit := range strings.FieldsFunc(k.limits, func(r rune) bool { return r == ',' }) {
			if name, _, _ := strings.Cut(limit, "="); comparisons[name] == "" && name != "oneof" {
				t.Errorf("%s: limit %s has no plain words", k.Name, limit)
			}
		}
	}
	for _, k := range Keys() { // as a shell offers them
		for _, v := range k.Values() {
			if got, err := k.parse(v.Value); err != nil || r.check(k, got) != nil {
				t.Errorf("%s: %s is among its values, and wrong: %v, %v", k.Name, v.Value, err, r.check(k, got))
			}
		}
	}
	for _, name := range free {
		if !seen[name] {
			t.Errorf("%s is among the free keys and is no key", name)
		}
	}
}

// TestValues holds one key in a file against what it says of it.
func TestValues(t *testing.T) {
	for _, c := range []struct{ line, want string }{ // want: the error behind c.yaml:1: key:, empty if there is none
		{"memory_limit: 3GiB", ""},
		{"memory_limit: 3.5 GB", ""},
		{"memory_limit: 3000000000", ""},
		{"memory_limit: auto", ""},
		{"memory_limit: 3G", "3G: G can mean GB (1000) or GiB (1024); write one of them, or auto"},
		{"memory_limit: 3.5", "3.5 is not text in YAML; put it in quotes"},
		{"memory_limit: none", "none: want a size such as 3GiB, 3.5GB or 800MB, or a number of bytes, or auto"},
		{"token_cache_limit: none", ""},
		{"token_cache_limit: auto", "auto: want a size such as 3GiB, 3.5GB or 800MB, or a number of bytes, or none"},
		{"memory_limit: true", "true is not text in YAML; put it in quotes"},
		{"chat_template: |\n  {{ messages }}", ""},
		{"chat_template_kwargs: {enable_thinking: false}", ""},
		{"chat_template_kwargs:\n  enable_thinking: false\n  tools: [{name: f}]", ""},
		{"chat_template_kwargs: '{\"enable_thinking\": false}'", ""},
		{"chat_template_kwargs: {}", ""},
		{"chat_template_kwargs: null", ""},
		{"chat_template_kwargs: enable_thinking", "enable_thinking; want a map such as {name: value}"},
		{"chat_template_kwargs: [a]", "a list; want a map such as {name: value}"},
		{"chat_template_kwargs: {a: 1, a: 2}", "a: given twice; leave one out"},
		{"chat_template_kwargs: {a: {b: [1, 2024-07-26]}}", "a: b: 2: 2024-07-26 is not text in YAML; put it in quotes"},
		{"chat_template_kwargs: {a: yes}", "a: yes; want true or false, or put it in quotes"},
		{"chat_template_kwargs: {a: .inf}", "a: .inf; want a finite number, or put it in quotes"},
		{"chat_template_kwargs: {a: 0x10}", "a: 0x10; want a decimal number, or put it in quotes"},
		{"chat_template_kwargs: {a: &b 1, c: *b}", "c: a YAML alias; write it out"},
		{"chat_template_kwargs: {a:1}", "a:1; want a blank behind the colon"},
		{"chat_template_kwargs: {1: a}", "line 1: a name that is not text; put it in quotes"},
		{"chat_template_kwargs: {messages: []}", "messages: not a variable of the chat template's own; leave it out"},
		{"beta: 0.5", ""},
		{"beta: 2", ""},
		{"beta: .5", ""},
		{"beta: 5e-1", ""},
		{"beta: !!float 0.5", `"0.5"; want a number, without quotes or tags`},
		{`beta: "0.5"`, `"0.5"; want a number, without quotes or tags`},
		{"beta: '0.5'", `"0.5"; want a number, without quotes or tags`},
		{"beta: |\n  0.5", `"0.5"; want a number, without quotes or tags`},
		{"beta: 0,5", "0,5; want a number"},
		{"beta: true", "true; want a number"},
		{"beta: -1", "-1 is out of range; want > 0"},
		{"beta: 0", "0 is out of range; want > 0"},
		{"beta: .inf", ".inf; want a finite number"},
		{"beta: -.Inf", "-.Inf; want a finite number"},
		{"beta: .nan", ".nan; want a finite number"},
		{"beta: NaN", "NaN; want a finite number"},
		{"beta: infinity", "infinity; want a finite number"},
		{"beta: 1e400", "1e400 is out of range"},
		{"beta: 1_0.5", "1_0.5; want a number"},
		{"beta: 0x1p-2", "0x1p-2; want a number"},
		{"beta: 00.5", "00.5; write the number without zeros in front, which some read as octal"},
		{"beta: [0.1]", "a list; want a number"},
		{"beta: {a: 0.1}", "a map; want a number"},
		{"{loss: ipo, beta: 1e-200}", "1e-200 makes the first value of loss ipo infinite"},
		{"{loss: cdpo, label_smoothing: 0.2}", ""},
		{"{loss: cdpo, label_smoothing: 0}", ""},
		{"{loss: cdpo, label_smoothing: 0.5}", "0.5 is out of range; want >= 0 and < 0.5"},
		{"label_smoothing: 0.1", "loss dpo does not use it; use loss cdpo, or leave it out"},
		{"label_smoothing: 7", "7 is out of range; want >= 0 and < 0.5"},
		{"beta:", ""}, // nobody gave it
		{"beta: ~", ""},
		{"adam_beta1: 1", "1 is out of range; want >= 0 and < 1"},
		{"adam_beta1:", "no value; want a number, or drop the line for the default, 0.9"},
		{"max_steps: null", "no value; want a whole number, or drop the line for the default, -1"},
		{"max_length: 12", ""},
		{"max_length: 12.7", "12.7; want a whole number"},
		{"max_length: 1e3", "1e3; want a whole number"},
		{"max_length: 010", "010; write the number without zeros in front, which some read as octal"},
		{"max_length: 0o10", "0o10; want a whole number"},
		{"max_length: 0x10", "0x10; want a whole number"},
		{"max_length: 1_000", "1_000; want a whole number"},
		{"max_length: 99999999999999999999", "99999999999999999999 is out of range"},
		{"max_length: -1", "-1 is out of range; want >= 0"},
		{"seed: -3", ""},
		{"shuffle: false", ""},
		{"shuffle: False", ""},
		{"shuffle: yes", "yes; want true or false"},
		{"shuffle: no", "no; want true or false"},
		{"shuffle: 1", "1; want true or false"},
		{`shuffle: "true"`, `"true"; want true or false, without quotes or tags`},
		{"model: models/a b", ""},
		{"model: 7", "7 is not text in YAML; put it in quotes"},
		{`model: "7"`, ""},
		{"model: 2024-01-01", "2024-01-01 is not text in YAML; put it in quotes"},
		{"reference_update_steps: 0", "0 is out of range; want >= 1"},
		{"reference_update_steps: 2.5", "2.5; want a whole number"},
		{"reference_update_steps: null", ""},
		{"{reference_update_steps: 5, reference_mixup: 0}", "0 is out of range; want > 0 and <= 1"},
		{"{reference_update_steps: 5, loss: sft}", "loss sft has no reference that could be renewed; leave it out, or take a loss with a reference"},
		{"monitor_reference: true", ""},
		{"monitor_reference: False", ""},
		{`monitor_reference: "true"`, ""},
		{"monitor_reference: yes", "yes; want auto, true or false"},
		{"monitor_reference: 1", "1 is not text in YAML; put it in quotes"},
		{"model: true", "true is not text in YAML; put it in quotes"},
		{"eval_data: null", ""},
		{"cpu: avx", "avx; want auto, amx, avx512, avx2, neon or generic (did you mean avx2?)"},
		{"cpu: ''", `""; want auto, amx, avx512, avx2, neon or generic`},
		{"lr_scheduler_type: Linear", "Linear; want linear, cosine, cosine_with_min_lr, constant, constant_with_warmup or inverse_sqrt (did you mean linear?)"},
		{"loss: orpo2", `"orpo2": unknown loss`},
		{"loss: IPO-sun", `"IPO-sun": unknown loss; "dpotrain losses" lists them (did you mean ipo_sum?)`},
		{"loss: [dpo]", ""},
		{"loss_type: sigmoid", ""},
		{"loss_type: [sigmoid]", ""},
		{"loss_type: [sigmoid, sft]", ""},
		{"loss_type: []", "an empty list; want one loss at least"},
		{"loss_type: [[sigmoid]]", "a list; want names of losses, or entries as {name: dpo, weight: 0.8}"},
		{"loss: [7, dpo]", "7; want names of losses, or entries as {name: dpo, weight: 0.8}"},
		{"loss: [{name: dpo, weight: 0.8}, {name: sft}]", ""},
		{"loss: {name: dpo}", "a map; want text"},
		{"loss: dpo=0.8,sft=1", ""},
		{"loss: dpo=0.8,sfd=1", `"sfd": unknown loss; "dpotrain losses" lists them (did you mean sft?)`},
		{"loss: [{name: dop, weight: 0.8}, sft]", `"dop": unknown loss; "dpotrain losses" lists them (did you mean dpo?)`},
		{"loss: [{name: dpo, weight: 0}, sft]", "weight: 0 is out of range; want > 0"},
		{"loss: [{name: dpo, weight: -1}, sft]", "weight: -1 is out of range; want > 0"},
		{"loss: [{name: dpo, weight: .inf}, sft]", "weight: .inf; want a finite number"},
		{"loss: [{name: dpo, weight: high}, sft]", "weight: high; want a number"},
		{"loss: [{name: dpo, weight: '1'}, sft]", `weight: "1"; want a number, without quotes or tags`},
		{"loss: [{name: dpo, weight: null}, sft]", "weight: no value; want a number, or drop the line for the default, 1"},
		{"loss: [{weight: 1}, sft]", "an entry without a name; want entries as {name: dpo, weight: 0.8}"},
		{"loss: [{name: null}, sft]", "an entry without a name; want entries as {name: dpo, weight: 0.8}"},
		{"loss: [{name: dpo, name: ipo}, sft]", "name: given twice; leave one out"},
		{"loss: [{name: dpo, wieght: 1}, sft]", "wieght: unknown key (did you mean weight?)"},
		{"loss: [{name: dpo, seed: 1}, sft]", "seed: unknown key; an entry has name, weight and hyperparameters of its loss"},
		{"loss: [{name: dpo, beta: -1}, sft]", "beta: -1 is out of range; want > 0"},
		{"loss: [{name: cdpo, label_smoothing: 0.5}, sft]", "label_smoothing: 0.5 is out of range; want >= 0 and < 0.5"},
		{"loss: [{name: dpo, label_smoothing: 0.2}, sft]", "label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{"loss: [{name: ipo, beta: 1e-200}, sft]", "beta: 1e-200 makes the first value of loss ipo infinite"},
		{"loss: [dpo, sigmoid]", "dpo stands there twice; give it once, with the sum of the weights"},
		{"loss: [dpo, &a sft, *a]", "a YAML alias; want names of losses"},
		{"lr_scheduler_type: cosine_with_min_lr", "cosine_with_min_lr needs the rate to end at; give min_lr, or min_lr_rate as a share of learning_rate"},
		{"{lr_scheduler_type: cosine_with_min_lr, min_lr: 1e-7}", ""},
		{"{lr_scheduler_type: cosine_with_min_lr, min_lr: 1e-7, min_lr_rate: 0.1}", "given together with min_lr; leave one of them out"},
		{"{lr_scheduler_type: cosine_with_min_lr, min_lr: 1e-3}", "0.001 is above learning_rate 1e-06, from which the rate falls"},
		{"min_lr_rate: 1.1", "1.1 is out of range; want >= 0 and <= 1"},
		{"logging_steps: 0.5", ""},
		{"logging_steps: 5", ""},
		{"logging_steps: 5.5", "5.5; want a share of all steps below 1, or a whole number of steps up to 2147483647"},
		{"save_steps: 1e300", "1e+300; want a share of all steps below 1, or a whole number of steps up to 2147483647"},
		{"num_train_epochs: 1e300", "1e+300 is out of range; want at most 2147483647"},
		{"bata: 1", "unknown key (did you mean beta?)"},
		{"Beta: 1", "unknown key (did you mean beta?)"},
		{"learning-rate: 1", "unknown key (did you mean learning_rate?)"},
		{"los_type: dpo", "unknown key (did you mean loss_type?)"},
		{"epochs: 1", "unknown key (did you mean num_train_epochs?)"},
		{"dpo_beta: 1", "unknown key (did you mean beta?)"},
		{"training: {beta: 1}", "unknown key; settings are flat, no key holds others"},
		{"<<: {beta: 1}", "unknown key; settings are flat, no key holds others"},
	} {
		_, err := input{file: c.line}.load(t)
		got := strings.Join(lines(err), "\n")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(got, ": "+c.want) {
			t.Errorf("%s: error %q, want %q", c.line, got, c.want)
		}
	}
}

// TestAllProblems gives many things that are wrong at once.
func TestAllProblems(t *testing.T) {
	_, err := input{
		file:    "bata: 0.2\nbeta: 0.1\nbeta: 0.3\nmodel: m\nmodel_name_or_path: m\n? [a]\n: 1\n\"\\e[31mred\": 1\nlearning_rate: -1\n",
		environ: []string{"DPOTRAIN_THREADS=many", "DPOTRAIN_BETAS=1", "DPOTRAIN_SEED=1", "DPOTRAIN_seed=2"},
		flags:   []string{"--learning-rate=1e-5", "--loss=sft", "--loss-type=dpo", "--max-steps=1.5", "--per-device-train-batch-size=70000", "--gradient-accumulation-steps=70000"},
	}.load(t)
	want := []string{
		"c.yaml:1: bata: unknown key (did you mean beta?)",
		"c.yaml:3: beta: given twice; leave one out",
		"c.yaml:5: model_name_or_path: the same setting as model, which is given too; leave one out",
		"c.yaml:6: a list; want lines of the form key: value",
		`c.yaml:8: "\x1b[31mred": unknown key`,
		"c.yaml:9: learning_rate: -1 is out of range; want >= 0",
		"DPOTRAIN_seed: the same setting as DPOTRAIN_SEED, which is given too; leave one out",
		"DPOTRAIN_THREADS: many; want a whole number",
		"--loss-type: the same setting as --loss, which is given too; leave one out",
		"--max-steps: 1.5; want a whole number",
		"--per-device-train-batch-size: 70000, times gradient_accumulation_steps 70000, is out of range; want at most 2147483647 pairs a step",
	}
	if got := lines(err); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if problems, ok := errors.AsType[Errors](err); !ok || problems[0].Text != "unknown key (did you mean beta?)" {
		t.Errorf("error is a %T, want Errors in the order of the file", err)
	}
}

// TestManyProblems reads a file that is no config.
func TestManyProblems(t *testing.T) {
	_, err := input{file: strings.Repeat("qqq: 1\n", 1000)}.load(t)
	if got := lines(err); len(got) != 51 || got[50] != "and 950 more" {
		t.Errorf("%d lines, the last %q; want 51, the last saying that there are 950 more", len(got), got[len(got)-1])
	}
}

func TestVariables(t *testing.T) {
	environ := []string{"DPOTRAIN_TESTDATA=x", "DPOTRAIN_BETAA=1", "DPOTRAIN_QQQ=1", "DPOTRAIN_BETA=", "DPOTRAIN_CPU=avx2", "BETA=3"}
	before := slices.Clone(environ)
	r := input{environ: environ}.mustLoad(t)
	want := []string{"DPOTRAIN_BETAA: no such setting (did you mean DPOTRAIN_BETA?)", "DPOTRAIN_QQQ: no such setting"}
	if !slices.Equal(r.Warnings, want) {
		t.Errorf("warnings %q, want %q", r.Warnings, want)
	}
	if r.Options.LossSettings["beta"] != 0.1 || r.Origin("beta") != Default || r.Options.Compute.CPU != "avx2" {
		t.Errorf("beta %v of layer %d and cpu %s, want 0.1 of the defaults and avx2", r.Options.LossSettings["beta"], r.Origin("beta"), r.Options.Compute.CPU)
	}
	if !slices.Equal(environ, before) {
		t.Errorf("Load changed its caller's environ to %q", environ)
	}
}

func TestBadFiles(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "c.yaml: there is nothing in it; want lines of the form key: value"},
		"comments":      {"# nothing\n", "c.yaml: there is nothing in it; want lines of the form key: value"},
		"null":          {"~\n", "c.yaml:1: there is nothing in it; want lines of the form key: value"},
		"text":          {"\nhello\n", "c.yaml:2: not settings; want lines of the form key: value"},
		"list":          {"- beta: 1\n", "c.yaml:1: not settings; want lines of the form key: value"},
		"syntax":        {"beta: 1\nmodel: [\n", "c.yaml:2: not YAML: did not find expected node content"},
		"tab":           {"beta: 1\n\tmodel: a\n", "c.yaml:2: not YAML: found a tab character that violates indentation"},
		"bytes":         {"beta: \xff\n", "c.yaml: not YAML: invalid leading UTF-8 octet"},
		"two documents": {"beta: 1\n---\nbeta: 2\n", "c.yaml:2: a second document begins; want one, without --- lines"},
		"broken second": {"beta: 1\n---\nbeta: [\n", "c.yaml:3: not YAML: did not find expected node content"},
		"too large":     {"# " + strings.Repeat("x", maxFile), "c.yaml: larger than 1 MiB; want a YAML file of settings"},
		"alias":         {"beta: &b 0.1\nlearning_rate: *b\n", "c.yaml:2: learning_rate: a YAML alias; want a number"},
		"unknown alias": {"beta: *b\n", "c.yaml: not YAML: unknown anchor 'b' referenced"},
		"circle":        {"beta: &b [*b]\n", "c.yaml:1: beta: a list; want a number"},
		"deep":          {"beta: " + strings.Repeat("[", 20000), "c.yaml: not YAML: exceeded max depth of 10000"},
		"a long key":    {strings.Repeat("x", 1000) + ": 1\n", `c.yaml:1: "` + strings.Repeat("x", 60) + `"...: unknown key`},
		"a long value":  {"beta: " + strings.Repeat("x", 1<<19) + "\n", `c.yaml:1: beta: "` + strings.Repeat("x", 60) + `"...; want a number`},
		"alias bomb": {"a: &a [x,x,x,x,x,x,x,x,x]\n" + strings.Join(func() (l []string) {
			for c := 'b'; c <= 'z'; c++ {
				l = append(l, string(c)+": &"+string(c)+" ["+strings.Repeat("*"+string(c-1)+",", 9)+"]")
			}
			return
		}(), "\n"), "c.yaml:1: a: unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(LoadOptions{File: write(t, c.text)})
			if got := lines(err); len(got) == 0 || got[0] != c.want {
				t.Errorf("error %.300q, want %q first", got, c.want)
			}
		})
	}
	dir := t.TempDir()
	for path, want := range map[string]string{dir: "a folder; want a YAML file of settings", filepath.Join(dir, "none"): ""} {
		_, err := Load(LoadOptions{File: path, Environ: []string{"DPOTRAIN_BETA=x"}})
		if err == nil || !strings.HasPrefix(err.Error(), path+": "+want) || !strings.HasSuffix(err.Error(), "\nDPOTRAIN_BETA: x; want a number") {
			t.Errorf("%s: error %v, want one that names the file and says %q, and the variable", path, err, want)
		}
	}
}

// TestHyperparameters gives loss and hyperparameters in different layers.
func TestHyperparameters(t *testing.T) {
	for _, c := range []struct {
		in   input
		loss string
		set  loss.Settings
		want string // a part of the error or of the one warning; empty: neither
		bad  bool   // it is an error
	}{
		{in: input{}, loss: "dpo", set: loss.Settings{"beta": 0.1}},
		{in: input{file: "loss: ipo"}, loss: "ipo", set: loss.Settings{"beta": 0.1}},
		{in: input{file: "loss: sft"}, loss: "sft", set: loss.Settings{}},
		{in: input{file: "beta: 0.3"}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "beta: 0.3", flags: []string{"--loss=sigmoid"}}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "beta: 0.3", flags: []string{"--loss=ipo"}}, loss: "ipo", set: loss.Settings{"beta": 0.3}}, // the same default
		{in: input{file: "loss: ipo\nbeta: 0.3", flags: []string{"--loss=dpo"}}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "loss: sft\nbeta: 0.3"}, bad: true, want: "c.yaml:2: beta: loss sft does not use it; leave it out"},
		{in: input{file: "loss: sft", environ: []string{"DPOTRAIN_BETA=0.3"}}, bad: true, want: "DPOTRAIN_BETA: loss sft does not use it; leave it out"},
		{in: input{file: "loss: sft", flags: []string{"--beta=0.3"}}, bad: true, want: "--beta: loss sft does not use it; leave it out"},
		{in: input{file: "beta: 0.3", flags: []string{"--loss=sft"}}, loss: "sft", set: loss.Settings{},
			want: "c.yaml:1: beta: 0.3 was meant for loss dpo and is not carried over to loss sft, which does not use it"},
		{in: input{file: "beta: 0.3", environ: []string{"DPOTRAIN_BETA=0.4"}, flags: []string{"--loss=sft"}}, loss: "sft", set: loss.Settings{}, want: "DPOTRAIN_BETA: 0.4 was meant for loss dpo"},
		{in: input{file: "loss: ipo\nbeta: 0.3", environ: []string{"DPOTRAIN_LOSS=sft"}}, loss: "sft", set: loss.Settings{}, want: "0.3 was meant for loss ipo"},
		// The file alone would be an error: its beta can only have been meant for another loss.
		{in: input{file: "loss: sft\nbeta: 0.3", flags: []string{"--loss=dpo"}}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "loss: sft", flags: []string{"--loss=dpo", "--beta=0.3"}}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "loss: nosuch\nbeta: 0.3"}, bad: true, want: `loss: "nosuch": unknown loss`},
		{in: input{file: "loss: nosuch", flags: []string{"--loss=dpo"}}, bad: true, want: `loss: "nosuch": unknown loss`},

		{in: input{file: "loss: cdpo"}, loss: "cdpo", set: loss.Settings{"beta": 0.1, "label_smoothing": 0.1}},
		{in: input{file: "loss: cdpo\nlabel_smoothing: 0.2\nbeta: 1"}, loss: "cdpo", set: loss.Settings{"beta": 1.0, "label_smoothing": 0.2}},
		{in: input{file: "label_smoothing: 0.2"}, bad: true, want: "c.yaml:1: label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{in: input{flags: []string{"--loss=dpo", "--label-smoothing=0.2"}}, bad: true, want: "--label-smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{in: input{file: "label_smoothing: 0.2", flags: []string{"--loss=cdpo"}}, loss: "cdpo", set: loss.Settings{"beta": 0.1, "label_smoothing": 0.2}}, // as the error says
		{in: input{file: "label_smoothing: 0.2", flags: []string{"--loss=ipo"}}, loss: "ipo", set: loss.Settings{"beta": 0.1},
			want: "c.yaml:1: label_smoothing: 0.2 is ignored: loss ipo does not use it; leave it out"},
		{in: input{file: "loss: cdpo\nlabel_smoothing: 0.2", flags: []string{"--loss=dpo"}}, loss: "dpo", set: loss.Settings{"beta": 0.1},
			want: "c.yaml:2: label_smoothing: 0.2 was meant for loss cdpo and is not carried over to loss dpo, which does not use it"},
		{in: input{file: "loss: cdpo", flags: []string{"--loss=ipo", "--label-smoothing=0.1"}}, bad: true, want: "--label-smoothing: loss ipo does not use it; leave it out"},
		{in: input{file: "loss: dpo\nlabel_smoothing: 0.0"}, loss: "dpo", set: loss.Settings{"beta": 0.1}, want: "c.yaml:2: label_smoothing: 0 does nothing, and loss dpo does not use it"},
		// Sums.
		{in: input{file: "loss: [{name: sigmoid, weight: 0.8, beta: 0.3}, {name: simpo, weight: 1, simpo_gamma_beta_ratio: 0.3}, sft]"}, loss: "dpo=0.8,simpo=1,sft=1",
			set: loss.Settings{"dpo.beta": 0.3, "simpo.beta": 2.0, "simpo.simpo_gamma_beta_ratio": 0.3}},
		{in: input{file: "loss:\n  - name: dpo\n    beta: 0.3\n  - name: ipo\nbeta: 0.5"}, loss: "dpo=1,ipo=1", set: loss.Settings{"dpo.beta": 0.3, "ipo.beta": 0.5}},
		{in: input{file: "loss: [{name: dpo, beta: 0.3}, ipo]", flags: []string{"--beta=0.7"}}, loss: "dpo=1,ipo=1", set: loss.Settings{"dpo.beta": 0.3, "ipo.beta": 0.7}},
		{in: input{file: "loss: [{name: dpo, beta: 0.3}, sft]", flags: []string{"--beta=0.7"}}, bad: true,
			want: "--beta: every loss of the sum that uses it has a value of its own in the list of losses; change it there, or leave this out"},
		{in: input{file: "loss: [{name: dpo, beta: 0.3}]", flags: []string{"--beta=0.7"}}, bad: true, want: "--beta: loss dpo has a value of its own in the list of losses"},
		{in: input{file: "loss: [{name: dpo, weight: 1, beta: 0.3}]"}, loss: "dpo", set: loss.Settings{"beta": 0.3}},
		{in: input{file: "loss: [{name: dpo, weight: 0.5, beta: 0.3}]"}, loss: "dpo=0.5", set: loss.Settings{"dpo.beta": 0.3}},
		{in: input{file: "loss: [{name: dpo, beta: 0.3}, sft]", flags: []string{"--loss=dpo"}}, loss: "dpo", set: loss.Settings{"beta": 0.1}, // the list goes as a whole
			want: "beta: 0.3, of dpo in the list of losses, is not carried over to loss dpo"},
		{in: input{file: "loss: [{name: dpo, beta: 0.1}, sft]", flags: []string{"--loss=ipo"}}, loss: "ipo", set: loss.Settings{"beta": 0.1}},
		{in: input{file: "loss: [{name: dpo, label_smoothing: 0.1}]"}, bad: true, want: "c.yaml:1: loss: label_smoothing: loss dpo does not use it; use loss cdpo"},
		{in: input{file: "loss: [{name: ipo, beta: 1e-200}]"}, bad: true, want: "c.yaml:1: loss: beta: 1e-200 makes the first value of loss ipo infinite"},
		{in: input{flags: []string{"--loss=dpo=0.8,sft=1", "--beta=0.3"}}, loss: "dpo=0.8,sft=1", set: loss.Settings{"dpo.beta": 0.3}},
		{in: input{environ: []string{"DPOTRAIN_LOSS=dpo=0.8, sft"}}, loss: "dpo=0.8,sft=1", set: loss.Settings{"dpo.beta": 0.1}},
		{in: input{file: "beta: 0.3", flags: []string{"--loss=ipo=1,sft=1"}}, loss: "ipo=1,sft=1", set: loss.Settings{"ipo.beta": 0.3}}, // the same default
		{in: input{file: "beta: 0.3", flags: []string{"--loss=dpo=1,simpo=1"}}, loss: "dpo=1,simpo=1", set: loss.Settings{"dpo.beta": 0.1, "simpo.beta": 2.0, "simpo.simpo_gamma_beta_ratio": 0.5},
			want: "c.yaml:1: beta: 0.3 was meant for loss dpo and is not carried over to loss dpo=1,simpo=1, its default is 0.1 or 2; a value for it is given where the loss is"},
		{in: input{file: "loss: [dpo, simpo]\nbeta: 0.3", flags: []string{"--loss=simpo=1,dpo=1"}}, loss: "simpo=1,dpo=1", // the same defaults, in another order
			set: loss.Settings{"dpo.beta": 0.3, "simpo.beta": 0.3, "simpo.simpo_gamma_beta_ratio": 0.5}},
		{in: input{flags: []string{"--loss=dpo=1,sft=1", "--label-smoothing=0.2"}}, bad: true, want: "--label-smoothing: loss dpo=1,sft=1 does not use it; leave it out"},
		{in: input{flags: []string{"--loss=cdpo=1,sft=1", "--label-smoothing=0.5"}}, bad: true, want: "--label-smoothing: 0.5 is out of range; want >= 0 and < 0.5"},
		{in: input{flags: []string{"--loss=ipo=1,sft=1", "--beta=1e-200"}}, bad: true, want: "--beta: 1e-200 makes the first value of loss ipo infinite"},
		// Modifiers.
		{in: input{file: "wpo: true\nsft_weight: 0.2"}, loss: "dpo", set: loss.Settings{"beta": 0.1, "wpo": true, "sft_weight": 0.2}},
		{in: input{file: "wpo: false"}, loss: "dpo", set: loss.Settings{"beta": 0.1, "wpo": false}},
		{in: input{flags: []string{"--loss=dpo=0.8,ipo=1", "--wpo", "--sft-weight=1"}}, loss: "dpo=0.8,ipo=1", set: loss.Settings{"dpo.beta": 0.1, "ipo.beta": 0.1, "wpo": true, "sft_weight": 1.0}},
		{in: input{file: "loss: [{name: dpo, wpo: true}]"}, loss: "dpo", set: loss.Settings{"beta": 0.1, "wpo": true}},
		{in: input{file: "loss: [{name: dpo, wpo: true}, ipo]"}, bad: true, want: "c.yaml:1: loss: wpo: it is of the whole sum; give it beside the list of losses"},
		{in: input{file: "loss: slic\nsft_weight: 0.2", flags: []string{"--loss=dpo"}}, loss: "dpo", set: loss.Settings{"beta": 0.1}, want: "0.2 was meant for loss slic and is not carried over to loss dpo, its default is 0"},
		{in: input{file: "loss: [{name: slic}, dpo]\nsft_weight: 0.2"}, loss: "slic=1,dpo=1", set: loss.Settings{"dpo.beta": 0.1, "slic.slic_delta": 1.0, "slic.sft_weight": 0.2, "slic.slic_sft_average": true}},
		{in: input{file: "wpo: true", flags: []string{"--loss=aot"}}, loss: "aot", set: loss.Settings{"beta": 0.01, "label_smoothing": 0.0},
			want: "c.yaml:1: wpo: true was meant for loss dpo and is not carried over to loss aot, which does not use it"},
		{in: input{file: "loss: aot\nwpo: true"}, bad: true, want: "c.yaml:2: wpo: loss aot couples the pairs of a step"},
		{in: input{file: "loss: aot\nwpo: false"}, loss: "aot", set: loss.Settings{"beta": 0.01, "label_smoothing": 0.0}, want: "c.yaml:2: wpo: false does nothing, and loss aot does not use it"},
		{in: input{file: "loss_type: sigmoid\nlabel_smoothing: 0.0"}, loss: "dpo", set: loss.Settings{"beta": 0.1}}, // as a config that TRL has written out in full says it
	} {
		r, err := c.in.load(t)
		if c.bad {
			if got := lines(err); len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("%+v: error %q, want %q", c.in, got, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c.in, err)
			continue
		}
		if r.Options.Loss != c.loss || !maps.Equal(r.Options.LossSettings, c.set) {
			t.Errorf("%+v: loss %s, settings %v, want %s, %v", c.in, r.Options.Loss, r.Options.LossSettings, c.loss, c.set)
		}
		if got := strings.Join(r.Warnings, "\n"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%+v: warnings %q, want %q", c.in, got, c.want)
		}
		if _, err := loss.New(r.Options.Loss, r.Options.LossSettings); err != nil {
			t.Errorf("%+v: %v", c.in, err)
		}
	}
}

// TestHyperparameterKey: keys, kinds, choices and help follow from the losses that have them.
func TestHyperparameterKey(t *testing.T) {
	use := func(name string, h loss.Hyperparameter) loss.Use {
		h.Key = "x_" + name
		return loss.Use{Loss: name, Hyperparameter: h}
	}
	unit := loss.Range{Low: 0, High: 1}
	for _, c := range []struct {
		uses []loss.Use
		help string
		good map[string]any
		bad  map[string]string
	}{
		{uses: []loss.Use{use("a", loss.Hyperparameter{Default: 0.5, Range: unit, Meaning: "share"})},
			help: "share; default: 0.5 for a", good: map[string]any{"1": 1.0}, bad: map[string]string{"2": "2 is out of range; want >= 0 and <= 1", "x": "x; want a number"}},
		{uses: []loss.Use{use("a", loss.Hyperparameter{Default: 0.5, Range: unit, Meaning: "share"}), use("b", loss.Hyperparameter{Default: 0.25, Range: unit}),
			use("c", loss.Hyperparameter{Default: 0.25, Range: loss.Range{Low: 0, High: 5}})},
			help: "share; default: 0.25; 0.5 for a", good: map[string]any{"2": 2.0}, bad: map[string]string{"6": "6 is out of range; want >= 0 and <= 1"}},
		{uses: []loss.Use{use("a", loss.Hyperparameter{Default: "log", Choices: []string{"log", "identity"}, Meaning: "how"})},
			help: "how; default: log for a", good: map[string]any{"identity": "identity"}, bad: map[string]string{"idenity": "idenity; want log or identity (did you mean identity?)"}},
		{uses: []loss.Use{use("a", loss.Hyperparameter{Default: true, Meaning: "whether"})}, help: "whether; default: true for a", good: map[string]any{"false": false}, bad: map[string]string{"1": "1; want true or false"}},
	} {
		k := hyperparameter(c.uses, nil)
		if _, _, given := newLoader([]Key{k}).top(k.Name, Flag); given {
			t.Errorf("%s: has a value that nobody gave", k.Name)
		}
		if k.Name != c.uses[0].Key || k.Help != c.help {
			t.Errorf("%s: %q, want %q", k.Name, k.Help, c.help)
		}
		for text, want := range c.good {
			if v, err := k.parse(text); err != nil || newRanges().check(k, v) != nil || v != want {
				t.Errorf("%s: %q is %v, %v, %v; want %v", k.Name, text, v, err, newRanges().check(k, v), want)
			}
		}
		for text, want := range c.bad {
			v, err := k.parse(text)
			if err == nil {
				err = newRanges().check(k, v)
			}
			if err == nil || err.Error() != want {
				t.Errorf("%s: %q: error %v, want %s", k.Name, text, err, want)
			}
		}
	}
}

func TestWarmup(t *testing.T) {
	r := input{file: "warmup_steps: 10\nwarmup_ratio: 0.1"}.mustLoad(t)
	if got, want := lines(errors.New(strings.Join(r.Warnings, "\n"))), "c.yaml:2: warmup_ratio: not used, because warmup_steps is given (10); leave one of them out"; got[0] != want {
		t.Errorf("warnings %q, want %q", got, want)
	}
}

// TestRankedPairs: the rule for pairs is not used by a loss on lists, and its default, which a resolved config has, is no matter.
func TestRankedPairs(t *testing.T) {
	const want = "c.yaml:2: ranked_pairs: not used, because loss plackett_luce takes ranked rows as lists; leave it out"
	for file, want := range map[string]string{"loss: plackett_luce\nranked_pairs: all": want, "loss: plackett_luce\nranked_pairs: best_worst": "", "loss: dpo\nranked_pairs: all": ""} {
		if got := strings.Join(lines(errors.New(strings.Join(input{file: file}.mustLoad(t).Warnings, "\n"))), "\n"); got != want {
			t.Errorf("%q: warnings %q, want %q", file, got, want)
		}
	}
}

// TestWithoutEvalData: keys that speak of held-out pairs say so when there are none.
func TestWithoutEvalData(t *testing.T) {
	in := input{file: "eval_on_start: true\nsample_prompts: 3\n"}
	const why = ": not used, because there is no eval_data; give a file of held-out pairs, or eval_fraction, or leave it out"
	if got, want := lines(errors.New(strings.Join(in.mustLoad(t).Warnings, "\n"))), []string{"c.yaml:1: eval_on_start" + why, "c.yaml:2: sample_prompts" + why}; !slices.Equal(got, want) {
		t.Errorf("warnings %q, want %q", got, want)
	}
	in.flags = []string{"--eval-data=x"}
	if got := in.mustLoad(t).Warnings; len(got) != 0 {
		t.Errorf("with eval_data: warnings %q", got)
	}
}

// TestEvalStrategy gives strategy and steps of evaluation, with held-out pairs.
func TestEvalStrategy(t *testing.T) {
	for _, c := range []struct {
		file, flags string
		steps       float64
		want        string // the warning
	}{
		{file: "logging_steps: 5", steps: 0},
		{file: "eval_strategy: steps\nlogging_steps: 5", steps: 5}, // TRL's rule
		{file: "eval_strategy: steps", flags: "--logging-steps=7", steps: 7},
		{file: "eval_strategy: steps\neval_steps: 0", steps: 0}, // as a resolved config says it
		{file: "eval_strategy: steps\neval_steps: 3", steps: 3},
		{file: "eval_steps: 3", flags: "--eval-strategy=steps", steps: 3},
		{file: "eval_strategy: epoch", steps: 0},
		{file: "eval_strategy: 'no'\neval_steps: 3", steps: 3, want: "--eval-data: not used, because eval_strategy is no; give steps or epoch, or leave it out"},
		{file: "eval_strategy: no\neval_on_start: true", want: "c.yaml:2: eval_on_start: not used, because eval_strategy is no; give steps or epoch, or leave it out"},
	} {
		r := input{file: c.file, flags: append(strings.Fields(c.flags), "--eval-data=x")}.mustLoad(t)
		got := strings.Join(lines(errors.New(strings.Join(r.Warnings, "\n"))), "\n")
		if r.Options.EvalSteps != c.steps || !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q %s: eval_steps %v, warnings %q; want %v, %q", c.file, c.flags, r.Options.EvalSteps, got, c.steps, c.want)
		}
	}
}

// TestBest gives the keys of the best checkpoint.
func TestBest(t *testing.T) {
	for _, c := range []struct {
		file   string
		metric string // empty: none is looked for
		want   string // a part of the error or of the one warning; empty: neither
		bad    bool   // it is an error
	}{
		{file: "seed: 1"},
		{file: "load_best_model_at_end: true", metric: "loss"},
		{file: "save_strategy: best", metric: "loss"},
		{file: "metric_for_best_model: rewards/margins", metric: "rewards/margins"},
		{file: "metric_for_best_model: eval_rewards/accuracies\nload_best_model_at_end: true", metric: "rewards/accuracies"},
		{file: "metric_for_best_model: eval_loss\nloss: sft", metric: "loss"},
		{file: "metric_for_best_model: loss\ngreater_is_better: false", metric: "loss"},
		{file: "metric_for_best_model: loss\ngreater_is_better: true", metric: "loss", want: "c.yaml:2: greater_is_better: true makes the worst loss the best; leave it out unless that is meant"},
		{file: "metric_for_best_model: entropy\ngreater_is_better: true", metric: "entropy"},
		{file: "load_best_model_at_end: true\nreference_update_steps: 8", metric: "loss", want: "c.yaml:2: reference_update_steps: evaluations on two sides of a renewal are measured against two references, so that loss does not say which checkpoint is the best; give a metric_for_best_model of the policy alone, as logps/chosen or, of pairs, logps/accuracies"},
		{file: "metric_for_best_model: logps/accuracies\nreference_update_steps: 8", metric: "logps/accuracies"},
		{file: "metric_for_best_model: entropy", bad: true, want: "c.yaml:1: metric_for_best_model: entropy is not better for being higher or lower; say with greater_is_better which is meant"},
		{file: "metric_for_best_model: reward/margins", bad: true, want: "reward/margins; no metric of the evaluations of loss dpo; docs/metrics.md has them (did you mean rewards/margins?)"},
		{file: "metric_for_best_model: eval_runtime", bad: true, want: "eval_runtime; no metric of the evaluations of loss dpo"},
		{file: "metric_for_best_model: rewards/margins\nloss: sft", bad: true, want: "rewards/margins; no metric of the evaluations of loss sft"},
		{file: "eval_strategy: no\nload_best_model_at_end: true", metric: "loss", bad: true, want: "c.yaml:1: eval_strategy: no, and without evaluations no checkpoint is the best"},
		{file: "metric_for_best_model: shift/chosen\nloss: simpo\nmonitor_reference: true", metric: "shift/chosen"},
		{file: "metric_for_best_model: eval_shift/chosen\nloss: sft\nmonitor_reference: true", metric: "shift/chosen"},
		{file: "metric_for_best_model: eval_shift/chosen\nloss: simpo", bad: true, want: "c.yaml:1: metric_for_best_model: eval_shift/chosen; loss simpo has no reference, and evaluations have this metric only with monitor_reference: true"},
		{file: "metric_for_best_model: shift/rejected\nloss: sft\nmonitor_reference: true", bad: true, want: "shift/rejected; no metric of the evaluations of loss sft"},
		{file: "metric_for_best_model: shift/chosen\nmonitor_reference: false", metric: "shift/chosen", want: "c.yaml:2: monitor_reference: not used, because loss dpo needs the reference and has these metrics anyway; leave it out"},
		{file: "greater_is_better: true", want: "c.yaml:1: greater_is_better: not used, because there is no metric_for_best_model"},
	} {
		r, err := input{file: c.file}.load(t)
		if c.bad {
			if got := lines(err); len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("%q: error %q, want %q", c.file, got, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.file, err)
			continue
		}
		if got := r.Options.BestMetric(); got != c.metric {
			t.Errorf("%q: best by %q, want %q", c.file, got, c.metric)
		}
		if got := strings.Join(r.Warnings, "\n"); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q: warnings %q, want %q", c.file, got, c.want)
		}
	}
}

// TestScheduleWarnings: what a schedule does not use is said.
func TestScheduleWarnings(t *testing.T) {
	for line, want := range map[string]string{
		"{lr_scheduler_type: constant, warmup_steps: 10}":              "warmup_steps: not used by lr_scheduler_type constant, which has no warm-up, as in transformers; use constant_with_warmup",
		"{lr_scheduler_type: constant, warmup_ratio: 0.1}":             "warmup_ratio: not used by lr_scheduler_type constant",
		"{lr_scheduler_type: constant_with_warmup, warmup_ratio: 0.1}": "",
		"min_lr: 0": "min_lr: not used by lr_scheduler_type linear but by cosine_with_min_lr alone; leave it out",
		"{lr_scheduler_type: cosine, min_lr_rate: 0.1}":                    "min_lr_rate: not used by lr_scheduler_type cosine",
		"{lr_scheduler_type: cosine_with_min_lr, min_lr_rate: 0.1}":        "",
		"{lr_scheduler_type: cosine_with_min_lr, min_lr: 0, timescale: 9}": "timescale: not used by lr_scheduler_type cosine_with_min_lr but by inverse_sqrt alone",
		"{lr_scheduler_type: inverse_sqrt, timescale: 9}":                  "",
	} {
		if got := strings.Join(input{file: line}.mustLoad(t).Warnings, "\n"); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: warnings %q, want %q", line, got, want)
		}
	}
}

func TestRequire(t *testing.T) {
	r := input{flags: []string{"--model=m"}}.mustLoad(t)
	if err := r.Require("model"); err != nil {
		t.Error(err)
	}
	err := r.Require("model", "data", "output_dir")
	got := lines(err)
	if len(got) != 2 || !strings.HasPrefix(got[0], "data: not given; give --data, or data in a config file (") || !strings.Contains(got[1], "--output-dir") {
		t.Errorf("error %q, want a line for data and one for output_dir", got)
	}
}

func TestAddFlags(t *testing.T) {
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(fs, "model", "loss")
	var names []string
	fs.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	want := []string{"model", "model-name-or-path", "loss", "loss-type"}
	for _, uses := range loss.Uses() {
		want = append(want, dashes(uses[0].Key))
	}
	if !slices.Equal(names, want) {
		t.Errorf("flags %q, want %q", names, want)
	}
	all := pflag.NewFlagSet("test", pflag.ContinueOnError)
	AddFlags(all)
	usage := all.FlagUsages()
	for _, k := range Keys() {
		if !strings.Contains(usage, "--"+k.Flag()+" ") || !strings.Contains(usage, k.Help) {
			t.Errorf("the help says nothing of --%s", k.Flag())
		}
	}
	if strings.Contains(usage, "loss-type") {
		t.Error("the help shows an alias")
	}
}

// TestMarshal writes random settings and reads them again.
func TestMarshal(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		o := input{}.mustLoad(t).Options
		o.Model, o.RefModel, o.Data = randomText(random), randomText(random), randomText(random)
		o.LossSettings = loss.Settings{"beta": math.Exp(random.NormFloat64() * 3)}
		o.LearningRate, o.AdamEpsilon = math.Exp(-random.Float64()*40), math.Exp(-random.Float64()*40)
		o.WarmupRatio, o.AdamBeta1, o.MaxGradNorm = random.Float64(), random.Float64(), math.Exp(random.NormFloat64()*30)
		o.Rows.Seed, o.MaxSteps, o.Rows.Shuffle = random.Int64()-math.MaxInt64/2, random.IntN(1e9), random.IntN(2) == 0
		roundTrip(t, o)
	}
	for _, sum := range []string{"[{name: dpo, weight: 0.8}, {name: bco, weight: 0.2, beta: 0.01}, sft]", "[{name: odpo, weight: 1e-3, odpo_offset: identity}, {name: fdpo, weight: 1e300}]", "dpo=0.5"} {
		roundTrip(t, input{file: "loss: " + sum + "\nbeta: 0.7"}.mustLoad(t).Options)
	}
	for _, name := range loss.Names() {
		o := input{flags: []string{"--loss=" + name}}.mustLoad(t).Options
		roundTrip(t, o)
		for _, k := range Keys() {
			_, used := o.LossSettings[k.Name]
			if want := k.uses == nil || used; strings.Contains(string(Marshal(o)), "\n# "+k.Help+"\n"+k.Name+":") != want {
				t.Errorf("loss %s: %s stands there with its help: want %v", name, k.Name, want)
			}
		}
	}
}

func roundTrip(t testing.TB, o train.Options) {
	t.Helper()
	text := Marshal(o)
	r := input{file: string(text)}.mustLoad(t)
	if !reflect.DeepEqual(r.Options, o) {
		t.Fatalf("wrote\n%+v\nread\n%+v\ntext\n%s", o, r.Options, text)
	}
	if again := Marshal(r.Options); string(again) != string(text) {
		t.Fatalf("the same settings give\n%s\nand\n%s", text, again)
	}
}

// randomText mixes what means something in YAML.
func randomText(random *rand.Rand) string {
	parts := []string{"a", "ä", "b c", " ", "\n", "\r", "\t", "\"", "'", "\\", ":", ": ", "#", " #", "-", "- ", "?", "*", "&", "!", "!!str", "%", "@", "`", "{", "[", ",", "|", ">",
		"0", "1e5", "010", "true", "no", "null", "~", ".nan", "2024-01-01", "<<", "\u0085", "\u2028", "\ufeff", "\x00", "\x7f", "\U0001f600", "=", "---", "..."}
	var b strings.Builder
	for range random.IntN(5) {
		b.WriteString(parts[random.IntN(len(parts))])
	}
	return b.String()
}

func TestDifferences(t *testing.T) {
	was := input{flags: []string{"--model=m"}}.mustLoad(t).Options
	now := was
	if got := Differences(Values(was), Values(now)); len(got) != 0 {
		t.Errorf("the same settings differ: %q", got)
	}
	for _, name := range free { // each set to something else
		k, _ := find(Keys(), name)
		switch f := reflect.ValueOf(&now).Elem().FieldByIndex(k.index); k.Kind {
		case reflect.String:
			f.SetString("other")
		case reflect.Int:
			f.SetInt(77)
		case reflect.Bool:
			f.SetBool(!f.Bool())
		default:
			f.SetFloat(77)
		}
	}
	if got := Differences(Values(was), Values(now)); len(got) != 0 {
		t.Errorf("free keys make differences: %q", got)
	}
	now.LearningRate, now.Loss, now.LossSettings, now.Rows.Shuffle, now.Rows.Seed, now.Compute.CPU = 2e-6, "sft", loss.Settings{}, false, 43, "avx2"
	want := []string{"loss: was dpo, now sft", "beta: was 0.1, now none", "shuffle: was true, now false", "seed: was 42, now 43", "cpu: was auto, now avx2", "learning_rate: was 1e-06, now 2e-06"}
	if got := Differences(Values(was), Values(now)); !slices.Equal(got, want) {
		t.Errorf("differences %q, want %q", got, want)
	}

	// Sums of losses, with the hyperparameters in them.
	one, other := input{file: "loss: [{name: dpo, weight: 0.8}, {name: bco, weight: 0.2}]"}.mustLoad(t).Options, input{file: "loss: [{name: dpo, weight: 0.8, beta: 0.2}, {name: bco, weight: 0.2}]"}.mustLoad(t).Options
	want = []string{"loss: was [{name: dpo, weight: 0.8, beta: 0.1}, {name: bco, weight: 0.2, beta: 0.1}], now [{name: dpo, weight: 0.8, beta: 0.2}, {name: bco, weight: 0.2, beta: 0.1}]"}
	if got := Differences(Values(one), Values(other)); !slices.Equal(got, want) {
		t.Errorf("differences of sums %q, want %q", got, want)
	}

	// A modifier that is off says nothing.
	off := input{file: "model: m\nwpo: false"}.mustLoad(t).Options
	on := input{file: "model: m\nwpo: true"}.mustLoad(t).Options
	if got := Differences(Values(was), Values(off)); len(got) != 0 {
		t.Errorf("wpo: false makes differences: %q", got)
	}
	if got, want := Differences(Values(was), Values(on)), []string{"wpo: was false, now true"}; !slices.Equal(got, want) {
		t.Errorf("differences %q, want %q", got, want)
	}

	// A run of an older dpotrain, which did not know all keys and had one that is gone.
	older := Values(was)
	delete(older, "optim")
	delete(older, "learning_rate")
	older["gone"] = "1"
	if got := Differences(older, Values(was)); len(got) != 0 {
		t.Errorf("keys that were not there yet make differences: %q", got)
	}
	want = []string{"learning_rate: was 1e-06, now 2e-06"}
	was.LearningRate = 2e-6
	if got := Differences(older, Values(was)); !slices.Equal(got, want) {
		t.Errorf("differences to an older run %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"beta", "bata", 1}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"kitten", "sitting", 3}, {"seed", "seeds", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) is %d, want %d", c.a, c.b, got, c.want)
		}
	}
	for name, want := range map[string]string{"bata": "beta", "lerning_rate": "learning_rate", "max_lenght": "max_length", "output": "output_dir", "batch_size": "per_device_train_batch_size",
		"MODEL_PATH": "model", "torch_compile": "", "bf16": "", "lora_r": "", "": "", "x": ""} {
		if got := suggest(Keys(), name); got != want {
			t.Errorf("for %q: %q, want %q", name, got, want)
		}
	}
}

// FuzzFile reads any bytes as a file: settings or an error, and settings are read back from what Marshal writes.
func FuzzFile(f *testing.F) {
	for _, s := range []string{"", "beta: 0.1\nloss: ipo\n", "loss_type: [sigmoid]\n", "model: !!str 7\n", "a: &a [*a]\n", "<<: {beta: 1}\n", "? {a: b}\n: c\n", "beta: 0.1\n---\n", "model: \"\\x00\"\n", "%YAML 1.1\n---\nbeta: 1\n",
		"model_name_or_path: m\ndataset_name: a/b\neval_strategy: epoch\nbf16: yes\nnum_processes: 2\n", "lr_scheduler_kwargs: {min_lr: 0}\nmodel_init_kwargs: '{\"dtype\": 1}'\n",
		"loss: [{name: dpo, weight: 0.8, beta: 0.2}, sft]\n", "loss_type: [sigmoid, sft]\nloss_weights: [0.8, 1]\n", "loss: dpo=1e-5,sft\n", "datasets: [{path: a}]\nloss_weights: [1.0]\nreport_to: [x]\ndata_seed: 1\nmax_length: null\n"} {
		f.Add([]byte(s))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Load(LoadOptions{File: path})
		if err != nil {
			if problems, ok := errors.AsType[Errors](err); !ok || !strings.HasPrefix(problems[0].Place, path) {
				t.Fatalf("%v: want Errors that name the file", err)
			}
			return
		}
		roundTrip(t, r.Options)
	})
}

// FuzzText gives any text to a flag of every type.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "1", "-0", "0.1", "1e-400", "true", "\xff", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"model", "seed", "beta", "shuffle", "loss", "cpu"} {
			if r, err := (input{flags: []string{"--" + name + "=" + text}}).load(t); err == nil {
				roundTrip(t, r.Options)
			} else if _, ok := errors.AsType[Errors](err); !ok {
				t.Fatalf("%v: want Errors", err)
			}
		}
	})
}
