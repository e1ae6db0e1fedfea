package model

import (
	"errors"
	"fmt"
	"math"
	"runtime"

	"gorgonia.org/gorgonia"

	"dpotrain/internal/compute"
)

// GraphOptions say what a graph is for.
type GraphOptions struct {
	Training   bool // with the backward half; gradients are added to Model.G: see ResetGradients
	Recompute  bool // keep only every block's input and compute its inside again in backward
	Rows       int  // rows of the largest batch; memory is laid out for them, and grows if a larger one comes
	Scored     int  // rows that predict a scored id, of the batch with the most; likewise
	Length     int  // positions of the longest sequence; likewise
	KL         bool // with room for the divergences of a reference; see Graph.Compare
	Reference  bool // as a reference to Compare with: forward-only, without log-probs
	Alignments bool // Output.Alignments are wanted
	Logits     int  // numbers of logits held at once; 0 = a default. Scored rows beyond it are computed twice in training
}

// Default numbers of logits: 64 MiB of float32 forward-only; 512 MiB in training, where those that are kept save a product.
const (
	defaultLogits         = 16 << 20
	defaultTrainingLogits = 128 << 20
)

// LossFunc is given what forward made of a batch and returns the loss and its derivatives. The graph calls it between
// forward and backward.
type LossFunc func(out *Output) (loss float64, d Derivatives, err error)

// Derivatives are those of a loss with respect to numbers of every sequence of a batch.
type Derivatives struct {
	Logps []float64 // [S]
	KL    []float64 // [S]; empty, as if all were 0
}

// Output is what a run of a graph leaves behind. Its slices are valid until the next run.
type Output struct {
	Loss       float64
	Logps      []float64 // [S] nats, summed in order of position, each target times its weight
	Alignments []float64 // [S] nats, log p - log sum_v p_v^2 summed over the scored tokens; with GraphOptions.Alignments
	KL         []float64 // [S] nats, KL(reference || policy) over the vocabulary where a target was scored, summed; empty without a reference
	TokenLogps []float64 // [M] nats, in the order of Batch.Targets
	Entropy    []float64 // [M] nats, of the distribution that the target was scored by
	Best       []int32   // [M] the id with the largest logit where the target was scored
}

// Graph runs a model over packed batches of any size. A model has at most two: one for training, one forward-only, each
// built once. A graph is used by one goroutine at a time.
type Graph struct {
	model   *Model
	options GraphOptions
	run     run
	graph   *gorgonia.ExprGraph
	machine gorgonia.VM
	input   *gorgonia.Node
	loss    LossFunc
	out     Output

	reference *Graph // of the model to Compare with; nil: none
	dLoss     Derivatives
	failed    error // of the op that ended the run at hand

	rows    int      // rows that memory is laid out for
	x       []*value // outputs of the embedding and of every block
	d       *value   // the gradient on its way back
	blocks  blockMemory
	head    headMemory
	cosines compute.Mat // [positions, D/2]
	sines   compute.Mat
}

// run is what the blocks of one run share.
type run struct {
	dev       compute.Device
	batch     *compute.Batch
	scratch   *scratch
	cos, sin  compute.Mat
	hasRope   bool
	positions []int32
}

func (r *run) rope(x compute.Heads, heads int, inverse bool) {
	if r.hasRope {
		r.dev.RoPE(x, heads, r.positions, r.cos, r.sin, inverse)
	}
}

// NewGraph builds a graph. A training graph allocates the model's gradients.
func (m *Model) NewGraph(o GraphOptions) (*Graph, error) {
	if o.Reference && (o.Training || o.KL) {
		panic("model: a graph of a reference only goes forward")
	}
	if o.Training && m.G == nil {
		m.G = m.dev.Alloc(m.Len())
	}
	if o.Logits == 0 {
		o.Logits = defaultLogits
		if o.Training {
			o.Logits = defaultTrainingLogits
		}
	}
	s := &m.Config.Spec
	g := &Graph{model: m, options: o, graph: gorgonia.NewGraph(), d: &value{}}
	g.run = run{dev: m.dev, hasRope: s.Rope != nil}
	if err := g.build(); err != nil {
		return nil, fmt.Errorf("building the graph: %w", err)
	}
	g.reserve(o.Rows)
	g.head.reserve(s, m.dev, o, o.Scored)
	g.reservePositions(o.Length)
	return g, nil
}

