package gcmsiv

import (
	"encoding/binary"
	"math/bits"
)

// A polyval computes POLYVAL (RFC 8452, Section 3) under a key h.
//
// The field has 2^128 elements: polynomials over bits, modulo
// x^128 + x^127 + x^126 + x^121 + 1. Of an element of two words, or of 16
// bytes, little endian, bit i is the coefficient of x^i. The product of the
// hash is a·b·x^-128.
type polyval struct {
	low, high, both factor // the words of h, and their sum
	sum0, sum1      uint64 // the hash so far
}

func newPolyval(h *[16]byte) polyval {
	h0, h1 := binary.LittleEndian.Uint64(h[:]), binary.LittleEndian.Uint64(h[8:])
	return polyval{low: newFactor(h0), high: newFactor(h1), both: newFactor(h0 ^ h1)}
}

// add adds p to what is hashed, and zeros up to a whole number of blocks.
func (v *polyval) add(p []byte) {
	for ; len(p) >= 16; p = p[16:] {
		v.addBlock(binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:]))
	}
	if len(p) > 0 {
		var last [16]byte
		copy(last[:], p)
		v.addBlock(binary.LittleEndian.Uint64(last[:]), binary.LittleEndian.Uint64(last[8:]))
		clear(last[:])
	}
}

// addBlock sets the sum to (sum + block)·h·x^-128.
func (v *polyval) addBlock(b0, b1 uint64) {
	s0, s1 := v.sum0^b0, v.sum1^b1

	// (s0 + s1·x^64)·(h0 + h1·x^64) by Karatsuba: the middle is
	// (s0 + s1)·(h0 + h1) + s0·h0 + s1·h1.
	p1, p0 := v.low.mul(s0)
	p3, p2 := v.high.mul(s1)
	m1, m0 := v.both.mul(s0 ^ s1)
	p1, p2 = p1^m0^p0^p2, p2^m1^p1^p3

	// Modulo 2 the modulus is 1 below x^64, so that adding p0 times it clears
	// p0, and then p1 times it, one word up, p1. What is left is divided by
	// x^128.
	p1 ^= p0<<63 ^ p0<<62 ^ p0<<57
	p2 ^= p0 ^ p0>>1 ^ p0>>2 ^ p0>>7
	p2 ^= p1<<63 ^ p1<<62 ^ p1<<57
	p3 ^= p1 ^ p1>>1 ^ p1>>2 ^ p1>>7
	v.sum0, v.sum1 = p2, p3
}

func (v *polyval) sum() (s [16]byte) {
	binary.LittleEndian.PutUint64(s[:], v.sum0)
	binary.LittleEndian.PutUint64(s[8:], v.sum1)
	return s
}

// A factor is a word, made ready to multiply others by it.
//
// Integers are multiplied as polynomials if no carry reaches a bit that
// counts. In each part of a word only every fourth bit may be set. In the
// product of two such parts, again, every fourth bit counts, and the three
// above it take the carries: of at most 15 summands, where one part has 15
// bits. So the upper four bits of a factor, of which each part would have one
// as its 16th, are multiplied separately.
type factor struct {
	part [4]uint64 // bits i, i+4, ... i+56
	top  [4]uint64 // bit 60+i, in all places
}

const every4th = 0x1111111111111111

func newFactor(h uint64) (f factor) {
	for i := range f.part {
		f.part[i] = h & (every4th >> 4 << i)
		f.top[i] = -(h >> (60 + i) & 1)
	}
	return f
}

// mul returns the product, of 127 bits.
func (f *factor) mul(x uint64) (hi, lo uint64) {
	x0, x1, x2, x3 := x&every4th, x&(every4th<<1), x&(every4th<<2), x&(every4th<<3)
	f0, f1, f2, f3 := f.part[0], f.part[1], f.part[2], f.part[3]
	h0, l0 := products(x0, f0, x1, f3, x2, f2, x3, f1)
	h1, l1 := products(x0, f1, x1, f0, x2, f3, x3, f2)
	h2, l2 := products(x0, f2, x1, f1, x2, f0, x3, f3)
	h3, l3 := products(x0, f3, x1, f2, x2, f1, x3, f0)
	hi = h0&every4th | h1&(every4th<<1) | h2&(every4th<<2) | h3&(every4th<<3)
	lo = l0&every4th | l1&(every4th<<1) | l2&(every4th<<2) | l3&(every4th<<3)

	t0, t1, t2, t3 := x&f.top[0], x&f.top[1], x&f.top[2], x&f.top[3]
	hi ^= t0>>4 ^ t1>>3 ^ t2>>2 ^ t3>>1
	lo ^= t0<<60 ^ t1<<61 ^ t2<<62 ^ t3<<63
	return hi, lo
}

// products returns the sum, without carries, of four products of integers.
func products(a, b, c, d, e, f, g, h uint64) (hi, lo uint64) {
	h0, l0 := bits.Mul64(a, b)
	h1, l1 := bits.Mul64(c, d)
	h2, l2 := bits.Mul64(e, f)
	h3, l3 := bits.Mul64(g, h)
	return h0 ^ h1 ^ h2 ^ h3, l0 ^ l1 ^ l2 ^ l3
}
