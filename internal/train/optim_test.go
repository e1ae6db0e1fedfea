package train

import (
	"math"
	"os"
	"path/filepath"

	"testing"
)

// TestAdamWBF16 trains with moments of bf16: what is learnt is nearly what float32 learns.
func TestAdamWBF16(t *testing.T) {
	o := tiny(t)
	o.NumTrainEpochs = 2
	want := mustRun(t, o).steps(t)
	o = elsewhere(t, o)
	o.Optim = "adamw_bf16"
	got := mustRun(t, o).steps(t)
	last := len(want) - 1
	var differ bool
	for _, name := range []string{"loss", "rewards/margins"} {
		a, b, begin := got[last][name], want[last][name], want[0][name]
		if math.Abs(a-b) > 0.05*math.Abs(b-begin) {
			t.Errorf("%s went from %v to %v, in float32 to %v; want it within 5 %% of the way", name, begin, a, b)
		}
		differ = differ || a != b
	}
	if !differ {
		t.Error("the same as in float32")
	}
}

// TestResumeAdamWBF16: a resumed run and other numbers of threads give the bits of the whole run, and the moments take half the room.
func TestResumeAdamWBF16(t *testing.T) {
	o := resumable(t)
	o.NumTrainEpochs = 0.8
	float32Size := fileSize(t, lastCheckpoint(t, mustRun(t, o).dir), "dpotrain", "optimizer.safetensors")
	o = elsewhere(t, o)
	o.Optim = "adamw_bf16"
	want := mustRun(t, o)
	size := fileSize(t, lastCheckpoint(t, want.dir), "dpotrain", "optimizer.safetensors")
	if header := int64(20000); size > float32Size/2+header || size < float32Size/2-header {
		t.Errorf("the moments take %d bytes, in float32 %d", size, float32Size)
	}
	for step, threads := range map[int]int{2: 2, 5: 3} {
		o := elsewhere(t, o)
		mustStop(t, o, step)
		o.ResumeFromCheckpoint, o.Compute.Threads = "latest", threads
		sameBits(t, mustRun(t, o), want)
	}
}

func fileSize(t *testing.T, path ...string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
