package rows

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dpotrain/internal/testfiles"
)

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// write makes a file in a folder of the test's own and returns its path.
func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o644)); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(content []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(content)
	w.Close()
	return b.Bytes()
}

func zstded(content []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(content, nil)
}

// all reads the rows that are left, up to an error.
func all(r *Reader) (list []Row, err error) {
	for {
		row, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		list = append(list, row)
	}
}

// read reads the rows of a file.
func read(path string) ([]Row, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return all(r)
}

// value is what a row's text means.
func value(t testing.TB, text []byte) (v any) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return v
}

// shown are rows as "number text", or with an error "number: error".
func shown(rows []Row) (list []string) {
	for _, r := range rows {
		if r.Err != nil {
			list = append(list, fmt.Sprintf("%d: %v", r.Number, r.Err))
			continue
		}
		list = append(list, fmt.Sprintf("%d %s", r.Number, r.Text))
	}
	return list
}

// TestFormats reads the same content plain, with gzip, in two gzip members, and with zstd, whatever the name is, from a file and as a stream.
func TestFormats(t *testing.T) {
	for _, c := range []struct {
		what, name, content string
		want                []string
	}{
		{"JSONL", "a.jsonl", "{\"a\":1}\n{\"b\":\"x\\ny\"}\n", []string{`1 {"a":1}`, `2 {"b":"x\ny"}`}},
		{"JSONL without an end of line, with blanks, marks and CRLF", "a.txt", "\ufeff{\"a\":1}\r\n\n \t\n\ufeff {\"b\":2} ", []string{`1 {"a":1}`, `4 {"b":2}`}},
		{"JSONL that is no JSON", "a.jsonl", "x\n[1]\n", []string{"1 x", "2 [1]"}},
		{"nothing", "a.jsonl", "", nil},
		{"a list", "a.json", `[{"a":1},{"b":[2,"]"]}]`, []string{`1 {"a":1}`, `1 {"b":[2,"]"]}`}},
		{"a list over lines", "a.json", "\ufeff [\n  {\n \"a\": \"[\\\"\"\n  },\r\n\n{\"b\":{}}\n]\n\n", []string{"2 {\n \"a\": \"[\\\"\"\n  }", `6 {"b":{}}`}},
		{"an empty list", "a.json", " [ ] ", nil},
		{"a list of others", "a.json", "[1, \"x\",\nnull]", []string{"1 1", `1 "x"`, "2 null"}},
		{"CSV", "a.csv", "prompt,chosen\np,\"a \"\"b\"\", c\nd\"\n\n\"\",é\\\n", []string{`2 {"prompt":"p","chosen":"a \"b\", c\nd"}`, `5 {"prompt":"","chosen":"é\\"}`}},
		{"CSV with semicolons, told by its header", "a.txt", "\ufeffprompt;chosen\r\n\"a\tb\";\x01\r\n", []string{`2 {"prompt":"a\tb","chosen":"\u0001"}`}},
		{"CSV of other columns, told by its name", "A.CSV", "question,better\n1,2\n", []string{`2 {"question":"1","better":"2"}`}},
		{"tabs between", "a.tsv", "x\ty\n1,5\t2\n", []string{`2 {"x":"1,5","y":"2"}`}},
		{"CSV with cells missing", "a.csv", "a,b\n1\n1,2\n1,2,3\n", []string{
			"2: 1 cells, and the header has 2; look for a separator or a quote too many", `3 {"a":"1","b":"2"}`,
			"4: 3 cells, and the header has 2; look for a separator or a quote too many"}},
	} {
		half := len(c.content) / 2
		for how, packed := range map[string][]byte{
			"plain": []byte(c.content), "gzip": gzipped([]byte(c.content)), "zstd": zstded([]byte(c.content)),
			"gzip twice": append(gzipped([]byte(c.content[:half])), gzipped([]byte(c.content[half:]))...),
		} {
			rows, err := read(write(t, c.name, packed))
			if err != nil || !slices.Equal(shown(rows), c.want) {
				t.Errorf("%s, %s: error %v\ngot  %q\nwant %q", c.what, how, err, shown(rows), c.want)
			}
			r, err := NewReader(c.name, bytes.NewReader(packed))
			if err != nil {
				t.Errorf("%s, %s: %v", c.what, how, err)
				continue
			}
			if rows, err = all(r); err != nil || !slices.Equal(shown(rows), c.want) {
				t.Errorf("%s, %s, as a stream: error %v\ngot  %q\nwant %q", c.what, how, err, shown(rows), c.want)
			}
			r.Close()
		}
	}
}

