package model_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
)

type golden struct {
	Pairs []struct {
		Prompt        []int32   `json:"prompt_ids"`
		Chosen        []int32   `json:"chosen_ids"`
		Rejected      []int32   `json:"rejected_ids"`
		ChosenLogps   []float64 `json:"chosen_token_logps"`
		RejectedLogps []float64 `json:"rejected_token_logps"`
	} `json:"pairs"`
	DPO struct {
		Loss  float64                 `json:"loss"`
		Grads map[string]goldenTensor `json:"grads"`
	} `json:"dpo"`
}

type goldenTensor struct {
	L2     float64   `json:"l2"`
	First4 []float64 `json:"first4"`
	Last4  []float64 `json:"last4"`
}

func pack(g golden) *compute.Batch {
	b := &compute.Batch{}
	add := func(ids []int32, first int) (from, to int) {
		from = b.Rows()
		for i, id := range ids {
			b.Tokens = append(b.Tokens, id)
			b.Positions = append(b.Positions, int32(first+i))
		}
		return from, b.Rows()
	}
	for i, p := range g.Pairs {
		p0, p1 := add(p.Prompt, 0)
		b.Segments = append(b.Segments, compute.Segment{Start: p0, End: p1})
		b.Targets = append(b.Targets, compute.Target{Row: p1 - 1, Token: p.Chosen[0], Sequence: 2 * i}, compute.Target{Row: p1 - 1, Token: p.Rejected[0], Sequence: 2*i + 1})
		for side, ids := range [][]int32{p.Chosen, p.Rejected} {
			from, to := add(ids[:len(ids)-1], len(p.Prompt))
			b.Segments = append(b.Segments, compute.Segment{Start: from, End: to, PrefixStart: p0, PrefixEnd: p1})
			for j, id := range ids[1:] {
				b.Targets = append(b.Targets, compute.Target{Row: from + j, Token: id, Sequence: 2*i + side})
			}
		}
		b.Sequences += 2
	}
	return b
}

func TestTmp(t *testing.T) {
	for _, name := range []string{"llama_tied", "llama3_scaled_bias_untied", "llama3_scaled_bias_untied_old", "gpt2_tied"} {
		for _, ref := range []bool{true, false} {
			dir := filepath.Join(os.Getenv("DPOTRAIN_TESTDATA"), "models-random", name)
			var g golden
			text, err := os.ReadFile(filepath.Join(dir, "expected.json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &g); err != nil {
				t.Fatal(err)
			}
			var dev compute.Device = cpu.Reference[float64]{}
			if !ref {
				dev, _ = cpu.New(compute.Options{Threads: 2})
			}
			m, err := model.Load(dir, dev)
			if err != nil {
				t.Fatal(err)
			}
			fw, err := m.NewGraph(model.GraphOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := pack(g)
			out, err := fw.Forward(b)
			if err != nil {
				t.Fatal(err)
			}
			worst := 0.0
			k := make([]int, b.Sequences)
			for i, tg := range b.Targets {
				p := g.Pairs[tg.Sequence/2]
				want := p.ChosenLogps
				if tg.Sequence%2 == 1 {
					want = p.RejectedLogps
				}
				worst = max(worst, math.Abs(out.TokenLogps[i]-want[k[tg.Sequence]]))
				k[tg.Sequence]++
			}
			refs := append([]float64(nil), out.Logps...)
			// policy = weights * 1.02
			for _, p := range m.Params {
				v := m.Values(m.W, p)
				for i := range v {
					v[i] *= 1.02
				}
				m.SetValues(m.W, p, v)
			}
			tr, err := m.NewGraph(model.GraphOptions{Training: true})
			if err != nil {
				t.Fatal(err)
			}
			tout, err := tr.ForwardBackward(b, func(l []float64) (float64, []float64, error) {
				n := len(l) / 2
				d := make([]float64, len(l))
				sum := 0.0
				for i := range n {
					u := 0.1 * ((l[2*i] - refs[2*i]) - (l[2*i+1] - refs[2*i+1]))
					sum += math.Log1p(math.Exp(-u))
					c := 0.1 / (1 + math.Exp(u)) / float64(n)
					d[2*i], d[2*i+1] = -c, c
				}
				return sum / float64(n), d, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			wl2, went := 0.0, 0.0
			for _, p := range m.Params {
				v := m.Values(m.G, p)
				w := g.DPO.Grads[p.Name]
				s := 0.0
				for _, x := range v {
					s += float64(x) * float64(x)
				}
				wl2 = max(wl2, math.Abs(math.Sqrt(s)-w.L2)/w.L2)
				for i := range 4 {
					went = max(went, math.Abs(float64(v[i])-w.First4[i])/w.L2, math.Abs(float64(v[len(v)-4+i])-w.Last4[i])/w.L2)
				}
			}
			t.Logf("%s %s: token logp %.2g, loss %.9g want %.9g, grad l2 %.2g, entries %.2g, nodes %d", name, dev.Family(), worst, tout.Loss, g.DPO.Loss, wl2, went, tr.Nodes())
		}
	}
}
