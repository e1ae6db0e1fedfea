package main

import (
	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

func newShowCommand() *cobra.Command {
	var (
		s    settings
		show train.ShowOptions
		keys = []string{"model", "data", "columns", "loss", "chat_template", "chat_template_kwargs", "max_length", "truncation_mode", "ranked_pairs"}
	)
	cmd := &cobra.Command{
		Use:   "show --config FILE --row N",
		Short: "Show what a run makes of one row: its text and tokens, and which are scored",
		Long: `The text of a row as the chat template writes it, cut into tokens; which of them are scored, and which stand before
them; what truncation takes away. The row is read as train reads it. No weight is read: the model's folder may hold its
tokenizer and chat template alone.

The row is one of data or of datasets, with their columns and filters. --row is the line of the file, as messages name
it: pairs.jsonl:3 is --row 3. Of a parquet file it is the row's number, of a JSON list its place in the list. Where
there are several files it counts the rows of all, in the order in which they are read; --file and --dataset look at
one of them, so that --row is its line again. File and line are shown with the row. A row that a run would leave out is
an error that says why; which rows a weight, a fraction or eval_fraction takes is not looked at.

On a terminal the prompt is cyan, what is learnt green, what is unlearnt red. Everywhere a mark stands in front: + for
scored tokens to learn, - for scored ones to unlearn, . for those of one side that are not scored. A bar stands
between tokens. --json prints a line of JSON instead, with texts, ids and the place of the first scored one
(docs/formats.md).

What a loss imitates in place of the chosen completion (sft_target, orpo_nll_on_prompt) comes last, as imitated. Where
nobody says the loss, the row itself says what it is: a pair, a ranked list, an unpaired row, or a single completion.`,
		Example: `  dpotrain show --config configs/quickstart.yaml --row 1
  dpotrain show --model models/smollm2 --data pairs.jsonl --row 317
  dpotrain show --model models/smollm2 --data pairs/ --file train-00001.parquet --row 317
  dpotrain show --config mix.yaml --dataset 2 --row 317
  dpotrain show --model models/base --data chat.jsonl --chat-template chatml --row 1 --json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := s.load(cmd, "model", "data")
			if err != nil {
				return err
			}
			show.LossGiven = r.Origin("loss") > config.Default
			show.Stdin = cmd.InOrStdin()
			show.Colours = report.Colours(unchecked(cmd.OutOrStdout()))
			return train.Show(request(cmd, r.Options), show)
		},
	}
	s.addFlags(cmd, keys...)
	cmd.Flags().Lookup("model").Usage = "`folder` of the model, or of its tokenizer and chat template"
	cmd.Flags().Lookup("data").Usage = "the `file` that has the row; a folder or a pattern of files, or - for standard input"
	cmd.Flags().IntVar(&show.Row, "row", 1, "`line` of the row in the file, from 1; of parquet files and JSON lists its number; of several files a count of all their rows")
	cmd.Flags().StringVar(&show.File, "file", "", "which `file` of the data has the row: its path, or the end of that")
	cmd.Flags().IntVar(&show.Dataset, "dataset", 0, "which of datasets has the row: its `place` in the list, from 1")
	cmd.Flags().BoolVar(&show.JSON, "json", false, "print a line of JSON for each example of the row instead of text")
	return cmd
}
