package score

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/refcache"
	"dpotrain/internal/testfiles"
)

// fixture is the reference models/llama of testdata on a device, and pairs read with its tokenizer.
type fixture struct {
	dev         compute.Device
	model       *model.Model
	reference   Reference
	train, eval data.Slice // pairs.jsonl and pairs_eval.jsonl: 60 and 20 pairs, no two sequences alike
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	dir := testfiles.Path(t, "models", "llama")
	dev, err := cpu.New(compute.Options{CPU: "auto", Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	m, err := model.Load(dir, dev)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{dev: dev, model: m}
	f.reference = Reference{Name: "llama", Digest: m.Digest(), Family: dev.Family(), Precision: "fp32", Vocab: m.Config.Spec.Vocab, Load: func() (*model.Model, error) { return m, nil }}
	f.train, f.eval = load(t, dir, "pairs.jsonl"), load(t, dir, "pairs_eval.jsonl")
	return f
}

func load(t *testing.T, dir, file string) data.Slice {
	t.Helper()
	r, err := data.Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	set, err := r.Load(t.Context(), testfiles.Path(t, file), data.Pairs, data.Options{MaxLength: 1024, TruncationMode: "keep_start"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set.Examples.(data.Slice)
}

// other is the same reference as another process would see it, with a device of its own.
func (f *fixture) other(t *testing.T) Reference {
	t.Helper()
	return newFixture(t).reference
}

// noModel is the reference when its folder is gone.
func (f *fixture) noModel() Reference {
	r := f.reference
	r.Load = func() (*model.Model, error) { return nil, errors.New("llama: no such folder; give --ref") }
	return r
}

// fresh computes the log-probs of examples one by one, with no cache.
func (f *fixture) fresh(t *testing.T, examples []data.Example) []Logps {
	t.Helper()
	g, err := f.model.NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var b compute.Batch
	all := make([]Logps, len(examples))
	for i := range examples {
		data.Packer{}.Pack(&b, []*data.Example{&examples[i]})
		out, err := g.Forward(&b)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = Logps{Sums: slices.Clone(out.Logps)}
	}
	return all
}

// same reports whether sums are the same bits.
func same(a, b []Logps) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i].Sums) != len(b[i].Sums) {
			return false
		}
		for j := range a[i].Sums {
			if math.Float64bits(a[i].Sums[j]) != math.Float64bits(b[i].Sums[j]) {
				return false
			}
		}
	}
	return true
}

// options with a micro-batch of about three pairs.
var options = Options{MicroBatchTokens: 200}

func bring(t *testing.T, ref Reference, dir string, o Options, sets ...data.Slice) (logps [][]Logps, st Stats) {
	t.Helper()
	var list []data.Examples
	for _, set := range sets {
		list = append(list, set)
	}
	tables, _, st, err := Bring(context.Background(), ref, dir, o, list...)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		logps = append(logps, table.All())
	}
	return logps, st
}

// counts are the stats that do not depend on time.
func counts(st Stats) [4]int {
	return [4]int{st.Computed, st.ComputedPairs, st.Reused, st.ReusedPairs}
}

