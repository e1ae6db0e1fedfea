package train

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// EvalOptions are what evaluation is asked besides Options, whose Model is the model to evaluate and whose Data the
// held-out examples, or those with an EvalFraction of which they are.
type EvalOptions struct {
	Ref       string // folder of the reference; empty: the run's
	JSON      bool   // one JSON object instead of a table
	PerPair   string // file for a line of JSON an example; empty: none
	LossGiven bool   // a config or a flag says the loss
}

// RunConfig is the resolved config of the run that made the model in dir, which may be a checkpoint; empty if there is
// none.
func RunConfig(dir string) string {
	if dir == "" {
		return ""
	}
	if checkpoint.IsCheckpoint(dir) {
		dir = filepath.Join(dir, "..")
	}
	path := filepath.Join(dir, ConfigFile)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// Eval evaluates a model on held-out examples and prints the metrics. The same examples give the same numbers as the
// evaluation inside training, bit for bit where the weights are saved as float32.
func Eval(ctx context.Context, req Request, e EvalOptions) error {
	o := &req.Options
	if err := modelFolder("model", o.Model); err != nil {
		return err
	}
	if e.Ref != "" {
		if err := modelFolder("--ref", e.Ref); err != nil {
			return err
		}
	}
	if !e.LossGiven {
		return usage("%s was not made by a run of dpotrain; say the loss with --loss, or give --config", o.Model)
	}
	l, err := loss.New(o.Loss, o.LossSettings)
	if err != nil {
		return err
	}
	if err := checkPerPair(e.PerPair, o.sources()); err != nil {
		return err
	}
	o.EvalData, o.EvalStrategy = "", "steps"
	o.TrustRefLogps = o.TrustRefLogps && e.Ref == ""
	if o.Compute, err = cpu.Resolve(o.Compute); err != nil {
		return &UsageError{err}
	}
	in, err := Open(ctx, req, l)
	if err != nil {
		return err
	}
	defer in.Close()
	if in.Eval != nil { // held out of the training data
		in.Train, in.Eval = in.Eval, nil
	}
	in.logData(req.Log)
	req.Log.Info("loss " + o.lossText())
	if found, err := restoreLoss(l, o.Model); err != nil {
		return err
	} else if !found {
		req.Log.Info(fmt.Sprintf("%s has no state of loss %s: it is computed as before the first step of a run", o.Model, l.Name()))
	}
	want := o.demands(l)
	if e.Ref != "" && o.MonitorReference == "auto" { // it was asked for, whatever the cache has
		want = everything
	}
	x, err := in.planEval(o, l, want, e.Ref)
	if err != nil {
		return err
	}
	o.MicroBatchTokens = x.budget
	req.Log.Info(x.summary())
	if err := in.loadPolicy(req, o.Model); err != nil {
		return err
	}
	refs, refGraph, err := in.evalReference(ctx, req, l, want, e.Ref, &x)
	if err != nil {
		return err
	}
	if refGraph != nil {
		defer refGraph.Close()
	}
	debug.FreeOSMemory() // the reference
	g, err := in.Policy.NewGraph(x.evalGraph())
	if err != nil {
		return err
	}
	defer g.Close()
	g.Compare(refGraph)
	bar := report.NewProgress(req.Stderr, "evaluating", int64(in.Train.Len()), "examples")
	t, err := eval.Run(ctx, g, in.Train.Examples, refs.All(), l, o.MicroBatchTokens, func(n int) { bar.Add(int64(n), "") })
	bar.Done()
	if err != nil {
		return err
	}
	if e.PerPair != "" {
		if err := writePerPair(e.PerPair, in.Train.Examples, t); err != nil {
			return err
		}
	}
	return printEvaluation(req.Stdout, t.Tally, e.JSON)
}

// planEval plans the memory of an evaluation whose reference, if one is given, is in folder given.
func (in *Inputs) planEval(o *Options, l loss.Loss, want demand, given string) (x planned, err error) {
	p := in.planner(o)
	if p.policy, err = model.LoadConfig(o.Model); err != nil {
		return x, err
	}
	p.trusted = want == fromRows
	if want.ofModel() {
		p.separate, p.kept = true, want == whatIsKept
		if p.reference, err = model.LoadConfig(cmp.Or(given, o.RefModel, o.Model)); err != nil { // may be away, if the cache has everything
			p.reference = p.policy
		}
		if err := o.checkComparison(l, p.policy, p.reference, cmp.Or(given, o.RefModel)); err != nil {
			return x, err
		}
	}
	return p.choose()
}

// evalReference brings what is wanted of the reference, which is in folder given or else the run's: log-probs, nil where there are none, and a graph
// for a loss that compares distributions, else nil.
func (in *Inputs) evalReference(ctx context.Context, req Request, l loss.Loss, want demand, given string, x *planned) (refs *score.Table, graph *model.Graph, err error) {
	if want == fromRows {
		return trusted(in.Train.Examples), nil, nil
	}
	if !want.ofModel() {
		return nil, nil, nil
	}
	ref, err := in.referenceOf(req, given, l.Needs())
	if err != nil && want == whatIsKept {
		req.Log.Info(unmonitored(err.Error()))
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	ref.Load = sync.OnceValues(ref.Load) // for pass one and for what is compared
	sums, done, err := referenceLogps(ctx, req, l.Needs(), want, ref, x.passGraph(), in.Train.Examples)
	if err != nil {
		return nil, nil, err
	}
	req.Log.Info(done)
	if x.compare {
		if graph, err = in.referenceGraph(ref, x.referenceGraph()); err != nil {
			return nil, nil, fmt.Errorf("loss %s compares the distributions of policy and reference: %w", l.Name(), err)
		}
	}
	if sums != nil {
		refs = sums[0]
	}
	return refs, graph, nil
}

// printEvaluation prints the metrics, with 95 % intervals where there are any: a table, or one JSON object.
func printEvaluation(w io.Writer, t *eval.Tally, asJSON bool) error {
	row := report.Row{report.Int("examples", int64(t.Examples())), report.Float("loss", t.Loss())}
	row = t.Metrics(row, "")
	intervals := map[string]string{}
	for _, in := range t.Intervals() {
		intervals[in.Metric] = fmt.Sprintf("%.4f to %.4f", in.Low, in.High)
		if asJSON {
			row = append(row, report.Float(in.Metric+"_low", in.Low), report.Float(in.Metric+"_high", in.High))
		}
	}
	if asJSON {
		_, err := fmt.Fprintf(w, "%s\n", row.JSON())
		return err
	}
	var table [][]string
	for _, m := range row {
		info, _ := eval.Find(m.Name)
		table = append(table, []string{m.Name, m.String(), info.Unit, intervals[m.Name]})
	}
	report.Table(w, []string{"metric", "value", "unit", "95 % interval"}, table)
	if sentence, ok := t.Verdict(); ok {
		fmt.Fprintf(w, "\n%s\n", sentence)
	}
	return nil
}

// checkPerPair refuses a place for the examples' lines that could not be written, before anything is computed, and one that
// is a file of the data.
func checkPerPair(path string, sources []data.Source) error {
	if path == "" {
		return nil
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return usage("--per-pair %s: there is no folder %s; make it, or name another file", path, filepath.Dir(path))
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return usage("--per-pair %s: a folder; name a file", path)
	}
	for _, s := range sources {
		files, _ := s.Files() // what is wrong with them is said when they are read
		if slices.ContainsFunc(files, func(f string) bool { return samePlace(path, f) }) {
			return usage("--per-pair %s: that is the data; name another file", path)
		}
	}
	return nil
}

// writePerPair writes a line of JSON for each example in the order of the data; its file and line come first.
func writePerPair(path string, x data.Examples, e *eval.Evaluation) error {
	var b bytes.Buffer
	name := json.NewEncoder(&b)
	name.SetEscapeHTML(false)
	for i, one := range data.All(x) {
		b.WriteString(`{"file": `)
		if err := name.Encode(one.File); err != nil {
			return err
		}
		b.Truncate(b.Len() - 1) // the line end
		b.WriteString(", ")
		b.Write(append(report.Row{report.Int("line", int64(one.Line))}, e.Row(i)...).JSON()[1:])
		b.WriteByte('\n')
	}
	return checkpoint.WriteFile(path, b.Bytes())
}

// referenceOf finds the reference of a model: the folder given, else that of the run which made the model, whose weights
// are needed only for what the cache lacks and must still be the same. A model that no run made has the ref_model of the
// settings, and so has one whose run had no reference, if a loss that needs none is to be monitored.
func (in *Inputs) referenceOf(req Request, given string, needs loss.Needs) (score.Reference, error) {
	o := &req.Options
	info, err := readRunInfo(o.Model)
	if given == "" && (errors.Is(err, errNoRunFile) || err == nil && info.Reference == "" && !needs.Reference) {
		given = o.RefModel
	}
	if given != "" {
		o.RefModel = given
		ref, _, err := in.reference(req, false)
		return ref, err
	}
	if err != nil {
		return score.Reference{}, err
	}
	var d model.Digest
	if n, err := hex.Decode(d[:], []byte(info.Reference)); err != nil || n != len(d) {
		return score.Reference{}, fmt.Errorf("%s: %s names no reference model; give its folder with --ref", o.Model, RunFile)
	}
	return newReference(o, in.Device, d, in.Policy.Config.Spec.Vocab, func() (*model.Model, error) {
		advice := "give the reference model's folder with --ref"
		if !needs.KL {
			advice += ", or run \"dpotrain precompute-ref\" where it is"
		}
		if o.RefModel == "" {
			return nil, fmt.Errorf("%s does not say where its reference model is; %s", o.Model, advice)
		}
		if _, err := os.Stat(o.RefModel); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("ref_model %s is not there any more; %s", o.RefModel, advice)
		}
		m, err := model.Load(o.RefModel, in.Device)
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, advice)
		}
		if m.Digest() != d {
			return nil, fmt.Errorf("ref_model %s is not the model any more that the run was made with; %s", o.RefModel, advice)
		}
		return m, nil
	}), nil
}
