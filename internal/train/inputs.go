package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"log/slog"
	"path/filepath"
	"slices"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/safetensors"
	"dpotrain/internal/score"
)

// Inputs are what a run reads: examples and models on a device.
type Inputs struct {
	Device compute.Device
	Policy *model.Model // nil for pass one alone
	Reader *data.Reader
	Train  *data.Set // nil without data
	Eval   *data.Set // nil without eval_data

	warned string // of loadModel
}

// Open reads the data, and the policy's weights from a folder unless it is empty.
func Open(req Request, weights string, l loss.Loss) (in *Inputs, err error) {
	o := &req.Options
	if err := modelFolder("model", o.Model); err != nil {
		return nil, err
	}
	in = &Inputs{}
	opened := in
	if in.Device, err = cpu.New(o.Compute); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			opened.Close()
		}
	}()
	if in.Reader, err = data.Open(o.Model); err != nil {
		return nil, err
	}
	form := data.Pairs
	if !l.Needs().Rejected {
		form = data.Completions
	}
	if in.Train, err = in.load(req, o.Data, form); err != nil {
		return nil, err
	}
	if o.EvalStrategy != "no" {
		if in.Eval, err = in.load(req, o.EvalData, form); err != nil {
			return nil, err
		}
	}
	if weights != "" {
		if in.Policy, err = in.loadModel(req, weights); err != nil {
			return nil, err
		}
		for _, w := range in.Policy.Config.Warnings {
			req.Log.Warn(w)
		}
	}
	return in, nil
}

// Close gives back what Open took.
func (in *Inputs) Close() {
	if in.Device != nil {
		in.Device.Close()
	}
}

// load reads one file of examples; an empty path is none.
func (in *Inputs) load(req Request, path string, form data.Form) (*data.Set, error) {
	if path == "" {
		return nil, nil
	}
	var bar *report.Progress
	set, err := in.Reader.Load(path, form, req.Options.Rows, func(done, total int64) {
		if bar == nil {
			bar = report.NewProgress(req.Stderr, "reading "+filepath.Base(path), total, "B")
		}
		bar.Set(done, "")
	})
	if bar != nil {
		bar.Done()
	}
	return set, err
}

// file is a file of examples.
type file struct {
	path string
	set  *data.Set
}

// files are those that were read.
func (in *Inputs) files(o *Options) []file {
	return slices.DeleteFunc([]file{{o.Data, in.Train}, {o.EvalData, in.Eval}}, func(f file) bool { return f.set == nil })
}

// logData says what was read.
func (in *Inputs) logData(log *slog.Logger, o *Options) {
	for _, d := range in.files(o) {
		log.Info(fmt.Sprintf("%s: %s %s", d.path, report.Count(int64(len(d.set.Examples))), plural(d.set)))
		for _, line := range d.set.Report.Lines() {
			log.Info("  " + line)
		}
		for _, w := range d.set.Report.Warnings() {
			log.Warn(d.path + ": " + w)
		}
	}
}

// plural is what a set has many of.
func plural(set *data.Set) string {
	if len(set.Examples) > 0 && len(set.Examples[0].Sequences) == 2 {
		return "pairs"
	}
	return "examples"
}

// sets are the examples of training and evaluation; either may be empty.
func (in *Inputs) sets() [][]data.Example {
	sets := make([][]data.Example, 2)
	for i, s := range []*data.Set{in.Train, in.Eval} {
		if s != nil {
			sets[i] = s.Examples
		}
	}
	return sets
}

// reference says which model the reference is. When the policy has just been loaded from the same folder, its own weights
// serve; same says that policy and reference are the same numbers.
func (in *Inputs) reference(req Request, fresh bool) (ref score.Reference, same bool, err error) {
	o := &req.Options
	m := in.Policy
	if m == nil || !fresh || filepath.Clean(o.RefModel) != filepath.Clean(o.Model) {
		if m, err = in.loadModel(req, o.RefModel); err != nil {
			return ref, false, err
		}
	}
	ref = newReference(o, in.Device, m.Digest(), func() (*model.Model, error) { return m, nil })
	return ref, in.Policy != nil && fresh && (m == in.Policy || in.Policy.Digest() == ref.Digest), nil
}

func newReference(o *Options, dev compute.Device, d model.Digest, load func() (*model.Model, error)) score.Reference {
	return score.Reference{Name: o.RefModel, Digest: d, Family: dev.Family(), Precision: o.Compute.Precision, Load: load}
}

// PassOne computes what the reference cache lacks of the examples. done says in a line what it did.
func PassOne(ctx context.Context, req Request, ref score.Reference, sets ...[]data.Example) (logps [][]score.Logps, done string, err error) {
	o := &req.Options
	var bar *report.Progress
	tokens := 0
	all, path, st, err := score.Bring(ctx, ref, o.RefCacheDir, score.Options{
		MicroBatchTokens: o.MicroBatchTokens,
		Waiting:          func() { req.Log.Info("another run is computing reference log-probs; waiting for it") },
		Started: func(sequences int) {
			bar = report.NewProgress(req.Stderr, "reference log-probs", int64(sequences), "sequences")
		},
		Progress: func(sequences, n int) {
			tokens += n
			bar.Add(int64(sequences), report.Count(int64(tokens))+" tokens")
		},
	}, sets...)
	if bar != nil {
		bar.Done()
	}
	if err != nil {
		return nil, "", err
	}
	speed := ""
	if s := st.Duration.Seconds(); st.Computed > 0 && s > 0 {
		speed = fmt.Sprintf(", %s tokens/s", report.Count(int64(float64(st.Tokens)/s)))
	}
	return all, fmt.Sprintf("reference log-probs: %s sequences computed (%s pairs), %s reused (%s pairs)%s; cache %s",
		report.Count(int64(st.Computed)), report.Count(int64(st.ComputedPairs)), report.Count(int64(st.Reused)), report.Count(int64(st.ReusedPairs)), speed, path), nil
}

// PrecomputeRef is pass one alone, for training and held-out examples.
func PrecomputeRef(ctx context.Context, req Request) error {
	o := &req.Options
	if err := o.complete(); err != nil {
		return err
	}
	l, err := loss.New(o.Loss, o.LossSettings)
	if err != nil {
		return err
	}
	if !l.Needs().Reference {
		return usage("loss %s needs no reference log-probs; there is nothing to precompute", l.Name())
	}
	in, err := Open(req, "", l)
	if err != nil {
		return err
	}
	defer in.Close()
	in.logData(req.Log, o)
	ref, _, err := in.reference(req, false)
	if err != nil {
		return err
	}
	_, done, err := PassOne(ctx, req, ref, in.sets()...)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(req.Stdout, done)
	return err
}

// digest names the content of examples: resume refuses data that has changed, wherever the file lies.
func digest(examples []data.Example) string {
	h := sha256.New()
	for _, e := range examples {
		writeInts(h, len(e.Sequences))
		for _, s := range e.Sequences {
			writeInts(h, len(s.IDs), s.First)
			for _, id := range s.IDs {
				writeInts(h, int(id))
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func writeInts(h hash.Hash, ns ...int) {
	var b [8]byte
	for _, n := range ns {
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		h.Write(b[:])
	}
}

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
	info, err := json.MarshalIndent(runInfo{Version: runFileVersion, Reference: r.reference}, "", "  ")
	files[RunFile] = append(info, '\n')
	return files, err
}
