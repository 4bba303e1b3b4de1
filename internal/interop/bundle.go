package interop

import (
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// FromBundle returns a gembok bundle as the official library takes it.
func FromBundle(b *x3dh.Bundle) *Bundle {
	out := &Bundle{
		RegistrationID: b.RegistrationID, Device: b.DeviceID, IdentityKey: b.IdentityKey.Bytes(),
		SignedPreKeyID: b.SignedPreKey.ID, SignedPreKey: b.SignedPreKey.Key.Bytes(), SignedPreKeySignature: b.SignedPreKey.Signature,
		KyberPreKeyID: b.KEMPreKey.ID, KyberPreKey: b.KEMPreKey.Key.Bytes(), KyberPreKeySignature: b.KEMPreKey.Signature,
		LastResort: b.LastResort,
	}
	if b.PreKey != nil {
		out.PreKeyID, out.PreKey = b.PreKey.ID, b.PreKey.Key.Bytes()
	}
	return out
}

// ToBundle returns b as gembok takes it. Errors are those of parsing its keys.
func (b *Bundle) ToBundle() (*x3dh.Bundle, error) {
	out := &x3dh.Bundle{
		RegistrationID: b.RegistrationID, DeviceID: b.Device,
		SignedPreKey: x3dh.SignedPreKey{ID: b.SignedPreKeyID, Signature: b.SignedPreKeySignature},
		KEMPreKey:    x3dh.KEMPreKey{ID: b.KyberPreKeyID, Signature: b.KyberPreKeySignature},
		LastResort:   b.LastResort,
	}
	var err error
	if out.IdentityKey, err = keys.ParseIdentityKey(b.IdentityKey); err != nil {
		return nil, err
	}
	if out.SignedPreKey.Key, err = keys.ParsePublicKey(b.SignedPreKey); err != nil {
		return nil, err
	}
	if out.KEMPreKey.Key, err = keys.ParseKEMPublicKey(b.KyberPreKey); err != nil {
		return nil, err
	}
	if len(b.PreKey) == 0 {
		return out, nil
	}
	one, err := keys.ParsePublicKey(b.PreKey)
	if err != nil {
		return nil, err
	}
	out.PreKey = &x3dh.PreKey{ID: b.PreKeyID, Key: one}
	return out, nil
}
