package data

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
)

// This file has what ranked rows have besides: several completions of one prompt, in order or with scores. They are a list, or pairs by a rule.

// maxRanked bounds the completions of a row: as pairs they may be half its square.
const maxRanked = 64

// ranked is a completion of a ranked row.
type ranked struct {
	completion cell
	number     int     // in the row, from 1
	score      float64 // where the row has none, the number of those behind it
	wins       float64 // share of the row's other completions that have a lower score; an equal one counts half
	sequence   Sequence
	truncated  bool
}

// beforeRanked are the columns that each form reads rather than completions.
var beforeRanked = map[Form][]string{Pairs: {"chosen", "rejected"}, Completions: {"completion", "chosen", "text"}, Labelled: {"completion", "chosen", "rejected"}}

// isRanked says that a row is read as a ranked one.
func (r row) isRanked(form Form) bool {
	return r.completions != nil && !slices.ContainsFunc(beforeRanked[form], r.has)
}

// ranking reads the columns completions and scores. The best comes first; those with the same score stay in their order.
func (r row) ranking() ([]ranked, error) {
	raws, ok := elements(r.completions)
	switch {
	case !ok:
		return nil, fmt.Errorf("completions: %s; want a list of texts, or of lists of messages", short(string(r.completions)))
	case len(raws) < 2 || len(raws) > maxRanked:
		return nil, fmt.Errorf("completions: a list of %s; want 2 to %d, best first or with scores", many(raws), maxRanked)
	}
	ranking := make([]ranked, len(raws))
	for i, raw := range raws {
		c, err := parseCell(raw)
		if err != nil {
			return nil, fmt.Errorf("completions: completion %d: %w", i+1, err)
		}
		ranking[i] = ranked{completion: c, number: i + 1, score: float64(len(raws) - 1 - i)}
		if c.isChat() != ranking[0].completion.isChat() {
			return nil, errors.New("completions: texts and messages; want one kind in a row")
		}
	}
	if err := r.score(ranking); err != nil {
		return nil, fmt.Errorf("scores: %w", err)
	}
	for i := range ranking {
		for j := range ranking {
			switch {
			case ranking[i].score > ranking[j].score:
				ranking[i].wins++
			case i != j && ranking[i].score == ranking[j].score:
				ranking[i].wins += 0.5
			}
		}
		ranking[i].wins /= float64(len(ranking) - 1)
	}
	slices.SortStableFunc(ranking, func(a, b ranked) int { return cmp.Compare(b.score, a.score) })
	return ranking, nil
}

// score gives completions their scores, if the row has any.
func (r row) score(ranking []ranked) error {
	if r.scores == nil {
		return nil
	}
	raws, ok := elements(r.scores)
	switch {
	case !ok:
		return fmt.Errorf("%s; want a list of numbers, one for each completion", short(string(r.scores)))
	case len(raws) != len(ranking):
		return fmt.Errorf("a list of %s, and there are %d completions; give one for each", many(raws), len(ranking))
	}
	for i, raw := range raws {
		v, err := parseNumber(raw)
		if err != nil {
			return fmt.Errorf("score %d: %w", i+1, err)
		}
		ranking[i].score = v
	}
	return nil
}

// elements are those of a JSON list, and of one that is longer than maxRanked one more than that, so that a long line of short ones does not fill the memory; ok is
// false for what is no list.
func elements(raw json.RawMessage) (list []json.RawMessage, ok bool) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, false
	}
	for d.More() && len(list) <= maxRanked {
		var one json.RawMessage
		if d.Decode(&one) != nil {
			return nil, false
		}
		list = append(list, one)
	}
	return list, true
}

// many is how many elements there are, as far as they were read.
func many(list []json.RawMessage) string {
	if len(list) > maxRanked {
		return fmt.Sprintf("more than %d", maxRanked)
	}
	return fmt.Sprint(len(list))
}

