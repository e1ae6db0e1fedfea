// Package eval says what a policy makes of held-out examples: loss, rewards, accuracy, margin and log-probs under TRL's
// names. Evaluation inside training and the eval command are the same function, and give the same bits.
//
// Run is given a forward-only graph, examples and the reference's log-probs, and gives back an Evaluation: the Tally over
// all examples and a Row for each. Training steps add to a Tally too. Log-probs are sums in nats over a completion's scored
// tokens, rewards nats times beta; all means are over examples, each counting the same, whatever the micro-batches; those of a side of
// unpaired rows are over the rows of that kind. Of a list the best is the chosen side and the worst the rejected one. The loss alone is
// multiplied by the example's weight, as in training.
//
// To add a metric: a sum in Tally with its lines in Add and Merge, its place in Metrics, a row in metrics (metric.go), and
// one in docs/metrics.md; if it is known of a single example, in Evaluation.Row too.
package eval

import (
	"context"
	"math/rand/v2"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// Evaluation is what a policy made of examples: the tally over all, and each by itself.
type Evaluation struct {
	*Tally

	outcomes []Outcome
	batch    loss.Batch
	result   loss.Result
}

// Row is what became of example i: the metrics that are means over examples, under their names but for that one alone, with
// the reference's log-probs and the lengths in tokens.
func (e *Evaluation) Row(i int) report.Row {
	o, b := e.outcomes[i], &e.batch
	needs := e.loss.Needs()
	row := report.Row{report.Float("loss", e.result.Losses[i])}
	if needs.Rejected {
		chosen, rejected := loss.Rewards(e.loss, b, i)
		row = append(row, report.Float("rewards/chosen", chosen), report.Float("rewards/rejected", rejected), report.Float("rewards/margins", chosen-rejected))
	}
	if needs.Lists {
		row = append(row, report.Float("rewards/concordance", b.Concordance(i)))
	}
	if needs.Labels {
		name := "rejected"
		if b.Desirable[i] {
			name = "chosen"
		}
		return append(row, report.Float("rewards/"+name, loss.Reward(e.loss, b, i)), report.Float("logps/"+name, o.Logps[0]),
			report.Float("ref_logps/"+name, b.RefChosenLogps[i]), report.Int("tokens/"+name, int64(o.Tokens[0])))
	}
	for side, name := range []string{"chosen", "rejected"} {
		if side == 1 && !needs.Rejected {
			break
		}
		row = append(row, report.Float("logps/"+name, o.Logps[side]))
		if len(b.RefChosenLogps) > 0 {
			row = append(row, report.Float("ref_logps/"+name, [][]float64{b.RefChosenLogps, b.RefRejectedLogps}[side][i]))
		}
		if needs.KL {
			row = append(row, report.Float("kl/"+name, o.KL[side]))
		}
		row = append(row, report.Int("tokens/"+name, int64(o.Tokens[side])))
	}
	return row
}

// Run evaluates examples on a forward-only graph, which for a loss of divergences has a reference to compare with. refs are the reference's log-probs, nil where there is none; a loss that needs none is
// not given them, but the metrics are.
// progress is called after every micro-batch with the number of examples it had.
func Run(ctx context.Context, g *model.Graph, x data.Examples, refs []score.Logps, l loss.Loss, microBatchTokens int, progress func(examples int)) (*Evaluation, error) {
	rows := make([]int, x.Len())
	for i, e := range data.All(x) {
		rows[i] = data.Rows(e)
	}
	var (
		batch    compute.Batch
		packer   data.Packer
		part     Outcomes
		outcomes = make([]Outcome, 0, x.Len())
		weighed  []score.Logps
	)
	for _, r := range plan.Cut(rows, microBatchTokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var together []*data.Example
		for i := r.From; i < r.To; i++ {
			together = append(together, x.At(i))
		}
		theirRefs := refs
		if refs != nil {
			theirRefs = refs[r.From:r.To]
		}
		together, theirRefs = Weigh(l, together, theirRefs, func(i int) *rand.Rand { return evaluationDraw(r.From + i) })
		weighed = append(weighed, theirRefs...)
		packer.Pack(&batch, together)
		out, err := g.Forward(&batch)
		if err != nil {
			return nil, err
		}
		part.Start(together)
		part.SetLogps(out)
		part.SetStatistics(&batch, out)
		outcomes = append(outcomes, part.List...)
		if progress != nil {
			progress(r.To - r.From)
		}
	}
	e := &Evaluation{Tally: NewTally(l), outcomes: outcomes}
	LossBatch(&e.batch, l, outcomes, weighed)
	if l.Needs().Mismatched {
		for i, o := range outcomes {
			e.batch.MismatchedLogps, e.batch.RefMismatchedLogps = append(e.batch.MismatchedLogps, o.Logps[1]), append(e.batch.RefMismatchedLogps, refs[i].Sums[1])
		}
	}
	l.Compute(e.batch, &e.result)
	loss.Weigh(l, &e.batch, &e.result)
	e.Add(outcomes, &e.batch, &e.result)
	return e, nil
}