// build puts embedding, blocks, head and loss on the graph, and with Training the gradient of the loss.
func (g *Graph) build() error {
	m, s := g.model, &g.model.Config.Spec
	g.input = gorgonia.NewMatrix(g.graph, gorgonia.Float64, gorgonia.WithShape(nominalShape...), gorgonia.WithName("batch"))
	g.x = make([]*value, s.Layers+1)
	for i := range g.x {
		g.x[i] = &value{}
	}

	x, err := g.apply(g.embedding(), g.input)
	if err != nil {
		return err
	}
	for i := range s.Layers {
		if x, err = g.apply(g.blockOp(i), x); err != nil {
			return err
		}
	}
	logps, err := g.apply(g.headOp(m.weight(g.headName()), m.normed(m.layout.finalNorm)), x)
	if err != nil {
		return err
	}
	if g.options.Training {
		loss, err := g.apply(g.lossOp(), logps)
		if err != nil {
			return err
		}
		if _, err := gorgonia.Grad(loss, g.input); err != nil {
			return err
		}
	}
	g.machine = gorgonia.NewTapeMachine(g.graph)
	// Its finalizer is for CUDA. The machine leads to our ops and by way of them back to itself, and Go never frees a circle with a finalizer
	// in it: all memory of the graph would stay for good.
	runtime.SetFinalizer(g.machine, nil)
	return nil
}

func (g *Graph) headName() string {
	if g.model.Config.Spec.Tied {
		return g.model.layout.embedding
	}
	return g.model.layout.head
}

// reserve lays out memory for batches of up to rows rows.
func (g *Graph) reserve(rows int) {
	if rows <= g.rows {
		return
	}
	g.rows = rows
	s, dev := &g.model.Config.Spec, g.model.dev
	g.blocks = newBlockMemory(s, dev.Alloc, g.options, rows)
	g.run.scratch = newScratch(s, dev.Alloc, rows, g.options.Training)
	for i := range g.x {
		g.x[i].mat.Buf = g.blocks.x[i]
	}
	g.d.mat.Buf = g.blocks.d
}

// reservePositions lays out the tables of cosines and sines for positions [0, n).
func (g *Graph) reservePositions(n int) {
	s := &g.model.Config.Spec
	if s.Rope == nil || n <= g.cosines.Rows {
		return
	}
	if g.cosines.Rows > 0 {
		n = max(n, min(s.Positions, 2*n))
	}
	f := s.Rope.Frequencies()
	cos, sin := make([]float32, n*len(f)), make([]float32, n*len(f))
	for p := range n {
		for j, w := range f {
			sn, cs := math.Sincos(float64(p) * w)
			cos[p*len(f)+j], sin[p*len(f)+j] = float32(cs), float32(sn)
		}
	}
	dev := g.model.dev
	g.cosines, g.sines = newTables(s, dev.Alloc, n)
	dev.Upload(g.cosines.Buf, 0, cos)
	dev.Upload(g.sines.Buf, 0, sin)
	g.run.cos, g.run.sin = g.cosines, g.sines
}

// Vocab is the number of ids that the model knows.
func (g *Graph) Vocab() int { return g.model.Config.Spec.Vocab }

