package eval

import (
	"slices"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// Outcome is what the policy made of one example: of the chosen and the rejected sequence, which are the best and the worst of a list, or of its only
// one. An unpaired row may have a second one, which is mismatched: its log-prob is the second, and else nothing of it counts.
type Outcome struct {
	Logps   [2]float64 // nats, summed over the scored tokens of each sequence
	KL      [2]float64 // nats, divergence of the reference over the vocabulary, likewise; 0 where none was computed
	Tokens  [2]int     // scored tokens of each sequence
	Aligned [2]float64 // nats; see loss.Batch.ChosenAlignments; 0 where the graph gives none
	Length  int        // tokens of all sequences, prompts counted with each
	Entropy float64    // nats, summed over the scored tokens of all sequences
	Correct int        // scored tokens of the first sequence that had the largest logit

	Middle       []float64 // as Logps, of the sequences of a list between its best and its worst
	MiddleTokens int       // scored tokens of these
	SFTLogp      float64   // of what is imitated in place of the first sequence
	SFTTokens    int       // likewise; 0 where there is none

	Numbers *data.Numbers // what the data says of the example; nil: nothing, and the weight is 1
	Label   data.Label
}

// place is a packed sequence's example and side.
type place struct{ example, side int }

// sideOf is that of sequence j of n: 0 of the first, the chosen one, 1 of the last, the rejected one, and from 2 on those of a list between them.
func sideOf(j, n int) int {
	switch j {
	case 0:
		return 0
	case n - 1:
		return 1
	}
	return j + 1
}

// imitated is the side of a sequence that supervised fine-tuning imitates.
const imitated = -1

// Outcomes are those of examples that are packed together, in their order.
type Outcomes struct {
	List   []Outcome
	places []place // of every packed sequence
}

// Start begins with the lengths.
func (o *Outcomes) Start(examples []*data.Example) {
	o.List, o.places = o.List[:0], o.places[:0]
	for i, e := range examples {
		out := Outcome{Numbers: e.Numbers, Label: e.Label}
		n := len(e.Sequences)
		if n > 2 {
			out.Middle = make([]float64, n-2)
		}
		for j := range e.Sequences {
			o.places = append(o.places, place{i, sideOf(j, n)})
		}
		for j, s := range e.Own() {
			if side := sideOf(j, n); side < 2 {
				out.Tokens[side] = len(s.IDs) - s.First
			} else {
				out.MiddleTokens += len(s.IDs) - s.First
			}
			out.Length += len(s.IDs)
		}
		if s := e.Imitated; s != nil {
			o.places = append(o.places, place{i, imitated})
			out.SFTTokens = len(s.IDs) - s.First
		}
		o.List = append(o.List, out)
	}
}

// SetLogps fills in the log-probs of the packed sequences, and alignments and divergences if there are any.
func (o *Outcomes) SetLogps(out *model.Output) {
	for s, p := range o.places {
		e := &o.List[p.example]
		if p.side == imitated {
			e.SFTLogp = out.Logps[s]
			continue
		}
		if p.side > 1 {
			e.Middle[p.side-2] = out.Logps[s]
			continue
		}
		e.Logps[p.side] = out.Logps[s]
		if len(out.Alignments) > 0 {
			e.Aligned[p.side] = out.Alignments[s]
		}
		if len(out.KL) > 0 {
			e.KL[p.side] = out.KL[s]
		}
	}
}

// SetStatistics fills in the rest of what a graph found out about the batch.
func (o *Outcomes) SetStatistics(b *compute.Batch, out *model.Output) {
	for i, t := range b.Targets {
		p := o.places[t.Sequence]
		e := &o.List[p.example]
		if p.side == imitated || p.side == 1 && e.Label != data.Unlabelled {
			continue
		}
		e.Entropy += out.Entropy[i]
		if p.side == 0 && out.Best[i] == t.Token {
			e.Correct++
		}
	}
}

// LossBatch fills b with what a loss is given of outcomes, but for mismatched rows, which are those of a whole step. refs is nil where there is no reference.
func LossBatch(b *loss.Batch, l loss.Loss, outcomes []Outcome, refs []score.Logps) {
	needs := l.Needs()
	b.ChosenLogps, b.ChosenTokens = b.ChosenLogps[:0], b.ChosenTokens[:0]
	b.RejectedLogps, b.RejectedTokens = b.RejectedLogps[:0], b.RejectedTokens[:0]
	b.RefChosenLogps, b.RefRejectedLogps = b.RefChosenLogps[:0], b.RefRejectedLogps[:0]
	b.MiddleLogps, b.RefMiddleLogps = b.MiddleLogps[:0], b.RefMiddleLogps[:0]
	b.ChosenKL, b.RejectedKL, b.RefEntropies = b.ChosenKL[:0], b.RejectedKL[:0], b.RefEntropies[:0]
	b.ChosenScores, b.RejectedScores = b.ChosenScores[:0], b.RejectedScores[:0]
	b.ChosenWins, b.RejectedWins = b.ChosenWins[:0], b.RejectedWins[:0]
	b.Desirable, b.MismatchedLogps, b.RefMismatchedLogps = b.Desirable[:0], b.MismatchedLogps[:0], b.RefMismatchedLogps[:0]
	b.ChosenAlignments, b.RejectedAlignments = b.ChosenAlignments[:0], b.RejectedAlignments[:0]
	b.SFTLogps, b.SFTTokens = b.SFTLogps[:0], b.SFTTokens[:0]
	imitates := slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.SFTTokens > 0 })
	b.Weights = b.Weights[:0]
	weighted := slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Numbers != nil })
	for i, o := range outcomes {
		b.ChosenLogps, b.ChosenTokens = append(b.ChosenLogps, o.Logps[0]), append(b.ChosenTokens, o.Tokens[0])
		if needs.Rejected {
			b.RejectedLogps, b.RejectedTokens = append(b.RejectedLogps, o.Logps[1]), append(b.RejectedTokens, o.Tokens[1])
		}
		if refs != nil {
			last := len(refs[i].Sums) - 1
			b.RefChosenLogps = append(b.RefChosenLogps, refs[i].Sums[0])
			if needs.Rejected {
				b.RefRejectedLogps = append(b.RefRejectedLogps, refs[i].Sums[last])
			}
			if needs.Lists {
				b.MiddleLogps, b.RefMiddleLogps = append(b.MiddleLogps, o.Middle), append(b.RefMiddleLogps, refs[i].Sums[1:last])
			}
		}
		if needs.KL {
			b.ChosenKL, b.RejectedKL = append(b.ChosenKL, o.KL[0]), append(b.RejectedKL, o.KL[1])
		}
		if needs.Entropies {
			e := refs[i].Entropies
			b.RefEntropies = append(b.RefEntropies, (e[0]/float64(o.Tokens[0])+e[len(e)-1]/float64(o.Tokens[1]))/(2*refs[i].LogVocab))
		}
		if needs.Labels {
			b.Desirable = append(b.Desirable, o.Label == data.Desirable)
		}
		if needs.Alignments {
			b.ChosenAlignments, b.RejectedAlignments = append(b.ChosenAlignments, o.Aligned[0]), append(b.RejectedAlignments, o.Aligned[1])
		}
		if imitates {
			b.SFTLogps, b.SFTTokens = append(b.SFTLogps, o.SFTLogp), append(b.SFTTokens, o.SFTTokens)
		}
		n := o.Numbers
		if needs.Scores {
			b.ChosenScores, b.RejectedScores = append(b.ChosenScores, n.ChosenScore), append(b.RejectedScores, n.RejectedScore)
		}
		if needs.Wins {
			b.ChosenWins, b.RejectedWins = append(b.ChosenWins, n.ChosenWins), append(b.RejectedWins, n.RejectedWins)
		}
		switch {
		case n != nil:
			b.Weights = append(b.Weights, n.Weight)
		case weighted:
			b.Weights = append(b.Weights, 1)
		}
	}
}

