package eval

import (
	"fmt"
	"math"

	"dpotrain/internal/loss"
)

// unmoved is how far, in nats, a completion's log-prob may be from the reference's and count as where it was.
const unmoved = 1e-6

// quadrants are what can become of the two sides of a pair, and the fifth that one of them did not move. Razin et al. 2024
// (arXiv:2410.08847) call it likelihood displacement when the chosen side falls though it is preferred.
var quadrants = [...]string{"chosen_up_rejected_down", "both_down", "both_up", "chosen_down_rejected_up", "unmoved"}

// shifts adds up how far pairs have moved away from the reference, and what the loss pulls them with.
type shifts struct {
	chosen, rejected             float64 // change of the log-probs since the reference, nats
	chosenTokens, rejectedTokens int
	chosenFell, rejectedFell     int
	displaced                    int // both fell, the rejected side more
	quadrants                    [len(quadrants)]int
	coefChosen, coefRejected     float64 // sizes of the derivatives of the loss by the log-probs

	// Of the margin h and of how much longer the chosen side is.
	h, longer, hh, longerLonger, hLonger float64
}

// add counts example i, a pair with a reference.
func (s *shifts) add(b *loss.Batch, r *loss.Result, i int) {
	lw, ll := b.ChosenLogps[i]-b.RefChosenLogps[i], b.RejectedLogps[i]-b.RefRejectedLogps[i]
	s.chosen += lw
	s.rejected += ll
	s.chosenTokens += b.ChosenTokens[i]
	s.rejectedTokens += b.RejectedTokens[i]
	if lw < -unmoved {
		s.chosenFell++
	}
	if ll < -unmoved {
		s.rejectedFell++
	}
	if lw < -unmoved && ll < lw {
		s.displaced++
	}
	s.quadrants[quadrant(lw, ll)]++
	s.coefChosen += math.Abs(r.DChosenLogps[i])
	s.coefRejected += math.Abs(r.DRejectedLogps[i])
	h, longer := lw-ll, float64(b.ChosenTokens[i]-b.RejectedTokens[i])
	s.h += h
	s.longer += longer
	s.hh += h * h
	s.longerLonger += longer * longer
	s.hLonger += h * longer
}

func quadrant(lw, ll float64) int {
	switch {
	case math.Abs(lw) <= unmoved || math.Abs(ll) <= unmoved:
		return 4
	case lw > 0 && ll < 0:
		return 0
	case lw < 0 && ll < 0:
		return 1
	case lw > 0:
		return 2
	}
	return 3
}

func (s *shifts) merge(o *shifts) {
	s.chosen += o.chosen
	s.rejected += o.rejected
	s.chosenTokens += o.chosenTokens
	s.rejectedTokens += o.rejectedTokens
	s.chosenFell += o.chosenFell
	s.rejectedFell += o.rejectedFell
	s.displaced += o.displaced
	for q, n := range o.quadrants {
		s.quadrants[q] += n
	}
	s.coefChosen += o.coefChosen
	s.coefRejected += o.coefRejected
	s.h += o.h
	s.longer += o.longer
	s.hh += o.hh
	s.longerLonger += o.longerLonger
	s.hLonger += o.hLonger
}

// correlation is Pearson's of the margin and of how much longer the chosen side is; 0 where one of them is the same for all pairs.
func (s *shifts) correlation(n float64) float64 {
	h, longer := s.hh-s.h*s.h/n, s.longerLonger-s.longer*s.longer/n
	if h <= 1e-12*s.hh || longer <= 1e-12*s.longerLonger {
		return 0
	}
	return (s.hLonger - s.h*s.longer/n) / math.Sqrt(h*longer)
}

// metrics gives each metric to add; n is the number of pairs.
func (s *shifts) metrics(n float64, add func(name string, v float64)) {
	add("shift/chosen", s.chosen/n)
	add("shift/rejected", s.rejected/n)
	add("shift/chosen_per_token", s.chosen/float64(s.chosenTokens))
	add("shift/rejected_per_token", s.rejected/float64(s.rejectedTokens))
	add("displacement/chosen_fell", float64(s.chosenFell)/n)
	add("displacement/rejected_fell", float64(s.rejectedFell)/n)
	add("displacement/rate", float64(s.displaced)/n)
	for q, name := range quadrants {
		add("displacement/"+name, float64(s.quadrants[q])/n)
	}
	add("grad/coef_chosen", s.coefChosen/n)
	add("grad/coef_rejected", s.coefRejected/n)
	add("length/margin_correlation", s.correlation(n))
}

// Verdict is a sentence on what became of the pairs; ok is false for a loss without pairs or reference, and where nothing moved.
func (t *Tally) Verdict() (sentence string, ok bool) {
	s, n := &t.shifts, float64(t.examples)
	if !t.hasShifts() || t.examples == 0 || s.quadrants[4] == t.examples {
		return "", false
	}
	moved := func(nats float64, tokens int) string {
		return fmt.Sprintf("%+.3g nats a token", nats/float64(tokens))
	}
	sentence = fmt.Sprintf("since the reference chosen answers moved by %s, rejected by %s; in %.0f %% of the pairs both fell, the rejected one more",
		moved(s.chosen, s.chosenTokens), moved(s.rejected, s.rejectedTokens), 100*float64(s.displaced)/n)
	return sentence, true
}

func (t *Tally) hasShifts() bool {
	n := t.loss.Needs()
	return n.Rejected && n.Reference
}
