package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// slope is the derivative of f at x by central differences, and a bound on how far it is from the true one: of many steps the one whose
// extrapolation moved least, counting noise, which is how far a value of f may be off. It finds a step small enough for a function that bends sharply, as
// orpo's where a completion is nearly certain, or has a kink nearby, and large enough for one with large values. Across a kink the second difference falls
// with the step and not with its square.
func slope(f func(float64) float64, x, noise float64) (value, bound float64) {
	bound = math.Inf(1)
	for h := 0.25; h > 1e-13; h /= 8 {
		differences := func(h float64) (first, second float64) {
			high, low := f(x+h), f(x-h)
			return (high - low) / ((x + h) - (x - h)), high + low - 2*f(x)
		}
		wide, wideBend := differences(h)
		narrow, narrowBend := differences(h / 2)
		extrapolated := (4*narrow - wide) / 3 // without the third derivative
		if b := math.Abs(extrapolated-narrow) + math.Abs(wideBend-4*narrowBend)/h + 32*noise/h; b < bound {
			value, bound = extrapolated, b
		}
	}
	return value, bound
}

// randomInput is a pair as training meets them, or with log-probs of up to 2000 nats, or with completions nearly certain: of a probability of up to
// 1 - 1e-12 a token.
func randomInput(rng *rand.Rand) Batch {
	b := randomColumns(rng)
	logps := []*float64{&b.ChosenLogps[0], &b.RejectedLogps[0], &b.RefChosenLogps[0], &b.RefRejectedLogps[0]}
	switch rng.IntN(4) {
	case 0:
		for _, x := range logps {
			*x = -2000 * rng.Float64()
		}
	case 1:
		for i, x := range logps {
			*x = -math.Pow(10, -12*rng.Float64()) * float64([]int{b.ChosenTokens[0], b.RejectedTokens[0]}[i%2])
		}
	}
	return b
}

// checkSlopes holds the weighed derivatives of a batch to central differences of the sum of its weighed losses, which must be finite. blunt counts the
// differences that tell too little.
func checkSlopes(t *testing.T, l Loss, b Batch, blunt *int) (ok bool) {
	t.Helper()
	var r, scratch Result
	l.Compute(b, &r)
	Weigh(l, &b, &r)
	var size float64
	for i, v := range r.Losses {
		if r.DChosenLogps[i]-r.DChosenLogps[i] != 0 || r.DRejectedLogps[i]-r.DRejectedLogps[i] != 0 || v-v != 0 {
			t.Errorf("%s: not finite: %+v at %+v", l.Name(), r, b)
			return false
		}
		size += math.Abs(v)
	}
	for i := range b.Len() {
		for side, logps := range [][]float64{b.ChosenLogps, b.RejectedLogps} {
			old, got := logps[i], [][]float64{r.DChosenLogps, r.DRejectedLogps}[side][i]
			total := func(x float64) (sum float64) {
				logps[i] = x
				defer func() { logps[i] = old }()
				l.Compute(b, &scratch)
				Weigh(l, &b, &scratch)
				for _, v := range scratch.Losses {
					sum += v
				}
				return sum
			}
			// The loss's own rounding, and that of the log-ratio that it is of.
			const ulp = 0x1p-52
			want, bound := slope(total, old, ulp*(max(1, size)+math.Abs(got)*(math.Abs(b.RefChosenLogps[i])+math.Abs(b.RefRejectedLogps[i])+math.Abs(old))))
			if math.Abs(got-want) > bound+1e-9*math.Abs(got) {
				t.Errorf("%s: derivative of side %d of example %d %.12g, central difference %.12g within %.2g, at %+v", l.Name(), side, i, got, want, bound, b)
				return false
			}
			if bound > 1e-6*max(1, math.Abs(got), size) {
				*blunt++
			}
		}
	}
	return true
}

