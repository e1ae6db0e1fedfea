package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/data"
	"dpotrain/internal/dataset"
	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

func newDataCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "data",
		Short: "Look at files of rows, divide them, sample them, write them in another form",
		Long: `Small tools for files of rows. They read what train reads (JSONL, JSON, CSV or parquet, also gzip and zstd; a file,
a folder, a pattern, or - for standard input) and need no model. What they write is JSONL, of convert parquet too, each
file as a whole or not at all, and the same every time.

validate says what is wrong with the rows.`,
	}
	holdsCommands(cmd)
	cmd.AddCommand(newDataStatsCommand(), newDataSplitCommand(), newDataSampleCommand(), newDataConvertCommand())
	return cmd
}

// dataFlags are those of all commands on data.
type dataFlags struct {
	settings
	overwrite bool
}

// add gives a command its flags; keys are those besides data and columns.
func (d *dataFlags) add(cmd *cobra.Command, writes bool, keys ...string) {
	d.addFlags(cmd, append([]string{"data", "columns"}, keys...)...)
	cmd.Flags().Lookup("data").Usage = "rows: JSONL, JSON, CSV or parquet; a `file`, a folder of them, a pattern, or - for standard input"
	if writes {
		cmd.Flags().BoolVar(&d.overwrite, "overwrite", false, "replace a file that is there already")
	}
}

// source is what the flags say of the rows.
func (d *dataFlags) source(cmd *cobra.Command) (s data.Source, o data.Options, err error) {
	r, err := d.load(cmd, "data")
	if err != nil {
		return s, o, err
	}
	s = data.Source{Path: r.Options.Data, Columns: r.Options.Columns}
	switch s.Path {
	case "":
		err = config.Errors{{Place: "data", Text: "not given; give --data, for this command reads one data set"}}
	case "-":
		s.Path, s.Stream = data.Stdin, cmd.InOrStdin()
	}
	return s, r.Options.Rows, err
}

// output is where a flag says that rows are written.
func (d *dataFlags) output(cmd *cobra.Command, name string) (dataset.Output, error) {
	path := flag(cmd, name)
	if path == "" {
		return dataset.Output{}, usage("--%s is not given; give a file, or - for standard output", name)
	}
	return dataset.Output{Path: path, Overwrite: d.overwrite, Stdout: cmd.OutOrStdout()}, nil
}

func usage(format string, a ...any) error { return &train.UsageError{Err: fmt.Errorf(format, a...)} }

// finish says what was written where; what stands in the way of a file is a matter of usage.
func finish(cmd *cobra.Command, err error, format string, a ...any) error {
	if _, exists := errors.AsType[*dataset.ExistsError](err); exists {
		return &train.UsageError{Err: err}
	}
	if err == nil {
		report.Logger(cmd.ErrOrStderr()).Info(fmt.Sprintf(format, a...))
	}
	return err
}

// reading shows how far the reading of rows is, which takes one pass or two.
func reading(cmd *cobra.Command, s data.Source, passes int) (progress dataset.Progress, end func()) {
	what := "reading " + filepath.Base(s.Path)
	if passes == 2 {
		what += " twice"
	}
	return report.Reading(cmd.ErrOrStderr(), what)
}

