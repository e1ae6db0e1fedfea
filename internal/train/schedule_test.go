package train

import (
	"math"
	"testing"
)

// The expected rates were worked out by hand from transformers' formulas.
func TestLearningRate(t *testing.T) {
	tests := []struct {
		kind          string
		total, warmup int
		want          map[int]float64 // by step
	}{
		{"linear", 20, 0, map[int]float64{0: 1, 1: 0.95, 19: 0.05}},
		{"linear", 10, 4, map[int]float64{0: 0, 1: 0.25, 4: 1, 5: 5. / 6, 9: 1. / 6}},
		{"cosine", 10, 2, map[int]float64{0: 0, 1: 0.5, 2: 1, 6: 0.5, 8: 0.5 * (1 + math.Cos(0.75*math.Pi))}},
		{"constant", 10, 4, map[int]float64{0: 1, 9: 1}}, // transformers' constant has no warm-up
		{"linear", 3, 3, map[int]float64{0: 0, 2: 2. / 3}},
	}
	for _, tt := range tests {
		s := schedule{kind: tt.kind, peak: 2, total: tt.total, warmup: tt.warmup}
		for step, want := range tt.want {
			if got := s.learningRate(step); math.Abs(got-2*want) > 1e-15 {
				t.Errorf("%s, %d steps, %d of warm-up: rate of step %d = %g, want %g", tt.kind, tt.total, tt.warmup, step, got, 2*want)
			}
		}
	}
}

func TestSchedulePlan(t *testing.T) {
	base := Options{PerDeviceTrainBatchSize: 4, GradientAccumulationSteps: 2, NumTrainEpochs: 1, MaxSteps: -1}
	tests := []struct {
		name          string
		change        func(*Options)
		examples      int
		total, warmup int
		perEpoch      int
	}{
		{"a step never spans two epochs", func(*Options) {}, 17, 3, 0, 3},
		{"epochs", func(o *Options) { o.NumTrainEpochs = 2.5 }, 16, 5, 0, 2},
		{"max_steps goes first", func(o *Options) { o.MaxSteps = 7 }, 16, 7, 0, 2},
		{"warm-up ratio is rounded up", func(o *Options) { o.MaxSteps, o.WarmupRatio = 25, 0.1 }, 16, 25, 3, 2},
		{"warmup_steps goes before the ratio", func(o *Options) { o.MaxSteps, o.WarmupRatio, o.WarmupSteps = 25, 0.1, 5 }, 16, 25, 5, 2},
		{"warmup_steps below 1 is a share", func(o *Options) { o.MaxSteps, o.WarmupSteps = 20, 0.25 }, 16, 20, 5, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := base
			tt.change(&o)
			s := newSchedule(&o, tt.examples)
			if s.total != tt.total || s.warmup != tt.warmup || s.stepsPerEpoch != tt.perEpoch {
				t.Errorf("%d steps, %d of warm-up, %d an epoch; want %d, %d, %d", s.total, s.warmup, s.stepsPerEpoch, tt.total, tt.warmup, tt.perEpoch)
			}
		})
	}
}

func TestEpoch(t *testing.T) {
	s := newSchedule(&Options{PerDeviceTrainBatchSize: 4, GradientAccumulationSteps: 3, NumTrainEpochs: 2}, 50)
	// Steps of 12, 12, 12, 12 and 2 examples.
	for step, want := range []float64{0, 0.24, 0.48, 0.72, 0.96, 1, 1.24, 1.48, 1.72, 1.96, 2} {
		if got := s.epoch(step); math.Abs(got-want) > 1e-15 {
			t.Errorf("%g epochs after %d steps, want %g", got, step, want)
		}
	}
}
