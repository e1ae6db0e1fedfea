package train

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
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
func Open(ctx context.Context, req Request, l loss.Loss) (in *Inputs, err error) {
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
	in.Reader.Store = data.Store{Dir: o.TokenCacheDir, Warn: func(text string) { req.Log.Warn(text) }, Removed: func(text string) { req.Log.Info(text) }}
	if o.TokenCacheLimit != "none" {
		if in.Reader.Store.Limit, err = plan.ParseBytes(o.TokenCacheLimit); err != nil {
			return nil, usage("token_cache_limit: %s: %w", o.TokenCacheLimit, err)
		}
	}
	form, err := o.form(l)
	if err != nil {
		return nil, err
	}
	if err := checkTrust(o, l); err != nil { // of the rows that there are
		return nil, err
	}
	in.Reader.Wanted, in.needs = wantedBy(l), l.Needs()
	in.Reader.Wanted.RefLogps = o.trusts(l)
	if in.Train, in.Eval, err = in.load(ctx, req, o.trainKey(), o.sources(), o.EvalFraction, form); err != nil {
		return nil, err
	}
	if o.EvalStrategy == "no" {
		in.Eval = nil
	} else if sources := o.evalSources(); len(sources) > 0 {
		if in.Eval, _, err = in.load(ctx, req, "eval_data", sources, 0, form); err != nil {
			return nil, err
		}
	}
	return in, nil
}

// form is what rows are read for. A loss that takes both pairs and unpaired rows is told which there are.
func (o *Options) form(l loss.Loss) (data.Form, error) {
	if both, ok := loss.Both(l); ok && slices.ContainsFunc(slices.Concat(o.sources(), o.evalSources()), data.Unpaired) {
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

// trainKey is what names the training data.
func (o *Options) trainKey() string {
	if len(o.Datasets) > 0 {
		return "datasets"
	}
	return "data"
}

// sources are the data sets to train on.
func (o *Options) sources() []data.Source {
	list := slices.Clone(o.Datasets)
	if len(list) == 0 && o.Data != "" {
		list = []data.Source{{Path: o.Data}}
	}
	for i := range list {
		if list[i].Columns == nil {
			list[i].Columns = o.Columns
		}
	}
	return list
}

// evalSources is eval_data, if it is read.
func (o *Options) evalSources() []data.Source {
	if o.EvalData == "" || o.EvalStrategy == "no" {
		return nil
	}
	return []data.Source{{Path: o.EvalData, Columns: o.Columns}}
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
	for _, set := range in.files() {
		set.Close()
	}
}

// load reads the data sets that a key names, and holds a fraction of their prompts out; none are none.
func (in *Inputs) load(ctx context.Context, req Request, key string, sources []data.Source, fraction float64, form data.Form) (set, held *data.Set, err error) {
	if len(sources) == 0 {
		return nil, nil, nil
	}
	what := filepath.Base(sources[0].Path)
	if len(sources) > 1 {
		what = fmt.Sprintf("%d data sets", len(sources))
	}
	progress, end := report.Reading(req.Stderr, "reading "+what)
	set, held, err = in.Reader.Mix(ctx, sources, fraction, form, req.Options.Rows, progress)
	end()
	if err != nil {
		return nil, nil, noData(key, missing(sources), err)
	}
	return set, held, nil
}

// files are the sets that were read.
func (in *Inputs) files() []*data.Set {
	return slices.DeleteFunc([]*data.Set{in.Train, in.Eval}, func(s *data.Set) bool { return s == nil })
}

// logData says what was read.
func (in *Inputs) logData(log *slog.Logger) {
	for _, set := range in.files() {
		log.Info(fmt.Sprintf("%s: %s %s", set.Name, report.Count(int64(set.Len())), plural(set)))
		for _, r := range set.Reports {
			name := ""
			if len(set.Reports) > 1 {
				name = r.Name + ": "
				log.Info(fmt.Sprintf("  %s%s of %s examples", name, report.Count(int64(r.Taken)), report.Count(int64(r.Kept))))
			}
			for _, line := range r.Lines() {
				log.Info("  " + name + line)
			}
			for _, w := range r.Warnings() {
				log.Warn(r.Name + ": " + w)
			}
		}
	}
}

// plural is what a set has many of.
func plural(set *data.Set) string {
	if data.Any(set.Examples, func(e *data.Example) bool { return len(e.Own()) > 2 }) {
		return "lists"
	}
	if set.Len() > 0 && len(set.Examples.At(0).Own()) == 2 {
		return "pairs"
	}
	return "examples"
}

// sets are the examples of training and evaluation; either may be empty.
func (in *Inputs) sets() []data.Examples {
	sets := []data.Examples{data.Slice{}, data.Slice{}}
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
