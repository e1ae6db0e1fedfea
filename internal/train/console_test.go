package train

import (
	"testing"
	"time"

	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
)

// TestConsoleLine: the line is the mean over the examples and steps since the last, and its speed is that of the steps.
func TestConsoleLine(t *testing.T) {
	l, err := loss.New("dpo", loss.Settings{"beta": 0.1})
	if err != nil {
		t.Fatal(err)
	}
	// A step of the given examples, all with the same loss: 100 tokens each, a margin of 5 nats if they win, of -5 else.
	taken := func(losses []float64, wins bool, norm, rate float64, took time.Duration) step {
		var (
			outcomes []eval.Outcome
			b        loss.Batch
		)
		chosen, rejected := -5.0, -10.0
		if !wins {
			chosen, rejected = rejected, chosen
		}
		for range losses {
			outcomes = append(outcomes, eval.Outcome{Logps: [2]float64{chosen, rejected}, Tokens: [2]int{1, 1}, Length: 100})
			b.ChosenLogps, b.RejectedLogps = append(b.ChosenLogps, chosen), append(b.RejectedLogps, rejected)
			b.RefChosenLogps, b.RefRejectedLogps = append(b.RefChosenLogps, -7), append(b.RefRejectedLogps, -7)
			b.ChosenTokens, b.RejectedTokens = append(b.ChosenTokens, 1), append(b.RejectedTokens, 1)
		}
		zeros := make([]float64, len(losses))
		s := step{tally: eval.NewTally(l), norm: norm, rate: rate, took: took}
		s.tally.Add(outcomes, &b, &loss.Result{Losses: losses, DChosenLogps: zeros, DRejectedLogps: zeros})
		return s
	}
	skipped := func(took time.Duration) step {
		return step{tally: eval.NewTally(l), rate: 9, took: took, skipped: true}
	}
	for _, tt := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"one step", []step{taken([]float64{0.5, 0.7}, true, 2, 1e-3, time.Second)},
			"step 7/9  epoch 0.50  loss 0.6000  accuracy 1.000  margin 0.500  200 tokens/s  grad_norm 2  learning_rate 0.001"},
		// (0.5 + 0.7 + 0.7 + 0.9 + 0.8) / 5; three of five lose; 500 tokens in 4 s; norms count by step.
		{"a second with more examples", []step{taken([]float64{0.5, 0.7}, true, 2, 1e-3, time.Second), taken([]float64{0.7, 0.9, 0.8}, false, 3, 5e-4, 3*time.Second)},
			"step 7/9  epoch 0.50  loss 0.7200  accuracy 0.400  margin -0.100  125 tokens/s  grad_norm 2.5  learning_rate 0.0005"},
		{"one of two skipped", []step{taken([]float64{0.5, 0.7}, true, 2, 1e-3, time.Second), skipped(time.Second)},
			"step 7/9  epoch 0.50  loss 0.6000  accuracy 1.000  margin 0.500  100 tokens/s  grad_norm 2  learning_rate 0.001  1 skipped"},
		{"all skipped", []step{skipped(time.Second), skipped(time.Second)}, "step 7/9  epoch 0.50  2 skipped"},
	} {
		v := newInterval(l)
		for _, s := range tt.steps {
			v.add(s)
		}
		if got := v.line(7, 9, 0.5); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, got, tt.want)
		}
	}
}
