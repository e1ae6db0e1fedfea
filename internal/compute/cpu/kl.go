package cpu

import (
	"math"

	"dpotrain/internal/compute"
)

// seriesBelow is the |d| below which klTerm is a series; what is left out of it is less than 1e-11 of the whole.
const seriesBelow = 0.25

// klTerm is what one id adds to KL(P || Q), by its probabilities p and q and the difference d of their logarithms, log p - log q:
//
//	q - p + p d = p (e^-d - 1 + d)
//
// The sum over the ids is that of p d, for both distributions add up to 1; but no term is below 0, each is exactly 0 where the two agree, and an
// error of either log-sum-exp counts with its square alone. Near d = 0, where q and p would cancel, it is the series, which does without q.
func klTerm(p, q, d float64) float64 {
	switch {
	case p == 0: // d may be infinite
		return q
	case math.Abs(d) < seriesBelow:
		return p * d * d * (1./2 - d*(1./6-d*(1./24-d*(1./120-d*(1./720-d*(1./5040-d*(1./40320-d/362880)))))))
	}
	return q - p + p*d
}

// klRef is compute.Device.KL for one row: the reference's log-sum-exp and the divergence.
func klRef[T float](policy, reference []T, lse float64) (refLSE, kl float64) {
	refLSE, _, _ = logProbsRef(reference, nil, nil)
	for i, v := range reference {
		p, q := float64(v)-refLSE, float64(policy[i])-lse
		kl += klTerm(math.Exp(p), math.Exp(q), p-q)
	}
	return refLSE, kl
}

// klBackwardRef replaces one row of the reference's logits by d (softmax(policy) - softmax(reference)).
func klBackwardRef[T float](reference, policy []T, d, lse, refLSE float64) {
	for i, v := range reference {
		reference[i] = T(d * (math.Exp(float64(policy[i])-lse) - math.Exp(float64(v)-refLSE)))
	}
}

// KL implements compute.Device. The exponentials are float32, everything after them float64.
func (d *Device) KL(policy, reference compute.Mat, lse, refLSE, kl []float64) {
	d.growScratch(reference.Cols)
	d.on = operands{x: policy, y: reference, lse: lse, refLSE: refLSE, kl: kl}
	d.pieces(reference.Rows, func(d *Device, i, worker int) {
		o := &d.on
		x, r, e := row[float32](o.x, i), row[float32](o.y, i), d.scratch[worker].row[:o.y.Cols]
		m := maxOf(d.level, r)
		sum := float64(expSum(d.level, e, r, m))
		lse, refLSE := o.lse[i], float64(m)+math.Log(sum)
		x = x[:len(r)]
		kl := 0.0
		for j, v := range r {
			logQ := float64(x[j]) - lse
			d, q := float64(v)-refLSE-logQ, 0.0
			if !(math.Abs(d) < seriesBelow) {
				q = float64(exp32(float32(logQ)))
			}
			kl += klTerm(float64(e[j])/sum, q, d)
		}
		o.refLSE[i], o.kl[i] = refLSE, kl
	})
	d.on = operands{}
}

// KLBackward implements compute.Device.
func (d *Device) KLBackward(reference, policy compute.Mat, dKL, lse, refLSE []float64) {
	d.growScratch(reference.Cols)
	d.on = operands{x: policy, y: reference, kl: dKL, lse: lse, refLSE: refLSE}
	d.pieces(reference.Rows, func(d *Device, i, worker int) {
		o := &d.on
		x, r, q, c := row[float32](o.x, i), row[float32](o.y, i), d.scratch[worker].row[:o.y.Cols], float32(o.kl[i])
		expScale(d.level, q, x, float32(o.lse[i]), c)
		expScale(d.level, r, r, float32(o.refLSE[i]), -c)
		axpy(d.level, r, 1, q)
	})
	d.on = operands{}
}
