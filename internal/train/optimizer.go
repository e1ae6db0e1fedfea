package train

import (
	"fmt"
	"strings"

	"dpotrain/internal/compute"
	"dpotrain/internal/model"
	"dpotrain/internal/safetensors"
)

// optimizer is AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101) as torch.optim.AdamW computes it.
//
// Its moments are float32 or, with optim: adamw_bf16, bf16 rounded stochastically, which takes half the memory. Rounded to the nearest
// the second moment would stand still: a step moves it by a part in a thousand (1 - adam_beta2), and neighbours in bf16 are a part in
// 128 to 256 apart. Carrying along what rounding cut off (Kahan's compensation) would be more exact, and take as much memory as float32
// does. What is random is a function of the step and the element, so that a run, resumed or not, gives the same bits with any number of
// threads.
type optimizer struct {
	model  *model.Model
	dev    compute.Device
	m, v   compute.Buffer    // first and second moments, laid out like the model's W
	format safetensors.Dtype // that holds them exactly
	c      compute.AdamW
	decay  float64
}

// adamWBF16 is the value of optim that keeps moments in bf16.
const adamWBF16 = "adamw_bf16"

func newOptimizer(m *model.Model, dev compute.Device, o *Options) *optimizer {
	a := &optimizer{model: m, dev: dev, format: safetensors.F32, decay: o.WeightDecay, c: compute.AdamW{Beta1: o.AdamBeta1, Beta2: o.AdamBeta2, Epsilon: o.AdamEpsilon}}
	alloc := dev.Alloc
	if o.Optim == adamWBF16 {
		alloc, a.format = dev.AllocBF16, safetensors.BF16
	}
	a.m, a.v = alloc(m.Len()), alloc(m.Len())
	return a
}

// update takes one step, the first being 1, with gradients multiplied by gradScale.
func (a *optimizer) update(step int, learningRate, gradScale float64) {
	a.c.Step, a.c.LearningRate, a.c.GradScale = step, learningRate, gradScale
	for _, p := range a.model.Params {
		a.c.WeightDecay = 0
		if p.Decay {
			a.c.WeightDecay = a.decay
		}
		a.dev.AdamW(a.model.W, a.model.G, a.m, a.v, p.Off, p.Off+p.Len(), a.c)
	}
}

// Names of the moments in a checkpoint, as torch calls them, in front of the parameter's own.
const (
	firstMoment  = "exp_avg."
	secondMoment = "exp_avg_sq."
)

// tensors are the moments for a checkpoint.
func (a *optimizer) tensors() []safetensors.Tensor {
	var ts []safetensors.Tensor
	for _, p := range a.model.Params {
		ts = append(ts, a.model.Source(firstMoment+p.Name, a.m, p, a.format), a.model.Source(secondMoment+p.Name, a.v, p, a.format))
	}
	return ts
}

// restore takes the moments out of a checkpoint.
func (a *optimizer) restore(f *safetensors.File) error {
	if err := restore(a.model, a.m, f, firstMoment); err != nil {
		return err
	}
	return restore(a.model, a.v, f, secondMoment)
}

// restore fills a buffer laid out like the model's W from the tensors whose names are the parameters' with a prefix.
func restore(m *model.Model, b compute.Buffer, f *safetensors.File, prefix string) error {
	for _, p := range m.Params {
		t, ok := f.Tensor(prefix + p.Name)
		if !ok || t.Len() != p.Len() {
			return fmt.Errorf("%s of %s is missing or misshapen; the checkpoint belongs to another model", strings.TrimSuffix(prefix, "."), p.Name)
		}
		if err := m.Restore(b, p, t); err != nil {
			return err
		}
	}
	return nil
}
