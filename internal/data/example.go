package data

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"dpotrain/internal/chat"
	"dpotrain/internal/tokenizer"
)

// maker makes examples of rows.
type maker struct {
	ctx       context.Context // of the call
	encoder   Encoder
	template  *chat.Template // nil: none
	vars      chat.Vars      // for the template, below those of a row
	options   Options
	form      Form
	wanted    Wanted
	store     Store
	tokenizer string       // what names it in keys of stores
	watch     *watch       // nil but for Show
	stops     atomic.Int64 // rows at which the template was stopped
}

// made is what became of a row.
type made struct {
	example   Example    // with form Labelled one that is not labelled yet is a pair, to be taken apart
	ranking   []ranked   // of a ranked row of which pairs are to be made, and which has no example yet; best first
	weight    float64    // of a ranked row
	key       promptKey  // of its prompt
	drop      dropReason // not kept: why
	across    bool       // a token that is scored begins in the prompt
	other     bool       // none does, but the prompt's ids are others without a completion
	twoBOS    bool       // a text begins with BOS, and the tokenizer puts another in front
	target    *Sequence  // of sft_target; nil: none
	unread    bool       // sft_target is there, and nothing is imitated
	unwanted  bool       // label is false, and nobody asked
	ignored   []string   // variables of the chat template that the text does not depend on
	untrusted bool       // the reference's log-probs are there, and nobody asked
	noEOS     bool       // a text that got no end-of-text token, for there is none
	truncated [2]int     // sequences that were cut: chosen or only one, rejected
	longest   int        // tokens, before truncation

	emptied, repeated, tied int // completions of a ranked row that were left out: empty, the same as a better one, of the same score in a list
}

// make turns the text of a row into an example.
func (m *maker) make(text []byte, read rowReader) (out made, err error) {
	r, err := read.parse(text)
	if err != nil {
		return out, err
	}
	if m.watch != nil {
		m.watch.row = r
	}
	form := m.form
	if form == AnyForm {
		form = r.form()
	}
	if (form == Pairs || form == Lists) && r.completions == nil && r.isUnpaired() && !r.has("chosen") && !r.has("rejected") {
		return out, m.wanted.unpaired()
	}
	if r.isRanked(form) {
		return m.makeRanked(r, form)
	}
	c, err := r.conversation(form)
	if err != nil {
		return out, err
	}
	out.untrusted = !m.wanted.RefLogps && r.hasNumber("ref_chosen_logps")
	c.vars = m.vars.With(r.vars)
	if m.watch != nil {
		m.watch.conversation = c
	}
	out.unwanted = form == Completions && string(r.label) == "false"
	if form == Labelled && len(c.completions) == 1 {
		if out.example.Label, err = r.readLabel(&m.wanted); err != nil {
			return out, err
		}
	}
	out.key = c.key()
	if err := m.checkRoles(r); err != nil {
		return out, err
	}
	out.ignored = m.ignored(c)
	for i, completion := range c.completions {
		if completion.empty() {
			out.drop = emptySide(out.example.side(i))
			return out, nil
		}
	}
	if _, ok := m.encoder.EOS(); !ok && !c.isChat() {
		out.noEOS = true
	}
	p, err := m.prompt(c)
	if err != nil {
		return out, err
	}
	for _, completion := range c.completions {
		s, err := m.sequence(p, c, completion, &out)
		if err != nil {
			return out, err
		}
		out.longest = max(out.longest, len(s.IDs))
		out.example.Sequences = append(out.example.Sequences, s)
	}
	if takes, err := r.filter.takes(r, out.longest, nil); err != nil || !takes {
		out.drop = dropFiltered
		return out, err
	}
	if identical(out.example.Sequences) {
		out.drop = dropIdentical
		return out, nil
	}
	if m.truncate(&out); out.drop != kept {
		return out, nil
	}
	if ok, err := m.readTarget(r, form, c, p, &out); err != nil {
		return out, err
	} else if !ok {
		out.drop = dropTruncatedAway
		return out, nil
	}
	m.imitate(&out.example, out.target)
	out.example.Numbers, err = m.wanted.numbers(r)
	return out, err
}

