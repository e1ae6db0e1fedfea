// Package train is pass two: it tunes the policy on preference pairs or on rows with labels, with the reference's log-probs from pass one.
//
// Run takes Options and leaves a Hugging Face folder, the resolved config, metrics and checkpoints in output_dir. A run
// is a function of its Options and inputs: repeated, or interrupted and resumed, it gives the same bits.
//
// The way of one step: examples in the order of data.Order -> micro-batches (package plan) -> graph (package model) -> loss (package
// loss) -> gradients -> clipping and AdamW (optimizer.go) at the rate of schedule.go.
//
// The commands precompute-ref, eval, show, init and a part of bench are here too, because they read the same inputs: PrecomputeRef
// (pass_one.go), Eval (evaluate.go), Show (show.go), Init (init.go) and Measure (measure.go).
//
// To add a setting: a field of Options with its tags, which package config turns into key, flag and variable; whether a run may
// go on with another value of it is said in package config (free). A schedule is a case of schedule.factor, held against
// testdata/schedules.json. What a run must remember beyond its checkpoint's tensors is a field of settings (resume.go);
// what a loss remembers is in runInfo (saved_model.go).
package train

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// Files of a run directory besides the model's and the checkpoints'.
const (
	ConfigFile  = "dpotrain.yaml"
	MetricsFile = "metrics.jsonl"
)

// Request is a run and where it talks to the user.
type Request struct {
	Options     Options
	Stdout      io.Writer // results
	Stderr      io.Writer // progress and messages
	Log         *slog.Logger
	Marshal     func(Options) []byte                      // the text of the resolved config
	Values      func(Options) map[string]string           // the settings by key, for checkpoints
	Differences func(was, now map[string]string) []string // of Values: those that differ and change results
}

// ErrInterrupted is returned when the context ended: the step at hand was finished and a checkpoint saved.
var ErrInterrupted = errors.New("interrupted")

// UsageError is returned when settings, each of them right, do not go together or do not fit what is in output_dir.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

func usage(format string, a ...any) error { return &UsageError{fmt.Errorf(format, a...)} }

// runner is a run in progress.
type runner struct {
	Request
	o         *Options
	in        *Inputs
	loss      loss.Loss
	schedule  schedule
	adam      *optimizer
	stepper   stepper
	planned   planned
	evalGraph *model.Graph
	refGraph  *model.Graph // of the reference, for a loss that compares distributions; else nil
	metrics   *report.MetricsFile
	trainSet  string       // digest of the training examples
	evalSet   string       // digest of the held-out examples
	demand    demand       // for the reference's log-probs
	reference string       // digest of the reference model; empty without one
	refs      *score.Table // of the training examples; nil without a reference
	evalRefs  *score.Table
	before    findings // of the policy before the first step
	after     findings // of the policy as it is; the metrics are those of the last evaluation
	best      *best    // nil before the first evaluation, or if none is looked for
	watch     *watch
	renewal   *renewal // nil if the reference stays as it is

	step    int   // optimizer steps that are behind
	skipped int   // of them without an update, for on_nonfinite: skip
	tokens  int64 // tokens seen, as TRL's num_tokens
	lossSum float64
	trained int // examples of the steps that this process took
	epoch   int // that order belongs to
	order   []int32
}

