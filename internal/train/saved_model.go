package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"dpotrain/internal/files"
	"dpotrain/internal/loss"
	"dpotrain/internal/safetensors"
)

// dtypeOf is the file format of a save_dtype.
func dtypeOf(saveDtype string) safetensors.Dtype {
	switch saveDtype {
	case "bfloat16":
		return "BF16"
	case "float16":
		return "F16"
	}
	return "F32"
}

// runInfo is what a saved model remembers of the run that made it, in RunFile.
type runInfo struct {
	Version   int    `json:"version"`
	Reference string `json:"reference"` // digest of the reference model; empty for a loss without one

	LossState *lossState `json:"loss_state,omitempty"` // nil for a loss that remembers nothing
}

// lossState is what a loss remembered of the run up to the model.
type lossState struct {
	Loss   string     `json:"loss"`
	Values loss.State `json:"values"`
}

// RunFile lies beside the weights of every model that a run saves; docs/formats.md describes it.
const (
	RunFile        = "dpotrain-run.json"
	runFileVersion = 1
)

// files are the parts of a saved model besides its weights.
func (r *runner) files() (map[string][]byte, error) {
	files, err := r.in.Reader.Files()
	if err != nil {
		return nil, err
	}
	files["config.json"] = r.in.Policy.Config.Text(r.o.SaveDtype)
	run := runInfo{Version: runFileVersion, Reference: r.reference}
	if l, ok := r.loss.(loss.Stateful); ok {
		run.LossState = &lossState{l.Name(), l.State()}
	}
	info, err := json.MarshalIndent(run, "", "  ")
	files[RunFile] = append(info, '\n')
	return files, err
}

// errNoRunFile is wrapped by the error for a model that no run of dpotrain made.
var errNoRunFile = errors.New("no run of dpotrain made this model, so that its reference is not known; give that model's folder with --ref")

// maxRunFile bounds a RunFile, in bytes.
const maxRunFile = 16 << 20

func readRunInfo(dir string) (runInfo, error) {
	var info runInfo
	path := filepath.Join(dir, RunFile)
	text, err := files.Read(path, maxRunFile)
	if errors.Is(err, os.ErrNotExist) {
		return info, &UsageError{fmt.Errorf("%s: %w", dir, errNoRunFile)}
	}
	if err != nil {
		return info, err
	}
	if json.Unmarshal(text, &info) != nil {
		return info, fmt.Errorf("%s is damaged: it is not as dpotrain writes it; give the folder of the reference model with --ref", path)
	}
	if info.Version > runFileVersion {
		return info, fmt.Errorf("%s: version %d is newer than this program knows (%d); use a newer dpotrain", path, info.Version, runFileVersion)
	}
	return info, nil
}

// restoreLoss gives a loss what it remembered at a saved model. found is false if the model has nothing of this loss.
func restoreLoss(l loss.Loss, dir string) (found bool, err error) {
	s, ok := l.(loss.Stateful)
	if !ok {
		return true, nil
	}
	info, err := readRunInfo(dir)
	if errors.Is(err, errNoRunFile) {
		return false, nil
	}
	if err != nil || info.LossState == nil || info.LossState.Loss != l.Name() {
		return false, err
	}
	if err := s.SetState(info.LossState.Values); err != nil {
		return false, fmt.Errorf("%s is damaged: loss_state: %w", filepath.Join(dir, RunFile), err)
	}
	return true, nil
}
