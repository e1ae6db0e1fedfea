package eval

import (
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// TestTallyUnpaired: two desirable rows and an undesirable one, log-ratios 2, -4 and 3, beta 0.1; the mismatched rows' are 6, -1 and 1, and
// z is 2. rewards/chosen is 0.1 (2-4)/2 = -0.1, rewards/rejected 0.3, the means of log-probs (-10-20)/2 and -30. In parts, of which one has no
// undesirable row, the sums are the same.
func TestTallyUnpaired(t *testing.T) {
	l := newLoss(t, "kto")
	rows := []Outcome{
		{Logps: [2]float64{-10, -50}, Tokens: [2]int{2}, Length: 5, Entropy: 3, Correct: 1, Label: data.Desirable},
		{Logps: [2]float64{-20, -60}, Tokens: [2]int{4}, Length: 7, Entropy: 6, Correct: 2, Label: data.Desirable},
		{Logps: [2]float64{-30, -70}, Tokens: [2]int{6}, Length: 9, Entropy: 3, Correct: 3, Label: data.Undesirable},
	}
	refs := []score.Logps{{Sums: []float64{-12, -56}}, {Sums: []float64{-16, -59}}, {Sums: []float64{-33, -71}}}
	var (
		b loss.Batch
		r loss.Result
	)
	counted := func(from, to int) *Tally {
		LossBatch(&b, l, rows[from:to], refs[from:to])
		for i, o := range rows { // those of the whole step
			b.MismatchedLogps, b.RefMismatchedLogps = append(b.MismatchedLogps, o.Logps[1]), append(b.RefMismatchedLogps, refs[i].Sums[1])
		}
		l.Compute(b, &r)
		tally := NewTally(l)
		tally.Add(rows[from:to], &b, &r)
		return tally
	}
	all := []want{
		{"rewards/chosen", -0.1}, {"rewards/rejected", 0.3}, {"rewards/margins", -0.4}, {"logps/chosen", -15}, {"logps/rejected", -30}, {"kl", 2}, {"entropy", 1}, {"mean_token_accuracy", 0.5},
	}
	whole := counted(0, 3)
	checkRow(t, "whole", whole.Metrics(nil, ""), all)
	if _, ok := whole.Accuracy(); ok || whole.AllTied() || whole.Tokens() != 21 || len(whole.Intervals()) != 0 {
		t.Errorf("accuracy %v, all tied %v, %d tokens, intervals %v", ok, whole.AllTied(), whole.Tokens(), whole.Intervals())
	}
	part := counted(0, 2)
	checkRow(t, "desirable alone", part.Metrics(nil, ""), []want{{"rewards/chosen", -0.1}, {"logps/chosen", -15}, {"kl", 2}, {"entropy", 1.5}, {"mean_token_accuracy", 0.5}})
	if _, ok := part.Margin(); ok {
		t.Error("a margin of one kind alone")
	}
	part.Merge(counted(2, 3))
	checkRow(t, "merged", part.Metrics(nil, ""), all)

	e := &Evaluation{Tally: whole, outcomes: rows}
	LossBatch(&e.batch, l, rows, refs)
	e.result.Losses = []float64{1, 2, 3}
	for i, w := range []string{
		`{"loss": 1, "rewards/chosen": 0.2, "logps/chosen": -10, "ref_logps/chosen": -12, "tokens/chosen": 2}`,
		`{"loss": 2, "rewards/chosen": -0.4, "logps/chosen": -20, "ref_logps/chosen": -16, "tokens/chosen": 4}`,
		`{"loss": 3, "rewards/rejected": 0.30000000000000004, "logps/rejected": -30, "ref_logps/rejected": -33, "tokens/rejected": 6}`,
	} {
		if got := string(report.Row(e.Row(i)).JSON()); got != w {
			t.Errorf("row %d: %s, want %s", i, got, w)
		}
	}
}
