package eval

import (
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// Three pairs under dpo with beta 0.1, worked by hand. h is the margin before beta, the loss softplus(-0.1 h).
//
//	policy   reference  rewards     h   loss
//	-10 -12  -11 -11     0.1 -0.1   2   0.598139   a win; chosen is the likelier one
//	-20  -5  -21  -6     0.1  0.1   0   0.693147   a tie
//	-30 -25  -28 -28    -0.2  0.3  -5   0.974077   a loss
var (
	outcomes = []Outcome{
		{Logps: [2]float64{-10, -12}, Tokens: [2]int{2, 2}, Length: 10, Entropy: 6, Correct: 1},
		{Logps: [2]float64{-20, -5}, Tokens: [2]int{3, 1}, Length: 20, Entropy: 12, Correct: 2},
		{Logps: [2]float64{-30, -25}, Tokens: [2]int{5, 7}, Length: 30, Entropy: 22, Correct: 3},
	}
	references = []score.Logps{
		{Sums: []float64{-11, -11}, Entropies: []float64{2, 3}, LogVocab: 8},
		{Sums: []float64{-21, -6}, Entropies: []float64{3, 2}, LogVocab: 8},
		{Sums: []float64{-28, -28}, Entropies: []float64{4, 5}, LogVocab: 8},
	}
)

// add counts outcomes as a training step or an evaluation does.
func add(t *Tally, l loss.Loss, outcomes []Outcome, refs []score.Logps) {
	var (
		b loss.Batch
		r loss.Result
	)
	LossBatch(&b, l, outcomes, refs)
	l.Compute(b, &r)
	t.Add(outcomes, &b, &r)
}

// want is a metric with the number worked out by hand to six digits.
type want struct {
	name  string
	value float64
}

// checkRow holds a row to what is wanted, but for what became of the pairs since the reference, which is TestShifts'.
func checkRow(t *testing.T, what string, got report.Row, wanted []want) {
	t.Helper()
	if i := slices.IndexFunc(got, func(m report.Metric) bool { return strings.HasSuffix(m.Name, "shift/chosen") }); i >= 0 {
		got = got[:i]
	}
	if len(got) != len(wanted) {
		t.Errorf("%s: %s, want %v", what, got.JSON(), wanted)
		return
	}
	for i, w := range wanted {
		v, ok := got.Value(w.name)
		if got[i].Name != w.name || !ok || !(math.Abs(v-w.value) <= 1e-6) {
			t.Errorf("%s: metric %d is %s %v, want %s %v", what, i, got[i].Name, v, w.name, w.value)
		}
	}
}

func TestTally(t *testing.T) {
	l := newLoss(t, "dpo")
	all := []want{
		{"loss", 0.755121},                     // (0.598139 + 0.693147 + 0.974077) / 3
		{"eval_rewards/chosen", 0},             // (0.1 + 0.1 - 0.2) / 3
		{"eval_rewards/rejected", 0.1},         // (-0.1 + 0.1 + 0.3) / 3
		{"eval_rewards/accuracies", 1.0 / 3},   // the win alone: a tie is none
		{"eval_rewards/ties", 1.0 / 3},         //
		{"eval_rewards/margins", -0.1},         // (0.2 + 0 - 0.5) / 3
		{"eval_logps/chosen", -20},             // sums over tokens, the mean over pairs
		{"eval_logps/rejected", -14},           //
		{"eval_logps/accuracies", 1.0 / 3},     // of the policy alone
		{"eval_entropy", 2},                    // 40 nats over 4 + 4 + 12 tokens of both sides
		{"eval_mean_token_accuracy", 6.0 / 10}, // 6 of 2 + 3 + 5 chosen tokens; the mean of the pairs' shares is 0.589
	}
	tally := NewTally(l)
	add(tally, l, outcomes, references)
	row := func(t *Tally) report.Row { return t.Metrics(report.Row{report.Float("loss", t.Loss())}, "eval_") }
	checkRow(t, "at once", row(tally), all)
	if tally.Examples() != 3 || tally.Tokens() != 60 || tally.AllTied() {
		t.Errorf("%d examples, %d tokens, all tied %v; want 3, 60, false", tally.Examples(), tally.Tokens(), tally.AllTied())
	}
	accuracy, ok := tally.Accuracy()
	margin, ok2 := tally.Margin()
	if !ok || !ok2 || accuracy != 1.0/3 || math.Abs(margin+0.1) > 1e-12 {
		t.Errorf("accuracy %v %v, margin %v %v", accuracy, ok, margin, ok2)
	}

	// In parts of 2 and 1: every pair weighs the same, whatever part it was in.
	parts := NewTally(l)
	add(parts, l, outcomes[:2], references[:2])
	add(parts, l, outcomes[2:], references[2:])
	checkRow(t, "in parts", row(parts), all)
	merged := NewTally(l)
	for i := range outcomes {
		one := NewTally(l)
		add(one, l, outcomes[i:i+1], references[i:i+1])
		merged.Merge(one)
	}
	checkRow(t, "merged", row(merged), all)
	if merged.Examples() != 3 || merged.Tokens() != 60 {
		t.Errorf("merged: %d examples, %d tokens", merged.Examples(), merged.Tokens())
	}

	tied := NewTally(l)
	add(tied, l, outcomes[1:2], references[1:2])
	if loss := tied.Loss(); loss != math.Ln2 || tied.Examples() != 1 || !tied.AllTied() || merged.AllTied() {
		t.Errorf("of the second pair alone: loss %v, %d examples, all tied %v", loss, tied.Examples(), tied.AllTied())
	}
}

// TestTallyIPO: the rewards are beta times the log-ratios of sums, whatever the loss takes. beta is 0.1, the target
// 1/(2 beta) = 5; the first pair's means are (-10+11)/2 and (-12+11)/2, h = 1: (1-5)^2 = 16.
func TestTallyIPO(t *testing.T) {
	l := newLoss(t, "ipo")
	tally := NewTally(l)
	add(tally, l, outcomes[:1], references[:1])
	checkRow(t, "ipo", tally.Metrics(report.Row{report.Float("loss", tally.Loss())}, ""), []want{
		{"loss", 16}, {"rewards/chosen", 0.1}, {"rewards/rejected", -0.1}, {"rewards/accuracies", 1}, {"rewards/ties", 0}, {"rewards/margins", 0.2},
		{"logps/chosen", -10}, {"logps/rejected", -12}, {"logps/accuracies", 1}, {"entropy", 1.5}, {"mean_token_accuracy", 0.5},
	})
}

// TestTallySFT: single completions have no rewards and no second side. The loss is minus the per-token mean: 10/2, 20/4.
func TestTallySFT(t *testing.T) {
	l := newLoss(t, "sft")
	tally := NewTally(l)
	add(tally, l, []Outcome{
		{Logps: [2]float64{-10}, Tokens: [2]int{2}, Length: 5, Entropy: 3, Correct: 0},
		{Logps: [2]float64{-20}, Tokens: [2]int{4}, Length: 7, Entropy: 6, Correct: 3},
	}, nil)
	checkRow(t, "sft", tally.Metrics(report.Row{report.Float("loss", tally.Loss())}, ""), []want{{"loss", 5}, {"entropy", 1.5}, {"mean_token_accuracy", 0.5}})
	if _, ok := tally.Accuracy(); ok || tally.AllTied() {
		t.Error("it has an accuracy")
	}
	if _, ok := tally.Margin(); ok {
		t.Error("it has a margin")
	}
	if tally.Tokens() != 12 {
		t.Errorf("%d tokens, want 12", tally.Tokens())
	}
}

// TestTallyLists: two lists under plackett_luce with beta 0.1, and a pair. The best is the chosen side and the worst the rejected one; of the log-ratios
// 1, 2, -1 two pairs of three are in order, of 2, 1, 0, -2 all six, of -2, 3 none.
func TestTallyLists(t *testing.T) {
	l := newLoss(t, "plackett_luce")
	lists := []Outcome{
		{Logps: [2]float64{-10, -12}, Middle: []float64{-20}, Tokens: [2]int{2, 2}, MiddleTokens: 4, Length: 15, Entropy: 8, Correct: 1},
		{Logps: [2]float64{-19, -8}, Middle: []float64{-5, -6}, Tokens: [2]int{3, 1}, MiddleTokens: 6, Length: 25, Entropy: 16, Correct: 2},
		{Logps: [2]float64{-30, -25}, Tokens: [2]int{5, 7}, Length: 30, Entropy: 24, Correct: 3},
	}
	refs := []score.Logps{{Sums: []float64{-11, -22, -11}}, {Sums: []float64{-21, -6, -6, -6}}, {Sums: []float64{-28, -28}}}
	want := []want{
		{"rewards/chosen", 0.1 / 3}, {"rewards/rejected", 0}, {"rewards/accuracies", 2.0 / 3}, {"rewards/ties", 0}, {"rewards/concordance", 5.0 / 9}, {"rewards/margins", 0.1 / 3},
		{"logps/chosen", -59.0 / 3}, {"logps/rejected", -15}, {"logps/accuracies", 1.0 / 3}, {"entropy", 48.0 / 30}, {"mean_token_accuracy", 0.6},
	}
	tally, merged := NewTally(l), NewTally(l)
	add(tally, l, lists, refs)
	checkRow(t, "at once", tally.Metrics(nil, ""), want)
	for i := range lists {
		one := NewTally(l)
		add(one, l, lists[i:i+1], refs[i:i+1])
		merged.Merge(one)
	}
	checkRow(t, "merged", merged.Metrics(nil, ""), want)
	var b loss.Batch
	LossBatch(&b, l, lists, refs)
	if !reflect.DeepEqual(b.MiddleLogps, [][]float64{{-20}, {-5, -6}, nil}) || !reflect.DeepEqual(b.RefMiddleLogps[:2], [][]float64{{-22}, {-6, -6}}) || !slices.Equal(b.RefRejectedLogps, []float64{-11, -6, -28}) {
		t.Errorf("the batch is %+v", b)
	}
	if LossBatch(&b, newLoss(t, "dpo"), lists[2:], refs[2:]); len(b.MiddleLogps)+len(b.RefMiddleLogps) > 0 {
		t.Errorf("for dpo: %+v", b)
	}
}

// TestLossBatch fills a batch twice: what was in it is gone.
func TestLossBatch(t *testing.T) {
	var b loss.Batch
	LossBatch(&b, newLoss(t, "dpo"), outcomes, references)
	LossBatch(&b, newLoss(t, "dpo"), outcomes[1:], references[1:])
	if want := (loss.Batch{
		ChosenLogps: []float64{-20, -30}, RejectedLogps: []float64{-5, -25}, RefChosenLogps: []float64{-21, -28}, RefRejectedLogps: []float64{-6, -28},
		ChosenTokens: []int{3, 5}, RejectedTokens: []int{1, 7},
	}); !reflect.DeepEqual(b, want) {
		t.Errorf("got %+v, want %+v", b, want)
	}
	LossBatch(&b, newLoss(t, "sft"), outcomes[:1], nil)
	if len(b.ChosenLogps) != 1 || len(b.RejectedLogps)+len(b.RejectedTokens)+len(b.RefChosenLogps)+len(b.RefRejectedLogps) != 0 {
		t.Errorf("for sft: %+v", b)
	}
}

// TestLossBatchEntropies: each completion counts the same, whatever its length.
func TestLossBatchEntropies(t *testing.T) {
	refs := slices.Clone(references[:2]) // of 2 and 2 tokens, 3 and 1
	refs[0].Entropies, refs[0].LogVocab = []float64{1, 6}, 4
	refs[1].Entropies, refs[1].LogVocab = []float64{3, 3}, 4
	b := loss.Batch{RefEntropies: []float64{5, 5, 5}} // what was in it is gone
	LossBatch(&b, newLoss(t, "mallows_dpo"), outcomes[:2], refs)
	if want := []float64{(0.5 + 3) / 8, (1.0 + 3) / 8}; !slices.Equal(b.RefEntropies, want) {
		t.Errorf("entropies %v, want %v", b.RefEntropies, want)
	}
	if LossBatch(&b, newLoss(t, "dpo"), outcomes[:2], refs); len(b.RefEntropies) != 0 {
		t.Errorf("for dpo: entropies %v", b.RefEntropies)
	}
}

// TestLossBatchNumbers: a loss is given the numbers that it needs, and weights where the data has any.
func TestLossBatchNumbers(t *testing.T) {
	said := []Outcome{outcomes[0], outcomes[1]}
	said[0].Numbers = &data.Numbers{ChosenScore: 7, RejectedScore: 3, ChosenWins: 0.9, RejectedWins: 0.2, Weight: 0.5}
	said[1].Numbers = &data.Numbers{ChosenScore: 1, RejectedScore: 2, ChosenWins: 0.4, RejectedWins: 0.6, Weight: 1}
	for _, tt := range []struct {
		loss     string
		outcomes []Outcome
		want     [5][]float64 // scores, win rates and weights
	}{
		{"dpo", outcomes[:2], [5][]float64{}},
		{"dpo", said, [5][]float64{4: {0.5, 1}}},
		{"dpo", []Outcome{outcomes[2], said[0]}, [5][]float64{4: {1, 0.5}}},
		{"rebel", said, [5][]float64{{7, 1}, {3, 2}, nil, nil, {0.5, 1}}},
		{"sppo", said, [5][]float64{nil, nil, {0.9, 0.4}, {0.2, 0.6}, {0.5, 1}}},
	} {
		for _, b := range []loss.Batch{{}, {ChosenScores: []float64{5}, RejectedWins: []float64{5}, Weights: []float64{5, 5, 5}}} { // what was in it is gone
			LossBatch(&b, newLoss(t, tt.loss), tt.outcomes, references)
			for i, got := range [5][]float64{b.ChosenScores, b.RejectedScores, b.ChosenWins, b.RejectedWins, b.Weights} {
				if !slices.Equal(got, tt.want[i]) {
					t.Errorf("%s: slice %d is %v, want %v", tt.loss, i, got, tt.want[i])
				}
			}
		}
	}
}

// TestOutcomes gives the numbers of a batch back to its examples. A pair, two single completions and a list are packed: sequences
// 0 and 1, 2, 3, and 4 to 6.
func TestOutcomes(t *testing.T) {
	examples := []*data.Example{
		{Sequences: []data.Sequence{{IDs: []int32{10, 11, 20, 21}, First: 2}, {IDs: []int32{10, 11, 30}, First: 2}}},
		{Sequences: []data.Sequence{{IDs: []int32{12, 22}, First: 1}}},
		{Sequences: []data.Sequence{{IDs: []int32{13, 14, 23, 24, 25}, First: 2}}},
		{Sequences: []data.Sequence{{IDs: []int32{15, 26, 27}, First: 1}, {IDs: []int32{15, 36}, First: 1}, {IDs: []int32{15, 46, 47, 48}, First: 1}}},
	}
	var b compute.Batch
	data.Packer{}.Pack(&b, examples)
	// Targets, sorted by row: 20 (0), 30 (1), 21 (0); 22 (2); 23, 24, 25 (3); 26 (4), 36 (5), 46 (6), 27 (4), 47, 48 (6).
	out := &model.Output{
		Logps:   []float64{-1, -2, -3, -4, -5, -6, -7},
		Entropy: []float64{1, 10, 100, 5, 0.5, 0.25, 0.125, 1, 2, 4, 8, 16, 32},
		Best:    []int32{20, 30, 99, 22, 23, 0, 25, 26, 36, 46, 0, 47, 48}, // 21, 24 and 27 are missed; 30 is of the rejected side and does not count, nor do 36 to 48
	}
	var o Outcomes
	for _, kl := range [][]float64{{0.5, 0.25, 0, 2, 3, 9, 4}, nil} { // the second time with what the first left
		out.KL = kl
		o.Start(examples)
		o.SetLogps(out)
		o.SetStatistics(&b, out)
		want := []Outcome{
			{Logps: [2]float64{-1, -2}, Tokens: [2]int{2, 1}, Length: 4 + 3, Entropy: 111, Correct: 1},
			{Logps: [2]float64{-3, 0}, Tokens: [2]int{1, 0}, Length: 2, Entropy: 5, Correct: 1},
			{Logps: [2]float64{-4, 0}, Tokens: [2]int{3, 0}, Length: 5, Entropy: 0.875, Correct: 2},
			{Logps: [2]float64{-5, -7}, Tokens: [2]int{2, 3}, Length: 9, Entropy: 63, Correct: 1, Middle: []float64{-6}, MiddleTokens: 1},
		}
		if kl != nil {
			want[0].KL, want[2].KL[0], want[3].KL = [2]float64{0.5, 0.25}, 2, [2]float64{3, 4}
		}
		if !reflect.DeepEqual(o.List, want) {
			t.Errorf("got  %+v\nwant %+v", o.List, want)
		}
	}
}
