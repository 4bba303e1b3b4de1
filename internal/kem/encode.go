package kem

// Compression and byte encoding (FIPS 203, Section 4.2.1). Coefficients are
// secret, so there is no division: see compress.

// compress returns Compress_d(x) for 0 ≤ x < q and d ≤ 11: the integer nearest
// to x·2ᵈ/q, halves up, modulo 2ᵈ. It is the floor of (x·2ᵈ + 1664)/q, with the
// division done as a multiplication by the reciprocal of q, rounded up at
// 2⁻³⁶; a test checks it for every x.
func compress(x uint32, d int) uint32 {
	const reciprocal = (1<<36 + q - 1) / q
	n := uint64(x<<d + q/2)
	return uint32(n*reciprocal>>36) & (1<<d - 1)
}

// compress10 writes ByteEncode₁₀(Compress₁₀(f)), 320 bytes, of centred residues.
func (f *poly) compress10(out []byte) {
	out = out[:320]
	for i := range 64 {
		x0 := compress(positive(f[4*i]), 10)
		x1 := compress(positive(f[4*i+1]), 10)
		x2 := compress(positive(f[4*i+2]), 10)
		x3 := compress(positive(f[4*i+3]), 10)
		b := out[5*i : 5*i+5]
		b[0] = byte(x0)
		b[1] = byte(x0>>8 | x1<<2)
		b[2] = byte(x1>>6 | x2<<4)
		b[3] = byte(x2>>4 | x3<<6)
		b[4] = byte(x3 >> 2)
	}
}

// compress4 writes ByteEncode₄(Compress₄(f)) of centred residues.
func (f *poly) compress4(out *[128]byte) {
	for i := range out {
		x0 := compress(positive(f[2*i]), 4)
		x1 := compress(positive(f[2*i+1]), 4)
		out[i] = byte(x0 | x1<<4)
	}
}

// addMessage adds Decompress₁(ByteDecode₁(m)): 1665 for each bit that is set.
func (f *poly) addMessage(m *[32]byte) {
	for i := range m {
		for j := range 8 {
			bit := int32(m[i]>>j) & 1
			f[8*i+j] += -bit & ((q + 1) / 2)
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
// check of FIPS 203, Section 7.2. b is public and a multiple of 3 bytes.
func reduced(b []byte) bool {
	for ; len(b) >= 3; b = b[3:] {
		b0, b1, b2 := uint32(b[0]), uint32(b[1]), uint32(b[2])
		if b0|b1&15<<8 >= q || b1>>4|b2<<4 >= q {
			return false
		}
	}
	return true
}
