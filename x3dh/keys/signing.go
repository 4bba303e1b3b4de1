package keys

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/curve"
)

// A signer is a private key that signs: its scalar and both forms of its
// public key, so that signing computes neither.
type signer struct {
	secret
	k [32]byte // clamped
	u [32]byte // Montgomery form
	a [32]byte // compressed Edwards form
}

func newSigner(k [32]byte) signer {
	u, a := curve.PublicKeys(&k)
	return signer{k: k, u: u, a: a}
}

func (s *signer) sign(parts ...[]byte) []byte {
	var z [64]byte
	rand.Read(z[:])
	sig := curve.Sign(&s.k, &s.a, &z, parts...)
	return sig[:]
}

func verify(u *[32]byte, sig []byte, parts ...[]byte) error {
	if !curve.Verify(u, sig, parts...) {
		return ErrSignature
	}
	return nil
}

// A SigningKey makes raw XEdDSA signatures: trust roots, certificates, sender
// keys. Nothing separates one use of it from another but the key. The zero
// value is not a key.
type SigningKey struct{ signer }

// GenerateSigningKey draws a signing key.
func GenerateSigningKey() *SigningKey { return &SigningKey{newSigner(generate())} }

// NewSigningKey returns the signing key of the 32 bytes, clamped. It returns
// ErrKey for any other length. It costs one multiplication of the base point.
func NewSigningKey(private []byte) (*SigningKey, error) {
	k, err := parsePrivate(private)
	if err != nil {
		return nil, err
	}
	return &SigningKey{newSigner(k)}, nil
}

// PrivateBytes returns the 32 clamped bytes.
func (k *SigningKey) PrivateBytes() []byte { return append([]byte(nil), k.k[:]...) }

// Public returns the public key.
func (k *SigningKey) Public() VerifyKey { return VerifyKey{p: PublicKey{u: k.u}} }

// Equal reports, in constant time, whether the keys are equal.
func (k *SigningKey) Equal(other *SigningKey) bool {
	return subtle.ConstantTimeCompare(k.k[:], other.k[:]) == 1
}

// Sign returns the signature, 64 bytes, over the parts back to back.
func (k *SigningKey) Sign(parts ...[]byte) []byte { return k.sign(parts...) }

// A VerifyKey is a public key that only verifies. It is a comparable value,
// in range and not of small order. The zero value is not a key, and verifies
// nothing.
type VerifyKey struct{ p PublicKey }

// ParseVerifyKey reads the 33 bytes 0x05 ‖ u. It returns ErrKey, and the zero
// value, also for a u out of range or of small order. Keys whose point has a
// part of small order beside one of large order pass, as with deployed peers.
func ParseVerifyKey(b []byte) (VerifyKey, error) {
	p, err := ParsePublicKey(b)
	switch {
	case err != nil:
		return VerifyKey{}, err
	case !curve.InRange(&p.u):
		return VerifyKey{}, fmt.Errorf("%w: not canonical", ErrKey)
	case curve.SmallOrder(&p.u):
		return VerifyKey{}, fmt.Errorf("%w: small order", ErrKey)
	}
	return VerifyKey{p: p}, nil
}

// Bytes returns the 33 bytes 0x05 ‖ u.
func (k VerifyKey) Bytes() []byte { return k.p.Bytes() }

// Append appends Bytes to dst.
func (k VerifyKey) Append(dst []byte) []byte { return k.p.Append(dst) }

// Equal reports, in constant time, whether the encodings are equal.
func (k VerifyKey) Equal(other VerifyKey) bool { return k.p.Equal(other.p) }

// IsZero reports whether k is the zero value.
func (k VerifyKey) IsZero() bool { return k == VerifyKey{} }

// Verify returns ErrSignature unless sig is a signature over the parts back to
// back. It is variable time.
func (k VerifyKey) Verify(sig []byte, parts ...[]byte) error {
	if k.IsZero() {
		return ErrSignature
	}
	return verify(&k.p.u, sig, parts...)
}

// Verifier returns Verify of k with what depends on the key alone done, a seventh
// of it, for keys that verify many signatures. It may be used from several
// goroutines.
func (k VerifyKey) Verifier() (verify func(sig, message []byte) error) {
	var v curve.Verifier
	known := !k.IsZero() && v.Set(&k.p.u)
	return func(sig, message []byte) error {
		if !known || !v.Verify(sig, message) {
			return ErrSignature
		}
		return nil
	}
}
