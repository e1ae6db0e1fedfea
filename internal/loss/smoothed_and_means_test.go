package loss

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// Worked by hand, the pair of TestByHand: h = 4, pc - pr = 3; per token pc is -3, pr -2.25 and the margin 1.5.
//
//	robust, beta 0.5, smoothing 0.25: u = 2, e/(1-2e) = 0.5; L = 0.126928 - 0.5*2, dL/dpc = -0.5*(0.119203 + 0.5)
//	dpo_norm, beta 2: u = 3, L = log(1+e^-3), dL/dpc = -2/(1+e^3)/2, dL/dpr = 2/(1+e^3)/4
//	rdpo, beta 0.5, alpha 0.5: u = 2 + 0.5*(2-4) = 1, L = log(1+e^-1), dL/dpc = -0.5/(1+e)
//	orpo, beta 0.5: log-odds -3 - log(1-e^-3) = -2.948931 and -2.25 - log(1-e^-2.25) = -2.138622, o = -0.810309;
//	  L = 3 + 0.5*1.178225, dL/dpc = -(1 + 0.5*0.692175/(1-0.049787))/2, dL/dpr = 0.5*0.692175/(1-0.105399)/4
//	simpo, beta 2, ratio 0.25: u = 2*(-3 + 2.25 - 0.25) = -2, L = 2.126928, dL/dpc = -2*0.880797/2, dL/dpr = 2*0.880797/4
//	slic, delta 4, weight 0.5: m = 4 - 3, L = 1 + 0.5*3, dL/dpc = -1 - 0.5/2; of sums L = 1 + 0.5*6, dL/dpc = -1 - 0.5
//	slic, delta 3: m is exactly 0: supervised fine-tuning alone
//	alphapo, beta 2, alpha 0.25, ratio 0.25: f(-3) = 4*(1-e^0.75) = -4.468000, f(-2.25) = -3.020219, u = 2*(-1.447781 - 0.25) = -3.395563;
//	  s(-u) = 0.967566, dL/dpc = -2*0.967566*2.117000/2, dL/dpr = 2*0.967566*1.755055/4
//	alphapo, beta 2, alpha -1, ratio 0.25: f(x) = e^x - 1, u = 2*(0.049787 - 0.105399 - 0.25) = -0.611224, s(-u) = 0.648220;
//	  dL/dpc = -2*0.648220*0.049787/2, dL/dpr = 2*0.648220*0.105399/4
//	cpo, beta 0.5, alpha 0.5: u = 1.5, L = log(1+e^-1.5) + 0.5*3, dL/dpc = -0.5/(1+e^1.5) - 0.5/2
//	cpo_simpo, beta 2, ratio 0.25, alpha 0.5: simpo's and 0.5*3, -0.5/2
func TestSmoothedAndMeansByHand(t *testing.T) {
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"robust", Settings{"beta": 0.5, "label_smoothing": 0.25}, -0.8730719889570275, -0.30960146101105878, 0.30960146101105878},
		{"dpo_norm", withBeta(2), 0.048587351573742059, -0.047425873177566781, 0.02371293658878339},
		{"rdpo", Settings{"beta": 0.5, "rdpo_alpha": 0.5}, 0.31326168751822283, -0.13447071068499756, 0.13447071068499756},
		{"orpo", withBeta(0.5), 3.5891123232248358, -0.68211056317420478, 0.096715661815848127},
		{"simpo", Settings{"beta": 2.0, "simpo_gamma_beta_ratio": 0.25}, 2.1269280110429725, -0.88079707797788244, 0.44039853898894122},
		{"slic", Settings{"slic_delta": 4.0, "sft_weight": 0.5}, 2.5, -1.25, 1},
		{"slic", Settings{"slic_delta": 4.0, "sft_weight": 0.5, "slic_sft_average": false}, 4, -1.5, 1},
		{"slic", Settings{"slic_delta": 3.0, "sft_weight": 0.5}, 1.5, -0.25, 0},
		{"alphapo", Settings{"beta": 2.0, "alphapo_alpha": 0.25, "alphapo_gamma_beta_ratio": 0.25}, 3.4285349546622643, -2.0483363407125847, 0.84906523513891108},
		{"alphapo", Settings{"beta": 2.0, "alphapo_alpha": -1.0, "alphapo_gamma_beta_ratio": 0.25}, 1.0447493945111386, -0.032272975134096689, 0.034160944447511564},
		{"cpo", Settings{"beta": 0.5, "cpo_alpha": 0.5}, 1.7014132779827524, -0.34121276190317817, 0.09121276190317817},
		{"cpo_simpo", Settings{"beta": 2.0, "cpo_simpo_gamma_beta_ratio": 0.25, "cpo_simpo_alpha": 0.5}, 3.6269280110429725, -1.1307970779778824, 0.44039853898894122},
	})
}

