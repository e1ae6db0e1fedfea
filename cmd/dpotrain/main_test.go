package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dpotrain/internal/config"
	"dpotrain/internal/testfiles"
)

// asCommand is the variable that makes the test binary the dpotrain command, for tests that kill it.
const asCommand = "RUN_AS_DPOTRAIN"

func TestMain(m *testing.M) {
	for _, e := range os.Environ() { // settings of whoever runs the tests are none of theirs
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "DPOTRAIN_") && name != testfiles.Variable {
			os.Unsetenv(name)
		}
	}
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// dpotrain runs a command in this process, which has to succeed.
func dpotrain(t testing.TB, args ...string) (stdout, stderr string) {
	t.Helper()
	return exits(t, 0, args...)
}

// exits runs a command in this process, which has to end with an exit code.
func exits(t testing.TB, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	if got := execute(context.Background(), args, &out, &log); got != code {
		t.Fatalf("dpotrain %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), log.String())
	}
	return out.String(), log.String()
}

// contains checks that a text has all of some words.
func contains(t testing.TB, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not in\n%s", w, text)
		}
	}
}

// oneLine is what a command said of its failure. It has to be one line.
func oneLine(t testing.TB, stderr string) string {
	t.Helper()
	at := strings.Index(stderr, "dpotrain: ")
	if at < 0 || strings.Count(stderr[at:], "\n") != 1 {
		t.Errorf("want one line that begins with \"dpotrain: \" at the end of\n%s", stderr)
		return stderr
	}
	return strings.TrimSpace(stderr[at:])
}

// place is a test's folder with the arguments of a short run on testdata.
type place struct {
	dir, run, cache string
	model           string
}

func newPlace(t testing.TB) place {
	t.Helper()
	dir := t.TempDir()
	return place{dir: dir, run: filepath.Join(dir, "run"), cache: filepath.Join(dir, "cache"), model: testfiles.Path(t, "models", "llama")}
}

// train is a command line of two epochs of eight steps, the last of each short; more flags go above its own.
func (p place) train(t testing.TB, more ...string) []string {
	args := []string{"train", "--model", p.model, "--data", testfiles.Path(t, "pairs.jsonl"), "--eval-data", testfiles.Path(t, "pairs_eval.jsonl"),
		"--output-dir", p.run, "--ref-cache-dir", p.cache, "--num-train-epochs", "2", "--save-steps", "5"}
	for _, d := range []string{"--learning-rate=1e-3", "--threads=1"} {
		name, _, _ := strings.Cut(d, "=")
		if !slices.ContainsFunc(more, func(s string) bool { return s == name || strings.HasPrefix(s, name+"=") }) {
			args = append(args, d)
		}
	}
	return append(args, more...)
}

// write makes a file with a text in the place's folder.
func (p place) write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// read is the content of a file.
func read(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// numbers is a JSON object of numbers.
func numbers(t testing.TB, text string) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

// metrics are the lines of a metrics.jsonl without what depends on the clock, each in one fixed form.
func metrics(t testing.TB, dir string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(read(t, dir, "metrics.jsonl")) {
		m := numbers(t, line)
		for name := range m {
			if strings.HasSuffix(name, "_runtime") || strings.HasSuffix(name, "_per_second") {
				delete(m, name)
			}
		}
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(text))
	}
	return lines
}

// sameRun checks that two output_dirs hold the same bits: metrics without times, and the tuned model.
func sameRun(t testing.TB, got, want string) {
	t.Helper()
	if g, w := metrics(t, got), metrics(t, want); !slices.Equal(g, w) {
		t.Errorf("metrics of %s:\n%s\nwant those of %s:\n%s", got, strings.Join(g, "\n"), want, strings.Join(w, "\n"))
	}
	if read(t, got, "model.safetensors") != read(t, want, "model.safetensors") {
		t.Errorf("the weights in %s and %s differ", got, want)
	}
}

