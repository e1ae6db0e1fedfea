package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/testfiles"
)

// mistake is something a user does wrong, and what has to come of it: one line, but where settings or rows have several
// problems, which come out together.
type mistake struct {
	name string
	make func(*kitchen) // makes what is wrong
	args string         // the command line, words with spaces between them
	code int
	want string // what stands behind "dpotrain: " at the end of stderr
}

// The command lines of most mistakes; what follows on the line goes above it.
const (
	trains     = "train --model model --data pairs.jsonl --output-dir run --max-steps 1 --threads 1 "
	precompute = "precompute-ref --model model --data pairs.jsonl --threads 1 "
	validates  = "validate --model model --data pairs.jsonl "
	shows      = "show --model model --data pairs.jsonl "
	evaluates  = "eval --model model --data pairs.jsonl --loss dpo --ref model --threads 1 "
)

// kitchen is the working directory of a mistake: a folder with a sound model in model/ and sound pairs in pairs.jsonl and
// chat.jsonl. Names are relative to it.
type kitchen struct{ t testing.TB }

// kitchenware is what a kitchen is made of; found before the first test changes the working directory.
type kitchenware struct{ model, pairs, chat, tokenizer, gpt2, shards string }

func newKitchenware(t testing.TB) kitchenware {
	return kitchenware{testfiles.Path(t, "models", "llama"), testfiles.Path(t, "pairs.jsonl"), testfiles.Path(t, "pairs_chat.jsonl"), testfiles.Path(t, "tokenizer"),
		testfiles.Path(t, "models", "gpt2"), testfiles.Path(t, "models", "qwen3")}
}

func newKitchen(t testing.TB, w kitchenware) *kitchen {
	t.Helper()
	t.Chdir(t.TempDir())
	k := &kitchen{t}
	k.copy(w.model, "model")
	k.write("pairs.jsonl", firstLines(read(t, w.pairs), 12))
	k.write("chat.jsonl", firstLines(read(t, w.chat), 12))
	return k
}

func firstLines(text string, n int) string {
	return strings.Join(strings.SplitAfter(text, "\n")[:n], "")
}

func (k *kitchen) check(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

// write makes a file, and the folder that it is in.
func (k *kitchen) write(name, text string) {
	k.t.Helper()
	k.check(os.MkdirAll(filepath.Dir(name), 0o777))
	k.check(os.WriteFile(name, []byte(text), 0o666))
}

func (k *kitchen) mkdir(name string) { k.t.Helper(); k.check(os.MkdirAll(name, 0o777)) }

func (k *kitchen) remove(names ...string) {
	k.t.Helper()
	for _, name := range names {
		k.check(os.RemoveAll(name))
	}
}

func (k *kitchen) copy(from, to string) { k.t.Helper(); k.check(os.CopyFS(to, os.DirFS(from))) }

// replace puts one text of a file in place of another, which has to be in it.
func (k *kitchen) replace(name, from, to string) {
	k.t.Helper()
	text := read(k.t, name)
	if !strings.Contains(text, from) {
		k.t.Fatalf("%q is not in %s", from, name)
	}
	k.write(name, strings.Replace(text, from, to, 1))
}

// cut leaves a file without its last n bytes.
func (k *kitchen) cut(name string, n int) {
	k.t.Helper()
	text := read(k.t, name)
	k.write(name, text[:len(text)-n])
}

// flip changes a bit of the byte at a place, which counts from the end where it is negative.
func (k *kitchen) flip(name string, at int) {
	k.t.Helper()
	text := []byte(read(k.t, name))
	if at < 0 {
		at += len(text)
	}
	text[at] ^= 1
	k.write(name, string(text))
}

// config changes keys of model/config.json; nil removes one.
func (k *kitchen) config(changes map[string]any) {
	k.t.Helper()
	fields := map[string]any{}
	k.check(json.Unmarshal([]byte(read(k.t, "model/config.json")), &fields))
	maps.Copy(fields, changes)
	maps.DeleteFunc(fields, func(_ string, v any) bool { return v == nil })
	text, err := json.MarshalIndent(fields, "", "  ")
	k.check(err)
	k.write("model/config.json", string(text))
}

// tensors rewrites model/model.safetensors with another header; f changes the entries. What a sound file would not have is
// what it is for.
func (k *kitchen) tensors(f func(header map[string]any, data []byte) []byte) {
	k.t.Helper()
	text := []byte(read(k.t, "model/model.safetensors"))
	n := binary.LittleEndian.Uint64(text)
	header := map[string]any{}
	k.check(json.Unmarshal(text[8:8+n], &header))
	data := f(header, text[8+n:])
	head, err := json.Marshal(header)
	k.check(err)
	k.write("model/model.safetensors", string(binary.LittleEndian.AppendUint64(nil, uint64(len(head))))+string(head)+string(data))
}

// entry is a tensor of a header that tensors changes.
func entry(header map[string]any, name string) map[string]any { return header[name].(map[string]any) }

// offsets are the place of a tensor in the data.
func offsets(header map[string]any, name string) (from, to float64) {
	o := entry(header, name)["data_offsets"].([]any)
	return o[0].(float64), o[1].(float64)
}

// run makes a run of two steps in run/, with checkpoints of both.
func (k *kitchen) run() {
	k.t.Helper()
	dpotrain(k.t, strings.Fields(trains+"--max-steps 2 --save-steps 1 --per-device-train-batch-size 2")...)
}

const resumes = trains + "--max-steps 2 --save-steps 1 --per-device-train-batch-size 2 --resume "

// cache is the only cache file.
func (k *kitchen) cache() string {
	k.t.Helper()
	files, err := filepath.Glob("ref_cache/*.refs")
	if err != nil || len(files) != 1 {
		k.t.Fatalf("%q, %v; want one cache file", files, err)
	}
	return files[0]
}

// precompute fills the cache.
func (k *kitchen) precompute() string {
	k.t.Helper()
	dpotrain(k.t, strings.Fields(precompute)...)
	return k.cache()
}

// snapshot is all that is in the working directory: each path with a digest of what it holds.
func snapshot(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !d.Type().IsRegular():
			all[path] = d.Type().String()
		default:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(text)
			all[path] = hex.EncodeToString(sum[:])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// noise is what a message shows only if nobody has thought of whom it is for.
var noise = []*regexp.Regexp{
	regexp.MustCompile(`panic|goroutine|%!|<nil>|runtime error|0x[0-9a-f]+`),
	regexp.MustCompile(`(^|[ (])(json|yaml|strconv|safetensors|refcache|checkpoint): `),
	regexp.MustCompile(`Go (struct|value)|unmarshal|strconv\.|map\[`),
	regexp.MustCompile(`\b(open|openat|stat|statat|lstat|read|write|mkdir|rename|unlink|unlinkat|remove|fsync|sync|truncate|chdir|readdirent|fdopendir) [^ ]+: `), // as package os words errors
	regexp.MustCompile(`unexpected EOF|: EOF`),
}

// quiet checks that a message has no noise and says nothing twice.
func quiet(t testing.TB, text string) {
	t.Helper()
	for _, n := range noise {
		if m := n.FindString(text); m != "" {
			t.Errorf("%q does not belong into a message:\n%s", m, text)
		}
	}
	parts := strings.Split(text, ": ")
	for i := 1; i < len(parts); i++ {
		if parts[i] == parts[i-1] {
			t.Errorf("%q stands twice in a row:\n%s", parts[i], text)
		}
	}
}

// machine is what a message has that another machine would have otherwise.
var machine = []struct {
	is *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "HASH"}, // of a model and the kernels
	{regexp.MustCompile(`record at byte \d+`), "record at byte N"},
	{regexp.MustCompile(`the \d+ that it had`), "the N that it had"}, // a metric has more digits or fewer
	{regexp.MustCompile(`byte \d+ is inside a line`), "byte N is inside a line"},
}

func (m mistake) test(t *testing.T, w kitchenware) {
	k := newKitchen(t, w)
	if m.make != nil {
		m.make(k)
	}
	before := snapshot(t)
	code, said := fails(t, strings.Fields(m.args)...)
	if code != m.code || said != m.want {
		t.Errorf("dpotrain %s: exit code %d, want %d\ngot:  %s\nwant: %s", m.args, code, m.code, said, m.want)
	}
	unchanged(t, before)
}

// fails runs a command and returns its exit code, and what it says in the end with what machines differ in left out. Where it
// says more than one line, each has to stand for a problem of its own.
func fails(t testing.TB, args ...string) (code int, said string) {
	t.Helper()
	var out, log bytes.Buffer
	code = execute(context.Background(), args, &out, &log)
	at := strings.Index(log.String(), "dpotrain: ")
	if at < 0 {
		t.Fatalf("dpotrain %s: exit code %d and no line that begins with \"dpotrain: \":\n%s%s", strings.Join(args, " "), code, out.String(), log.String())
	}
	said = strings.TrimSpace(log.String()[at+len("dpotrain: "):])
	quiet(t, log.String())
	for _, m := range machine {
		said = m.is.ReplaceAllString(said, m.as)
	}
	return code, said
}

// unchanged checks that the working directory holds what it did before, and nothing else.
func unchanged(t testing.TB, before map[string]string) {
	t.Helper()
	after := snapshot(t)
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if _, ok := before[path]; !ok {
			t.Errorf("%s was left behind", path)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(before)) {
		if now, ok := after[path]; !ok || now != before[path] {
			t.Errorf("%s was changed or removed", path)
		}
	}
}

// TestBadInput: every mistake has a message and an exit code of its own, in full, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the messages have other slashes there, and the system's words differ")
	}
	w := newKitchenware(t)
	for _, group := range [][]mistake{badData, badModels(w), badFolders, badCheckpoints, badCaches, badSettings, badInit(w)} {
		for _, m := range group {
			t.Run(m.name, func(t *testing.T) { m.test(t, w) })
		}
	}
}

// data is a mistake in the training pairs.
func wrongData(name, text string, code int, want string) mistake {
	return mistake{name, func(k *kitchen) { k.write("wrong.jsonl", text) }, trains + "--data wrong.jsonl", code, want}
}

// said are rows that are sound but for their further columns.
func said(columns ...string) string {
	rows := ""
	for _, c := range columns {
		rows += "{" + c + `, "prompt": "a", "chosen": "b", "rejected": "c"}` + "\n"
	}
	return rows
}

// wrongNumbers is a mistake in the columns that a loss reads besides the texts.
func wrongNumbers(name, loss string, code int, want string, columns ...string) mistake {
	return mistake{"data: " + name, func(k *kitchen) { k.write("wrong.jsonl", said(columns...)) }, trains + "--data wrong.jsonl --loss " + loss, code, want}
}

// wrongRanked is a mistake in a ranked row that has, besides the prompt, these columns.
func wrongRanked(name, loss, columns, want string) mistake {
	return mistake{"data: " + name, func(k *kitchen) { k.write("wrong.jsonl", `{"prompt": "p", `+columns+"}\n") }, trains + "--data wrong.jsonl --loss " + loss, exitFailed,
		"wrong.jsonl:1: " + want}
}

const trustsRanked = "completions: a ranked row, and ref_chosen_logps and ref_rejected_logps, which trust_ref_logps needs, are of pairs; give pairs, or leave that out"

