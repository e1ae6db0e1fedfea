package config

import (
	"reflect"
	"strings"
	"testing"

	"dpotrain/internal/data"
)

// TestDatasets reads data sets with all they can have, from a file and from a flag, and writes them down again.
func TestDatasets(t *testing.T) {
	margin, score := 0.5, -2.0
	want := []data.Source{
		{Path: "a.jsonl"},
		{Path: "hub: x", Split: "train_prefs", Columns: map[string]string{"chosen": "Better", "tag": "source"}, Fraction: 0.25,
			Filter: data.Filter{MinMargin: &margin, MinScore: &score, MaxTokens: 512, Tags: []string{"evol", "1"}}},
	}
	const entry = `{path: "hub: x", split: train_prefs, columns: {tag: source, chosen: Better}, fraction: 0.25, filter: {min_margin: 0.5, min_score: -2, max_tokens: 512, tag: [evol, "1"]}}`
	for _, in := range []input{
		{file: "datasets:\n  - a.jsonl\n  - path: 'hub: x'\n    split: train_prefs\n    columns:\n      chosen: Better\n      tag: source\n    fraction: 0.25\n    filter:\n" +
			"      min_margin: 0.5\n      min_score: -2\n      max_tokens: 512\n      tag: [evol, '1']\n"},
		{flags: []string{"--datasets", "[a.jsonl, " + entry + "]"}},
		{environ: []string{"DPOTRAIN_DATASETS=[{path: a.jsonl}, " + entry + "]"}},
	} {
		r := in.mustLoad(t)
		if !reflect.DeepEqual(r.Options.Datasets, want) {
			t.Errorf("%+v: %+v, want %+v", in, r.Options.Datasets, want)
		}
		roundTrip(t, r.Options)
		if err := r.Require("data"); err != nil {
			t.Error(err)
		}
	}
	weights := input{file: "datasets: [{path: a, weight: 3, filter: {tag: x}}, {path: b, weight: 1}]\neval_fraction: 0.1\ncolumns: {prompt: Q}"}.mustLoad(t)
	if got := weights.Options.Datasets; got[0].Weight != 3 || got[1].Weight != 1 || got[0].Filter.Tags[0] != "x" || weights.Options.Columns["prompt"] != "Q" || weights.Options.EvalFraction != 0.1 {
		t.Errorf("%+v", weights.Options)
	}
	roundTrip(t, weights.Options)
	was, now := Values(weights.Options), Values(input{file: "datasets: [{path: a, weight: 2}, {path: b, weight: 1}]\neval_fraction: 0.2"}.mustLoad(t).Options)
	if diff := Differences(was, now); len(diff) != 3 || !strings.HasPrefix(diff[1], "datasets: was [{path: a, weight: 3, filter: {tag: [x]}}, ") || diff[2] != "columns: was {prompt: Q}, now none" {
		t.Errorf("differences %q", diff)
	}
}

// TestInstead: of two keys that take each other's place the one in the higher layer goes, which a note says.
func TestInstead(t *testing.T) {
	const file = "datasets: [a]\neval_fraction: 0.1\n"
	r := input{file: file, flags: []string{"--data", "b", "--eval-data", "c"}}.mustLoad(t)
	if o := r.Options; o.Datasets != nil || o.Data != "b" || o.EvalFraction != 0 || o.EvalData != "c" || len(r.Notes) != 2 || !strings.HasSuffix(r.Notes[0], "c.yaml:1: datasets: --data takes its place") {
		t.Errorf("%+v, notes %q", r.Options, r.Notes)
	}
	r = input{file: "data: a\neval_data: b", flags: []string{"--datasets", "[c]", "--eval-fraction", "0.1"}}.mustLoad(t)
	if o := r.Options; o.Data != "" || o.Datasets[0].Path != "c" || o.EvalData != "" || o.EvalFraction != 0.1 {
		t.Errorf("%+v, notes %q", r.Options, r.Notes)
	}
}

