package eval

import "testing"

// TestDraws: what is drawn for a pair's weights is another for every seed, epoch and pair, and the same whenever it is drawn again; in evaluations
// it is of the pair alone, and never what training draws.
func TestDraws(t *testing.T) {
	type draw struct{ seed, epoch, pair int }
	drawn := map[uint64]draw{}
	for seed := range 3 {
		for epoch := range 3 {
			for pair := range 100 {
				d := draw{seed, epoch, pair}
				v := TrainingDraw(int64(seed), epoch, pair).Uint64()
				if was, there := drawn[v]; there {
					t.Errorf("%+v draws what %+v draws", d, was)
				}
				if again := TrainingDraw(int64(seed), epoch, pair).Uint64(); again != v {
					t.Errorf("%+v: %d and then %d", d, v, again)
				}
				drawn[v] = d
			}
		}
	}
	for pair := range 100 {
		d := draw{-1, -1, pair}
		v := evaluationDraw(pair).Uint64()
		if was, there := drawn[v]; there || evaluationDraw(pair).Uint64() != v {
			t.Errorf("evaluation of pair %d draws what %+v draws, or another the second time", pair, was)
		}
		drawn[v] = d
	}
}
