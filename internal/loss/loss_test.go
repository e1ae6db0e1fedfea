package loss

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// pair builds a batch of one example, desirable as an unpaired row if its first completion has an even number of tokens, of which the data says what it says of those of the vectors' set stress.
func pair(pc, pr, rc, rr float64, nc, nr int) Batch {
	return said(Batch{ChosenLogps: []float64{pc}, RejectedLogps: []float64{pr}, RefChosenLogps: []float64{rc}, RefRejectedLogps: []float64{rr},
		ChosenTokens: []int{nc}, RejectedTokens: []int{nr}, ChosenKL: []float64{0.5}, RejectedKL: []float64{0.25}, RefEntropies: []float64{0.35}, Desirable: []bool{nc%2 == 0}}, 2, 0.5, 0.75, 0.3)
}

// said is a batch of one example with what the data says of it.
func said(b Batch, chosenScore, rejectedScore, chosenWins, rejectedWins float64) Batch {
	b.ChosenScores, b.RejectedScores, b.ChosenWins, b.RejectedWins = []float64{chosenScore}, []float64{rejectedScore}, []float64{chosenWins}, []float64{rejectedWins}
	return b
}

// join is the examples of several batches in one.
func join(batches ...Batch) Batch {
	var j Batch
	for _, b := range batches {
		j.ChosenLogps, j.RejectedLogps = append(j.ChosenLogps, b.ChosenLogps...), append(j.RejectedLogps, b.RejectedLogps...)
		j.RefChosenLogps, j.RefRejectedLogps = append(j.RefChosenLogps, b.RefChosenLogps...), append(j.RefRejectedLogps, b.RefRejectedLogps...)
		j.ChosenTokens, j.RejectedTokens = append(j.ChosenTokens, b.ChosenTokens...), append(j.RejectedTokens, b.RejectedTokens...)
		j.Desirable = append(j.Desirable, b.Desirable...)
		j.RefEntropies = append(j.RefEntropies, b.RefEntropies...)
		j.ChosenKL, j.RejectedKL = append(j.ChosenKL, b.ChosenKL...), append(j.RejectedKL, b.RejectedKL...)
		j.ChosenScores, j.RejectedScores = append(j.ChosenScores, b.ChosenScores...), append(j.RejectedScores, b.RejectedScores...)
		j.ChosenWins, j.RejectedWins = append(j.ChosenWins, b.ChosenWins...), append(j.RejectedWins, b.RejectedWins...)
	}
	return j
}

// equal compares two results to the bit.
func equal(a, b Result) bool {
	return slices.Equal(a.Losses, b.Losses) && slices.Equal(a.DChosenLogps, b.DChosenLogps) && slices.Equal(a.DRejectedLogps, b.DRejectedLogps) &&
		slices.Equal(a.DSFTLogps, b.DSFTLogps) &&
		slices.EqualFunc(a.DMiddleLogps, b.DMiddleLogps, slices.Equal) &&
		slices.Equal(a.DChosenKL, b.DChosenKL) && slices.Equal(a.DRejectedKL, b.DRejectedKL)
}

// want is what a loss has to give for one pair.
type want struct {
	name                     string
	settings                 Settings
	loss, dChosen, dRejected float64
}

func check(t *testing.T, b Batch, table []want) {
	t.Helper()
	for _, w := range table {
		var r Result
		must(t, w.name, w.settings).Compute(b, &r)
		compare(t, w.name, r, 0, w, 1e-12)
	}
}

// compare holds example i of r to relative tolerance tol.
func compare(t *testing.T, what string, r Result, i int, w want, tol float64) {
	t.Helper()
	for _, v := range []struct {
		name      string
		got, want float64
	}{{"loss", r.Losses[i], w.loss}, {"dL/dchosen", r.DChosenLogps[i], w.dChosen}, {"dL/drejected", r.DRejectedLogps[i], w.dRejected}} {
		if !(math.Abs(v.got-v.want) <= tol*math.Abs(v.want)) {
			t.Errorf("%s: %s = %.17g, want %.17g", what, v.name, v.got, v.want)
		}
	}
}

// withBeta is settings with that beta and nothing else.
func withBeta(x float64) Settings { return Settings{"beta": x} }

func must(t *testing.T, name string, s Settings) Loss {
	t.Helper()
	l, err := New(name, s)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// Worked by hand. h of the pair is (-6+8) - (-9+7) = 4; per token 2/2 - (-2)/4 = 1.5.
//
//	dpo, beta 0.5: u = 2, L = log(1+e^-2) = 0.126928, dL/dpc = -0.5/(1+e^2) = -0.0596015
//	cdpo, beta 0.5, smoothing 0.25: L = 0.75*0.126928 + 0.25*2.126928 = 0.626928, dL/dpc = -0.0596015 + 0.125
//	hinge, beta 0.5: u = 2 > 1: done. hinge, beta 0.2: L = 1 - 0.8
//	ipo, beta 0.5: target 1, L = 0.5^2, dL/dpc = 2*0.5/2, dL/dpr = -2*0.5/4
//	ipo_sum, beta 0.5: L = 3^2, dL/dpc = 6 = -dL/dpr
//	sft: L = 6/2, dL/dpc = -1/2
func TestByHand(t *testing.T) {
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"dpo", withBeta(0.5), 0.126928011042973, -0.059601461011058, 0.059601461011058},
		{"cdpo", Settings{"beta": 0.5, "label_smoothing": 0.25}, 0.626928011042973, 0.065398538988942, -0.065398538988942},
		{"ipo", withBeta(0.5), 0.25, 0.5, -0.25},
		{"ipo_sum", withBeta(0.5), 9, 6, -6},
		{"hinge", withBeta(0.5), 0, 0, 0},
		{"hinge", withBeta(0.25), 0, 0, 0}, // u is exactly 1
		{"hinge", withBeta(0.2), 0.2, -0.2, 0.2},
		{"sft", nil, 3, -0.5, 0},
	})
}

