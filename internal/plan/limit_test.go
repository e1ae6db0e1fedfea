package plan

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestParseBytes(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		err  string
	}{
		{"3GiB", 3 << 30, ""}, {"3.5GB", 3_500_000_000, ""}, {"3.5 gb", 3_500_000_000, ""}, {" 800MB ", 800_000_000, ""}, {"512MiB", 512 << 20, ""}, {"1.5KiB", 1536, ""},
		{"4000000000", 4_000_000_000, ""}, {"12B", 12, ""}, {"1TiB", 1 << 40, ""}, {"2tb", 2_000_000_000_000, ""},
		{"3G", 0, "G can mean GB (1000) or GiB (1024)"}, {"3m", 0, "M can mean MB"},
		{"", 0, "want a size"}, {"GB", 0, "want a size"}, {"3XB", 0, "want a size"}, {"-3GB", 0, "want a size"}, {"1e9", 0, "want a size"}, {"1.2.3GB", 0, "want a size"}, {"3GB5", 0, "want a size"},
		{"auto", 0, "want a size"}, {".", 0, "want a size"}, {"0", 0, "out of range"}, {"0.4B", 0, "out of range"}, {"99999999TB", 0, "out of range"},
	} {
		got, err := ParseBytes(c.text)
		if got != c.want || c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: %d and %v, want %d and %q", c.text, got, err, c.want, c.err)
		}
	}
}

// TestFreeLinux gives the files that Linux shows in different places: a plain machine, containers with either version of control groups, a group
// in a group, and files that are missing or not as they should be.
func TestFreeLinux(t *testing.T) {
	const meminfo = "MemTotal:       2000 kB\nMemFree:         100 kB\nMemAvailable:   1000 kB\n"
	const status = "Name:\tdpotrain\nVmRSS:\t 90 kB\nRssAnon:\t      10 kB\n"
	const k = 1024
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64 // KiB
		group bool
	}{
		{"a machine", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/\n"}, 1010, false},
		{"version 2, no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n",
			"sys/fs/cgroup/a/memory.current": "5"}, 1010, false},
		{"version 2", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "614400\n",
			"sys/fs/cgroup/a/memory.current": "204800\n", "sys/fs/cgroup/a/memory.stat": "anon 7\nfile 8\ninactive_file 102400\n"}, 510, true},
		{"version 2, a container", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/docker/abc\n", "sys/fs/cgroup/memory.max": "614400\n",
			"sys/fs/cgroup/memory.current": "204800\n"}, 410, true},
		{"version 2, the group above is smaller", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "614400\n",
			"sys/fs/cgroup/a/b/memory.current": "0\n", "sys/fs/cgroup/a/memory.max": "307200\n", "sys/fs/cgroup/a/memory.current": "0\n"}, 310, true},
		{"version 2, larger than the machine", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "99999999\n",
			"sys/fs/cgroup/a/memory.current": "0\n"}, 1010, false},
		{"version 2, full", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "1000\n",
			"sys/fs/cgroup/a/memory.current": "2000\n"}, 10, true},
		{"version 1", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "614400\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "204800\n",
			"sys/fs/cgroup/memory/a/memory.stat": "inactive_file 1\ntotal_inactive_file 102400\n"}, 510, true},
		{"version 1, no limit", map[string]string{"proc/meminfo": meminfo, "proc/self/status": status, "proc/self/cgroup": "4:memory:/a\n",
			"sys/fs/cgroup/memory/a/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes": "204800\n"}, 1010, false},
		{"nonsense", map[string]string{"proc/meminfo": meminfo, "proc/self/status": "", "proc/self/cgroup": "x\n0::/../..\n:\n", "sys/fs/cgroup/memory.max": "x"}, 1000, false},
		{"nothing", nil, 0, false},
	} {
		root := fstest.MapFS{}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		got := freeLinux(root)
		if got.Bytes != c.want*k || strings.Contains(got.Why, "group") != c.group {
			t.Errorf("%s: %d KiB, %q; want %d KiB, by a group: %v", c.name, got.Bytes/k, got.Why, c.want, c.group)
		}
	}
	if l := FindLimit(); l.Bytes > 0 && l.Why == "" {
		t.Errorf("%+v says nothing", l)
	}
}
