package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of its own at disk/ in the kitchen, which a test fills up. It skips where that is not
// allowed.
func (k *kitchen) smallDisk(options string) {
	k.t.Helper()
	k.mkdir("disk")
	disk, err := filepath.Abs("disk")
	k.check(err)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, options); err != nil {
		k.t.Skipf("a small file system cannot be mounted: %v", err)
	}
	k.t.Cleanup(func() { k.check(syscall.Unmount(disk, 0)) })
}

// leave fills the small disk up to a number of bytes.
func (k *kitchen) leave(bytes int) {
	k.t.Helper()
	k.remove("disk/filler")
	var s syscall.Statfs_t
	k.check(syscall.Statfs("disk", &s))
	k.write("disk/filler", strings.Repeat("x", int(s.Bavail)*int(s.Bsize)-bytes))
}

// page is what a file on the small disk takes at least.
const page = 4096

// size is what the files in a folder take on the small disk.
func size(t testing.TB, dir string) int {
	t.Helper()
	n := 0
	for _, name := range files(t, dir) {
		n += pages(t, filepath.Join(dir, name))
	}
	return n
}

// pages is what a file takes on the small disk.
func pages(t testing.TB, name string) int {
	t.Helper()
	return (len(read(t, name)) + page - 1) / page * page
}

