package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// columnLosses are those that read more of a row than its texts.
var columnLosses = []string{"odpo", "rebel", "reward_aware_bwd_kl", "reward_aware_fwd_kl", "sppo", "dno"}

// Worked by hand. h of the pair is 4, its log-ratios 2 and -2; the scores differ by 1.5, the win rates are 0.75 and 0.3.
//
//	odpo, beta 0.5: u = 2 - log 1.5, L = log(1 + 1.5 e^-2) = 0.184821, dL/dpc = -0.5 * 0.203003/1.203003
//	  alpha 0.5: 1.5 e^-2 becomes sqrt(1.5) e^-2. identity: u = 2 - 1.5, L = log(1 + e^-0.5) = 0.474077, dL/dpc = -0.5/(1+e^0.5)
//	rebel: e = 4 - 1.5, L = 2.5^2, dL/dpc = 2*2.5; beta 0.5, scale 2: e = 2 - 3, L = 1, dL/dpc = 2*0.5*(-1)
//	reward_aware, beta 0.5: p = s(1.5) = 0.817574, q = s(2) = 0.880797
//	  bwd: L = p log(p/q) + (1-p) log((1-p)/(1-q)) = 0.0167275, dL/dpc = 0.5*(q-p)
//	  fwd: L = q log(q/p) + (1-q) log((1-q)/(1-p)) = 0.0148838, dL/dpc = 0.5*q*(1-q)*(2-1.5)
//	  scale 4/3: p = s(2) = q, done
//	sppo, beta 0.1: targets 2.5 and -2: L = 0.5^2/2, dL/dpc = 2-2.5, dL/dpr = 0; beta 0.05: targets 5 and -4: L = (3^2+2^2)/2, -3, 2
//	dno, beta 0.5, scale 2: p = s(2*0.45) = 0.710950, L = -p log q - (1-p) log(1-q) = 0.705029, dL/dpc = 0.5*(q-p)
//	dno_prct, beta 0.5: dpo's
func TestColumnsByHand(t *testing.T) {
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"odpo", nil, 0.18482086829043332, -0.08437341284078799, 0.08437341284078799},
		{"odpo", Settings{"odpo_alpha": 0.5}, 0.1533656809925964, -0.07109201127419199, 0.07109201127419199},
		{"odpo", Settings{"odpo_offset": "identity"}, 0.4740769841801067, -0.1887703343990727, 0.1887703343990727},
		{"rebel", nil, 6.25, 5, -5},
		{"rebel", Settings{"beta": 0.5, "rebel_reward_scale": 2.0}, 1, -1, 1},
		{"reward_aware_bwd_kl", withBeta(0.5), 0.016727494963398183, 0.03161130089211933, -0.03161130089211933},
		{"reward_aware_fwd_kl", withBeta(0.5), 0.01488380592872108, 0.026248396350876654, -0.026248396350876654},
		{"sppo", withBeta(0.1), 0.125, -0.5, 0},
		{"sppo", withBeta(0.05), 6.5, -3, 2},
		{"dno", Settings{"beta": 0.5, "dno_reward_scale": 2.0}, 0.7050290057929645, 0.08492378767643921, -0.08492378767643921},
		{"dno_prct", withBeta(0.5), 0.126928011042973, -0.059601461011058, 0.059601461011058},
	})
}

// compute is what a loss gives for a batch.
func compute(t *testing.T, name string, s Settings, b Batch) (r Result) {
	t.Helper()
	must(t, name, s).Compute(b, &r)
	return r
}

// randomColumns is randomPair with scores of -5 to 5, chosen above rejected, and any win rates.
func randomColumns(rng *rand.Rand) Batch {
	low := 10*rng.Float64() - 5
	return said(randomPair(rng), low+5*rng.Float64()+1e-3, low, rng.Float64(), rng.Float64())
}

