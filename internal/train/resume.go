package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/report"
)

// settings are what a checkpoint remembers of its run: the options, the content of the inputs, and what was found so far.
type settings struct {
	Options map[string]string `json:"options"`   // Request.Values
	Data    string            `json:"data"`      // digest of the training examples
	Eval    string            `json:"eval_data"` // digest of the held-out examples

	Before findings   `json:"before"`
	Best   *best      `json:"best,omitempty"`
	Watch  watchState `json:"watch"`
}

func settingsOf(c *checkpoint.Checkpoint) (settings, error) {
	var was settings
	if json.Unmarshal(c.State.Settings, &was) != nil {
		return was, fmt.Errorf("resume: %s is damaged: its settings are not as dpotrain writes them; resume from another checkpoint", c.Path())
	}
	return was, nil
}

// checkpoint opens the checkpoint to go on from; nil for a new run, which finds no other in output_dir or may replace it.
func (r *runner) checkpoint() (*checkpoint.Checkpoint, error) {
	if err := checkpoint.RemoveUnfinished(r.o.OutputDir); err != nil {
		return nil, err
	}
	return r.findCheckpoint()
}

// findCheckpoint is checkpoint without the tidying up: it changes nothing.
func (r *runner) findCheckpoint() (*checkpoint.Checkpoint, error) {
	dir := r.o.OutputDir
	switch r.o.ResumeFromCheckpoint {
	case "":
	case "latest", "true":
		path, err := checkpoint.Latest(dir, func(warning string) { r.Log.Warn(warning) })
		if has, herr := checkpoint.HasRun(dir); errors.Is(err, checkpoint.ErrNone) && herr == nil && !has {
			return nil, usage("resume: there is no run in output_dir %s; leave out --resume to start one", dir)
		}
		if errors.Is(err, checkpoint.ErrNone) {
			return nil, fmt.Errorf("resume: %w; to begin again, leave out --resume and give --overwrite", err)
		}
		if err != nil {
			return nil, fmt.Errorf("resume: %w", err)
		}
		return r.openCheckpoint(path)
	default:
		return r.openCheckpoint(r.o.ResumeFromCheckpoint)
	}
	has, err := checkpoint.HasRun(dir)
	if err != nil || !has {
		return nil, err
	}
	if !r.o.Overwrite {
		return nil, usage("output_dir %s already holds a run; go on with --resume, replace it with --overwrite (key overwrite), or choose another --output-dir", dir)
	}
	return nil, nil
}

// openCheckpoint opens a checkpoint and refuses one of a run with other settings.
func (r *runner) openCheckpoint(path string) (*checkpoint.Checkpoint, error) {
	c, err := checkpoint.Open(path)
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	was, err := settingsOf(c)
	if err == nil && !samePlace(filepath.Dir(filepath.Clean(path)), r.o.OutputDir) {
		err = usage("resume: %s is a checkpoint of another run than that in output_dir %s; give the --output-dir that it lies in", path, r.o.OutputDir)
	}
	if err == nil {
		if r.o.MicroBatchTokens == 0 { // whatever memory there is: another cut would give other bits
			r.o.MicroBatchTokens = c.State.MicroBatchTokens
		}
		if diff := r.Differences(was.Options, r.Values(*r.o)); len(diff) > 0 {
			err = usage("resume: settings that change results are not those of %s (%s); put them back, or start a new run in another output_dir", path, strings.Join(diff, "; "))
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// save writes a checkpoint of the step that has just ended.
func (r *runner) save() (path string, err error) {
	if err := r.metrics.Sync(); err != nil {
		return "", err
	}
	var c checkpoint.Contents
	if c.Files, err = r.files(); err != nil {
		return "", err
	}
	c.Weights, c.Moments = r.in.Policy.Tensors(dtypeOf(r.o.SaveDtype)), r.adam.tensors()
	if r.o.SaveDtype != "float32" {
		c.Master = r.in.Policy.Tensors("F32")
	}
	if r.renewal != nil && r.renewal.step > 0 {
		c.Reference = r.renewal.model.Tensors("F32")
	}
	text, err := json.Marshal(settings{Options: r.Values(*r.o), Data: r.trainSet, Eval: r.evalSet, Before: r.before, Best: r.best, Watch: r.watch.watchState})
	if err != nil {
		return "", err
	}
	c.State = checkpoint.State{Step: r.step, NumTokens: r.tokens, LossSum: r.lossSum, Skipped: r.skipped, MetricsBytes: r.metrics.Bytes(), MicroBatchTokens: r.o.MicroBatchTokens, Settings: text}
	if path, err = checkpoint.Save(r.o.OutputDir, c); err != nil {
		return "", err
	}
	return path, checkpoint.Prune(r.o.OutputDir, r.o.SaveTotalLimit, path, r.bestPath())
}

// checkSets refuses examples that are not those of a checkpoint's run.
func (r *runner) checkSets(from *checkpoint.Checkpoint) error {
	was, err := settingsOf(from)
	if err != nil {
		return err
	}
	held := ""
	if r.in.Eval != nil {
		held = r.in.Eval.Name
	}
	for _, d := range []struct{ key, name, was, now string }{{r.o.trainKey(), r.in.Train.Name, was.Data, r.trainSet}, {"eval_data", held, was.Eval, r.evalSet}} {
		switch {
		case d.was == d.now:
		case d.name == "":
			return fmt.Errorf("resume: %s: not given, and the run began with one; give it, or start a new run in another output_dir", d.key)
		default:
			return fmt.Errorf("resume: the examples of %s %s are not those the run began with, as the file, the tokenizer or the chat template has changed; put it back, or start a new run in another output_dir", d.key, d.name)
		}
	}
	return nil
}

// restore goes on where a checkpoint was made.
func (r *runner) restore(from *checkpoint.Checkpoint) error {
	s := from.State
	was, err := settingsOf(from)
	if err != nil {
		return err
	}
	master, err := from.Master()
	if err != nil {
		return err
	}
	if master != nil {
		if err := restore(r.in.Policy, r.in.Policy.W, master, ""); err != nil {
			return fmt.Errorf("%s: %w", from.Path(), err)
		}
	}
	moments, err := from.Moments()
	if err != nil {
		return err
	}
	if err := r.adam.restore(moments); err != nil {
		return fmt.Errorf("%s: %w", from.Path(), err)
	}
	if found, err := restoreLoss(r.loss, from.Path()); err != nil {
		return err
	} else if !found {
		return fmt.Errorf("resume: %s has no state of loss %s in its %s; resume from another checkpoint", from.Path(), r.loss.Name(), RunFile)
	}
	r.step, r.skipped, r.tokens, r.lossSum, r.before = s.Step, s.Skipped, s.NumTokens, s.LossSum, was.Before
	r.watch.watchState = was.Watch
	r.restoreBest(was.Best)
	if r.metrics, err = report.OpenMetrics(filepath.Join(r.o.OutputDir, MetricsFile), s.MetricsBytes); err != nil {
		return fmt.Errorf("resume: %w", err)
	}
	return nil
}
