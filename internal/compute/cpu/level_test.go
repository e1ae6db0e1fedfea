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
	if HasAMX() {
		have = append(have, "amx")
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
		if lv, err := ParseLevel(s); err == nil || !strings.Contains(err.Error(), "want auto, generic, avx2, avx512, neon, amx") {
			t.Errorf("ParseLevel(%q) = %v, %v, want an error that names the levels", s, lv, err)
		}
	}
}

// TestResolve: what options come to on machines of every kind, and what is refused.
func TestResolve(t *testing.T) {
	upTo512 := []Level{Generic, AVX2, AVX512}
	machines := map[string]machine{
		"old":   {levels: upTo512[:2]},
		"plain": {levels: upTo512},
		"amd":   {levels: upTo512, bf16: true, fastBF16: true},
		"intel": {levels: upTo512, bf16: true},
		"amx":   {levels: upTo512, bf16: true, amx: true},
		"arm":   {levels: []Level{Generic, NEON}},
	}
	const alone = "cpu: amx: it multiplies bf16 alone, and precision is fp32; use precision: bf16, or cpu: auto"
	lacks := func(cpu string) string {
		return "precision: bf16: it needs AVX-512 with bf16 products, which this CPU does not have or cpu: " + cpu + " leaves out; use fp32, or auto"
	}
	for _, tt := range []struct{ machine, cpu, precision, want string }{
		{"old", "auto", "fp32", "avx2 fp32"}, {"old", "auto", "auto", "avx2 fp32"}, {"old", "", "", "avx2 fp32"}, {"old", "auto", "bf16", lacks("avx2")},
		{"plain", "auto", "auto", "avx512 fp32"}, {"plain", "avx512", "bf16", lacks("avx512")},
		{"amd", "auto", "fp32", "avx512 fp32"}, {"amd", "auto", "auto", "avx512 bf16"}, {"amd", "auto", "bf16", "avx512 bf16"}, {"amd", "avx512", "auto", "avx512 bf16"},
		{"amd", "avx2", "auto", "avx2 fp32"}, {"amd", "avx2", "bf16", lacks("avx2")}, {"amd", "amx", "bf16", "cpu: amx: this CPU does not have it; there is generic, avx2, avx512"},
		{"intel", "auto", "fp32", "avx512 fp32"}, {"intel", "auto", "auto", "avx512 fp32"}, {"intel", "auto", "bf16", "avx512 bf16"}, {"intel", "avx512", "auto", "avx512 fp32"},
		{"amx", "auto", "fp32", "avx512 fp32"}, {"amx", "", "", "avx512 fp32"}, {"amx", "auto", "auto", "amx bf16"}, {"amx", "auto", "bf16", "amx bf16"}, {"amx", "", "bf16", "amx bf16"},
		{"amx", "amx", "bf16", "amx bf16"}, {"amx", "amx", "auto", "amx bf16"}, {"amx", "amx", "fp32", alone}, {"amx", "amx", "", alone},
		{"amx", "avx512", "fp32", "avx512 fp32"}, {"amx", "avx512", "auto", "avx512 fp32"}, {"amx", "avx512", "bf16", "avx512 bf16"}, {"amx", "avx2", "bf16", lacks("avx2")},
		{"amx", "neon", "fp32", "cpu: neon: this CPU does not have it; there is generic, avx2, avx512, amx"},
		{"arm", "auto", "auto", "neon fp32"}, {"arm", "auto", "bf16", lacks("neon")}, {"arm", "amx", "auto", "cpu: amx: this CPU does not have it; there is generic, neon"},
	} {
		m := machines[tt.machine]
		got, err := m.resolve(compute.Options{CPU: tt.cpu, Precision: tt.precision, Threads: 7})
		text := got.CPU + " " + got.Precision
		if err != nil {
			text = err.Error()
		}
		if text != tt.want || got.Threads != 7 {
			t.Errorf("%s, cpu %q, precision %q: %q, want %q", tt.machine, tt.cpu, tt.precision, text, tt.want)
		}
		if err != nil {
			continue
		}
		if again, err := m.resolve(got); err != nil || again != got {
			t.Errorf("%s: %+v becomes %+v, %v", tt.machine, got, again, err)
		}
	}
}

// TestFamily: the family says what products are computed with, for the fingerprint of the reference cache.
func TestFamily(t *testing.T) {
	families := map[compute.Options]string{{}: Best().String(), {Precision: fp32}: Best().String()}
	if HasBF16() {
		families[compute.Options{CPU: "avx512", Precision: bf16}] = "avx512"
	}
	if HasAMX() {
		families[compute.Options{Precision: bf16}] = "amx"
		families[compute.Options{CPU: "amx", Precision: auto}] = "amx"
	}
	for o, want := range families {
		want = "cpu-" + want
		if runtime.GOARCH != "amd64" {
			want += "-" + runtime.GOARCH
		}
		d, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if d.Family() != want || d.level == AMX || !slices.Contains(Levels(), d.level) {
			t.Errorf("%+v: family %q, want %q; level %v", o, d.Family(), want, d.level)
		}
		d.Close()
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
		if got := d.Threads(); got < 1 || threads > 0 && got != threads {
			t.Errorf("%d threads, asked for %d", got, threads)
		}
		d.Close()
	}
}
