package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestResumeCommand: --resume, --resume PATH and the key all go on, and end with the bits of the run left alone.
func TestResumeCommand(t *testing.T) {
	p := newPlace(t)
	dpotrain(t, p.train(t)...)
	whole := filepath.Join(p.dir, "whole")
	if err := os.Rename(p.run, whole); err != nil {
		t.Fatal(err)
	}
	// The same run, as if it had been killed after step 12: its last checkpoint is that of step 10.
	restore := func() {
		t.Helper()
		if err := os.RemoveAll(p.run); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(p.run, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"checkpoint-15", "checkpoint-16", "model.safetensors", "config.json"} {
			if err := os.RemoveAll(filepath.Join(p.run, name)); err != nil {
				t.Fatal(err)
			}
		}
		lines := strings.SplitAfter(read(t, p.run, "metrics.jsonl"), "\n")
		p.writeTo(t, filepath.Join(p.run, "metrics.jsonl"), strings.Join(lines[:12], "")+`{"step": 1`)
	}
	five := filepath.Join(p.run, "checkpoint-5")
	for _, tt := range []struct {
		name  string
		flags []string
		from  int
	}{
		{"the newest", []string{"--resume"}, 10},
		{"the newest, by its word", []string{"--resume=latest"}, 10},
		{"a path", []string{"--resume", five}, 5},
		{"a path after an equals sign", []string{"--resume=" + five}, 5},
		{"a path with a slash at the end", []string{"--resume", five + "/"}, 5},
		{"the key", []string{"--resume-from-checkpoint", five}, 5},
		{"overwrite does nothing then", []string{"--resume", "--overwrite"}, 10},
		{"what alters no result may change", []string{"--resume", "--logging-steps", "3", "--save-steps", "7", "--threads", "2", "--save-total-limit", "1"}, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			restore()
			_, log := dpotrain(t, p.train(t, tt.flags...)...)
			contains(t, log, fmt.Sprintf("going on from %s", filepath.Join(p.run, fmt.Sprintf("checkpoint-%d", tt.from))), fmt.Sprintf("step %d", tt.from))
			sameRun(t, p.run, whole)
		})
	}
	t.Run("the resolved config", func(t *testing.T) {
		restore()
		dpotrain(t, "train", "--config", filepath.Join(p.run, "dpotrain.yaml"), "--resume")
		sameRun(t, p.run, whole)
	})
	t.Run("a damaged checkpoint is passed over", func(t *testing.T) {
		restore()
		weights := filepath.Join(p.run, "checkpoint-10", "model.safetensors")
		text := []byte(read(t, weights))
		text[len(text)/2] ^= 1
		p.writeTo(t, weights, string(text))
		_, log := dpotrain(t, p.train(t, "--resume")...)
		contains(t, log, "checkpoint-10", "damaged", "passing it over", "going on from "+five)
		sameRun(t, p.run, whole)
		restore()
		p.writeTo(t, weights, string(text))
		_, log = exits(t, exitFailed, p.train(t, "--resume", filepath.Dir(weights))...)
		contains(t, oneLine(t, log), weights+" is damaged", "resume from another checkpoint")
	})
	t.Run("a run that has ended", func(t *testing.T) {
		if err := os.RemoveAll(p.run); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(p.run, os.DirFS(whole)); err != nil {
			t.Fatal(err)
		}
		dpotrain(t, p.train(t, "--resume")...)
		sameRun(t, p.run, whole)
	})
	t.Run("nothing to go on from", func(t *testing.T) {
		empty := filepath.Join(p.dir, "empty")
		_, log := exits(t, exitUsage, p.train(t, "--resume", "--output-dir", empty)...)
		contains(t, oneLine(t, log), "there is no run in output_dir "+empty, "leave out --resume")
		if _, err := os.Stat(empty); !os.IsNotExist(err) {
			t.Errorf("the folder was left behind: %v", err)
		}
	})
}

func (p place) writeTo(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestResumeChanged: a setting that alters results is refused with its old and its new value.
func TestResumeChanged(t *testing.T) {
	p := newPlace(t)
	dpotrain(t, p.train(t, "--max-steps", "6")...)
	before := files(t, p.run)
	for _, tt := range []struct{ flags, want []string }{
		{[]string{"--beta", "0.2"}, []string{"beta: was 0.1, now 0.2"}},
		{[]string{"--loss", "ipo"}, []string{"loss: was dpo, now ipo"}},
		{[]string{"--learning-rate", "2e-3"}, []string{"learning_rate: was 0.001, now 0.002"}},
		{[]string{"--gradient-accumulation-steps", "2", "--seed", "1"}, []string{"gradient_accumulation_steps: was 1, now 2", "seed: was 42, now 1"}},
		{[]string{"--micro-batch-tokens", "100"}, []string{"micro_batch_tokens: was 2048, now 100"}},
		{[]string{"--max-length", "50"}, []string{"max_length: was 1024, now 50"}},
		{[]string{"--cpu", "generic"}, []string{"cpu: was ", ", now generic"}},
	} {
		_, log := exits(t, exitUsage, p.train(t, append([]string{"--max-steps", "6", "--resume"}, tt.flags...)...)...)
		contains(t, oneLine(t, log), append(tt.want, filepath.Join(p.run, "checkpoint-6"), "put them back")...)
	}
	if after := files(t, p.run); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("a refused run changed the folder: %q, want %q", after, before)
	}
}
