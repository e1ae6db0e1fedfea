package cpu

import "dpotrain/internal/compute"

// Workspace implements compute.Device. It follows growFloats: what is packed of products, and what attention keeps, for each worker.
func (d *Device) Workspace(w compute.Workload) int64 {
	rows, panel := tileOf(d.level)
	depth := min(blockK, max(w.Rows, w.Width, w.Vocab))
	packB := max(min(blockN, roundUp(w.Width, panel))*depth, min(blockN, roundUp(w.Vocab, panel))*min(blockK, w.Hidden))
	product := packB + blockTiles*(rows*depth+tileGap) + 14*32 // a tile for the edge

	n, group := w.Attention.HeadDim, w.Attention.Heads/w.Attention.KVHeads
	_, widest := tileOf(AVX512)
	wide := roundUp(n, widest)
	all := group * queryBlock                                              // rows of a block of queries and the heads that share their keys
	attention := all*(3*n+2*tile+6+tileGap) + queryBlock + tile*(wide+2*n) // queries, packed too; outputs; scores, packed too; numbers of rows; a tile of keys or values, packed too
	shared := 0
	if w.Training {
		blocks := (w.Rows + 4*queryBlock - 3) / queryBlock // at most: a pair has three segments, of which two may begin and end inside a block
		attention += blocks*queryBlock*(2*n+2*wide+2+tileGap) + 2*queryBlock*tile + tile*(2*n+3*wide)
		if group > 1 {
			shared = 2 * w.Attention.Heads * n * w.Rows
		}
	}
	const packed = 16 // buffers of packed numbers
	return 4 * int64(shared+d.threads*(product+attention+w.Vocab+packed*slack))
}
