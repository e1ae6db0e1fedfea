package train

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

// TestLearningRate holds every rate against transformers' own. All but the cosine are the same bits; that differs in the
// last place between mathematical libraries.
func TestLearningRate(t *testing.T) {
	text, err := os.ReadFile("../../testdata/schedules.json")
	if err != nil {
		t.Fatal(err)
	}
	var tests []struct {
		Kind      string    `json:"lr_scheduler_type"`
		Peak      float64   `json:"learning_rate"`
		Warmup    float64   `json:"warmup_steps"`
		Total     int       `json:"steps"`
		MinLR     *float64  `json:"min_lr"`
		MinLRRate *float64  `json:"min_lr_rate"`
		Timescale int       `json:"timescale"`
		Rates     []float64 `json:"rates"`
	}
	if err := json.Unmarshal(text, &tests); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]bool{}
	for _, tt := range tests {
		kinds[tt.Kind] = true
		o := Options{PerDeviceTrainBatchSize: 1, GradientAccumulationSteps: 1, MaxSteps: tt.Total, LearningRate: tt.Peak, LRSchedulerType: tt.Kind,
			WarmupSteps: tt.Warmup, MinLR: tt.MinLR, MinLRRate: tt.MinLRRate, Timescale: tt.Timescale}
		s := newSchedule(&o, 100)
		if len(tt.Rates) != tt.Total {
			t.Fatalf("%s: %d rates for %d steps", tt.Kind, len(tt.Rates), tt.Total)
		}
		tolerance := 0.0
		if strings.HasPrefix(tt.Kind, "cosine") {
			tolerance = 4e-16 * tt.Peak
		}
		for step, want := range tt.Rates {
			if got := s.learningRate(step); math.Abs(got-want) > tolerance {
				t.Errorf("%s, %d steps, %v of warm-up: rate of step %d = %v, want %v", tt.Kind, tt.Total, tt.Warmup, step, got, want)
			}
		}
	}
	field, _ := reflect.TypeFor[Options]().FieldByName("LRSchedulerType")
	for _, kind := range strings.Fields(strings.TrimPrefix(field.Tag.Get("validate"), "oneof=")) {
		if !kinds[kind] {
			t.Errorf("no rates of transformers for %s", kind)
		}
	}
}

// Worked by hand: linear falls by a tenth a step, cosine is at half of its height in the middle.
func TestLearningRateByHand(t *testing.T) {
	for _, tt := range []struct {
		s    schedule
		step int
		want float64
	}{
		{schedule{kind: "linear", peak: 2, total: 10}, 3, 1.4},
		{schedule{kind: "linear", peak: 2, total: 10, warmup: 4}, 1, 0.5},
		{schedule{kind: "cosine", peak: 2, total: 10, warmup: 2}, 6, 1},
		{schedule{kind: "cosine_with_min_lr", peak: 2, total: 10, warmup: 2, minRate: 0.5}, 6, 1.5},
		{schedule{kind: "cosine_with_min_lr", peak: 2, total: 10, minRate: 0.5}, 10, 1},
		{schedule{kind: "inverse_sqrt", peak: 2, warmup: 4, timescale: 4}, 16, 1},
		{schedule{kind: "constant", peak: 2, warmup: 4}, 0, 2},
		{schedule{kind: "constant_with_warmup", peak: 2, warmup: 4}, 1, 0.5},
	} {
		if got := tt.s.learningRate(tt.step); math.Abs(got-tt.want) > 1e-15 {
			t.Errorf("%+v: rate of step %d = %v, want %v", tt.s, tt.step, got, tt.want)
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
