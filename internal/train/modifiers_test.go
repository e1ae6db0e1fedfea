package train

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
		var ref score.Logps
		for _, n := range lengths {
			e.Sequences = append(e.Sequences, data.Sequence{IDs: append(slices.Clone(prompt), ids(n)...), First: len(prompt)})
			ref.Sums = append(ref.Sums, -5.8*float64(n)+rng.Float64())
		}
		s.examples, s.refs = append(s.examples, e), append(s.refs, ref)
	}
	return s
}

// TestModifierGradients holds the gradient of a whole model by losses with modifiers against central differences in float64.
func TestModifierGradients(t *testing.T) {
	for _, tt := range []struct {
		name, loss string
		set        loss.Settings
	}{
		{"sft_weight", "dpo", loss.Settings{"sft_weight": 0.5}},
		{"wpo", "dpo", loss.Settings{"wpo": true, "beta": 0.5}},
		{"wpo and sft_weight", "hinge", loss.Settings{"wpo": true, "sft_weight": 0.5, "beta": 0.5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := smallStep(t)
			l := modified(t, tt.loss, tt.set)
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
	plain, _ := s.take(t, newLoss(t, "dpo"), 1<<20)
	for _, set := range []loss.Settings{{"sft_weight": 0.5}, {"wpo": true}, {"wpo": true, "sft_weight": 0.5}} {
		l := modified(t, "dpo", set)
		want, whole := s.take(t, l, 1<<20)
		if want == plain {
			t.Errorf("%v: the loss is that without", set)
		}
		for _, budget := range []int{1, 200} {
			got, gradient := s.take(t, l, budget)
			if math.Abs(got-want) > 1e-12*math.Abs(want) {
				t.Errorf("%v, %d rows at a time: loss %.17g, in one %.17g", set, budget, got, want)
			}
			near(t, s, gradient, whole)
		}
		forward, err := s.policy.NewGraph(model.GraphOptions{Alignments: true})
		if err != nil {
			t.Fatal(err)
		}
		defer forward.Close()
		list := make([]data.Example, len(s.examples))
		for i, e := range s.examples {
			list[i] = *e
		}
		e, err := eval.Run(context.Background(), forward, list, s.refs, l, 200, nil)
		if err != nil {
			t.Fatal(err)
		}
		if math.Abs(e.Loss()-want) > 1e-12*math.Abs(want) {
			t.Errorf("%v: loss of an evaluation %.17g, of the step %.17g", set, e.Loss(), want)
		}
	}
}

// near holds a gradient to another within float32 rounding, tensor by tensor.
func near(t *testing.T, s *stepOf, got, want []float32) {
	t.Helper()
	for _, p := range s.policy.Params {
		var diff, l2 float64
		for i := p.Off; i < p.Off+p.Len(); i++ {
			d := float64(got[i]) - float64(want[i])
			diff, l2 = diff+d*d, l2+float64(want[i])*float64(want[i])
		}
		if !(diff <= 2e-6*2e-6*l2) {
			t.Errorf("%s differs by %.3g of its l2", p.Name, math.Sqrt(diff/l2))
		}
	}
}

// TestModifierRuns: runs with modifiers stop and go on to the same bits, and their evaluation is that of the command; the first step proves what it can.
func TestModifierRuns(t *testing.T) {
	for _, tt := range []struct {
		loss string
		set  loss.Settings
	}{
		{"dpo", loss.Settings{"wpo": true, "sft_weight": 0.1}},
		{"bco", loss.Settings{"sft_weight": 0.1}},
		{"dpo=0.8,ipo=0.2", loss.Settings{"wpo": true}},
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
			whole := mustRun(t, o)
			contains(t, whole.stderr, "the first step proves")
			for key, v := range tt.set {
				contains(t, whole.stderr, fmt.Sprintf(", %s %v", key, v))
			}
			for _, stop := range []int{3, 14} {
				o := elsewhere(t, o)
				mustStop(t, o, stop)
				o.ResumeFromCheckpoint = "latest"
				sameBits(t, mustRun(t, o), whole)
			}
			_, losses := whole.evaluations(t, "loss")
			got, _ := evalRow(t, o, whole.dir)
			if want := losses[len(losses)-1]; got["loss"] != want {
				t.Errorf("eval says loss %v, the run's last evaluation %v", got["loss"], want)
			}
		})
	}
}
