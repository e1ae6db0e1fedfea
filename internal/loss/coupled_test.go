package loss

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// coupled are the losses that couple pairs.
func coupled(t *testing.T) []string {
	names := slices.DeleteFunc(Names(), func(name string) bool { return !must(t, name, nil).Needs().Coupled })
	if want := []string{"bco", "aot", "aot_unpaired", "beta_dpo"}; !slices.Equal(names, want) {
		t.Fatalf("coupled are %q, want %q", names, want)
	}
	return names
}

// draws are random numbers of a step.
func draws(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 9)) }

// two pairs: of the first pc-rc is 2, pr-rr -2, h 4, pc-pr 3 and rc-rr -1; of the second they are -1, 2, -3, -1 and 2.
func two() Batch { return join(pair(-6, -9, -8, -7, 2, 4), pair(-5, -4, -4, -6, 3, 1)) }

// Worked by hand, beta 0.5. With u = 0.5, L = log(1+e^-0.5) = 0.474077 and its derivative -0.5/(1+e^0.5) = -0.188770; with u = 0
// they are log 2 and -0.25.
//
//	aot: the policy's margins -1 (second), 3 (first) against the reference's -1, 2: u = 0 for the second pair, 0.5 for the first
//	aot_unpaired: chosen log-ratios -1 (second), 2 (first) against rejected ones -2 (first), 2 (second): u = 0.5, 0
//	bco: the mean of 2, -2, -1, 2 is 0.25; the first pair is at 0.5*1.75 = 0.875 and 0.5*-2.25 = -1.125, the second at -0.625 and 0.875:
//	  L = log(1+e^-0.875) + log(1+e^-1.125) = 0.629595 and log(1+e^0.625) + log(1+e^0.875) = 2.277145
//	beta_dpo, beta 0.1, a 0.6: the first step is at its own M0, of 0.5: b is 0.1. A second one of two pairs with h = 4 makes M0
//	  (0.9*0.05 + 0.1*4)/(1-0.81) = 2.342105: b = 0.1*(1 + 0.6*1.657895) = 0.199474, u = 0.797895
func TestCoupledByHand(t *testing.T) {
	for name, table := range map[string][]want{
		"aot":          {{"first", nil, 0.4740769841801067, -0.1887703343990727, 0.1887703343990727}, {"second", nil, math.Ln2, -0.25, 0.25}},
		"aot_unpaired": {{"first", nil, math.Ln2, -0.25, 0.1887703343990727}, {"second", nil, 0.4740769841801067, -0.1887703343990727, 0.25}},
		"bco": {{"first", nil, 0.6295947172533705, -0.14710748608149438, 0.12254250656618586},
			{"second", nil, 2.2771452592815744, -0.3256774323330271, 0.3528925139185056}},
	} {
		l := must(t, name, withBeta(0.5))
		r := stepOf(l, two(), 1)
		for i, w := range table {
			compare(t, name+", "+w.name, r, i, w, 1e-12)
		}
		if name == "bco" {
			metrics(t, l, []Metric{{"delta", 0.125}})
		}
	}
	l := must(t, "beta_dpo", Settings{"beta_dpo_filter_ratio": 0.0})
	if r, dpo := stepOf(l, two(), 1), stepOf(must(t, "dpo", nil), two(), 1); !equal(r, dpo) {
		t.Errorf("first step of beta_dpo: %+v, dpo %+v", r, dpo)
	}
	metrics(t, l, []Metric{{"beta_used", 0.1}, {"M0", 0.5}})
	first := pair(-6, -9, -8, -7, 2, 4)
	r := stepOf(l, join(first, first), 2)
	compare(t, "beta_dpo, second step", r, 1, want{"", nil, 0.3717538254151191, -0.061931798578773505, 0.061931798578773505}, 1e-12)
	metrics(t, l, []Metric{{"beta_used", 0.19947368421052633}, {"M0", 0.445 / 0.19}})
}

// stepOf is what an optimizer step makes of its pairs.
func stepOf(l Loss, b Batch, seed uint64) (r Result) {
	if s, ok := l.(Stateful); ok {
		s.Step(b, draws(seed), &r)
	} else {
		l.Compute(b, &r)
	}
	return r
}

