package data

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/zeebo/xxh3"

	"dpotrain/internal/rows"
)

// Source is a data set: where its rows are, how they are read, and what is taken of them.
type Source struct {
	Path     string            // a file, a folder or a pattern, see package rows
	Split    string            // of a folder whose files are named after splits
	Columns  map[string]string // by our names for columns, those that the rows have
	Weight   float64           // share in the mix, in proportion to the weights of the others; 0: none is given
	Fraction float64           // share of its examples that is taken; 0: all
	Filter   Filter
	Stream   io.Reader // what Scan, Inspect and Show read in place of files; Path is its name in messages, as Stdin. nil: none
}

// Stdin is what messages call standard input.
const Stdin = "standard input"

// Filter says which rows of a data set are taken. A row whose numbers are asked for and are not there is a bad row.
type Filter struct {
	MinMargin *float64 // least difference of chosen_score and rejected_score, or margin
	MinScore  *float64 // least chosen_score
	MaxTokens int      // of the longest sequence, before it is cut to max_length; 0: any
	Tags      []string // of which the column tag, a text or a list of texts, has one; none: any
}

// String names the source in messages.
func (s Source) String() string {
	if s.Split == "" {
		return s.Path
	}
	return s.Path + " (" + s.Split + ")"
}

// Files are those that the path names.
func (s Source) Files() ([]string, error) { return rows.Find(s.Path, s.Split) }

// Columns are all that a row is read for, by our names.
func Columns() []string { return slices.Concat(columns, numberColumns, otherColumns) }

// aliases are names that other programs have for columns of ours.
var aliases = map[string]string{
	"score_chosen": "chosen_score", "score_rejected": "rejected_score", // UltraFeedback, as binarised for Zephyr
	"reference_chosen_logps": "ref_chosen_logps", "reference_rejected_logps": "ref_rejected_logps", // TRL, before 0.12
}

// naming is how a source's rows are named.
type naming struct {
	ours   map[string]string // by their names
	theirs map[string]string // by ours, where they differ and somebody said so
}

func newNaming(columns map[string]string) naming {
	n := naming{ours: maps.Clone(aliases), theirs: columns}
	for ours, theirs := range columns {
		for alias, of := range aliases {
			if of == ours { // what columns says goes first
				delete(n.ours, alias)
			}
		}
		n.ours[theirs] = ours
	}
	return n
}

// of is our name for a column; "" for one that is not read, because another has been given its name.
func (n naming) of(name string) string {
	if ours, ok := n.ours[name]; ok {
		return ours
	}
	if _, taken := n.theirs[name]; taken {
		return ""
	}
	return name
}

// called is a column in messages: by our name, and theirs where it is another.
func (n naming) called(ours string) string {
	if theirs, ok := n.theirs[ours]; ok && theirs != ours {
		return fmt.Sprintf("%s (%s)", theirs, ours)
	}
	return ours
}

// takes says whether a filter takes a row with sequences of at most longest tokens. The scores of a ranked row are those of its best completion and of its worst.
func (f *Filter) takes(r row, longest int, ranking []ranked) (bool, error) {
	if ranking != nil && r.scores == nil { // those of the ranking are places in it
		name := ""
		switch {
		case f.MinMargin != nil:
			name = "min_margin"
		case f.MinScore != nil:
			name = "min_score"
		}
		if name != "" {
			return false, fmt.Errorf("%s; filter %s needs one for each completion", r.absent("scores"), name)
		}
	}
	var n Numbers
	if f.MinMargin != nil {
		w := Wanted{By: "filter min_margin"}
		if ranking != nil {
			n.ChosenScore, n.RejectedScore = ranking[0].score, ranking[len(ranking)-1].score
		} else if err := w.scores(r, &n); err != nil {
			return false, err
		}
		if n.ChosenScore-n.RejectedScore < *f.MinMargin {
			return false, nil
		}
	}
	if f.MinScore != nil {
		w := Wanted{By: "filter min_score"}
		var score float64
		var err error
		if ranking != nil {
			score = ranking[0].score
		} else {
			score, err = w.need(r, "chosen_score", "chosen_score")
		}
		if err != nil || score < *f.MinScore {
			return false, err
		}
	}
	if f.MaxTokens > 0 && longest > f.MaxTokens {
		return false, nil
	}
	if len(f.Tags) == 0 {
		return true, nil
	}
	var tags []string
	switch {
	case r.tag == nil:
	case r.tag[0] == '"':
		tag, err := unquote(r.tag)
		if err != nil {
			return false, err
		}
		tags = []string{tag}
	case json.Unmarshal(r.tag, &tags) != nil:
		return false, fmt.Errorf("%s: %s; want text or a list of texts", r.naming.called("tag"), short(string(r.tag)))
	}
	return slices.ContainsFunc(tags, func(t string) bool { return slices.Contains(f.Tags, t) }), nil
}