// makeRanked turns a ranked row into a list or a single completion, or leaves in out what pairs are to be made of.
func (m *maker) makeRanked(r row, form Form) (out made, err error) {
	ranking, err := r.ranking()
	if err != nil {
		return out, err
	}
	c, err := m.rankedConversation(r, ranking)
	if err != nil {
		return out, err
	}
	out.key, out.ignored = c.key(), m.ignored(c)
	if _, ok := m.encoder.EOS(); !ok && !c.isChat() {
		out.noEOS = true
	}
	p, err := m.prompt(c)
	if err != nil {
		return out, err
	}
	if ok, err := m.readTarget(r, form, c, p, &out); err != nil {
		return out, err
	} else if !ok {
		out.drop = dropTruncatedAway
		return out, nil
	}
	left, err := m.different(p, c, ranking, form, &out)
	if err != nil {
		return out, err
	}
	if takes, err := r.filter.takes(r, out.longest, ranking); err != nil || !takes {
		out.drop = dropFiltered
		return out, err
	}
	switch {
	case form == Completions && len(left) > 0:
		left = left[:1]
	case len(left) < 2 || left[0].score == left[len(left)-1].score:
		out.drop = dropUnranked
		return out, nil
	}
	if out.weight, err = r.weight(); err != nil {
		return out, err
	}
	if form == Completions || form == Lists {
		out.example = m.exampleOf(left, out.weight, &out.truncated)
		m.imitate(&out.example, out.target)
	} else {
		out.ranking = left
	}
	return out, nil
}

// rankedConversation is what a ranked row says, if it may be read.
func (m *maker) rankedConversation(r row, ranking []ranked) (c conversation, err error) {
	switch {
	case m.wanted.Scores && r.scores == nil:
		return c, fmt.Errorf("%s; %s needs one for each completion", r.absent("scores"), m.wanted.by())
	case m.wanted.RefLogps:
		return c, errors.New("completions: a ranked row, and ref_chosen_logps and ref_rejected_logps, which trust_ref_logps needs, are of pairs; give pairs, or leave that out")
	case !r.has("prompt"):
		return c, fmt.Errorf("%s; a row with completions needs one", r.absent("prompt"))
	}
	c = conversation{prompt: r.cells["prompt"], vars: m.vars.With(r.vars)}
	for _, one := range ranking {
		c.completions = append(c.completions, one.completion)
	}
	if m.watch != nil {
		m.watch.conversation = c
	}
	if err := sameKind([]cell{c.prompt, c.completions[0]}); err != nil {
		return c, err
	}
	if err := m.checkRoles(r); err != nil {
		return c, err
	}
	for _, one := range ranking {
		if err := m.checkRole(fmt.Sprintf("completions: completion %d", one.number), one.completion); err != nil {
			return c, err
		}
	}
	return c, nil
}

// different are the completions with their sequences that have any tokens left and none like a better one's; in a list they differ in score too.
func (m *maker) different(p prompt, c conversation, ranking []ranked, form Form, out *made) (left []ranked, err error) {
	for _, one := range ranking {
		if one.completion.empty() {
			out.emptied++
			continue
		}
		s, err := m.sequence(p, c, one.completion, out)
		if err != nil {
			return nil, err
		}
		out.longest = max(out.longest, len(s.IDs))
		one.sequence = m.options.truncate(s)
		one.truncated = len(one.sequence.IDs) < len(s.IDs)
		one.sequence.IDs = slices.Clone(one.sequence.IDs) // which holds on to no memory besides
		switch {
		case one.sequence.First >= len(one.sequence.IDs):
			out.emptied++
		case slices.ContainsFunc(left, func(better ranked) bool { return slices.Equal(better.sequence.IDs, one.sequence.IDs) }):
			out.repeated++
		case form == Lists && len(left) > 0 && left[len(left)-1].score == one.score:
			out.tied++
		default:
			left = append(left, one)
		}
	}
	return left, nil
}

