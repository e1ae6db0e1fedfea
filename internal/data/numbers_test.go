package data

import (
	"errors"
	"strings"
	"testing"
	"unsafe"
)

// TestNumbers reads rows with columns of numbers, for losses that want them and one that does not.
func TestNumbers(t *testing.T) {
	nothing, scores, wins := Wanted{By: "loss dpo"}, Wanted{Scores: true, By: "loss rebel"}, Wanted{Wins: true, By: "loss sppo"}
	above := Wanted{Scores: true, By: "loss odpo", CheckScores: func(chosen, rejected float64) error {
		if chosen > rejected {
			return nil
		}
		return errors.New("not above")
	}}
	refs := Wanted{RefLogps: true, By: "loss dpo"}
	const others = " (there are prompt, chosen, rejected)"
	for _, c := range []struct {
		wanted  Wanted
		columns string
		want    Numbers // all zero: none
		err     string
	}{
		// What nobody wants is left alone, whatever it is.
		{nothing, ``, Numbers{}, ""},
		{nothing, `,"chosen_score":"A","margin":[],"p_win":7`, Numbers{}, ""},
		{scores, `,"margin":1,"p_win":7`, Numbers{ChosenScore: 1, Weight: 1}, ""},
		{wins, `,"margin":"A","p_win":1`, Numbers{ChosenWins: 1, Weight: 1}, ""},

		// Weights, for everyone.
		{nothing, `,"weight":1`, Numbers{}, ""},
		{nothing, `,"weight":1.0e0`, Numbers{}, ""},
		{nothing, `,"weight":null`, Numbers{}, ""},
		{nothing, `,"weight":0,"margin":null`, Numbers{}, ""}, // the weight is 0 and all else, too
		{nothing, `,"weight":2.5`, Numbers{Weight: 2.5}, ""},
		{nothing, `,"weight":-0.5`, Numbers{}, "weight: -0.5; want a number of at least 0"},
		{nothing, `,"weight":"2"`, Numbers{}, `weight: "2"; want a number`},
		{nothing, `,"weight":true`, Numbers{}, "weight: true; want a number"},
		{nothing, `,"weight":{"a":1}`, Numbers{}, `weight: {"a":1}; want a number`},
		{nothing, `,"weight":1e999`, Numbers{}, "weight: 1e999 is out of range; want a finite number"},
		{nothing, `,"weight":2,"weight":2`, Numbers{}, "weight: stands twice in the row; leave one out"},

		// The reference's log-probs.
		{refs, `,"ref_chosen_logps":-12.5,"ref_rejected_logps":0`, Numbers{Weight: 1, RefChosenLogps: -12.5}, ""},
		{refs, `,"reference_chosen_logps":-1,"reference_rejected_logps":-2,"weight":3`, Numbers{Weight: 3, RefChosenLogps: -1, RefRejectedLogps: -2}, ""},
		{nothing, `,"ref_chosen_logps":"A","ref_rejected_logps":1`, Numbers{}, ""},
		{refs, `,"ref_chosen_logps":-1`, Numbers{}, "ref_rejected_logps: missing (there are prompt, chosen, rejected, ref_chosen_logps); trust_ref_logps needs ref_chosen_logps and ref_rejected_logps"},
		{refs, `,"ref_chosen_logps":-1,"ref_rejected_logps":1e-9`, Numbers{}, "ref_rejected_logps: 1e-09; want a log-prob in nats, summed over the completion, of at most 0"},
		{refs, `,"ref_chosen_logps":-1,"ref_rejected_logps":"NaN"`, Numbers{}, `ref_rejected_logps: "NaN"; want a number`},

		// Scores, or their difference.
		{scores, `,"chosen_score":7.5,"rejected_score":-3`, Numbers{ChosenScore: 7.5, RejectedScore: -3, Weight: 1}, ""},
		{scores, `,"rejected_score":3,"chosen_score":3,"weight":0.5`, Numbers{ChosenScore: 3, RejectedScore: 3, Weight: 0.5}, ""},
		{scores, `,"chosen_score":1e2,"rejected_score":3,"margin":9`, Numbers{ChosenScore: 100, RejectedScore: 3, Weight: 1}, ""},
		{scores, `,"margin":-0.25`, Numbers{ChosenScore: -0.25, Weight: 1}, ""},
		{scores, `,"margin":2,"chosen_score":null,"rejected_score":null`, Numbers{ChosenScore: 2, Weight: 1}, ""},
		{scores, `,"margin":2,"chosen_score":5`, Numbers{ChosenScore: 2, Weight: 1}, ""},
		{scores, ``, Numbers{}, "chosen_score: missing" + others + "; loss rebel needs chosen_score and rejected_score, or margin"},
		{scores, `,"rejected_score":3`, Numbers{}, "chosen_score: missing (there are prompt, chosen, rejected, rejected_score); loss rebel needs chosen_score and rejected_score, or margin"},
		{scores, `,"chosen_score":3`, Numbers{}, "rejected_score: missing (there are prompt, chosen, rejected, chosen_score); loss rebel needs chosen_score and rejected_score, or margin"},
		{scores, `,"chosen_score":3,"rejected_score":null`, Numbers{}, "rejected_score: null; loss rebel needs chosen_score and rejected_score, or margin"},
		{scores, `,"chosen_score":"high","rejected_score":3`, Numbers{}, `chosen_score: "high"; want a number`},
		{scores, `,"chosen_score":4,"rejected_score":[3]`, Numbers{}, "rejected_score: [3]; want a number"},
		{scores, `,"margin":"NaN"`, Numbers{}, `margin: "NaN"; want a number`},
		{scores, `,"margin":-1e400`, Numbers{}, "margin: -1e400 is out of range; want a finite number"},
		{above, `,"chosen_score":4,"rejected_score":3`, Numbers{ChosenScore: 4, RejectedScore: 3, Weight: 1}, ""},
		{above, `,"chosen_score":3,"rejected_score":3`, Numbers{}, "not above"},
		{above, `,"margin":-1`, Numbers{}, "not above"},

		// Win rates.
		{wins, `,"p_win":0.9,"p_win_rejected":0.15`, Numbers{ChosenWins: 0.9, RejectedWins: 0.15, Weight: 1}, ""},
		{wins, `,"p_win":0.75`, Numbers{ChosenWins: 0.75, RejectedWins: 0.25, Weight: 1}, ""},
		{wins, `,"p_win":0.75,"p_win_rejected":null`, Numbers{ChosenWins: 0.75, RejectedWins: 0.25, Weight: 1}, ""},
		{wins, `,"p_win":0,"p_win_rejected":1`, Numbers{RejectedWins: 1, Weight: 1}, ""},
		{wins, ``, Numbers{}, "p_win: missing" + others + "; loss sppo needs p_win"},
		{wins, `,"p_win":null`, Numbers{}, "p_win: null; loss sppo needs p_win"},
		{wins, `,"p_win":1.5`, Numbers{}, "p_win: 1.5; want a probability, from 0 to 1"},
		{wins, `,"p_win":90`, Numbers{}, "p_win: 90; want a probability, from 0 to 1"},
		{wins, `,"p_win":0.5,"p_win_rejected":-0.1`, Numbers{}, "p_win_rejected: -0.1; want a probability, from 0 to 1"},
		{wins, `,"p_win":0.5,"p_win_rejected":"0.1"`, Numbers{}, `p_win_rejected: "0.1"; want a number`},
	} {
		m := maker{encoder: whole, form: Pairs, wanted: c.wanted}
		out, err := m.make([]byte(`{"prompt":"p","chosen":"c","rejected":"r"`+c.columns+`}`), lineReader)
		got := Numbers{}
		if out.example.Numbers != nil {
			got = *out.example.Numbers
		}
		if text(err) != c.err || err == nil && got != c.want {
			t.Errorf("%s for %s: %+v, error %s\nwant %+v, error %s", c.columns, c.wanted.By, got, text(err), c.want, c.err)
		}
	}

	// A row that is left out is not asked for its numbers.
	m := maker{encoder: whole, form: Pairs, wanted: scores}
	if out, err := m.make([]byte(`{"prompt":"p","chosen":"c","rejected":"c","weight":"x"}`), lineReader); err != nil || out.drop != dropIdentical {
		t.Errorf("the same on both sides, without scores: dropped for %v, error %v", out.drop, err)
	}
	m = maker{encoder: whole, form: Completions}
	if out, err := m.make([]byte(`{"prompt":"p","completion":"c","weight":3}`), lineReader); err != nil || out.example.Weight() != 3 {
		t.Errorf("a completion: weight %v, error %v, want 3", out.example.Weight(), err)
	}
}

