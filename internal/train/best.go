package train

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
)

// best is the evaluation that was the best so far. There is a checkpoint of its step.
type best struct {
	Step  int      `json:"step"`
	Found findings `json:"found"` // its metrics
}

// BestMetric is the metric by which the best checkpoint is found, without eval_ in front; empty if none is looked for. As in
// TRL it is the loss where only the best checkpoint is asked for.
func (o *Options) BestMetric() string {
	if o.MetricForBestModel == "" && (o.LoadBestModelAtEnd || o.SaveStrategy == "best") {
		return "loss"
	}
	return strings.TrimPrefix(o.MetricForBestModel, "eval_")
}

// higherIsBetter is the direction of BestMetric. It is not written into the resolved config where nobody gave it: there it
// would outlive the metric that it belongs to.
func (o *Options) higherIsBetter() bool {
	if o.GreaterIsBetter != nil {
		return *o.GreaterIsBetter
	}
	m, _ := eval.Find(o.BestMetric())
	return m.Better > 0
}

// bestValue is the metric of the best checkpoint in findings, NaN if it is not there, as of unpaired rows of one kind alone.
func (r *runner) bestValue(f findings) float64 {
	v, ok := f.metrics.Value(r.o.BestMetric())
	if !ok {
		return math.NaN()
	}
	return v
}

// checkBestMetric refuses a metric that evaluations of the rows that there are do not have: what the loss has of pairs was looked at before.
func (r *runner) checkBestMetric() error {
	needs := r.loss.Needs()
	if m, ok := eval.Find(r.o.BestMetric()); ok && needs.Labels && !m.Of(needs) {
		return usage("metric_for_best_model: %s; the rows are single completions with labels, and their evaluations have no such metric; docs/metrics.md has theirs, or give pairs", m.Name)
	}
	return nil
}

// better says that one value of the metric is better than another. NaN is neither better nor worse than any.
func (r *runner) better(a, b float64) bool {
	if r.o.higherIsBetter() {
		return a > b
	}
	return a < b
}

// compare keeps the evaluation of this step if it is better than all before, and says whether it is.
func (r *runner) compare() bool {
	if r.o.BestMetric() == "" {
		return false
	}
	v := r.bestValue(r.after)
	if v != v || r.best != nil && !r.better(v, r.bestValue(r.best.Found)) {
		return false
	}
	r.best = &best{r.step, findings{metrics: r.after.metrics}}
	return true
}

// bestPath is the best checkpoint, empty if there is none.
func (r *runner) bestPath() string {
	if r.best == nil {
		return ""
	}
	return r.checkpointPath(r.best.Step)
}

func (r *runner) checkpointPath(step int) string {
	return filepath.Join(r.o.OutputDir, fmt.Sprintf("checkpoint-%d", step))
}

// bestText is a value of the metric in words: eval_loss 0.4321.
func (r *runner) bestText(f findings) string {
	return fmt.Sprintf("eval_%s %.4f", r.o.BestMetric(), r.bestValue(f))
}

// restoreBest takes over what a checkpoint knew of the best one.
func (r *runner) restoreBest(b *best) {
	if b == nil {
		return
	}
	r.best = b
	if _, err := os.Stat(r.bestPath()); err != nil {
		r.Log.Warn(fmt.Sprintf("the best checkpoint so far, %s (%s), is not there any more: the best of the evaluations to come will take its place", r.bestPath(), r.bestText(b.Found)))
		r.best = nil
	}
}

// chooseBest says which checkpoint is the best, and makes its weights the policy's if that is asked for.
func (r *runner) chooseBest() error {
	if r.o.BestMetric() == "" {
		return nil
	}
	if r.best == nil {
		r.Log.Warn(fmt.Sprintf("no evaluation had a number for eval_%s, so that there is no best checkpoint; the tuned model is that of the last step", r.o.BestMetric()))
		return nil
	}
	what := fmt.Sprintf("best checkpoint: %s, %s", r.bestPath(), r.bestText(r.best.Found))
	if r.best.Step < r.step && r.after.metrics != nil {
		what += fmt.Sprintf(" (after the last step it was %.4f)", r.bestValue(r.after))
	}
	if r.before.metrics != nil && r.better(r.bestValue(r.before), r.bestValue(r.best.Found)) {
		r.Log.Warn(fmt.Sprintf("before training eval_%s was %.4f, better than after any step that was evaluated", r.o.BestMetric(), r.bestValue(r.before)))
	}
	if !r.o.LoadBestModelAtEnd {
		r.Log.Info(what + "; the tuned model is that of the last step")
		return nil
	}
	r.Log.Info(what + "; its weights are the tuned model")
	r.after = r.best.Found
	if r.best.Step == r.step {
		return nil
	}
	if err := r.loadBest(); err != nil {
		path, saveErr := r.save() // or the last steps would be lost
		if saveErr != nil {
			return fmt.Errorf("load_best_model_at_end: %w; and the last step could not be saved: %w", err, saveErr)
		}
		return fmt.Errorf("load_best_model_at_end: %w; the model of the last step is in %s", err, path)
	}
	return nil
}

func (r *runner) loadBest() error {
	c, err := checkpoint.Open(r.bestPath())
	if err != nil {
		return err
	}
	defer c.Close()
	weights, err := c.Weights()
	if err != nil {
		return err
	}
	// The loss's state is for the evaluations of the tuned model. It comes first: after an error the model is still that of the last step.
	if l, ok := r.loss.(loss.Stateful); ok {
		was := l.State()
		found, err := restoreLoss(r.loss, c.Path())
		if err == nil && !found {
			err = fmt.Errorf("%s has no state of loss %s in its %s", c.Path(), l.Name(), RunFile)
		}
		if err != nil {
			return errors.Join(err, l.SetState(was))
		}
	}
	return restore(r.in.Policy, r.in.Policy.W, weights, "")
}
