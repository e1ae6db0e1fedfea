package train

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"dpotrain/internal/data"
	"dpotrain/internal/doctor"
	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

// ValidateOptions are what Validate is asked besides Options.
type ValidateOptions struct {
	Stdin     io.Reader // what the path "-" stands for
	JSON      bool      // one JSON object instead of text
	Colours   bool      // in the text
	LossGiven bool      // a config, variable or flag says the loss; else each row itself says what it is
}

// UnusableError is Validate's where rows cannot be used.
type UnusableError struct{ text string }

func (e *UnusableError) Error() string { return e.text }

// Validate writes what is wrong with the data and the eval_data. No weight is read. An *UnusableError comes after the whole report.
func Validate(ctx context.Context, req Request, v ValidateOptions) error {
	o := &req.Options
	l, err := loss.New(o.Loss, o.LossSettings)
	if err != nil {
		return err
	}
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		return err
	}
	if o.Data == "-" && o.EvalData == "-" {
		return usage("data and eval_data are both -; one of them can be standard input")
	}
	check := doctor.Options{Model: o.Model, Form: data.AnyForm, Rows: o.Rows, Data: piped(o.sources(), v.Stdin), Datasets: len(o.Datasets) > 0}
	if o.EvalData != "" {
		check.EvalData = piped([]data.Source{{Path: o.EvalData, Columns: o.Columns}}, v.Stdin)
	}
	if v.LossGiven {
		if check.Form, err = o.form(l); err != nil {
			return err
		}
		reader.Wanted = wantedBy(l)
	}
	check.Progress = func(path string) (func(done, total int64), func()) {
		return report.Reading(req.Stderr, "reading "+filepath.Base(path))
	}
	found, err := doctor.Check(ctx, reader, check)
	if err != nil {
		if failed, ok := errors.AsType[*doctor.SourceError](err); ok {
			if failed.Key == "data" {
				failed.Key = o.trainKey()
			}
			return noData(failed.Key, failed.Path, failed.Err)
		}
		return err
	}
	if v.JSON {
		err = found.JSON(req.Stdout)
	} else {
		found.Print(req.Stdout, v.Colours)
	}
	if err == nil && !found.Usable {
		err = &UnusableError{found.Unusable()}
	}
	return err
}

// piped are the data sets; the path - is standard input.
func piped(sources []data.Source, stdin io.Reader) []data.Source {
	for i := range sources {
		if s := &sources[i]; s.Path == "-" {
			s.Path, s.Stream = data.Stdin, stdin
		}
	}
	return sources
}
