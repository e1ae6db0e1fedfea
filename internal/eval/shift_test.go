package eval

import (
	"math"
	"strings"
	"testing"

	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

// TestShifts is pairs worked by hand, at least one in each quadrant, and one that does not move. lw, ll and lengths:
//
//	chosen up, rejected down:  2 -1   4 2
//	both down:                -1 -3   3 5
//	both up:                   1  2   2 2
//	chosen down, rejected up: -2  1   1 4
//	unmoved:                   0  0   6 6
//	both down, chosen more:   -3 -1   3 2
//
// Displaced is the second alone. The margins are 3, 2, -1, -3, 0, -2, the chosen sides longer by 2, -2, 0, -3, 0, 1.
func TestShifts(t *testing.T) {
	l, err := loss.New("dpo", loss.Settings{"beta": 1.0})
	if err != nil {
		t.Fatal(err)
	}
	b := loss.Batch{
		ChosenLogps: []float64{-8, -11, -9, -12, -10, -13}, RejectedLogps: []float64{-11, -13, -8, -9, -10, -11},
		RefChosenLogps: []float64{-10, -10, -10, -10, -10, -10}, RefRejectedLogps: []float64{-10, -10, -10, -10, -10, -10},
		ChosenTokens: []int{4, 3, 2, 1, 6, 3}, RejectedTokens: []int{2, 5, 2, 4, 6, 2},
	}
	outcomes := make([]Outcome, b.Len())
	for i := range outcomes {
		outcomes[i] = Outcome{Logps: [2]float64{b.ChosenLogps[i], b.RejectedLogps[i]}, Tokens: [2]int{b.ChosenTokens[i], b.RejectedTokens[i]}, Length: 20}
	}
	var r loss.Result
	l.Compute(b, &r)
	whole, merged := NewTally(l), NewTally(l)
	whole.Add(outcomes, &b, &r)
	for i := range outcomes {
		one, part := NewTally(l), b.Part(i, i+1)
		l.Compute(part, &r)
		one.Add(outcomes[i:i+1], &part, &r)
		merged.Merge(one)
	}
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	coef := (s(-3) + s(-2) + s(1) + s(3) + s(0) + s(2)) / 6
	// Sums: h -1, longer -2, h^2 27, longer^2 18, products 6-4+9-2 = 9.
	correlation := (9 - 2.0/6) / math.Sqrt((27-1.0/6)*(18-4.0/6))
	for name, tally := range map[string]*Tally{"whole": whole, "merged": merged} {
		row := tally.Metrics(report.Row{}, "")
		for metric, want := range map[string]float64{
			"shift/chosen": -0.5, "shift/rejected": -2.0 / 6, "shift/chosen_per_token": -3.0 / 19, "shift/rejected_per_token": -2.0 / 21,
			"displacement/chosen_fell": 0.5, "displacement/rejected_fell": 0.5, "displacement/rate": 1.0 / 6,
			"displacement/chosen_up_rejected_down": 1.0 / 6, "displacement/both_down": 2.0 / 6, "displacement/both_up": 1.0 / 6,
			"displacement/chosen_down_rejected_up": 1.0 / 6, "displacement/unmoved": 1.0 / 6,
			"grad/coef_chosen": coef, "grad/coef_rejected": coef, "length/margin_correlation": correlation,
		} {
			if got, ok := row.Value(metric); !ok || math.Abs(got-want) > 1e-14 {
				t.Errorf("%s: %s is %v, %v; want %v", name, metric, got, ok, want)
			}
		}
		sentence, ok := tally.Verdict()
		if want := "chosen answers moved by -0.158 nats a token, rejected by -0.0952 nats a token; in 17 % of the pairs both fell"; !ok || !strings.Contains(sentence, want) {
			t.Errorf("%s: verdict %q, %v", name, sentence, ok)
		}
	}
}

// TestShiftsUnmoved: before training there is nothing to say, and no correlation.
func TestShiftsUnmoved(t *testing.T) {
	l, err := loss.New("dpo", nil)
	if err != nil {
		t.Fatal(err)
	}
	b := loss.Batch{ChosenLogps: []float64{-5, -6}, RejectedLogps: []float64{-7, -8}, RefChosenLogps: []float64{-5, -6}, RefRejectedLogps: []float64{-7, -8},
		ChosenTokens: []int{2, 3}, RejectedTokens: []int{4, 1}}
	var r loss.Result
	l.Compute(b, &r)
	tally := NewTally(l)
	tally.Add([]Outcome{{Tokens: [2]int{2, 4}}, {Tokens: [2]int{3, 1}}}, &b, &r)
	if sentence, ok := tally.Verdict(); ok {
		t.Errorf("verdict %q", sentence)
	}
	row := tally.Metrics(report.Row{}, "")
	for metric, want := range map[string]float64{"displacement/unmoved": 1, "displacement/rate": 0, "length/margin_correlation": 0} {
		if v, ok := row.Value(metric); !ok || v != want {
			t.Errorf("%s is %v, %v; want %v", metric, v, ok, want)
		}
	}
}