// TestColumnSpecialCases: where these losses are others of the catalogue, to the bit.
func TestColumnSpecialCases(t *testing.T) {
	const seed = 13
	rng := rand.New(rand.NewPCG(seed, 14))
	for range 200 {
		b := randomColumns(rng)
		tie, one, ten := said(b, 3, 3, 0.5, 0.5), said(b, 4, 3, 0.5, 0.5), said(b, 5, -5, 0.5, 0.5)
		wins := said(b, b.ChosenWins[0], b.RejectedWins[0], b.ChosenWins[0], b.RejectedWins[0])
		certain := Settings{"reward_aware_bwd_kl_reward_scale": 1e9}
		for _, tt := range []struct {
			what string
			a, b Result
		}{
			{"odpo with alpha 0 is dpo", compute(t, "odpo", Settings{"odpo_alpha": 0.0}, b), compute(t, "dpo", withBeta(0.5), b)},
			{"odpo, scores that differ by 1, is dpo", compute(t, "odpo", nil, one), compute(t, "dpo", withBeta(0.5), b)},
			{"odpo with identity at a tie is dpo", compute(t, "odpo", Settings{"odpo_offset": "identity"}, tie), compute(t, "dpo", withBeta(0.5), b)},
			{"dno_prct is dpo", compute(t, "dno_prct", nil, b), compute(t, "dpo", withBeta(0.3), b)},
			{"rebel, scores that differ by ipo's target, is ipo_sum", compute(t, "rebel", nil, ten), compute(t, "ipo_sum", withBeta(0.05), b)},
			{"reward_aware_bwd_kl with certain labels is dpo", compute(t, "reward_aware_bwd_kl", certain, ten), compute(t, "dpo", nil, b)},
		} {
			if !equal(tt.a, tt.b) {
				t.Fatalf("%s: %+v, %+v at %+v (seed %d)", tt.what, tt.a, tt.b, b, seed)
			}
		}
		// dno is reward_aware_bwd_kl of the win rates, plus the entropy of its labels.
		dno, kl := compute(t, "dno", nil, wins), compute(t, "reward_aware_bwd_kl", nil, wins)
		v := b.ChosenWins[0] - b.RejectedWins[0]
		entropy := sigmoid(v)*softplus(-v) + sigmoid(-v)*softplus(v)
		if dno.DChosenLogps[0] != kl.DChosenLogps[0] || math.Abs(dno.Losses[0]-kl.Losses[0]-entropy) > 1e-13 {
			t.Fatalf("dno %+v, reward_aware_bwd_kl %+v, entropy %v at %+v (seed %d)", dno, kl, entropy, b, seed)
		}
		// For rebel both sides are alike.
		rebel := compute(t, "rebel", nil, b)
		x := compute(t, "rebel", nil, Batch{ChosenLogps: b.RejectedLogps, RejectedLogps: b.ChosenLogps, RefChosenLogps: b.RefRejectedLogps, RefRejectedLogps: b.RefChosenLogps,
			ChosenScores: b.RejectedScores, RejectedScores: b.ChosenScores})
		if rebel.Losses[0] != x.Losses[0] || rebel.DChosenLogps[0] != x.DRejectedLogps[0] {
			t.Fatalf("rebel %+v, exchanged %+v at %+v (seed %d)", rebel, x, b, seed)
		}
	}
	// dno with labels of certainty 3/4 is cdpo with a share of 1/4.
	certain := said(pair(-6, -9, -8, -7, 2, 4), 0, 0, 1, 0)
	dno, cdpo := compute(t, "dno", Settings{"dno_reward_scale": math.Log(3)}, certain), compute(t, "cdpo", Settings{"label_smoothing": 0.25}, certain)
	compare(t, "dno", dno, 0, want{loss: cdpo.Losses[0], dChosen: cdpo.DChosenLogps[0], dRejected: cdpo.DRejectedLogps[0]}, 1e-14)
}

