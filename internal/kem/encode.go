package kem

import "encoding/binary"

// Compression and byte encoding (FIPS 203, Section 4.2.1). Coefficients are
// secret, so there is no division: see compress.

// compress returns Compress_d(x mod q) for −q ≤ x < 3q and d of 4 or 10: the
// integer nearest to x·2ᵈ/q, halves up, modulo 2ᵈ.
//
// That is the floor of (x·2ᵈ + 1664)/q modulo 2ᵈ, which does not change when q
// is added to x, so that x needs no reduction. The division is a multiplication
// by the reciprocal of q, rounded up at 2⁻³⁷: a test tries every x.
func compress(x int32, d uint) uint32 {
	const reciprocal = (1<<37 + q - 1) / q
	n := uint64(uint32(x+q)<<d + q/2)
	return uint32(n*reciprocal>>37) & (1<<d - 1)
}

// compress10 writes ByteEncode₁₀(Compress₁₀(f)), 320 bytes.
func (f *poly) compress10(out []byte) {
	out = out[:320]
	for i := range 64 {
		g := (*[4]int32)(f[4*i:])
		low := compress(g[0], 10) | compress(g[1], 10)<<10 | compress(g[2], 10)<<20
		x3 := compress(g[3], 10)
		binary.LittleEndian.PutUint32(out[5*i:], low|x3<<30)
		out[5*i+4] = byte(x3 >> 2)
	}
}

// compress4 writes ByteEncode₄(Compress₄(f)).
func (f *poly) compress4(out *[Ciphertext2Size]byte) {
	for i := range out {
		out[i] = byte(compress(f[2*i], 4) | compress(f[2*i+1], 4)<<4)
	}
}

// addMessage adds Decompress₁(ByteDecode₁(m)): 1665 for each bit that is set.
func (f *poly) addMessage(m *[32]byte) {
	for i, b := range m {
		g := (*[8]int32)(f[8*i:])
		for j := range g {
			g[j] += -(int32(b) >> j & 1) & ((q + 1) / 2)
		}
	}
}

// decode12 sets f to ByteDecode₁₂(b) of 384 bytes, not reduced: 0 … 4095.
func (f *poly) decode12(b []byte) {
	b = b[:384]
	for i := range 128 {
		b0, b1, b2 := int32(b[3*i]), int32(b[3*i+1]), int32(b[3*i+2])
		f[2*i] = b0 | b1&15<<8
		f[2*i+1] = b1>>4 | b2<<4
	}
}

// reduced reports whether every 12-bit number in b is below q: the modulus
// check of FIPS 203, Section 7.2. b is public, a multiple of 3 bytes.
func reduced(b []byte) bool {
	for ; len(b) >= 3; b = b[3:] {
		b0, b1, b2 := uint32(b[0]), uint32(b[1]), uint32(b[2])
		if b0|b1&15<<8 >= q || b1>>4|b2<<4 >= q {
			return false
		}
	}
	return true
}
