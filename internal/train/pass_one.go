package train

import (
	"context"
	"fmt"
	"path/filepath"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// ownReference says that policy and reference are one folder.
func (o *Options) ownReference() bool { return filepath.Clean(o.RefModel) == filepath.Clean(o.Model) }

// reference says which model the reference is. When the policy has just been loaded from the same folder, its own weights
// serve; same says that policy and reference are the same numbers.
func (in *Inputs) reference(req Request, fresh bool) (ref score.Reference, same bool, err error) {
	o := &req.Options
	m := in.Policy
	if m == nil || !fresh || !o.ownReference() {
		if err := modelFolder("ref_model", o.RefModel); err != nil {
			return ref, false, err
		}
		if m, err = in.loadModel(req, o.RefModel); err != nil {
			return ref, false, err
		}
	}
	ref = newReference(o, in.Device, m.Digest(), m.Config.Spec.Vocab, func() (*model.Model, error) { return m, nil })
	return ref, in.Policy != nil && fresh && (m == in.Policy || in.Policy.Digest() == ref.Digest), nil
}

func newReference(o *Options, dev compute.Device, d model.Digest, vocab int, load func() (*model.Model, error)) score.Reference {
	return score.Reference{Name: o.RefModel, Digest: d, Family: dev.Family(), Precision: o.Compute.Precision, Vocab: vocab, Load: load}
}

// checkComparison refuses a loss that compares the distributions of policy and reference, which is in folder refModel, where they do not
// compare, or where the reference would not stay as it is.
func (o *Options) checkComparison(l loss.Loss, policy, reference *model.Config, refModel string) error {
	if !l.Needs().KL {
		return nil
	}
	if o.renewals() > 0 {
		return usage("reference_update_steps: loss %s compares the distributions of policy and reference, and does so with ref_model alone; leave it out, or take another loss", l.Name())
	}
	if n, m := policy.Spec.Vocab, reference.Spec.Vocab; n != m {
		return usage("loss %s compares the distributions of policy and reference, and model %s has a vocabulary of %d, ref_model %s one of %d; take a reference with the same, or another loss",
			l.Name(), o.Model, n, refModel, m)
	}
	return nil
}

// referenceGraph makes the graph of a reference that goes forward beside the policy, with weights that training leaves alone.
func (in *Inputs) referenceGraph(ref score.Reference, o model.GraphOptions) (*model.Graph, error) {
	m, err := ref.Load()
	if err != nil {
		return nil, err
	}
	if m == in.Policy {
		m = m.Copy()
	}
	return m.NewGraph(o)
}

// askFor is what a loss reads of the reference: from the cache, in pass one and after a renewal.
func askFor(needs loss.Needs, o *Options) score.Options {
	return score.Options{Tokens: needs.TokenWeights, Entropies: needs.Entropies, MicroBatchTokens: o.MicroBatchTokens}
}

// PassOne computes what the reference cache lacks of the examples for a loss. done says in a line what it did.
func PassOne(ctx context.Context, req Request, needs loss.Needs, ref score.Reference, graph model.GraphOptions, sets ...data.Examples) (logps []*score.Table, done string, err error) {
	o := &req.Options
	var bar *report.Progress
	tokens := 0
	ask := askFor(needs, o)
	ask.Graph = graph
	ask.Waiting = func() { req.Log.Info("another run is computing reference log-probs; waiting for it") }
	ask.Started = func(sequences int) {
		bar = report.NewProgress(req.Stderr, "reference log-probs", int64(sequences), "sequences")
	}
	ask.Progress = func(sequences, n int) {
		tokens += n
		bar.Add(int64(sequences), report.Count(int64(tokens))+" tokens")
	}
	all, path, st, err := score.Bring(ctx, ref, o.RefCacheDir, ask, sets...)
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
	what := "pairs"
	notPair := func(e *data.Example) bool { return e.Label != data.Unlabelled || len(e.Sequences) > 2 }
	if data.Any(data.Join(sets...), notPair) {
		what = "rows"
	}
	kept := "log-probs"
	if needs.Entropies {
		kept = "log-probs and entropies"
	}
	return all, fmt.Sprintf("reference %[8]s: %[1]s sequences computed (%[2]s %[3]s), %[4]s reused (%[5]s %[3]s)%[6]s; cache %[7]s",
		report.Count(int64(st.Computed)), report.Count(int64(st.ComputedPairs)), what, report.Count(int64(st.Reused)), report.Count(int64(st.ReusedPairs)), speed, path, kept), nil
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
	if o.trusts(l) {
		return usage("trust_ref_logps: the reference's log-probs are taken from the rows; there is nothing to precompute")
	}
	if o.demands(l) != everything {
		return usage("loss %s needs no reference log-probs; give monitor_reference: true to compute them for its metrics alone", l.Name())
	}
	in, err := Open(ctx, req, l)
	if err != nil {
		return err
	}
	defer in.Close()
	in.logData(req.Log)
	p := in.planner(o)
	if p.reference, err = model.LoadConfig(o.RefModel); err != nil {
		return err
	}
	x, err := p.choose()
	if err != nil {
		return err
	}
	o.MicroBatchTokens = x.budget
	req.Log.Info(x.summary())
	ref, _, err := in.reference(req, false)
	if err != nil {
		return err
	}
	_, done, err := PassOne(ctx, req, l.Needs(), ref, x.passGraph(), in.sets()...)
	if err != nil {
		return err
	}
	logPeak(req.Log)
	_, err = fmt.Fprintln(req.Stdout, done)
	return err
}