// Compare makes runs of this graph compute the divergences of a reference, given by a graph of its own on the same device and with the same
// vocabulary, which runs over the same batches; nil makes them stop.
func (g *Graph) Compare(reference *Graph) {
	if reference != nil {
		if !g.options.KL || !reference.options.Reference || g.model.dev != reference.model.dev || g.model.Config.Spec.Vocab != reference.model.Config.Spec.Vocab {
			panic("model: Compare of graphs that were not made for it")
		}
	}
	g.reference = reference
}

// Nodes is the number of nodes of the expression graph.
func (g *Graph) Nodes() int { return len(g.graph.AllNodes()) }

// Close gives the machine back.
func (g *Graph) Close() error { return g.machine.Close() }

// Forward computes the log-probs of a batch on a forward-only graph.
func (g *Graph) Forward(b *compute.Batch) (*Output, error) {
	if g.options.Training || g.options.Reference {
		panic("model: Forward on a training graph, or a reference's")
	}
	return g.runBatch(b)
}

// errHalf ends a run that goes no further than the log-probs.
var errHalf = errors.New("only forward")

// ForwardHalf computes the log-probs of a batch on a training graph and stops there: for a loss that has to know those of other batches too.
func (g *Graph) ForwardHalf(b *compute.Batch) (*Output, error) {
	_, err := g.ForwardBackward(b, func(*Output) (float64, Derivatives, error) { return 0, Derivatives{}, errHalf })
	if err != errHalf {
		return nil, err
	}
	return &g.out, nil
}

// ForwardBackward computes the log-probs of a batch, asks loss for their derivatives and adds the gradients to the
// model's G.
func (g *Graph) ForwardBackward(b *compute.Batch, loss LossFunc) (*Output, error) {
	if !g.options.Training {
		panic("model: ForwardBackward on a forward-only graph")
	}
	g.loss = loss
	return g.runBatch(b)
}

func (g *Graph) runBatch(b *compute.Batch) (*Output, error) {
	if err := g.bind(b); err != nil {
		return nil, err
	}
	if g.reference != nil {
		if _, err := g.reference.runBatch(b); err != nil {
			return nil, fmt.Errorf("the reference: %w", err)
		}
	}
	g.machine.Reset()
	if err := gorgonia.Let(g.input, &value{}); err != nil {
		return nil, err
	}
	g.failed = nil
	if err := g.machine.RunAll(); g.failed != nil {
		return nil, g.failed // without the machine's words around it, which say nothing to a user and hide what it wraps
	} else if err != nil {
		return nil, err
	}
	return &g.out, nil
}

// bind checks a batch against the model and makes it the one that ops read.
func (g *Graph) bind(b *compute.Batch) error {
	s := &g.model.Config.Spec
	if len(b.Targets) == 0 {
		return fmt.Errorf("a batch without scored ids")
	}
	last := 0
	for _, p := range b.Positions {
		last = max(last, int(p))
	}
	if s.Rope == nil && last >= s.Positions {
		return fmt.Errorf("a sequence has more than %d tokens, and the model has learned positions for no more; set max_length to %d or less", s.Positions, s.Positions)
	}
	for _, t := range b.Tokens {
		if t < 0 || int(t) >= s.Vocab {
			return fmt.Errorf("token id %d is outside the model's vocabulary of %d; the tokenizer belongs to another model", t, s.Vocab)
		}
	}
	for _, t := range b.Targets {
		if t.Token < 0 || int(t.Token) >= s.Vocab {
			return fmt.Errorf("token id %d is outside the model's vocabulary of %d; the tokenizer belongs to another model", t.Token, s.Vocab)
		}
	}
	n := b.Rows()
	g.reserve(n)
	g.reservePositions(last + 1)
	g.run.batch, g.run.positions = b, b.Positions
	for _, v := range g.x {
		v.mat = compute.Matrix(v.mat.Buf, n, s.Hidden)
	}
	g.d.mat = compute.Matrix(g.d.mat.Buf, n, s.Hidden)
	g.head.bind(b, g.options)
	g.out.Logps = grow(g.out.Logps, b.Sequences)
	if g.options.Alignments {
		g.out.Alignments = grow(g.out.Alignments, b.Sequences)
	}
	g.out.KL = g.out.KL[:0]
	if g.reference != nil {
		g.out.KL = grow(g.out.KL, b.Sequences)
	}
	g.out.TokenLogps = grow(g.out.TokenLogps, len(b.Targets))
	g.out.Entropy = grow(g.out.Entropy, len(b.Targets))
	g.out.Best = grow(g.out.Best, len(b.Targets))
	return nil
}