// truncate cuts the sequences of an example, or says why that leaves none.
func (m *maker) truncate(out *made) {
	for i, s := range out.example.Sequences {
		cut := m.options.truncate(s)
		if len(cut.IDs) < len(s.IDs) {
			out.truncated[out.example.side(i)]++
		}
		if cut.First >= len(cut.IDs) {
			out.drop = emptySide(out.example.side(i))
			if len(cut.IDs) < len(s.IDs) {
				out.drop = dropTruncatedAway
			}
			return
		}
		cut.IDs = slices.Clone(cut.IDs) // which holds on to no memory besides
		out.example.Sequences[i] = cut
	}
	if identical(out.example.Sequences) {
		out.drop = dropIdenticalTruncated
	}
}

// ignored are the variables for the chat template that the text does not depend on.
func (m *maker) ignored(c conversation) []string {
	if c.isChat() && m.template != nil {
		return m.template.Ignores(c.vars)
	}
	return c.vars.Names()
}

// identical says that both sides are the same text, though after keep_end the border may lie elsewhere.
func identical(s []Sequence) bool { return len(s) == 2 && slices.Equal(s[0].IDs, s[1].IDs) }

func emptySide(side int) dropReason {
	if side == 1 {
		return dropEmptyRejected
	}
	return dropEmptyChosen
}

// side is 1 for a completion to unlearn, sequence i of the example: the rejected one of a pair, all but the best of a list, or that of an undesirable row. Else it is 0.
func (e *Example) side(i int) int {
	if e.Label == Undesirable || i > 0 {
		return 1
	}
	return 0
}

// roles are those that every chat template is taken to know.
var roles = []string{"system", "developer", "user", "assistant", "tool"}

// checkRoles refuses a role that is none of roles and that the chat template does not speak of: many templates write any
// role down, and a slip such as "assitant" would train a model to answer as someone else.
func (m *maker) checkRoles(r row) error {
	for _, name := range columns {
		if err := m.checkRole(name, r.cells[name]); err != nil {
			return err
		}
	}
	return nil
}

// checkRole does so for one text; name says in messages where it stands.
func (m *maker) checkRole(name string, c cell) error {
	if m.template == nil {
		return nil // messages will be refused
	}
	for i, message := range c.messages {
		role := message.Role
		if slices.Contains(roles, role) || m.template.KnowsRole(role) {
			continue
		}
		return fmt.Errorf("%s: message %d: role: %q is not known to the chat template; want %s", name, i+1, short(role), strings.Join(roles, ", "))
	}
	return nil
}

// prompt is what comes before the completions of a row.
type prompt struct {
	text string
	ids  []int32
}

func (m *maker) prompt(c conversation) (p prompt, err error) {
	if c.unprompted {
		return p, nil
	}
	p.text = c.prompt.text
	if c.isChat() {
		if p.text, err = m.renderPrompt(c); err != nil {
			return p, err
		}
	}
	e, err := m.encode(p.text, !c.isChat())
	p.ids = e.IDs
	return p, err
}

