package report

import (
	"maps"
	"slices"
)

// Histogram counts lengths, for percentiles of many without keeping each: its size is the number of different ones. The zero value is empty.
type Histogram struct {
	counts map[int]int
	n, sum int
}

// Add takes in a length.
func (h *Histogram) Add(length int) {
	if h.counts == nil {
		h.counts = map[int]int{}
	}
	h.counts[length]++
	h.n++
	h.sum += length
}

// Count is how many lengths there are.
func (h *Histogram) Count() int { return h.n }

// Mean is that of at least one length.
func (h *Histogram) Mean() float64 { return float64(h.sum) / float64(h.n) }

// Quantiles are, for shares of all from 0 to 1 that ascend, the smallest lengths that so many, rounded up, do not exceed: of 0 the least, of 1 the most. It panics
// if there are no lengths.
func (h *Histogram) Quantiles(shares ...float64) []int {
	if h.n == 0 {
		panic("report: quantiles of nothing")
	}
	var found []int
	below := 0
	for _, length := range slices.Sorted(maps.Keys(h.counts)) {
		below += h.counts[length]
		for len(found) < len(shares) && float64(below) >= shares[len(found)]*float64(h.n) {
			found = append(found, length)
		}
	}
	return found
}