// TestPasses goes the whole way: a new model, pass one, pass two, evaluation.
func TestPasses(t *testing.T) {
	p := newPlace(t)
	newModel := func(dir string, seed string) string {
		dir = filepath.Join(p.dir, dir)
		out, _ := dpotrain(t, "init", "--config", testfiles.Path(t, "models", "llama", "config.json"), "--tokenizer", testfiles.Path(t, "tokenizer"), "--output", dir, "--seed", seed)
		contains(t, out, "33,", " parameters", dir)
		return read(t, dir, "model.safetensors")
	}
	one, two, other := newModel("one", "7"), newModel("two", "7"), newModel("other", "8")
	if one != two || one == other {
		t.Errorf("seeds 7, 7 and 8: the first two equal %t, want true; the last two %t, want false", one == two, two == other)
	}

	p.model = filepath.Join(p.dir, "one")
	pairs, held := testfiles.Path(t, "pairs.jsonl"), testfiles.Path(t, "pairs_eval.jsonl")
	pass := []string{"precompute-ref", "--model", p.model, "--data", pairs, "--eval-data", held, "--ref-cache-dir", p.cache}
	speed := regexp.MustCompile(`[0-9,]+ tokens/s`)
	out, _ := dpotrain(t, pass...)
	contains(t, out, "sequences computed (", " pairs), 0 reused (0 pairs)", p.cache)
	if !speed.MatchString(out) {
		t.Errorf("no tokens/s in %s", out)
	}
	computed := regexp.MustCompile(`([0-9]+) sequences computed \(([0-9]+) pairs\)`).FindStringSubmatch(out)
	if computed == nil {
		t.Fatalf("no count of sequences in %s", out)
	}
	out, _ = dpotrain(t, pass...)
	contains(t, out, "0 sequences computed (0 pairs), "+computed[1]+" reused ("+computed[2]+" pairs)")
	if speed.MatchString(out) {
		t.Errorf("a speed though nothing was computed: %s", out)
	}

	_, log := dpotrain(t, p.train(t)...)
	contains(t, log, "0 sequences computed", computed[1]+" reused", "policy and reference are the same model")
	out, _ = dpotrain(t, "eval", "--model", p.run, "--data", held, "--ref-cache-dir", p.cache, "--json")
	got := numbers(t, out)
	if got["rewards/margins"] <= 0 || got["examples"] != 20 {
		t.Errorf("margin %v, want above 0, of %v examples, want 20", got["rewards/margins"], got["examples"])
	}
}

// TestTrainRunsPassOne: what the cache lacks is computed by train, and nothing else is.
func TestTrainRunsPassOne(t *testing.T) {
	p := newPlace(t)
	rows := strings.SplitAfter(read(t, testfiles.Path(t, "pairs.jsonl")), "\n")
	half := p.write(t, "half.jsonl", strings.Join(rows[:30], ""))
	dpotrain(t, "precompute-ref", "--model", p.model, "--data", half, "--ref-cache-dir", p.cache)
	_, log := dpotrain(t, p.train(t, "--max-steps", "1")...)
	// 30 of the 60 pairs of pairs.jsonl and the 20 held-out ones are missing; one side may be known from another pair.
	contains(t, log, "(50 pairs)", "(30 pairs)")
}

func TestPrecomputeRefuses(t *testing.T) {
	p := newPlace(t)
	_, log := exits(t, exitUsage, "precompute-ref", "--model", p.model, "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", p.cache, "--loss", "sft")
	contains(t, oneLine(t, log), "loss sft needs no reference")
}

