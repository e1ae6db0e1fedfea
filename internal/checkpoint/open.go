package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dpotrain/internal/safetensors"
)

// ErrNone is returned by Latest when there is no whole checkpoint.
var ErrNone = errors.New("no whole checkpoint")

// errNewer is wrapped by the error for a checkpoint of a later version of the format.
var errNewer = errors.New("a newer dpotrain wrote it; use that one, or start in another output_dir")

// Latest returns the path of the checkpoint with the highest step that is whole and that metrics.jsonl, if there is one, reaches up to.
// For each that it has to pass over, warn is told why. One that a newer dpotrain wrote is an error: going back behind it is not ours to
// decide.
func Latest(outputDir string, warn func(string)) (path string, err error) {
	steps, err := folders(outputDir)
	if err != nil {
		return "", err
	}
	for _, step := range slices.Backward(steps) {
		path := checkpointPath(outputDir, step)
		state, err := verify(path)
		if err == nil {
			err = reached(outputDir, path, state)
		}
		if err == nil {
			return path, nil
		}
		if errors.Is(err, errNewer) {
			return "", err
		}
		warn(fmt.Sprintf("%v; passing it over", err))
	}
	return "", fmt.Errorf("%s: %w in it", outputDir, ErrNone)
}

// reached is an error if metrics.jsonl ends before the step of a checkpoint: the run has gone on from an earlier one since, whose end
// it was cut back to, and stopped again before it came here.
func reached(outputDir, path string, s State) error {
	info, err := os.Stat(filepath.Join(outputDir, metricsName))
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() >= s.MetricsBytes {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %s ends before step %d", path, metricsName, s.Step)
}

// Checkpoint is one that was found whole and is open for reading.
type Checkpoint struct {
	State State

	path  string
	files []*safetensors.File
}

// Open checks every file of the checkpoint at path and opens it. Anything missing, changed or of a newer version is an error that
// names the file. Close it after use.
func Open(path string) (*Checkpoint, error) {
	state, err := verify(path)
	if err != nil {
		return nil, err
	}
	return &Checkpoint{State: state, path: path}, nil
}

// Path returns the folder, which is also a Hugging Face model folder.
func (c *Checkpoint) Path() string { return c.path }

// Moments returns the optimizer's tensors. The file is closed with the Checkpoint.
func (c *Checkpoint) Moments() (*safetensors.File, error) { return c.open(optimizerName) }

// Master returns the weights in float32, under their own names, or nil if the model file itself has them so. The file is closed with
// the Checkpoint.
func (c *Checkpoint) Master() (*safetensors.File, error) { return c.openIfThere(masterName) }

// Reference returns the weights of the reference in float32, under the policy's names, or nil if the run has not renewed it. The file
// is closed with the Checkpoint.
func (c *Checkpoint) Reference() (*safetensors.File, error) { return c.openIfThere(referenceName) }

func (c *Checkpoint) openIfThere(name string) (*safetensors.File, error) {
	if _, err := os.Stat(filepath.Join(c.path, filepath.FromSlash(name))); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return c.open(name)
}

// Weights returns the weights in float32, under their own names, from whichever file has them. The file is closed with the
// Checkpoint.
func (c *Checkpoint) Weights() (*safetensors.File, error) {
	f, err := c.Master()
	if f == nil && err == nil {
		f, err = c.open(modelName)
	}
	return f, err
}

func (c *Checkpoint) open(name string) (*safetensors.File, error) {
	f, err := safetensors.Open(filepath.Join(c.path, filepath.FromSlash(name)))
	if err == nil {
		c.files = append(c.files, f)
	}
	return f, err
}

// Close closes the tensor files that were asked for.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.Close())
	}
	c.files = nil
	return errors.Join(errs...)
}

// maxManifest bounds what is read of a manifest or state before it is known to be ours.
const maxManifest = 16 << 20 // bytes

