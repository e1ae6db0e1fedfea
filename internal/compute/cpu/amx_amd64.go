//go:build !noasm

package cpu

// tileConfig is what tiles of C with so many rows and columns need: palette 1, bytes of a row from byte 16 on, rows from byte 48 on.
func tileConfig(rows, n int) (config [64]byte) {
	set := func(tile, rows, columns int) {
		if rows > 0 && columns > 0 {
			config[16+2*tile], config[48+tile] = byte(4*columns), byte(rows)
		}
	}
	config[0] = 1
	heights, widths := [2]int{min(rows, 16), rows - 16}, [2]int{min(n, 16), n - 16}
	for i, rows := range heights {
		set(4+i, rows, 16)
		set(6+i, 16, widths[i])
		for j, n := range widths {
			set(2*i+j, rows, n)
		}
	}
	return config
}

// microKernelsAMX are those for tiles of C of up to 16 and up to 32 rows, and columns.
var microKernelsAMX = [2][2]func(tiles, panels, steps int, a, b, c *float32, ldc, rows, accumulate int, config *byte){
	{microAMX1x1, microAMX1x2}, {microAMX2x1, microAMX2x2},
}

// multiplyTiles is multiply at level AMX: whole tiles in one call, and so those at the bottom and at the right edge of C. With add the
// block's products are added to c one step of k after the other.
func (g *product) multiplyTiles(from, to int, a, b []float32, add int) {
	fullTiles, fullPanels := min(to, g.m/tileRows), g.nc/g.panel
	for _, down := range [2][2]int{{from, fullTiles}, {max(from, fullTiles), to}} {
		tiles, rows := down[1]-down[0], tileRows
		if tiles <= 0 {
			continue
		}
		at := g.tileStart(down[0])
		if rows = min(rows, g.m-at); rows < tileRows {
			tiles = 1
		}
		for _, across := range [2][2]int{{0, fullPanels}, {fullPanels, g.panels()}} {
			panels, left := across[1]-across[0], across[0]*g.panel
			if panels <= 0 {
				continue
			}
			n := min(g.panel, g.nc-left)
			packed, panel, c := a[g.packedTile(down[0], from):], b[across[0]*g.panelSize:], g.c[at*g.ldc+g.jc+left:]
			_, _, _ = packed[tiles*(tileRows*g.depth+tileGap)-1], panel[panels*g.panelSize-1], c[((tiles-1)*tileRows+rows-1)*g.ldc+(panels-1)*g.panel+n-1]
			config := tileConfig(rows, n)
			microKernelsAMX[(rows-1)/16][(n-1)/16](tiles, panels, g.depth/16, &packed[0], &panel[0], &c[0], 4*g.ldc, rows, add, &config[0])
		}
	}
}

// packTilesOfA is packA at level AMX: [k/32][32][32] numbers of a tile, rows past the last hold anything.
func (g *product) packTilesOfA(dst []float32, from, to int) {
	at, end := g.tileStart(from), g.tileStart(to)
	_ = dst[g.packedTile(to, from)-1]
	if g.form == tn {
		_ = g.a[(g.pc+g.kc-1)*g.lda+end-1]
		for k := 0; k < g.kc; k += 32 {
			packColumnsAMX(end-at, min(32, g.kc-k), &g.a[(g.pc+k)*g.lda+at], 4*g.lda, &dst[tileRows*k/2], 4*(tileRows*g.depth+tileGap))
		}
		return
	}
	_ = g.a[(end-1)*g.lda+g.pc+g.kc-1]
	for t := from; t < to; t++ {
		at := g.tileStart(t)
		packRowsAMX(min(tileRows, g.m-at), g.kc, &g.a[at*g.lda+g.pc], 4*g.lda, &dst[g.packedTile(t, from)])
	}
}
