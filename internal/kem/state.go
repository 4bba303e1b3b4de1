package kem

import (
	"encoding/binary"
	"math/bits"
)

// encapsState is what Encaps2 needs of Encaps1; in its stored form es, 2080
// bytes (spqr.md, Section 3.1):
//
//	   0  3·512  ŷ: centred residues in NTT order, signed 16-bit little-endian
//	1536    512  e₂: −2 … +2, signed 16-bit little-endian
//	2048     32  m
//
// Nothing in it may be known to others, so reading it does not branch either.
type encapsState struct {
	y  factor // ŷ; prepared by parse, not by its maker
	e2 poly
	m  [32]byte
}

func (s *encapsState) bytes() *[EncapsStateSize]byte {
	es := new([EncapsStateSize]byte)
	for i := range s.y.hat {
		putInt16s(es[512*i:], &s.y.hat[i])
	}
	putInt16s(es[1536:], &s.e2)
	copy(es[2048:], s.m[:])
	return es
}

// parse reads es. Any 16-bit number stands for its residue, as in the official
// library, and values in the wrong byte order are repaired.
func (s *encapsState) parse(es []byte) {
	swap := swapped(es[1536:2048])
	for i := range s.y.hat {
		getInt16s(&s.y.hat[i], es[512*i:], swap)
	}
	getInt16s(&s.e2, es[1536:], swap)
	copy(s.m[:], es[2048:])
	s.y.prepare()
}

func putInt16s(out []byte, f *poly) {
	out = out[:512]
	for i, x := range f {
		binary.LittleEndian.PutUint16(out[2*i:], uint16(x))
	}
}

// getInt16s sets f to centred residues of 256 numbers, each with its bytes
// exchanged first if swap is all ones and not if it is zero.
func getInt16s(f *poly, in []byte, swap uint16) {
	in = in[:512]
	for i := range f {
		x := binary.LittleEndian.Uint16(in[2*i:])
		x ^= (x ^ bits.ReverseBytes16(x)) & swap
		f[i] = mul(int32(int16(x)), one)
	}
}

// swapped decides from e₂ whether a state was written big-endian, as portable
// builds of a peer once did: all ones if so, else zero (spqr.md, Section 3.2).
// The first value that decides does; 0 and −1 read alike either way.
func swapped(e2 []byte) (swap uint16) {
	open := ^uint16(0)
	for i := range 256 {
		x := binary.LittleEndian.Uint16(e2[2*i:])
		swap |= open & (equal(x, 0x0100) | equal(x, 0x0200) | equal(x, 0xFEFF))
		open &= equal(x, 0) | equal(x, 0xFFFF)
	}
	return swap
}

// equal returns all ones if x is y, else zero.
func equal(x, y uint16) uint16 {
	return uint16((uint32(x^y) - 1) >> 16)
}