// Worked by hand, the same pair with the roles of its sides exchanged: h = -4, per token -1.5.
//
//	dpo, beta 0.5: L = 2 + log(1+e^-2) = 2.126928, dL/dpc = -0.5*(1 - 1/(1+e^2)) = -0.4403985
//	cdpo, beta 0.5, smoothing 0.25: L = 0.75*2.126928 + 0.25*0.126928 = 1.626928, dL/dpc = -0.4403985 + 0.125
//	hinge, beta 0.5: L = 1 + 2
//	ipo, beta 0.5: L = 2.5^2, dL/dpc = -2*2.5/4, dL/dpr = 2*2.5/2
//	ipo_sum, beta 0.5: L = 5^2, dL/dpc = -10
//	sft: L = 9/4, dL/dpc = -1/4
func TestByHandExchanged(t *testing.T) {
	check(t, pair(-9, -6, -7, -8, 4, 2), []want{
		{"dpo", withBeta(0.5), 2.126928011042973, -0.440398538988942, 0.440398538988942},
		{"cdpo", Settings{"beta": 0.5, "label_smoothing": 0.25}, 1.626928011042973, -0.315398538988942, 0.315398538988942},
		{"ipo", withBeta(0.5), 6.25, -1.25, 2.5},
		{"ipo_sum", withBeta(0.5), 25, -10, 10},
		{"hinge", withBeta(0.5), 3, -0.5, 0.5},
		{"sft", nil, 2.25, -0.25, 0},
	})
}

// randomPair has log-probs of policy and reference down to -100 nats and up to 50 tokens.
func randomPair(rng *rand.Rand) Batch {
	return pair(-100*rng.Float64(), -100*rng.Float64(), -100*rng.Float64(), -100*rng.Float64(), 1+rng.IntN(50), 1+rng.IntN(50))
}

// TestStepZero: with policy and reference equal the loss is its closed form, whatever the lengths.
func TestStepZero(t *testing.T) {
	b := join(pair(-12.5, -31, -12.5, -31, 5, 9), pair(-0.1, -700.3, -0.1, -700.3, 1, 400))
	for _, tt := range []struct {
		name string
		beta float64
		want float64
	}{
		{"dpo", 0.1, math.Ln2}, {"dpo", 2, math.Ln2}, {"cdpo", 0.1, math.Ln2}, {"cdpo", 2, math.Ln2}, {"hinge", 0.1, 1}, {"hinge", 2, 1},
		{"ipo", 0.1, 25}, {"ipo", 1, 0.25}, {"ipo_sum", 0.1, 25}, {"ipo_sum", 1, 0.25},
	} {
		var r Result
		l := must(t, tt.name, withBeta(tt.beta))
		l.Compute(b, &r)
		closed, ok := l.StepZero()
		if !ok || math.Abs(closed-tt.want) > 1e-15*tt.want {
			t.Errorf("%s, beta %v: StepZero is %v, %v; want %v", tt.name, tt.beta, closed, ok, tt.want)
		}
		for i, v := range r.Losses {
			if v != closed {
				t.Errorf("%s, beta %v: loss of example %d is %v, want exactly %v", tt.name, tt.beta, i, v, closed)
			}
		}
	}
	if v, ok := must(t, "sft", Settings{}).StepZero(); ok {
		t.Errorf("sft: StepZero is %v; it has none", v)
	}
}

// TestCatalogueStepZero: of every loss, where policy and reference agree on pairs of all kinds, its value is StepZero to the bit; one without a StepZero depends on
// the pair.
func TestCatalogueStepZero(t *testing.T) {
	const seed = 20
	for _, name := range Names() {
		l, rng := must(t, name, nil), rand.New(rand.NewPCG(seed, 0))
		if l.Needs().Lists { // pairs are lists of one length: TestListsStepZero
			continue
		}
		closed, ok := l.StepZero()
		values := map[float64]bool{}
		for range 100 {
			b := randomInput(rng)
			b.RefChosenLogps, b.RefRejectedLogps = slices.Clone(b.ChosenLogps), slices.Clone(b.RejectedLogps)
			b.ChosenKL, b.RejectedKL = []float64{0}, []float64{0}
			var r Result
			l.Compute(b, &r)
			values[r.Losses[0]] = true
		}
		if ok && (len(values) != 1 || !values[closed]) || !ok && len(values) < 2 {
			t.Errorf("%s: StepZero %v, %v, and the values are %v (seed %d)", name, closed, ok, values, seed)
		}
	}
}

