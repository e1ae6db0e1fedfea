package cpu

import (
	"runtime"
	"slices"
	"strings"
	"testing"

	"dpotrain/internal/compute"
)

func TestParseLevel(t *testing.T) {
	for _, s := range []string{"", "auto"} {
		if lv, err := ParseLevel(s); err != nil || lv != Best() {
			t.Errorf("ParseLevel(%q) = %v, %v, want %v", s, lv, err, Best())
		}
	}
	var have []string
	for _, lv := range Levels() {
		have = append(have, lv.String())
	}
	for lv, name := range levelNames {
		got, err := ParseLevel(name)
		if slices.Contains(have, name) {
			if err != nil || got != Level(lv) || got.String() != name {
				t.Errorf("ParseLevel(%q) = %v, %v", name, got, err)
			}
			continue
		}
		want := "cpu: " + name + ": this CPU does not have it; there is " + strings.Join(have, ", ")
		if err == nil || err.Error() != want {
			t.Errorf("ParseLevel(%q) = %v, %v, want %q", name, got, err, want)
		}
	}
	for _, s := range []string{"AVX2", "sse", " avx2"} {
		if lv, err := ParseLevel(s); err == nil || !strings.Contains(err.Error(), "want auto, generic, avx2, avx512, neon") {
			t.Errorf("ParseLevel(%q) = %v, %v, want an error that names the levels", s, lv, err)
		}
	}
}

func TestNew(t *testing.T) {
	if d, err := New(compute.Options{CPU: "mmx"}); err == nil {
		t.Errorf("New with an unknown level gives %v", d)
	}
	for _, threads := range []int{0, 1, 3} {
		d, err := New(compute.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		want := "cpu-" + Best().String()
		if runtime.GOARCH != "amd64" {
			want += "-" + runtime.GOARCH
		}
		if d.Family() != want {
			t.Errorf("family %q, want %q", d.Family(), want)
		}
		if got := d.Threads(); got < 1 || threads > 0 && got != threads {
			t.Errorf("%d threads, asked for %d", got, threads)
		}
		d.Close()
	}
}
