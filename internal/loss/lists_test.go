package loss

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// listOf builds a batch of one list of which these are the log-probs under policy and reference, best first.
func listOf(policy, ref []float64) Batch {
	last := len(policy) - 1
	b := pair(policy[0], policy[last], ref[0], ref[last], 2, 4)
	b.MiddleLogps, b.RefMiddleLogps = [][]float64{policy[1:last]}, [][]float64{ref[1:last]}
	return b
}

// derivatives are those of a batch of one list by its log-probs, best first.
func derivatives(r Result) []float64 {
	return slices.Concat(r.DChosenLogps, r.DMiddleLogps[0], r.DRejectedLogps)
}

// randomList has 2 to 9 log-probs of policy and reference down to -100 nats; one in four has a log-ratio of +-2000.
func randomList(rng *rand.Rand) (policy, ref []float64) {
	for range 2 + rng.IntN(8) {
		policy, ref = append(policy, -100*rng.Float64()), append(ref, -100*rng.Float64())
	}
	if i := rng.IntN(len(policy)); rng.IntN(4) == 0 {
		policy[i], ref[i] = ref[i], ref[i]-2000
		if rng.IntN(2) == 0 {
			policy[i], ref[i] = ref[i], policy[i]
		}
	}
	return policy, ref
}

// Worked by hand. The log-ratios are 2, 0 and -2, with beta 0.5 the rewards 1, 0 and -1:
//
//	L = log(1 + e^-1 + e^-2) + log(1 + e^-1) = 0.407606 + 0.313262
//	w of the first against all: 0.665241, 0.244728, 0.090031; of the second against the third: 0.731059, 0.268941
//	dL = 0.5 (0.665241 - 1), 0.5 (0.244728 + 0.731059 - 1), 0.5 (0.090031 + 0.268941)
func TestPlackettLuceByHand(t *testing.T) {
	r := compute(t, "plackett_luce", withBeta(0.5), listOf([]float64{-6, -3, -9}, []float64{-8, -3, -7}))
	want := []float64{0.7208676519626032, -0.16737952211258905, -0.012106475157598717, 0.17948599727018777}
	for i, v := range append(slices.Clone(r.Losses), derivatives(r)...) {
		if math.Abs(v-want[i]) > 1e-14 {
			t.Errorf("loss and derivatives: number %d is %.17g, want %.17g", i, v, want[i])
		}
	}
}

// TestPlackettLuceDifferences checks the closed form of 1,000 random lists.
func TestPlackettLuceDifferences(t *testing.T) {
	const step, seed = 1e-4, 51
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		policy, ref := randomList(rng)
		r := compute(t, "plackett_luce", nil, listOf(policy, ref))
		var sum float64
		for j, got := range derivatives(r) {
			at := func(h float64) float64 {
				p := slices.Clone(policy)
				p[j] += h
				return compute(t, "plackett_luce", nil, listOf(p, ref)).Losses[0]
			}
			want := (at(step) - at(-step)) / (2 * step)
			rounding := 4 * 0x1p-53 * math.Abs(r.Losses[0]) / step
			if !(math.Abs(got-want) <= 1e-8+rounding) {
				t.Fatalf("derivative %d is %.12g, central difference %.12g, at %v, reference %v (seed %d)", j, got, want, policy, ref, seed)
			}
			sum += got
		}
		if math.Abs(sum) > 1e-14 {
			t.Fatalf("the derivatives add up to %v at %v, reference %v (seed %d)", sum, policy, ref, seed)
		}
	}
}

// TestPlackettLucePairs: of two completions it is dpo, to the bit, whether the batch has lists or pairs.
func TestPlackettLucePairs(t *testing.T) {
	const seed = 52
	rng := rand.New(rand.NewPCG(seed, 0))
	extremes := []Batch{pair(-1000, 1000, 0, 0, 1, 1), pair(1000, -1000, 0, 0, 1, 1), pair(-5, -7, -5, -7, 1, 1)}
	for i := range 1000 {
		b := randomPair(rng)
		if i < len(extremes) {
			b = extremes[i]
		}
		want := compute(t, "dpo", nil, b)
		for _, middle := range [][][]float64{nil, {nil}} {
			b.MiddleLogps, b.RefMiddleLogps = middle, middle
			got := compute(t, "plackett_luce", nil, b)
			if got.DMiddleLogps = nil; !equal(got, want) {
				t.Fatalf("%+v, dpo %+v at %+v (seed %d)", got, want, b, seed)
			}
		}
	}
}