// TestParquet reads what pyarrow wrote in several ways, plain and packed again, as the same rows that are in the JSONL file.
func TestParquet(t *testing.T) {
	want, err := read(testfiles.Path(t, "rows", "rows.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testfiles.Path(t, "rows"), "*.parquet"))
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for how, packed := range map[string][]byte{"plain": content, "gzip": gzipped(content), "zstd": zstded(content)} {
			r, err := Open(write(t, "x.parquet", packed))
			if err != nil {
				t.Errorf("%s, %s: %v", path, how, err)
				continue
			}
			rows, err := all(r)
			if err != nil || len(rows) != len(want) || !r.ByRow() {
				t.Errorf("%s, %s: %d rows, error %v; want %d", path, how, len(rows), err, len(want))
			}
			if done, total := r.Progress(); done != total || total != int64(len(packed)) {
				t.Errorf("%s, %s: %d of %d bytes done, want %d", path, how, done, total, len(packed))
			}
			r.Close()
			for i, row := range rows {
				if got, want := value(t, row.Text), value(t, want[i].Text); row.Number != i+1 || !reflect.DeepEqual(got, want) {
					t.Errorf("%s, %s, row %d:\ngot  %s\nwant %s", path, how, row.Number, row.Text, want)
					break
				}
			}
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "dpotrain-*.parquet")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// damagedEnd has another checksum.
func damagedEnd(packed []byte) string {
	packed[len(packed)-5]++
	return string(packed)
}

// TestErrors are the errors of whole files, word for word; PATH stands for the file.
func TestErrors(t *testing.T) {
	const object = "{\"a\":1}\n"
	sound, err := os.ReadFile(testfiles.Path(t, "rows", "snappy.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, b byte) string {
		c := slices.Clone(sound)
		if at < 0 {
			at += len(c)
		}
		c[at] = b
		return string(c)
	}
	for _, c := range []struct{ what, name, content, want string }{
		{"a list that is cut off", "a.json", "[{\"a\":1},\n", "PATH:2: the list does not end; the file is cut off, get it again"},
		{"a list that is cut off in a row", "a.json", "[\n{\"a\":\"]", "PATH:2: the list does not end; the file is cut off, get it again"},
		{"two lists", "a.json", "[]\n[]", "PATH:2: more after the list; want one list of objects, or one object a line"},
		{"a comma too many", "a.json", "[{},]", "PATH:1: a comma and no row next to it; want objects with commas between them"},
		{"a CSV header alone", "a.csv", "a,b", ""},
		{"columns of one name", "a.csv", "a,a\n", `PATH:1: the header has two columns "a"; rename one`},
		{"a quote in a cell", "a.csv", "a,b\nx,y\nx,y\"z\n", "PATH:3: a quote inside of a cell, at byte 4 of the line; put the cell in quotes, and double those inside of it"},
		{"a cell that does not end", "a.csv", "a,b\nx,\"y\n", "PATH:2: a cell in quotes does not end as it should; close the quotes, and double those inside of it"},
		{"gzip cut off", "a.jsonl.gz", string(gzipped([]byte(object))[:20]), "PATH:1: the compressed file is cut off; get it again"},
		{"gzip cut off in the header", "a.jsonl.gz", "\x1f\x8b\x08", "PATH: the compressed file is cut off; get it again"},
		{"gzip damaged", "a.jsonl.gz", damagedEnd(gzipped([]byte(object))), "PATH:2: the compressed file is damaged; get it again"},
		{"zstd cut off", "a.jsonl.zst", string(zstded([]byte(strings.Repeat(object, 99))))[:30], "PATH: the compressed file is cut off; get it again"},
		{"gzip in gzip", "a.jsonl.gz", string(gzipped(gzipped([]byte(object)))), "PATH: compressed twice; unpack it first (gunzip)"},
		{"zip", "a.zip", "PK\x03\x04", "PATH: a zip archive; unpack it first (unzip)"},
		{"Arrow in gzip", "a.arrow.gz", string(gzipped([]byte("ARROW1\x00"))),
			`PATH: an Arrow file; export it to JSONL, in Python: from datasets import Dataset; Dataset.from_file("PATH").to_json("pairs.jsonl")`},
		{"parquet cut off", "a.parquet", string(sound[:4000]), "PATH: a parquet file that is cut off or damaged; get it again"},
		{"parquet cut off at once", "a.parquet", "PAR1", "PATH: a parquet file that is cut off; get it again"},
		{"encrypted parquet", "a.parquet", changed(-1, 'E'), "PATH: an encrypted parquet file; write it without encryption"},
		{"a parquet footer longer than the file", "a.parquet", changed(-6, 1), "PATH: a parquet file that is cut off or damaged; get it again"},
		{"a parquet footer that begins elsewhere", "a.parquet", changed(-8, 3), "PATH: what the file says of itself cannot be read; the file is damaged, get it again"},
		{"a parquet page that is damaged", "a.parquet", changed(4, 0xff), "PATH: column \"prompt\": what the file says of itself cannot be read; the file is damaged, get it again"},
	} {
		path := write(t, c.name, []byte(c.content))
		_, err := read(path)
		if got := strings.ReplaceAll(text(err), path, "PATH"); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.what, got, c.want)
		}
	}
}

// TestFind makes folders and looks for what is named in them, relative to the folder.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"hub/README.md", "hub/dataset_infos.json", "hub/data/train-00001-of-00002-abc.parquet", "hub/data/train-00000-of-00002-abc.parquet",
		"hub/data/test_prefs-00000-of-00001.parquet", "hh/helpful/train.jsonl.gz", "hh/helpful/test.jsonl.gz", "hh/harmless/train.jsonl.gz",
		"plain/b.jsonl", "plain/a.csv.zst", "plain/.hidden.jsonl", "plain/_x/c.jsonl", "plain/sub/d.JSON", "plain/notes.txt",
		"one/train/x.jsonl", ".git/x.jsonl", "seen/x.jsonl", "odd/[a].jsonl", "empty/notes.txt", "saved/dataset_info.json", "saved/data-00000-of-00001.arrow",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		path, split string
		want        []string
		err         string
	}{
		{"plain/b.jsonl", "", []string{"plain/b.jsonl"}, ""},
		{"plain/none.jsonl", "", []string{"plain/none.jsonl"}, ""},
		{"odd/[a].jsonl", "", []string{"odd/[a].jsonl"}, ""},
		{"plain", "", []string{"plain/a.csv.zst", "plain/b.jsonl", "plain/sub/d.JSON"}, ""},
		{"plain/*.jsonl", "", []string{"plain/b.jsonl"}, ""},
		{"plain/.*.jsonl", "", []string{"plain/.hidden.jsonl"}, ""},
		{"plain/../plain/*.jsonl", "", []string{"plain/b.jsonl"}, ""},
		{"*/x.jsonl", "", []string{"seen/x.jsonl"}, ""},
		{"hub/data/train-*.parquet", "", []string{"hub/data/train-00000-of-00002-abc.parquet", "hub/data/train-00001-of-00002-abc.parquet"}, ""},
		{"hub", "train", []string{"hub/data/train-00000-of-00002-abc.parquet", "hub/data/train-00001-of-00002-abc.parquet"}, ""},
		{"hub", "test_prefs", []string{"hub/data/test_prefs-00000-of-00001.parquet"}, ""},
		{"hh", "train", []string{"hh/harmless/train.jsonl.gz", "hh/helpful/train.jsonl.gz"}, ""},
		{"hh/*/train.*", "", []string{"hh/harmless/train.jsonl.gz", "hh/helpful/train.jsonl.gz"}, ""},
		{"one", "", []string{"one/train/x.jsonl"}, ""},
		{"hub", "", nil, "hub: a folder with the splits test_prefs, train; say which with split in datasets, or give a pattern for its files"},
		{"hh", "validation", nil, "hh: no split validation; there are test, train"},
		{"plain", "train", nil, "plain: no split train, for its files are not named after splits; leave it out"},
		{"plain/b.jsonl", "train", nil, "plain/b.jsonl: split train is given, and this is no folder; leave it out"},
		{"plain/x*.jsonl", "", nil, "plain/x*.jsonl: no file fits this pattern; look at the path"},
		{"plain/[", "", nil, "plain/[: not a pattern of files; want one as data/train-*.parquet"},
		{"empty", "", nil, "empty: a folder without rows; want files that end in .jsonl, .ndjson, .json, .csv, .tsv, .parquet, or in these with .gz or .zst behind"},
		{"saved", "", nil, `saved: a folder without rows; export it to JSONL, in Python: from datasets import load_from_disk; load_from_disk("DIR/saved").to_json("pairs.jsonl")`},
	} {
		files, err := Find(filepath.Join(dir, filepath.FromSlash(c.path)), c.split)
		var got []string
		for _, f := range files {
			within, err := filepath.Rel(dir, f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, filepath.ToSlash(within))
		}
		said := strings.TrimPrefix(filepath.ToSlash(text(err)), filepath.ToSlash(dir)+"/")
		if said = strings.ReplaceAll(said, filepath.ToSlash(dir), "DIR"); said != c.err || !slices.Equal(got, c.want) {
			t.Errorf("%s, split %q: %q, error %s\nwant %q, error %s", c.path, c.split, got, said, c.want, c.err)
		}
	}
}
