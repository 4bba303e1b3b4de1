package x3dh

import (
	"fmt"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A Publication is what a device uploads to a directory (gembok.md, Section
// 2): from it the directory makes bundles, each one-time prekey in one bundle
// only. Its zero value is not usable. It holds no secret; it is used by one
// goroutine at a time.
type Publication struct {
	RegistrationID uint32 // 1 to 16380
	DeviceID       uint32 // 1 to 127
	IdentityKey    keys.IdentityKey
	SignedPreKey   SignedPreKey
	LastResort     KEMPreKey
	PreKeys        []PreKey
	KEMPreKeys     []KEMPreKey
	Manifest       []byte // signed hosting manifest, opaque here; nil = none
}

// ParsePublication reads a publication. A directory calls Verify before it
// stores one.
//
// Errors: ErrMalformed, ErrTooLarge, and ErrKey for a key of another type or
// length, or a KEM key out of range.
func ParsePublication(b []byte) (*Publication, error) {
	w, err := wire.ParsePublication(b)
	if err != nil {
		return nil, err
	}
	out := &Publication{RegistrationID: w.RegistrationID, DeviceID: w.DeviceID, Manifest: append([]byte(nil), w.Manifest...)}
	if out.IdentityKey, err = keys.ParseIdentityKey(w.IdentityKey); err != nil {
		return nil, fmt.Errorf("identity key: %w", err)
	}
	if out.SignedPreKey, err = parseSigned(&w.SignedPreKey); err != nil {
		return nil, err
	}
	if out.LastResort, err = parseKEM(&w.LastResort); err != nil {
		return nil, err
	}
	for i := range w.PreKeys {
		k, err := parseOneTime(&w.PreKeys[i])
		if err != nil {
			return nil, err
		}
		out.PreKeys = append(out.PreKeys, k)
	}
	for i := range w.KEMPreKeys {
		k, err := parseKEM(&w.KEMPreKeys[i])
		if err != nil {
			return nil, err
		}
		out.KEMPreKeys = append(out.KEMPreKeys, k)
	}
	return out, nil
}

// Bytes returns the encoding of p, which ParsePublication reads.
func (p *Publication) Bytes() []byte {
	w := &wire.Publication{
		RegistrationID: p.RegistrationID, DeviceID: p.DeviceID, IdentityKey: p.IdentityKey.Bytes(),
		SignedPreKey: p.SignedPreKey.wire(), LastResort: p.LastResort.wire(), Manifest: p.Manifest,
	}
	for i := range p.PreKeys {
		w.PreKeys = append(w.PreKeys, p.PreKeys[i].wire())
	}
	for i := range p.KEMPreKeys {
		w.KEMPreKeys = append(w.KEMPreKeys, p.KEMPreKeys[i].wire())
	}
	return wire.AppendPublication(nil, w)
}

// Verify verifies every signature. The error is ErrSignature.
func (p *Publication) Verify() error {
	if err := p.IdentityKey.VerifyPreKey(p.SignedPreKey.Key, p.SignedPreKey.Signature); err != nil {
		return fmt.Errorf("signed prekey: %w", err)
	}
	if err := p.LastResort.verify(p.IdentityKey); err != nil {
		return err
	}
	for i := range p.KEMPreKeys {
		if err := p.KEMPreKeys[i].verify(p.IdentityKey); err != nil {
			return err
		}
	}
	return nil
}

// Take makes the next bundle and takes its one-time prekeys out of p. When no
// one-time KEM prekey is left the bundle has the last-resort one; when no
// one-time Curve25519 prekey is left it has none.
func (p *Publication) Take() *Bundle {
	b := &Bundle{
		RegistrationID: p.RegistrationID, DeviceID: p.DeviceID, IdentityKey: p.IdentityKey,
		SignedPreKey: p.SignedPreKey, KEMPreKey: p.LastResort, LastResort: true, Manifest: p.Manifest,
	}
	if len(p.PreKeys) > 0 {
		one := p.PreKeys[0]
		b.PreKey, p.PreKeys = &one, p.PreKeys[1:]
	}
	if len(p.KEMPreKeys) > 0 {
		b.KEMPreKey, b.LastResort, p.KEMPreKeys = p.KEMPreKeys[0], false, p.KEMPreKeys[1:]
	}
	return b
}
