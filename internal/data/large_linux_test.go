package data

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dpotrain/internal/testfiles"
)

const largeVariable = "DPOTRAIN_LARGE_STORE"

// TestLargeStore prepares a million pairs in a process of its own, in less than 500 MB of memory, and starts a second time in less than a second.
func TestLargeStore(t *testing.T) {
	if dir := os.Getenv(largeVariable); dir != "" {
		began := time.Now()
		r, err := Open(testfiles.Path(t, "models", "llama"), "")
		if err != nil {
			t.Fatal(err)
		}
		r.Store = Store{Dir: filepath.Join(dir, "store")}
		set, err := r.Load(t.Context(), filepath.Join(dir, "pairs.jsonl"), Pairs, Options{MaxLength: 1024, TruncationMode: "keep_start"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, err := os.ReadFile("/proc/self/status")
		fmt.Printf("examples: %d\nseconds: %v\n%s %v\n", set.Len(), time.Since(began).Seconds(), status, err)
		return
	}
	if os.Getenv("DPOTRAIN_LARGE") == "" {
		t.Skip("DPOTRAIN_LARGE is not set; prepares a million pairs, which takes minutes")
	}
	const pairs = 1_000_000
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "pairs.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range pairs {
		fmt.Fprintf(w, `{"prompt": "What did the fox do on day %d, and why?", "chosen": "The fox sang by the river. It was a bright day, number %d.", "rejected": "The fox cried by the hill on day %d."}`+"\n", i, i, i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for start := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestLargeStore$")
		cmd.Env = append(os.Environ(), largeVariable+"="+dir)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var n, peak int
		var seconds float64
		for line := range strings.Lines(string(out)) {
			fmt.Sscanf(line, "examples: %d", &n)
			fmt.Sscanf(line, "seconds: %g", &seconds)
			fmt.Sscanf(line, "VmHWM: %d kB", &peak)
		}
		if n != pairs || peak == 0 || peak>>10 > 500 {
			t.Errorf("%d pairs, %d MB; want %d in at most 500", n, peak>>10, pairs)
		}
		if start == 2 && seconds > 1 {
			t.Errorf("a second start takes %.2f s", seconds)
		}
		t.Logf("start %d: %.2f s, %d MB", start+1, seconds, peak>>10)
	}
	if info, err := os.Stat(storeFiles(t, filepath.Join(dir, "store"))[0]); err == nil {
		t.Logf("store: %d MB", info.Size()>>20)
	}
}
