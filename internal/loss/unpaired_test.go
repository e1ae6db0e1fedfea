package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// apart makes unpaired rows of pairs: of each its chosen completion, desirable, and its rejected one, undesirable.
func apart(b Batch) Batch {
	var rows Batch
	for i := range b.Len() {
		rows.ChosenLogps = append(rows.ChosenLogps, b.ChosenLogps[i], b.RejectedLogps[i])
		rows.RefChosenLogps = append(rows.RefChosenLogps, b.RefChosenLogps[i], b.RefRejectedLogps[i])
		rows.ChosenTokens = append(rows.ChosenTokens, b.ChosenTokens[i], b.RejectedTokens[i])
		rows.Desirable = append(rows.Desirable, true, false)
	}
	return rows
}

// together adds what unpaired rows gave up as if they were the pairs again.
func together(rows Result) (r Result) {
	for i := 0; i < len(rows.Losses); i += 2 {
		r.Losses = append(r.Losses, rows.Losses[i]+rows.Losses[i+1])
		r.DChosenLogps, r.DRejectedLogps = append(r.DChosenLogps, rows.DChosenLogps[i]), append(r.DRejectedLogps, rows.DChosenLogps[i+1])
	}
	return r
}

// rows are three unpaired ones, whose log-ratios are 2, -2 and -1; the first and the last are desirable. Of the mismatched rows they are 3, 1
// and -1: z is 1.
func rows() Batch {
	return Batch{ChosenLogps: []float64{-6, -9, -5}, RefChosenLogps: []float64{-8, -7, -4}, ChosenTokens: []int{2, 4, 3}, Desirable: []bool{true, false, true},
		MismatchedLogps: []float64{-20, -30, -25}, RefMismatchedLogps: []float64{-23, -31, -24}}
}

// Worked by hand, beta 0.5. With s(0.5) = 0.622459, s(1) = 0.731059, s(1.5) = 0.817574:
//
//	kto: v = 0.5 (2-1) = 0.5, -1.5 and -1: L = 1-s(0.5) = 0.377541, 1-s(1.5) = 0.182426, s(1) = 0.731059;
//	  dL/dpc = -0.5 s(0.5) s(-0.5) = -0.117502, 0.5 s(1.5) s(-1.5) = 0.074573, -0.5 s(1) s(-1) = -0.098306
//	apo_zero_unpaired: v = 1, -1 and -0.5: L = 0.268941, 0.268941, 0.622459; dL/dpc = -0.098306, 0.098306, -0.117502
//	bco: the mean of 2, -2, -1 is -1/3; v = 7/6, -5/6 and -1/3: L = log(1+e^(-7/6)), log(1+e^(-5/6)), log(1+e^(1/3))
//
// Weights 3 and 0.25 multiply all of it.
func TestUnpairedByHand(t *testing.T) {
	s := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	bco := must(t, "bco", withBeta(0.5))
	bco.(TakesBoth).TakeUnpaired()
	for _, tt := range []struct {
		l         Loss
		loss, dpc [3]float64
		good, bad float64 // weights
		stepZero  float64 // 0: none
	}{
		{must(t, "kto", withBeta(0.5)), [3]float64{0.3775406687981454, 0.18242552380635635, 0.7310585786300049}, [3]float64{-0.11750185610079725, 0.07457322603516, -0.09830596662074094}, 1, 1, 0.5},
		{must(t, "kto", Settings{"beta": 0.5, "kto_desirable_weight": 3.0, "kto_undesirable_weight": 0.25}),
			[3]float64{0.3775406687981454, 0.18242552380635635, 0.7310585786300049}, [3]float64{-0.11750185610079725, 0.07457322603516, -0.09830596662074094}, 3, 0.25, 0},
		{must(t, "apo_zero_unpaired", withBeta(0.5)), [3]float64{0.2689414213699951, 0.2689414213699951, 0.6224593312018546}, [3]float64{-0.09830596662074094, 0.09830596662074094, -0.11750185610079725}, 1, 1, 0.5},
		{must(t, "apo_zero_unpaired", Settings{"beta": 0.5, "apo_zero_unpaired_desirable_weight": 3.0, "apo_zero_unpaired_undesirable_weight": 0.25}),
			[3]float64{0.2689414213699951, 0.2689414213699951, 0.6224593312018546}, [3]float64{-0.09830596662074094, 0.09830596662074094, -0.11750185610079725}, 3, 0.25, 0},
		{bco, [3]float64{math.Log1p(math.Exp(-7. / 6)), math.Log1p(math.Exp(-5. / 6)), math.Log1p(math.Exp(1. / 3))}, [3]float64{-0.5 * s(-7./6), 0.5 * s(-5./6), -0.5 * s(1./3)}, 1, 1, math.Ln2},
	} {
		r := stepOf(tt.l, rows(), 1)
		for i, good := range rows().Desirable {
			weight := tt.good
			if !good {
				weight = tt.bad
			}
			compare(t, tt.l.Name(), r, i, want{loss: weight * tt.loss[i], dChosen: weight * tt.dpc[i]}, 1e-12)
		}
		if v, ok := tt.l.StepZero(); ok != (tt.stepZero > 0) || ok && v != tt.stepZero {
			t.Errorf("%s: StepZero %v, %v; want %v", tt.l.Name(), v, ok, tt.stepZero)
		}
	}
}