// TestSaturation: at margins of 2000 nats dpo is linear on one side and 0 on the other, to the bit.
func TestSaturation(t *testing.T) {
	l := must(t, "dpo", withBeta(1))
	var r Result
	l.Compute(join(pair(-1000, 1000, 0, 0, 1, 1), pair(1000, -1000, 0, 0, 1, 1)), &r)
	if want := []float64{2000, 0}; !slices.Equal(r.Losses, want) {
		t.Errorf("losses %v, want %v", r.Losses, want)
	}
	if want := []float64{-1, 0}; !slices.Equal(r.DChosenLogps, want) {
		t.Errorf("dL/dchosen %v, want %v", r.DChosenLogps, want)
	}
}

// FuzzCompute: log-probs within 1e4 nats of 0 and completions of 1 to 65536 tokens give finite numbers.
func FuzzCompute(f *testing.F) {
	for _, x := range []float64{-1e4, -2000, -0.1, 0, 2000, 1e4} {
		f.Add(x, -x, x/2, 0.0, uint16(0), uint16(2))
	}
	f.Fuzz(func(t *testing.T, pc, pr, rc, rr float64, nc, nr uint16) {
		for _, x := range []*float64{&pc, &pr, &rc, &rr} {
			if *x = math.Mod(*x, 1e4); math.IsNaN(*x) {
				*x = 0
			}
		}
		b := pair(pc, pr, rc, rr, int(nc)+1, int(nr)+1)
		for _, name := range Names() {
			var r Result
			must(t, name, Settings{}).Compute(b, &r)
			for _, v := range []float64{r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0]} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%s at %+v: %+v", name, b, r)
				}
			}
		}
	})
}

// ofThePolicyAlone are losses with a term that does not see the reference, and the settings that take it away.
var ofThePolicyAlone = map[string]Settings{
	"rpo": {"rpo_alpha": 0.0}, // the likelihood of chosen
}

// TestShiftInvariance: a constant added to policy and reference changes nothing, but in terms of the policy alone. 32 and the log-probs are
// exact in binary.
func TestShiftInvariance(t *testing.T) {
	for _, name := range Names() {
		l := must(t, name, ofThePolicyAlone[name])
		if !l.Needs().Reference {
			continue
		}
		var a, b Result
		l.Compute(pair(-6, -9, -8, -7, 2, 4), &a)
		l.Compute(pair(-6-32, -9+64, -8-32, -7+64, 2, 4), &b)
		if !equal(a, b) {
			t.Errorf("%s: %+v, shifted %+v", name, a, b)
		}
	}
}

// TestExchange: chosen and rejected exchanged turn u into -u: softplus(u) - softplus(-u) = u, and the slopes add up to beta.
func TestExchange(t *testing.T) {
	const beta, seed = 0.1, 3
	l := must(t, "dpo", withBeta(beta))
	rng := rand.New(rand.NewPCG(seed, 4))
	for range 200 {
		b := randomPair(rng)
		var r, x Result
		l.Compute(b, &r)
		l.Compute(Batch{ChosenLogps: b.RejectedLogps, RejectedLogps: b.ChosenLogps, RefChosenLogps: b.RefRejectedLogps, RefRejectedLogps: b.RefChosenLogps,
			ChosenTokens: b.RejectedTokens, RejectedTokens: b.ChosenTokens}, &x)
		if u := beta * b.margin(0); math.Abs(x.Losses[0]-r.Losses[0]-u) > 1e-13 || math.Abs(r.DChosenLogps[0]+x.DChosenLogps[0]+beta) > 1e-15 {
			t.Fatalf("u %v: %+v, exchanged %+v (seed %d)", u, r, x, seed)
		}
	}
}

// TestLengths: with one token a side the two forms of IPO are one; longer sides change ipo and leave ipo_sum and dpo alone.
func TestLengths(t *testing.T) {
	short, long := pair(-6, -9, -8, -7, 1, 1), pair(-6, -9, -8, -7, 2, 4)
	results := map[string][2]Result{}
	for _, name := range []string{"dpo", "ipo", "ipo_sum"} {
		var a, b Result
		l := must(t, name, withBeta(0.5))
		l.Compute(short, &a)
		l.Compute(long, &b)
		results[name] = [2]Result{a, b}
		if same := equal(a, b); same == (name == "ipo") {
			t.Errorf("%s: %+v, longer %+v", name, a, b)
		}
	}
	if a, b := results["ipo"][0], results["ipo_sum"][0]; !equal(a, b) {
		t.Errorf("one token a side: ipo %+v, ipo_sum %+v", a, b)
	}
}

// TestBatchesAdd: an example's numbers do not depend on what shares its batch, but where the loss couples them, nor on what the result held before.
func TestBatchesAdd(t *testing.T) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, 6))
	pairs := make([]Batch, 7)
	for i := range pairs {
		pairs[i] = randomPair(rng)
	}
	for _, name := range Names() {
		l := must(t, name, Settings{})
		var all, one, r Result
		l.Compute(join(pairs...), &all)
		for i, p := range pairs {
			r = Result{Losses: []float64{7, 7, 7}, DChosenLogps: []float64{7}, DRejectedLogps: []float64{7, 7, 7, 7}, DMiddleLogps: [][]float64{{7}}, DSFTLogps: []float64{7, 7}, DChosenKL: []float64{7}, DRejectedKL: []float64{7, 7}}
			l.Compute(p, &r)
			if one = all.Part(i, i+1); l.Needs().Coupled { // TestPermutation is theirs
				one = Result{}
				l.Compute(p, &one)
			}
			if !equal(r, one) {
				t.Errorf("%s: example %d alone %+v, in the batch %+v (seed %d)", name, i, r, one, seed)
			}
		}
		if l.Compute(Batch{}, &r); len(r.Losses) != 0 || len(r.DChosenLogps) != 0 || len(r.DRejectedLogps) != 0 {
			t.Errorf("%s: no examples give %+v", name, r)
		}
	}
}

