package data

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// This file has what unpaired rows have besides: a label, and for some losses a completion that answers another prompt.

// Label says whether the completion of an unpaired row is one to learn or one to unlearn.
type Label int8

// Labels. Other examples have none.
const (
	Unlabelled Label = iota
	Desirable
	Undesirable
)

// Own are the sequences that the row itself holds: not the mismatched one that may stand behind that of an unpaired row.
func (e *Example) Own() []Sequence {
	if e.Label != Unlabelled {
		return e.Sequences[:1]
	}
	return e.Sequences
}

// apart makes of a pair a desirable and an undesirable row.
func (e Example) apart() [2]Example {
	good, bad := e, e
	good.Sequences, good.Label = slices.Clip(e.Sequences[:1]), Desirable
	bad.Sequences, bad.Label = slices.Clone(e.Sequences[1:]), Undesirable
	return [2]Example{good, bad}
}

// readLabel reads the column of that name.
func (r row) readLabel(wanted *Wanted) (Label, error) {
	switch string(r.label) {
	case "true":
		return Desirable, nil
	case "false":
		return Undesirable, nil
	case "":
		return Unlabelled, fmt.Errorf("%s; a row with completion needs it for %s: true for one to learn, false for one to unlearn", r.absent("label"), wanted.by())
	}
	return Unlabelled, fmt.Errorf("%s: %s; want true or false", r.naming.called("label"), short(string(r.label)))
}

// by is who reads the rows, for messages.
func (w *Wanted) by() string { return cmp.Or(w.By, "the loss") }

// unpaired is the error of an unpaired row where pairs are wanted.
func (w *Wanted) unpaired() error {
	take := ""
	if w.Unpaired != "" {
		take = "; losses that take such rows: " + w.Unpaired
	}
	return fmt.Errorf("a completion with a label, and %s takes pairs: prompt, chosen and rejected%s", w.by(), take)
}

// form is what a row is by its columns.
func (r row) form() Form {
	switch {
	case r.isUnpaired():
		return Labelled
	case r.has("chosen") && r.has("rejected"):
		return Pairs
	case r.isRanked(Completions):
		return Lists
	}
	return Completions
}

// isUnpaired says that a row has a completion with a label.
func (r row) isUnpaired() bool { return r.has("completion") && r.label != nil }

// errOnePrompt is that of a set whose completions all answer the same prompt.
var errOnePrompt = errors.New("all rows have the same prompt, and none has a completion of another prompt to be compared with")

// mismatched are unpaired rows with their prompts' mismatched completions.
type mismatched struct {
	Examples
	others  []ordinal // whose completion each has
	options Options
}

func (m *mismatched) At(i int) *Example {
	e := *m.Examples.At(i)
	own, other := e.Sequences[0], m.Examples.At(int(m.others[i])).Sequences[0]
	s := m.options.truncate(Sequence{IDs: slices.Concat(own.IDs[:own.First], other.IDs[other.First:]), First: own.First})
	e.Sequences = []Sequence{own, s}
	return &e
}

func (m *mismatched) Bytes() int64 {
	return m.Examples.Bytes() + int64(unsafe.Sizeof(ordinal(0)))*int64(len(m.others))
}

// mismatch puts behind the sequence of every unpaired row its prompt with the completion of another. In a run of rows with the same prompt, in
// the order of the file, that other is as far on as the run is long, so that pairs taken apart meet the next pair's, chosen for chosen; where
// it has the same prompt again, it is the next after it that has another. The last rows meet the first ones. This depends on the file and on nothing
// else: the reference's log-probs can be computed before training, and a run that goes on has the same rows.
func mismatch(x Examples, o Options) (Examples, error) {
	n := x.Len()
	prompt := func(i int) []int32 {
		own := x.At(i % n).Sequences[0]
		return own.IDs[:own.First]
	}
	next := make([]ordinal, n) // with another prompt
	other := -1
	for i, after := 2*n-1, prompt(0); i >= 0; i-- {
		this := prompt(i)
		switch {
		case !slices.Equal(this, after):
			other = (i + 1) % n
		case other < 0 && i < n:
			return nil, errOnePrompt
		}
		if i < n {
			next[i] = ordinal(other)
		}
		after = this
	}
	others := make([]ordinal, n)
	for from, to := 0, 0; from < n; from = to {
		for to = from + 1; to < n && slices.Equal(prompt(from), prompt(to)); to++ {
		}
		for i := from; i < to; i++ {
			j := ordinal((i + to - from) % n)
			if slices.Equal(prompt(i), prompt(int(j))) {
				j = next[j]
			}
			others[i] = j
		}
	}
	return &mismatched{x, others, o}, nil
}

// Unpaired says that the first row of a data set is an unpaired one: it has a completion with a label. What cannot be read is none; Load says why.
func Unpaired(s Source) bool {
	r, ok := firstRow(s)
	return ok && r.isUnpaired()
}