func TestBring(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	var started, sequences, tokens, batches int
	o := options
	o.Started = func(n int) { started = n }
	o.Progress = func(s, n int) { sequences, tokens, batches = sequences+s, tokens+n, batches+1 }
	logps, st := bring(t, f.reference, dir, o, f.train, f.eval)
	if len(logps) != 2 || !same(logps[0], f.fresh(t, f.train)) || !same(logps[1], f.fresh(t, f.eval)) {
		t.Error("log-probs differ from those of a forward pass without a cache")
	}
	rows := 0
	for _, e := range data.All(data.Join(f.train, f.eval)) {
		rows += data.Rows(e)
	}
	if got := counts(st); got != [4]int{160, 80, 0, 0} || st.Tokens != int64(rows) || st.Duration <= 0 {
		t.Errorf("computed, reused: %v, %d tokens, %v; want 160 sequences, 80 pairs, %d tokens", got, st.Tokens, st.Duration, rows)
	}
	if started != 160 || sequences != 160 || tokens != rows || batches < 20 {
		t.Errorf("started with %d, progress of %d sequences, %d tokens in %d batches; want 160, 160, %d, at least 20", started, sequences, tokens, batches, rows)
	}

	// The second time nothing is computed, and the model is not asked for.
	o.Started = func(int) { t.Error("something is computed again") }
	again, st := bring(t, f.noModel(), dir, o, f.train, f.eval)
	if !reflect.DeepEqual(again, logps) {
		t.Error("the cache gives other log-probs than it was filled with")
	}
	if got := counts(st); got != [4]int{0, 0, 160, 80} || st.Tokens != 0 {
		t.Errorf("the second time: %v, %d tokens", got, st.Tokens)
	}

	// Neither the order of sets nor the size of micro-batches matters.
	swapped, _ := bring(t, f.noModel(), dir, options, f.eval, nil, f.train)
	if !same(swapped[0], logps[1]) || len(swapped[1]) != 0 || !same(swapped[2], logps[0]) {
		t.Error("sets in another order get other log-probs")
	}
	for _, budget := range []int{1, 77, 100000} {
		other, _ := bring(t, f.reference, t.TempDir(), Options{MicroBatchTokens: budget}, f.train)
		if !same(other[0], logps[0]) {
			t.Errorf("micro-batches of %d rows give other bits", budget)
		}
	}
}

// TestCounts brings examples that share sequences. The prompts' ids are 10 and 11.
func TestCounts(t *testing.T) {
	f := newFixture(t)
	seq := func(completion ...int32) data.Sequence {
		return data.Sequence{IDs: append([]int32{10, 11}, completion...), First: 2}
	}
	a, b, c, d := seq(20), seq(21, 22), seq(23), seq(24)
	shorter := data.Sequence{IDs: []int32{10, 11, 20}, First: 1} // the ids of a, but more of them are scored
	pair := func(x, y data.Sequence) data.Example { return data.Example{Sequences: []data.Sequence{x, y}} }
	dir := t.TempDir()
	for _, k := range []struct {
		name     string
		examples data.Slice
		want     [4]int // sequences and pairs computed, sequences and pairs reused
		tokens   int64  // rows computed: of every pair with something new, once
	}{
		{"nothing", nil, [4]int{}, 0},
		{"one", data.Slice{pair(a, b)}, [4]int{2, 1, 0, 0}, 3},
		{"the same again", data.Slice{pair(a, b)}, [4]int{0, 0, 2, 1}, 0},
		{"one side is new", data.Slice{pair(a, c)}, [4]int{1, 1, 1, 0}, 2},
		{"all its sides are there, from different pairs", data.Slice{pair(b, c)}, [4]int{0, 0, 2, 1}, 0},
		{"one pair twice, one sequence in all", data.Slice{pair(a, d), pair(a, d), pair(b, c)}, [4]int{1, 2, 3, 1}, 2},
		{"a new sequence in two pairs", data.Slice{pair(a, seq(26)), pair(seq(26), seq(27, 28))}, [4]int{2, 2, 1, 0}, 2 + 3},
		{"another border is another sequence", data.Slice{pair(shorter, b)}, [4]int{1, 1, 1, 0}, 1 + 1 + 2},
		{"a single completion", data.Slice{{Sequences: []data.Sequence{seq(25)}}, {Sequences: []data.Sequence{a}}}, [4]int{1, 1, 1, 1}, 2},
	} {
		started, progress := 0, 0
		o := options
		o.Started = func(n int) { started += n }
		o.Progress = func(n, _ int) { progress += n }
		logps, st := bring(t, f.reference, dir, o, k.examples)
		if got := counts(st); got != k.want || st.Tokens != k.tokens {
			t.Errorf("%s: %v, %d tokens; want %v, %d", k.name, got, st.Tokens, k.want, k.tokens)
		}
		if started != st.Computed || progress != st.Computed {
			t.Errorf("%s: started with %d, progress of %d, %d sequences computed", k.name, started, progress, st.Computed)
		}
		if !same(logps[0], f.fresh(t, k.examples)) {
			t.Errorf("%s: log-probs differ from those of a forward pass", k.name)
		}
	}
}

