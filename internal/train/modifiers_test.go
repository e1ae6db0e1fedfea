package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/loss"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
)

// modified is a loss with settings.
func modified(t *testing.T, name string, s loss.Settings) loss.Loss {
	t.Helper()
	l, err := loss.New(name, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// smallStep is a step of two short pairs on the tiny Llama in float64, on plain kernels.
func smallStep(t *testing.T) *stepOf {
	t.Helper()
	dev := cpu.Reference[float64]{}
	s := &stepOf{head: &headDevice{Device: dev}}
	s.dev = s.head
	var err error
	if s.policy, err = model.Load(tiny(t).Model, s.dev); err != nil {
		t.Fatal(err)
	}
	if s.graph, err = s.policy.NewGraph(model.GraphOptions{Training: true, Rows: 40, Alignments: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.graph.Close() })
	rng := rand.New(rand.NewPCG(33, 0))
	ids := func(n int) []int32 {
		v := make([]int32, n)
		for i := range v {
			v[i] = int32(rng.IntN(s.policy.Config.Spec.Vocab))
		}
		return v
	}
	for _, lengths := range [][2]int{{6, 3}, {2, 5}} {
		prompt := ids(4)
		e := &data.Example{File: "pairs.jsonl", Line: 1 + len(s.examples)}
		for _, n := range lengths {
			e.Sequences = append(e.Sequences, data.Sequence{IDs: append(slices.Clone(prompt), ids(n)...), First: len(prompt)})
		}
		s.examples, s.refs = append(s.examples, e), append(s.refs, score.Logps{})
	}
	s.tokenRefs()
	return s
}

// TestModifierGradients holds the gradient of a whole model by losses with modifiers against central differences in float64.
func TestModifierGradients(t *testing.T) {
	target := func(s *stepOf) { // of the first pair alone
		e := s.examples[0]
		e.Imitated = &data.Sequence{IDs: append(slices.Clone(e.Sequences[0].IDs[:4]), 7, 19, 250), First: 4}
	}
	chosen := func(first int) func(s *stepOf) { // once more, from the given id on
		return func(s *stepOf) {
			for _, e := range s.examples {
				e.Imitated = &data.Sequence{IDs: e.Sequences[0].IDs, First: first}
			}
		}
	}
	for _, tt := range []struct {
		name, loss string
		set        loss.Settings
		imitate    func(s *stepOf)
	}{
		{name: "sft_target", loss: "rpo", imitate: target},
		{name: "sft_target of a sum", loss: "dpo=0.5,sft=0.3", imitate: target},
		{name: "ld_alpha and sft_weight", loss: "dpo", set: loss.Settings{"ld_alpha": 0.25, "sft_weight": 0.5}, imitate: chosen(4)},
		{name: "the prompt too", loss: "orpo", set: loss.Settings{"orpo_nll_on_prompt": true}, imitate: chosen(1)},
		{name: "sft_weight", loss: "dpo", set: loss.Settings{"sft_weight": 0.5}},
		{name: "wpo", loss: "dpo", set: loss.Settings{"wpo": true, "beta": 0.5}},
		{name: "ld_alpha", loss: "dpo", set: loss.Settings{"ld_alpha": 0.25, "beta": 0.5}},
		{name: "sampo", loss: "ipo_sum", set: loss.Settings{"sampo": true}},
		{name: "wpo and ld_alpha", loss: "dpo", set: loss.Settings{"wpo": true, "ld_alpha": 0.25, "beta": 0.5}},
		{name: "wpo and sft_weight", loss: "hinge", set: loss.Settings{"wpo": true, "sft_weight": 0.5, "beta": 0.5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := smallStep(t)
			l := modified(t, tt.loss, tt.set)
			if tt.imitate != nil {
				tt.imitate(s)
			}
			s.weigh(l)
			_, _ = s.take(t, l, 1000)
			got := slices.Clone(cpu.Reference[float64]{}.Numbers(s.policy.G))
			measure := l
			if l.Needs().Alignments { // the weights are constants
				measure = &fixed{Loss: l, weights: alignments(t, s)}
			}
			gradientIs(t, s, measure, got)
		})
	}
}

// weigh gives the step's pairs the weights of tokens that a loss wants.
func (s *stepOf) weigh(l loss.Loss) {
	s.examples, s.refs = eval.Weigh(l, s.examples, s.refs, func(i int) *rand.Rand { return eval.TrainingDraw(42, 0, i) })
}

// tokenRefs gives the reference's log-probs of the step's pairs by token, which add up to no other sums.
func (s *stepOf) tokenRefs() {
	rng := rand.New(rand.NewPCG(36, 0))
	for i, e := range s.examples {
		ref := score.Logps{Sums: make([]float64, len(e.Sequences)), Tokens: make([][]float32, len(e.Sequences))}
		for j, q := range e.Sequences {
			for range len(q.IDs) - q.First {
				v := float32(-5.8 + rng.Float64())
				ref.Tokens[j], ref.Sums[j] = append(ref.Tokens[j], v), ref.Sums[j]+float64(v)
			}
		}
		s.refs[i] = ref
	}
}

// fixed is a loss with the alignments of pairs fixed to what they once were.
type fixed struct {
	loss.Loss
	weights loss.Batch
}

func (h *fixed) Compute(b loss.Batch, r *loss.Result) {
	b.ChosenAlignments, b.RejectedAlignments = h.weights.ChosenAlignments, h.weights.RejectedAlignments
	h.Loss.Compute(b, r)
}

// alignments are those of the policy as it is.
func alignments(t *testing.T, s *stepOf) loss.Batch {
	t.Helper()
	forward, err := s.policy.NewGraph(model.GraphOptions{Alignments: true})
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	s.packer.Pack(&s.batch, s.examples)
	out, err := forward.Forward(&s.batch)
	if err != nil {
		t.Fatal(err)
	}
	var b loss.Batch
	for i := 0; i < len(out.Alignments); i += 2 {
		b.ChosenAlignments, b.RejectedAlignments = append(b.ChosenAlignments, out.Alignments[i]), append(b.RejectedAlignments, out.Alignments[i+1])
	}
	return b
}

// gradientIs checks elements of every tensor: that with the largest gradient and one at random.
func gradientIs(t *testing.T, s *stepOf, l loss.Loss, got []float64) {
	t.Helper()
	weights := cpu.Reference[float64]{}.Numbers(s.policy.W)
	s.loss, s.budget = l, 1000
	at := func() float64 {
		tally := eval.NewTally(l)
		if _, err := s.gradient(3, s.examples, s.refs, tally); err != nil {
			t.Fatal(err)
		}
		return tally.Loss()
	}
	rng := rand.New(rand.NewPCG(34, 0))
	for _, p := range s.policy.Params {
		g := got[p.Off : p.Off+p.Len()]
		largest := 0
		var squares float64
		for i, v := range g {
			squares += v * v
			if math.Abs(v) > math.Abs(g[largest]) {
				largest = i
			}
		}
		if squares == 0 {
			t.Errorf("%s: no gradient", p.Name)
		}
		for _, i := range []int{largest, rng.IntN(len(g))} {
			w := &weights[p.Off+i]
			old := *w
			f := func(steps float64) float64 {
				const h = 1e-4
				*w = old + steps*h
				defer func() { *w = old }()
				return at()
			}
			want := (8*(f(1)-f(-1)) - (f(2) - f(-2))) / (12 * 1e-4)
			if math.Abs(g[i]-want) > 1e-7*math.Sqrt(squares) {
				t.Errorf("%s, element %d: gradient %.12g, central difference %.12g, l2 %.6g", p.Name, i, g[i], want, math.Sqrt(squares))
			}
		}
	}
}

// TestModifierCut: a step with modifiers is the same step however it is cut; an evaluation of the same examples gives the same loss.
func TestModifierCut(t *testing.T) {
	s := newStep(t, 8)
	var err error
	if s.graph, err = s.policy.NewGraph(model.GraphOptions{Training: true, Alignments: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.graph.Close() })
	s.tokenRefs()
	plain, _ := s.take(t, newLoss(t, "dpo"), 1<<20)
	examples, refs := s.examples, s.refs
	for _, set := range []loss.Settings{{"sft_weight": 0.5}, {"wpo": true}, {"wpo": true, "sft_weight": 0.5}, {"ld_alpha": 0.3}, {"ld_alpha": 0.3, "wpo": true}} {
		l := modified(t, "dpo", set)
		s.examples, s.refs = examples, refs
		s.weigh(l)
		want, whole := s.take(t, l, 1<<20)
		if want == plain {
			t.Errorf("%v: the loss is that without", set)
		}
		for _, budget := range []int{1, 200} {
			got, gradient := s.take(t, l, budget)
			s.same(t, fmt.Sprintf("%v, %d rows at a time", set, budget), got, want, gradient, whole)
		}
		forward, err := s.policy.NewGraph(model.GraphOptions{Alignments: true})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		list := make(data.Slice, len(examples))
		for i, e := range examples {
			list[i] = *e
		}
		e, err := eval.Run(context.Background(), forward, list, refs, l, 200, nil)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(e.Loss()-want) > 1e-12*math.Abs(want) {
			t.Errorf("%v: loss of an evaluation %.17g, of the step %.17g", set, e.Loss(), want)
		}
	}
}

// TestImitatedSums: what is imitated adds its own log-prob a token to the loss and nothing else, wherever its rows are: the prompt with the chosen completion, that
// completion without the weights that the loss sees, or another one.
func TestImitatedSums(t *testing.T) {
	s := newStep(t, 8)
	s.tokenRefs()
	examples, refs := s.examples, s.refs
	logp := func(q data.Sequence) float64 {
		forward, err := s.policy.NewGraph(model.GraphOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		s.packer.Pack(&s.batch, []*data.Example{{Sequences: []data.Sequence{q}}})
		out, err := forward.Forward(&s.batch)
		if err != nil {
			t.Fatal(err)
		}
		return out.Logps[0]
	}
	chosen := func(e *data.Example) data.Sequence { return e.Sequences[0] }
	for _, tt := range []struct {
		name      string
		loss      string
		set, less loss.Settings // with the term, and without or with that of the chosen completion
		weight    float64
		imitated  func(e *data.Example) data.Sequence
		instead   bool // less has the chosen completion's term
	}{
		{"the prompt too", "orpo", loss.Settings{"orpo_nll_on_prompt": true}, nil, 1, func(e *data.Example) data.Sequence { return data.Sequence{IDs: e.Sequences[0].IDs, First: 1} }, true},
		{"beside weights", "dpo", loss.Settings{"ld_alpha": 0.3, "sft_weight": 0.7}, loss.Settings{"ld_alpha": 0.3}, 0.7, chosen, false},
		{"drawn tokens", "rpo", loss.Settings{"sampo": true, "rpo_alpha": 0.7}, loss.Settings{"sampo": true, "rpo_alpha": 0.0}, 0.7, chosen, false},
		{"another one", "cpo", loss.Settings{"cpo_alpha": 0.7}, loss.Settings{"cpo_alpha": 0.0}, 0.7, func(e *data.Example) data.Sequence { return e.Sequences[1] }, false},
	} {
		want := 0.0
		s.examples, s.refs = nil, refs
		for _, e := range examples {
			q := tt.imitated(e)
			n := float64(len(q.IDs) - q.First)
			want -= tt.weight * logp(q) / n / float64(len(examples))
			if own := e.Sequences[0]; tt.instead {
				want += tt.weight * logp(own) / float64(len(own.IDs)-own.First) / float64(len(examples))
			}
			copied := *e
			copied.Imitated = &q
			s.examples = append(s.examples, &copied)
		}
		l := modified(t, tt.loss, tt.set)
		s.weigh(l)
		got, whole := s.take(t, l, 1<<20)
		for _, budget := range []int{1, 200} {
			cut, gradient := s.take(t, l, budget)
			s.same(t, fmt.Sprintf("%s, %d rows at a time", tt.name, budget), cut, got, gradient, whole)
		}
		s.examples, s.refs = examples, refs
		l = modified(t, tt.loss, tt.less)
		s.weigh(l)
		less, _ := s.take(t, l, 1<<20)
		if math.Abs(got-less-want) > 1e-12*math.Abs(got) {
			t.Errorf("%s: the loss is %.17g more, want %.17g", tt.name, got-less, want)
		}
	}
}

// TestImitatedRows: a run on rows with sft_target stops and goes on to the same bits, and its evaluation is that of the command.
func TestImitatedRows(t *testing.T) {
	o := resumable(t)
	o.Loss, o.MaxSteps = "rpo", 8
	plain := mustRun(t, o)
	o = elsewhere(t, o)
	o.Data, o.EvalData = with(t, o.Data, `"sft_target": "Yes, of course."`, `"id": 2`, `"sft_target": " No."`), with(t, o.EvalData, `"sft_target": "Yes."`)
	whole := mustRun(t, o)
	if a, b := plain.steps(t)[0], whole.steps(t)[0]; a["loss"] == b["loss"] || a["logps/chosen"] != b["logps/chosen"] || a["entropy"] != b["entropy"] || a["num_tokens"] != b["num_tokens"] {
		t.Errorf("first steps %v and, with targets, %v; want another loss and the same of all else", a, b)
	}
	for _, stop := range []int{3, 7} {
		o := elsewhere(t, o)
		mustStop(t, o, stop)
		o.ResumeFromCheckpoint = "latest"
		sameBits(t, mustRun(t, o), whole)
	}
	_, losses := whole.evaluations(t, "loss")
	if got, _ := evalRow(t, o, whole.dir); got["loss"] != losses[len(losses)-1] {
		t.Errorf("eval says loss %v, the run's last evaluation %v", got["loss"], losses[len(losses)-1])
	}
	// Other targets are other data.
	text, err := os.ReadFile(o.Data)
	if err != nil {
		t.Fatal(err)
	}
	o = elsewhere(t, o)
	mustStop(t, o, 3)
	if err := os.WriteFile(o.Data, []byte(strings.ReplaceAll(string(text), "of course", "indeed")), 0o666); err != nil {
		t.Fatal(err)
	}
	o.ResumeFromCheckpoint = "latest"
	if _, err := tryRun(t, o, 0); err == nil || !strings.Contains(err.Error(), "changed") {
		t.Errorf("with other targets: %v", err)
	}
	// A loss that imitates nothing says that it does not read them.
	o = elsewhere(t, o)
	o.ResumeFromCheckpoint, o.Loss, o.MaxSteps = "", "dpo", 1
	contains(t, mustRun(t, o).stderr, "sft_target is not read: 57 (lines 1, 3, 4, 5, 6 ...)")
}

// TestModifierRuns: runs with modifiers stop and go on to the same bits, and their evaluation is that of the command; the first step proves what it can.
func TestModifierRuns(t *testing.T) {
	renewed := func(o *Options) { o.ReferenceUpdateSteps, o.ReferenceMixup = &[]int{4}[0], 1 }
	monitored := func(o *Options) { o.MonitorReference = "true" }
	for _, tt := range []struct {
		loss string
		set  loss.Settings
		with func(o *Options)
	}{
		{"dpo", loss.Settings{"sampo": true, "sft_weight": 0.1}, renewed},
		{"cpo", loss.Settings{"ld_alpha": 0.3}, monitored},
		{"dpo", loss.Settings{"wpo": true, "sft_weight": 0.1}, nil},
		{"bco", loss.Settings{"sft_weight": 0.1}, nil},
		{"dpo", loss.Settings{"ld_alpha": 0.3}, nil},
		{"dpo", loss.Settings{"sampo": true}, nil},
		{"bco", loss.Settings{"sampo": true}, nil},
		{"dpo=0.8,ipo=0.2", loss.Settings{"wpo": true}, nil},
	} {
		t.Run(fmt.Sprint(tt.loss, tt.set), func(t *testing.T) {
			t.Parallel()
			o := resumable(t)
			o.Loss, o.LossSettings = tt.loss, tt.set
			if info, err := loss.Of(o.Loss); err != nil {
				t.Fatal(err)
			} else if o.LossSettings, err = info.Settings(o.LossSettings); err != nil { // as package config fills them in
				t.Fatal(err)
			}
			if tt.with != nil {
				tt.with(&o)
			}
			whole := mustRun(t, o)
			if modified(t, tt.loss, tt.set).Needs().Reference {
				contains(t, whole.stderr, "the first step proves")
			}
			first := whole.steps(t)[0]
			if l := modified(t, tt.loss, tt.set); first["shift/chosen"] != 0 || first["shift/rejected"] != 0 || first["rewards/margins"] != 0 && l.Needs().Reference {
				t.Errorf("the first shifts are %v and %v, the margin %v", first["shift/chosen"], first["shift/rejected"], first["rewards/margins"])
			} else if want, ok := l.StepZero(); ok && math.Abs(first["loss"]-want) > 1e-15 {
				t.Errorf("the first loss is %v, want %v", first["loss"], want)
			}
			for key, v := range tt.set {
				contains(t, whole.stderr, fmt.Sprintf(", %s %v", key, v))
			}
			for _, stop := range []int{3, 14} {
				o := elsewhere(t, o)
				mustStop(t, o, stop)
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
			if o.renewals() > 0 { // the command measures against the reference that the run began with
				return
			}
			_, losses := whole.evaluations(t, "loss")
			got, _ := evalRow(t, o, whole.dir)
			if want := losses[len(losses)-1]; got["loss"] != want {
				t.Errorf("eval says loss %v, the run's last evaluation %v", got["loss"], want)
			}
		})
	}
}
