package data

import (
	"errors"
	"slices"
	"strings"
)

// This file has what the policy imitates beside a loss on pairs, where that is not the chosen completion as the loss sees it.

// readTarget makes the sequence of the column sft_target, where there is one and it is wanted. ok is false if nothing of it is left.
func (m *maker) readTarget(r row, form Form, c conversation, p prompt, out *made) (ok bool, err error) {
	switch {
	case !r.has("sft_target"):
		return true, nil
	case !m.wanted.SFT || form != Pairs && form != Lists:
		out.unread = true
		return true, nil
	}
	t, err := r.target(c)
	if err != nil {
		return false, err
	}
	s, err := m.sequence(p, c, t, out)
	if err != nil {
		return false, err
	}
	out.longest = max(out.longest, len(s.IDs))
	s = m.options.truncate(s)
	s.IDs = slices.Clone(s.IDs) // which holds on to no memory besides
	out.target = &s
	return s.First < len(s.IDs), nil
}

// imitate gives an example what is imitated: the target, or where there is none the chosen completion once more, if the loss has to see it without weights or with
// its prompt.
func (m *maker) imitate(e *Example, target *Sequence) {
	var s Sequence
	switch {
	case target != nil:
		s = *target
	case m.wanted.SFTPrompt || m.wanted.SFTPlain:
		s = e.Sequences[0]
	default:
		return
	}
	if m.wanted.SFTPrompt {
		s.First = 1
	}
	e.Imitated = &s
}

// target is the completion to imitate. Where the row has no prompt it begins with the one that was found, as chosen and rejected do.
func (r row) target(c conversation) (cell, error) {
	t := r.cells["sft_target"]
	if err := sameKind([]cell{c.completions[0], t}); err != nil {
		return t, err
	}
	if !r.has("prompt") {
		prompt := c.prompt
		n := len(prompt.messages)
		if !strings.HasPrefix(t.text, prompt.text) || commonMessages(t.messages, prompt.messages) < n {
			return t, errors.New("sft_target: does not begin with what chosen and rejected begin with; give the prompt in a column of its own")
		}
		t.text = t.text[len(prompt.text):]
		if t.isChat() {
			t.messages = t.messages[n:]
		}
	}
	if t.empty() {
		return t, errors.New("sft_target: empty text; give a completion, or leave the column out")
	}
	return t, nil
}
