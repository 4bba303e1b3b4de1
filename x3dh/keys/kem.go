package keys

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// A KEMPublicKey is a Kyber-1024 public key whose coefficients are reduced. It
// is a comparable value. The zero value is not a key: what is encapsulated to it,
// anyone can read.
type KEMPublicKey struct{ pk [kem.Kyber1024PublicSize]byte }

// ParseKEMPublicKey reads the 1569 bytes 0x08 ‖ t ‖ ρ. It returns ErrKey, and
// the zero value, also for a coefficient of t that is not reduced (FIPS 203,
// Section 7.2).
func ParseKEMPublicKey(b []byte) (KEMPublicKey, error) {
	if err := checkKEM(b, kem.Kyber1024PublicSize); err != nil {
		return KEMPublicKey{}, err
	}
	k := KEMPublicKey{pk: [kem.Kyber1024PublicSize]byte(b[1:])}
	if !kem.Kyber1024Valid(&k.pk) {
		return KEMPublicKey{}, fmt.Errorf("%w: coefficient not reduced", ErrKey)
	}
	return k, nil
}

// checkKEM reads the type byte and checks the length that follows.
func checkKEM(b []byte, size int) error {
	switch {
	case len(b) != 1+size:
		return fmt.Errorf("%w: length %d", ErrKey, len(b))
	case b[0] != typeKEM:
		return fmt.Errorf("%w: type 0x%02x", ErrKey, b[0])
	}
	return nil
}

// Bytes returns the 1569 bytes 0x08 ‖ t ‖ ρ.
func (k KEMPublicKey) Bytes() []byte { return withType(k.pk[:]) }

func withType(raw []byte) []byte {
	return append(append(make([]byte, 0, 1+len(raw)), typeKEM), raw...)
}

// Equal reports, in constant time, whether the encodings are equal.
func (k KEMPublicKey) Equal(other KEMPublicKey) bool {
	return subtle.ConstantTimeCompare(k.pk[:], other.pk[:]) == 1
}

// Encapsulate draws 32 bytes and returns a ciphertext, 1569 bytes with the
// type byte, and the shared secret in it.
func (k KEMPublicKey) Encapsulate() (ciphertext []byte, shared [32]byte) {
	var coins [32]byte
	rand.Read(coins[:])
	ct, shared := kem.Kyber1024Encapsulate(&k.pk, &coins)
	clear(coins[:])
	return withType(ct[:]), shared
}

// A KEMPrivateKey is a Kyber-1024 private key. The zero value is not a key.
type KEMPrivateKey struct {
	secret
	sk [kem.Kyber1024PrivateSize]byte // ŝ (1536) ‖ pk (1568) ‖ H(pk) (32) ‖ z (32)
}

// GenerateKEMPrivateKey draws a private key, from 64 bytes.
func GenerateKEMPrivateKey() *KEMPrivateKey {
	var seed [64]byte
	rand.Read(seed[:])
	_, sk := kem.Kyber1024Generate(&seed)
	clear(seed[:])
	k := &KEMPrivateKey{sk: *sk}
	clear(sk[:])
	return k
}

// ParseKEMPrivateKey reads the 3169 bytes 0x08 ‖ ŝ ‖ pk ‖ H(pk) ‖ z. It
// returns ErrKey also for a pk that ParseKEMPublicKey would refuse, and for a
// hash that is not that of pk (FIPS 203, Section 7.3).
func ParseKEMPrivateKey(b []byte) (*KEMPrivateKey, error) {
	if err := checkKEM(b, kem.Kyber1024PrivateSize); err != nil {
		return nil, err
	}
	k := &KEMPrivateKey{sk: [kem.Kyber1024PrivateSize]byte(b[1:])}
	if !kem.Kyber1024KeyValid(&k.sk) {
		return nil, fmt.Errorf("%w: KEM private key and the public key in it do not fit", ErrKey)
	}
	return k, nil
}

// Bytes returns the 3169 bytes 0x08 ‖ ŝ ‖ pk ‖ H(pk) ‖ z.
func (k *KEMPrivateKey) Bytes() []byte { return withType(k.sk[:]) }

// Public returns the public key, which the private key contains.
func (k *KEMPrivateKey) Public() KEMPublicKey {
	return KEMPublicKey{pk: *kem.Kyber1024Public(&k.sk)}
}

// Equal reports, in constant time, whether the keys are equal.
func (k *KEMPrivateKey) Equal(other *KEMPrivateKey) bool {
	return subtle.ConstantTimeCompare(k.sk[:], other.sk[:]) == 1
}

// Decapsulate returns the shared secret in a ciphertext of 1569 bytes with the
// type byte. It returns ErrKey for any other length or type. A ciphertext that
// was not made for k gives a secret that nobody else has, and no error.
func (k *KEMPrivateKey) Decapsulate(ciphertext []byte) ([32]byte, error) {
	if err := checkKEM(ciphertext, kem.Kyber1024CiphertextSize); err != nil {
		return [32]byte{}, err
	}
	return kem.Kyber1024Decapsulate(&k.sk, (*[kem.Kyber1024CiphertextSize]byte)(ciphertext[1:])), nil
}
