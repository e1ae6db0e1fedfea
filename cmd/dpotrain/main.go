// Command dpotrain tunes small causal language models on preference pairs with direct alignment algorithms.
//
// Every command is in a file of its own: flags in, one call of a package under internal, results out.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"dpotrain/internal/train"
)

// Exit codes.
const (
	exitFailed      = 1
	exitInterrupted = 130
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Fprintln(os.Stderr, "\nstopping after the step at hand; once more to end at once")
		cancel()
		<-signals
		os.Exit(exitInterrupted)
	}()
	root := newRootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "dpotrain:", err)
		return exitInterrupted
	}
	fmt.Fprintln(os.Stderr, "dpotrain:", err)
	return exitFailed
}
