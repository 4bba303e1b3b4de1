package x3dh

import (
	"bytes"
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A SignedPreKey is the public half of a device's signed prekey. Signature is
// the identity key's over the 33 bytes of Key. The zero value verifies under no
// key.
type SignedPreKey struct {
	ID        uint32
	Key       keys.PublicKey
	Signature []byte
}

// A PreKey is the public half of a one-time prekey, which is not signed.
type PreKey struct {
	ID  uint32
	Key keys.PublicKey
}

// A KEMPreKey is the public half of a KEM prekey, one-time or last resort.
// Signature is the identity key's over the 1,569 bytes of Key. The zero value
// verifies under no key.
type KEMPreKey struct {
	ID        uint32
	Key       keys.KEMPublicKey
	Signature []byte
}

// A Bundle is what a directory hands out for one device (gembok.md, Section
// 1). Its zero value is not usable. It holds no secret; methods may be called
// from several goroutines while nobody writes.
type Bundle struct {
	RegistrationID uint32 // 1 to 16380
	DeviceID       uint32 // 1 to 127
	IdentityKey    keys.IdentityKey
	SignedPreKey   SignedPreKey
	PreKey         *PreKey // nil: no one-time prekey was left
	KEMPreKey      KEMPreKey
	LastResort     bool   // the KEM prekey is handed out more than once
	Manifest       []byte // signed hosting manifest, opaque here; nil = none
}

// ParseBundle reads a bundle. Signatures are not verified: [Initiate] does
// that, and [Bundle.Verify].
//
// Errors: ErrMalformed, ErrTooLarge, and ErrKey for a key of another type or
// length, or a KEM key out of range.
func ParseBundle(b []byte) (*Bundle, error) {
	w, err := wire.ParseBundle(b)
	if err != nil {
		return nil, err
	}
	out := &Bundle{RegistrationID: w.RegistrationID, DeviceID: w.DeviceID, LastResort: w.LastResort, Manifest: append([]byte(nil), w.Manifest...)}
	if out.IdentityKey, err = keys.ParseIdentityKey(w.IdentityKey); err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	if out.SignedPreKey, err = parseSigned(&w.SignedPreKey); err != nil {
		return nil, err
	}
	if out.KEMPreKey, err = parseKEM(&w.KEMPreKey); err != nil {
		return nil, err
	}
	if !w.HasPreKey {
		return out, nil
	}
	one, err := parseOneTime(&w.PreKey)
	if err != nil {
		return nil, err
	}
	out.PreKey = &one
	return out, nil
}

// Bytes returns the encoding of b, which ParseBundle reads.
func (b *Bundle) Bytes() []byte {
	w := &wire.Bundle{
		RegistrationID: b.RegistrationID, DeviceID: b.DeviceID, IdentityKey: b.IdentityKey.Bytes(),
		SignedPreKey: b.SignedPreKey.wire(), KEMPreKey: b.KEMPreKey.wire(), LastResort: b.LastResort, Manifest: b.Manifest,
	}
	if b.PreKey != nil {
		w.HasPreKey, w.PreKey = true, b.PreKey.wire()
	}
	return wire.AppendBundle(nil, w)
}

// Verify verifies both signatures. The error is ErrSignature.
func (b *Bundle) Verify() error {
	if err := b.IdentityKey.VerifyPreKey(b.SignedPreKey.Key, b.SignedPreKey.Signature); err != nil {
		return fmt.Errorf("signed prekey: %w", err)
	}
	return b.KEMPreKey.verify(b.IdentityKey)
}

func (k *KEMPreKey) verify(id keys.IdentityKey) error {
	if err := id.VerifyKEMPreKey(k.Key, k.Signature); err != nil {
		return fmt.Errorf("KEM prekey: %w", err)
	}
	return nil
}

func parseSigned(w *wire.SignedPreKey) (SignedPreKey, error) {
	k, err := keys.ParsePublicKey(w.Key)
	if err != nil {
		return SignedPreKey{}, fmt.Errorf("signed prekey: %w", err)
	}
	return SignedPreKey{ID: w.ID, Key: k, Signature: bytes.Clone(w.Signature)}, nil
}

func parseKEM(w *wire.SignedPreKey) (KEMPreKey, error) {
	k, err := keys.ParseKEMPublicKey(w.Key)
	if err != nil {
		return KEMPreKey{}, fmt.Errorf("KEM prekey: %w", err)
	}
	return KEMPreKey{ID: w.ID, Key: k, Signature: bytes.Clone(w.Signature)}, nil
}

func parseOneTime(w *wire.PreKey) (PreKey, error) {
	k, err := keys.ParsePublicKey(w.Key)
	if err != nil {
		return PreKey{}, fmt.Errorf("one-time prekey: %w", err)
	}
	return PreKey{ID: w.ID, Key: k}, nil
}

func (k *SignedPreKey) wire() wire.SignedPreKey {
	return wire.SignedPreKey{ID: k.ID, Key: k.Key.Bytes(), Signature: k.Signature}
}

func (k *KEMPreKey) wire() wire.SignedPreKey {
	return wire.SignedPreKey{ID: k.ID, Key: k.Key.Bytes(), Signature: k.Signature}
}

func (k *PreKey) wire() wire.PreKey { return wire.PreKey{ID: k.ID, Key: k.Key.Bytes()} }
