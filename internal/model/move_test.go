package model_test

import (
	"math"
	"slices"
	"testing"

	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// TestMove: a copy has weights of its own, the same bits; on the way to another model each number is a mean of the two, rounded once; all the way
// it is that number, even where the other is infinite.
func TestMove(t *testing.T) {
	d := newDevice(t, cpu.Generic, 1)
	from := load(t, testfiles.Path(t, "models", "llama"), d)
	weights := func(m *model.Model) []float32 {
		w := make([]float32, m.Len())
		d.Download(w, m.W, 0)
		return w
	}
	own := weights(from)
	to := model.NewRandom(from.Config, d, 3)
	target := weights(to)
	c := from.Copy()
	if got := weights(c); !slices.Equal(got, own) || c.Digest() != from.Digest() {
		t.Fatal("the copy is another model")
	}
	c.Move(to, 0.6)
	for i, got := range weights(c) {
		if want := float32(0.6*float64(target[i]) + (1-0.6)*float64(own[i])); got != want {
			t.Fatalf("number %d is %v, want %v of %v and %v", i, got, want, target[i], own[i])
		}
	}
	if !slices.Equal(weights(from), own) || !slices.Equal(weights(to), target) {
		t.Error("the models that it is made of have changed")
	}
	d.Upload(c.W, 5, []float32{float32(math.Inf(1))})
	c.Move(to, 1)
	if c.Digest() != to.Digest() {
		t.Error("all the way it is another model")
	}
	if got := weights(from.Empty()); !slices.Equal(got, make([]float32, len(own))) {
		t.Error("an empty model has weights")
	}
}