// TestUnusedInputs: what a loss says it does not need may be nil.
func TestUnusedInputs(t *testing.T) {
	for _, name := range Names() {
		l := must(t, name, Settings{})
		b := pair(-6, -9, -8, -7, 2, 4)
		if !l.Needs().Reference {
			b.RefChosenLogps, b.RefRejectedLogps = nil, nil
		}
		if !l.Needs().Rejected {
			b.RejectedLogps, b.RefRejectedLogps, b.RejectedTokens = nil, nil, nil
		}
		if !l.Needs().KL {
			b.ChosenKL, b.RejectedKL = nil, nil
		}
		if !l.Needs().Entropies {
			b.RefEntropies = nil
		}
		if !l.Needs().Labels {
			b.Desirable = nil
		}
		if !l.Needs().Scores {
			b.ChosenScores, b.RejectedScores = nil, nil
		}
		if !l.Needs().Wins {
			b.ChosenWins, b.RejectedWins = nil, nil
		}
		var r Result
		l.Compute(b, &r)
		if len(r.DRejectedLogps) != 1 {
			t.Errorf("%s: %d elements in DRejectedLogps, want 1", name, len(r.DRejectedLogps))
		}
	}
}

func TestCatalogue(t *testing.T) {
	seen := map[string]string{}
	for _, name := range Names() {
		info, ok := Describe(name)
		l := must(t, name, Settings{})
		if !ok || info.Name != name || l.Name() != name || info.Needs != l.Needs() || info.Summary == "" || info.Paper == "" {
			t.Errorf("%s: described as %+v, made as %s with %+v", name, info, l.Name(), l.Needs())
		}
		if h, ok := info.Hyperparameter("beta"); ok && h.Default != l.Beta() || !ok && l.Beta() != 0 {
			t.Errorf("%s: beta %v by default, made with %v", name, h.Default, l.Beta())
		}
		for key, other := range info.Instead {
			_, used := info.Hyperparameter(key)
			instead, _ := Describe(other)
			if _, ok := instead.Hyperparameter(key); used || !ok {
				t.Errorf("%s: points to %s for %s", name, other, key)
			}
		}
		for _, n := range append(info.Aliases, name) {
			if seen[n] != "" {
				t.Errorf("%q stands for %s and %s", n, seen[n], name)
			}
			seen[n] = name
		}
	}
	if l := must(t, "sigmoid", Settings{}); l.Name() != "dpo" {
		t.Errorf("sigmoid is %s, want dpo", l.Name())
	}
	if info, ok := Describe("dop"); ok {
		t.Errorf("dop is described as %+v", info)
	}
}

// TestSumsOrMeans: what is said of a loss's log-probs is so. Completions repeated, with twice the log-prob and twice the tokens, are the same in means; with as
// many tokens more on both sides they are the same in sums.
func TestSumsOrMeans(t *testing.T) {
	const seed = 19
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, name := range Names() {
		l := must(t, name, nil)
		sums, means := true, true
		for range 20 {
			b := randomPair(rng)
			of := func(times float64, chosenTokens, rejectedTokens int) float64 {
				other := pair(times*b.ChosenLogps[0], times*b.RejectedLogps[0], times*b.RefChosenLogps[0], times*b.RefRejectedLogps[0], chosenTokens, rejectedTokens)
				other.Desirable = b.Desirable
				var r Result
				l.Compute(other, &r)
				return r.Losses[0]
			}
			nc, nr := b.ChosenTokens[0], b.RejectedTokens[0]
			sums = sums && of(1, nc, nr) == of(1, nc+3, nr+3)
			means = means && of(1, nc, nr) == of(2, 2*nc, 2*nr)
		}
		if n := l.Needs(); sums != (n.Sums && !n.Means) || means != (n.Means && !n.Sums) || !n.Sums && !n.Means {
			t.Errorf("%s: needs sums %v and means %v, but is of sums alone: %v, of means alone: %v (seed %d)", name, n.Sums, n.Means, sums, means, seed)
		}
	}
}

