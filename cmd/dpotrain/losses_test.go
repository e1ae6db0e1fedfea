package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/loss"
)

// TestLosses: the table has every loss, its description every hyperparameter, and JSON the same.
func TestLosses(t *testing.T) {
	table, _ := exits(t, 0, "losses")
	for _, l := range loss.Catalogue() {
		if !strings.Contains(table, "\n"+l.Name+" ") || !strings.Contains(table, l.Summary) {
			t.Errorf("%s is not in the table:\n%s", l.Name, table)
		}
		for _, name := range append(l.Aliases, l.Name) {
			text, _ := exits(t, 0, "losses", name)
			if !strings.Contains(text, l.Paper) {
				t.Errorf("losses %s does not name its paper:\n%s", name, text)
			}
			for _, h := range l.Hyperparameters {
				if !strings.Contains(text, h.Key) || !strings.Contains(text, h.Values()) || !strings.Contains(text, h.Meaning) {
					t.Errorf("losses %s does not explain %s:\n%s", name, h.Key, text)
				}
			}
		}
	}
	for _, m := range loss.Modifiers() {
		for _, part := range []string{"\n" + m.Key + " ", m.Goes, m.Summary} {
			if !strings.Contains(table, part) {
				t.Errorf("%q of modifier %s is not in the table:\n%s", part, m.Key, table)
			}
		}
		if text, _ := exits(t, 0, "losses", "dpo"); !strings.Contains(text, m.Key+" ") || !strings.Contains(text, m.Meaning) {
			t.Errorf("losses dpo does not explain %s:\n%s", m.Key, text)
		}
	}
	if text, _ := exits(t, 0, "losses", "aot"); strings.Contains(text, "wpo") {
		t.Errorf("losses aot speaks of wpo:\n%s", text)
	}
	text, _ := exits(t, 0, "losses", "--json")
	var list []struct {
		Name, Needs, Logps string
		State              []string
		Hyperparameters    []struct{ Key string }
		Modifiers          []string
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != len(loss.Names()) {
		t.Fatalf("%v, %d losses", err, len(list))
	}
	for i, l := range loss.Catalogue() {
		if list[i].Name != l.Name || len(list[i].Hyperparameters) != len(l.Hyperparameters) || len(list[i].Modifiers) != len(l.Modifiers()) {
			t.Errorf("JSON %+v for %s", list[i], l.Name)
		}
		switch got, want := []string{list[i].Needs, list[i].Logps, strings.Join(list[i].State, " ")}, map[string][]string{
			"dpo": {"pairs, reference", "sums", ""}, "rpo": {"pairs, reference", "sums and means", ""}, "sft": {"completions", "means", ""},
			"bco": {"pairs or labels, reference, whole steps", "sums", "mean pairs"},
		}[l.Name]; {
		case want == nil:
		case !slices.Equal(got, want):
			t.Errorf("%s: JSON has %q, want %q", l.Name, got, want)
		case !regexp.MustCompile("(?m)^" + l.Name + " +" + want[0] + " +" + want[1] + " +" + map[bool]string{true: "yes "}[want[2] != ""]).MatchString(table):
			t.Errorf("%s: %q is not in its row of the table:\n%s", l.Name, want, table)
		}
	}
	if text, _ := exits(t, 0, "losses", "beta_dpo"); !strings.Contains(text, "\nstate              margin, margin_updates, spread, spread_updates, from step to step") || !strings.Contains(text, "\nlogps              sums\n") {
		t.Error(text)
	}
	for name, want := range map[string]string{"bco_pair": "give bco", "dpo=1,sft=1": "one loss at a time"} {
		if _, said := exits(t, exitUsage, "losses", name); !strings.Contains(said, want) {
			t.Errorf("losses %s says %q, want %q", name, said, want)
		}
	}
	_, said := exits(t, exitUsage, "losses", "ipos")
	if !strings.Contains(said, `"ipos": no such loss; "dpotrain losses" lists them`) || !strings.Contains(said, "did you mean ipo?") {
		t.Error(said)
	}
}
