package loss

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Worked by hand, with the pairs of TestByHand, whose log-ratios are a = 2 and c = -2, so that h = 4, and TestByHandExchanged: a = -2, c = 2.
// s(1) = 0.731059, s(2) = 0.880797, s(4) = 0.982014; -log s(1) = 0.313262, -log s(2) = 0.126928, -log s(4) = 0.018150. All with beta 0.5.
//
//	cal_dpo, weight 2: targets 1 and -1. L = 0.018150 + 2 (1^2 + 1^2), dL/dpc = -s(-4) + 4*1. Exchanged: L = 4.018150 + 2 (3^2 + 3^2),
//	  dL/dpc = -s(4) - 4*3
//	exo_pair, smoothing 0.25: u = 2. L = 0.880797 (-0.126928 - log 0.75) + 0.119203 (-2.126928 - log 0.25) = 0.053306,
//	  dL/dpc = 0.5*0.880797*0.119203*(2 - log 3)
//	nca_pair: L = 0.313262 + (1.313262 + 0.313262)/2, dL/dpc = 0.5 (0.731059/2 - 0.268941), dL/dpr = 0.5*0.268941/2
//	sppo_hard: targets 1 and -1. L = 1^2 + 1^2, dL/dpc = 2*1. Exchanged: L = 3^2 + 3^2, dL/dpc = -2*3
//	apo_zero: L = 2*0.268941, dL/dpc = -0.5*0.731059*0.268941
//	apo_down: L = 0.731059 + 0.119203, dL/dpr = 0.5*0.880797*0.119203, dL/dpc = 0.5*0.731059*0.268941 - dL/dpr
//	discopop, tau 2: u = 2, m = s(1). L = 0.268941*0.126928 + 0.731059 e^-2,
//	  dL/dpc = 0.5 (0.731059*0.268941/2 (e^-2 - 0.126928) - 0.268941*0.119203 - 0.731059 e^-2)
//	dpop, lambda 3: chosen rose: dpo. Exchanged: it fell by 2, u = 0.5 (-4 - 3*2) = -5, L = log(1 + e^5), dL/dpc = -0.5 s(5) (1 + 3)
//	rpo, alpha 0.5: L = 0.126928 + 0.5*6/2, dL/dpc = -0.059601 - 0.5/2. Exchanged: L = 2.126928 + 0.5*9/4
//	fdpo: u is 0.5 times
//	  reverse_kl 2 + 2
//	  js_divergence log s(2) - log s(-2) = 2, dL/dpc = -0.5 s(-1) s(-2), dL/dpr = 0.5 s(-1) s(2)
//	  forward_kl e^2 - e^-2 = 7.253721, dL/dpc = -0.5 s(-3.626860) e^-2
//	  alpha_divergence, alpha 0.5: (e - 1/e)/0.5 = 4.700805, dL/dpc = -0.5 s(-2.350402) e^-1
func TestPointwiseByHand(t *testing.T) {
	half := func(more Settings) Settings {
		s := withBeta(0.5)
		for k, v := range more {
			s[k] = v
		}
		return s
	}
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"cal_dpo", half(Settings{"cal_dpo_weight": 2.0}), 4.018149927917809, 3.982013790037908, -3.982013790037908},
		{"exo_pair", half(Settings{"label_smoothing": 0.25}), 0.053306012343218, 0.047319963825698, -0.047319963825698},
		{"nca_pair", half(nil), 1.126523375036446, 0.048293933972504, 0.067235355342499},
		{"sppo_hard", half(nil), 2, 2, -2},
		{"apo_zero", half(nil), 0.537882842739990, -0.098305966620741, 0.098305966620741},
		{"apo_down", half(nil), 0.850261500652122, 0.045809173918988, 0.052496792701753},
		{"discopop", half(Settings{"discopop_tau": 2.0}), 0.133074219503011, -0.065085069030946, 0.065085069030946},
		{"dpop", half(Settings{"dpop_lambda": 3.0}), 0.126928011042973, -0.059601461011058, 0.059601461011058},
		{"rpo", half(Settings{"rpo_alpha": 0.5}), 1.626928011042973, -0.309601461011058, 0.059601461011058},
		{"fdpo", half(Settings{"fdpo_divergence": "reverse_kl"}), 0.126928011042973, -0.059601461011058, 0.059601461011058},
		{"fdpo", half(Settings{"fdpo_divergence": "js_divergence"}), 0.313261687518223, -0.016029301640042, 0.118441409044955},
		{"fdpo", half(Settings{"fdpo_divergence": "forward_kl"}), 0.026251947644848, -0.001753293015632, 0.095726555119530},
		{"fdpo", half(Settings{"fdpo_divergence": "alpha_divergence"}), 0.091056413169068, -0.016008971726043, 0.118291190169925},
	})
	check(t, pair(-9, -6, -7, -8, 4, 2), []want{
		{"cal_dpo", half(Settings{"cal_dpo_weight": 2.0}), 40.018149927917809, -12.982013790037908, 12.982013790037908},
		{"exo_pair", half(Settings{"label_smoothing": 0.25}), 0.890002711054038, -0.162667206981315, 0.162667206981315},
		{"nca_pair", half(nil), 2.126523375036446, -0.298293933972504, 0.182764644657501},
		{"sppo_hard", half(nil), 18, -6, 6},
		{"apo_zero", half(nil), 1.462117157260010, -0.098305966620741, 0.098305966620741},
		{"apo_down", half(nil), 1.149738499347877, 0.045809173918988, 0.052496792701753},
		{"discopop", half(Settings{"discopop_tau": 2.0}), 3.542132218430459, -1.056919460777531, 1.056919460777531},
		{"dpop", half(Settings{"dpop_lambda": 3.0}), 5.006715348489118, -1.986614298151431, 0.496653574537858},
		{"rpo", half(Settings{"rpo_alpha": 0.5}), 3.251928011042973, -0.565398538988942, 0.440398538988942},
		{"fdpo", half(Settings{"fdpo_divergence": "reverse_kl"}), 2.126928011042973, -0.440398538988942, 0.440398538988942},
		{"fdpo", half(Settings{"fdpo_divergence": "js_divergence"}), 1.313261687518223, -0.321957129943986, 0.043572159371016},
		{"fdpo", half(Settings{"fdpo_divergence": "forward_kl"}), 3.653112355491868, -3.598801494345796, 0.065914348602675},
		{"fdpo", half(Settings{"fdpo_divergence": "alpha_divergence"}), 2.441458800456671, -1.240849724059597, 0.167930748859678},
	})
}

