package keys

import "crypto/subtle"

// An IdentityKey is the long-term public key of an account on a device. It is
// a comparable value, and takes part in agreements, where a point of small
// order fails; therefore, as with deployed peers, any u is an IdentityKey. The
// zero value is none: it verifies nothing.
type IdentityKey struct{ p PublicKey }

// NewIdentityKey returns the identity key with the given public key.
func NewIdentityKey(p PublicKey) IdentityKey { return IdentityKey{p: p} }

// ParseIdentityKey reads the 33 bytes 0x05 ‖ u. On ErrKey it returns the zero
// value.
func ParseIdentityKey(b []byte) (IdentityKey, error) {
	p, err := ParsePublicKey(b)
	return IdentityKey{p: p}, err
}

// PublicKey returns the key for agreements.
func (k IdentityKey) PublicKey() PublicKey { return k.p }

// Bytes returns the 33 bytes 0x05 ‖ u.
func (k IdentityKey) Bytes() []byte { return k.p.Bytes() }

// Append appends Bytes to dst.
func (k IdentityKey) Append(dst []byte) []byte { return k.p.Append(dst) }

// Equal reports, in constant time, whether the encodings are equal.
func (k IdentityKey) Equal(other IdentityKey) bool { return k.p.Equal(other.p) }

// IsZero reports whether k is the zero value.
func (k IdentityKey) IsZero() bool { return k == IdentityKey{} }

// VerifyPreKey returns ErrSignature unless sig is k's signature of the EC
// pre-key, over its 33 bytes.
func (k IdentityKey) VerifyPreKey(preKey PublicKey, sig []byte) error {
	return k.verify(sig, typeByteCurve, preKey.u[:])
}

// VerifyKEMPreKey returns ErrSignature unless sig is k's signature of the KEM
// pre-key, over its 1569 bytes.
func (k IdentityKey) VerifyKEMPreKey(preKey KEMPublicKey, sig []byte) error {
	return k.verify(sig, typeByteKEM, preKey.pk[:])
}

// VerifyAlternate returns ErrSignature unless sig is k's statement that other
// is an identity of the same account (spec/wire-core.md, Section 1.5).
func (k IdentityKey) VerifyAlternate(other IdentityKey, sig []byte) error {
	return k.verify(sig, domain, alternate, typeByteCurve, other.p.u[:])
}

// Verify returns ErrSignature unless sig is k's signature of msg under the
// label. A label that Sign would refuse verifies nothing.
func (k IdentityKey) Verify(label string, msg, sig []byte) error {
	if !validLabel(label) {
		return ErrSignature
	}
	return k.verify(sig, domain, []byte(label), labelEnd, msg)
}

// verify is variable time.
func (k IdentityKey) verify(sig []byte, parts ...[]byte) error {
	if k.IsZero() {
		return ErrSignature
	}
	return verify(&k.p.u, sig, parts...)
}

// What an identity key signs starts with the type byte of a pre-key, or with
// domain and a text of its own: no signature of one kind is one of another.
var (
	typeByteCurve = []byte{typeCurve}
	typeByteKEM   = []byte{typeKEM}
	domain        = []byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff" +
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	alternate = []byte("Signal_PNI_Signature") // 0x05 follows, no label's end
	labelEnd  = []byte{0}
)

// validLabel reports whether the label is 1 to 64 printable ASCII bytes.
func validLabel(label string) bool {
	for i := range len(label) {
		if label[i] < 0x20 || label[i] > 0x7E {
			return false
		}
	}
	return len(label) >= 1 && len(label) <= 64
}

// An IdentityKeyPair is an identity key with its private key. It signs
// pre-keys, alternate identities and labelled messages, and never raw bytes;
// that is what SigningKey is for. The zero value is not a key pair.
type IdentityKeyPair struct{ signer }

// GenerateIdentityKeyPair draws an identity key pair.
func GenerateIdentityKeyPair() *IdentityKeyPair {
	return &IdentityKeyPair{newSigner(generate())}
}

// NewIdentityKeyPair returns the key pair of the 32 private bytes, clamped. It
// returns ErrKey for any other length. It costs one multiplication of the base
// point.
func NewIdentityKeyPair(private []byte) (*IdentityKeyPair, error) {
	k, err := parsePrivate(private)
	if err != nil {
		return nil, err
	}
	return &IdentityKeyPair{newSigner(k)}, nil
}

// Public returns the identity key.
func (p *IdentityKeyPair) Public() IdentityKey {
	return IdentityKey{p: PublicKey{u: p.u}}
}

// PrivateBytes returns the 32 clamped bytes of the private key.
func (p *IdentityKeyPair) PrivateBytes() []byte { return append([]byte(nil), p.k[:]...) }

// Equal reports, in constant time, whether the key pairs are equal.
func (p *IdentityKeyPair) Equal(other *IdentityKeyPair) bool {
	return subtle.ConstantTimeCompare(p.k[:], other.k[:]) == 1
}

// Agree returns the 32 bytes of X25519. It returns ErrZeroAgreement when they
// are all zero.
func (p *IdentityKeyPair) Agree(public PublicKey) ([32]byte, error) {
	return agree(&p.k, &public.u)
}

// SignPreKey returns the signature, 64 bytes, of an EC pre-key.
func (p *IdentityKeyPair) SignPreKey(preKey PublicKey) []byte {
	return p.sign(typeByteCurve, preKey.u[:])
}

// SignKEMPreKey returns the signature, 64 bytes, of a KEM pre-key.
func (p *IdentityKeyPair) SignKEMPreKey(preKey KEMPublicKey) []byte {
	return p.sign(typeByteKEM, preKey.pk[:])
}

// SignAlternate returns the statement, 64 bytes, that other is an identity of
// the same account.
func (p *IdentityKeyPair) SignAlternate(other IdentityKey) []byte {
	return p.sign(domain, alternate, typeByteCurve, other.p.u[:])
}

// Sign returns the signature, 64 bytes, of msg under a label, which is over
// 0xFF×32 ‖ label ‖ 0x00 ‖ msg. The label is a constant of the caller, 1 to 64
// printable ASCII bytes; Sign panics on any other.
func (p *IdentityKeyPair) Sign(label string, msg []byte) []byte {
	if !validLabel(label) {
		panic("keys: label must be 1 to 64 printable ASCII bytes")
	}
	return p.sign(domain, []byte(label), labelEnd, msg)
}
