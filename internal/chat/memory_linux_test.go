package chat

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// TestHostileMemory runs TestHostile in a process of its own, which may take 200 MB, the program included.
func TestHostileMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs TestHostile again")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run=^TestHostile$")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const limit = 200e6
	peak := 1024 * cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if peak > limit {
		t.Errorf("%.0f MB, want at most %.0f", float64(peak)/1e6, limit/1e6)
	}
	t.Logf("peak %.0f MB", float64(peak)/1e6)
}