// grow gives a slice of n elements, with new memory only when there is too little.
func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// backwardOp is the second half of an op: it reads the gradient of the op's output and returns that of its input.
func (g *Graph) backwardOp(name string, out, grad *gorgonia.Node, do func(in []gorgonia.Value) (gorgonia.Value, error)) (*gorgonia.Node, error) {
	return g.apply(&op{name: name + " backward", do: do}, out, grad)
}

// embedding writes the rows of the embedding, and of the learned positions, to x[0].
func (g *Graph) embedding() *op {
	m := g.model
	table := m.weight(m.layout.embedding)
	var places weight
	if m.layout.positions != "" {
		places = m.weight(m.layout.positions)
	}
	o := &op{name: "embedding", do: func([]gorgonia.Value) (gorgonia.Value, error) {
		x := g.x[0].mat
		m.dev.Gather(x, table.w, g.run.batch.Tokens)
		if m.layout.positions != "" {
			h := compute.Matrix(g.run.scratch.h, x.Rows, x.Cols)
			m.dev.Gather(h, places.w, g.run.positions)
			m.dev.Add(x, h)
		}
		return g.x[0], nil
	}}
	o.symDiff = func(_ gorgonia.Nodes, out, grad *gorgonia.Node) (*gorgonia.Node, error) {
		return g.backwardOp(o.name, out, grad, func([]gorgonia.Value) (gorgonia.Value, error) {
			m.dev.ScatterAdd(table.sum(m.dev), g.d.mat, g.run.batch.Tokens)
			if m.layout.positions != "" {
				m.dev.ScatterAdd(places.sum(m.dev), g.d.mat, g.run.positions)
			}
			return g.d, nil
		})
	}
	return o
}

// blockOp runs block i from x[i] to x[i+1], and back on d.
func (g *Graph) blockOp(i int) *op {
	b := g.model.block(i)
	o := &op{name: fmt.Sprintf("block %d", i+1), do: func([]gorgonia.Value) (gorgonia.Value, error) {
		b.forward(&g.run, g.x[i+1].mat, g.x[i].mat, g.blocks.acts[i])
		return g.x[i+1], nil
	}}
	o.symDiff = func(_ gorgonia.Nodes, out, grad *gorgonia.Node) (*gorgonia.Node, error) {
		return g.backwardOp(o.name, out, grad, func([]gorgonia.Value) (gorgonia.Value, error) {
			if g.options.Recompute {
				b.forward(&g.run, g.x[i+1].mat, g.x[i].mat, g.blocks.acts[i])
			}
			b.backward(&g.run, g.d.mat, g.blocks.acts[i])
			return g.d, nil
		})
	}
	return o
}

// lossOp asks for the loss.
func (g *Graph) lossOp() *op {
	o := &op{name: "loss", isLoss: true, do: func([]gorgonia.Value) (gorgonia.Value, error) {
		loss, d, err := g.loss(&g.out)
		if err != nil {
			return nil, err
		}
		g.out.Loss, g.dLoss = loss, d
		return gorgonia.NewF64(loss), nil
	}}
	o.symDiff = func(_ gorgonia.Nodes, out, grad *gorgonia.Node) (*gorgonia.Node, error) {
		return g.backwardOp(o.name, out, grad, func([]gorgonia.Value) (gorgonia.Value, error) {
			return &value{host: g.dLoss.Logps}, nil
		})
	}
	return o
}
