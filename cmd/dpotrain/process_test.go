package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/testfiles"
)

// process is a dpotrain command in a process of its own, which tests kill.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan struct{} // closed when its stderr has ended

	mu  sync.Mutex
	log strings.Builder
}

// start runs a command in a process of its own, until the test ends at the latest.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.kill() })
	go func() {
		defer close(p.ended)
		for in := bufio.NewReader(stderr); ; {
			line, err := in.ReadString('\n')
			p.mu.Lock()
			p.log.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return p
}

// said is all that the process has written to stderr.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// until waits for something to become true, which it has to before the process ends.
func (p *process) until(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(200 * time.Microsecond) {
		select {
		case <-p.ended:
			if ok() {
				return
			}
			p.t.Fatalf("the process ended without %s:\n%s", what, p.said())
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("after a minute there is no %s:\n%s", what, p.said())
		}
	}
}

// says waits for a text on stderr.
func (p *process) says(text string) {
	p.t.Helper()
	p.until(text, func() bool { return strings.Contains(p.said(), text) })
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the process as kill -9 does.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	p.wait()
}

// wait returns the exit code, -1 for a process that was killed.
func (p *process) wait() int {
	<-p.ended
	_ = p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// slowPlace is a place with a model of half a million parameters, whose steps and saves take long enough to be hit.
func slowPlace(t *testing.T) place {
	t.Helper()
	p := newPlace(t)
	config := strings.NewReplacer(`"hidden_size": 36`, `"hidden_size": 96`, `"head_dim": 10`, `"head_dim": 24`, `"intermediate_size": 60`, `"intermediate_size": 256`,
		`"num_hidden_layers": 2`, `"num_hidden_layers": 4`).Replace(read(t, testfiles.Path(t, "models", "llama", "config.json")))
	p.model = filepath.Join(p.dir, "slow")
	dpotrain(t, "init", "--config", p.write(t, "config.json", config), "--tokenizer", testfiles.Path(t, "tokenizer"), "--output", p.model)
	return p
}

// manyPairs writes a file of different pairs.
func (p place) manyPairs(t *testing.T, n int) string {
	t.Helper()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"prompt": "The old owl took lamp %d to the river.", "chosen": " All were glad by the hill.", "rejected": " The hen fell ill by the wood."}`+"\n", i)
	}
	return p.write(t, "many.jsonl", b.String())
}

// slowRun is a command line of 24 steps with a checkpoint after each fourth.
func (p place) slowRun(t *testing.T, dir string, more ...string) []string {
	return append([]string{"train", "--model", p.model, "--data", testfiles.Path(t, "pairs.jsonl"), "--eval-data", testfiles.Path(t, "pairs_eval.jsonl"), "--output-dir", dir,
		"--ref-cache-dir", p.cache, "--per-device-train-batch-size", "5", "--num-train-epochs", "2", "--learning-rate", "1e-3", "--logging-steps", "1", "--eval-steps", "10",
		"--save-steps", "4", "--threads", "1"}, more...)
}

// goOn are the flags with which a run is started again after it was killed.
func goOn(t *testing.T, dir string) string {
	t.Helper()
	if steps, err := checkpoint.List(dir); err != nil {
		t.Fatal(err)
	} else if len(steps) > 0 {
		return "--resume"
	}
	return "--overwrite" // it was killed before the first checkpoint, or before it had begun
}

// unfinished are the names of half-written checkpoints.
func unfinished(t *testing.T, dir string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(dir, ".checkpoint-*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestKill kills runs with kill -9. The next start goes on from the last checkpoint, and the run ends with the bits of one
// that was left alone.
func TestKill(t *testing.T) {
	const seed = 42
	t.Log("seed", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	p := slowPlace(t)
	alone := filepath.Join(p.dir, "alone")
	_, log := dpotrain(t, p.slowRun(t, alone)...)
	contains(t, log, "step 24/24")

	finish := func(t *testing.T, dir string) {
		t.Helper()
		_, log := dpotrain(t, p.slowRun(t, dir, goOn(t, dir))...)
		contains(t, log, "step 24/24")
		sameRun(t, dir, alone)
		if left := unfinished(t, dir); len(left) > 0 {
			t.Errorf("left behind: %q", left)
		}
	}
	t.Run("inside a step", func(t *testing.T) {
		dir := filepath.Join(p.dir, "step")
		for _, step := range []int{2, 6, 11, 15} {
			run := start(t, p.slowRun(t, dir, goOn(t, dir))...)
			run.says(fmt.Sprintf("\nstep %d/24 ", step)) // the next has begun
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			run.kill()
			steps, err := checkpoint.List(dir)
			if err != nil || step > 4 && len(steps) == 0 {
				t.Fatalf("killed after step %d: checkpoints of steps %v, %v", step, steps, err)
			}
			if step > 4 {
				contains(t, start(t, p.slowRun(t, dir, "--resume", "--learning-rate", "1")...).refused(), "learning_rate: was 0.001, now 1")
			}
		}
		finish(t, dir)
	})
	t.Run("inside a save", func(t *testing.T) {
		dir := filepath.Join(p.dir, "save")
		for hits, tries := 0, 0; hits < 4; tries++ {
			if tries == 40 {
				t.Fatalf("only %d of %d kills hit a save", hits, tries)
			}
			run := start(t, p.slowRun(t, dir, goOn(t, dir))...)
			run.until("a save", func() bool { return len(unfinished(t, dir)) > 0 })
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			run.kill()
			if len(unfinished(t, dir)) > 0 {
				hits++
			}
			if strings.Contains(run.said(), "\nstep 24/24 ") { // begin again
				if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
			}
		}
		finish(t, dir)
	})
	t.Run("with a reference that is renewed", func(t *testing.T) {
		renews := []string{"--reference-update-steps", "3", "--reference-mixup", "0.6"}
		alone := filepath.Join(p.dir, "renewed alone")
		dpotrain(t, p.slowRun(t, alone, renews...)...)
		dir := filepath.Join(p.dir, "renewed")
		for _, step := range []int{5, 9, 18} { // after checkpoints of steps 4, 8 and 16, of which the first has a reference already
			run := start(t, p.slowRun(t, dir, append(renews, goOn(t, dir))...)...)
			run.says(fmt.Sprintf("\nstep %d/24 ", step))
			time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
			run.kill()
		}
		dpotrain(t, p.slowRun(t, dir, append(renews, goOn(t, dir))...)...)
		sameRun(t, dir, alone)
	})
	t.Run("inside pass one", func(t *testing.T) {
		pass := []string{"precompute-ref", "--model", p.model, "--data", p.manyPairs(t, 1500), "--ref-cache-dir", filepath.Join(p.dir, "refs"), "--threads", "1"}
		run := start(t, pass...)
		run.until("a cache file", func() bool {
			files, _ := filepath.Glob(filepath.Join(p.dir, "refs", "*.refs"))
			if len(files) == 0 {
				return false
			}
			info, err := os.Stat(files[0])
			return err == nil && info.Size() > 20_000
		})
		run.kill()
		out, _ := dpotrain(t, pass...)
		m := regexp.MustCompile(`: ([0-9,]+) sequences computed .* ([0-9,]+) reused \(`).FindStringSubmatch(out)
		if m == nil || m[1] == "0" || m[2] == "0" {
			t.Errorf("after a kill: %q of %s, want some computed and some reused", m, out)
		}
	})
}

// refused waits for a process that has to fail, and returns what it said.
func (p *process) refused() string {
	p.t.Helper()
	if code := p.wait(); code != exitUsage {
		p.t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	return p.said()
}

// TestSignals: the first signal ends the run after its step, with a checkpoint; the second at once.
func TestSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals can be sent on Windows")
	}
	p := slowPlace(t)
	alone := filepath.Join(p.dir, "alone")
	dpotrain(t, p.slowRun(t, alone)...)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(s.String(), func(t *testing.T) {
			dir := filepath.Join(p.dir, s.String())
			run := start(t, p.slowRun(t, dir, "--save-steps", "0")...)
			run.says("\nstep 3/24 ")
			run.signal(s)
			if code := run.wait(); code != exitInterrupted {
				t.Errorf("exit code %d, want %d", code, exitInterrupted)
			}
			said := run.said()
			contains(t, said, "stopping after the step at hand", "once more to end at once")
			m := regexp.MustCompile(`dpotrain: interrupted after step (\d+) of 24; saved (\S+); go on with the same command and --resume\n$`).FindStringSubmatch(said)
			if m == nil {
				t.Fatalf("no word of how to go on:\n%s", said)
			}
			if want := filepath.Join(dir, "checkpoint-"+m[1]); m[2] != want || !checkpoint.IsCheckpoint(want) {
				t.Errorf("saved %s, want %s", m[2], want)
			}
			if !strings.Contains(said, "\nstep "+m[1]+"/24 ") {
				t.Errorf("step %s was saved and not said:\n%s", m[1], said)
			}
			_, log := dpotrain(t, p.slowRun(t, dir, "--save-steps", "0", "--resume")...)
			contains(t, log, "going on from "+m[2])
			sameRun(t, dir, alone)
		})
	}
	t.Run("twice", func(t *testing.T) {
		dir := filepath.Join(p.dir, "twice")
		run := start(t, "train", "--model", p.model, "--data", p.manyPairs(t, 4000), "--output-dir", dir, "--loss", "sft", "--per-device-train-batch-size", "4000", "--threads", "1")
		run.until("metrics.jsonl", func() bool { _, err := os.Stat(filepath.Join(dir, "metrics.jsonl")); return err == nil })
		run.signal(os.Interrupt)
		run.says("once more to end at once")
		run.signal(os.Interrupt)
		if code := run.wait(); code != exitInterrupted {
			t.Errorf("exit code %d, want %d", code, exitInterrupted)
		}
		if steps, err := checkpoint.List(dir); err != nil || len(steps) > 0 || strings.Contains(run.said(), "saved") {
			t.Errorf("checkpoints of steps %v, %v, want none; it said\n%s", steps, err, run.said())
		}
	})
	t.Run("in pass one", func(t *testing.T) {
		dir, refs := filepath.Join(p.dir, "never"), filepath.Join(p.dir, "refs")
		run := start(t, "train", "--model", p.model, "--data", p.manyPairs(t, 4000), "--output-dir", dir, "--ref-cache-dir", refs, "--threads", "1")
		run.until("a cache", func() bool { _, err := os.Stat(refs); return err == nil })
		run.signal(os.Interrupt)
		if code := run.wait(); code != exitInterrupted {
			t.Errorf("exit code %d, want %d", code, exitInterrupted)
		}
		contains(t, run.said(), "pass one stopped; what was computed is in "+refs)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("output_dir was left behind: %v", err)
		}
	})
}

// TestTwoRuns: while a run writes into an output_dir no other may.
func TestTwoRuns(t *testing.T) {
	p := slowPlace(t)
	run := start(t, p.slowRun(t, p.run, "--max-steps", "1000000")...)
	run.says("\nstep 5/")
	before := read(t, p.run, "dpotrain.yaml")
	for _, flag := range []string{"--overwrite", "--resume"} {
		began := time.Now()
		_, log := exits(t, exitFailed, p.slowRun(t, p.run, flag)...)
		contains(t, oneLine(t, log), "output_dir "+p.run, "another dpotrain is writing here")
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("refused after %v, want at once", took)
		}
	}
	if read(t, p.run, "dpotrain.yaml") != before || !checkpoint.IsCheckpoint(filepath.Join(p.run, "checkpoint-4")) {
		t.Error("the run that was there was touched")
	}
	run.kill()
	dpotrain(t, p.slowRun(t, p.run, "--overwrite", "--max-steps", "1")...) // a lock does not outlive its process
}
