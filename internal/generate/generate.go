// Package generate continues prompts: token ids in, the ids of a model's answers out.
//
// Decoding is greedy: every id of an answer is the one with the largest logit after those before it, so an answer is a
// function of model and prompt. Whatever is answered together, the answers are the same ids, because a forward pass
// gives the same bits for a sequence in every batch (package model).
//
// A token costs a forward pass over the whole sequence so far. That is cheap for the few short answers that training
// shows; a cache of keys and values would go into Greedy's loop and change nothing for its callers.
package generate

import (
	"context"
	"slices"

	"dpotrain/internal/compute"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
)

// Options bound the answers.
type Options struct {
	MaxNewTokens int     // ids of an answer at most
	MaxLength    int     // ids of prompt and answer together at most; 0 = no limit
	Stop         []int32 // ids that end an answer
	Rows         int     // prompts are answered together as long as their rows sum to at most this many
}

// Answer is the continuation of a prompt.
type Answer struct {
	IDs     []int32 // without the id that ended it
	Stopped bool    // an id of Options.Stop ended it, not a limit
}

// Greedy answers prompts on a forward-only graph. A prompt has at least one id.
func Greedy(ctx context.Context, g *model.Graph, prompts [][]int32, o Options) ([]Answer, error) {
	rows := make([]int, len(prompts))
	for i, p := range prompts {
		rows[i] = len(p) + o.MaxNewTokens
	}
	answers := make([]Answer, 0, len(prompts))
	for _, r := range plan.Cut(rows, o.Rows) {
		part, err := together(ctx, g, prompts[r.From:r.To], o)
		if err != nil {
			return nil, err
		}
		answers = append(answers, part...)
	}
	return answers, nil
}

// together answers prompts one token at a time, all in one batch, each until it has its end.
func together(ctx context.Context, g *model.Graph, prompts [][]int32, o Options) ([]Answer, error) {
	answers := make([]Answer, len(prompts))
	full := func(i int) bool {
		n := len(answers[i].IDs)
		return n >= o.MaxNewTokens || o.MaxLength > 0 && len(prompts[i])+n >= o.MaxLength
	}
	var (
		b    compute.Batch
		open []int // prompts whose answers go on
	)
	for i := range prompts {
		open = append(open, i)
	}
	for {
		open = slices.DeleteFunc(open, func(i int) bool { return answers[i].Stopped || full(i) })
		if len(open) == 0 {
			return answers, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b.Tokens, b.Positions, b.Segments, b.Targets, b.Sequences = b.Tokens[:0], b.Positions[:0], b.Segments[:0], b.Targets[:0], len(open)
		for k, i := range open {
			appendSequence(&b, k, prompts[i], answers[i].IDs)
		}
		out, err := g.Forward(&b)
		if err != nil {
			return nil, err
		}
		for k, i := range open {
			if id := out.Best[k]; slices.Contains(o.Stop, id) {
				answers[i].Stopped = true
			} else {
				answers[i].IDs = append(answers[i].IDs, id)
			}
		}
	}
}

// appendSequence adds a sequence of which the last row predicts what comes next. A row can only be asked for the log-prob
// of an id: it is that of id 0, which nobody reads.
func appendSequence(b *compute.Batch, sequence int, parts ...[]int32) {
	start := len(b.Tokens)
	for _, ids := range parts {
		for _, id := range ids {
			b.Positions = append(b.Positions, int32(len(b.Tokens)-start))
			b.Tokens = append(b.Tokens, id)
		}
	}
	b.Segments = append(b.Segments, compute.Segment{Start: start, End: len(b.Tokens)})
	b.Targets = append(b.Targets, compute.Target{Row: len(b.Tokens) - 1, Sequence: sequence})
}