// TestStopped ends pass one in the middle, goes on, and has what one pass would have had.
func TestStopped(t *testing.T) {
	f := newFixture(t)
	whole, _ := bring(t, f.reference, t.TempDir(), options, f.train)
	dir := t.TempDir()
	inCache := 0
	for round, after := range []int{0, 1, 3} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		if after == 0 {
			cancel()
		}
		done, batches := 0, 0
		o := options
		o.Progress = func(n, _ int) {
			done += n
			if batches++; batches == after {
				cancel()
			}
		}
		_, path, st, err := Bring(ctx, f.reference, dir, o, f.train)
		if !errors.Is(err, context.Canceled) || batches != after {
			t.Fatalf("round %d: error %v after %d batches, want a stop after %d", round, err, batches, after)
		}
		if round > 0 && !strings.Contains(err.Error(), "pass one stopped; what was computed is in "+path) {
			t.Errorf("round %d: %v", round, err)
		}
		if round > 0 && st.Computed+st.Reused != 120 {
			t.Errorf("round %d: %v, want 120 sequences in all", round, counts(st))
		}
		inCache += done
		if got := 120 - len(missingOf(t, f.reference, dir, f.train)); got != inCache {
			t.Fatalf("round %d: %d sequences are in the cache, want the %d that were computed", round, got, inCache)
		}
	}
	if inCache == 0 || inCache >= 120 {
		t.Fatalf("%d sequences in the cache: the stops were not in the middle", inCache)
	}
	logps, st := bring(t, f.reference, dir, options, f.train)
	if st.Computed != 120-inCache || st.Reused != inCache || !same(logps[0], whole[0]) {
		t.Errorf("%v, same bits %v; want %d computed, %d reused", counts(st), same(logps[0], whole[0]), 120-inCache, inCache)
	}
}

// missingOf are the sequences that a reference's cache lacks of examples.
func missingOf(t *testing.T, ref Reference, dir string, examples data.Slice) []int {
	t.Helper()
	return openCache(t, ref, dir, examples).Missing()
}

func openCache(t *testing.T, ref Reference, dir string, examples data.Slice) *refcache.Cache {
	t.Helper()
	c, err := refcache.Open(dir, refcache.Fingerprint(ref.Digest.Fingerprint(ref.Precision, ref.Family)), refcache.Facts{}, Keys(examples))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestTwoAtOnce runs pass one twice at once on one cache: the second waits, and computes what the first has left.
func TestTwoAtOnce(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		pairs int // of the second
		want  [4]int
	}{{60, [4]int{40, 20, 80, 40}}, {30, [4]int{0, 0, 60, 30}}} {
		testTwoAtOnce(t, f, f.other(t), c.pairs, c.want)
	}
}

