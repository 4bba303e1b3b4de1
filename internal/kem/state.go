package kem

import (
	"encoding/binary"
	"slices"
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
	y  factor // ŷ, made ready
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
// library, and values in the wrong byte order are repaired. The branch tells
// which build wrote es, which is no secret.
func (s *encapsState) parse(es []byte) {
	if swapped(es[1536:2048]) != 0 {
		es = swap(es)
	}
	for i := range s.y.hat {
		getInt16s(&s.y.hat[i], es[512*i:])
	}
	getInt16s(&s.e2, es[1536:])
	copy(s.m[:], es[2048:])
	s.y.prepare()
}

// putInt16s writes 256 numbers, four at a time.
func putInt16s(out []byte, f *poly) {
	out = out[:512]
	for i := range 64 {
		g := (*[4]int32)(f[4*i:])
		binary.LittleEndian.PutUint64(out[8*i:], uint64(uint16(g[0]))|
			uint64(uint16(g[1]))<<16|uint64(uint16(g[2]))<<32|uint64(uint16(g[3]))<<48)
	}
}

// getInt16s sets f to the centred residues of 256 numbers.
func getInt16s(f *poly, in []byte) {
	in = in[:512]
	for i := range f {
		f[i] = mul(int32(int16(binary.LittleEndian.Uint16(in[2*i:]))), one)
	}
}

// swap returns a copy of es with the two bytes of each number exchanged.
func swap(es []byte) []byte {
	out := slices.Clone(es)
	for i := 0; i < 2048; i += 2 {
		out[i], out[i+1] = es[i+1], es[i]
	}
	return out
}

// swapped decides from e₂ whether a state was written big-endian, as portable
// builds of a peer once did: all ones if so, else zero (spqr.md, Section 3.2).
// The first value that decides does; 0 and −1 read alike either way.
func swapped(e2 []byte) (yes uint16) {
	open := ^uint16(0)
	for i := range 256 {
		x := binary.LittleEndian.Uint16(e2[2*i:])
		yes |= open & (equal(x, 0x0100) | equal(x, 0x0200) | equal(x, 0xFEFF))
		open &= equal(x, 0) | equal(x, 0xFFFF)
	}
	return yes
}

// equal returns all ones if x is y, else zero.
func equal(x, y uint16) uint16 {
	return uint16((uint32(x^y) - 1) >> 16)
}
