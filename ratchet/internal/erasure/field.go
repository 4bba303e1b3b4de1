package erasure

import (
	"encoding/binary"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// Elements of GF(2^16) are 16-bit integers, bit i being the coefficient of x^i,
// modulo x^16 + x^12 + x^3 + x + 1. Addition and subtraction are XOR.

// reduction is x^16, reduced.
const reduction = 0x100B

// mul returns a·b.
func mul(a, b uint16) uint16 {
	var p uint32 // the product, carry-less: below 2^31
	for i := range 16 {
		p ^= uint32(a) << i & -(uint32(b) >> i & 1)
	}
	// What is above bit 15 is folded down, x^16 being x^12 + x^3 + x + 1: first
	// 15 bits, then 11, 7 and 3.
	for range 4 {
		h := p >> 16
		p = p&0xFFFF ^ h ^ h<<1 ^ h<<3 ^ h<<12
	}
	return uint16(p)
}

// inverse returns 1/a = a^65534; a is not 0.
func inverse(a uint16) uint16 {
	r := uint16(1)
	for range 15 { // 65534 = 2 + 4 + … + 2^15
		a = mul(a, a)
		r = mul(r, a)
	}
	return r
}

// A column is a chunk as field elements, one of each polynomial, four to a
// word in the order of the bytes.
type column [4]uint64

// Bits of the four elements in a word.
const (
	lows  = 0x0001000100010001 // bit 0 of each
	highs = 0x8000800080008000 // bit 15 of each
)

// gather returns the column of the words that begin at byte at of each row.
func gather(r wire.SPQRRows, at int) (c column) {
	for j := range rows {
		c[j/4] = c[j/4]<<16 | uint64(binary.BigEndian.Uint16(r.Row(j)[at:]))
	}
	return c
}

// scatter is the converse of gather.
func (c *column) scatter(r wire.SPQRRows, at int) {
	for j := range rows {
		binary.BigEndian.PutUint16(r.Row(j)[at:], uint16(c[j/4]>>(48-j%4*16)))
	}
}

// put writes the column as a chunk.
func (c *column) put(chunk []byte) {
	for i, v := range c {
		binary.BigEndian.PutUint64(chunk[8*i:], v)
	}
}

func (c *column) add(d *column) {
	for i := range c {
		c[i] ^= d[i]
	}
}

// double multiplies each element by x.
func (c *column) double() {
	for i, v := range c {
		high := v & highs >> 15
		c[i] = v&^highs<<1 ^ high*reduction // no carry leaves an element: reduction < 2^16
	}
}

// A multiples has 0 to 15 times a column.
type multiples [16]column

func (m *multiples) set(c column) {
	m[0], m[1] = column{}, c
	for i := 2; i < 16; i += 2 {
		m[i] = m[i/2]
		m[i].double()
		m[i+1] = m[i]
		m[i+1].add(&c)
	}
}

// combine returns the sum of weights[i] times columns[i]: the one operation that
// evaluating, interpolating and decoding are made of.
func combine(columns []multiples, weights []uint16) (sum column) {
	// parts[i] collects what the i-th four bits of the weights choose.
	var parts [4]column
	for i, w := range weights {
		m := &columns[i]
		parts[0].add(&m[w&15])
		parts[1].add(&m[w>>4&15])
		parts[2].add(&m[w>>8&15])
		parts[3].add(&m[w>>12])
	}
	sum = parts[3]
	for i := 2; i >= 0; i-- {
		for range 4 {
			sum.double()
		}
		sum.add(&parts[i])
	}
	return sum
}