func testTwoAtOnce(t *testing.T, f *fixture, other Reference, pairs int, want [4]int) {
	dir := t.TempDir()
	waiting := make(chan bool)
	var once sync.Once
	first := options
	first.Progress = func(int, int) {
		once.Do(func() { // the lock is held: let the other one come to it
			select {
			case <-waiting:
			case <-time.After(time.Minute):
				t.Error("the second pass does not wait")
			}
		})
	}
	type result struct {
		logps []*Table
		st    Stats
		err   error
	}
	results := make(chan result)
	begun := make(chan bool)
	first.Started = func(int) { close(begun) }
	go func() {
		logps, _, st, err := Bring(context.Background(), f.reference, dir, first, f.train[:40])
		results <- result{logps, st, err}
	}()
	<-begun
	second := options
	second.Waiting = func() { close(waiting) }
	started := 0
	second.Started = func(n int) {
		if started += n; n == 0 {
			t.Error("nothing is begun")
		}
	}
	logps, _, st, err := Bring(context.Background(), other, dir, second, f.train[:pairs])
	r := <-results
	if err != nil || r.err != nil {
		t.Fatal(err, r.err)
	}
	if counts(r.st) != [4]int{80, 40, 0, 0} || counts(st) != want || started != want[0] {
		t.Errorf("first %v, second %v, which began with %d; want 40 pairs computed, then %v", counts(r.st), counts(st), started, want)
	}
	if want := f.fresh(t, f.train); !same(logps[0].All(), want[:pairs]) || !same(r.logps[0].All(), want[:40]) {
		t.Error("log-probs differ from those of a forward pass")
	}
}

// TestStoppedWhileWaiting gives up waiting for another process.
func TestStoppedWhileWaiting(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	w, err := openCache(t, f.reference, dir, f.train).Lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithCancel(context.Background())
	o := options
	o.Waiting = cancel
	if _, _, _, err := Bring(ctx, f.reference, dir, o, f.train); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was canceled", err)
	}
}

// TestNoReference has no model to compute what is missing with: the error says how many rows, and makes no file.
func TestNoReference(t *testing.T) {
	f := newFixture(t)
	dir := filepath.Join(t.TempDir(), "cache")
	_, path, _, err := Bring(context.Background(), f.noModel(), dir, options, f.train, f.eval)
	want := "80 of 80 rows have no log-probs in " + path + ": llama: no such folder; give --ref"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s was made, error %v", dir, err)
	}
	bring(t, f.reference, dir, options, f.train[:55])
	_, path, _, err = Bring(context.Background(), f.noModel(), dir, options, f.train, f.eval)
	if want := "25 of 80 rows have no log-probs in " + path + ": llama: no such folder; give --ref"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	logps, _ := bring(t, f.noModel(), dir, options, f.train[:55]) // what is there is enough
	if !same(logps[0], f.fresh(t, f.train[:55])) {
		t.Error("log-probs differ from those of a forward pass")
	}
}

