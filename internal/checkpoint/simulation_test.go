package checkpoint

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) {
	useMemory()
	os.Exit(m.Run())
}

// useMemory puts the tests' folders into memory where there is such a place: they write thousands of small files, and on a busy disk
// syncing them takes most of the time.
func useMemory() {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() && os.Getenv("TMPDIR") == "" {
		os.Setenv("TMPDIR", shm)
	}
}

// op is one change to the disk, or (kind "ack") the moment at which a caller was told that a generation of contents is safe.
type op struct {
	kind       string
	path, to   string // relative to the recorder's root
	data       []byte
	generation int
}

// recorder is a fileSystem that does what it is asked under root, records it, and can fail at one operation.
type recorder struct {
	root    string
	ops     []op
	calls   int
	failAt  int    // the call that fails, from 0; -1 for none
	failure string // which call that was
}

func (r *recorder) do(o op, act func() error) error {
	r.calls++
	if r.calls-1 == r.failAt {
		r.failure = o.kind + " " + o.path
		return &fs.PathError{Op: o.kind, Path: o.path, Err: syscall.ENOSPC}
	}
	if err := act(); err != nil {
		return err
	}
	r.ops = append(r.ops, o)
	return nil
}

func (r *recorder) rel(path string) string {
	rel, err := filepath.Rel(r.root, path)
	if err != nil {
		panic(err)
	}
	return filepath.ToSlash(rel)
}

func (r *recorder) Mkdir(path string) error {
	return r.do(op{kind: "mkdir", path: r.rel(path)}, func() error { return disk{}.Mkdir(path) })
}

func (r *recorder) Create(path string) (f file, err error) {
	err = r.do(op{kind: "create", path: r.rel(path)}, func() error {
		f, err = disk{}.Create(path)
		return err
	})
	return &recordedFile{f, r, r.rel(path)}, err
}

func (r *recorder) Rename(from, to string) error {
	return r.do(op{kind: "rename", path: r.rel(from), to: r.rel(to)}, func() error { return disk{}.Rename(from, to) })
}

func (r *recorder) Remove(path string) error {
	return r.do(op{kind: "remove", path: r.rel(path)}, func() error { return disk{}.Remove(path) })
}

func (r *recorder) SyncDir(path string) error {
	return r.do(op{kind: "syncdir", path: r.rel(path)}, func() error { return nil })
}

// ack records that the caller was told so.
func (r *recorder) ack(generation int) {
	r.ops = append(r.ops, op{kind: "ack", generation: generation})
}

type recordedFile struct {
	file
	r    *recorder
	path string
}

func (f *recordedFile) Write(b []byte) (n int, err error) {
	err = f.r.do(op{kind: "write", path: f.path, data: slices.Clone(b)}, func() error {
		n, err = f.file.Write(b)
		return err
	})
	if errors.Is(err, syscall.ENOSPC) { // a full disk takes the first half
		n, _ = f.file.Write(b[:len(b)/2])
		f.r.ops = append(f.r.ops, op{kind: "write", path: f.path, data: slices.Clone(b[:n])})
	}
	return n, err
}

func (f *recordedFile) Sync() error {
	return f.r.do(op{kind: "fsync", path: f.path}, func() error { return nil })
}

// inode is a file or folder of the simulated disk.
type inode struct {
	data    []byte
	synced  int               // bytes of data that survive a power cut
	names   map[string]*inode // of a folder; nil for a file
	durable map[string]*inode // names as of the last syncdir
	changes []nameChange      // since then, in order
}

// nameChange is one atomic change to a folder: a name goes, or a name comes, or both (a rename).
type nameChange struct {
	gone, come string
	node       *inode
}

func folder() *inode {
	return &inode{names: map[string]*inode{}, durable: map[string]*inode{}}
}

func (n *inode) change(c nameChange) {
	c.apply(n.names)
	n.changes = append(n.changes, c)
}