// Run trains.
func Run(ctx context.Context, req Request) error {
	r := &runner{Request: req, epoch: -1}
	r.o = &r.Options
	if err := r.o.complete(); err != nil {
		return err
	}
	l, err := loss.New(r.o.Loss, r.o.LossSettings)
	if err != nil {
		return err
	}
	r.loss, r.watch = l, newWatch(l)
	if err := checkFolders(r.o); err != nil {
		return err
	}
	release, err := checkpoint.LockRun(r.o.OutputDir)
	if err != nil {
		return err
	}
	defer release()
	from, err := r.checkpoint()
	if err != nil {
		return err
	}
	if from != nil {
		defer from.Close()
	}
	if r.in, err = Open(ctx, r.Request, l); err != nil {
		return err
	}
	defer r.in.Close()
	sets := r.in.sets()
	r.trainSet, r.evalSet = data.Digest(sets[0]), data.Digest(sets[1])
	if from != nil {
		if err := r.checkSets(from); err != nil { // before anything is computed for them
			return err
		}
	}
	if err := r.choosePlan(from); err != nil {
		return err
	}
	r.announce(from)
	if err := r.in.loadPolicy(r.Request, r.weights(from)); err != nil {
		return err
	}
	if err := r.checkForeign(); err != nil {
		return err
	}
	if err := r.passOne(ctx, from); err != nil {
		return err
	}
	if err := r.build(); err != nil {
		return err
	}
	defer r.stepper.graph.Close()
	if r.renewal != nil {
		defer r.renewal.graph.Close()
	}
	if r.refGraph != nil {
		defer r.refGraph.Close()
	}
	if from != nil {
		err = r.restore(from)
	} else {
		err = r.begin()
	}
	if err != nil {
		return err
	}
	defer r.metrics.Close()
	if from == nil {
		if err := r.lookAhead(ctx); err != nil {
			return r.howToGoOn(err)
		}
	}
	return r.howToGoOn(r.loop(ctx))
}

// complete fills in what follows from other settings and from the machine, so that a resolved config says it.
func (o *Options) complete() error {
	if o.RefModel == "" {
		o.RefModel = o.Model
	}
	o.MetricForBestModel = o.BestMetric()
	var err error
	if o.Compute, err = cpu.Resolve(o.Compute); err != nil {
		return &UsageError{err}
	}
	return nil
}

// announce says what is about to happen.
func (r *runner) announce(from *checkpoint.Checkpoint) {
	c, o := r.planned.policy, r.o
	r.Log.Info(fmt.Sprintf("model %s: %s, %s parameters, %d layers; dropout is off", o.Model, c.Spec.ModelType, report.Count(int64(c.Parameters())), c.Spec.Layers))
	r.Log.Info(fmt.Sprintf("device cpu, kernel level %s, threads: %d, %s", o.Compute.CPU, r.in.Device.Threads(), o.Compute.Precision))
	r.in.logData(r.Log)
	r.Log.Info(fmt.Sprintf("loss %s; %d optimizer steps of %d %s, %d an epoch, at most %d rows computed together", o.lossText(), r.schedule.total, o.stepSize(), plural(r.in.Train), r.schedule.stepsPerEpoch, o.MicroBatchTokens))
	if n := o.renewals(); n > 0 {
		r.Log.Info(fmt.Sprintf("reference renewed every %d steps: %.4g of the policy, %.4g of the reference before; its weights are kept beside the policy's", n, o.ReferenceMixup, 1-o.ReferenceMixup))
		if n >= r.schedule.total {
			r.Log.Warn(fmt.Sprintf("reference_update_steps: %d is not below the %d steps of the run: the reference stays as it is", n, r.schedule.total))
		}
	}
	r.Log.Info(r.planned.summary())
	if r.planned.compare {
		r.Log.Info(fmt.Sprintf("loss %s compares distributions: the reference goes forward beside the policy in training and evaluations, with %s of this memory", r.loss.Name(), report.Bytes(r.planned.beside())))
	}
	if name := o.BestMetric(); name != "" {
		direction := "lower"
		if o.higherIsBetter() {
			direction = "higher"
		}
		r.Log.Info(fmt.Sprintf("best checkpoint by eval_%s, %s is better: each checkpoint is evaluated, and each evaluation that is the best so far is saved", name, direction))
	}
	if from != nil {
		r.Log.Info(fmt.Sprintf("going on from %s, step %d", from.Path(), from.State.Step))
	}
}

