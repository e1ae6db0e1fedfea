package main

import (
	"os"

	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "dpotrain",
		Short: "Tune small causal language models on preference pairs",
		Long: `dpotrain tunes small causal language models on human preference pairs with direct alignment algorithms.

  dpotrain precompute-ref --config FILE     pass one: the reference model's log-probs to disk
  dpotrain train --config FILE --loss=ipo   pass two: tune the policy; runs pass one for what is missing
  dpotrain eval --model DIR --data FILE     what changed, on held-out pairs

Settings are flat YAML with TRL's names. Every key is also a flag with dashes and a variable DPOTRAIN_KEY;
flag > variable > file > default.

Exit codes: 0 done, 1 failed, 130 interrupted (train saved a checkpoint; go on with --resume).`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newPrecomputeRefCommand(), newTrainCommand(), newEvalCommand(), newInitCommand(), newCacheCommand(), newVersionCommand())
	return root
}

// settings are the flags of commands that take a config.
type settings struct {
	file string
}

// addFlags gives a command --config and a flag for each of the keys; none means all.
func (s *settings) addFlags(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVar(&s.file, "config", "", "YAML file of settings")
	config.AddFlags(cmd.Flags(), keys...)
}

// load resolves the settings, says what is odd about them, and checks that the named keys have a value.
func (s *settings) load(cmd *cobra.Command, required ...string) (*config.Resolved, error) {
	r, err := config.Load(config.LoadOptions{File: s.file, Flags: cmd.Flags(), Environ: os.Environ()})
	if err != nil {
		return nil, err
	}
	log := report.Logger(cmd.ErrOrStderr())
	for _, w := range r.Warnings {
		log.Warn(w)
	}
	return r, r.Require(required...)
}

// request is what package train is asked for.
func request(cmd *cobra.Command, o train.Options) train.Request {
	return train.Request{Options: o, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(), Log: report.Logger(cmd.ErrOrStderr()),
		Marshal: config.Marshal, Differences: config.Differences}
}