// TestStructureErrors are those of keys that are no scalars, word for word.
func TestStructureErrors(t *testing.T) {
	for file, want := range map[string]string{
		"columns: x":                                           "c.yaml:1: columns: x; want a map, as {prompt: ...}",
		"columns: [x]":                                         "c.yaml:1: columns: a list; want a map, as {prompt: ...}",
		"columns:\n  prmpt: x":                                 "c.yaml:2: columns: prmpt: unknown key (did you mean prompt?)",
		"columns: {prompt: 1}":                                 "c.yaml:1: columns: prompt: 1 is not text in YAML; put it in quotes",
		"columns: {prompt: ''}":                                "c.yaml:1: columns: prompt: an empty name; want that of a column",
		"columns: {prompt: [a]}":                               "c.yaml:1: columns: prompt: a list; want text",
		"columns:\n  prompt: a\n  text: a":                     "c.yaml:3: columns: text: a is given to two columns; leave one out",
		"columns: {? [a] : b}":                                 `c.yaml:1: columns: "": unknown key; want ` + either(data.Columns()),
		"datasets: a.jsonl":                                    "c.yaml:1: datasets: a.jsonl; want a list of maps, as [{path: pairs.jsonl}]",
		"datasets: {path: a}":                                  "c.yaml:1: datasets: a map; want a list of maps, as [{path: pairs.jsonl}]",
		"datasets: [[a]]":                                      "c.yaml:1: datasets: a list; want a map, as {path: ...}",
		"datasets:\n- pth: a":                                  "c.yaml:2: datasets: pth: unknown key (did you mean path?)",
		"datasets:\n- split: a":                                "c.yaml:2: datasets: a data set without a path; give it, as {path: pairs.jsonl}",
		"datasets:\n- path: a\n  weight: 0":                    "c.yaml:3: datasets: weight: 0 is out of range; want > 0",
		"datasets:\n- path: a\n  fraction: 1.5":                "c.yaml:3: datasets: fraction: 1.5 is out of range; want > 0 and <= 1",
		"datasets:\n- path: a\n  fraction: 0.5\n  weight: 1":   "c.yaml:2: datasets: weight and fraction for one data set; leave one of them out",
		"datasets:\n- path: a\n  weight: 1\n- path: b":         "c.yaml:2: datasets: some data sets have a weight and others none; give each one, or a fraction to some",
		"datasets:\n- path: a\n  filter: {min_margn: 1}":       "c.yaml:3: datasets: filter: min_margn: unknown key (did you mean min_margin?)",
		"datasets:\n- path: a\n  filter:\n    max_tokens: 0":   "c.yaml:4: datasets: filter: max_tokens: 0 is out of range; want >= 1",
		"datasets:\n- path: a\n  filter:\n    tag: [1]":        "c.yaml:4: datasets: filter: tag: 1 is not text in YAML; put it in quotes",
		"datasets:\n- path: a\n  columns:\n    prompt: &x [a]": "c.yaml:4: datasets: columns: prompt: a list; want text",
		"datasets:\n- path: a\n  path: b":                      "c.yaml:3: datasets: path: given twice; leave one out",
		"data: a\ndatasets: [b]":                               "c.yaml:2: datasets: given together with data; leave one of them out",
		"eval_data: a\neval_fraction: 0.5":                     "c.yaml:2: eval_fraction: given together with eval_data; leave one of them out",
		"eval_fraction: 1":                                     "c.yaml:1: eval_fraction: 1 is out of range; want >= 0 and < 1",
		"datasets: &a\n- path: x\n- *a":                        "c.yaml:3: datasets: a YAML alias; want a map, as {path: ...}",
	} {
		_, err := input{file: file}.load(t)
		if got := text(err); !strings.HasSuffix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s:\ngot  %s\nwant %s", file, got, want)
		}
	}
	for flag, want := range map[string]string{
		"{":          "--columns: {; want a map in a line of YAML, as {prompt: question}",
		"prompt=Q":   "--columns: prompt=Q; want a map, as {prompt: ...}",
		"{prompt: }": "",
	} {
		_, err := input{flags: []string{"--columns", flag}}.load(t)
		if got := text(err); got != want {
			t.Errorf("%s: got %s, want %s", flag, got, want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
