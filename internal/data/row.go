package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"dpotrain/internal/chat"
	"dpotrain/internal/rows"
)

// columns are the texts that rows are made of. With those of numbers (numberColumns) and otherColumns they are all that is read; a row may
// have others, which are left alone.
var columns = []string{"prompt", "chosen", "rejected", "completion", "text", "sft_target"}

// otherColumns are the label of an unpaired row, those of a ranked row, and what a row's chat template is given besides the messages, as TRL reads it.
var otherColumns = []string{"label", "completions", "scores", "tools", "chat_template_kwargs", "tag"}

// refused are columns of other trainers that change the text a model sees. A row that uses one is an error: to leave the
// column alone would train on something else.
var refused = map[string]string{
	"image":  "only text is read; take such rows out",
	"images": "only text is read; take such rows out",
}

// cell is a column's value: text or messages.
type cell struct {
	text     string
	messages []chat.Message // nil for text
}

func (c cell) isChat() bool { return c.messages != nil }

// empty says that there is nothing to score.
func (c cell) empty() bool {
	return c.text == "" && !slices.ContainsFunc(c.messages, func(m chat.Message) bool { return !m.Empty() })
}

// row is the columns of a line.
type row struct {
	cells   map[string]cell
	numbers map[string]json.RawMessage // of numberColumns, as they stand there; nil: none
	label   json.RawMessage            // of the column label, as it stands there; nil: none
	vars    chat.Vars                  // for the chat template, of the columns tools and chat_template_kwargs

	completions, scores json.RawMessage // of the columns of ranked rows, as they stand there; nil: none, or null
	tag                 json.RawMessage // likewise of tag
	read                []string        // columns that were read, by our names
	names               []string        // of all columns, as the row has them, in order
	naming              naming
	filter              *Filter
}

// rowReader reads the rows of a file.
type rowReader struct {
	allText bool // every value is a text, for the format has no other
	inLine  bool // a row is a line
	naming  naming
	filter  Filter
}

// rowsOf reads the rows of a file of a data set.
func rowsOf(in *rows.Reader, s Source) rowReader {
	return rowReader{allText: in.AllText(), inLine: in.ByLine(), naming: newNaming(s.Columns), filter: s.Filter}
}

// parse reads a row.
func (rr rowReader) parse(line []byte) (row, error) {
	r := row{cells: map[string]cell{}, naming: rr.naming, filter: &rr.filter}
	if !utf8.Valid(line) {
		return r, errors.New("invalid UTF-8; save the file as UTF-8")
	}
	if manyValues(line) {
		return r, fmt.Errorf("more than %d values, which would take many times its size in memory; leave columns out, or give long lists as texts", maxValues)
	}
	if !json.Valid(line) || line[0] != '{' {
		return r, rr.notObject(line)
	}
	return r, eachField(line, func(name string, raw json.RawMessage) (err error) {
		r.names = append(r.names, name)
		ours := rr.naming.of(name)
		if rr.allText {
			raw, err = fromText(ours, raw)
		}
		if err == nil {
			err = r.add(ours, raw)
		}
		if err != nil {
			if name != ours && slices.Contains(Columns(), ours) {
				name = fmt.Sprintf("%s (%s)", short(name), ours)
			} else {
				name = short(name)
			}
			err = fmt.Errorf("%s: %w", name, err)
		}
		return err
	})
}

// maxValues bounds the objects, lists and what stands in them, texts and numbers, of a row: a value takes up to some 400 bytes.
const maxValues = 1 << 17

// manyValues says that a row has more than that. A short one has not.
func manyValues(line []byte) bool {
	if len(line) <= maxValues {
		return false
	}
	n, text := 0, false
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '"':
			text = !text
		case '\\':
			i++
		case '{', '[', ',':
			if !text {
				n++
			}
		}
	}
	return n > maxValues
}