// TestDocs: docs/losses.md has a section for every loss and none else, which says what the catalogue says.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/losses.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := strings.Split(string(text), "\n## ")[1:]
	var titles []string
	for _, s := range sections {
		title, body, _ := strings.Cut(s, "\n")
		titles = append(titles, title)
		info, ok := Describe(title)
		if !ok || info.Name != title {
			continue // the comparison of titles tells
		}
		for _, part := range strings.Split(info.Paper, ", ") {
			if !strings.Contains(strings.ToLower(body), strings.ToLower(part)) {
				t.Errorf("%s: %q of the paper is not in its section", title, part)
			}
		}
		for _, alias := range info.Aliases {
			if !strings.Contains(body, alias) {
				t.Errorf("%s: its alias %s is not in its section", title, alias)
			}
		}
		for _, h := range info.Hyperparameters {
			if line := fmt.Sprintf("- `%s`, default %v, %s:", h.Key, h.Default, h.Values()); !strings.Contains(body, line) {
				t.Errorf("%s: %q is not in its section", title, line)
			}
		}
		if !strings.Contains(body, "\n    L = ") || !strings.Contains(body, "TRL") {
			t.Errorf("%s: no formula in its section, or nothing about TRL", title)
		}
	}
	if want := append(Names(), "modifiers"); !slices.Equal(titles, want) {
		t.Fatalf("docs/losses.md has sections %q, want %q", titles, want)
	}
	titles = nil
	for i, s := range strings.Split(sections[len(sections)-1], "\n### ")[1:] {
		title, body, _ := strings.Cut(s, "\n")
		titles = append(titles, title)
		m := modifiers[min(i, len(modifiers)-1)]
		for _, part := range []string{m.Paper, fmt.Sprintf("- `%s`, default %v, %s:", m.Key, m.Default, m.Values()), "\n    L = ", "TRL"} {
			if !strings.Contains(body, part) {
				t.Errorf("%s: %q is not in its section", title, part)
			}
		}
	}
	var keys []string
	for _, m := range modifiers {
		keys = append(keys, m.Key)
	}
	if !slices.Equal(titles, keys) {
		t.Errorf("docs/losses.md has modifiers %q, want %q", titles, keys)
	}
}

func TestNewErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings Settings
		want     string
	}{
		{"dop", nil, `loss: "dop": unknown loss; "dpotrain losses" lists them`},
		{"DPO", nil, `loss: "DPO": unknown loss; "dpotrain losses" lists them`},
		{"ipo-sum", nil, `loss: "ipo-sum": unknown loss; "dpotrain losses" lists them`},
		{"sigmiod", nil, `loss: "sigmiod": unknown loss; "dpotrain losses" lists them`},
		{"ipo_mean", nil, `loss: "ipo_mean": unknown loss; "dpotrain losses" lists them`},
		{"simpo2", nil, `loss: "simpo2": unknown loss; "dpotrain losses" lists them`},
		{"", nil, `loss: "": unknown loss; "dpotrain losses" lists them`},
		{"wpo", nil, `loss: "wpo": it is a modifier of losses; give the loss, as dpo, and wpo: true beside it`},
		{"ld_dpo=1,sft=1", nil, `loss: "ld_dpo": it is a modifier of losses; give the loss, as dpo, and ld_alpha: 0.5 beside it`},
		{"aot_pair", nil, `loss: "aot_pair": up to TRL 0.27 this was the loss for completions that are not paired, whatever it says; give aot for pairs, or aot_unpaired for what aot_pair was`},
		{"bco_pair", nil, `loss: "bco_pair": since TRL 0.29 this is BCO without the shift of its rewards, which is weaker; give bco, which has the shift`},
		{"dpo", withBeta(0), "beta: 0 is out of range; want > 0"},
		{"dpo", withBeta(-0.1), "beta: -0.1 is out of range; want > 0"},
		{"dpo", withBeta(math.NaN()), "beta: NaN is out of range; want > 0"},
		{"dpo", withBeta(math.Inf(1)), "beta: +Inf is out of range; want > 0"},
		{"dpo", Settings{"beta": "high"}, "beta: high; want a float64"},
		{"dpo", Settings{"beta": 1}, "beta: 1; want a float64"},
		{"ipo", withBeta(1e-200), "beta: 1e-200 makes the first value of loss ipo infinite; its default is 0.1"},
		{"cal_dpo", Settings{"cal_dpo_weight": 1e308}, "cal_dpo_weight: 1e+308 makes the first value of loss cal_dpo infinite; its default is 1"},
		{"sft", withBeta(0.1), "beta: loss sft does not use it; leave it out"},
		{"sft", withBeta(math.NaN()), "beta: loss sft does not use it; leave it out"},
		{"sft", Settings{"beta": 0.1, "alpha": 1.0}, "alpha: loss sft does not use it; leave it out"},
		{"dpo", Settings{"label_smoothing": 0.1}, "label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{"sigmoid", Settings{"label_smoothing": 0.0}, "label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{"hinge", Settings{"label_smoothing": 0.1}, "label_smoothing: loss hinge does not use it; leave it out"},
		{"cdpo", Settings{"label_smoothing": 0.5}, "label_smoothing: 0.5 is out of range; want >= 0 and < 0.5"},
		{"cdpo", Settings{"label_smoothing": -0.1}, "label_smoothing: -0.1 is out of range; want >= 0 and < 0.5"},
		{"fdpo", Settings{"fdpo_alpha": 0.7}, "fdpo_alpha: 0.7 has no effect with fdpo_divergence: js_divergence; set that to alpha_divergence, or leave this out"},
		{"fdpo", Settings{"fdpo_divergence": "reverse_kl", "fdpo_alpha": 0.7}, "fdpo_alpha: 0.7 has no effect with fdpo_divergence: reverse_kl; set that to alpha_divergence, or leave this out"},
	} {
		if l, err := New(tt.name, tt.settings); err == nil || err.Error() != tt.want || l != nil {
			t.Errorf("New(%q, %v): %v, error %v\nwant %s", tt.name, tt.settings, l, err, tt.want)
		}
	}
	if l := must(t, "ipo", withBeta(0.3)); l.Beta() != 0.3 {
		t.Errorf("beta %v, want 0.3", l.Beta())
	}
}

