package doctor

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"dpotrain/internal/data"
	"dpotrain/internal/rows"
)

// key is a hash of texts: rows are compared by it, so that no text is kept.
type key [16]byte

func keyOf(texts ...string) (k key) {
	h := sha256.New()
	for _, text := range texts {
		h.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(text))))
		h.Write([]byte(text))
	}
	copy(k[:], h.Sum(nil))
	return k
}

// seen is a row that was read before.
type seen struct {
	file  int32 // of examiner.files
	label data.Label
	line  int
}

// dropped are the findings that stand for reasons to leave a row out.
var dropped = map[data.Drop]string{
	data.Identical: "identical", data.IdenticalTruncated: "identical-truncated", data.EmptyChosen: "empty-completion",
	data.EmptyRejected: "empty-completion", data.TruncatedAway: "truncated-away", data.Unranked: "unranked",
}

// row takes in a row.
func (e *examiner) row(row *data.Inspected) {
	e.total++
	if row.Err != nil {
		e.find("unreadable", row, row.Err.Error())
		return
	}
	if row.Drop == data.Filtered {
		e.filtered++
		return
	}
	e.forms[row.Form.String()]++
	twoEnds := e.texts(row)
	if row.Drop != data.Kept {
		e.find(dropped[row.Drop], row, dropEvidence(row))
	} else {
		e.kept++
		e.repeated(row)
		e.compare(row)
	}
	e.tokens(row, twoEnds)
}

// dropEvidence shows why a row is left out.
func dropEvidence(row *data.Inspected) string {
	switch side := row.Sides[0]; row.Drop {
	case data.TruncatedAway:
		return fmt.Sprintf("a prompt of %d tokens", side.First)
	case data.Identical, data.IdenticalTruncated:
		return quote(side.Rendered, 0, 0)
	}
	return ""
}

// texts looks at what people wrote, before any template. It says whether a stop token follows another.
func (e *examiner) texts(row *data.Inspected) (twoEnds bool) {
	found := map[string]string{} // evidence by finding: a row counts once for each
	note := func(id, evidence string) {
		if _, is := found[id]; !is && evidence != "" {
			found[id] = evidence
		}
	}
	look := func(text string) {
		note("control-characters", controlCharacter(text))
		note("broken-unicode", brokenUnicode(text))
		if row.Chat {
			note("special-in-text", e.specials.in(text))
			note("template-twice", templated(text, e.user, e.assistant))
		}
	}
	for _, text := range row.Prompt {
		look(text)
	}
	for _, side := range row.Sides {
		for _, text := range side.Texts {
			look(text)
		}
		if blank(side.Texts) {
			note("blank-completion", fmt.Sprintf("%q", side.Texts[0][:min(len(side.Texts[0]), 20)]))
		}
		if !row.Chat && e.hasEOS {
			before, after, ends := strings.Cut(side.Texts[0], e.eos.Text)
			switch {
			case ends && strings.TrimSpace(strings.ReplaceAll(after, e.eos.Text, "")) != "":
				note("goes-on", quote(e.eos.Text+after, 0, len(e.eos.Text)))
			case ends && after != "":
				note("double-eos", quote(before+e.eos.Text+after, len(before), len(e.eos.Text)))
			}
		}
	}
	if len(row.Sides) == 2 && row.Form == data.Pairs {
		note("script-switch", scriptSwitch(row.Sides[0].Texts, row.Sides[1].Texts))
	}
	for id, evidence := range found {
		e.find(id, row, evidence)
	}
	_, twoEnds = found["double-eos"]
	return twoEnds
}

