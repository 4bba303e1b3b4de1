package erasure

import (
	"encoding/binary"
	"sync"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// A lagrange is sixteen polynomials of degree below n, known by n points with
// the same x: P(x) = Σ yᵢ Lᵢ(x), where Lᵢ(x) = Π (x − xⱼ) / Π (xᵢ − xⱼ), j ≠ i.
type lagrange struct {
	n       int
	x       [MaxChunks]uint16
	scale   [MaxChunks]uint16 // 1 / Π (xᵢ − xⱼ)
	columns [MaxChunks]multiples
}

// through sets l to the polynomials through the n points in each row of r, which
// are those of a decoder.
func (l *lagrange) through(r wire.SPQRRows, n int) {
	l.n = n
	for i := range n {
		l.x[i] = binary.BigEndian.Uint16(r.Row(0)[4*i:])
		l.columns[i].set(gather(r, 4*i+2))
	}
	scales(l.scale[:n], l.x[:n])
}

// scales sets scale[i] to 1 / Π (x[i] − x[j]) over all j ≠ i.
func scales(scale, x []uint16) {
	for i := range x {
		product := uint16(1)
		for j := range x {
			if j != i {
				product = mul(product, x[i]^x[j]) // not 0: all x are different
			}
		}
		scale[i] = inverse(product)
	}
}

// at returns the values at x.
func (l *lagrange) at(x uint16) column {
	// Lᵢ(x)·Π(xᵢ − xⱼ) is the product of all x − xⱼ before i and of all after.
	var basis [MaxChunks]uint16
	product := uint16(1)
	for i := range l.n {
		basis[i] = mul(product, l.scale[i])
		product = mul(product, x^l.x[i])
	}
	product = 1
	for i := l.n - 1; i >= 0; i-- {
		basis[i] = mul(basis[i], product)
		product = mul(product, x^l.x[i])
	}
	return combine(l.columns[:l.n], basis[:l.n])
}

// interpolate returns the coefficients of the polynomials whose values at 0 to
// n−1 are in the rows of r.
func interpolate(r wire.SPQRRows, n int) wire.SPQRRows {
	var columns [MaxChunks]multiples
	for i := range n {
		columns[i].set(gather(r, 2*i))
	}
	out := wire.NewSPQRRows(wire.SPQRCoefficients, 2*n)
	for i, weights := range basisOf(n) {
		c := combine(columns[:n], weights)
		c.scatter(out, 2*i)
	}
	return out
}

// bases has, by n, the coefficients of L₀ … Lₙ₋₁ for x = 0 … n−1, computed when
// first needed, in some 30 µs: entry [i][j] is that of x^i in Lⱼ.
var bases [MaxChunks + 1]struct {
	once sync.Once
	rows [][]uint16
}

func basisOf(n int) [][]uint16 {
	b := &bases[n]
	b.once.Do(func() { b.rows = basis(n) })
	return b.rows
}

func basis(n int) [][]uint16 {
	x := make([]uint16, n)
	master := make([]uint16, n+1) // the coefficients of Π (x − xⱼ)
	master[0] = 1
	out := make([][]uint16, n)
	for i := range n {
		x[i] = uint16(i)
		out[i] = make([]uint16, n)
		for k := i + 1; k > 0; k-- {
			master[k] = master[k-1] ^ mul(master[k], x[i])
		}
		master[0] = mul(master[0], x[i])
	}
	scale := make([]uint16, n)
	scales(scale, x)
	for j := range n { // Lⱼ is master / (x − xⱼ), by Horner's division, scaled
		quotient := uint16(0)
		for i := n - 1; i >= 0; i-- {
			quotient = master[i+1] ^ mul(quotient, x[j])
			out[i][j] = mul(quotient, scale[j])
		}
	}
	return out
}

// evaluate returns the values at x of the polynomials whose n coefficients are
// in the rows of r.
func evaluate(r wire.SPQRRows, n int, x uint16) (chunk [ChunkSize]byte) {
	var table multiplier
	table.set(x)
	for j := range rows {
		row := r.Row(j)
		v := uint16(0)
		for i := 2 * (n - 1); i >= 0; i -= 2 { // Horner's rule
			v = table.mul(v) ^ binary.BigEndian.Uint16(row[i:])
		}
		binary.BigEndian.PutUint16(chunk[2*j:], v)
	}
	return chunk
}

// A multiplier multiplies by a constant: entry [i][d] is the constant times
// d·x^(4i).
type multiplier [4][16]uint16

func (m *multiplier) set(c uint16) {
	for i := range m {
		t := &m[i]
		for d := 1; d < 16; d <<= 1 {
			for k := range d {
				t[d+k] = t[k] ^ c
			}
			c = c<<1 ^ c>>15*reduction
		}
	}
}

func (m *multiplier) mul(a uint16) uint16 {
	return m[0][a&15] ^ m[1][a>>4&15] ^ m[2][a>>8&15] ^ m[3][a>>12]
}