// TestHyperparameters checks what the catalogue says of them: other packages make keys, flags and help of it.
func TestHyperparameters(t *testing.T) {
	for _, uses := range Uses() {
		for _, u := range uses {
			if u.Key != uses[0].Key || u.Meaning == "" || strings.ContainsAny(u.Meaning, "\n`") {
				t.Errorf("%s of %s: meaning %q; want one line", u.Key, u.Loss, u.Meaning)
			}
			if fmt.Sprintf("%T", u.Default) != fmt.Sprintf("%T", uses[0].Default) {
				t.Errorf("%s: %T for %s and %T for %s", u.Key, u.Default, u.Loss, uses[0].Default, uses[0].Loss)
			}
			if err := u.Check(u.Default); err != nil {
				t.Errorf("%s of %s: default: %v", u.Key, u.Loss, err)
			}
			if u.Neutral != nil && u.Check(u.Neutral) != nil {
				t.Errorf("%s of %s: neutral value %v is out of range", u.Key, u.Loss, u.Neutral)
			}
			if _, modifier := findModifier(modifiers, u.Key); !modifier && !slices.Contains([]string{"beta", "label_smoothing"}, u.Key) && !strings.HasPrefix(u.Key, u.Loss+"_") {
				t.Errorf("%s of %s: want a key that begins with the loss's name", u.Key, u.Loss)
			}
			if info, _ := Describe(u.Loss); u.With.Key != "" {
				if other, ok := info.Hyperparameter(u.With.Key); !ok || other.Check(u.With.Value) != nil {
					t.Errorf("%s of %s: with %v, which it cannot have", u.Key, u.Loss, u.With)
				}
			}
			// By what they hold: a loss with a state is a pointer.
			if l, want := must(t, u.Loss, Settings{u.Key: u.Default}), must(t, u.Loss, nil); !reflect.DeepEqual(l, want) {
				t.Errorf("%s with its default %s is %+v, without %+v", u.Loss, u.Key, l, want)
			}
		}
	}
	for _, tt := range []struct {
		h    Hyperparameter
		v    any
		want string // empty: nothing is wrong
	}{
		{Hyperparameter{Default: 1.0, Range: Range{Low: 0, High: 2, HighOpen: true}}, 0.0, ""},
		{Hyperparameter{Default: 1.0, Range: Range{Low: 0, High: 2, HighOpen: true}}, 2.0, "2 is out of range; want >= 0 and < 2"},
		{Hyperparameter{Default: 1.0, Range: Range{Low: 0, LowOpen: true, High: 2}}, 2.0, ""},
		{Hyperparameter{Default: 1.0, Range: Range{Low: 0, LowOpen: true, High: 2}}, 0.0, "0 is out of range; want > 0 and <= 2"},
		{Hyperparameter{Default: 1.0, Range: Range{Low: math.Inf(-1), High: math.Inf(1)}}, -1e300, ""},
		{Hyperparameter{Default: 1.0, Range: Range{Low: math.Inf(-1), High: math.Inf(1)}}, math.Inf(1), "+Inf is out of range; want a finite number"},
		{Hyperparameter{Default: "log", Choices: []string{"log", "identity"}}, "identity", ""},
		{Hyperparameter{Default: "log", Choices: []string{"log", "identity"}}, "ln", `"ln"; want log, identity`},
		{Hyperparameter{Default: "log", Choices: []string{"log", "identity"}}, 1.0, "1; want a string"},
		{Hyperparameter{Default: true}, false, ""},
		{Hyperparameter{Default: true}, "false", "false; want a bool"},
	} {
		got := ""
		if err := tt.h.Check(tt.v); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: Check(%v) says %q, want %q", tt.h, tt.v, got, tt.want)
		}
	}
}

// TestSpecialCases: cdpo without smoothing is dpo, and its gradient is 0 at log((1-e)/e) and changes sign there.
func TestSpecialCases(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 8))
	for range 200 {
		b := randomPair(rng)
		var dpo, cdpo Result
		must(t, "dpo", nil).Compute(b, &dpo)
		must(t, "cdpo", Settings{"label_smoothing": 0.0}).Compute(b, &cdpo)
		if !equal(dpo, cdpo) {
			t.Fatalf("%+v: dpo %+v, cdpo without smoothing %+v (seed %d)", b, dpo, cdpo, seed)
		}
	}
	for _, tt := range []struct{ u, sign float64 }{{2.19, -1}, {2.197224577336219, 0}, {2.20, 1}} {
		var r Result
		must(t, "cdpo", withBeta(1)).Compute(pair(tt.u, 0, 0, 0, 1, 1), &r)
		if g := r.DChosenLogps[0]; math.Abs(g) > 1e-15 && g*tt.sign <= 0 || tt.sign != 0 && math.Abs(g) < 1e-4 {
			t.Errorf("cdpo, smoothing 0.1, u = %v: dL/dchosen %v, want sign %v", tt.u, g, tt.sign)
		}
	}
}