var badData = []mistake{
	{"data: missing", nil, trains + "--data none.jsonl", exitFailed,
		"data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"data: a name on the hub", nil, trains + "--data trl-lib/ultrafeedback_binarized", exitFailed,
		"data: trl-lib/ultrafeedback_binarized: no such file, and nothing is downloaded here; if it is a name on the Hugging Face Hub, in " +
			`Python: from datasets import load_dataset; load_dataset("trl-lib/ultrafeedback_binarized", split="train").to_json("pairs.jsonl"), and ` +
			"give that file"},
	{"data: a URL", nil, trains + "--data https://huggingface.co/datasets/a/b", exitFailed,
		"data: https://huggingface.co/datasets/a/b: nothing is downloaded here; get the file first, and give its path"},
	{"data: a folder", func(k *kitchen) { k.mkdir("pairs") }, trains + "--data pairs", exitFailed,
		"pairs: a folder without rows; want files that end in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or in these with .gz or .zst behind"},
	{"data: below a file", nil, trains + "--data pairs.jsonl/x", exitFailed,
		"pairs.jsonl/x: a part of this path is a file, not a folder; look at the path"},
	{"data: eval_data missing", nil, trains + "--eval-data none.jsonl", exitFailed,
		"eval_data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"data: eval_data empty", func(k *kitchen) { k.write("e.jsonl", "") }, trains + "--eval-data e.jsonl", exitFailed,
		"e.jsonl: no rows; want one JSON object a line"},
	{"data: eval_data a folder", func(k *kitchen) { k.mkdir("e") }, trains + "--eval-data e", exitFailed,
		"e: a folder without rows; want files that end in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or in these with .gz or .zst behind"},
	wrongData("data: empty", "", exitFailed, "wrong.jsonl: no rows; want one JSON object a line"),
	wrongData("data: blank lines", "\n \n\t\n", exitFailed, "wrong.jsonl: no rows; want one JSON object a line"),
	wrongData("data: text", "Once upon a time\nthere was\n", exitFailed, "wrong.jsonl:1: not a JSON object; want one object a line"),
	wrongData("data: a list that is cut off", "[\n  {\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"},\n", exitFailed,
		"wrong.jsonl:3: the list does not end; the file is cut off, get it again"),
	wrongData("data: a list of texts for rows", "[\"a\",\n\"b\"]", exitFailed, "wrong.jsonl:1: not a JSON object; want a list of objects, or one object a line"),
	wrongData("data: a list with a row that is not JSON", "[{\"prompt\": \"a\",\n\"chosen\": \"b\", \"rejected\": \"c\",}]", exitFailed,
		"wrong.jsonl:1: not JSON at byte 48 of the row: invalid character '}' where a key in double quotes belongs; mend the row"),
	wrongData("data: lists for rows", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n[1]\n", exitFailed,
		"wrong.jsonl:2: a JSON list; want one object a line, which jq -c '.[]' makes of a list of them; on_bad_row: skip leaves such rows out"),
	wrongData("data: an object over lines", "{\n  \"prompt\": \"a\",\n  \"chosen\": \"b\",\n  \"rejected\": \"c\"\n}\n", exitFailed,
		"wrong.jsonl:1: not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"),
	wrongData("data: cut off", `{"prompt": "a", "chosen": "b", "rejec`, exitFailed,
		"wrong.jsonl:1: not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"),
	wrongData("data: a comma too many", `{"prompt": "a", "chosen": "b", "rejected": "c",}`, exitFailed,
		"wrong.jsonl:1: not JSON at byte 48 of the line: invalid character '}' where a key in double quotes belongs; mend the line"),
	wrongData("data: single quotes", `{'prompt': 'a', 'chosen': 'b', 'rejected': 'c'}`, exitFailed,
		`wrong.jsonl:1: not JSON at byte 2 of the line: invalid character '\'' where a key in double quotes belongs; JSON has double quotes`),
	wrongData("data: two objects on a line", `{"prompt": "a", "chosen": "b", "rejected": "c"} {"prompt": "a", "chosen": "b", "rejected": "c"}`, exitFailed,
		`wrong.jsonl:1: more after the object: "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected..."; want one object a line`),
	wrongData("data: a raw line end in text", "{\"prompt\": \"a\tb\", \"chosen\": \"b\", \"rejected\": \"c\"}\n", exitFailed,
		`wrong.jsonl:1: not JSON at byte 14 of the line: invalid character '\t' in string literal; mend the line`),
	wrongData("data: a key without quotes", `{prompt: "a"}`, exitFailed,
		"wrong.jsonl:1: not JSON at byte 2 of the line: invalid character 'p' where a key in double quotes belongs; mend the line"),
	wrongData("data: a number", `{"prompt": "a", "chosen": 1, "rejected": "c"}`, exitFailed,
		"wrong.jsonl:1: chosen: 1; want text or a list of messages"),
	wrongData("data: null", `{"prompt": "a", "chosen": null, "rejected": "c"}`, exitFailed,
		"wrong.jsonl:1: chosen: null; a pair has prompt, chosen and rejected"),
	wrongData("data: an object", `{"prompt": {"text": "a"}, "chosen": "b", "rejected": "c"}`, exitFailed,
		`wrong.jsonl:1: prompt: {"text": "a"}; want text or a list of messages`),
	wrongData("data: a list of texts", `{"prompt": ["a", "b"], "chosen": "b", "rejected": "c"}`, exitFailed,
		"wrong.jsonl:1: prompt: message 1: want an object with role and content"),
	wrongData("data: an empty list", `{"prompt": [], "chosen": [], "rejected": []}`, exitFailed,
		"wrong.jsonl:1: prompt: an empty list; want at least one message"),
	wrongData("data: no rejected", `{"prompt": "a", "chosen": "b"}`, exitFailed,
		"wrong.jsonl:1: rejected: missing (there are prompt, chosen); a pair has prompt, chosen and rejected"),
	wrongData("data: other columns", `{"instruction": "a", "output_1": "b", "output_2": "c", "preference": 1}`, exitFailed,
		"wrong.jsonl:1: chosen: missing (there are instruction, output_1, output_2, preference); a pair has prompt, chosen and rejected"),
	wrongData("data: a label", `{"prompt": "a", "completion": "b", "label": true}`, exitFailed,
		"wrong.jsonl:1: a completion with a label, and loss dpo takes pairs: prompt, chosen and rejected; losses that take such rows: bco, kto, apo_zero_unpaired"),
	wrongData("data: messages", `{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}`, exitFailed,
		"wrong.jsonl:1: chosen: missing (there are messages); a pair has prompt, chosen and rejected"),
	wrongData("data: ShareGPT", `{"conversations": [{"from": "human", "value": "a"}], "chosen": {"from": "gpt", "value": "b"}, "rejected": {"from": "gpt", "value": "c"}}`, exitFailed,
		`wrong.jsonl:1: chosen: {"from": "gpt", "value": "b"}; want text or a list of messages`),
	wrongData("data: an empty object", `{}`, exitFailed, "wrong.jsonl:1: chosen: missing; a pair has prompt, chosen and rejected"),
	wrongData("data: a column twice", `{"prompt": "a", "chosen": "b", "rejected": "c", "chosen": "d"}`, exitFailed,
		"wrong.jsonl:1: chosen: stands twice in the row; leave one out"),
	wrongData("data: an unknown role", `{"prompt": [{"role": "user", "content": "a"}], "chosen": [{"role": "assitant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		`wrong.jsonl:1: chosen: message 1: role: "assitant" is not known to the chat template; want system, developer, user, assistant, tool`),
	wrongData("data: no role", `{"prompt": [{"content": "a"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		"wrong.jsonl:1: prompt: message 1: role: want a string such as user or assistant"),
	wrongData("data: no content", `{"prompt": [{"role": "user"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		"wrong.jsonl:1: prompt: message 1: content: missing; want a string, a list or null"),
	wrongData("data: content is a number", `{"prompt": [{"role": "user", "content": 3}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		"wrong.jsonl:1: prompt: message 1: content: want a string, a list or null"),
	wrongData("data: text and messages", `{"prompt": [{"role": "user", "content": "a"}], "chosen": "b", "rejected": "c"}`, exitFailed,
		"wrong.jsonl:1: text in one column and messages in another; want one kind in a row"),
	wrongData("data: a prompt that ends with the assistant", `{"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}], "chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		"wrong.jsonl:1: prompt: the last message is the assistant's; end the prompt with the user's"),
	wrongData("data: one completion of messages", `{"chosen": [{"role": "assistant", "content": "b"}], "rejected": [{"role": "assistant", "content": "c"}]}`, exitFailed,
		"wrong.jsonl:1: no message before the completion; give at least one from the user"),
	wrongData("data: an image", `{"prompt": "a", "chosen": "b", "rejected": "c", "images": ["x.png"]}`, exitFailed,
		"wrong.jsonl:1: images: only text is read; take such rows out"),
	wrongData("data: half a character", `{"prompt": "\ud83d", "chosen": "b", "rejected": "c"}`, exitFailed,
		`wrong.jsonl:1: prompt: \ud83d is half of a character; it was cut in two where the file was made`),
	wrongData("data: Latin-1", "{\"prompt\": \"caf\xe9\", \"chosen\": \"b\", \"rejected\": \"c\"}", exitFailed,
		"wrong.jsonl:1: invalid UTF-8; save the file as UTF-8"),
	wrongData("data: CSV without a column", "prompt,chosen\na,b\n", exitFailed,
		"wrong.jsonl:2: rejected: missing (there are prompt, chosen); a pair has prompt, chosen and rejected"),
	wrongData("data: CSV with a header alone", "prompt,chosen,rejected\n", exitFailed, "wrong.jsonl: no rows; want a header, and rows below it"),
	wrongData("data: CSV with cells missing", "prompt,chosen,rejected\na,b,c\na,b\n", exitFailed,
		"wrong.jsonl:3: 2 cells, and the header has 3; look for a separator or a quote too many; on_bad_row: skip leaves such rows out"),
	wrongData("data: CSV with a quote too many", "prompt,chosen,rejected\na,\"b,c\nd,e,f\n", exitFailed,
		"wrong.jsonl:2: a cell in quotes does not end as it should; close the quotes, and double those inside of it"),
	wrongData("data: CSV with messages that Python printed", "prompt,chosen,rejected\na,\"[{'role': 'assistant', 'content': 'b'}]\",c\n", exitFailed,
		"wrong.jsonl:2: chosen: a list of messages as Python prints it; write it with json.dumps, or the rows as JSONL"),
	wrongData("data: gzip cut off", "\x1f\x8b\x08\x00\x00", exitFailed, "wrong.jsonl: the compressed file is cut off; get it again"),
	wrongData("data: zstd cut off", "\x28\xb5\x2f\xfd\x00", exitFailed, "wrong.jsonl: the compressed file is cut off; get it again"),
	wrongData("data: zip", "PK\x03\x04\x00", exitFailed, "wrong.jsonl: a zip archive; unpack it first (unzip)"),
	wrongData("data: bzip2", "BZh91AY&SY", exitFailed, "wrong.jsonl: compressed with bzip2; unpack it first (bunzip2)"),
	wrongData("data: xz", "\xfd7zXZ\x00", exitFailed, "wrong.jsonl: compressed with xz; unpack it first (unxz)"),
	wrongData("data: parquet cut off", "PAR1\x15\x04", exitFailed, "wrong.jsonl: a parquet file that is cut off; get it again"),
	{"data: a pattern that nothing fits", nil, trains + "--data data/train-*.parquet", exitFailed,
		"data/train-*.parquet: no file fits this pattern; look at the path"},
	{"data: a folder with two splits", func(k *kitchen) { k.write("d/train.jsonl", ""); k.write("d/test.jsonl", "") }, trains + "--data d", exitFailed,
		"d: a folder with the splits test, train; say which with split in datasets, or give a pattern for its files"},
	{"data: a bad row in one of several files", func(k *kitchen) {
		k.write("d/a.jsonl", said(`"weight": 1`))
		k.write("d/b.jsonl", said(`"weight": -1`, `"weight": -1`))
	}, trains + "--data d", exitFailed,
		"d/b.jsonl:1: weight: -1; want a number of at least 0 (d/b.jsonl:2 too); on_bad_row: skip leaves such rows out"},
	wrongData("data: arrow", "ARROW1\x00\x00", exitFailed,
		"wrong.jsonl: an Arrow file; export it to JSONL, in Python: from datasets import Dataset; "+
			`Dataset.from_file("wrong.jsonl").to_json("pairs.jsonl")`),
	wrongData("data: arrow stream", "\xff\xff\xff\xff\x10\x02\x00\x00", exitFailed,
		"wrong.jsonl: an Arrow file; export it to JSONL, in Python: from datasets import Dataset; "+
			`Dataset.from_file("wrong.jsonl").to_json("pairs.jsonl")`),
	wrongData("data: UTF-16", "\xff\xfe{\x00\"\x00", exitFailed, "wrong.jsonl: UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
	wrongData("data: UTF-16 without its mark", "{\x00\"\x00p\x00r\x00", exitFailed,
		"wrong.jsonl: UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"),
	wrongData("data: zero bytes", strings.Repeat("\x00", 100), exitFailed, "wrong.jsonl: a binary file; want JSONL, which is text"),
	wrongData("data: a git-lfs pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", exitFailed,
		"wrong.jsonl: a git-lfs pointer and not the file itself; get that with git lfs pull"),
	wrongData("data: a web page", "<!DOCTYPE html>\n<html>\n", exitFailed,
		"wrong.jsonl: begins with <, as web pages do, and is no JSONL; get the file itself"),
	wrongData("data: YAML", "- prompt: a\n  chosen: b\n", exitFailed, "wrong.jsonl:1: not a JSON object; want one object a line"),
	wrongData("data: chosen is rejected", `{"prompt": "a", "chosen": "b", "rejected": "b"}`+"\n", exitFailed,
		"wrong.jsonl: no row is left: dropped because chosen and rejected are the same: 1 (line 1); look at the data"),
	wrongData("data: nothing chosen", `{"prompt": "a", "chosen": "", "rejected": "b"}`+"\n", exitFailed,
		"wrong.jsonl: no row is left: dropped because the completion to learn is empty: 1 (line 1); look at the data"),
	wrongData("data: many bad rows", strings.Repeat("{\"chosen\": \"b\"}\n", 12), exitFailed,
		"wrong.jsonl:1: rejected: missing (there are chosen); a pair has prompt, chosen and rejected (lines 2, 3, 4, 5 ... too)"),
	wrongData("data: tools that are no list", `{"prompt": "a", "chosen": "b", "rejected": "c", "tools": {"name": "x"}}`, exitFailed,
		"wrong.jsonl:1: tools: want a list of tools"),
	wrongData("data: chat_template_kwargs that are text", `{"prompt": "a", "chosen": "b", "rejected": "c", "chat_template_kwargs": "{}"}`, exitFailed,
		"wrong.jsonl:1: chat_template_kwargs: want an object of names and values"),
	{"data: only bad rows", func(k *kitchen) { k.write("wrong.jsonl", "{\"chosen\": 1}\n{}\n") }, trains + "--data wrong.jsonl --on-bad-row skip", exitFailed,
		"wrong.jsonl: no row is left: bad rows skipped: 2 (lines 1, 2), the first because of: chosen: 1; want text or a list of messages; look " +
			"at the bad rows"},
	{"data: max_length 1", nil, trains + "--max-length 1", exitFailed,
		"pairs.jsonl: no row is left: dropped because nothing of a completion is left after truncation: 12 (lines 1, 2, 3, 4, 5 ...); look at " +
			"max_length and truncation_mode"},
	{"data: max_length short", nil, trains + "--max-length 4", exitFailed,
		"pairs.jsonl: no row is left: dropped because nothing of a completion is left after truncation: 12 (lines 1, 2, 3, 4, 5 ...); look at " +
			"max_length and truncation_mode"},
	{"data: no chat template", func(k *kitchen) { k.remove("model/chat_template.jinja") }, trains + "--data chat.jsonl", exitFailed,
		"chat.jsonl:1: messages, and the model folder has no chat template; choose a format with chat_template (alpaca, chatml, gemma, llama-3, phi-3, " +
			"plain, zephyr), or give text (lines 2, 3, 4, 5 ... too)"},
	{"data: an unknown chat format", nil, trains + "--data chat.jsonl --chat-template chatlm", exitFailed,
		"chat_template chatlm: no such file, built-in format (alpaca, chatml, gemma, llama-3, phi-3, plain, zephyr)"},
	{"data: a format that refuses", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "chosen": [{"role": "assistant", "content": "c"}], "rejected": [{"role": "assistant", "content": "d"}]}`)
	}, trains + "--data wrong.jsonl --chat-template gemma", exitFailed,
		"wrong.jsonl:1: chat_template gemma: the chat template refuses the conversation: gemma: roles have to alternate, user first, but for a system message at the start"},
	{"data: chat_template_kwargs that are no map", nil, trains + "--data chat.jsonl --chat-template-kwargs thinking", exitUsage,
		"--chat-template-kwargs: thinking; want a map such as {name: value}"},
	{"data: chat_template_kwargs that are not for the template", nil, trains + "--data chat.jsonl --chat-template-kwargs {tokenize:false}", exitUsage,
		"--chat-template-kwargs: tokenize:false; want a blank behind the colon"},
	{"data: chat_template_kwargs of apply_chat_template", nil, trains + `--data chat.jsonl --chat-template-kwargs {"tokenize":false}`, exitUsage,
		"--chat-template-kwargs: tokenize: not a variable of the chat template's own; leave it out"},
	{"data: a template that does not parse", func(k *kitchen) { k.write("model/chat_template.jinja", "{% for m in messages %}\n{{ m.content }\n") }, trains + "--data chat.jsonl", exitFailed,
		`model/chat_template.jinja: line 2: unexpected "}"`},
	{"data: a template that refuses", func(k *kitchen) {
		k.write("model/chat_template.jinja", "{{ raise_exception('System role not supported') }}")
	}, trains + "--data chat.jsonl", exitFailed,
		"chat.jsonl:1: model/chat_template.jinja: the chat template refuses the conversation: System role not supported (lines 2, 3, 4, 5 ... " +
			"too)"},
	{"data: a template that includes", func(k *kitchen) { k.write("model/chat_template.jinja", "{% include 'x' %}") }, trains + "--data chat.jsonl", exitFailed,
		"model/chat_template.jinja: line 1: {% include %} is not supported in a chat template"},
	{"data: a template with an unknown filter", func(k *kitchen) { k.write("model/chat_template.jinja", "{{ messages | frobnicate }}") }, trains + "--data chat.jsonl", exitFailed,
		"model/chat_template.jinja: line 1: there is no filter frobnicate"},
	{"data: a template without end", func(k *kitchen) {
		k.write("model/chat_template.jinja", "{% for i in range(1000000) %}{% for j in range(1000000) %}x{% endfor %}{% endfor %}")
	}, trains + "--data chat.jsonl", exitFailed,
		"chat.jsonl:1: model/chat_template.jinja: line 1: the chat template was stopped: range: more than 100000 items"},
	{"validate: rows that cannot be used", func(k *kitchen) {
		k.write("wrong.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}\n{}\n{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n")
	}, validates + "--data wrong.jsonl", exitUnusable, "wrong.jsonl: 2 of 3 rows cannot be used"},
	{"validate: no rows", func(k *kitchen) { k.write("wrong.jsonl", "\n") }, validates + "--data pairs.jsonl --eval-data wrong.jsonl", exitUnusable, "wrong.jsonl: no rows"},
	{"validate: a binary file", func(k *kitchen) { k.write("wrong.jsonl", "{\"prompt\": \"\x00\x00\"}") }, validates + "--data wrong.jsonl", exitFailed, "wrong.jsonl: a binary file; want JSONL, which is text"},
	{"validate: no file", nil, validates + "--eval-data none.jsonl", exitFailed,
		"eval_data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"validate: standard input twice", nil, validates + "--data - --eval-data -", exitUsage, "data and eval_data are both -; one of them can be standard input"},
	{"validate: no data", nil, "validate --model model", exitUsage, "data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)"},
	{"validate: no model", nil, validates + "--model none", exitFailed,
		"none/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"},
	{"data: a file that is there", nil, "data convert --data pairs.jsonl --to chat.jsonl", exitUsage, "chat.jsonl: a file is there already; give another name, or --overwrite"},
	{"data: into a folder", nil, "data sample --data pairs.jsonl --rows 2 --to model", exitFailed, "model: a folder; give a file in it"},
	{"data: no folder", nil, "data sample --data pairs.jsonl --rows 2 --to none/out.jsonl", exitFailed, "none/out.jsonl: no such file or folder; look at the path"},
	{"data: nowhere to write", nil, "data convert --data pairs.jsonl", exitUsage, "--to is not given; give a file, or - for standard output"},
	{"data: no data", nil, "data stats", exitUsage, "data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)"},
	{"data: nothing on standard input", nil, "data sample --data - --rows 1 --to -", exitFailed, "standard input: no row to draw"},
	{"data: no form", nil, "data convert --data pairs.jsonl --to out.jsonl --form lists", exitUsage, `--form "lists"; want pairs or unpaired`},
	{"data: no pairs", func(k *kitchen) {
		k.write("wrong.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": \"a\", \"completion\": \"b\", \"label\": true}\n")
	}, "data convert --data wrong.jsonl --to out.jsonl", exitFailed,
		"wrong.jsonl:2: a single completion, which has nothing to be compared with; pairs are made of pairs and of ranked rows"},
	{"data: a bad row", func(k *kitchen) { k.write("wrong.jsonl", "{\"prompt\": 1}") }, "data sample --data wrong.jsonl --rows 1 --to out.jsonl", exitFailed, "wrong.jsonl:1: prompt: 1; want text or a list of messages"},
	{"data: how much is held out", nil, "data split --data pairs.jsonl --train a.jsonl --held-out b.jsonl", exitUsage, "give either --fraction or --rows, to say how much is held out"},
	{"data: a share that is none", nil, "data split --data pairs.jsonl --train a.jsonl --held-out b.jsonl --fraction 1", exitUsage, "--fraction 1; want a number between 0 and 1"},
	{"data: all held out", nil, "data split --data pairs.jsonl --train a.jsonl --held-out b.jsonl --rows 12", exitFailed, "pairs.jsonl: all of 12 rows are held out; hold out less"},
	{"data: none held out", nil, "data split --data pairs.jsonl --train a.jsonl --held-out b.jsonl --fraction 1e-9", exitFailed, "pairs.jsonl: of 12 rows none is held out; hold out more"},
	{"data: one file for both", nil, "data split --data pairs.jsonl --train a.jsonl --held-out ./a.jsonl --rows 2", exitUsage, "--train and --held-out are both a.jsonl; give two names"},
	{"data: parquet of rows as they are", nil, "data sample --data pairs.jsonl --rows 1 --to a.parquet", exitFailed, "a.parquet: JSONL is written here; give a name that ends in .jsonl, or use convert"},
	{"data: parquet of texts and messages", func(k *kitchen) {
		k.write("wrong.jsonl", firstLines(read(k.t, "pairs.jsonl"), 1)+firstLines(read(k.t, "chat.jsonl"), 1))
	}, "data convert --data wrong.jsonl --to a.parquet", exitFailed, "wrong.jsonl:2: text and messages, or a score that is no number; a column of a parquet file has one kind: write .jsonl"},
	{"data: parquet of tools", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt":[{"role":"user","content":"a"}],"chosen":[{"role":"assistant","content":"b"}],"rejected":[{"role":"assistant","content":"c"}],"tools":[]}`)
	}, "data convert --data wrong.jsonl --to a.parquet", exitFailed, "wrong.jsonl:1: tools: parquet files are written without this column, and the chat template would miss it: write .jsonl"},
	{"data: nothing to write", func(k *kitchen) { k.write("wrong.jsonl", `{"prompt":"a","completions":["b","c"],"scores":[1,1]}`) }, "data convert --data wrong.jsonl --to a.parquet", exitFailed, "wrong.jsonl: no row to write"},
	{"data: no rows to draw", nil, "data sample --data pairs.jsonl --to a.jsonl", exitUsage, "--rows 0; want a number of at least 1"},
	{"show: a line that is not there", nil, shows + "--row 13", exitFailed, "pairs.jsonl:13: no such row; the last is 12"},
	{"show: a blank line", func(k *kitchen) {
		k.write("wrong.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n\n{}\n")
	}, shows + "--data wrong.jsonl --row 2", exitFailed,
		"wrong.jsonl:2: no row begins at this line; the next is at 3"},
	{"show: row 0", nil, shows + "--row 0", exitUsage, "--row 0; want a row of the data, from 1"},
	{"show: no such file of the data", nil, shows + "--file other.jsonl --row 1", exitFailed, "other.jsonl: not among the files of the data, which are pairs.jsonl; give one of them"},
	{"show: no such data set", nil, shows + "--dataset 2", exitUsage, "--dataset 2; want the place of one of the data sets, from 1 to 1"},
	{"show: a row behind all files", func(k *kitchen) { k.write("two/a.jsonl", "{}"); k.write("two/b.jsonl", "{}\n{}") }, "show --model model --data two --row 4", exitFailed,
		"row 4: no such row; the data have 3, in 2 files"},
	{"show: no number", nil, shows + "--row first", exitUsage, `--row: first; want a whole number; see "dpotrain show --help"`},
	{"show: a row that is left out", func(k *kitchen) { k.write("wrong.jsonl", `{"prompt": "a", "chosen": "b", "rejected": "b"}`) }, shows + "--data wrong.jsonl", exitFailed,
		"wrong.jsonl:1: left out, because chosen and rejected are the same; look at the data"},
	{"show: a row that is cut away", nil, shows + "--max-length 4 --row 3", exitFailed,
		"pairs.jsonl:3: left out, because nothing of a completion is left after truncation; look at max_length and truncation_mode"},
	{"show: a bad row", func(k *kitchen) { k.write("wrong.jsonl", "{}\n{\"prompt\": 1}\n") }, shows + "--data wrong.jsonl --row 2", exitFailed,
		"wrong.jsonl:2: prompt: 1; want text or a list of messages"},
	{"show: an unpaired row for a loss of pairs", func(k *kitchen) { k.write("wrong.jsonl", `{"prompt": "a", "completion": "b", "label": true}`) }, shows + "--data wrong.jsonl --loss dpo", exitFailed,
		"wrong.jsonl:1: a completion with a label, and loss dpo takes pairs: prompt, chosen and rejected; losses that take such rows: bco, kto, apo_zero_unpaired"},
	{"show: no data", nil, "show --model model", exitUsage, "data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)"},
	{"show: no file", nil, shows + "--data none.jsonl", exitFailed,
		"data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"show: no model", nil, shows + "--model none", exitFailed,
		"none/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"},
	{"data: pass one, missing", nil, precompute + "--data none.jsonl", exitFailed,
		"data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"data: eval, missing", nil, evaluates + "--data none.jsonl", exitFailed,
		"data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"data: eval, bad row", func(k *kitchen) { k.write("wrong.jsonl", "{}\n") }, evaluates + "--data wrong.jsonl", exitFailed,
		"wrong.jsonl:1: chosen: missing; a pair has prompt, chosen and rejected"},
	{"data: sft without completions", func(k *kitchen) { k.write("wrong.jsonl", "{\"rejected\": \"b\"}\n") }, trains + "--data wrong.jsonl --loss sft", exitFailed,
		"wrong.jsonl:1: no column completion, chosen or text (there are rejected); a row of a loss without pairs has prompt and completion, " +
			"prompt and chosen, or text"},
	{"data: no scores", nil, trains + "--loss odpo", exitFailed,
		"pairs.jsonl:1: chosen_score: missing (there are prompt, chosen, rejected); loss odpo needs chosen_score and rejected_score, or margin " +
			"(lines 2, 3, 4, 5 ... too)"},
	wrongNumbers("an empty sft_target", "rpo", exitFailed, "wrong.jsonl:1: sft_target: empty text; give a completion, or leave the column out", `"sft_target": ""`),
	wrongNumbers("an sft_target that is no text", "rpo", exitFailed, "wrong.jsonl:2: sft_target: 7; want text or a list of messages; on_bad_row: skip leaves such rows out", `"sft_target": null`, `"sft_target": 7`),
	wrongNumbers("an sft_target of messages", "dpo --sft-weight 0.1", exitFailed, "wrong.jsonl:1: text in one column and messages in another; want one kind in a row", `"sft_target": [{"role": "assistant", "content": "b"}]`),
	{"data: an sft_target of another prompt", func(k *kitchen) {
		k.write("wrong.jsonl", `{"chosen": "ab c", "rejected": "ab d", "sft_target": "b e"}`+"\n")
	}, trains + "--data wrong.jsonl --loss cpo", exitFailed,
		"wrong.jsonl:1: sft_target: does not begin with what chosen and rejected begin with; give the prompt in a column of its own"},
	{"data: weights of tokens and unpaired rows", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt": "a", "completion": "b", "label": true}`+"\n")
	}, trains + "--data wrong.jsonl --loss bco --ld-alpha 0.5", exitUsage,
		"ld_alpha: it is of pairs, and the rows are single completions with labels; leave it out, or give pairs"},
	{"data: pass one, no scores", nil, precompute + "--loss rebel", exitFailed,
		"pairs.jsonl:1: chosen_score: missing (there are prompt, chosen, rejected); loss rebel needs chosen_score and rejected_score, or margin " +
			"(lines 2, 3, 4, 5 ... too)"},
	{"data: eval, no win rates", nil, evaluates + "--loss sppo", exitFailed,
		"pairs.jsonl:1: p_win: missing (there are prompt, chosen, rejected); loss sppo needs p_win (lines 2, 3, 4, 5 ... too)"},
	{"data: eval_data without win rates", func(k *kitchen) { k.write("p.jsonl", said(`"p_win": 0.75`)) }, trains + "--data p.jsonl --eval-data pairs.jsonl --loss dno", exitFailed,
		"pairs.jsonl:1: p_win: missing (there are prompt, chosen, rejected); loss dno needs p_win (lines 2, 3, 4, 5 ... too)"},
	wrongRanked("one completion", "plackett_luce", `"completions": ["a"]`, "completions: a list of 1; want 2 to 64, best first or with scores"),
	wrongRanked("more completions than can be ranked", "plackett_luce", `"completions": ["a"`+strings.Repeat(`, "a"`, 64)+`]`, "completions: a list of more than 64; want 2 to 64, best first or with scores"),
	wrongRanked("completions that are a text", "plackett_luce", `"completions": "a"`, `completions: "a"; want a list of texts, or of lists of messages`),
	wrongRanked("a completion that is a number", "dpo", `"completions": ["a", 5]`, "completions: completion 2: 5; want text or a list of messages"),
	wrongRanked("completions as UltraFeedback has them", "dpo", `"completions": [{"model": "m", "response": "a"}, {"model": "n", "response": "b"}]`,
		`completions: completion 1: {"model": "m", "response": "a"}; want text or a list of messages`),
	wrongRanked("completions of two kinds", "plackett_luce", `"completions": ["a", [{"role": "assistant", "content": "b"}]]`, "completions: texts and messages; want one kind in a row"),
	wrongRanked("a completion's message without content", "plackett_luce", `"completions": [[{"role": "assistant", "content": "a"}], [{"role": "assistant"}]]`,
		"completions: completion 2: message 1: content: missing; want a string, a list or null"),
	wrongRanked("a score too few", "plackett_luce", `"completions": ["a", "b", "c"], "scores": [1, 2]`, "scores: a list of 2, and there are 3 completions; give one for each"),
	wrongRanked("scores that are a number", "plackett_luce", `"completions": ["a", "b"], "scores": 2`, "scores: 2; want a list of numbers, one for each completion"),
	wrongRanked("a ranked score in quotes", "rebel", `"completions": ["a", "b"], "scores": [1, "2"]`, `scores: score 2: "2"; want a number`),
	wrongRanked("a ranked score beyond a float", "plackett_luce", `"completions": ["a", "b"], "scores": [1, 1e999]`, "scores: score 2: 1e999 is out of range; want a finite number"),
	wrongRanked("ranked rows without the scores of a loss", "odpo", `"completions": ["a", "b"]`,
		"scores: missing (there are prompt, completions); loss odpo needs one for each completion"),
	{"data: ranked rows without a prompt", func(k *kitchen) { k.write("wrong.jsonl", `{"completions": ["a", "b"]}`) }, trains + "--data wrong.jsonl --loss plackett_luce", exitFailed,
		"wrong.jsonl:1: prompt: missing (there are completions); a row with completions needs one"},
	{"data: neither ranked nor pairs", func(k *kitchen) { k.write("wrong.jsonl", `{"prompt": "p", "responses": ["a", "b"]}`) }, trains + "--data wrong.jsonl --loss plackett_luce", exitFailed,
		"wrong.jsonl:1: completions: missing (there are prompt, responses); a ranked row has prompt and completions, best first or with scores, a pair prompt, chosen and rejected"},
	{"data: ranked rows of equals", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt": "p", "completions": ["a", "b"], "scores": [1, 1]}`)
	}, evaluates + "--data wrong.jsonl", exitFailed,
		"wrong.jsonl: no row is left: dropped because no two completions are left that differ in text and in rank: 1 (line 1); look at the columns completions and scores, and max_length"},
	wrongNumbers("one row without scores", "odpo", exitFailed,
		"wrong.jsonl:2: chosen_score: missing (there are id, prompt, chosen, rejected); loss odpo needs chosen_score and rejected_score, or "+
			"margin; on_bad_row: skip leaves such rows out", `"margin": 1`, `"id": 7`),
	wrongNumbers("one score", "rebel", exitFailed,
		"wrong.jsonl:1: rejected_score: missing (there are chosen_score, prompt, chosen, rejected); loss rebel needs chosen_score and "+
			"rejected_score, or margin", `"chosen_score": 1`),
	wrongNumbers("a score that is null", "reward_aware_bwd_kl", exitFailed,
		"wrong.jsonl:1: rejected_score: null; loss reward_aware_bwd_kl needs chosen_score and rejected_score, or margin",
		`"chosen_score": 1, "rejected_score": null`),
	wrongNumbers("a score in quotes", "reward_aware_fwd_kl", exitFailed, `wrong.jsonl:1: chosen_score: "4"; want a number`,
		`"chosen_score": "4", "rejected_score": "3"`),
	wrongNumbers("a score that is NaN", "rebel", exitFailed,
		"wrong.jsonl:1: not JSON at byte 18 of the line: invalid character 'N' where a value belongs; mend the line",
		`"chosen_score": NaN, "rejected_score": 3`),
	wrongNumbers("a score beyond a float", "rebel", exitFailed, "wrong.jsonl:1: margin: 1e999 is out of range; want a finite number", `"margin": 1e999`),
	wrongNumbers("ties and the logarithm", "odpo", exitFailed,
		"wrong.jsonl:2: the score of chosen is not above that of rejected, and odpo_offset: log takes the logarithm of the difference; set "+
			"odpo_offset: identity, or drop the row (line 3 too); on_bad_row: skip leaves such rows out",
		`"margin": 1`, `"chosen_score": 3, "rejected_score": 3`, `"chosen_score": 2, "rejected_score": 3`),
	wrongNumbers("a win rate in per cent", "sppo", exitFailed, "wrong.jsonl:1: p_win: 90; want a probability, from 0 to 1", `"p_win": 90`),
	wrongNumbers("a win rate below 0", "dno", exitFailed, "wrong.jsonl:1: p_win_rejected: -0.1; want a probability, from 0 to 1",
		`"p_win": 0.9, "p_win_rejected": -0.1`),
	wrongNumbers("a negative weight", "dpo", exitFailed, "wrong.jsonl:1: weight: -1; want a number of at least 0", `"weight": -1`),
	wrongNumbers("a weight in words", "dpo", exitFailed, `wrong.jsonl:1: weight: "high"; want a number`, `"weight": "high"`),
	wrongNumbers("a score twice", "rebel", exitFailed, "wrong.jsonl:1: margin: stands twice in the row; leave one out", `"margin": 1, "margin": 2`),
	{"data: a column that columns names and that is not there", func(k *kitchen) { k.write("c.yaml", "columns: {chosen: better}") }, trains + "--config c.yaml", exitFailed,
		"pairs.jsonl:1: chosen: missing, for there is no column better (there are prompt, chosen, rejected); a pair has prompt, chosen and rejected " +
			"(lines 2, 3, 4, 5 ... too)"},
	{"data: trust_ref_logps without the columns", nil, trains + "--trust-ref-logps", exitFailed,
		"pairs.jsonl:1: ref_chosen_logps: missing (there are prompt, chosen, rejected); trust_ref_logps needs ref_chosen_logps and ref_rejected_logps " +
			"(lines 2, 3, 4, 5 ... too)"},
	{"data: trust_ref_logps with probabilities", func(k *kitchen) {
		k.write("wrong.jsonl", said(`"ref_chosen_logps": 0.5, "ref_rejected_logps": 0.25`))
	}, trains + "--data wrong.jsonl --trust-ref-logps", exitFailed,
		"wrong.jsonl:1: ref_chosen_logps: 0.5; want a log-prob in nats, summed over the completion, of at most 0"},
	{"data: trust_ref_logps for unpaired rows", nil, trains + "--loss kto --trust-ref-logps", exitUsage,
		"trust_ref_logps: ref_chosen_logps and ref_rejected_logps are of pairs, and loss kto takes rows with labels; leave it out"},
	{"data: trust_ref_logps for divergences", nil, trains + "--loss tdpo2 --trust-ref-logps", exitUsage,
		"trust_ref_logps: ref_chosen_logps and ref_rejected_logps are log-probs, and loss tdpo2 needs more of the reference than these; leave it out"},
	{"data: trust_ref_logps for entropies", nil, trains + "--loss mallows_dpo --trust-ref-logps", exitUsage,
		"trust_ref_logps: ref_chosen_logps and ref_rejected_logps are log-probs, and loss mallows_dpo needs more of the reference than these; leave it out"},
	{"data: the best by a metric of pairs, of unpaired rows", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt": "a", "completion": "b", "label": true}`)
	}, trains + "--data wrong.jsonl --eval-data wrong.jsonl --loss bco --metric-for-best-model rewards/accuracies", exitUsage,
		"metric_for_best_model: rewards/accuracies; the rows are single completions with labels, and their evaluations have no such metric; docs/metrics.md has theirs, or give pairs"},
	{"data: trust_ref_logps for a loss that takes unpaired rows for once", func(k *kitchen) {
		k.write("wrong.jsonl", `{"prompt": "a", "completion": "b", "label": true, "ref_chosen_logps": -1, "ref_rejected_logps": -2}`)
	}, trains + "--data wrong.jsonl --loss bco --trust-ref-logps", exitUsage,
		"trust_ref_logps: ref_chosen_logps and ref_rejected_logps are of pairs, and loss bco takes rows with labels; leave it out"},
	wrongRanked("trust_ref_logps for ranked rows as lists", "plackett_luce --trust-ref-logps", `"completions": ["a", "b"], "ref_chosen_logps": -1, "ref_rejected_logps": -2`, trustsRanked),
	wrongRanked("trust_ref_logps for ranked rows as pairs", "dpo --trust-ref-logps", `"completions": ["a", "b"], "ref_chosen_logps": -1, "ref_rejected_logps": -2`, trustsRanked),
	{"data: trust_ref_logps and nothing to precompute", nil, precompute + "--trust-ref-logps", exitUsage,
		"trust_ref_logps: the reference's log-probs are taken from the rows; there is nothing to precompute"},
	{"data: token_cache_dir is a file", func(k *kitchen) {
		k.write("large.jsonl", strings.Repeat(`{"prompt": "a", "chosen": "b", "rejected": "c", "x": "`+strings.Repeat("x", 1<<20)+"\"}\n", 5))
	}, trains + "--data large.jsonl --token-cache-dir pairs.jsonl", exitFailed,
		"token_cache_dir: pairs.jsonl: a part of this path is a file, not a folder; look at the path"},
	{"data: eval_fraction too small", nil, trains + "--eval-fraction 1e-9", exitFailed,
		"eval_fraction: 1e-09 of 12 examples leaves none to evaluate; give a larger one"},
	{"data: a data set on the Hub in a mix", func(k *kitchen) {
		k.write("c.yaml", "datasets:\n- pairs.jsonl\n- path: argilla/Capybara-Preferences\n  split: train\n")
	},
		"train --config c.yaml --model model --output-dir run", exitFailed,
		"datasets: argilla/Capybara-Preferences: no such file, and nothing is downloaded here; if it is a name on the Hugging Face Hub, in Python: " +
			`from datasets import load_dataset; load_dataset("argilla/Capybara-Preferences", split="train").to_json("pairs.jsonl"), and give that file`},
	{"data: a mix with a bad row", func(k *kitchen) {
		k.write("c.yaml", "datasets:\n- pairs.jsonl\n- path: wrong.jsonl\n  filter: {min_margin: 1}\n")
		k.write("wrong.jsonl", said(`"margin": 2`, `"x": 2`))
	}, "train --config c.yaml --model model --output-dir run", exitFailed,
		"wrong.jsonl:2: chosen_score: missing (there are x, prompt, chosen, rejected); filter min_margin needs chosen_score and rejected_score, or " +
			"margin; on_bad_row: skip leaves such rows out"},
	{"data: a filter that takes nothing", func(k *kitchen) {
		k.write("c.yaml", "datasets:\n- path: pairs.jsonl\n  filter: {tag: x}\n")
	}, "train --config c.yaml --model model --output-dir run", exitFailed,
		"pairs.jsonl: no row is left: dropped because the filter does not take the row: 12 (lines 1, 2, 3, 4, 5 ...); look at the filter"},
	{"data: a split of a file", func(k *kitchen) { k.write("c.yaml", "datasets:\n- path: pairs.jsonl\n  split: train\n") },
		"train --config c.yaml --model model --output-dir run", exitFailed, "pairs.jsonl: split train is given, and this is no folder; leave it out"},
	{"data: sft, completion without prompt", func(k *kitchen) { k.write("wrong.jsonl", "{\"completion\": \"b\"}\n") }, trains + "--data wrong.jsonl --loss sft", exitFailed,
		"wrong.jsonl:1: prompt: missing; a row with completion needs one"},
}