// pairsOf makes the pairs of a ranked row by the rule of ranked_pairs.
func (m *maker) pairsOf(at place, row *made, r *rankedReport) []Example {
	chosen, ties := pairs(row.ranking, m.options.RankedPairs, m.options.Seed, at.number)
	r.rows++
	r.pairs += len(chosen)
	r.tiedPairs.add(at, ties)
	var all []Example
	for _, p := range chosen {
		e := m.exampleOf([]ranked{row.ranking[p[0]], row.ranking[p[1]]}, row.weight, &row.truncated)
		m.imitate(&e, row.target)
		all = append(all, e)
	}
	return all
}

// exampleOf is the example of completions, best first. Where numbers are wanted it has those of the best and of the worst. Of the sequences those that were cut are
// counted.
func (m *maker) exampleOf(list []ranked, weight float64, truncated *[2]int) Example {
	best, worst := list[0], list[len(list)-1]
	var e Example
	n := Numbers{Weight: weight}
	if m.wanted.Scores {
		n.ChosenScore, n.RejectedScore = best.score, worst.score
	}
	if m.wanted.Wins {
		n.ChosenWins, n.RejectedWins = best.wins, worst.wins
	}
	if n != (Numbers{Weight: 1}) {
		e.Numbers = &n
	}
	for i, one := range list {
		e.Sequences = append(e.Sequences, one.sequence)
		if one.truncated {
			truncated[e.side(i)]++
		}
	}
	return e
}

// pairs are the places of the two completions of every pair that a rule makes of a ranking, whose best and worst have different scores. ties are the pairs that it
// would make if both had not the same score. What is drawn is a function of seed and line.
func pairs(ranking []ranked, rule string, seed int64, line int) (pairs [][2]int, ties int) {
	last := len(ranking) - 1
	add := func(i, j int) {
		if ranking[i].score == ranking[j].score {
			ties++
			return
		}
		pairs = append(pairs, [2]int{i, j})
	}
	switch rule {
	case "best_random":
		worse := slices.IndexFunc(ranking, func(r ranked) bool { return r.score < ranking[0].score })
		draw := rand.New(rand.NewPCG(uint64(seed), 1<<32+uint64(line))) // Order has the numbers below
		add(0, worse+int(draw.Uint64N(uint64(len(ranking)-worse))))
	case "all":
		for i := range ranking {
			for j := i + 1; j <= last; j++ {
				add(i, j)
			}
		}
	case "adjacent":
		for i := range last {
			add(i, i+1)
		}
	default:
		add(0, last)
	}
	return pairs, ties
}

// rankedReport says what became of ranked rows.
type rankedReport struct {
	rows, pairs int // of which pairs were made, and these
	longest     int // completions of the longest list

	emptied, repeated, tied parts // completions that were left out, as made has them
	tiedPairs               parts // pairs that were not made
}

// add counts what was left out of a row that was kept.
func (r *rankedReport) add(at place, row *made) {
	r.emptied.add(at, row.emptied)
	r.repeated.add(at, row.repeated)
	r.tied.add(at, row.tied)
}

// rankedLines are those of Lines on ranked rows.
func (r *Report) rankedLines() []string {
	var s []string
	if n := r.ranked.rows; n > 0 {
		s = append(s, fmt.Sprintf("%d ranked rows became %d pairs", n, r.ranked.pairs))
	}
	if r.Lists > 0 {
		s = append(s, fmt.Sprintf("%d lists of more than two completions, the longest of %d", r.Lists, r.ranked.longest))
	}
	for _, left := range []struct {
		what  string
		parts *parts
	}{
		{"completions left out because they are empty, before or after truncation", &r.ranked.emptied},
		{"completions left out because they are the same as a better one", &r.ranked.repeated},
		{"completions left out of lists because another has the same score", &r.ranked.tied},
		{"pairs not made because both completions have the same score", &r.ranked.tiedPairs},
	} {
		if left.parts.n > 0 {
			s = append(s, fmt.Sprintf("%s: %d, in rows: %s", left.what, left.parts.n, r.count(&left.parts.rows)))
		}
	}
	return s
}

// parts counts parts of rows, and these rows.
type parts struct {
	n    int
	rows tally
}

func (p *parts) add(at place, n int) {
	if n > 0 {
		p.n += n
		p.rows.add(at)
	}
}