// TestKL: it is the mean, never negative, 0 of no rows, and that of the step in every part of it.
func TestKL(t *testing.T) {
	b := rows()
	if v := b.KL(); v != 1 {
		t.Errorf("KL %v, want 1", v)
	}
	if part := b.Part(1, 2); part.KL() != 1 || len(part.Desirable) != 1 || part.Desirable[0] {
		t.Errorf("of a part: KL %v, desirable %v", part.KL(), part.Desirable)
	}
	b.RefMismatchedLogps[0] = -10 // log-ratios -10, 1, -1
	if v := b.KL(); v != 0 {
		t.Errorf("KL %v of a policy that is below the reference, want 0", v)
	}
	if v := (&Batch{}).KL(); v != 0 {
		t.Errorf("KL %v without rows, want 0", v)
	}
	var whole, part Result
	kto := must(t, "kto", nil)
	b = rows()
	kto.Compute(b, &whole)
	kto.Compute(b.Part(2, 3), &part)
	if !equal(part, whole.Part(2, 3)) {
		t.Errorf("part %+v, whole %+v", part, whole)
	}
}

// TestApart: pairs taken apart have the loss and the gradient of the pairs, for losses that have one on either; kto without divergence is
// apo_zero_unpaired.
func TestApart(t *testing.T) {
	const seed = 34
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		pairs := some(rng, 5)
		bco := must(t, "bco", nil).(*BCO)
		bco.TakeUnpaired()
		paired := must(t, "bco", nil).(*BCO)
		for range 2 { // the second step has something to remember
			got, want := together(stepOf(bco, apart(pairs), 1)), stepOf(paired, pairs, 1)
			near(t, "bco", got, want)
		}
		if a, b := bco.State(), paired.State(); a["pairs"] != b["pairs"] || math.Abs(a["mean"]-b["mean"]) > 1e-12 {
			t.Errorf("bco remembers %v, of pairs %v (seed %d)", a, b, seed)
		}
		near(t, "apo_zero_unpaired", together(stepOf(must(t, "apo_zero_unpaired", nil), apart(pairs), 1)), stepOf(must(t, "apo_zero", nil), pairs, 1))
		near(t, "kto", stepOf(must(t, "kto", nil), apart(pairs), 1), stepOf(must(t, "apo_zero_unpaired", nil), apart(pairs), 1))
	}
}

func near(t *testing.T, what string, got, want Result) {
	t.Helper()
	for _, s := range [][2][]float64{{got.Losses, want.Losses}, {got.DChosenLogps, want.DChosenLogps}, {got.DRejectedLogps, want.DRejectedLogps}} {
		if !slices.EqualFunc(s[0], s[1], func(a, b float64) bool { return math.Abs(a-b) <= 1e-13*max(1, math.Abs(b)) }) {
			t.Fatalf("%s: %v, want %v", what, s[0], s[1])
		}
	}
}

// TestUnpairedExtremes: 1e4 nats either way saturate to 0 and the weight, and the divergence may be as large.
func TestUnpairedExtremes(t *testing.T) {
	b := Batch{ChosenLogps: []float64{1e4, -1e4, 1e4, -1e4}, RefChosenLogps: make([]float64, 4), ChosenTokens: []int{1, 1, 1, 1}, Desirable: []bool{true, true, false, false}}
	for _, name := range []string{"kto", "apo_zero_unpaired"} {
		r := stepOf(must(t, name, nil), b, 1)
		if !slices.Equal(r.Losses, []float64{0, 1, 1, 0}) || slices.ContainsFunc(r.DChosenLogps, func(v float64) bool { return !(math.Abs(v) < 1e-300) }) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	b.MismatchedLogps, b.RefMismatchedLogps = []float64{1e4}, []float64{-1e4}
	r := stepOf(must(t, "kto", nil), b, 1)
	for _, v := range slices.Concat(r.Losses, r.DChosenLogps) {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Errorf("with a divergence of 2e4 nats: %+v", r)
		}
	}
}

func TestUnpaired(t *testing.T) {
	if got := Unpaired(); !slices.Equal(got, []string{"bco", "kto", "apo_zero_unpaired"}) {
		t.Errorf("losses on unpaired rows: %q", got)
	}
}