func wrongModel(name string, make func(*kitchen), want string) mistake {
	return mistake{name, make, trains, exitFailed, want}
}

func wrongConfig(name string, changes map[string]any, want string) mistake {
	return mistake{name, func(k *kitchen) { k.config(changes) }, trains, exitFailed, want}
}

func wrongTensors(name string, f func(header map[string]any, data []byte) []byte, want string) mistake {
	return mistake{name, func(k *kitchen) { k.tensors(f) }, trains, exitFailed, want}
}

const qProj = "model.layers.0.self_attn.q_proj.weight"

func badModels(w kitchenware) []mistake {
	return []mistake{
		{"model: missing", nil, trains + "--model none", exitFailed,
			"model: none: no such folder; give one with config.json, model.safetensors and tokenizer.json"},
		{"model: a name on the hub", nil, trains + "--model HuggingFaceTB/SmolLM2-135M", exitFailed,
			"model: HuggingFaceTB/SmolLM2-135M: no such folder, and nothing is downloaded here; if it is a name on the Hugging Face Hub: hf " +
				"download HuggingFaceTB/SmolLM2-135M --local-dir models/SmolLM2-135M, and give that folder"},
		{"model: a file", nil, trains + "--model pairs.jsonl", exitFailed,
			"model: pairs.jsonl: a file; give the folder with config.json, model.safetensors and tokenizer.json"},
		{"model: its weights", nil, trains + "--model model/model.safetensors", exitFailed,
			"model: model/model.safetensors: a file; give the folder with config.json, model.safetensors and tokenizer.json"},
		{"model: GGUF", func(k *kitchen) { k.write("m.gguf", "GGUF") }, trains + "--model m.gguf", exitFailed,
			"model: m.gguf: a GGUF file; that is for running models and not for training them; get the safetensors files of the model it was made " +
				"from"},
		{"model: a .pt file", func(k *kitchen) { k.write("m.pt", "PK\x03\x04") }, trains + "--model m.pt", exitFailed,
			"model: m.pt: a pickle file of PyTorch; give the folder with config.json, model.safetensors and tokenizer.json"},
		{"model: an empty folder", func(k *kitchen) { k.mkdir("e") }, trains + "--model e", exitFailed,
			"e: no model.safetensors in it; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"},
		{"model: a folder of GGUF", func(k *kitchen) { k.write("e/m.Q4_K_M.gguf", "GGUF") }, trains + "--model e", exitFailed,
			"e: GGUF files (m.Q4_K_M.gguf) are not read; that is for running models and not for training them; get the safetensors files of the " +
				"model it was made from"},
		{"model: ref_model missing", nil, trains + "--ref-model none", exitFailed,
			"ref_model: none: no such folder; give one with config.json, model.safetensors and tokenizer.json"},
		{"model: a reference that is renewed and compared with", nil, trains + "--loss tdpo1 --reference-update-steps 2", exitUsage,
			"reference_update_steps: loss tdpo1 compares the distributions of policy and reference, and does so with ref_model alone; leave it out, or take " +
				"another loss"},
		{"model: a reference of another vocabulary to compare with", func(k *kitchen) {
			k.copy("model", "other")
			k.replace("other/config.json", `"vocab_size": 320`, `"vocab_size": 400`)
		},
			trains + "--ref-model other --loss tdpo2", exitUsage,
			"loss tdpo2 compares the distributions of policy and reference, and model model has a vocabulary of 320, ref_model other one of 400; take a " +
				"reference with the same, or another loss"},
		wrongModel("model: no config.json", func(k *kitchen) { k.remove("model/config.json") },
			"model/config.json: no such file; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"),
		wrongModel("model: no tokenizer", func(k *kitchen) { k.remove("model/tokenizer.json", "model/tokenizer_config.json") },
			"model/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"),
		wrongModel("model: no tokenizer_config.json", func(k *kitchen) { k.remove("model/tokenizer_config.json") },
			"model/tokenizer_config.json: no such file; get it from where tokenizer.json comes from"),
		wrongModel("model: a damaged tokenizer.model alone", func(k *kitchen) {
			k.remove("model/tokenizer.json")
			k.write("model/tokenizer.model", "\n\x0e\n\x05<unk>")
		}, "model/tokenizer.model: not a SentencePiece model, or damaged; get the file again"),
		wrongModel("model: vocab.txt alone", func(k *kitchen) {
			k.remove("model/tokenizer.json")
			k.write("model/vocab.txt", "a\n")
		},
			"model/tokenizer.json: no such file; make it of vocab.txt once, in Python: from transformers import AutoTokenizer; "+
				`AutoTokenizer.from_pretrained("model").save_pretrained("model")`),
		wrongModel("model: vocab.json without merges.txt", func(k *kitchen) {
			k.remove("model/tokenizer.json")
			k.write("model/vocab.json", "{}")
		},
			"model/tokenizer.json: no such file; make it of vocab.json once, in Python: from transformers import AutoTokenizer; "+
				`AutoTokenizer.from_pretrained("model").save_pretrained("model")`),
		wrongModel("model: a line of merges.txt", func(k *kitchen) {
			k.remove("model/tokenizer.json")
			k.write("model/vocab.json", `{"a": 0, "b": 1}`)
			k.write("model/merges.txt", "#version: 0.2\na b c\n")
		}, `model/merges.txt:2: "a b c" is not two texts with one space between them`),
		wrongModel("model: vocab.json of another class", func(k *kitchen) {
			k.remove("model/tokenizer.json")
			k.write("model/vocab.json", `{"a": 0, "b": 1}`)
			k.write("model/merges.txt", "#version: 0.2\n")
			k.write("model/tokenizer_config.json", `{"tokenizer_class": "CLIPTokenizer"}`)
		},
			`model/vocab.json: tokenizer_class "CLIPTokenizer" is not supported without tokenizer.json; want GPT2Tokenizer, CodeGenTokenizer `+
				`or Qwen2Tokenizer`),
		wrongModel("model: no weights", func(k *kitchen) { k.remove("model/model.safetensors") },
			"model: no model.safetensors in it; give a Hugging Face model folder (config.json, model.safetensors, tokenizer.json)"),
		wrongModel("model: pytorch_model.bin", func(k *kitchen) {
			k.remove("model/model.safetensors")
			k.write("model/pytorch_model.bin", "PK\x03\x04")
		},
			"model: weights in pickle files (pytorch_model.bin) are not read; convert them once, in Python: from transformers import "+
				`AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("model").save_pretrained("model")`),
		wrongModel("model: a .pt model", func(k *kitchen) { k.remove("model/model.safetensors"); k.write("model/model.pt", "PK\x03\x04") },
			"model: weights in pickle files (model.pt) are not read; convert them once, in Python: import torch, safetensors.torch; "+
				`safetensors.torch.save_file({k: v.clone().contiguous() for k, v in torch.load("model/model.pt").items()}, "model/model.safetensors")`),
		wrongModel("model: a .pth model", func(k *kitchen) {
			k.remove("model/model.safetensors")
			k.write("model/consolidated.00.pth", "PK\x03\x04")
		}, "model: consolidated.00.pth is in Meta's own format, which is not read; get the Hugging Face version of the model"),
		wrongModel("model: GGUF in the folder", func(k *kitchen) { k.remove("model/model.safetensors"); k.write("model/x.gguf", "GGUF") },
			"model: GGUF files (x.gguf) are not read; that is for running models and not for training them; get the safetensors files of the model "+
				"it was made from"),
		wrongModel("model: weights of another name", func(k *kitchen) { k.check(os.Rename("model/model.safetensors", "model/weights.safetensors")) },
			"model: weights.safetensors is no name that weights are looked for under; if it is the whole model, name it model.safetensors"),
		wrongModel("model: shards without their index", func(k *kitchen) {
			k.check(os.Rename("model/model.safetensors", "model/model-00001-of-00002.safetensors"))
		}, "model: model-00001-of-00002.safetensors is a part of a model, and there is no model.safetensors.index.json; get all files of the model"),
		wrongModel("model: TensorFlow weights", func(k *kitchen) { k.remove("model/model.safetensors"); k.write("model/tf_model.h5", "x") },
			"model: weights of TensorFlow or Flax (tf_model.h5) are not read; get the model's safetensors files"),
		wrongModel("model: a LoRA adapter", func(k *kitchen) {
			k.remove("model/model.safetensors", "model/config.json")
			k.write("model/adapter_config.json", `{"peft_type": "LORA", "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M"}`)
			k.write("model/adapter_model.safetensors", "")
		},
			"model: a LoRA adapter (adapter_config.json) without its model; merge the two once, in Python: from peft import "+
				`AutoPeftModelForCausalLM; AutoPeftModelForCausalLM.from_pretrained("model").merge_and_unload().save_pretrained("model-merged"), and `+
				"put the tokenizer there too"),
		wrongModel("model: a LoRA adapter beside a config", func(k *kitchen) {
			k.remove("model/model.safetensors")
			k.write("model/adapter_config.json", `{"peft_type": "LORA", "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M"}`)
			k.write("model/adapter_model.safetensors", "")
		},
			"model: a LoRA adapter (adapter_config.json) without its model; merge the two once, in Python: from peft import "+
				`AutoPeftModelForCausalLM; AutoPeftModelForCausalLM.from_pretrained("model").merge_and_unload().save_pretrained("model-merged"), and `+
				"put the tokenizer there too"),
		wrongModel("model: a LoRA adapter without tokenizer", func(k *kitchen) {
			k.remove("model")
			k.write("model/adapter_config.json", `{"peft_type": "LORA"}`)
			k.write("model/adapter_model.bin", "")
		},
			"model: a LoRA adapter (adapter_config.json) without its model; merge the two once, in Python: from peft import "+
				`AutoPeftModelForCausalLM; AutoPeftModelForCausalLM.from_pretrained("model").merge_and_unload().save_pretrained("model-merged"), and `+
				"put the tokenizer there too"),

		wrongModel("config.json: empty", func(k *kitchen) { k.write("model/config.json", "") },
			"model/config.json: empty; get the config.json of a Hugging Face model"),
		wrongModel("config.json: cut off", func(k *kitchen) { k.cut("model/config.json", 40) },
			"model/config.json: not JSON at byte 672 (unexpected end of JSON input); get the config.json of a Hugging Face model"),
		wrongModel("config.json: a list", func(k *kitchen) { k.write("model/config.json", "[]") },
			"model/config.json: not a JSON object; get the config.json of a Hugging Face model"),
		wrongModel("config.json: text", func(k *kitchen) { k.write("model/config.json", "hello") },
			"model/config.json: not JSON at byte 1 (invalid character 'h' looking for beginning of value); get the config.json of a Hugging Face "+
				"model"),
		wrongModel("config.json: null", func(k *kitchen) { k.write("model/config.json", "null") },
			"model/config.json: not a JSON object; get the config.json of a Hugging Face model"),
		wrongModel("config.json: a folder", func(k *kitchen) { k.remove("model/config.json"); k.mkdir("model/config.json") },
			"model/config.json: a folder is there, and a file is wanted; look at the path"),
		wrongModel("config.json: a git-lfs pointer", func(k *kitchen) {
			k.write("model/config.json", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
		},
			"model/config.json: not JSON at byte 1 (invalid character 'v' looking for beginning of value); get the config.json of a Hugging Face "+
				"model"),
		wrongConfig("config.json: zero heads", map[string]any{"num_attention_heads": 0},
			"model/config.json: num_attention_heads: 0 is out of range; want 1 to 4194304"),
		wrongConfig("config.json: heads that do not divide", map[string]any{"num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": nil},
			"model/config.json: hidden_size: 36 is not a multiple of num_attention_heads 5, and there is no head_dim"),
		wrongConfig("config.json: kv heads that do not divide", map[string]any{"num_key_value_heads": 3},
			"model/config.json: num_attention_heads 4 is not a multiple of num_key_value_heads 3"),
		wrongConfig("config.json: zero kv heads", map[string]any{"num_key_value_heads": 0},
			"model/config.json: num_key_value_heads: 0 is out of range; want 1 to 4194304"),
		wrongConfig("config.json: negative layers", map[string]any{"num_hidden_layers": -2},
			"model/config.json: num_hidden_layers: -2 is out of range; want 1 to 4096"),
		wrongConfig("config.json: hidden size 0", map[string]any{"hidden_size": 0},
			"model/config.json: hidden_size: 0 is out of range; want 1 to 4194304"),
		wrongConfig("config.json: huge", map[string]any{"vocab_size": 1e12},
			"model/config.json: vocab_size: 1000000000000 is out of range; want 1 to 4194304"),
		wrongConfig("config.json: much too large", map[string]any{"vocab_size": 4000000, "hidden_size": 4000000, "head_dim": 1},
			"model/config.json: 1.6e+13 parameters; there may be 1.37e+11; look at the sizes"),
		wrongConfig("config.json: a text for a number", map[string]any{"hidden_size": "36"},
			`model/config.json: hidden_size: "36"; want a whole number`),
		wrongConfig("config.json: no vocab_size", map[string]any{"vocab_size": nil}, "model/config.json: vocab_size: missing; want a whole number"),
		wrongConfig("config.json: no model_type", map[string]any{"model_type": nil},
			"model/config.json: model_type: missing; want one of gpt2, gpt_neox, llama, mistral, qwen2, qwen3"),
		wrongConfig("config.json: another model_type", map[string]any{"model_type": "mamba"},
			`model/config.json: model_type: "mamba" is not supported; there are gpt2, gpt_neox, llama, mistral, qwen2, qwen3`),
		wrongConfig("config.json: a number for model_type", map[string]any{"model_type": 3}, "model/config.json: model_type: 3; want a string"),
		wrongConfig("config.json: quantized", map[string]any{"quantization_config": map[string]any{"quant_method": "gptq", "bits": 4}},
			"model/config.json: quantization_config: quantized weights are not read; take the model that these were made from"),
		wrongConfig("config.json: an unknown rope", map[string]any{"rope_parameters": map[string]any{"rope_type": "yarn", "rope_theta": 10000, "factor": 4}},
			`model/config.json: rope_parameters: rope_type: "yarn" is not implemented; there are default, linear, llama3`),
		wrongConfig("config.json: another activation", map[string]any{"hidden_act": "relu"},
			`model/config.json: hidden_act: "relu" is not implemented; there is silu, swish`),
		wrongConfig("config.json: a risky key", map[string]any{"attention_chunk_size": 8},
			"model/config.json: attention_chunk_size: unknown key, and its name says that it changes what the model computes; this architecture is "+
				"not implemented with it"),
		wrongConfig("config.json: a vocabulary smaller than the tokenizer's", map[string]any{"vocab_size": 300},
			"model: model.embed_tokens.weight: shape [320 36], want [300 36]; take weights and config.json from one model"),
		wrongConfig("config.json: another hidden size", map[string]any{"hidden_size": 40},
			"model: model.embed_tokens.weight: shape [320 36], want [320 40], and 19 more of another shape; take weights and config.json from one "+
				"model"),
		wrongConfig("config.json: more layers", map[string]any{"num_hidden_layers": 3},
			"model: model.layers.2.input_layernorm.weight: missing, want shape [36], and 8 more missing; take weights and config.json from one model"),
		wrongConfig("config.json: fewer layers", map[string]any{"num_hidden_layers": 1},
			"model: model.layers.1.input_layernorm.weight: not a tensor of model_type llama with this config.json, and 8 more not of it; take "+
				"weights and config.json from one model"),
		wrongConfig("config.json: many more layers", map[string]any{"num_hidden_layers": 30},
			"model: model.layers.10.input_layernorm.weight: missing, want shape [36], and 251 more missing; take weights and config.json from one "+
				"model"),
		wrongConfig("config.json: an untied head", map[string]any{"tie_word_embeddings": false},
			"model: lm_head.weight: missing, want shape [320 36], or tie_word_embeddings true in config.json; take weights and config.json from one "+
				"model"),

		wrongModel("weights: empty", func(k *kitchen) { k.write("model/model.safetensors", "") },
			"model/model.safetensors: empty; the file is damaged, get it again"),
		wrongModel("weights: cut off", func(k *kitchen) { k.cut("model/model.safetensors", 1000) },
			"model/model.safetensors: header: model.layers.1.self_attn.v_proj.weight ends at byte 133056, and the file has 132200 bytes of tensors: "+
				"it is cut off; get it again"),
		wrongModel("weights: cut off in the header", func(k *kitchen) { k.write("model/model.safetensors", read(k.t, "model/model.safetensors")[:300]) },
			"model/model.safetensors: cut off in its header, which has 2032 bytes; get the file again"),
		wrongModel("weights: longer than the header says", func(k *kitchen) { k.write("model/model.safetensors", read(k.t, "model/model.safetensors")+"12345678") },
			"model/model.safetensors: 8 bytes follow the last tensor; the file is damaged, get it again"),
		wrongModel("weights: text", func(k *kitchen) { k.write("model/model.safetensors", strings.Repeat("Not a model. ", 100)) },
			"model/model.safetensors: does not begin as a safetensors file does; the file is damaged, get it again"),
		wrongModel("weights: a git-lfs pointer", func(k *kitchen) {
			k.write("model/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 269060552\n")
		}, "model/model.safetensors: a git-lfs pointer and not the file itself; get that with git lfs pull"),
		wrongModel("weights: a web page", func(k *kitchen) { k.write("model/model.safetensors", "<!DOCTYPE html><html>Sign in</html>") },
			"model/model.safetensors: begins with <, as web pages do, and is no safetensors file; get the file itself"),
		wrongModel("weights: a pickle of the right name", func(k *kitchen) {
			k.write("model/model.safetensors", "PK\x03\x04"+strings.Repeat("\x00", 100))
		},
			"model/model.safetensors: a pickle file of PyTorch under another name; name it pytorch_model.bin, and convert it once, in Python: from "+
				`transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("model").save_pretrained("model")`),
		wrongModel("weights: a folder", func(k *kitchen) { k.remove("model/model.safetensors"); k.mkdir("model/model.safetensors") },
			"model/model.safetensors: a folder; want a safetensors file"),
		wrongTensors("weights: overlap", func(h map[string]any, data []byte) []byte {
			from, to := offsets(h, qProj)
			entry(h, qProj)["data_offsets"] = []float64{from - 4, to - 4}
			return data
		},
			"model/model.safetensors: header: model.layers.0.self_attn.q_proj.weight begins at byte 80924, and "+
				"model.layers.0.self_attn.o_proj.weight ends at byte 80928: they overlap; the file is damaged, get it again"),
		wrongTensors("weights: a hole", func(h map[string]any, data []byte) []byte {
			delete(h, qProj)
			return data
		},
			"model/model.safetensors: header: model.layers.0.self_attn.v_proj.weight begins at byte 86688, and "+
				"model.layers.0.self_attn.o_proj.weight ends at byte 80928: there is a hole between them; the file is damaged, get it again"),
		wrongTensors("weights: beyond the end", func(h map[string]any, data []byte) []byte {
			from, to := offsets(h, "model.norm.weight")
			entry(h, "model.norm.weight")["data_offsets"] = []float64{from, to + 1<<20}
			return data
		},
			"model/model.safetensors: header: model.norm.weight: data_offsets: 1048720 bytes, and shape [36] in F32 has 144; the file is damaged, "+
				"get it again"),
		wrongTensors("weights: far beyond the end", func(h map[string]any, data []byte) []byte {
			from, _ := offsets(h, "model.norm.weight")
			entry(h, "model.norm.weight")["data_offsets"] = []float64{from, 1e18}
			entry(h, "model.norm.weight")["shape"] = []float64{1e18}
			return data
		}, "model/model.safetensors: header: model.norm.weight: shape: [1000000000000000000] is out of range; the file is damaged, get it again"),
		wrongTensors("weights: bytes that are not the shape's", func(h map[string]any, data []byte) []byte {
			entry(h, qProj)["shape"] = []int{40, 37}
			return data
		},
			"model/model.safetensors: header: model.layers.0.self_attn.q_proj.weight: data_offsets: 5760 bytes, and shape [40 37] in F32 has 5920; "+
				"the file is damaged, get it again"),
		wrongTensors("weights: a negative shape", func(h map[string]any, data []byte) []byte {
			entry(h, qProj)["shape"] = []int{-40, -36}
			return data
		},
			"model/model.safetensors: header: model.layers.0.self_attn.q_proj.weight: shape: [-40,-36]; want a list of sizes; the file is damaged, "+
				"get it again"),
		wrongTensors("weights: an unknown format", func(h map[string]any, data []byte) []byte {
			entry(h, qProj)["dtype"] = "F33"
			return data
		},
			`model/model.safetensors: header: model.layers.0.self_attn.q_proj.weight: dtype: "F33" is no number format; the file is damaged, get it `+
				"again"),
		wrongTensors("weights: integers", func(h map[string]any, data []byte) []byte {
			entry(h, qProj)["dtype"] = "I32"
			return data
		}, "model: model.layers.0.self_attn.q_proj.weight: number format I32 is not supported; want F32, F16 or BF16"),
		wrongTensors("weights: no offsets", func(h map[string]any, data []byte) []byte {
			delete(entry(h, qProj), "data_offsets")
			return data
		},
			"model/model.safetensors: header: model.layers.0.self_attn.q_proj.weight: want dtype, shape and data_offsets, each once; the file is "+
				"damaged, get it again"),
		wrongTensors("weights: a tensor missing", func(h map[string]any, data []byte) []byte {
			return dropTensor(h, data, qProj)
		}, "model: model.layers.0.self_attn.q_proj.weight: missing, want shape [40 36]; take weights and config.json from one model"),
		wrongTensors("weights: a tensor of another name", func(h map[string]any, data []byte) []byte {
			h["model.layers.0.self_attn.query.weight"] = h[qProj]
			delete(h, qProj)
			return data
		},
			"model: model.layers.0.self_attn.q_proj.weight: missing, want shape [40 36]; model.layers.0.self_attn.query.weight: not a tensor of "+
				"model_type llama with this config.json; take weights and config.json from one model"),
		wrongTensors("weights: another shape", func(h map[string]any, data []byte) []byte {
			entry(h, qProj)["shape"] = []int{36, 40}
			return data
		}, "model: model.layers.0.self_attn.q_proj.weight: shape [36 40], want [40 36]; take weights and config.json from one model"),
		wrongTensors("weights: every name has a prefix", func(h map[string]any, data []byte) []byte {
			for _, name := range slices.Sorted(maps.Keys(h)) {
				if name != "__metadata__" {
					h["base_model."+name] = h[name]
					delete(h, name)
				}
			}
			return data
		},
			"model: model.embed_tokens.weight: missing, want shape [320 36], and 19 more missing; base_model.model.embed_tokens.weight: not a "+
				"tensor of model_type llama with this config.json, and 19 more not of it; take weights and config.json from one model"),
		wrongTensors("weights: GPTQ", func(h map[string]any, data []byte) []byte {
			h["model.layers.0.self_attn.q_proj.qweight"] = h[qProj]
			delete(h, qProj)
			return data
		}, "model: model.layers.0.self_attn.q_proj.qweight: quantized weights are not read; take the model that these were made from"),
		wrongTensors("weights: bitsandbytes", func(h map[string]any, data []byte) []byte {
			h["model.layers.0.self_attn.q_proj.weight.absmax"] = map[string]any{"dtype": "F32", "shape": []int{1}, "data_offsets": []int{len(data), len(data) + 4}}
			return append(data, 0, 0, 0, 0)
		}, "model: model.layers.0.self_attn.q_proj.weight.absmax: quantized weights are not read; take the model that these were made from"),
		wrongTensors("weights: NaN", func(h map[string]any, data []byte) []byte {
			from, _ := offsets(h, qProj)
			copy(data[int(from)+8:], "\x00\x00\xc0\x7f")
			return data
		}, "model: model.layers.0.self_attn.q_proj.weight: element 2 is NaN; the weights are damaged, get them again"),
		{"shards: one missing", func(k *kitchen) { k.shards(w); k.remove("model/model-00002-of-00004.safetensors") }, trains, exitFailed,
			"model: model-00002-of-00004.safetensors is missing, and model.safetensors.index.json names it; get all files of the model"},
		{"shards: one cut off", func(k *kitchen) { k.shards(w); k.cut("model/model-00002-of-00004.safetensors", 8) }, trains, exitFailed,
			"model/model-00002-of-00004.safetensors: header: model.layers.0.self_attn.q_norm.weight ends at byte 20592, and the file has 20584 " +
				"bytes of tensors: it is cut off; get it again"},
		{"shards: an index that is no JSON", func(k *kitchen) { k.shards(w); k.write("model/model.safetensors.index.json", "{") }, trains, exitFailed,
			"model/model.safetensors.index.json: no index of shards; the file is damaged, get it again"},
		{"shards: an index of another shape", func(k *kitchen) { k.shards(w); k.write("model/model.safetensors.index.json", `{"weight_map": []}`) }, trains, exitFailed,
			"model/model.safetensors.index.json: weight_map: want the name of a file for every tensor; the file is damaged, get it again"},
		{"shards: an index without weight_map", func(k *kitchen) { k.shards(w); k.write("model/model.safetensors.index.json", `{}`) }, trains, exitFailed,
			"model/model.safetensors.index.json: weight_map: missing; the file is damaged, get it again"},
		{"shards: out of the folder", func(k *kitchen) {
			k.shards(w)
			k.replace("model/model.safetensors.index.json", `"model-00002-of-00004.safetensors"`, `"../x.safetensors"`)
		}, trains, exitFailed,
			`model/model.safetensors.index.json: model.layers.0.input_layernorm.weight: shard "../x.safetensors" is not the name of a .safetensors ` +
				"file in this folder"},
		{"shards: a tensor in another shard", func(k *kitchen) {
			k.shards(w)
			k.replace("model/model.safetensors.index.json", `"model-00002-of-00004.safetensors"`, `"model-00001-of-00004.safetensors"`)
		}, trains, exitFailed,
			"model/model.safetensors.index.json: model.layers.0.input_layernorm.weight: to be in model-00001-of-00004.safetensors, and it is in " +
				"model-00002-of-00004.safetensors; index and shards are not of one model"},
		{"shards: pytorch's", func(k *kitchen) {
			k.remove("model/model.safetensors")
			k.write("model/pytorch_model.bin.index.json", "{}")
			k.write("model/pytorch_model-00001-of-00002.bin", "")
		}, trains, exitFailed,
			"model: weights in pickle files (pytorch_model-00001-of-00002.bin) are not read; convert them once, in Python: from transformers import " +
				`AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained("model").save_pretrained("model")`},

		wrongModel("tokenizer: empty", func(k *kitchen) { k.write("model/tokenizer.json", "") }, "model/tokenizer.json: empty; get the file again"),
		wrongModel("tokenizer: cut off", func(k *kitchen) { k.cut("model/tokenizer.json", 100) },
			"model/tokenizer.json: not JSON at byte 10246 (unexpected end of JSON input); get the file again"),
		wrongModel("tokenizer: another JSON", func(k *kitchen) { k.write("model/tokenizer.json", "{}") },
			"model/tokenizer.json: model: missing; this is not the tokenizer.json of a Hugging Face tokenizer"),
		wrongModel("tokenizer: a list", func(k *kitchen) { k.write("model/tokenizer.json", "[]") },
			"model/tokenizer.json: a list where an object belongs; get the file again"),
		wrongModel("tokenizer: WordPiece", func(k *kitchen) { k.replace("model/tokenizer.json", `"type": "BPE"`, `"type": "WordPiece"`) },
			`model/tokenizer.json: model: type "WordPiece" is not supported; want BPE, Unigram`),
		wrongModel("tokenizer: a component", func(k *kitchen) {
			k.write("model/tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "UnicodeScripts"}}`)
		},
			`model/tokenizer.json: pre_tokenizer: type "UnicodeScripts" is not supported; want Sequence, Split, Digits, ByteLevel, Metaspace, `+
				`Whitespace, WhitespaceSplit, Punctuation`),
		wrongModel("tokenizer: a pattern", func(k *kitchen) {
			k.write("model/tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}, "pre_tokenizer": {"type": "Split", `+
				`"pattern": {"Regex": "(a)\\1"}, "behavior": "Isolated"}}`)
		}, `model/tokenizer.json: pre_tokenizer.pattern.Regex: \1 is not supported in "(a)\\1"`),
		wrongModel("tokenizer: a git-lfs pointer", func(k *kitchen) {
			k.write("model/tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 269060552\n")
		}, "model/tokenizer.json: a git-lfs pointer and not the file itself; get that with git lfs pull"),
		wrongModel("tokenizer: a folder", func(k *kitchen) { k.remove("model/tokenizer.json"); k.mkdir("model/tokenizer.json") },
			"model/tokenizer.json: a folder is there, and a file is wanted; look at the path"),
		wrongModel("tokenizer: tokenizer_config.json cut off", func(k *kitchen) { k.cut("model/tokenizer_config.json", 10) },
			"model/tokenizer_config.json: not JSON at byte 195 (unexpected end of JSON input); get the file again"),
		wrongModel("tokenizer: a text for a number", func(k *kitchen) {
			k.write("model/tokenizer.json", `{"model": {"type": "BPE", "vocab": {"a": "x"}, "merges": []}}`)
		}, "model/tokenizer.json: model.vocab: text where a whole number belongs; get the file again"),
		wrongModel("tokenizer: an end of text that is not in it", func(k *kitchen) { k.config(nil); k.write("model/tokenizer_config.json", `{"eos_token": "</end>"}`) },
			`model/tokenizer_config.json: eos_token: "</end>" is not in the vocabulary; add it to tokenizer.json or name another token`),
		{"tokenizer: of a larger model", func(k *kitchen) {
			text := read(k.t, "model/tokenizer.json")
			k.write("model/tokenizer.json", growVocabulary(k, text, 40))
		}, trains, exitFailed, "pairs.jsonl:1: token id 1311, and model has a vocabulary of 320; the tokenizer belongs to another model"},
		{"model: learned positions are too few", func(k *kitchen) {
			k.remove("model")
			k.copy(w.gpt2, "model")
			k.write("long.jsonl", `{"prompt": "`+strings.Repeat("The fox took a coin. ", 100)+`", "chosen": "a", "rejected": "b"}`+"\n")
		}, trains + "--data long.jsonl", exitFailed,
			"long.jsonl:1: a sequence of 903 tokens, and model has learned positions for 144; set max_length to 144 or less (2 of 2 sequences are " +
				"longer)"},
		{"model: a reference with another vocabulary", func(k *kitchen) {
			k.copy("model", "ref")
			k.config(map[string]any{"vocab_size": 320})
			k.write("ref/config.json", strings.Replace(read(k.t, "ref/config.json"), `"vocab_size": 320`, `"vocab_size": 100`, 1))
		}, trains + "--ref-model ref", exitFailed,
			"ref: model.embed_tokens.weight: shape [320 36], want [100 36]; take weights and config.json from one model"},
	}
}

// shards puts a model in four shards in the place of the other.
func (k *kitchen) shards(w kitchenware) {
	k.t.Helper()
	k.remove("model")
	k.copy(w.shards, "model")
	for _, name := range []string{"tokenizer.json", "tokenizer_config.json"} {
		k.write("model/"+name, read(k.t, w.tokenizer, name))
	}
}

// dropTensor takes a tensor out of header and data as if it had never been there.
func dropTensor(h map[string]any, data []byte, name string) []byte {
	from, to := offsets(h, name)
	delete(h, name)
	for n := range h {
		if n == "__metadata__" {
			continue
		}
		if a, b := offsets(h, n); a >= to {
			entry(h, n)["data_offsets"] = []float64{a - (to - from), b - (to - from)}
		}
	}
	return slices.Delete(data, int(from), int(to))
}

// growVocabulary moves the last n ids of a tokenizer.json 1000 up, as a tokenizer of a larger model has them.
func growVocabulary(k *kitchen, text string, n int) string {
	k.t.Helper()
	var file map[string]any
	k.check(json.Unmarshal([]byte(text), &file))
	vocab := file["model"].(map[string]any)["vocab"].(map[string]any)
	for piece, id := range vocab {
		if int(id.(float64)) >= len(vocab)-n {
			vocab[piece] = id.(float64) + 1000
		}
	}
	grown, err := json.Marshal(file)
	k.check(err)
	return string(grown)
}

var badFolders = []mistake{
	{"output_dir: a file", func(k *kitchen) { k.write("out", "x") }, trains + "--output-dir out", exitFailed,
		"output_dir out: a file is there; choose another output_dir"},
	{"output_dir: below a file", func(k *kitchen) { k.write("out", "x") }, trains + "--output-dir out/run", exitFailed,
		"output_dir out/run: out is a file; choose another output_dir"},
	{"output_dir: the model", nil, trains + "--output-dir model", exitUsage,
		"output_dir model is the folder of model model; choose another output_dir"},
	{"output_dir: inside the model", nil, trains + "--output-dir model/run", exitUsage,
		"output_dir model/run lies inside the folder of model model; choose another output_dir"},
	{"output_dir: around the model", nil, trains + "--output-dir .", exitUsage,
		"output_dir . is around the folder of model model; choose another output_dir"},
	{"output_dir: holds a run", (*kitchen).run, trains, exitUsage,
		"output_dir run already holds a run; go on with --resume, replace it with --overwrite (key overwrite), or choose another --output-dir"},
	{"output_dir: holds another model", func(k *kitchen) { k.copy("model", "other") }, trains + "--output-dir other", exitUsage,
		"output_dir other holds files that dpotrain did not write and the tuned model would replace (chat_template.jinja, config.json, " +
			"generation_config.json, tokenizer.json, tokenizer_config.json, model.safetensors); choose another output_dir"},
	{"output_dir: a link to nowhere", func(k *kitchen) { k.check(os.Symlink("nowhere/at/all", "link")) }, trains + "--output-dir link", exitFailed,
		"output_dir link: link is a link that leads nowhere; choose another output_dir"},
	{"output_dir: dpotrain.yaml is a folder", func(k *kitchen) { k.mkdir("run/dpotrain.yaml/x") }, trains + "--overwrite", exitUsage,
		"run/dpotrain.yaml is a folder, where the run writes a file; move it away or choose another output_dir"},
	{"output_dir: metrics.jsonl is a folder", func(k *kitchen) { k.mkdir("run/metrics.jsonl/x") }, trains + "--overwrite", exitUsage,
		"run/metrics.jsonl is a folder, where the run writes a file; move it away or choose another output_dir"},
	{"output_dir: the lock is a folder", func(k *kitchen) { k.mkdir("run/.dpotrain.lock") }, trains, exitFailed,
		"output_dir run: run/.dpotrain.lock: a folder is there, and a file is wanted; choose another output_dir"},
	{"output_dir: a damaged list of files", func(k *kitchen) { k.run(); k.write("run/dpotrain-files.json", "{") }, trains + "--overwrite", exitFailed,
		"run/dpotrain-files.json is damaged: it is not as dpotrain writes it; remove the files of the old run yourself, or choose another " +
			"output_dir"},
	{"output_dir: a hostile list of files", func(k *kitchen) {
		k.run()
		k.write("run/dpotrain-files.json", `{"version": 1, "files": ["../pairs.jsonl"]}`)
	}, trains + "--overwrite", exitFailed,
		`run/dpotrain-files.json is damaged: "../pairs.jsonl" is not the name of a file here; remove the files of the old run yourself, or ` +
			"choose another output_dir"},
	{"output_dir: a newer list of files", func(k *kitchen) { k.run(); k.write("run/dpotrain-files.json", `{"version": 99}`) }, trains + "--overwrite", exitFailed,
		"run/dpotrain-files.json: format version 99, but this dpotrain reads version 1: a newer dpotrain wrote it; use that one, or start in " +
			"another output_dir"},
	{"output_dir: weights.safetensors is a folder", func(k *kitchen) { k.mkdir("run/model.safetensors") }, trains, exitUsage,
		"output_dir run holds files that dpotrain did not write and the tuned model would replace (model.safetensors); choose another output_dir"},
	{"ref_cache_dir: a file", nil, trains + "--ref-cache-dir pairs.jsonl", exitFailed,
		"ref_cache_dir pairs.jsonl: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"ref_cache_dir: below a file", nil, trains + "--ref-cache-dir pairs.jsonl/x", exitFailed,
		"ref_cache_dir pairs.jsonl/x: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"ref_cache_dir: pass one, a file", nil, precompute + "--ref-cache-dir pairs.jsonl", exitFailed,
		"ref_cache_dir pairs.jsonl: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"ref_cache_dir: eval, a file", nil, evaluates + "--ref-cache-dir pairs.jsonl", exitFailed,
		"ref_cache_dir pairs.jsonl: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"eval: --per-pair into no folder", nil, evaluates + "--per-pair none/x.jsonl", exitUsage,
		"--per-pair none/x.jsonl: there is no folder none; make it, or name another file"},
	{"eval: --per-pair a folder", nil, evaluates + "--per-pair model", exitUsage, "--per-pair model: a folder; name a file"},
	{"eval: --per-pair the data", nil, evaluates + "--per-pair pairs.jsonl", exitUsage,
		"--per-pair pairs.jsonl: that is the data; name another file"},
	{"eval: no loss", nil, "eval --model model --data pairs.jsonl", exitUsage,
		"model was not made by a run of dpotrain; say the loss with --loss, or give --config"},
	{"eval: no reference", nil, "eval --model model --data pairs.jsonl --loss dpo", exitUsage,
		"model: no run of dpotrain made this model, so that its reference is not known; give that model's folder with --ref"},
	{"eval: nothing to monitor against", nil, "eval --model model --data pairs.jsonl --loss simpo --monitor-reference true", exitUsage,
		"model: no run of dpotrain made this model, so that its reference is not known; give that model's folder with --ref"},
	{"eval: no data", nil, "eval --model model --loss dpo", exitUsage,
		"data: not given; give the held-out pairs with --data, or eval_data in a config file"},
	{"eval: model missing", nil, evaluates + "--model none", exitFailed,
		"model: none: no such folder; give one with config.json, model.safetensors and tokenizer.json"},
	{"eval: model a file", nil, evaluates + "--model pairs.jsonl", exitFailed,
		"model: pairs.jsonl: a file; give the folder with config.json, model.safetensors and tokenizer.json"},
	{"eval: --ref missing", nil, evaluates + "--ref none", exitFailed,
		"--ref: none: no such folder; give one with config.json, model.safetensors and tokenizer.json"},
	{"eval: --ref a file", nil, evaluates + "--ref pairs.jsonl", exitFailed,
		"--ref: pairs.jsonl: a file; give the folder with config.json, model.safetensors and tokenizer.json"},
	{"eval: the run's reference has gone", func(k *kitchen) { k.run(); k.remove("ref_cache"); k.remove("model") }, "eval --model run --data pairs.jsonl", exitFailed,
		"12 of 12 rows have no log-probs in ref_cache/HASH.refs: ref_model model is not there any more; give the reference model's " +
			`folder with --ref, or run "dpotrain precompute-ref" where it is`},
	{"eval: entropies of a reference that has gone", func(k *kitchen) { k.run(); k.remove("model") }, "eval --model run --data pairs.jsonl --loss mallows_dpo", exitFailed,
		"12 of 12 rows have no entropies in ref_cache/HASH.refs: ref_model model is not there any more; give the reference model's " +
			`folder with --ref, or run "dpotrain precompute-ref" where it is`},
	{"eval: divergences of a reference that has gone", func(k *kitchen) { k.run(); k.remove("model") }, "eval --model run --data pairs.jsonl --loss tdpo2", exitFailed,
		"loss tdpo2 compares the distributions of policy and reference: ref_model model is not there any more; give the reference model's folder with --ref"},
	{"eval: a reference with another vocabulary", func(k *kitchen) {
		k.copy("model", "other")
		k.replace("other/config.json", `"vocab_size": 320`, `"vocab_size": 400`)
	},
		evaluates + "--loss tdpo1 --ref other", exitUsage,
		"loss tdpo1 compares the distributions of policy and reference, and model model has a vocabulary of 320, ref_model other one of 400; take a " +
			"reference with the same, or another loss"},
	{"eval: damaged dpotrain-run.json", func(k *kitchen) { k.run(); k.write("run/dpotrain-run.json", "{") }, "eval --model run --data pairs.jsonl", exitFailed,
		"run/dpotrain-run.json is damaged: it is not as dpotrain writes it; give the folder of the reference model with --ref"},
	{"eval: dpotrain-run.json without a digest", func(k *kitchen) { k.run(); k.write("run/dpotrain-run.json", `{"version": 1}`) }, "eval --model run --data pairs.jsonl", exitFailed,
		"run: dpotrain-run.json names no reference model; give its folder with --ref"},
	{"eval: newer dpotrain-run.json", func(k *kitchen) { k.run(); k.write("run/dpotrain-run.json", `{"version": 99}`) }, "eval --model run --data pairs.jsonl", exitFailed,
		"run/dpotrain-run.json: version 99 is newer than this program knows (1); use a newer dpotrain"},
	{"eval: damaged dpotrain.yaml", func(k *kitchen) { k.run(); k.write("run/dpotrain.yaml", "beta: [") }, "eval --model run --data pairs.jsonl", exitUsage,
		"run/dpotrain.yaml:1: not YAML: did not find expected node content"},
}

func damagedCheckpoint(name string, damage func(*kitchen), want string) mistake {
	return mistake{"checkpoint: " + name, func(k *kitchen) { k.run(); damage(k) }, resumes + "run/checkpoint-1", exitFailed, want}
}

var badCheckpoints = []mistake{
	{"checkpoint: no run", nil, resumes, exitUsage, "resume: there is no run in output_dir run; leave out --resume to start one"},
	{"checkpoint: an empty folder", func(k *kitchen) { k.mkdir("run") }, resumes, exitUsage,
		"resume: there is no run in output_dir run; leave out --resume to start one"},
	{"checkpoint: a path that is not there", (*kitchen).run, resumes + "run/checkpoint-7", exitFailed,
		"resume: run/checkpoint-7: no such checkpoint; name another, of which there are run/checkpoint-1, run/checkpoint-2"},
	{"checkpoint: a file", (*kitchen).run, resumes + "pairs.jsonl", exitFailed,
		"resume: pairs.jsonl: a file, and a checkpoint is a folder; name another"},
	{"checkpoint: a model", (*kitchen).run, resumes + "model", exitFailed,
		"resume: model: no checkpoint, for there is no dpotrain/manifest.json in it; name another"},
	{"checkpoint: the run instead", (*kitchen).run, resumes + "run", exitFailed,
		"resume: run: no checkpoint, for there is no dpotrain/manifest.json in it; name another, of which there are run/checkpoint-1, " +
			"run/checkpoint-2"},
	{"checkpoint: of another run", (*kitchen).run, resumes + "run/checkpoint-1 --output-dir other", exitUsage,
		"resume: run/checkpoint-1 is a checkpoint of another run than that in output_dir other; give the --output-dir that it lies in"},
	{"checkpoint: of another config", (*kitchen).run, resumes + "--beta 0.5", exitUsage,
		"resume: settings that change results are not those of run/checkpoint-2 (beta: was 0.1, now 0.5); put them back, or start a new run in " +
			"another output_dir"},
	{"checkpoint: of another config in several keys", (*kitchen).run, resumes + "--beta 0.5 --seed 7 --learning-rate 1e-3", exitUsage,
		"resume: settings that change results are not those of run/checkpoint-2 (beta: was 0.1, now 0.5; seed: was 42, now 7; learning_rate: " +
			"was 1e-06, now 0.001); put them back, or start a new run in another output_dir"},
	{"checkpoint: other data", func(k *kitchen) { k.run(); k.replace("pairs.jsonl", "mouse", "moose") }, resumes, exitFailed,
		"resume: the examples of data pairs.jsonl are not those the run began with, as the file, the tokenizer or the chat template has " +
			"changed; put it back, or start a new run in another output_dir"},
	{"checkpoint: another model", func(k *kitchen) { k.run(); k.flip("model/model.safetensors", -1) }, resumes, exitFailed,
		"resume: ref_model model is not the model that the run began with; put that back, or start a new run in another output_dir"},
	{"checkpoint: metrics.jsonl missing", func(k *kitchen) { k.run(); k.remove("run/metrics.jsonl") }, resumes, exitFailed,
		"resume: run/metrics.jsonl: no such file or folder; put back the file that belongs to the checkpoint, or go on from another one"},
	{"checkpoint: metrics.jsonl empty", func(k *kitchen) { k.run(); k.write("run/metrics.jsonl", "") }, resumes + "run/checkpoint-1", exitFailed,
		"resume: run/metrics.jsonl: has 0 bytes, want at least the N that it had when the checkpoint was made; put back the file that belongs " +
			"to the checkpoint, or go on from another one"},
	{"checkpoint: metrics.jsonl empty, the latest", func(k *kitchen) { k.run(); k.write("run/metrics.jsonl", "") }, resumes, exitFailed,
		"resume: run: no whole checkpoint in it; to begin again, leave out --resume and give --overwrite"},
	{"checkpoint: metrics.jsonl of another run", func(k *kitchen) { k.run(); k.write("run/metrics.jsonl", strings.Repeat("x", 5000)) }, resumes + "run/checkpoint-1", exitFailed,
		"resume: run/metrics.jsonl: byte N is inside a line, and the checkpoint was made at the end of one; put back the file that belongs to " +
			"the checkpoint, or go on from another one"},
	damagedCheckpoint("model.safetensors damaged", func(k *kitchen) { k.flip("run/checkpoint-1/model.safetensors", -9) },
		"resume: run/checkpoint-1/model.safetensors is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another "+
			"checkpoint"),
	damagedCheckpoint("model.safetensors cut off", func(k *kitchen) { k.cut("run/checkpoint-1/model.safetensors", 9) },
		"resume: run/checkpoint-1/model.safetensors is damaged: 135231 bytes, want 135240; resume from another checkpoint"),
	damagedCheckpoint("model.safetensors missing", func(k *kitchen) { k.remove("run/checkpoint-1/model.safetensors") },
		"resume: run/checkpoint-1/model.safetensors is missing; resume from another checkpoint"),
	damagedCheckpoint("model.safetensors is a folder", func(k *kitchen) {
		k.remove("run/checkpoint-1/model.safetensors")
		k.mkdir("run/checkpoint-1/model.safetensors")
	}, "resume: run/checkpoint-1/model.safetensors is damaged: it is no file; resume from another checkpoint"),
	damagedCheckpoint("config.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/config.json", 5) },
		"resume: run/checkpoint-1/config.json is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another checkpoint"),
	damagedCheckpoint("config.json missing", func(k *kitchen) { k.remove("run/checkpoint-1/config.json") },
		"resume: run/checkpoint-1/config.json is missing; resume from another checkpoint"),
	damagedCheckpoint("tokenizer.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/tokenizer.json", 50) },
		"resume: run/checkpoint-1/tokenizer.json is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another checkpoint"),
	damagedCheckpoint("tokenizer_config.json missing", func(k *kitchen) { k.remove("run/checkpoint-1/tokenizer_config.json") },
		"resume: run/checkpoint-1/tokenizer_config.json is missing; resume from another checkpoint"),
	damagedCheckpoint("chat_template.jinja damaged", func(k *kitchen) { k.flip("run/checkpoint-1/chat_template.jinja", 5) },
		"resume: run/checkpoint-1/chat_template.jinja is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another "+
			"checkpoint"),
	damagedCheckpoint("generation_config.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/generation_config.json", 5) },
		"resume: run/checkpoint-1/generation_config.json is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another "+
			"checkpoint"),
	damagedCheckpoint("dpotrain-run.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/dpotrain-run.json", 5) },
		"resume: run/checkpoint-1/dpotrain-run.json is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another "+
			"checkpoint"),
	damagedCheckpoint("state.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/dpotrain/state.json", 20) },
		"resume: run/checkpoint-1/dpotrain/state.json is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from another "+
			"checkpoint"),
	damagedCheckpoint("state.json missing", func(k *kitchen) { k.remove("run/checkpoint-1/dpotrain/state.json") },
		"resume: run/checkpoint-1/dpotrain/state.json is missing; resume from another checkpoint"),
	damagedCheckpoint("optimizer.safetensors damaged", func(k *kitchen) { k.flip("run/checkpoint-1/dpotrain/optimizer.safetensors", 3000) },
		"resume: run/checkpoint-1/dpotrain/optimizer.safetensors is damaged: its SHA-256 is not that of dpotrain/manifest.json; resume from "+
			"another checkpoint"),
	damagedCheckpoint("optimizer.safetensors missing", func(k *kitchen) { k.remove("run/checkpoint-1/dpotrain/optimizer.safetensors") },
		"resume: run/checkpoint-1/dpotrain/optimizer.safetensors is missing; resume from another checkpoint"),
	damagedCheckpoint("manifest.json damaged", func(k *kitchen) { k.flip("run/checkpoint-1/dpotrain/manifest.json", 100) },
		"resume: run/checkpoint-1/dpotrain/manifest.json is damaged: it is not as dpotrain writes it; resume from another checkpoint"),
	damagedCheckpoint("manifest.json empty", func(k *kitchen) { k.write("run/checkpoint-1/dpotrain/manifest.json", "") },
		"resume: run/checkpoint-1/dpotrain/manifest.json is damaged: it is not as dpotrain writes it; resume from another checkpoint"),
	damagedCheckpoint("manifest.json missing", func(k *kitchen) { k.remove("run/checkpoint-1/dpotrain/manifest.json") },
		"resume: run/checkpoint-1: no checkpoint, for there is no dpotrain/manifest.json in it; name another"),
	damagedCheckpoint("newer", func(k *kitchen) {
		k.replace("run/checkpoint-1/dpotrain/manifest.json", `"version": 1`, `"version": 99`)
	},
		"resume: run/checkpoint-1/dpotrain/manifest.json: format version 99, but this dpotrain reads version 1: a newer dpotrain wrote it; use "+
			"that one, or start in another output_dir"),
	{"checkpoint: the latest is newer", func(k *kitchen) {
		k.run()
		k.replace("run/checkpoint-2/dpotrain/manifest.json", `"version": 1`, `"version": 99`)
	}, resumes, exitFailed,
		"resume: run/checkpoint-2/dpotrain/manifest.json: format version 99, but this dpotrain reads version 1: a newer dpotrain wrote it; use " +
			"that one, or start in another output_dir"},
	{"checkpoint: all damaged", func(k *kitchen) {
		k.run()
		k.cut("run/checkpoint-1/config.json", 1)
		k.cut("run/checkpoint-2/config.json", 1)
	}, resumes, exitFailed, "resume: run: no whole checkpoint in it; to begin again, leave out --resume and give --overwrite"},
}