func TestExitCodes(t *testing.T) {
	p := newPlace(t)
	bad := p.write(t, "bad.yaml", "bata: 0.1\nlearning_rate: fast\n")
	junk := p.write(t, "junk.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\"}\n")
	tests := []struct {
		name string
		code int
		args []string
		want []string // in one line on stderr
	}{
		{"no such command", exitUsage, []string{"trian"}, []string{`"trian"`, "did you mean train?", `see "dpotrain --help"`}},
		{"no such command of cache", exitUsage, []string{"cache", "inspekt"}, []string{`"inspekt"`, "did you mean inspect?", `see "dpotrain cache --help"`}},
		{"no such flag", exitUsage, []string{"train", "--bata", "1"}, []string{"--bata", "did you mean --beta?", `see "dpotrain train --help"`}},
		{"a flag of another name", exitUsage, []string{"train", "--epochs", "1"}, []string{"--epochs", "did you mean --num-train-epochs?"}},
		{"a key of TRL's", exitUsage, []string{"train", "--dataset_name", "a/b"}, []string{"--dataset_name", "TRL's", "--config", `see "dpotrain train --help"`}},
		{"a flag as TRL writes it", exitUsage, []string{"train", "--max_steps", "1"}, []string{"--max_steps", "did you mean --max-steps?"}},
		{"no such short flag", exitUsage, []string{"eval", "-m", "x"}, []string{"-m", `see "dpotrain eval --help"`}},
		{"an argument", exitUsage, []string{"version", "x"}, []string{`"x"`}},
		{"an argument of train", exitUsage, []string{"train", "config.yaml"}, []string{"config.yaml"}},
		{"required flags", exitUsage, []string{"init", "--config", "x"}, []string{"output", "tokenizer"}},
		{"a value", exitUsage, []string{"train", "--beta", "x"}, []string{"--beta: x; want a number"}},
		{"a missing setting", exitUsage, []string{"train", "--model", p.model, "--data", "x"}, []string{"output_dir: not given", "--output-dir"}},
		{"no data", exitUsage, []string{"eval", "--model", p.model, "--loss", "dpo"}, []string{"data: not given", "--data", "eval_data"}},
		{"a config file that is missing", exitUsage, []string{"train", "--config", filepath.Join(p.dir, "none.yaml")}, []string{"none.yaml", "no such file"}},
		{"a model that is missing", exitFailed, p.train(t, "--ref-model", filepath.Join(p.dir, "none")), []string{"ref_model: ", "none: no such folder"}},
		{"bad rows", exitFailed, []string{"precompute-ref", "--model", p.model, "--data", junk, "--ref-cache-dir", p.cache}, []string{"junk.jsonl:1: rejected: missing"}},
		{"data that is missing", exitFailed, []string{"eval", "--model", p.model, "--data", filepath.Join(p.dir, "none.jsonl"), "--loss", "dpo"}, []string{"none.jsonl", "does not exist"}},
		{"no cache", exitFailed, []string{"cache", "inspect", "--ref-cache-dir", filepath.Join(p.dir, "none")}, []string{"none: no such folder"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, log := exits(t, tt.code, tt.args...)
			if out != "" {
				t.Errorf("stdout: %s", out)
			}
			contains(t, oneLine(t, log), tt.want...)
		})
	}
	_, log := exits(t, exitUsage, "train", "--config", bad)
	contains(t, log, "bad.yaml:1: bata: unknown key (did you mean beta?)", "bad.yaml:2: learning_rate: fast; want a number")
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains([]string{"bad.yaml", "junk.jsonl"}, e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// TestInterrupted: a command whose context ends before it does says so.
func TestInterrupted(t *testing.T) {
	p := newPlace(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	held := testfiles.Path(t, "pairs_eval.jsonl")
	for _, args := range [][]string{
		{"eval", "--model", p.model, "--data", held, "--loss", "sft"},
		{"precompute-ref", "--model", p.model, "--data", held, "--ref-cache-dir", p.cache},
		p.train(t),
	} {
		var out, log bytes.Buffer
		if code := execute(ctx, args, &out, &log); code != exitInterrupted || out.Len() > 0 {
			t.Errorf("dpotrain %s: exit code %d, want %d; stdout: %s", args[0], code, exitInterrupted, out.String())
		}
		contains(t, oneLine(t, log.String()), "dpotrain: interrupted: ")
	}
}

// commands are all that users may type.
func commands(root *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			list = append(list, commands(c)...)
		}
	}
	return list
}

// TestHelp: every command and every flag says what it is for, in its own help.
func TestHelp(t *testing.T) {
	for _, c := range commands(newRootCommand()) {
		t.Run(c.CommandPath(), func(t *testing.T) {
			args := append(strings.Fields(c.CommandPath())[1:], "--help")
			out, log := dpotrain(t, args...)
			if log != "" {
				t.Errorf("stderr: %s", log)
			}
			contains(t, out, "Usage:\n  "+c.CommandPath())
			if c.Short == "" {
				t.Error("no short description")
			}
			if !c.HasSubCommands() && c.Name() != "version" {
				contains(t, out, "Examples:\n  dpotrain ")
			}
			for line := range strings.Lines(out) {
				if columns := len([]rune(strings.TrimRight(line, "\n"))); columns > 120 && !strings.HasPrefix(strings.TrimSpace(line), "--") {
					t.Errorf("%d columns: %s", columns, line)
				}
			}
			c.Flags().VisitAll(func(f *pflag.Flag) {
				if f.Usage == "" {
					t.Errorf("--%s: no help", f.Name)
				}
				if !f.Hidden {
					contains(t, out, "--"+f.Name)
				}
			})
		})
	}
	out, _ := dpotrain(t, "--help")
	contains(t, out, "Exit codes:", "1 failed", "2 wrong flags, arguments or settings", "3 validate found rows that cannot be used", "130\ninterrupted")
	var flags []string
	out, _ = dpotrain(t, "train", "--help")
	for _, k := range config.Keys() {
		flags = append(flags, "--"+k.Flag())
	}
	contains(t, out, flags...)
}

// TestHelpExamples: the command lines that the help shows are ones that the commands take.
func TestHelpExamples(t *testing.T) {
	n := 0
	for _, c := range commands(newRootCommand()) {
		for line := range strings.Lines(c.Example) {
			args, ok := strings.CutPrefix(strings.TrimSpace(line), "dpotrain ")
			if !ok {
				t.Errorf("%s: an example that is no command line: %s", c.CommandPath(), line)
				continue
			}
			n++
			args, _, _ = strings.Cut(args, " > ") // what the shell does with the output
			args, _, _ = strings.Cut(args, " | ")
			root := newRootCommand()
			cmd, rest, err := root.Find(strings.Fields(args))
			if err != nil || cmd.CommandPath() != c.CommandPath() {
				t.Errorf("%s: an example of another command: %s (%v)", c.CommandPath(), line, err)
				continue
			}
			if err := cmd.ParseFlags(rest); err != nil {
				t.Errorf("%s%v", line, err)
				continue
			}
			if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
				t.Errorf("%s%v", line, err)
			}
			if err := cmd.ValidateRequiredFlags(); err != nil {
				t.Errorf("%s%v", line, err)
			}
		}
	}
	if n < 6 {
		t.Errorf("only %d examples", n)
	}
}

