// Package curve holds the steps on Curve25519, from arrays to arrays: X25519
// agreement (RFC 7748), the tests on public keys, and XEdDSA signatures as
// deployed (spec/wire-core.md, Section 1).
//
// Agreement and signing are constant time; what takes only public values
// (Verify, Canonical, SmallOrder, InRange) is variable time.
//
// # Divergences
//
// The published XEdDSA text negates the private scalar so that the sign of
// the Edwards public key is 0. Deployed peers keep the scalar and put the sign
// bit into the top bit of the signature; so does this package. Deployed
// verifiers accept any s < 2^253; this one requires s < L. Both show in the
// vectors "xeddsa".
package curve

import (
	"crypto/subtle"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
	"github.com/cloudflare/circl/dh/x25519"
)

// Clamp makes k a private key of X25519 (RFC 7748, Section 5): a multiple of
// the cofactor, with bit 254 set.
func Clamp(k *[32]byte) {
	k[0] &= 0xF8
	k[31] &= 0x7F
	k[31] |= 0x40
}

// PublicKey returns the Montgomery u-coordinate of k·B, for a clamped k.
func PublicKey(k *[32]byte) (u [32]byte) {
	// k·B is never the identity, which has no u: a multiple of both 8 and L
	// is at least 8·L > 2^255 > k.
	var p edwards25519.Point
	copy(u[:], basePoint(&p, k).BytesMontgomery())
	return u
}

// EdwardsPublic returns A = k·B in the compressed form of RFC 8032, sign bit
// included, for a clamped k.
func EdwardsPublic(k *[32]byte) (a [32]byte) {
	var p edwards25519.Point
	copy(a[:], basePoint(&p, k).Bytes())
	return a
}

// PublicKeys returns PublicKey(k) and EdwardsPublic(k), for one multiplication.
func PublicKeys(k *[32]byte) (u, a [32]byte) {
	var p edwards25519.Point
	basePoint(&p, k)
	copy(u[:], p.BytesMontgomery())
	copy(a[:], p.Bytes())
	return u, a
}

// basePoint sets p to k·B, on the tables of the Edwards form.
func basePoint(p *edwards25519.Point, k *[32]byte) *edwards25519.Point {
	var s edwards25519.Scalar
	return p.ScalarBaseMult(secretScalar(&s, k))
}

// secretScalar sets s to the clamped k, reduced mod L.
func secretScalar(s *edwards25519.Scalar, k *[32]byte) *edwards25519.Scalar {
	if _, err := s.SetBytesWithClamping(k[:]); err != nil {
		panic("curve: internal error: scalar of 32 bytes refused")
	}
	return s
}

// Agree computes X25519(k, u) as in RFC 7748, Section 5: the top bit of u is
// ignored, u is reduced mod p. It reports false, in constant time, when the
// result is all zero, as it is for the points of small order.
func Agree(k, u *[32]byte) (shared [32]byte, ok bool) {
	// The verdict of Shared comes from a list of points; ours is on the result.
	x25519.Shared((*x25519.Key)(&shared), (*x25519.Key)(k), (*x25519.Key)(u))
	var or byte
	for _, b := range shared {
		or |= b
	}
	return shared, subtle.ConstantTimeByteEq(or, 0) == 0
}

// InRange reports whether u is the one encoding of its value: the top bit is
// clear and u < p.
func InRange(u *[32]byte) bool {
	return [32]byte(element(u).Bytes()) == *u
}

// SmallOrder reports whether u, top bit ignored and reduced mod p, belongs to
// a point of small order on the curve or its twist. Those are the orders 2
// (u = 0), 4 (u = 1, and u = −1 on the twist) and 8.
func SmallOrder(u *[32]byte) bool {
	reduced := [32]byte(element(u).Bytes())
	for i := range smallOrder {
		if reduced == smallOrder[i] {
			return true
		}
	}
	return false
}

// smallOrder has the five reduced u of small order: 0, 1, the two of order 8
// and −1.
var smallOrder = [5][32]byte{
	{},
	{1},
	{0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
		0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
	{0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
		0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
}

// Canonical reports whether u is in range and belongs to a point of the
// prime-order subgroup (spec/wire-core.md, Section 1.4). Points of the twist
// have no Edwards image and fail.
func Canonical(u *[32]byte) bool {
	if !InRange(u) {
		return false
	}
	var p, q edwards25519.Point
	if _, ok := edwardsPoint(&p, u); !ok {
		return false
	}
	// L has no representation mod L; (L−1)·P = −P is the same statement.
	q.VarTimeDoubleScalarBaseMult(minusOne, &p, zero)
	return q.Equal(p.Negate(&p)) == 1
}

var (
	zero     = edwards25519.NewScalar()
	minusOne = func() *edwards25519.Scalar {
		one, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{1}, make([]byte, 31)...))
		if err != nil {
			panic("curve: internal error: the scalar 1 refused")
		}
		return one.Negate(one)
	}()
)

// edwardsPoint sets p to the Edwards point of u, top bit ignored and reduced
// mod p: that with y = (u−1)/(u+1) and the sign 0 of x. It returns the
// point's compressed form. It reports false for u = −1 and for the u of the
// twist, which have no image.
func edwardsPoint(p *edwards25519.Point, u *[32]byte) (a [32]byte, ok bool) {
	var zero, one, n, d field.Element
	one.One()
	e := element(u)
	n.Subtract(e, &one)
	d.Add(e, &one)
	// Invert maps 0 to 0, which would make u = −1 the point with y = 0.
	if d.Equal(&zero) == 1 {
		return a, false
	}
	copy(a[:], n.Multiply(&n, d.Invert(&d)).Bytes())
	_, err := p.SetBytes(a[:])
	return a, err == nil
}

// element returns u, top bit ignored, as an element of the field.
func element(u *[32]byte) *field.Element {
	e, err := new(field.Element).SetBytes(u[:])
	if err != nil {
		panic("curve: internal error: field element of 32 bytes refused")
	}
	return e
}
