package cpu

import (
	"dpotrain/internal/compute"
)

// Reference is a Device made of the plain kernels alone, on one goroutine. Reference[float64] is the measure of
// everything else; it is far too slow to train with.
type Reference[T float] struct{}

// Family implements compute.Device.
func (Reference[T]) Family() string { return "reference" }

// Threads implements compute.Device.
func (Reference[T]) Threads() int { return 1 }

// Close implements compute.Device.
func (Reference[T]) Close() {}

// Workspace implements compute.Device.
func (Reference[T]) Workspace(compute.Workload) int64 { return 0 }

// Alloc implements compute.Device.
func (Reference[T]) Alloc(n int) compute.Buffer { return make(buffer[T], n) }

// Numbers is the memory of a buffer that Alloc made, for tests that read or change single numbers.
func (Reference[T]) Numbers(b compute.Buffer) []T { return numbers[T](b) }

// Upload implements compute.Device.
func (Reference[T]) Upload(dst compute.Buffer, off int, src []float32) {
	if m, ok := dst.(moments); ok {
		m.upload(off, src)
		return
	}
	for i, v := range src {
		numbers[T](dst)[off+i] = T(v)
	}
}

// Download implements compute.Device.
func (Reference[T]) Download(dst []float32, src compute.Buffer, off int) {
	if m, ok := src.(moments); ok {
		m.download(dst, off)
		return
	}
	for i := range dst {
		dst[i] = float32(numbers[T](src)[off+i])
	}
}

// Zero implements compute.Device.
func (Reference[T]) Zero(x compute.Mat) {
	for i := range x.Rows {
		clear(row[T](x, i))
	}
}

// MatMul implements compute.Device.
func (Reference[T]) MatMul(f compute.Form, dst, a, b compute.Mat, accumulate bool) {
	m, n, k := matMulSizes(f, dst, a, b)
	at := func(x compute.Mat, i, j int) T { return numbers[T](x.Buf)[x.Off+i*x.Stride+j] }
	for i := range m {
		c := row[T](dst, i)
		for j := range n {
			var sum T
			for l := range k {
				switch f {
				case compute.NN:
					sum += at(a, i, l) * at(b, l, j)
				case compute.NT:
					sum += at(a, i, l) * at(b, j, l)
				case compute.TN:
					sum += at(a, l, i) * at(b, l, j)
				}
			}
			if accumulate {
				sum += c[j]
			}
			c[j] = sum
		}
	}
}

// Copy implements compute.Device.
func (Reference[T]) Copy(dst, src compute.Mat) {
	for i := range src.Rows {
		copy(row[T](dst, i), row[T](src, i))
	}
}

// Add implements compute.Device.
func (Reference[T]) Add(dst, src compute.Mat) {
	for i := range src.Rows {
		addRef(row[T](dst, i), row[T](src, i))
	}
}

// AddBias implements compute.Device.
func (Reference[T]) AddBias(y, bias compute.Mat) {
	for i := range y.Rows {
		addRef(row[T](y, i), row[T](bias, 0))
	}
}

// AddBiasBackward implements compute.Device.
func (Reference[T]) AddBiasBackward(dBias, dy compute.Mat) {
	columnSumsRef(row[T](dBias, 0), dy, 0, dy.Cols)
}

// RMSNorm implements compute.Device.
func (Reference[T]) RMSNorm(y, x, w compute.Mat, rstd compute.Buffer, eps float64) {
	for i := range x.Rows {
		numbers[T](rstd)[i] = rmsNormRef(row[T](y, i), row[T](x, i), row[T](w, 0), eps)
	}
}

// RMSNormBackward implements compute.Device.
func (Reference[T]) RMSNormBackward(dx, dw, dy, x, w compute.Mat, rstd compute.Buffer) {
	for i := range x.Rows {
		rmsNormBackwardRef(row[T](dx, i), row[T](dy, i), row[T](x, i), row[T](w, 0), numbers[T](rstd)[i])
	}
	rmsNormWeightRef(row[T](dw, 0), dy, x, numbers[T](rstd), 0, x.Cols)
}

// LayerNorm implements compute.Device.
func (Reference[T]) LayerNorm(y, x, w, b compute.Mat, mean, rstd compute.Buffer, eps float64) {
	m, r := numbers[T](mean), numbers[T](rstd)
	for i := range x.Rows {
		m[i], r[i] = layerNormRef(row[T](y, i), row[T](x, i), row[T](w, 0), row[T](b, 0), eps)
	}
}

// LayerNormBackward implements compute.Device.
func (Reference[T]) LayerNormBackward(dx, dw, db, dy, x, w compute.Mat, mean, rstd compute.Buffer) {
	m, r := numbers[T](mean), numbers[T](rstd)
	for i := range x.Rows {
		layerNormBackwardRef(row[T](dx, i), row[T](dy, i), row[T](x, i), row[T](w, 0), m[i], r[i])
	}
	layerNormWeightRef(row[T](dw, 0), row[T](db, 0), dy, x, m, r, 0, x.Cols)
}

// RoPE implements compute.Device.
func (Reference[T]) RoPE(x compute.Heads, heads int, positions []int32, cos, sin compute.Mat, inverse bool) {
	for i, p := range positions {
		cos, sin := row[T](cos, int(p)), row[T](sin, int(p))
		for h := range heads {
			ropeRef(head[T](x, i, h, 2*len(cos)), cos, sin, signOf[T](inverse))
		}
	}
}

