package cpu

import "dpotrain/internal/compute"

// Workspace implements compute.Device. It follows growFloats: what is packed of products, and what attention keeps, for each worker.
func (d *Device) Workspace(w compute.Workload) int64 {
	kn := d.linear
	rows, panel := tileOf(kn.Level)
	depthOf := func(k int) int { return kn.depthOf(min(kn.blockK(), k)) }
	depth := depthOf(max(w.Rows, w.Width, w.Vocab))
	packB := max(min(blockN, roundUp(w.Width, panel))*depth, min(blockN, roundUp(w.Vocab, panel))*depthOf(w.Hidden))
	product := packB + blockTiles*(rows*depth+tileGap) + edgeSize

	n, group := w.Attention.HeadDim, w.Attention.Heads/w.Attention.KVHeads
	_, widest := tileOf(AVX512)
	wide := roundUp(n, widest)
	all := group * queryBlock                                                       // rows of a block of queries and the heads that share their keys
	attention := all*(2*n+tile+6) + queryBlock                                      // queries, outputs and scores; numbers of rows
	attention += kn.packedRows(all, n) + kn.packedRows(all, tile) + tile*(wide+2*n) // queries and scores packed; a tile of keys or values, packed too
	shared := 0
	if w.Training {
		blocks := (w.Rows + 4*queryBlock - 3) / queryBlock // at most: a pair has three segments, of which two may begin and end inside a block
		attention += blocks*(2*kn.packedRows(queryBlock, n)+2*(queryBlock*wide+slack)+2*queryBlock) + 2*queryBlock*tile + tile*(2*n+3*wide)
		if group > 1 {
			shared = 2 * w.Attention.Heads * n * w.Rows
		}
	}
	const packed = 16 // buffers of packed numbers
	return 4 * int64(shared+d.threads*(product+attention+w.Vocab+packed*slack))
}