// TestPlackettLuceSumsToOne: e^-L is the probability of a ranking, and those of all 120 rankings of five completions add up to 1.
func TestPlackettLuceSumsToOne(t *testing.T) {
	policy, ref := []float64{-3, -41, -7, -22, -9}, []float64{-13, -37, -7, -31, -3}
	var sum float64
	rankings := 0
	var each func(k int)
	each = func(k int) {
		if k == len(policy) {
			rankings++
			sum += math.Exp(-compute(t, "plackett_luce", nil, listOf(policy, ref)).Losses[0])
			return
		}
		for i := k; i < len(policy); i++ {
			swap := func() { policy[k], policy[i], ref[k], ref[i] = policy[i], policy[k], ref[i], ref[k] }
			swap()
			each(k + 1)
			swap()
		}
	}
	each(0)
	if rankings != 120 || math.Abs(sum-1) > 1e-13 {
		t.Errorf("the probabilities of %d rankings add up to %v", rankings, sum)
	}
}

// TestPlackettLuceExtremes: at log-ratios of +-2000 nats, beta 1, loss and derivatives are exact. A list in order is settled; reversed it pays the gap
// to the best behind each. Of equals behind one far below them, each takes half of the pull.
func TestPlackettLuceExtremes(t *testing.T) {
	for _, tt := range []struct {
		ratios      []float64
		loss        float64
		derivatives []float64
	}{
		{[]float64{2000, 0, -2000}, 0, []float64{0, 0, 0}},
		{[]float64{-2000, 0, 2000}, 4000 + 2000, []float64{-1, -1, 2}},
		{[]float64{0, -2000, 2000}, 2000 + 4000, []float64{-1, -1, 2}},
		{[]float64{-2000, 0, 0}, 2000 + 2*math.Ln2, []float64{-1, 0, 1}},
		{[]float64{-2000, -2000, -2000, 2000}, 12000, []float64{-1, -1, -1, 3}},
	} {
		r := compute(t, "plackett_luce", withBeta(1), listOf(tt.ratios, make([]float64, len(tt.ratios))))
		if r.Losses[0] != tt.loss || !slices.Equal(derivatives(r), tt.derivatives) {
			t.Errorf("log-ratios %v: %v, derivatives %v; want %v, %v", tt.ratios, r.Losses[0], derivatives(r), tt.loss, tt.derivatives)
		}
	}
}

// FuzzPlackettLuce: log-ratios within 1e4 nats give finite numbers, and no loss below 0.
func FuzzPlackettLuce(f *testing.F) {
	for _, x := range []float64{-1e4, -2000, 0, 0.1, 2000} {
		f.Add(x, -x, x/3, 1.0)
	}
	f.Fuzz(func(t *testing.T, a, b, c, d float64) {
		ratios := []float64{a, b, c, d}
		for i, x := range ratios {
			if ratios[i] = math.Mod(x, 1e4); ratios[i] != ratios[i] {
				ratios[i] = 0
			}
		}
		r := compute(t, "plackett_luce", nil, listOf(ratios, make([]float64, 4)))
		for _, v := range append(derivatives(r), r.Losses[0]) {
			if v-v != 0 || r.Losses[0] < 0 {
				t.Errorf("%v: %+v", ratios, r)
			}
		}
	})
}

// joinLists is join of lists of any length.
func joinLists(lists ...Batch) Batch {
	all := join(lists...)
	for _, b := range lists {
		all.MiddleLogps, all.RefMiddleLogps = append(all.MiddleLogps, b.MiddleLogps...), append(all.RefMiddleLogps, b.RefMiddleLogps...)
	}
	return all
}

// TestListsStepZero: where policy and reference agree every list has the logarithm of K! for its own K, alone and in a sum.
func TestListsStepZero(t *testing.T) {
	same := []float64{-3, -41.5, -7.25, -22, -9, -1, -700}
	b := joinLists(listOf(same[:2], same[:2]), listOf(same[:3], same[:3]), listOf(same, same))
	rankings := []float64{2, 6, 5040}
	for _, text := range []string{"plackett_luce", "plackett_luce=0.5,dpo=2", "plackett_luce,sft"} {
		l := must(t, text, nil)
		if v, ok := l.StepZero(); ok {
			t.Errorf("%s: StepZero is %v; it has none for all", text, v)
		}
		var r Result
		l.Compute(b, &r)
		for i, n := range rankings {
			want := map[string]float64{"plackett_luce": math.Log(n), "plackett_luce=0.5,dpo=2": 0.5*math.Log(n) + 2*math.Ln2}[text]
			closed, ok := StepZeroOf(l, &b, i)
			if ok != (want > 0) || ok && (math.Abs(closed-want) > 1e-14*want || math.Abs(r.Losses[i]-closed) > 1e-14*closed) {
				t.Errorf("%s: list %d: StepZeroOf is %v, %v, the loss %v; want %v", text, i, closed, ok, r.Losses[i], want)
			}
		}
	}
	if v, ok := StepZeroOf(must(t, "dpo", nil), &b, 1); !ok || v != math.Ln2 {
		t.Errorf("dpo: StepZeroOf is %v, %v", v, ok)
	}
}

