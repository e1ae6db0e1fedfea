package data

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"dpotrain/internal/testfiles"
)

// stored reads a data set through a store in dir, and says what it was warned of.
func stored(t testing.TB, dir string, form Form, wanted Wanted, o Options, sources ...Source) (set *Set, warned []string, err error) {
	t.Helper()
	r := open(t, testfiles.Path(t, "models", "llama"))
	r.Wanted = wanted
	r.Store = Store{Dir: dir, From: 1, Warn: func(text string) { warned = append(warned, text) }}
	if dir == "" {
		r.Store = Store{}
	}
	set, _, err = r.Mix(t.Context(), sources, 0, form, o, nil)
	if set != nil {
		t.Cleanup(set.Close)
	}
	return set, warned, err
}

// same says that two sets have the same content.
func same(a, b *Set) bool {
	for _, set := range []*Set{a, b} {
		if r := set.Reports[0]; r.firstBad != nil {
			r.firstBad = errors.New(r.firstBad.Error()) // of which only the text is kept
		}
	}
	return reflect.DeepEqual(a.list(), b.list()) && reflect.DeepEqual(a.Prompts(), b.Prompts()) && reflect.DeepEqual(a.Reports, b.Reports)
}

func storeFiles(t testing.TB, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(files, hidden...)
}

// TestStore: what a store gives back is what reading gives, of every form, with everything that an example and a report can have; it is made once.
func TestStore(t *testing.T) {
	many := write(t, strings.Repeat(numbered(1)+"\n"+`{"prompt":"p","chosen":"c","rejected":"c"}`+"\n{\n", 700)+`{"prompt":"q","chosen":"c","rejected":"r","weight":2,"ref_chosen_logps":-1,"sft_target":"t","tools":[]}`)
	ranked := write(t, `{"prompt":"p","completions":["a","b","c","c",""],"scores":[3,2,1,1,0]}`+"\n"+`{"prompt":"p","chosen":"a","rejected":"b","sft_target":"t"}`+"\n")
	for name, c := range map[string]struct {
		path   string
		form   Form
		wanted Wanted
	}{
		"pairs":      {testfiles.Path(t, "pairs.jsonl"), Pairs, Wanted{}},
		"chats":      {testfiles.Path(t, "pairs_chat.jsonl"), Pairs, Wanted{}},
		"labelled":   {testfiles.Path(t, "pairs.jsonl"), Labelled, Wanted{}},
		"completion": {testfiles.Path(t, "pairs.jsonl"), Completions, Wanted{}},
		"bad rows":   {many, Pairs, Wanted{}},
		"ranked":     {ranked, Pairs, Wanted{Scores: false}},
		"lists":      {ranked, Lists, Wanted{Wins: false}},
		"imitated":   {ranked, Pairs, Wanted{SFT: true}},
		"the first":  {ranked, Pairs, Wanted{SFTPrompt: true}},
		"parquet":    {testfiles.Path(t, "rows", "snappy.parquet"), Pairs, Wanted{}},
	} {
		o := Options{MaxLength: 40, TruncationMode: "keep_start", OnBadRow: "skip", RankedPairs: "all"}
		want, _, err := stored(t, "", c.form, c.wanted, o, Source{Path: c.path})
		if err != nil {
			t.Fatal(name, err)
		}
		dir := t.TempDir()
		var content []byte
		for range 2 {
			got, warned, err := stored(t, dir, c.form, c.wanted, o, Source{Path: c.path})
			if err != nil || !same(got, want) || len(warned) > 0 {
				t.Errorf("%s: error %v, warned %q; %+v, want %+v", name, err, warned, got.Reports[0], want.Reports[0])
			}
			files := storeFiles(t, dir)
			if len(files) != 1 {
				t.Fatalf("%s: %q", name, files)
			}
			now, err := os.ReadFile(files[0])
			if err != nil || content != nil && !bytes.Equal(now, content) {
				t.Errorf("%s: written again, error %v", name, err)
			}
			content = now
		}
		// The same bytes on one core, and for the same content elsewhere.
		func() {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
			other := t.TempDir()
			if _, _, err := stored(t, other, c.form, c.wanted, o, Source{Path: c.path}); err != nil {
				t.Fatal(err)
			}
			now, err := os.ReadFile(filepath.Join(other, filepath.Base(storeFiles(t, dir)[0])))
			if err != nil || !bytes.Equal(now, content) {
				t.Errorf("%s: other bytes on one core, error %v", name, err)
			}
		}()
	}
}

