// Package score brings the reference's log-probs of examples: from the cache on disk where they are, else from a
// forward pass of the reference model, which puts them there. That is pass one.
//
// Bring is given a Reference, which need not be loaded while nothing is missing, and sets of examples. It gives back
// Logps: for each example, for each of its sequences, the sum in nats over the scored tokens, float64, added in order of
// position; and further numbers where Options ask for them. The cache has every token's log-prob as float32; the same sum
// is taken of the policy's (package model), so that equal models give equal bits. An example is computed as a whole when
// one of its sequences is missing.
//
// To keep another number of each token: a field in package refcache, a flag in Options, its place in Options.fields,
// filler.compute and read.
package score

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/refcache"
)

// Logps are what the reference makes of one example: of each of its sequences one element.
type Logps struct {
	Sums      []float64   // log-probs in nats, summed over the scored tokens in order
	Tokens    [][]float32 // log-probs in nats of the scored tokens; nil unless Options.Tokens asks for them
	Entropies []float64   // of the distributions that the scored tokens were scored by, in nats, summed; nil unless Options.Entropies
	LogVocab  float64     // what an entropy is at most, in nats: the logarithm of the reference's vocabulary
}

// Weighted are l with the sums taken again with the weights of e, from Tokens, which are not kept.
func (l Logps) Weighted(e *data.Example) Logps {
	w := Logps{Sums: slices.Clone(l.Sums), Entropies: l.Entropies, LogVocab: l.LogVocab}
	for j, weights := range e.Weights {
		if weights == nil {
			continue
		}
		w.Sums[j] = 0
		for t, v := range l.Tokens[j] {
			w.Sums[j] += float64(float64(v) * weights[t]) // rounded by itself, as in package model
		}
	}
	return w
}

// Stats say what pass one did, or where it failed, what there was to do.
type Stats struct {
	Computed, Reused           int           // sequences that are different from each other
	ComputedPairs, ReusedPairs int           // examples; one with a sequence to compute counts as computed
	Tokens                     int64         // rows computed
	Duration                   time.Duration // that computing took
}

// Options of pass one.
type Options struct {
	Tokens           bool                        // give back the log-prob of every token, beside the sums
	Entropies        bool                        // give back entropies; a sequence without them in the cache is computed again
	MicroBatchTokens int                         // rows computed together
	Graph            model.GraphOptions          // what the reference's graph is laid out for; it grows if that is too little
	Waiting          func()                      // called once if another process is writing the cache
	Started          func(sequences int)         // called once before the first is computed, if any is
	Progress         func(sequences, tokens int) // called after every micro-batch with what it added
}

// fields are those that the cache must have besides log-probs.
func (o Options) fields() []refcache.Field {
	if o.Entropies {
		return []refcache.Field{refcache.Entropies}
	}
	return nil
}

// syncEvery is the time after which computed log-probs are made safe on disk.
const syncEvery = 2 * time.Second

// Keys are the cache keys of all sequences of examples, in order.
func Keys(examples ...[]data.Example) []refcache.Key {
	var keys []refcache.Key
	for _, set := range examples {
		for _, e := range set {
			for _, s := range e.Sequences {
				keys = append(keys, refcache.KeyOf(s.IDs, s.First))
			}
		}
	}
	return keys
}

// fill computes what the cache, opened with the examples' Keys, lacks. When ctx ends it stops after the micro-batch at
// hand; what was computed stays in the cache.
func fill(ctx context.Context, c *refcache.Cache, ref Reference, examples []data.Example, o Options) (st Stats, err error) {
	wanted := Keys(examples)
	missing := missingKeys(c, wanted)
	st = count(examples, missing)
	if len(missing) == 0 {
		return st, nil
	}
	// The model comes first: where there is none, no file is made.
	m, err := ref.Load()
	if err != nil {
		what := "log-probs"
		if o.Entropies {
			what = "entropies"
		}
		return st, fmt.Errorf("%d of %d rows have no %s in %s: %w", st.ComputedPairs, len(examples), what, c.Path(), err)
	}
	w, err := c.Lock(ctx, o.Waiting)
	if err != nil {
		return st, err
	}
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	missing = missingKeys(c, wanted) // another process may have computed them by now
	st = count(examples, missing)
	if len(missing) == 0 {
		return st, nil
	}
	graph, err := m.NewGraph(o.Graph)
	if err != nil {
		return st, err
	}
	defer graph.Close()
	todo := incomplete(examples, missing)
	rows := make([]int, len(todo))
	for i, e := range todo {
		rows[i] = data.Rows(*e)
	}
	if o.Started != nil {
		o.Started(len(missing))
	}
	f := filler{writer: w, entropies: o.Entropies, missing: missing}
	start := time.Now()
	synced := start
	for _, r := range plan.Cut(rows, o.MicroBatchTokens) {
		if err := ctx.Err(); err != nil {
			return st, fmt.Errorf("pass one stopped; what was computed is in %s: %w", c.Path(), err)
		}
		done, tokens, err := f.compute(graph, todo[r.From:r.To])
		if err != nil {
			return st, err
		}
		st.Tokens += int64(tokens)
		if time.Since(synced) > syncEvery {
			if err := w.Sync(); err != nil {
				return st, err
			}
			synced = time.Now()
		}
		if o.Progress != nil {
			o.Progress(done, tokens)
		}
	}
	st.Duration = time.Since(start)
	return st, nil
}