// pointwiseVariants are settings of the losses of this file beyond their defaults.
var pointwiseVariants = []struct {
	name     string
	settings Settings
}{
	{"cal_dpo", Settings{"beta": 0.001, "cal_dpo_weight": 0.5}},
	{"cal_dpo", Settings{"beta": 1.0, "cal_dpo_weight": 0.0}},
	{"exo_pair", Settings{"beta": 1.0, "label_smoothing": 0.4999}},
	{"exo_pair", Settings{"beta": 1.0, "label_smoothing": 1e-300}},
	{"nca_pair", Settings{"beta": 2.0}},
	{"sppo_hard", Settings{"beta": 0.1}},
	{"apo_zero", Settings{"beta": 2.0}},
	{"apo_down", Settings{"beta": 2.0}},
	{"discopop", Settings{"beta": 1.0, "discopop_tau": 0.5}},
	{"discopop", Settings{"beta": 1.0, "discopop_tau": 1.0}},
	{"discopop", Settings{"beta": 1.0, "discopop_tau": 4.0}},
	{"dpop", Settings{"beta": 0.1, "dpop_lambda": 5.0}},
	{"rpo", Settings{"beta": 0.01, "rpo_alpha": 0.005}},
	{"fdpo", Settings{"fdpo_divergence": "reverse_kl"}},
	{"fdpo", Settings{"fdpo_divergence": "js_divergence", "beta": 2.0}},
	{"fdpo", Settings{"fdpo_divergence": "forward_kl"}},
	{"fdpo", Settings{"fdpo_divergence": "alpha_divergence"}},
	{"fdpo", Settings{"fdpo_divergence": "alpha_divergence", "fdpo_alpha": 0.99}},
	{"fdpo", Settings{"fdpo_divergence": "alpha_divergence", "fdpo_alpha": 1e-300}},
}

