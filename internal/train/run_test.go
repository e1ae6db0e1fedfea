package train

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/checkpoint"
	"dpotrain/internal/report"
	"dpotrain/internal/testfiles"
)

// defaults are Options with the values of their tags, as package config fills them in, which a test of this package may
// not import.
func defaults(t testing.TB) Options {
	t.Helper()
	var o Options
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		for i := range v.NumField() {
			f, tag := v.Field(i), v.Type().Field(i).Tag
			text, ok := tag.Lookup("default")
			if f.Kind() == reflect.Struct {
				fill(f)
			}
			if !ok {
				continue
			}
			var err error
			switch f.Kind() {
			case reflect.String:
				f.SetString(text)
			case reflect.Bool:
				var b bool
				b, err = strconv.ParseBool(text)
				f.SetBool(b)
			case reflect.Int, reflect.Int64:
				var n int64
				n, err = strconv.ParseInt(text, 10, 64)
				f.SetInt(n)
			case reflect.Float64:
				var x float64
				x, err = strconv.ParseFloat(text, 64)
				f.SetFloat(x)
			default:
				err = fmt.Errorf("a default for kind %v", f.Kind())
			}
			if err != nil {
				t.Fatalf("%s: default %q: %v", tag.Get("mapstructure"), text, err)
			}
		}
	}
	fill(reflect.ValueOf(&o).Elem())
	return o
}

// tiny are options of a short run on the tiny Llama of testdata, in folders of the test's own.
func tiny(t testing.TB) Options {
	t.Helper()
	o := defaults(t)
	dir := t.TempDir()
	o.Model = testfiles.Path(t, "models", "llama")
	o.Data = testfiles.Path(t, "pairs.jsonl")
	o.OutputDir = filepath.Join(dir, "run")
	o.RefCacheDir = filepath.Join(dir, "cache")
	o.PerDeviceTrainBatchSize = 4
	o.LearningRate = 1e-3
	o.SaveSteps = 0
	o.Compute.Threads = 1
	return o
}

// head copies the first n lines of a file to one of the test's own.
func head(t testing.TB, path string, n int) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	short := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(short, []byte(strings.Join(lines[:n], "")), 0o666); err != nil {
		t.Fatal(err)
	}
	return short
}

// with copies a file to one of the test's own, with more columns in each row: the first texts those of the first rows, the last one those of
// all that follow.
func with(t testing.TB, path string, columns ...string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	i := 0
	for line := range strings.Lines(string(text)) {
		rows.WriteString("{" + columns[min(i, len(columns)-1)] + ", " + line[1:])
		i++
	}
	out := filepath.Join(t.TempDir(), filepath.Base(path))
	if err := os.WriteFile(out, []byte(rows.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	return out
}

// outcome is what a run said and left.
type outcome struct {
	dir            string
	stdout, stderr string
}

// request is a run of o that talks to buffers. watch, if any, is called with every message before it is kept.
func request(o Options, out, errs *bytes.Buffer, watch func(text string)) Request {
	w := &watcher{to: errs, watch: watch}
	return Request{Options: o, Stdout: out, Stderr: w, Log: report.Logger(w),
		Marshal:     func(o Options) []byte { return fmt.Appendf(nil, "%+v\n", o) },
		Values:      func(Options) map[string]string { return nil }, // package config's task, as is what follows
		Differences: func(was, now map[string]string) []string { return nil },
	}
}

// watcher passes on what a run says on stderr.
type watcher struct {
	to    *bytes.Buffer
	watch func(text string)
}

func (w *watcher) Write(b []byte) (int, error) {
	if w.watch != nil {
		w.watch(string(b))
	}
	return w.to.Write(b)
}

// tryRun trains, and stops after a step as Ctrl-C does if stopAfter is not 0; logging_steps has to be 1 then.
func tryRun(t testing.TB, o Options, stopAfter int) (outcome, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var out, errs bytes.Buffer
	err := Run(ctx, request(o, &out, &errs, func(text string) {
		if stopAfter > 0 && strings.HasPrefix(text, fmt.Sprintf("step %d/", stopAfter)) {
			cancel()
		}
	}))
	return outcome{o.OutputDir, out.String(), errs.String()}, err
}

// mustRun trains to the end.
func mustRun(t testing.TB, o Options) outcome {
	t.Helper()
	r, err := tryRun(t, o, 0)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.stderr)
	}
	return r
}

