//go:build !amd64 || noasm

package cpu

// No level of these builds calls any of these.

func (g *product) multiplyTiles(int, int, []float32, []float32, int) {}

func (g *product) packTilesOfA([]float32, int, int) {}

func haveTiles() bool { return false }
