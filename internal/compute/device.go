// Package compute defines what a device does for a model: the few fused operations a transformer block, its
// embedding and its head are made of, each with its backward, on memory that only the device understands.
//
// Sizes in the docs: N rows of a packed batch, C hidden, H heads, K kv heads, D head dim, F intermediate, V vocabulary.
// Gradients of parameters are added to, gradients of activations are overwritten, except where an operation says
// otherwise. Row numbers, ids and positions come from the host.
//
// Exactness, which computetest checks on every device: each output row of a forward operation is the same bits
// whatever other rows are in the call and whatever the number of threads; backward operations give the same bits
// for any number of threads.
//
// To add an operation: a method here, its formula in package cpu (reference.go), the fast version beside it, and a
// case in computetest. Operations panic when the shapes disagree: that is a bug of the caller.
package compute

// Buffer is device memory: Len numbers of the device's own format.
type Buffer interface {
	Len() int
}

// Mat is a row-major view of a buffer: element (i, j) is Buf[Off + i*Stride + j].
type Mat struct {
	Buf                     Buffer
	Off, Rows, Cols, Stride int
}

// Matrix is the view of rows x cols numbers that lie end to end from the start of buf.
func Matrix(buf Buffer, rows, cols int) Mat {
	return Mat{Buf: buf, Rows: rows, Cols: cols, Stride: cols}
}

// Columns is the view of columns [from, to) of m.
func (m Mat) Columns(from, to int) Mat {
	m.Off += from
	m.Cols = to - from
	return m
}

// RowRange is the view of rows [from, to) of m.
func (m Mat) RowRange(from, to int) Mat {
	m.Off += from * m.Stride
	m.Rows = to - from
	return m
}

// Heads is a view of vectors: element j of head h in row i is Buf[Off + i*Stride + h*HeadStride + j].
type Heads struct {
	Buf                     Buffer
	Off, Stride, HeadStride int
}

// Form says which operands of a matrix product are transposed.
type Form int

// The three forms that forward and backward of a linear layer need.
const (
	NN Form = iota // C[m,n] = A[m,k] B[k,n]
	NT             // C[m,n] = A[m,k] B[n,k]^T
	TN             // C[m,n] = A[k,m]^T B[k,n]
)

// AttentionShape is what attention needs to know besides its operands.
type AttentionShape struct {
	Heads, KVHeads, HeadDim int
	Scale                   float64 // scores are multiplied by it, usually 1/sqrt(D)
	Window                  int     // keys a row sees, itself included; 0 = all before it
}

// RowTargets names, for every row of a logits matrix, the ids whose log-prob is wanted: Tokens[First[i]:First[i+1]].
type RowTargets struct {
	First  []int32 // [R+1]
	Tokens []int32 // [M]
}

// AdamW holds the coefficients of one update; see Device.AdamW.
type AdamW struct {
	LearningRate, Beta1, Beta2, Epsilon, WeightDecay float64
	Step                                             int     // t, counted from 1
	GradScale                                        float64 // gradients are multiplied by it first: the clip factor
}

// Workload is how large operands become.
type Workload struct {
	Rows      int // of a batch
	Hidden    int
	Width     int // of the widest activation
	Vocab     int
	Attention AttentionShape
	Training  bool // with the backward operations
}

