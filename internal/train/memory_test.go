package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/compute"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/plan"
	"dpotrain/internal/testfiles"
)

// smol is the config.json of SmolLM2-135M, as far as sizes go.
const smol = `{"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
"vocab_size": 49152, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true}`

// ids are n of them, a function of n.
func ids(n int) []int32 {
	list := make([]int32, n)
	for i := range list {
		list[i] = int32(i*7 + n)
	}
	return list
}

// pair is an example of two sequences with a common prompt.
func pair(prompt, chosen, rejected int) data.Example {
	p := ids(prompt)
	return data.Example{Sequences: []data.Sequence{{IDs: slices.Concat(p, ids(chosen)), First: prompt}, {IDs: slices.Concat(p, ids(rejected)), First: prompt}}}
}

// smolPlanner plans DPO on 200 pairs of up to some 500 rows.
func smolPlanner(t *testing.T) *planner {
	t.Helper()
	c, err := model.ParseConfig("config.json", []byte(smol))
	if err != nil {
		t.Fatal(err)
	}
	o := defaults(t)
	o.NumTrainEpochs = 2
	r := rand.New(rand.NewPCG(2, 2))
	p := &planner{o: o, dev: device(t, 2), policy: c, reference: c, tokens: 49152}
	var pairs data.Slice
	for range 200 {
		pairs = append(pairs, pair(20+r.IntN(100), 10+r.IntN(200), 10+r.IntN(200)))
	}
	p.train, p.eval = pairs, pairs[:20]
	s := newSchedule(&p.o, p.train.Len())
	p.training = &s
	return p
}

func total(x planned) int64 { return plan.Peak(x.phases).Total() }

// TestPlanParts works out by hand what a plan says of SmolLM2-135M.
func TestPlanParts(t *testing.T) {
	p := smolPlanner(t)
	p.train, p.eval = data.Slice{pair(100, 200, 150)}, data.Slice{} // 100 + 199 + 149 = 448 rows, of which 99 predict nothing
	s := newSchedule(&p.o, 1)
	p.training = &s
	const parameters = 134515008
	parts := func() map[string]int64 {
		x, ok := p.fit(0)
		if !ok || x.budget != 2048 {
			t.Fatalf("without a limit: %v, %d rows together", ok, x.budget)
		}
		list := map[string]int64{}
		for _, part := range x.phases[1].Parts {
			list[part.Name] = part.Bytes
		}
		return list
	}
	const stride = 49152 + 16
	const perRow = 576 + 960 + 576 + 9 + 576 + 3072 + 2 // a block's output, queries keys and values, attention, its log-sum-exp, the stream after it, gate and up, norms
	got := parts()
	for name, want := range map[string]int64{
		"weights": 4 * parameters, "gradients": 4 * parameters, "optimizer": 8 * parameters,
		"activations": 4 * 448 * (30*perRow + 2*576),  // the embedding's output and the gradient
		"head":        4 * 349 * (4*576 + 1 + stride), // 349 scored rows: two for the norm, two for gradients
	} {
		if got[name] != want {
			t.Errorf("%s: %d bytes, want %d", name, got[name], want)
		}
	}
	without := got["reference log-probs"]
	p.needs.TokenWeights = true
	if more := parts()["reference log-probs"] - without; more != 2*24+4*350 {
		t.Errorf("the log-probs of 350 scored tokens take %d bytes, want %d", more, 2*24+4*350)
	}
	p.needs.TokenWeights = false
	p.o.Optim, p.o.GradientCheckpointing = adamWBF16, true
	got = parts()
	for name, want := range map[string]int64{"optimizer": 4 * parameters, "activations": 4 * 448 * (30*576 + perRow - 576 + 2*576)} {
		if got[name] != want {
			t.Errorf("with less memory, %s: %d bytes, want %d", name, got[name], want)
		}
	}
}