// TestTargets: at the margin or the log-ratios that the data asks for these losses do nothing, and beyond they push back. h is 4.
func TestTargets(t *testing.T) {
	b := pair(-6, -9, -8, -7, 2, 4)
	for _, tt := range []struct {
		name     string
		settings Settings
		said     [4]float64
		sign     float64 // of dL/dchosen: above 0 where the margin is too wide
	}{
		{"rebel", nil, [4]float64{5, 1, 0, 0}, 0},
		{"rebel", nil, [4]float64{5, 2, 0, 0}, 1},
		{"rebel", nil, [4]float64{5, 0, 0, 0}, -1},
		{"rebel", nil, [4]float64{2, 2, 0, 0}, 1}, // a tie
		{"reward_aware_bwd_kl", withBeta(0.5), [4]float64{1, -1, 0, 0}, 0},
		{"reward_aware_bwd_kl", withBeta(0.5), [4]float64{1, 0, 0, 0}, 1},
		{"reward_aware_bwd_kl", withBeta(0.5), [4]float64{3, 0, 0, 0}, -1},
		{"reward_aware_fwd_kl", withBeta(0.5), [4]float64{1, -1, 0, 0}, 0},
		{"reward_aware_fwd_kl", withBeta(0.5), [4]float64{1, 0, 0, 0}, 1},
		{"reward_aware_fwd_kl", withBeta(0.5), [4]float64{3, 0, 0, 0}, -1},
		{"sppo", withBeta(0.125), [4]float64{0, 0, 0.75, 0.25}, 0}, // targets 2 and -2
		{"sppo", withBeta(0.125), [4]float64{0, 0, 0.5, 0.25}, 1},
		{"sppo", withBeta(0.125), [4]float64{0, 0, 1, 0.25}, -1},
		{"dno", Settings{"beta": 0.125, "dno_reward_scale": 1.0}, [4]float64{0, 0, 0.75, 0.25}, 0},
		{"dno", Settings{"beta": 0.125, "dno_reward_scale": 1.0}, [4]float64{0, 0, 0.5, 0.5}, 1},
		{"dno", Settings{"beta": 0.125, "dno_reward_scale": 1.0}, [4]float64{0, 0, 1, 0}, -1},
	} {
		r := compute(t, tt.name, tt.settings, said(b, tt.said[0], tt.said[1], tt.said[2], tt.said[3]))
		if g := r.DChosenLogps[0]; g*tt.sign < 0 || (g == 0) != (tt.sign == 0) || tt.sign == 0 && tt.name != "dno" && r.Losses[0] != 0 {
			t.Errorf("%s %v with %v: %+v, want sign %v", tt.name, tt.settings, tt.said, r, tt.sign)
		}
	}
}

// TestCoinKL holds it to the textbook's form, and to its limits where that has none.
func TestCoinKL(t *testing.T) {
	for x := -30.0; x <= 30; x += 1.25 {
		for y := -30.0; y <= 30; y += 1.25 {
			got, p := coinKL(x, y), sigmoid(x)
			want := p*(softplus(-y)-softplus(-x)) + sigmoid(-x)*(softplus(y)-softplus(x))
			if math.Abs(got-want) > 1e-14*max(1, want) || math.Abs(got-coinKL(-x, -y)) > 1e-15*max(1, want) || got < 0 || x == y && got != 0 {
				t.Errorf("coinKL(%v, %v) is %v, want %v", x, y, got, want)
			}
		}
	}
	for _, tt := range []struct{ x, y, want float64 }{
		{1e4, -1e4, 1e4}, {-1e4, 1e4, 1e4}, {1e4, 1e4, 0}, {-1e300, 0, math.Ln2}, {0, 1e4, 5e3 - math.Ln2}, {40, 41, softplus(-41) - softplus(-40) + sigmoid(-40)},
	} {
		if got := coinKL(tt.x, tt.y); math.Abs(got-tt.want) > 1e-15*tt.want {
			t.Errorf("coinKL(%v, %v) is %v, want %v", tt.x, tt.y, got, tt.want)
		}
	}
}

// TestColumnExtremes: whatever the data may say, log-probs 1e4 nats away give finite numbers.
func TestColumnExtremes(t *testing.T) {
	far := []float64{-1e4, 0, 1e4}
	for _, name := range columnLosses {
		for _, s := range []Settings{{}, {"odpo_offset": "identity"}} {
			if _, ok := s["odpo_offset"]; ok != (name == "odpo") && len(s) > 0 {
				continue
			}
			l := must(t, name, s)
			for _, pc := range far {
				for _, pr := range far {
					for _, chosen := range []float64{-1e6, 0, 5e-324, 1e6} {
						for _, rejected := range []float64{-1e6, 0, 1e6} {
							for _, win := range []float64{0, 0.5, 1} {
								if CheckScores(l, chosen, rejected) != nil {
									continue
								}
								b := said(pair(pc, pr, 0, -pc, 1, 9), chosen, rejected, win, 1-win)
								var r Result
								l.Compute(b, &r)
								if sum := r.Losses[0] + r.DChosenLogps[0] + r.DRejectedLogps[0]; sum-sum != 0 || r.Losses[0] < 0 {
									t.Errorf("%s %v at %+v: %+v", name, s, b, r)
								}
							}
						}
					}
				}
			}
		}
	}
}

