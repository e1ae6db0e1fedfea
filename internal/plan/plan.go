// Package plan says how an optimizer step is cut into micro-batches.
package plan

// Range is the examples [From, To) of a step.
type Range struct{ From, To int }

// Cut puts consecutive examples together as long as their rows sum to at most budget; an example with more rows is a
// micro-batch of its own. The cut is a function of rows and budget alone, so that a run repeats elsewhere.
func Cut(rows []int, budget int) []Range {
	var cut []Range
	sum := 0
	for i, n := range rows {
		if i == 0 || sum+n > budget {
			cut = append(cut, Range{From: i})
			sum = 0
		}
		sum += n
		cut[len(cut)-1].To = i + 1
	}
	return cut
}
