package curve_test

import (
	"crypto/sha512"
	"math/big"
	"slices"
)

// A slow reference over math/big, written from RFC 7748, RFC 8032 and
// spec/wire-core.md, Section 1: affine Edwards points, no shared code with the
// package.

// A point is (x, y) on −x² + y² = 1 + d·x²·y².
type point struct{ x, y *big.Int }

var (
	p       = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	order   = decimal("7237005577332262213973186563042994240857116359379907606001950938285454250989")
	d       = mod(new(big.Int).Mul(big.NewInt(-121665), inverse(big.NewInt(121666))))
	one     = big.NewInt(1)
	base    = point{decimal("15112221349535400772501151409588531511454012693041857206046113283949847762202"), mod(new(big.Int).Mul(big.NewInt(4), inverse(big.NewInt(5))))}
	neutral = point{new(big.Int), big.NewInt(1)}
)

func decimal(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return n
}

func mod(a *big.Int) *big.Int     { return a.Mod(a, p) }
func inverse(a *big.Int) *big.Int { return new(big.Int).ModInverse(new(big.Int).Mod(a, p), p) }
func mul(a ...*big.Int) *big.Int {
	r := big.NewInt(1)
	for _, f := range a {
		r = mod(r.Mul(r, f))
	}
	return r
}

// add is the complete addition of twisted Edwards curves with a = −1.
func (a point) add(b point) point {
	dxy := mul(d, a.x, b.x, a.y, b.y)
	x := new(big.Int).Add(mul(a.x, b.y), mul(a.y, b.x))
	y := new(big.Int).Add(mul(a.y, b.y), mul(a.x, b.x))
	return point{
		mul(x, inverse(new(big.Int).Add(one, dxy))),
		mul(y, inverse(new(big.Int).Sub(one, dxy))),
	}
}

func (a point) neg() point { return point{mod(new(big.Int).Neg(a.x)), a.y} }

func (a point) equal(b point) bool { return a.x.Cmp(b.x) == 0 && a.y.Cmp(b.y) == 0 }

// times returns n·a.
func (a point) times(n *big.Int) point {
	r := neutral
	for i := n.BitLen() - 1; i >= 0; i-- {
		r = r.add(r)
		if n.Bit(i) == 1 {
			r = r.add(a)
		}
	}
	return r
}

func (a point) compress() [32]byte {
	b := little(a.y)
	b[31] |= byte(a.x.Bit(0)) << 7
	return b
}

// montgomery returns u = (1+y)/(1−y).
func (a point) montgomery() [32]byte {
	return little(mul(new(big.Int).Add(one, a.y), inverse(new(big.Int).Sub(one, a.y))))
}

// fromMontgomery returns the point of u with the given sign, if there is one.
func fromMontgomery(u *[32]byte, sign byte) (point, bool) {
	m := *u
	m[31] &= 0x7F
	n := mod(number(m[:]))
	den := mod(new(big.Int).Add(n, one))
	if den.Sign() == 0 {
		return point{}, false
	}
	return fromY(mul(new(big.Int).Sub(n, one), inverse(den)), sign)
}

// fromY returns the point of y with the given sign of x, if there is one.
func fromY(y *big.Int, sign byte) (point, bool) {
	yy := mul(y, y)
	xx := mul(new(big.Int).Sub(yy, one), inverse(new(big.Int).Add(mul(d, yy), one)))
	x := new(big.Int).ModSqrt(xx, p)
	if x == nil {
		return point{}, false
	}
	if x.Bit(0) != uint(sign) {
		x = mod(new(big.Int).Neg(x))
	}
	return point{x, y}, true
}

// torsion returns the eight points of small order, i times one of order 8.
func torsion() (ts [8]point) {
	for y := int64(2); ; y++ {
		q, ok := fromY(big.NewInt(y), 0)
		if !ok {
			continue
		}
		t := q.times(order)
		if t.times(big.NewInt(4)).equal(neutral) {
			continue
		}
		ts[0] = neutral
		for i := 1; i < 8; i++ {
			ts[i] = ts[i-1].add(t)
		}
		return ts
	}
}

func little(n *big.Int) (b [32]byte) {
	n.FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

func number(b []byte) *big.Int {
	r := slices.Clone(b)
	slices.Reverse(r)
	return new(big.Int).SetBytes(r)
}

func hashMod(parts ...[]byte) *big.Int {
	h := sha512.New()
	for _, b := range parts {
		h.Write(b)
	}
	n := number(h.Sum(nil))
	return n.Mod(n, order)
}

// slowSign is spec/wire-core.md, Section 1.5, signing.
func slowSign(k *[32]byte, z *[64]byte, msg []byte) (sig [64]byte) {
	a := number(k[:])
	A := base.times(a).compress()
	prefix := slices.Repeat([]byte{0xFF}, 32)
	prefix[0] = 0xFE
	r := hashMod(prefix, k[:], msg, z[:])
	R := base.times(r).compress()
	s := hashMod(R[:], A[:], msg)
	s.Add(s.Mul(s, a), r).Mod(s, order)
	S := little(s)
	copy(sig[:], R[:])
	copy(sig[32:], S[:])
	sig[63] |= A[31] & 0x80
	return sig
}

// slowVerify is spec/wire-core.md, Section 1.5, verification, with s < L.
func slowVerify(u *[32]byte, sig, msg []byte) bool {
	if len(sig) != 64 {
		return false
	}
	P, ok := fromMontgomery(u, sig[63]>>7)
	S := [32]byte(sig[32:])
	S[31] &= 0x7F
	s := number(S[:])
	if !ok || s.Cmp(order) >= 0 {
		return false
	}
	A := P.compress()
	h := hashMod(sig[:32], A[:], msg)
	return base.times(s).add(P.neg().times(h)).compress() == [32]byte(sig[:32])
}