// lossText is the loss with its hyperparameters: dpo, beta 0.1; of a sum 0.8 dpo (beta 0.1) + 1 sft.
func (o *Options) lossText() string {
	info, _ := loss.Of(o.Loss)
	settings := func(l loss.Info, prefix string) (list []string) {
		for _, h := range l.Hyperparameters {
			list = append(list, fmt.Sprintf("%s %v", h.Key, o.LossSettings[prefix+h.Key]))
		}
		return list
	}
	var modifiers []string
	for _, m := range info.Modifiers() {
		if v, given := o.LossSettings[m.Key]; given && v != m.Neutral {
			modifiers = append(modifiers, fmt.Sprintf("%s %v", m.Key, v))
		}
	}
	parts := info.Parts()
	if parts[0].Name == info.Name {
		return strings.Join(slices.Concat([]string{o.Loss}, settings(info, ""), modifiers), ", ")
	}
	var sum []string
	for _, p := range parts {
		text := fmt.Sprintf("%v %s", p.Weight, p.Name)
		if list := settings(p.Info, loss.OwnKey(p.Name, "")); len(list) > 0 {
			text += " (" + strings.Join(list, ", ") + ")"
		}
		sum = append(sum, text)
	}
	return strings.Join(append([]string{strings.Join(sum, " + ")}, modifiers...), ", ")
}

// passOne brings the reference's log-probs and decides whether the step-0 proof applies.
func (r *runner) passOne(ctx context.Context, from *checkpoint.Checkpoint) error {
	const without = "no proof that policy and reference agree at the first step: "
	noReference := without + "loss " + r.loss.Name() + " has no reference"
	if r.demand == nothing {
		r.Log.Info(noReference)
		return nil
	}
	if r.demand == fromRows {
		return r.trust(from, without)
	}
	ref, same, err := r.in.reference(r.Request, from == nil)
	if err != nil && r.demand == whatIsKept {
		r.Log.Info(unmonitored(err.Error()))
		r.Log.Info(noReference)
		return nil
	}
	if err != nil {
		return err
	}
	if from != nil {
		was, err := readRunInfo(from.Path())
		if err != nil {
			return err
		}
		if was.Reference != ref.Digest.String() {
			return fmt.Errorf("resume: ref_model %s is not the model that the run began with; put that back, or start a new run in another output_dir", r.o.RefModel)
		}
	}
	sums, done, err := referenceLogps(ctx, r.Request, r.loss.Needs(), r.demand, ref, r.planned.passGraph(), r.in.sets()...)
	if err != nil {
		return err
	}
	r.Log.Info(done)
	if r.planned.compare {
		if r.refGraph, err = r.in.referenceGraph(ref, r.planned.referenceGraph()); err != nil {
			return err
		}
	}
	debug.FreeOSMemory() // the reference's graph, and its weights if they are not the policy's
	if sums == nil {
		r.Log.Info(noReference)
		return nil
	}
	r.reference, r.refs, r.evalRefs = ref.Digest.String(), sums[0], sums[1]
	if r.o.renewals() > 0 {
		if err := r.startRenewals(ref, from); err != nil {
			return err
		}
	}
	switch {
	case from != nil:
		r.Log.Info(without + "the run goes on from a checkpoint")
	case same:
		r.stepper.prove = true
		what := "that their log-probs are the same bits"
		if r.planned.compare {
			what += " and their divergence is 0"
		}
		r.Log.Info("policy and reference are the same model: the first step proves " + what)
	default:
		r.Log.Info(without + "they are different models")
	}
	return nil
}

// build makes graphs and optimizer.
func (r *runner) build() (err error) {
	s := &r.stepper
	s.policy, s.dev, s.loss, s.budget, s.seed = r.in.Policy, r.in.Device, r.loss, r.o.MicroBatchTokens, r.o.Rows.Seed
	if s.graph, err = s.policy.NewGraph(r.planned.trainingGraph()); err != nil {
		return err
	}
	if r.in.Eval != nil {
		if r.evalGraph, err = s.policy.NewGraph(r.planned.evalGraph()); err != nil {
			return err
		}
	}
	if r.refGraph != nil {
		s.graph.Compare(r.refGraph)
	}
	r.adam = newOptimizer(s.policy, s.dev, r.o)
	return nil
}