// TestFit: what is chosen fits, and everything that would be faster does not.
func TestFit(t *testing.T) {
	p := smolPlanner(t)
	var all []planned // from the fastest on
	for _, x := range p.sized() {
		for x.held = 0; x.held <= fewestLogits; x.held++ {
			p.complete(&x)
			all = append(all, x)
		}
	}
	if len(all) != 24 || all[0].budget != 2048 || all[23].budget != 64 {
		t.Fatalf("%d choices from %d rows to %d", len(all), all[0].budget, all[len(all)-1].budget)
	}
	longest := 0
	for _, s := range sizesOf(p.train).whole {
		longest = max(longest, int(s.rows))
	}
	for i, x := range all {
		if x.train.Rows > max(x.budget, longest) || i > 0 && x.budget == all[i-1].budget && total(x) > total(all[i-1]) {
			t.Errorf("%d rows, held %d: micro-batches of %+v, %d bytes after %d", x.budget, x.held, x.train, total(x), total(all[max(0, i-1)]))
		}
		got, ok := p.fit(total(x))
		want := slices.IndexFunc(all, func(y planned) bool { return total(y) <= total(x) })
		if !ok || got.budget != all[want].budget || got.held != all[want].held || total(got) > total(x) {
			t.Errorf("with room for %d rows, held %d: chose %d and %d, want %d and %d", x.budget, x.held, got.budget, got.held, all[want].budget, all[want].held)
		}
	}
	if total(all[0]) < total(all[23])*5/4 {
		t.Errorf("the fastest takes %d bytes, the smallest %d: the test shows little", total(all[0]), total(all[23]))
	}
	if _, ok := p.fit(total(all[23]) - 1); ok {
		t.Error("something fits into less than the least")
	}
	p.o.MicroBatchTokens = 700
	if x, ok := p.fit(total(all[0])); !ok || x.budget != 700 {
		t.Errorf("micro_batch_tokens 700 became %d", x.budget)
	}
}

// TestLargestInTraining holds it against every micro-batch of a run.
func TestLargestInTraining(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for round := range 200 {
		sizes := make([]size, 1+r.IntN(20))
		for i := range sizes {
			sizes[i] = size{1 + r.Int32N(9), 1 + r.Int32N(5), 1 + r.Int32N(9)}
		}
		o := defaults(t)
		o.PerDeviceTrainBatchSize, o.NumTrainEpochs, o.Rows.Shuffle = 1+r.IntN(6), 0.5+3*r.Float64(), round%2 == 0
		s, budgets := newSchedule(&o, len(sizes)), []int{1 + r.IntN(30), 1 + r.IntN(30)}
		want := make([]plan.Size, len(budgets))
		for step := range s.total {
			order := data.Order(len(sizes), o.Rows.Seed, step/s.stepsPerEpoch, o.Rows.Shuffle)
			at := step % s.stepsPerEpoch * s.batch
			var part []plan.Size
			for _, i := range order[at:min(at+s.batch, len(order))] {
				part = append(part, sizes[i].plan())
			}
			for i, budget := range budgets {
				want[i] = want[i].Max(plan.Largest(slices.Values(part), budget))
			}
		}
		if got := largestInTraining(sizes, &s, &o.Rows, budgets); !slices.Equal(got, want) {
			t.Fatalf("round %d: %+v, want %+v", round, got, want)
		}
	}
	// Of a run without end a bound is enough, and no more than the pairs and the budget allow.
	o := defaults(t)
	o.MaxSteps = 1 << 30
	s := newSchedule(&o, 3)
	if got, want := largestInTraining([]size{{5, 4, 9}, {700, 60, 8}, {400, 300, 7}}, &s, &o.Rows, []int{1000, 100}), []plan.Size{{Rows: 1000, Scored: 364, Length: 9}, {Rows: 700, Scored: 300, Length: 9}}; !slices.Equal(got, want) {
		t.Errorf("of a run without end: %+v, want %+v", got, want)
	}
}

// TestRefusal: a run that does not fit is refused with what takes less, how much less, and what is enough.
func TestRefusal(t *testing.T) {
	p := smolPlanner(t)
	least := func(change func(*Options)) int64 {
		q := *p
		change(&q.o)
		return q.least()
	}
	plain := least(func(*Options) {})
	checkpointed := least(func(o *Options) { o.GradientCheckpointing = true })
	both := least(func(o *Options) { o.GradientCheckpointing, o.Optim = true, adamWBF16 })
	for _, tt := range []struct {
		limit int64
		want  []string
	}{
		{plain - 1, []string{"gradient_checkpointing: true (", "optim: adamw_bf16 (", "max_length: ", "it fits with gradient_checkpointing: true"}},
		{checkpointed - 1, []string{"it fits with optim: adamw_bf16"}},
		{both, []string{"it fits with gradient_checkpointing: true and optim: adamw_bf16"}},
		{both - 20<<20, []string{"it fits with all of them and max_length: "}},
		{1 << 30, []string{"but all of it together does not fit either: take a smaller model, or a machine with more memory"}},
	} {
		p.o.MemoryLimit = strconv.FormatInt(tt.limit, 10)
		_, err := p.choose()
		if _, ok := errors.AsType[*UsageError](err); !ok {
			t.Fatalf("%d bytes: %v, want a UsageError", tt.limit, err)
		}
		contains(t, err.Error(), append(tt.want, "memory: the training takes ", "weights 513.1 MiB, gradients 513.1 MiB, ", "more than ", "(memory_limit: "+p.o.MemoryLimit+")")...)
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than a line: %v", err)
		}
	}
	// The max_length that is named is the largest multiple of 32 that is enough.
	limit := plain - 20<<20
	n, ok := p.shorter(limit)
	if !ok || n%32 != 0 || p.truncated(n).least() > limit || p.truncated(n+32).least() <= limit {
		t.Errorf("max_length %d, %v: %d bytes, and %d with 32 more; want %d", n, ok, p.truncated(n).least(), p.truncated(n+32).least(), limit)
	}
	// Who asks for large micro-batches is told so.
	p.o.MicroBatchTokens, p.o.MemoryLimit = 8192, strconv.FormatInt(plain, 10)
	_, err := p.choose()
	contains(t, fmt.Sprint(err), "smaller with no micro_batch_tokens (", "it fits with no micro_batch_tokens")
	// Nothing but the reference pass: there is nothing to recompute, and no optimizer.
	p = smolPlanner(t)
	p.policy, p.training, p.o.MemoryLimit = nil, nil, "500MB"
	_, err = p.choose()
	contains(t, fmt.Sprint(err), "memory: the reference pass takes ", "weights 513.1 MiB")
	if text := err.Error(); strings.Contains(text, "gradient") || strings.Contains(text, "adamw") {
		t.Errorf("%s: of a pass without gradients", text)
	}
	p.o.MemoryLimit = "lots"
	_, err = p.choose()
	contains(t, fmt.Sprint(err), "memory_limit: lots: want a size such as 3GiB")
}

