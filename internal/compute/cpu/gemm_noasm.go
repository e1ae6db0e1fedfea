//go:build !amd64 || noasm

package cpu

const haveAssembly = false

func micro(_ Level, rows, k int, a, b, c []float32, ldc int, accumulate int) {
	if rows == 2 {
		micro2x4(k, a, b, c, ldc, accumulate)
		return
	}
	microRef(rows, 4, k, a, b, c, ldc, accumulate)
}

func pack(_ Level, dst []float32, stride int, s []float32, ld int, contiguous bool, l0, width, _, k0, kc int) {
	packRef(dst, stride, s, ld, contiguous, l0, width, k0, kc)
}
