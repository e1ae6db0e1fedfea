package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
)

// Inputs are what a run reads: examples and models on a device.
type Inputs struct {
	Device compute.Device
	Policy *model.Model // nil for pass one alone
	Reader *data.Reader
	Train  *data.Set // nil without data
	Eval   *data.Set // nil without eval_data

	needs  loss.Needs
	warned string // of loadModel
}

// Open opens the device and reads the data. A loss that takes pairs and unpaired rows takes unpaired
// ones if the first row of either file is one.
func Open(req Request, l loss.Loss) (in *Inputs, err error) {
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
	if in.Reader, err = data.Open(o.Model, o.Rows.ChatTemplate); err != nil {
		return nil, err
	}
	form, err := o.form(l)
	if err != nil {
		return nil, err
	}
	in.Reader.Wanted, in.needs = wantedBy(l), l.Needs()
	if in.Train, err = in.load(req, "data", o.Data, form); err != nil {
		return nil, err
	}
	if o.EvalStrategy != "no" {
		if in.Eval, err = in.load(req, "eval_data", o.EvalData, form); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// form is what rows are read for. A loss that takes both pairs and unpaired rows is told which there are.
func (o *Options) form(l loss.Loss) (data.Form, error) {
	if both, ok := loss.Both(l); ok && (data.Unpaired(o.Data) || o.EvalStrategy != "no" && data.Unpaired(o.EvalData)) {
		if err := both.TakeUnpaired(); err != nil {
			return 0, &UsageError{err}
		}
	}
	switch needs := l.Needs(); {
	case needs.Labels:
		return data.Labelled, nil
	case needs.Lists:
		return data.Lists, nil
	case !needs.Rejected:
		return data.Completions, nil
	}
	return data.Pairs, nil
}

// wantedBy are the numbers of a row that a loss reads.
func wantedBy(l loss.Loss) data.Wanted {
	needs := l.Needs()
	unpaired := strings.Join(loss.Unpaired(), ", ")
	if _, both := loss.Both(l); both {
		unpaired += "; " + l.Name() + " where the first row of the file is one"
	}
	return data.Wanted{SFT: needs.SFT, SFTPlain: needs.SFT && needs.TokenWeights, SFTPrompt: needs.SFTPrompt, Scores: needs.Scores, Wins: needs.Wins, Mismatched: needs.Mismatched, Unpaired: unpaired, By: "loss " + l.Name(),
		CheckScores: func(chosen, rejected float64) error { return loss.CheckScores(l, chosen, rejected) }}
}

// loadPolicy reads the policy's weights from a folder.
func (in *Inputs) loadPolicy(req Request, dir string) (err error) {
	if in.Policy, err = in.loadModel(req, dir); err != nil {
		return err
	}
	for _, w := range in.Policy.Config.Warnings {
		req.Log.Warn(w)
	}
	return nil
}

// Close gives back what Open took.
func (in *Inputs) Close() {
	if in.Device != nil {
		in.Device.Close()
	}
}

// load reads the file of examples that a key names; an empty path is none.
func (in *Inputs) load(req Request, key, path string, form data.Form) (*data.Set, error) {
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
	if err != nil {
		return nil, noData(key, path, err)
	}
	return set, nil
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
	if set.Report.Lists > 0 {
		return "lists"
	}
	if len(set.Examples) > 0 && len(set.Examples[0].Own()) == 2 {
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

// planner works out what o takes with these inputs; the caller says what for.
func (in *Inputs) planner(o *Options) *planner {
	sets := in.sets()
	return &planner{o: *o, dev: in.Device, train: sets[0], eval: sets[1], tokens: in.Reader.VocabSize(), needs: in.needs}
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
		if e.Label != data.Unlabelled {
			writeInts(h, -2, int(e.Label))
		}
		if s := e.Imitated; s != nil {
			writeInts(h, -3, len(s.IDs), s.First)
			for _, id := range s.IDs {
				writeInts(h, int(id))
			}
		}
		if n := e.Numbers; n != nil { // behind a number that is no length
			writeInts(h, -1)
			binary.Write(h, binary.LittleEndian, n)
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
