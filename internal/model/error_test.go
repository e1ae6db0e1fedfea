package model_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// TestOpError: the error of an op comes out of a run as it is, and the run after it is as if there had been none.
func TestOpError(t *testing.T) {
	d := newDevice(t, cpu.Best(), 1)
	m := load(t, testfiles.Path(t, "models", "llama"), d)
	pairs := randomPairs(m.Config.Spec.Vocab, 3)[1:3]
	coefficients := map[string]float64{key(pairs[0][0]): -0.1, key(pairs[0][1]): 0.1, key(pairs[1][0]): -0.2, key(pairs[1][1]): 0.2}
	step := [][]example{pairs}
	train := model.GraphOptions{Training: true}
	want := gradients(t, m, d, newGraph(t, m, train), step, coefficients)
	g := newGraph(t, m, train)
	broken := errors.New("broken")
	for range 2 {
		_, err := g.ForwardBackward(pack(pairs...), func(*model.Output) (float64, model.Derivatives, error) {
			return 0, model.Derivatives{}, fmt.Errorf("line 7: %w", broken)
		})
		if !errors.Is(err, broken) || err.Error() != "line 7: broken" {
			t.Errorf("error %v, want line 7: broken", err)
		}
		if got := gradients(t, m, d, g, step, coefficients); !maps.EqualFunc(got, want, func(a, b []float64) bool { return slices.Equal(a, b) }) {
			t.Error("the gradient after an error is another")
		}
	}
	_, err := g.ForwardBackward(pack(pairs...), func(*model.Output) (float64, model.Derivatives, error) { panic("oops") })
	if err == nil || err.Error() != "loss: oops" {
		t.Errorf("error %v, want loss: oops", err)
	}
}