// TestPointwiseExtremes: log-probs of up to 1e4 nats on either side of 0, whatever the settings, give finite numbers.
func TestPointwiseExtremes(t *testing.T) {
	xs := []float64{-1e4, -100, -0.1, 0, 100, 1e4}
	for _, v := range pointwiseVariants {
		l := must(t, v.name, v.settings)
		for _, pc := range xs {
			for _, pr := range xs {
				for _, ref := range []float64{-1e4, 0, 1e4} {
					var r Result
					l.Compute(pair(pc, pr, ref, -ref, 1, 65536), &r)
					for _, x := range []float64{r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0]} {
						if math.IsNaN(x) || math.IsInf(x, 0) {
							t.Errorf("%s, %v, log-probs %v and %v, reference %v and %v: %+v", v.name, v.settings, pc, pr, ref, -ref, r)
						}
					}
				}
			}
		}
	}
}

// TestPointwiseStepZero: with policy and reference equal the loss is its closed form, whatever the lengths.
func TestPointwiseStepZero(t *testing.T) {
	b := join(pair(-12.5, -31, -12.5, -31, 5, 9), pair(-0.1, -700.3, -0.1, -700.3, 1, 400))
	for _, tt := range []struct {
		name     string
		settings Settings
		want     float64
	}{
		{"cal_dpo", nil, math.Ln2 + 50},
		{"cal_dpo", Settings{"beta": 0.001, "cal_dpo_weight": 0.5}, math.Ln2 + 250000},
		{"exo_pair", nil, 2.761230709097915},
		{"exo_pair", Settings{"beta": 2.0, "label_smoothing": 0.25}, -math.Ln2 - math.Log(0.1875)/2},
		{"nca_pair", nil, 2 * math.Ln2},
		{"nca_pair", withBeta(2), 2 * math.Ln2},
		{"sppo_hard", nil, 500000},
		{"sppo_hard", withBeta(0.1), 50},
		{"apo_zero", nil, 1},
		{"apo_down", withBeta(2), 1},
		{"discopop", nil, 0.8465735902799727},
		{"discopop", Settings{"beta": 2.0, "discopop_tau": 3.0}, 0.8465735902799727},
		{"dpop", nil, math.Ln2},
		{"dpop", Settings{"beta": 2.0, "dpop_lambda": 0.0}, math.Ln2},
		{"rpo", Settings{"rpo_alpha": 0.0}, math.Ln2},
		{"fdpo", Settings{"fdpo_divergence": "reverse_kl"}, math.Ln2},
		{"fdpo", Settings{"fdpo_divergence": "js_divergence"}, math.Ln2},
		{"fdpo", Settings{"fdpo_divergence": "forward_kl", "beta": 2.0}, math.Ln2},
		{"fdpo", Settings{"fdpo_divergence": "alpha_divergence", "fdpo_alpha": 0.3}, math.Ln2},
	} {
		var r Result
		l := must(t, tt.name, tt.settings)
		l.Compute(b, &r)
		closed, ok := l.StepZero()
		if !ok || math.Abs(closed-tt.want) > 1e-15*tt.want {
			t.Errorf("%s, %v: StepZero is %v, %v; want %v", tt.name, tt.settings, closed, ok, tt.want)
		}
		if want := []float64{closed, closed}; !slices.Equal(r.Losses, want) {
			t.Errorf("%s, %v: losses %v, want exactly %v", tt.name, tt.settings, r.Losses, want)
		}
	}
	if v, ok := must(t, "rpo", nil).StepZero(); ok {
		t.Errorf("rpo: StepZero is %v; it has none", v)
	}
}

