package loss

import (
	"math"
	"math/rand/v2"
	"slices"
)

// BetaDPO is DPO with a beta that follows the pairs at hand: Wu et al. 2024 (arXiv:2407.08639). In an optimizer step
//
//	M0, S0 = running mean of the step's mean of h, and of its standard deviation
//	keep a share 1-f of the pairs, drawn without replacement with weights exp(-((h-M0)/S0)^2 / 2)
//	b = beta (1 + a (mean of h over the kept pairs - M0)), 0.001 at least
//	L = -log s(b h) for a pair that is kept, 0 for the others; the step's loss is the mean over those kept
//	dL/dpc = -b s(-b h) = -dL/dpr
//
// b counts as a constant for the gradient. Steps whose pairs are wide apart are taken as informative and held to the reference more closely;
// pairs that are far from the usual margin are taken as outliers. With a = 0 and f = 0 it is DPO.
//
// M0 and S0 decay by 0.9 a step and take a step in before they are used, as in the authors' code. They begin at 0 there, which makes b too large
// for some ten steps; here that bias is taken off, as Adam does. The authors go on with them in evaluations; here an evaluation leaves them as
// they are, keeps all pairs, and has b by the mean over all pairs. S0 is over steps of two pairs or more; where it is 0, as before the first update,
// there is nothing to tell outliers by, and all pairs are kept. Rewards are logged with beta itself.
type BetaDPO struct {
	beta, a, filter float64
	margin, spread  average // nats, of h
	used            float64 // b in the last step
}

var betaDPOInfo = Info{
	Name:    "beta_dpo",
	Summary: "dpo whose beta follows the step's mean margin, without outliers",
	Paper:   "Wu et al. 2024, arXiv:2407.08639",
	Needs:   (&BetaDPO{}).Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, "strength of the pull towards the reference in a step of usual margins: higher stays closer to it"), {
		Key: "beta_dpo_a", Default: 0.6, Range: Range{Low: 0, High: math.Inf(1)},
		Meaning: "how much beta follows the step's mean margin, a share for each nat: higher follows it more, 0 is a fixed beta",
	}, {
		Key: "beta_dpo_filter_ratio", Default: 0.2, Range: Range{Low: 0, High: 1, HighOpen: true},
		Meaning: "share of each step's pairs that is left out, outliers above all: higher trusts unusual margins less",
	}},
	make: func(s Settings) Loss {
		return &BetaDPO{beta: s.number("beta"), a: s.number("beta_dpo_a"), filter: s.number("beta_dpo_filter_ratio")}
	},
}

// Name implements Loss.
func (*BetaDPO) Name() string { return "beta_dpo" }

// Needs implements Loss.
func (*BetaDPO) Needs() Needs {
	return Needs{Reference: true, Rejected: true, Coupled: true, Sums: true}
}

// Beta implements Loss: the one that is set.
func (l *BetaDPO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2, for all margins are 0, which is their mean.
func (*BetaDPO) StepZero() (float64, bool) { return math.Ln2, true }

// Compute implements Loss: all pairs, with a beta by the mean of their margins.
func (l *BetaDPO) Compute(b Batch, r *Result) {
	var sum float64
	for i := range b.Len() {
		sum += b.margin(i)
	}
	DPO{l.betaAt(sum / float64(b.Len()))}.Compute(b, r)
}

// betaAt is the beta for pairs with that mean margin; the one that is set where nothing is remembered.
func (l *BetaDPO) betaAt(mean float64) float64 {
	if l.margin.updates == 0 {
		return l.beta
	}
	const least = 1e-3 // as in the authors' code; a smaller beta that was asked for stays
	return max(min(least, l.beta), l.beta*(1+l.a*(mean-l.margin.value)))
}

// Step implements Stateful.
func (l *BetaDPO) Step(b Batch, draw *rand.Rand, r *Result) {
	n := b.Len()
	h := make([]float64, n)
	var sum, squares float64
	for i := range h {
		h[i] = b.margin(i)
		sum += h[i]
	}
	mean := sum / float64(n)
	l.margin.add(mean)
	if n > 1 {
		for _, x := range h {
			squares += (x - mean) * (x - mean)
		}
		l.spread.add(math.Sqrt(squares / float64(n-1)))
	}
	kept := l.kept(h, draw)
	sum = 0
	for _, i := range kept {
		sum += h[i]
	}
	l.used = l.betaAt(sum / float64(len(kept)))
	DPO{l.used}.Compute(b, r)
	if len(kept) == n {
		return
	}
	// The caller's mean is over all pairs.
	scale := float64(n) / float64(len(kept))
	for i := range h {
		factor := 0.0
		if _, ok := slices.BinarySearch(kept, i); ok {
			factor = scale
		}
		r.Losses[i] *= factor
		r.DChosenLogps[i] *= factor
		r.DRejectedLogps[i] *= factor
	}
}

// kept draws the pairs that count in a step, in ascending order.
func (l *BetaDPO) kept(h []float64, draw *rand.Rand) []int {
	const rounding = 1e-9 // 0.8 times 5 is 4
	keep := max(1, int((1-l.filter)*float64(len(h))+rounding))
	mean, spread := l.margin.value, l.spread.value
	// To draw without replacement with weights is to take those with the smallest exponential waiting times, each divided by its
	// weight (Efraimidis and Spirakis 2006). The logarithms of the times serve as well, and no weight becomes 0 in them.
	times := make([]float64, len(h))
	if keep < len(h) && spread > 0 {
		for i, x := range h {
			z := (x - mean) / spread
			times[i] = math.Log(-math.Log1p(-draw.Float64())) + z*z/2
		}
	} else {
		keep = len(h)
	}
	kept := ascending(times)[:keep]
	slices.Sort(kept)
	return kept
}

func (l *BetaDPO) remembered() []remembered {
	return []remembered{{"margin", &l.margin.value, true}, {"margin_updates", &l.margin.updates, false}, {"spread", &l.spread.value, false}, {"spread_updates", &l.spread.updates, false}}
}

// State implements Stateful.
func (l *BetaDPO) State() State { return stateOf(l.remembered()) }

// SetState implements Stateful.
func (l *BetaDPO) SetState(s State) error { return setState(l.remembered(), s) }

// Metrics implements Reporter.
func (l *BetaDPO) Metrics() []Metric {
	return []Metric{{"beta_used", l.used}, {"M0", l.margin.value}}
}

// average is an exponential moving average in which a step's share falls by 0.9 with every step after it.
type average struct{ value, updates float64 }

func (a *average) add(x float64) {
	decay := 0.9
	a.updates++
	a.value += (1 - decay) / (1 - math.Pow(decay, a.updates)) * (x - a.value) // the first time all of x
}
