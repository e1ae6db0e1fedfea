package data

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/chat"
	"dpotrain/internal/tokenizer"
)

// letters is a tokenizer whose ids can be read: a byte is its own id, and so is each of pieces.
// Where a piece fits, it is taken; with several, the first.
type letters struct {
	pieces     []string
	atEnd      string // one more, which is taken at the end of a text alone
	bos        bool   // there is a BOS token, written <s>, and one in front
	eos        bool   // there is an EOS token, written </s>
	appendsEOS bool   // an EOS id behind
}

const (
	bosID = 300 + iota
	eosID
	firstPiece
)

func (l letters) EOS() (tokenizer.Special, bool) {
	return tokenizer.Special{ID: eosID, Text: "</s>"}, l.eos
}

func (l letters) BOS() (tokenizer.Special, bool) {
	return tokenizer.Special{ID: bosID, Text: "<s>"}, l.bos
}

func (l letters) AppendsEOS() bool { return l.appendsEOS }

func (l letters) Encode(text string, addSpecial bool) (e tokenizer.Encoding, err error) {
	add := func(id int32, start, end int) {
		e.IDs, e.Offsets = append(e.IDs, id), append(e.Offsets, tokenizer.Offset{Start: int32(start), End: int32(end)})
	}
	if addSpecial && l.bos {
		add(bosID, 0, 0)
	}
	for i := 0; i < len(text); {
		id, n := int32(text[i]), 1
		if l.eos && strings.HasPrefix(text[i:], "</s>") {
			id, n = eosID, len("</s>")
		}
		if l.bos && strings.HasPrefix(text[i:], "<s>") {
			id, n = bosID, len("<s>")
		}
		for k, p := range l.pieces {
			if n == 1 && strings.HasPrefix(text[i:], p) {
				id, n = int32(firstPiece+k), len(p)
			}
		}
		if n == 1 && text[i:] == l.atEnd {
			id, n = int32(firstPiece+len(l.pieces)), len(l.atEnd)
		}
		add(id, i, i+n)
		i += n
	}
	if addSpecial && l.appendsEOS {
		add(eosID, 0, 0)
	}
	return e, nil
}

// show writes a sequence: ^ for BOS, $ for EOS, (pieces), and | where the scored part begins.
func (l letters) show(s Sequence) string {
	var b strings.Builder
	for i, id := range s.IDs {
		if i == s.First {
			b.WriteByte('|')
		}
		switch {
		case id == bosID:
			b.WriteByte('^')
		case id == eosID:
			b.WriteByte('$')
		case id >= firstPiece:
			fmt.Fprintf(&b, "(%s)", append(slices.Clone(l.pieces), l.atEnd)[id-firstPiece])
		default:
			b.WriteByte(byte(id))
		}
	}
	return b.String()
}

// showAll writes the sequences of an example, with a blank between them.
func (l letters) showAll(e Example) string {
	var s []string
	for _, q := range e.Sequences {
		s = append(s, l.show(q))
	}
	return strings.Join(s, " ")
}

// plainTemplate writes a message as its role's first letter, a colon and the content, then a semicolon.
const plainTemplate = `{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}`

func template(t testing.TB, source string) *chat.Template {
	t.Helper()
	tpl, err := chat.New("chat_template.jinja", source, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tpl
}
