// Package doctor says what is wrong with preference data before a model is tuned on it.
//
// Check is given a reader of rows (the tokenizer and chat template of a model; no weight) and data sets to train on and to evaluate with, and gives back a Report:
// what became of the rows, how long they are, and findings. A finding is an entry of the catalogue (catalogue.go) with the rows that
// show it: what it is, why it matters, and the setting or edit that cures it. Errors are findings about rows that no run can use.
//
// Rows are read once and none is kept: repeated ones are told by hashes, 16 bytes and a place each, percentiles are taken of counts of lengths.
//
// To add a finding: an entry in the catalogue, where it is found (row.go for one row, texts.go for a text alone, doctor.go for a whole file), a row in the
// table of doctor_test.go with data that show it and data that do not, and a section of docs/data-doctor.md.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"dpotrain/internal/data"
	"dpotrain/internal/eval"
	"dpotrain/internal/report"
	"dpotrain/internal/tokenizer"
)

// Options say what is checked.
type Options struct {
	Model          string        // folder, for the report
	Data, EvalData []data.Source // EvalData may be none
	Datasets       bool          // Data are those of the key datasets
	Form           data.Form
	Rows           data.Options
	Progress       func(path string) (progress func(done, total int64), end func()) // nil: none
}

// name is that of data sets, for people.
func name(sources []data.Source) string {
	var names []string
	for _, s := range sources {
		names = append(names, s.String())
	}
	return strings.Join(names, ", ")
}

// SourceError is that of a source that cannot be read to its end.
type SourceError struct {
	Key, Path string // data or eval_data, and what was given for it
	Err       error
}

func (e *SourceError) Error() string { return e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// Check reads both, the held-out data first. What is wrong with rows is in the report.
func Check(ctx context.Context, r *data.Reader, o Options) (*Report, error) {
	report := &Report{Version: reportVersion, Model: o.Model, MaxLength: o.Rows.MaxLength, TruncationMode: o.Rows.TruncationMode, Usable: true}
	var heldOut map[key]struct{}
	for _, of := range []struct {
		key     string
		sources []data.Source
	}{{"eval_data", o.EvalData}, {"data", o.Data}} {
		if len(of.sources) == 0 {
			continue
		}
		e := newExaminer(r, o.Rows, heldOut)
		for i, s := range of.sources {
			if o.Datasets && of.key == "data" {
				e.dataset = i + 1
			}
			if err := e.read(ctx, s, o); err != nil {
				return nil, &SourceError{of.key, s.Path, err}
			}
		}
		file := e.report(of.key, name(of.sources))
		report.Usable = report.Usable && file.usable()
		report.Files = slices.Insert(report.Files, 0, file)
		heldOut = e.prompts
	}
	return report, nil
}

// examiner takes in the rows of data sets.
type examiner struct {
	reader          *data.Reader
	options         data.Options
	dataset         int              // that is read, of the key datasets, from 1; else 0
	heldOut         map[key]struct{} // prompts of the evaluation data
	specials        specials
	eos             tokenizer.Special
	hasEOS          bool
	user, assistant string // headers of the chat template

	total, kept, filtered int
	forms                 map[string]int
	labels                [3]int
	compared              int                          // kept pairs and ranked rows
	lengths               map[string]*report.Histogram // in tokens, by what is measured
	cut                   int                          // sequences longer than max_length
	longer                tally3
	prompts               map[key]struct{}
	seen                  map[key]seen
	files                 []source
	found                 map[string]*Finding
}

// tally3 counts pairs by which side is longer.
type tally3 struct{ chosen, rejected, neither int }

func newExaminer(r *data.Reader, o data.Options, heldOut map[key]struct{}) *examiner {
	e := &examiner{reader: r, options: o, heldOut: heldOut, specials: newSpecials(r.Specials()),
		forms: map[string]int{}, lengths: map[string]*report.Histogram{}, prompts: map[key]struct{}{}, seen: map[key]seen{}, found: map[string]*Finding{}}
	e.eos, e.hasEOS = r.EOS()
	e.user, e.assistant = r.Headers()
	return e
}

func (e *examiner) read(ctx context.Context, s data.Source, o Options) error {
	take := func(row *data.Inspected) error { e.row(row); return ctx.Err() }
	if o.Progress == nil {
		return e.reader.Inspect(s, o.Form, o.Rows, nil, take)
	}
	progress, end := o.Progress(s.Path)
	defer end()
	return e.reader.Inspect(s, o.Form, o.Rows, progress, take)
}

// find notes that a row shows a finding. Of the first such row the evidence is kept.
func (e *examiner) find(id string, row *data.Inspected, evidence string) {
	f := e.note(id)
	f.Rows++
	if f.Rows == 1 {
		f.Evidence = evidence
	}
	if len(f.Places) < placesKept {
		f.Places = append(f.Places, Place{File: row.File, Line: row.Line, ByRow: row.ByRow, Row: row.Place, Dataset: e.dataset})
	}
}

// note is the finding with an id, which need not be of rows.
func (e *examiner) note(id string) *Finding {
	f := e.found[id]
	if f == nil {
		k := kindOf(id)
		f = &Finding{ID: id, Severity: k.severity, What: k.what, Why: k.why, Cure: k.cure}
		e.found[id] = f
	}
	return f
}

// measure counts a length.
func (e *examiner) measure(what string, tokens int) {
	if e.lengths[what] == nil {
		e.lengths[what] = &report.Histogram{}
	}
	e.lengths[what].Add(tokens)
}

// report sums up, and finds what only all rows together show.
func (e *examiner) report(key, path string) *File {
	f := &File{Key: key, Path: path, Rows: e.total, Kept: e.kept, Filtered: e.filtered, Forms: e.forms, Prompts: len(e.prompts), Tokens: map[string]Lengths{}}
	for what, h := range e.lengths {
		f.Tokens[what] = lengthsOf(h)
	}
	if whole := e.lengths["sequence"]; whole != nil {
		n, q := whole.Count(), whole.Quantiles(0.95, 0.99)
		f.Cuts = &Cuts{Sequences: n, Longer: e.cut, For5Percent: q[0], For1Percent: q[1]}
		if e.cut > 0 {
			cut := e.note("truncated")
			cut.Evidence = fmt.Sprintf("%d of %d sequences have more than %d tokens; max_length: %d would cut at most 5 %%, %d at most 1 %%", e.cut, n, e.options.MaxLength, q[0], q[1])
			if 20*e.cut > n {
				cut.Severity = Warning
			}
		}
	}
	e.sayLonger(f)
	e.sayLabels(f)
	if e.total == 0 {
		e.note("no-rows")
	}
	for _, found := range e.found {
		f.Findings = append(f.Findings, *found)
	}
	slices.SortFunc(f.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(rank(a.Severity), rank(b.Severity)), cmp.Compare(order(a.ID), order(b.ID)))
	})
	return f
}