// begin starts a new run's files in place of another run's. Nothing that could fail for the user's doing comes after it.
func (r *runner) begin() (err error) {
	if err = checkpoint.Clear(r.o.OutputDir); err != nil {
		return err
	}
	resolved := *r.o
	resolved.Overwrite = false // a permission for this run's folder, not for the one of whoever repeats it
	if err = checkpoint.WriteFile(filepath.Join(r.o.OutputDir, ConfigFile), r.Marshal(resolved)); err != nil {
		return err
	}
	if r.metrics, err = report.OpenMetrics(filepath.Join(r.o.OutputDir, MetricsFile), 0); err != nil {
		return errors.Join(err, checkpoint.Clear(r.o.OutputDir))
	}
	return nil
}

// howToGoOn adds to an error of the disk, such as a full one, that ended a run what to do when it is mended.
func (r *runner) howToGoOn(err error) error {
	if _, ok := errors.AsType[syscall.Errno](err); !ok {
		return err
	}
	steps, listErr := checkpoint.List(r.o.OutputDir)
	if listErr != nil || len(steps) == 0 {
		return fmt.Errorf("%w; when that is mended, give the same command with --overwrite", err)
	}
	return fmt.Errorf("%w; when that is mended, give the same command with --resume, which goes on from %s", err, r.checkpointPath(steps[len(steps)-1]))
}

// rows are the places of a step's examples among all, the first step being 0.
func (r *runner) rows(step int) []int {
	epoch := step / r.schedule.stepsPerEpoch
	if epoch != r.epoch {
		r.epoch, r.order = epoch, data.Order(r.in.Train.Len(), r.o.Rows.Seed, epoch, r.o.Rows.Shuffle)
	}
	size := r.o.stepSize()
	at := step % r.schedule.stepsPerEpoch * size
	var rows []int
	for _, i := range r.order[at:min(at+size, len(r.order))] {
		rows = append(rows, int(i))
	}
	return rows
}

// examples are those of a step, with the reference's log-probs.
func (r *runner) examples(step int) ([]*data.Example, []score.Logps) {
	part := r.rows(step)
	list := make([]*data.Example, len(part))
	var refs []score.Logps
	for i, k := range part {
		list[i] = r.in.Train.Examples.At(k)
		if r.refs != nil {
			refs = append(refs, r.refs.At(k))
		}
	}
	return eval.Weigh(r.loss, list, refs, func(i int) *rand.Rand { return eval.TrainingDraw(r.o.Rows.Seed, r.epoch, part[i]) })
}

// loop runs the steps that are left, and ends the run.
func (r *runner) loop(ctx context.Context) error {
	total := r.schedule.total
	logEvery := r.schedule.steps(r.o.LoggingSteps)
	evalEvery, saveEvery := r.schedule.every(r.o.EvalStrategy, r.o.EvalSteps), r.schedule.every(r.o.SaveStrategy, r.o.SaveSteps)
	progress := report.NewProgress(r.Stderr, "training", int64(total), "steps")
	progress.Start(int64(r.step))
	since := newInterval(r.loss)
	start, firstStep := time.Now(), r.step
	for r.step < total {
		number := r.step + 1
		taken, err := r.takeStep(ctx)
		if err != nil {
			progress.Done()
			return fmt.Errorf("step %d: %w", number, err)
		}
		since.add(taken)
		if !taken.skipped {
			for _, warning := range r.watch.add(taken.tally, r.step, total) {
				r.Log.Warn(warning)
			}
		}
		progress.Add(1, since.detail())
		if every(r.step, logEvery) || r.step == total {
			progress.Printf("%s\n", since.line(r.step, total, r.schedule.epoch(r.step)))
			since = newInterval(r.loss)
		}
		isBest := false
		if r.in.Eval != nil && (every(r.step, evalEvery) || r.step == total || r.o.BestMetric() != "" && every(r.step, saveEvery)) {
			if err := r.evaluate(ctx, progress.Printf); err != nil {
				progress.Done()
				return err
			}
			if isBest = r.compare(); isBest {
				progress.Printf("the best so far: %s\n", r.bestText(r.after))
			}
		}
		stop := ctx.Err() != nil && r.step < total
		if every(r.step, saveEvery) || isBest || stop || r.step == total && saveEvery > 0 {
			path, err := r.save()
			if err != nil {
				progress.Done()
				return err
			}
			if stop {
				progress.Done()
				return fmt.Errorf("%w after step %d of %d; saved %s; go on with the same command and --resume", ErrInterrupted, r.step, total, path)
			}
		}
	}
	progress.Done()
	return r.finish(ctx, time.Since(start), r.step-firstStep)
}