// notObject says what a line is that is not a JSON object.
func (rr rowReader) notObject(line []byte) error {
	switch {
	case line[0] != '{' && !rr.inLine:
		return &formError{"not a JSON object; want a list of objects, or one object a line"}
	case line[0] == '[':
		return &formError{"a JSON list; want one object a line, which jq -c '.[]' makes of a list of them"}
	case line[0] != '{':
		return &formError{"not a JSON object; want one object a line"}
	}
	var object json.RawMessage
	d := json.NewDecoder(bytes.NewReader(line))
	if err := d.Decode(&object); err != nil {
		return rr.syntaxError(line)
	}
	return fmt.Errorf("more after the object: %q; want one object a line", short(string(bytes.TrimSpace(line[d.InputOffset():]))))
}

// eachField calls f with the fields of a valid JSON object in order, up to an error.
func eachField(object []byte, f func(name string, value json.RawMessage) error) error {
	for at := 1; ; {
		for at < len(object) && object[at] != '"' && object[at] != '}' {
			at++
		}
		if object[at] == '}' {
			return nil
		}
		end := at + valueLength(object[at:])
		name, err := unquote(object[at:end])
		if err != nil {
			return err
		}
		at = end + bytes.IndexByte(object[end:], ':') + 1
		at += len(object[at:]) - len(bytes.TrimLeft(object[at:], " \t\r\n"))
		end = at + valueLength(object[at:])
		if err := f(name, json.RawMessage(object[at:end])); err != nil {
			return err
		}
		at = end
	}
}

