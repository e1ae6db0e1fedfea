package report

import (
	"slices"
	"testing"
)

func TestHistogram(t *testing.T) {
	for _, c := range []struct {
		name    string
		lengths []int
		mean    float64
		want    []int // of the shares 0, 0.5, 0.9, 0.99, 1
	}{
		{"one", []int{7}, 7, []int{7, 7, 7, 7, 7}},
		{"two", []int{5, 3}, 4, []int{3, 3, 5, 5, 5}},                   // half of two is one
		{"three", []int{3, 1, 1}, 5.0 / 3, []int{1, 1, 3, 3, 3}},        // half of three is two, rounded up
		{"no length", []int{0, 0, 0, 4}, 1, []int{0, 0, 4, 4, 4}},       // 0.9 of four is four
		{"1 to 200", upTo(200), 100.5, []int{1, 100, 180, 198, 200}},    // once each
		{"1 to 1000", upTo(1000), 500.5, []int{1, 500, 900, 990, 1000}}, // 0.99 * 1000 is 990 in float64 too
	} {
		var h Histogram
		for _, length := range c.lengths {
			h.Add(length)
		}
		if got := h.Quantiles(0, 0.5, 0.9, 0.99, 1); !slices.Equal(got, c.want) || h.Mean() != c.mean || h.Count() != len(c.lengths) {
			t.Errorf("%s: %v, mean %v of %d, want %v, mean %v", c.name, got, h.Mean(), h.Count(), c.want, c.mean)
		}
	}
}

// upTo are the numbers from n down to 1.
func upTo(n int) (all []int) {
	for ; n > 0; n-- {
		all = append(all, n)
	}
	return all
}
