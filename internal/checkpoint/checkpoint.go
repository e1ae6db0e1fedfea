package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"

	"dpotrain/internal/safetensors"
)

// The names inside a checkpoint, with forward slashes as in the manifest.
const (
	modelName     = "model.safetensors"
	ownDir        = "dpotrain"
	stateName     = "dpotrain/state.json"
	optimizerName = "dpotrain/optimizer.safetensors"
	masterName    = "dpotrain/master.safetensors"
	referenceName = "dpotrain/reference.safetensors"
	manifestName  = "dpotrain/manifest.json"
)

// version is that of manifest.json, state.json and dpotrain-files.json.
const version = 1

// State is what a run must remember besides its tensors to go on as if it had never stopped.
type State struct {
	Version          int             `json:"version"`            // set by Save
	Step             int             `json:"step"`               // optimizer steps done
	NumTokens        int64           `json:"num_tokens"`         // tokens trained on so far
	LossSum          float64         `json:"loss_sum"`           // of the losses of all steps with an update so far
	Skipped          int             `json:"skipped,omitempty"`  // of the steps: those without an update
	MetricsBytes     int64           `json:"metrics_bytes"`      // length of metrics.jsonl at this step; resuming cuts off what comes later
	MicroBatchTokens int             `json:"micro_batch_tokens"` // the resolved cut; another one gives other bits
	Settings         json.RawMessage `json:"settings"`           // the caller's settings, to compare on resuming
}

// Contents is a checkpoint to be saved.
type Contents struct {
	Weights []safetensors.Tensor // in save_dtype
	Master  []safetensors.Tensor // the same in float32; empty if Weights are
	Moments []safetensors.Tensor // of the optimizer
	Files   map[string][]byte    // config.json, tokenizer.json ...: plain names
	State   State

	Reference []safetensors.Tensor // weights of a reference that the run has renewed, in float32; empty if it has not
}

// manifest lists the files of a checkpoint, all but itself, by name.
type manifest struct {
	Version int             `json:"version"`
	Step    int             `json:"step"`
	Files   []manifestEntry `json:"files"`
}

type manifestEntry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// The names in an output_dir that belong to checkpoints; the number is the step, or the process.
var (
	checkpointPattern = regexp.MustCompile(`^checkpoint-(0|[1-9][0-9]*)$`)
	oldPattern        = regexp.MustCompile(`^\.checkpoint-([0-9]+)\.old-[0-9]+$`)
	temporaryPattern  = regexp.MustCompile(`^\.(checkpoint-[0-9]+|dpotrain-.+)\.tmp-[0-9]+$`)
)

func checkpointPath(outputDir string, step int) string {
	return filepath.Join(outputDir, fmt.Sprintf("checkpoint-%d", step))
}

// aside is where the checkpoint of a step stands while it is written, removed (kind "tmp") or replaced ("old").
func aside(outputDir string, step int, kind string) string {
	return filepath.Join(outputDir, fmt.Sprintf(".checkpoint-%d.%s-%d", step, kind, os.Getpid()))
}

// discard removes the folder dir, a checkpoint of that step, so that it is there as a whole or not at all at any moment.
func discard(fsys fileSystem, outputDir string, step int, dir string) error {
	tmp := aside(outputDir, step, "tmp")
	if err := removeAll(fsys, tmp); err != nil {
		return err
	}
	if err := fsys.Rename(dir, tmp); err != nil {
		return err
	}
	// Were the removal of the files to reach the disk before the new name, half a checkpoint would be left under the old one.
	if err := fsys.SyncDir(outputDir); err != nil {
		return err
	}
	return removeAll(fsys, tmp)
}

// RemoveUnfinished tidies up after a run that was killed while it wrote: it removes what is half written and puts a checkpoint back in
// its place that was about to be replaced. Call it, holding LockRun, before Latest. A folder that does not exist is no error.
func RemoveUnfinished(outputDir string) error { return removeUnfinished(disk{}, outputDir) }

func removeUnfinished(fsys fileSystem, outputDir string) error {
	entries, err := os.ReadDir(outputDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(outputDir, e.Name())
		if temporaryPattern.MatchString(e.Name()) {
			if err := removeAll(fsys, path); err != nil {
				return err
			}
		}
		step, ok := stepOf(oldPattern, e.Name())
		if !ok {
			continue
		}
		_, err := os.Lstat(checkpointPath(outputDir, step))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = fsys.Rename(path, checkpointPath(outputDir, step))
		case err == nil:
			err = discard(fsys, outputDir, step, path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stepOf returns the step in a name that matches the pattern.
func stepOf(pattern *regexp.Regexp, name string) (step int, ok bool) {
	m := pattern.FindStringSubmatch(name)
	if m == nil {
		return 0, false
	}
	step, err := strconv.Atoi(m[1])
	return step, err == nil
}

// IsCheckpoint reports whether dpotrain wrote the folder.
func IsCheckpoint(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(manifestName)))
	return err == nil && info.Mode().IsRegular()
}

// folders returns the steps of all folders named checkpoint-N, whoever wrote them, in ascending order.
func folders(outputDir string) ([]int, error) {
	entries, err := os.ReadDir(outputDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		if step, ok := stepOf(checkpointPattern, e.Name()); ok && e.IsDir() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	return steps, nil
}

// List returns the steps of the checkpoints that dpotrain wrote into outputDir, in ascending order; their contents are not checked.
func List(outputDir string) ([]int, error) {
	steps, err := folders(outputDir)
	return slices.DeleteFunc(steps, func(step int) bool { return !IsCheckpoint(checkpointPath(outputDir, step)) }), err
}

// Prune removes the oldest checkpoints until keep are left; 0 or less keeps all. The newest stays, and so do those whose paths are
// named: what was just saved or is in use.
func Prune(outputDir string, keep int, never ...string) error {
	return prune(disk{}, outputDir, keep, never...)
}

func prune(fsys fileSystem, outputDir string, keep int, never ...string) error {
	steps, err := List(outputDir)
	if err != nil || keep <= 0 {
		return err
	}
	left := len(steps)
	for _, step := range steps[:max(0, left-1)] {
		path := checkpointPath(outputDir, step)
		if left <= keep {
			return nil
		}
		if slices.ContainsFunc(never, func(p string) bool { return samePath(p, path) }) {
			continue
		}
		if err := discard(fsys, outputDir, step, path); err != nil {
			return fmt.Errorf("removing %s: %w", path, err)
		}
		left--
	}
	return nil
}

func samePath(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}