// metrics holds a loss's own metrics within rounding.
func metrics(t *testing.T, l Loss, want []Metric) {
	t.Helper()
	got := l.(Reporter).Metrics()
	if !slices.EqualFunc(got, want, func(g, w Metric) bool {
		return g.Name == w.Name && math.Abs(g.Value-w.Value) <= 1e-12*math.Abs(w.Value)
	}) {
		t.Errorf("%s: metrics %v, want %v", l.Name(), got, want)
	}
}

// withState computes a case of loss_vectors.json whose loss has a state, which the case gives.
func withState(t *testing.T, l Stateful, state Settings, b Batch, r *Result) {
	number := func(name string) float64 {
		v, ok := state[name].(float64)
		if !ok {
			t.Fatalf("state %v: no %s", state, name)
		}
		return v
	}
	set := func(s State) {
		if err := l.SetState(s); err != nil {
			t.Fatal(err)
		}
	}
	switch l := l.(type) {
	case *BCO:
		if l.Step(b, nil, r); math.Abs(l.Metrics()[0].Value-number("delta")) > 1e-15 { // not the mean of this batch
			set(State{"mean": number("delta") / l.beta, "pairs": 1})
			l.Compute(b, r)
		}
	case *BetaDPO:
		// The authors do not correct the averages for having begun at 0, which after many steps makes no difference.
		set(State{"margin": number("m0_before"), "margin_updates": 1e9, "spread": 0, "spread_updates": 0})
		l.Step(b, nil, r)
		metrics(t, l, []Metric{{"beta_used", number("beta_used")}, {"M0", number("m0_after")}})
	default:
		t.Fatalf("nothing is known of the state of %s", l.Name())
	}
}

// some are random pairs.
func some(rng *rand.Rand, n int) Batch {
	var b Batch
	for range n {
		b = join(b, randomPair(rng))
	}
	return b
}

// TestPermutation: in another order pairs have the same numbers. Sorting gives the same bits, a mean is rounded otherwise.
func TestPermutation(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, name := range coupled(t) {
		settings := Settings{}
		if name == "beta_dpo" {
			settings["beta_dpo_filter_ratio"] = 0.0 // which pairs are drawn depends on their order
		}
		for range 50 {
			b := some(rng, 9)
			order := rng.Perm(b.Len())
			var other Batch
			for _, i := range order {
				other = join(other, b.Part(i, i+1))
			}
			l, m := must(t, name, settings), must(t, name, settings)
			for step := range uint64(2) {
				r, x := stepOf(l, b, step), stepOf(m, other, step)
				for k, i := range order {
					compare(t, fmt.Sprintf("%s: example %d, moved to %d (seed %d)", name, i, k, seed), x, k,
						want{"", nil, r.Losses[i], r.DChosenLogps[i], r.DRejectedLogps[i]}, 1e-11)
				}
			}
		}
	}
}

// TestCoupledStepZero: where policy and reference agree, every pair of a step and of an evaluation has the loss's closed form, also after steps
// like that.
func TestCoupledStepZero(t *testing.T) {
	b := join(pair(-12.5, -31, -12.5, -31, 5, 9), pair(-0.1, -700.3, -0.1, -700.3, 1, 400), pair(-3, -2, -3, -2, 7, 7), pair(-8.7, -9.1, -8.7, -9.1, 2, 2), pair(-8.7, -9.1, -8.7, -9.1, 2, 2))
	for _, name := range coupled(t) {
		want := math.Ln2
		if name == "bco" {
			want = 2 * math.Ln2
		}
		for _, size := range []int{5, 1} {
			l := must(t, name, Settings{})
			if got, ok := l.StepZero(); !ok || got != want {
				t.Errorf("%s: StepZero is %v, %v; want %v", name, got, ok, want)
			}
			for step := range uint64(3) {
				var r Result
				if l.Compute(b.Part(0, size), &r); slices.ContainsFunc(r.Losses, func(v float64) bool { return v != want }) {
					t.Errorf("%s: losses %v, want %v", name, r.Losses, want)
				}
				if r := stepOf(l, b.Part(0, size), step); slices.ContainsFunc(r.Losses, func(v float64) bool { return v != want }) {
					t.Errorf("%s, step %d of %d pairs: losses %v, want %v", name, step, size, r.Losses, want)
				}
			}
		}
	}
}

