package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// matchSet finds added tokens in a text: the leftmost, and of those the longest.
type matchSet struct {
	tree   *trie
	tokens []addedToken // by the tree's ids
	first  [256]bool    // bytes with which a token can begin
}

// newMatchSet takes the tokens by the texts that are looked for.
func newMatchSet(tokens map[string]addedToken) *matchSet {
	m := &matchSet{}
	var texts []string
	for text, a := range tokens {
		if text != "" {
			m.first[text[0]] = true
			texts, m.tokens = append(texts, text), append(m.tokens, a)
		}
	}
	m.tree = newTrie(texts)
	return m
}

// longest returns the longest token at the start of s, and its length; nil if there is none.
func (m *matchSet) longest(s string) (*addedToken, int) {
	var token *addedToken
	length := 0
	node := int32(trieRoot)
	for i := range len(s) {
		if node = m.tree.next(node, s[i]); node == none {
			break
		}
		if k := m.tree.nodes[node].id; k != none {
			token, length = &m.tokens[k], i+1
		}
	}
	return token, length
}

// section is a stretch of text: an added token, or text to be worked on.
type section struct {
	span
	id int32 // of the added token, -1 for text
}

func (s section) isToken() bool { return s.id >= 0 }

// cut divides s at the added tokens. A token takes in the white space beside it if it says so (lstrip, rstrip).
func (m *matchSet) cut(s span, yield func(section)) {
	text := s.text
	done := 0   // bytes already yielded
	blanks := 0 // where the white space that was last looked through ends
	for i := 0; i < len(text); {
		if !m.first[text[i]] {
			i++
			continue
		}
		token, n := m.longest(text[i:])
		if token == nil {
			i++
			continue
		}
		start, end := i, i+n
		i = end
		if token.SingleWord && (endsWithWord(text[:start]) || startsWithWord(text[end:])) {
			continue
		}
		if token.LStrip {
			start = min(start, done) + len(strings.TrimRightFunc(text[min(start, done):start], unicode.IsSpace))
		}
		if token.RStrip {
			if end >= blanks { // not each time anew where blanks themselves are tokens
				blanks = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
			}
			end = blanks
		}
		start, end = max(start, done), max(end, done) // the token before may have taken white space that this one wants; tokenizers then gives it twice
		if start > done {
			yield(section{s.slice(done, start), -1})
		}
		if end > start {
			yield(section{s.slice(start, end), int32(token.ID)})
		}
		done = end
	}
	if done < len(text) {
		yield(section{s.slice(done, len(text)), -1})
	}
}

func endsWithWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsWithWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}