// vectors are the cases of loss_vectors.json, whose numbers were checked against the losses' upstream implementations; its
// schema describes the fields.
type vectors struct {
	Inputs map[string]struct {
		Pairs []struct {
			PC float64   `json:"policy_chosen"`
			PR float64   `json:"policy_rejected"`
			RC float64   `json:"ref_chosen"`
			RR float64   `json:"ref_rejected"`
			NC int       `json:"chosen_tokens"`
			NR int       `json:"rejected_tokens"`
			PM []float64 `json:"policy_middle"` // of a list, between chosen and rejected
			RM []float64 `json:"ref_middle"`
			SC float64   `json:"chosen_score"`
			SR float64   `json:"rejected_score"`
			WC float64   `json:"p_win"`
			WR float64   `json:"p_win_rejected"`
			DC float64   `json:"wpo_logdenom_chosen"` // sum over tokens of log sum_v p_v^2
			DR float64   `json:"wpo_logdenom_rejected"`
			RH float64   `json:"ref_entropy_normalised"`
			KC float64   `json:"seqkl_chosen"`
			KR float64   `json:"seqkl_rejected"`

			PCT []float64 `json:"policy_chosen_per_token"` // of set base alone
			PRT []float64 `json:"policy_rejected_per_token"`
			RCT []float64 `json:"ref_chosen_per_token"`
			RRT []float64 `json:"ref_rejected_per_token"`
			IC  []int     `json:"sampo_chosen_idx"`
			IR  []int     `json:"sampo_rejected_idx"`
		} `json:"pairs"`
		KLPolicy []float64 `json:"kl_policy_logps"` // of mismatched rows
		KLRef    []float64 `json:"kl_ref_logps"`
	} `json:"inputs"`
	StepZero map[string]struct {
		Formula string  `json:"formula"`
		Value   float64 `json:"value"`
	} `json:"step0"`
	Cases []struct {
		Name       string   `json:"name"`
		LossKey    string   `json:"loss_key"`
		Inputs     string   `json:"inputs"`
		Params     Settings `json:"params"`
		State      Settings `json:"state"` // of a loss that has one: numbers, and a note
		PerExample []struct {
			ID        string    `json:"id"`
			Loss      float64   `json:"loss"`
			Rank      string    `json:"rank_chosen"` // the example that Loss is of, where they are sorted by it; else empty
			DChosen   float64   `json:"d_policy_chosen"`
			DRejected float64   `json:"d_policy_rejected"`
			DMiddle   []float64 `json:"d_policy_middle"`

			DChosenTokens   []float64 `json:"d_policy_chosen_tokens"` // of cases by token alone
			DRejectedTokens []float64 `json:"d_policy_rejected_tokens"`

			DChosenKL   float64 `json:"d_seqkl_chosen"`
			DRejectedKL float64 `json:"d_seqkl_rejected"`
		} `json:"per_example"`
	} `json:"cases"`
}

// vectorsFile is loss_vectors.json, which lies beside the folder of shared test data. A relative DPOTRAIN_TESTDATA counts
// from the folder that holds go.mod.
func vectorsFile(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DPOTRAIN_TESTDATA")
	if dir == "" {
		t.Skip("DPOTRAIN_TESTDATA is not set; it names the folder of shared test data, beside loss_vectors.json")
	}
	if !filepath.IsAbs(dir) {
		root, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			if root == filepath.Dir(root) {
				t.Fatal("no go.mod here or above")
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, dir)
	}
	return filepath.Join(dir, "..", "loss_vectors.json")
}

// paramNames are what parameters in loss_vectors.json are called here, where it is neither their name there nor that with the loss's in
// front; empty for one that only says what the case is, or follows from the others.
var paramNames = map[string]string{
	"length_average": "", "note": "", "gamma": "", "eta": "", "sft_average": "", "cal_weight": "cal_dpo_weight", "length_alpha": "rdpo_alpha",
	"f_divergence": "fdpo_divergence", "f_alpha": "fdpo_alpha", "offset_fn": "odpo_offset", "dispersion_scale": "mallows_dpo_scale",
	"tdpo_alpha": "tdpo2_alpha",
}

// hyperparameters turns the parameters of a case into settings of a loss.
func hyperparameters(t *testing.T, name string, params Settings) Settings {
	info, _ := Describe(name)
	given := Settings{}
	for p, v := range params {
		key := ""
		for _, k := range []string{p, name + "_" + p, name + "_" + strings.TrimPrefix(p, "cpo_"), name + "_" + strings.TrimPrefix(p, "gt_"), paramNames[p]} {
			if _, ok := info.Hyperparameter(k); ok {
				key = k
				break
			}
		}
		if other, known := paramNames[p]; key == "" && (!known || other != "") {
			t.Fatalf("parameter %s is no hyperparameter of %s", p, name)
		} else if key != "" {
			given[key] = v
		}
	}
	return given
}

// TestVectors: every loss of pairs has cases in loss_vectors.json, and gives their numbers.
func TestVectors(t *testing.T) {
	seen := testVectors(t, vectorsFile(t))
	for _, name := range Names() {
		if seen[name] == 0 && name != "plackett_luce" { // which is dpo on pairs: TestPlackettLucePairs
			t.Errorf("no case for %s", name)
		}
	}
}

