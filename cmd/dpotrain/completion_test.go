package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"dpotrain/internal/loss"
)

// complete is what a shell is offered for the last of some words, and what it is told to do with it.
func complete(t *testing.T, words ...string) (offers []string, directive string) {
	t.Helper()
	out, _ := dpotrain(t, append([]string{cobra.ShellCompRequestCmd}, words...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

// Directives as cobra writes them: sums of its constants.
const (
	noFiles    = ":4"
	extensions = ":8"
	folders    = ":16"
	values     = ":36" // no files, order kept
)

func TestCompletion(t *testing.T) {
	for _, tt := range []struct {
		words     string // the last is what was typed of the value
		want      string // a comma between offers, without their descriptions
		directive string
	}{
		{"train --loss ", strings.Join(loss.Names(), ","), values},
		{"train --loss ip", "ipo,ipo_sum", values},
		{"train --loss=h", "hinge", values},
		{"train --loss-type cd", "cdpo", values},
		{"eval --loss sf", "sft", values},
		{"train --cpu avx", "avx512,avx2", values},
		{"train --lr-scheduler-type cosine", "cosine,cosine_with_min_lr", values},
		{"train --on-nonfinite ", "stop,skip", values},
		{"train --shuffle=", "true,false", values},
		{"train --greater-is-better=f", "false", values},
		{"train --metric-for-best-model eval_rewards/m", "eval_rewards/margins", values},
		{"train --beta ", "", values},
		{"train --model ", "", folders},
		{"train --model-name-or-path ", "", folders},
		{"train --resume=", "", folders},
		{"train --data ", "jsonl,ndjson,json,csv,tsv,parquet,gz,zst", extensions},
		{"data stats --data ", "jsonl,ndjson,json,csv,tsv,parquet,gz,zst", extensions},
		{"train --config ", "yaml,yml", extensions},
		{"eval --ref ", "", folders},
		{"init --config ", "json", extensions},
		{"init --output ", "", folders},
		{"cache verify --ref-cache-dir ", "", folders},
		{"completion ", "bash,zsh,fish,powershell", noFiles},
		{"cache ", "inspect,verify", noFiles},
	} {
		offers, directive := complete(t, strings.Split(tt.words, " ")...)
		for i, o := range offers {
			offers[i], _, _ = strings.Cut(o, "\t")
		}
		if got := strings.Join(offers, ","); got != tt.want || directive != tt.directive {
			t.Errorf("%q: %s %s, want %s %s", tt.words, got, directive, tt.want, tt.directive)
		}
	}
	offers, _ := complete(t, "train", "--loss", "hinge")
	if want := "hinge\thinge of the margin: a pair with margin 1/beta is done"; len(offers) != 1 || offers[0] != want {
		t.Errorf("%q, want %q", offers, want)
	}
}

// TestCompletionScripts: a script for each shell, which knows the command; bash itself reads its own where there is one.
func TestCompletionScripts(t *testing.T) {
	p := newPlace(t)
	for shell := range shells {
		out, _ := dpotrain(t, "completion", shell)
		if !strings.Contains(out, "dpotrain") || !strings.Contains(out, cobra.ShellCompRequestCmd) {
			t.Errorf("%s: no completion script:\n%s", shell, out)
		}
	}
	_, log := exits(t, exitUsage, "completion")
	contains(t, oneLine(t, log), "want one of bash, zsh, fish and powershell")
	exits(t, exitUsage, "completion", "tcsh")

	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	out, _ := dpotrain(t, "completion", "bash")
	script := p.write(t, "dpotrain.bash", out)
	program := filepath.Join(p.dir, "dpotrain")
	// The script asks the program itself, here a stand-in that answers as ours does.
	p.write(t, "dpotrain", "#!"+bash+"\nprintf 'ipo\\tone\\nipo_sum\\ttwo\\n:36\\n'\n")
	text, err := exec.Command(bash, "-c", `chmod +x "$1"; PATH="$(dirname "$1"):$PATH"; source "$2"
		_init_completion() { words=(dpotrain train --loss ip); cword=3 cur=ip prev=--loss; } # of the package bash-completion
		COMP_TYPE=63; __start_dpotrain; printf '%s\n' "${COMPREPLY[@]}"; complete -p dpotrain`, "bash", program, script).CombinedOutput()
	if err != nil || !strings.Contains(string(text), "__start_dpotrain") || !strings.Contains(string(text), "ipo_sum") {
		t.Errorf("bash: %v\n%s", err, text)
	}
}
