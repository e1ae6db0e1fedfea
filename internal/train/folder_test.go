package train

import (
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/testfiles"
)

func TestModelFolder(t *testing.T) {
	for dir, want := range map[string]string{
		testfiles.Path(t, "models", "llama"): "",
		"Qwen/Qwen2-0.5B-Instruct":           "model: Qwen/Qwen2-0.5B-Instruct: no such folder, and nothing is downloaded here; if it is a name on the Hugging Face Hub: hf download Qwen/Qwen2-0.5B-Instruct --local-dir models/Qwen2-0.5B-Instruct,",
		"./Qwen/Qwen2":                       "model: ./Qwen/Qwen2: no such folder; give one with config.json",
		"/a/b/c":                             "model: /a/b/c: no such folder; give one with config.json",
		testfiles.Path(t, "pairs.jsonl"):     ": a file; give the folder with config.json",
		strings.Repeat("x", 5000):            "model: stat xxx",
	} {
		o := tiny(t)
		o.Model = dir
		if want == "" {
			if err := modelFolder("model", dir); err != nil {
				t.Error(err)
			}
			continue
		}
		r, err := tryRun(t, o, 0)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want %q\n%s", dir, err, want, r.stderr)
		}
		if left, _ := filepath.Glob(filepath.Join(o.OutputDir, "*")); len(left) > 0 {
			t.Errorf("%.80s: left %q behind", dir, left)
		}
	}
	for name, want := range map[string]string{
		"trl-lib/ultrafeedback_binarized": "data: trl-lib/ultrafeedback_binarized: no such file, and nothing is downloaded here; if it is a name on the Hugging Face Hub, in Python: " +
			`from datasets import load_dataset; load_dataset("trl-lib/ultrafeedback_binarized", split="train").to_json("pairs.jsonl"), and give that file`,
		"https://example.com/pairs.jsonl": "data: https://example.com/pairs.jsonl: nothing is downloaded here; get the file first, and give its path",
		"data/pairs.jsonl":                "data: data/pairs.jsonl: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet",
		"testdata":                        "data: testdata: file does not exist; give a file of rows (JSONL, JSON, CSV, parquet), a folder of them, or a pattern as data/train-*.parquet",
	} {
		o := tiny(t)
		o.Data = name
		if _, err := tryRun(t, o, 0); err == nil || err.Error() != want {
			t.Errorf("data %s: error\n%v, want\n%s", name, err, want)
		}
	}
	o := tiny(t)
	o.RefModel = "a/b"
	if _, err := tryRun(t, o, 0); err == nil || !strings.Contains(err.Error(), "ref_model: a/b: no such folder") {
		t.Errorf("error %v, want one of ref_model", err)
	}
}
