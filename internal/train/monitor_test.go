package train

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/loss"
	"dpotrain/internal/testfiles"
)

// unreferenced are the losses that need no reference, and sums of them.
func unreferenced(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, info := range loss.Catalogue() {
		if !info.Needs.Reference {
			names = append(names, info.Name)
		}
	}
	if len(names) < 7 {
		t.Fatalf("only %q need no reference", names)
	}
	return append(names, "simpo=1,sft=0.5")
}

// TestMonitor: a loss that needs no reference is the same with one and without, weights and all, and with one the metrics say how far the policy
// has moved: not at all before the first update, in training, in evaluations and by the command.
func TestMonitor(t *testing.T) {
	for _, name := range unreferenced(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := resumable(t)
			o.Loss, o.NumTrainEpochs, o.EvalOnStart, o.SaveSteps = name, 0.4, true, 0
			plain := mustRun(t, o)
			contains(t, plain.stderr, "loss "+newLoss(t, name).Name()+" has no reference")
			if strings.Contains(plain.stderr, "monitor") { // there is no cache, which is as if nobody had thought of one
				t.Errorf("it speaks of monitoring:\n%s", plain.stderr)
			}
			o = elsewhere(t, o)
			o.MonitorReference = "true"
			monitored := mustRun(t, o)
			contains(t, monitored.stderr, "sequences computed", "the first step proves")
			sameFiles(t, monitored.dir, plain.dir, ConfigFile, MetricsFile, RunFile, ".dpotrain.lock")
			rows, want := monitored.rows(t), plain.rows(t)
			if len(rows) != len(want) {
				t.Fatalf("%d rows, want %d", len(rows), len(want))
			}
			added := map[string]bool{}
			for i, row := range rows {
				for metric, v := range row {
					if w, ok := want[i][metric]; !ok {
						added[metric] = true
					} else if v != w && !strings.HasSuffix(metric, "_runtime") && !strings.HasSuffix(metric, "_per_second") {
						t.Errorf("row %d: %s is %v with a reference, %v without", i, metric, v, w)
					}
				}
			}
			metrics := []string{"shift/chosen", "shift/chosen_per_token", "displacement/chosen_fell"}
			if newLoss(t, name).Needs().Rejected {
				metrics = append(metrics, "shift/rejected", "shift/rejected_per_token", "displacement/rejected_fell", "displacement/rate", "displacement/chosen_up_rejected_down",
					"displacement/both_down", "displacement/both_up", "displacement/chosen_down_rejected_up", "displacement/unmoved", "length/margin_correlation")
			}
			steps := monitored.steps(t)
			for _, metric := range metrics {
				if !added[metric] || !added["eval_"+metric] {
					t.Errorf("%s is not among what the reference adds: %v", metric, added)
				}
				start := 0.0
				if metric == "displacement/unmoved" {
					start = 1
				}
				if steps[0][metric] != start || rows[0]["eval_"+metric] != start {
					t.Errorf("%s begins at %v, in the evaluation at %v; want %v", metric, steps[0][metric], rows[0]["eval_"+metric], start)
				}
				if metric == "shift/chosen" && steps[3][metric] == 0 {
					t.Error("the policy has not moved after three steps")
				}
			}
			if len(added) != 2*len(metrics) {
				t.Errorf("the reference adds %v, want %v", added, metrics)
			}

			// What is in the cache is used without being asked for, and the command has the same numbers.
			o = elsewhere(t, o)
			o.MonitorReference = "auto"
			found := mustRun(t, o)
			contains(t, found.stderr, "all are in the cache", "the first step proves")
			sameBits(t, found, monitored)
			last := rows[len(rows)-2]
			o.RefModel = o.Model
			for _, run := range []outcome{found, plain} { // the second knows of no reference
				got, _ := evalRow(t, o, run.dir)
				for _, metric := range metrics {
					if got[metric] != last["eval_"+metric] {
						t.Errorf("eval: %s is %v, want %v", metric, got[metric], last["eval_"+metric])
					}
				}
			}
			o.MonitorReference = "false"
			got, _ := evalRow(t, o, found.dir)
			if _, ok := got["shift/chosen"]; ok || got["loss"] != last["eval_loss"] {
				t.Errorf("eval without a reference: %v", got)
			}
		})
	}
}

// TestMonitorEvalRef: a reference that eval is given is measured against, with no cache, and with one that has other rows.
func TestMonitorEvalRef(t *testing.T) {
	o := tiny(t)
	o.Loss = "orpo"
	var out, errs bytes.Buffer
	for _, cached := range []bool{false, true} {
		if cached {
			some := o
			some.RefCacheDir = filepath.Join(t.TempDir(), "cache")
			some.Loss, some.Data = "dpo", head(t, o.Data, 10)
			if err := PrecomputeRef(t.Context(), request(some, &out, &errs, nil)); err != nil {
				t.Fatal(err)
			}
			o.RefCacheDir = some.RefCacheDir
		}
		out.Reset()
		if err := Eval(t.Context(), request(o, &out, &errs, nil), EvalOptions{Ref: o.Model, JSON: true, LossGiven: true}); err != nil {
			t.Fatal(err)
		}
		var got row
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if shift, ok := got["shift/chosen"]; !ok || shift != 0 {
			t.Errorf("with a cache %v: shift/chosen is %v, %v; want 0", cached, shift, ok)
		}
	}
}

