package main

import (
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dpotrain/internal/train"
)

func newPrecomputeRefCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "precompute-ref --config FILE",
		Short: "Write the reference model's log-probs to disk (pass one)",
		Long: `Compute the reference model's log-probs of the training and the held-out pairs and keep them in ref_cache_dir, keyed
by content: rows that are there are not computed again, whatever file or run they came from. Killed and started again,
it goes on. What a loss needs besides, as mallows_dpo the reference's entropies, is kept too.

It takes the settings of train, as flags too, so that the same config and command line serve; listed here are those it
reads.`,
		Example: `  dpotrain precompute-ref --config configs/dpo.yaml --model models/smollm2 --data pairs.jsonl
  dpotrain precompute-ref --config configs/dpo.yaml --model models/smollm2 --data pairs.jsonl --eval-data test.jsonl`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := s.load(cmd, "model", "data")
			if err != nil {
				return err
			}
			return train.PrecomputeRef(cmd.Context(), request(cmd, r.Options))
		},
	}
	s.addFlags(cmd)
	reads := []string{"config", "model", "ref-model", "data", "eval-data", "eval-fraction", "datasets", "columns", "token-cache-dir", "token-cache-limit", "ref-cache-dir", "monitor-reference", "loss", "chat-template", "chat-template-kwargs", "max-length", "truncation-mode", "on-bad-row", "ranked-pairs", "precision", "threads", "cpu",
		"micro-batch-tokens", "memory-limit", "eval-strategy"}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { f.Hidden = f.Hidden || !slices.Contains(reads, f.Name) })
	return cmd
}