func newDataStatsCommand() *cobra.Command {
	var (
		d      dataFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "stats --data FILE",
		Short: "Say what is in a file of rows",
		Long: `The number of rows, what they are (pairs, unpaired, ranked, completions), how many different prompts there are, the
columns with the kinds of their values and the names under which they are read, and the lengths of texts in
characters. Lengths in tokens are in the report of validate. --json prints one object instead (docs/formats.md).`,
		Example: `  dpotrain data stats --data pairs.parquet
  dpotrain data stats --data - --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := d.source(cmd)
			if err != nil {
				return err
			}
			progress, end := reading(cmd, s, 1)
			stats, err := dataset.Count(cmd.Context(), s, progress)
			end()
			switch {
			case err != nil:
				return err
			case asJSON:
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetEscapeHTML(false)
				return e.Encode(stats)
			}
			stats.Print(cmd.OutOrStdout(), s.String())
			return nil
		},
	}
	d.add(cmd, false)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of text")
	return cmd
}

func newDataSplitCommand() *cobra.Command {
	var (
		d dataFlags
		o dataset.SplitOptions
	)
	cmd := &cobra.Command{
		Use:   "split --data FILE --train FILE --held-out FILE",
		Short: "Divide rows in two, so that no prompt is on both sides",
		Long: `Rows of the same prompt stay together. Which prompts are held out is told by a hash of each prompt alone: another
order of the rows, or rows added later, does not move a prompt from one side to the other. --fraction holds out the
prompts that eval_fraction holds out in a run; --rows holds out at most so many rows, in order of the hashes. Rows
stay in their order, and their columns as they are.`,
		Example: `  dpotrain data split --data pairs.jsonl --fraction 0.05 --train train.jsonl --held-out test.jsonl
  dpotrain data split --data pairs.parquet --rows 200 --train train.jsonl --held-out test.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, _, err := d.source(cmd)
			if err != nil {
				return err
			}
			byFraction, byRows := cmd.Flags().Changed("fraction"), cmd.Flags().Changed("rows")
			switch {
			case byFraction == byRows:
				return usage("give either --fraction or --rows, to say how much is held out")
			case byFraction && !(o.Fraction > 0 && o.Fraction < 1):
				return usage("--fraction %v; want a number between 0 and 1", o.Fraction)
			case byRows && o.Rows < 1:
				return usage("--rows %d; want a number of at least 1", o.Rows)
			}
			kept, err := d.output(cmd, "train")
			if err != nil {
				return err
			}
			heldOut, err := d.output(cmd, "held-out")
			if err != nil {
				return err
			}
			if filepath.Clean(kept.Path) == filepath.Clean(heldOut.Path) {
				return usage("--train and --held-out are both %s; give two names", kept.Path)
			}
			passes := 1
			if byRows { // they are counted first
				passes = 2
			}
			progress, end := reading(cmd, s, passes)
			n, err := dataset.Split(cmd.Context(), s, kept, heldOut, o, progress)
			end()
			return finish(cmd, err, "%s: %s rows; %s: %s rows", kept, report.Count(int64(n.Train)), heldOut, report.Count(int64(n.HeldOut)))
		},
	}
	d.add(cmd, true)
	cmd.Flags().Float64Var(&o.Fraction, "fraction", 0, "`share` of the prompts that is held out, between 0 and 1")
	cmd.Flags().IntVar(&o.Rows, "rows", 0, "hold out at most so many `rows`")
	cmd.Flags().String("train", "", "`file` for the rows to train on, or - for standard output")
	cmd.Flags().String("held-out", "", "`file` for the rows that are held out, or - for standard output")
	return cmd
}

func newDataSampleCommand() *cobra.Command {
	var (
		d    dataFlags
		rows int
	)
	cmd := &cobra.Command{
		Use:   "sample --data FILE --rows N --to FILE",
		Short: "Write some of the rows, drawn at random",
		Long: `Every row is as likely to be drawn as any other; those that are stay in their order, and their columns as they are.
The same seed draws the same rows.`,
		Example: `  dpotrain data sample --data pairs.jsonl --rows 100 --to some.jsonl
  dpotrain data sample --data pairs.jsonl --rows 5 --seed 7 --to -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, o, err := d.source(cmd)
			if err != nil {
				return err
			}
			if rows < 1 {
				return usage("--rows %d; want a number of at least 1", rows)
			}
			out, err := d.output(cmd, "to")
			if err != nil {
				return err
			}
			progress, end := reading(cmd, s, 2)
			n, err := dataset.Sample(cmd.Context(), s, out, rows, o.Seed, progress)
			end()
			return finish(cmd, err, "%s: %s rows", out, report.Count(int64(n)))
		},
	}
	d.add(cmd, true, "seed")
	cmd.Flags().IntVar(&rows, "rows", 0, "the `number` of rows to draw; all if there are fewer")
	cmd.Flags().String("to", "", "`file` for the rows, or - for standard output")
	return cmd
}

func newDataConvertCommand() *cobra.Command {
	var (
		d    dataFlags
		form string
	)
	cmd := &cobra.Command{
		Use:   "convert --data FILE --form pairs --to FILE",
		Short: "Write rows as pairs or as unpaired rows, in JSONL or parquet",
		Long: `--form pairs writes the columns prompt, chosen and rejected: a prompt that only stands at the beginning of both
sides is spelled out, and a ranked row becomes pairs by the rule of --ranked-pairs, with its scores. --form unpaired
writes prompt, completion and label: of a pair the chosen completion with label true and the rejected one with
false. Other columns go along, those that are read under the names of docs/formats.md; beside one side of a pair
stand only those that are of the whole row. A row that cannot become what is asked for is an error. A ranked row
whose scores are all the same becomes nothing.`,
		Example: `  dpotrain data convert --data ranked.jsonl --form pairs --to pairs.jsonl
  dpotrain data convert --data pairs.jsonl --to pairs.parquet
  dpotrain data convert --data pairs.parquet --form unpaired --to -`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, o, err := d.source(cmd)
			if err != nil {
				return err
			}
			if !slices.Contains(dataset.Forms(), form) {
				return usage("--form %q; want %s", form, strings.Join(dataset.Forms(), " or "))
			}
			out, err := d.output(cmd, "to")
			if err != nil {
				return err
			}
			progress, end := reading(cmd, s, 1)
			n, err := dataset.Convert(cmd.Context(), s, out, form, o, progress)
			end()
			return finish(cmd, err, "%s: %s rows", out, report.Count(int64(n)))
		},
	}
	d.add(cmd, true, "ranked_pairs", "seed")
	cmd.Flags().StringVar(&form, "form", "pairs", "what is written: pairs or unpaired")
	cmd.Flags().String("to", "", "`file` for the rows, or - for standard output")
	return cmd
}