// TestSmoothedAndMeansSpecialCases: with the settings on the left each loss is, to the bit, the one on the right.
func TestSmoothedAndMeansSpecialCases(t *testing.T) {
	const seed = 11
	plain := func(b *Batch) {}
	noReference := func(b *Batch) { b.RefChosenLogps[0], b.RefRejectedLogps[0] = 0, 0 }
	oneToken := func(b *Batch) { b.ChosenTokens[0], b.RejectedTokens[0] = 1, 1 }
	for _, tt := range []struct {
		a    string
		with Settings
		b    string
		set  Settings
		on   func(b *Batch)
	}{
		{"robust", Settings{"label_smoothing": 0.0}, "dpo", nil, plain},
		{"dpo_norm", nil, "dpo", withBeta(5), oneToken},
		{"rdpo", Settings{"rdpo_alpha": 0.0}, "dpo", nil, plain},
		{"rdpo", nil, "dpo", nil, func(b *Batch) { b.ChosenTokens[0] = b.RejectedTokens[0] }},
		{"orpo", withBeta(1e-300), "sft", nil, plain}, // beta cannot be 0
		{"simpo", Settings{"beta": 0.1, "simpo_gamma_beta_ratio": 0.0}, "dpo", nil, func(b *Batch) { noReference(b); oneToken(b) }},
		{"slic", Settings{"sft_weight": 0.0}, "hinge", withBeta(1), noReference},
		{"alphapo", Settings{"alphapo_alpha": 0.0}, "simpo", Settings{"beta": 2.5, "simpo_gamma_beta_ratio": 0.1}, plain},
		{"alphapo", Settings{"alphapo_alpha": 5e-324}, "simpo", Settings{"beta": 2.5, "simpo_gamma_beta_ratio": 0.1}, plain},
		{"alphapo", Settings{"alphapo_alpha": -1e-310}, "simpo", Settings{"beta": 2.5, "simpo_gamma_beta_ratio": 0.1}, plain},
		{"cpo", Settings{"cpo_alpha": 0.0}, "dpo", nil, noReference},
		{"cpo_simpo", Settings{"cpo_simpo_alpha": 0.0}, "simpo", nil, plain},
	} {
		rng := rand.New(rand.NewPCG(seed, 12))
		for range 200 {
			b := randomPair(rng)
			tt.on(&b)
			var got, want Result
			must(t, tt.a, tt.with).Compute(b, &got)
			must(t, tt.b, tt.set).Compute(b, &want)
			if tt.b == "sft" { // 1e-300 is no more than what is left of beta's term
				want.DRejectedLogps[0] = got.DRejectedLogps[0]
			}
			if !equal(got, want) {
				t.Fatalf("%+v: %s with %v gives %+v, %s %+v (seed %d)", b, tt.a, tt.with, got, tt.b, want, seed)
			}
		}
	}
}

