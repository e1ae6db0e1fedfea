package train

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// renewal makes the policy the new reference, or a part of it, every so many optimizer steps: TR-DPO (Gorbatovski et al. 2024,
// arXiv:2404.09656). The reference's weights lie beside the policy's then, and what it says of an example is computed when the example's
// turn comes, and kept until the next renewal: so nothing is computed that no step reads, and a run that goes on from a checkpoint, which
// has the weights, computes the same bits again.
//
// A renewal is made before the step behind it, not after the one in front: what is evaluated, saved and found best after a step is measured
// against the reference that the step had, and a run that ends with a renewal is one without.
type renewal struct {
	every  int
	mixup  float64 // reference = mixup * policy + (1-mixup) * reference
	policy *model.Model
	model  *model.Model  // the reference; of mixup 1 empty before the first renewal
	graph  *model.Graph  // its, forward-only
	ask    score.Options // rows computed together, and what the loss needs

	step        int // after which the reference was last renewed; 0: it is ref_model
	train, eval renewed
}

// renewed are the reference's log-probs of a set of examples, each as of some renewal.
type renewed struct {
	examples data.Examples
	logps    *score.Table
	step     []int // of the renewal
}

// renewals says every how many steps the reference is renewed; 0: never.
func (o *Options) renewals() int {
	if o.ReferenceUpdateSteps == nil {
		return 0
	}
	return *o.ReferenceUpdateSteps
}

// renewedBefore is the step after which the reference of a step's evaluation and checkpoint was last renewed.
func (o *Options) renewedBefore(step int) int {
	if o.renewals() == 0 || step == 0 {
		return 0
	}
	return (step - 1) / o.renewals() * o.renewals()
}

// checkRenewals refuses to mix models that are not of one kind.
func (o *Options) checkRenewals(policy, reference *model.Config) error {
	if o.renewals() > 0 && o.ReferenceMixup < 1 && !reflect.DeepEqual(policy.Spec, reference.Spec) {
		return usage("reference_mixup: %v: ref_model %s has another architecture than model %s, and weights of the two cannot be mixed; give reference_mixup: 1, which puts the policy in its place", o.ReferenceMixup, o.RefModel, o.Model)
	}
	return nil
}

// startRenewals lays out the reference beside the policy, as it is after so many steps. ref is the model that the run began with.
func (r *runner) startRenewals(ref score.Reference, from *checkpoint.Checkpoint) (err error) {
	v := &renewal{every: r.o.renewals(), mixup: r.o.ReferenceMixup, policy: r.in.Policy, ask: askFor(r.loss.Needs(), r.o)}
	if from != nil {
		v.step = r.o.renewedBefore(from.State.Step)
	}
	v.train = renewed{r.in.Train.Examples, r.refs, make([]int, r.refs.Len())}
	if r.in.Eval != nil {
		v.eval = renewed{r.in.Eval.Examples, r.evalRefs, make([]int, r.evalRefs.Len())}
	}
	switch {
	case v.step > 0:
		if v.model, err = renewedModel(r.in.Policy, from); err != nil {
			return err
		}
	case v.mixup < 1:
		first, err := ref.Load()
		if err != nil {
			return err
		}
		v.model = first
		if first == r.in.Policy {
			v.model = r.in.Policy.Copy()
		}
	default:
		v.model = r.in.Policy.Empty()
	}
	v.graph, err = v.model.NewGraph(r.planned.renewalGraph())
	r.renewal = v
	return err
}

// renewedModel is the reference that a checkpoint has.
func renewedModel(policy *model.Model, from *checkpoint.Checkpoint) (*model.Model, error) {
	f, err := from.Reference()
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, fmt.Errorf("resume: %s has no weights of the renewed reference; resume from another checkpoint", from.Path())
	}
	m := policy.Empty()
	if err := restore(m, m.W, f, ""); err != nil {
		return nil, fmt.Errorf("%s: %w", from.Path(), err)
	}
	return m, nil
}

// renewReference renews the reference if that is due before the step at hand, and brings what it says of the step's examples.
func (r *runner) renewReference(ctx context.Context) error {
	v := r.renewal
	if v == nil {
		return nil
	}
	if r.step > v.step && r.step%v.every == 0 {
		v.model.Move(v.policy, v.mixup)
		v.step = r.step
		if v.every >= r.schedule.steps(r.o.LoggingSteps) { // metrics.jsonl has every renewal
			r.Log.Info(fmt.Sprintf("reference renewed after step %d: shifts and rewards count from here", r.step))
		}
	}
	return v.bring(ctx, &v.train, r.rows(r.step), nil)
}

// renewEvaluation brings what the reference says of the held-out examples.
func (r *runner) renewEvaluation(ctx context.Context) error {
	v := r.renewal
	if v == nil {
		return nil
	}
	all := make([]int, v.eval.examples.Len())
	for i := range all {
		all[i] = i
	}
	bar := report.NewProgress(r.Stderr, "renewed reference", int64(len(all)), "examples")
	defer bar.Done()
	return v.bring(ctx, &v.eval, all, func(n int) { bar.Add(int64(n), "") })
}

// metrics adds to a row since when the reference is what it is, if it is renewed at all.
func (v *renewal) metrics(row report.Row) report.Row {
	if v == nil {
		return row
	}
	return append(row, report.Int("reference_step", int64(v.step)))
}

// bring computes the log-probs of those of the examples which are of an earlier renewal.
func (v *renewal) bring(ctx context.Context, set *renewed, rows []int, progress func(examples int)) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(i int) bool { return set.step[i] == v.step })
	list := make([]*data.Example, len(rows))
	for k, i := range rows {
		list[k] = set.examples.At(i)
	}
	logps, err := score.Compute(ctx, v.graph, list, v.ask, progress)
	if err != nil {
		return fmt.Errorf("reference renewed after step %d: %w", v.step, err)
	}
	for k, i := range rows {
		set.logps.Set(i, logps.At(k))
		set.step[i] = v.step
	}
	return nil
}
