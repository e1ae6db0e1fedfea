package loss

import (
	"math"
	"math/rand/v2"
)

// BCO is binary classifier optimization: Jung et al. 2024 (arXiv:2404.04656). Each completion is classified by itself, as good above
// a shift delta of the rewards and as bad below:
//
//	L = -log s(b (pc-rc) - delta) - log s(delta - b (pr-rr))
//	dL/dpc = -b s(delta - b (pc-rc)), dL/dpr = b s(b (pr-rr) - delta)
//	delta = half the mean reward of all chosen completions so far and half that of all rejected ones
//
// delta counts as a constant for the gradient. A step's pairs are taken into it before it is used; an evaluation leaves it as it is. The paper has
// an exponential moving average (eq. 7); TRL's BCOTrainer, which its authors wrote, has the mean over all rows so far, as here: it needs no
// further hyperparameter. TRL's DPOTrainer up to 0.28 and LLaMA-Factory take the mean of the batch at hand. TRL's bco_pair since 0.29 has no
// delta at all, which the paper shows to be weaker: the name is refused here. The default beta is TRL's; the paper's runs have 0.01.
//
// Of unpaired rows each has the term of its side, and delta is the mean reward of all rows so far, as in TRL: of pairs that are taken apart the same
// number.
//
// Matching of the underlying distributions, for bad completions that answer other prompts, is not here: pairs have the same ones.
type BCO struct {
	beta  float64
	mean  float64 // nats: of (pc-rc) and (pr-rr) over all pairs so far; delta is beta times it
	pairs float64 // so far; an unpaired row is half of one

	unpaired bool
}

var bcoInfo = Info{
	Name:            "bco",
	Summary:         "each completion classified by itself: rewards above or below a running mean",
	Paper:           "Jung et al. 2024, arXiv:2404.04656",
	Needs:           (&BCO{}).Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	make:            func(s Settings) Loss { return &BCO{beta: s.number("beta")} },
}

// Name implements Loss.
func (*BCO) Name() string { return "bco" }

// Needs implements Loss.
func (l *BCO) Needs() Needs {
	return Needs{Reference: true, Rejected: !l.unpaired, Labels: l.unpaired, Coupled: true, Sums: true}
}

// TakeUnpaired implements TakesBoth.
func (l *BCO) TakeUnpaired() error {
	l.unpaired = true
	return nil
}

// Beta implements Loss.
func (l *BCO) Beta() float64 { return l.beta }

// StepZero implements Loss: log 2 for each completion, for delta is 0.
func (l *BCO) StepZero() (float64, bool) {
	if l.unpaired {
		return math.Ln2, true
	}
	return 2 * math.Ln2, true
}

// Compute implements Loss.
func (l *BCO) Compute(b Batch, r *Result) {
	r.resize(b.Len())
	if l.unpaired {
		l.computeUnpaired(&b, r)
		return
	}
	for i := range r.Losses {
		// The mean is taken off first, so that nothing is left where all log-ratios are the same.
		chosen, rejected := b.logRatios(i)
		good, bad := l.beta*(chosen-l.mean), l.beta*(rejected-l.mean)
		r.Losses[i] = softplus(-good) + softplus(bad)
		r.DChosenLogps[i], r.DRejectedLogps[i] = -l.beta*sigmoid(-good), l.beta*sigmoid(bad)
	}
}

func (l *BCO) computeUnpaired(b *Batch, r *Result) {
	for i := range r.Losses {
		sign := 1.0
		if !b.Desirable[i] {
			sign = -1
		}
		good := sign * l.beta * (b.logRatio(i) - l.mean)
		r.Losses[i], r.DChosenLogps[i] = softplus(-good), -sign*l.beta*sigmoid(-good)
	}
}

// Step implements Stateful.
func (l *BCO) Step(b Batch, _ *rand.Rand, r *Result) {
	var sum float64
	n := float64(b.Len()) // pairs
	for i := range b.Len() {
		if l.unpaired {
			sum += b.logRatio(i) / 2
			continue
		}
		chosen, rejected := b.logRatios(i)
		sum += (chosen + rejected) / 2
	}
	if l.unpaired {
		n /= 2
	}
	l.pairs += n
	l.mean += (sum/n - l.mean) * (n / l.pairs)
	l.Compute(b, r)
}

func (l *BCO) remembered() []remembered {
	return []remembered{{"mean", &l.mean, true}, {"pairs", &l.pairs, false}}
}

// State implements Stateful.
func (l *BCO) State() State { return stateOf(l.remembered()) }

// SetState implements Stateful.
func (l *BCO) SetState(s State) error { return setState(l.remembered(), s) }

// Metrics implements Reporter.
func (l *BCO) Metrics() []Metric { return []Metric{{"delta", l.beta * l.mean}} }
