package x3dh_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// requireParseError has err be one of the classes that parsers name.
func requireParseError(t *testing.T, err error) {
	for _, want := range []error{x3dh.ErrMalformed, x3dh.ErrTooLarge, x3dh.ErrKey} {
		if errors.Is(err, want) {
			return
		}
	}
	require.NoError(t, err, "of no class")
}

// FuzzF26Bundle parses, verifies, and begins a session from what is left.
func FuzzF26Bundle(f *testing.F) {
	alice, bob := newDevice(), newDevice()
	for _, oneTime := range []bool{true, false} {
		b := bob.bundle(oneTime)
		f.Add(b.Bytes())
		b.Manifest, b.LastResort = []byte("a manifest"), true
		f.Add(b.Bytes())
	}
	for _, bad := range testutil.SmallOrderKeys() {
		key, err := keys.ParsePublicKey(bad)
		require.NoError(f, err)
		b := bob.bundle(true)
		b.PreKey.Key = key
		f.Add(b.Bytes())
		b.SignedPreKey = bob.signedPreKey(key)
		f.Add(b.Bytes())
		b.IdentityKey = keys.NewIdentityKey(key)
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := x3dh.ParseBundle(raw)
		if err != nil {
			require.Nil(t, b)
			requireParseError(t, err)
			return
		}
		again, err := x3dh.ParseBundle(b.Bytes())
		require.NoError(t, err)
		require.Equal(t, b, again)
		bad := b.Verify()
		a, err := x3dh.Initiate(alice.identity, b)
		switch {
		case bad != nil:
			require.ErrorIs(t, bad, x3dh.ErrSignature)
			require.ErrorIs(t, err, x3dh.ErrSignature)
		case err != nil:
			require.ErrorIs(t, err, x3dh.ErrZeroAgreement)
		default:
			require.NotZero(t, a.Keys())
		}
	})
}

func FuzzPublication(f *testing.F) {
	f.Add(newPublication(newDevice(), 0, 0).Bytes())
	f.Add(newPublication(newDevice(), 2, 1).Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := x3dh.ParsePublication(raw)
		if err != nil {
			require.Nil(t, p)
			requireParseError(t, err)
			return
		}
		canonical := p.Bytes()
		again, err := x3dh.ParsePublication(canonical)
		require.NoError(t, err)
		require.True(t, bytes.Equal(canonical, again.Bytes()))
		if err := p.Verify(); err != nil {
			require.ErrorIs(t, err, x3dh.ErrSignature)
		}
		b, err := x3dh.ParseBundle(p.Take().Bytes())
		if len(p.Manifest) < 16<<10 {
			require.NoError(t, err)
			require.Equal(t, p.IdentityKey, b.IdentityKey)
		}
	})
}
