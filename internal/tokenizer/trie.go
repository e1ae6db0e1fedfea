package tokenizer

import (
	"slices"
	"strings"
)

// trie finds which pieces of a vocabulary a text begins with.
type trie struct{ nodes []trieNode }

// trieNode stands for the start of one or more pieces. Its children lie side by side, in order of their bytes.
type trieNode struct {
	id       int32 // of the piece that ends here, none if there is no such piece
	child    int32 // the first
	children uint16
	label    byte // the last byte
}

// newTrie takes one step for every byte of the pieces. The id of a piece is its place; empty ones are left out, and of equal ones the first
// counts.
func newTrie(pieces []string) *trie {
	sorted := make([]int32, 0, len(pieces))
	for id, text := range pieces {
		if text != "" {
			sorted = append(sorted, int32(id))
		}
	}
	slices.SortStableFunc(sorted, func(a, b int32) int { return strings.Compare(pieces[a], pieces[b]) })
	t := &trie{nodes: []trieNode{{id: none}}}
	type stretch struct{ first, last int32 } // the pieces that have a node's bytes as their first ones
	level, next := []stretch{{0, int32(len(sorted))}}, []stretch(nil)
	for k, depth := 0, 0; len(level) > 0; depth++ {
		for _, s := range level {
			for s.first < s.last && len(pieces[sorted[s.first]]) == depth {
				if t.nodes[k].id == none {
					t.nodes[k].id = sorted[s.first]
				}
				s.first++
			}
			t.nodes[k].child = int32(len(t.nodes))
			for s.first < s.last {
				label, end := pieces[sorted[s.first]][depth], s.first
				for end < s.last && pieces[sorted[end]][depth] == label {
					end++
				}
				t.nodes = append(t.nodes, trieNode{id: none, label: label})
				next = append(next, stretch{s.first, end})
				t.nodes[k].children++
				s.first = end
			}
			k++
		}
		level, next = next, level[:0]
	}
	return t
}

// find returns the id of a piece.
func (t *trie) find(text string) (int32, bool) {
	node := int32(trieRoot)
	for i := 0; i < len(text) && node != none; i++ {
		node = t.next(node, text[i])
	}
	if node == none || t.nodes[node].id == none {
		return none, false
	}
	return t.nodes[node].id, true
}

const trieRoot = 0

// next returns the node behind byte b of a node, none if no piece goes on so.
func (t *trie) next(node int32, b byte) int32 {
	n := &t.nodes[node]
	low, high := n.child, n.child+int32(n.children)
	for low < high {
		middle := (low + high) / 2
		switch label := t.nodes[middle].label; {
		case label == b:
			return middle
		case label < b:
			low = middle + 1
		default:
			high = middle
		}
	}
	return none
}
