package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"dpotrain/internal/data"
	"dpotrain/internal/loss"
	"dpotrain/internal/report"
)

// ShowOptions are what Show is asked besides Options, whose Data or Datasets hold the row.
type ShowOptions struct {
	data.At
	Stdin     io.Reader // what the path "-" stands for
	JSON      bool      // a line of JSON for each example of the row, instead of text
	Colours   bool      // in the text
	LossGiven bool      // a config, variable or flag says the loss; else the row itself says what it is
}

// Show writes what a run makes of one row: its text, its ids, and which of them are scored. No weight is read.
func Show(req Request, s ShowOptions) error {
	o := &req.Options
	sources := piped(o.sources(), s.Stdin)
	switch n := len(sources); {
	case s.Row < 1:
		return usage("--row %d; want a row of the data, from 1", s.Row)
	case s.Dataset < 0 || s.Dataset > n:
		return usage("--dataset %d; want the place of one of the data sets, from 1 to %d", s.Dataset, n)
	}
	l, err := loss.New(o.Loss, o.LossSettings)
	if err != nil {
		return err
	}
	reader, err := data.Open(o.Model, o.Rows.ChatTemplate)
	if err != nil {
		return err
	}
	form := data.AnyForm
	if s.LossGiven {
		if form, err = o.form(l); err != nil {
			return err
		}
		reader.Wanted = wantedBy(l)
	}
	row, err := reader.Show(sources, s.At, form, o.Rows)
	if err != nil {
		return noData(o.trainKey(), missing(sources), err)
	}
	for i := range row.Examples {
		e := shownExample{ShownExample: &row.Examples[i], prompt: row.Prompt, rows: o.Rows}
		if len(sources) > 1 {
			e.dataset = row.Dataset
		}
		if row.Counted {
			e.row = s.Row
		}
		if s.JSON {
			req.Stdout.Write(append(e.json(), '\n'))
			continue
		}
		if i > 0 {
			fmt.Fprintln(req.Stdout)
		}
		e.print(req.Stdout, s.Colours)
	}
	return nil
}

// shownExample is an example to be shown, with the text of its prompt and how it was cut.
type shownExample struct {
	*data.ShownExample
	prompt  string
	rows    data.Options
	dataset int // from 1, if there are several
	row     int // of all files, if that is how it was found
}

// place is the example's, and what that is of the data.
func (e *shownExample) place() string {
	var parts []string
	if e.row > 0 {
		parts = append(parts, fmt.Sprintf("row %d", e.row))
	}
	if e.dataset > 0 {
		parts = append(parts, fmt.Sprintf("data set %d", e.dataset))
	}
	if len(parts) == 0 {
		return e.Place()
	}
	return fmt.Sprintf("%s (%s)", e.Place(), strings.Join(parts, ", "))
}

// kind is what the example is: a pair, a list, an unpaired row or a completion.
func (e *shownExample) kind() string {
	switch {
	case e.Label != data.Unlabelled:
		return "unpaired"
	case len(e.Sequences) == 2:
		return "pair"
	case len(e.Sequences) > 2:
		return "list"
	}
	return "completion"
}

// name is that of a sequence.
func (e *shownExample) name(i int) string {
	if i == len(e.Sequences) {
		return "imitated"
	}
	switch e.kind() {
	case "pair":
		return [...]string{"chosen", "rejected"}[i]
	case "list":
		return fmt.Sprintf("completion_%d", i+1)
	}
	return "completion"
}

// json is the example as docs/formats.md describes it.
func (e *shownExample) json() []byte {
	var b bytes.Buffer
	field := func(name string, value any) {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q: ", name)
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			panic(err) // texts, numbers and lists of them have a JSON form
		}
		b.Truncate(b.Len() - 1) // the line end
	}
	field("file", e.File)
	field("line", e.Line)
	if e.dataset > 0 {
		field("dataset", e.dataset)
	}
	field("kind", e.kind())
	if e.Label != data.Unlabelled {
		field("label", e.Label == data.Desirable)
	}
	field("weight", e.Weight())
	field("max_length", e.rows.MaxLength)
	field("truncation_mode", e.rows.TruncationMode)
	field("prompt", e.prompt)
	field("prompt_ids", e.Sequences[0].IDs[:e.Shared])
	field("prompt_tokens", e.Sides[0].Tokens[:e.Shared])
	for i, s := range e.Shown() {
		name := e.name(i)
		field(name, e.Sides[i].Text)
		field(name+"_ids", s.IDs[e.Shared:])
		field(name+"_tokens", e.Sides[i].Tokens[e.Shared:])
		field(name+"_first_scored", s.First)
		field(name+"_cut", e.Sides[i].Cut)
	}
	return append(append([]byte{'{'}, b.Bytes()...), '}')
}

