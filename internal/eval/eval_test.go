package eval

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
	"dpotrain/internal/score"
	"dpotrain/internal/testfiles"
)

func newLoss(t *testing.T, name string) loss.Loss {
	t.Helper()
	l, err := loss.New(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// policy is models/llama of testdata on one thread, with all weights times scale.
func policy(t *testing.T, threads int, scale float32) *model.Model {
	t.Helper()
	dev, err := cpu.New(compute.Options{CPU: "auto", Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	m, err := model.Load(testfiles.Path(t, "models", "llama"), dev)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Params {
		v := m.Values(m.W, p)
		for i := range v {
			v[i] *= scale
		}
		m.SetValues(m.W, p, v)
	}
	return m
}

// run evaluates in micro-batches of at most budget rows.
func run(t *testing.T, m *model.Model, examples []data.Example, refs []score.Logps, l loss.Loss, budget int) *Evaluation {
	t.Helper()
	g, err := m.NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	e, err := Run(context.Background(), g, data.Slice(examples), refs, l, budget, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// metricsOf is the whole row of an evaluation.
func metricsOf(e *Evaluation) report.Row {
	return e.Metrics(report.Row{report.Float("loss", e.Loss())}, "")
}

func value(t *testing.T, row report.Row, name string) float64 {
	t.Helper()
	v, ok := row.Value(name)
	if !ok {
		t.Fatalf("no %s in %s", name, row.JSON())
	}
	return v
}

// golden are the pairs of expected.json as examples, with the log-probs under the stored model as the reference's: numbers
// of PyTorch in float64.
func golden(t *testing.T) (e *testfiles.Expected, examples []data.Example, refs []score.Logps) {
	t.Helper()
	e = testfiles.LoadExpected(t, testfiles.Path(t, "models", "llama", "expected.json"))
	for i, p := range e.Pairs {
		sequence := func(completion []int32) data.Sequence {
			return data.Sequence{IDs: slices.Concat(p.PromptIDs, completion), First: len(p.PromptIDs)}
		}
		examples = append(examples, data.Example{File: "expected.json", Line: i + 1, Sequences: []data.Sequence{sequence(p.ChosenIDs), sequence(p.RejectedIDs)}})
		refs = append(refs, score.Logps{Sums: []float64{p.ChosenLogp, p.RejectedLogp}})
	}
	return e, examples, refs
}

// TestRunGolden holds an evaluation to PyTorch: the losses of a policy whose weights are scaled, and the log-probs of one
// whose weights are not.
func TestRunGolden(t *testing.T) {
	want, examples, refs := golden(t)
	for _, c := range []struct {
		loss string
		want float64
	}{{"dpo", want.DPO.Loss}, {"ipo", want.IPO.Loss}, {"sft", want.SFT.Loss}} {
		l := newLoss(t, c.loss)
		single, r := slices.Clone(examples), refs
		if !l.Needs().Rejected { // as data reads rows for such a loss
			for i := range single {
				single[i].Sequences = single[i].Sequences[:1]
			}
			r = nil
		}
		e := run(t, policy(t, 1, float32(want.Scale)), single, r, l, 100)
		if got := e.Loss(); !(math.Abs(got-c.want) <= 1e-4*max(1, c.want)) {
			t.Errorf("%s: loss %v, want %v", c.loss, got, c.want)
		}
		if e.Examples() != len(examples) {
			t.Errorf("%s: %d examples, want %d", c.loss, e.Examples(), len(examples))
		}
	}

	// Weights multiply the loss and what a pair pulls with, and nothing else.
	weighted := slices.Clone(examples)
	mean, l := 0.0, newLoss(t, "dpo")
	once := run(t, policy(t, 1, float32(want.Scale)), examples, refs, l, 100)
	for i := range weighted {
		if i%2 == 1 {
			weighted[i].Numbers = &data.Numbers{Weight: 3 * float64(i)}
		}
		alone, _ := once.Row(i).Value("loss")
		mean += weighted[i].Weight() * alone / float64(len(weighted))
	}
	e := run(t, policy(t, 1, float32(want.Scale)), weighted, refs, l, 100)
	if got := e.Loss(); !(math.Abs(got-mean) <= 1e-14*mean) {
		t.Errorf("weighted: loss %v, want %v", got, mean)
	}
	others := func(e *Evaluation) []byte {
		return slices.DeleteFunc(e.Metrics(nil, ""), func(m report.Metric) bool { return strings.HasPrefix(m.Name, "grad/") }).JSON()
	}
	if got, want := others(e), others(once); string(got) != string(want) {
		t.Errorf("weighted: metrics %s, want those without weights, %s", got, want)
	}

	var chosen, rejected float64
	likelier, tokens := 0, 0
	for _, p := range want.Pairs {
		chosen, rejected = chosen+p.ChosenLogp, rejected+p.RejectedLogp
		if p.ChosenLogp > p.RejectedLogp {
			likelier++
		}
		tokens += 2*len(p.PromptIDs) + len(p.ChosenIDs) + len(p.RejectedIDs)
	}
	n := float64(len(want.Pairs))
	e = run(t, policy(t, 1, 1), examples, refs, newLoss(t, "dpo"), 100)
	for name, w := range map[string]float64{
		"loss": math.Ln2, "rewards/chosen": 0, "rewards/rejected": 0, "rewards/margins": 0,
		"logps/chosen": chosen / n, "logps/rejected": rejected / n, "logps/accuracies": float64(likelier) / n,
	} {
		if got := value(t, metricsOf(e), name); !(math.Abs(got-w) <= 1e-4) {
			t.Errorf("%s %v, want %v", name, got, w)
		}
	}
	if e.Tokens() != int64(tokens) {
		t.Errorf("%d tokens, want %d", e.Tokens(), tokens)
	}
}

// TestRunSameBits: neither the cut into micro-batches nor the number of threads changes a bit of any metric, nor of any
// example's row.
func TestRunSameBits(t *testing.T) {
	_, examples, refs := golden(t)
	more := slices.Concat(examples, examples[1:], examples[:3])
	moreRefs := slices.Concat(refs, refs[1:], refs[:3])
	for _, name := range []string{"dpo", "ipo"} {
		l := newLoss(t, name)
		first := run(t, policy(t, 1, 1.02), more, moreRefs, l, 1)
		want := string(metricsOf(first).JSON())
		for _, c := range []struct{ threads, budget int }{{1, 60}, {1, 150}, {2, 150}, {2, 1 << 20}} {
			e := run(t, policy(t, c.threads, 1.02), more, moreRefs, l, c.budget)
			if got := string(metricsOf(e).JSON()); got != want {
				t.Errorf("%s, %d threads, micro-batches of %d rows:\ngot  %s\nwant %s", name, c.threads, c.budget, got, want)
			}
			for i := range more {
				if got, want := string(e.Row(i).JSON()), string(first.Row(i).JSON()); got != want {
					t.Errorf("%s, %d threads, micro-batches of %d rows, example %d:\ngot  %s\nwant %s", name, c.threads, c.budget, i, got, want)
				}
			}
		}
		// An example's row is the evaluation of that example alone.
		for i := range examples {
			alone := metricsOf(run(t, policy(t, 1, 1.02), more[i:i+1], moreRefs[i:i+1], l, 1))
			for _, metric := range []string{"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected"} {
				if got, want := value(t, first.Row(i), metric), value(t, alone, metric); got != want {
					t.Errorf("%s, example %d, %s: %v, alone %v", name, i, metric, got, want)
				}
			}
			if got := value(t, first.Row(i), "ref_logps/rejected"); got != refs[i].Sums[1] {
				t.Errorf("example %d: ref_logps/rejected %v, want %v", i, got, refs[i].Sums[1])
			}
			if got, want := value(t, first.Row(i), "tokens/chosen"), len(more[i].Sequences[0].IDs)-more[i].Sequences[0].First; got != float64(want) {
				t.Errorf("example %d: tokens/chosen %v, want %d", i, got, want)
			}
		}
	}
}

// TestRunReferenceItself evaluates the reference against its own log-probs: everything is exactly as before training.
func TestRunReferenceItself(t *testing.T) {
	_, examples, refs := golden(t)
	m := policy(t, 1, 1)
	e := run(t, m, examples, refs, newLoss(t, "dpo"), 100)
	for i, o := range e.outcomes { // float32's log-probs, not PyTorch's
		refs[i] = score.Logps{Sums: o.Logps[:]}
	}
	e = run(t, m, examples, refs, newLoss(t, "dpo"), 1)
	row := metricsOf(e)
	for name, want := range map[string]float64{"loss": math.Ln2, "rewards/chosen": 0, "rewards/rejected": 0, "rewards/margins": 0, "rewards/accuracies": 0, "rewards/ties": 1} {
		if got := value(t, row, name); got != want {
			t.Errorf("%s %v, want exactly %v", name, got, want)
		}
	}
	if !e.AllTied() {
		t.Error("not all pairs are tied")
	}
}

// TestRunStops ends an evaluation after the micro-batch at hand.
func TestRunStops(t *testing.T) {
	_, examples, refs := golden(t)
	g, err := policy(t, 1, 1).NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := 0
	if _, err := Run(ctx, g, data.Slice(examples), refs, newLoss(t, "dpo"), 1, func(n int) { done += n }); err != nil || done != len(examples) {
		t.Errorf("error %v, progress of %d examples, want %d", err, done, len(examples))
	}
	var calls []int
	if _, err := Run(ctx, g, data.Slice(examples), refs, newLoss(t, "dpo"), 1<<20, func(n int) { calls = append(calls, n) }); err != nil || !slices.Equal(calls, []int{len(examples)}) {
		t.Errorf("with room for all: error %v, progress %v", err, calls)
	}
	done = 0
	_, err = Run(ctx, g, data.Slice(examples), refs, newLoss(t, "dpo"), 1, func(n int) {
		if done += n; done == 2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || done != 2 {
		t.Errorf("error %v after %d examples, want a stop after 2", err, done)
	}
}