// Attention implements compute.Device.
func (Reference[T]) Attention(o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	group := shape.Heads / shape.KVHeads
	for _, s := range segments {
		for r := s.Start; r < s.End; r++ {
			p := firstPosition(s) + r - s.Start
			room := make([]T, p+1)
			for h := range shape.Heads {
				row[T](lse, r)[h] = attentionRef(head[T](o, r, h, shape.HeadDim), head[T](q, r, h, shape.HeadDim), k, v, h/group, s, p, shape, room)
			}
		}
	}
}

// AttentionBackward implements compute.Device.
func (Reference[T]) AttentionBackward(dq, dk, dv, do, o compute.Heads, lse compute.Mat, q, k, v compute.Heads, shape compute.AttentionShape, segments []compute.Segment) {
	n, group := shape.HeadDim, shape.Heads/shape.KVHeads
	for _, s := range segments {
		for r := s.Start; r < s.End; r++ {
			for h := range shape.Heads {
				clear(head[T](dq, r, h, n))
			}
			for h := range shape.KVHeads {
				clear(head[T](dk, r, h, n))
				clear(head[T](dv, r, h, n))
			}
		}
	}
	for _, s := range segments {
		for r := s.Start; r < s.End; r++ {
			for h := range shape.Heads {
				attentionBackwardRef(head[T](dq, r, h, n), dk, dv, head[T](do, r, h, n), head[T](o, r, h, n), head[T](q, r, h, n),
					row[T](lse, r)[h], k, v, h/group, s, firstPosition(s)+r-s.Start, shape)
			}
		}
	}
}

// SiLUMul implements compute.Device.
func (Reference[T]) SiLUMul(y, gate, up compute.Mat) {
	for i := range y.Rows {
		siluMulRef(row[T](y, i), row[T](gate, i), row[T](up, i))
	}
}

// SiLUMulBackward implements compute.Device.
func (Reference[T]) SiLUMulBackward(y, dGate, dUp, dy, gate, up compute.Mat) {
	for i := range dy.Rows {
		siluMulBackRef(row[T](y, i), row[T](dGate, i), row[T](dUp, i), row[T](dy, i), row[T](gate, i), row[T](up, i))
	}
}

// GELU implements compute.Device.
func (Reference[T]) GELU(y, x compute.Mat) {
	for i := range y.Rows {
		geluRef(row[T](y, i), row[T](x, i))
	}
}

// GELUBackward implements compute.Device.
func (Reference[T]) GELUBackward(y, dx, dy, x compute.Mat) {
	for i := range dy.Rows {
		geluBackRef(row[T](y, i), row[T](dx, i), row[T](dy, i), row[T](x, i))
	}
}

// GELUTanh implements compute.Device.
func (Reference[T]) GELUTanh(y, x compute.Mat) {
	for i := range y.Rows {
		geluTanhRef(row[T](y, i), row[T](x, i))
	}
}

// GELUTanhBackward implements compute.Device.
func (Reference[T]) GELUTanhBackward(y, dx, dy, x compute.Mat) {
	for i := range dy.Rows {
		geluTanhBackRef(row[T](y, i), row[T](dx, i), row[T](dy, i), row[T](x, i))
	}
}

// Gather implements compute.Device.
func (Reference[T]) Gather(y, table compute.Mat, rows []int32) {
	for i, r := range rows {
		copy(row[T](y, i), row[T](table, int(r)))
	}
}

// ScatterAdd implements compute.Device.
func (Reference[T]) ScatterAdd(dTable, dy compute.Mat, rows []int32) {
	scatterAddRef[T](dTable, dy, rows, 0, dy.Cols)
}

// LogProbs implements compute.Device.
func (Reference[T]) LogProbs(logits compute.Mat, targets compute.RowTargets, logps, lse, entropy, collision []float64, best []int32) {
	for i := range logits.Rows {
		a, b := targetsOf(targets, i)
		lse[i], entropy[i], best[i] = logProbsRef(row[T](logits, i), targets.Tokens[a:b], logps[a:b])
		if collision != nil {
			collision[i] = collisionRef(row[T](logits, i), lse[i])
		}
	}
}

// LogProbsBackward implements compute.Device.
func (Reference[T]) LogProbsBackward(logits compute.Mat, targets compute.RowTargets, dLogps, lse []float64) {
	for i := range logits.Rows {
		a, b := targetsOf(targets, i)
		logProbsBackwardRef(row[T](logits, i), targets.Tokens[a:b], dLogps[a:b], lse[i])
	}
}

// KL implements compute.Device.
func (Reference[T]) KL(policy, reference compute.Mat, lse, refLSE, kl []float64) {
	for i := range reference.Rows {
		refLSE[i], kl[i] = klRef(row[T](policy, i), row[T](reference, i), lse[i])
	}
}

// KLBackward implements compute.Device.
func (Reference[T]) KLBackward(reference, policy compute.Mat, dKL, lse, refLSE []float64) {
	for i := range reference.Rows {
		klBackwardRef(row[T](reference, i), row[T](policy, i), dKL[i], lse[i], refLSE[i])
	}
}

// SumSquares implements compute.Device.
func (Reference[T]) SumSquares(b compute.Buffer, from, to int) float64 {
	return sumSquaresRef(numbers[T](b)[from:to])
}

// AdamW implements compute.Device.
func (Reference[T]) AdamW(w, g, m, v compute.Buffer, from, to int, c compute.AdamW) {
	if m, ok := m.(moments); ok {
		adamWMomentsRef(numbers[T](w)[from:to], numbers[T](g)[from:to], m[from:to], v.(moments)[from:to], uint32(from), keyOf(c.Step), coefficients(c))
		return
	}
	adamWRef(numbers[T](w)[from:to], numbers[T](g)[from:to], numbers[T](m)[from:to], numbers[T](v)[from:to], coefficients(c))
}