// Tally adds up metrics over examples. Its means are over examples, those of tokens over scored tokens.
type Tally struct {
	loss                         loss.Loss
	examples                     int
	lossSum                      float64
	chosen, rejected             float64 // log-probs
	chosenReward, rejectedReward float64
	wins, ties                   int     // of rewards
	concordance                  float64 // of lists
	likelier                     int     // pairs whose chosen log-prob is above the rejected one
	scoredTokens                 int
	chosenTokens, correct        int
	entropy                      float64
	kl                           float64 // of the mismatched rows of its step, for each example
	chosenKL, rejectedKL         float64 // divergences
	desirable                    int     // unpaired rows
	tokens                       int64
	shifts                       Shifts
}

// NewTally starts a tally of the metrics that l has.
func NewTally(l loss.Loss) *Tally { return &Tally{loss: l} }

// Add counts outcomes with what LossBatch and the loss made of them.
func (t *Tally) Add(outcomes []Outcome, b *loss.Batch, r *loss.Result) {
	t.kl += float64(len(outcomes)) * b.KL()
	for i, o := range outcomes {
		t.examples++
		t.lossSum += r.Losses[i]
		t.scoredTokens += o.Tokens[0] + o.Tokens[1] + o.MiddleTokens
		t.chosenTokens += o.Tokens[0]
		t.correct += o.Correct
		t.entropy += o.Entropy
		t.tokens += int64(o.Length)
		t.shifts.add(b, r, i)
		if t.unpaired() {
			t.addUnpaired(b, i)
		}
		if !t.pairs() {
			continue
		}
		t.chosen += o.Logps[0]
		t.rejected += o.Logps[1]
		t.chosenKL += o.KL[0]
		t.rejectedKL += o.KL[1]
		if o.Logps[0] > o.Logps[1] {
			t.likelier++
		}
		chosen, rejected := loss.Rewards(t.loss, b, i)
		t.chosenReward += chosen
		t.rejectedReward += rejected
		switch {
		case chosen > rejected:
			t.wins++
		case chosen == rejected:
			t.ties++
		}
		if t.lists() {
			t.concordance += b.Concordance(i)
		}
	}
}