// TestMonitorAuto: nothing is computed, and what is missing or broken is no obstacle.
func TestMonitorAuto(t *testing.T) {
	o := tiny(t)
	o.Loss, o.MaxSteps = "orpo", 1
	var out, errs bytes.Buffer
	some := o
	some.Loss, some.Data = "dpo", head(t, o.Data, 10)
	if err := PrecomputeRef(t.Context(), request(some, &out, &errs, nil)); err != nil {
		t.Fatal(err)
	}
	path := onlyCache(t, o.RefCacheDir)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	unmonitored := func(why ...string) {
		t.Helper()
		o := elsewhere(t, o)
		r := mustRun(t, o)
		contains(t, r.stderr, append(why, "monitor_reference: auto", "true computes what is missing", "loss orpo has no reference")...)
		if _, ok := r.steps(t)[0]["shift/chosen"]; ok {
			t.Error("there is a shift")
		}
		if after, err := os.ReadFile(path); err == nil && !bytes.Equal(after, before) {
			t.Error("the cache was written to")
		}
	}
	unmonitored(path + " has no log-probs for ")
	damaged := bytes.Clone(before)
	damaged[len(damaged)/2] ^= 1
	if err := os.WriteFile(path, damaged, 0o666); err != nil {
		t.Fatal(err)
	}
	before = damaged
	unmonitored(path, "damaged")

	// The run that was not monitored goes on so, even if the cache has all by now; and the other way round.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	o.MaxSteps, o.LoggingSteps, o.SaveSteps = 4, 1, 3
	for _, first := range []bool{false, true} {
		o := elsewhere(t, o)
		o.RefCacheDir = filepath.Join(t.TempDir(), "cache")
		compute := func() {
			t.Helper()
			all := o
			all.MonitorReference = "true"
			if err := PrecomputeRef(t.Context(), request(all, &out, &errs, nil)); err != nil {
				t.Fatal(err)
			}
		}
		if first {
			compute()
		}
		whole := mustRun(t, o)
		o = elsewhere(t, o)
		mustStop(t, o, 2)
		if first {
			if err := os.RemoveAll(o.RefCacheDir); err != nil {
				t.Fatal(err)
			}
		} else {
			compute()
		}
		o.ResumeFromCheckpoint = "latest"
		sameBits(t, mustRun(t, o), whole)
		if _, ok := whole.steps(t)[3]["shift/chosen"]; ok != first {
			t.Errorf("a shift: %v, want %v", ok, first)
		}
	}
}

// onlyCache is the only cache file in a folder.
func onlyCache(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.refs"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%q, %v, want one cache file", paths, err)
	}
	return paths[0]
}

// TestMonitorProof: a cache that lies is found out by a loss that needs no reference too.
func TestMonitorProof(t *testing.T) {
	for _, name := range []string{"sft", "simpo"} {
		o := tiny(t)
		o.Loss, o.Rows.Shuffle, o.MonitorReference = name, false, "true"
		var out, errs bytes.Buffer
		if err := PrecomputeRef(t.Context(), request(o, &out, &errs, nil)); err != nil {
			t.Fatal(err)
		}
		forge(t, o.RefCacheDir, 0)
		if _, err := tryRun(t, o, 0); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			contains(t, err.Error(), o.Data+":1: ", "the same model", "log-prob of chosen", "precompute-ref")
		}
	}
}

// TestMonitorBest: an evaluation's shift may choose the best checkpoint.
func TestMonitorBest(t *testing.T) {
	o := resumable(t)
	o.Loss, o.MonitorReference, o.MetricForBestModel, o.NumTrainEpochs = "simpo", "true", "shift/chosen", 0.8
	rows := mustRun(t, o).rows(t)
	if v, ok := rows[len(rows)-1]["best_metric"]; !ok || v == 0 {
		text, _ := json.Marshal(rows[len(rows)-1])
		t.Errorf("last line %s", text)
	}
}

// TestMonitorMemory: the plan of a run that may only look for log-probs has no reference pass; that of one which computes them has.
func TestMonitorMemory(t *testing.T) {
	o := tiny(t)
	o.Loss, o.RefModel = "simpo", testfiles.Path(t, "models", "llama")
	parts := func(monitor string) (names []string) {
		o := o
		o.MonitorReference = monitor
		for _, phase := range runnerOf(t, o).planned.phases {
			for _, part := range phase.Parts {
				names = append(names, phase.Name+": "+part.Name)
			}
		}
		return names
	}
	for _, tt := range []struct {
		monitor    string
		cache      bool
		read, pass bool // the plan has the cache's index, and the activations of the pass
	}{{"false", true, false, false}, {"auto", false, false, false}, {"true", false, true, true}, {"auto", true, true, false}} {
		if tt.cache {
			if err := os.MkdirAll(o.RefCacheDir, 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(o.RefCacheDir, "x.refs"), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		} else if err := os.RemoveAll(o.RefCacheDir); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(parts(tt.monitor), "\n")
		if read, pass := strings.Contains(text, "reference pass: reference log-probs"), strings.Contains(text, "reference pass: activations"); read != tt.read || pass != tt.pass {
			t.Errorf("%+v: the plan has\n%s", tt, text)
		}
	}
}
