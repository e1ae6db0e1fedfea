package cpu

type form int

const (
	nn form = iota
	nt
	tn
)

type gemmScratch struct{}

func gemmSerial(sc *gemmScratch, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	for i := range m {
		for j := range n {
			var sum float32
			for l := range k {
				switch f {
				case nn:
					sum += a[i*lda+l] * b[l*ldb+j]
				case nt:
					sum += a[i*lda+l] * b[j*ldb+l]
				case tn:
					sum += a[l*lda+i] * b[l*ldb+j]
				}
			}
			if accumulate {
				sum += c[i*ldc+j]
			}
			c[i*ldc+j] = sum
		}
	}
}

func gemm(p *pool, lv Level, f form, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	gemmSerial(nil, lv, f, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
}

const haveAssembly = false