// addUnpaired counts an unpaired row. If it is desirable it has the chosen side alone, else the rejected one.
func (t *Tally) addUnpaired(b *loss.Batch, i int) {
	reward := loss.Reward(t.loss, b, i)
	if b.Desirable[i] {
		t.desirable++
		t.chosen += b.ChosenLogps[i]
		t.chosenReward += reward
	} else {
		t.rejected += b.ChosenLogps[i]
		t.rejectedReward += reward
	}
}

// Merge counts what another tally of the same loss has counted.
func (t *Tally) Merge(o *Tally) {
	t.examples += o.examples
	t.lossSum += o.lossSum
	t.chosen += o.chosen
	t.rejected += o.rejected
	t.chosenReward += o.chosenReward
	t.rejectedReward += o.rejectedReward
	t.wins += o.wins
	t.ties += o.ties
	t.concordance += o.concordance
	t.likelier += o.likelier
	t.scoredTokens += o.scoredTokens
	t.chosenTokens += o.chosenTokens
	t.correct += o.correct
	t.entropy += o.entropy
	t.kl += o.kl
	t.chosenKL += o.chosenKL
	t.rejectedKL += o.rejectedKL
	t.desirable += o.desirable
	t.tokens += o.tokens
	t.shifts.Merge(&o.shifts)
}

func (t *Tally) pairs() bool    { return t.loss.Needs().Rejected }
func (t *Tally) lists() bool    { return t.loss.Needs().Lists }
func (t *Tally) unpaired() bool { return t.loss.Needs().Labels }

