package main

import (
	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/train"
)

func newEvalCommand() *cobra.Command {
	var (
		s    settings
		e    train.EvalOptions
		keys = []string{"model", "data", "columns", "token_cache_dir", "token_cache_limit", "trust_ref_logps", "ref_cache_dir", "monitor_reference", "loss", "chat_template", "chat_template_kwargs", "max_length", "truncation_mode", "on_bad_row", "ranked_pairs", "precision", "threads", "cpu", "micro_batch_tokens", "memory_limit"}
	)
	cmd := &cobra.Command{
		Use:   "eval --model DIR --data FILE",
		Short: "Say what a model makes of held-out pairs",
		Long: `Loss, rewards, log-probs, accuracy and margin of a model on held-out pairs, as a table or with --json. Accuracies
come with their 95 % interval (Wilson's): how far another draw of as many pairs might take them. docs/metrics.md says
what each number means.

--per-pair writes a line of JSON for each pair: its file and line, loss, rewards, the log-probs of both sides under
both models, in nats, and their lengths in tokens. The mean of a column is the metric of that name.

Settings come from --config, else from the dpotrain.yaml of the run that made the model, flags on top; without either
--loss is required. Without --data the pairs are those of the settings' eval_data, or those that their eval_fraction
held out of the training data. The reference is --ref, else the run's ref_model if it is still the same. What the
reference cache lacks is computed; without a usable reference folder an error says how many rows are missing. A loss
that needs no reference is monitored against it with --ref or monitor_reference: true, or if the cache has all of its
log-probs: how far have the completions moved since?`,
		Example: `  dpotrain eval --model runs/dpo --data test.jsonl
  dpotrain eval --model runs/dpo --data test.jsonl --json
  dpotrain eval --model runs/dpo/checkpoint-100 --data test.jsonl --per-pair pairs.jsonl
  dpotrain eval --model models/other --ref models/smollm2 --data test.jsonl --loss dpo`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run := train.RunConfig(flag(cmd, "model"))
			if s.file == "" {
				s.file = run
			}
			r, err := s.load(cmd, "model")
			if err != nil {
				return err
			}
			if r.Options.RefModel == "" && run != "" {
				made, err := config.Load(config.LoadOptions{File: run})
				if err != nil {
					return err
				}
				r.Options.RefModel = made.Options.RefModel
			}
			if run != "" && s.file == run && r.Origin("chat_template") < config.Variable {
				r.Options.Rows.ChatTemplate = "" // it lies in the folder of the model
			}
			o := &r.Options
			switch {
			case r.Origin("data") >= config.Variable:
				o.Datasets, o.EvalFraction = nil, 0
			case o.EvalData != "": // what a config calls data is what the model was trained on
				o.Data, o.Datasets, o.EvalFraction = o.EvalData, nil, 0
			case o.EvalFraction == 0:
				o.Data, o.Datasets = "", nil
			}
			if o.Data == "" && o.Datasets == nil {
				return config.Errors{{Place: "data", Text: "not given; give the held-out pairs with --data, or eval_data in a config file"}}
			}
			e.LossGiven = s.file != "" || r.Origin("loss") != config.Default
			return train.Eval(cmd.Context(), request(cmd, r.Options), e)
		},
	}
	s.addFlags(cmd, keys...)
	cmd.Flags().Lookup("model").Usage = "`folder` of the model to evaluate: one that train wrote, a checkpoint, or any other model"
	cmd.Flags().Lookup("data").Usage = "held-out pairs: JSONL, JSON, CSV or parquet; a `file`, a folder of them or a pattern"
	cmd.Flags().StringVar(&e.Ref, "ref", "", "folder of the reference model; default: that of the run which made the model")
	cmd.Flags().BoolVar(&e.JSON, "json", false, "print one JSON object instead of a table")
	cmd.Flags().StringVar(&e.PerPair, "per-pair", "", "`file` for a line of JSON for each pair")
	completeWith(cmd, "ref", cobra.ShellCompDirectiveFilterDirs)
	return cmd
}

// flag is the value of a string flag.
func flag(cmd *cobra.Command, name string) string { return cmd.Flags().Lookup(name).Value.String() }
