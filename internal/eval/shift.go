package eval

import (
	"fmt"
	"math"
	"strings"

	"dpotrain/internal/loss"
)

// unmoved is how far, in nats, a completion's log-prob may be from the reference's and count as where it was.
const unmoved = 1e-6

// quadrants are what can become of the two sides of a pair, and the fifth that one of them did not move. Razin et al. 2024
// (arXiv:2410.08847) call it likelihood displacement when the chosen side falls though it is preferred.
var quadrants = [...]string{"chosen_up_rejected_down", "both_down", "both_up", "chosen_down_rejected_up", "unmoved"}

// Shifts adds up how far completions have moved away from the reference, and what the loss pulls them with. Its fields are exported for
// files alone: a checkpoint keeps those that a run was looking at.
type Shifts struct {
	Known            bool // there is a reference; else what follows has counts and coefficients alone
	Chosen, Rejected Side // of unpaired rows the desirable and the undesirable ones; completions alone have the chosen side

	// Of pairs.
	Displaced int // both fell, the rejected side more
	Quadrants [len(quadrants)]int
	Margin    Moments // of the margin in nats, and of how many tokens longer the chosen side is
}

// Side is what became of the completions of one side.
type Side struct {
	N     int
	Coef  float64 // sizes of the derivatives of the loss by the log-probs
	Fell  int
	Moved Moments // of the change of the log-prob since the reference, nats, and of the tokens
}

// Moments are sums of two numbers x and y, of their squares and of their products.
type Moments struct{ X, Y, XX, YY, XY float64 }

func (m *Moments) add(x, y float64) {
	m.merge(Moments{x, y, x * x, y * y, x * y})
}

func (m *Moments) merge(o Moments) {
	m.X += o.X
	m.Y += o.Y
	m.XX += o.XX
	m.YY += o.YY
	m.XY += o.XY
}

// spread are the squares and products of n pairs of numbers around their means, summed; 0 where all are the same.
func (m Moments) spread(n float64) (xx, yy, xy float64) {
	xx, yy = m.XX-m.X*m.X/n, m.YY-m.Y*m.Y/n
	if xx <= 1e-12*m.XX {
		xx = 0
	}
	if yy <= 1e-12*m.YY {
		yy = 0
	}
	return xx, yy, m.XY - m.X*m.Y/n
}

// add counts a completion; moved is not read without a reference.
func (s *Side) add(coef float64, known bool, moved float64, tokens int) {
	s.N++
	s.Coef += math.Abs(coef)
	if !known {
		return
	}
	if moved < -unmoved {
		s.Fell++
	}
	s.Moved.add(moved, float64(tokens))
}

func (s *Side) merge(o *Side) {
	s.N += o.N
	s.Coef += o.Coef
	s.Fell += o.Fell
	s.Moved.merge(o.Moved)
}

// PerToken is the change of the log-probs since the reference, in nats a token of all, also of those with a weight below 1; 0 where there are none.
func (s *Side) PerToken() float64 {
	if s.N == 0 {
		return 0
	}
	return s.Moved.X / s.Moved.Y
}

// MeanCoef is the mean size of the derivative of a completion's loss by its log-prob; 0 where there are none.
func (s *Side) MeanCoef() float64 {
	if s.N == 0 {
		return 0
	}
	return s.Coef / float64(s.N)
}

// mean and variance are those of the change of a completion's log-prob since the reference.
func (s *Side) mean() float64 { return s.Moved.X / float64(s.N) }
func (s *Side) variance() float64 {
	xx, _, _ := s.Moved.spread(float64(s.N))
	return xx / float64(s.N)
}

