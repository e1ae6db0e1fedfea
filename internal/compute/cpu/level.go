package cpu

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	xcpu "golang.org/x/sys/cpu"

	"dpotrain/internal/compute"
)

// Level is a set of kernels.
type Level int

// The levels there are.
const (
	Generic Level = iota // plain Go
	AVX2                 // x86-64 with AVX2 and FMA
	AVX512               // x86-64 with AVX-512 F, BW, DQ and VL
	NEON                 // arm64: all of them have it
)

var levelNames = []string{"generic", "avx2", "avx512", "neon"}

func (l Level) String() string { return levelNames[l] }

// vectors says that the level has assembly for more than products.
func (l Level) vectors() bool { return l == AVX2 || l == AVX512 }

// Levels are those this CPU and this build have, the best last.
func Levels() []Level {
	all := []Level{Generic}
	if !haveAssembly {
		return all
	}
	if runtime.GOARCH == "arm64" {
		return append(all, NEON)
	}
	if xcpu.X86.HasAVX2 && xcpu.X86.HasFMA {
		all = append(all, AVX2)
		if xcpu.X86.HasAVX512F && xcpu.X86.HasAVX512BW && xcpu.X86.HasAVX512DQ && xcpu.X86.HasAVX512VL {
			all = append(all, AVX512)
		}
	}
	return all
}

// Best is the last of Levels.
func Best() Level {
	all := Levels()
	return all[len(all)-1]
}

// HasBF16 says that this CPU and this build can multiply bf16 numbers.
func HasBF16() bool { return Best() == AVX512 && xcpu.X86.HasAVX512BF16 }

// The precisions that a user may ask for: of the operands of matrix products. Everything else is float32 in both.
const (
	fp32 = "fp32"
	bf16 = "bf16"
	auto = "auto"
)

// Resolve says what options come to on this machine: a level in place of auto, and a precision.
func Resolve(o compute.Options) (compute.Options, error) {
	lv, err := ParseLevel(o.CPU)
	if err != nil {
		return o, err
	}
	o.CPU = lv.String()
	able := HasBF16() && lv == AVX512
	switch {
	case o.Precision == auto && able:
		o.Precision = bf16
	case o.Precision == auto, o.Precision == "":
		o.Precision = fp32
	case o.Precision == bf16 && !able:
		return o, fmt.Errorf("precision: bf16: it needs AVX-512 with bf16 products, which this CPU does not have or cpu: %s leaves out; use fp32, or auto", lv)
	}
	return o, nil
}

// ParseLevel reads a level's name; auto, or nothing, is the best one. A level this CPU lacks is an error.
func ParseLevel(s string) (Level, error) {
	if s == "" || s == auto {
		return Best(), nil
	}
	var have []string
	for _, lv := range Levels() {
		if s == lv.String() {
			return lv, nil
		}
		have = append(have, lv.String())
	}
	if slices.Contains(levelNames, s) {
		return 0, fmt.Errorf("cpu: %s: this CPU does not have it; there is %s", s, strings.Join(have, ", "))
	}
	return 0, fmt.Errorf("cpu: %q: unknown level; want auto, %s", s, strings.Join(levelNames, ", "))
}