// TestSmoothedAndMeansStepZero: policy and reference are the same.
func TestSmoothedAndMeansStepZero(t *testing.T) {
	b := join(pair(-12.5, -31, -12.5, -31, 5, 9), pair(-0.1, -700.3, -0.1, -700.3, 1, 400))
	var r Result
	for _, l := range []Loss{must(t, "robust", nil), must(t, "robust", Settings{"beta": 2.0, "label_smoothing": 0.49}), must(t, "dpo_norm", nil), must(t, "rdpo", Settings{"rdpo_alpha": 0.0})} {
		l.Compute(b, &r)
		if v, ok := l.StepZero(); !ok || v != math.Ln2 || r.Losses[0] != v || r.Losses[1] != v {
			t.Errorf("%s: losses %v, StepZero %v, %v; want exactly log 2", l.Name(), r.Losses, v, ok)
		}
	}
	// rdpo's depends on the lengths: log(1+e^(0.05*(9-5))) and log(1+e^(0.05*(400-1))), where the chosen side is the shorter one.
	l := must(t, "rdpo", nil)
	if v, ok := l.StepZero(); ok {
		t.Errorf("rdpo: StepZero is %v; it has none", v)
	}
	l.Compute(b, &r)
	for i, want := range []float64{0.79813886938159184, 19.950000002166} {
		if math.Abs(r.Losses[i]-want) > 1e-12*want {
			t.Errorf("rdpo: loss %v of example %d, want %v", r.Losses[i], i, want)
		}
	}
	for _, name := range strings.Fields("orpo simpo slic alphapo cpo cpo_simpo") {
		if v, ok := must(t, name, nil).StepZero(); ok {
			t.Errorf("%s: StepZero is %v; it has no reference", name, v)
		}
	}
}

// TestRobustUnbiased: over labels of which the share e is wrong robust is on average what dpo is over true ones.
func TestRobustUnbiased(t *testing.T) {
	const seed = 13
	rng := rand.New(rand.NewPCG(seed, 14))
	for range 200 {
		e := 0.45 * rng.Float64()
		l := must(t, "robust", Settings{"label_smoothing": e})
		h := 400*rng.Float64() - 200
		var right, wrong, dpo Result
		l.Compute(pair(h, 0, 0, 0, 1, 1), &right)
		l.Compute(pair(0, h, 0, 0, 1, 1), &wrong)
		must(t, "dpo", nil).Compute(pair(h, 0, 0, 0, 1, 1), &dpo)
		loss := (1-e)*right.Losses[0] + e*wrong.Losses[0]
		slope := (1-e)*right.DChosenLogps[0] + e*wrong.DRejectedLogps[0]
		// What cancels is up to e/(1-2e) = 4.5 times u, which is up to 20.
		if math.Abs(loss-dpo.Losses[0]) > 1e-13 || math.Abs(slope-dpo.DChosenLogps[0]) > 1e-15 {
			t.Fatalf("margin %v, smoothing %v: %v, slope %v; dpo %v, %v (seed %d)", h, e, loss, slope, dpo.Losses[0], dpo.DChosenLogps[0], seed)
		}
	}
}

// TestRobustHasNoBound: beyond every margin the loss falls on, with slope b e/(1-2e), where cdpo turns.
func TestRobustHasNoBound(t *testing.T) {
	var r Result
	must(t, "robust", withBeta(1)).Compute(pair(1000, -1000, 0, 0, 1, 1), &r)
	compare(t, "robust, u = 2000", r, 0, want{loss: -250, dChosen: -0.125, dRejected: 0.125}, 1e-15)
}

// TestMeans: a completion repeated, with twice the tokens and twice the log-prob, has the same loss and half the slope.
func TestMeans(t *testing.T) {
	const seed = 15
	rng := rand.New(rand.NewPCG(seed, 16))
	for range 200 {
		b := randomPair(rng)
		twice := pair(2*b.ChosenLogps[0], b.RejectedLogps[0], 2*b.RefChosenLogps[0], b.RefRejectedLogps[0], 2*b.ChosenTokens[0], b.RejectedTokens[0])
		for _, name := range strings.Fields("dpo_norm orpo simpo alphapo cpo_simpo") {
			var r, d Result
			l := must(t, name, nil)
			l.Compute(b, &r)
			l.Compute(twice, &d)
			d.DChosenLogps[0] *= 2
			if !equal(r, d) {
				t.Fatalf("%s: %+v gives %+v, twice as long %+v (seed %d)", name, b, r, d, seed)
			}
		}
	}
}

