package train

import (
	"context"
	"fmt"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
)

// demand is what is wanted of the reference's log-probs.
type demand int

const (
	nothing    demand = iota
	whatIsKept        // all of them if the cache has all, else none: nothing is computed
	everything
	fromRows // those that the rows bring, see trusted.go
)

// ofModel says that they come from a model, or its cache.
func (d demand) ofModel() bool { return d == whatIsKept || d == everything }

// demands says what a run of the loss wants. A loss without a reference may be monitored against one: the metrics then say how far the
// policy has moved, and the loss is not given it.
func (o *Options) demands(l loss.Loss) demand {
	switch {
	case o.trusts(l):
		return fromRows
	case l.Needs().Reference || o.MonitorReference == "true":
		return everything
	case o.MonitorReference == "auto" && score.AnyCache(o.RefCacheDir):
		return whatIsKept
	}
	return nothing
}

// demands are those of the run. One that goes on from a checkpoint has the metrics that it had before, whatever has become of the cache.
func (r *runner) demands(from *checkpoint.Checkpoint) (demand, error) {
	if from == nil || r.loss.Needs().Reference {
		return r.o.demands(r.loss), nil
	}
	was, err := readRunInfo(from.Path())
	if err != nil || was.Reference == "" {
		return nothing, err
	}
	return everything, nil
}

// referenceLogps brings the log-probs that are wanted, and what else the loss needs of the reference; nil where there are not all of them and they may not be computed. done says in a
// line what was found or done.
func referenceLogps(ctx context.Context, req Request, needs loss.Needs, want demand, ref score.Reference, graph model.GraphOptions, sets ...data.Examples) (logps []*score.Table, done string, err error) {
	if want == everything {
		return PassOne(ctx, req, needs, ref, graph, sets...)
	}
	logps, path, missing, err := score.Find(ref, req.Options.RefCacheDir, askFor(needs, &req.Options), sets...)
	switch {
	case err != nil:
		return nil, unmonitored(err.Error()), nil
	case missing > 0:
		return nil, unmonitored(fmt.Sprintf("%s has no log-probs for %s of the sequences", path, report.Count(int64(missing)))), nil
	}
	return logps, fmt.Sprintf("reference log-probs: all are in the cache %s; monitoring the loss, which needs none", path), nil
}

// unmonitored says why metrics are left out that need a reference.
func unmonitored(why string) string {
	return fmt.Sprintf("monitor_reference: auto: no metrics of how far the policy moves from the reference, as %s; true computes what is missing", why)
}
