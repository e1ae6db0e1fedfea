package cpu

import (
	"fmt"
	"strings"

	xcpu "golang.org/x/sys/cpu"

	"dpotrain/internal/compute"
)

// Level is a set of kernels. Higher ones need more of the CPU.
type Level int

// The levels there are.
const (
	Generic Level = iota // plain Go
	AVX2                 // AVX2 and FMA
	AVX512               // AVX-512 F, BW, DQ and VL
)

var levelNames = []string{"generic", "avx2", "avx512"}

func (l Level) String() string { return levelNames[l] }

// Best is the highest level this CPU and this build have.
func Best() Level {
	switch {
	case !haveAssembly:
		return Generic
	case xcpu.X86.HasAVX512F && xcpu.X86.HasAVX512BW && xcpu.X86.HasAVX512DQ && xcpu.X86.HasAVX512VL && xcpu.X86.HasAVX2 && xcpu.X86.HasFMA:
		return AVX512
	case xcpu.X86.HasAVX2 && xcpu.X86.HasFMA:
		return AVX2
	}
	return Generic
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
	best := Best()
	if s == "" || s == auto {
		return best, nil
	}
	for i, name := range levelNames {
		if s != name {
			continue
		}
		if Level(i) > best {
			return 0, fmt.Errorf("cpu: %s: this CPU does not have it; there is %s", s, strings.Join(levelNames[:best+1], ", "))
		}
		return Level(i), nil
	}
	return 0, fmt.Errorf("cpu: %q: unknown level; want auto, %s", s, strings.Join(levelNames, ", "))
}