// TestRDPOFavoursShort: of two pairs with the same margin the one whose chosen side is shorter pulls more.
func TestRDPOFavoursShort(t *testing.T) {
	var r Result
	must(t, "rdpo", nil).Compute(join(pair(-6, -9, -8, -7, 10, 20), pair(-6, -9, -8, -7, 10, 10), pair(-6, -9, -8, -7, 20, 10)), &r)
	if d := r.DChosenLogps; !(d[0] < d[1] && d[1] < d[2] && d[2] < 0) {
		t.Errorf("chosen shorter, as long, longer: dL/dchosen %v, want a pull that weakens", d)
	}
}

// TestLogOdds: the odds and their slope have no jump where the straight line begins, and end nowhere.
//
//	at -log 2 the odds are 1, with slope 2; at -1e-6 log(e^-1e-6/(1-e^-1e-6)) = 13.815510057964232, with slope 1000000.5000000833
func TestLogOdds(t *testing.T) {
	for _, tt := range []struct{ a, value, slope float64 }{
		{-math.Ln2, 0, 2},
		{-1e-6, 13.815510057964232, 1000000.5000000833},
		{math.Nextafter(-1e-6, 0), 13.815510057964232, 1000000.5000000833},
		{0, 13.815510057964232 + 1.0000005000000833, 1000000.5000000833},
		{1e4, 1.0000005000000833e10 + 14.815510557964232, 1000000.5000000833},
		{-1e4, -1e4, 1},
	} {
		// -expm1 has some 1e-16 of relative error where it is 1e-6, and log 2 is no exact number.
		v, d := logOdds(tt.a)
		if math.Abs(v-tt.value) > 1e-15*max(1, math.Abs(tt.value)) || math.Abs(d-tt.slope) > 1e-15*tt.slope {
			t.Errorf("logOdds(%v) = %.17g, slope %.17g; want %.17g, %.17g", tt.a, v, d, tt.value, tt.slope)
		}
	}
	var r Result // both sides certain: o = 0
	must(t, "orpo", withBeta(1)).Compute(pair(0, 0, 0, 0, 1, 2), &r)
	compare(t, "orpo, certain", r, 0, want{loss: math.Ln2, dChosen: -1 - 500000.25000004167, dRejected: 250000.12500002084}, 1e-15)
}

