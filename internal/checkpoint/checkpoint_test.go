package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dpotrain/internal/safetensors"
)

func tensor(name string, d safetensors.Dtype, values ...float32) safetensors.Tensor {
	t, err := safetensors.Encode(name, []int{len(values)}, values, d)
	if err != nil {
		panic(err)
	}
	return t
}

// contents makes a checkpoint of a step whose values tell its generation, that is, which save wrote it.
func contents(step, generation int) Contents {
	g := float32(generation)
	return Contents{
		Weights: []safetensors.Tensor{tensor("w", "F32", g, 1, 2)},
		Moments: []safetensors.Tensor{tensor("exp_avg.w", "F32", 0, g, 0), tensor("exp_avg_sq.w", "F32", 0, 0, g)},
		Files:   map[string][]byte{"config.json": []byte(`{"model_type":"llama"}`), "tokenizer.json": []byte("{}")},
		State: State{Step: step, NumTokens: int64(generation), LossSum: 0.1, MetricsBytes: 77, MicroBatchTokens: 512,
			Settings: json.RawMessage(`{"beta":0.1}`)},
	}
}

func generationOf(s State) int { return int(s.NumTokens) }

func mustSaveAll(t testing.TB, dir string, steps ...int) {
	t.Helper()
	for i, step := range steps {
		if _, err := Save(dir, contents(step, i+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func noWarning(t testing.TB) func(string) {
	return func(w string) { t.Helper(); t.Error("warning:", w) }
}

func values(t *testing.T, f *safetensors.File, name string) []float32 {
	t.Helper()
	x, ok := f.Tensor(name)
	if !ok {
		t.Fatalf("no tensor %s among %v", name, f.Names())
	}
	v := make([]float32, x.Len())
	if err := x.Float32(v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRoundTrip(t *testing.T) {
	for _, bf16 := range []bool{false, true} {
		t.Run(fmt.Sprint("bf16=", bf16), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "new", "run")
			in := contents(30, 5)
			if bf16 {
				in.Weights = []safetensors.Tensor{tensor("w", "BF16", 5, 1, 2)}
				in.Master = []safetensors.Tensor{tensor("w", "F32", 5.001, 1, 2)}
				in.Reference = []safetensors.Tensor{tensor("w", "F32", 4, 3, 2)}
			}
			saved, err := Save(dir, in)
			if err != nil {
				t.Fatal(err)
			}
			path, err := Latest(dir, noWarning(t))
			if err != nil || path != saved || path != filepath.Join(dir, "checkpoint-30") {
				t.Fatalf("Latest: %s, %v, want %s", path, err, saved)
			}
			c, err := Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			var settings struct{ Beta float64 }
			if err := json.Unmarshal(c.State.Settings, &settings); err != nil || settings.Beta != 0.1 {
				t.Errorf("settings %s: %v", c.State.Settings, err)
			}
			got, want := c.State, in.State
			want.Version = 1
			got.Settings, want.Settings = nil, nil
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("state: got %+v, want %+v", got, want)
			}
			moments, err := c.Moments()
			if err != nil {
				t.Fatal(err)
			}
			if got := values(t, moments, "exp_avg_sq.w"); !slices.Equal(got, []float32{0, 0, 5}) {
				t.Errorf("exp_avg_sq.w = %v", got)
			}
			master, err := c.Master()
			if err != nil || (master != nil) != bf16 {
				t.Fatalf("master: %v, %v", master, err)
			}
			reference, err := c.Reference()
			if err != nil || (reference != nil) != bf16 {
				t.Fatalf("reference: %v, %v", reference, err)
			}
			if bf16 {
				if got := values(t, reference, "w"); !slices.Equal(got, []float32{4, 3, 2}) {
					t.Errorf("reference w = %v", got)
				}
				if got := values(t, master, "w"); !slices.Equal(got, []float32{5.001, 1, 2}) {
					t.Errorf("master w = %v", got)
				}
			}
			model, err := safetensors.OpenDir(c.Path())
			if err != nil {
				t.Fatal(err)
			}
			defer model.Close()
			if got := values(t, model, "w"); !slices.Equal(got, []float32{5, 1, 2}) {
				t.Errorf("w = %v", got)
			}
			if got := model.Metadata()["format"]; got != "pt" {
				t.Errorf("format of the model file: %q, want pt", got)
			}
			if b, err := os.ReadFile(filepath.Join(path, "config.json")); err != nil || string(b) != `{"model_type":"llama"}` {
				t.Errorf("config.json: %s, %v", b, err)
			}
		})
	}
}

// The bytes of format version 1.
func TestFormat(t *testing.T) {
	dir := t.TempDir()
	mustSaveAll(t, dir, 7)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, "checkpoint-7", filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got, want := read(stateName), `{
  "version": 1,
  "step": 7,
  "num_tokens": 1,
  "loss_sum": 0.1,
  "metrics_bytes": 77,
  "micro_batch_tokens": 512,
  "settings": {
    "beta": 0.1
  }
}
`; got != want {
		t.Errorf("state.json: got %s, want %s", got, want)
	}
	// echo -n '{"model_type":"llama"}' | sha256sum; echo -n '{}' | sha256sum
	manifest := read(manifestName)
	for _, want := range []string{`{
  "version": 1,
  "step": 7,
  "files": [
    {
      "name": "config.json",
      "size": 22,
      "sha256": "fd11fd11fceeb9df51a63f347cec3af4051d086fccb030e78777a83a4d3289e8"
    },
    {
      "name": "dpotrain/optimizer.safetensors",
`, `
      "name": "tokenizer.json",
      "size": 2,
      "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    }
  ]
}
`} {
		if !strings.Contains(manifest, want) {
			t.Errorf("manifest.json: got %s, want in it %s", manifest, want)
		}
	}
}

func TestSaveReplaces(t *testing.T) {
	dir := t.TempDir()
	mustSaveAll(t, dir, 10, 20, 20)
	path, err := Latest(dir, noWarning(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := generationOf(c.State); got != 3 {
		t.Errorf("got generation %d, want 3", got)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("left over: %v", entries)
	}
}

func TestSaveRefuses(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "checkpoint-5")
	if err := os.Mkdir(foreign, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Save(dir, contents(5, 1)); err == nil || !strings.Contains(err.Error(), "did not write") {
		t.Errorf("a folder of somebody else: %v", err)
	}
	if _, err := os.Stat(foreign); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"../x", "a/b", `a\b`, "", ".", "..", "/etc/x", "model.safetensors", "dpotrain"} {
		c := contents(6, 1)
		c.Files[name] = nil
		if _, err := Save(dir, c); err == nil {
			t.Errorf("file name %q: no error", name)
		}
		if err := WriteModel(dir, c.Weights, c.Files); err == nil {
			t.Errorf("WriteModel, file name %q: no error", name)
		}
	}
	c := contents(6, 1)
	c.State.Settings = json.RawMessage("{")
	if _, err := Save(dir, c); err == nil {
		t.Error("settings that are no JSON: no error")
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
}

func TestLatest(t *testing.T) {
	dir := t.TempDir()
	if _, err := Latest(filepath.Join(dir, "absent"), noWarning(t)); !errors.Is(err, ErrNone) {
		t.Errorf("no folder: %v, want ErrNone", err)
	}
	mustSaveAll(t, dir, 9, 10, 100)
	for _, name := range []string{"checkpoint-0999", "checkpoint-x", "checkpoint-99999999999999999999", "xcheckpoint-1"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if path, err := Latest(dir, noWarning(t)); err != nil || filepath.Base(path) != "checkpoint-100" {
		t.Errorf("got %s, %v, want checkpoint-100: steps are numbers, not words", path, err)
	}
	if err := os.Truncate(filepath.Join(dir, "checkpoint-100", "config.json"), 3); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint-10", filepath.FromSlash(manifestName))); err != nil {
		t.Fatal(err)
	}
	var warnings []string
	path, err := Latest(dir, func(w string) { warnings = append(warnings, w) })
	if err != nil || filepath.Base(path) != "checkpoint-9" {
		t.Errorf("got %s, %v, want checkpoint-9", path, err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0], filepath.Join("checkpoint-100", "config.json")) || !strings.Contains(warnings[1], "no dpotrain/manifest.json") {
		t.Errorf("warnings: %q", warnings)
	}
	if steps, err := List(dir); err != nil || !slices.Equal(steps, []int{9, 100}) {
		t.Errorf("List: %v, %v", steps, err)
	}
}

func TestNewerVersion(t *testing.T) {
	for _, name := range []string{manifestName, stateName} {
		dir := t.TempDir()
		mustSaveAll(t, dir, 1, 2)
		reseal(t, filepath.Join(dir, "checkpoint-2"), name, func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"version": 1`), []byte(`"version": 2`), 1)
		})
		path := filepath.Join(dir, "checkpoint-2")
		_, err := Open(path)
		if err == nil || !strings.Contains(err.Error(), "format version 2, but this dpotrain reads version 1") {
			t.Errorf("%s: got %v", name, err)
		}
		if path, err := Latest(dir, noWarning(t)); err == nil {
			t.Errorf("%s: Latest fell back to %s without asking", name, path)
		}
	}
}

// reseal changes a file of a checkpoint and makes the manifest agree with it.
func reseal(t *testing.T, path, name string, edit func([]byte) []byte) {
	t.Helper()
	place := filepath.Join(path, filepath.FromSlash(name))
	b, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	b = edit(b)
	if err := os.WriteFile(place, b, 0o666); err != nil {
		t.Fatal(err)
	}
	if name == manifestName {
		return
	}
	editManifest(t, path, func(m *manifest) {
		for i, f := range m.Files {
			if f.Name == name {
				m.Files[i].Size, m.Files[i].SHA256 = int64(len(b)), fmt.Sprintf("%x", sha256.Sum256(b))
			}
		}
	})
}

func editManifest(t *testing.T, path string, edit func(*manifest)) {
	t.Helper()
	place := filepath.Join(path, filepath.FromSlash(manifestName))
	b, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	var m manifest
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	edit(&m)
	if b, err = marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(place, b, 0o666); err != nil {
		t.Fatal(err)
	}
}

// A manifest may have been made to harm: it cannot lead out of its folder, nor leave out what must be there.
func TestHostileManifest(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(*manifest)
		want string
	}{
		{"parent", func(m *manifest) { m.Files[0].Name = "../secret" }, "../secret"},
		{"absolute", func(m *manifest) { m.Files[0].Name = "/etc/passwd" }, "passwd"},
		{"link", func(m *manifest) { m.Files[0].Name = "link" }, "link"},
		{"folder", func(m *manifest) { m.Files[0].Name = "dpotrain" }, "it is no file"},
		{"negative size", func(m *manifest) { m.Files[0].Size = -1 }, "want -1"},
		{"no model", func(m *manifest) {
			m.Files = slices.DeleteFunc(m.Files, func(f manifestEntry) bool { return f.Name == modelName })
		}, "model.safetensors is not in it"},
		{"no files", func(m *manifest) { m.Files = nil }, "is not in it"},
		{"step", func(m *manifest) { m.Step = 3 }, "step 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			mustSaveAll(t, dir, 1)
			path := filepath.Join(dir, "checkpoint-1")
			if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("{}"), 0o666); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(path, "link")); err != nil {
				t.Skip("no symbolic links here:", err)
			}
			editManifest(t, path, tt.edit)
			if _, err := Open(path); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	for _, name := range []string{masterName, referenceName} {
		c := contents(1, 1)
		c.Master, c.Reference = []safetensors.Tensor{tensor("w", "F32", 1)}, []safetensors.Tensor{tensor("w", "F32", 2)}
		path, err := Save(t.TempDir(), c)
		if err != nil {
			t.Fatal(err)
		}
		editManifest(t, path, func(m *manifest) {
			m.Files = slices.DeleteFunc(m.Files, func(f manifestEntry) bool { return f.Name == name })
		})
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("unlisted %s: %v", name, err)
		}
	}
}

// A thousand random damages to a checkpoint: each is noticed, and the one before is found instead.
func TestCorruption(t *testing.T) {
	dir := t.TempDir()
	c := contents(1, 1)
	c.Master, c.Reference = []safetensors.Tensor{tensor("w", "F32", 1)}, []safetensors.Tensor{tensor("w", "F32", 2)}
	c.Files["notes.bin"] = bytes.Repeat([]byte("text "), 500)
	for step := range 2 {
		c.State.Step = step
		if _, err := Save(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	newest := filepath.Join(dir, "checkpoint-1")
	files := []string{modelName, "config.json", "notes.bin", "tokenizer.json", stateName, optimizerName, masterName, referenceName, manifestName}
	rng := rand.New(rand.NewPCG(3, 4))
	cases := 0
	for cases < 1000 {
		path := filepath.Join(newest, filepath.FromSlash(files[rng.IntN(len(files))]))
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b := slices.Clone(whole)
		at := rng.IntN(len(b))
		how := rng.IntN(6)
		switch how {
		case 0: // cut short
			b = b[:at]
		case 1: // one bit
			b[at] ^= 1 << rng.IntN(8)
		case 2: // longer
			b = append(b, 0)
		case 3: // a sector of zeros
			clear(b[at:min(len(b), at+512)])
		case 4: // two bytes change places
			other := rng.IntN(len(b))
			b[at], b[other] = b[other], b[at]
		case 5: // gone
			b = nil
		}
		if bytes.Equal(b, whole) && how != 5 {
			continue
		}
		cases++
		if how == 5 {
			err = os.Remove(path)
		} else {
			err = os.WriteFile(path, b, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		warned := 0
		if _, err := Open(newest); err == nil {
			t.Errorf("%s, damage %d at byte %d: not noticed by Open", path, how, at)
		} else if !strings.Contains(err.Error(), newest) {
			t.Errorf("%s, damage %d at byte %d: the error does not name the place: %v", path, how, at, err)
		}
		got, err := Latest(dir, func(string) { warned++ })
		// A version raised by the damage is refused rather than passed over.
		if !errors.Is(err, errNewer) && (err != nil || filepath.Base(got) != "checkpoint-0" || warned != 1) {
			t.Errorf("%s, damage %d at byte %d: Latest: %s, %v, %d warnings", path, how, at, got, err, warned)
		}
		if err := os.WriteFile(path, whole, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPrune(t *testing.T) {
	for _, tt := range []struct {
		keep  int
		never []int
		want  []int
	}{
		{0, nil, []int{1, 2, 3, 10, 20}},
		{-1, nil, []int{1, 2, 3, 10, 20}},
		{9, nil, []int{1, 2, 3, 10, 20}},
		{5, nil, []int{1, 2, 3, 10, 20}},
		{2, nil, []int{10, 20}},
		{1, nil, []int{20}},
		{2, []int{1}, []int{1, 20}},
		{1, []int{2, 3}, []int{2, 3, 20}},
	} {
		dir := t.TempDir()
		mustSaveAll(t, dir, 1, 2, 3, 10, 20)
		foreign := filepath.Join(dir, "checkpoint-0")
		if err := os.Mkdir(foreign, 0o777); err != nil {
			t.Fatal(err)
		}
		var never []string
		for _, step := range tt.never {
			never = append(never, filepath.Join(dir, ".", fmt.Sprintf("checkpoint-%d", step))+string(filepath.Separator))
		}
		if err := Prune(dir, tt.keep, never...); err != nil {
			t.Fatal(err)
		}
		if got, err := List(dir); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("keep %d, never %v: got %v, %v, want %v", tt.keep, tt.never, got, err, tt.want)
		}
		if _, err := os.Stat(foreign); err != nil {
			t.Errorf("keep %d: somebody else's folder is gone", tt.keep)
		}
	}
}

func TestClear(t *testing.T) {
	dir := t.TempDir()
	write := func(name string) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	has := func(want bool) {
		t.Helper()
		if got, err := HasRun(dir); err != nil || got != want {
			t.Errorf("HasRun: %v, %v, want %v", got, err, want)
		}
	}
	foreign := []string{"checkpoint-8/model.safetensors", "checkpoints/a", "vocab.txt", "mine/config.json", ".checkpoint-1.tmp-x/a", "pairs.jsonl"}
	for _, name := range foreign {
		write(name)
	}
	has(false)
	release, err := LockRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	has(false)
	write("metrics.jsonl")
	has(true)
	write("dpotrain.yaml")
	mustSaveAll(t, dir, 1, 2)
	c := contents(2, 1)
	if err := WriteModel(dir, c.Weights, c.Files); err != nil {
		t.Fatal(err)
	}
	if err := WriteModel(dir, c.Weights, map[string][]byte{"merges.txt": nil}); err != nil {
		t.Fatal(err)
	}
	write(".checkpoint-3.tmp-99/dpotrain/state.json")
	write(".dpotrain-model.tmp-99/config.json")
	if list, err := readList(dir); err != nil || !slices.Equal(list, []string{"config.json", "merges.txt", "model.safetensors", "tokenizer.json"}) {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := Clear(dir); err != nil {
		t.Fatal(err)
	}
	has(false)
	var left []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && rel != ".dpotrain.lock" {
			left = append(left, filepath.ToSlash(rel))
		}
		return err
	})
	slices.Sort(foreign)
	slices.Sort(left)
	if !slices.Equal(left, foreign) {
		t.Errorf("left: %v, want %v", left, foreign)
	}
	if err := Clear(filepath.Join(dir, "absent")); err != nil {
		t.Error(err)
	}
}

func TestClearHostileList(t *testing.T) {
	for _, text := range []string{`{"version":1,"files":["../precious"]}`, `{"version":1,"files":["sub/precious"]}`, `{"version":2,"files":[]}`, `[`} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o777); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"../precious", "sub/precious"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, listName), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := Clear(dir); err == nil || !strings.Contains(err.Error(), listName) {
			t.Errorf("%s: got %v, want an error", text, err)
		}
		for _, name := range []string{"../precious", "sub/precious"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
}

func TestWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dpotrain.yaml")
	for _, want := range []string{"one", "two"} {
		if err := WriteFile(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	if err := WriteFile(filepath.Join(path, "below", "x"), nil); err == nil {
		t.Error("below a file: no error")
	}
}

func TestLockRun(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "b")
	release, err := LockRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockRun(dir); err == nil || !strings.Contains(err.Error(), "another dpotrain is writing here") || !strings.Contains(err.Error(), dir) {
		t.Errorf("second run: %v", err)
	}
	// Nothing was written, so nothing stays.
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(parent); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}

	// A folder that was there stays, and so does one that was made and that a run is in.
	if err := os.Mkdir(filepath.Join(parent, "a"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(parent, "a"), dir} {
		release, err := LockRun(dir)
		if err != nil {
			t.Fatal(err)
		}
		if dir != filepath.Join(parent, "a") {
			if err := WriteFile(filepath.Join(dir, "dpotrain.yaml"), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := release(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
	}
	release, err = LockRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "dpotrain.yaml")); err != nil || string(text) != "x" {
		t.Errorf("dpotrain.yaml: %q, %v", text, err)
	}
}

// TestLockRunTogether has many runs take and leave one folder, which each may take away: never are there two in it.
func TestLockRunTogether(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	var inside, entered atomic.Int32
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				release, err := LockRun(dir)
				if err != nil {
					if !strings.Contains(err.Error(), "another dpotrain") {
						t.Error(err)
					}
					continue
				}
				entered.Add(1)
				if n := inside.Add(1); n != 1 {
					t.Errorf("%d runs in the folder", n)
				}
				runtime.Gosched()
				inside.Add(-1)
				if err := release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if entered.Load() == 0 {
		t.Error("no run got in")
	}
}

func TestLockRunRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(dir, "dangling")
	if err := os.Symlink(filepath.Join(dir, "absent"), dangling); err != nil {
		t.Skip("no symbolic links here:", err)
	}
	for _, path := range []string{file, filepath.Join(file, "run"), dangling} {
		if _, err := LockRun(path); err == nil || !strings.Contains(err.Error(), "output_dir "+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestForeign(t *testing.T) {
	dir := t.TempDir()
	if err := WriteModel(dir, contents(1, 1).Weights, map[string][]byte{"config.json": nil}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	got, err := Foreign(dir, []string{"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"})
	if err != nil || !slices.Equal(got, []string{"tokenizer.json"}) {
		t.Errorf("%q, %v, want tokenizer.json alone", got, err)
	}
	if got, err := Foreign(filepath.Join(dir, "absent"), []string{"config.json"}); err != nil || len(got) > 0 {
		t.Errorf("without a folder: %q, %v", got, err)
	}
}

// FuzzManifest puts any bytes in the place of a manifest: never a panic, and never another step.
func FuzzManifest(f *testing.F) {
	dir := f.TempDir()
	path, err := Save(dir, contents(1, 1))
	if err != nil {
		f.Fatal(err)
	}
	place := filepath.Join(path, filepath.FromSlash(manifestName))
	whole, err := os.ReadFile(place)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(bytes.Replace(whole, []byte("config.json"), []byte("../../x"), 1))
	f.Add([]byte(`{"version":1,"step":1,"files":null}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		at := t.TempDir()
		if err := os.CopyFS(at, os.DirFS(path)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, filepath.FromSlash(manifestName)), b, 0o666); err != nil {
			t.Fatal(err)
		}
		if c, err := Open(at); err == nil && c.State.Step != 1 {
			t.Errorf("opened as step %d", c.State.Step)
		}
	})
}

// TestLatestNeedsMetrics has a run that went on from an earlier checkpoint, which cut metrics.jsonl back.
func TestLatestNeedsMetrics(t *testing.T) {
	dir := t.TempDir()
	for step, bytes := range map[int]int64{10: 50, 20: 100, 30: 150} {
		c := contents(step, 1)
		c.State.MetricsBytes = bytes
		if _, err := Save(dir, c); err != nil {
			t.Fatal(err)
		}
	}
	metrics := filepath.Join(dir, "metrics.jsonl")
	for _, tt := range []struct {
		size     int
		want     string
		warnings int
	}{{150, "checkpoint-30", 0}, {149, "checkpoint-20", 1}, {50, "checkpoint-10", 2}} {
		if err := os.WriteFile(metrics, make([]byte, tt.size), 0o666); err != nil {
			t.Fatal(err)
		}
		var warnings []string
		path, err := Latest(dir, func(w string) { warnings = append(warnings, w) })
		if err != nil || filepath.Base(path) != tt.want || len(warnings) != tt.warnings {
			t.Errorf("with %d bytes of metrics: %s, %v, want %s; warnings %q, want %d", tt.size, path, err, tt.want, warnings, tt.warnings)
		}
	}
	if err := os.WriteFile(metrics, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if path, err := Latest(dir, func(string) {}); !errors.Is(err, ErrNone) {
		t.Errorf("with no metrics: %s, %v, want %v", path, err, ErrNone)
	}
}

// saved is a checkpoint whose state.json has other bytes, and a manifest that agrees with them.
func saved(t testing.TB, state []byte) string {
	t.Helper()
	path, err := Save(t.TempDir(), contents(1, 1))
	if err == nil {
		err = os.WriteFile(filepath.Join(path, filepath.FromSlash(stateName)), state, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	place := filepath.Join(path, filepath.FromSlash(manifestName))
	text, err := os.ReadFile(place)
	var m manifest
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	for i := range m.Files {
		if e := &m.Files[i]; e.Name == stateName {
			sum := sha256.Sum256(state)
			e.Size, e.SHA256 = int64(len(state)), hex.EncodeToString(sum[:])
		}
	}
	if err == nil {
		text, err = marshal(m)
	}
	if err == nil {
		err = os.WriteFile(place, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// FuzzState: whatever a state.json says that its manifest knows, opening gives an error or a state that a run can have.
func FuzzState(f *testing.F) {
	for _, s := range []string{
		`{"version":1,"step":1,"num_tokens":9,"loss_sum":0.5,"metrics_bytes":7,"micro_batch_tokens":64,"settings":{"a":1}}`, `{"version":1,"step":1,"skipped":2}`,
		`{"version":1,"step":1,"metrics_bytes":-1}`, `{"version":1,"step":-1}`, `{"version":9,"step":1}`, `{"step":1}`, `null`, `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := saved(t, b)
		c, err := Open(path)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("%q: %v does not name the file", b, err)
			}
			return
		}
		defer c.Close()
		if s := c.State; s.Step != 1 || s.Version != version || s.NumTokens < 0 || s.Skipped < 0 || s.Skipped > s.Step || s.MetricsBytes < 0 {
			t.Errorf("%q is read as %+v", b, s)
		}
	})
}

// FuzzList: whatever a list of files says, Clear removes nothing outside of the folder, and nothing below it.
func FuzzList(f *testing.F) {
	for _, s := range []string{`{"version":1,"files":["a"]}`, `{"version":1,"files":["../precious","sub/precious","..","."]}`, `{"version":1,"files":["sub"]}`, `{"version":2}`, `[`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := filepath.Join(t.TempDir(), "run")
		if err := os.MkdirAll(filepath.Join(dir, "sub"), 0o777); err != nil {
			t.Fatal(err)
		}
		precious := []string{"../precious", "sub/precious"}
		for _, name := range append(precious, "a") {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, listName), text, 0o666); err != nil {
			t.Fatal(err)
		}
		err := Clear(dir)
		if err != nil && !strings.Contains(err.Error(), listName) {
			t.Errorf("%q: %v does not name the list", text, err)
		}
		for _, name := range precious {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// TestWriteStream: the file is there once content has written all of it; an error of content is returned as it is, and leaves what was there.
func TestWriteStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	if err := WriteStream(path, func(w io.Writer) error { _, err := io.WriteString(w, "whole\n"); return err }); err != nil {
		t.Fatal(err)
	}
	own := errors.New("own")
	if err := WriteStream(path, func(w io.Writer) error { io.WriteString(w, "half"); return own }); err != own {
		t.Errorf("%v, want %v", err, own)
	}
	text, err := os.ReadFile(path)
	entries, _ := os.ReadDir(filepath.Dir(path))
	if err != nil || string(text) != "whole\n" || len(entries) != 1 {
		t.Errorf("%q, %v, %d files", text, err, len(entries))
	}
}
