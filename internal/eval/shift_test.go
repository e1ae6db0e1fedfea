package eval

import (
	"math"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/loss"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
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
		if want := "moved since the reference: chosen answers by -0.158 nats a token, rejected by -0.0952 nats a token; in 17 % of the pairs both fell"; !ok || !strings.Contains(sentence, want) {
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

// TestShiftsUnpaired is unpaired rows worked by hand: two desirable ones, which moved by 2 and -4 nats and have 4 and 6 tokens, and two
// undesirable ones, by -1 and -3 with 5 and 3. In a pair of one each the margins are 3, 5, -3, -1 and the desirable rows longer by -1, 1, 1, 3.
func TestShiftsUnpaired(t *testing.T) {
	l := newLoss(t, "apo_zero_unpaired")
	b := loss.Batch{ChosenLogps: []float64{-8, -11, -14, -13}, RefChosenLogps: []float64{-10, -10, -10, -10}, ChosenTokens: []int{4, 5, 6, 3}, Desirable: []bool{true, false, true, false}}
	counted := func(from, to int) *Tally {
		part := b.Part(from, to)
		r := loss.Result{Losses: make([]float64, to-from), DChosenLogps: []float64{-0.25, 0.5, -0.75, 1}[from:to], DRejectedLogps: make([]float64, to-from)}
		tally := NewTally(l)
		tally.Add(make([]Outcome, to-from), &part, &r)
		return tally
	}
	whole, merged := counted(0, 4), counted(0, 1)
	for i := 1; i < 4; i++ {
		merged.Merge(counted(i, i+1))
	}
	// Around the mean margin of 1 and the mean length of 1: 2 -2, 4 0, -4 0, -2 2.
	correlation := (-4.0 - 4) / math.Sqrt((4+16+16+4)*(4+4))
	for name, tally := range map[string]*Tally{"whole": whole, "merged": merged} {
		row := tally.Metrics(report.Row{}, "")
		for metric, want := range map[string]float64{
			"shift/chosen": -1, "shift/rejected": -2, "shift/chosen_per_token": -0.2, "shift/rejected_per_token": -0.5, "displacement/chosen_fell": 0.5, "displacement/rejected_fell": 1,
			"grad/coef_chosen": 0.5, "grad/coef_rejected": 0.75, "length/margin_correlation": correlation,
		} {
			if got, ok := row.Value(metric); !ok || math.Abs(got-want) > 1e-14 {
				t.Errorf("%s: %s is %v, %v; want %v", name, metric, got, ok, want)
			}
		}
		for _, none := range []string{"displacement/rate", "displacement/unmoved"} {
			if _, ok := row.Value(none); ok {
				t.Errorf("%s: there is %s, of unpaired rows", name, none)
			}
		}
		// Variances 9 and 1 of two rows each: the error of the difference is sqrt(9/1 + 1/1).
		if nats, deviation, ok := tally.Shifts().Apart(); !ok || nats != 1 || math.Abs(deviation-math.Sqrt(10)) > 1e-14 {
			t.Errorf("%s: apart by %v, %v, %v", name, nats, deviation, ok)
		}
		if sentence, ok := tally.Verdict(); !ok || sentence != "moved since the reference: desirable completions by -0.2 nats a token, undesirable ones by -0.5 nats a token" {
			t.Errorf("%s: verdict %q, %v", name, sentence, ok)
		}
	}
	alone := counted(1, 2) // an undesirable row
	row := alone.Metrics(report.Row{}, "")
	for metric, want := range map[string]bool{"shift/chosen": false, "shift/rejected": true, "grad/coef_chosen": false, "grad/coef_rejected": true, "length/margin_correlation": false} {
		if v, ok := row.Value(metric); ok != want || v != v {
			t.Errorf("of one undesirable row: %s %v, %v", metric, v, ok)
		}
	}
	if sentence, ok := alone.Verdict(); !ok || sentence != "moved since the reference: undesirable ones by -0.2 nats a token" {
		t.Errorf("of one undesirable row: verdict %q, %v", sentence, ok)
	}
	if _, _, ok := alone.Shifts().Apart(); ok {
		t.Error("one row is apart from none")
	}
}

// TestShiftsMonitored: of a loss without a reference there are coefficients, and with a reference shifts; single completions have one side.
func TestShiftsMonitored(t *testing.T) {
	for _, tt := range []struct {
		loss   string
		refs   bool
		want   []string // of shift, displacement, grad and length
		moved  string   // the verdict; empty: none
		chosen float64  // shift/chosen
	}{
		{"simpo", false, []string{"grad/coef_chosen", "grad/coef_rejected"}, "", 0},
		{"sft", false, nil, "", 0},
		{"sft", true, []string{"shift/chosen", "shift/chosen_per_token", "displacement/chosen_fell"}, "moved since the reference: completions by +0 nats a token", 0},
	} {
		l := newLoss(t, tt.loss)
		var refs []score.Logps
		if tt.refs {
			refs = references
		}
		tally := NewTally(l)
		add(tally, l, outcomes, refs) // chosen sides moved by 1, 1 and -2
		var got []string
		row := tally.Metrics(report.Row{}, "")
		for _, m := range row {
			if slices.Contains([]string{"shift", "displacement", "grad", "length"}, strings.Split(m.Name, "/")[0]) {
				got = append(got, m.Name)
			}
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s, reference %v: %q, want %q", tt.loss, tt.refs, got, tt.want)
		}
		if v, _ := row.Value("shift/chosen"); v != tt.chosen {
			t.Errorf("%s: shift/chosen %v, want %v", tt.loss, v, tt.chosen)
		}
		if sentence, ok := tally.Verdict(); ok != (tt.moved != "") || sentence != tt.moved {
			t.Errorf("%s: verdict %q, want %q", tt.loss, sentence, tt.moved)
		}
	}
}