// missingKeys are those of the wanted keys, with which the cache was opened, that lack something.
func missingKeys(c *refcache.Cache, wanted []refcache.Key) map[refcache.Key]bool {
	missing := map[refcache.Key]bool{}
	for _, i := range c.Missing() {
		missing[wanted[i]] = true
	}
	return missing
}

// count says how many sequences and examples are to compute when those of the given keys are missing.
func count(examples []data.Example, missing map[refcache.Key]bool) (st Stats) {
	seen := map[refcache.Key]bool{}
	for _, e := range examples {
		compute := false
		for _, k := range Keys([]data.Example{e}) {
			compute = compute || missing[k]
			if seen[k] {
				continue
			}
			seen[k] = true
			if missing[k] {
				st.Computed++
			} else {
				st.Reused++
			}
		}
		if compute {
			st.ComputedPairs++
		} else {
			st.ReusedPairs++
		}
	}
	return st
}

// incomplete are the examples that bring a missing sequence for the first time.
func incomplete(examples []data.Example, missing map[refcache.Key]bool) []*data.Example {
	var todo []*data.Example
	taken := map[refcache.Key]bool{}
	for i := range examples {
		fresh := false
		for _, k := range Keys(examples[i : i+1]) {
			if missing[k] && !taken[k] {
				taken[k], fresh = true, true
			}
		}
		if fresh {
			todo = append(todo, ofReference(&examples[i]))
		}
	}
	return todo
}

// ofReference is an example without what the policy alone imitates.
func ofReference(e *data.Example) *data.Example {
	if e.Imitated == nil {
		return e
	}
	without := *e
	without.Imitated = nil
	return &without
}

// filler computes examples and appends what was missing.
type filler struct {
	writer    *refcache.Writer
	entropies bool // go into the cache too
	missing   map[refcache.Key]bool
	packer    data.Packer
	batch     compute.Batch
}

// compute returns the number of sequences it put into the cache and the rows it took.
func (f *filler) compute(g *model.Graph, examples []*data.Example) (done, tokens int, err error) {
	f.packer.Pack(&f.batch, examples)
	out, err := g.Forward(&f.batch)
	if err != nil {
		return 0, 0, err
	}
	logps, entropies := perSequence(&f.batch, out)
	n := 0
	for _, e := range examples {
		for _, s := range e.Sequences {
			k := refcache.KeyOf(s.IDs, s.First)
			if f.missing[k] {
				var further [][]float32
				if f.entropies {
					further = entropies[n : n+1]
				}
				if err := f.writer.Append(k, logps[n], further...); err != nil {
					return done, tokens, fmt.Errorf("%s: %w", e.Place(), err)
				}
				delete(f.missing, k)
				done++
			}
			n++
		}
	}
	return done, f.batch.Rows(), nil
}

// perSequence are the log-probs of the scored tokens of each sequence of a batch, and the entropies where they were scored.
func perSequence(b *compute.Batch, out *model.Output) (logps, entropies [][]float32) {
	// Targets are sorted by row; a sequence's lie in order of position.
	logps, entropies = make([][]float32, b.Sequences), make([][]float32, b.Sequences)
	for i, t := range b.Targets {
		logps[t.Sequence] = append(logps[t.Sequence], float32(out.TokenLogps[i]))
		entropies[t.Sequence] = append(entropies[t.Sequence], float32(out.Entropy[i]))
	}
	return logps, entropies
}

// add takes in a sequence, as far as it is asked for.
func (l *Logps) add(o Options, logps, entropies []float32) {
	l.Sums = append(l.Sums, sum(logps))
	if o.Tokens {
		l.Tokens = append(l.Tokens, logps)
	}
	if o.Entropies {
		l.Entropies = append(l.Entropies, sum(entropies))
	}
}

