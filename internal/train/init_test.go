package train

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dpotrain/internal/plan"
	"dpotrain/internal/testfiles"
)

// TestInitTooLarge: a model that memory cannot hold is refused before any is taken.
func TestInitTooLarge(t *testing.T) {
	fields := map[string]any{}
	text, err := os.ReadFile(testfiles.Path(t, "models", "llama", "config.json"))
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		t.Fatal(err)
	}
	fields["vocab_size"], fields["hidden_size"] = 4_000_000, 30_000 // 480 GB of float32
	text, err = json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.json")
	if err := os.WriteFile(config, text, 0o666); err != nil {
		t.Fatal(err)
	}
	if l := plan.FindLimit(); l.Bytes == 0 || l.Bytes > 900<<30 {
		t.Skipf("the memory of this machine is not known or has room for it: %+v", l)
	}
	_, err = Init(InitOptions{Config: config, Tokenizer: testfiles.Path(t, "tokenizer"), Output: filepath.Join(dir, "new")})
	if err == nil || !strings.HasPrefix(err.Error(), config+": 120,0") || !strings.Contains(err.Error(), " parameters take 894.") || !strings.HasSuffix(err.Error(), "; make the sizes smaller") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !os.IsNotExist(err) {
		t.Errorf("something was left behind: %v", err)
	}
}