// undesirable is the number of such rows.
func (t *Tally) undesirable() int { return t.examples - t.desirable }

// Examples is the number of examples counted.
func (t *Tally) Examples() int { return t.examples }

// Tokens is the number of the examples' tokens, prompts counted with each sequence, as TRL counts num_tokens.
func (t *Tally) Tokens() int64 { return t.tokens }

// Loss is the mean loss.
func (t *Tally) Loss() float64 { return t.lossSum / float64(t.examples) }

// Accuracy and Margin are rewards/accuracies and rewards/margins; ok is false for a loss without them, and where unpaired rows are all of one
// kind.
func (t *Tally) Accuracy() (share float64, ok bool) {
	return float64(t.wins) / float64(t.examples), t.pairs()
}
func (t *Tally) Margin() (mean float64, ok bool) {
	if t.unpaired() {
		return t.chosenReward/float64(t.desirable) - t.rejectedReward/float64(t.undesirable()), t.desirable > 0 && t.undesirable() > 0
	}
	return (t.chosenReward - t.rejectedReward) / float64(t.examples), t.pairs()
}

// AllTied says that no example has a reward for one side above that for the other, as before training, when the policy is
// the reference: the accuracy is 0 then and says nothing.
func (t *Tally) AllTied() bool { return t.pairs() && t.ties == t.examples }

// Metrics appends everything but the loss under TRL's names, each with prefix in front. As in TRL, entropy is over the
// scored tokens of both sides and mean_token_accuracy over those of the chosen side. Ours are rewards/ties, and
// logps/accuracies: the share of pairs whose chosen completion the policy finds likelier than the rejected one. Unlike
// rewards/accuracies, which starts with ties alone, it says something of a model before training, too. So are rewards/concordance, of lists, and
// shift, displacement, grad and length: what became of the examples since the reference. Of unpaired rows the means are over those of a kind, and left out where there is
// none, as in TRL's KTOTrainer; mean_token_accuracy is over all rows.
func (t *Tally) Metrics(row report.Row, prefix string) report.Row {
	n := float64(t.examples)
	add := func(name string, v float64) { row = append(row, report.Float(prefix+name, v)) }
	if t.pairs() {
		accuracy, _ := t.Accuracy()
		margin, _ := t.Margin()
		add("rewards/chosen", t.chosenReward/n)
		add("rewards/rejected", t.rejectedReward/n)
		add("rewards/accuracies", accuracy)
		add("rewards/ties", float64(t.ties)/n)
		if t.lists() {
			add("rewards/concordance", t.concordance/n)
		}
		add("rewards/margins", margin)
		add("logps/chosen", t.chosen/n)
		add("logps/rejected", t.rejected/n)
		add("logps/accuracies", float64(t.likelier)/n)
		if t.loss.Needs().KL {
			add("kl/chosen", t.chosenKL/n)
			add("kl/rejected", t.rejectedKL/n)
		}
	}
	if t.unpaired() {
		t.unpairedMetrics(add)
	}
	add("entropy", t.entropy/float64(t.scoredTokens))
	add("mean_token_accuracy", float64(t.correct)/float64(t.chosenTokens))
	t.shifts.metrics(t.loss.Needs(), add)
	return row
}

func (t *Tally) unpairedMetrics(add func(name string, v float64)) {
	good, bad := float64(t.desirable), float64(t.undesirable())
	if good > 0 {
		add("rewards/chosen", t.chosenReward/good)
	}
	if bad > 0 {
		add("rewards/rejected", t.rejectedReward/bad)
	}
	if margin, ok := t.Margin(); ok {
		add("rewards/margins", margin)
	}
	if good > 0 {
		add("logps/chosen", t.chosen/good)
	}
	if bad > 0 {
		add("logps/rejected", t.rejected/bad)
	}
	if t.loss.Needs().Mismatched {
		add("kl", t.kl/float64(t.examples))
	}
}