func (c nameChange) apply(names map[string]*inode) {
	delete(names, c.gone)
	if c.come != "" {
		names[c.come] = c.node
	}
}

// walk returns the folder that holds path, and the last part of path.
func (n *inode) walk(path string) (*inode, string) {
	parts := strings.Split(path, "/")
	for _, p := range parts[:len(parts)-1] {
		n = n.names[p]
	}
	return n, parts[len(parts)-1]
}

func (n *inode) at(path string) *inode {
	if path == "." {
		return n
	}
	dir, name := n.walk(path)
	return dir.names[name]
}

// apply does one recorded operation.
func (n *inode) apply(o op) {
	switch o.kind {
	case "mkdir", "create":
		dir, name := n.walk(o.path)
		node := &inode{}
		if o.kind == "mkdir" {
			node = folder()
		}
		dir.change(nameChange{come: name, node: node})
	case "write":
		f := n.at(o.path)
		f.data = append(f.data, o.data...)
	case "fsync":
		f := n.at(o.path)
		f.synced = len(f.data)
	case "rename":
		from, old := n.walk(o.path)
		to, name := n.walk(o.to)
		node := from.names[old]
		if from == to {
			from.change(nameChange{gone: old, come: name, node: node})
		} else {
			from.change(nameChange{gone: old})
			to.change(nameChange{come: name, node: node})
		}
	case "remove":
		dir, name := n.walk(o.path)
		dir.change(nameChange{gone: name})
	case "syncdir":
		d := n.at(o.path)
		d.durable, d.changes = maps.Clone(d.names), nil
	}
}

// A loss says what a crash does to what was not synced.
type loss int

const (
	killed    loss = iota // only the process dies: nothing is lost
	dataLost              // data that was not synced; names stay
	allLost               // data and names that were not synced
	dataMixed             // of each file some first part of the data, or zeros in its place; names stay
	allMixed              // that, and of each folder the first few changes of names
	losses
)

// survive returns the files, and the folders (with a slash behind), that are there after the crash.
func (n *inode) survive(l loss, rng *rand.Rand) map[string][]byte {
	all := map[string][]byte{}
	n.collect("", l, rng, all)
	return all
}