func damagedCache(name string, damage func(k *kitchen, file string), args string, want string) mistake {
	return mistake{"cache: " + name, func(k *kitchen) { damage(k, k.precompute()) }, args, exitFailed, want}
}

const (
	inspect = "cache inspect"
	verify  = "cache verify"
)

var badCaches = []mistake{
	damagedCache("a damaged record", func(k *kitchen, f string) { k.flip(f, 400) }, trains,
		`ref_cache/HASH.refs: record at byte N is damaged; move the file away and run "dpotrain precompute-ref" again`),
	damagedCache("a damaged record, pass one", func(k *kitchen, f string) { k.flip(f, 400) }, precompute,
		`ref_cache/HASH.refs: record at byte N is damaged; move the file away and run "dpotrain precompute-ref" again`),
	damagedCache("a damaged record, eval", func(k *kitchen, f string) { k.flip(f, 400) }, evaluates,
		`ref_cache/HASH.refs: record at byte N is damaged; move the file away and run "dpotrain precompute-ref" again`),
	damagedCache("a damaged record, inspect", func(k *kitchen, f string) { k.flip(f, 400) }, inspect,
		"1 of 1 cache files in ref_cache cannot be used; see their state in the table"),
	damagedCache("a damaged record, verify", func(k *kitchen, f string) { k.flip(f, 400) }, verify,
		`1 of 1 cache files are damaged; move them away and run "dpotrain precompute-ref" again`),
	damagedCache("a damaged header", func(k *kitchen, f string) { k.flip(f, 20) }, trains,
		`ref_cache/HASH.refs: header at byte 0 is damaged; move the file away and run "dpotrain precompute-ref" again`),
	damagedCache("a damaged header, inspect", func(k *kitchen, f string) { k.flip(f, 20) }, inspect,
		"1 of 1 cache files in ref_cache cannot be used; see their state in the table"),
	damagedCache("a damaged header, verify", func(k *kitchen, f string) { k.flip(f, 20) }, verify,
		`1 of 1 cache files are damaged; move them away and run "dpotrain precompute-ref" again`),
	damagedCache("another file", func(k *kitchen, f string) { k.write(f, "This is not a cache at all.") }, trains,
		"ref_cache/HASH.refs: not a reference cache; move the file away"),
	damagedCache("a newer version", func(k *kitchen, f string) {
		text := []byte(read(k.t, f))
		text[8] = 9
		k.write(f, string(text))
	}, trains,
		"ref_cache/HASH.refs: format version 9, but this dpotrain reads version 1: a newer dpotrain wrote it; use that one or "+
			"another ref_cache_dir"),
	damagedCache("a newer version, inspect", func(k *kitchen, f string) {
		text := []byte(read(k.t, f))
		text[8] = 9
		k.write(f, string(text))
	}, inspect, "1 of 1 cache files in ref_cache cannot be used; see their state in the table"),
	damagedCache("a newer version, verify", func(k *kitchen, f string) {
		text := []byte(read(k.t, f))
		text[8] = 9
		k.write(f, string(text))
	}, verify, "a newer dpotrain wrote 1 of 1 cache files; use that one"),
	damagedCache("a folder in its place", func(k *kitchen, f string) { k.remove(f); k.mkdir(f) }, trains,
		"ref_cache/HASH.refs: a folder, where a cache file belongs; move it away"),
	damagedCache("a folder in its lock's place", func(k *kitchen, f string) {
		lock := strings.TrimSuffix(f, ".refs") + ".lock"
		k.remove(f, lock)
		k.mkdir(lock)
	}, trains, "ref_cache_dir ref_cache: HASH.lock: a folder is there, and a file is wanted; choose another"),
	damagedCache("of another model", func(k *kitchen, f string) {
		k.flip("model/model.safetensors", -1)
		k.remove("ref_cache2")
		dpotrain(k.t, strings.Fields(precompute+"--ref-cache-dir ref_cache2")...)
		other, err := filepath.Glob("ref_cache2/*.refs")
		k.check(err)
		k.check(os.Rename(f, filepath.Join("ref_cache2", filepath.Base(other[0]))))
	}, trains+"--ref-cache-dir ref_cache2",
		"ref_cache2/HASH.refs: holds log-probs of reference HASH, want HASH; move the file away or set "+
			"another ref_cache_dir"),
	{"cache: inspect, none", nil, inspect, exitFailed, "ref_cache: no such folder; give the ref_cache_dir that runs have filled"},
	{"cache: verify, none", nil, verify, exitFailed, "ref_cache: no such folder; give the ref_cache_dir that runs have filled"},
	{"cache: inspect, a file", nil, inspect + " --ref-cache-dir pairs.jsonl", exitFailed,
		"ref_cache_dir pairs.jsonl: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"cache: verify, a file", nil, verify + " --ref-cache-dir pairs.jsonl", exitFailed,
		"ref_cache_dir pairs.jsonl: pairs.jsonl is a file, and log-probs are kept in a folder; choose another"},
	{"cache: inspect, an argument", nil, inspect + " ref_cache", exitUsage,
		`"ref_cache": dpotrain cache inspect takes flags and no arguments; see "dpotrain cache inspect --help"`},
}

