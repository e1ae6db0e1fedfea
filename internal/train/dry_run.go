package train

import (
	"context"
	"fmt"
	"io"

	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

// DryRun says what Run would do, and what memory it would take: it reads the data and config.json, computes nothing and writes no file.
func DryRun(ctx context.Context, req Request) error {
	r := &runner{Request: req, epoch: -1}
	r.o = &r.Options
	if err := r.o.complete(); err != nil {
		return err
	}
	var err error
	if r.loss, err = loss.New(r.o.Loss, r.o.LossSettings); err != nil {
		return err
	}
	if err := checkFolders(r.o); err != nil {
		return err
	}
	from, err := r.findCheckpoint()
	if err != nil {
		return err
	}
	if from != nil {
		defer from.Close()
	}
	if r.in, err = Open(ctx, r.Request, r.loss); err != nil {
		return err
	}
	defer r.in.Close()
	if err := r.choosePlan(from); err != nil {
		return err
	}
	r.announce(from)
	r.printPlan(r.Stdout)
	return nil
}

// printPlan writes the settings that matter most, and the memory.
func (r *runner) printPlan(w io.Writer) {
	o := r.o
	evalData := "-"
	if r.in.Eval != nil {
		evalData = r.in.Eval.Name
	}
	rows := [][]string{{"model", o.Model}, {"ref_model", o.RefModel}, {o.trainKey(), r.in.Train.Name}, {"eval_data", evalData}, {"output_dir", o.OutputDir}, {"loss", o.lossText()}}
	if r.demand == nothing {
		rows[1][1] = "-"
	}
	rows = append(rows, [][]string{
		{"optimizer steps", fmt.Sprintf("%s of %d %s, %s an epoch", report.Count(int64(r.schedule.total)), o.stepSize(), plural(r.in.Train), report.Count(int64(r.schedule.stepsPerEpoch)))},
		{"learning_rate", fmt.Sprintf("%v, %s after %s steps of warm-up", o.LearningRate, o.LRSchedulerType, report.Count(int64(r.schedule.warmup)))},
		{"optim", o.Optim}, {"precision", o.Compute.Precision}, {"threads", fmt.Sprint(r.in.Device.Threads())}, {"max_length", fmt.Sprint(o.Rows.MaxLength)},
		{"gradient_checkpointing", fmt.Sprint(o.GradientCheckpointing)}, {"micro_batch_tokens", fmt.Sprint(o.MicroBatchTokens)}}...)
	report.Table(w, []string{"setting", "value"}, rows)
	fmt.Fprintln(w)
	r.planned.print(w)
	fmt.Fprintln(w, "\nnothing was computed or written (--dry-run)")
}
