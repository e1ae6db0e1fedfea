// Command dpotrain tunes small causal language models on preference pairs with direct alignment algorithms.
//
// Every command is in a file of its own: flags in, one call of a package under internal, results out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"dpotrain/internal/config"
	"dpotrain/internal/train"
)

// Exit codes; the help of the root command lists them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnusable    = 3
	exitInterrupted = 130
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run executes a command line until it ends or a signal asks it to. It returns the exit code.
func run(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	reportFileSize()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "\nstopping after the step at hand; once more to end at once")
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	return execute(ctx, args, os.Stdout, os.Stderr)
}

// execute runs one command line, says what went wrong on stderr and returns the exit code.
func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	out := &checked{to: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	entered := false
	onEntry(root, func() { entered = true })
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil && out.err == nil:
		return 0
	case out.err != nil:
		fmt.Fprintln(stderr, "dpotrain:", message(out.err))
		return exitFailed
	}
	switch {
	case errors.Is(err, context.Canceled) && !errors.Is(err, train.ErrInterrupted):
		err = fmt.Errorf("interrupted: %w", err)
	case !entered: // so it is cobra's word on flags and arguments
		err = fmt.Errorf("%w; see \"%s --help\"", err, cmd.CommandPath())
	}
	fmt.Fprintln(stderr, "dpotrain:", message(err))
	return exitCode(err, entered)
}

// checked is where results go. It keeps the first error, for a table on a full disk would be cut off without a word.
type checked struct {
	to  io.Writer
	err error
}

func (c *checked) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// unchecked is the writer behind a checked one, which says whether it is a terminal.
func unchecked(w io.Writer) io.Writer {
	if c, ok := w.(*checked); ok {
		return c.to
	}
	return w
}

// exitCode is the exit code for an error of a command that was entered, or was not because of wrong flags or arguments.
func exitCode(err error, entered bool) int {
	_, settings := errors.AsType[config.Errors](err)
	_, usage := errors.AsType[*train.UsageError](err)
	_, unusable := errors.AsType[*train.UnusableError](err)
	switch {
	case !entered, settings, usage:
		return exitUsage
	case unusable:
		return exitUnusable
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	return exitFailed
}

// onEntry has f called before any of the commands runs, once flags and arguments have been found right.
func onEntry(cmd *cobra.Command, f func()) {
	if inner := cmd.RunE; inner != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			f()
			return inner(cmd, args)
		}
	}
	for _, c := range cmd.Commands() {
		onEntry(c, f)
	}
}
