// Package eval says what a policy makes of held-out examples: loss, rewards, accuracy, margin and log-probs under TRL's
// names. Evaluation inside training and the eval command are the same function, and give the same bits.
package eval

import (
	"context"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/score"
)

// Run evaluates examples on a forward-only graph. refs are the reference's log-probs, nil for a loss that needs none.
// progress is called after every micro-batch with the number of examples it had.
func Run(ctx context.Context, g *model.Graph, examples []data.Example, refs []score.Logps, l loss.Loss, microBatchTokens int, progress func(examples int)) (*Tally, error) {
	rows := make([]int, len(examples))
	list := make([]*data.Example, len(examples))
	for i := range examples {
		list[i] = &examples[i]
		rows[i] = data.Rows(examples[i])
	}
	var (
		batch    compute.Batch
		packer   data.Packer
		part     Outcomes
		outcomes = make([]Outcome, 0, len(examples))
	)
	for _, r := range plan.Cut(rows, microBatchTokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		packer.Pack(&batch, list[r.From:r.To])
		out, err := g.Forward(&batch)
		if err != nil {
			return nil, err
		}
		part.Start(list[r.From:r.To])
		part.SetLogps(out.Logps)
		part.SetStatistics(&batch, out)
		outcomes = append(outcomes, part.List...)
		if progress != nil {
			progress(r.To - r.From)
		}
	}
	var (
		b   loss.Batch
		res loss.Result
	)
	LossBatch(&b, l, outcomes, refs)
	l.Compute(b, &res)
	t := NewTally(l)
	t.Add(outcomes, &b, &res)
	return t, nil
}