func wrongSettings(name, text, want string) mistake {
	return mistake{"config: " + name, func(k *kitchen) { k.write("c.yaml", text) }, trains + "--config c.yaml", exitUsage, want}
}

func wrongFlags(name, flags, want string) mistake {
	return mistake{"flags: " + name, nil, trains + flags, exitUsage, want}
}

var badSettings = []mistake{
	{"config: missing", nil, trains + "--config none.yaml", exitUsage, "none.yaml: no such file; want a YAML file of settings"},
	{"config: a folder", nil, trains + "--config model", exitUsage, "model: a folder; want a YAML file of settings"},
	{"config: below a file", nil, trains + "--config pairs.jsonl/c.yaml", exitUsage,
		"pairs.jsonl/c.yaml: not a directory; want a YAML file of settings"},
	wrongSettings("empty", "", "c.yaml: there is nothing in it; want lines of the form key: value"),
	wrongSettings("only comments", "# nothing\n", "c.yaml: there is nothing in it; want lines of the form key: value"),
	wrongSettings("text", "hello world\n", "c.yaml:1: not settings; want lines of the form key: value"),
	wrongSettings("a list", "- a\n- b\n", "c.yaml:1: not settings; want lines of the form key: value"),
	wrongSettings("a tab", "beta: 0.1\n\tseed: 1\n", "c.yaml:2: not YAML: found a tab character that violates indentation"),
	wrongSettings("two documents", "beta: 0.1\n---\nseed: 1\n", "c.yaml:2: a second document begins; want one, without --- lines"),
	wrongSettings("not closed", "loss: [dpo\nbeta: 0.1\n", "c.yaml:1: not YAML: did not find expected ',' or ']'"),
	wrongSettings("an unknown key", "bata: 0.1\n", "c.yaml:1: bata: unknown key (did you mean beta?)"),
	wrongSettings("a key twice", "beta: 0.1\nbeta: 0.2\n", "c.yaml:2: beta: given twice; leave one out"),
	wrongSettings("a key and its alias", "model: m\nmodel_name_or_path: m\n",
		"c.yaml:2: model_name_or_path: the same setting as model, which is given too; leave one out"),
	wrongSettings("nested", "training:\n  beta: 0.1\n", "c.yaml:1: training: unknown key; settings are flat, no key holds others"),
	wrongSettings("text for a number", "learning_rate: fast\n", "c.yaml:1: learning_rate: fast; want a number"),
	wrongSettings("a number in quotes", "beta: \"0.1\"\n", `c.yaml:1: beta: "0.1"; want a number, without quotes or tags`),
	wrongSettings("out of range", "per_device_train_batch_size: 0\n", "c.yaml:1: per_device_train_batch_size: 0 is out of range; want >= 1"),
	wrongSettings("yes for true", "shuffle: yes\n", "c.yaml:1: shuffle: yes; want true or false"),
	wrongSettings("a reference that is renewed all the time", "reference_update_steps: 0\n", "c.yaml:1: reference_update_steps: 0 is out of range; want >= 1"),
	wrongSettings("nothing to renew", "loss: orpo\nreference_update_steps: 100\n",
		"c.yaml:2: reference_update_steps: loss orpo has no reference that could be renewed; leave it out, or take a loss with a reference"),
	wrongSettings("nothing of the policy for the reference", "reference_update_steps: 100\nreference_mixup: 0\n",
		"c.yaml:2: reference_mixup: 0 is out of range; want > 0 and <= 1"),
	wrongSettings("more than the policy for the reference", "sync_ref_model: true\nref_model_mixup_alpha: 1.6\n",
		"c.yaml:2: ref_model_mixup_alpha: 1.6 is out of range; want > 0 and <= 1"),
	{"ref_model: of another architecture, to be mixed", func(k *kitchen) {
		k.copy("model", "other")
		k.replace("other/config.json", `"rope_theta": 10000.0`, `"rope_theta": 20000.0`)
	}, trains + "--ref-model other --reference-update-steps 1 --reference-mixup 0.5", exitUsage,
		"reference_mixup: 0.5: ref_model other has another architecture than model model, and weights of the two cannot be mixed; give reference_mixup: 1, which puts the policy in its place"},
	{"resume: renewals of another number", func(k *kitchen) {
		dpotrain(k.t, strings.Fields(resumes[:len(resumes)-len("--resume ")]+"--reference-update-steps 1")...)
	}, resumes + "--reference-update-steps 2", exitUsage,
		"resume: settings that change results are not those of run/checkpoint-2 (reference_update_steps: was 1, now 2); put them back, or start a new run in another output_dir"},
	wrongSettings("yes for monitor_reference", "loss: simpo\nmonitor_reference: yes\n", "c.yaml:2: monitor_reference: yes; want auto, true or false"),
	wrongSettings("the best shift without a reference", "loss: simpo\nmetric_for_best_model: shift/chosen\n",
		"c.yaml:2: metric_for_best_model: shift/chosen; loss simpo has no reference, and evaluations have this metric only with monitor_reference: true"),
	wrongSettings("a comma in a number", "learning_rate: 5,0e-6\n", "c.yaml:1: learning_rate: 5,0e-6; want a number"),
	{"config: a dataset of the hub", func(k *kitchen) { k.write("c.yaml", "dataset_name: trl-lib/ultrafeedback_binarized\n") }, "train --model model --output-dir run --config c.yaml", exitUsage,
		"c.yaml:1: dataset_name: rows are read from files here, given as data and eval_data: parquet files of the data set as they are, or what two lines of Python write:\n" +
			"    from datasets import load_dataset\n" +
			`    for split, file in [("train", "train.jsonl")]: load_dataset("trl-lib/ultrafeedback_binarized", split=split).to_json(file)`},
	wrongSettings("push_to_hub", "push_to_hub: true\n",
		"c.yaml:1: push_to_hub: nothing is uploaded; drop the line, and when the run is done: hf upload NAME OUTPUT_DIR"),
	wrongSettings("an unknown loss", "loss: dop\n",
		`c.yaml:1: loss: "dop": unknown loss; "dpotrain losses" lists them (did you mean dpo?)`),
	wrongSettings("an unknown loss in a sum", "loss: [{name: dop, weight: 0.8}, {name: sft, weight: 1}]\n",
		`c.yaml:1: loss: "dop": unknown loss; "dpotrain losses" lists them (did you mean dpo?)`),
	wrongSettings("a weight of 0 in a sum", "loss:\n  - {name: dpo, weight: 0.8}\n  - {name: sft, weight: 0}\n",
		"c.yaml:3: loss: weight: 0 is out of range; want > 0"),
	wrongSettings("no name in a sum", "loss:\n  - weight: 0.8\n  - name: sft\n",
		"c.yaml:2: loss: an entry without a name; want entries as {name: dpo, weight: 0.8}"),
	wrongSettings("a loss twice in a sum", "loss: [{name: dpo, weight: 0.8}, {name: sigmoid, weight: 0.2}]\n",
		"c.yaml:1: loss: dpo stands there twice; give it once, with the sum of the weights"),
	wrongSettings("a hyperparameter of another loss in a sum", "loss: [{name: dpo, weight: 0.8, label_smoothing: 0.1}, sft]\n",
		"c.yaml:1: loss: label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"),
	{"config: beta where every loss of the sum has its own", func(k *kitchen) { k.write("c.yaml", "loss: [{name: dpo, beta: 0.2}, sft]\n") }, trains + "--config c.yaml --beta 0.3", exitUsage,
		"--beta: every loss of the sum that uses it has a value of its own in the list of losses; change it there, or leave this out"},
	wrongSettings("an alpha for a divergence of fdpo that has none in a sum", "loss:\n  - sft\n  - {name: fdpo, fdpo_alpha: 0.7}\n",
		"c.yaml:3: loss: fdpo_alpha: 0.7 has no effect with fdpo_divergence: js_divergence; set that to alpha_divergence, or leave this out"),
	wrongSettings("weights of a sum whose first value is infinite", "beta: 1e-150\nloss: [{name: ipo, weight: 1e100}, dpo]\n",
		"c.yaml:2: loss: the weights of ipo=1e+100,dpo=1 make its first value infinite; give lower ones"),
	wrongSettings("a sum in a sum", "loss: [dpo, [sft]]\n", "c.yaml:1: loss: a list; want names of losses, or entries as {name: dpo, weight: 0.8}"),
	wrongSettings("loss_weights of another length", "loss_type: [sigmoid, sft]\nloss_weights: [0.8, 0.2, 1.0]\n",
		"c.yaml:2: loss_weights: 3 weights for 2 losses; want one for each"),
	wrongSettings("bco_pair in a sum", "loss_type: [sigmoid, bco_pair, sft]\nloss_weights: [0.8, 0.2, 1.0]\n",
		`c.yaml:1: loss_type: "bco_pair": since TRL 0.29 this is BCO without the shift of its rewards, which is weaker; give bco, which has the shift`),
	wrongSettings("binary", "\x00\x01\x02\x7f", "c.yaml: not YAML: control characters are not allowed"),
	wrongSettings("the pairs", `{"prompt": "a", "chosen": "b", "rejected": "c"}`+"\n",
		"c.yaml:1: prompt: unknown key (did you mean orpo_nll_on_prompt?)\n"+
			"c.yaml:1: chosen: unknown key\n"+
			"c.yaml:1: rejected: unknown key"),
	wrongSettings("an alias", "beta: &a 0.1\nseed: *a\n", "c.yaml:2: seed: a YAML alias; want a whole number"),
	wrongSettings("an offset of odpo", "loss: odpo\nodpo_offset: ln\n", "c.yaml:2: odpo_offset: ln; want log or identity"),
	wrongSettings("a negative alpha of odpo", "loss: odpo\nodpo_alpha: -1\n", "c.yaml:2: odpo_alpha: -1 is out of range; want >= 0"),
	wrongSettings("an alpha for a divergence of fdpo that has none", "loss: fdpo\nfdpo_alpha: 0.7\n",
		"c.yaml:2: fdpo_alpha: 0.7 has no effect with fdpo_divergence: js_divergence; set that to alpha_divergence, or leave this out"),
	wrongSettings("odpo_alpha with dpo", "odpo_alpha: 1\n", "c.yaml:1: odpo_alpha: loss dpo does not use it; leave it out"),
	wrongSettings("a modifier in a list of losses", "loss: [{name: dpo, wpo: true}, ipo]\n",
		"c.yaml:1: loss: wpo: it is of the whole sum; give it beside the list of losses"),
	wrongSettings("label_smoothing with dpo", "loss: dpo\nlabel_smoothing: 0.1\n",
		"c.yaml:2: label_smoothing: loss dpo does not use it; use loss cdpo, or leave it out"),

	{"flags: nothing", nil, "train", exitUsage,
		"model: not given; give --model, or model in a config file (folder of the model to tune: config.json, safetensors, tokenizer.json)\n" +
			"data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)\n" +
			"output_dir: not given; give --output-dir, or output_dir in a config file (folder the run writes: model, dpotrain.yaml, metrics.jsonl, checkpoints)"},
	{"flags: an unknown command", nil, "trian", exitUsage, `"trian": dpotrain has no such command (did you mean train?); see "dpotrain --help"`},
	{"flags: an unknown flag", nil, "train --bata 1", exitUsage, `unknown flag: --bata (did you mean --beta?); see "dpotrain train --help"`},
	wrongFlags("no value", "--beta", `--beta: no value; give one behind it; see "dpotrain train --help"`),
	wrongFlags("an empty value", "--beta=", `--beta: ""; want a number`),
	wrongFlags("text for a number", "--beta x", "--beta: x; want a number"),
	wrongFlags("a fraction for a whole number", "--per-device-train-batch-size 2.5", "--per-device-train-batch-size: 2.5; want a whole number"),
	wrongFlags("zero pairs a step", "--per-device-train-batch-size 0", "--per-device-train-batch-size: 0 is out of range; want >= 1"),
	wrongFlags("too many pairs a step", "--per-device-train-batch-size 2000000000 --gradient-accumulation-steps 2000000000",
		"--per-device-train-batch-size: 2000000000, times gradient_accumulation_steps 2000000000, is out of range; want at most 2147483647 "+
			"pairs a step"),
	wrongFlags("a negative length", "--max-length -1", "--max-length: -1 is out of range; want >= 0"),
	wrongFlags("no epochs", "--num-train-epochs 0", "--num-train-epochs: 0 is out of range; want > 0"),
	wrongFlags("max_steps below -1", "--max-steps -5", "--max-steps: -5 is out of range; want >= -1"),
	wrongFlags("a negative rate", "--learning-rate -1", "--learning-rate: -1 is out of range; want >= 0"),
	wrongFlags("an infinite rate", "--learning-rate inf", "--learning-rate: inf; want a finite number"),
	wrongFlags("columns that are no map", "--columns prompt=question", "--columns: prompt=question; want a map, as {prompt: ...}"),
	wrongFlags("data sets that are no list", "--datasets pairs.jsonl", "--datasets: pairs.jsonl; want a list of maps, as [{path: pairs.jsonl}]"),
	wrongFlags("an eval_fraction", "--eval-fraction 1", "--eval-fraction: 1 is out of range; want >= 0 and < 1"),
	wrongFlags("eval_data and eval_fraction", "--eval-data pairs.jsonl --eval-fraction 0.5", "--eval-fraction: given together with eval_data; leave one of them out"),
	wrongFlags("NaN", "--learning-rate nan", "--learning-rate: nan; want a finite number"),
	wrongFlags("beyond a float", "--learning-rate 1e999", "--learning-rate: 1e999 is out of range"),
	wrongFlags("negative threads", "--threads -1", "--threads: -1 is out of range; want >= 0 and <= 1024"),
	wrongFlags("a precision", "--precision bf17", "--precision: bf17; want fp32, bf16 or auto (did you mean bf16?)"),
	wrongFlags("a kernel level", "--cpu sse", "--cpu: sse; want auto, amx, avx512, avx2, neon or generic"),
	wrongFlags("a schedule", "--lr-scheduler-type cosin",
		"--lr-scheduler-type: cosin; want linear, cosine, cosine_with_min_lr, constant, constant_with_warmup or inverse_sqrt (did you mean "+
			"cosine?)"),
	wrongFlags("weights of tokens with means", "--loss ipo --ld-alpha 0.5", "--ld-alpha: loss ipo is of means per token, and this is of sums; use loss ipo_sum, or leave it out"),
	wrongFlags("weights of tokens where there are no pairs", "--loss kto --sampo", "--sampo: loss kto is of single completions, and this is of pairs; leave it out"),
	wrongFlags("two weights of tokens", "--ld-alpha 0.5 --sampo", "--sampo: ld_alpha is given too, and both are of the longer completion's tokens; leave one out"),
	wrongFlags("weights of tokens out of range", "--ld-alpha 1.5", "--ld-alpha: 1.5 is out of range; want >= 0 and <= 1"),
	wrongFlags("prompts beside completions", "--loss orpo --orpo-nll-on-prompt --sft-weight 0.1",
		"--orpo-nll-on-prompt: the other supervised fine-tuning beside it is of the completion alone; leave one of them out"),
	wrongFlags("weights of pairs that are coupled", "--loss aot --wpo", "--wpo: loss aot couples the pairs of a step, and weights are of each by itself; leave it out"),
	wrongFlags("weights of pairs where there are none", "--loss sft --wpo", "--wpo: loss sft is of single completions, and this is of pairs; leave it out"),
	wrongFlags("sft_weight with sft", "--loss sft --sft-weight 0.1", "--sft-weight: loss sft has supervised fine-tuning with a weight of its own; leave it out"),
	wrongFlags("an unknown loss in a sum", "--loss dpo=0.8,sfd=1", `--loss: "sfd": unknown loss; "dpotrain losses" lists them (did you mean sft?)`),
	wrongFlags("a weight of 0 in a sum", "--loss dpo=0,sft=1", "--loss: weight 0 of dpo is out of range; want a finite number > 0"),
	wrongFlags("a weight that is no number", "--loss dpo=much,sft=1", `--loss: "dpo": weight "much"; want a number`),
	wrongFlags("no name in a sum", "--loss =0.8,sft=1", `--loss: "=0.8,sft=1": a loss without a name; want NAME=WEIGHT,NAME=WEIGHT`),
	wrongFlags("a loss twice in a sum", "--loss dpo=0.8,dpo=0.2", "--loss: dpo stands there twice; give it once, with the sum of the weights"),
	wrongFlags("a hyperparameter that no part uses", "--loss dpo=0.8,sft=1 --label-smoothing 0.1", "--label-smoothing: loss dpo=0.8,sft=1 does not use it; leave it out"),
	wrongFlags("a rule for pairs", "--ranked-pairs best", "--ranked-pairs: best; want best_worst, best_random, all or adjacent"),
	wrongFlags("a truncation mode", "--truncation-mode end", "--truncation-mode: end; want keep_start or keep_end"),
	wrongFlags("on_bad_row", "--on-bad-row ignore", "--on-bad-row: ignore; want error or skip"),
	wrongFlags("a dtype", "--save-dtype fp16", "--save-dtype: fp16; want float32, bfloat16 or float16"),
	wrongFlags("a metric", "--metric-for-best-model eval_acuracy --eval-data pairs.jsonl",
		"--metric-for-best-model: eval_acuracy; no metric of the evaluations of loss dpo; docs/metrics.md has them"),
	wrongFlags("a value after a bool", "--overwrite false",
		`"false": dpotrain train takes flags and no arguments; a flag takes this value after an equals sign: --flag=false; see "dpotrain train `+
			`--help"`),
	wrongFlags("no bool", "--overwrite=maybe", "--overwrite: maybe; want true or false"),
	wrongFlags("the best without eval_data", "--load-best-model-at-end",
		"eval_data: not given; give --eval-data, or eval_data in a config file (held-out pairs, as data; none: no evaluation and no best checkpoint)"),
	wrongFlags("min_lr missing", "--lr-scheduler-type cosine_with_min_lr",
		"--lr-scheduler-type: cosine_with_min_lr needs the rate to end at; give min_lr, or min_lr_rate as a share of learning_rate"),
	wrongFlags("two arguments", "a b", `"a": dpotrain train takes flags and no arguments; see "dpotrain train --help"`),
	wrongFlags("resume with two arguments", "--resume a b", `"b": dpotrain train takes flags and no arguments; see "dpotrain train --help"`),
	{"flags: two configs", func(k *kitchen) { k.write("c.yaml", "beta: 0.1\n") }, trains + "--config none.yaml --config also-none.yaml", exitUsage,
		"also-none.yaml: no such file; want a YAML file of settings"},
	{"flags: no reference needed", nil, precompute + "--loss sft", exitUsage,
		"loss sft needs no reference log-probs; give monitor_reference: true to compute them for its metrics alone"},
	{"flags: a model is required", nil, "train --data pairs.jsonl --output-dir run", exitUsage,
		"model: not given; give --model, or model in a config file (folder of the model to tune: config.json, safetensors, tokenizer.json)"},
	{"flags: output_dir is required", nil, "train --data pairs.jsonl --model model", exitUsage,
		"output_dir: not given; give --output-dir, or output_dir in a config file (folder the run writes: model, dpotrain.yaml, metrics.jsonl, " +
			"checkpoints)"},
	wrongFlags("too many threads", "--threads 100000000", "--threads: 100000000 is out of range; want >= 0 and <= 1024"),
	{"flags: an argument that is a config", nil, "train config.yaml", exitUsage,
		`"config.yaml": dpotrain train takes flags and no arguments (did you mean --config config.yaml?); see "dpotrain train --help"`},
	{"flags: bench without data", nil, "bench --model model", exitUsage,
		"data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)"},
	{"flags: bench without a model", nil, "bench --data pairs.jsonl", exitUsage,
		"model: not given; give --model, or model in a config file (folder of the model to tune: config.json, safetensors, tokenizer.json)"},
	{"flags: bench without both", nil, "bench --passes-only", exitUsage,
		"model: not given; give --model, or model in a config file (folder of the model to tune: config.json, safetensors, tokenizer.json)\n" +
			"data: not given; give --data, or data in a config file (training pairs: JSONL, JSON, CSV or parquet; a file, a folder of them or a pattern)"},
	{"flags: bench, no pairs", nil, "bench --passes-only --model model --data pairs.jsonl --pairs 0", exitUsage,
		"--pairs: 0 is out of range; want >= 1"},
	{"flags: bench, a fraction of pairs", nil, "bench --pairs 0.5", exitUsage, `--pairs: 0.5; want a whole number; see "dpotrain bench --help"`},
	{"bench: model missing", nil, "bench --passes-only --model none --data pairs.jsonl", exitFailed,
		"model: none: no such folder; give one with config.json, model.safetensors and tokenizer.json"},
	{"bench: data missing", nil, "bench --passes-only --model model --data none.jsonl", exitFailed,
		"data: none.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"},
	{"bench: bad row", func(k *kitchen) { k.write("wrong.jsonl", "{}\n") }, "bench --passes-only --model model --data wrong.jsonl", exitFailed,
		"wrong.jsonl:1: chosen: missing; a pair has prompt, chosen and rejected"},
	{"flags: completion, no shell", nil, "completion", exitUsage,
		`completion: want one of bash, zsh, fish and powershell; see "dpotrain completion --help"`},
	{"flags: eval, a flag of train", nil, evaluates + "--learning-rate 1", exitUsage, `unknown flag: --learning-rate; see "dpotrain eval --help"`},
}

