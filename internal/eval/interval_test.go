package eval

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/score"
)

// TestWilson: the ends are where a share p is 1.96 standard deviations sqrt(p(1-p)/n) away from what was seen, which is how
// the interval is defined. By hand, 8 of 10 with z^2 = 3.8416: (0.8 + 0.19208 +- 1.96 sqrt(0.016 + 0.009604)) / 1.38416 = 0.7167 +- 0.2266.
func TestWilson(t *testing.T) {
	for _, tt := range []struct {
		hits, n   int
		low, high string // four digits; empty: the definition alone
	}{
		{8, 10, "0.4902", "0.9433"}, {0, 10, "0.0000", "0.2775"}, {10, 10, "0.7225", "1.0000"}, {1, 2, "0.0945", "0.9055"}, {0, 0, "0.0000", "1.0000"},
		{94, 100, "", ""}, {1, 1000000, "", ""}, {500, 1000, "", ""}, {999, 1000, "", ""},
	} {
		low, high := Wilson(tt.hits, tt.n)
		if tt.low != "" && (fmt.Sprintf("%.4f", low) != tt.low || fmt.Sprintf("%.4f", high) != tt.high) {
			t.Errorf("%d of %d: %.4f to %.4f, want %s to %s", tt.hits, tt.n, low, high, tt.low, tt.high)
		}
		for _, p := range []float64{low, high} {
			if p == 0 || p == 1 {
				continue
			}
			seen := float64(tt.hits) / float64(tt.n)
			if away := math.Abs(seen-p) / math.Sqrt(p*(1-p)/float64(tt.n)); math.Abs(away-1.959964) > 1e-5 {
				t.Errorf("%d of %d: %v is %v standard deviations away, want 1.959964", tt.hits, tt.n, p, away)
			}
		}
		if seen := float64(tt.hits) / float64(tt.n); seen < low || seen > high {
			t.Errorf("%d of %d is outside of %v to %v", tt.hits, tt.n, low, high)
		}
	}
}

// TestMetrics: the table of metrics is what a tally of any loss gives, in that order, with a reference and, where the loss needs none, without.
func TestMetrics(t *testing.T) {
	said := slices.Clone(outcomes[:2])
	for i := range said {
		said[i].Numbers = &data.Numbers{ChosenScore: 2, RejectedScore: 1, ChosenWins: 0.7, RejectedWins: 0.3, Weight: 1}
		said[i].Label = []data.Label{data.Desirable, data.Undesirable}[i]
	}
	for _, name := range append(loss.Names(), "sft=1,dpo=0.5", "sft=2") {
		l := newLoss(t, name)
		for _, refs := range [][]score.Logps{references[:2], nil} {
			needs := l.Needs()
			if refs == nil && needs.Reference {
				continue
			}
			needs.Reference = refs != nil
			var got, want []string
			tally := NewTally(l)
			add(tally, l, said, refs)
			for _, m := range tally.Metrics(nil, "") {
				got = append(got, m.Name)
			}
			for _, m := range MetricsOf(needs)[1:] { // loss is not among a tally's
				want = append(want, m.Name)
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%s, reference %v: a tally has %v, the table %v", name, refs != nil, got, want)
			}
		}
		for _, in := range NewTally(l).Intervals() {
			if m, ok := Find(in.Metric); !ok || m.Unit != share || !m.Of(l.Needs()) {
				t.Errorf("%s: an interval for %s, which is no share of its pairs", name, in.Metric)
			}
		}
	}
}
