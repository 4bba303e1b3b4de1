// Package x3dh agrees on the first secret of a conversation: today's PQXDH,
// in which a prekey bundle carries a KEM key beside the Curve25519 ones.
//
// [Initiate] is the side that fetched a [Bundle], [Respond] the side whose
// bundle was used; both end with the same [Agreement]. A [Publication] is what
// a device uploads so that others can be handed its bundles.
//
// The text followed is "The PQXDH Key Agreement Protocol", Revision 3, with
// Signal's parameters: Curve25519, SHA-256, Kyber-1024 (round 3), the info
// string of wire-core Section 7.1. Nothing here keeps state, so everything may
// be used from several goroutines.
//
// # Divergences
//
//   - Deployed peers expand 96 bytes where the text has one 32-byte key: root
//     key, chain key and the key of the post-quantum ratchet. Vector:
//     wire-core-vectors.json, pqxdh.
//   - The text's associated data is not made here: both identity keys enter the
//     MAC of every message (wire-core, Section 6.3).
//   - The base key must be canonical and of prime order (wire-core, Section
//     1.4): another encoding of the same point would pass for a new handshake.
package x3dh

import (
	"bytes"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/kdf"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// The classes of bad input; the same values as in the packages above and below.
var (
	ErrMalformed     = wire.ErrMalformed
	ErrTooLarge      = wire.ErrTooLarge
	ErrKey           = keys.ErrKey
	ErrSignature     = keys.ErrSignature
	ErrZeroAgreement = keys.ErrZeroAgreement
)

const info = "WhisperText_X25519_SHA-256_CRYSTALS-KYBER-1024"

// An Agreement is what both sides hold after a handshake. The zero value is
// none. It is a secret, and prints as redacted.
type Agreement struct {
	wire.Secret

	// secret is root key, chain key and post-quantum ratchet key, 32 bytes
	// each (wire-core, Section 7.1).
	secret [96]byte
	base   keys.PublicKey
	ct     []byte
}

// Keys returns the 96 bytes from which the ratchet starts: root key, chain
// key and key of the post-quantum ratchet. The caller clears its copy.
func (a *Agreement) Keys() [96]byte { return a.secret }

// BaseKey returns the initiator's ephemeral key.
func (a *Agreement) BaseKey() keys.PublicKey { return a.base }

// Ciphertext returns the KEM ciphertext (1,569 bytes with its type byte) that
// the initiator sends along; nil on the responder's side.
func (a *Agreement) Ciphertext() []byte { return bytes.Clone(a.ct) }

// Clear overwrites the secret, as far as Go allows.
func (a *Agreement) Clear() { clear(a.secret[:]) }

// Initiate verifies both signatures of b, draws a base key and a KEM secret
// and computes the initiator's side (PQXDH, Section 3.3). The one-time prekey
// is used when b has one.
//
// Errors: ErrSignature for either signature; ErrZeroAgreement when a key of
// the bundle is of small order.
func Initiate(id *keys.IdentityKeyPair, b *Bundle) (*Agreement, error) {
	if err := b.Verify(); err != nil {
		return nil, err
	}
	base := keys.GeneratePrivateKey()
	ct, ss := b.KEMPreKey.Key.Encapsulate()
	return initiate(id, b, base, ct, &ss)
}

// initiate is Initiate with the coins drawn and the signatures verified.
func initiate(id *keys.IdentityKeyPair, b *Bundle, base *keys.PrivateKey, ct []byte, ss *[32]byte) (*Agreement, error) {
	var in input
	defer in.clear()
	in.agree(id.Agree, b.SignedPreKey.Key)
	in.agree(base.Agree, b.IdentityKey.PublicKey())
	in.agree(base.Agree, b.SignedPreKey.Key)
	if b.PreKey != nil {
		in.agree(base.Agree, b.PreKey.Key)
	}
	in.add(ss)
	a := &Agreement{base: base.PublicKey(), ct: ct}
	if err := in.derive(&a.secret); err != nil {
		return nil, err
	}
	return a, nil
}

// A Response is what the responder takes into the handshake: its own keys that
// the message names, and the initiator's. All but PreKey must be set. It holds
// secrets, and prints as redacted.
type Response struct {
	wire.Secret

	Identity     *keys.IdentityKeyPair
	SignedPreKey *keys.PrivateKey
	PreKey       *keys.PrivateKey // nil: the message names no one-time prekey
	KEMPreKey    *keys.KEMPrivateKey

	TheirIdentity keys.IdentityKey
	BaseKey       keys.PublicKey
	Ciphertext    []byte // 1,569 bytes with its type byte
}

// Respond computes the responder's side (PQXDH, Section 3.4). It is a pure
// step: nothing is drawn and nothing is stored.
//
// Errors: ErrKey for a base key that is not canonical or not of prime order,
// before anything is computed, and for a ciphertext of another type or length;
// ErrZeroAgreement. A ciphertext that was tampered with gives another secret,
// as FIPS 203 rules it, and shows when the first message fails.
func Respond(r *Response) (*Agreement, error) {
	if err := r.BaseKey.Canonical(); err != nil {
		return nil, fmt.Errorf("base key: %w", err)
	}
	ss, err := r.KEMPreKey.Decapsulate(r.Ciphertext)
	if err != nil {
		return nil, err
	}
	var in input
	defer in.clear()
	in.agree(r.SignedPreKey.Agree, r.TheirIdentity.PublicKey())
	in.agree(r.Identity.Agree, r.BaseKey)
	in.agree(r.SignedPreKey.Agree, r.BaseKey)
	if r.PreKey != nil {
		in.agree(r.PreKey.Agree, r.BaseKey)
	}
	in.add(&ss)
	a := &Agreement{base: r.BaseKey}
	if err := in.derive(&a.secret); err != nil {
		return nil, err
	}
	return a, nil
}

// An input collects the secret input of the KDF: 32 bytes 0xFF, three or four
// Diffie-Hellman results, the KEM secret. Its first error stays.
type input struct {
	buf [6 * 32]byte
	n   int // 32-byte pieces after the prefix
	err error
}

func (in *input) agree(with func(keys.PublicKey) ([32]byte, error), pub keys.PublicKey) {
	if in.err != nil {
		return
	}
	s, err := with(pub)
	if err != nil {
		in.err = err
		return
	}
	in.add(&s)
}

// add takes piece into the input and clears it.
func (in *input) add(piece *[32]byte) {
	in.n++
	copy(in.buf[32*in.n:], piece[:])
	clear(piece[:])
}

func (in *input) derive(out *[96]byte) error {
	if in.err != nil {
		return in.err
	}
	for i := range 32 {
		in.buf[i] = 0xFF
	}
	kdf.HKDF(out[:], nil, in.buf[:32*(in.n+1)], []byte(info))
	return nil
}

func (in *input) clear() { clear(in.buf[:]) }