// valueLength is the length of the valid JSON value that text begins with, which goes on behind it.
func valueLength(text []byte) int {
	depth := 0
	for i := 0; ; i++ {
		switch text[i] {
		case '"':
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 { // behind a number or a word
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
}

// unquote is the text of a valid JSON string.
func unquote(raw []byte) (text string, err error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	err = json.Unmarshal(raw, &text)
	return text, err
}

// add takes in a column by our name for it. Null is taken for a column that is not there.
func (r *row) add(name string, raw json.RawMessage) (err error) {
	if advice, no := refused[name]; no && !slices.Contains([]string{"null", "[]", "{}", `""`}, string(raw)) {
		return errors.New(advice)
	}
	if !slices.Contains(Columns(), name) {
		return nil
	}
	if slices.Contains(r.read, name) {
		return errors.New("stands twice in the row; leave one out")
	}
	r.read = append(r.read, name)
	switch {
	case string(raw) == "null":
	case slices.Contains(columns, name):
		r.cells[name], err = parseCell(raw)
	case name == "label":
		r.label = raw
	case name == "tag":
		r.tag = raw
	case name == "tools" || name == "chat_template_kwargs":
		err = r.addVars(name, raw)
	case name == "completions":
		r.completions = raw
	case name == "scores":
		r.scores = raw
	default:
		if r.numbers == nil {
			r.numbers = map[string]json.RawMessage{}
		}
		r.numbers[name] = raw
	}
	return err
}

// addVars takes in variables for the chat template. Those of chat_template_kwargs go above the column tools, as in TRL.
func (r *row) addVars(name string, raw json.RawMessage) error {
	if err := checkSurrogates(raw); err != nil {
		return err
	}
	if name == "tools" {
		tools, err := chat.ParseTools(string(raw))
		r.vars = tools.With(r.vars)
		return err
	}
	vars, err := chat.ParseVars(string(raw))
	r.vars = r.vars.With(vars)
	return err
}

// absent says why a column is not there.
func (r row) absent(name string) string {
	if slices.Contains(r.read, name) {
		return r.naming.called(name) + ": null"
	}
	if theirs, ok := r.naming.theirs[name]; ok {
		return fmt.Sprintf("%s: missing, for there is no column %s%s", name, theirs, r.others())
	}
	return name + ": missing" + r.others()
}

// formError is that of a row which, as the first of a file, shows that the file is no JSONL at all.
type formError struct{ text string }

func (e *formError) Error() string { return e.text }

// syntaxError says where a line that begins as an object is not JSON.
func (rr rowReader) syntaxError(line []byte) error {
	var any json.RawMessage
	wrong, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(line, &any))
	if !ok || int(wrong.Offset) >= len(line) && strings.Contains(wrong.Error(), "unexpected end") {
		return &formError{"not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"}
	}
	text := strings.NewReplacer("looking for beginning of object key string", "where a key in double quotes belongs", "looking for beginning of value", "where a value belongs").Replace(wrong.Error())
	what := "row"
	if rr.inLine {
		what = "line"
	}
	advice := "mend the " + what
	if at := wrong.Offset - 1; at >= 0 && at < int64(len(line)) && line[at] == '\'' {
		advice = "JSON has double quotes"
	}
	return fmt.Errorf("not JSON at byte %d of the %s: %s; %s", wrong.Offset, what, text, advice)
}

// fromText is the value that a cell of a table of texts stands for. A list of messages is taken as such where a text might stand; in other
// columns what is JSON is taken as that, and an empty cell is one that is not there.
func fromText(name string, raw json.RawMessage) (json.RawMessage, error) {
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, err
	}
	trimmed := strings.TrimSpace(text)
	if slices.Contains(columns, name) && !(name == "sft_target" && trimmed == "") { // which a row need not have
		if !strings.HasPrefix(trimmed, "[") {
			return raw, nil
		}
		if _, err := chat.ParseMessages(json.RawMessage(trimmed)); err == nil {
			return json.RawMessage(trimmed), nil
		}
		if pythonList.MatchString(trimmed) {
			return nil, errors.New("a list of messages as Python prints it; write it with json.dumps, or the rows as JSONL")
		}
		return raw, nil
	}
	switch {
	case trimmed == "":
		return json.RawMessage("null"), nil
	case trimmed == "True" || trimmed == "False": // as pandas writes them
		return json.RawMessage(strings.ToLower(trimmed)), nil
	case json.Valid([]byte(trimmed)):
		return json.RawMessage(trimmed), nil
	}
	return raw, nil
}

// pythonList is the beginning of a list of messages that was not written as JSON.
var pythonList = regexp.MustCompile(`^\[\s*\{\s*'(role|content)'\s*:`)

// short cuts what is quoted from a file down to what a message has room for.
func short(s string) string {
	const limit = 40
	if len(s) <= limit {
		return s
	}
	n := limit
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

func parseCell(raw json.RawMessage) (c cell, err error) {
	if err := checkSurrogates(raw); err != nil {
		return c, err
	}
	switch raw[0] {
	case '"':
		c.text, err = unquote(raw)
		return c, err
	case '[':
		c.messages, err = chat.ParseMessages(raw)
		return c, err
	}
	return c, fmt.Errorf("%s; want text or a list of messages", short(string(raw)))
}

// checkSurrogates refuses half of a character escaped as two: encoding/json would put another in its place without a word.
func checkSurrogates(raw json.RawMessage) error {
	if at := loneSurrogate(raw); at >= 0 {
		return fmt.Errorf("%s is half of a character; it was cut in two where the file was made", raw[at:at+6])
	}
	return nil
}

// loneSurrogate finds a \u escape of one half of a surrogate pair without the other in valid JSON; -1 if there is none.
func loneSurrogate(raw []byte) int {
	unit := func(i int) (u rune, ok bool) { // what the \u escape at i stands for
		if i+6 > len(raw) || raw[i] != '\\' || raw[i+1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(raw[i+2:i+6]), 16, 16)
		return rune(n), err == nil
	}
	for i := 0; ; {
		next := bytes.IndexByte(raw[i:], '\\')
		if next < 0 {
			return -1
		}
		i += next
		u, ok := unit(i)
		switch {
		case !ok:
			i += len(`\n`)
		case !utf16.IsSurrogate(u):
			i += len(`\u0000`)
		default:
			other, _ := unit(i + len(`\u0000`))
			if utf16.DecodeRune(u, other) == utf8.RuneError {
				return i
			}
			i += 2 * len(`\u0000`)
		}
	}
}

// conversation is a prompt and the completions that follow it, all text or all messages.
type conversation struct {
	prompt      cell
	completions []cell
	unprompted  bool      // a text that is scored as a whole
	vars        chat.Vars // for the chat template
}

func (c conversation) isChat() bool { return c.completions[0].isChat() }

// asks is what is shown of the prompt: its text, or that of its last message.
func (c conversation) asks() string {
	if n := len(c.prompt.messages); n > 0 {
		return c.prompt.messages[n-1].Text()
	}
	return c.prompt.text
}

// key is that of the prompt.
func (c conversation) key() promptKey { return promptKey{hashPrompt(c), c.asks()} }

// conversation finds out what a row holds.
func (r row) conversation(form Form) (conversation, error) {
	var names []string
	switch {
	case form == Lists && !r.has("chosen") && !r.has("rejected"):
		return conversation{}, fmt.Errorf("completions: missing%s; a ranked row has prompt and completions, best first or with scores, a pair prompt, chosen and rejected", r.others())
	case form == Pairs || form == Lists:
		names = []string{"chosen", "rejected"}
	case r.has("completion"):
		names = []string{"completion"}
	case form == Labelled:
		names = []string{"chosen", "rejected"}
		if !r.has("chosen") && !r.has("rejected") {
			return conversation{}, fmt.Errorf("no column completion%s; an unpaired row has prompt, completion and label, a pair prompt, chosen and rejected", r.others())
		}
	case r.has("chosen"):
		names = []string{"chosen"}
	case r.has("text"):
		c := r.cells["text"]
		switch {
		case c.isChat():
			return conversation{}, errors.New("text: a list of messages; want text, or the columns prompt and completion")
		case r.has("prompt"):
			return conversation{}, errors.New("prompt and text in one row; want prompt and completion, or text alone, which is scored as a whole")
		}
		return conversation{completions: []cell{c}, unprompted: true}, nil
	default:
		return conversation{}, fmt.Errorf("no column completion, chosen or text%s; a row of a loss without pairs has prompt and completion, prompt and chosen, or text", r.others())
	}
	var c conversation
	for _, n := range names {
		if !r.has(n) {
			return c, fmt.Errorf("%s; a pair has prompt, chosen and rejected", r.absent(n))
		}
		c.completions = append(c.completions, r.cells[n])
	}
	prompt, given := r.cells["prompt"]
	// A text beside messages is the question that they answer, or stands within them once more, as UltraFeedback's does.
	within := given && !prompt.isChat() && !slices.ContainsFunc(c.completions, func(c cell) bool { return !c.isChat() })
	if within && !slices.ContainsFunc(c.completions, func(c cell) bool { return c.messages[0].Role != "assistant" }) {
		prompt, within = cell{messages: []chat.Message{chat.User(prompt.text)}}, false
	}
	if given && !within {
		c.prompt = prompt
		return c, sameKind(append([]cell{c.prompt}, c.completions...))
	}
	if form == Completions && names[0] == "chosen" && r.has("rejected") { // for the prompt alone
		c.completions = append(c.completions, r.cells["rejected"])
	}
	switch {
	case len(c.completions) == 2:
		if err := sameKind(c.completions); err != nil {
			return c, err
		}
		c.splitPrompt()
		c.completions = c.completions[:len(names)]
		return c, nil
	case within: // all but the last message
		whole := c.completions[0].messages
		c.prompt.messages, c.completions[0].messages = whole[:len(whole)-1:len(whole)-1], whole[len(whole)-1:]
		return c, nil
	case slices.Contains(r.read, "prompt"):
		return c, fmt.Errorf("%s: null; a row with %s needs one", r.naming.called("prompt"), names[0])
	}
	return c, fmt.Errorf("prompt: missing; a row with %s needs one", names[0])
}

func (r row) has(name string) bool { _, ok := r.cells[name]; return ok }

// others says in brackets which columns there are, where one is missing.
func (r row) others() string {
	const limit = 8
	var names []string
	for _, n := range r.names[:min(len(r.names), limit)] {
		names = append(names, short(n))
	}
	if len(r.names) > limit {
		names = append(names, "...")
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf(" (there are %s)", strings.Join(names, ", "))
}

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
