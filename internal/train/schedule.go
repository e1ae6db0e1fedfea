package train

import "math"

// schedule is the run's course: how many steps there are, and the learning rate of each. The formulas are those of
// transformers (optimization.py), with steps counted from 0.
type schedule struct {
	kind            string
	peak            float64
	total, warmup   int
	minRate         float64 // of cosine_with_min_lr, as a share of peak
	timescale       float64 // of inverse_sqrt
	stepsPerEpoch   int
	examples, batch int // of an epoch, of a full step
}

// newSchedule plans a run over n examples.
func newSchedule(o *Options, n int) schedule {
	s := schedule{kind: o.LRSchedulerType, peak: o.LearningRate, examples: n, batch: o.stepSize()}
	s.stepsPerEpoch = (n + s.batch - 1) / s.batch
	s.total = o.MaxSteps
	if s.total <= 0 {
		s.total = int(math.Ceil(o.NumTrainEpochs * float64(s.stepsPerEpoch)))
	}
	s.total = max(s.total, 1)
	s.warmup = s.steps(o.WarmupSteps)
	if o.WarmupSteps == 0 {
		s.warmup = int(math.Ceil(o.WarmupRatio * float64(s.total)))
	}
	switch {
	case o.MinLRRate != nil:
		s.minRate = *o.MinLRRate
	case o.MinLR != nil && s.peak > 0:
		s.minRate = *o.MinLR / s.peak
	}
	s.timescale = float64(o.Timescale)
	if o.Timescale == 0 {
		s.timescale = 10000
		if s.warmup > 0 {
			s.timescale = float64(s.warmup)
		}
	}
	return s
}

// stepSize is the number of examples of a full optimizer step.
func (o *Options) stepSize() int { return o.PerDeviceTrainBatchSize * o.GradientAccumulationSteps }

// steps turns a setting that below 1 is a share of all steps into steps.
func (s schedule) steps(setting float64) int {
	if setting < 1 {
		return int(math.Ceil(setting * float64(s.total)))
	}
	return int(setting)
}

// every is the number of steps between two events of a strategy (steps, epoch, best, no), whose setting counts for steps;
// 0 is never.
func (s schedule) every(strategy string, setting float64) int {
	switch strategy {
	case "epoch":
		return s.stepsPerEpoch
	case "best", "no":
		return 0
	}
	return s.steps(setting)
}

// learningRate is the rate of a step, the first being 0.
func (s schedule) learningRate(step int) float64 { return s.peak * s.factor(step) }

// factor is the share of the peak rate that a step has, rounded where transformers rounds.
func (s schedule) factor(step int) float64 {
	at, warmup := float64(step), float64(s.warmup)
	switch {
	case s.kind == "constant": // which has no warm-up in transformers either
		return 1
	case step < s.warmup:
		return at / warmup
	case s.kind == "constant_with_warmup":
		return 1
	case s.kind == "inverse_sqrt":
		return 1 / math.Sqrt((at+(s.timescale-warmup))/s.timescale)
	}
	fall := float64(max(1, s.total-s.warmup))
	if s.kind == "linear" {
		return max(0, float64(s.total-step)/fall)
	}
	cosine := 0.5 * (1 + math.Cos(math.Pi*((at-warmup)/fall)))
	return max(0, float64(cosine*(1-s.minRate))+s.minRate) // the conversion keeps the two from being fused, which rounds otherwise
}

// epoch is the number of epochs that are behind after a number of steps, counted in examples: the last step of an epoch
// may have fewer.
func (s schedule) epoch(steps int) float64 {
	whole, rest := steps/s.stepsPerEpoch, steps%s.stepsPerEpoch
	return float64(whole) + float64(rest*s.batch)/float64(s.examples)
}
