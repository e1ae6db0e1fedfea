package model

import (
	"fmt"
	"hash"
	"hash/fnv"
	"sync/atomic"

	"github.com/chewxy/hm"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"dpotrain/internal/compute"
)

// value is what travels along the edges of a graph: a view of device memory, or numbers of the host. gorgonia carries
// it without looking inside. Its shape is nominal, so that one graph takes batches of any size; ops read the true sizes
// from the batch.
type value struct {
	mat  compute.Mat
	host []float64
}

var nominalShape = tensor.Shape{2, 2}

func (v *value) Shape() tensor.Shape        { return nominalShape }
func (v *value) Size() int                  { return nominalShape.TotalSize() }
func (v *value) Data() any                  { return v }
func (v *value) Dtype() tensor.Dtype        { return tensor.Float64 }
func (v *value) Uintptr() uintptr           { return 0 }
func (v *value) MemSize() uintptr           { return 0 }
func (v *value) Format(s fmt.State, _ rune) { fmt.Fprint(s, "device value") }

var (
	valueType  = func() hm.Type { return gorgonia.TensorType{Dims: len(nominalShape), Of: tensor.Float64} }
	scalarType = func() hm.Type { return tensor.Float64 }
)

var opCount atomic.Int64

// op is a function as a gorgonia operation. Every op has a hash of its own: gorgonia merges nodes whose ops hash alike,
// and ours have effects (activations, gradients of parameters) that must not be merged.
type op struct {
	name    string
	id      int64
	inputs  int
	scalar  []int // inputs that are scalars
	isLoss  bool  // the result is a scalar
	do      func(in []gorgonia.Value) (gorgonia.Value, error)
	symDiff func(in gorgonia.Nodes, out, grad *gorgonia.Node) (*gorgonia.Node, error)
	failed  *error // of the graph, for the op's own error
}

// apply puts an op on the graph.
func (g *Graph) apply(o *op, in ...*gorgonia.Node) (*gorgonia.Node, error) {
	o.id, o.inputs, o.failed = opCount.Add(1), len(in), &g.failed
	for i, n := range in {
		if n.IsScalar() {
			o.scalar = append(o.scalar, i)
		}
	}
	return gorgonia.ApplyOp(o, in...)
}

func (o *op) Arity() int { return o.inputs }

// Type is made anew for every call: gorgonia returns it to a pool.
func (o *op) Type() hm.Type {
	types := make([]hm.Type, o.inputs+1)
	for i := range types {
		types[i] = valueType()
	}
	for _, i := range o.scalar {
		types[i] = scalarType()
	}
	if o.isLoss {
		types[o.inputs] = scalarType()
	}
	return hm.NewFnType(types...)
}

func (o *op) InferShape(...gorgonia.DimSizer) (tensor.Shape, error) {
	if o.isLoss {
		return tensor.ScalarShape(), nil
	}
	return nominalShape.Clone(), nil
}

// Do runs the op. It turns a panic into an error: gorgonia calls it on a goroutine where a panic would end the process.
func (o *op) Do(in ...gorgonia.Value) (out gorgonia.Value, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: %v", o.name, r)
		}
		if err != nil {
			*o.failed = err
		}
	}()
	return o.do(in)
}

func (o *op) ReturnsPtr() bool      { return true }
func (o *op) CallsExtern() bool     { return false }
func (o *op) OverwritesInput() int  { return -1 }
func (o *op) WriteHash(h hash.Hash) { fmt.Fprintf(h, "%s#%d", o.name, o.id) }
func (o *op) String() string        { return fmt.Sprintf("%s#%d", o.name, o.id) }

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT says that the first input alone has a gradient.
func (o *op) DiffWRT(n int) []bool {
	d := make([]bool, n)
	d[0] = o.symDiff != nil
	return d
}

// SymDiff puts the backward op on the graph.
func (o *op) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	if o.symDiff == nil {
		return nil, fmt.Errorf("%s has no gradient", o.name)
	}
	d, err := o.symDiff(in, out, grad)
	return gorgonia.Nodes{d}, err
}
