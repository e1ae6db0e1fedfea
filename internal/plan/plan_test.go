package plan

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestCut(t *testing.T) {
	for _, c := range []struct {
		name   string
		rows   []int
		budget int
		want   []Range
	}{
		{"nothing", nil, 10, nil},
		{"one", []int{5}, 10, []Range{{0, 1}}},
		{"all fit", []int{3, 3, 4}, 10, []Range{{0, 3}}},
		{"one row too many", []int{3, 3, 5}, 10, []Range{{0, 2}, {2, 3}}},
		{"one each", []int{6, 6, 6}, 10, []Range{{0, 1}, {1, 2}, {2, 3}}},
		{"too long at first", []int{11, 2, 2}, 10, []Range{{0, 1}, {1, 3}}},
		{"too long in the middle", []int{2, 11, 2}, 10, []Range{{0, 1}, {1, 2}, {2, 3}}},
		{"too long at last", []int{2, 2, 11}, 10, []Range{{0, 2}, {2, 3}}},
		{"order decides, nothing is moved to fill up", []int{6, 5, 4, 5}, 10, []Range{{0, 1}, {1, 3}, {3, 4}}},
		{"a budget below every example", []int{2, 3}, 1, []Range{{0, 1}, {1, 2}}},
	} {
		if got := Cut(c.rows, c.budget); !slices.Equal(got, c.want) {
			t.Errorf("%s: Cut(%v, %d) = %v, want %v", c.name, c.rows, c.budget, got, c.want)
		}
	}
}

// TestCutHolds draws rows and budgets: the cut covers all examples in order, keeps to the budget unless an example alone
// exceeds it, is as coarse as that allows, and is the same every time.
func TestCutHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 2000 {
		rows := make([]int, r.IntN(12))
		for i := range rows {
			rows[i] = 1 + r.IntN(9)
		}
		budget := 1 + r.IntN(20)
		cut := Cut(slices.Clone(rows), budget)
		at := 0
		for i, c := range cut {
			sum := 0
			for _, n := range rows[c.From:c.To] {
				sum += n
			}
			switch {
			case c.From != at || c.To <= c.From:
				t.Fatalf("round %d: Cut(%v, %d) = %v: part %d does not follow", round, rows, budget, cut, i)
			case sum > budget && c.To-c.From > 1:
				t.Fatalf("round %d: Cut(%v, %d) = %v: part %d has %d rows", round, rows, budget, cut, i, sum)
			case c.To < len(rows) && sum+rows[c.To] <= budget:
				t.Fatalf("round %d: Cut(%v, %d) = %v: part %d leaves room for the next", round, rows, budget, cut, i)
			}
			at = c.To
		}
		if at != len(rows) {
			t.Fatalf("round %d: Cut(%v, %d) = %v: ends at %d", round, rows, budget, cut, at)
		}
		if again := Cut(rows, budget); !slices.Equal(again, cut) {
			t.Fatalf("round %d: Cut(%v, %d) = %v, the second time %v", round, rows, budget, cut, again)
		}
	}
}

// TestLargest draws sizes and budgets: what Largest says is the largest of the micro-batches that Cut makes.
func TestLargest(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for round := range 2000 {
		sizes, rows := make([]Size, r.IntN(12)), []int(nil)
		for i := range sizes {
			sizes[i] = Size{1 + r.IntN(9), 1 + r.IntN(5), 1 + r.IntN(7)}
			rows = append(rows, sizes[i].Rows)
		}
		budget := 1 + r.IntN(20)
		var want Size
		for _, c := range Cut(rows, budget) {
			var sum Size
			for _, s := range sizes[c.From:c.To] {
				sum.Rows += s.Rows
				sum.Scored += s.Scored
				sum.Length = max(sum.Length, s.Length)
			}
			want = want.Max(sum)
		}
		if got := Largest(slices.Values(sizes), budget); got != want {
			t.Fatalf("round %d: Largest(%v, %d) = %v, want %v", round, sizes, budget, got, want)
		}
	}
}

func TestPeak(t *testing.T) {
	a := Phase{"a", []Part{{"x", 3, ""}, {"y", 4, ""}}}
	b := Phase{"b", []Part{{"x", 8, ""}}}
	for _, phases := range [][]Phase{{a, b}, {b, a}, {b, {"c", []Part{{"x", 8, ""}}}}} {
		if got := Peak(phases); got.Name != "b" || got.Total() != 8 {
			t.Errorf("%v: peak %v", phases, got)
		}
	}
	if got := Peak(nil); got.Total() != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
