package train

import (
	"fmt"
	"strings"
	"time"

	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

// interval gathers what the console line says of the steps since the last.
type interval struct {
	tally   *eval.Tally
	steps   int
	norms   float64
	rate    float64
	started time.Time
}

func newInterval(l loss.Loss) *interval {
	return &interval{tally: eval.NewTally(l), started: time.Now()}
}

func (v *interval) add(norm, rate float64) {
	v.steps++
	v.norms += norm
	v.rate = rate
}

// detail is the text beside the progress bar.
func (v *interval) detail() string { return strings.Join(v.words(), " ") }

// words are loss, accuracy, margin and speed.
func (v *interval) words() []string {
	w := tallyWords(v.tally)
	if s := time.Since(v.started).Seconds(); s > 0 {
		w = append(w, report.Count(int64(float64(v.tally.Tokens())/s))+" tokens/s")
	}
	return w
}

// line is the console line: means over the steps since the last.
func (v *interval) line(step, total int, epoch float64) string {
	return fmt.Sprintf("step %d/%d  epoch %.2f  %s  grad_norm %.3g  learning_rate %.3g", step, total, epoch, strings.Join(v.words(), "  "), v.norms/float64(v.steps), v.rate)
}

func tallyWords(t *eval.Tally) []string {
	w := []string{fmt.Sprintf("loss %.4f", t.Loss())}
	if a, ok := t.Accuracy(); ok {
		m, _ := t.Margin()
		tied := ""
		if t.AllTied() {
			tied = " (all tied)"
		}
		w = append(w, fmt.Sprintf("accuracy %.3f%s", a, tied), fmt.Sprintf("margin %.3f", m))
	}
	return w
}

// summary is one line about an evaluation.
func summary(what string, t *eval.Tally) string {
	return what + ": " + strings.Join(tallyWords(t), "  ")
}
