package kem

import (
	"crypto/sha3"
	"encoding/binary"
)

// sampleNTT fills a with SampleNTT(ρ || j || i) (FIPS 203, Algorithm 7), each
// coefficient 0 … q−1. The stream is public. It is read for as long as needed:
// three blocks do in nearly all cases, but no number of blocks always does.
func (a *poly) sampleNTT(rho []byte, j, i byte) {
	var seed [34]byte
	copy(seed[:], rho)
	seed[32], seed[33] = j, i
	xof := sha3.NewSHAKE128()
	xof.Write(seed[:])
	var block [168]byte // the rate of SHAKE128
	for n := 0; n < len(a); {
		xof.Read(block[:])
		n = a.accept(n, &block)
	}
}

// accept takes 12-bit numbers from a block, keeps those below q at a[n:], and
// returns the new n.
func (a *poly) accept(n int, block *[168]byte) int {
	for k := 0; k < len(block) && n < len(a); k += 3 {
		b0, b1, b2 := int32(block[k]), int32(block[k+1]), int32(block[k+2])
		if d := b0 | b1&15<<8; d < q {
			a[n] = d
			n++
		}
		if d := b1>>4 | b2<<4; d < q && n < len(a) {
			a[n] = d
			n++
		}
	}
	return n
}

// samplePolyCBD fills f with SamplePolyCBD₂(PRF₂(r, n)) (FIPS 203, Algorithm 8
// and Equation 4.3), each coefficient −2 … +2.
func (f *poly) samplePolyCBD(r *[32]byte, n byte) {
	var seed [33]byte
	copy(seed[:], r[:])
	seed[32] = n
	prf := sha3.NewSHAKE256()
	prf.Write(seed[:])
	var b [128]byte
	prf.Read(b[:])
	f.setCBD(&b)
	clear(seed[:])
	clear(b[:])
	prf.Reset()
}

// setCBD is SamplePolyCBD₂. Four bits make a coefficient: the sum of the first
// two less the sum of the last two. The sums of 16 pairs are made at once.
func (f *poly) setCBD(b *[128]byte) {
	const mask = 0x55555555
	for i := range 32 {
		x := binary.LittleEndian.Uint32(b[4*i:])
		sums := x&mask + x>>1&mask // two bits each
		for j := range 8 {
			s := int32(sums >> (4 * j))
			f[8*i+j] = s&3 - s>>2&3
		}
	}
}