// TestInit: what is wrong with a model to be made is said before anything is written.
func TestInit(t *testing.T) {
	p := newPlace(t)
	config, tokenizer := testfiles.Path(t, "models", "llama", "config.json"), testfiles.Path(t, "tokenizer")
	fresh := filepath.Join(p.dir, "fresh")
	small := p.write(t, "small.json", strings.Replace(read(t, config), `"vocab_size": 320`, `"vocab_size": 300`, 1))
	for _, tt := range []struct {
		code                      int
		config, tokenizer, output string
		want                      []string
	}{
		{exitFailed, filepath.Join(p.dir, "none.json"), tokenizer, fresh, []string{"none.json", "no such file"}},
		{exitFailed, p.write(t, "bad.json", "{"), tokenizer, fresh, []string{"bad.json"}},
		{exitFailed, small, tokenizer, fresh, []string{"small.json: vocab_size 300 is too small for the 320 ids of the tokenizer in " + tokenizer}},
		{exitFailed, config, p.dir, fresh, []string{p.dir, "tokenizer"}},
		{exitUsage, config, tokenizer, p.dir, []string{p.dir + " is there already", "--output"}},
	} {
		_, log := exits(t, tt.code, "init", "--config", tt.config, "--tokenizer", tt.tokenizer, "--output", tt.output)
		contains(t, oneLine(t, log), tt.want...)
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("%s was left behind: %v", fresh, err)
	}
}