// TestPointwiseSpecialCases: what is dpo without its own term, and the parts of cal_dpo.
func TestPointwiseSpecialCases(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 12))
	for range 200 {
		b := randomPair(rng)
		var dpo, r Result
		must(t, "dpo", withBeta(0.3)).Compute(b, &dpo)
		for name, s := range map[string]Settings{"rpo": {"rpo_alpha": 0.0}, "dpop": {"dpop_lambda": 0.0}, "fdpo": {"fdpo_divergence": "reverse_kl"}} {
			s["beta"] = 0.3
			if must(t, name, s).Compute(b, &r); !equal(dpo, r) {
				t.Fatalf("%+v: dpo %+v, %s with %v %+v (seed %d)", b, dpo, name, s, r, seed)
			}
		}
		var one, squares Result
		must(t, "dpo", withBeta(1)).Compute(b, &one)
		if must(t, "cal_dpo", Settings{"cal_dpo_weight": 0.0}).Compute(b, &r); !equal(one, r) {
			t.Fatalf("%+v: dpo with beta 1 %+v, cal_dpo with weight 0 %+v (seed %d)", b, one, r, seed)
		}
		// Losses up to 5e4 and slopes up to 400: their sum is rounded once more.
		must(t, "sppo_hard", withBeta(0.1)).Compute(b, &squares)
		for _, w := range []float64{1, 0.25} {
			must(t, "cal_dpo", Settings{"beta": 0.1, "cal_dpo_weight": w}).Compute(b, &r)
			compare(t, "cal_dpo", r, 0, want{
				loss: one.Losses[0] + w*squares.Losses[0], dChosen: one.DChosenLogps[0] + w*squares.DChosenLogps[0], dRejected: one.DRejectedLogps[0] + w*squares.DRejectedLogps[0],
			}, 1e-12)
		}
		// The likelihood's part of rpo.
		must(t, "dpo", withBeta(0.1)).Compute(b, &dpo)
		must(t, "rpo", nil).Compute(b, &r)
		n := float64(b.ChosenTokens[0])
		compare(t, "rpo", r, 0, want{
			loss: dpo.Losses[0] - b.ChosenLogps[0]/n, dChosen: dpo.DChosenLogps[0] - 1/n, dRejected: dpo.DRejectedLogps[0],
		}, 1e-12)
	}
}

// TestEachSideAlone: these losses take each completion by itself, so that the other side does not change its derivative.
func TestEachSideAlone(t *testing.T) {
	for _, name := range []string{"sppo_hard", "nca_pair", "apo_zero"} {
		l := must(t, name, nil)
		var a, chosen, rejected Result
		l.Compute(pair(-6, -9, -8, -7, 2, 4), &a)
		l.Compute(pair(-6, -90, -8, -7, 2, 400), &chosen)
		l.Compute(pair(-60, -9, -8, -7, 200, 4), &rejected)
		if a.DChosenLogps[0] != chosen.DChosenLogps[0] || a.DRejectedLogps[0] != rejected.DRejectedLogps[0] {
			t.Errorf("%s: %+v, other rejected %+v, other chosen %+v", name, a, chosen, rejected)
		}
	}
}

// atLogRatios computes a loss for a pair with these log-ratios, one token a side.
func atLogRatios(l Loss, chosen, rejected float64) (loss, dChosen, dRejected float64) {
	var r Result
	l.Compute(pair(chosen, rejected, 0, 0, 1, 1), &r)
	return r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0]
}

// TestFiniteOptima: where a derivative changes sign, with beta 1. The sign on either side is spelled out.
func TestFiniteOptima(t *testing.T) {
	for _, tt := range []struct {
		name    string
		chosen  float64
		dChosen float64 // 0, or 1 and -1 for its sign
	}{
		{"exo_pair", 6.90, -1}, // log(0.999/0.001) = 6.906755
		{"exo_pair", 6.906754778648554, 0},
		{"exo_pair", 6.91, 1},
		{"nca_pair", 0.69, -1}, // log 2
		{"nca_pair", math.Ln2, 0},
		{"nca_pair", 0.70, 1},
		{"sppo_hard", 0.49, -1}, // 1/(2 beta)
		{"sppo_hard", 0.5, 0},
		{"sppo_hard", 0.51, 1},
		{"apo_down", 0, 0}, // at the start only rejected is moved
		{"discopop", -0.12, -1},
		{"discopop", -0.118, 1}, // rises from -0.11857 to 0.07201, 0 included
		{"discopop", 0, 1},
		{"discopop", 0.0715, 1},
		{"discopop", 0.0725, -1},
	} {
		_, g, _ := atLogRatios(must(t, tt.name, withBeta(1)), tt.chosen, 0)
		if math.Abs(g) > 1e-15 && g*tt.dChosen <= 0 || tt.dChosen != 0 && math.Abs(g) < 1e-6 {
			t.Errorf("%s at log-ratios %v and 0: dL/dchosen %v, want sign %v", tt.name, tt.chosen, g, tt.dChosen)
		}
	}
	// From tau 0.11 on discopop falls everywhere.
	for u := -20.0; u <= 20; u += 1.0 / 128 {
		if _, g, _ := atLogRatios(must(t, "discopop", Settings{"beta": 1.0, "discopop_tau": 0.11}), u, 0); g >= 0 {
			t.Errorf("discopop, tau 0.11: dL/dchosen %v at u = %v", g, u)
		}
	}
}