// TestAOT: alone a pair has the loss of dpo; what is sorted apart may be paired otherwise; equal margins go by the order of pairs.
func TestAOT(t *testing.T) {
	const seed = 13
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 100 {
		b := randomPair(rng)
		for _, other := range []struct {
			name     string
			settings Settings
		}{{"dpo", withBeta(0.3)}, {"cdpo", Settings{"beta": 0.3, "label_smoothing": 0.2}}} {
			w := stepOf(must(t, other.name, other.settings), b, 0)
			for _, name := range []string{"aot", "aot_unpaired"} {
				// h is a sum of four numbers of some hundred nats, in another order.
				compare(t, fmt.Sprintf("%s of one pair, %+v (seed %d)", name, b, seed), stepOf(must(t, name, other.settings), b, 0), 0,
					want{"", nil, w.Losses[0], w.DChosenLogps[0], w.DRejectedLogps[0]}, 1e-11)
			}
		}
	}

	b := some(rng, 8)
	moved := join(b)
	rng.Shuffle(b.Len(), func(i, j int) {
		moved.RefChosenLogps[i], moved.RefChosenLogps[j] = moved.RefChosenLogps[j], moved.RefChosenLogps[i]
		moved.RefRejectedLogps[i], moved.RefRejectedLogps[j] = moved.RefRejectedLogps[j], moved.RefRejectedLogps[i]
	})
	if x, y := stepOf(must(t, "aot", nil), b, 0), stepOf(must(t, "aot", nil), moved, 0); !equal(x, y) {
		t.Errorf("aot: %+v, with other pairs' references %+v (seed %d)", x, y, seed)
	}
	moved = join(b)
	rng.Shuffle(b.Len(), func(i, j int) {
		moved.RejectedLogps[i], moved.RejectedLogps[j] = moved.RejectedLogps[j], moved.RejectedLogps[i]
		moved.RefRejectedLogps[i], moved.RefRejectedLogps[j] = moved.RefRejectedLogps[j], moved.RefRejectedLogps[i]
	})
	if x, y := stepOf(must(t, "aot_unpaired", nil), b, 0), stepOf(must(t, "aot_unpaired", nil), moved, 0); !slices.Equal(x.Losses, y.Losses) || !slices.Equal(x.DChosenLogps, y.DChosenLogps) {
		t.Errorf("aot_unpaired: %+v, with other pairs' rejected completions %+v (seed %d)", x, y, seed)
	}

	if got := ascending([]float64{2, 1, 2, 1, 0}); !slices.Equal(got, []int{4, 1, 3, 0, 2}) {
		t.Errorf("ascending: %v", got)
	}
	tied := join(pair(-2, -3, -5, -5, 1, 1), pair(-4, -5, -5, -3, 1, 1)) // margins 1 and 1, of the reference 0 and -2
	r := stepOf(must(t, "aot", withBeta(1)), tied, 0)
	if want := []float64{softplus(-3), softplus(-1)}; !slices.Equal(r.Losses, want) {
		t.Errorf("equal margins: losses %v, want %v", r.Losses, want)
	}
}

// TestBCODelta: delta is beta times the mean log-ratio of all completions so far, however they came in steps; an evaluation leaves it alone; with
// delta 0 the loss is TRL's bco_pair.
func TestBCODelta(t *testing.T) {
	const seed = 14
	rng := rand.New(rand.NewPCG(seed, 0))
	b := some(rng, 10)
	var sum float64
	for i := range b.Len() {
		sum += b.ChosenLogps[i] - b.RefChosenLogps[i] + b.RejectedLogps[i] - b.RefRejectedLogps[i]
	}
	l := must(t, "bco", withBeta(0.3))
	for _, r := range [][2]int{{0, 4}, {4, 8}, {8, 9}, {9, 10}} {
		stepOf(l, b.Part(r[0], r[1]), 0)
	}
	metrics(t, l, []Metric{{"delta", 0.3 * sum / 20}})
	var x, y Result
	l.Compute(b, &x)
	l.Compute(some(rng, 10), &y)
	if l.Compute(b, &y); !equal(x, y) {
		t.Errorf("an evaluation has changed the next one (seed %d)", seed)
	}
	must(t, "bco", nil).Compute(two(), &x)
	compare(t, "delta 0", x, 0, want{"", nil, softplus(-0.2) + softplus(-0.2), -0.1 * sigmoid(-0.2), 0.1 * sigmoid(-0.2)}, 0)
}

