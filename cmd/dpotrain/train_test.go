package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// copyModel copies the model of testdata into the place, where a test may do as it likes with it.
func (p place) copyModel(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(p.dir, name)
	if err := os.CopyFS(dir, os.DirFS(testfiles.Path(t, "models", "llama"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// files are the paths of all files under a folder, from there.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var rel string
			rel, err = filepath.Rel(dir, path)
			list = append(list, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestOverwrite: a run in output_dir is in the way until it may be replaced, and what others wrote beside it stays.
func TestOverwrite(t *testing.T) {
	p := newPlace(t)
	dpotrain(t, p.train(t, "--max-steps", "6")...)
	foreign := []string{"README.md", "checkpoint-99/weights.bin", "checkpoint-7/model.safetensors", "metrics.jsonl.bak", "notes/a.txt", ".checkpoint-1.tmp", "special_tokens_map.json"}
	for _, name := range foreign {
		path := filepath.Join(p.run, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("of others"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	before := files(t, p.run)

	_, log := exits(t, exitUsage, p.train(t, "--max-steps", "3")...)
	contains(t, oneLine(t, log), p.run, "already holds a run", "--resume", "--overwrite", "--output-dir")
	if after := files(t, p.run); !slices.Equal(after, before) {
		t.Errorf("a refused run changed the folder: %q, want %q", after, before)
	}

	// An overwrite that fails before it begins has removed nothing.
	exits(t, exitFailed, p.train(t, "--max-steps", "3", "--overwrite", "--data", filepath.Join(p.dir, "none.jsonl"))...)
	if after := files(t, p.run); !slices.Equal(after, before) {
		t.Errorf("an overwrite that failed changed the folder: %q, want %q", after, before)
	}

	dpotrain(t, p.train(t, "--max-steps", "3", "--save-steps", "2", "--overwrite")...)
	after := files(t, p.run)
	for _, name := range foreign {
		if !slices.Contains(after, name) || read(t, p.run, name) != "of others" {
			t.Errorf("%s of others is gone or changed", name)
		}
	}
	ours := slices.DeleteFunc(after, func(name string) bool { return slices.Contains(foreign, name) })
	fresh := filepath.Join(p.dir, "fresh")
	dpotrain(t, p.train(t, "--max-steps", "3", "--save-steps", "2", "--output-dir", fresh)...)
	if want := files(t, fresh); !slices.Equal(ours, want) {
		t.Errorf("files after an overwrite: %q, want those of a fresh run: %q", ours, want)
	}
	sameRun(t, p.run, fresh)
}

// TestOutputDir: no run writes into, around or over a model folder that it reads, by whatever way it is named.
func TestOutputDir(t *testing.T) {
	p := newPlace(t)
	p.model = p.copyModel(t, filepath.Join("models", "policy"))
	ref := p.copyModel(t, filepath.Join("others", "ref"))
	link := func(to, name string) string {
		path := filepath.Join(p.dir, name)
		if err := os.Symlink(to, path); err != nil {
			t.Skip("no symbolic links here:", err)
		}
		return path
	}
	toModel, toParent := link(p.model, "to-model"), link(filepath.Join(p.dir, "others"), "to-parent")
	toRun := link(filepath.Join(p.model, "run"), "to-run")
	before := files(t, p.dir)
	tests := []struct{ name, key, dir string }{
		{"the model", "model", p.model},
		{"the model by another spelling", "model", p.model + "/../policy/."},
		{"inside the model", "model", filepath.Join(p.model, "a", "run")},
		{"around the model", "model", filepath.Join(p.dir, "models")},
		{"a link to the model", "model", toModel},
		{"inside a link to the model", "model", filepath.Join(toModel, "run")},
		{"the reference", "ref_model", ref},
		{"inside the reference", "ref_model", filepath.Join(ref, "run")},
		{"around the reference by a link", "ref_model", toParent},
		{"inside the reference by a link", "ref_model", filepath.Join(toParent, "ref", "run")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, log := exits(t, exitUsage, p.train(t, "--ref-model", ref, "--output-dir", tt.dir, "--overwrite")...)
			contains(t, oneLine(t, log), "output_dir "+tt.dir, tt.key+" ", "choose another output_dir")
			if after := files(t, p.dir); !slices.Equal(after, before) {
				t.Errorf("files changed: %q, want %q", after, before)
			}
		})
	}
	t.Run("a link into the model that leads nowhere", func(t *testing.T) {
		_, log := exits(t, exitFailed, p.train(t, "--output-dir", toRun)...)
		contains(t, oneLine(t, log), "output_dir "+toRun, "choose another output_dir")
	})
	t.Run("the model by a link of its own", func(t *testing.T) {
		q := p
		q.model = toModel
		_, log := exits(t, exitUsage, q.train(t, "--output-dir", p.model)...)
		contains(t, oneLine(t, log), "output_dir "+p.model, "model "+toModel)
	})
	t.Run("a model of others", func(t *testing.T) {
		other := p.copyModel(t, "third")
		_, log := exits(t, exitUsage, p.train(t, "--output-dir", other, "--overwrite")...)
		contains(t, oneLine(t, log), other, "config.json", "dpotrain did not write", "choose another output_dir")
		if got, want := files(t, other), files(t, p.model); !slices.Equal(got, want) {
			t.Errorf("files changed: %q, want %q", got, want)
		}
	})
	t.Run("a neighbour whose name begins alike", func(t *testing.T) {
		dpotrain(t, p.train(t, "--output-dir", p.model+"-tuned", "--max-steps", "1")...)
	})
	t.Run("a file", func(t *testing.T) {
		file := p.write(t, "file", "x")
		_, log := exits(t, exitFailed, p.train(t, "--output-dir", file)...)
		contains(t, oneLine(t, log), "output_dir "+file)
	})
}

// TestRepeat: the resolved config is the whole run.
func TestRepeat(t *testing.T) {
	p := newPlace(t)
	t.Setenv("DPOTRAIN_WARMUP_RATIO", "0.2")
	file := p.write(t, "config.yaml", "loss: cdpo\nlabel_smoothing: 0.2\nweight_decay: 0.01\nlr_scheduler_type: cosine\nlearning_rate: 0.1\nseed: 7\n")
	dpotrain(t, p.train(t, "--config", file, "--gradient-accumulation-steps", "2", "--per-device-train-batch-size", "3", "--micro-batch-tokens", "100")...)
	os.Unsetenv("DPOTRAIN_WARMUP_RATIO")
	resolved := filepath.Join(p.run, "dpotrain.yaml")
	contains(t, read(t, resolved), "\nloss: cdpo\n", "\nlabel_smoothing: 0.2\n", "\nwarmup_ratio: 0.2\n", "\nlearning_rate: 0.001\n", "\ngradient_accumulation_steps: 2\n", "\nref_model: "+p.model+"\n")

	again := filepath.Join(p.dir, "again")
	dpotrain(t, "train", "--config", resolved, "--output-dir", again)
	sameRun(t, again, p.run)
	if got, want := read(t, again, "dpotrain.yaml"), strings.Replace(read(t, resolved), "output_dir: "+p.run, "output_dir: "+again, 1); got != want {
		t.Errorf("the resolved config of the repeated run:\n%s\nwant\n%s", got, want)
	}
	third := filepath.Join(p.dir, "third")
	dpotrain(t, "train", "--config", resolved, "--output-dir", third, "--threads", "2")
	sameRun(t, third, p.run)
	// Without another folder the run is in its own way, and may be told to make way.
	exits(t, exitUsage, "train", "--config", resolved)
	dpotrain(t, "train", "--config", resolved, "--overwrite")
	sameRun(t, p.run, again)
}

// TestConsole: a line every logging_steps, an evaluation where it is due, the result on stdout, and no bar where there is no terminal.
func TestConsole(t *testing.T) {
	p := newPlace(t)
	out, log := dpotrain(t, p.train(t, "--logging-steps", "3", "--eval-steps", "8")...)
	if n := strings.Count(out, "\n"); n != 1 {
		t.Errorf("%d lines on stdout, want the result alone:\n%s", n, out)
	}
	contains(t, out, "16 steps in ", "the tuned model is in "+p.run)
	var steps []string
	for _, m := range regexp.MustCompile(`(?m)^step (\d+)/16  epoch [0-9.]+  loss `).FindAllStringSubmatch(log, -1) {
		steps = append(steps, m[1])
	}
	if want := []string{"3", "6", "9", "12", "15", "16"}; !slices.Equal(steps, want) {
		t.Errorf("console lines of steps %q, want %q:\n%s", steps, want, log)
	}
	contains(t, log, "33,", " parameters", "60 pairs", "20 pairs", "loss dpo", "16 optimizer steps of 8 pairs", "evaluation after step 8, 20 pairs", "evaluation after step 16, 20 pairs")
	if strings.ContainsAny(log+out, "\r\x1b") {
		t.Errorf("control characters where there is no terminal:\n%q", log+out)
	}
}