// TestEXOPairFarWrong: the gradient of exo_pair is 2300 times smaller at u = -10 than where it is largest, and the loss is a divergence, never
// below 0 by more than rounding.
func TestEXOPairFarWrong(t *testing.T) {
	l := must(t, "exo_pair", withBeta(1))
	largest, where := 0.0, 0.0
	for i := -2560; i <= 2560; i++ {
		u := float64(i) / 128
		loss, g, _ := atLogRatios(l, u, 0)
		if loss < -1e-15 {
			t.Errorf("loss %v at u = %v", loss, u)
		}
		if -g > largest {
			largest, where = -g, u
		}
	}
	if _, g, _ := atLogRatios(l, -10, 0); math.Abs(where+0.28) > 0.01 || math.Abs(largest/-g/2300-1) > 0.01 {
		t.Errorf("the gradient is largest at %v, %v, and %v at -10", where, largest, g)
	}
}

// TestDPOPKink: at pc = rc the derivative is dpo's; below, chosen pulls 1 + lambda times as hard.
func TestDPOPKink(t *testing.T) {
	l := must(t, "dpop", Settings{"beta": 0.5, "dpop_lambda": 3.0})
	for _, tt := range []struct{ chosen, dChosen float64 }{
		{math.SmallestNonzeroFloat64, -0.25}, {0, -0.25}, {math.Copysign(0, -1), -0.25}, {-math.SmallestNonzeroFloat64, -1},
	} {
		if _, dChosen, dRejected := atLogRatios(l, tt.chosen, 0); dChosen != tt.dChosen || dRejected != 0.25 {
			t.Errorf("log-ratio %v: derivatives %v and %v, want %v and 0.25", tt.chosen, dChosen, dRejected, tt.dChosen)
		}
	}
}

// TestHeldExponents: beyond e^80 a side is constant, and gives no gradient; two such sides are worth the same.
func TestHeldExponents(t *testing.T) {
	for _, tt := range []struct {
		settings Settings
		edge     float64
	}{
		{Settings{"fdpo_divergence": "forward_kl"}, -80},
		{Settings{"fdpo_divergence": "alpha_divergence", "fdpo_alpha": 0.25}, -320},
	} {
		l := must(t, "fdpo", tt.settings)
		for _, beyond := range []float64{tt.edge - 1e-9, tt.edge - 1e4} {
			if loss, dChosen, dRejected := atLogRatios(l, beyond, tt.edge-1); loss != math.Ln2 || dChosen != 0 || dRejected != 0 {
				t.Errorf("%v, log-ratios %v and %v: loss %v, derivatives %v and %v, want log 2, 0 and 0", tt.settings, beyond, tt.edge-1, loss, dChosen, dRejected)
			}
			if _, dChosen, dRejected := atLogRatios(l, beyond, 0); dChosen != 0 || dRejected != 0.1 {
				t.Errorf("%v, log-ratios %v and 0: derivatives %v and %v, want 0 and 0.1", tt.settings, beyond, dChosen, dRejected)
			}
		}
		if _, dChosen, _ := atLogRatios(l, tt.edge, 0); dChosen != -0.1*math.Exp(80) {
			t.Errorf("%v, log-ratios %v and 0: dL/dchosen %v, want -0.1 e^80", tt.settings, tt.edge, dChosen)
		}
	}
	// discopop with tau 4 is e^(3/4 |u|) on the wrong side, to e^80 at u = -106.7, and beyond grows like dpo at least.
	l := must(t, "discopop", Settings{"beta": 1.0, "discopop_tau": 4.0})
	before, after := -106.0, -107.0
	if _, g, _ := atLogRatios(l, before, 0); g > -1e34 {
		t.Errorf("discopop, tau 4, u = %v: dL/dchosen %v, want less than -1e34", before, g)
	}
	if _, g, _ := atLogRatios(l, after, 0); math.Abs(g+1) > 1e-9 {
		t.Errorf("discopop, tau 4, u = %v: dL/dchosen %v, want -1", after, g)
	}
}

