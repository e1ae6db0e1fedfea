package dpotrain_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// rooms is a statement of policy: for every package, those of ours that it may import, without internal/ in front. A
// room imports only rooms further from the command. Those behind a semicolon are allowed and not used today; one in
// front of it that is not used has to go. Tests may import what their package may, and testRooms.
var rooms = map[string]string{
	"cmd/dpotrain": "bench compute/cpu config data dataset refcache report rows train; checkpoint compute eval generate loss model score tokenizer",
	"config":       "data eval loss plan train; compute",
	"bench":        "compute compute/cpu report train",
	"train":        "checkpoint compute compute/cpu data doctor eval files generate loss model plan report safetensors score; chat refcache tokenizer",
	"dataset":      "checkpoint data report rows",
	"doctor":       "data eval report rows tokenizer",
	"eval":         "compute data loss model plan report score",
	"score":        "compute data model plan refcache; report",
	"generate":     "compute model plan",
	"model":        "compute files safetensors",
	"data":         "chat compute files rows tokenizer",
	"checkpoint":   "files safetensors",

	"plan":        "",
	"refcache":    "",
	"loss":        "",
	"report":      "",
	"tokenizer":   "files",
	"chat":        "files",
	"rows":        "",
	"safetensors": "files",
	"files":       "",

	"compute":             "",
	"compute/cpu":         "compute",
	"compute/computetest": "compute compute/cpu",

	"testfiles": "",

	"scripts/makeexamples": "; tokenizer",
	"scripts/amxemulator":  "",
}

// testRooms may be imported by every test.
const testRooms = "compute/computetest compute/cpu testfiles"

// doors are, for every module of others, the rooms that may import it; semicolons as in rooms. One that is not here is
// imported nowhere.
var doors = map[string]string{
	"github.com/spf13/cobra": "cmd/dpotrain",

	"github.com/spf13/viper":             "config",
	"github.com/spf13/pflag":             "config cmd/dpotrain",
	"github.com/go-playground/validator": "config",
	"go.yaml.in/yaml":                    "config",

	"github.com/schollz/progressbar": "report",
	"github.com/lmittmann/tint":      "report",
	"golang.org/x/term":              "report",
	"golang.org/x/sys/windows":       "report",

	"gorgonia.org/gorgonia": "model",
	"gorgonia.org/tensor":   "model",
	"github.com/chewxy/hm":  "model",

	"golang.org/x/sys/cpu":  "compute/cpu",
	"golang.org/x/sys/unix": "compute/cpu files plan scripts/amxemulator",

	"github.com/klauspost/cpuid": "compute/cpu",

	"golang.org/x/text":          "tokenizer",
	"github.com/rivo/uniseg":     "tokenizer",
	"google.golang.org/protobuf": "tokenizer",

	"github.com/edsrzf/mmap-go": "files",
	"github.com/x448/float16":   "safetensors",

	"github.com/parquet-go/parquet-go": "rows",
	"github.com/klauspost/compress":    "rows",

	"github.com/zeebo/xxh3":  "data refcache",
	"github.com/gofrs/flock": "checkpoint data refcache",
}

// edge is an import: from and to are rooms, or to is a module of doors.
type edge struct{ from, to string }

func TestImports(t *testing.T) {
	used := map[edge]bool{}
	built := map[string]bool{} // rooms with a file that is no test
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file != "." && (name == "testdata" || strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		from := strings.TrimPrefix(path.Dir(filepath.ToSlash(file)), "internal/")
		if !strings.HasSuffix(name, ".go") || from == "." {
			return nil
		}
		test := strings.HasSuffix(name, "_test.go")
		built[from] = built[from] || !test
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly) // whatever its build tags
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			e := edge{from, ""}
			if p == "C" {
				t.Errorf("%s: no cgo; libraries of C are opened at run time", file)
			} else if own, ok := strings.CutPrefix(p, "dpotrain/"); ok {
				e.to = strings.TrimPrefix(own, "internal/")
				if e.to == from || test && slices.Contains(strings.Fields(testRooms), e.to) {
					continue // a test outside of its package imports it
				}
				if !allows(rooms[from], e.to) {
					t.Errorf("%s: %s may not import %s; its row in rooms is %q", file, from, e.to, rooms[from])
				}
			} else if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") { // not of the standard library
				e.to = module(p)
				if !allows(doors[e.to], from) {
					t.Errorf("%s: %s may not import %s; its row in doors is %q", file, from, p, doors[e.to])
				}
			}
			used[e] = used[e] || !test
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range built {
		if _, ok := rooms[room]; !ok {
			t.Errorf("%s has no row in rooms", room)
		}
	}
	for room, row := range rooms {
		if !built[room] {
			t.Errorf("%s has a row in rooms and does not exist", room)
			continue
		}
		now, _, _ := strings.Cut(row, ";")
		for _, to := range strings.Fields(now) {
			if !used[edge{room, to}] {
				t.Errorf("%s does not import %s; take it out of its row in rooms", room, to)
			}
		}
	}
	for to, row := range doors {
		now, _, _ := strings.Cut(row, ";")
		for _, from := range strings.Fields(now) {
			if built[from] && !used[edge{from, to}] {
				t.Errorf("%s does not import %s; take it out of the row in doors", from, to)
			}
		}
	}
}

// module is the module of doors that a package belongs to, or the package itself.
func module(p string) string {
	for m := range doors {
		if p == m || strings.HasPrefix(p, m+"/") {
			return m
		}
	}
	return p
}

// allows says that a row holds a room, before the semicolon or behind.
func allows(row, room string) bool {
	return slices.Contains(strings.Fields(strings.ReplaceAll(row, ";", " ")), room)
}

// TestImportsOrder checks the table itself: no room may be reached from those that it may import.
func TestImportsOrder(t *testing.T) {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(room string, way []string)
	visit = func(room string, way []string) {
		way = append(way, room)
		switch state[room] {
		case visiting:
			t.Fatalf("rooms allows a circle: %s", strings.Join(way, " -> "))
		case done:
			return
		}
		state[room] = visiting
		for _, to := range strings.Fields(strings.ReplaceAll(rooms[room], ";", " ")) {
			if _, ok := rooms[to]; !ok {
				t.Errorf("%s: %s has no row", room, to)
			}
			visit(to, way)
		}
		state[room] = done
	}
	for room := range rooms {
		visit(room, nil)
	}
}