func (n *inode) collect(prefix string, l loss, rng *rand.Rand, all map[string][]byte) {
	names := n.names
	switch l {
	case allLost:
		names = n.durable
	case allMixed:
		names = maps.Clone(n.durable)
		for _, c := range n.changes[:rng.IntN(len(n.changes)+1)] {
			c.apply(names)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		node := names[name]
		if node.names != nil {
			all[prefix+name+"/"] = nil
			node.collect(prefix+name+"/", l, rng, all)
			continue
		}
		data := node.data
		switch l {
		case dataLost, allLost:
			data = data[:node.synced]
		case dataMixed, allMixed:
			kept := node.synced + rng.IntN(len(data)-node.synced+1)
			data = slices.Clone(data[:kept])
			if rng.IntN(2) == 0 {
				data = append(data, make([]byte, len(node.data)-kept)...)
			}
		}
		all[prefix+name] = data
	}
}

// put makes the files in a new folder below dir.
func put(t *testing.T, dir string, files map[string][]byte) string {
	t.Helper()
	root, err := os.MkdirTemp(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			err = os.Mkdir(path, 0o777)
		} else {
			err = os.WriteFile(path, files[name], 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// crash lets the disk crash before every operation from index first on, and after the last, in every way, and has check look at what is
// left. check is given the newest generation that was acknowledged by then. It returns the number of different states and the first
// complaint.
func crash(t *testing.T, ops []op, first, repeat int, check func(root string, acked int) error) (states int, err error) {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	root := folder()
	seen := map[[32]byte]bool{}
	acked := 0
	for k := 0; k <= len(ops); k++ {
		for l := loss(0); k >= first && l < losses; l++ {
			times := 1
			if l >= dataMixed {
				times = repeat
			}
			for range times {
				files := root.survive(l, rng)
				h := sha256.New()
				fmt.Fprint(h, acked)
				for _, name := range slices.Sorted(maps.Keys(files)) {
					fmt.Fprintf(h, "%q %q\n", name, files[name])
				}
				if sum := [32]byte(h.Sum(nil)); seen[sum] {
					continue
				} else {
					seen[sum] = true
				}
				at := put(t, dir, files)
				if err := check(at, acked); err != nil {
					return len(seen), fmt.Errorf("crash before operation %d, loss %d: %w\nfiles: %v", k, l, err, slices.Sorted(maps.Keys(files)))
				}
				os.RemoveAll(at)
			}
		}
		if k < len(ops) {
			if ops[k].kind == "ack" {
				acked = ops[k].generation
			} else {
				root.apply(ops[k])
			}
		}
	}
	return len(seen), nil
}

const outputName = "runs/out" // of every simulated run, neither of which exists at first

// checkLatest is the promise: the newest acknowledged generation or a later one is found, whole, and no folder is half there.
func checkLatest(root string, acked int) error {
	dir := filepath.Join(root, filepath.FromSlash(outputName))
	if err := RemoveUnfinished(dir); err != nil {
		return err
	}
	steps, err := folders(dir)
	if err != nil {
		return err
	}
	for _, step := range steps {
		if _, err := verify(checkpointPath(dir, step)); err != nil {
			return fmt.Errorf("a checkpoint is half there: %w", err)
		}
	}
	path, err := Latest(dir, func(string) {})
	if errors.Is(err, ErrNone) && acked == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := Open(path)
	if err != nil {
		return err
	}
	defer c.Close()
	if got := generationOf(c.State); got < acked {
		return fmt.Errorf("%s is generation %d, but %d was acknowledged", path, got, acked)
	}
	return nil
}

// record runs a script of saves and prunes on a new disk and returns the operations.
func record(t *testing.T, script func(r *recorder, dir string)) []op {
	t.Helper()
	r := &recorder{root: t.TempDir(), failAt: -1}
	script(r, filepath.Join(r.root, filepath.FromSlash(outputName)))
	return r.ops
}

func mustSave(t *testing.T, r *recorder, dir string, step, generation int) {
	t.Helper()
	if _, err := save(r, dir, contents(step, generation)); err != nil {
		t.Fatal(err)
	}
	r.ack(generation)
}

func mustPrune(t *testing.T, r *recorder, dir string, keep int) {
	t.Helper()
	if err := prune(r, dir, keep); err != nil {
		t.Fatal(err)
	}
}

// Power is cut at every operation of a run that saves, prunes, saves a step again, and prunes.
func TestPowerLoss(t *testing.T) {
	ops := record(t, func(r *recorder, dir string) {
		mustSave(t, r, dir, 10, 1)
		mustSave(t, r, dir, 20, 2)
		mustPrune(t, r, dir, 1)
		mustSave(t, r, dir, 20, 3)
		mustSave(t, r, dir, 30, 4)
		mustPrune(t, r, dir, 1)
	})
	repeat := 20
	if testing.Short() {
		repeat = 1
	}
	states, err := crash(t, ops, 0, repeat, checkLatest)
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d operations, %d different states", len(ops), states)
}

// A test of the test above: leaving out any one sync must be noticed.
func TestPowerLossNoticesMissingSync(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 2 s")
	}
	ops := record(t, func(r *recorder, dir string) {
		mustSave(t, r, dir, 10, 1)
		mustSave(t, r, dir, 20, 2)
		mustPrune(t, r, dir, 1)
	})
	syncs := 0
	for i, o := range ops {
		if o.kind != "fsync" && o.kind != "syncdir" {
			continue
		}
		syncs++
		if _, err := crash(t, slices.Delete(slices.Clone(ops), i, i+1), i, 5, checkLatest); err == nil {
			t.Errorf("operation %d, %s %s, was left out and nothing noticed", i, o.kind, o.path)
		}
	}
	if want := 2 + 2*9 + 1; syncs != want { // runs and out; 5 files, manifest, 3 folders in each save; one folder in prune
		t.Errorf("%d syncs, want %d", syncs, want)
	}
}

// Power is cut at every operation of two WriteModel calls: each file is the old one or the new one, and each is listed.
func TestPowerLossModel(t *testing.T) {
	file := func(generation int) map[string][]byte {
		return map[string][]byte{"config.json": fmt.Appendf(nil, "config %d", generation), "tokenizer.json": fmt.Appendf(nil, "tokenizer %d", generation)}
	}
	ops := record(t, func(r *recorder, dir string) {
		for generation := 1; generation <= 2; generation++ {
			if err := writeModel(r, dir, contents(1, generation).Weights, file(generation)); err != nil {
				t.Fatal(err)
			}
			r.ack(generation)
		}
	})
	states, err := crash(t, ops, 0, 5, func(root string, acked int) error {
		dir := filepath.Join(root, filepath.FromSlash(outputName))
		if err := RemoveUnfinished(dir); err != nil {
			return err
		}
		entries, err := os.ReadDir(dir)
		if err != nil && acked > 0 {
			return err
		}
		listed, err := readList(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.Name() != listName && !slices.Contains(listed, e.Name()) {
				return fmt.Errorf("%s is not listed in %v", e.Name(), listed)
			}
		}
		for name := range file(0) {
			got, err := os.ReadFile(filepath.Join(dir, name))
			for generation := acked; ; generation++ {
				if generation > 2 {
					return fmt.Errorf("%s is %q (%v) after generation %d", name, got, err, acked)
				}
				if string(got) == string(file(generation)[name]) || generation == 0 && errors.Is(err, fs.ErrNotExist) {
					break
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	t.Logf("%d operations, %d different states", len(ops), states)
}

// Every single operation of a save, of a save of a step that exists, and of a prune fails once: an error, the earlier checkpoint still
// there, nothing half-written left over, and the next save works.
func TestFullDisk(t *testing.T) {
	actions := map[string]func(fileSystem, string) error{
		"save": func(r fileSystem, dir string) error {
			_, err := save(r, dir, contents(20, 2))
			return err
		},
		"save again": func(r fileSystem, dir string) error {
			_, err := save(r, dir, contents(10, 2))
			return err
		},
		"prune": func(r fileSystem, dir string) error { return prune(r, dir, 1) },
		"model": func(r fileSystem, dir string) error {
			return writeModel(r, dir, contents(10, 2).Weights, map[string][]byte{"config.json": []byte("{}")})
		},
	}
	cases := 0
	for name, act := range actions {
		for failAt := 0; ; failAt++ {
			r := &recorder{root: t.TempDir(), failAt: failAt}
			dir := filepath.Join(r.root, filepath.FromSlash(outputName))
			quiet := &recorder{root: r.root, failAt: -1}
			mustSave(t, quiet, dir, 5, 0)
			mustSave(t, quiet, dir, 10, 1)
			err := act(r, dir)
			if r.failure == "" {
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				break
			}
			cases++
			if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "out") {
				t.Errorf("%s: %s fails: got error %v", name, r.failure, err)
			}
			if err := checkLatest(r.root, 1); err != nil {
				t.Errorf("%s: %s fails: %v", name, r.failure, err)
			}
			if _, err := save(quiet, dir, contents(20, 3)); err != nil {
				t.Errorf("%s: %s fails: the next save: %v", name, r.failure, err)
			}
			if err := checkLatest(r.root, 3); err != nil {
				t.Errorf("%s: %s fails: after the next save: %v", name, r.failure, err)
			}
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if strings.HasPrefix(e.Name(), ".") {
					t.Errorf("%s: %s fails: %s is left over", name, r.failure, e.Name())
				}
			}
		}
	}
	t.Log(cases, "failures")
}
