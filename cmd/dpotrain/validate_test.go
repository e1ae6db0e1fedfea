package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestValidate: data come from files or from standard input, the loss says what rows are, and the report is there whatever the exit code.
func TestValidate(t *testing.T) {
	k := newKitchen(t, newKitchenware(t))
	k.remove("model/model.safetensors", "model/config.json")
	out, log := dpotrain(t, "validate", "--model", "model", "--data", "pairs.jsonl", "--eval-data", "pairs.jsonl")
	contains(t, out, "pairs.jsonl: 12 rows read, 12 kept, 0 left out\n", "warning in-eval-data: the prompt is in the evaluation data too: 12 rows\n", "  see   dpotrain show --data pairs.jsonl --row 1\n")
	if log != "" {
		t.Errorf("stderr: %s", log)
	}

	k.write("rows.jsonl", `{"prompt": "a", "completion": "b", "label": true}`+"\n"+`{"prompt": "a", "chosen": " b", "rejected": " c"}`)
	if out, _ := dpotrain(t, "validate", "--model", "model", "--data", "rows.jsonl"); !strings.Contains(out, "1 pair, 1 unpaired;") {
		t.Errorf("without a loss:\n%s", out)
	}
	out, log = exits(t, exitUnusable, "validate", "--model", "model", "--data", "rows.jsonl", "--loss", "dpo", "--json")
	var report struct {
		Usable bool
		Files  []struct {
			Key      string
			Findings []struct {
				ID     string
				Rows   int
				Places []struct{ Line int }
			}
		}
	}
	k.check(json.Unmarshal([]byte(out), &report))
	if found := report.Files[0].Findings[0]; report.Usable || report.Files[0].Key != "data" || found.ID != "unreadable" || found.Rows != 1 || found.Places[0].Line != 1 {
		t.Errorf("with loss dpo: %+v", report)
	}
	if log != "dpotrain: rows.jsonl: 1 of 2 rows cannot be used\n" {
		t.Errorf("stderr: %s", log)
	}

	root := newRootCommand()
	var piped bytes.Buffer
	root.SetIn(strings.NewReader(`{"prompt": "a", "chosen": " \n", "rejected": " c"}`))
	root.SetOut(&piped)
	root.SetErr(os.Stderr)
	root.SetArgs([]string{"validate", "--model", "model", "--data", "-"})
	k.check(root.ExecuteContext(t.Context()))
	contains(t, piped.String(), "standard input: 1 row read, 1 kept, 0 left out\n", "warning blank-completion", "  at    line 1\n")
	if strings.Contains(piped.String(), "dpotrain show") {
		t.Errorf("show cannot read standard input again:\n%s", piped.String())
	}
}
