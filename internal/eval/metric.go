package eval

import (
	"slices"

	"dpotrain/internal/loss"
)

// Metric is a number that an evaluation gives, by the name that Tally.Metrics has for it.
type Metric struct {
	Name   string
	Unit   string
	Better int // +1: higher is better, -1: lower is, 0: neither is by itself

	pairs bool // only of losses on pairs
}

// Of says that the evaluation of a loss gives the metric.
func (m Metric) Of(n loss.Needs) bool { return !m.pairs || n.Rejected }

// metrics are all of them in the order in which they are written; docs/metrics.md says what they mean.
var metrics = []Metric{
	{Name: "loss", Better: -1},
	{Name: "rewards/chosen", Unit: reward, Better: 1, pairs: true},
	{Name: "rewards/rejected", Unit: reward, Better: -1, pairs: true},
	{Name: "rewards/accuracies", Unit: share, Better: 1, pairs: true},
	{Name: "rewards/ties", Unit: share, Better: -1, pairs: true},
	{Name: "rewards/margins", Unit: reward, Better: 1, pairs: true},
	{Name: "logps/chosen", Unit: completion, Better: 1, pairs: true},
	{Name: "logps/rejected", Unit: completion, Better: -1, pairs: true},
	{Name: "logps/accuracies", Unit: share, Better: 1, pairs: true},
	{Name: "entropy", Unit: "nats a token"},
	{Name: "mean_token_accuracy", Unit: share, Better: 1},
}

const (
	completion = "nats a completion"
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