// TestColumnStepZero: those whose first value depends on the pair have no closed form; the others start at exactly log 2.
func TestColumnStepZero(t *testing.T) {
	same := said(pair(-57.25, -60.5, -57.25, -60.5, 20, 24), 2, 0.5, 0.75, 0.3)
	for _, name := range append(slices.Clone(columnLosses), "dno_prct") {
		_, ok := must(t, name, nil).StepZero()
		if want := name == "dno" || name == "dno_prct"; ok != want {
			t.Errorf("%s: has a closed form: %v", name, ok)
		} else if r := compute(t, name, nil, same); ok && r.Losses[0] != math.Ln2 {
			t.Errorf("%s: %v at the start, want exactly log 2", name, r.Losses[0])
		}
	}
	check(t, same, []want{
		{"odpo", nil, math.Log(2.5), -0.5 * 1.5 / 2.5, 0.5 * 1.5 / 2.5}, // u = -log 1.5
		{"rebel", nil, 2.25, -3, 3},
		{"sppo", nil, (250*250 + 200*200) / 2.0, -250, 200},
	})
}

func TestCheckScores(t *testing.T) {
	const log = "the score of chosen is not above that of rejected, and odpo_offset: log takes the logarithm of the difference; set odpo_offset: identity, or drop the row"
	for _, tt := range []struct {
		name             string
		settings         Settings
		chosen, rejected float64
		want             string // empty: none
	}{
		{"odpo", nil, 3, 2.9, ""},
		{"odpo", nil, 3, 3, log},
		{"odpo", nil, 2, 3, log},
		{"odpo", Settings{"odpo_alpha": 0.0}, 3, 3, log},
		{"odpo", Settings{"odpo_offset": "identity"}, 3, 3, ""},
		{"odpo", Settings{"odpo_offset": "identity"}, 2, 3, ""},
		{"rebel", nil, 3, 3, ""},
		{"reward_aware_bwd_kl", nil, 2, 3, ""},
		{"dpo", nil, 0, 0, ""},
	} {
		got := ""
		if err := CheckScores(must(t, tt.name, tt.settings), tt.chosen, tt.rejected); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s %v, scores %v and %v: %q, want %q", tt.name, tt.settings, tt.chosen, tt.rejected, got, tt.want)
		}
	}
}

// TestWeigh: every example's loss is multiplied by its own weight, whatever its derivatives are of; TestStepDifferences is theirs.
func TestWeigh(t *testing.T) {
	b := join(pair(-6, -9, -8, -7, 2, 4), pair(-9, -6, -7, -8, 4, 2), pair(-1, -1, -2, -3, 1, 1))
	for _, name := range append(Names(), "aot_unpaired=0.5,dpo=1") {
		l := must(t, name, nil)
		plain := compute(t, name, nil, b)
		for _, weights := range [][]float64{nil, {1, 1, 1}, {0, 2, 1}} { // exact in a sum too
			weighed, by := b, weights
			weighed.Weights = weights
			if by == nil {
				by = []float64{1, 1, 1}
			}
			var r Result
			l.Compute(weighed, &r)
			Weigh(l, &weighed, &r)
			for i, w := range by {
				if r.Losses[i] != w*plain.Losses[i] {
					t.Errorf("%s, weights %v: losses %v of %v", name, weights, r.Losses, plain.Losses)
				}
			}
		}
	}
	// The completions of aot_unpaired find each other across pairs: the chosen ones are of pairs 1, 2, 0 by rank, the rejected ones of pairs 1, 0, 2.
	b = join(pair(3, 1, 0, 0, 1, 1), pair(1, 0, 0, 0, 1, 1), pair(2, 2, 0, 0, 1, 1))
	plain := compute(t, "aot_unpaired", nil, b)
	b.Weights = []float64{5, 7, 11}
	r := compute(t, "aot_unpaired", nil, b)
	Weigh(must(t, "aot_unpaired", nil), &b, &r)
	for i, w := range []float64{11, 7, 5} {
		if r.DRejectedLogps[i] != w*plain.DRejectedLogps[i] {
			t.Errorf("aot_unpaired: derivative of rejected completion %d %v, without weights %v, want %v times that", i, r.DRejectedLogps[i], plain.DRejectedLogps[i], w)
		}
	}
}
