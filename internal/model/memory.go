package model

import "dpotrain/internal/compute"

// allocator gives memory for n numbers. What a graph takes is laid out by one, and counted by another that gives none.
type allocator func(n int) compute.Buffer

// blockMemory is what embedding and blocks write, laid out for a number of rows.
type blockMemory struct {
	x    []compute.Buffer // [rows,C] outputs of the embedding and of every block
	d    compute.Buffer   // [rows,C] the gradient on its way back, training only
	acts []*activations   // of every block; all the same where they are not kept
}

func newBlockMemory(s *Spec, alloc allocator, o GraphOptions, rows int) blockMemory {
	m := blockMemory{x: make([]compute.Buffer, s.Layers+1), acts: make([]*activations, s.Layers)}
	keepInputs, keepInsides := o.Training, o.Training && !o.Recompute
	for i := range m.x {
		if i >= 2 && !keepInputs {
			m.x[i] = m.x[i-2]
		} else {
			m.x[i] = alloc(rows * s.Hidden)
		}
	}
	for i := range m.acts {
		if i >= 1 && !keepInsides {
			m.acts[i] = m.acts[0]
		} else {
			m.acts[i] = newActivations(s, alloc, rows)
		}
	}
	if o.Training {
		m.d = alloc(rows * s.Hidden)
	}
	return m
}

// newTables makes room for the cosines and sines of n positions.
func newTables(s *Spec, alloc allocator, n int) (cosines, sines compute.Mat) {
	half := len(s.Rope.Frequencies())
	return compute.Matrix(alloc(n*half), n, half), compute.Matrix(alloc(n*half), n, half)
}

// Memory is what a graph takes besides the model's weights and gradients, in numbers of its device.
type Memory struct {
	Activations int64 // outputs of the blocks, and what of their insides is kept for the way back
	Scratch     int64 // what blocks use one after the other
	Head        int64 // scored rows, and the logits that are held at once
}

// Memory is that of a graph with these options once it has seen batches as large as they say: the sum of what it allocates, for the
// same code does. o.Logits has to be given.
func (c *Config) Memory(o GraphOptions) Memory {
	s := &c.Spec
	count := func(lay func(allocator)) (n int64) {
		lay(func(k int) compute.Buffer {
			n += int64(k)
			return nil
		})
		return n
	}
	return Memory{
		Activations: count(func(a allocator) { newBlockMemory(s, a, o, o.Rows) }),
		Scratch: count(func(a allocator) {
			newScratch(s, a, o.Rows, o.Training)
			if s.Rope != nil {
				newTables(s, a, o.Length)
			}
		}),
		Head: count(func(a allocator) { new(headMemory).lay(s, a, o, o.Scored) }),
	}
}

// Workload is what graphs with these options ask of their device.
func (c *Config) Workload(o GraphOptions) compute.Workload {
	s := &c.Spec
	return compute.Workload{Rows: o.Rows, Hidden: s.Hidden, Width: max(s.Hidden, s.upWidth(), s.qkvWidth()), Vocab: s.Vocab, Attention: s.attention(0), Training: o.Training}
}

// Parameters is the number of weights.
func (c *Config) Parameters() int { return newModel(c, nil).size }
