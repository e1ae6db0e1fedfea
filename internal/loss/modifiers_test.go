package loss

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// aligned is a batch with alignments of its first pair.
func aligned(b Batch, chosen, rejected float64) Batch {
	b.ChosenAlignments, b.RejectedAlignments = []float64{chosen}, []float64{rejected}
	return b
}

// TestWPOByHand: the pair of TestByHand, whose loss with beta 0.5 is 0.126928. Alignments of -2 over 2 tokens and of 2 over 4 make the weight
// e^(-1+0.5) = 0.606531; of 2 over 2 and -2 over 4 they make e^0.5, which is held to 1.
func TestWPOByHand(t *testing.T) {
	on := Settings{"beta": 0.5, "wpo": true}
	check(t, aligned(pair(-6, -9, -8, -7, 2, 4), -2, 2), []want{{"dpo", on, 0.0769857302739065, -0.0361501134668743, 0.0361501134668743}})
	check(t, aligned(pair(-6, -9, -8, -7, 2, 4), 2, -2), []want{{"dpo", on, 0.126928011042973, -0.059601461011058, 0.059601461011058}})
}

// TestSFTWeightByHand: the same pair; 0.3 times 6/2 is 0.9, and 0.3/2 is 0.15.
func TestSFTWeightByHand(t *testing.T) {
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{
		{"dpo", Settings{"beta": 0.5, "sft_weight": 0.3}, 1.026928011042973, -0.209601461011058, 0.059601461011058},
		{"hinge", Settings{"beta": 0.5, "sft_weight": 0.3}, 0.9, -0.15, 0},
		{"slic", Settings{"sft_weight": 0.3}, 0.9, -0.15, 0}, // its own
	})
	// Weights of pairs are not of what is added.
	check(t, aligned(pair(-6, -9, -8, -7, 2, 4), -2, 2), []want{{"dpo", Settings{"beta": 0.5, "wpo": true, "sft_weight": 0.3}, 0.976985730273907, -0.186150113466874, 0.0361501134668743}})
	// Of unpaired rows those to learn have it: kto at h 2 and beta 0.5 is s(-1) and s(1), and its slope 0.5 s(1) s(-1).
	check(t, pair(-6, 0, -8, 0, 2, 4), []want{{"kto", Settings{"beta": 0.5, "sft_weight": 0.3}, 0.268941421369995 + 0.9, -0.0983059666207409 - 0.15, 0}})
	check(t, pair(-6, 0, -8, 0, 3, 4), []want{{"kto", Settings{"beta": 0.5, "sft_weight": 0.3}, 0.731058578630005, 0.0983059666207409, 0}})
}

// TestSFTWeightIsASum: with sft_weight a loss is its sum with sft, to the bit, whatever the weights of the pairs.
func TestSFTWeightIsASum(t *testing.T) {
	const seed = 31
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 200 {
		pairs := join(randomPair(rng), randomPair(rng), randomPair(rng))
		weight := rng.Float64() * 3
		pairs.Weights = []float64{rng.Float64() * 2, 1, 0}
		for _, info := range Catalogue() {
			if !info.Needs.Rejected || info.Name == "slic" { // whose sft_weight is its own
				continue
			}
			var sum, one Result
			run := func(l Loss, r *Result) {
				if s, ok := l.(Stateful); ok {
					s.Step(pairs, rand.New(rand.NewPCG(seed, 2)), r)
				} else {
					l.Compute(pairs, r)
				}
				Weigh(l, &pairs, r)
			}
			run(must(t, fmt.Sprintf("%s=1,sft=%v", info.Name, weight), nil), &sum)
			run(must(t, info.Name, Settings{"sft_weight": weight}), &one)
			if !equal(sum, one) {
				t.Fatalf("%s with sft_weight %v: %+v, as a sum %+v (seed %d)", info.Name, weight, one, sum, seed)
			}
		}
	}
}

