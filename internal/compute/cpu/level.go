package cpu

import (
	"fmt"
	"strings"

	xcpu "golang.org/x/sys/cpu"
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

// ParseLevel reads a level's name; auto, or nothing, is the best one. A level this CPU lacks is an error.
func ParseLevel(s string) (Level, error) {
	best := Best()
	if s == "" || s == "auto" {
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
