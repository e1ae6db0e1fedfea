package eval

import (
	"slices"

	"dpotrain/internal/loss"
)

// Metric is a number that an evaluation gives, by the name that Tally.Metrics has for it.
type Metric struct {
	Name   string
	Unit   string
	Better int  // +1: higher is better, -1: lower is, 0: neither is by itself
	Policy bool // of the policy alone, whatever the reference and the loss

	pairs      bool // only of losses on pairs
	unpaired   bool // of losses on unpaired rows too
	reference  bool // only where there is a reference
	mismatched bool // only of losses with mismatched rows
	lists      bool // only of losses on lists
	divergence bool // only of losses with divergences
}

// Of says that the evaluation of a loss gives the metric. Of one that needs no reference and is monitored against one, n says so.
func (m Metric) Of(n loss.Needs) bool {
	return (!m.pairs || n.Rejected || m.unpaired && n.Labels) && (!m.reference || n.Reference) && (!m.mismatched || n.Mismatched) && (!m.lists || n.Lists) && (!m.divergence || n.KL)
}

// metrics are all of them in the order in which they are written; docs/metrics.md says what they mean.
var metrics = []Metric{
	{Name: "loss", Better: -1},
	{Name: "rewards/chosen", Unit: reward, Better: 1, pairs: true, unpaired: true},
	{Name: "rewards/rejected", Unit: reward, Better: -1, pairs: true, unpaired: true},
	{Name: "rewards/accuracies", Unit: share, Better: 1, pairs: true},
	{Name: "rewards/ties", Unit: share, Better: -1, pairs: true},
	{Name: "rewards/concordance", Unit: share, Better: 1, lists: true},
	{Name: "rewards/margins", Unit: reward, Better: 1, pairs: true, unpaired: true},
	{Name: "logps/chosen", Unit: completion, Better: 1, pairs: true, unpaired: true, Policy: true},
	{Name: "logps/rejected", Unit: completion, Better: -1, pairs: true, unpaired: true, Policy: true},
	{Name: "logps/accuracies", Unit: share, Better: 1, pairs: true, Policy: true},
	{Name: "kl/chosen", Unit: completion, divergence: true},
	{Name: "kl/rejected", Unit: completion, divergence: true},
	{Name: "kl", Unit: completion, mismatched: true},
	{Name: "entropy", Unit: token, Policy: true},
	{Name: "mean_token_accuracy", Unit: share, Better: 1, Policy: true},
	{Name: "shift/chosen", Unit: completion, Better: 1, reference: true},
	{Name: "shift/rejected", Unit: completion, Better: -1, pairs: true, unpaired: true, reference: true},
	{Name: "shift/chosen_per_token", Unit: token, Better: 1, reference: true},
	{Name: "shift/rejected_per_token", Unit: token, Better: -1, pairs: true, unpaired: true, reference: true},
	{Name: "displacement/chosen_fell", Unit: share, Better: -1, reference: true},
	{Name: "displacement/rejected_fell", Unit: share, Better: 1, pairs: true, unpaired: true, reference: true},
	{Name: "displacement/rate", Unit: share, Better: -1, pairs: true, reference: true},
	{Name: "displacement/chosen_up_rejected_down", Unit: share, Better: 1, pairs: true, reference: true},
	{Name: "displacement/both_down", Unit: share, pairs: true, reference: true},
	{Name: "displacement/both_up", Unit: share, pairs: true, reference: true},
	{Name: "displacement/chosen_down_rejected_up", Unit: share, Better: -1, pairs: true, reference: true},
	{Name: "displacement/unmoved", Unit: share, pairs: true, reference: true},
	{Name: "grad/coef_chosen", Unit: "loss a nat", pairs: true, unpaired: true},
	{Name: "grad/coef_rejected", Unit: "loss a nat", pairs: true, unpaired: true},
	{Name: "length/margin_correlation", Unit: "from -1 to 1", pairs: true, unpaired: true, reference: true},
}

const (
	completion = "nats a completion"
	token      = "nats a token"
	reward     = "nats times beta"
	share      = "share"
)

// MetricsOf are the metrics of a loss.
func MetricsOf(n loss.Needs) []Metric {
	return slices.DeleteFunc(slices.Clone(metrics), func(m Metric) bool { return !m.Of(n) })
}

// Find is the metric of a name.
func Find(name string) (Metric, bool) {
	i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return metrics[i], true
}
