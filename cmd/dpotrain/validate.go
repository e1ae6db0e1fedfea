package main

import (
	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

func newValidateCommand() *cobra.Command {
	var (
		s    settings
		v    train.ValidateOptions
		keys = []string{"model", "data", "eval_data", "columns", "loss", "chat_template", "chat_template_kwargs", "max_length", "truncation_mode"}
	)
	cmd := &cobra.Command{
		Use:   "validate --config FILE",
		Short: "Say what is wrong with the data, before a model is tuned on it",
		Long: `A report on data and eval_data: rows read and kept, their lengths in tokens and what max_length cuts, how far length
alone tells which side is chosen, and findings: rows that cannot be used, repeated and contradictory ones, prompts that
are in the evaluation data too, missing and double stop tokens, templates applied twice, broken characters and more.
Each finding says why it matters and what cures it; docs/data-doctor.md describes them all. No weight is read: the
model's folder may hold its tokenizer and chat template alone.

Rows are read as train reads them with this loss; where nobody says the loss, each row itself says what it is. The
path - is standard input. --json prints one object instead (docs/formats.md).

Exit code 3: there are rows that cannot be used, which are the findings called error. Warnings and notes leave it 0.`,
		Example: `  dpotrain validate --config configs/quickstart.yaml
  dpotrain validate --model models/smollm2 --data pairs.jsonl --eval-data test.jsonl
  dpotrain validate --model models/smollm2 --data - --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := s.load(cmd, "model", "data")
			if err != nil {
				return err
			}
			v.LossGiven = r.Origin("loss") > config.Default
			v.Stdin = cmd.InOrStdin()
			v.Colours = report.Colours(unchecked(cmd.OutOrStdout()))
			return train.Validate(cmd.Context(), request(cmd, r.Options), v)
		},
	}
	s.addFlags(cmd, keys...)
	cmd.Flags().Lookup("model").Usage = "`folder` of the model, or of its tokenizer and chat template"
	cmd.Flags().BoolVar(&v.JSON, "json", false, "print one JSON object instead of text")
	return cmd
}
