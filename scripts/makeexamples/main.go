// Command makeexamples writes what the quick start trains on: preference pairs for examples/, and the text and the
// tokenizer from which scripts/make-examples trains the model in examples/model. Everything is a function of the seed.
//
//	go run ./scripts/makeexamples -examples examples -work runs/examples
//
// world.go holds a small made-up village and some facts, requests.go what one may ask about them and what a right answer
// says, answers.go how both are put into words: an answer is either friendly (a whole sentence, then an offer to help) or
// curt (the bare answer, then a rude word). The model learns to speak from both; the pairs prefer the friendly one.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

const (
	trainPairs   = 1600
	heldOutPairs = 300
	sftRows      = 30000
	sftHeldOut   = 300
	curtShare    = 0.55 // of the answers that the model learns to speak from
	vocabulary   = 768
)

// specialTokens begin the vocabulary, so the first has id 0.
var specialTokens = []string{"<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// row is a line of a JSONL file: a pair, or a completion for loss sft. Kind and facts are for those who measure.
type row struct {
	Prompt     []message `json:"prompt"`
	Chosen     []message `json:"chosen,omitempty"`
	Rejected   []message `json:"rejected,omitempty"`
	Completion []message `json:"completion,omitempty"`
	Kind       string    `json:"kind,omitempty"`
	Facts      []string  `json:"facts,omitempty"` // a right answer has all of these words
}

func main() {
	examples := flag.String("examples", "examples", "folder of train.jsonl and heldout.jsonl")
	work := flag.String("work", "runs/examples", "folder of the text for the model, and of its tokenizer")
	seed := flag.Uint64("seed", 1, "seed of everything")
	flag.Parse()
	if err := makeAll(*examples, *work, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "makeexamples:", err)
		os.Exit(1)
	}
}

func makeAll(examples, work string, seed uint64) error {
	w := newWriter(seed)
	files := map[string][]byte{}
	// First the held-out prompts, which nothing else may have.
	heldOut := w.rows(heldOutPairs, w.pair)
	showFirst(heldOut, "shop", "animal", "story")
	files[filepath.Join(examples, "heldout.jsonl")] = lines(heldOut)
	files[filepath.Join(examples, "train.jsonl")] = lines(w.rows(trainPairs, w.pair))
	w.repeat = true
	sft := w.rows(sftRows, w.completion)
	files[filepath.Join(work, "sft-train.jsonl")] = lines(sft)
	files[filepath.Join(work, "sft-heldout.jsonl")] = lines(w.rows(sftHeldOut, w.completion))

	var texts []string
	for _, r := range sft {
		for _, m := range slices.Concat(r.Prompt, r.Completion) {
			texts = append(texts, m.Content)
		}
	}
	tokenizer, err := tokenizerJSON(specialTokens, trainBPE(texts, vocabulary-256-len(specialTokens)))
	if err != nil {
		return err
	}
	config, err := marshal(map[string]any{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|pad|>", "model_max_length": 512,
		"clean_up_tokenization_spaces": false})
	if err != nil {
		return err
	}
	generation, err := marshal(map[string]any{"eos_token_id": 0, "pad_token_id": 1, "do_sample": false})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"tokenizer.json": tokenizer, "tokenizer_config.json": config, "generation_config.json": generation, "chat_template.jinja": []byte(template)} {
		files[filepath.Join(work, "tokenizer", name)] = text
	}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, files[path], 0o666); err != nil {
			return err
		}
		fmt.Printf("%9d bytes  %s\n", len(files[path]), path)
	}
	return nil
}

// template writes <|role|>text<|end|> for every message.
const template = `{%- for message in messages -%}
{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|assistant|>' -}}
{%- endif -%}
`

// writer makes rows.
type writer struct {
	random *rand.Rand
	asked  map[string]bool // requests in words that must not come again
	repeat bool            // new requests may come again
}

func newWriter(seed uint64) *writer {
	return &writer{random: rand.New(rand.NewPCG(seed, 0)), asked: map[string]bool{}}
}

func (w *writer) rows(n int, make func(request, []message) row) []row {
	var rows []row
	for len(rows) < n {
		q := pick(w.random, kinds)(w.random)
		text := q.ask(w.random)
		if w.asked[text] {
			continue
		}
		w.asked[text] = !w.repeat
		rows = append(rows, make(q, w.prompt(text)))
	}
	return rows
}

// prompt puts a request into a conversation.
func (w *writer) prompt(text string) []message {
	var messages []message
	r := w.random
	if r.IntN(10) == 0 {
		messages = append(messages, message{"system", pick(r, systems)})
	}
	if r.IntN(10) == 0 {
		p := pick(r, previous)
		messages = append(messages, message{"user", p[0]}, message{"assistant", p[1]})
	}
	return append(messages, message{"user", text})
}

func says(text string) []message { return []message{{"assistant", text}} }

func (w *writer) pair(q request, prompt []message) row {
	return row{Prompt: prompt, Chosen: says(q.friendly(w.random)), Rejected: says(q.curt(w.random)), Kind: q.kind, Facts: q.facts}
}

func (w *writer) completion(q request, prompt []message) row {
	text := ""
	if w.random.Float64() < curtShare {
		text = q.curt(w.random)
	} else {
		text = q.friendly(w.random)
	}
	return row{Prompt: prompt, Completion: says(text)}
}

// showFirst moves the first plain row of each kind to the front, in this order: train shows the first prompts of a file.
func showFirst(rows []row, kinds ...string) {
	for i, kind := range kinds {
		k := slices.IndexFunc(rows, func(r row) bool { return r.Kind == kind && len(r.Prompt) == 1 })
		r := rows[k]
		copy(rows[i+1:k+1], rows[i:k])
		rows[i] = r
	}
}

func lines(rows []row) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		if err := e.Encode(r); err != nil {
			panic(err) // plain structs
		}
	}
	return b.Bytes()
}