// TestModified: a loss with modifiers keeps its name, rewards and state, and has no constant first value if they add something that is none.
func TestModified(t *testing.T) {
	b := aligned(pair(-6, -9, -8, -7, 2, 4), -1, -1)
	for _, name := range append(Names(), "dpo=0.8,bco=0.2") {
		info, err := Of(name)
		if err != nil {
			t.Fatal(err)
		}
		plain := must(t, name, nil)
		for _, m := range info.Modifiers() {
			v := any(0.5)
			if m.Default == false {
				v = true
			}
			l := must(t, name, Settings{m.Key: v})
			gotC, gotR := Rewards(l, &b, 0)
			wantC, wantR := Rewards(plain, &b, 0)
			if l.Name() != plain.Name() || l.Beta() != plain.Beta() || gotC != wantC || gotR != wantR {
				t.Errorf("%s with %s: %s, beta %v, rewards %v and %v; want beta %v, %v and %v", name, m.Key, l.Name(), l.Beta(), gotC, gotR, plain.Beta(), wantC, wantR)
			}
			if _, ok := l.StepZero(); ok {
				t.Errorf("%s with %s has a constant first value", name, m.Key)
			}
			s, stateful := l.(Stateful)
			if _, want := plain.(Stateful); stateful != want {
				t.Errorf("%s with %s remembers: %v, want %v", name, m.Key, stateful, want)
			} else if stateful {
				var r Result
				draw := func() *rand.Rand { return rand.New(rand.NewPCG(1, 1)) }
				s.Step(b, draw(), &r)
				other := must(t, name, nil).(Stateful)
				other.Step(b, draw(), &r)
				if got, want := fmt.Sprint(s.State()), fmt.Sprint(other.State()); got != want || s.SetState(other.State()) != nil {
					t.Errorf("%s with %s: state %s, want %s", name, m.Key, got, want)
				}
			}
			_, both := Both(l)
			if _, want := Both(plain); both != want {
				t.Errorf("%s with %s takes pairs and unpaired rows: %v, want %v", name, m.Key, both, want)
			}
			if got, want := fmt.Sprint(CheckScores(l, 1, 1)), fmt.Sprint(CheckScores(plain, 1, 1)); got != want {
				t.Errorf("%s with %s: equal scores: %s, want %s", name, m.Key, got, want)
			}
			if _, ok := must(t, name, Settings{m.Key: m.Neutral}).(interface{ finish(*Batch, *Result) }); ok {
				t.Errorf("%s with %s %v is modified", name, m.Key, m.Neutral)
			}
		}
	}
	if _, ok := must(t, "cpo_simpo", Settings{"sft_weight": 0.5}).StepZero(); ok {
		t.Error("cpo_simpo has a first value")
	}
}

// TestModifierErrors: what does not go together says why.
func TestModifierErrors(t *testing.T) {
	for _, tt := range []struct {
		loss string
		set  Settings
		want string
	}{
		{"aot", Settings{"wpo": true}, "wpo: loss aot couples the pairs of a step, and weights are of each by itself; leave it out"},
		{"dpo=1,bco=1", Settings{"wpo": true}, "wpo: loss dpo=1,bco=1 couples the pairs of a step, and weights are of each by itself; leave it out"},
		{"kto", Settings{"wpo": true}, "wpo: loss kto is of single completions, and this is of pairs; leave it out"},
		{"sft", Settings{"wpo": true}, "wpo: loss sft is of single completions, and this is of pairs; leave it out"},
		{"sft", Settings{"sft_weight": 0.1}, "sft_weight: loss sft has supervised fine-tuning with a weight of its own; leave it out"},
		{"dpo=1,sft=1", Settings{"sft_weight": 0.1}, "sft_weight: loss dpo=1,sft=1 has supervised fine-tuning with a weight of its own; leave it out"},
		{"dpo", Settings{"sft_weight": -0.1}, "sft_weight: -0.1 is out of range; want >= 0"},
		{"dpo", Settings{"sft_weight": math.Inf(1)}, "sft_weight: +Inf is out of range; want >= 0"},
		{"dpo", Settings{"wpo": 1.0}, "wpo: 1; want a bool"},
		{"dpo=1,ipo=1", Settings{"dpo.wpo": true}, "dpo.wpo: it is of the whole sum; give it beside the list of losses"},
	} {
		if l, err := New(tt.loss, tt.set); err == nil || err.Error() != tt.want {
			t.Errorf("New(%q, %v): %v, error %v\nwant %s", tt.loss, tt.set, l, err, tt.want)
		}
	}
}

// TestModifierVectors runs the cases of loss_vectors.json for modifiers. Those that TRL has without a bound of the weight are not ours: a pair of very likely tokens
// would count many times.
func TestModifierVectors(t *testing.T) {
	text, err := os.ReadFile(vectorsFile(t))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range v.Cases {
		if c.LossKey != "wpo" || c.Params["clamp"] != true {
			continue
		}
		seen++
		t.Run(strings.ReplaceAll(c.Name, "/", " "), func(t *testing.T) {
			l := must(t, "dpo", Settings{"beta": c.Params["beta"], "wpo": true})
			for i, p := range v.Inputs[c.Inputs].Pairs {
				var r Result
				l.Compute(aligned(pair(p.PC, p.PR, p.RC, p.RR, p.NC, p.NR), p.PC-p.DC, p.PR-p.DR), &r)
				w := c.PerExample[i]
				compare(t, w.ID, r, 0, want{loss: w.Loss, dChosen: w.DChosen, dRejected: w.DRejected}, 1e-12)
			}
		})
	}
	if seen == 0 {
		t.Error("no case")
	}
}

// TestModifiersGo: what help texts say of modifiers is what they take.
func TestModifiersGo(t *testing.T) {
	takes := map[string][]string{}
	for _, info := range Catalogue() {
		for _, m := range info.Modifiers() {
			takes[m.Key] = append(takes[m.Key], info.Name)
		}
	}
	without := func(names ...string) []string {
		return slices.DeleteFunc(Names(), func(n string) bool { return slices.Contains(names, n) })
	}
	for key, want := range map[string][]string{
		"wpo":        without("plackett_luce", "bco", "kto", "apo_zero_unpaired", "aot", "aot_unpaired", "beta_dpo", "sft"),
		"sft_weight": without("sft", "slic"),
	} {
		if !slices.Equal(takes[key], want) {
			t.Errorf("%s goes with %q, want %q", key, takes[key], want)
		}
	}
}
