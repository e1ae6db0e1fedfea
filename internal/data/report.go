package data

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"dpotrain/internal/rows"
)

// dropReason is why a row is not kept.
type dropReason int

const (
	kept dropReason = iota
	dropIdentical
	dropIdenticalTruncated
	dropEmptyChosen
	dropEmptyRejected
	dropTruncatedAway
	dropUnranked
	dropFiltered
	dropReasons
)

// dropTexts say each reason in words, and where to look.
var dropTexts = [dropReasons]struct{ what, lookAt string }{
	dropIdentical:          {"chosen and rejected are the same", "the data"},
	dropIdenticalTruncated: {"chosen and rejected are the same after truncation", "max_length and truncation_mode"},
	dropEmptyChosen:        {"the completion to learn is empty", "the data"},
	dropEmptyRejected:      {"the completion to unlearn is empty", "the data"},
	dropTruncatedAway:      {"nothing of a completion is left after truncation", "max_length and truncation_mode"},
	dropUnranked:           {"no two completions are left that differ in text and in rank", "the columns completions and scores, and max_length"},
	dropFiltered:           {"the filter does not take the row", "the filter"},
}

// placesShown is how many rows a report names for each thing it counts.
const placesShown = 5

// file is where rows stand.
type file struct {
	path  string
	byRow bool // rows are counted, for the file has no lines
}

// place is a row of a file.
type place struct {
	file
	number int
}

func (p place) String() string { return rows.Place(p.path, p.number, p.byRow) }

// tally counts rows and remembers the first.
type tally struct {
	n     int
	first []place
}

func (t *tally) add(at place) {
	t.n++
	if len(t.first) < placesShown {
		t.first = append(t.first, at)
	}
}

// count is the number of rows, with the first.
func (r *Report) count(t *tally) string { return fmt.Sprintf("%d (%s)", t.n, r.where(t)) }

// where names the first rows: by number, or where there are several files by those too.
func (r *Report) where(t *tally) string {
	var s []string
	for _, p := range t.first {
		if r.files > 1 {
			s = append(s, p.String())
		} else {
			s = append(s, fmt.Sprint(p.number))
		}
	}
	text := strings.Join(s, ", ")
	if t.n > len(t.first) {
		text += " ..."
	}
	if r.files > 1 {
		return text
	}
	word := "line"
	if t.first[0].byRow {
		word = "row"
	}
	if t.n > 1 {
		word += "s"
	}
	return word + " " + text
}

// Report says what became of the rows of a data set.
type Report struct {
	Name      string // of the data set
	Taken     int    // examples that are in the mix
	Rows      int    // that are not blank
	Kept      int    // examples
	Truncated [2]int // sequences of examples that were cut: chosen or only ones, rejected
	Longest   int    // tokens of the longest sequence, before truncation
	Apart     int    // pairs that became two unpaired rows each
	Labels    [3]int // examples of each Label
	Lists     int    // examples with more than two completions
	Dated     bool   // the chat template asked for the time
	NoEOS     bool   // the tokenizer has no end-of-text token, so none was appended to texts

	dropped   [dropReasons]tally
	across    tally             // rows in which a token across the border is scored
	other     tally             // rows in which the prompt alone has other tokens, and none is across
	unwanted  tally             // rows whose label is false, read without it
	ignored   map[string]*tally // rows with a variable for the chat template that changes nothing, by name
	unread    tally             // rows whose sft_target nothing imitates
	untrusted tally             // rows with the reference's log-probs, which are not read
	twoBOS    tally             // rows whose text begins with BOS, besides the tokenizer's
	weighted  tally             // examples whose weight is not 1
	weights   float64           // the sum of all weights
	ranked    rankedReport
	skipped   tally
	firstBad  error // of the first row of skipped
	maxLength int
	files     int
	table     bool // the last of them is a table of texts
}

// ignore counts a row whose variable of that name changes nothing.
func (r *Report) ignore(name string, at place) {
	if r.ignored == nil {
		r.ignored = map[string]*tally{}
	}
	if r.ignored[name] == nil {
		r.ignored[name] = &tally{}
	}
	r.ignored[name].add(at)
}

// keep counts an example.
func (r *Report) keep(e *Example) {
	r.weights += e.Weight()
	r.Labels[e.Label]++
	if n := len(e.Own()); n > 2 {
		r.Lists++
		r.ranked.longest = max(r.ranked.longest, n)
	}
	r.Kept++
}

// check is an error if no example is left.
func (r *Report) check() error {
	switch {
	case r.Rows == 0 && r.table:
		return fmt.Errorf("%s: no rows; want a header, and rows below it", r.Name)
	case r.Rows == 0:
		return fmt.Errorf("%s: no rows; want one JSON object a line", r.Name)
	case r.Kept == 0:
		return fmt.Errorf("%s: no row is left: %s; look at %s", r.Name, strings.Join(r.leftOut(), "; "), r.lookAt())
	}
	return nil
}

