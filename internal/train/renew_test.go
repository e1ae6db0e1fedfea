package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/safetensors"
)

// renewing are options of a resumable run of eleven steps, an epoch and one step more, whose reference is renewed after every n.
func renewing(t testing.TB, n int) Options {
	o := resumable(t)
	o.NumTrainEpochs, o.SaveSteps, o.ReferenceUpdateSteps = 1.1, 1, &n
	return o
}

// referenceSteps are the values of reference_step in the lines of steps.
func (r outcome) referenceSteps(t testing.TB) (list []int) {
	t.Helper()
	for _, one := range r.rows(t) {
		if _, ok := one["loss"]; ok {
			list = append(list, int(one["reference_step"]))
		}
	}
	return list
}

// TestRenewNever: a run whose reference would be renewed after its last step, or later, is one whose reference is not renewed.
func TestRenewNever(t *testing.T) {
	o := renewing(t, 1)
	o.ReferenceUpdateSteps = nil
	plain := mustRun(t, o)
	for _, n := range []int{11, 100} {
		o := elsewhere(t, o)
		o.ReferenceUpdateSteps = &n
		r := mustRun(t, o)
		contains(t, r.stderr, fmt.Sprintf("reference_update_steps: %d is not below the 11 steps of the run", n))
		if strings.Contains(r.stderr, "reference renewed after") {
			t.Errorf("it was renewed:\n%s", r.stderr)
		}
		sameFiles(t, r.dir, plain.dir, ConfigFile, MetricsFile, ".dpotrain.lock")
		rows := r.rows(t)
		for i, want := range plain.rows(t) {
			if v, ok := rows[i]["reference_step"]; v != 0 || ok == (i == len(rows)-1) {
				t.Errorf("row %d: reference_step %v, %v", i, v, ok)
			}
			for metric, w := range want {
				if v := rows[i][metric]; v != w && !strings.HasSuffix(metric, "_runtime") && !strings.HasSuffix(metric, "_per_second") {
					t.Errorf("row %d: %s is %v, want %v", i, metric, v, w)
				}
			}
		}
	}
}

// tensorsOf are all tensors of a file.
func tensorsOf(t *testing.T, f *safetensors.File) (list []safetensors.Tensor) {
	t.Helper()
	for _, name := range f.Names() {
		one, _ := f.Tensor(name)
		list = append(list, one)
	}
	return list
}

// TestRenewHard: a renewal is what starting again would be, with the model so far as model and reference, and the optimizer as it is: the same
// bits in every number, up to the next renewal.
func TestRenewHard(t *testing.T) {
	const n = 4
	for _, name := range []string{"dpo", "aot", "ipo", "mallows_dpo"} {
		o := renewing(t, n)
		o.Loss = name
		r := mustRun(t, o)
		contains(t, r.stderr, "reference renewed every 4 steps: 1 of the policy, 0 of the reference before", "reference renewed after step 4: ", "reference renewed after step 8: ")
		if got, want := r.referenceSteps(t), []int{0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8}; !slices.Equal(got, want) {
			t.Fatalf("%s: reference_step %v, want %v", name, got, want)
		}
		for _, k := range []int{4, 8} {
			one := r.steps(t)[k]
			if one["rewards/margins"] != 0 || one["shift/chosen"] != 0 || one["displacement/unmoved"] != 1 {
				t.Errorf("%s: right after the renewal policy and reference differ: %v", name, one)
			}
			// The evaluation after the last step before is measured against the old reference.
			for _, row := range r.rows(t) {
				if _, ok := row["eval_loss"]; ok && int(row["step"]) == k && (row["eval_shift/chosen"] == 0 || int(row["reference_step"]) != k-n) {
					t.Errorf("%s: evaluation %v", name, row)
				}
			}

			// The run that starts again from checkpoint k, with a reference that stays as it is.
			again := elsewhere(t, o)
			again.ReferenceUpdateSteps = nil
			again.RefModel = filepath.Join(r.dir, fmt.Sprintf("checkpoint-%d", k))
			fork(t, again.RefModel, r.dir, again.OutputDir)
			again.ResumeFromCheckpoint = "latest"
			if k+n < 11 {
				again.LoggingSteps = 1
				mustStop(t, again, k+n)
			} else {
				mustRun(t, again)
			}
			got, want := outcome{dir: again.OutputDir}.steps(t), r.steps(t)
			for i := k; i < min(k+n, 11); i++ {
				delete(want[i], "reference_step")
				if fmt.Sprint(got[i]) != fmt.Sprint(want[i]) {
					t.Errorf("%s, step %d: after a renewal\n%v\nstarted again\n%v", name, i+1, want[i], got[i])
				}
			}
		}
	}
}

