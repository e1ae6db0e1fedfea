package main

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"dpotrain/internal/bench"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/config"
	"dpotrain/internal/train"
)

func newBenchCommand() *cobra.Command {
	var (
		s        settings
		pairs    int
		asJSON   bool
		passOnly bool
		keys     = []string{"model", "data", "columns", "token_cache_dir", "token_cache_limit", "loss", "max_length", "truncation_mode", "on_bad_row", "ranked_pairs", "precision", "threads", "cpu", "micro_batch_tokens", "memory_limit",
			"per_device_train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing", "optim"}
	)
	cmd := &cobra.Command{
		Use:   "bench [--model DIR --data FILE]",
		Short: "Measure this machine, and a model's passes against what the machine can do",
		Long: `Measure the peak of this machine in fp32 and bf16, its memory bandwidth, and the matrix products of small
language models; with --model and --data also a reference pass and a training pass over the first pairs.

A pass counts at the best of three runs. Shares are of the measured peak. The floor of a pass is the time that its
flops would take at that peak: 2 for every weight of a matrix and row in the reference pass and 6 in training (8 with a
reference beside the policy, as for tdpo1), the head for scored rows only, and causal attention. tokens/s counts rows
computed, a prompt once for both completions; compare pairs/s.`,
		Example: `  dpotrain bench
  dpotrain bench --passes-only --model models/smollm2 --data pairs.jsonl --pairs 16 --precision bf16`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := s.load(cmd)
			if err != nil {
				return err
			}
			o := &r.Options
			if passOnly || o.Model != "" || o.Data != "" {
				if err := r.Require("model", "data"); err != nil {
					return err
				}
			}
			if pairs < 1 {
				return config.Errors{{Place: "--pairs", Text: fmt.Sprintf("%d is out of range; want >= 1", pairs)}}
			}
			resolved, err := cpu.Resolve(o.Compute)
			if err != nil {
				return &train.UsageError{Err: err}
			}
			b := bench.Report{Kernels: resolved.CPU, Threads: resolved.Threads}
			if b.Threads == 0 {
				b.Threads = runtime.GOMAXPROCS(0)
			}
			if !passOnly {
				if err := b.MeasureMachine(cmd.Context(), o.Compute, cmd.ErrOrStderr()); err != nil {
					return err
				}
			}
			if o.Model != "" {
				if err := b.MeasurePasses(cmd.Context(), request(cmd, *o), pairs); err != nil {
					return err
				}
			}
			if !asJSON {
				b.Print(cmd.OutOrStdout())
				return nil
			}
			text, err := json.MarshalIndent(b, "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n", text)
			return err
		},
	}
	s.addFlags(cmd, keys...)
	cmd.Flags().IntVar(&pairs, "pairs", 16, "number of pairs, the first of the data, that the passes are measured with")
	cmd.Flags().BoolVar(&passOnly, "passes-only", false, "measure the passes alone, without the products")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object instead of tables")
	return cmd
}