// Device runs the operations. It is used by one goroutine at a time.
type Device interface {
	// Family names the kernels, such as cpu-avx512: two devices of one family give the same bits.
	Family() string
	// Threads is the number of workers.
	Threads() int
	// Close ends the workers.
	Close()

	// Alloc gives n zeroed numbers.
	Alloc(n int) Buffer
	// AllocBF16 gives n zeroed numbers of bf16 for AdamW's moments; of the other operations Upload, which rounds to the nearest, and
	// Download alone know them.
	AllocBF16(n int) Buffer
	// Workspace is how many bytes the operations themselves take at most, besides the buffers; they keep them until Close.
	Workspace(w Workload) int64
	// Upload copies src to dst from number off on; Download copies from there.
	Upload(dst Buffer, off int, src []float32)
	Download(dst []float32, src Buffer, off int)
	// Zero writes zeros to x.
	Zero(x Mat)

	// MatMul writes (or adds, with accumulate) the product of a and b in the given form to dst.
	MatMul(form Form, dst, a, b Mat, accumulate bool)
	// Copy writes src to dst. Add adds src to dst.
	Copy(dst, src Mat)
	Add(dst, src Mat)
	// AddBias adds bias [cols] to every row of y. AddBiasBackward adds the column sums of dy to dBias.
	AddBias(y Mat, bias Mat)
	AddBiasBackward(dBias Mat, dy Mat)

	// RMSNorm writes y = x * rstd * w with rstd = 1/sqrt(mean(x*x)+eps), kept in rstd [N] for the backward.
	RMSNorm(y, x, w Mat, rstd Buffer, eps float64)
	// RMSNormBackward adds to dx and to dw.
	RMSNormBackward(dx, dw, dy, x, w Mat, rstd Buffer)
	// LayerNorm writes y = (x-mean) * rstd * w + b with rstd = 1/sqrt(var(x)+eps); mean and rstd are [N].
	LayerNorm(y, x, w, b Mat, mean, rstd Buffer, eps float64)
	// LayerNormBackward adds to dx, dw and db.
	LayerNormBackward(dx, dw, db, dy, x, w Mat, mean, rstd Buffer)

	// RoPE rotates, in place, the first R numbers of every head by the angle of the row's position, R being twice
	// the columns of cos and sin [positions, R/2]; number j turns with number j+R/2. With inverse it rotates back,
	// which is also its backward.
	RoPE(x Heads, heads int, positions []int32, cos, sin Mat, inverse bool)

	// Attention writes softmax(scale * q k^T) v for every row of the segments to o, and the log-sum-exp of every
	// row's scores to lse [N, H].
	Attention(o Heads, lse Mat, q, k, v Heads, shape AttentionShape, segments []Segment)
	// AttentionBackward overwrites dq, dk and dv.
	AttentionBackward(dq, dk, dv, do, o Heads, lse Mat, q, k, v Heads, shape AttentionShape, segments []Segment)

	// SiLUMul writes y = silu(gate) * up. SiLUMulBackward writes y once more, and dGate
	// and dUp, of which either may be dy's own memory.
	SiLUMul(y, gate, up Mat)
	SiLUMulBackward(y, dGate, dUp, dy, gate, up Mat)
	// GELU writes y = x Phi(x) with Phi the normal distribution, 0.5 (1 + erf(x / sqrt 2)).
	GELU(y, x Mat)
	// GELUBackward writes y once more, and dx, which may be dy.
	GELUBackward(y, dx, dy, x Mat)
	// GELUTanh writes y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), transformers' gelu_new.
	GELUTanh(y, x Mat)
	// GELUTanhBackward writes y once more, and dx, which may be dy.
	GELUTanhBackward(y, dx, dy, x Mat)

	// Gather writes row rows[i] of table to row i of y. ScatterAdd adds row i of dy to row rows[i] of dTable.
	Gather(y, table Mat, rows []int32)
	ScatterAdd(dTable, dy Mat, rows []int32)

	// LogProbs reads logits [R,V] and writes the log-prob in nats of every target to logps [M], and for every row
	// the log-sum-exp to lse [R], the entropy in nats to entropy [R] and the id with the largest logit to best [R]; and
	// log sum_v p_v^2, the log-prob of drawing the same id twice, to collision [R], unless that is nil.
	LogProbs(logits Mat, targets RowTargets, logps, lse, entropy, collision []float64, best []int32)
	// LogProbsBackward replaces logits by the gradient of sum(dLogps * logps).
	LogProbsBackward(logits Mat, targets RowTargets, dLogps, lse []float64)

	// KL reads logits [R,V] of a policy, with their log-sum-exps lse [R], and of a reference, and writes for every row the reference's
	// log-sum-exp to refLSE [R] and the divergence KL(reference || policy) of the two distributions in nats to kl [R]: never below 0, and
	// exactly 0 where the rows are the same.
	KL(policy, reference Mat, lse, refLSE, kl []float64)
	// KLBackward replaces reference by the gradient of sum(dKL * kl) by the policy's logits.
	KLBackward(reference, policy Mat, dKL, lse, refLSE []float64)

	// SumSquares is the sum of the squares of numbers [from, to) of b. It is not finite when one of them is not.
	SumSquares(b Buffer, from, to int) float64
	// AdamW updates numbers [from, to) of w with gradient g and moments m and v, as torch.optim.AdamW does. Moments of AllocBF16 are
	// rounded up or down at random, so that on average they are exact; what is random is a function of step and place in w alone.
	AdamW(w, g, m, v Buffer, from, to int, c AdamW)
}
