package data

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"dpotrain/internal/testfiles"
)

// trlRows is what TRL's own preparation makes of rows; scripts/check-data writes it.
type trlRows struct {
	Groups []struct {
		Name    string
		Model   string // a folder in testdata, or an absolute path
		Form    string // of the trainer: dpo, kto, sft
		Rows    []json.RawMessage
		Lengths []trlLength

		// What is another in the folder of the model.
		Template      string          `json:"chat_template"`
		PostProcessor json.RawMessage `json:"post_processor"`

		Other []int `json:"other_class"` // rows with other ids by the class that tokenizer_config.json names
	}
}

type trlLength struct {
	MaxLength      int               `json:"max_length"`
	TruncationMode string            `json:"truncation_mode"`
	Made           []json.RawMessage // of each row a list of trlSequence; null: left out; a text: the error with which TRL stopped
}

type trlSequence struct {
	First int
	IDs   []int32
}

var trlForms = map[string]Form{"dpo": Pairs, "kto": Labelled, "sft": Completions}

// Why a row may differ from TRL's; docs/coming-from-trl.md has a line for each.
const (
	trlBorder     = "the prompt ends inside a token"
	trlIdentical  = "sides that are the same are left out"
	trlCutAlike   = "sides that are the same once cut are left out"
	trlEmpty      = "an empty completion is left out"
	trlEOS        = "the text ends with the end-of-text token, of which a part stands in the prompt"
	trlLastSpace  = "sides without a common beginning, chosen ends with a space"
	trlLastAnswer = "the prompt's last message is the assistant's"
	trlRewrites   = "the template writes the prompt in another way where an answer follows"
	trlAppends    = "the tokenizer puts an end-of-text token behind every text"
	trlStops      = "TRL stops"
)

// trlDiffers are the rows of the golden file that differ, from 1, by group and trainer; below that the rows of which another is true at a length, "" for
// one that does not differ there.
var trlDiffers = map[string]map[int]string{
	"text, dpo":                                  {16: trlBorder, 17: trlBorder, 19: trlBorder, 22: trlEmpty, 23: trlEmpty, 24: trlIdentical, 27: trlEOS, 28: trlBorder},
	"text, dpo, keep_start 20":                   {8: trlCutAlike, 13: trlCutAlike, 30: trlCutAlike, 33: trlCutAlike},
	"text, dpo, keep_end 20":                     {37: trlCutAlike, 38: trlCutAlike},
	"text, implicit prompt, dpo":                 {16: trlIdentical, 18: trlLastSpace, 25: trlStops},
	"chat, dpo":                                  {21: trlEmpty, 22: trlIdentical, 23: trlIdentical, 26: trlLastAnswer, 29: trlStops},
	"chat, dpo, keep_start 20":                   {21: "", 22: "", 23: ""}, // the prompt alone is as long: left out by both
	"chat, implicit prompt, dpo":                 {12: trlIdentical, 13: trlStops},
	"chat, implicit prompt, dpo, keep_start 20":  {12: ""},
	"unpaired text, kto":                         {13: trlEOS},
	"text pairs taken apart, kto":                {8: trlEmpty, 9: trlEmpty},
	"text pairs taken apart, kto, keep_start 20": {10: trlCutAlike, 14: trlCutAlike},
	"prompt and completion, sft":                 {8: trlEmpty, 13: trlEOS},

	"tokenizer with an end-of-text token of its own, dpo":                {1: trlAppends, 2: trlAppends, 3: trlAppends, 4: trlAppends, 5: trlAppends, 6: trlAppends},
	"tokenizer with an end-of-text token of its own, dpo, keep_start 20": {1: "", 2: "", 3: trlCutAlike}, // cut off
	"tokenizer with an end-of-text token of its own, kto":                {1: trlAppends, 2: trlAppends, 3: trlAppends, 4: trlAppends, 5: trlAppends, 6: trlAppends},
	"tokenizer with an end-of-text token of its own, kto, keep_start 20": {1: "", 2: "", 3: "", 6: ""},
	"template that writes the prompt alone in another way, dpo":          {1: trlRewrites, 2: trlRewrites, 3: trlRewrites},
}

