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
	steps   int // applied
	skipped int
	norms   float64
	rate    float64
	took    time.Duration // by the steps alone: an evaluation or a checkpoint between them is no part of their speed
}

func newInterval(l loss.Loss) *interval {
	return &interval{tally: eval.NewTally(l)}
}

// add counts a step.
func (v *interval) add(s step) {
	v.took += s.took
	if s.skipped {
		v.skipped++
		return
	}
	v.tally.Merge(s.tally)
	v.steps++
	v.norms += s.norm
	v.rate = s.rate
}

// detail is the text beside the progress bar. It has fewer digits than the console line, for want of room.
func (v *interval) detail() string {
	if v.steps == 0 {
		return ""
	}
	s := fmt.Sprintf("loss %.2f", v.tally.Loss())
	if a, ok := v.tally.Accuracy(); ok {
		s += fmt.Sprintf(" accuracy %.2f", a)
	}
	if m, ok := v.tally.Margin(); ok {
		s += fmt.Sprintf(" margin %.2f", m)
	}
	switch speed := v.speed(); {
	case speed >= 10000:
		s += fmt.Sprintf(" %.0fk tokens/s", speed/1000)
	case speed > 0:
		s += fmt.Sprintf(" %.0f tokens/s", speed)
	}
	return s
}

// speed is tokens a second, 0 while that cannot be told.
func (v *interval) speed() float64 {
	s := v.took.Seconds()
	if s <= 0 {
		return 0
	}
	return float64(v.tally.Tokens()) / s
}

// words are loss, accuracy, margin and speed.
func (v *interval) words() []string {
	w := tallyWords(v.tally)
	if speed := v.speed(); speed > 0 {
		w = append(w, report.Count(int64(speed))+" tokens/s")
	}
	return w
}

// line is the console line: means over the steps since the last.
func (v *interval) line(step, total int, epoch float64) string {
	s := fmt.Sprintf("step %d/%d  epoch %.2f", step, total, epoch)
	if v.steps > 0 {
		s += fmt.Sprintf("  %s  grad_norm %.3g  learning_rate %.3g", strings.Join(v.words(), "  "), v.norms/float64(v.steps), v.rate)
	}
	if v.skipped > 0 {
		s += fmt.Sprintf("  %d skipped", v.skipped)
	}
	return s
}

func tallyWords(t *eval.Tally) []string {
	w := []string{fmt.Sprintf("loss %.4f", t.Loss())}
	if a, ok := t.Accuracy(); ok {
		tied := ""
		if t.AllTied() {
			tied = " (all tied)"
		}
		w = append(w, fmt.Sprintf("accuracy %.3f%s", a, tied))
	}
	if m, ok := t.Margin(); ok {
		w = append(w, fmt.Sprintf("margin %.3f", m))
	}
	return w
}

// summary is one line about an evaluation.
func summary(what string, t *eval.Tally) string {
	words := tallyWords(t)
	if in := t.Intervals(); len(in) > 0 && in[0].Metric == "rewards/accuracies" {
		words[1] += fmt.Sprintf(" (95 %%: %.3f to %.3f)", in[0].Low, in[0].High)
	}
	return what + ": " + strings.Join(words, "  ")
}
