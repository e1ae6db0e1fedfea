// Package plan says how an optimizer step is cut into micro-batches, how much memory there is, and how a run's need of it adds up.
//
// It knows sizes alone: what a graph takes is counted by package model, and package train puts the parts of a run together.
package plan

import "iter"

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

// Size is how large a micro-batch is.
type Size struct {
	Rows   int // that are computed
	Scored int // of them: those that predict a scored token
	Length int // positions of the longest sequence
}

// Max is the larger of two sizes in each respect: what holds either.
func (s Size) Max(t Size) Size {
	return Size{max(s.Rows, t.Rows), max(s.Scored, t.Scored), max(s.Length, t.Length)}
}

// Largest is a size that holds every micro-batch of examples with the given sizes, cut in this order.
func Largest(sizes iter.Seq[Size], budget int) Size {
	var most, at Size
	for s := range sizes {
		if at.Rows+s.Rows > budget {
			at = Size{}
		}
		at = Size{at.Rows + s.Rows, at.Scored + s.Scored, max(at.Length, s.Length)}
		most = most.Max(at)
	}
	return most
}
