package model_test

import (
	"fmt"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// TestMemory: a graph takes what Memory says it takes, to the number, before and after a batch as large as its options say.
func TestMemory(t *testing.T) {
	for _, name := range []string{"llama", "gpt2", "gpt_neox", "qwen3"} {
		for _, o := range []model.GraphOptions{
			{Logits: 1 << 20}, {Training: true, Logits: 1 << 20}, {Training: true, Recompute: true, Logits: 1 << 20}, {Training: true, Logits: 1000},
		} {
			t.Run(fmt.Sprintf("%s/training %v, recompute %v, logits %d", name, o.Training, o.Recompute, o.Logits), func(t *testing.T) {
				d := &countingDevice{Device: newDevice(t, cpu.Best(), 1)}
				m := load(t, testfiles.Path(t, "models", name), d)
				if want := m.Config.Parameters(); d.numbers != want || m.Len() != want {
					t.Errorf("%d numbers for the weights, want %d; Len is %d", d.numbers, want, m.Len())
				}
				b := shapes(m.Config.Spec.Vocab, 1)[0]
				o.Rows = b.Rows()
				for i, target := range b.Targets {
					if i == 0 || target.Row != b.Targets[i-1].Row {
						o.Scored++
					}
				}
				for _, p := range b.Positions {
					o.Length = max(o.Length, int(p)+1)
				}
				want := m.Config.Memory(o)
				if want.Activations <= 0 || want.Scratch <= 0 || want.Head <= 0 {
					t.Errorf("%+v: want more than nothing", want)
				}
				d.numbers = 0
				g := newGraph(t, m, o)
				gradients := 0
				if o.Training {
					gradients = m.Len()
				}
				if got := int64(d.numbers - gradients); got != want.Activations+want.Scratch+want.Head {
					t.Errorf("%d numbers for the graph, want %+v", got, want)
				}
				calls := d.calls
				if o.Training {
					forwardBackward(t, g, b, func(logps []float64) (float64, []float64, error) { return 0, make([]float64, len(logps)), nil })
				} else {
					forward(t, g, b)
				}
				if d.calls != calls {
					t.Errorf("%d more pieces for a batch as large as was said", d.calls-calls)
				}
			})
		}
	}
}