// row is a line of metrics.jsonl.
type row map[string]float64

// rows are all lines of metrics.jsonl.
func (r outcome) rows(t testing.TB) []row {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, MetricsFile))
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(string(text)) {
		var one row
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		rows = append(rows, one)
	}
	return rows
}

// steps are the lines of optimizer steps.
func (r outcome) steps(t testing.TB) []row {
	t.Helper()
	return slices.DeleteFunc(r.rows(t), func(one row) bool { _, ok := one["loss"]; return !ok })
}

// timeless is metrics.jsonl without what depends on the clock.
func (r outcome) timeless(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, one := range r.rows(t) {
		for name := range one {
			if strings.HasSuffix(name, "_runtime") || strings.HasSuffix(name, "_per_second") {
				delete(one, name)
			}
		}
		line, err := json.Marshal(one) // sorted by name; a number reads back as the same bits
		if err != nil {
			t.Fatal(err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// sameBits compares two runs: metrics apart from times, the tuned model, and the checkpoint of the last step if there is one.
func sameBits(t *testing.T, got, want outcome) {
	t.Helper()
	if g, w := got.timeless(t), want.timeless(t); g != w {
		t.Errorf("metrics differ:\n%s\nwant\n%s", g, w)
	}
	sameFiles(t, got.dir, want.dir, "dpotrain.yaml", "metrics.jsonl", ".dpotrain.lock")
	a, b := lastCheckpoint(t, got.dir), lastCheckpoint(t, want.dir)
	if filepath.Base(a) != filepath.Base(b) {
		t.Errorf("last checkpoint %q, want %q", a, b)
	}
	if a == "" || b == "" {
		return
	}
	sameFiles(t, a, b)
	// The state has the settings, in which paths differ, and the length of a file with times in it.
	sameFiles(t, filepath.Join(a, "dpotrain"), filepath.Join(b, "dpotrain"), "state.json", "manifest.json")
	if g, w := stateOf(t, a), stateOf(t, b); g.Step != w.Step || g.NumTokens != w.NumTokens || g.LossSum != w.LossSum || g.MicroBatchTokens != w.MicroBatchTokens {
		t.Errorf("state of %s: %+v, want %+v", a, g, w)
	}
}

func stateOf(t *testing.T, path string) checkpoint.State {
	t.Helper()
	c, err := checkpoint.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.State
}

// lastCheckpoint is the one with the highest step, "" if there is none.
func lastCheckpoint(t *testing.T, dir string) string {
	t.Helper()
	steps, err := checkpoint.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) == 0 {
		return ""
	}
	return filepath.Join(dir, fmt.Sprintf("checkpoint-%d", steps[len(steps)-1]))
}

// sameFiles compares the files of two folders, but for those that are named and for folders.
func sameFiles(t *testing.T, got, want string, except ...string) {
	t.Helper()
	read := func(dir string) map[string]string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string]string{}
		for _, e := range entries {
			if e.IsDir() || slices.Contains(except, e.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(text)
		}
		return files
	}
	g, w := read(got), read(want)
	for name, text := range w {
		if other, ok := g[name]; !ok {
			t.Errorf("%s has no %s, %s has", got, name, want)
		} else if other != text {
			t.Errorf("%s differs between %s and %s", name, got, want)
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			t.Errorf("%s has %s, %s has not", got, name, want)
		}
	}
}
