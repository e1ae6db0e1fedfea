package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

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

Settings are flat YAML with TRL's names; a config of TRL's works too (docs/coming-from-trl.md). Every key is also a
flag with dashes and a variable DPOTRAIN_KEY; flag > variable > file > default.

Exit codes: 0 done; 1 failed; 2 wrong flags, arguments or settings; 3 validate found rows that cannot be used; 130
interrupted: what was done is kept, and the message says how to go on.`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	holdsCommands(root)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newPrecomputeRefCommand(), newTrainCommand(), newEvalCommand(), newShowCommand(), newValidateCommand(), newDataCommand(), newLossesCommand(), newInitCommand(), newCacheCommand(), newBenchCommand(), newCompletionCommand(), newVersionCommand())
	root.CompletionOptions.DisableDefaultCmd = true // ours has examples
	return root
}

// holdsCommands is for a command that does nothing but hold others: alone it shows its help, and a name that is none of
// theirs is an error, where cobra would show the help and say that all is well.
func holdsCommands(cmd *cobra.Command) {
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if cmd.SuggestionsMinimumDistance == 0 {
			cmd.SuggestionsMinimumDistance = 2
		}
		did := ""
		if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
			did = fmt.Sprintf(" (did you mean %s?)", names[0])
		}
		return fmt.Errorf("%q: %s has no such command%s", args[0], cmd.CommandPath(), did)
	}
}

// noArguments is for a command that has flags alone. It says what an argument was probably meant for.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	meant := ""
	switch ext := filepath.Ext(args[0]); {
	case args[0] == "true" || args[0] == "false":
		meant = fmt.Sprintf("; a flag takes this value after an equals sign: --flag=%s", args[0])
	case (ext == ".yaml" || ext == ".yml") && cmd.Flags().Lookup("config") != nil:
		meant = fmt.Sprintf(" (did you mean --config %s?)", args[0])
	}
	return fmt.Errorf("%q: %s takes flags and no arguments%s", args[0], cmd.CommandPath(), meant)
}

// flagError says what to do about a flag that is unknown or has no right value.
func flagError(cmd *cobra.Command, err error) error {
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		want := map[string]string{"bool": "true or false", "int": "a whole number", "uint64": "a whole number of at least 0"}[wrong.GetFlag().Value.Type()]
		return fmt.Errorf("--%s: %s; want %s", wrong.GetFlag().Name, wrong.GetValue(), want)
	}
	if none, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s: no value; give one behind it", none.GetFlag().Name)
	}
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		if config.FileOnly(unknown.GetSpecifiedName()) {
			return fmt.Errorf("%w; it is a key of TRL's, which is read from the file of --config only", err)
		}
		if name := config.SuggestFlag(cmd.Flags(), unknown.GetSpecifiedName()); name != "" {
			return fmt.Errorf("%w (did you mean --%s?)", err, name)
		}
	}
	return err
}

// settings are the flags of commands that take a config.
type settings struct {
	file string
}

// addFlags gives a command --config and a flag for each of the keys; none means all.
func (s *settings) addFlags(cmd *cobra.Command, keys ...string) {
	cmd.Flags().StringVar(&s.file, "config", "", "YAML file of settings")
	config.AddFlags(cmd.Flags(), keys...)
	completeWith(cmd, "config", cobra.ShellCompDirectiveFilterFileExt, "yaml", "yml")
	completeKeys(cmd)
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
	for _, n := range r.Notes {
		log.Info(n)
	}
	return r, r.Require(required...)
}

// request is what package train is asked for.
func request(cmd *cobra.Command, o train.Options) train.Request {
	return train.Request{Options: o, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(), Log: report.Logger(cmd.ErrOrStderr()),
		Marshal: config.Marshal, Values: config.Values, Differences: config.Differences}
}
