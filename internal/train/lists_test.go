package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/data"
	"dpotrain/internal/score"
)

// rankedRows makes ranked rows of the pairs of a file: row i has lengths[i] completions with scores, worst first: the rejected ones of the pairs from i on, and above
// them the chosen one of pair i.
func rankedRows(t testing.TB, path string, lengths ...int) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []map[string]string
	for line := range strings.Lines(string(text)) {
		var pair map[string]string
		if err := json.Unmarshal([]byte(line), &pair); err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair)
	}
	var rows strings.Builder
	for i, n := range lengths {
		var completions []string
		var scores []float64
		for k := range n - 1 {
			completions, scores = append(completions, pairs[i+n-2-k]["rejected"]), append(scores, float64(k)/2)
		}
		line, err := json.Marshal(map[string]any{"prompt": pairs[i]["prompt"], "completions": append(completions, pairs[i]["chosen"]), "scores": append(scores, 10)})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&rows, "%s\n", line)
	}
	out := filepath.Join(t.TempDir(), "ranked.jsonl")
	if err := os.WriteFile(out, []byte(rows.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestListsLearning: plackett_luce puts lists of four completions in order within forty steps, all six pairs of each; the first step is the one that log(K!) says
// and proves it list by list. On lists and pairs alike the loss and all metrics are those of evaluation.
func TestListsLearning(t *testing.T) {
	o := tiny(t)
	o.Data = rankedRows(t, o.Data, 4, 4, 4)
	o.Loss, o.MaxSteps, o.LearningRate, o.PerDeviceTrainBatchSize = "plackett_luce", 40, 3e-3, 3
	r := mustRun(t, o)
	contains(t, r.stderr, "3 lists", "3 lists of more than two completions, the longest of 4", "the first step proves")
	steps := r.steps(t)
	first, last := steps[0], steps[39]
	if math.Abs(first["loss"]-math.Log(24)) > 1e-14 || first["rewards/concordance"] != 0 || first["rewards/ties"] != 1 {
		t.Errorf("first step %v; want the loss log 24 and ties", first)
	}
	if !(last["loss"] < 0.5) || last["rewards/concordance"] != 1 || last["rewards/accuracies"] != 1 || !(last["shift/chosen"] > last["shift/rejected"]) {
		t.Errorf("last step %v; want every list in order", last)
	}
	o.EvalData = o.Data
	shown := elsewhere(t, o)
	shown.MaxSteps, shown.EvalOnStart, shown.SamplePrompts, shown.MaxNewTokens = 1, true, 1, 2
	contains(t, mustRun(t, shown).stdout, "On 3 held-out lists", "3 of 3 lists are tied", "\n    chosen    ", "\n    rejected  ")
	got, _ := evalRow(t, o, r.dir)
	if got["examples"] != 3 || got["rewards/concordance"] != 1 || !(got["loss"] < last["loss"]) {
		t.Errorf("evaluation: %v", got)
	}
}

// TestListsProof: the first step proves lists of every length, pairs among them, weighted or not, alone and in a sum; a cache that lies about a completion in
// the middle of a list is found out.
func TestListsProof(t *testing.T) {
	o := tiny(t)
	pairs := o.Data
	o.Data = rankedRows(t, pairs, 2, 5, 3, 4)
	o.Loss, o.MaxSteps, o.Rows.Shuffle = "plackett_luce", 1, false
	first := mustRun(t, o).steps(t)[0]
	if want := (math.Log(2) + math.Log(120) + math.Log(6) + math.Log(24)) / 4; math.Abs(first["loss"]-want) > 1e-14 {
		t.Errorf("loss %v, want %v", first["loss"], want)
	}
	weighted := elsewhere(t, o)
	weighted.Data = with(t, o.Data, `"weight": 3`, `"weight": 0`)
	if first, want := mustRun(t, weighted).steps(t)[0], 3*math.Log(2)/4; math.Abs(first["loss"]-want) > 1e-14 {
		t.Errorf("weighted loss %v, want %v", first["loss"], want)
	}
	sum := elsewhere(t, o)
	sum.Loss = "plackett_luce=2,dpo=1"
	r := mustRun(t, sum)
	contains(t, r.stderr, "the first step proves")
	if first, want := r.steps(t)[0], 2*(math.Log(2)+math.Log(120)+math.Log(6)+math.Log(24))/4+math.Ln2; math.Abs(first["loss"]-want) > 1e-14 {
		t.Errorf("loss of the sum %v, want %v", first["loss"], want)
	}
	two := elsewhere(t, o)
	two.Data = pairs
	if first := mustRun(t, two).steps(t)[0]; math.Abs(first["loss"]-math.Ln2) > 1e-15 {
		t.Errorf("loss of pairs %v, want log 2", first["loss"])
	}

	lied := elsewhere(t, o)
	lied.RefCacheDir = filepath.Join(t.TempDir(), "cache")
	var out, errs bytes.Buffer
	if err := PrecomputeRef(context.Background(), request(lied, &out, &errs, nil)); err != nil {
		t.Fatal(err)
	}
	contains(t, out.String(), "14 sequences computed (4 rows)")
	forge(t, lied.RefCacheDir, 2+2) // the third of the second list
	_, err := tryRun(t, lied, 0)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), lied.Data+":2: ", "the same model", "log-prob of completion 3 of the list is", "precompute-ref")
}

