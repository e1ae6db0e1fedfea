package train

import (
	"encoding/json"
	"slices"
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
				said = append(said, w.add(watched(t, l, 50, tt.pair), step+2, 13)...)
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
		if said := w.add(watched(t, l, 100, func(i int) (float64, float64, int, int) { return chosen, -9 - float64(i%3), 20 + i%5, 20 + i%7 }), step+2, 100); said != nil {
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

// watchedRows are a step of n unpaired rows, every other one desirable, that moved by so many nats since the reference.
func watchedRows(t *testing.T, l loss.Loss, n int, row func(i int) (moved float64, tokens int)) *eval.Tally {
	t.Helper()
	var (
		b        loss.Batch
		r        loss.Result
		outcomes []eval.Outcome
	)
	for i := range n {
		moved, tokens := row(i)
		label := []data.Label{data.Desirable, data.Undesirable}[i%2]
		b.ChosenLogps, b.RefChosenLogps = append(b.ChosenLogps, -50+moved), append(b.RefChosenLogps, -50)
		b.ChosenTokens, b.Desirable = append(b.ChosenTokens, tokens), append(b.Desirable, label == data.Desirable)
		outcomes = append(outcomes, eval.Outcome{Logps: [2]float64{-50 + moved, 0}, Tokens: [2]int{tokens, 0}, Length: tokens, Label: label})
	}
	l.Compute(b, &r)
	tally := eval.NewTally(l)
	tally.Add(outcomes, &b, &r)
	return tally
}

// TestWatchUnpaired: the rows of the two labels are looked at as the two sides of pairs are. sign is 1 for a desirable row, -1 for another.
func TestWatchUnpaired(t *testing.T) {
	l := newLoss(t, "apo_zero_unpaired")
	for _, tt := range []struct {
		name string
		row  func(i int, sign float64) (moved float64, tokens int)
		want string
	}{
		{"fine", func(i int, sign float64) (float64, int) { return sign * float64(1+i%5), 20 + i%7 }, ""},
		{"displacement", func(i int, sign float64) (float64, int) { return -6 + 2*sign + float64(i%3), 20 + i%7 }, "desirable completions become less probable together with undesirable ones: by 0.13 and 0.3"},
		{"undesirable alone", func(i int, sign float64) (float64, int) { return 3*sign - 2 + float64(i%3), 20 + i%7 }, ""},
		{"chance", func(i int, sign float64) (float64, int) { return float64(i%5) - 2, 20 + i%7 }, "rewards/margins is 0 over the last 100 rows, no further from 0 than chance alone"},
		{"unmoved", func(i int, sign float64) (float64, int) { return 0, 20 + i%7 }, ""},
		{"long completions", func(i int, sign float64) (float64, int) { return sign + float64(i/2%9), 20 + i/2%9 }, "over the last 100 rows their correlation with how much longer desirable completions are than undesirable ones comes to 1.00, so the model may learn to answer at length"},
		{"short completions", func(i int, sign float64) (float64, int) { return sign + float64(i/2%9), 40 - i/2%9 }, "answer briefly; balance the completions' lengths"},
		{"far away", func(i int, sign float64) (float64, int) { return 150*sign + float64(i%3), 20 + i%7 }, "rewards/margins is 30: the policy has moved very far"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWatch(l)
			var said []string
			for step := range 12 {
				said = append(said, w.add(watchedRows(t, l, 50, func(i int) (float64, int) { return tt.row(i, float64(1-2*(i%2))) }), step+2, 13)...)
			}
			if tt.want == "" && len(said) > 0 || tt.want != "" && (len(said) != 1 || !strings.Contains(said[0], tt.want)) {
				t.Errorf("said %q, want %q once", said, tt.want)
			}
		})
	}
	t.Run("settled", func(t *testing.T) {
		w := newWatch(l)
		before := w.add(watchedRows(t, l, 100, func(i int) (float64, int) { return 1 - 2*float64(i%2), 20 + i%7 }), 2, 10)
		after := w.add(watchedRows(t, l, 100, func(i int) (float64, int) { return 90 * (1 - 2*float64(i%2)), 20 + i%7 }), 3, 10)
		if len(before) != 0 || len(after) != 1 || !strings.Contains(after[0], "the rows are settled") {
			t.Errorf("before %q, after %q", before, after)
		}
	})
}

// TestWatchMonitored: losses that need no reference are watched where they are monitored against one.
func TestWatchMonitored(t *testing.T) {
	for _, tt := range []struct {
		name, loss string
		pair       func(i int) (chosen, rejected float64, nc, nr int)
		want       string
	}{
		{"fine", "simpo", func(i int) (float64, float64, int, int) { return 1 + float64(i%3), -3, 20 + i%5, 20 + i%7 }, ""},
		{"displacement", "simpo", func(i int) (float64, float64, int, int) { return -4, -9 - float64(i%3), 20 + i%5, 20 + i%7 }, "train for fewer epochs, or add sft to the loss"},
		{"long answers", "simpo", func(i int) (float64, float64, int, int) { return float64(i % 9), -1, 20 + i%9, 20 }, "answer at length; balance the pairs' lengths"},
		{"far away, and no reward says so", "simpo", func(i int) (float64, float64, int, int) { return 100, -150 - float64(i%3), 20 + i%5, 20 + i%7 }, ""},
		{"fine", "sft", func(i int) (float64, float64, int, int) { return 3, 0, 20, 0 }, ""},
		{"displacement", "sft", func(i int) (float64, float64, int, int) { return -3, 0, 20, 0 }, "completions become less probable, and the loss is to make them more so: by 0.15 nats a token"},
	} {
		t.Run(tt.loss+" "+tt.name, func(t *testing.T) {
			l := newLoss(t, tt.loss)
			w := newWatch(l)
			var said []string
			for step := range 12 {
				said = append(said, w.add(watched(t, l, 50, tt.pair), step+2, 13)...)
			}
			if tt.want == "" && len(said) > 0 || tt.want != "" && (len(said) != 1 || !strings.Contains(said[0], tt.want)) {
				t.Errorf("said %q, want %q once", said, tt.want)
			}
		})
	}
}

// TestWatchReference: a policy that is far from its reference before the first update is told of, once, and in the first step alone.
func TestWatchReference(t *testing.T) {
	l := newLoss(t, "dpo")
	near := func(i int) (float64, float64, int, int) { return 1, -1, 20, 20 }
	away := func(i int) (float64, float64, int, int) { return 1, -3, 20, 20 }
	for _, tt := range []struct {
		step int
		pair func(i int) (chosen, rejected float64, nc, nr int)
		want string
	}{{1, near, ""}, {1, away, "already 0.15 nats a token away from ref_model"}, {2, away, ""}} {
		w := newWatch(l)
		said := append(w.add(watched(t, l, 8, tt.pair), tt.step, 100), w.add(watched(t, l, 8, tt.pair), tt.step+1, 100)...)
		if tt.want == "" && len(said) > 0 || tt.want != "" && (len(said) != 1 || !strings.Contains(said[0], tt.want)) {
			t.Errorf("step %d: said %q, want %q", tt.step, said, tt.want)
		}
	}
	o := tiny(t)
	o.MaxSteps, o.RefModel = 1, scaled(t, o.Model, 1.5)
	contains(t, mustRun(t, o).stderr, "before the first update the policy is already")
}

// TestWatchResume: a run that stops and goes on says what one says that does not, and nothing twice.
func TestWatchResume(t *testing.T) {
	l := newLoss(t, "dpo")
	steps := func(step int) *eval.Tally { // displaced, long answers, far away; settled in the end
		by := float64(1 + step*step)
		return watched(t, l, 40, func(i int) (float64, float64, int, int) { return -3 + float64(i%9), -9 - by, 20 + i%9, 20 })
	}
	const total = 20
	var want []string
	w := newWatch(l)
	for step := range total {
		want = append(want, w.add(steps(step), step+1, total)...)
	}
	if len(want) < 3 {
		t.Fatalf("said %q; the test wants more", want)
	}
	for stop := range total {
		var got []string
		w := newWatch(l)
		for step := range total {
			got = append(got, w.add(steps(step), step+1, total)...)
			if step == stop {
				text, err := json.Marshal(w.watchState)
				if err != nil {
					t.Fatal(err)
				}
				w = newWatch(l)
				if err := json.Unmarshal(text, &w.watchState); err != nil {
					t.Fatal(err)
				}
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("stopped after step %d it says\n%q\nwant\n%q", stop+1, got, want)
		}
	}

	// A whole run, and what it keeps in its checkpoints.
	o := tiny(t)
	o.Data, o.RefModel = head(t, o.Data, 8), scaled(t, o.Model, 1.5)
	o.LearningRate, o.NumTrainEpochs, o.LoggingSteps = 1e-2, 60, 1
	warnings := func(r outcome) (list []string) {
		for line := range strings.Lines(r.stderr) {
			if _, text, ok := strings.Cut(line, "WRN "); ok && !strings.Contains(text, ".jsonl") {
				list = append(list, text)
			}
		}
		return list
	}
	want = warnings(mustRun(t, o))
	if len(want) < 2 {
		t.Fatalf("the run says %q; the test wants two warnings or more", want)
	}
	for _, stop := range []int{1, 33, 110} {
		o := elsewhere(t, o)
		got := warnings(mustStop(t, o, stop))
		o.ResumeFromCheckpoint = "latest"
		if got = append(got, warnings(mustRun(t, o))...); !slices.Equal(got, want) {
			t.Errorf("stopped after step %d the run says %q, want %q", stop, got, want)
		}
	}
}