// verify checks the whole checkpoint at path against its manifest and returns its state. Files are opened below path only, whatever
// the manifest says.
func verify(path string) (State, error) {
	var state State
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("%s: no such checkpoint; %s", path, others(filepath.Dir(filepath.Clean(path))))
	} else if err == nil && !info.IsDir() {
		return state, fmt.Errorf("%s: a file, and a checkpoint is a folder; name another", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return state, err
	}
	defer root.Close()
	damaged := func(name, format string, args ...any) error {
		return fmt.Errorf("%s is damaged: %s; resume from another checkpoint", filepath.Join(path, filepath.FromSlash(name)), fmt.Sprintf(format, args...))
	}
	text, err := readSmall(root, manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("%s: no checkpoint, for there is no %s in it; %s", path, manifestName, others(path))
	}
	if err != nil {
		return state, damaged(manifestName, "%v", err)
	}
	if err := checkVersion(filepath.Join(path, filepath.FromSlash(manifestName)), text); err != nil {
		return state, err
	}
	var m manifest
	err = json.Unmarshal(text, &m)
	if again, merr := marshal(m); err != nil || merr != nil || !bytes.Equal(again, text) {
		return state, damaged(manifestName, "it is not as dpotrain writes it")
	}
	listed := map[string]bool{}
	for _, f := range m.Files {
		listed[f.Name] = true
		if err := verifyFile(root, f); errors.Is(err, fs.ErrNotExist) {
			return state, fmt.Errorf("%s is missing; resume from another checkpoint", filepath.Join(path, filepath.FromSlash(f.Name)))
		} else if err != nil {
			return state, damaged(f.Name, "%v", err)
		}
	}
	for _, name := range []string{modelName, optimizerName, stateName} {
		if !listed[name] {
			return state, damaged(manifestName, "%s is not in it", name)
		}
	}
	for _, name := range []string{masterName, referenceName} {
		if _, err := root.Stat(name); err == nil && !listed[name] {
			return state, damaged(manifestName, "%s is not in it", name)
		}
	}
	if text, err = readSmall(root, stateName); err != nil {
		return state, damaged(stateName, "%v", err)
	}
	if err := checkVersion(filepath.Join(path, filepath.FromSlash(stateName)), text); err != nil {
		return state, err
	}
	if json.Unmarshal(text, &state) != nil {
		return state, damaged(stateName, "it is not as dpotrain writes it")
	}
	if state.Version != version || m.Version != version || state.Step < 0 || state.NumTokens < 0 || state.Skipped < 0 || state.Skipped > state.Step || state.MetricsBytes < 0 {
		return state, damaged(stateName, "it is not as dpotrain writes it")
	}
	if state.Step != m.Step {
		return state, damaged(manifestName, "step %d, but %s says %d", m.Step, stateName, state.Step)
	}
	return state, nil
}

// others says what to name in place of what is no checkpoint: those in dir, if it has any.
func others(dir string) string {
	const most = 5
	var names []string
	steps, _ := List(dir)
	for _, step := range steps[max(0, len(steps)-most):] {
		names = append(names, checkpointPath(dir, step))
	}
	if names == nil {
		return "name another"
	}
	return "name another, of which there are " + strings.Join(names, ", ")
}

// checkVersion refuses what a newer dpotrain wrote. Text that is no JSON is for the caller to judge.
func checkVersion(path string, text []byte) error {
	var v struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(text, &v) == nil && v.Version > version {
		return fmt.Errorf("%s: format version %d, but this dpotrain reads version %d: %w", path, v.Version, version, errNewer)
	}
	return nil
}

func readSmall(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err == nil && len(b) > maxManifest {
		err = fmt.Errorf("longer than %d bytes", maxManifest)
	}
	return b, err
}

func verifyFile(root *os.Root, want manifestEntry) error {
	info, err := root.Stat(want.Name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no file")
	}
	if info.Size() != want.Size {
		return fmt.Errorf("%d bytes, want %d", info.Size(), want.Size)
	}
	f, err := root.Open(want.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); got != want.SHA256 {
		return fmt.Errorf("its SHA-256 is not that of %s", manifestName)
	}
	return nil
}