// sequence encodes prompt and completion as one text. Where that does not begin with the ids of the prompt alone, the
// first token that ends after the border is the first that is scored; what was found is noted in out.
func (m *maker) sequence(p prompt, c conversation, completion cell, out *made) (s Sequence, err error) {
	whole := p.text + completion.text
	if c.isChat() {
		if whole, err = m.renderWhole(p, c, completion.messages); err != nil {
			return s, err
		}
	} else if eos, ok := m.encoder.EOS(); ok && !strings.HasSuffix(whole, eos.Text) {
		whole += eos.Text
	}
	e, err := m.encode(whole, !c.isChat())
	if err != nil {
		return s, err
	}
	if bos, ok := m.encoder.BOS(); ok && !c.isChat() && len(e.IDs) > 1 && e.IDs[0] == bos.ID && e.IDs[1] == bos.ID {
		out.twoBOS = true
	}
	s = Sequence{IDs: e.IDs, First: len(p.ids)}
	if len(p.ids) > len(e.IDs) || !slices.Equal(p.ids, e.IDs[:len(p.ids)]) {
		s.First = slices.IndexFunc(e.Offsets, func(o tokenizer.Offset) bool { return int(o.End) > len(p.text) })
		switch {
		case s.First < 0: // the completion has no token
			s.First = len(e.IDs)
		case int(e.Offsets[s.First].Start) < len(p.text):
			out.across = true
		default:
			out.other = true
		}
	}
	s.First = max(s.First, 1)
	if m.watch != nil {
		m.watch.prompt = p.text
		m.watch.sides = append(m.watch.sides, watched{whole, s.First, e})
	}
	return s, nil
}

// renderPrompt gives the prompt's text, which ends where the assistant begins to speak.
func (m *maker) renderPrompt(c conversation) (string, error) {
	messages := c.prompt.messages
	switch {
	case m.template == nil:
		return "", fmt.Errorf("messages, and the model folder has no chat template; choose a format with chat_template (%s), or give text", strings.Join(chat.Formats(), ", "))
	case len(messages) == 0:
		return "", errors.New("no message before the completion; give at least one from the user")
	case messages[len(messages)-1].Role == "assistant":
		return "", errors.New("prompt: the last message is the assistant's; end the prompt with the user's")
	}
	return m.template.Render(messages, c.vars, true)
}

// renderWhole gives the text of the whole conversation, which has to begin with that of the prompt.
func (m *maker) renderWhole(p prompt, c conversation, completion []chat.Message) (string, error) {
	whole, err := m.template.Render(slices.Concat(c.prompt.messages, completion), c.vars, false)
	if err == nil && !strings.HasPrefix(whole, p.text) {
		err = errors.New("the chat template's text of the prompt is not the beginning of its text of the whole conversation; the template rewrites earlier messages")
	}
	return whole, err
}

// encode leaves out an end-of-text id that the tokenizer itself appends: a whole text has its own, a prompt none.
func (m *maker) encode(text string, addSpecial bool) (tokenizer.Encoding, error) {
	e, err := m.encoder.Encode(text, addSpecial)
	if err == nil && addSpecial && m.encoder.AppendsEOS() {
		n := len(e.IDs) - 1
		e.IDs, e.Offsets = e.IDs[:n], e.Offsets[:n]
	}
	return e, err
}

// truncate cuts a sequence to max_length ids from the end or the start.
func (o Options) truncate(s Sequence) Sequence {
	limit := o.MaxLength
	if limit == 0 || len(s.IDs) <= limit {
		return s
	}
	if o.TruncationMode == "keep_end" {
		cut := len(s.IDs) - limit
		return Sequence{IDs: s.IDs[cut:], First: max(s.First-cut, 1)}
	}
	return Sequence{IDs: s.IDs[:limit], First: s.First}
}

// Truncated is what would become of an example, which may be truncated already, with these options: ok is false if it would be left out.
func (o Options) Truncated(e Example) (cut Example, ok bool) {
	cut = e
	cut.Sequences = nil
	for _, s := range e.Sequences {
		s = o.truncate(s)
		same := func(other Sequence) bool { return slices.Equal(other.IDs, s.IDs) }
		if s.First < len(s.IDs) && (e.Label != Unlabelled || !slices.ContainsFunc(cut.Sequences, same)) {
			cut.Sequences = append(cut.Sequences, s)
		}
	}
	if s := e.Imitated; s != nil {
		short := o.truncate(*s)
		if cut.Imitated = &short; short.First >= len(short.IDs) {
			return cut, false
		}
	}
	return cut, len(cut.Sequences) >= min(2, len(e.Sequences))
}