// Dropped is the number of rows that were left out though they could be read.
func (r *Report) Dropped() int {
	n := 0
	for _, t := range r.dropped {
		n += t.n
	}
	return n
}

// Skipped is the number of bad rows that on_bad_row: skip left out.
func (r *Report) Skipped() int { return r.skipped.n }

// leftOut says why rows are not among the examples.
func (r *Report) leftOut() []string {
	var s []string
	for why, t := range r.dropped {
		if t.n > 0 {
			s = append(s, fmt.Sprintf("dropped because %s: %s", dropTexts[why].what, r.count(&t)))
		}
	}
	if r.skipped.n > 0 {
		s = append(s, fmt.Sprintf("bad rows skipped: %s, the first because of: %v", r.count(&r.skipped), r.firstBad))
	}
	return s
}

// lookAt is where to look for what leaves most rows out.
func (r *Report) lookAt() string {
	most := kept
	for why := range r.dropped {
		if r.dropped[why].n > r.dropped[most].n {
			most = dropReason(why)
		}
	}
	if r.dropped[most].n > r.skipped.n {
		return dropTexts[most].lookAt
	}
	return "the bad rows"
}

// Lines say in plain words what is worth knowing.
func (r *Report) Lines() []string {
	s := r.leftOut()
	if n := r.Truncated[0] + r.Truncated[1]; n > 0 {
		s = append(s, fmt.Sprintf("truncated to max_length %d: %d chosen, %d rejected; the longest sequence has %d tokens", r.maxLength, r.Truncated[0], r.Truncated[1], r.Longest))
	}
	if r.across.n > 0 {
		s = append(s, fmt.Sprintf("prompt and completion share a token, which is scored: %s", r.count(&r.across)))
	}
	if r.other.n > 0 {
		s = append(s, fmt.Sprintf("the prompt alone, as the tuned model will be given it, has other tokens than before its completion: %s", r.count(&r.other)))
	}
	s = append(s, r.rankedLines()...)
	if r.Taken < r.Kept {
		s = append(s, fmt.Sprintf("%d of %d examples are taken, by weight or fraction", r.Taken, r.Kept))
	}
	if r.Apart > 0 {
		s = append(s, fmt.Sprintf("%d pairs taken apart: a desirable and an undesirable row of each", r.Apart))
	}
	if good, bad := r.Labels[Desirable], r.Labels[Undesirable]; good+bad > 0 {
		s = append(s, fmt.Sprintf("unpaired rows: %d desirable, %d undesirable", good, bad))
	}
	if r.untrusted.n > 0 {
		s = append(s, fmt.Sprintf("ref_chosen_logps is not read, for the reference is computed here (trust_ref_logps: true takes the columns): %s", r.count(&r.untrusted)))
	}
	if r.weighted.n > 0 {
		s = append(s, fmt.Sprintf("weight is not 1: %s; the mean of all is %.4g", r.count(&r.weighted), r.weights/float64(r.Kept)))
	}
	return s
}

// Warnings are what is legal and probably a mistake.
func (r *Report) Warnings() []string {
	var s []string
	if n := r.Dropped() + r.Skipped() - r.dropped[dropFiltered].n; 5*n > r.Rows {
		s = append(s, fmt.Sprintf("%d of %d rows (%d %%) are left out; look at %s", n, r.Rows, 100*n/r.Rows, r.lookAt()))
	}
	if r.Kept > 0 && r.weights == 0 {
		s = append(s, "every weight is 0, and nothing can be learnt; look at the column weight")
	}
	if good, bad := r.Labels[Desirable], r.Labels[Undesirable]; good+bad > 0 && good*bad == 0 {
		word := "undesirable"
		if good == 0 {
			word = "desirable"
		}
		s = append(s, fmt.Sprintf("no row is %s, and there is nothing to tell apart; look at the column label", word))
	}
	if r.unwanted.n > 0 {
		s = append(s, fmt.Sprintf("label is false, and the completion is learnt all the same: %s; take such rows out, or take a loss for unpaired rows", r.count(&r.unwanted)))
	}
	for _, name := range slices.Sorted(maps.Keys(r.ignored)) {
		s = append(s, fmt.Sprintf("%s is for a chat template, and changes nothing where that does not speak of it or the row is text: %s", name, r.count(r.ignored[name])))
	}
	if r.Dated {
		s = append(s, "the chat template writes today's date: tomorrow the rows have other tokens, and their reference log-probs are computed again; if it takes date_string, fix it with chat_template_kwargs")
	}
	if r.unread.n > 0 {
		s = append(s, fmt.Sprintf("sft_target is not read: %s; losses on pairs with supervised fine-tuning in them read it, and any with sft_weight", r.count(&r.unread)))
	}
	if r.twoBOS.n > 0 {
		s = append(s, fmt.Sprintf("the text begins with the tokenizer's begin-of-text token, and the tokenizer puts another in front: %s; take it out of the text", r.count(&r.twoBOS)))
	}
	if r.NoEOS {
		s = append(s, "the tokenizer has no end-of-text token: completions end without one, and the model does not learn to stop")
	}
	return s
}
