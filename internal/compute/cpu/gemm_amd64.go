//go:build !noasm

package cpu

import "unsafe"

const haveAssembly = true

// microKernel is the type of the generated kernels; see microRef.
type microKernel = func(k int, a, b, c *float32, ldc int, accumulate int)

var (
	microKernels512 = [15]microKernel{nil, microAVX512x1, microAVX512x2, microAVX512x3, microAVX512x4, microAVX512x5, microAVX512x6, microAVX512x7,
		microAVX512x8, microAVX512x9, microAVX512x10, microAVX512x11, microAVX512x12, microAVX512x13, microAVX512x14}
	microKernels2 = [7]microKernel{nil, microAVX2x1, microAVX2x2, microAVX2x3, microAVX2x4, microAVX2x5, microAVX2x6}
)

// micro is microRef by the kernels of a level, whose panels are those of tileOf.
func micro(lv Level, rows, k int, a, b, c []float32, ldc int, accumulate int) {
	_, panel := tileOf(lv)
	_, _, _ = a[rows*k-1], b[panel*k-1], c[(rows-1)*ldc+panel-1]
	switch lv {
	case AVX512:
		microKernels512[rows](k, &a[0], &b[0], &c[0], 4*ldc, accumulate)
	case AVX2:
		microKernels2[rows](k, &a[0], &b[0], &c[0], 4*ldc, accumulate)
	default:
		if rows == 2 {
			micro2x4(k, a, b, c, ldc, accumulate)
			return
		}
		microRef(rows, panel, k, a, b, c, ldc, accumulate)
	}
}

// pack is packRef by the kernels of a level. They read and write whole vectors: lanes up to total, the number there are in s,
// may be read though they are not asked for, and what is written past the width of a row lies where the next row comes.
func pack(lv Level, dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, total, k0, kc int) {
	vector := packLanes[lv]
	if vector == 0 {
		packRef(dst, stride, s, ld, contiguous, l0, width, k0, kc)
		return
	}
	for l := 0; l < width; l += vector {
		w := min(vector, width-l)
		// A vector that sticks out of this row's lanes must be the last, so that the next row overwrites what it leaves.
		done := 0
		if l0+l+vector <= total && (w == vector || l+w == width && width == stride) {
			done = packVectors(lv, dst[l:], stride, s, ld, contiguous, l0+l, k0, kc)
		}
		if done < kc {
			packRef(dst[done*stride+l:], stride, s, ld, contiguous, l0+l, w, k0+done, kc-done)
		}
	}
}

// packLanes is the number of lanes that a level packs at once.
var packLanes = [3]int{Generic: 0, AVX2: 8, AVX512: 16}

// packVectors packs one vector of lanes for as many k as make whole blocks, and returns their number.
func packVectors(lv Level, dst []float32, stride int, s []float32, ld int, contiguous bool, l0, k0, kc int) int {
	vector := packLanes[lv]
	if !contiguous {
		_, _ = s[(k0+kc-1)*ld+l0+vector-1], dst[(kc-1)*stride+vector-1]
		if lv == AVX512 {
			copy16(kc, &s[k0*ld+l0], 4*ld, &dst[0], 4*stride)
			return kc
		}
		for k := range kc {
			*(*[8]float32)(dst[k*stride:]) = *(*[8]float32)(s[(k0+k)*ld+l0:])
		}
		return kc
	}
	done := kc / 8 * 8
	if done == 0 {
		return 0
	}
	_, _ = s[(l0+vector-1)*ld+k0+done-1], dst[(done-1)*stride+vector-1]
	if lv == AVX2 {
		transpose8(done/8, &s[l0*ld+k0], 4*ld, &dst[0], 4*stride)
		return done
	}
	at := done / 16 * 16
	if at > 0 {
		transpose16(at/16, &s[l0*ld+k0], 4*ld, &dst[0], 4*stride)
	}
	if at < done { // the upper half first: what it writes past the row is overwritten by the lower half of the next
		for half := 8; half >= 0; half -= 8 {
			transpose8(1, &s[(l0+half)*ld+k0+at], 4*ld, &dst[at*stride+half], 4*stride)
		}
	}
	return done
}

// first is a pointer to the first number, or nil.
func first(x []float32) *float32 { return unsafe.SliceData(x) }