// read reads what is asked for of every example out of the cache, which was opened with the fields of o.
func read(c *refcache.Cache, ref Reference, examples []data.Example, o Options) ([]Logps, error) {
	all := make([]Logps, len(examples))
	for i, e := range examples {
		l := &all[i]
		l.LogVocab = math.Log(float64(ref.Vocab))
		for _, s := range e.Sequences {
			fields, ok, err := c.Read(refcache.KeyOf(s.IDs, s.First))
			if err != nil {
				return nil, err
			}
			short := func(values []float32) bool { return len(values) != len(s.IDs)-s.First }
			if !ok || slices.ContainsFunc(fields, short) {
				return nil, fmt.Errorf("%s: %s has no log-probs for this row; run \"dpotrain precompute-ref\" again", e.Place(), c.Path())
			}
			l.add(o, fields[0], fields[len(fields)-1])
		}
	}
	return all, nil
}

// sum adds up in order.
func sum(values []float32) (total float64) {
	for _, v := range values {
		total += float64(v)
	}
	return total
}

// Compute is what the model of a forward-only graph says of examples, as far as o asks for it, without a cache. progress, if any, is called after every
// micro-batch with the number of examples that it had.
func Compute(ctx context.Context, g *model.Graph, examples []*data.Example, o Options, progress func(examples int)) ([]Logps, error) {
	rows, list := make([]int, len(examples)), make([]*data.Example, len(examples))
	for i, e := range examples {
		list[i] = ofReference(e)
		rows[i] = data.Rows(*list[i])
	}
	var (
		packer data.Packer
		batch  compute.Batch
		all    = make([]Logps, 0, len(examples))
	)
	for _, r := range plan.Cut(rows, o.MicroBatchTokens) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		packer.Pack(&batch, list[r.From:r.To])
		out, err := g.Forward(&batch)
		if err != nil {
			return nil, err
		}
		logps, entropies := perSequence(&batch, out)
		n := 0
		for _, e := range examples[r.From:r.To] {
			l := Logps{LogVocab: math.Log(float64(g.Vocab()))}
			for range e.Sequences {
				l.add(o, logps[n], entropies[n])
				n++
			}
			all = append(all, l)
		}
		if progress != nil {
			progress(r.To - r.From)
		}
	}
	return all, nil
}

// Reference is a frozen model as the cache knows it. Its weights are asked for only when something is missing.
type Reference struct {
	Name      string // of its folder, for people
	Digest    model.Digest
	Family    string // kernels that log-probs are computed with
	Precision string
	Vocab     int // ids
	Load      func() (*model.Model, error)
}

// open opens the reference's cache in dir for sets of examples.
func (ref Reference) open(dir string, o Options, sets ...[]data.Example) (*refcache.Cache, error) {
	facts := refcache.Facts{Model: ref.Name, Precision: ref.Precision, Kernels: ref.Family}
	return refcache.Open(dir, refcache.Fingerprint(ref.Digest.Fingerprint(ref.Precision, ref.Family)), facts, Keys(sets...), o.fields()...)
}

// AnyCache says that there are cache files in dir, of whatever reference.
func AnyCache(dir string) bool { return refcache.Any(dir) }

// Find reads the log-probs of sets of examples if the reference's cache in dir has all of them, without computing any; else missing is the
// number of sequences that it lacks. path is the cache file.
func Find(ref Reference, dir string, o Options, sets ...[]data.Example) (logps [][]Logps, path string, missing int, err error) {
	c, err := ref.open(dir, o, sets...)
	if err != nil {
		return nil, "", 0, err
	}
	defer c.Close()
	if missing = len(c.Missing()); missing > 0 {
		return nil, c.Path(), missing, nil
	}
	logps, err = readAll(c, ref, o, sets)
	return logps, c.Path(), 0, err
}

// Bring is pass one: it opens the reference's cache in dir, computes what is missing of the sets of examples and returns
// the log-probs of each set. path is the cache file. When ctx ends it stops; what was computed stays in the cache. While
// another process computes for the same cache it waits.
func Bring(ctx context.Context, ref Reference, dir string, o Options, sets ...[]data.Example) (logps [][]Logps, path string, st Stats, err error) {
	c, err := ref.open(dir, o, sets...)
	if err != nil {
		return nil, "", st, err
	}
	defer c.Close()
	st, err = fill(ctx, c, ref, slices.Concat(sets...), o)
	if err != nil {
		return nil, c.Path(), st, err
	}
	logps, err = readAll(c, ref, o, sets)
	return logps, c.Path(), st, err
}

// readAll reads what is asked for of sets of examples out of the cache.
func readAll(c *refcache.Cache, ref Reference, o Options, sets [][]data.Example) (logps [][]Logps, err error) {
	for _, set := range sets {
		l, err := read(c, ref, set, o)
		if err != nil {
			return nil, err
		}
		logps = append(logps, l)
	}
	return logps, nil
}
