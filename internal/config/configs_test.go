package config

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"dpotrain/internal/loss"
)

const configs = "../../configs"

// configFiles are the YAML files under configs, at any depth.
func configFiles(t *testing.T) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(configs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestConfigs loads every file under configs with the flags of the command that it opens with.
func TestConfigs(t *testing.T) {
	losses := map[string]bool{}
	for _, path := range configFiles(t) {
		name := filepath.ToSlash(strings.TrimPrefix(path, filepath.FromSlash(configs+"/")))
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			args := command(string(text))
			if !slices.Equal(args[:min(2, len(args))], []string{"dpotrain", "train"}) {
				t.Fatalf("opens with %q, want the command that uses it", args)
			}
			flags := pflag.NewFlagSet("train", pflag.ContinueOnError)
			file := flags.String("config", "", "")
			AddFlags(flags)
			if err := flags.Parse(args[2:]); err != nil {
				t.Fatal(err)
			}
			if want := "configs/" + name; *file != want || flags.NArg() != 0 {
				t.Errorf("the command reads %q with arguments %q, want %s and none", *file, flags.Args(), want)
			}
			r, err := Load(LoadOptions{File: path, Flags: flags})
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range r.Warnings {
				t.Error(w)
			}
			if err := r.Require("model", "data", "eval_data", "output_dir"); err != nil {
				t.Error(err)
			}
			if r.Origin("loss") != File {
				t.Error("want a loss in the file")
			}
			losses[r.Options.Loss] = true
			commented(t, string(text))
		})
	}
	for _, name := range loss.Names() {
		if !losses[name] {
			t.Errorf("no file under configs has loss %s", name)
		}
	}
}

// command is the words of the first command in a file's opening comment, over lines that end with a backslash.
func command(text string) []string {
	var words []string
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(line, "#")
		part := strings.Fields(strings.Replace(line, "go run ./cmd/dpotrain", "dpotrain", 1))
		if !ok || len(words) == 0 && (len(part) == 0 || part[0] != "dpotrain") {
			if !ok {
				return words
			}
			continue
		}
		if last := len(part) - 1; part[last] == `\` {
			words = append(words, part[:last]...)
			continue
		}
		return append(words, part...)
	}
	return words
}

// commented checks that every key has a comment right above, or stands below one that has.
func commented(t *testing.T, text string) {
	t.Helper()
	above := ""
	for i, line := range strings.Split(text, "\n") {
		if regexp.MustCompile(`^\w+:`).MatchString(line) && above == "" {
			t.Errorf("line %d: %s: want a comment above that says meaning, unit and what a higher value costs", i+1, line)
		}
		above = line
	}
}
