package loss

// NCAPair is Noise Contrastive Alignment for pairs (Chen et al. 2024, arXiv:2402.05369). With a and c the log-ratios of chosen and rejected,
//
//	L = -log s(b a) - log s(-b a)/2 - log s(-b c)/2
//	dL/dpc = b (s(b a)/2 - s(-b a)), dL/dpr = b s(b c)/2
//
// Chosen is led to b a = log 2, from both sides: it can neither fall, as with DPO, nor run away. Rejected is pushed down without end.
//
// The default beta is the authors', 0.01, where the target is 69 nats; TRL's is 0.1. The authors' repository has a biased form beside it,
// without the middle term, and their InfoNCA for pairs is DPO.
type NCAPair struct{ beta float64 }

var ncaPairInfo = Info{
	Name:            "nca_pair",
	Summary:         "logistic losses of each side: the chosen one is held at a probability above the reference's",
	Paper:           "Chen et al. 2024, arXiv:2402.05369",
	Needs:           NCAPair{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.01, "chosen is led to log(2)/beta nats above the reference: higher stays closer to it")},
	make:            func(s Settings) Loss { return NCAPair{s.number("beta")} },
}

// Name implements Loss.
func (NCAPair) Name() string { return "nca_pair" }

// Needs implements Loss.
func (NCAPair) Needs() Needs { return Needs{Reference: true, Rejected: true, Sums: true} }

// Beta implements Loss.
func (l NCAPair) Beta() float64 { return l.beta }

// StepZero implements Loss: 2 log 2.
func (l NCAPair) StepZero() (float64, bool) { return ofLogRatios(l.at).stepZero() }

// Compute implements Loss.
func (l NCAPair) Compute(b Batch, r *Result) { ofLogRatios(l.at).compute(&b, r) }

func (l NCAPair) at(chosen, rejected float64) (loss, dChosen, dRejected float64) {
	a, c := l.beta*chosen, l.beta*rejected
	return softplus(-a) + (softplus(a)+softplus(c))/2, l.beta * (sigmoid(a)/2 - sigmoid(-a)), l.beta * sigmoid(c) / 2
}