// TestNumbersOfFile: weights are told in the report, bad numbers are bad rows, and what numbers take is counted.
func TestNumbersOfFile(t *testing.T) {
	row := func(columns string) string { return `{"prompt":"p","chosen":"c","rejected":"r"` + columns + "}\n" }
	path := write(t, row("")+row(`,"weight":0`)+row(`,"weight":1`)+row(`,"weight":4.5`)+`{"prompt":"p","chosen":"c","rejected":"c","weight":9}`)
	set, err := loadPairs(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(set.Reports[0].Lines(), "\n"), "dropped because chosen and rejected are the same: 1 (line 5)\nweight is not 1: 2 (lines 2, 4); the mean of all is 1.625"; got != want {
		t.Errorf("report\n%s\nwant\n%s", got, want)
	}
	if w := set.Reports[0].Warnings(); len(w) != 0 {
		t.Errorf("warnings %q", w)
	}
	for i, want := range []float64{1, 0, 1, 4.5} {
		if e := set.Examples.At(i); e.Weight() != want || (e.Numbers == nil) != (want == 1) {
			t.Errorf("line %d: weight %v, numbers %v, want %v", e.Line, e.Weight(), e.Numbers, want)
		}
	}
	plain, err := loadPairs(write(t, strings.Repeat(row(""), 4)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if more := set.Examples.Bytes() - plain.Examples.Bytes(); more != 2*int64(unsafe.Sizeof(Numbers{})) {
		t.Errorf("two rows with numbers take %d bytes more than none, want %d", more, 2*unsafe.Sizeof(Numbers{}))
	}

	set, err = loadPairs(write(t, row(`,"weight":0`)+row(`,"weight":0`)), Options{})
	if err != nil || len(set.Reports[0].Warnings()) != 1 || !strings.Contains(set.Reports[0].Warnings()[0], "every weight is 0") {
		t.Errorf("no weight: error %v, warnings %q", err, set.Reports[0].Warnings())
	}

	path = write(t, row(`,"margin":1`)+row("")+row(`,"margin":"x"`)+row(""))
	read := func(o Options) (*Set, error) {
		m := &maker{ctx: t.Context(), encoder: whole, options: o, form: Pairs, wanted: Wanted{Scores: true, By: "loss rebel"}}
		return m.loadOne(path, nil)
	}
	_, err = read(Options{OnBadRow: "error"})
	if want := "PATH:2: chosen_score: missing (there are prompt, chosen, rejected); loss rebel needs chosen_score and rejected_score, or margin (line 4 too)\n" +
		"PATH:3: margin: \"x\"; want a number; on_bad_row: skip leaves such rows out"; strings.ReplaceAll(text(err), path, "PATH") != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
	set, err = read(Options{OnBadRow: "skip"})
	if err != nil || set.Len() != 1 || set.Reports[0].Skipped() != 3 {
		t.Errorf("skipped: %d examples, error %v", set.Len(), err)
	}
}