func TestVersion(t *testing.T) {
	out, _ := dpotrain(t, "version")
	if !regexp.MustCompile(`^dpotrain \S+, go\S+, \w+/\w+, kernels (avx512(, amx in bf16)?|avx2|neon|generic)\n$`).MatchString(out) {
		t.Error(out)
	}
}

func TestCacheInspect(t *testing.T) {
	p := newPlace(t)
	if err := os.Mkdir(p.cache, 0o777); err != nil {
		t.Fatal(err)
	}
	out, _ := dpotrain(t, "cache", "inspect", "--ref-cache-dir", p.cache)
	contains(t, out, p.cache+": no reference log-probs")
	for _, model := range []string{p.model, testfiles.Path(t, "models", "gpt2")} {
		dpotrain(t, "precompute-ref", "--model", model, "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", p.cache)
	}
	out, _ = dpotrain(t, "cache", "inspect", "--ref-cache-dir", p.cache)
	contains(t, out, "fingerprint", "records", "log-probs", "entropies", "model", "precision", "kernels", "size", "fp32", "cpu-", "KiB", "sound", p.model, filepath.Join("models", "gpt2"))
	files, err := filepath.Glob(filepath.Join(p.cache, "*.refs"))
	if err != nil || len(files) != 2 || strings.Count(out, "sound") != 2 {
		t.Fatalf("%d files, %v, want 2 that are sound:\n%s", len(files), err, out)
	}
	for _, f := range files {
		contains(t, out, strings.TrimSuffix(filepath.Base(f), ".refs"))
	}

	text := []byte(read(t, files[0]))
	text[len(text)/2] ^= 1
	if err := os.WriteFile(files[0], text, 0o666); err != nil {
		t.Fatal(err)
	}
	out, log := exits(t, exitFailed, "cache", "inspect", "--ref-cache-dir", p.cache)
	contains(t, out, "damaged", "sound", "at byte")
	contains(t, oneLine(t, log), "1 of 2 cache files")
}

func TestCacheVerify(t *testing.T) {
	p := newPlace(t)
	if err := os.Mkdir(p.cache, 0o777); err != nil {
		t.Fatal(err)
	}
	verify := []string{"cache", "verify", "--ref-cache-dir", p.cache}
	out, _ := dpotrain(t, verify...)
	contains(t, out, p.cache+": no reference log-probs")
	for _, model := range []string{p.model, testfiles.Path(t, "models", "gpt2")} {
		dpotrain(t, "precompute-ref", "--model", model, "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", p.cache)
	}
	files, err := filepath.Glob(filepath.Join(p.cache, "*.refs"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	out, _ = dpotrain(t, verify...)
	contains(t, out, files[0]+": 120 records are sound", files[1]+": 120 records are sound")
	if strings.Count(out, "\n") != 2 {
		t.Errorf("want a line a file:\n%s", out)
	}

	torn, damaged := read(t, files[0]), []byte(read(t, files[1]))
	damaged[len(damaged)/2] ^= 1
	for path, text := range map[string]string{files[0]: torn[:len(torn)-7], files[1]: string(damaged)} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	out, log := exits(t, exitFailed, verify...)
	contains(t, out, files[0]+": 119 records are sound", files[0]+": torn tail of ", "harmless", files[1]+": the record at byte ")
	contains(t, oneLine(t, log), "1 of 2 cache files are damaged", "precompute-ref")
	if err := os.Remove(files[1]); err != nil {
		t.Fatal(err)
	}
	out, _ = dpotrain(t, verify...) // a torn tail alone is no failure
	contains(t, out, "harmless")
	dpotrain(t, "precompute-ref", "--model", p.model, "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", p.cache)
	dpotrain(t, "precompute-ref", "--model", testfiles.Path(t, "models", "gpt2"), "--data", testfiles.Path(t, "pairs.jsonl"), "--ref-cache-dir", p.cache)
	if out, _ = dpotrain(t, verify...); strings.Contains(out, "torn") || strings.Count(out, "120 records are sound") != 2 {
		t.Errorf("after another pass one:\n%s", out)
	}
}
