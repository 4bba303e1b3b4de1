package curve

import (
	"crypto/sha512"

	"filippo.io/edwards25519"
)

// Sign makes an XEdDSA signature over the parts of msg, hashed back to back
// (spec/wire-core.md, Section 1.5). It is constant time for a given length.
//
//	k  32 bytes: the private key, clamped
//	a  32 bytes: EdwardsPublic(k)
//	z  64 bytes, uniformly random, used for this call only
func Sign(k, a *[32]byte, z *[64]byte, msg ...[]byte) (sig [64]byte) {
	digest := hash(nonceDomain[:], k[:], msg, z[:])
	var r, h, s edwards25519.Scalar
	var p edwards25519.Point
	wideScalar(&r, &digest)
	copy(sig[:32], p.ScalarBaseMult(&r).Bytes())
	clear(digest[:])

	digest = hash(sig[:32], a[:], msg, nil)
	wideScalar(&h, &digest)
	s.MultiplyAdd(&h, secretScalar(&s, k), &r)
	copy(sig[32:], s.Bytes())
	sig[63] |= a[31] & 0x80 // s < L < 2^253: the bit is free
	return sig
}

// nonceDomain is the prefix of hash1 in the XEdDSA text: 2^256 − 2, an
// encoding that no point has.
var nonceDomain = [32]byte{0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
	0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}

// Verify reports whether sig is an XEdDSA signature under u over the parts of
// msg, hashed back to back. It requires 64 bytes, s < L, and a u with an
// Edwards image; the equation is cofactorless. It is variable time.
func Verify(u *[32]byte, sig []byte, msg ...[]byte) bool {
	if len(sig) != 64 {
		return false
	}
	sBytes := [32]byte(sig[32:])
	sBytes[31] &= 0x7F
	var h, s edwards25519.Scalar
	if _, err := s.SetCanonicalBytes(sBytes[:]); err != nil {
		return false
	}
	var p, r edwards25519.Point
	a, ok := edwardsPoint(&p, u, sig[63]>>7)
	if !ok {
		return false
	}
	digest := hash(sig[:32], a[:], msg, nil)
	wideScalar(&h, &digest)
	// The point is negated, not h: (L−h)·P is not −h·P when P has torsion.
	r.VarTimeDoubleScalarBaseMult(&h, p.Negate(&p), &s)
	return [32]byte(r.Bytes()) == [32]byte(sig[:32])
}

// wideScalar sets s to the digest, reduced mod L.
func wideScalar(s *edwards25519.Scalar, digest *[64]byte) {
	if _, err := s.SetUniformBytes(digest[:]); err != nil {
		panic("curve: internal error: scalar of 64 bytes refused")
	}
}

// hash returns SHA-512(a ‖ b ‖ msg ‖ z).
func hash(a, b []byte, msg [][]byte, z []byte) (digest [64]byte) {
	h := sha512.New()
	h.Write(a)
	h.Write(b)
	for _, m := range msg {
		h.Write(m)
	}
	h.Write(z)
	h.Sum(digest[:0])
	return digest
}