// TestMemoryLimit: with less memory a run takes smaller micro-batches. They are what is resolved, so that a run that is resumed where there is
// more memory, or repeated with their size, gives the same bits.
func TestMemoryLimit(t *testing.T) {
	o := resumable(t)
	o.NumTrainEpochs, o.MicroBatchTokens, o.PerDeviceTrainBatchSize = 0.8, 0, 8
	free := mustRun(t, o)
	contains(t, free.stderr, "at most 2048 rows computed together", "memory: ")
	rows := 0
	for _, limit := range []string{"40MB", "38MB", "36MB", "35MB", "34MB", "33MB"} { // the tiny model takes little besides the program
		o := elsewhere(t, o)
		o.MemoryLimit = limit
		mustStop(t, o, 2)
		state := stateOf(t, lastCheckpoint(t, o.OutputDir))
		if rows = state.MicroBatchTokens; rows < 2048 {
			var was struct{ Options map[string]any }
			if err := json.Unmarshal(state.Settings, &was); err != nil {
				t.Fatal(err)
			}
			o.MemoryLimit, o.ResumeFromCheckpoint = plan.Auto, "latest"
			got := mustRun(t, o)
			contains(t, got.stderr, fmt.Sprintf("at most %d rows computed together", rows))
			again := elsewhere(t, o)
			again.ResumeFromCheckpoint, again.MicroBatchTokens = "", rows
			sameBits(t, got, mustRun(t, again))
			break
		}
	}
	if rows == 0 || rows >= 2048 {
		t.Errorf("micro-batches of %d rows with the least memory", rows)
	}
}

