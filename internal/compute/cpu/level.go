package cpu

import (
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"
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
	AMX                  // AVX512 with bf16, and bf16 products by AMX: a level of products in that precision alone
)

var levelNames = []string{"generic", "avx2", "avx512", "neon", "amx"}

func (l Level) String() string { return levelNames[l] }

// vectors says that the level has assembly for more than products.
func (l Level) vectors() bool { return l == AVX2 || l == AVX512 }

// wide says that the level's vectors are those of AVX-512.
func (l Level) wide() bool { return l == AVX512 || l == AMX }

// Levels are those this CPU and this build have, the best last, but for AMX: at each of them everything can be computed, in fp32. See HasAMX.
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

// HasAMX says that they can do it by AMX, at level AMX.
func HasAMX() bool { return HasBF16() && haveTiles() }

// fastBF16 says that products of bf16 by vectors are faster than those of float32: twice as fast on AMD's processors (measured on Zen 4 and Zen 5).
// On Intel's they take twice as long (measured on Emerald Rapids).
func fastBF16() bool { return HasBF16() && cpuid.CPU.VendorID == cpuid.AMD }

// The precisions that a user may ask for: of the operands of matrix products. Everything else is float32 in both.
const (
	fp32 = "fp32"
	bf16 = "bf16"
	auto = "auto"
)

// machine is what Resolve goes by.
type machine struct {
	levels              []Level // of Levels
	bf16, fastBF16, amx bool    // see HasBF16, fastBF16 and HasAMX
}

func thisMachine() machine { return machine{Levels(), HasBF16(), fastBF16(), HasAMX()} }

// Resolve says what options come to on this machine: a level in place of auto, and a precision. auto of precision is bf16 where that is faster than
// fp32, and auto of the level is AMX for bf16 only.
func Resolve(o compute.Options) (compute.Options, error) { return thisMachine().resolve(o) }

func (m machine) resolve(o compute.Options) (compute.Options, error) {
	lv, err := m.level(o.CPU)
	if err != nil {
		return o, err
	}
	if o.Precision == "" {
		o.Precision = fp32
	}
	if (o.CPU == "" || o.CPU == auto) && o.Precision != fp32 && m.amx {
		lv = AMX
	}
	o.CPU = lv.String()
	able := lv == AMX || lv == AVX512 && m.bf16
	switch {
	case o.Precision == auto && (lv == AMX || able && m.fastBF16):
		o.Precision = bf16
	case o.Precision == fp32 && lv == AMX:
		return o, fmt.Errorf("cpu: amx: it multiplies bf16 alone, and precision is fp32; use precision: bf16, or cpu: auto")
	case o.Precision == auto:
		o.Precision = fp32
	case o.Precision == bf16 && !able:
		return o, fmt.Errorf("precision: bf16: it needs AVX-512 with bf16 products, which this CPU does not have or cpu: %s leaves out; use fp32, or auto", lv)
	}
	return o, nil
}

// ParseLevel reads a level's name; auto, or nothing, is the best one of Levels. A level this CPU lacks is an error.
func ParseLevel(s string) (Level, error) { return thisMachine().level(s) }

func (m machine) level(s string) (Level, error) {
	all := m.levels
	if s == "" || s == auto {
		return all[len(all)-1], nil
	}
	if m.amx {
		all = append(slices.Clone(all), AMX)
	}
	var have []string
	for _, lv := range all {
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