// hashPrompt is the same for the same prompts and as good as never for others: of a text its bytes, of messages their JSON, of a text that is
// scored as a whole all of it.
func hashPrompt(c conversation) uint64 {
	if c.unprompted {
		return xxh3.HashString(c.completions[0].text)
	}
	if !c.isChat() {
		return xxh3.HashString(c.prompt.text)
	}
	var all []byte
	for _, m := range c.prompt.messages {
		all = append(all, m.Canonical()...)
	}
	return xxh3.Hash(all)
}

// mix chooses what is taken of parts with so many examples: the indexes of each part's. Fractions and weights are drawn with the seed, and
// what is drawn stays in its order. With weights there are as many examples as can be without taking one twice.
func mix(sources []Source, sizes []int, seed int64) ([][]ordinal, error) {
	total := math.Inf(1)
	sum := 0.0
	for _, s := range sources {
		sum += s.Weight
	}
	for i, s := range sources {
		if s.Weight > 0 {
			total = min(total, float64(sizes[i])*sum/s.Weight)
		}
	}
	taken := make([][]ordinal, len(sources))
	for i, s := range sources {
		n := sizes[i]
		switch {
		case s.Weight > 0:
			n = int(total*s.Weight/sum + 1e-9)
		case s.Fraction > 0:
			n = int(float64(n)*s.Fraction + 1e-9)
		}
		if n == 0 {
			return nil, fmt.Errorf("%s: of %d examples none is taken; give a larger weight or fraction", s, sizes[i])
		}
		order := make([]ordinal, sizes[i])
		for j := range order {
			order[j] = ordinal(j)
		}
		if n < sizes[i] {
			// A stream of its own: data.Order has the seeds with the numbers of epochs.
			r := rand.New(rand.NewPCG(uint64(seed), ^uint64(0)>>1+uint64(i)))
			r.Shuffle(len(order), func(a, b int) { order[a], order[b] = order[b], order[a] })
			order = order[:n]
			slices.Sort(order)
		}
		taken[i] = order
	}
	return taken, nil
}

// HeldOut says that a prompt with a hash is among the fraction of the prompts that is held out.
func HeldOut(hash uint64, fraction float64) bool { return float64(hash) < fraction*(1<<64) }

// split divides a set in two, so that all examples of a prompt are in one of them: held has about a fraction of the prompts. Which ones is told
// by the prompts alone. Closing train closes both.
func (s *Set) split(fraction float64) (train, held *Set, err error) {
	var here, there []ordinal
	for i, e := range All(s.Examples) {
		if HeldOut(e.prompt.hash, fraction) {
			there = append(there, ordinal(i))
		} else {
			here = append(here, ordinal(i))
		}
	}
	switch n := s.Len(); {
	case len(there) == 0:
		return nil, nil, fmt.Errorf("eval_fraction: %v of %d examples leaves none to evaluate; give a larger one", fraction, n)
	case len(here) == 0:
		return nil, nil, fmt.Errorf("eval_fraction: %v of %d examples leaves none to train on; give a smaller one", fraction, n)
	}
	train = &Set{Name: s.Name, Examples: pick(s.Examples, here), Reports: s.Reports, maps: s.maps}
	held = &Set{Name: "held out of " + s.Name, Examples: pick(s.Examples, there)}
	return train, held, nil
}