// TestBetaDPO: without a and a filter it is dpo; beta has a floor; an evaluation keeps all pairs and changes nothing.
func TestBetaDPO(t *testing.T) {
	const seed = 15
	rng := rand.New(rand.NewPCG(seed, 0))
	fixed, dpo := must(t, "beta_dpo", Settings{"beta_dpo_a": 0.0, "beta_dpo_filter_ratio": 0.0}), must(t, "dpo", nil)
	moving := must(t, "beta_dpo", nil).(*BetaDPO)
	for step := range uint64(20) {
		b := some(rng, 8)
		if x, y := stepOf(fixed, b, step), stepOf(dpo, b, step); !equal(x, y) {
			t.Fatalf("without a and a filter: %+v, dpo %+v (seed %d)", x, y, seed)
		}
		// Those kept have the loss of dpo with the beta that is reported, times 8/6; the others none.
		r := stepOf(moving, b, step)
		w := stepOf(must(t, "dpo", withBeta(moving.Metrics()[0].Value)), b, step)
		kept := 0
		for i, v := range r.Losses {
			if v == 0 && r.DChosenLogps[i] == 0 && r.DRejectedLogps[i] == 0 {
				continue
			}
			kept++
			compare(t, fmt.Sprintf("step %d (seed %d)", step, seed), r, i, want{"", nil, w.Losses[i] * 8 / 6, w.DChosenLogps[i] * 8 / 6, w.DRejectedLogps[i] * 8 / 6}, 1e-15)
		}
		if kept != 6 {
			t.Errorf("step %d: %d pairs kept, want 6 of 8", step, kept)
		}
	}
	b := some(rng, 8)
	was := moving.State()
	var x, y Result
	moving.Compute(b, &x)
	if w := stepOf(must(t, "dpo", withBeta(moving.betaAt(meanMargin(b)))), b, 0); !equal(x, w) {
		t.Errorf("an evaluation: %+v, dpo with its beta %+v", x, w)
	}
	if moving.Compute(b, &y); !equal(x, y) || !reflect.DeepEqual(moving.State(), was) {
		t.Errorf("an evaluation has changed %v to %v", was, moving.State())
	}
	// Margins that fall by 100 nats leave the floor, which is the beta that was asked for where that is lower.
	for _, tt := range []struct{ beta, want float64 }{{0.1, 1e-3}, {5e-4, 5e-4}} {
		l := must(t, "beta_dpo", withBeta(tt.beta))
		stepOf(l, pair(0, 0, 0, 0, 1, 1), 0)
		stepOf(l, pair(-100, 0, 0, 0, 1, 1), 1)
		if got := l.(Reporter).Metrics()[0].Value; got != tt.want {
			t.Errorf("beta %v far below its usual margins: %v, want %v", tt.beta, got, tt.want)
		}
	}
}

func meanMargin(b Batch) float64 {
	var sum float64
	for i := range b.Len() {
		sum += b.margin(i)
	}
	return sum / float64(b.Len())
}

// TestBetaDPOFilter: pairs are left out as often as weights say, and the same ones whenever a step is repeated.
func TestBetaDPOFilter(t *testing.T) {
	// Of three pairs two are kept: weights 1, e^-0.5 and e^-2 are left out last, with probability
	// w1/W w2/(W-w1) + w2/W w1/(W-w2) for the third, and so on.
	l := &BetaDPO{beta: 0.1, a: 0.6, filter: 0.3, margin: average{0, 1}, spread: average{2, 1}}
	h := []float64{0, 2, -4}
	w := []float64{1, math.Exp(-0.5), math.Exp(-2)}
	sum := w[0] + w[1] + w[2]
	const rounds = 20000
	var out [3]float64
	for seed := range uint64(rounds) {
		kept := l.kept(h, draws(seed))
		if again := l.kept(h, draws(seed)); !slices.Equal(kept, again) || len(kept) != 2 || !slices.IsSorted(kept) {
			t.Fatalf("kept %v, then %v, want two", kept, again)
		}
		out[3-kept[0]-kept[1]]++
	}
	for i := range out {
		j, k := (i+1)%3, (i+2)%3
		want := w[j]/sum*w[k]/(sum-w[j]) + w[k]/sum*w[j]/(sum-w[k])
		// Four standard deviations of a count.
		if got := out[i] / rounds; math.Abs(got-want) > 4*math.Sqrt(want*(1-want)/rounds) {
			t.Errorf("pair %d is left out in a share of %v, want %v", i, got, want)
		}
	}
	// Far out all weights are 0 as float64, and there is an order all the same.
	if kept := l.kept([]float64{1e4, 2e4, 3e4}, draws(1)); !slices.Equal(kept, []int{0, 1}) {
		t.Errorf("far out: kept %v, want the nearest two", kept)
	}
	for _, tt := range []struct {
		n      int
		filter float64
		want   int
	}{{5, 0.2, 4}, {4, 0.2, 3}, {1, 0.2, 1}, {2, 0.99, 1}, {10, 0.1, 9}, {10, 0.3, 7}, {3, 0, 3}} {
		l.filter = tt.filter
		if kept := l.kept(make([]float64, tt.n), draws(2)); len(kept) != tt.want {
			t.Errorf("%d of %d pairs kept with a filter of %v, want %d", len(kept), tt.n, tt.filter, tt.want)
		}
	}
}

