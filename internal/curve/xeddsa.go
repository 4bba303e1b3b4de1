package curve

import (
	"crypto/sha512"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
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
	var v Verifier
	return v.Set(u) && v.Verify(sig, msg...)
}

// A Verifier is a public key ready to verify with: finding its Edwards point takes
// a seventh of the time of Verify. The zero value is not a key.
type Verifier struct {
	p    edwards25519.Point // with the sign 0
	a    [32]byte           // compressed
	sign byte               // the bit of a for the sign of x; 0 where x is 0
}

// Set makes v the Verifier of u, top bit ignored and reduced mod p. It reports
// false for a u without an Edwards image; v is then not to be used.
func (v *Verifier) Set(u *[32]byte) (ok bool) {
	if v.a, ok = edwardsPoint(&v.p, u); !ok {
		return false
	}
	// x = 0 has one sign. Of the two y that give it, 1 is no image, and −1 is
	// that of u = 0.
	v.sign = 0
	if element(u).Equal(new(field.Element)) == 0 {
		v.sign = 0x80
	}
	return true
}

// Verify is the function of that name for the key of v, which it does not change.
func (v *Verifier) Verify(sig []byte, msg ...[]byte) bool {
	if len(sig) != 64 {
		return false
	}
	sBytes := [32]byte(sig[32:])
	sign := sBytes[31] & 0x80
	sBytes[31] &= 0x7F
	var h, s edwards25519.Scalar
	if _, err := s.SetCanonicalBytes(sBytes[:]); err != nil {
		return false
	}
	a := v.a
	a[31] |= sign & v.sign
	digest := hash(sig[:32], a[:], msg, nil)
	wideScalar(&h, &digest)
	// The point is negated, not h: (L−h)·P is not −h·P when P has torsion. With
	// the sign 1 it is the negative of v.p already.
	p, r := v.p, edwards25519.Point{}
	if sign == 0 {
		p.Negate(&p)
	}
	r.VarTimeDoubleScalarBaseMult(&h, &p, &s)
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
