package train

import (
	"bytes"
	"math"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/score"
)

// TestEntropies: a loss that needs the reference's entropies has them computed where the cache lacks them, and uses them in training, in
// evaluations and in eval alike.
func TestEntropies(t *testing.T) {
	o := tiny(t)
	o.Data, o.MaxSteps = head(t, o.Data, 8), 3
	o.PerDeviceTrainBatchSize = 8
	o.EvalData, o.EvalStrategy, o.EvalSteps, o.EvalOnStart = o.Data, "steps", 3, true
	pass := func(name, want string) {
		t.Helper()
		o := o
		o.Loss = name
		var out, errs bytes.Buffer
		if err := PrecomputeRef(t.Context(), request(o, &out, &errs, nil)); err != nil {
			t.Fatal(err)
		}
		contains(t, out.String(), want)
	}
	pass("dpo", "reference log-probs: 16 sequences computed (16 pairs), 0 reused")
	pass("mallows_dpo", "reference log-probs and entropies: 16 sequences computed (16 pairs), 0 reused")
	pass("mallows_dpo", "reference log-probs and entropies: 0 sequences computed (0 pairs), 16 reused")
	pass("dpo=1,mallows_dpo=1", "reference log-probs and entropies: 0 sequences computed (0 pairs), 16 reused")
	pass("dpo", "reference log-probs: 0 sequences computed (0 pairs), 16 reused")
	o.Loss = "mallows_dpo"
	r := mustRun(t, o)
	contains(t, r.stderr, "entropies: 0 sequences computed", "the first step proves")

	// At the start a pair pulls with half of beta and phi.
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		t.Fatal(err)
	}
	set, err := reader.Load(t.Context(), o.Data, data.Pairs, o.Rows, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Load(o.Model, device(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.NewGraph(model.GraphOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	want := 0.0
	for _, e := range data.All(set.Examples) {
		ref := entropiesOf(t, g, e)
		share := 0.0
		for k, s := range e.Sequences {
			share += ref.Entropies[k] / float64(len(s.IDs)-s.First) / math.Log(float64(m.Config.Spec.Vocab)) / 2
		}
		want += 0.29 * -math.Log(share) * 0.1 / 2 / float64(set.Len())
	}
	if got := r.steps(t)[0]["grad/coef_chosen"]; !(math.Abs(got-want) <= 1e-7*want) {
		t.Errorf("the first step's coefficient is %v, want %v", got, want)
	}
	last := row{}
	for _, one := range r.rows(t) {
		if v, ok := one["eval_loss"]; ok {
			last = row{"loss": v}
		}
	}
	if got, _ := evalRow(t, o, r.dir); got["loss"] != last["loss"] || last["loss"] >= math.Ln2 {
		t.Errorf("eval's loss is %v, want that of the last evaluation, %v", got["loss"], last["loss"])
	}
}

// entropiesOf are the entropies that a graph has for the sequences of an example.
func entropiesOf(t *testing.T, g *model.Graph, e *data.Example) (l score.Logps) {
	t.Helper()
	var b compute.Batch
	data.Packer{}.Pack(&b, []*data.Example{e})
	out, err := g.Forward(&b)
	if err != nil {
		t.Fatal(err)
	}
	l.Entropies = make([]float64, b.Sequences)
	for i, target := range b.Targets {
		l.Entropies[target.Sequence] += out.Entropy[i]
	}
	return l
}
