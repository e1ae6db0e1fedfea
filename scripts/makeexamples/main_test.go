package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dpotrain/internal/tokenizer"
)

// TestCommitted: the pairs and the tokenizer in examples/ are what this program writes.
func TestCommitted(t *testing.T) {
	dir := t.TempDir()
	if err := makeAll(filepath.Join(dir, "examples"), filepath.Join(dir, "work"), 1); err != nil {
		t.Fatal(err)
	}
	for _, f := range [][2]string{
		{"examples/train.jsonl", "train.jsonl"},
		{"examples/heldout.jsonl", "heldout.jsonl"},
		{"work/tokenizer/tokenizer.json", "model/tokenizer.json"},
		{"work/tokenizer/tokenizer_config.json", "model/tokenizer_config.json"},
		{"work/tokenizer/generation_config.json", "model/generation_config.json"},
		{"work/tokenizer/chat_template.jinja", "model/chat_template.jinja"},
	} {
		got, err := os.ReadFile(filepath.Join(dir, f[0]))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../../examples", f[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("examples/%s is not what the program writes; run scripts/make-examples", f[1])
		}
	}
}

// TestTrainBPE: the words " ab" three times, "abc" twice and "bc" once have the pairs a-b 5 times, blank-a 3 and b-c 3,
// then, with ab one piece, blank-ab 3 and ab-c 2, b-c 1. Blank is written as Ġ.
func TestTrainBPE(t *testing.T) {
	texts := []string{"abc ab ab", "abc ab", "bc"}
	want := []pair{{"a", "b"}, {"Ġ", "ab"}, {"ab", "c"}}
	if got := trainBPE(texts, 10); !reflect.DeepEqual(got, want) {
		t.Errorf("merges %q, want %q; b-c is left with a count of 1", got, want)
	}
	if got := trainBPE(texts, 2); !reflect.DeepEqual(got, want[:2]) {
		t.Errorf("two merges: %q", got)
	}
	// Equally frequent pairs come in the order of the alphabet.
	if got, want := trainBPE([]string{"cd cd", "ab ab"}, 1), []pair{{"a", "b"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("of equally frequent pairs %q, want %q", got, want)
	}
}

// TestTokenizer: package tokenizer reads tokenizer.json and applies the merges to words as they were counted.
func TestTokenizer(t *testing.T) {
	var texts []string
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		q := pick(r, kinds)(r)
		texts = append(texts, q.ask(r), q.friendly(r), q.curt(r))
	}
	merges := trainBPE(texts, 200)
	text, err := tokenizerJSON(specialTokens, merges)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"tokenizer.json": string(text), "tokenizer_config.json": `{"eos_token": "<|end|>"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	k, err := tokenizer.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := k.VocabSize(), len(specialTokens)+256+len(merges); got != want {
		t.Errorf("%d ids, want %d", got, want)
	}
	signs := byteSigns()
	for _, text := range texts {
		e, err := k.Encode("<|user|>"+text+"<|end|>", true)
		if err != nil {
			t.Fatal(err)
		}
		// The plain way: every merge in turn over every word.
		var pieces []string
		for _, w := range words.FindAllString(text, -1) {
			var p []string
			for i := range len(w) {
				p = append(p, signs[w[i]])
			}
			for _, m := range merges {
				p = merge(p, m)
			}
			pieces = append(pieces, p...)
		}
		if len(e.IDs) != len(pieces)+2 || k.Decode(e.IDs, true) != text {
			t.Fatalf("%s: %d ids, which read %q; want 2 and one for each of %q", text, len(e.IDs), k.Decode(e.IDs, true), pieces)
		}
		for i, p := range pieces {
			if id := e.IDs[i+1]; int(id) < len(specialTokens) || k.Decode([]int32{id}, true) != strings.ReplaceAll(p, "Ġ", " ") {
				t.Fatalf("%s: id %d is %q, want %q", text, i+1, k.Decode([]int32{id}, true), p)
			}
		}
	}
}

// TestRequests draws many requests: nothing is left unsaid, and both answers of a pair say the facts.
func TestRequests(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 20000 {
		q := pick(r, kinds)(r)
		ask, friendly, curt := q.ask(r), q.friendly(r), q.curt(r)
		for _, text := range []string{ask, friendly, curt} {
			if text == "" || strings.Contains(text, "  ") || strings.TrimSpace(text) != text || strings.Contains(text, "%") || strings.Contains(text, " .") || !strings.ContainsAny(text[len(text)-1:], ".!?") {
				t.Fatalf("%s: badly put: %q", q.kind, text)
			}
			for _, c := range []byte(text) {
				if c < ' ' || c > '~' {
					t.Fatalf("%s: %q is not plain ASCII, which words cannot cut", q.kind, text)
				}
			}
		}
		for _, f := range q.facts {
			if !strings.Contains(strings.ToLower(friendly), strings.ToLower(f)) || !strings.Contains(strings.ToLower(curt), strings.ToLower(f)) {
				t.Fatalf("%s\n%s\n%s\nwant %q in both", ask, friendly, curt, f)
			}
		}
	}
}
