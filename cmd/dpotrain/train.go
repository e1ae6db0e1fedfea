package main

import (
	"github.com/spf13/cobra"

	"dpotrain/internal/train"
)

// latest stands for the newest sound checkpoint in output_dir.
const latest = "latest"

func newTrainCommand() *cobra.Command {
	var (
		s      settings
		resume string
		dry    bool
	)
	cmd := &cobra.Command{
		Use:   "train --config FILE",
		Short: "Tune a model (pass two); runs pass one for what is missing",
		Long: `Tune a model on preference pairs. What the reference cache lacks is computed first.

output_dir gets the tuned Hugging Face folder, dpotrain.yaml (the resolved settings; running it again repeats the run
bit for bit), metrics.jsonl and checkpoint-N folders. Ctrl-C finishes the step, saves a checkpoint and says how to go
on; a second one ends at once.

The memory that the run takes is worked out, by part, before it starts, and a run that does not fit is refused with what
would make it fit; --dry-run shows the plan and does nothing else.`,
		Example: `  dpotrain train --config configs/dpo.yaml --model models/smollm2 --data pairs.jsonl --output-dir runs/dpo
  dpotrain train --config configs/losses/ipo.yaml --loss=ipo --beta 0.5
  dpotrain train --config configs/dpo.yaml --model models/smollm2 --data pairs.jsonl --output-dir runs/dpo --dry-run
  dpotrain train --config runs/dpo/dpotrain.yaml --resume
  dpotrain train --config runs/dpo/dpotrain.yaml --resume runs/dpo/checkpoint-500`,
		Args: func(cmd *cobra.Command, args []string) error {
			// A flag whose value may be left out takes none without "=", so the folder after --resume is an argument.
			if resume == latest && len(args) > 0 {
				args = args[1:]
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				resume = args[0]
			}
			r, err := s.load(cmd, "model", "data", "output_dir")
			if err != nil {
				return err
			}
			if r.Options.BestMetric() != "" {
				if err := r.Require("eval_data"); err != nil {
					return err
				}
			}
			req := request(cmd, r.Options)
			if resume != "" {
				req.Options.ResumeFromCheckpoint = resume
			}
			if dry {
				return train.DryRun(cmd.Context(), req)
			}
			return train.Run(cmd.Context(), req)
		},
	}
	s.addFlags(cmd)
	cmd.Flags().StringVar(&resume, "resume", "", "go on from the newest sound checkpoint in output_dir, or from the given folder; overwrite does nothing then")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show the settings that matter and the memory that the run takes, by part; compute and write nothing")
	cmd.Flags().Lookup("resume").NoOptDefVal = latest
	completeWith(cmd, "resume", cobra.ShellCompDirectiveFilterDirs)
	return cmd
}