// repeated tells rows that say the same, or the opposite.
func (e *examiner) repeated(row *data.Inspected) {
	var sides []string
	for _, s := range row.Sides {
		sides = append(sides, s.Rendered)
	}
	prompt := keyOf(row.Rendered)
	if row.Rendered == "" && len(row.Sides) == 1 {
		prompt = keyOf("", sides[0]) // a text that is scored as a whole
	}
	e.prompts[prompt] = struct{}{}
	if _, is := e.heldOut[prompt]; is {
		e.find("in-eval-data", row, quote(row.Rendered, 0, 0))
	}
	whole := keyOf(append([]string{row.Rendered}, sides...)...)
	before, again := e.seen[whole]
	switch {
	case again && before.label == row.Label:
		e.find("repeated", row, "as "+e.where(before))
	case again:
		e.find("contradiction", row, "the other label: "+e.where(before))
	default:
		if len(sides) == 2 {
			if before, swapped := e.seen[keyOf(row.Rendered, sides[1], sides[0])]; swapped {
				e.find("contradiction", row, "the other way round: "+e.where(before))
			}
		}
		e.seen[whole] = seen{e.fileNumber(row), row.Label, row.Line}
	}
}

// source is a file that rows come from.
type source struct {
	name  string
	byRow bool
}

func (e *examiner) fileNumber(row *data.Inspected) int32 {
	if n := len(e.files); n == 0 || e.files[n-1].name != row.File {
		e.files = append(e.files, source{row.File, row.ByRow})
	}
	return int32(len(e.files) - 1)
}

func (e *examiner) where(s seen) string {
	of := e.files[s.file]
	return rows.Place(of.name, s.line, of.byRow)
}

// compare looks at what tells the sides of a row apart besides their texts.
func (e *examiner) compare(row *data.Inspected) {
	switch {
	case row.Label != data.Unlabelled:
		e.labels[row.Label]++
	case row.Form == data.Pairs, row.Form == data.Lists:
		e.compared++
	}
	if row.Form != data.Pairs || len(row.Sides) != 2 {
		return
	}
	a, b := &row.Sides[0], &row.Sides[1]
	switch chosen, rejected := len(a.IDs)-a.First, len(b.IDs)-b.First; {
	case chosen > rejected:
		e.longer.chosen++
	case chosen < rejected:
		e.longer.rejected++
	default:
		e.longer.neither++
	}
	switch s := row.Scores; {
	case row.Scored && s[0] == s[1]:
		e.find("score-tie", row, fmt.Sprintf("both %v", s[0]))
	case row.Scored && s[0] < s[1]:
		e.find("score-against", row, fmt.Sprintf("chosen %v, rejected %v", s[0], s[1]))
	}
}

// tokens looks at what the tokenizer makes of a row; known: its text has a stop token behind another, and counts.
func (e *examiner) tokens(row *data.Inspected, known bool) {
	if row.TwoBOS {
		e.find("double-bos", row, quote(row.Rendered, 0, 0))
	}
	if row.Across {
		e.find("border", row, border(row))
	} else if row.Other {
		e.find("prompt-alone", row, border(row))
	}
	noEnd, twoEnds, measured := false, false, false
	for i, s := range row.Sides {
		if s.IDs == nil {
			continue
		}
		scored := s.IDs[min(s.First, len(s.IDs)):]
		noEnd = noEnd || !slices.ContainsFunc(scored, e.reader.IsSpecial)
		for j := 1; j < len(scored); j++ {
			twoEnds = twoEnds || e.hasEOS && scored[j] == e.eos.ID && scored[j-1] == e.eos.ID
		}
		if !measured {
			e.measure("prompt", s.First)
			measured = true
		}
		e.measure(sideName(row.Form, i), len(scored))
		e.measure("sequence", len(s.IDs))
		if s.Kept < len(s.IDs) {
			e.cut++
		}
	}
	if noEnd {
		e.find("no-stop", row, "")
	}
	if twoEnds && !known {
		e.find("double-eos", row, "")
	}
}

// border is the end of the prompt and the beginnings of what follows it.
func border(row *data.Inspected) string {
	text := quote(row.Rendered, len(row.Rendered), 0)
	for i, s := range row.Sides[:min(2, len(row.Sides))] {
		text += [...]string{" + ", " or "}[i] + quote(s.Rendered, 0, 0)
	}
	return text
}

func sideName(f data.Form, i int) string {
	if f == data.Pairs && i < 2 {
		return [...]string{"chosen", "rejected"}[i]
	}
	return "completion"
}
