package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"dpotrain/internal/rows"
)

// Plain is a row as it stands in a file: what can be said of it without a tokenizer.
type Plain struct {
	File    string
	Line    int
	ByRow   bool // Line is the number of the row, for the file has no lines
	Form    Form
	Chat    bool
	Prompt  uint64   // hash of the prompt, by which eval_fraction and split tell prompts apart
	Columns []Column // in the row's order
	Texts   []Text   // what people wrote, by column

	row          row
	conversation conversation
}

// Column is a value of a row.
type Column struct {
	Name  string // as the row has it
	Ours  string // as it is read; empty if it is not
	Value json.RawMessage
}

// Text is the length of a text, or of all contents of messages together.
type Text struct {
	Name       string // prompt, chosen, rejected or completion
	Characters int
}

// Scan reads the rows of a source without a tokenizer and gives each to f, in order. A row that cannot be read is an error that names it.
func Scan(s Source, progress func(done, total int64), f func(*Plain) error) error {
	return eachFileOf(s, progress, func(in *rows.Reader, name string, read func()) error {
		return scan(in, name, s, read, f)
	})
}

func scan(in *rows.Reader, name string, s Source, progress func(), f func(*Plain) error) error {
	read := rowsOf(in, s)
	for n := 1; ; n++ {
		item, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		p := &Plain{File: name, Line: item.Number, ByRow: in.ByRow()}
		if err = item.Err; err == nil {
			err = p.read(item.Text, read)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", in.Place(item.Number), err)
		}
		if err := f(p); err != nil {
			return err
		}
		if n%batchRows == 0 {
			progress()
		}
	}
}

func (p *Plain) read(text []byte, read rowReader) (err error) {
	if p.row, err = read.parse(text); err != nil {
		return err
	}
	err = eachField(text, func(name string, value json.RawMessage) (err error) {
		ours := read.naming.of(name)
		if read.allText {
			value, err = fromText(ours, value)
		}
		if !slices.Contains(Columns(), ours) {
			ours = ""
		}
		p.Columns = append(p.Columns, Column{name, ours, value})
		return err
	})
	if err != nil {
		return err
	}
	p.Form = p.row.form()
	if p.Form == Lists {
		ranking, err := p.row.ranking()
		if err != nil {
			return err
		}
		p.conversation.prompt = p.row.cells["prompt"]
		for _, one := range ranking {
			p.conversation.completions = append(p.conversation.completions, one.completion)
		}
	} else if p.conversation, err = p.row.conversation(p.Form); err != nil {
		return err
	}
	c := p.conversation
	p.Chat, p.Prompt = c.isChat(), hashPrompt(c)
	p.Texts = append(p.Texts, Text{"prompt", c.prompt.characters()})
	for i, completion := range c.completions {
		name := "completion"
		if p.Form == Pairs {
			name = [...]string{"chosen", "rejected"}[i]
		}
		p.Texts = append(p.Texts, Text{name, completion.characters()})
	}
	return nil
}

func (c cell) characters() int {
	n := 0
	for _, text := range c.texts() {
		n += utf8.RuneCountInString(text)
	}
	return n
}

// Where names the row in messages.
func (p *Plain) Where() string { return rows.Place(p.File, p.Line, p.ByRow) }

// JSON is the row as Line has it, with the names of its columns; cells of a table are what they stand for.
func (p *Plain) JSON() []byte { return Line(p.Columns) }