func badInit(w kitchenware) []mistake {
	const inits = "init --config model/config.json --tokenizer model --output new "
	return []mistake{
		{"init: nothing", nil, "init", exitUsage, `want --config, --tokenizer and --output, each with a value; see "dpotrain init --help"`},
		{"init: no config", nil, inits + "--config none.json", exitFailed, "--config: none.json: no such file or folder; look at the path"},
		{"init: a folder for the config", nil, inits + "--config model", exitUsage, "--config model: a folder; give the config.json in it"},
		{"init: an unsupported architecture", func(k *kitchen) { k.config(map[string]any{"model_type": "mamba"}) }, inits, exitFailed,
			`model/config.json: model_type: "mamba" is not supported; there are gpt2, gpt_neox, llama, mistral, qwen2, qwen3`},
		{"init: zero heads", func(k *kitchen) { k.config(map[string]any{"num_attention_heads": 0}) }, inits, exitFailed,
			"model/config.json: num_attention_heads: 0 is out of range; want 1 to 4194304"},
		{"init: an empty config", func(k *kitchen) { k.write("e.json", "") }, inits + "--config e.json", exitFailed,
			"e.json: empty; get the config.json of a Hugging Face model"},
		{"init: no tokenizer", nil, inits + "--tokenizer none", exitFailed,
			"none/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"},
		{"init: a tokenizer file", nil, inits + "--tokenizer model/tokenizer.json", exitUsage,
			"--tokenizer model/tokenizer.json: a file; give the folder that holds tokenizer.json"},
		{"init: a folder without tokenizer", func(k *kitchen) { k.mkdir("e") }, inits + "--tokenizer e", exitFailed,
			"e/tokenizer.json: no such file; give a folder with tokenizer.json and tokenizer_config.json, as a Hugging Face model has them"},
		{"init: a vocabulary that is too small", func(k *kitchen) { k.config(map[string]any{"vocab_size": 100}) }, inits, exitFailed,
			"model/config.json: vocab_size 100 is too small for the 320 ids of the tokenizer in model"},
		{"init: a model that is there", nil, inits + "--output model", exitUsage, "model is there already; choose another --output"},
		{"init: below a file", nil, inits + "--output pairs.jsonl/new", exitUsage, "--output pairs.jsonl/new: pairs.jsonl is a file; choose another"},
		{"init: a seed", nil, inits + "--seed -1", exitUsage, `--seed: -1; want a whole number of at least 0; see "dpotrain init --help"`},
	}
}

