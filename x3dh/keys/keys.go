// Package keys holds the types of key that everyone shares: Curve25519 keys
// for agreement, identity keys, signing keys and KEM keys (spec/wire-core.md,
// Sections 1, 2 and 5).
//
// Public keys are comparable values. Private keys are used by pointer; they
// print as "redacted", compare in constant time, and are erased only as far as
// the garbage collector of Go allows, which may have made copies. Every type
// is safe for concurrent use, as nothing changes after it was made.
//
// # Divergences
//
// Deployed peers accept EC keys with trailing bytes; here the length is
// exactly 33, which every honest peer sends. Signatures need s < L, keys that
// only verify must be in range and not of small order, and KEM public keys
// pass the modulus check of FIPS 203, Section 7.2. No honest key or signature
// is lost by it.
package keys

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/gembok-e2ee/gembok/internal/curve"
)

var (
	// ErrKey reports bytes that are not a key, or not one that may be used
	// here: type, length, canonical form, small order, modulus or a broken
	// private key. The text says which.
	ErrKey = errors.New("keys: invalid key")
	// ErrSignature reports a signature that does not verify.
	ErrSignature = errors.New("keys: invalid signature")
	// ErrZeroAgreement reports an agreement whose result is all zero, which
	// only a public key of small order gives.
	ErrZeroAgreement = errors.New("keys: all-zero key agreement")
)

const (
	typeCurve   = 0x05
	typeKEM     = 0x08 // Kyber-1024, NIST round 3
	publicSize  = 1 + 32
	privateSize = 32
)

// secret is embedded in every type that holds a secret. It keeps the type
// from being compared with ==, and from being printed.
type secret struct{ _ [0]func() }

// Format answers every verb with "redacted".
func (secret) Format(f fmt.State, _ rune) { io.WriteString(f, "redacted") }

// LogValue returns "redacted".
func (secret) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalJSON returns "redacted".
func (secret) MarshalJSON() ([]byte, error) { return []byte(`"redacted"`), nil }

// A PublicKey is a Curve25519 public key, as it came: no value of u is
// excluded, and two encodings of the same value are different keys. The zero
// value is u = 0, with which no agreement succeeds.
type PublicKey struct{ u [32]byte }

// ParsePublicKey reads the 33 bytes 0x05 ‖ u. On ErrKey it returns the zero
// value.
func ParsePublicKey(b []byte) (PublicKey, error) {
	switch {
	case len(b) != publicSize:
		return PublicKey{}, fmt.Errorf("%w: length %d", ErrKey, len(b))
	case b[0] != typeCurve:
		return PublicKey{}, fmt.Errorf("%w: type 0x%02x", ErrKey, b[0])
	}
	return PublicKey{u: [32]byte(b[1:])}, nil
}

// Bytes returns the 33 bytes 0x05 ‖ u.
func (k PublicKey) Bytes() []byte { return k.Append(make([]byte, 0, publicSize)) }

// Append appends Bytes to dst.
func (k PublicKey) Append(dst []byte) []byte {
	return append(append(dst, typeCurve), k.u[:]...)
}

// Equal reports, in constant time, whether the encodings are equal.
func (k PublicKey) Equal(other PublicKey) bool {
	return subtle.ConstantTimeCompare(k.u[:], other.u[:]) == 1
}

// Canonical returns ErrKey unless u is in range and its point is in the
// prime-order subgroup, as every generated key's is. The base key of a first
// message must be, since it also serves to recognize that message
// (spec/wire-core.md, Section 1.4).
func (k PublicKey) Canonical() error {
	if !curve.Canonical(&k.u) {
		return fmt.Errorf("%w: not canonical", ErrKey)
	}
	return nil
}

// A PrivateKey is a Curve25519 private key for agreement. The zero value is
// not a key; values come from GeneratePrivateKey and NewPrivateKey.
type PrivateKey struct {
	secret
	k [32]byte // clamped
}

// GeneratePrivateKey draws a private key.
func GeneratePrivateKey() *PrivateKey { return &PrivateKey{k: generate()} }

// NewPrivateKey returns the private key of the 32 bytes, clamped. It returns
// ErrKey for any other length.
func NewPrivateKey(b []byte) (*PrivateKey, error) {
	k, err := parsePrivate(b)
	if err != nil {
		return nil, err
	}
	return &PrivateKey{k: k}, nil
}

// Bytes returns the 32 clamped bytes.
func (k *PrivateKey) Bytes() []byte { return append([]byte(nil), k.k[:]...) }

// PublicKey returns the public key. It is computed at each call, for one
// multiplication of the base point.
func (k *PrivateKey) PublicKey() PublicKey { return PublicKey{u: curve.PublicKey(&k.k)} }

// Equal reports, in constant time, whether the keys are equal.
func (k *PrivateKey) Equal(other *PrivateKey) bool {
	return subtle.ConstantTimeCompare(k.k[:], other.k[:]) == 1
}

// Agree returns the 32 bytes of X25519. It returns ErrZeroAgreement when they
// are all zero.
func (k *PrivateKey) Agree(public PublicKey) ([32]byte, error) { return agree(&k.k, &public.u) }

func agree(k, u *[32]byte) ([32]byte, error) {
	shared, ok := curve.Agree(k, u)
	if !ok {
		return [32]byte{}, ErrZeroAgreement
	}
	return shared, nil
}

// generate draws 32 bytes and clamps them.
func generate() (k [32]byte) {
	rand.Read(k[:])
	curve.Clamp(&k)
	return k
}

// parsePrivate reads and clamps 32 bytes.
func parsePrivate(b []byte) (k [32]byte, err error) {
	if len(b) != privateSize {
		return k, fmt.Errorf("%w: private key of length %d", ErrKey, len(b))
	}
	k = [32]byte(b)
	curve.Clamp(&k)
	return k, nil
}