// TestFDPOLimits: alpha_divergence is dpo for alpha towards 0 and forward_kl for alpha towards 1. q differs by alpha x^2/2 and (1-alpha) e^2 at
// most, 2e-9 and 7e-9 for log-ratios within 2 nats.
func TestFDPOLimits(t *testing.T) {
	for _, tt := range []struct {
		alpha float64
		limit string
	}{{1e-9, "reverse_kl"}, {1 - 1e-9, "forward_kl"}} {
		near, limit := must(t, "fdpo", Settings{"fdpo_divergence": "alpha_divergence", "fdpo_alpha": tt.alpha}), must(t, "fdpo", Settings{"fdpo_divergence": tt.limit})
		for _, x := range []struct{ chosen, rejected float64 }{{2, -2}, {-2, 2}, {-1, -1.5}, {0.5, 1}} {
			loss, dChosen, dRejected := atLogRatios(limit, x.chosen, x.rejected)
			var r Result
			near.Compute(pair(x.chosen, x.rejected, 0, 0, 1, 1), &r)
			compare(t, tt.limit, r, 0, want{loss: loss, dChosen: dChosen, dRejected: dRejected}, 1e-8)
		}
	}
}

func TestPointwiseErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"dpo", Settings{"rpo_alpha": 1.0}, "rpo_alpha: loss dpo does not use it; use loss rpo, or leave it out"},
		{"cal_dpo", Settings{"cal_dpo_weight": -1.0}, "cal_dpo_weight: -1 is out of range; want >= 0"},
		{"cal_dpo", withBeta(1e-200), "beta: 1e-200 makes the first value of loss cal_dpo infinite; its default is 0.1"},
		{"sppo_hard", withBeta(1e-200), "beta: 1e-200 makes the first value of loss sppo_hard infinite; its default is 0.001"},
		{"exo_pair", Settings{"label_smoothing": 0.0}, "label_smoothing: 0 is out of range; want > 0 and < 0.5"},
		{"exo_pair", Settings{"label_smoothing": 0.5}, "label_smoothing: 0.5 is out of range; want > 0 and < 0.5"},
		{"discopop", Settings{"discopop_tau": 0.0}, "discopop_tau: 0 is out of range; want > 0"},
		{"dpop", Settings{"dpop_lambda": -1.0}, "dpop_lambda: -1 is out of range; want >= 0"},
		{"rpo", Settings{"rpo_alpha": math.Inf(1)}, "rpo_alpha: +Inf is out of range; want >= 0"},
		{"fdpo", Settings{"fdpo_alpha": 1.0}, "fdpo_alpha: 1 is out of range; want > 0 and < 1"},
		{"fdpo", Settings{"fdpo_divergence": "kl"}, `fdpo_divergence: "kl"; want reverse_kl, forward_kl, js_divergence, alpha_divergence`},
	} {
		if l, err := New(tt.name, tt.settings); err == nil || err.Error() != tt.want {
			t.Errorf("New(%q, %v): %v, error %v\nwant %s", tt.name, tt.settings, l, err, tt.want)
		}
	}
}