// sayLonger says how well length alone tells the chosen side.
func (e *examiner) sayLonger(f *File) {
	told := e.longer.chosen + e.longer.rejected
	if told == 0 {
		return
	}
	low, high := eval.Wilson(e.longer.chosen, told)
	f.Longer = &Longer{Pairs: told + e.longer.neither, Chosen: e.longer.chosen, Rejected: e.longer.rejected, Equal: e.longer.neither,
		Share: float64(e.longer.chosen) / float64(told), Low: low, High: high}
	const far = 0.1 // from one half, with the whole interval
	side, share := "longer", f.Longer.Share
	if share < 0.5 {
		side, share, low, high = "shorter", 1-share, 1-high, 1-low
	}
	if low > 0.5+far {
		e.note("length-tells").Evidence = fmt.Sprintf("the %s side is chosen in %.0f %% of the %d pairs whose sides have different lengths (95 %% interval %.0f to %.0f %%)", side, 100*share, told, 100*low, 100*high)
	}
}

// sayLabels says how many rows there are to learn and to unlearn.
func (e *examiner) sayLabels(f *File) {
	good, bad := e.labels[data.Desirable], e.labels[data.Undesirable]
	if good+bad == 0 {
		return
	}
	f.Labels = &Labels{good, bad}
	evidence := fmt.Sprintf("%d desirable, %d undesirable", good, bad)
	if e.compared > 0 { // whoever learns from labels takes them apart
		evidence += fmt.Sprintf(", and %d of each from pairs and ranked rows", e.compared)
	}
	switch few := min(good, bad) + e.compared; {
	case few == 0:
		e.note("one-label").Evidence = evidence
	case 4*few < max(good, bad)+e.compared:
		e.note("label-balance").Evidence = evidence
	}
}

// lengthsOf sums up.
func lengthsOf(h *report.Histogram) Lengths {
	q := h.Quantiles(0, 0.5, 0.9, 0.95, 0.99, 1)
	return Lengths{Count: h.Count(), Mean: h.Mean(), Min: q[0], P50: q[1], P90: q[2], P95: q[3], P99: q[4], Max: q[5]}
}