// lookAhead keeps what the policy is like before the first step.
func (r *runner) lookAhead(ctx context.Context) (err error) {
	if r.in.Eval == nil {
		return nil
	}
	if r.o.EvalOnStart {
		if err := r.evaluate(ctx, func(format string, a ...any) { fmt.Fprintf(r.Stderr, format, a...) }); err != nil {
			return err
		}
	}
	r.before = r.after
	r.before.answers, err = r.answers(ctx)
	return err
}

// every says that a step falls on an interval; an interval of 0 never comes.
func every(step, interval int) bool { return interval > 0 && step%interval == 0 }

// step is what became of an optimizer step.
type step struct {
	tally      *eval.Tally
	norm, rate float64
	took       time.Duration
	skipped    bool // no update was made
}

// takeStep makes one optimizer step and writes its metrics line. A step whose loss or gradient is not finite changes
// nothing: it ends the run or, with on_nonfinite: skip, is counted and passed over. The schedule goes on then, for the
// step's examples have had their turn; the optimizer's count of updates, which corrects the bias of its moments, does not.
func (r *runner) takeStep(ctx context.Context) (step, error) {
	began := time.Now()
	if err := r.renewReference(context.WithoutCancel(ctx)); err != nil { // a step is finished, whatever happens
		return step{}, err
	}
	examples, refs := r.examples(r.step)
	s := step{tally: eval.NewTally(r.loss), rate: r.schedule.learningRate(r.step)}
	var err error
	s.norm, err = r.stepper.gradient(r.step, examples, refs, s.tally)
	s.skipped = errors.Is(err, errNonFinite)
	switch {
	case s.skipped && r.o.OnNonfinite == "skip":
		r.Log.Warn(fmt.Sprintf("step %d skipped: %v", r.step+1, err))
		r.skipped++
	case s.skipped:
		return s, fmt.Errorf("%w; the step was not applied; look at the line, try a smaller learning_rate, or pass over such steps with on_nonfinite: skip", err)
	case err != nil:
		return s, err
	}
	r.step++
	row := report.Row{report.Int("step", int64(r.step)), report.Float("epoch", r.schedule.epoch(r.step))}
	if s.skipped {
		row = append(row, report.Float("loss", math.NaN()), report.Float("grad_norm", math.NaN()), report.Float("learning_rate", s.rate))
	} else {
		r.stepper.prove = false
		r.adam.update(r.step-r.skipped, s.rate, clipFactor(s.norm, r.o.MaxGradNorm))
		r.tokens += s.tally.Tokens()
		r.trained += s.tally.Examples()
		r.lossSum += s.tally.Loss()
		row = append(row, report.Float("loss", s.tally.Loss()), report.Float("grad_norm", s.norm), report.Float("learning_rate", s.rate))
		row = s.tally.Metrics(row, "")
		if l, ok := r.loss.(loss.Reporter); ok {
			for _, m := range l.Metrics() {
				row = append(row, report.Float(m.Name, m.Value))
			}
		}
	}
	row = append(row, report.Int("num_tokens", r.tokens))
	row = r.renewal.metrics(row)
	if r.o.OnNonfinite == "skip" {
		row = append(row, report.Int("skipped_steps", int64(r.skipped)))
	}
	s.took = time.Since(began)
	return s, r.metrics.Append(row)
}

