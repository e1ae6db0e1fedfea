package train

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// resumable are options of a run of two epochs of ten steps, the last of which is short, and two steps more, that evaluates and saves on the
// way. Two pairs times three micro-steps make a step.
func resumable(t testing.TB) Options {
	o := tiny(t)
	o.Data = head(t, testfiles.Path(t, "pairs.jsonl"), 58)
	o.EvalData = testfiles.Path(t, "pairs_eval.jsonl")
	o.PerDeviceTrainBatchSize, o.GradientAccumulationSteps = 2, 3
	o.MicroBatchTokens = 128
	o.NumTrainEpochs = 2.2
	o.WarmupSteps = 3
	o.WeightDecay = 0.1
	o.LoggingSteps = 1
	o.EvalSteps = 4
	o.SaveSteps = 7
	return o
}

// elsewhere are the same options with folders of their own. What the reference said is shared.
func elsewhere(t testing.TB, o Options) Options {
	o.OutputDir = filepath.Join(t.TempDir(), "run")
	return o
}

// mustStop trains and interrupts after a step.
func mustStop(t testing.TB, o Options, step int) outcome {
	t.Helper()
	r, err := tryRun(t, o, step)
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("stopping after step %d: %v, want %v\n%s", step, err, ErrInterrupted, r.stderr)
	}
	for _, want := range []string{fmt.Sprintf("after step %d of ", step), filepath.Join(o.OutputDir, fmt.Sprintf("checkpoint-%d", step)), "--resume"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	return r
}

// TestResume stops runs after each step of their second epoch and goes on with them, with another number of threads.
func TestResume(t *testing.T) {
	for dtype, each := range map[string]int{"float32": 1, "bfloat16": 4} {
		t.Run(dtype, func(t *testing.T) {
			o := resumable(t)
			o.SaveDtype = dtype
			whole := mustRun(t, o)
			if got := len(whole.steps(t)); got != 22 {
				t.Fatalf("%d steps, want 22", got)
			}
			for step := 10; step < 20; step += each {
				t.Run(fmt.Sprint("step ", step), func(t *testing.T) {
					t.Parallel()
					o := elsewhere(t, o)
					mustStop(t, o, step)
					o.ResumeFromCheckpoint = "latest"
					o.Compute.Threads = 1 + step%2
					sameBits(t, mustRun(t, o), whole)
				})
			}
		})
	}
}

// TestResumeAgain stops a run at random steps, again and again.
func TestResumeAgain(t *testing.T) {
	const seed = 20261
	t.Log("seed", seed)
	o := resumable(t)
	whole := mustRun(t, o)
	o = elsewhere(t, o)
	random := rand.New(rand.NewPCG(seed, 0))
	for step := 1 + random.IntN(5); step < 22; step += 1 + random.IntN(8) {
		mustStop(t, o, step)
		o.ResumeFromCheckpoint = "latest"
	}
	sameBits(t, mustRun(t, o), whole)
}

// TestResumePath goes on from a checkpoint that is not the newest.
func TestResumePath(t *testing.T) {
	o := resumable(t)
	whole := mustRun(t, o)
	copied := elsewhere(t, o)
	if err := os.CopyFS(copied.OutputDir, os.DirFS(o.OutputDir)); err != nil {
		t.Fatal(err)
	}
	copied.ResumeFromCheckpoint = filepath.Join(copied.OutputDir, "checkpoint-14")
	again := mustStop(t, copied, 17)
	if want := "going on from " + copied.ResumeFromCheckpoint + ", step 14"; !strings.Contains(again.stderr, want) {
		t.Errorf("stderr lacks %q:\n%s", want, again.stderr)
	}
	if strings.Contains(again.stderr, "step 14/") || !strings.Contains(again.stderr, "step 15/22") {
		t.Errorf("the first step is not the 15th:\n%s", again.stderr)
	}

	// There are newer checkpoints than that of step 17, of steps that metrics.jsonl has no lines of any more.
	copied.ResumeFromCheckpoint = "latest"
	again = mustRun(t, copied)
	sameBits(t, again, whole)
	for _, want := range []string{"checkpoint-21: metrics.jsonl ends before step 21; passing it over", "checkpoint-17, step 17"} {
		if !strings.Contains(again.stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, again.stderr)
		}
	}
}

func TestResumeRefuses(t *testing.T) {
	base := resumable(t)
	base.SaveSteps = 5
	base.MaxSteps = 6
	mustRun(t, base)
	tests := []struct {
		name   string
		change func(t *testing.T, o *Options)
		want   []string
	}{
		{"other training data", func(t *testing.T, o *Options) { o.Data = head(t, o.Data, 57) }, []string{"data ", "pairs.jsonl", "changed"}},
		{"other held-out data", func(t *testing.T, o *Options) { o.EvalData = head(t, o.EvalData, 19) }, []string{"eval_data ", "pairs_eval.jsonl", "changed"}},
		{"held-out data gone", func(t *testing.T, o *Options) { o.EvalData = "" }, []string{"eval_data: not given, and the run began with one"}},
		{"another reference", func(t *testing.T, o *Options) { o.RefModel = scaled(t, o.Model, 1.5) }, []string{"ref_model ", "scaled", "not the model that the run began with"}},
		{"no checkpoint", func(t *testing.T, o *Options) { o.OutputDir = t.TempDir() }, []string{"there is no run in output_dir"}},
		{"no such folder", func(t *testing.T, o *Options) { o.ResumeFromCheckpoint = filepath.Join(o.OutputDir, "checkpoint-4") },
			[]string{"checkpoint-4: no such checkpoint", "of which there are", "checkpoint-5"}},
		{"a folder of others", func(t *testing.T, o *Options) { o.ResumeFromCheckpoint = o.Model }, []string{"models/llama: no checkpoint", "name another"}},
		{"another run's checkpoint", func(t *testing.T, o *Options) {
			*o = elsewhere(t, *o)
			o.ResumeFromCheckpoint = ""
			mustRun(t, *o)
			o.ResumeFromCheckpoint = filepath.Join(base.OutputDir, "checkpoint-5")
		}, []string{filepath.Join(base.OutputDir, "checkpoint-5"), "output_dir", "another run"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := base
			o.ResumeFromCheckpoint = "latest"
			tt.change(t, &o)
			r, err := tryRun(t, o, 0)
			if err == nil {
				t.Fatalf("no error\n%s", r.stderr)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q in it", err, want)
				}
			}
		})
	}
}

// TestGradientCheckpointing: a run that computes blocks again on the way back gives the same bits, also when it is switched on in the middle.
func TestGradientCheckpointing(t *testing.T) {
	o := resumable(t)
	o.NumTrainEpochs = 0.8
	want := mustRun(t, o)
	o = elsewhere(t, o)
	o.GradientCheckpointing = true
	sameBits(t, mustRun(t, o), want)
	o = elsewhere(t, o)
	o.GradientCheckpointing = false
	mustStop(t, o, 3)
	o.ResumeFromCheckpoint, o.GradientCheckpointing = "latest", true
	sameBits(t, mustRun(t, o), want)
}
