package loss

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Worked by hand, the pair of TestByHand with beta 0.5: dpo has L = 0.126928011042973 and dL/dpc = -0.059601461011058, sft L = 3 and
// dL/dpc = -0.5, ipo_sum L = 9 and dL/dpc = 6 = -dL/dpr.
//
//	dpo=0.5,sft=2: L = 0.0634640055214865 + 6, dL/dpc = -0.029800730505529 - 1, dL/dpr = 0.029800730505529
//	sft=0.25,ipo_sum=0.5,dpo=1: L = 0.75 + 4.5 + 0.126928011042973, dL/dpc = -0.125 + 3 - 0.059601461011058, dL/dpr = -3 + 0.059601461011058
//	sft=0.5 alone: L = 1.5, dL/dpc = -0.25
func TestMixByHand(t *testing.T) {
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"dpo=0.5,sft=2", withBeta(0.5), 6.0634640055214865, -1.029800730505529, 0.029800730505529},
		{"sft=0.25,ipo_sum=0.5,sigmoid", withBeta(0.5), 5.376928011042973, 2.815398538988942, -2.940398538988942},
		{"ipo_sum=0.5 , sft", Settings{"ipo_sum.beta": 0.5}, 7.5, 2.5, -3},
		{"sft=0.5", nil, 1.5, -0.25, 0},
	})
}

// TestMixSums: over random pairs every two losses of the catalogue together give the weighted sum of what they give alone, and need
// what they need; one loss with weight 1 is that loss.
func TestMixSums(t *testing.T) {
	const seed = 31
	rng := rand.New(rand.NewPCG(seed, 0))
	b := some(rng, 5)
	names := slices.DeleteFunc(Names(), func(name string) bool { return must(t, name, nil).Needs().Labels }) // of single completions alone
	for k, name := range names {
		if l := must(t, name+"=1", nil); !reflect.DeepEqual(l, must(t, name, nil)) {
			t.Errorf("%s=1 is %+v", name, l)
		}
		other := names[(k+1)%len(names)]
		x, y, m := must(t, name, nil), must(t, other, nil), must(t, name+"=0.3,"+other+"=1.7", nil)
		var rx, ry, rm, wanted Result
		x.Compute(b, &rx)
		y.Compute(b, &ry)
		m.Compute(b, &rm)
		wanted.resize(b.Len())
		for i := range wanted.Losses {
			wanted.Losses[i] = 0.3*rx.Losses[i] + 1.7*ry.Losses[i]
			wanted.DChosenLogps[i] = 0.3*rx.DChosenLogps[i] + 1.7*ry.DChosenLogps[i]
			wanted.DRejectedLogps[i] = 0.3*rx.DRejectedLogps[i] + 1.7*ry.DRejectedLogps[i]
		}
		for i := range wanted.Losses { // a compiler may fuse one sum and not the other
			compare(t, m.Name(), rm, i, want{"", nil, wanted.Losses[i], wanted.DChosenLogps[i], wanted.DRejectedLogps[i]}, 1e-12)
		}
		if m.Name() != name+"=0.3,"+other+"=1.7" || m.Needs() != x.Needs().and(y.Needs()) {
			t.Errorf("%s and %s: %s, needs %+v", name, other, m.Name(), m.Needs())
		}
		vx, okx := x.StepZero()
		vy, oky := y.StepZero()
		if v, ok := m.StepZero(); ok != (okx && oky) || ok && math.Abs(v-(0.3*vx+1.7*vy)) > 1e-15*v {
			t.Errorf("%s: StepZero %v, %v, of its parts %v, %v and %v, %v", m.Name(), v, ok, vx, okx, vy, oky)
		}
		_, sx := x.(Stateful)
		_, sy := y.(Stateful)
		if _, ok := m.(Stateful); ok != (sx || sy) {
			t.Errorf("%s: remembers something: %v", m.Name(), ok)
		}
	}
}

// TestMixVectors: MPO without the shift of bco, as TRL's since 0.29 is.
func TestMixVectors(t *testing.T) {
	text, err := os.ReadFile(vectorsFile(t))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	cases := 0
	for _, c := range v.Cases {
		if c.LossKey != "mpo" {
			continue
		}
		cases++
		var b Batch
		for _, p := range v.Inputs[c.Inputs].Pairs {
			b = join(b, pair(p.PC, p.PR, p.RC, p.RR, p.NC, p.NR))
		}
		l := must(t, "dpo=0.8,bco=0.2,sft=1", withBeta(c.Params.number("beta")))
		var r Result
		l.Compute(b, &r) // before its first step bco has no shift
		for i, w := range c.PerExample {
			compare(t, c.Name+" "+w.ID, r, i, want{loss: w.Loss, dChosen: w.DChosen, dRejected: w.DRejected}, 1e-12)
		}
	}
	if cases != 2 {
		t.Errorf("%d cases of mpo, want 2", cases)
	}
}

