package x3dh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// A device has all the private keys behind a bundle.
type device struct {
	identity        *keys.IdentityKeyPair
	signed, oneTime *keys.PrivateKey
	kem             *keys.KEMPrivateKey
}

func newDevice() *device {
	return &device{keys.GenerateIdentityKeyPair(), keys.GeneratePrivateKey(), keys.GeneratePrivateKey(), keys.GenerateKEMPrivateKey()}
}

func (d *device) bundle(oneTime bool) *x3dh.Bundle {
	b := &x3dh.Bundle{
		RegistrationID: 5678, DeviceID: 1, IdentityKey: d.identity.Public(),
		SignedPreKey: d.signedPreKey(d.signed.PublicKey()), KEMPreKey: d.kemPreKey(d.kem.Public()),
	}
	if oneTime {
		b.PreKey = &x3dh.PreKey{ID: 31337, Key: d.oneTime.PublicKey()}
	}
	return b
}

func (d *device) signedPreKey(k keys.PublicKey) x3dh.SignedPreKey {
	return x3dh.SignedPreKey{ID: 22, Key: k, Signature: d.identity.SignPreKey(k)}
}

func (d *device) kemPreKey(k keys.KEMPublicKey) x3dh.KEMPreKey {
	return x3dh.KEMPreKey{ID: 33, Key: k, Signature: d.identity.SignKEMPreKey(k)}
}

// response is what d answers to an initiator's a with.
func (d *device) response(a *x3dh.Agreement, from keys.IdentityKey, oneTime bool) *x3dh.Response {
	r := &x3dh.Response{
		Identity: d.identity, SignedPreKey: d.signed, KEMPreKey: d.kem,
		TheirIdentity: from, BaseKey: a.BaseKey(), Ciphertext: a.Ciphertext(),
	}
	if oneTime {
		r.PreKey = d.oneTime
	}
	return r
}

func initiate(t testing.TB, from *device, b *x3dh.Bundle) *x3dh.Agreement {
	t.Helper()
	a, err := x3dh.Initiate(from.identity, b)
	require.NoError(t, err)
	return a
}

func publicKey(t testing.TB, b []byte) keys.PublicKey {
	t.Helper()
	k, err := keys.ParsePublicKey(b)
	require.NoError(t, err)
	return k
}

// refuseBundle has from refuse to initiate, before it draws anything.
func refuseBundle(t testing.TB, from *device, b *x3dh.Bundle, want error) {
	t.Helper()
	a, err := x3dh.Initiate(from.identity, b)
	require.ErrorIs(t, err, want)
	require.Nil(t, a)
}

// refuseResponse has a responder refuse.
func refuseResponse(t testing.TB, r *x3dh.Response, want error) {
	t.Helper()
	a, err := x3dh.Respond(r)
	require.ErrorIs(t, err, want)
	require.Nil(t, a)
}