// settingsVariants are losses with settings beyond their defaults that take another way through the code.
func settingsVariants() []want {
	variants := []want{
		{name: "odpo", settings: Settings{"odpo_offset": "identity", "odpo_alpha": 0.5}},
		{name: "slic", settings: Settings{"slic_sft_average": false, "slic_delta": 40.0}},
		{name: "alphapo", settings: Settings{"alphapo_alpha": -1.0}},
		{name: "alphapo", settings: Settings{"alphapo_alpha": 0.0}},
		{name: "aot", settings: Settings{"label_smoothing": 0.2}},
	}
	for _, v := range pointwiseVariants {
		variants = append(variants, want{name: v.name, settings: v.settings})
	}
	return variants
}

// rounds is how many random inputs a loss is tried on.
func rounds() int {
	if testing.Short() {
		return 100
	}
	return 1000
}

// TestCentralDifferences: every loss of the catalogue is finite on random pairs, and its closed form is the derivative.
func TestCentralDifferences(t *testing.T) {
	const seed = 1
	variants := settingsVariants()
	for _, name := range Names() {
		variants = append(variants, want{name: name})
	}
	for _, v := range variants {
		l, rng, blunt := must(t, v.name, v.settings), rand.New(rand.NewPCG(seed, 2)), 0
		for range rounds() {
			if !checkSlopes(t, l, randomInput(rng), &blunt) {
				t.Errorf("with %v (seed %d)", v.settings, seed)
				break
			}
		}
		if blunt > rounds()/20 {
			t.Errorf("%s, %v: %d of %d differences tell nothing (seed %d)", v.name, v.settings, blunt, 2*rounds(), seed)
		}
	}
}

// TestStepDifferences: in a step of several pairs with weights the derivatives are those of the sum of the weighed losses, whichever loss they are of. What is
// remembered counts as a constant, and so does beta_dpo's beta, which TestBetaDPO compares with dpo's.
func TestStepDifferences(t *testing.T) {
	const seed = 12
	mixes := []string{"dpo=0.8,sft=1", "dpo=0.8,bco=0.2,sft=1", "simpo=2,aot=0.5", "sft=0.1,orpo=3,rebel=0.7", "aot_unpaired=0.5,dpo=1"}
	for _, name := range slices.Concat(Names(), mixes) {
		settings := Settings{}
		if name == "beta_dpo" {
			settings["beta_dpo_a"] = 0.0
		}
		l, rng, blunt := must(t, name, settings), rand.New(rand.NewPCG(seed, 0)), 0
		stepOf(l, some(rng, 5), 1)
		for range rounds() / 20 {
			var b Batch
			for range 5 {
				b = join(b, randomInput(rng))
			}
			b.Weights = []float64{1, 0.25, 2, 0, 3}
			if !checkSlopes(t, l, b, &blunt) {
				t.Errorf("(seed %d)", seed)
				break
			}
		}
		if blunt > rounds()/20 {
			t.Errorf("%s: %d of %d differences tell nothing (seed %d)", name, blunt, rounds()/2, seed)
		}
	}
}

// TestSlope: the measure itself, on functions whose derivative is known.
func TestSlope(t *testing.T) {
	for _, tt := range []struct {
		name           string
		f              func(float64) float64
		x, want, noise float64
	}{
		{"e^x", math.Exp, 3, math.Exp(3), 1e-15},
		{"log(-x), nearly 0", func(x float64) float64 { return math.Log(-x) }, -1e-6, -1e6, 1e-15},
		{"a kink at 1e-6", func(x float64) float64 { return max(0, x-1e-6) }, 0, 0, 0},
		{"large values", func(x float64) float64 { return 1e6 + x*x }, 30, 60, 1e-10},
	} {
		if got, bound := slope(tt.f, tt.x, tt.noise); math.Abs(got-tt.want) > bound || bound > 1e-6*max(1, tt.want) && bound > 1e-6*math.Abs(tt.want) {
			t.Errorf("%s: %.12g within %.2g, want %.12g", tt.name, got, bound, tt.want)
		}
	}
}