// TestState: what is remembered survives JSON, goes on to the same bits, and is refused where it cannot be one.
func TestState(t *testing.T) {
	const seed = 16
	for _, name := range coupled(t) {
		l, ok := must(t, name, nil).(Stateful)
		if ok == (name == "aot" || name == "aot_unpaired") {
			t.Fatalf("%s has a state: %v", name, ok)
		}
		if !ok {
			continue
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		for step := range uint64(3) {
			stepOf(l, some(rng, 5), step)
		}
		text, err := json.Marshal(l.State())
		if err != nil {
			t.Fatal(err)
		}
		var s State
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		other := must(t, name, nil).(Stateful)
		if err := other.SetState(s); err != nil {
			t.Fatal(err)
		}
		b := some(rng, 5)
		if x, y := stepOf(l, b, 4), stepOf(other, b, 4); !equal(x, y) || !reflect.DeepEqual(l.State(), other.State()) {
			t.Errorf("%s: %+v with %v, from %s %+v with %v", name, x, l.State(), text, y, other.State())
		}
		was := l.State()
		for _, change := range []func(s State){
			func(s State) { s["more"] = 1 },
			func(s State) { clear(s) },
			func(s State) {
				for key := range s {
					s[key] = math.NaN()
				}
			},
			func(s State) {
				for key := range s {
					s[key] = -1
				}
			},
		} {
			s := l.State()
			change(s)
			if err := l.SetState(s); err == nil || !reflect.DeepEqual(l.State(), was) {
				t.Errorf("%s: state %v gives %v and leaves %v", name, s, err, l.State())
			}
		}
	}
}

// TestCoupledExtremes: log-probs within 1e4 nats give finite numbers in every step.
func TestCoupledExtremes(t *testing.T) {
	const seed = 17
	rng := rand.New(rand.NewPCG(seed, 0))
	ends := []float64{-1e4, -1e4, 1e4, 0, -1e-300}
	for _, name := range coupled(t) {
		l := must(t, name, nil)
		for step := range uint64(200) {
			var b Batch
			for range 1 + rng.IntN(5) {
				x := func() float64 { return ends[rng.IntN(len(ends))] }
				b = join(b, pair(x(), x(), x(), x(), 1, 1))
			}
			for _, r := range []Result{stepOf(l, b, step), stepOf(must(t, name, nil), b, step)} {
				for _, v := range slices.Concat(r.Losses, r.DChosenLogps, r.DRejectedLogps) {
					if v-v != 0 {
						t.Fatalf("%s at %+v: %+v (seed %d)", name, b, r, seed)
					}
				}
			}
		}
	}
}

// TestPart: a part of a batch, and of a result, has that part of every field; of mismatched rows it has all.
func TestPart(t *testing.T) {
	filled := func(v reflect.Value) {
		for i := range v.NumField() {
			v.Field(i).Set(reflect.MakeSlice(v.Field(i).Type(), 3, 3))
		}
	}
	check := func(part reflect.Value) {
		for i := range part.NumField() {
			name, want := part.Type().Field(i).Name, 2
			if strings.Contains(name, "Mismatched") {
				want = 3
			}
			if n := part.Field(i).Len(); n != want {
				t.Errorf("%v: %d of %s, want %d", part.Type(), n, name, want)
			}
		}
	}
	var b Batch
	var r Result
	filled(reflect.ValueOf(&b).Elem())
	filled(reflect.ValueOf(&r).Elem())
	check(reflect.ValueOf(b.Part(1, 3)))
	check(reflect.ValueOf(r.Part(1, 3)))
}