// listStep is a step of lists of these lengths with a policy that is not the reference.
func listStep(t *testing.T, lengths ...int) *stepOf {
	s := newStep(t, len(lengths))
	o := tiny(t)
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), rankedRows(t, o.Data, lengths...), data.Lists, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.examples, s.refs = nil, nil
	for i, e := range data.All(set.Examples) {
		var ref score.Logps
		for k, q := range e.Sequences {
			ref.Sums = append(ref.Sums, -float64(len(q.IDs)-q.First)*5.8+float64((i+3*k)%5))
		}
		s.examples, s.refs = append(s.examples, e), append(s.refs, ref)
	}
	return s
}

// TestListsCut: a step of lists is the same step however it is cut, and a list of two in it is a pair. Losses differ by the order of their sum alone, gradients by
// 2e-6 of their l2, as for pairs.
func TestListsCut(t *testing.T) {
	s := listStep(t, 4, 2, 6, 3, 2, 5)
	for _, name := range []string{"plackett_luce", "plackett_luce=0.5,aot=1,sft=0.1"} {
		want, whole := s.take(t, newLoss(t, name), 1<<20)
		for budget, parts := range map[int]int{1 << 20: 1, 250: 3, 1: 6} {
			s.head.passes = 0
			got, gradient := s.take(t, newLoss(t, name), budget)
			passes := parts
			if newLoss(t, name).Needs().Coupled && parts > 1 {
				passes = 2 * parts
			}
			if budget != 250 && s.head.passes != passes {
				t.Errorf("%s, %d rows at a time: %d passes forward, want %d", name, budget, s.head.passes, passes)
			}
			s.same(t, fmt.Sprintf("%s, %d rows at a time", name, budget), got, want, gradient, whole)
		}
	}
	pairs := listStep(t, 2, 2, 2)
	want, whole := pairs.take(t, newLoss(t, "dpo"), 1<<20)
	got, gradient := pairs.take(t, newLoss(t, "plackett_luce"), 1<<20)
	if got != want || !slices.Equal(gradient, whole) {
		t.Errorf("lists of two: loss %v, dpo %v; the gradients are the same: %v", got, want, slices.Equal(gradient, whole))
	}
}

// TestListsGradient: the gradient of a step of lists against central differences of its loss along itself. The weights are float32, as is the forward pass: the
// difference of two losses has five digits.
func TestListsGradient(t *testing.T) {
	s := listStep(t, 4, 2, 5)
	l := newLoss(t, "plackett_luce")
	_, gradient := s.take(t, l, 1<<20)
	var l2 float64
	for _, g := range gradient {
		l2 += float64(g) * float64(g)
	}
	w := make([]float32, s.policy.Len())
	s.dev.Download(w, s.policy.W, 0)
	at := func(step float64) float64 {
		moved := slices.Clone(w)
		for i, g := range gradient {
			moved[i] += float32(step * float64(g) / math.Sqrt(l2))
		}
		s.dev.Upload(s.policy.W, 0, moved)
		mean, _ := s.take(t, l, 1<<20)
		return mean
	}
	const step = 1e-2
	if got, want := math.Sqrt(l2), (at(step)-at(-step))/(2*step); math.Abs(got-want) > 2e-3*want {
		t.Errorf("the gradient has the norm %v, and along it the loss rises by %v", got, want)
	}
}

// TestRankedPairs: losses on pairs and single completions take ranked rows; the reference's log-probs of a completion are the same whether it stands in a
// list or in a pair, so that the cache that a run on lists wrote serves all others.
func TestRankedPairs(t *testing.T) {
	o := tiny(t)
	o.Data = rankedRows(t, o.Data, 4, 2, 3, 5, 4)
	o.EvalData = o.Data
	o.Loss, o.MaxSteps = "plackett_luce", 2
	mustRun(t, o)
	for _, c := range []struct{ loss, rule, says, evaluated string }{
		{"dpo", "best_worst", "5 ranked rows became 5 pairs", "5"},
		{"dpo", "all", "5 ranked rows became 26 pairs", "26"},
		{"odpo", "adjacent", "5 ranked rows became 13 pairs", "13"},
		{"dno", "best_random", "5 ranked rows became 5 pairs", "5"},
		{"rebel", "best_worst", "5 ranked rows became 5 pairs", "5"},
		{"kto", "best_worst", "5 pairs taken apart", "10"},
		{"sft", "best_worst", "5 examples", "5"},
	} {
		o := elsewhere(t, o)
		o.Loss, o.Rows.RankedPairs = c.loss, c.rule
		r := mustRun(t, o)
		contains(t, r.stderr, c.says)
		if c.loss != "kto" && c.loss != "sft" { // kto has mismatched rows, which no list has
			contains(t, r.stderr, "0 sequences computed")
		}
		got, _ := evalRow(t, o, r.dir)
		if fmt.Sprint(got["examples"]) != c.evaluated {
			t.Errorf("%s, %s: %v examples evaluated, want %s", c.loss, c.rule, got["examples"], c.evaluated)
		}
	}
}

// TestListsResume stops a run on lists and goes on with it to the same bits, with one reference and with one that is renewed on the way.
func TestListsResume(t *testing.T) {
	two := 2
	for _, renewed := range []*int{nil, &two} {
		o := remembers(t, "plackett_luce")
		o.Data, o.EvalData = rankedRows(t, o.Data, 4, 2, 3, 5, 4, 3, 2, 2, 6, 3, 3, 4), rankedRows(t, o.EvalData, 2, 4, 3)
		o.NumTrainEpochs, o.ReferenceUpdateSteps = 3, renewed
		whole := mustRun(t, o)
		for _, stop := range []int{1, 4} {
			o := elsewhere(t, o)
			mustStop(t, o, stop)
			o.ResumeFromCheckpoint = "latest"
			sameBits(t, mustRun(t, o), whole)
		}
	}
}