// TestListsInSums: a part on pairs sees the best against the worst, one on single completions the best, and the completions between have the
// derivatives of plackett_luce, each times its weight.
func TestListsInSums(t *testing.T) {
	const seed = 53
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		b := joinLists(listOf(randomList(rng)), listOf(randomList(rng)), listOf(randomList(rng)))
		sum := compute(t, "dpo=3,plackett_luce=0.5,sft=2", nil, b)
		dpo, lists, sft := compute(t, "dpo", nil, b), compute(t, "plackett_luce", nil, b), compute(t, "sft", nil, b)
		for i := range b.Len() {
			for _, v := range []struct{ got, dpo, lists, sft float64 }{
				{sum.Losses[i], dpo.Losses[i], lists.Losses[i], sft.Losses[i]},
				{sum.DChosenLogps[i], dpo.DChosenLogps[i], lists.DChosenLogps[i], sft.DChosenLogps[i]},
				{sum.DRejectedLogps[i], dpo.DRejectedLogps[i], lists.DRejectedLogps[i], 0},
			} {
				if want := 3*v.dpo + 0.5*v.lists + 2*v.sft; v.got != want {
					t.Fatalf("list %d: %v, want %v (seed %d)", i, v.got, want, seed)
				}
			}
			for j, got := range sum.DMiddleLogps[i] {
				if want := 0.5 * lists.DMiddleLogps[i][j]; got != want {
					t.Fatalf("list %d: derivative of completion %d between is %v, want %v (seed %d)", i, j, got, want, seed)
				}
			}
		}
		b.Weights = []float64{1, 0, 0.25}
		weighted := compute(t, "dpo=3,plackett_luce=0.5,sft=2", nil, b)
		Weigh(must(t, "dpo=3,plackett_luce=0.5,sft=2", nil), &b, &weighted)
		Weigh(must(t, "plackett_luce", nil), &b, &lists)
		for i, w := range b.Weights {
			if math.Abs(weighted.Losses[i]-w*sum.Losses[i]) > 1e-15*sum.Losses[i] {
				t.Fatalf("list %d with weight %v: loss %v, without %v (seed %d)", i, w, weighted.Losses[i], sum.Losses[i], seed)
			}
			for j, d := range sum.DMiddleLogps[i] { // the weights are powers of 2
				if got := weighted.Part(i, i+1).DMiddleLogps[0][j]; got != w*d || lists.DMiddleLogps[i][j] != 2*w*d {
					t.Fatalf("list %d with weight %v: derivative of completion %d between is %v, in plackett_luce alone %v, without %v (seed %d)", i, w, j, got, lists.DMiddleLogps[i][j], d, seed)
				}
			}
		}
	}
}

// TestListsWithModifiers: fine-tuning on the best is that of a sum, to the bit; weights of pairs are refused, alone and in a sum.
func TestListsWithModifiers(t *testing.T) {
	const seed = 54
	rng := rand.New(rand.NewPCG(seed, 0))
	b := joinLists(listOf(randomList(rng)), listOf(randomList(rng)))
	b.Weights = []float64{2, 0.5}
	if got, want := compute(t, "plackett_luce", Settings{"sft_weight": 0.25}, b), compute(t, "plackett_luce=1,sft=0.25", nil, b); !equal(got, want) {
		t.Errorf("sft_weight gives %+v, the sum %+v (seed %d)", got, want, seed)
	}
	for text, want := range map[string]string{
		"plackett_luce":         "wpo: loss plackett_luce is of lists, and this is of pairs",
		"plackett_luce=1,dpo=1": "wpo: loss plackett_luce=1,dpo=1 is of lists, and this is of pairs",
	} {
		if _, err := New(text, Settings{"wpo": true}); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s with wpo: %v, want %s", text, err, want)
		}
	}
}

// TestConcordance: of the 6 pairs of four completions those in order; equal ones are not.
func TestConcordance(t *testing.T) {
	for _, tt := range []struct {
		ratios []float64
		want   float64
	}{
		{[]float64{4, 3, 2, 1}, 1}, {[]float64{1, 2, 3, 4}, 0}, {[]float64{0, 0, 0, 0}, 0}, {[]float64{4, 2, 3, 1}, 5.0 / 6}, {[]float64{4, 3, 3, 1}, 5.0 / 6},
		{[]float64{1, 0}, 1}, {[]float64{0, 1}, 0}, {[]float64{2, 3, 1}, 2.0 / 3},
	} {
		b := listOf(tt.ratios, make([]float64, len(tt.ratios)))
		if got := b.Concordance(0); got != tt.want {
			t.Errorf("log-ratios %v: %v, want %v", tt.ratios, got, tt.want)
		}
	}
}