// TestReferenceIsReleased: the weights of a reference that is another model are garbage when training begins, and the reference pass has
// neither gradients nor an optimizer.
func TestReferenceIsReleased(t *testing.T) {
	o := tiny(t)
	o.MaxSteps, o.Compute.Threads = 1, 2
	config := filepath.Join(t.TempDir(), "config.json")
	// Four million parameters: 16 MB, far more than anything else here.
	const text = `{"model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4, "num_attention_heads": 4,
"vocab_size": 4096, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true}`
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	for i, dir := range []*string{&o.Model, &o.RefModel} {
		*dir = filepath.Join(t.TempDir(), "model")
		if _, err := Init(InitOptions{Config: config, Tokenizer: testfiles.Path(t, "models", "llama"), Output: *dir, Seed: uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	var before, loaded, after uint64
	heap := func() uint64 {
		runtime.GC()
		runtime.GC() // a pool's memory goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r := runnerOf(t, o)
	before = heap()
	if err := r.in.loadPolicy(r.Request, o.Model); err != nil {
		t.Fatal(err)
	}
	loaded = heap()
	weights := loaded - before
	if weights < 16e6 || weights > 20e6 {
		t.Fatalf("the policy takes %d bytes", weights)
	}
	if err := r.passOne(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if r.in.Policy.G != nil {
		t.Error("gradients before training")
	}
	if after = heap(); after > loaded+weights/4 {
		t.Errorf("%d bytes in use after the reference pass, %d before it: a model has %d", after, loaded, weights)
	}
}

// TestReferencePassAllocates: what the reference pass asks its device for is the weights and a forward graph, to the number.
func TestReferencePassAllocates(t *testing.T) {
	o := tiny(t)
	r := runnerOf(t, o)
	d := &countingDevice{Device: r.in.Device}
	r.in.Device = d
	ref, _, err := r.in.reference(r.Request, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := PassOne(t.Context(), r.Request, r.loss.Needs(), ref, r.planned.passGraph(), r.in.sets()...); err != nil {
		t.Fatal(err)
	}
	m := r.planned.reference.Memory(r.planned.passGraph())
	if want := int64(r.planned.reference.Parameters()) + m.Activations + m.Scratch + m.Head; d.numbers != want {
		t.Errorf("%d numbers, want %d: weights of %d and %+v", d.numbers, want, r.planned.reference.Parameters(), m)
	}
}

// countingDevice counts what is allocated on a device.
type countingDevice struct {
	compute.Device
	numbers int64
}

func (d *countingDevice) Alloc(n int) compute.Buffer {
	d.numbers += int64(n)
	return d.Device.Alloc(n)
}

func (d *countingDevice) AllocBF16(n int) compute.Buffer {
	d.numbers += int64(n)
	return d.Device.AllocBF16(n)
}

// runnerOf is a run of o that has read its data and planned its memory.
func runnerOf(t *testing.T, o Options) *runner {
	t.Helper()
	var err error
	r := &runner{Request: request(o, new(bytes.Buffer), new(bytes.Buffer), nil), epoch: -1}
	r.o = &r.Options
	if err = r.o.complete(); err != nil {
		t.Fatal(err)
	}
	if r.loss, err = loss.New(o.Loss, o.LossSettings); err != nil {
		t.Fatal(err)
	}
	if r.in, err = Open(t.Context(), r.Request, r.loss); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.in.Close)
	if err := r.choosePlan(nil); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestLongRun takes steps after the first hundred: under 100 KB of garbage each, and no more goroutines or memory in use than before. The tiny
// model takes 1,000; one of 30 blocks, which computes 13 pairs by themselves in each step, takes fewer.
func TestLongRun(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 1,100 steps")
	}
	deep := filepath.Join(t.TempDir(), "model")
	config := filepath.Join(t.TempDir(), "config.json")
	const text = `{"model_type": "llama", "hidden_size": 36, "intermediate_size": 96, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
"vocab_size": 320, "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "hidden_act": "silu", "tie_word_embeddings": true}`
	if err := os.WriteFile(config, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(InitOptions{Config: config, Tokenizer: testfiles.Path(t, "models", "llama"), Output: deep}); err != nil {
		t.Fatal(err)
	}
	type point struct {
		runtime.MemStats
		goroutines int
	}
	const intervals = 4 // a leak grows in all of them, the scratch memory of a worker that gets its first work late in one alone
	run := func(t *testing.T, o Options, from, to int) {
		t.Helper()
		o.MaxSteps, o.LoggingSteps, o.Compute.Threads = to, 10, 2
		var points []*point
		var out, errs bytes.Buffer
		err := Run(t.Context(), request(o, &out, &errs, func(text string) {
			for step := from; step <= to; step += (to - from) / intervals {
				if strings.HasPrefix(text, fmt.Sprintf("step %d/", step)) {
					p := &point{goroutines: runtime.NumGoroutine()}
					runtime.GC()
					runtime.GC() // what is in a sync.Pool is in use for two
					runtime.ReadMemStats(&p.MemStats)
					points = append(points, p)
				}
			}
		}))
		if err != nil || len(points) != intervals+1 {
			t.Fatalf("%d points, %v\n%s", len(points), err, errs.String())
		}
		a, b := points[0], points[intervals]
		garbage := (b.TotalAlloc - a.TotalAlloc) / uint64(to-from)
		t.Logf("%d bytes of garbage a step in %d pieces; in use %d bytes, then %d", garbage, (b.Mallocs-a.Mallocs)/uint64(to-from), a.HeapAlloc, b.HeapAlloc)
		if garbage > 100e3 {
			t.Errorf("%d bytes of garbage a step, want at most 100,000", garbage)
		}
		if b.goroutines > a.goroutines {
			t.Errorf("%d goroutines after %d steps, %d after %d", b.goroutines, to, a.goroutines, from)
		}
		var grown []int64
		for i, p := range points[1:] {
			grown = append(grown, int64(p.HeapAlloc)-int64(points[i].HeapAlloc))
		}
		if least := slices.Min(grown); least > 50e3 {
			t.Errorf("in %d steps memory in use grows by %d bytes and more: %v", (to-from)/intervals, least, grown)
		}
	}
	t.Run("tiny", func(t *testing.T) {
		o := tiny(t)
		o.EvalData, o.EvalSteps = testfiles.Path(t, "pairs_eval.jsonl"), 50
		run(t, o, 100, 1100)
	})
	t.Run("deep", func(t *testing.T) {
		o := tiny(t)
		o.Model, o.PerDeviceTrainBatchSize, o.MicroBatchTokens = deep, 13, 1
		run(t, o, 20, 60)
	})
}
