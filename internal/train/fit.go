package train

import (
	"fmt"

	"dpotrain/internal/data"
	"dpotrain/internal/model"
	"dpotrain/internal/report"
)

// loadModel reads the weights in a folder and checks that the model can compute all examples, so that no run ends over it
// in its middle.
func (in *Inputs) loadModel(req Request, dir string) (*model.Model, error) {
	m, err := model.Load(dir, in.Device)
	if err != nil {
		return nil, err
	}
	var far overlong
	for _, set := range in.files() {
		for _, e := range data.All(set.Examples) {
			if err := far.add(e, dir, &m.Config.Spec); err != nil {
				return nil, err
			}
		}
	}
	if far.n > 0 {
		s := &m.Config.Spec
		if s.Rope == nil {
			return nil, fmt.Errorf("%s: a sequence of %d tokens, and %s has learned positions for %d; set max_length to %d or less (%s of %s sequences are longer)",
				far.first, far.firstLength, dir, s.Positions, s.Positions, report.Count(int64(far.n)), report.Count(int64(far.all)))
		}
		// Policy and reference mostly say the same, once for both.
		if text := fmt.Sprintf("%s of %s sequences are longer than the model's max_position_embeddings of %d, the first at %s, the longest with %d tokens; "+
			"a model is unreliable there; set max_length to %d", report.Count(int64(far.n)), report.Count(int64(far.all)), s.Positions, far.first, far.longest, s.Positions); text != in.warned {
			in.warned = text
			req.Log.Warn(text)
		}
	}
	return m, nil
}

// overlong counts the sequences that have more positions than a model. The last id of a sequence takes none: nothing is
// predicted from it.
type overlong struct {
	n, all      int
	first       string // file and line
	firstLength int    // tokens
	longest     int    // tokens
}

// add takes an example in. An id that is not the model's is an error.
func (o *overlong) add(e *data.Example, dir string, s *model.Spec) error {
	for _, q := range e.Sequences {
		o.all++
		if n := len(q.IDs); n-1 > s.Positions {
			if o.n == 0 {
				o.first, o.firstLength = e.Place(), n
			}
			o.n++
			o.longest = max(o.longest, n)
		}
		for _, id := range q.IDs {
			if id < 0 || int(id) >= s.Vocab {
				return fmt.Errorf("%s: token id %d, and %s has a vocabulary of %d; the tokenizer belongs to another model", e.Place(), id, dir, s.Vocab)
			}
		}
	}
	return nil
}
