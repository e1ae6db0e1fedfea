package train

import (
	"bytes"
	"testing"

	"dpotrain/internal/loss"
)

// TestMeasure: what the passes cannot do without. Training takes thrice the flops of going forward, once more where the reference goes along, and for
// mismatched rows no more than the way forward. Losses that weigh tokens, read entropies or are of lists are measured too.
func TestMeasure(t *testing.T) {
	for _, tt := range []struct {
		loss      string
		set       loss.Settings
		low, high float64 // training's flops as a multiple of the reference pass's
	}{
		{"dpo", nil, 3, 3},
		{"dpo", loss.Settings{"sampo": true}, 3, 3},
		{"mallows_dpo", nil, 3, 3},
		{"plackett_luce", nil, 3, 3},
		{"sft", nil, 3, 3},
		{"tdpo1", nil, 4, 4},
		{"kto", nil, 1.5, 2.9}, // mismatched rows are about half of all
	} {
		o := tiny(t)
		o.Loss, o.LossSettings = tt.loss, tt.set
		var out, errs bytes.Buffer
		var said []string
		m, err := Measure(t.Context(), request(o, &out, &errs, nil), 6, func(what string) { said = append(said, what) })
		if err != nil {
			t.Errorf("%s %v: %v\n%s", tt.loss, tt.set, err, errs.String())
			continue
		}
		if m.Pairs != 6 || m.Steps != 2 || m.Rows < 6 || len(said) != 2 {
			t.Errorf("%s %v: %+v, said %q; want 6 examples in 2 steps of 4 and 2", tt.loss, tt.set, m, said)
		}
		if times := m.Training.Flops / m.Reference.Flops; !(times >= tt.low && times <= tt.high) {
			t.Errorf("%s %v: training takes %v times the flops of the reference pass, want %v to %v", tt.loss, tt.set, times, tt.low, tt.high)
		}
		if !(m.Reference.Seconds > 0 && m.Training.Seconds > 0) || m.Training.PeakMemory < m.Reference.PeakMemory {
			t.Errorf("%s %v: %+v", tt.loss, tt.set, m)
		}
	}
}