// TestTRL holds what becomes of rows to what TRL's own preparation makes of them, ids, first scored id and cut, but for the rows listed here.
// DPOTRAIN_TRL_ROWS names a file of other rows, of which any may differ that has a reason.
func TestTRL(t *testing.T) {
	path := os.Getenv("DPOTRAIN_TRL_ROWS")
	golden := path == ""
	if golden {
		path = filepath.Join("testdata", "trl.json")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file trlRows
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, g := range file.Groups {
		total += len(g.Rows)
		folder := g.Model
		if !filepath.IsAbs(folder) {
			folder = testfiles.Path(t, folder)
		}
		if g.PostProcessor != nil {
			folder = withPostProcessor(t, folder, g.PostProcessor)
		}
		template := ""
		if g.Template != "" {
			template = filepath.Join(t.TempDir(), "template.jinja")
			if err := os.WriteFile(template, []byte(g.Template), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Open(folder, template)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range g.Lengths {
			name := g.Name + ", " + g.Form
			want := map[int]string{}
			maps.Copy(want, trlDiffers[name])
			if l.MaxLength > 0 {
				name += fmt.Sprintf(", %s %d", l.TruncationMode, l.MaxLength)
				maps.Copy(want, trlDiffers[name])
			}
			maps.DeleteFunc(want, func(_ int, reason string) bool { return reason == "" })
			m, err := r.maker(t.Context(), trlForms[g.Form], Options{MaxLength: l.MaxLength, TruncationMode: l.TruncationMode})
			if err != nil {
				t.Fatal(err)
			}
			differ := map[int]string{}
			for i, row := range g.Rows {
				reason, detail := againstTRL(m, row, l.Made[i])
				switch {
				case detail == "":
					continue
				case reason == "":
					t.Errorf("%s, row %d: %s\n%s", name, i+1, detail, row)
				case !golden:
					t.Logf("%s, row %d: %s: %s", name, i+1, reason, detail)
				}
				differ[i+1] = reason
			}
			if golden && !maps.Equal(differ, want) {
				t.Errorf("%s: rows that differ\ngot  %#v\nwant %#v", name, differ, want)
			}
			counts := map[string]int{}
			for _, reason := range differ {
				counts[cmp.Or(reason, "UNEXPLAINED")]++
			}
			t.Logf("%s, %s: %d rows, %d equal", name, filepath.Base(g.Model), len(g.Rows), len(g.Rows)-len(differ))
			for _, reason := range slices.Sorted(maps.Keys(counts)) {
				t.Logf("    %d: %s", counts[reason], reason)
			}
		}
		if len(g.Other) > 0 {
			t.Logf("%s, %s: compared with the ids of tokenizer.json; %d rows have others by the class that tokenizer_config.json names", g.Name, filepath.Base(g.Model), len(g.Other))
		}
	}
	if golden && total < 200 {
		t.Errorf("%d rows", total)
	}
}

// withPostProcessor is a folder with a model's tokenizer but for what stands around a text.
func withPostProcessor(t *testing.T, folder string, post json.RawMessage) string {
	t.Helper()
	files, err := open(t, folder).Files()
	if err != nil {
		t.Fatal(err)
	}
	var tokenizer map[string]json.RawMessage
	if err := json.Unmarshal(files["tokenizer.json"], &tokenizer); err != nil {
		t.Fatal(err)
	}
	tokenizer["post_processor"] = post
	if files["tokenizer.json"], err = json.Marshal(tokenizer); err != nil {
		t.Fatal(err)
	}
	changed := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(changed, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return changed
}

// againstTRL says how what m makes of a row differs from what TRL made of it, "" if it does not, and the reason if it is a known one.
func againstTRL(m *maker, text, trl json.RawMessage) (reason, detail string) {
	got, err := m.make(text, lineReader)
	if trl[0] == '"' {
		if err == nil && got.drop == kept {
			return "", fmt.Sprintf("TRL stops with %s; here it is an example", trl)
		}
		return trlStops, string(trl)
	}
	var want []*trlSequence
	if err := json.Unmarshal(trl, &want); err != nil {
		return "", err.Error()
	}
	if err != nil {
		switch text := err.Error(); {
		case strings.Contains(text, "the last message is the assistant's"):
			reason = trlLastAnswer
		case strings.Contains(text, "the template rewrites earlier messages"):
			reason = trlRewrites
		}
		return reason, err.Error()
	}
	ours := make([]*trlSequence, len(got.example.Sequences))
	for i, s := range got.example.Sequences {
		ours[i] = &trlSequence{s.First, s.IDs}
	}
	if got.drop != kept {
		ours = nil
	}
	if sameAsTRL(ours, want) {
		return "", ""
	}
	detail = fmt.Sprintf("%s, in TRL %s", describe(ours), describe(want))
	rule, reason, err := trlRule(m, text)
	switch {
	case err != nil || !sameAsTRL(rule, want):
		reason = ""
	case got.drop == dropIdentical:
		reason = trlIdentical
	case got.drop == dropIdenticalTruncated:
		reason = trlCutAlike
	case got.drop == dropEmptyChosen, got.drop == dropEmptyRejected:
		reason = trlEmpty
	}
	if reason == "" {
		detail += fmt.Sprintf("\nhere          %s\nin TRL        %s\nby its rules  %s, error %v", list(ours), list(want), list(rule), err)
	}
	return reason, detail
}

// trlRule is what TRL makes of a row, by its rules where they are others than those of package data, with the ids of package tokenizer; and which
// of them made a difference.
func trlRule(m *maker, text []byte) (made []*trlSequence, reason string, err error) {
	r, err := lineReader.parse(text)
	if err != nil {
		return nil, "", err
	}
	c, err := r.conversation(m.form)
	if err != nil {
		return nil, "", err
	}
	if a, b := r.cells["chosen"].text, r.cells["rejected"].text; !r.has("prompt") && c.prompt.text == "" && strings.HasSuffix(a, " ") && b != "" && a[0] != b[0] {
		// extract_prompt looks for a space before the first letter, which in Python is the last one.
		c.prompt.text = a[:len(a)-1]
		_, w := utf8.DecodeLastRuneInString(b)
		c.completions = []cell{{text: " "}, {text: b[len(b)-w:]}}
		reason = trlLastSpace
	}
	if !c.isChat() && m.encoder.AppendsEOS() {
		reason = trlAppends
	}
	p, err := m.prompt(c)
	if err != nil {
		return nil, "", err
	}
	if prompt, err := m.encoder.Encode(p.text, !c.isChat()); err != nil {
		return nil, "", err
	} else if !c.unprompted {
		p.ids = prompt.IDs
	}
	var wholes [][]int32
	var common []int // ids that prompt and whole begin with
	for _, completion := range c.completions {
		whole := p.text + completion.text
		if c.isChat() {
			if whole, err = m.template.Render(slices.Concat(c.prompt.messages, completion.messages), c.vars, false); err != nil {
				return nil, "", err
			}
		} else if eos, _ := m.encoder.EOS(); !strings.HasSuffix(completion.text, eos.Text) {
			if strings.HasSuffix(whole, eos.Text) {
				reason = trlEOS
			}
			whole += eos.Text
		}
		e, err := m.encoder.Encode(whole, !c.isChat())
		if err != nil {
			return nil, "", err
		}
		n := 0
		for n < min(len(p.ids), len(e.IDs)) && p.ids[n] == e.IDs[n] {
			n++
		}
		if n < len(p.ids) {
			reason = cmp.Or(reason, trlBorder)
		}
		wholes, common = append(wholes, e.IDs), append(common, n)
	}
	for i, ids := range wholes {
		first := common[i]
		if m.form == Pairs {
			first = slices.Min(common)
		}
		if m.options.MaxLength > 0 && m.options.TruncationMode == "keep_start" && first >= m.options.MaxLength {
			made = append(made, nil)
			continue
		}
		s := m.options.truncate(Sequence{ids, max(first, 1)})
		made = append(made, &trlSequence{s.First, s.IDs})
	}
	return made, reason, nil
}

// sameAsTRL compares what became of a row; no sequence at all is as good as none of each side.
func sameAsTRL(a, b []*trlSequence) bool {
	none := func(s []*trlSequence) bool {
		return !slices.ContainsFunc(s, func(s *trlSequence) bool { return s != nil })
	}
	return none(a) && none(b) || reflect.DeepEqual(a, b)
}

func list(made []*trlSequence) string {
	text, _ := json.Marshal(made)
	return string(text)
}

// describe says of each sequence of a row how long it is and from where it is scored.
func describe(made []*trlSequence) string {
	var texts []string
	for _, s := range made {
		if s == nil {
			texts = append(texts, "left out")
		} else {
			texts = append(texts, fmt.Sprintf("%d ids scored from %d", len(s.IDs), s.First))
		}
	}
	return cmp.Or(strings.Join(texts, " and "), "left out")
}
