package generate

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
	"dpotrain/internal/compute/cpu"
	"dpotrain/internal/model"
	"dpotrain/internal/testfiles"
)

// graphOf opens a tiny model of testdata with random weights, and a forward-only graph of it.
func graphOf(t *testing.T, name string) (*model.Model, *model.Graph) {
	t.Helper()
	dev, err := cpu.New(compute.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dev.Close)
	m, err := model.Load(testfiles.Path(t, "models", name), dev)
	if err != nil {
		t.Fatal(err)
	}
	g, err := m.NewGraph(model.GraphOptions{Rows: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.Close() })
	return m, g
}

// likeliest scores every id of the vocabulary as the next one and returns the best.
func likeliest(t *testing.T, m *model.Model, g *model.Graph, ids []int32) int32 {
	t.Helper()
	b := compute.Batch{Tokens: ids, Segments: []compute.Segment{{End: len(ids)}}, Sequences: 1}
	for i := range ids {
		b.Positions = append(b.Positions, int32(i))
	}
	for id := range m.Config.Spec.Vocab {
		b.Targets = append(b.Targets, compute.Target{Row: len(ids) - 1, Token: int32(id)})
	}
	out, err := g.Forward(&b)
	if err != nil {
		t.Fatal(err)
	}
	return int32(slices.Index(out.TokenLogps, slices.Max(out.TokenLogps)))
}

var prompts = [][]int32{{1}, {1, 17, 250, 3}, {1, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51}}

// TestGreedy: each id is the likeliest of all, whatever is answered together.
func TestGreedy(t *testing.T) {
	for _, name := range []string{"llama", "gpt2"} {
		t.Run(name, func(t *testing.T) {
			m, g := graphOf(t, name)
			const length = 12
			answers, err := Greedy(context.Background(), g, prompts, Options{MaxNewTokens: length, Rows: 1000})
			if err != nil {
				t.Fatal(err)
			}
			for i, a := range answers {
				if len(a.IDs) != length || a.Stopped {
					t.Fatalf("prompt %d: %d ids, stopped %v; want %d and false", i, len(a.IDs), a.Stopped, length)
				}
				ids := slices.Clone(prompts[i])
				for k, id := range a.IDs {
					if want := likeliest(t, m, g, ids); id != want {
						t.Fatalf("prompt %d, answer %v: id %d is %d, want %d", i, a.IDs, k, id, want)
					}
					ids = append(ids, id)
				}
			}
			alone, err := Greedy(context.Background(), g, prompts, Options{MaxNewTokens: length, Rows: 1})
			if err != nil || !reflect.DeepEqual(alone, answers) {
				t.Errorf("one by one %v, %v; want %v as together", alone, err, answers)
			}
		})
	}
}

// TestEnd: an answer ends before a stop id, at MaxNewTokens or at MaxLength, each on its own.
func TestEnd(t *testing.T) {
	_, g := graphOf(t, "llama")
	ask := func(o Options) []Answer {
		t.Helper()
		o.Rows = 1000
		answers, err := Greedy(context.Background(), g, prompts, o)
		if err != nil {
			t.Fatal(err)
		}
		return answers
	}
	long := ask(Options{MaxNewTokens: 12})
	stop := []int32{long[0].IDs[5], long[1].IDs[3]}
	for i, a := range ask(Options{MaxNewTokens: 12, Stop: stop}) {
		want := Answer{IDs: long[i].IDs}
		if n := slices.IndexFunc(want.IDs, func(id int32) bool { return slices.Contains(stop, id) }); n >= 0 {
			want = Answer{want.IDs[:n], true}
		}
		if !slices.Equal(a.IDs, want.IDs) || a.Stopped != want.Stopped {
			t.Errorf("prompt %d, stop %v: %v; want %v", i, stop, a, want)
		}
	}
	// Prompts of 1, 4 and 13 ids.
	for i, a := range ask(Options{MaxNewTokens: 12, MaxLength: 10}) {
		if want := long[i].IDs[:[]int{9, 6, 0}[i]]; !slices.Equal(a.IDs, want) || a.Stopped {
			t.Errorf("prompt %d, MaxLength 10: %v; want %v", i, a, want)
		}
	}
	for i, a := range ask(Options{}) {
		if len(a.IDs) != 0 || a.Stopped {
			t.Errorf("prompt %d, no new tokens: %v", i, a)
		}
	}
}

func TestGreedyErrors(t *testing.T) {
	_, g := graphOf(t, "gpt2")
	_, err := Greedy(context.Background(), g, [][]int32{{1, 70000}}, Options{MaxNewTokens: 3, Rows: 100})
	if err == nil || !strings.Contains(err.Error(), "token id 70000 is outside") {
		t.Errorf("an id beyond the vocabulary: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Greedy(ctx, g, prompts, Options{MaxNewTokens: 3, Rows: 100}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
