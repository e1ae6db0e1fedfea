package cpu

import (
	"fmt"
	"time"
)

// Peak measures how many floating-point operations a second this CPU can do in matrix products, on so many threads: multiply-adds on
// registers and nothing else. What products reach is a share of it. It takes a tenth of a second, and fails where there is no assembly
// for the CPU, or no bf16.
func Peak(bf16 bool, threads int) (flops float64, err error) {
	rounds, perRound := peakKernel(bf16)
	if rounds == nil {
		return 0, fmt.Errorf("no kernels to measure the peak of this CPU with")
	}
	p := newPool(threads)
	defer p.close()
	const n = 20000
	for end := time.Now().Add(time.Second / 10); time.Now().Before(end); {
		start := time.Now()
		p.run(threads, func(int, int) { rounds(n) })
		flops = max(flops, float64(threads*n*perRound)/time.Since(start).Seconds())
	}
	return flops, nil
}
