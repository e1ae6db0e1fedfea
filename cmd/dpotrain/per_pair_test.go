package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

// TestPerPair: the mean of each column is the metric of that name, and the lines are those of the rows that were kept.
func TestPerPair(t *testing.T) {
	p := newPlace(t)
	dpotrain(t, p.train(t, "--max-steps", "3")...)
	rows := strings.SplitAfter(read(t, testfiles.Path(t, "pairs_eval.jsonl")), "\n")
	same := "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}\n" // is dropped
	held := p.write(t, "held.jsonl", rows[0]+same+"\n"+strings.Join(rows[1:], ""))
	file := filepath.Join(p.dir, "out.jsonl")
	for _, loss := range []string{"dpo", "cdpo", "ipo", "hinge", "sft"} {
		out, _ := dpotrain(t, "eval", "--model", p.run, "--data", held, "--loss", loss, "--json", "--per-pair", file)
		all := numbers(t, out)
		sums, n := map[string]float64{}, 0.0
		var lines []int
		for line := range strings.Lines(read(t, file)) {
			where, rest, _ := strings.Cut(line, `, "line": `)
			if file := `{"file": ` + strconv.Quote(held); where != file {
				t.Fatalf("%s: want %s first, and line behind it", line, file)
			}
			for name, v := range numbers(t, `{"line": `+rest) {
				if name == "line" {
					lines = append(lines, int(v))
					continue
				}
				sums[name] += v
			}
			n++
		}
		want := []int{1} // then the row that is dropped, and a blank line
		if loss == "sft" {
			want = append(want, 2) // it has a chosen side
		}
		for line := 4; line <= 22; line++ {
			want = append(want, line)
		}
		if !slices.Equal(lines, want) {
			t.Errorf("%s: lines %v, want %v", loss, lines, want)
		}
		columns := "loss rewards/chosen rewards/rejected rewards/margins logps/chosen ref_logps/chosen tokens/chosen logps/rejected ref_logps/rejected tokens/rejected"
		if loss == "sft" {
			columns = "loss logps/chosen tokens/chosen"
		}
		if got := len(strings.Fields(columns)); len(sums) != got {
			t.Errorf("%s: columns %v, want %s", loss, sums, columns)
		}
		for _, name := range strings.Fields(columns) {
			sum, ok := sums[name]
			if want, is := all[name]; !ok || is && math.Abs(sum/n-want) > 1e-12*math.Abs(want) {
				t.Errorf("%s: mean of %s is %v, the metric %v", loss, name, sum/n, want)
			}
		}
		if loss == "sft" {
			continue
		}
		beta := 0.1
		if got, want := sums["rewards/chosen"], beta*(sums["logps/chosen"]-sums["ref_logps/chosen"]); math.Abs(got-want) > 1e-12*math.Abs(want) {
			t.Errorf("%s: rewards of chosen sum up to %v, log-probs say %v", loss, got, want)
		}
	}

	// Of several files every line says which.
	folder := filepath.Join(p.dir, "folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	parts := []string{p.write(t, filepath.Join("folder", "a.jsonl"), rows[0]), p.write(t, filepath.Join("folder", "b.jsonl"), rows[1]+rows[2])}
	dpotrain(t, "eval", "--model", p.run, "--data", folder, "--loss", "dpo", "--per-pair", file)
	var got []string
	for line := range strings.Lines(read(t, file)) {
		var at struct {
			File string
			Line int
		}
		if err := json.Unmarshal([]byte(line), &at); err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s:%d", at.File, at.Line))
	}
	if want := []string{parts[0] + ":1", parts[1] + ":1", parts[1] + ":2"}; !slices.Equal(got, want) {
		t.Errorf("of a folder: %q, want %q", got, want)
	}
	_, log := exits(t, exitUsage, "eval", "--model", p.run, "--data", folder, "--per-pair", parts[1])
	contains(t, oneLine(t, log), "--per-pair "+parts[1], "that is the data")
	if text := read(t, parts[1]); text != rows[1]+rows[2] {
		t.Errorf("the data are overwritten with %s", text)
	}

	for _, tt := range []struct{ path, want string }{
		{filepath.Join(p.dir, "none", "x.jsonl"), "there is no folder " + filepath.Join(p.dir, "none")},
		{p.dir, "a folder; name a file"},
		{held, "that is the data"},
	} {
		_, log := exits(t, exitUsage, "eval", "--model", p.run, "--data", held, "--per-pair", tt.path)
		contains(t, oneLine(t, log), "--per-pair "+tt.path, tt.want)
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil || len(entries) != 5 { // run, cache, held.jsonl, out.jsonl, folder
		t.Errorf("%d entries are left, %v; want 5", len(entries), err)
	}
}

// TestEvalInterval: accuracies come with an interval in both forms, and it is that of the accuracy.
func TestEvalInterval(t *testing.T) {
	p := newPlace(t)
	dpotrain(t, p.train(t, "--max-steps", "3")...)
	out, _ := dpotrain(t, "eval", "--model", p.run, "--json")
	m := numbers(t, out)
	table, _ := dpotrain(t, "eval", "--model", p.run)
	contains(t, table, "95 % interval", "rewards/ties")
	for _, name := range []string{"rewards/accuracies", "logps/accuracies"} {
		low, high, share := m[name+"_low"], m[name+"_high"], m[name]
		// Of 20 pairs the interval is at most 0.4 wide and at least 0.15.
		if !(low <= share && share <= high) || high-low > 0.4 || high-low < 0.15 {
			t.Errorf("%s %v: interval %v to %v", name, share, low, high)
		}
		contains(t, table, fmt.Sprintf("%.4f to %.4f", low, high))
	}
	_, log := dpotrain(t, p.train(t, "--max-steps", "3", "--overwrite")...)
	contains(t, log, fmt.Sprintf("accuracy %.3f (95 %%: %.3f to %.3f)", m["rewards/accuracies"], m["rewards/accuracies_low"], m["rewards/accuracies_high"]))
}
