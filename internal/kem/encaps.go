package kem

// Encaps1 computes the first part of a ciphertext and the secret from a key's
// header alone.
//
// It implements those steps of ML-KEM.Encaps_internal (FIPS 203, Algorithm 17)
// and K-PKE.Encrypt (Algorithm 14) that do not read t. Encaps2 does the others;
// spqr.md, Section 3, says when. H(ek) in the header cannot be checked yet:
// Valid768 does so before Encaps2.
//
//	header  64 bytes: ρ || H(ek)
//	m       32 bytes, uniformly random, used for this call only
//	es      2080 bytes, secret: what Encaps2 needs
//	ct1     960 bytes: u, compressed to 10 bits a coefficient
//	k       32 bytes: the shared secret
func Encaps1(header *[Header768Size]byte, m *[32]byte) (es *[EncapsStateSize]byte, ct1 *[Ciphertext1Size]byte, k [32]byte) {
	kr := hashG(m, header[32:])
	k = [32]byte(kr[:32])
	r := (*[32]byte)(kr[32:])

	var s encapsState
	y := &s.y.hat
	sample(&[4]stream{noise(&y[0], r, 0), noise(&y[1], r, 1), noise(&y[2], r, 2), noise(&s.e2, r, 6)})
	for i := range y {
		y[i].ntt()
	}
	s.y.prepare()
	s.m = *m

	ct1 = new([Ciphertext1Size]byte)
	for i := range 3 {
		u := s.row((*[32]byte)(header[:32]), r, byte(i))
		u.compress10(ct1[320*i:])
	}
	es = s.bytes()
	clear(kr[:])
	s = encapsState{}
	fence()
	return es, ct1, k
}

// row returns u[i]: u = NTT⁻¹(Âᵀ ∘ ŷ) + e₁, where row i of Âᵀ is made of
// Â[j][i] = SampleNTT(ρ || i || j). |u[i]| ≤ 1666.
func (s *encapsState) row(rho, r *[32]byte, i byte) (u poly) {
	var a [3]poly
	var e1 poly
	sample(&[4]stream{uniform(&a[0], rho, i, 0), uniform(&a[1], rho, i, 1), uniform(&a[2], rho, i, 2), noise(&e1, r, 3+i)})
	u = s.y.dot(&a)
	u.inverseNTT()
	u.add(&e1)
	clear(e1[:])
	return u
}

// Encaps2 computes the second part of a ciphertext, v compressed to 4 bits a
// coefficient: v = NTT⁻¹(t̂ᵀ ∘ ŷ) + e₂ + Decompress₁(m), the steps of
// K-PKE.Encrypt that Encaps1 left.
//
//	ek  1152 bytes: t̂, which Valid768 has accepted
//	es  2080 bytes from Encaps1, of either byte order (spqr.md, Section 3.2)
//
// It panics on other lengths.
func Encaps2(ek, es []byte) (ct2 *[Ciphertext2Size]byte) {
	if len(ek) != Vector768Size || len(es) != EncapsStateSize {
		panic("kem: internal error: length of vector or encapsulation state")
	}
	var s encapsState
	s.parse(es)
	var t [3]poly
	for i := range t {
		t[i].decode12(ek[384*i:])
	}
	v := s.y.dot(&t)
	v.inverseNTT()
	v.add(&s.e2)
	v.addMessage(&s.m)
	ct2 = new([Ciphertext2Size]byte)
	v.compress4(ct2)
	s = encapsState{}
	return ct2
}
