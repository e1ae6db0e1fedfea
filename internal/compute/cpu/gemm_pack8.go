//go:build (amd64 || arm64) && !noasm

package cpu

// pack8 is packRef, 8 lanes at a time.
func pack8(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, total, k0, kc int) {
	// The last lanes first: vectors that stick out of their row write into the lanes of the next, which are written after them.
	for l := (width - 1) / 8 * 8; l >= 0; l -= 8 {
		w, done := min(8, width-l), 0
		if l0+l+8 <= total && (w == 8 || width == stride) {
			done = packVectors8(dst[l:], stride, s, ld, contiguous, l0+l, k0, kc)
		}
		if done < kc {
			packRef(dst[done*stride+l:], stride, s, ld, contiguous, l0+l, w, k0+done, kc-done)
		}
	}
}

// packVectors8 packs 8 lanes for as many k as make whole squares, and returns their number.
func packVectors8(dst []float32, stride int, s []float32, ld int, contiguous bool, l0, k0, kc int) int {
	if !contiguous {
		for k := range kc {
			*(*[8]float32)(dst[k*stride:]) = *(*[8]float32)(s[(k0+k)*ld+l0:])
		}
		return kc
	}
	done := kc / 8 * 8
	if done > 0 {
		_, _ = s[(l0+7)*ld+k0+done-1], dst[(done-1)*stride+7]
		transpose8(done/8, &s[l0*ld+k0], 4*ld, &dst[0], 4*stride)
	}
	return done
}