// TestMixState: parts remember what they remember alone, under their names, and go on from it to the same bits.
func TestMixState(t *testing.T) {
	const seed, text = 33, "beta_dpo=0.5,sft=1,bco=0.25"
	rng := rand.New(rand.NewPCG(seed, 0))
	batches := []Batch{some(rng, 6), some(rng, 5), some(rng, 6)}
	bco, betaDPO, whole, stopped := must(t, "bco", nil), must(t, "beta_dpo", nil), must(t, text, nil), must(t, text, nil)
	for k, b := range batches[:2] {
		for _, l := range []Loss{bco, betaDPO, whole, stopped} {
			stepOf(l, b, uint64(k))
		}
	}
	state := whole.(Stateful).State()
	if want := (State{"bco.mean": bco.(*BCO).mean, "bco.pairs": 11}); state["bco.mean"] != want["bco.mean"] || state["bco.pairs"] != 11 || len(state) != 6 ||
		state["beta_dpo.margin"] != betaDPO.(*BetaDPO).margin.value {
		t.Errorf("state %v, of its parts alone %v and %v", state, bco.(Stateful).State(), betaDPO.(Stateful).State())
	}
	resumed := must(t, text, nil)
	if err := resumed.(Stateful).SetState(state); err != nil {
		t.Fatal(err)
	}
	if a, b := stepOf(whole, batches[2], 7), stepOf(resumed, batches[2], 7); !equal(a, b) {
		t.Errorf("gone on %+v, whole %+v (seed %d)", b, a, seed)
	}
	var names []string
	for _, m := range whole.(Reporter).Metrics() {
		names = append(names, m.Name)
	}
	if want := []string{"beta_used", "M0", "delta"}; !slices.Equal(names, want) {
		t.Errorf("metrics %q, want %q", names, want)
	}
	// A state that is wrong is not taken in part.
	for _, change := range []func(State){
		func(s State) { delete(s, "bco.mean") }, func(s State) { s["bco.pairs"] = -1 }, func(s State) { s["sft.mean"] = 0 }, func(s State) { s["mean"] = 0 },
		func(s State) { s["bco.other"] = 0 }, func(s State) { s["beta_dpo.margin"] = math.NaN() },
	} {
		wrong := State{}
		for name, v := range state {
			wrong[name] = v + 1
		}
		change(wrong)
		if err := stopped.(Stateful).SetState(wrong); err == nil || !reflect.DeepEqual(stopped.(Stateful).State(), state) {
			t.Errorf("SetState(%v): %v, and the state is %v, was %v", wrong, err, stopped.(Stateful).State(), state)
		}
	}
}

// TestMixRewards: those of the first part with a reference, else of the first on pairs.
func TestMixRewards(t *testing.T) {
	b := pair(-6, -9, -8, -7, 2, 4)
	for _, tt := range []struct {
		text, as string
	}{{"sft=1,simpo=1,ipo=1,dpo=2", "ipo"}, {"sft=1,cpo=0.5,simpo=1", "cpo"}, {"dpo=0.5,bco=1", "dpo"}, {"sft=0.5", "sft"}} {
		settings := Settings{}
		if tt.as != "sft" {
			settings[tt.as+".beta"] = 0.25
		}
		l := must(t, tt.text, settings)
		one := must(t, tt.as, map[bool]Settings{true: withBeta(0.25)}[tt.as != "sft"])
		c, r := Rewards(l, &b, 0)
		wc, wr := Rewards(one, &b, 0)
		if c != wc || r != wr || l.Beta() != one.Beta() {
			t.Errorf("%s: rewards %v and %v with beta %v, those of %s are %v and %v with %v", tt.text, c, r, l.Beta(), tt.as, wc, wr, one.Beta())
		}
	}
	if err := CheckScores(must(t, "sft=1,odpo=1", nil), 1, 2); err == nil || err.Error() != CheckScores(must(t, "odpo", nil), 1, 2).Error() {
		t.Errorf("scores that odpo cannot work with: %v", err)
	}
	if err := CheckScores(must(t, "sft=1,odpo=1", nil), 2, 1); err != nil {
		t.Error(err)
	}
}

