// Package score brings the reference's log-probs of examples: from the cache on disk where they are, else from a
// forward pass of the reference model, which puts them there. That is pass one.
//
// Bring is given a Reference, which need not be loaded while nothing is missing, and sets of examples. It gives back
// a Table of Logps for each: for each example, for each of its sequences, the sum in nats over the scored tokens, float64, added in order of
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
	"slices"
	"time"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/refcache"
)

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
func Keys(x data.Examples) []refcache.Key {
	keys := make([]refcache.Key, 0, 2*x.Len())
	for _, e := range data.All(x) {
		for _, s := range e.Sequences {
			keys = append(keys, refcache.KeyOf(s.IDs, s.First))
		}
	}
	return slices.Clip(keys)
}

// fill computes what the cache, opened with the examples' keys, lacks. When ctx ends it stops after the micro-batch at
// hand; what was computed stays in the cache.
func fill(ctx context.Context, c *refcache.Cache, ref Reference, x data.Examples, o Options) (st Stats, err error) {
	st, _ = missing(c, x)
	if st.Computed == 0 {
		return st, nil
	}
	// The model comes first: where there is none, no file is made.
	m, err := ref.Load()
	if err != nil {
		what := "log-probs"
		if o.Entropies {
			what = "entropies"
		}
		return st, fmt.Errorf("%d of %d rows have no %s in %s: %w", st.ComputedPairs, x.Len(), what, c.Path(), err)
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
	st, todo := missing(c, x) // another process may have computed some by now
	if st.Computed == 0 {
		return st, nil
	}
	graph, err := m.NewGraph(o.Graph)
	if err != nil {
		return st, err
	}
	defer graph.Close()
	rows := make([]int, len(todo))
	for i, k := range todo {
		rows[i] = data.Rows(ofReference(x.At(k)))
	}
	if o.Started != nil {
		o.Started(st.Computed)
	}
	f := filler{cache: c, writer: w, entropies: o.Entropies}
	start := time.Now()
	synced := start
	for _, r := range plan.Cut(rows, o.MicroBatchTokens) {
		if err := ctx.Err(); err != nil {
			return st, fmt.Errorf("pass one stopped; what was computed is in %s: %w", c.Path(), err)
		}
		together := make([]*data.Example, 0, r.To-r.From)
		for _, k := range todo[r.From:r.To] {
			together = append(together, ofReference(x.At(k)))
		}
		done, tokens, err := f.compute(graph, together)
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

// missing says how many sequences and examples are to compute, and which examples: those that bring a missing sequence for the first time.
func missing(c *refcache.Cache, x data.Examples) (st Stats, todo []int) {
	absent := c.Missing()
	st.Computed = len(absent)
	st.Reused = c.Different() - st.Computed
	if st.Computed == 0 {
		st.ReusedPairs = x.Len()
		return st, nil
	}
	at := 0 // of the example's first sequence among all
	for i, e := range data.All(x) {
		fresh, lacks := false, false
		for _, s := range e.Sequences {
			if len(absent) > 0 && absent[0] == at {
				absent, fresh = absent[1:], true
			}
			lacks = lacks || !c.Has(refcache.KeyOf(s.IDs, s.First))
			at++
		}
		if fresh {
			todo = append(todo, i)
		}
		if lacks {
			st.ComputedPairs++
		} else {
			st.ReusedPairs++
		}
	}
	return st, todo
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
	cache     *refcache.Cache
	writer    *refcache.Writer
	entropies bool // go into the cache too
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
			if !f.cache.Has(k) {
				var further [][]float32
				if f.entropies {
					further = entropies[n : n+1]
				}
				if err := f.writer.Append(k, logps[n], further...); err != nil {
					return done, tokens, fmt.Errorf("%s: %w", e.Place(), err)
				}
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

// read reads what is asked for of every example out of the cache, which was opened with the fields of o.
func read(c *refcache.Cache, ref Reference, x data.Examples, o Options) (*Table, error) {
	t := newTable(x.Len(), ref.Vocab, o)
	for _, e := range data.All(x) {
		for _, s := range e.Sequences {
			fields, ok, err := c.Read(refcache.KeyOf(s.IDs, s.First))
			if err != nil {
				return nil, err
			}
			short := func(values []float32) bool { return len(values) != len(s.IDs)-s.First }
			if !ok || slices.ContainsFunc(fields, short) {
				return nil, fmt.Errorf("%s: %s has no log-probs for this row; run \"dpotrain precompute-ref\" again", e.Place(), c.Path())
			}
			t.add(fields[0], fields[len(fields)-1])
		}
		t.end()
	}
	return t, nil
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
func Compute(ctx context.Context, g *model.Graph, examples []*data.Example, o Options, progress func(examples int)) (*Table, error) {
	rows, list := make([]int, len(examples)), make([]*data.Example, len(examples))
	for i, e := range examples {
		list[i] = ofReference(e)
		rows[i] = data.Rows(list[i])
	}
	var (
		packer data.Packer
		batch  compute.Batch
		all    = newTable(len(examples), g.Vocab(), o)
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
			for range e.Sequences {
				all.add(logps[n], entropies[n])
				n++
			}
			all.end()
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

// open opens the reference's cache in dir for examples.
func (ref Reference) open(dir string, o Options, x data.Examples) (*refcache.Cache, error) {
	facts := refcache.Facts{Model: ref.Name, Precision: ref.Precision, Kernels: ref.Family}
	return refcache.Open(dir, refcache.Fingerprint(ref.Digest.Fingerprint(ref.Precision, ref.Family)), facts, Keys(x), o.fields()...)
}

// AnyCache says that there are cache files in dir, of whatever reference.
func AnyCache(dir string) bool { return refcache.Any(dir) }

// Find reads the log-probs of sets of examples if the reference's cache in dir has all of them, without computing any; else missing is the
// number of sequences that it lacks. path is the cache file.
func Find(ref Reference, dir string, o Options, sets ...data.Examples) (logps []*Table, path string, missing int, err error) {
	c, err := ref.open(dir, o, data.Join(sets...))
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
func Bring(ctx context.Context, ref Reference, dir string, o Options, sets ...data.Examples) (logps []*Table, path string, st Stats, err error) {
	all := data.Join(sets...)
	c, err := ref.open(dir, o, all)
	if err != nil {
		return nil, "", st, err
	}
	defer c.Close()
	st, err = fill(ctx, c, ref, all, o)
	if err != nil {
		return nil, c.Path(), st, err
	}
	logps, err = readAll(c, ref, o, sets)
	return logps, c.Path(), st, err
}

// readAll reads what is asked for of sets of examples out of the cache.
func readAll(c *refcache.Cache, ref Reference, o Options, sets []data.Examples) (logps []*Table, err error) {
	for _, set := range sets {
		t, err := read(c, ref, set, o)
		if err != nil {
			return nil, err
		}
		logps = append(logps, t)
	}
	return logps, nil
}
