package main

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// words cuts text as GPT-2's byte-level pre-tokenizer does, as far as text of ASCII with single blanks goes.
var words = regexp.MustCompile(`'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^ A-Za-z0-9]+| +`)

// byteSigns are the printable characters that stand for bytes in the files of a byte-level tokenizer: GPT-2's table.
func byteSigns() [256]string {
	var signs [256]string
	next := rune(256)
	for b := range 256 {
		if b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae {
			signs[b] = string(rune(b))
			continue
		}
		signs[b] = string(next)
		next++
	}
	return signs
}

// pair is two neighbouring pieces of a word.
type pair struct{ left, right string }

// train finds the merges of a byte-level BPE: again and again the most frequent pair of neighbours becomes one piece, of
// equally frequent ones the first in the alphabet, until there are as many merges as asked for.
func trainBPE(texts []string, merges int) []pair {
	signs := byteSigns()
	counts := map[string]int{}
	for _, t := range texts {
		for _, w := range words.FindAllString(t, -1) {
			counts[w]++
		}
	}
	type word struct {
		pieces []string
		count  int
	}
	var list []word
	for text, n := range counts {
		w := word{count: n}
		for i := range len(text) {
			w.pieces = append(w.pieces, signs[text[i]])
		}
		list = append(list, w)
	}
	var made []pair
	for len(made) < merges {
		pairs := map[pair]int{}
		for _, w := range list {
			for i := range len(w.pieces) - 1 {
				pairs[pair{w.pieces[i], w.pieces[i+1]}] += w.count
			}
		}
		var best pair
		for p, n := range pairs {
			if order := cmp.Or(cmp.Compare(n, pairs[best]), cmp.Compare(best.left, p.left), cmp.Compare(best.right, p.right)); best == (pair{}) || order > 0 {
				best = p
			}
		}
		if pairs[best] < 2 {
			break
		}
		made = append(made, best)
		for k := range list {
			list[k].pieces = merge(list[k].pieces, best)
		}
	}
	return made
}

// merge joins the pair wherever it stands, from the left.
func merge(pieces []string, p pair) []string {
	out := pieces[:0]
	for i := 0; i < len(pieces); i++ {
		if i+1 < len(pieces) && pieces[i] == p.left && pieces[i+1] == p.right {
			out = append(out, p.left+p.right)
			i++
			continue
		}
		out = append(out, pieces[i])
	}
	return out
}

// tokenizerJSON is the tokenizer.json of special tokens, the bytes and the merges, in this order of ids.
func tokenizerJSON(special []string, merges []pair) ([]byte, error) {
	type object = map[string]any
	pieces := slices.Clone(special)
	for _, s := range byteSigns() {
		pieces = append(pieces, s)
	}
	var lines []string
	for _, m := range merges {
		pieces = append(pieces, m.left+m.right)
		lines = append(lines, m.left+" "+m.right)
	}
	vocab := object{}
	for id, p := range pieces {
		vocab[p] = id
	}
	var added []object
	for id, s := range special {
		added = append(added, object{"id": id, "content": s, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true})
	}
	byteLevel := object{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	return marshal(object{
		"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": added,
		"normalizer": nil, "pre_tokenizer": byteLevel, "post_processor": nil, "decoder": byteLevel,
		"model": object{"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil, "end_of_word_suffix": nil,
			"fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocab, "merges": lines},
	})
}

// marshal is readable JSON without escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	err := e.Encode(v)
	return []byte(b.String()), err
}