// TestAnotherReference has a cache file of its own: other weights, precision or kernels.
func TestAnotherReference(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	examples := f.eval[:5]
	bring(t, f.reference, dir, options, examples)
	tuned := *f
	weight := f.model.Params[0]
	values := f.model.Values(f.model.W, weight)
	values[0] += 0.5
	f.model.SetValues(f.model.W, weight, values)
	tuned.reference.Digest = f.model.Digest()
	for _, ref := range []Reference{
		tuned.reference,
		{Digest: f.reference.Digest, Family: "cpu-other", Precision: "fp32", Load: f.reference.Load},
		{Digest: f.reference.Digest, Family: f.reference.Family, Precision: "bf16", Load: f.reference.Load},
	} {
		if _, st := bring(t, ref, dir, options, examples); counts(st) != [4]int{10, 5, 0, 0} {
			t.Errorf("%s, %s: %v, want all computed", ref.Family, ref.Precision, counts(st))
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.refs"))
	if err != nil || len(files) != 4 {
		t.Errorf("%d cache files, error %v; want 4", len(files), err)
	}
}

// TestNotFinite names the row for which the reference gives no number, and keeps what was computed before.
func TestNotFinite(t *testing.T) {
	f := newFixture(t)
	m, err := model.Load(testfiles.Path(t, "models", "gpt2-untied"), f.dev)
	if err != nil {
		t.Fatal(err)
	}
	const id = 77 // in row 3 alone
	var examples data.Slice
	for i, prompt := range []int32{10, 11, id, 12, 13} {
		pair := []data.Sequence{{IDs: []int32{9, prompt, 20, 21}, First: 2}, {IDs: []int32{9, prompt, 30}, First: 2}}
		examples = append(examples, data.Example{File: "pairs.jsonl", Line: i + 1, Sequences: pair})
	}
	// The embedding is not the head: the other rows do not depend on the id's.
	at := slices.IndexFunc(m.Params, func(p model.Param) bool { return strings.HasSuffix(p.Name, "wte.weight") })
	embedding := m.Params[at]
	values := m.Values(m.W, embedding)
	width := embedding.Shape[1]
	for i := range width {
		values[id*width+i] = float32(math.NaN())
	}
	m.SetValues(m.W, embedding, values)
	ref := Reference{Digest: m.Digest(), Family: f.dev.Family(), Precision: "fp32", Load: func() (*model.Model, error) { return m, nil }}

	dir := t.TempDir()
	_, path, _, err := Bring(context.Background(), ref, dir, Options{MicroBatchTokens: 1}, examples)
	prefix := fmt.Sprintf("pairs.jsonl:3: %s: log-prob ", path)
	if err == nil || !strings.HasPrefix(err.Error(), prefix) || !strings.HasSuffix(err.Error(), "the reference gives no finite number here") {
		t.Errorf("%s of id %d: error %v, want %s...", embedding.Name, id, err, prefix)
	}
	for i, want := range []int{0, 0, 2, 2, 2} {
		if got := len(missingOf(t, ref, dir, examples[i:i+1])); got != want {
			t.Errorf("row %d: %d sequences are missing, want %d", i+1, got, want)
		}
	}
}

// TestFurther asks for more than sums: the tokens' log-probs, and entropies, which a cache without them gets by computing again.
func TestFurther(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	o := options
	o.Tokens, o.Entropies = true, true
	plain, _ := bring(t, f.reference, dir, options, f.train[:20])
	logps, st := bring(t, f.reference, dir, o, f.train)
	if got := counts(st); got != [4]int{120, 60, 0, 0} {
		t.Errorf("computed, reused: %v; want 120 sequences computed, for none had entropies", got)
	}
	g, err := f.model.NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var b compute.Batch
	for i, l := range logps[0] {
		data.Packer{}.Pack(&b, []*data.Example{&f.train[i]})
		out, err := g.Forward(&b)
		if err != nil {
			t.Fatal(err)
		}
		want := Logps{Sums: slices.Clone(out.Logps), Tokens: make([][]float32, 2), Entropies: make([]float64, 2), LogVocab: math.Log(float64(f.model.Config.Spec.Vocab))}
		for k, target := range b.Targets {
			want.Tokens[target.Sequence] = append(want.Tokens[target.Sequence], float32(out.TokenLogps[k]))
			want.Entropies[target.Sequence] += float64(float32(out.Entropy[k]))
		}
		if !reflect.DeepEqual(l, want) {
			t.Fatalf("pair %d: %+v, want %+v", i, l, want)
		}
		if e := l.Entropies[0] / float64(len(l.Tokens[0])); !(e > 0 && e < l.LogVocab) {
			t.Errorf("pair %d: entropy %v nats a token", i, e)
		}
	}
	again, st := bring(t, f.noModel(), dir, o, f.train)
	if counts(st) != [4]int{0, 0, 120, 60} || !reflect.DeepEqual(again, logps) {
		t.Errorf("the second time: %v, same %v", counts(st), reflect.DeepEqual(again, logps))
	}
	if sums, st := bring(t, f.noModel(), dir, options, f.train[:20]); st.Computed != 0 || !reflect.DeepEqual(sums, plain) {
		t.Errorf("sums alone: %d computed, same %v", st.Computed, reflect.DeepEqual(sums, plain))
	}
}

// TestReadMissing is what reading says of a row that nobody computed.
func TestReadMissing(t *testing.T) {
	f := newFixture(t)
	c := openCache(t, f.reference, t.TempDir(), f.eval)
	want := fmt.Sprintf("%s:4: %s has no log-probs for this row; run \"dpotrain precompute-ref\" again", testfiles.Path(t, "pairs_eval.jsonl"), c.Path())
	if _, err := read(c, f.reference, f.eval[3:], Options{}); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	// A record of another length belongs to another sequence, however its key came about.
	w, err := c.Lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys(f.eval[3:4]) {
		if err := w.Append(k, []float32{-1}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := read(c, f.reference, f.eval[3:], Options{}); err == nil || err.Error() != want {
		t.Errorf("records of one log-prob: error %v, want %s", err, want)
	}
}

// TestSumsOrder adds per-token log-probs in float64 in the order of the tokens: 2^-60 is lost behind a 1 and is not when it
// comes first, twice.
func TestSumsOrder(t *testing.T) {
	f := newFixture(t)
	e := data.Example{Sequences: []data.Sequence{{IDs: []int32{1, 2, 3, 4}, First: 1}, {IDs: []int32{1, 3, 4, 2}, First: 1}}}
	c := openCache(t, f.reference, t.TempDir(), data.Slice{e})
	w, err := c.Lock(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const tiny = 1.0 / (1 << 53)
	keys := Keys(data.Slice{e})
	for i, logps := range [][]float32{{-1, -tiny, -tiny}, {-tiny, -tiny, -1}} {
		if err := w.Append(keys[i], logps); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := read(c, f.reference, data.Slice{e}, Options{})
	// 1 + 2^-53 rounds to the even 1, twice; 2^-53 + 2^-53 + 1 is 1 + 2^-52.
	if want := []Logps{{Sums: []float64{-1, -1 - 2*tiny}}}; err != nil || !same(got.All(), want) {
		t.Errorf("%v, error %v; want %v", got, err, want)
	}
}

// TestCompute: without the cache a model says the same bits of examples, in any order and however they are cut.
func TestCompute(t *testing.T) {
	f := newFixture(t)
	g, err := f.model.NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	o := options
	o.Entropies = true
	cached, _ := bring(t, f.reference, t.TempDir(), o, f.train)
	want := slices.Clone(cached[0])
	var list []*data.Example
	for i := range f.train {
		list = append(list, &f.train[len(f.train)-1-i])
	}
	slices.Reverse(want)
	for _, tokens := range []int{1, 200, 1 << 20} {
		seen := 0
		got, err := Compute(context.Background(), g, list, Options{Entropies: true, MicroBatchTokens: tokens}, func(n int) { seen += n })
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.All(), want) || seen != len(list) {
			t.Errorf("%d rows at a time: other numbers, or %d of %d examples", tokens, seen, len(list))
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Compute(ctx, g, list, Options{MicroBatchTokens: 1}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of the context: %v", err)
	}
}

// TestFind: the log-probs of the cache, if it has all of them; it is not written to, and the model is not asked for.
func TestFind(t *testing.T) {
	f := newFixture(t)
	dir := t.TempDir()
	if AnyCache(dir) || AnyCache(filepath.Join(dir, "none")) {
		t.Error("there is a cache in an empty folder")
	}
	logps, path, missing, err := Find(f.noModel(), dir, Options{}, f.train, f.eval)
	if err != nil || logps != nil || missing == 0 || AnyCache(dir) {
		t.Errorf("in an empty folder: %v, %d missing, %v", logps, missing, err)
	}
	bring(t, f.reference, dir, options, f.train)
	if _, p, missing, err := Find(f.noModel(), dir, Options{}, f.train, f.eval); err != nil || missing == 0 || p != path || !AnyCache(dir) {
		t.Errorf("with a part: %d missing in %s, %v", missing, p, err)
	}
	want, _ := bring(t, f.reference, dir, options, f.train, f.eval)
	logps, _, missing, err = Find(f.noModel(), dir, Options{}, f.train, f.eval)
	if err != nil || missing != 0 || len(logps) != 2 || !same(logps[0].All(), want[0]) || !same(logps[1].All(), want[1]) {
		t.Errorf("with all: %d missing, %v, or other log-probs", missing, err)
	}
}