// evaluate runs the held-out examples, writes their metrics line, and says in short what came out.
func (r *runner) evaluate(ctx context.Context, say func(format string, a ...any)) error {
	start := time.Now()
	if err := r.renewEvaluation(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("evaluation after step %d: %w", r.step, err)
	}
	bar := report.NewProgress(r.Stderr, "evaluating", int64(r.in.Eval.Len()), "examples")
	r.evalGraph.Compare(r.refGraph)
	defer r.evalGraph.Compare(nil) // answers to prompts are compared with nothing
	t, err := eval.Run(context.WithoutCancel(ctx), r.evalGraph, r.in.Eval.Examples, r.evalRefs.All(), r.loss, r.o.MicroBatchTokens, func(n int) { bar.Add(int64(n), "") })
	bar.Done()
	if err != nil {
		return fmt.Errorf("evaluation after step %d: %w", r.step, err)
	}
	seconds := time.Since(start).Seconds()
	row := report.Row{report.Int("step", int64(r.step)), report.Float("epoch", r.schedule.epoch(r.step)), report.Float("eval_loss", t.Loss())}
	row = t.Metrics(row, "eval_")
	row = append(row, report.Float("eval_runtime", seconds), report.Float("eval_samples_per_second", float64(t.Examples())/seconds))
	row = r.renewal.metrics(row)
	r.after.metrics = t.Metrics(report.Row{report.Float("loss", t.Loss())}, "")
	when := "before the first step"
	if r.step > 0 {
		when = fmt.Sprintf("after step %d", r.step)
	}
	say("%s\n", summary(fmt.Sprintf("evaluation %s, %d %s", when, t.Examples(), plural(r.in.Eval)), t.Tally))
	return r.metrics.Append(row)
}

// finish writes the last metrics line and the tuned model, and shows what the run has changed.
func (r *runner) finish(ctx context.Context, took time.Duration, steps int) error {
	if err := r.chooseBest(); err != nil {
		return err
	}
	seconds := took.Seconds()
	row := report.Row{report.Int("step", int64(r.step)), report.Float("epoch", r.schedule.epoch(r.step)), report.Float("train_runtime", seconds),
		report.Float("train_samples_per_second", float64(r.trained)/seconds), report.Float("train_steps_per_second", float64(steps)/seconds),
		report.Float("train_loss", r.lossSum/float64(r.step-r.skipped))}
	if r.best != nil {
		row = append(row, report.Int("best_step", int64(r.best.Step)), report.Float("best_metric", r.bestValue(r.best.Found)))
	}
	if r.skipped > 0 {
		r.Log.Warn(fmt.Sprintf("%d of %d steps were skipped, for a loss or gradient was not finite; skipped_steps in %s says which", r.skipped, r.step, MetricsFile))
	}
	if err := r.metrics.Append(row); err != nil {
		return err
	}
	if err := r.metrics.Sync(); err != nil {
		return err
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	if err := checkpoint.WriteModel(r.o.OutputDir, r.in.Policy.Tensors(dtypeOf(r.o.SaveDtype)), files); err != nil {
		return err
	}
	if r.after.answers, err = r.answers(ctx); err != nil && ctx.Err() == nil { // whoever is in a hurry need not see them
		return err
	}
	logPeak(r.Log)
	r.showChange(r.Stdout)
	fmt.Fprintf(r.Stdout, "%d steps in %s; the tuned model is in %s\n", steps, report.Duration(took), r.o.OutputDir)
	return nil
}