// TestOwnVectors: of every loss there are cases in testdata/vectors, of usual and of extreme pairs, and it gives their numbers. scripts/make-loss-vectors writes them from
// the losses' formulas.
func TestOwnVectors(t *testing.T) {
	for _, name := range Names() {
		seen := testVectors(t, filepath.Join("testdata", "vectors", name+".json"))
		if seen[name] < 2 || len(seen) != 1 {
			t.Errorf("testdata/vectors/%s.json has cases of %v, want some of %s alone", name, seen, name)
		}
	}
	files, err := os.ReadDir(filepath.Join("testdata", "vectors"))
	if err != nil || len(files) != len(Names()) {
		t.Errorf("testdata/vectors has %d files, want one for each of %d losses: %v", len(files), len(Names()), err)
	}
}

// TestMoreVectors runs the cases of every file in the folder that DPOTRAIN_LOSS_VECTORS names, which have the form of those in testdata/vectors.
func TestMoreVectors(t *testing.T) {
	dir := os.Getenv("DPOTRAIN_LOSS_VECTORS")
	if dir == "" {
		t.Skip("DPOTRAIN_LOSS_VECTORS is not set; it names a folder of files like those in testdata/vectors")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no JSON files: %v", dir, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if len(testVectors(t, file)) == 0 {
				t.Error("no case of a loss that there is")
			}
		})
	}
}

// testVectors runs the cases of a file and counts them by loss.
func testVectors(t *testing.T, file string) (seen map[string]int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	seen = map[string]int{}
	for _, c := range v.Cases {
		if !slices.Contains(Names(), c.LossKey) {
			continue
		}
		seen[c.LossKey]++
		t.Run(strings.ReplaceAll(c.Name, "/", " "), func(t *testing.T) {
			var b Batch
			for _, p := range v.Inputs[c.Inputs].Pairs {
				one := said(pair(p.PC, p.PR, p.RC, p.RR, p.NC, p.NR), p.SC, p.SR, p.WC, p.WR)
				one.RefEntropies[0], one.ChosenKL[0], one.RejectedKL[0] = p.RH, p.KC, p.KR
				b = joinLists(b, one)
				if p.PM != nil {
					b.MiddleLogps, b.RefMiddleLogps = append(b.MiddleLogps, p.PM), append(b.RefMiddleLogps, p.RM)
				}
			}
			if len(c.PerExample) == 0 || len(c.PerExample) != b.Len() {
				t.Fatalf("%d rows for %d pairs", len(c.PerExample), b.Len())
			}
			l := must(t, c.LossKey, hyperparameters(t, c.LossKey, c.Params))
			var r Result
			if l.Needs().Labels {
				rows := apart(b)
				rows.MismatchedLogps, rows.RefMismatchedLogps = v.Inputs[c.Inputs].KLPolicy, v.Inputs[c.Inputs].KLRef
				l.Compute(rows, &r)
				r = together(r)
			} else if s, ok := l.(Stateful); ok {
				withState(t, s, c.State, b, &r)
			} else {
				l.Compute(b, &r)
			}
			losses := map[string]float64{}
			for _, w := range c.PerExample {
				losses[cmp.Or(w.Rank, w.ID)] = w.Loss
			}
			for i, w := range c.PerExample {
				compare(t, w.ID, r, i, want{loss: losses[w.ID], dChosen: w.DChosen, dRejected: w.DRejected}, 1e-12)
				for j, d := range w.DMiddle {
					if got := r.DMiddleLogps[i][j]; !(math.Abs(got-d) <= 1e-12*math.Abs(d)) {
						t.Errorf("%s: derivative of completion %d between = %.17g, want %.17g", w.ID, j, got, d)
					}
				}
				if !l.Needs().KL {
					continue
				}
				for _, v := range [][2]float64{{r.DChosenKL[i], w.DChosenKL}, {r.DRejectedKL[i], w.DRejectedKL}} {
					if !(math.Abs(v[0]-v[1]) <= 1e-12*math.Abs(v[1])) {
						t.Errorf("%s: derivative by a divergence %.17g, want %.17g", w.ID, v[0], v[1])
					}
				}
			}
			if w, ok := v.StepZero[c.Name]; ok && !strings.Contains(w.Formula, "nc") { // else a value for the lengths of one of the pairs, no constant
				if got, ok := l.StepZero(); !ok || math.Abs(got-w.Value) > 1e-12*w.Value {
					t.Errorf("StepZero %v, %v; want %v", got, ok, w.Value)
				}
			}
		})
	}
	return seen
}

// TestRefusedNames: no name is refused that a loss has, and whoever gives a method that is a setting here as a loss is told the setting.
func TestRefusedNames(t *testing.T) {
	for name, why := range refused {
		if _, ok := Describe(name); ok {
			t.Errorf("%s is refused (%s), and a loss", name, why)
		}
	}
	for name, setting := range map[string]string{"ld_dpo": "ld_alpha: ", "sampo": "sampo: ", "wpo": "wpo: ", "tr_dpo": "reference_update_steps: "} {
		if why := Refused(name); !strings.Contains(why, setting) {
			t.Errorf("%s: %q; want %s", name, why, setting)
		}
	}
}
