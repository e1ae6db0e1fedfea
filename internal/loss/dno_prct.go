package loss

// DNOPrct is the practical form of direct Nash optimization (Rosset et al. 2024, arXiv:2404.03715, eq. 13). The loss is DPO's:
//
//	L = -log s(b h)
//	dL/dpc = -b s(-b h) = -dL/dpr
//
// What makes it DNO lies in the pairs and the reference: of several completions of the policy and one of a better model, by their win rates
// against each other, only pairs that lie far apart become rows; the reference is the policy of the round before; after each round it starts
// again. beta is the paper's eta, which it wants larger than DPO's beta, without a number; 0.3 here.
type DNOPrct struct{ DPO }

var dnoPrctInfo = Info{
	Name:            "dno_prct",
	Summary:         "dpo in rounds, on pairs whose win rates lie far apart",
	Paper:           "Rosset et al. 2024, arXiv:2404.03715",
	Needs:           DNOPrct{}.Needs(),
	Hyperparameters: []Hyperparameter{beta(0.3, pull)},
	make:            func(s Settings) Loss { return DNOPrct{DPO{s.number("beta")}} },
}

// Name implements Loss.
func (DNOPrct) Name() string { return "dno_prct" }
