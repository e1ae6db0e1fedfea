package data

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Numbers are what a row says in numbers of itself and its completions. What was not wanted is 0.
type Numbers struct {
	ChosenScore, RejectedScore float64 // columns chosen_score and rejected_score; of a row with margin alone that and 0; of a ranked row from its scores
	ChosenWins, RejectedWins   float64 // columns p_win and p_win_rejected, which is 1 - p_win where it is not given; of a ranked row from its order; in [0,1]
	Weight                     float64 // column weight; at least 0, and 1 where it is not given

	RefChosenLogps, RefRejectedLogps float64 // columns ref_chosen_logps and ref_rejected_logps: of the reference, in nats, summed
}

// Wanted says what is read of every row besides its texts and its weight. A row without it is a bad row.
type Wanted struct {
	Scores, Wins bool
	SFT          bool                                 // of a pair: column sft_target, where it is there, to be imitated
	SFTPlain     bool                                 // likewise, else the chosen completion once more, for its sum without weights
	SFTPrompt    bool                                 // likewise, either with its prompt
	RefLogps     bool                                 // log-probs of the reference
	Mismatched   bool                                 // of an unpaired row: its prompt with the completion of another
	Unpaired     string                               // the losses that take unpaired rows, for messages
	By           string                               // who wants them, for messages: loss odpo
	CheckScores  func(chosen, rejected float64) error // why By cannot work with a row's scores; nil: it can with all
}

// numberColumns are those that Numbers are read from.
var numberColumns = []string{"chosen_score", "rejected_score", "margin", "p_win", "p_win_rejected", "weight", "ref_chosen_logps", "ref_rejected_logps"}

// numbers reads what is wanted of a row; nil if that is nothing, and the weight is 1.
func (w *Wanted) numbers(r row) (*Numbers, error) {
	var n Numbers
	var err error
	if n.Weight, err = r.weight(); err != nil {
		return nil, err
	}
	if w.Scores {
		if err := w.scores(r, &n); err != nil {
			return nil, err
		}
	}
	if w.Wins {
		if err := w.wins(r, &n); err != nil {
			return nil, err
		}
	}
	if w.RefLogps {
		if err := w.refLogps(r, &n); err != nil {
			return nil, err
		}
	}
	if !w.Scores && !w.Wins && !w.RefLogps && n.Weight == 1 {
		return nil, nil
	}
	return &n, nil
}

// weight reads the column of that name.
func (r row) weight() (float64, error) {
	if !r.hasNumber("weight") {
		return 1, nil
	}
	w, err := r.number("weight")
	if err == nil && w < 0 {
		err = fmt.Errorf("weight: %v; want a number of at least 0", w)
	}
	return w, err
}

func (w *Wanted) scores(r row, n *Numbers) (err error) {
	const all = "chosen_score and rejected_score, or margin"
	if both := r.hasNumber("chosen_score") && r.hasNumber("rejected_score"); !both && r.hasNumber("margin") {
		n.ChosenScore, err = r.number("margin")
	} else if n.ChosenScore, err = w.need(r, "chosen_score", all); err == nil {
		n.RejectedScore, err = w.need(r, "rejected_score", all)
	}
	if err == nil && w.CheckScores != nil {
		err = w.CheckScores(n.ChosenScore, n.RejectedScore)
	}
	return err
}

func (w *Wanted) wins(r row, n *Numbers) (err error) {
	if n.ChosenWins, err = w.need(r, "p_win", "p_win"); err == nil {
		err = checkProbability("p_win", n.ChosenWins)
	}
	n.RejectedWins = 1 - n.ChosenWins
	if err == nil && r.hasNumber("p_win_rejected") {
		if n.RejectedWins, err = r.number("p_win_rejected"); err == nil {
			err = checkProbability("p_win_rejected", n.RejectedWins)
		}
	}
	return err
}

func (w *Wanted) refLogps(r row, n *Numbers) error {
	w = &Wanted{By: "trust_ref_logps"}
	for _, c := range []struct {
		name string
		to   *float64
	}{{"ref_chosen_logps", &n.RefChosenLogps}, {"ref_rejected_logps", &n.RefRejectedLogps}} {
		v, err := w.need(r, c.name, "ref_chosen_logps and ref_rejected_logps")
		if err != nil {
			return err
		}
		if v > 0 {
			return fmt.Errorf("%s: %v; want a log-prob in nats, summed over the completion, of at most 0", r.naming.called(c.name), v)
		}
		*c.to = v
	}
	return nil
}

func checkProbability(name string, p float64) error {
	if p < 0 || p > 1 {
		return fmt.Errorf("%s: %v; want a probability, from 0 to 1", name, p)
	}
	return nil
}

// need is a number that has to be there; all says what By needs.
func (w *Wanted) need(r row, name, all string) (float64, error) {
	if r.hasNumber(name) {
		return r.number(name)
	}
	return 0, fmt.Errorf("%s; %s needs %s", r.absent(name), w.By, all)
}

// hasNumber says that a column is there and not null, whatever it holds.
func (r row) hasNumber(name string) bool { _, ok := r.numbers[name]; return ok }

// number reads a column that is there.
func (r row) number(name string) (float64, error) {
	v, err := parseNumber(r.numbers[name])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", r.naming.called(name), err)
	}
	return v, nil
}

func parseNumber(raw json.RawMessage) (float64, error) {
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, fmt.Errorf("%s; want a number", short(string(raw)))
	}
	v, err := strconv.ParseFloat(string(raw), 64) // which takes all that JSON calls a number
	if err != nil {
		return 0, fmt.Errorf("%s is out of range; want a finite number", short(string(raw)))
	}
	return v, nil
}
