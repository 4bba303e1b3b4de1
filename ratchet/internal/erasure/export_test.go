package erasure

import "github.com/gembok-e2ee/gembok/internal/wire"

// Field arithmetic, for tests.
func Mul(a, b uint16) uint16  { return mul(a, b) }
func Inverse(a uint16) uint16 { return inverse(a) }
func Basis(n int) [][]uint16  { return basis(n) }
func MulTable(a, c uint16) uint16 {
	var m multiplier
	m.set(c)
	return m.mul(a)
}

// MulColumn multiplies sixteen elements by w.
func MulColumn(chunk *[ChunkSize]byte, w uint16) (out [ChunkSize]byte) {
	var c column
	rows := wire.NewSPQRRows(wire.SPQRPoints, 2)
	for j := range 16 {
		copy(rows.Row(j), chunk[2*j:2*j+2])
	}
	c = gather(rows, 0)
	m := make([]multiples, 1)
	m[0].set(c)
	c = combine(m, []uint16{w})
	c.scatter(rows, 0)
	c.put(out[:])
	return out
}

// WithIndex returns e with the next index set.
func (e Encoder) WithIndex(index uint32) Encoder {
	e.index = index
	return e
}

// Have returns the number of chunks that d has.
func (d Decoder) Have() int { return d.have }
