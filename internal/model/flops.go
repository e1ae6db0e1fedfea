package model

import "dpotrain/internal/compute"

// Flops are the floating-point operations that a forward pass over a batch cannot do without: 2 for every weight of a matrix and row that
// passes through it, of the head for the rows that predict a scored id, and 4 for every number of a query and each key that its row
// sees. Backward takes twice as many again.
func (m *Model) Flops(b *compute.Batch) float64 {
	s := &m.Config.Spec
	body := 0
	for _, p := range m.Params {
		if len(p.Shape) == 2 && p.Name != m.layout.embedding && p.Name != m.layout.positions && p.Name != m.layout.head {
			body += p.Len()
		}
	}
	scored := 0
	for i, t := range b.Targets {
		if i == 0 || t.Row != b.Targets[i-1].Row {
			scored++
		}
	}
	seen := 0 // keys, over all rows and layers
	for layer := range s.Layers {
		for _, p := range b.Positions {
			n := int(p) + 1
			if s.Windows != nil && s.Windows[layer] > 0 {
				n = min(n, s.Windows[layer])
			}
			seen += n
		}
	}
	return 2*float64(body)*float64(b.Rows()) + 2*float64(s.Vocab)*float64(s.Hidden)*float64(scored) + 4*float64(s.queryWidth())*float64(seen)
}
