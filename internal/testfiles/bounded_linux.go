package testfiles

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Bounds is what hostile input may take.
type Bounds struct {
	Time      time.Duration // of processors; what other processes take does not count
	Megabytes int           // of memory, at its peak
}

// Bounded runs a test of the same binary in a process of its own, with further environment variables, and gives back what it Said. More than the
// bounds is an error.
func (b Bounds) Bounded(t *testing.T, test string, env ...string) (said string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	peak := 0
	for line := range strings.Lines(string(out)) {
		if s, ok := strings.CutPrefix(line, "said: "); ok {
			said = strings.TrimSpace(s)
		}
		fmt.Sscanf(line, "VmHWM: %d kB", &peak)
	}
	took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if peak == 0 || peak>>10 > b.Megabytes || took > b.Time {
		t.Errorf("%v and %d MB, want at most %v and %d MB", took, peak>>10, b.Time, b.Megabytes)
	}
	t.Logf("%v, %d MB", took.Round(time.Millisecond), peak>>10)
	return said
}

// Say tells the process that runs a test with Bounded what became of it: an error, or nil.
func Say(err error) {
	status, failed := os.ReadFile("/proc/self/status")
	fmt.Printf("said: %s\n%s %v\n", strings.ReplaceAll(fmt.Sprint(err), "\n", " "), status, failed)
}