// Line is a row as a line of JSON: an object with its columns, and the line end.
func Line(columns []Column) []byte {
	var b bytes.Buffer
	for i, c := range columns {
		b.WriteByte("{,"[min(i, 1)])
		b.Write(quoted(c.Name))
		b.WriteByte(':')
		if json.Compact(&b, c.Value) != nil {
			panic("data: a value that was read is not JSON")
		}
	}
	if len(columns) == 0 {
		b.WriteByte('{')
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// quoted is a text as JSON writes it, with letters left as they are.
func quoted(text string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(text) != nil {
		panic("data: a text has no JSON")
	}
	return bytes.TrimSpace(b.Bytes())
}

// of is the value of a column by our name; nil if there is none.
func (p *Plain) of(ours string) json.RawMessage {
	for _, c := range p.Columns {
		if c.Ours == ours && string(c.Value) != "null" {
			return c.Value
		}
	}
	return nil
}

var (
	errNoPair  = errors.New("a single completion, which has nothing to be compared with; pairs are made of pairs and of ranked rows")
	errNoLabel = errors.New("a completion without a label; unpaired rows are made of pairs, ranked rows and rows with a label")
)

// Pairs are the row as pairs with the columns prompt, chosen and rejected: itself with its prompt spelled out, or of a ranked row those of the rule
// Options.RankedPairs. Columns of a pair that are not its texts go with it, under our names where they are read.
func (p *Plain) Pairs(o Options) ([][]Column, error) {
	switch p.Form {
	case Lists:
		return p.rankedPairs(o)
	case Pairs:
	default:
		return nil, errNoPair
	}
	prompt, sides := p.of("prompt"), [2]json.RawMessage{p.of("chosen"), p.of("rejected")}
	if prompt == nil {
		prompt, sides = p.splitRaw(sides)
	}
	columns := []Column{{"prompt", "prompt", prompt}, {"chosen", "chosen", sides[0]}, {"rejected", "rejected", sides[1]}}
	return [][]Column{append(columns, p.others("prompt", "chosen", "rejected", "completion", "label", "completions", "scores", "text")...)}, nil
}

// others are the columns but for some, by our names.
func (p *Plain) others(but ...string) []Column {
	var columns []Column
	for _, c := range p.Columns {
		if slices.Contains(but, c.Ours) || c.Ours == "" && slices.Contains(but, c.Name) {
			continue
		}
		if c.Ours != "" {
			c.Name = c.Ours
		}
		columns = append(columns, c)
	}
	return columns
}

// splitRaw takes what both sides begin with for the prompt, as the conversation has it.
func (p *Plain) splitRaw(sides [2]json.RawMessage) (prompt json.RawMessage, rest [2]json.RawMessage) {
	c := p.conversation
	if !c.isChat() {
		return quoted(c.prompt.text), [2]json.RawMessage{quoted(c.completions[0].text), quoted(c.completions[1].text)}
	}
	n := len(c.prompt.messages)
	for i, side := range sides {
		var messages []json.RawMessage
		if json.Unmarshal(side, &messages) != nil {
			panic("data: messages that were read are no list")
		}
		if i == 0 {
			prompt = listOf(messages[:n])
		}
		rest[i] = listOf(messages[n:])
	}
	return prompt, rest
}

func listOf(values []json.RawMessage) json.RawMessage {
	var texts []string
	for _, v := range values {
		texts = append(texts, string(v))
	}
	return json.RawMessage("[" + strings.Join(texts, ",") + "]")
}

// rankedPairs are those of a ranked row.
func (p *Plain) rankedPairs(o Options) ([][]Column, error) {
	ranking, err := p.row.ranking()
	if err != nil {
		return nil, err
	}
	raws, _ := elements(p.row.completions)
	prompt := p.of("prompt")
	if prompt == nil {
		return nil, fmt.Errorf("%s; a row with completions needs one", p.row.absent("prompt"))
	}
	if ranking[0].score == ranking[len(ranking)-1].score {
		return nil, nil // nothing is better than anything
	}
	chosen, _ := pairs(ranking, o.RankedPairs, o.Seed, p.Line)
	var all [][]Column
	for _, pair := range chosen {
		a, b := ranking[pair[0]], ranking[pair[1]]
		columns := []Column{{"prompt", "prompt", prompt}, {"chosen", "chosen", raws[a.number-1]}, {"rejected", "rejected", raws[b.number-1]}}
		if p.row.scores != nil {
			columns = append(columns, Column{"chosen_score", "chosen_score", number(a.score)}, Column{"rejected_score", "rejected_score", number(b.score)})
		}
		all = append(all, append(columns, p.others("prompt", "chosen", "rejected", "completion", "label", "completions", "scores", "text", "chosen_score", "rejected_score", "margin")...))
	}
	return all, nil
}

func number(v float64) json.RawMessage {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a number that was read has a JSON form
	}
	return text
}

// Unpaired are the row as unpaired rows with the columns prompt, completion and label: itself, or of every pair the chosen completion to learn and the
// rejected one to unlearn.
func (p *Plain) Unpaired(o Options) ([][]Column, error) {
	if p.Form == Labelled {
		columns := []Column{{"prompt", "prompt", p.of("prompt")}, {"completion", "completion", p.of("completion")}, {"label", "label", p.of("label")}}
		if s := string(p.of("label")); s != "true" && s != "false" {
			return nil, fmt.Errorf("label: %s; want true or false", short(s))
		}
		return [][]Column{append(columns, p.others("prompt", "completion", "label", "chosen", "rejected")...)}, nil
	}
	paired, err := p.Pairs(o)
	if errors.Is(err, errNoPair) {
		err = errNoLabel
	}
	var all [][]Column
	for _, pair := range paired {
		for i, label := range []string{"true", "false"} {
			columns := []Column{pair[0], {"completion", "completion", pair[1+i].Value}, {"label", "label", json.RawMessage(label)}}
			for _, c := range pair[3:] { // what is of both sides would be wrong beside one
				if c.Ours == "" || slices.Contains([]string{"weight", "tools", "chat_template_kwargs", "tag"}, c.Ours) {
					columns = append(columns, c)
				}
			}
			all = append(all, columns)
		}
	}
	return all, err
}