// TestAlphaPOShapes: f at 1 and -1 is what the paper says of them, goes on as a line beyond e^80, and is finite for any alpha.
func TestAlphaPOShapes(t *testing.T) {
	for _, x := range []float64{-79, -3, -1e-9, 0, 0.5} {
		for alpha, want := range map[float64]float64{1: 1 - math.Exp(-x), -1: math.Exp(x) - 1} {
			v, d := AlphaPO{alpha: alpha}.shape(x)
			// The formulas on the right cancel near x = 0, to 1e-16.
			if math.Abs(v-want) > 1e-14*math.Abs(want)+2e-16 || math.Abs(d-math.Exp(-alpha*x)) > 1e-15*d {
				t.Errorf("alpha %v: f(%v) = %v, slope %v; want %v, %v", alpha, x, v, d, want, math.Exp(-alpha*x))
			}
		}
	}
	for _, alpha := range []float64{0.25, 5, -0.5} {
		l := AlphaPO{alpha: alpha}
		last := -80 / alpha
		away := last + math.Copysign(1e-12, last)
		v, d := l.shape(last)
		w, e := l.shape(away)
		// f has slope e^80, and a relative curvature of alpha: over 1e-12 nats both change by less than 1e-11 of themselves.
		if math.Abs(v-w) > 1e-11*math.Abs(v) || math.Abs(d-e) > 1e-11*d || e != math.Exp(80) {
			t.Errorf("alpha %v: at the last exponent f = %v, slope %v; beyond %v, %v", alpha, v, d, w, e)
		}
		if further, _ := l.shape(2 * last); math.Abs((further-v)/last-e) > 1e-12*e {
			t.Errorf("alpha %v: f(%v) = %v is not on the line from %v", alpha, 2*last, further, v)
		}
	}
	for _, alpha := range []float64{-math.MaxFloat64, -5, -1e-5, -5e-324, 0, 5e-324, 1e-5, 5, math.MaxFloat64} {
		l := must(t, "alphapo", Settings{"alphapo_alpha": alpha})
		for _, pc := range []float64{-1e4, -1, 0, 1, 1e4} {
			for _, pr := range []float64{-1e4, -1, 0, 1, 1e4} {
				var r Result
				b := pair(pc, pr, 0, 0, 1, 3)
				l.Compute(b, &r)
				chosen, rejected := Rewards(l, &b, 0)
				for _, v := range []float64{r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0], chosen, rejected} {
					if v-v != 0 {
						t.Errorf("alpha %v at %+v: %+v, rewards %v, %v", alpha, b, r, chosen, rejected)
					}
				}
				if r.DChosenLogps[0] > 0 || r.DRejectedLogps[0] < 0 {
					t.Errorf("alpha %v at %+v: %+v has the wrong sign", alpha, b, r)
				}
			}
		}
	}
}

// TestSmoothedAndMeansExtremes: log-probs of 1e4 nats either way give numbers, with the shortest and with long completions.
func TestSmoothedAndMeansExtremes(t *testing.T) {
	edges := []float64{-1e4, -1e-7, 0, 1e-7, 1e4}
	for _, name := range strings.Fields("robust dpo_norm rdpo orpo simpo slic alphapo cpo cpo_simpo") {
		l := must(t, name, nil)
		for _, pc := range edges {
			for _, pr := range edges {
				for _, n := range [][2]int{{1, 1}, {1, 65536}, {65536, 1}} {
					var r Result
					b := pair(pc, pr, -pc, -pr, n[0], n[1])
					l.Compute(b, &r)
					for _, v := range []float64{r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0]} {
						if v-v != 0 {
							t.Errorf("%s at %+v: %+v", name, b, r)
						}
					}
				}
			}
		}
	}
}

// Rewards of the pair of TestByHand with beta 2.
func TestSmoothedAndMeansRewards(t *testing.T) {
	b := pair(-6, -9, -8, -7, 2, 4)
	for _, tt := range []struct {
		name             string
		settings         Settings
		chosen, rejected float64
	}{
		{"robust", withBeta(2), 2 * 2, 2 * -2},
		{"dpo_norm", withBeta(2), 2 * 2, 2 * -2}, // of sums, as TRL logs them
		{"rdpo", withBeta(2), 2 * 2, 2 * -2},
		{"orpo", withBeta(2), 2 * -3, 2 * -2.25},
		{"simpo", withBeta(2), 2 * -3, 2 * -2.25},
		{"cpo_simpo", withBeta(2), 2 * -3, 2 * -2.25},
		{"alphapo", Settings{"beta": 2.0, "alphapo_alpha": 0.0}, 2 * -3, 2 * -2.25},
		{"alphapo", Settings{"beta": 2.0, "alphapo_alpha": -1.0}, 2 * math.Expm1(-3), 2 * math.Expm1(-2.25)},
		{"slic", nil, -6, -9},
		{"cpo", withBeta(2), 2 * -6, 2 * -9},
	} {
		chosen, rejected := Rewards(must(t, tt.name, tt.settings), &b, 0)
		if math.Abs(chosen-tt.chosen) > 1e-15 || math.Abs(rejected-tt.rejected) > 1e-15 {
			t.Errorf("%s with %v: rewards %v, %v; want %v, %v", tt.name, tt.settings, chosen, rejected, tt.chosen, tt.rejected)
		}
	}
}
