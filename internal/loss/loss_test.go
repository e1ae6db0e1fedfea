package loss

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pair builds a batch of one example.
func pair(pc, pr, rc, rr float64, nc, nr int) Batch {
	return Batch{ChosenLogps: []float64{pc}, RejectedLogps: []float64{pr}, RefChosenLogps: []float64{rc}, RefRejectedLogps: []float64{rr},
		ChosenTokens: []int{nc}, RejectedTokens: []int{nr}}
}

func ptr(x float64) *float64 { return &x }

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
//	ipo, beta 0.5: target 1, L = 0.5^2, dL/dpc = 2*0.5/2, dL/dpr = -2*0.5/4
//	ipo_sum, beta 0.5: L = 3^2, dL/dpc = 6 = -dL/dpr
//	sft: L = 6/2, dL/dpc = -1/2
func TestByHand(t *testing.T) {
	b := pair(-6, -9, -8, -7, 2, 4)
	for _, tt := range []struct {
		name                   string
		beta                   *float64
		loss, dChosen, dReject float64
	}{
		{"dpo", ptr(0.5), 0.126928011042973, -0.059601461011058, 0.059601461011058},
		{"ipo", ptr(0.5), 0.25, 0.5, -0.25},
		{"ipo_sum", ptr(0.5), 9, 6, -6},
		{"sft", nil, 3, -0.5, 0},
	} {
		var r Result
		must(t, tt.name, Settings{Beta: tt.beta}).Compute(b, &r)
		for what, v := range map[string][2]float64{"loss": {r.Losses[0], tt.loss}, "dL/dchosen": {r.DChosenLogps[0], tt.dChosen}, "dL/drejected": {r.DRejectedLogps[0], tt.dReject}} {
			if math.Abs(v[0]-v[1]) > 1e-12 {
				t.Errorf("%s: %s = %.15g, want %.15g", tt.name, what, v[0], v[1])
			}
		}
	}
}

// TestCentralDifferences checks the closed forms on random examples, and TestStepZero's cases among them.
func TestCentralDifferences(t *testing.T) {
	const h = 1e-4
	rng := rand.New(rand.NewPCG(1, 2))
	for _, name := range Names() {
		l := must(t, name, Settings{})
		for range 200 {
			nc, nr := 1+rng.IntN(50), 1+rng.IntN(50)
			b := pair(-100*rng.Float64(), -100*rng.Float64(), -100*rng.Float64(), -100*rng.Float64(), nc, nr)
			var r, up, down Result
			l.Compute(b, &r)
			for side, x := range map[string]*float64{"chosen": &b.ChosenLogps[0], "rejected": &b.RejectedLogps[0]} {
				got := r.DChosenLogps[0]
				if side == "rejected" {
					got = r.DRejectedLogps[0]
				}
				old := *x
				*x = old + h
				l.Compute(b, &up)
				*x = old - h
				l.Compute(b, &down)
				*x = old
				if want := (up.Losses[0] - down.Losses[0]) / (2 * h); math.Abs(got-want) > 1e-7*max(1, math.Abs(want)) {
					t.Fatalf("%s: dL/d%s = %.12g, central difference %.12g, at %+v", name, side, got, want, b)
				}
			}
		}
	}
}

func TestStepZero(t *testing.T) {
	b := pair(-12.5, -31, -12.5, -31, 5, 9)
	for name, want := range map[string]float64{"dpo": math.Ln2, "ipo": 25, "ipo_sum": 25} {
		var r Result
		l := must(t, name, Settings{Beta: ptr(0.1)})
		l.Compute(b, &r)
		closed, ok := l.StepZero()
		if !ok || math.Abs(closed-want) > 1e-12*want || math.Abs(r.Losses[0]-want) > 1e-12*want {
			t.Errorf("%s: loss %v, StepZero %v, %v; want %v", name, r.Losses[0], closed, ok, want)
		}
	}
}

// TestExtreme: log-ratios of thousands of nats must give finite numbers.
func TestExtreme(t *testing.T) {
	for _, name := range Names() {
		l := must(t, name, Settings{})
		for _, x := range []float64{-1e4, -2000, 0, 2000, 1e4} {
			var r Result
			l.Compute(pair(x, -x, 0, 0, 1, 3), &r)
			for _, v := range []float64{r.Losses[0], r.DChosenLogps[0], r.DRejectedLogps[0]} {
				if v-v != 0 {
					t.Errorf("%s at %v: %v", name, x, r)
				}
			}
		}
	}
	var r Result
	must(t, "dpo", Settings{Beta: ptr(1)}).Compute(pair(-1000, 1000, 0, 0, 1, 1), &r)
	if r.Losses[0] != 2000 || r.DChosenLogps[0] != -1 {
		t.Errorf("dpo at a margin of -2000: loss %v, dL/dchosen %v; want exactly 2000 and -1", r.Losses[0], r.DChosenLogps[0])
	}
}