// TestStoreKey: every setting that examples depend on is another store, and nothing else is.
func TestStoreKey(t *testing.T) {
	dir := t.TempDir()
	path := testfiles.Path(t, "pairs.jsonl")
	read := func(form Form, w Wanted, o Options, s Source) {
		t.Helper()
		o.OnBadRow = "skip"
		if _, _, err := stored(t, dir, form, w, o, s); err != nil {
			t.Fatal(err)
		}
	}
	stores := 0
	for i, c := range []struct {
		form   Form
		wanted Wanted
		o      Options
		source Source
		fresh  bool
	}{
		{Pairs, Wanted{}, Options{}, Source{Path: path}, true},
		{Pairs, Wanted{}, Options{}, Source{Path: path}, false},
		{Pairs, Wanted{}, Options{Shuffle: true}, Source{Path: path}, false},
		{Pairs, Wanted{}, Options{}, Source{Path: path, Fraction: 0.5}, false},
		{Pairs, Wanted{}, Options{MaxLength: 30, TruncationMode: "keep_start"}, Source{Path: path}, true},
		{Pairs, Wanted{}, Options{MaxLength: 30, TruncationMode: "keep_end"}, Source{Path: path}, true},
		{Pairs, Wanted{}, Options{}, Source{Path: path, Columns: map[string]string{"chosen": "rejected", "rejected": "chosen"}}, true},
		{Pairs, Wanted{}, Options{}, Source{Path: path, Filter: Filter{MaxTokens: 50}}, true},
		{Labelled, Wanted{}, Options{}, Source{Path: path}, true},
		{Completions, Wanted{}, Options{}, Source{Path: path}, true},
	} {
		read(c.form, c.wanted, c.o, c.source)
		if c.fresh {
			stores++
		}
		if n := len(storeFiles(t, dir)); n != stores {
			t.Fatalf("case %d: %d stores, want %d", i, n, stores)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	moved := write(t, string(content))
	read(Pairs, Wanted{}, Options{}, Source{Path: moved}) // the same content elsewhere
	if n := len(storeFiles(t, dir)); n != stores {
		t.Errorf("a moved file has a store of its own")
	}
	set, _, err := stored(t, dir, Pairs, Wanted{}, Options{OnBadRow: "skip"}, Source{Path: moved})
	if err != nil || !strings.HasPrefix(set.Examples.At(0).Place(), moved) || set.Name != moved {
		t.Errorf("it speaks of %s, error %v", set.Examples.At(0).Place(), err)
	}
}

// TestStoreReader: another tokenizer, template or loss is another store, or ids of the one would be trained on in place of the other's without a word.
func TestStoreReader(t *testing.T) {
	dir := t.TempDir()
	for i, c := range []struct {
		model, template string
		wanted          Wanted
	}{
		{"llama", "chatml", Wanted{}},
		{"gpt2", "chatml", Wanted{}},
		{"llama", "zephyr", Wanted{}},
		{"llama", "chatml", Wanted{SFTPrompt: true}},
	} {
		readStored(t, c.model, c.template, dir, c.wanted)
		if n := len(storeFiles(t, dir)); n != i+1 {
			t.Errorf("%+v: %d stores, want %d", c, n, i+1)
		}
	}
}

// TestStoreDated: with a template that writes the day a store is of that day, and is made again on another.
func TestStoreDated(t *testing.T) {
	dir, template := t.TempDir(), filepath.Join(t.TempDir(), "dated.jinja")
	const text = "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
	if err := os.WriteFile(template, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	defer func(old func() string) { today = old }(today)
	var made [3]os.FileInfo
	for i, day := range []string{"2024-02-28", "2024-02-28", "2024-02-29"} {
		today = func() string { return day }
		readStored(t, "llama", template, dir, Wanted{})
		files := storeFiles(t, dir)
		if len(files) != 1 {
			t.Fatalf("%q", files)
		}
		var err error
		if made[i], err = os.Stat(files[0]); err != nil {
			t.Fatal(err)
		}
	}
	if !os.SameFile(made[0], made[1]) || os.SameFile(made[1], made[2]) {
		t.Error("made again on the same day, or not on another")
	}
}

// readStored reads chats through a store in dir.
func readStored(t *testing.T, model, template, dir string, w Wanted) {
	t.Helper()
	r, err := Open(testfiles.Path(t, "models", model), template)
	if err != nil {
		t.Fatal(err)
	}
	r.Wanted, r.Store = w, Store{Dir: dir, From: 1}
	set, err := r.Load(t.Context(), testfiles.Path(t, "pairs_chat.jsonl"), Pairs, Options{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
}

// TestStoreDamaged: one that is cut, changed in any byte, empty, or of something else is made again, which is said; what is left of a killed
// process is removed.
func TestStoreDamaged(t *testing.T) {
	dir := t.TempDir()
	o := Options{MaxLength: 40, TruncationMode: "keep_start"}
	source := Source{Path: testfiles.Path(t, "pairs.jsonl")}
	want, _, err := stored(t, "", Pairs, Wanted{}, o, source)
	if err == nil {
		_, _, err = stored(t, dir, Pairs, Wanted{}, o, source)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := storeFiles(t, dir)[0]
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string][]byte{"empty": nil, "another file": []byte(strings.Repeat("x", 500)), "longer": append(bytes.Clone(sound), 0)}
	for _, n := range []int{1, 40, 63, 64, 100, len(sound) / 2, len(sound) - 1} {
		damages[fmt.Sprintf("cut after %d", n)] = sound[:n]
	}
	for at := 0; at < len(sound); at += 1 + len(sound)/60 {
		b := bytes.Clone(sound)
		b[at] ^= 4
		if at < 60 || at >= storeHeader {
			damages[fmt.Sprintf("byte %d", at)] = b
		}
	}
	newer := bytes.Clone(sound)
	newer[8]++
	damages["newer"] = newer
	if err := os.WriteFile(filepath.Join(dir, ".left-1"+unfinished), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for what, content := range damages {
		if err := errors.Join(os.Remove(path), os.WriteFile(path, content, 0o644)); err != nil { // in place of the one that is mapped
			t.Fatal(err)
		}
		got, warned, err := stored(t, dir, Pairs, Wanted{}, o, source)
		if err != nil || !same(got, want) || len(warned) != 1 || !strings.HasPrefix(warned[0], path+": ") || !strings.HasSuffix(warned[0], "; it is made again") {
			t.Errorf("%s: error %v, warned %q", what, err, warned)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, sound) {
			t.Errorf("%s: not as it was, error %v", what, err)
		}
	}
	if files := storeFiles(t, dir); len(files) != 1 {
		t.Errorf("left behind: %q", files)
	}
	// A bad row leaves no store.
	bad := t.TempDir()
	if _, _, err := stored(t, bad, Pairs, Wanted{}, o, Source{Path: write(t, numbered(1)+"\n{}")}); err == nil || len(storeFiles(t, bad)) > 0 {
		t.Errorf("error %v, files %q", err, storeFiles(t, bad))
	}
}

// FuzzStore reads any bytes as a store: they are refused, or every example in them is within them.
func FuzzStore(f *testing.F) {
	dir := f.TempDir()
	if _, _, err := stored(f, dir, Pairs, Wanted{}, Options{MaxLength: 40, TruncationMode: "keep_start"}, Source{Path: testfiles.Path(f, "pairs.jsonl")}); err != nil {
		f.Fatal(err)
	}
	sound, err := os.ReadFile(storeFiles(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	end := storeHeader + 400
	f.Add(sound[storeHeader:end], 3)
	f.Add([]byte{}, 0)
	f.Add(make([]byte, 72), 2)
	f.Fuzz(func(t *testing.T, block []byte, n int) {
		if n < 0 || n > len(block)/storeRecord {
			return // as openStore sees to
		}
		block = block[:len(block)&^3]
		files := []file{{"a", false}}
		stored := &storedExamples{bytes: block, offsets: make([]int64, n), files: files}
		if findRecords(block, 0, stored.offsets, len(files)) != nil {
			return
		}
		total := 0
		for _, e := range All(stored) {
			sequences := e.Sequences
			if e.Imitated != nil && unsafe.SliceData(e.Imitated.IDs) != unsafe.SliceData(sequences[0].IDs) {
				sequences = append(sequences, *e.Imitated)
			}
			for _, s := range sequences {
				if s.First < 1 || s.First >= len(s.IDs) {
					t.Fatalf("%+v", s)
				}
				total += 4 * len(s.IDs)
			}
			total += len(e.prompt.text)
		}
		if total > len(block) {
			t.Fatalf("%d bytes out of %d", total, len(block))
		}
	})
}

// TestStoreLimit: of stores that are too many those used longest ago go, and none of this process.
func TestStoreLimit(t *testing.T) {
	dir := t.TempDir()
	var removed []string
	load := func(limit int64, maxLength int) string {
		t.Helper()
		before := storeFiles(t, dir)
		r := open(t, testfiles.Path(t, "models", "llama"))
		r.Store = Store{Dir: dir, From: 1, Limit: limit, Removed: func(text string) { removed = append(removed, text) }}
		set, err := r.Load(t.Context(), testfiles.Path(t, "pairs.jsonl"), Pairs, Options{MaxLength: maxLength, TruncationMode: "keep_start"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		set.Close()
		for _, path := range storeFiles(t, dir) {
			if !slices.Contains(before, path) {
				return path
			}
		}
		return ""
	}
	old := func(path string, hours int) {
		t.Helper()
		at := began.Add(-time.Duration(hours) * time.Hour)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := load(0, 30), load(0, 40), load(0, 50)
	other := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(other, make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	old(other, 100)
	old(a, 1)
	old(b, 3)
	old(c, 2)
	if load(0, 30) != "" { // a is used again
		t.Error("made again")
	}
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	all := size(a) + size(b) + size(c)
	old(c, 2)
	d := load(all+size(a)/2, 60) // makes one too many: b is the oldest
	if got := storeFiles(t, dir); len(got) != 4 || slices.Contains(got, b) || len(removed) != 1 || !strings.HasPrefix(removed[0], b+": removed, as ") {
		t.Errorf("%q are left, %q", got, removed)
	}
	old(c, 2)
	e := load(1, 70) // all are too many, but those that were used in this process
	if got, want := storeFiles(t, dir), []string{a, d, e, other}; len(got) != len(want) || slices.Contains(got, c) || len(removed) != 2 {
		t.Errorf("%q are left, want %q; %q", got, want, removed)
	}
}
