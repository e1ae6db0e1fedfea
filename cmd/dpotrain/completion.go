package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/rows"
)

// shells are those that dpotrain completion writes scripts for.
var shells = map[string]func(root *cobra.Command, w io.Writer) error{
	"bash":       func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
	"zsh":        func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
	"fish":       func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	"powershell": func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) },
}

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Write the script that lets a shell complete commands, flags and their values",
		Long: `Write a script for a shell, which then completes commands, flags and values with the Tab key: losses with what they
are, files and folders where a flag wants one, and the values of all flags that have a fixed set of them.`,
		Example: `  dpotrain completion bash > ~/.local/share/bash-completion/completions/dpotrain
  dpotrain completion zsh > "${fpath[1]}/_dpotrain"
  dpotrain completion fish > ~/.config/fish/completions/dpotrain.fish
  dpotrain completion powershell | Out-String | Invoke-Expression`,
		ValidArgs: []string{"bash", "zsh", "fish", "powershell"},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return fmt.Errorf("completion: want one of bash, zsh, fish and powershell")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return shells[args[0]](cmd.Root(), cmd.OutOrStdout()) },
	}
}

// completeKeys lets a shell complete the values of the keys' flags that a command has.
func completeKeys(cmd *cobra.Command) {
	for _, k := range config.Keys() {
		for _, name := range k.Flags() {
			if cmd.Flags().Lookup(name) == nil {
				continue
			}
			switch {
			case k.Path == "dir":
				completeWith(cmd, name, cobra.ShellCompDirectiveFilterDirs)
			case k.Path == "file":
				completeWith(cmd, name, cobra.ShellCompDirectiveFilterFileExt, rows.Extensions()...)
			default:
				directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
				if k.Name == "chat_template" { // which may be a file, too
					directive = cobra.ShellCompDirectiveDefault
				}
				offer(cmd, name, func(begun string) (values []cobra.Completion, _ cobra.ShellCompDirective) {
					for _, v := range k.Values() {
						if strings.HasPrefix(v.Value, begun) {
							values = append(values, cobra.CompletionWithDesc(v.Value, v.Help))
						}
					}
					return values, directive
				})
			}
		}
	}
}

// completeWith lets a shell complete the value of a flag with files, which may have extensions, or folders.
func completeWith(cmd *cobra.Command, flag string, directive cobra.ShellCompDirective, extensions ...cobra.Completion) {
	offer(cmd, flag, func(string) ([]cobra.Completion, cobra.ShellCompDirective) { return extensions, directive })
}

func offer(cmd *cobra.Command, flag string, values func(begun string) ([]cobra.Completion, cobra.ShellCompDirective)) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values(begun)
	})
	if err != nil {
		panic(err) // there is no such flag, or it has values already
	}
}
