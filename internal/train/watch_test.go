package train

import (
	"strings"
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
)

// watched is a step of n pairs whose sides moved by so many nats since the reference, with lengths in tokens.
func watched(t *testing.T, l loss.Loss, n int, pair func(i int) (chosen, rejected float64, nc, nr int)) *eval.Tally {
	t.Helper()
	var (
		b        loss.Batch
		r        loss.Result
		outcomes []eval.Outcome
	)
	for i := range n {
		chosen, rejected, nc, nr := pair(i)
		b.ChosenLogps, b.RejectedLogps = append(b.ChosenLogps, -50+chosen), append(b.RejectedLogps, -50+rejected)
		b.RefChosenLogps, b.RefRejectedLogps = append(b.RefChosenLogps, -50), append(b.RefRejectedLogps, -50)
		b.ChosenTokens, b.RejectedTokens = append(b.ChosenTokens, nc), append(b.RejectedTokens, nr)
		outcomes = append(outcomes, eval.Outcome{Logps: [2]float64{-50 + chosen, -50 + rejected}, Tokens: [2]int{nc, nr}, Length: nc + nr})
	}
	l.Compute(b, &r)
	tally := eval.NewTally(l)
	tally.Add(outcomes, &b, &r)
	return tally
}

func TestWatch(t *testing.T) {
	l, err := loss.New("dpo", nil)
	if err != nil {
		t.Fatal(err)
	}
	fine := func(i int) (float64, float64, int, int) { return 1 + float64(i%3), -3, 20 + i%5, 20 + i%7 }
	for _, tt := range []struct {
		name string
		pair func(i int) (chosen, rejected float64, nc, nr int)
		want string // a part of the only warning of three looks; empty: none
	}{
		{"fine", fine, ""},
		{"displacement", func(i int) (float64, float64, int, int) { return -4, -9 - float64(i%3), 20 + i%5, 20 + i%7 }, "in 100 % of the last 100 pairs"},
		{"chance", func(i int) (float64, float64, int, int) { return float64(i%2) - 0.5, 0, 20 + i%5, 20 + i%7 }, "which is chance"},
		{"long answers", func(i int) (float64, float64, int, int) { return float64(i % 9), -1, 20 + i%9, 20 }, "answer at length"},
		{"short answers", func(i int) (float64, float64, int, int) { return float64(i % 9), -1, 20, 20 + i%9 }, "answer briefly"},
		{"far away", func(i int) (float64, float64, int, int) { return 100, -150 - float64(i%3), 20 + i%5, 20 + i%7 }, "moved very far"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatch(l)
			var said []string
			for step := range 12 { // 50 pairs each: a look at every other step
				said = append(said, w.add(watched(t, l, 50, tt.pair), step+1, 12)...)
			}
			if tt.want == "" && len(said) > 0 || tt.want != "" && (len(said) != 1 || !strings.Contains(said[0], tt.want)) {
				t.Errorf("said %q, want %q once", said, tt.want)
			}
		})
	}
}

// TestWatchOnce: displacement that a second look does not confirm is passed over.
func TestWatchOnce(t *testing.T) {
	l, err := loss.New("dpo", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch(l)
	for step, chosen := range []float64{-4, 1, -4, 1} {
		if said := w.add(watched(t, l, 100, func(i int) (float64, float64, int, int) { return chosen, -9 - float64(i%3), 20 + i%5, 20 + i%7 }), step+1, 100); said != nil {
			t.Errorf("look %d: said %q", step, said)
		}
	}
}

// TestWatchSettled: pairs that pulled and no longer do.
func TestWatchSettled(t *testing.T) {
	l, err := loss.New("hinge", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch(l)
	before := w.add(watched(t, l, 100, func(i int) (float64, float64, int, int) { return 1, -1, 20 + i%5, 20 + i%7 }), 1, 10)
	after := w.add(watched(t, l, 100, func(i int) (float64, float64, int, int) { return 8, -9 - float64(i%3), 20 + i%5, 20 + i%7 }), 2, 10)
	if len(before) != 0 || len(after) != 1 || !strings.Contains(after[0], "the pairs are settled") {
		t.Errorf("before %q, after %q", before, after)
	}
}

// TestWatchUnpaired: rows with labels have margins, and are not watched.
func TestWatchUnpaired(t *testing.T) {
	l, err := loss.New("apo_zero_unpaired", nil)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []eval.Outcome
	b, r := loss.Batch{}, loss.Result{}
	for i := range 200 {
		moved := 1000 * float64(1-2*(i%2))
		b.ChosenLogps, b.RefChosenLogps = append(b.ChosenLogps, moved), append(b.RefChosenLogps, 0)
		b.ChosenTokens, b.Desirable = append(b.ChosenTokens, 5), append(b.Desirable, i%2 == 0)
		label := data.Desirable
		if i%2 == 1 {
			label = data.Undesirable
		}
		outcomes = append(outcomes, eval.Outcome{Logps: [2]float64{moved, 0}, Tokens: [2]int{5, 0}, Length: 9, Label: label})
	}
	l.Compute(b, &r)
	tally := eval.NewTally(l)
	tally.Add(outcomes, &b, &r)
	if margin, ok := tally.Margin(); !ok || margin < 20 {
		t.Fatalf("margin %v, %v; the test wants a large one", margin, ok)
	}
	if said := newWatch(l).add(tally, 1, 1); said != nil {
		t.Errorf("said %q", said)
	}
}
