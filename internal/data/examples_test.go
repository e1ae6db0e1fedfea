package data

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestExamples: examples out of a store are those in memory, and so is what is picked, joined, cut and mismatched of them.
func TestExamples(t *testing.T) {
	o := Options{MaxLength: 60, TruncationMode: "keep_start"}
	source := Source{Path: testfiles.Path(t, "pairs.jsonl")}
	for _, form := range []Form{Pairs, Labelled} {
		memory, _, err := stored(t, "", form, Wanted{}, o, source)
		if err != nil {
			t.Fatal(err)
		}
		store, _, err := stored(t, t.TempDir(), form, Wanted{}, o, source)
		if err != nil {
			t.Fatal(err)
		}
		if n := store.Examples.Bytes(); n < 8*int64(store.Len()) || n > 8*int64(store.Len())+windowsKept*windowBytes {
			t.Errorf("%d bytes", n)
		}
		views := map[string]func(x Examples) (Examples, error){
			"picked": func(x Examples) (Examples, error) { return pick(x, []ordinal{3, 1, 7}), nil },
			"first":  func(x Examples) (Examples, error) { return First(x, 5), nil },
			"all":    func(x Examples) (Examples, error) { return First(x, x.Len()), nil },
			"joined": func(x Examples) (Examples, error) { return Join(First(x, 2), Slice{}, x, pick(x, []ordinal{9})), nil },
			"cut": func(x Examples) (Examples, error) {
				return Options{MaxLength: 25, TruncationMode: "keep_end"}.Cut(x), nil
			},
			"mismatched":    func(x Examples) (Examples, error) { return mismatch(x, o) },
			"picked of cut": func(x Examples) (Examples, error) { return pick(o.Cut(First(x, 8)), []ordinal{6, 2}), nil },
		}
		if form == Pairs {
			delete(views, "mismatched")
		}
		for name, view := range views {
			want, err := view(memory.Examples)
			if err != nil {
				t.Fatal(err)
			}
			got, err := view(store.Examples)
			if err != nil || got.Len() != want.Len() || got.Len() == 0 {
				t.Fatalf("%s: %d examples, want %d; %v", name, got.Len(), want.Len(), err)
			}
			for i, e := range All(want) {
				if !reflect.DeepEqual(got.At(i), e) {
					t.Errorf("form %v, %s: example %d is %+v, want %+v", form, name, i, got.At(i), e)
				}
			}
			if Digest(got) != Digest(want) {
				t.Errorf("form %v, %s: another digest", form, name)
			}
		}
	}
}

// TestCutBytes: what examples in memory would take if they were shorter.
func TestCutBytes(t *testing.T) {
	long := Slice{{Sequences: []Sequence{{make([]int32, 1000), 10}, {make([]int32, 900), 10}}}}
	long[0].Sequences[1].IDs[20] = 1
	if more := long.Bytes() - (Options{MaxLength: 100, TruncationMode: "keep_start"}).Cut(long).Bytes(); more < 0 || more > 4*1700 {
		t.Errorf("%d bytes less", more)
	}
}

// TestDigest: it is another if anything is that training sees, and the same wherever the rows stand.
func TestDigest(t *testing.T) {
	example := func(change func(e *Example)) Slice {
		e := Example{File: "a.jsonl", Line: 1, Sequences: []Sequence{{[]int32{1, 2, 3}, 1}, {[]int32{1, 4}, 1}}, Numbers: &Numbers{Weight: 1}, Imitated: &Sequence{[]int32{1, 2}, 1}}
		change(&e)
		return Slice{e}
	}
	same := example(func(e *Example) {})
	if Digest(same) != Digest(example(func(e *Example) { e.File, e.Line, e.ByRow, e.prompt.text = "b.parquet", 2, true, "p" })) {
		t.Error("the place counts")
	}
	seen := []string{Digest(same), Digest(Slice{}), Digest(Join(same, same))}
	for _, change := range []func(e *Example){
		func(e *Example) { e.Sequences[0].IDs[2] = 5 },
		func(e *Example) { e.Sequences[1].First++ },
		func(e *Example) { slices.Reverse(e.Sequences) },
		func(e *Example) { e.Sequences = e.Sequences[:1] },
		func(e *Example) { e.Sequences[0].IDs, e.Sequences[1].IDs = []int32{1, 2}, []int32{3, 1, 4} },
		func(e *Example) { e.Label = Desirable },
		func(e *Example) { e.Label = Undesirable },
		func(e *Example) { e.Numbers = nil },
		func(e *Example) { e.Numbers.Weight = 2 },
		func(e *Example) { e.Numbers.RefRejectedLogps = -3 },
		func(e *Example) { e.Imitated = nil },
		func(e *Example) { e.Imitated.IDs[1] = 7 },
	} {
		seen = append(seen, Digest(example(change)))
	}
	for i, d := range seen {
		if slices.Contains(seen[:i], d) || len(d) != 64 {
			t.Errorf("case %d: %s is not its own", i, d)
		}
	}
	// More than are hashed together, of which the last is another.
	many := make(Slice, 10000)
	for i := range many {
		many[i] = same[0]
	}
	before := Digest(many)
	many[len(many)-1] = example(func(e *Example) { e.Label = Desirable })[0]
	if Digest(many) == before {
		t.Error("the last example does not count")
	}
}

// TestLoadStopped: reading ends with the context, before it begins or in its midst, and leaves nothing.
func TestLoadStopped(t *testing.T) {
	var rows []byte
	for i := range 5 * batchRows {
		rows = fmt.Appendf(rows, `{"prompt":"p%d","chosen":"a","rejected":"b"}`+"\n", i)
	}
	path := write(t, string(rows))
	for _, before := range []bool{true, false} {
		for _, dir := range []string{"", filepath.Join(t.TempDir(), "store")} {
			ctx, cancel := context.WithCancel(t.Context())
			r := open(t, testfiles.Path(t, "models", "llama"))
			r.Store = Store{Dir: dir, From: 1}
			calls := 0
			if before {
				cancel()
			}
			_, _, err := r.Mix(ctx, []Source{{Path: path}}, 0, Pairs, Options{}, func(done, total int64) {
				calls++
				cancel()
			})
			if !errors.Is(err, context.Canceled) || before && calls > 0 || !before && calls != 1 {
				t.Errorf("before %v: error %v, %d batches", before, err, calls)
			}
			if dir != "" && len(storeFiles(t, dir)) > 0 {
				t.Errorf("before %v: left behind: %q", before, storeFiles(t, dir))
			}
			cancel()
		}
	}
}