// style is how a stretch of ids is told from others: by a mark before its lines, and by a colour.
type style struct {
	mark   string
	colour report.Colour
}

var (
	promptStyle  = style{" ", report.Cyan}
	maskedStyle  = style{".", report.Dim}
	learnStyle   = style{"+", report.Green}
	unlearnStyle = style{"-", report.Red}
)

// print writes the example for people.
func (e *shownExample) print(w io.Writer, colours bool) {
	what := map[string]string{"pair": "a pair", "list": "a list, best first", "unpaired": "an unpaired row", "completion": "a completion"}[e.kind()]
	fmt.Fprintf(w, "%s: %s; weight %v; %s\n", e.place(), what, e.Weight(), e.truncation())
	first := e.Sequences[0]
	e.stretch(w, "prompt, not scored", first.IDs[:e.Shared], e.Sides[0].Tokens[:e.Shared], 0, promptStyle, colours)
	for i, s := range e.Shown() {
		title, as := e.name(i), learnStyle
		if e.Label == data.Undesirable || i > 0 && i < len(e.Sequences) {
			as = unlearnStyle
		}
		if e.Label != data.Unlabelled {
			title += fmt.Sprintf(" (label %v)", e.Label == data.Desirable)
		}
		tokens := e.Sides[i].Tokens
		scored := max(e.Shared, s.First) // of the imitated one the prompt may be scored too
		e.stretch(w, title+", not scored", s.IDs[e.Shared:scored], tokens[e.Shared:scored], e.Shared, maskedStyle, colours)
		e.stretch(w, title+", scored", s.IDs[s.First:], tokens[s.First:], s.First, as, colours)
	}
}

// truncation says what was cut off.
func (e *shownExample) truncation() string {
	var cuts []string
	for i, s := range e.Sides {
		if s.Cut > 0 {
			cuts = append(cuts, fmt.Sprintf("%d tokens of %s", s.Cut, e.name(i)))
		}
	}
	if len(cuts) == 0 {
		return "nothing is cut off"
	}
	return fmt.Sprintf("cut off by max_length %d, %s: %s", e.rows.MaxLength, e.rows.TruncationMode, strings.Join(cuts, ", "))
}

// stretch writes ids that stand one behind the other, from a place in their sequence on: their texts with a bar between them, and their numbers.
func (e *shownExample) stretch(w io.Writer, title string, ids []int32, tokens []string, at int, l style, colours bool) {
	if len(ids) == 0 {
		return
	}
	paint := func(c report.Colour, s string) string {
		if !colours {
			return s
		}
		return c.Paint(s)
	}
	fmt.Fprintf(w, "\n%s: %d tokens, %d to %d\n", title, len(ids), at, at+len(ids)-1)
	var line strings.Builder
	end := func() {
		fmt.Fprintf(w, "%s %s\n", paint(l.colour, l.mark), line.String())
		line.Reset()
	}
	numbers := make([]string, len(ids))
	for i, token := range tokens {
		numbers[i] = strconv.Itoa(int(ids[i]))
		if i > 0 && line.Len() > 0 {
			line.WriteString(paint(report.Dim, "│"))
		}
		parts := strings.SplitAfter(token, "\n")
		for j, part := range parts {
			line.WriteString(paint(l.colour, visible(part)))
			if j < len(parts)-1 {
				end()
			}
		}
	}
	if line.Len() > 0 {
		end()
	}
	fmt.Fprintf(w, "%s\n", paint(report.Dim, "  ids "+strings.Join(numbers, " ")))
}

// visible is a text without what would move the cursor or change the terminal, each in Go's writing, and with a sign for the end of a line.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString("⏎")
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}
