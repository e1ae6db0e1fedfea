// Package testfiles finds and reads the files that tests compare with.
//
// There are two places. testdata/ at the root of the repository is the project's own, written by scripts/make-testdata
// (testdata/README.md lists it), and is always there. The folder that the variable DPOTRAIN_TESTDATA names holds real
// models, tokenizers and preference sets of others; it is no part of the repository, so a test that asks for one of its
// files is skipped where it is missing.
package testfiles

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Variable is the environment variable that names the folder of shared test data. A relative value counts from the root
// of the repository, not from the folder of the package under test.
const Variable = "DPOTRAIN_TESTDATA"

// Path is a file or folder under testdata/. It fails the test if there is none.
func Path(t testing.TB, elem ...string) string {
	t.Helper()
	path := filepath.Join(append([]string{root(t), "testdata"}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v; scripts/make-testdata writes it", err)
	}
	return path
}

// Shared is a file or folder of the shared test data. It skips the test if the variable is unset or the file missing.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		t.Skipf("%s is not set; it names the folder of shared test data", Variable)
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(root(t), dir)
	}
	path := filepath.Join(append([]string{dir}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s: %v", Variable, err)
	}
	return path
}

// root is the folder that holds go.mod, at or above the working folder, which for a test is its package's.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			t.Fatalf("%s: no go.mod here or above", dir)
		}
	}
}

// Expected holds a model's reference numbers, computed in float64 with PyTorch autograd. The log-probs of Pairs are those
// of the model as stored. The losses are over the first Batch pairs, with the model as stored for the reference and all
// its weights times Scale for the policy; F16 and BF16 weights are widened to float64 before that.
type Expected struct {
	Pairs []Pair
	Batch int     // pairs
	Scale float64 // policy weights / reference weights
	DPO   *Loss   // beta 0.1
	IPO   *Loss   // beta 0.1, per-token means; nil if the file lacks it
	SFT   *Loss   // mean over the pairs of minus the per-token mean of the chosen log-probs; nil if the file lacks it

	Losses map[string]*Loss // of the shared expected/ every loss by its name there, those above too; else nil
}

// Pair is one preference pair and what the model gives it. Every id of a completion is scored.
type Pair struct {
	PromptIDs          []int32   `json:"prompt_ids"`
	ChosenIDs          []int32   `json:"chosen_ids"`
	RejectedIDs        []int32   `json:"rejected_ids"`
	ChosenLogp         float64   `json:"chosen_logp"`          // nats, the sum over ChosenIDs
	RejectedLogp       float64   `json:"rejected_logp"`        // nats, the sum over RejectedIDs
	ChosenTokenLogps   []float64 `json:"chosen_token_logps"`   // nats, one for each of ChosenIDs
	RejectedTokenLogps []float64 `json:"rejected_token_logps"` // nats, one for each of RejectedIDs; nil if the file lacks them
}

// Loss is the mean loss of the batch with its gradient by tensor name. A tied head is one tensor, under the embedding's name.
type Loss struct {
	Loss  float64         `json:"loss"`
	Grads map[string]Grad `json:"grads"`
}

// Grad describes the gradient of one tensor, taken in storage order.
type Grad struct {
	L2     float64   `json:"l2"`
	Sum    float64   `json:"sum"`
	First4 []float64 `json:"first4"`
	Last4  []float64 `json:"last4"`
}

// LoadExpected reads the expected.json beside a model of testdata/models or of the shared models-random, or a
// <architecture>_<model>.json of the shared expected/. It fails the test if the file does not read.
func LoadExpected(t testing.TB, path string) *Expected {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, err := parseExpected(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return e
}

func parseExpected(text []byte) (*Expected, error) {
	var file struct {
		Pairs    []Pair  `json:"pairs"`
		Scale    float64 `json:"policy_scale"`
		DPO      *Loss   `json:"dpo"`
		IPO      *Loss   `json:"ipo"`
		SFT      *Loss   `json:"sft"`
		Training *struct {
			Batch  int              `json:"batch"`
			Losses map[string]*Loss `json:"losses"`
		} `json:"training"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	e := &Expected{Pairs: file.Pairs, Batch: len(file.Pairs), Scale: file.Scale, DPO: file.DPO, IPO: file.IPO, SFT: file.SFT}
	switch tr := file.Training; {
	case tr != nil: // shared expected/: the scale stands in words only
		e.Batch, e.Scale = tr.Batch, 1.01
		e.Losses = tr.Losses
		e.DPO, e.IPO, e.SFT = tr.Losses["dpo"], tr.Losses["ipo_mean"], tr.Losses["sft_nll"]
	case e.Scale == 0: // shared models-random: likewise
		e.Scale = 1.02
	}
	// transformers 5 calls GPT-NeoX's head lm_head in memory and, as ever, embed_out in files.
	if g := e.DPO; g != nil && g.Grads["gpt_neox.embed_in.weight"].L2 != 0 {
		if head, ok := g.Grads["lm_head.weight"]; ok {
			g.Grads["embed_out.weight"] = head
			delete(g.Grads, "lm_head.weight")
		}
	}
	if e.DPO == nil || len(e.DPO.Grads) == 0 || e.Batch == 0 || e.Batch > len(e.Pairs) {
		return nil, fmt.Errorf("want pairs, and dpo with its gradients, for 1 to %d of them", len(e.Pairs))
	}
	for i, p := range e.Pairs {
		switch {
		case len(p.PromptIDs) == 0 || len(p.ChosenIDs) == 0 || len(p.RejectedIDs) == 0:
			return nil, fmt.Errorf("pair %d: prompt_ids, chosen_ids or rejected_ids is empty", i)
		case len(p.ChosenTokenLogps) != len(p.ChosenIDs):
			return nil, fmt.Errorf("pair %d: %d chosen_token_logps for %d chosen_ids", i, len(p.ChosenTokenLogps), len(p.ChosenIDs))
		case p.RejectedTokenLogps != nil && len(p.RejectedTokenLogps) != len(p.RejectedIDs):
			return nil, fmt.Errorf("pair %d: %d rejected_token_logps for %d rejected_ids", i, len(p.RejectedTokenLogps), len(p.RejectedIDs))
		}
	}
	return e, nil
}
