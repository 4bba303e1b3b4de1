package x3dh_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

var marked = bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 8)

func markedDevice(t *testing.T) *device {
	d := newDevice()
	var err error
	d.identity, err = keys.NewIdentityKeyPair(marked)
	require.NoError(t, err)
	d.signed, err = keys.NewPrivateKey(marked)
	require.NoError(t, err)
	d.oneTime = d.signed
	return d
}

func TestMEM_03_SecretsPrintRedacted(t *testing.T) {
	alice, bob := newDevice(), markedDevice(t)
	a := initiate(t, alice, bob.bundle(true))
	secret := a.Keys()
	testutil.RequireRedacted(t, a, secret[:32], secret[32:64], secret[64:])
	testutil.RequireRedacted(t, bob.response(a, alice.identity.Public(), true), marked, bob.kem.Bytes()[100:])

	// The others hold nothing secret.
	require.ElementsMatch(t, []string{"Agreement", "Response", "Bundle", "Publication", "PreKey", "SignedPreKey", "KEMPreKey"},
		testutil.ExportedTypes(t))
	for _, v := range []any{bob.bundle(true), newPublication(bob, 1, 1)} {
		for _, text := range testutil.Printed(t, v) {
			testutil.NoTrace(t, text, marked, bob.kem.Bytes()[100:])
		}
	}
}

func TestMEM_02_ErrorsHaveNoSecrets(t *testing.T) {
	alice, bob := newDevice(), markedDevice(t)
	a := initiate(t, alice, bob.bundle(true))
	secret := a.Keys()
	check := func(err error) {
		require.Error(t, err)
		require.Less(t, len(err.Error()), 80)
		testutil.NoTrace(t, err.Error(), marked, secret[:], a.Ciphertext()[100:], bob.identity.Public().Bytes())
	}
	small := publicKey(t, testutil.SmallOrderKeys()[0])
	r := bob.response(a, keys.NewIdentityKey(small), true)
	_, err := x3dh.Respond(r)
	check(err)
	r.BaseKey = small
	_, err = x3dh.Respond(r)
	check(err)
	r = bob.response(a, alice.identity.Public(), true)
	r.Ciphertext = r.Ciphertext[:99]
	_, err = x3dh.Respond(r)
	check(err)
	b := bob.bundle(true)
	b.PreKey.Key = small
	_, err = x3dh.Initiate(alice.identity, b)
	check(err)
	b.IdentityKey = alice.identity.Public()
	_, err = x3dh.Initiate(alice.identity, b)
	check(err)
	raw := b.Bytes()
	for n := range 300 {
		_, err = x3dh.ParseBundle(raw[:n])
		check(err)
	}
}
