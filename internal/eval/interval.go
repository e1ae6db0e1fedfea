package eval

import "math"

// Interval is a share with the interval that it lies in with a probability of 95 %, were the examples drawn at random.
type Interval struct {
	Metric    string // whose it is
	Low, High float64
}

// Intervals are those of the metrics that are shares of the examples. Ties count for no side: they are not among the hits.
// Where all are ties the rewards say nothing, and have no interval.
func (t *Tally) Intervals() []Interval {
	var list []Interval
	add := func(metric string, hits int) {
		low, high := Wilson(hits, t.examples)
		list = append(list, Interval{metric, low, high})
	}
	if t.loss.Needs().Rejected {
		if !t.AllTied() {
			add("rewards/accuracies", t.wins)
		}
		add("logps/accuracies", t.likelier)
	}
	return list
}

// Wilson is Wilson's score interval at 95 % for hits out of n (E. B. Wilson 1927). Unlike the textbook's p +- 2 sd it holds for
// few examples and near 0 and 1, where a good model's accuracy is.
func Wilson(hits, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // of the normal distribution, 2.5 % above
	N := float64(n)
	p := float64(hits) / N
	middle := (p + z*z/(2*N)) / (1 + z*z/N)
	half := z / (1 + z*z/N) * math.Sqrt(p*(1-p)/N+z*z/(4*N*N))
	low, high = max(0, middle-half), min(1, middle+half)
	if hits == 0 { // where rounding would leave a trace
		low = 0
	}
	if hits == n {
		high = 1
	}
	return low, high
}