// TestLargeBatch: more pairs a step than there are is no mistake: a step has all of them.
func TestLargeBatch(t *testing.T) {
	w := newKitchenware(t)
	newKitchen(t, w)
	_, log := dpotrain(t, strings.Fields(trains+"--per-device-train-batch-size 1000 --max-steps -1 --num-train-epochs 2")...)
	contains(t, log, "12 pairs", "2 optimizer steps of 1000 pairs, 1 an epoch")
}

// TestSecondRun: the second of two runs in one output_dir is refused, and the first is not disturbed.
func TestSecondRun(t *testing.T) {
	w := newKitchenware(t)
	newKitchen(t, w)
	release, err := checkpoint.LockRun("run")
	if err != nil {
		t.Fatal(err)
	}
	before := snapshot(t)
	for _, more := range []string{"", "--overwrite", "--resume"} {
		code, said := fails(t, strings.Fields(trains+more)...)
		if want := "output_dir run: another dpotrain is writing here; wait for it to end or choose another output_dir"; code != exitFailed || said != want {
			t.Errorf("%s: exit code %d: %s\nwant %s", more, code, said, want)
		}
		unchanged(t, before)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("run"); !os.IsNotExist(err) {
		t.Errorf("run is left behind: %v", err)
	}
}

// TestChangingData: a file that another process writes while it is read is refused, whichever rows were seen.
func TestChangingData(t *testing.T) {
	w := newKitchenware(t)
	k := newKitchen(t, w)
	k.write("growing.jsonl", strings.Repeat(read(t, "pairs.jsonl"), 500))
	f, err := os.OpenFile("growing.jsonl", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := snapshot(t)
	stop, stopped := make(chan struct{}), make(chan error)
	go func() {
		row := firstLines(read(t, w.pairs), 1)
		for {
			select {
			case <-stop:
				stopped <- nil
				return
			default:
				if _, err := f.WriteString(row); err != nil {
					stopped <- err
					return
				}
			}
		}
	}()
	code, said := fails(t, strings.Fields(trains+"--data growing.jsonl")...)
	close(stop)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^growing\.jsonl: changed while it was read \(\d+ bytes before, \d+ after\); start again when it is written$`)
	if code != exitFailed || !want.MatchString(said) {
		t.Errorf("exit code %d: %s\nwant %s", code, said, want)
	}
	before["growing.jsonl"] = snapshot(t)["growing.jsonl"]
	unchanged(t, before)
}
