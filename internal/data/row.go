package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"dpotrain/internal/chat"
)

// columns are those that rows are made of; a row may have others, which are left alone.
var columns = []string{"prompt", "chosen", "rejected", "completion", "text"}

// cell is a column's value: text or messages.
type cell struct {
	text     string
	messages []chat.Message // nil for text
}

func (c cell) isChat() bool { return c.messages != nil }

// row is the columns of a line.
type row map[string]cell

// parseRow reads a line.
func parseRow(line []byte) (row, error) {
	if !utf8.Valid(line) {
		return nil, errors.New("invalid UTF-8; save the file as UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(line))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object; one object a line is wanted")
	}
	r := row{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, syntaxError(err)
		}
		name := t.(string) // an object's keys are strings
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, syntaxError(err)
		}
		if !slices.Contains(columns, name) {
			continue
		}
		if _, twice := r[name]; twice {
			return nil, fmt.Errorf("%s: stands twice in the row", name)
		}
		if r[name], err = parseCell(raw); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, syntaxError(err)
	}
	if rest := bytes.TrimSpace(line[d.InputOffset():]); len(rest) > 0 {
		return nil, fmt.Errorf("more after the object: %.20q; one object a line is wanted", rest)
	}
	return r, nil
}

func syntaxError(err error) error {
	return fmt.Errorf("not JSON: %s; one whole object a line is wanted", strings.TrimPrefix(err.Error(), "json: "))
}

func parseCell(raw json.RawMessage) (c cell, err error) {
	switch raw[0] {
	case '"':
		return c, json.Unmarshal(raw, &c.text)
	case '[':
		c.messages, err = chat.ParseMessages(raw)
		return c, err
	}
	return c, fmt.Errorf("%.20s: want text or a list of messages", raw)
}

// conversation is a prompt and the completions that follow it, all text or all messages.
type conversation struct {
	prompt      cell
	completions []cell
	unprompted  bool // a text that is scored as a whole
}

// conversation finds out what a row holds.
func (r row) conversation(form Form) (conversation, error) {
	var names []string
	switch {
	case form == Pairs:
		names = []string{"chosen", "rejected"}
	case r.has("completion"):
		names = []string{"completion"}
	case r.has("chosen"):
		names = []string{"chosen"}
	case r.has("text"):
		c := r["text"]
		if c.isChat() {
			return conversation{}, errors.New("text: a list of messages; want text, or the columns prompt and completion")
		}
		return conversation{completions: []cell{c}, unprompted: true}, nil
	default:
		return conversation{}, errors.New("no column completion, chosen or text; a row for loss sft has prompt and completion, prompt and chosen, or text")
	}
	var c conversation
	for _, n := range names {
		if !r.has(n) {
			return c, fmt.Errorf("%s: missing; a pair has prompt, chosen and rejected", n)
		}
		c.completions = append(c.completions, r[n])
	}
	if r.has("prompt") {
		c.prompt = r["prompt"]
	} else if form == Pairs || r.has("rejected") && names[0] == "chosen" {
		if form == Completions {
			c.completions = append(c.completions, r["rejected"])
		}
		if err := sameKind(c.completions); err != nil {
			return c, err
		}
		c.splitPrompt()
		c.completions = c.completions[:len(names)]
		return c, nil
	} else {
		return c, fmt.Errorf("prompt: missing; a row with %s needs one", names[0])
	}
	return c, sameKind(append([]cell{c.prompt}, c.completions...))
}

func (r row) has(name string) bool { _, ok := r[name]; return ok }

func sameKind(cells []cell) error {
	for _, c := range cells[1:] {
		if c.isChat() != cells[0].isChat() {
			return errors.New("text in one column and messages in another; want one kind in a row")
		}
	}
	return nil
}

// splitPrompt takes what both completions begin with as the prompt, by the rule of TRL's extract_prompt: text is cut
// where the two first differ, before a space if there is one; where one is the beginning of the other, the last common
// piece stays with the completions.
func (c *conversation) splitPrompt() {
	a, b := c.completions[0], c.completions[1]
	if a.isChat() {
		n := commonMessages(a.messages, b.messages)
		if n == min(len(a.messages), len(b.messages)) {
			n--
		}
		c.prompt.messages = a.messages[:n:n]
		for i := range c.completions {
			c.completions[i].messages = c.completions[i].messages[n:]
		}
		return
	}
	n := 0
	for n < len(a.text) && n < len(b.text) && a.text[n] == b.text[n] {
		n++
	}
	whole := n == min(len(a.text), len(b.text))
	for n > 0 && n < len(a.text) && !utf8.RuneStart(a.text[n]) {
		n--
	}
	if whole && n > 0 {
		_, w := utf8.DecodeLastRuneInString(a.text[:n])
		n -= w
	} else if n > 0 && a.text[n-1] == ' ' {
		n--
	}
	c.prompt.text = a.text[:n]
	for i := range c.completions {
		c.completions[i].text = c.completions[i].text[n:]
	}
}

func commonMessages(a, b []chat.Message) int {
	n := 0
	for n < len(a) && n < len(b) && a[n].Equal(b[n]) {
		n++
	}
	return n
}