// fork makes a run of its own, with the metrics so far, of a checkpoint whose model is to be the reference from there on.
func fork(t *testing.T, path, run, to string) {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	weights, err := c.Weights()
	if err != nil {
		t.Fatal(err)
	}
	moments, err := c.Moments()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(path, device(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.IsDir() && e.Name() != "model.safetensors" {
			if files[e.Name()], err = os.ReadFile(filepath.Join(path, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	var info map[string]any
	if err := json.Unmarshal(files[RunFile], &info); err != nil {
		t.Fatal(err)
	}
	info["reference"] = m.Digest().String()
	if files[RunFile], err = json.Marshal(info); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Save(to, checkpoint.Contents{Weights: tensorsOf(t, weights), Moments: tensorsOf(t, moments), Files: files, State: c.State}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(run, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, MetricsFile), text[:c.State.MetricsBytes], 0o666); err != nil {
		t.Fatal(err)
	}
}

// referenceWeights are those that a checkpoint has of a renewed reference, nil if it has none.
func referenceWeights(t *testing.T, path string) map[string][]float32 {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := c.Reference()
	if err != nil {
		t.Fatal(err)
	}
	if f == nil {
		return nil
	}
	weights := map[string][]float32{}
	for _, x := range tensorsOf(t, f) {
		weights[x.Name] = make([]float32, x.Len())
		if err := x.Float32(weights[x.Name]); err != nil {
			t.Fatal(err)
		}
	}
	return weights
}

// TestRenewSoft: with a mixup the reference goes a share of the way to the policy, from a ref_model of another folder too, and what an evaluation
// is measured against is that model: the command with it as reference has the same numbers.
func TestRenewSoft(t *testing.T) {
	for _, other := range []bool{false, true} {
		o := renewing(t, 4)
		o.ReferenceMixup, o.EvalSteps = 0.6, 1
		if o.RefModel = o.Model; other {
			o.RefModel = scaled(t, o.Model, 0.9)
		}
		r := mustRun(t, o)
		want := weightsOf(t, o.RefModel)
		for step := 1; step <= 11; step++ {
			path := filepath.Join(r.dir, fmt.Sprintf("checkpoint-%d", step))
			if step == 5 || step == 9 {
				for name, policy := range weightsOf(t, filepath.Join(r.dir, fmt.Sprintf("checkpoint-%d", step-1))) {
					for i, p := range policy {
						want[name][i] = float32(0.6*float64(p) + (1-0.6)*float64(want[name][i]))
					}
				}
			}
			got := referenceWeights(t, path)
			if step <= 4 {
				if got != nil {
					t.Errorf("the checkpoint of step %d has a renewed reference", step)
				}
				continue
			}
			for name, w := range want {
				if !slices.Equal(got[name], w) {
					t.Fatalf("step %d: %s of the reference is not what was mixed", step, name)
				}
			}
			if step != 7 && step != 11 {
				continue
			}
			ref := filepath.Join(t.TempDir(), "reference")
			if err := os.CopyFS(ref, os.DirFS(o.Model)); err != nil {
				t.Fatal(err)
			}
			c, err := checkpoint.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			f, err := c.Reference()
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := safetensors.Write(&b, tensorsOf(t, f), nil); err != nil {
				t.Fatal(err)
			}
			c.Close()
			if err := os.WriteFile(filepath.Join(ref, "model.safetensors"), b.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
			e := o
			e.Model, e.Data = path, o.EvalData
			var out, errs bytes.Buffer
			if err := Eval(t.Context(), request(e, &out, &errs, nil), EvalOptions{Ref: ref, JSON: true, LossGiven: true}); err != nil {
				t.Fatal(err)
			}
			var numbers row
			if err := json.Unmarshal(out.Bytes(), &numbers); err != nil {
				t.Fatal(err)
			}
			for _, row := range r.rows(t) {
				if _, ok := row["eval_loss"]; !ok || int(row["step"]) != step {
					continue
				}
				for _, metric := range []string{"loss", "rewards/margins", "shift/chosen", "shift/rejected", "length/margin_correlation"} {
					if row["eval_"+metric] != numbers[metric] || metric == "shift/chosen" && numbers[metric] == 0 {
						t.Errorf("step %d: eval_%s is %v, by the command %v", step, metric, row["eval_"+metric], numbers[metric])
					}
				}
			}
		}
	}
}

// TestRenewResume stops runs whose reference is renewed after every step, and goes on with them to the same bits: whatever the loss remembers
// or sees, where weights are saved in another format, and with a cache that has gone.
func TestRenewResume(t *testing.T) {
	for _, tt := range []struct {
		loss, dtype string
		mixup       float64
		each        int
	}{{"dpo", "float32", 1, 1}, {"dpo", "bfloat16", 0.6, 2}, {"kto", "float32", 0.5, 3}, {"bco", "float32", 1, 3}, {"beta_dpo", "float32", 1, 4}, {"aot", "float32", 0.6, 4}, {"mallows_dpo", "float32", 1, 4}} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			t.Parallel()
			o := renewing(t, 3)
			o.Loss, o.SaveDtype, o.ReferenceMixup, o.EvalSteps = tt.loss, tt.dtype, tt.mixup, 2
			o.MetricForBestModel, o.LoadBestModelAtEnd = "rewards/margins", true
			if tt.loss == "kto" {
				o.Data, o.EvalData = unpaired(t, o.Data, 36), unpaired(t, o.EvalData, 6)
			}
			whole := mustRun(t, o)
			if total := len(whole.steps(t)); total != 11 {
				t.Fatalf("%d steps, want 11", total)
			}
			for step := 1; step < 11; step += tt.each {
				o := elsewhere(t, o)
				mustStop(t, o, step)
				if err := os.RemoveAll(o.RefCacheDir); err != nil {
					t.Fatal(err)
				}
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
		})
	}
}

// TestRenewRefuses: what cannot be renewed or gone on with.
func TestRenewRefuses(t *testing.T) {
	o := renewing(t, 3)
	o.ReferenceMixup = 0.5
	o.RefModel = filepath.Join(t.TempDir(), "other")
	text, err := os.ReadFile(filepath.Join(o.Model, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), `"num_hidden_layers": 2`, `"num_hidden_layers": 1`, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{Config: config, Tokenizer: o.Model, Output: o.RefModel, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := tryRun(t, o, 0); err == nil {
		t.Error("models of two architectures are mixed")
	} else {
		contains(t, err.Error(), "reference_mixup: 0.5: ref_model "+o.RefModel+" has another architecture than model "+o.Model, "give reference_mixup: 1")
	}
	o.ReferenceMixup, o.MaxSteps = 1, 5
	r := mustRun(t, o)
	path := filepath.Join(r.dir, "checkpoint-5")
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := c.Weights()
	if err != nil {
		t.Fatal(err)
	}
	moments, err := c.Moments()
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadFile(filepath.Join(path, RunFile))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile(filepath.Join(path, "config.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Save(r.dir, checkpoint.Contents{Weights: tensorsOf(t, weights), Moments: tensorsOf(t, moments), Files: map[string][]byte{RunFile: files, "config.json": text}, State: c.State}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	o.MaxSteps, o.ResumeFromCheckpoint = 7, "latest"
	if _, err := tryRun(t, o, 0); err == nil {
		t.Error("it goes on without the reference")
	} else {
		contains(t, err.Error(), "resume: "+path+" has no weights of the renewed reference; resume from another checkpoint")
	}
}

// TestRenewSkip: steps that are skipped do not keep the reference from being renewed.
func TestRenewSkip(t *testing.T) {
	n := 1
	o := tiny(t)
	o.LossSettings, o.OnNonfinite, o.ReferenceUpdateSteps = loss.Settings{"beta": 1e300}, "skip", &n
	o.Data, o.NumTrainEpochs = head(t, o.Data, 12), 1
	r := mustRun(t, o)
	contains(t, r.stderr, "3 of 3 steps were skipped")
	if text, err := os.ReadFile(filepath.Join(r.dir, MetricsFile)); err != nil || !strings.Contains(string(text), `"reference_step": 2`) {
		t.Errorf("%v, metrics\n%s", err, text)
	}
}

// TestRenewLearning: with a reference that follows it a model learns four pairs too, and goes further from where it began than with one that stays.
func TestRenewLearning(t *testing.T) {
	moved := map[int]float64{}
	for _, n := range []int{1000, 5} {
		o := tiny(t)
		o.Data = head(t, o.Data, 4)
		o.MaxSteps, o.LearningRate, o.ReferenceUpdateSteps = 30, 3e-3, &n
		r := mustRun(t, o)
		o.EvalData = o.Data
		got, _ := evalRow(t, o, r.dir) // against the model that it began as
		if got["rewards/accuracies"] != 1 {
			t.Errorf("renewed every %d steps: reward accuracy %v", n, got["rewards/accuracies"])
		}
		moved[n] = got["rewards/margins"]
	}
	if !(moved[5] > moved[1000]) {
		t.Errorf("margins by steps between renewals: %v", moved)
	}
}

// TestRenewMemory: the plan has the reference, and no batch that it is given is larger than planned.
func TestRenewMemory(t *testing.T) {
	for _, name := range []string{"dpo", "kto"} {
		o := renewing(t, 2)
		if o.Loss = name; name == "kto" {
			o.Data, o.EvalData = unpaired(t, o.Data, 36), unpaired(t, o.EvalData, 6)
		}
		r := runnerOf(t, o)
		phase := r.planned.phases[len(r.planned.phases)-1]
		i := slices.IndexFunc(phase.Parts, func(part plan.Part) bool { return part.Name == "reference" })
		if i < 0 || phase.Parts[i].Bytes < 4*int64(r.planned.policy.Parameters()) {
			t.Fatalf("%s: no part for the reference's weights in %+v", name, phase.Parts)
		}
		rows := make([]int, 0, 100)
		for step := range r.schedule.total {
			list, _ := r.examples(step)
			rows = rows[:0]
			for _, e := range list {
				rows = append(rows, data.Rows(e))
			}
			for _, part := range plan.Cut(rows, o.MicroBatchTokens) {
				sum := 0
				for _, n := range rows[part.From:part.To] {
					sum += n
				}
				if sum > r.planned.renewal.Rows {
					t.Errorf("%s, step %d: %d rows, planned %d", name, step+1, sum, r.planned.renewal.Rows)
				}
			}
		}
	}
}
