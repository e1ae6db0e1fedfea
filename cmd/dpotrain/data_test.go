package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// TestDataFromStandardInput: the path - is standard input for every command on data, and a row has its name.
func TestDataFromStandardInput(t *testing.T) {
	k := newKitchen(t, newKitchenware(t))
	pairs := read(t, "pairs.jsonl")
	for _, c := range []string{"stats --json", "sample --rows 3 --to -", "split --rows 4 --train - --held-out held.jsonl --overwrite", "convert --form unpaired --to -"} {
		piped := func(text string) (string, error) {
			root := newRootCommand()
			var out bytes.Buffer
			root.SetIn(strings.NewReader(text))
			root.SetOut(&out)
			root.SetErr(&bytes.Buffer{})
			root.SetArgs(strings.Fields("data " + c + " --data -"))
			err := root.ExecuteContext(t.Context())
			return out.String(), err
		}
		want, _ := dpotrain(t, strings.Fields("data "+c+" --data pairs.jsonl")...)
		if got, err := piped(pairs); err != nil || got != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", c, err, got, want)
		}
		if _, err := piped(pairs + "{}}"); err == nil || !strings.HasPrefix(err.Error(), "standard input:13: ") {
			t.Errorf("%s of a bad row: %v", c, err)
		}
	}
	if held := strings.Count(read(t, "held.jsonl"), "\n"); held != 4 {
		t.Errorf("%d rows held out, want 4", held)
	}
	k.remove("held.jsonl")
	if entries, err := os.ReadDir("."); err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
}
