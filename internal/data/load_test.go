package data

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"dpotrain/internal/chat"
	"dpotrain/internal/rows"
)

// loadFrom reads the rows of a stream.
func (m *maker) loadFrom(name string, stream io.Reader, progress func(done int64)) (*Set, error) {
	in, err := rows.NewReader(name, stream)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	c := m.collector(name, 1)
	if err := c.load(in, name, Source{}, func() {
		done, _ := in.Progress()
		progress(done)
	}); err != nil {
		return nil, err
	}
	set, err := c.set()
	if err != nil {
		return nil, err
	}
	if err := m.finish(set); err != nil {
		return nil, err
	}
	return set, nil
}

// list are the examples of a set in memory.
func (s *Set) list() (all []Example) {
	for _, e := range All(s.Examples) {
		all = append(all, *e)
	}
	return all
}

// write makes a file of the test's own and returns its path.
func write(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pairs.jsonl")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// row is a good one that is told from others by its number.
func numbered(n int) string {
	return fmt.Sprintf(`{"prompt":"p%d","chosen":"c","rejected":"r"}`, n)
}

// loadPairs reads a file with the tokenizer whole and no chat template.
// Load is Reader.Load with these in the place of a model folder's tokenizer and template.
func Load(path string, form Form, enc Encoder, tpl *chat.Template, o Options, progress func(done, total int64)) (*Set, error) {
	m := &maker{ctx: context.Background(), encoder: enc, template: tpl, options: o, form: form}
	return m.loadOne(path, progress)
}

// loadOne reads a single data set.
func (m *maker) loadOne(path string, progress func(done, total int64)) (*Set, error) {
	set, err := m.loadSources([]Source{{Path: path}}, progress)
	if err == nil {
		err = m.finish(set)
	}
	if err != nil {
		return nil, err
	}
	return set, nil
}

func loadPairs(path string, o Options) (*Set, error) { return Load(path, Pairs, whole, nil, o, nil) }

// placed shows the line and the chosen side of every example.
func placed(s *Set) []string {
	var all []string
	for _, e := range s.list() {
		all = append(all, fmt.Sprintf("%d %s", e.Line, whole.show(e.Sequences[0])))
	}
	return all
}

// TestLoadLines says what a line is.
func TestLoadLines(t *testing.T) {
	two := []string{"1 ^p1|c$", "2 ^p2|c$"}
	for _, c := range []struct {
		name, content string
		want          []string
	}{
		{"lines", numbered(1) + "\n" + numbered(2) + "\n", two},
		{"no end of the last line", numbered(1) + "\n" + numbered(2), two},
		{"CRLF", numbered(1) + "\r\n" + numbered(2) + "\r\n", two},
		{"byte order mark", "\ufeff" + numbered(1) + "\n" + numbered(2) + "\n", two},
		{"two files in one, each with its mark", "\ufeff" + numbered(1) + "\n\ufeff" + numbered(2) + "\n", two},
		{"blanks around", "  " + numbered(1) + "\t\n " + numbered(2) + "  \n", two},
		{"blank lines count as lines", "\n" + numbered(1) + "\n \t\n\r\n" + numbered(2) + "\n\n\n", []string{"2 ^p1|c$", "5 ^p2|c$"}},
		{"columns in any order, spaces anywhere", "{ \"rejected\" : \"r\" ,\t\"chosen\":\"c\", \"prompt\":\"p1\" }\n", []string{"1 ^p1|c$"}},
	} {
		path := write(t, c.content)
		set, err := loadPairs(path, Options{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := placed(set); !slices.Equal(got, c.want) || set.Reports[0].Rows != len(c.want) || set.Reports[0].Kept != len(c.want) {
			t.Errorf("%s: %q, report %+v; want %q", c.name, got, set.Reports[0], c.want)
		}
		if len(set.Reports[0].Lines()) > 0 || len(set.Reports[0].Warnings()) > 0 {
			t.Errorf("%s: it says %q, warns %q", c.name, set.Reports[0].Lines(), set.Reports[0].Warnings())
		}
		if got, want := set.Examples.At(0).Place(), fmt.Sprintf("%s:%d", path, set.Examples.At(0).Line); got != want {
			t.Errorf("%s: the first example is at %s, want %s", c.name, got, want)
		}
	}
}

// TestLoadManyLines reads several batches of lines, and lines longer than the reader's buffer, in order.
func TestLoadManyLines(t *testing.T) {
	const n = 3*batchRows + 7
	var content strings.Builder
	long := map[int]bool{1: true, batchRows: true, n: true}
	for i := 1; i <= n; i++ {
		pad := ""
		if long[i] {
			pad = strings.Repeat("x", 3<<20/2)
		}
		fmt.Fprintf(&content, `{"pad":"%s","prompt":"p%d","chosen":"c","rejected":"r"}`+"\n", pad, i)
	}
	path := write(t, content.String())
	var seen []int64
	set, err := Load(path, Pairs, whole, nil, Options{}, func(done, total int64) {
		if total != int64(content.Len()) {
			t.Errorf("%d bytes in all, want %d", total, content.Len())
		}
		seen = append(seen, done)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range set.list() {
		if want := fmt.Sprintf("^p%d|c$", i+1); e.Line != i+1 || whole.show(e.Sequences[0]) != want {
			t.Fatalf("example %d is line %d, %s; want line %d, %s", i, e.Line, whole.show(e.Sequences[0]), i+1, want)
		}
	}
	if set.Len() != n || len(seen) != 4 || !slices.IsSorted(seen) || seen[3] != int64(content.Len()) {
		t.Errorf("%d examples, progress %v; want %d, four times, %d at last", set.Len(), seen, n, content.Len())
	}
	again, err := loadPairs(path, Options{})
	if err != nil || !reflect.DeepEqual(again, set) {
		t.Errorf("a second reading differs, error %v", err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	if again, err = loadPairs(path, Options{}); err != nil || !reflect.DeepEqual(again, set) {
		t.Errorf("a reading on one core differs, error %v", err)
	}
}

// TestPrompts: the first examples' prompts are kept to be shown, in their order, as text or as the last message.
func TestPrompts(t *testing.T) {
	const same = `{"prompt":"p0","chosen":"c","rejected":"c"}` // dropped
	set, err := loadPairs(write(t, same+"\n"+numbered(1)+"\n"+numbered(2)+"\n"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"p1", "p2"}; !slices.Equal(set.Prompts(), want) {
		t.Errorf("prompts %q, want %q", set.Prompts(), want)
	}
	rows := `{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"q"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}
{"chosen":[{"role":"user","content":"implicit"},{"role":"assistant","content":"c"}],"rejected":[{"role":"user","content":"implicit"},{"role":"assistant","content":"r"}]}
`
	set, err = Load(write(t, rows), Pairs, whole, template(t, plainTemplate), Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"q", "implicit"}; !slices.Equal(set.Prompts(), want) {
		t.Errorf("prompts of chats %q, want %q", set.Prompts(), want)
	}
	var many strings.Builder
	for n := range PromptsKept + 50 {
		many.WriteString(numbered(n) + "\n")
	}
	set, err = loadPairs(write(t, many.String()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(set.Prompts()); n != PromptsKept || set.Prompts()[n-1] != fmt.Sprintf("p%d", n-1) || set.Len() != n+50 {
		t.Errorf("%d prompts of %d examples, the last %q; want %d", n, set.Len(), set.Prompts()[n-1], PromptsKept)
	}
}

// TestLoadErrors are the errors of whole files, word for word; PATH stands for the file.
func TestLoadErrors(t *testing.T) {
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "PATH: no rows; want one JSON object a line"},
		{"blank lines", " \n\n\t\r\n", "PATH: no rows; want one JSON object a line"},
		{"a mark alone", "\ufeff", "PATH: no rows; want one JSON object a line"},
		{"not JSON", "hello\n", "PATH:1: not a JSON object; want one object a line"},
		{"a list over several lines", "[\n " + numbered(1) + ",\n", "PATH:3: the list does not end; the file is cut off, get it again"},
		{"an object over several lines", "{\n\"chosen\":\"c\"\n}\n", "PATH:1: not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them"},
		{"the last line is cut off", numbered(1) + "\n" + numbered(2)[:20],
			"PATH:2: not JSON: the object does not end on this line; want one whole object a line, as jq -c . writes them; on_bad_row: skip leaves such rows out"},
		{"blank lines before a bad one", "\n\n" + numbered(1) + "\n\n{\"chosen\":\"c\"}", "PATH:5: rejected: missing (there are chosen); a pair has prompt, chosen and rejected; on_bad_row: skip leaves such rows out"},
		{"many rows of another kind", strings.Repeat("x\n", 12), "PATH:1: not a JSON object; want one object a line"},
		{"many rows of another kind after a good one", numbered(1) + "\n" + strings.Repeat("x\n", 12),
			"PATH:2: not a JSON object; want one object a line (lines 3, 4, 5, 6 ... too); on_bad_row: skip leaves such rows out"},
		{"many bad rows", strings.Repeat("{\"chosen\":\"c\"}\n", 12), "PATH:1: rejected: missing (there are chosen); a pair has prompt, chosen and rejected (lines 2, 3, 4, 5 ... too)"},
		{"two kinds of bad rows", "{\"chosen\":1}\n{\"chosen\":\"c\"}\n" + numbered(3) + "\n{\"chosen\":\"c\"}\n{\"chosen\":1}\n", "PATH:1: chosen: 1; want text or a list of messages (line 5 too)\n" +
			"PATH:2: rejected: missing (there are chosen); a pair has prompt, chosen and rejected (line 4 too); on_bad_row: skip leaves such rows out"},
		{"more kinds of bad rows than are shown", func() (rows string) {
			for i := range 12 {
				rows += fmt.Sprintf("{\"chosen\":%d}\n", i)
			}
			return rows
		}(), func() (rows string) {
			for i := range 10 {
				rows += fmt.Sprintf("PATH:%d: chosen: %d; want text or a list of messages\n", i+1, i)
			}
			return rows
		}() + "and 2 more"},
		{"zip", "PK\x03\x04", "PATH: a zip archive; unpack it first (unzip)"},
		{"an Arrow file", "ARROW1\x00", `PATH: an Arrow file; export it to JSONL, in Python: from datasets import Dataset; Dataset.from_file("PATH").to_json("pairs.jsonl")`},
		{"an Arrow stream", "\xff\xff\xff\xff\x10", `PATH: an Arrow file; export it to JSONL, in Python: from datasets import Dataset; Dataset.from_file("PATH").to_json("pairs.jsonl")`},
		{"bzip2", "BZh91AY", "PATH: compressed with bzip2; unpack it first (bunzip2)"},
		{"xz", "\xfd7zXZ\x00", "PATH: compressed with xz; unpack it first (unxz)"},
		{"a pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "PATH: a git-lfs pointer and not the file itself; get that with git lfs pull"},
		{"a web page", "<!DOCTYPE html>", "PATH: begins with <, as web pages do, and is no JSONL; get the file itself"},
		{"zero bytes", "\x00\x00\x00\x00", "PATH: a binary file; want JSONL, which is text"},
		{"binary", "ab\x00\x01\x02", "PATH: a binary file; want JSONL, which is text"},
		{"UTF-16", "\xff\xfe{\x00", "PATH: UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
		{"UTF-16 without its mark", "{\x00\"\x00", "PATH: UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
		{"UTF-16 of the other order without its mark", "\x00{\x00\"", "PATH: UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)"},
		{"Latin-1", "{\"prompt\":\"caf\xe9\"}", "PATH:1: invalid UTF-8; save the file as UTF-8"},
		{"nothing is left", `{"prompt":"p","chosen":"c","rejected":"c"}` + "\n" + `{"prompt":"p","chosen":"c","rejected":""}` + "\n" + `{"prompt":"p","chosen":"d","rejected":""}`,
			"PATH: no row is left: dropped because chosen and rejected are the same: 1 (line 1); dropped because the completion to unlearn is empty: 2 (lines 2, 3); look at the data"},
	} {
		path := write(t, c.content)
		set, err := loadPairs(path, Options{OnBadRow: "error"})
		if got := strings.ReplaceAll(text(err), path, "PATH"); got != c.want || set != nil {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestLoadNoFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "pairs.jsonl")
	_, err := loadPairs(missing, Options{})
	if want := missing + ": file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet"; text(err) != want || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v, want %s", err, want)
	}
}

// TestLoadBrokenReader fails in the middle of the first line and after the second: what was read until then is not taken
// for the file.
func TestLoadBrokenReader(t *testing.T) {
	for _, c := range []struct {
		in   io.Reader
		want string
	}{
		{iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(numbered(1)))), "pairs.jsonl:1: timeout"}, // once, at the second byte
		{io.MultiReader(strings.NewReader(numbered(1)+"\n"+numbered(2)+"\n"), iotest.ErrReader(io.ErrClosedPipe)), "pairs.jsonl:3: io: read/write on closed pipe"},
	} {
		if _, err := (&maker{ctx: t.Context(), encoder: whole}).loadFrom("pairs.jsonl", c.in, func(int64) {}); text(err) != c.want {
			t.Errorf("error %v, want %s", err, c.want)
		}
	}
}

// TestLoadChangingFile changes the file while it is read, after the first lines were.
func TestLoadChangingFile(t *testing.T) {
	content := strings.Repeat(numbered(1)+"\n", batchRows+1)
	for _, c := range []struct {
		name   string
		change func(path string) error
		want   string // PATH is the file, SIZE its size before
	}{
		{"nothing", func(string) error { return nil }, ""},
		{"reading it", func(path string) error { _, err := os.ReadFile(path); return err }, ""},
		{"lines are added, and the time of the change is put back", func(path string) error {
			before, err := os.Stat(path)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("123456")
			return errors.Join(err, f.Close(), os.Chtimes(path, time.Time{}, before.ModTime()))
		}, fmt.Sprintf("PATH: changed while it was read (SIZE bytes before, %d after); start again when it is written", len(content)+6)},
		{"it is cut inside a line, which looks like a bad row", func(path string) error { return os.Truncate(path, int64(len(content)-9)) },
			fmt.Sprintf("PATH: changed while it was read (SIZE bytes before, %d after); start again when it is written", len(content)-9)},
		{"it is written again, as long as before", func(path string) error {
			return errors.Join(os.WriteFile(path, []byte(strings.ReplaceAll(content, "p1", "p2")), 0o644), os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)))
		}, "PATH: changed while it was read (SIZE bytes before, SIZE after); start again when it is written"},
		{"another takes its place: the one that was opened is whole", func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte(numbered(7)), 0o644), os.Rename(path+".new", path))
		}, ""},
	} {
		path := write(t, content)
		calls := 0
		set, err := Load(path, Pairs, whole, nil, Options{OnBadRow: "error"}, func(int64, int64) {
			if calls++; calls == 1 {
				if err := c.change(path); err != nil {
					t.Fatal(err)
				}
			}
		})
		got := strings.NewReplacer(path, "PATH", fmt.Sprint(len(content))+" bytes", "SIZE bytes", fmt.Sprint(len(content))+" after", "SIZE after").Replace(text(err))
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, got, c.want)
		}
		if c.want == "" && (set == nil || set.Len() != batchRows+1) {
			t.Errorf("%s: got %v", c.name, set)
		}
	}
}

// TestLoadGrowingFile: a file that grows faster than it is read has an end all the same.
func TestLoadGrowingFile(t *testing.T) {
	content := strings.Repeat(numbered(1)+"\n", batchRows+1)
	path := write(t, content)
	calls := 0
	_, err := Load(path, Pairs, whole, nil, Options{}, func(int64, int64) {
		if calls++; calls > 10 {
			t.Fatal("the end is not the one that the file had")
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString(content)
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	})
	if want := fmt.Sprintf("%s: changed while it was read (%d bytes before, %d after); start again when it is written", path, len(content), (1+calls)*len(content)); text(err) != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestReport reads ten rows of every kind: the reasons, their first lines and the warning.
func TestReport(t *testing.T) {
	good, same, empty := numbered(1), `{"prompt":"p","chosen":"c","rejected":"c"}`, `{"prompt":"p","chosen":"","rejected":"c"}`
	long, longSame := `{"prompt":"0123456789","chosen":"c","rejected":"r"}`, `{"prompt":"01234","chosen":"abcdef","rejected":"abcdeg"}`
	cut := `{"prompt":"01","chosen":"abcdefgh","rejected":"r"}`
	bad, across, lines := `{"prompt":1}`, `{"prompt":"ab","chosen":"cd","rejected":"e"}`, `{"prompt":"a\n\n","chosen":"c","rejected":"e"}`
	for _, c := range []struct {
		name     string
		rows     []string
		options  Options
		lines    []string
		warnings []string
	}{
		{"all are good", slices.Repeat([]string{good}, 10), Options{}, nil, nil},
		{"one reason, and no warning at 20 %", slices.Concat(slices.Repeat([]string{good}, 8), []string{same, same}), Options{},
			[]string{"dropped because chosen and rejected are the same: 2 (lines 9, 10)"}, nil},
		{"more than 20 %", slices.Concat([]string{same}, slices.Repeat([]string{good}, 7), []string{empty, empty}), Options{},
			[]string{"dropped because chosen and rejected are the same: 1 (line 1)", "dropped because the completion to learn is empty: 2 (lines 9, 10)"},
			[]string{"3 of 10 rows (30 %) are left out; look at the data"}},
		{"max_length leaves nothing", slices.Concat([]string{good}, slices.Repeat([]string{long}, 7), []string{same}, []string{good}), Options{MaxLength: 9, TruncationMode: "keep_start"},
			[]string{"dropped because chosen and rejected are the same: 1 (line 9)",
				"dropped because nothing of a completion is left after truncation: 7 (lines 2, 3, 4, 5, 6 ...)"},
			[]string{"8 of 10 rows (80 %) are left out; look at max_length and truncation_mode"}},
		{"max_length takes what differs", slices.Concat([]string{good}, slices.Repeat([]string{longSame}, 2), []string{cut, cut}), Options{MaxLength: 9, TruncationMode: "keep_start"},
			[]string{"dropped because chosen and rejected are the same after truncation: 2 (lines 2, 3)",
				"truncated to max_length 9: 2 chosen, 0 rejected; the longest sequence has 12 tokens"},
			[]string{"2 of 5 rows (40 %) are left out; look at max_length and truncation_mode"}},
		{"bad rows", []string{bad, good, "x", same, good}, Options{OnBadRow: "skip"},
			[]string{"dropped because chosen and rejected are the same: 1 (line 4)", "bad rows skipped: 2 (lines 1, 3), the first because of: prompt: 1; want text or a list of messages"},
			[]string{"3 of 5 rows (60 %) are left out; look at the bad rows"}},
		{"BOS in the text", []string{good, `{"prompt":"<s>p","chosen":"c","rejected":"r"}`, `{"prompt":"p<s>","chosen":"c","rejected":"r"}`}, Options{}, nil,
			[]string{"the text begins with the tokenizer's begin-of-text token, and the tokenizer puts another in front: 1 (line 2); take it out of the text"}},
		{"a token across the border", []string{across, good, across}, Options{},
			[]string{"prompt and completion share a token, which is scored: 2 (lines 1, 3)"}, nil},
		{"other tokens without a completion", []string{good, lines, across}, Options{},
			[]string{"prompt and completion share a token, which is scored: 1 (line 3)",
				"the prompt alone, as the tuned model will be given it, has other tokens than before its completion: 1 (line 2)"}, nil},
	} {
		enc := letters{pieces: []string{"bc"}, atEnd: "\n\n", bos: true, eos: true}
		set, err := Load(write(t, strings.Join(c.rows, "\n")), Pairs, enc, nil, c.options, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		r := set.Reports[0]
		if got := r.Lines(); !slices.Equal(got, c.lines) {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.lines)
		}
		if got := r.Warnings(); !slices.Equal(got, c.warnings) {
			t.Errorf("%s: warnings\ngot  %q\nwant %q", c.name, got, c.warnings)
		}
		if r.Rows != len(c.rows) || r.Kept != set.Len() || r.Rows != r.Kept+r.Dropped()+r.Skipped() {
			t.Errorf("%s: %d rows of %d, %d kept of %d, %d dropped, %d skipped", c.name, r.Rows, len(c.rows), r.Kept, set.Len(), r.Dropped(), r.Skipped())
		}
	}

	talk := `{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}],"tools":[{"name":"f"}]}`
	for source, want := range map[string]string{
		plainTemplate: "tools is for a chat template, and changes nothing where that does not speak of it or the row is text: 1 (line 1)",
		"{{ tools[0].name }}{{ strftime_now('%d') }}" + plainTemplate: "the chat template writes today's date: tomorrow the rows have other tokens, and their reference log-probs are computed again; " +
			"if it takes date_string, fix it with chat_template_kwargs",
	} {
		set, err := Load(write(t, talk), Pairs, whole, template(t, source), Options{}, nil)
		if err != nil || !slices.Equal(set.Reports[0].Warnings(), []string{want}) {
			t.Errorf("%s: error %v, warnings %q, want %q", source, err, set.Reports[0].Warnings(), want)
		}
	}

	_, err := loadPairs(write(t, bad+"\n"+bad), Options{OnBadRow: "skip"})
	if want := ": no row is left: bad rows skipped: 2 (lines 1, 2), the first because of: prompt: 1; want text or a list of messages; look at the bad rows"; !strings.HasSuffix(text(err), want) {
		t.Errorf("bad rows alone: %v, want %s", err, want)
	}
	noEOS := letters{bos: true}
	set, err := Load(write(t, good), Pairs, noEOS, nil, Options{}, nil)
	if err != nil || !set.Reports[0].NoEOS || len(set.Reports[0].Warnings()) != 1 {
		t.Errorf("no EOS: error %v, warnings %q", err, set.Reports[0].Warnings())
	}
	chat := `{"prompt":[{"role":"user","content":"p"}],"chosen":[{"role":"assistant","content":"c"}],"rejected":[{"role":"assistant","content":"r"}]}`
	set, err = Load(write(t, chat), Pairs, noEOS, template(t, plainTemplate), Options{}, nil)
	if err != nil || set.Reports[0].NoEOS || len(set.Reports[0].Warnings()) != 0 {
		t.Errorf("no EOS, but the template ends what it writes: error %v, warnings %q", err, set.Reports[0].Warnings())
	}
}

// TestLongTexts are longer than a tokenizer takes at once, or than a row may be.
func TestLongTexts(t *testing.T) {
	if testing.Short() {
		t.Skip("reads lines of 16 MiB")
	}
	path := write(t, numbered(1)+"\n"+`{"prompt":"`+strings.Repeat("x", rows.MaxRow)+`","chosen":"c","rejected":"r"}`)
	_, err := loadPairs(path, Options{OnBadRow: "skip"})
	if want := path + ":2: the line has more than 16777216 bytes; want one row a line"; text(err) != want {
		t.Errorf("error %.200v, want %s", err, want)
	}
	if bytes.Contains([]byte(text(err)), []byte("xxx")) {
		t.Error("the error quotes the line")
	}

	// Long lines are not kept until there are as many as short ones would be.
	calls := 0
	path = write(t, strings.Repeat(`{"pad":"`+strings.Repeat("x", batchBytes/2)+`",`+numbered(1)[1:]+"\n", 5))
	set, err := Load(path, Pairs, whole, nil, Options{}, func(int64, int64) { calls++ })
	if err != nil || set.Len() != 5 || calls != 3 {
		t.Errorf("five lines of half of batchBytes: error %v, read in %d batches, want 3", err, calls)
	}
}

// TestStopped: a template without end is stopped at the first row, or if bad rows are skipped at the eleventh, and not at all of them: the error
// would name others too.
func TestStopped(t *testing.T) {
	const source = `{% if messages[0].content == "p" %}{{ range(10**9) }}{% endif %}` + plainTemplate
	row := func(prompt string) string {
		return `{"prompt":[{"role":"user","content":"` + prompt + `"}],"completion":[{"role":"assistant","content":"c"}]}` + "\n"
	}
	for _, c := range []struct {
		onBadRow      string
		stopped, kept int
		want          bool // an error
	}{{"error", 512, 0, true}, {"skip", 512, 0, true}, {"skip", 2, 20, false}, {"error", 1, 20, true}} {
		path := write(t, strings.Repeat(row("p"), c.stopped)+strings.Repeat(row("q"), c.kept))
		set, err := Load(path, Completions, whole, template(t, source), Options{OnBadRow: c.onBadRow}, nil)
		if errors.Is(err, chat.ErrBound) != c.want || strings.HasSuffix(text(err), "too)") || c.want && !strings.HasPrefix(text(err), path+":") || !c.want && (err != nil || set.Len() != c.kept || set.Reports[0].Skipped() != c.stopped) {
			t.Errorf("%+v: error %v", c, err)
		}
	}
}