// TestMallowsEntropy: the entropy sets the temperature. At 1 a pair does not pull; what would be infinite at 0 is that of 1e-5, and rounding
// beyond either end changes nothing. Where phi is 1 it is dpo.
func TestMallowsEntropy(t *testing.T) {
	at := func(h float64) Result {
		b := pair(-6, -9, -8, -7, 2, 4)
		b.RefEntropies[0] = h
		return compute(t, "mallows_dpo", nil, b)
	}
	for _, tt := range []struct{ h, phi float64 }{
		{1, 0}, {1.000001, 0}, {0.5, 0.29 * math.Ln2}, {1e-5, 0.29 * 5 * math.Ln10}, {1e-6, 0.29 * 5 * math.Ln10}, {0, 0.29 * 5 * math.Ln10}, {-1e-7, 0.29 * 5 * math.Ln10},
	} {
		u := 0.1 * tt.phi * 4 // h of the pair
		g := 0.1 * tt.phi / (1 + math.Exp(u))
		compare(t, fmt.Sprintf("entropy %v", tt.h), at(tt.h), 0, want{loss: math.Log1p(math.Exp(-u)), dChosen: -g, dRejected: g}, 1e-12)
	}
	b := pair(-6, -9, -8, -7, 2, 4)
	b.RefEntropies[0] = math.Exp(-1)
	if a, b := compute(t, "mallows_dpo", Settings{"mallows_dpo_scale": 1.0}, b), compute(t, "dpo", nil, b); !equal(a, b) {
		t.Errorf("at phi 1: %+v, dpo %+v", a, b)
	}
}

// TestDivergences: the derivatives of tdpo1 and tdpo2 by the divergences, against central differences; what tdpo2 gives chosen is held fixed.
// With equal divergences both are dpo, and with alpha 0 tdpo2 always is.
func TestDivergences(t *testing.T) {
	const seed, h = 21, 1e-4
	rng := rand.New(rand.NewPCG(seed, 22))
	for range 200 {
		b := randomPair(rng)
		b.ChosenKL[0], b.RejectedKL[0] = 20*rng.Float64(), 20*rng.Float64()
		for _, name := range []string{"tdpo1", "tdpo2"} {
			r := compute(t, name, nil, b)
			for side, x := range []*float64{&b.ChosenKL[0], &b.RejectedKL[0]} {
				at := *x
				*x = at + h
				above := compute(t, name, nil, b).Losses[0]
				*x = at - h
				below := compute(t, name, nil, b).Losses[0]
				*x = at
				want := (above - below) / (2 * h)
				got := [2]float64{r.DChosenKL[0], r.DRejectedKL[0]}[side]
				if name == "tdpo2" && side == 0 {
					want = 0
				}
				if !(math.Abs(got-want) <= 1e-9) {
					t.Fatalf("%s: derivative by the divergence of side %d %.12g, want %.12g, at %+v (seed %d)", name, side, got, want, b, seed)
				}
			}
		}
		dpo := compute(t, "dpo", nil, b)
		free := compute(t, "tdpo2", Settings{"tdpo2_alpha": 0.0}, b)
		if !equal(dpo, free) {
			t.Fatalf("tdpo2 with alpha 0 %+v, dpo %+v at %+v (seed %d)", free, dpo, b, seed)
		}
		b.ChosenKL[0] = b.RejectedKL[0]
		for _, name := range []string{"tdpo1", "tdpo2"} {
			if r := compute(t, name, nil, b); r.Losses[0] != dpo.Losses[0] || r.DChosenLogps[0] != dpo.DChosenLogps[0] {
				t.Fatalf("%s with equal divergences %+v, dpo %+v at %+v (seed %d)", name, r, dpo, b, seed)
			}
		}
		// In a sum they are weighted as all else is.
		one, sum := compute(t, "tdpo1", nil, b), compute(t, "dpo=3,tdpo1=2", nil, b)
		if sum.DChosenKL[0] != 2*one.DChosenKL[0] || sum.DRejectedKL[0] != 2*one.DRejectedKL[0] || sum.DChosenLogps[0] != 3*dpo.DChosenLogps[0]+2*one.DChosenLogps[0] {
			t.Fatalf("3 dpo + 2 tdpo1: %+v, of dpo %+v and tdpo1 %+v", sum, dpo, one)
		}
		// A weight goes to all derivatives.
		b.Weights = []float64{3}
		r := compute(t, "tdpo1", nil, b)
		weighed := compute(t, "tdpo1", nil, b)
		Weigh(must(t, "tdpo1", nil), &b, &weighed)
		if weighed.DChosenKL[0] != 3*r.DChosenKL[0] || weighed.DRejectedKL[0] != 3*r.DRejectedKL[0] {
			t.Fatalf("weight 3: %+v, without %+v", weighed, r)
		}
	}
}
