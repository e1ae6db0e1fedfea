package loss

import "math"

// PlackettLuce is DPO for a ranking of K completions (Rafailov et al. 2023, arXiv:2305.18290, appendix A.3): the likelihood of the ranking
// in the model of Plackett (1975) and Luce (1959), in which the best is chosen among all, the second among the rest, and so on. With a_k
// the log-ratio of policy to reference of the completion in place k:
//
//	L = sum over k < K of log(sum over j >= k of e^(b (a_j - a_k)))
//	w_kj = e^(b a_j) / sum over i >= k of e^(b a_i)
//	dL/dlogp_j = b (sum over k < j of w_kj - sum over i > j of w_ji)
//
// The derivatives of a list add up to 0. K = 2 is dpo, to the bit.
type PlackettLuce struct{ beta float64 }

var plackettLuceInfo = Info{
	Name:            "plackett_luce",
	Summary:         "dpo for ranked lists of any length: each completion against all behind it",
	Paper:           "Rafailov et al. 2023, arXiv:2305.18290",
	Needs:           PlackettLuce{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.1, pull)},
	make:            func(s Settings) Loss { return PlackettLuce{s.number("beta")} },
}

// Name implements Loss.
func (PlackettLuce) Name() string { return "plackett_luce" }

// Needs implements Loss.
func (PlackettLuce) Needs() Needs {
	return Needs{Reference: true, Rejected: true, Lists: true, Sums: true}
}

// Beta implements Loss.
func (l PlackettLuce) Beta() float64 { return l.beta }

// StepZero implements Loss: it is log(K!), another number for each length; see StepZeroOf.
func (PlackettLuce) StepZero() (float64, bool) { return 0, false }

// StepZeroOf is log(K!): all K! rankings are as likely as each other.
func (PlackettLuce) StepZeroOf(b *Batch, i int) (float64, bool) {
	v, _ := math.Lgamma(float64(len(b.listRatios(i)) + 1))
	return v, true
}

// Compute implements Loss.
func (l PlackettLuce) Compute(b Batch, r *Result) {
	r.resizeLists(&b)
	for i := range r.Losses {
		a := b.listRatios(i)
		d := make([]float64, len(a))
		for k := range a[:len(a)-1] {
			r.Losses[i] += l.against(a[k:], d[k:])
		}
		r.setList(i, d)
	}
}

// against is the loss of the first of some completions against the rest, with a their log-ratios; the derivatives are added to d. What is
// taken to an exponential is never above 0.
func (l PlackettLuce) against(a, d []float64) float64 {
	best, most := 0, 0.0 // which has the highest reward, and by how much more than the first
	for j, v := range a {
		if u := l.beta * (v - a[0]); u > most {
			best, most = j, u
		}
	}
	rest := 0.0
	e := func(j int) float64 { return math.Exp(l.beta*(a[j]-a[0]) - most) }
	for j := range a {
		if j != best {
			rest += e(j)
		}
	}
	for j := 1; j < len(a); j++ {
		g := l.beta * (e(j) / (1 + rest))
		d[j] += g
		d[0] -= g
	}
	return most + math.Log1p(rest)
}
