package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// logProbsRef is compute.Device.LogProbs for one row: the log-probs of the tokens, and the row's log-sum-exp, entropy
// and best id.
func logProbsRef[T float](x []T, tokens []int32, logps []float64) (lse, entropy float64, best int32) {
	m := x[0]
	for i, v := range x {
		if v > m {
			m, best = v, int32(i)
		}
	}
	var sum, sumX float64
	for _, v := range x {
		e := math.Exp(float64(v - m))
		sum += e
		sumX += e * float64(v)
	}
	lse = float64(m) + math.Log(sum)
	for i, t := range tokens {
		logps[i] = float64(T(float64(x[t]) - lse))
	}
	return lse, lse - sumX/sum, best
}

// logProbsBackwardRef replaces one row of logits by sum_t d_t * (onehot(t) - softmax).
func logProbsBackwardRef[T float](x []T, tokens []int32, dLogps []float64, lse float64) {
	var total float64
	for _, d := range dLogps {
		total += d
	}
	for i, v := range x {
		x[i] = T(-total * math.Exp(float64(v)-lse))
	}
	for i, t := range tokens {
		x[t] += T(dLogps[i])
	}
}

// collisionRef is log sum_v p_v^2 of one row of logits: log sum e^2x - 2 log sum e^x.
func collisionRef[T float](x []T, lse float64) float64 {
	var sum float64
	for _, v := range x {
		sum += math.Exp(2 * (float64(v) - lse))
	}
	return math.Log(sum)
}

// targetsOf is the range of a row's targets.
func targetsOf(t compute.RowTargets, i int) (from, to int) { return int(t.First[i]), int(t.First[i+1]) }

// LogProbs implements compute.Device. The exponentials are float32, their sum and everything after it float64.
func (d *Device) LogProbs(logits compute.Mat, targets compute.RowTargets, logps, lse, entropy, collision []float64, best []int32) {
	d.growScratch(logits.Cols)
	d.on = operands{x: logits, targets: targets, logps: logps, lse: lse, entropy: entropy, collision: collision, best: best}
	d.pieces(logits.Rows, func(d *Device, i, worker int) {
		o := &d.on
		x, e := row[float32](o.x, i), d.scratch[worker].row[:o.x.Cols]
		m := maxOf(d.level, x)
		sum := float64(expSum(d.level, e, x, m))
		o.lse[i] = float64(m) + math.Log(sum)
		o.entropy[i] = o.lse[i] - float64(dot(d.level, e, x))/sum
		if o.collision != nil {
			o.collision[i] = math.Log(sumSquares(d.level, e)) - 2*math.Log(sum)
		}
		o.best[i] = indexOf(x, m)
		from, to := targetsOf(o.targets, i)
		for k := from; k < to; k++ {
			o.logps[k] = float64(float32(float64(x[o.targets.Tokens[k]]) - o.lse[i]))
		}
	})
	d.on = operands{}
}

// indexOf is the first place of v in x; 0 when it is not there, as with a NaN.
func indexOf(x []float32, v float32) int32 {
	for i, w := range x {
		if w == v {
			return int32(i)
		}
	}
	return 0
}

// LogProbsBackward implements compute.Device.
func (d *Device) LogProbsBackward(logits compute.Mat, targets compute.RowTargets, dLogps, lse []float64) {
	d.on = operands{x: logits, targets: targets, logps: dLogps, lse: lse}
	d.rows(logits.Rows, func(d *Device, i int) {
		o := &d.on
		x, dLogps := row[float32](o.x, i), o.logps
		from, to := targetsOf(o.targets, i)
		var total float64
		for _, c := range dLogps[from:to] {
			total += c
		}
		expScale(d.level, x, x, float32(o.lse[i]), float32(-total))
		for k := from; k < to; k++ {
			x[o.targets.Tokens[k]] += float32(dLogps[k])
		}
	})
	d.on = operands{}
}