// add counts example i.
func (s *Shifts) add(b *loss.Batch, r *loss.Result, i int) {
	known := len(b.RefChosenLogps) > 0
	s.Known = s.Known || known
	moved := func(logps, ref []float64) float64 {
		if !known {
			return 0
		}
		return logps[i] - ref[i]
	}
	lw := moved(b.ChosenLogps, b.RefChosenLogps)
	first := &s.Chosen
	if len(b.Desirable) > 0 && !b.Desirable[i] {
		first = &s.Rejected
	}
	first.add(r.DChosenLogps[i], known, lw, b.ChosenTokens[i])
	if len(b.RejectedLogps) == 0 {
		return
	}
	ll := moved(b.RejectedLogps, b.RefRejectedLogps)
	s.Rejected.add(r.DRejectedLogps[i], known, ll, b.RejectedTokens[i])
	if !known {
		return
	}
	if lw < -unmoved && ll < lw {
		s.Displaced++
	}
	s.Quadrants[quadrant(lw, ll)]++
	s.Margin.add(lw-ll, float64(b.ChosenTokens[i]-b.RejectedTokens[i]))
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

// Merge counts what o, of the same loss, has counted.
func (s *Shifts) Merge(o *Shifts) {
	s.Known = s.Known || o.Known
	s.Chosen.merge(&o.Chosen)
	s.Rejected.merge(&o.Rejected)
	s.Displaced += o.Displaced
	for q, n := range o.Quadrants {
		s.Quadrants[q] += n
	}
	s.Margin.merge(o.Margin)
}

// paired says that the two sides are those of pairs.
func (s *Shifts) paired() bool {
	n := 0
	for _, q := range s.Quadrants {
		n += q
	}
	return n > 0
}

// Rate is the share of the pairs of which both sides fell, the rejected one more; 0 where there are none.
func (s *Shifts) Rate() float64 {
	if !s.paired() {
		return 0
	}
	return float64(s.Displaced) / float64(s.Chosen.N)
}

// Correlation is Pearson's of the margin and of how much longer the chosen side is; 0 where one of them is the same for all pairs. Of
// unpaired rows the pairs are all of a desirable row and an undesirable one, whose variances and covariances are sums of those of the two.
func (s *Shifts) Correlation() float64 {
	var xx, yy, xy float64
	if s.paired() {
		xx, yy, xy = s.Margin.spread(float64(s.Chosen.N))
	} else {
		for _, side := range []*Side{&s.Chosen, &s.Rejected} {
			n := float64(side.N)
			if n == 0 {
				return 0
			}
			a, b, c := side.Moved.spread(n)
			xx, yy, xy = xx+a/n, yy+b/n, xy+c/n
		}
	}
	if xx == 0 || yy == 0 {
		return 0
	}
	return xy / math.Sqrt(xx*yy)
}

// Apart is by how many nats the mean desirable row has gained more than the mean undesirable one, and the standard error of that; ok is
// false without two rows of each kind.
func (s *Shifts) Apart() (nats, deviation float64, ok bool) {
	if s.Chosen.N < 2 || s.Rejected.N < 2 {
		return 0, 0, false
	}
	return s.Chosen.mean() - s.Rejected.mean(), math.Sqrt(s.Chosen.variance()/float64(s.Chosen.N-1) + s.Rejected.variance()/float64(s.Rejected.N-1)), true
}

// metrics gives each metric of a loss to add.
func (s *Shifts) metrics(n loss.Needs, add func(name string, v float64)) {
	each := func(name string, value func(side *Side) float64) {
		for _, side := range []struct {
			name string
			*Side
		}{{"chosen", &s.Chosen}, {"rejected", &s.Rejected}} {
			if side.N > 0 {
				add(fmt.Sprintf(name, side.name), value(side.Side))
			}
		}
	}
	if s.Known {
		each("shift/%s", (*Side).mean)
		each("shift/%s_per_token", (*Side).PerToken)
		each("displacement/%s_fell", func(side *Side) float64 { return float64(side.Fell) / float64(side.N) })
	}
	if s.Known && n.Rejected {
		add("displacement/rate", s.Rate())
		for q, name := range quadrants {
			add("displacement/"+name, float64(s.Quadrants[q])/float64(s.Chosen.N))
		}
	}
	if n.Rejected || n.Labels {
		each("grad/coef_%s", (*Side).MeanCoef)
	}
	if s.Known && s.Chosen.N > 0 && s.Rejected.N > 0 {
		add("length/margin_correlation", s.Correlation())
	}
}

// Shifts are what became of the examples since the reference.
func (t *Tally) Shifts() *Shifts { return &t.shifts }

// Verdict is a sentence on what became of the examples; ok is false without a reference, and where nothing moved.
func (t *Tally) Verdict() (sentence string, ok bool) {
	s := &t.shifts
	if s.Chosen.Moved.XX+s.Rejected.Moved.XX == 0 || s.Quadrants[4] > 0 && s.Quadrants[4] == t.examples {
		return "", false
	}
	names := [2]string{"chosen answers", "rejected"}
	switch {
	case t.unpaired():
		names = [2]string{"desirable completions", "undesirable ones"}
	case !t.pairs():
		names[0] = "completions"
	}
	var moved []string
	for i, side := range []*Side{&s.Chosen, &s.Rejected} {
		if side.N > 0 {
			moved = append(moved, fmt.Sprintf("%s by %+.3g nats a token", names[i], side.PerToken()))
		}
	}
	sentence = "moved since the reference: " + strings.Join(moved, ", ")
	if t.pairs() {
		sentence += fmt.Sprintf("; in %.0f %% of the pairs both fell, the rejected one more", 100*s.Rate())
	}
	return sentence, true
}
