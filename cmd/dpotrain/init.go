package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"dpotrain/internal/report"
	"dpotrain/internal/train"
)

func newInitCommand() *cobra.Command {
	var o train.InitOptions
	cmd := &cobra.Command{
		Use:   "init --config config.json --tokenizer DIR --output DIR",
		Short: "Make a model with random weights",
		Long: `Make a Hugging Face folder with the architecture of a config.json, the tokenizer of another folder and random
weights: normal with the config's initializer_range, norms 1, biases 0. The same seed gives the same weights.`,
		Example: `  dpotrain init --config config.json --tokenizer models/smollm2 --output models/new --seed 1`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.Config == "" || o.Tokenizer == "" || o.Output == "" {
				return errors.New("want --config, --tokenizer and --output, each with a value")
			}
			return noArguments(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			n, err := train.Init(o)
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s parameters; the model is in %s\n", report.Count(int64(n)), o.Output)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Config, "config", "", "config.json that says the architecture and its sizes")
	f.StringVar(&o.Tokenizer, "tokenizer", "", "folder whose tokenizer the model gets")
	f.StringVar(&o.Output, "output", "", "folder to make")
	f.Uint64Var(&o.Seed, "seed", 42, "seed of the weights")
	completeWith(cmd, "config", cobra.ShellCompDirectiveFilterFileExt, "json")
	completeWith(cmd, "tokenizer", cobra.ShellCompDirectiveFilterDirs)
	completeWith(cmd, "output", cobra.ShellCompDirectiveFilterDirs)
	return cmd
}
