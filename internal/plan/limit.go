package plan

import (
	"bufio"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Limit is how much memory a process may take, in bytes, and in words why. Zero bytes: not known, no limit.
type Limit struct {
	Bytes int64
	Why   string
}

// margin is what a limit found from the machine leaves of its memory to others, for a plan is not exact and others come and go.
const margin = 0.1

// FindLimit is nine tenths of the memory that is free for this process: what the machine has available, or what is left of a smaller limit
// of its control group (a container, a job of a cluster), and what the process itself has already.
func FindLimit() Limit {
	l := free()
	l.Bytes = int64(float64(l.Bytes) * (1 - margin))
	l.Why = "nine tenths of " + l.Why + "; key memory_limit"
	return l
}

// freeLinux reads the free memory from the files that Linux shows it in, below root.
func freeLinux(root fs.FS) Limit {
	own := field(root, "proc/self/status", "RssAnon:") << 10
	l := Limit{Why: "what this machine has free"}
	if l.Bytes = field(root, "proc/meminfo", "MemAvailable:") << 10; l.Bytes == 0 {
		return Limit{}
	}
	l.Bytes += own
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		// 0::/path in version 2; 5:memory:/path in version 1
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		v := version{"sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"}
		if parts[1] != "" {
			if !slices.Contains(strings.Split(parts[1], ","), "memory") {
				continue
			}
			v = version{"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
		}
		// A limit of a group above holds too. In a container the group's own folder may be what is mounted, so that the path is not there.
		for dir := path.Join("/", parts[2]); ; dir = path.Dir(dir) {
			if left, ok := v.left(root, dir); ok && left+own < l.Bytes {
				l = Limit{left + own, "what is left of this process's control group"}
			}
			if dir == "/" {
				break
			}
		}
	}
	return l
}

// version is how control groups show their memory.
type version struct{ mount, limit, usage, reclaimable string }

// left is what a group may take besides what it has. Files that nobody reads at the moment are given back when memory is short.
func (v version) left(root fs.FS, dir string) (int64, bool) {
	dir = path.Join(v.mount, dir)
	limit, ok := number(root, path.Join(dir, v.limit))
	if !ok || limit >= 1<<60 { // how version 1 says that there is none
		return 0, false
	}
	usage, ok := number(root, path.Join(dir, v.usage))
	if !ok {
		return 0, false
	}
	return max(0, limit-usage+field(root, path.Join(dir, "memory.stat"), v.reclaimable)), true
}

// number reads a file that holds a number; "max" is none.
func number(root fs.FS, name string) (int64, bool) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
}

// field reads the number that follows a name at the start of a line, 0 if there is none.
func field(root fs.FS, file, name string) int64 {
	f, err := root.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		var n int64
		if words := strings.Fields(in.Text()); len(words) >= 2 && words[0] == name {
			if _, err := fmt.Sscan(words[1], &n); err == nil {
				return n
			}
		}
	}
	return 0
}
