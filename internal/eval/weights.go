package eval

import (
	"math/rand/v2"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/score"
)

// Weigh gives the tokens of pairs, and the reference's sums with them, the weights that a loss wants (Needs.TokenWeights); of another loss examples and
// refs are given back as they are. draw is the random numbers of a pair's own, of example i. refs is nil for a loss without a reference.
func Weigh(l loss.Loss, examples []*data.Example, refs []score.Logps, draw func(i int) *rand.Rand) ([]*data.Example, []score.Logps) {
	if !l.Needs().TokenWeights {
		return examples, refs
	}
	var weighedRefs []score.Logps
	weighed := make([]*data.Example, len(examples))
	for i, e := range examples {
		w := *e
		chosen, rejected := e.Sequences[0], e.Sequences[1]
		c, r := loss.TokenWeights(l, len(chosen.IDs)-chosen.First, len(rejected.IDs)-rejected.First, draw(i))
		w.Weights = [][]float64{c, r}
		weighed[i] = &w
		if refs != nil {
			weighedRefs = append(weighedRefs, refs[i].Weighted(&w))
		}
	}
	return weighed, weighedRefs
}

// TrainingDraw is the random numbers for the weights of pair i, counted from 0, in training: a function of seed, epoch and i. They are none that data.Order
// or a step has.
func TrainingDraw(seed int64, epoch, i int) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(seed), 1<<63|uint64(epoch)<<32|uint64(i)))
}

// evaluationDraw is those of pair i in evaluations, always the same.
func evaluationDraw(i int) *rand.Rand { return rand.New(rand.NewPCG(0, 1<<62|uint64(i))) }
