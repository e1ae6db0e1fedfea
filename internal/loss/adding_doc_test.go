package loss

import (
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestAddingALoss: docs/adding-a-loss.md shows adding_test.go, and the loss there is one like all others once it has its row.
func TestAddingALoss(t *testing.T) {
	doc, err := os.ReadFile("../../docs/adding-a-loss.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("adding_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(doc, -1)
	if len(blocks) != 1 || string(blocks[0][1]) != string(source) {
		t.Error("the Go code of docs/adding-a-loss.md is not adding_test.go")
	}
	defer func(was []Info) { catalogue = was }(catalogue)
	catalogue = append(slices.Clone(catalogue), truncatedQuadraticInfo)
	const name = "truncated_quadratic"
	const seed = 21
	l, rng, blunt := must(t, name, nil), rand.New(rand.NewPCG(seed, 0)), 0
	for range 100 {
		if !checkSlopes(t, l, randomInput(rng), &blunt) {
			t.Fatalf("(seed %d)", seed)
		}
	}
	check(t, pair(-6, -9, -8, -7, 2, 4), []want{{name, withBeta(0.2), 0.2 * 0.2, -0.08, 0.08}}) // h is 4
	if r := stepOf(l, pair(-6, -9, -6, -9, 2, 4), 0); r.Losses[0] != 1 {
		t.Errorf("the loss at the start is %v, want StepZero", r.Losses[0])
	}
	if _, err := New("truncated_quadratic=0.5,sft", Settings{"truncated_quadratic.beta": 1.0}); err != nil {
		t.Errorf("in a sum: %v", err)
	}
	if !strings.Contains(string(doc), "\n        L = max(0, 1 - beta h)^2\n") {
		t.Error("docs/adding-a-loss.md does not show the section for docs/losses.md")
	}
}