func TestShiftInvariance(t *testing.T) {
	for _, name := range []string{"dpo", "ipo", "ipo_sum"} {
		var a, b Result
		l := must(t, name, Settings{})
		l.Compute(pair(-6, -9, -8, -7, 2, 4), &a)
		l.Compute(pair(-6-32, -9, -8-32, -7, 2, 4), &b)
		if a.Losses[0] != b.Losses[0] {
			t.Errorf("%s: a constant added to policy and reference changes the loss from %v to %v", name, a.Losses[0], b.Losses[0])
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, tt := range []struct {
		name string
		beta *float64
		want string
	}{
		{"dop", nil, "unknown loss"},
		{"DPO", nil, "did you mean dpo?"},
		{"ipo-sum", nil, "did you mean ipo_sum?"},
		{"dpo", ptr(0), "beta: 0 is out of range"},
		{"dpo", ptr(math.NaN()), "out of range"},
		{"dpo", ptr(math.Inf(1)), "out of range"},
		{"sft", ptr(0.1), "loss sft does not use it"},
	} {
		if _, err := New(tt.name, Settings{Beta: tt.beta}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("New(%q): error %v, want one with %q", tt.name, err, tt.want)
		}
	}
	if l := must(t, "sigmoid", Settings{}); l.Name() != "dpo" || l.Beta() != 0.1 {
		t.Errorf("sigmoid is %s with beta %v, want dpo with 0.1", l.Name(), l.Beta())
	}
}

// vectors are the cases of loss_vectors.json, computed with the losses' upstream implementations; see its schema.
type vectors struct {
	Inputs map[string]struct {
		Pairs []struct {
			PC float64 `json:"policy_chosen"`
			PR float64 `json:"policy_rejected"`
			RC float64 `json:"ref_chosen"`
			RR float64 `json:"ref_rejected"`
			NC int     `json:"chosen_tokens"`
			NR int     `json:"rejected_tokens"`
		} `json:"pairs"`
	} `json:"inputs"`
	Cases []struct {
		Name    string `json:"name"`
		LossKey string `json:"loss_key"`
		Inputs  string `json:"inputs"`
		Params  struct {
			Beta          *float64 `json:"beta"`
			Normalization string   `json:"normalization"`
		} `json:"params"`
		PerExample []struct {
			ID      string  `json:"id"`
			Loss    float64 `json:"loss"`
			DChosen float64 `json:"d_policy_chosen"`
			DReject float64 `json:"d_policy_rejected"`
		} `json:"per_example"`
	} `json:"cases"`
}

func TestVectors(t *testing.T) {
	dir := os.Getenv("DPOTRAIN_TESTDATA")
	if dir == "" {
		t.Skip("DPOTRAIN_TESTDATA is not set")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", dir)
	}
	text, err := os.ReadFile(filepath.Join(dir, "..", "loss_vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, c := range v.Cases {
		name := map[string]string{"dpo": "dpo", "ipo": "ipo", "ipo_sum": "ipo_sum", "sft": "sft"}[c.LossKey]
		if name == "" {
			continue
		}
		seen[name]++
		t.Run(strings.ReplaceAll(c.Name, "/", " "), func(t *testing.T) {
			var b Batch
			for _, p := range v.Inputs[c.Inputs].Pairs {
				b.ChosenLogps, b.RejectedLogps = append(b.ChosenLogps, p.PC), append(b.RejectedLogps, p.PR)
				b.RefChosenLogps, b.RefRejectedLogps = append(b.RefChosenLogps, p.RC), append(b.RefRejectedLogps, p.RR)
				b.ChosenTokens, b.RejectedTokens = append(b.ChosenTokens, p.NC), append(b.RejectedTokens, p.NR)
			}
			var r Result
			must(t, name, Settings{Beta: c.Params.Beta}).Compute(b, &r)
			for i, want := range c.PerExample {
				for what, x := range map[string][2]float64{"loss": {r.Losses[i], want.Loss}, "d_policy_chosen": {r.DChosenLogps[i], want.DChosen}, "d_policy_rejected": {r.DRejectedLogps[i], want.DReject}} {
					if math.Abs(x[0]-x[1]) > 1e-12*max(1, math.Abs(x[1])) {
						t.Errorf("%s: %s = %.16g, want %.16g", want.ID, what, x[0], x[1])
					}
				}
			}
		})
	}
	for _, name := range Names() {
		if seen[name] == 0 {
			t.Errorf("no case for %s", name)
		}
	}
}