// TestMixSettings: what is given for all goes to every part that uses it, and what is given to one goes first.
func TestMixSettings(t *testing.T) {
	const text = "dpo=1,cdpo=1,simpo=1,sft=1"
	info, err := Of(text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := info.Settings(Settings{"beta": 0.3, "label_smoothing": 0.2, "simpo.beta": 2.5})
	want := Settings{"dpo.beta": 0.3, "cdpo.beta": 0.3, "cdpo.label_smoothing": 0.2, "simpo.beta": 2.5}
	simpo, _ := Describe("simpo")
	for _, h := range simpo.Hyperparameters {
		if h.Key != "beta" {
			want["simpo."+h.Key] = h.Default
		}
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if again, err := info.Settings(got); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("complete settings %v again: %v, %v", got, again, err)
	}
	if d := info.Defaults("beta"); !slices.Equal(d, []any{0.1, 2.0}) || info.Defaults("rpo_alpha") != nil {
		t.Errorf("defaults %v and %v", d, info.Defaults("rpo_alpha"))
	}
	for _, tt := range []struct {
		text     string
		settings Settings
		want     string
	}{
		{"dop=1,sft=1", nil, `loss: "dop": unknown loss; "dpotrain losses" lists them`},
		{"dpo=1,bco_pair=1", nil, `loss: "bco_pair": since TRL 0.29 this is BCO without the shift of its rewards, which is weaker; give bco, which has the shift`},
		{"dpo=1,kto=1", nil, "loss: kto works on single completions with labels, and sums are of losses on pairs; leave it out, or give it alone"},
		{"dpo=1,sigmoid=2", nil, "loss: dpo stands there twice; give it once, with the sum of the weights"},
		{"dpo=0", nil, "loss: weight 0 of dpo is out of range; want a finite number > 0"},
		{"dpo=-1,sft=1", nil, "loss: weight -1 of dpo is out of range; want a finite number > 0"},
		{"dpo=1e999,sft=1", nil, "loss: weight +Inf of dpo is out of range; want a finite number > 0"},
		{"dpo=nan,sft=1", nil, "loss: weight NaN of dpo is out of range; want a finite number > 0"},
		{"dpo=much,sft=1", nil, `loss: "dpo": weight "much"; want a number`},
		{"dpo=0x1p3", nil, `loss: "dpo": weight "0x1p3"; want a number`},
		{"dpo=1_0", nil, `loss: "dpo": weight "1_0"; want a number`},
		{"dpo=", nil, `loss: "dpo": weight ""; want a number`},
		{"dpo=1=2", nil, `loss: "dpo": weight "1=2"; want a number`},
		{"dpo=1,", nil, `loss: "dpo=1,": a loss without a name; want NAME=WEIGHT,NAME=WEIGHT`},
		{"=1", nil, `loss: "=1": a loss without a name; want NAME=WEIGHT,NAME=WEIGHT`},
		{text, Settings{"rpo_alpha": 1.0}, "rpo_alpha: loss dpo=1,cdpo=1,simpo=1,sft=1 does not use it; leave it out"},
		{text, Settings{"dpo.label_smoothing": 0.1}, "dpo.label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"},
		{text, Settings{"ipo.beta": 0.1}, "ipo.beta: loss dpo=1,cdpo=1,simpo=1,sft=1 has no part ipo; leave it out"},
		{text, Settings{"beta": 0.0}, "beta: 0 is out of range; want > 0"},
		{text, Settings{"simpo.beta": 0.0}, "simpo.beta: 0 is out of range; want > 0"},
		{"dpo=1,sft=1", Settings{"beta": 0.1, "dpo.beta": 0.2}, "beta: every loss of the sum that uses it has a value of its own in the list of losses; change it there, or leave this out"},
		{"ipo=1,sft=1", withBeta(1e-200), "ipo.beta: 1e-200 makes the first value of loss ipo infinite; its default is 0.1"},
		{"dpo=1e308,ipo=1e308", nil, "loss: the weights of dpo=1e+308,ipo=1e+308 make its first value infinite; give lower ones"},
		{"dpo=1,fdpo=1", Settings{"fdpo.fdpo_alpha": 0.7}, "fdpo.fdpo_alpha: 0.7 has no effect with fdpo_divergence: js_divergence; set that to alpha_divergence, or leave this out"},
		{"sft=2", withBeta(0.1), "beta: loss sft=2 does not use it; leave it out"},
	} {
		if l, err := New(tt.text, tt.settings); err == nil || err.Error() != tt.want || l != nil {
			t.Errorf("New(%q, %v): %v, error %v\nwant %s", tt.text, tt.settings, l, err, tt.want)
		}
	}
	for text, name := range map[string]string{"dpo": "dpo", "sigmoid=1": "dpo", "dpo=1.0": "dpo", "dpo,sft": "dpo=1,sft=1", " dpo = 0.80 , sft ": "dpo=0.8,sft=1", "dpo=.5": "dpo=0.5"} {
		info, err := Of(text)
		var again Info
		if err == nil {
			again, err = Of(info.Name)
		}
		if err != nil || info.Name != name || again.Name != name {
			t.Errorf("Of(%q): %s and %s, %v; want %s", text, info.Name, again.Name, err, name)
		}
	}
}

// FuzzOf: a text is a loss whose name is that loss again, or an error.
func FuzzOf(f *testing.F) {
	for _, text := range []string{"dpo", "dpo=0.8,bco=0.2,sft=1", "dpo=1", "sigmoid,ipo", "dpo=1e-300,sft=1e300", "=,", "dpo=inf", "dpo=1e308,ipo=1e308"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		info, err := Of(text)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("Of(%q): an error of two lines: %v", text, err)
			}
			return
		}
		if again, err := Of(info.Name); err != nil || again.Name != info.Name || len(again.Parts()) != len(info.Parts()) {
			t.Errorf("Of(%q) is %s, which is %s, %v", text, info.Name, again.Name, err)
		}
		if _, err := New(text, nil); err != nil && !strings.HasSuffix(err.Error(), "make its first value infinite; give lower ones") {
			t.Errorf("New(%q): %v", text, err)
		}
	})
}