// TestFullDisk: whatever a full disk hits is named, nothing half written stays, and what was there before still serves.
func TestFullDisk(t *testing.T) {
	const (
		steps = trains + "--max-steps 4 --save-steps 2 --per-device-train-batch-size 2 "
		onto  = steps + "--output-dir disk/run "
		full  = "the disk is full; when that is mended, give the same command with "
	)
	w := newKitchenware(t)
	whole := func(k *kitchen) { // an uninterrupted run, in run/
		k.t.Helper()
		dpotrain(k.t, strings.Fields(steps)...)
	}
	// goesOn frees the disk and has a command of a run end as if nothing had been.
	goesOn := func(k *kitchen, args, from string) {
		k.t.Helper()
		k.remove("disk/filler")
		_, log := dpotrain(k.t, strings.Fields(args)...)
		if from != "" {
			contains(k.t, log, "going on from "+from)
		}
		sameRun(k.t, "disk/run", "run")
	}
	// leftOf are the files on the disk that are not the filler.
	leftOf := func(k *kitchen) []string {
		k.t.Helper()
		return slices.DeleteFunc(files(k.t, "disk"), func(name string) bool { return name == "filler" })
	}
	has := func(k *kitchen, name string) bool { return slices.Contains(leftOf(k), name) }

	for _, c := range []struct {
		name string
		test func(k *kitchen)
	}{
		{"the header of a cache", func(k *kitchen) {
			k.leave(0)
			code, said := fails(k.t, strings.Fields(precompute+"--ref-cache-dir disk/a/cache")...)
			if want := "disk/a/cache/HASH.refs: the disk is full; make room and try again"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if _, err := os.Stat("disk/a"); !os.IsNotExist(err) {
				k.t.Errorf("left behind: %q", leftOf(k))
			}
		}},
		{"a record of a cache", func(k *kitchen) {
			k.write("many.jsonl", read(k.t, w.pairs))
			k.leave(page)
			const args = precompute + "--ref-cache-dir disk/cache --data many.jsonl --micro-batch-tokens 100"
			code, said := fails(k.t, strings.Fields(args)...)
			if want := `: disk/cache/HASH.refs: the disk is full; what was computed before is kept`; code != exitFailed || !strings.HasPrefix(said, "many.jsonl:") || !strings.HasSuffix(said, want) {
				k.t.Errorf("exit code %d: %s\nwant a row and %s", code, said, want)
			}
			out, _ := dpotrain(k.t, "cache", "verify", "--ref-cache-dir", "disk/cache")
			if !strings.Contains(out, " records are sound") || strings.Contains(out, "torn") || strings.Contains(out, ": 0 records") {
				k.t.Errorf("what is left of the cache:\n%s", out)
			}
			k.remove("disk/filler")
			out, _ = dpotrain(k.t, strings.Fields(args)...)
			if strings.Contains(out, " 0 reused") || strings.Contains(out, " 0 sequences computed") {
				k.t.Errorf("after room was made: %s", out)
			}
		}},
		{"the config", func(k *kitchen) {
			k.leave(0)
			code, said := fails(k.t, strings.Fields(onto)...)
			if want := "disk/run/dpotrain.yaml: the disk is full; make room and try again"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if _, err := os.Stat("disk/run"); !os.IsNotExist(err) {
				k.t.Errorf("left behind: %q", leftOf(k))
			}
			whole(k)
			goesOn(k, onto, "")
		}},
		{"the first line of the metrics", func(k *kitchen) {
			whole(k)
			k.leave(pages(k.t, "run/dpotrain.yaml"))
			code, said := fails(k.t, strings.Fields(onto)...)
			if want := "step 1: disk/run/metrics.jsonl: " + full + "--overwrite"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if text := read(k.t, "disk/run/metrics.jsonl"); text != "" {
				k.t.Errorf("metrics.jsonl has %q", text)
			}
			goesOn(k, onto+"--overwrite", "")
		}},
		{"a later line of the metrics", func(k *kitchen) {
			// A line has some 1,000 bytes, so that two pages are full after eight.
			const long = "--max-steps 20 --num-train-epochs 20 --save-steps 5 "
			dpotrain(k.t, strings.Fields(steps+long)...)
			k.leave(pages(k.t, "run/dpotrain.yaml") + 2*page + size(k.t, "run/checkpoint-5"))
			code, said := fails(k.t, strings.Fields(onto+long)...)
			// What fails first depends on the length of numbers: a line of the metrics or the second checkpoint.
			if want := full + "--resume, which goes on from disk/run/checkpoint-5"; code != exitFailed || !strings.HasSuffix(said, want) {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if text := read(k.t, "disk/run/metrics.jsonl"); !strings.HasSuffix(text, "}\n") {
				k.t.Errorf("metrics.jsonl ends inside a line: %q", text)
			}
			goesOn(k, onto+long+"--resume", "disk/run/checkpoint-5")
		}},
		{"a checkpoint", func(k *kitchen) {
			whole(k)
			checkpoint := size(k.t, "run/checkpoint-2")
			k.leave(pages(k.t, "run/dpotrain.yaml") + page + checkpoint*3/2)
			code, said := fails(k.t, strings.Fields(onto)...)
			if want := "checkpoint disk/run/checkpoint-4: dpotrain/optimizer.safetensors: " + full + "--resume, which goes on from disk/run/checkpoint-2"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			for _, name := range leftOf(k) {
				if strings.Contains(name, ".tmp-") || strings.HasPrefix(name, "run/checkpoint-4") {
					k.t.Errorf("%s is left behind", name)
				}
			}
			goesOn(k, onto+"--resume", "disk/run/checkpoint-2")
		}},
		{"the first checkpoint", func(k *kitchen) {
			whole(k)
			k.leave(10 * page)
			code, said := fails(k.t, strings.Fields(onto)...)
			if want := "checkpoint disk/run/checkpoint-2: model.safetensors: " + full + "--overwrite"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if slices.ContainsFunc(leftOf(k), func(name string) bool { return strings.Contains(name, "checkpoint") }) {
				k.t.Errorf("left behind: %q", leftOf(k))
			}
			goesOn(k, onto+"--overwrite", "")
		}},
		{"the tuned model", func(k *kitchen) {
			whole(k)
			checkpoint := size(k.t, "run/checkpoint-2")
			k.leave(pages(k.t, "run/dpotrain.yaml") + 10*page + 2*checkpoint)
			code, said := fails(k.t, strings.Fields(onto)...)
			if want := "model.safetensors: " + full + "--resume, which goes on from disk/run/checkpoint-4"; code != exitFailed || !strings.HasPrefix(said, "model disk/run: ") || !strings.HasSuffix(said, want) {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if has(k, "run/model.safetensors") || slices.ContainsFunc(leftOf(k), func(name string) bool { return strings.Contains(name, ".tmp-") }) {
				k.t.Errorf("left behind: %q", leftOf(k))
			}
			goesOn(k, onto+"--resume", "disk/run/checkpoint-4")
		}},
		{"a new model", func(k *kitchen) {
			k.leave(10 * page)
			code, said := fails(k.t, "init", "--config", "model/config.json", "--tokenizer", "model", "--output", "disk/a/new")
			if want := "model disk/a/new: model.safetensors: the disk is full; make room and try again"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if _, err := os.Stat("disk/a"); !os.IsNotExist(err) {
				k.t.Errorf("left behind: %q", leftOf(k))
			}
		}},
		{"the lines of eval", func(k *kitchen) {
			k.write("disk/pairs.out", "as it was\n")
			k.leave(0)
			code, said := fails(k.t, strings.Fields(evaluates+"--per-pair disk/pairs.out")...)
			if want := "disk/pairs.out: the disk is full; make room and try again"; code != exitFailed || said != want {
				k.t.Errorf("exit code %d: %s\nwant %s", code, said, want)
			}
			if text := read(k.t, "disk/pairs.out"); text != "as it was\n" || len(leftOf(k)) != 1 {
				k.t.Errorf("the file has %q; left behind: %q", text, leftOf(k))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKitchen(t, w)
			k.smallDisk("size=8m")
			c.test(k)
		})
	}
}

// TestFullOutput: a result that could not be written is no success.
func TestFullOutput(t *testing.T) {
	w := newKitchenware(t)
	newKitchen(t, w)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range []string{evaluates, evaluates + "--json", precompute, "version", "cache inspect", "--help"} {
		var log bytes.Buffer
		code := execute(context.Background(), strings.Fields(args), full, &log)
		if want := "dpotrain: /dev/full: the disk is full; make room and try again\n"; code != exitFailed || !strings.HasSuffix(log.String(), want) {
			t.Errorf("dpotrain %s: exit code %d: %s\nwant %s", args, code, log.String(), want)
		}
	}
}

// TestReadOnly: a file system that cannot be written to serves for reading, its cache included, and is named where it would
// have to be written to.
func TestReadOnly(t *testing.T) {
	w := newKitchenware(t)
	k := newKitchen(t, w)
	k.smallDisk("size=8m")
	k.copy("model", "disk/model")
	k.write("disk/pairs.jsonl", read(t, "pairs.jsonl"))
	dpotrain(t, strings.Fields(precompute+"--ref-cache-dir disk/cache")...)
	disk, err := filepath.Abs("disk")
	k.check(err)
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("a file system cannot be mounted for reading only: %v", err)
	}
	dpotrain(t, strings.Fields(trains+"--model disk/model --data disk/pairs.jsonl --ref-cache-dir disk/cache")...)
	for _, c := range []struct{ args, want string }{
		{trains + "--output-dir disk/a/run", "output_dir disk/a/run: disk/a: the file system cannot be written to; choose another output_dir"},
		{trains + "--output-dir disk", "output_dir disk: disk/.dpotrain.lock: the file system cannot be written to; choose another output_dir"},
		{trains + "--output-dir new --ref-cache-dir disk/other", "ref_cache_dir disk/other: the file system cannot be written to; choose another"},
		{precompute + "--ref-cache-dir disk/a/b", "ref_cache_dir disk/a/b: the file system cannot be written to; choose another"},
		{precompute + "--ref-cache-dir disk/cache --model disk/model --max-length 20", "disk/cache/HASH.refs: the file system cannot be written to; choose another place"},
		{evaluates + "--per-pair disk/x", "disk/x: the file system cannot be written to; choose another place"},
		{"init --config model/config.json --tokenizer model --output disk/new", "model disk/new: the file system cannot be written to; choose another place"},
	} {
		before := snapshot(t)
		code, said := fails(t, strings.Fields(c.args)...)
		if code != exitFailed || said != c.want {
			t.Errorf("dpotrain %s: exit code %d\ngot:  %s\nwant: %s", c.args, code, said, c.want)
		}
		if _, wasThere := before["ref_cache"]; wasThere {
			unchanged(t, before)
		}
	}
}

// TestNoPermission: folders of others.
func TestNoPermission(t *testing.T) {
	w := newKitchenware(t)
	k := newKitchen(t, w)
	dir := "/sys" // where not even root may
	if os.Geteuid() != 0 {
		dir = "closed"
		k.mkdir(dir)
		k.check(os.Chmod(dir, 0o555))
	}
	if err := os.Mkdir(filepath.Join(dir, "dpotrain-test"), 0o777); !errors.Is(err, fs.ErrPermission) {
		t.Skipf("no folder that cannot be written to: %v", err)
	}
	for _, c := range []struct{ args, want string }{
		{trains + "--output-dir DIR/a/run", "output_dir DIR/a/run: DIR/a: no permission; choose another output_dir"},
		{precompute + "--ref-cache-dir DIR/cache", "ref_cache_dir DIR/cache: no permission; choose another"},
		{evaluates + "--per-pair DIR/x", "DIR/x: no permission; change the permissions, or choose another place"},
		{"init --config model/config.json --tokenizer model --output DIR/new", "model DIR/new: no permission; change the permissions, or choose another place"},
	} {
		args, want := strings.ReplaceAll(c.args, "DIR", dir), strings.ReplaceAll(c.want, "DIR", dir)
		code, said := fails(t, strings.Fields(args)...)
		if code != exitFailed || said != want {
			t.Errorf("dpotrain %s: exit code %d\ngot:  %s\nwant: %s", args, code, said, want)
		}
	}
	if os.Geteuid() == 0 {
		return // who may read everything
	}
	for _, c := range []struct{ name, args, want string }{
		{"pairs.jsonl", trains, "pairs.jsonl: no permission; change the permissions, or choose another place"},
		{"model/config.json", trains, "model/config.json: no permission; change the permissions, or choose another place"},
		{"model/model.safetensors", trains, "model/model.safetensors: no permission; change the permissions, or choose another place"},
	} {
		k.check(os.Chmod(c.name, 0))
		code, said := fails(t, strings.Fields(c.args)...)
		if code != exitFailed || said != c.want {
			t.Errorf("%s: exit code %d\ngot:  %s\nwant: %s", c.name, code, said, c.want)
		}
		k.check(os.Chmod(c.name, 0o666))
	}
}

// TestFileSizeLimit: ulimit -f, whose signal would end a Go program with a listing of its goroutines.
func TestFileSizeLimit(t *testing.T) {
	w := newKitchenware(t)
	newKitchen(t, w)
	// 64 blocks are 32 or 64 KiB; the weights have 132.
	cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 64 && exec "$0" "$@"`, os.Args[0]}, strings.Fields(trains+"--save-steps 1")...)...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	text, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip(err)
	}
	const want = "dpotrain: checkpoint run/checkpoint-1: model.safetensors: the file is larger than allowed here; when that is mended, give the same command with --overwrite\n"
	if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.HasSuffix(string(text), want) || strings.Contains(string(text), "goroutine") {
		t.Errorf("exit code %d:\n%s\nwant %s", code, text, want)
	}
}
