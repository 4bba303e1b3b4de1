package keys_test

import (
	"crypto/ecdh"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func FuzzF01PublicKey(f *testing.F) {
	f.Add([]byte{})
	f.Add(keys.GeneratePrivateKey().PublicKey().Bytes())
	for _, b := range append(testutil.SmallOrderKeys(), publishedSmallOrder()...) {
		f.Add(b)
		f.Add(append(b, 0))
	}
	_, torsioned := testutil.TorsionedKeys()
	for _, b := range torsioned {
		f.Add(b)
	}
	private, err := keys.NewPrivateKey(marked)
	require.NoError(f, err)
	oracle, err := ecdh.X25519().NewPrivateKey(marked)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := keys.ParsePublicKey(b)
		require.Equal(t, len(b) == 33 && b[0] == 5, err == nil)
		identity, errIdentity := keys.ParseIdentityKey(b)
		verify, errVerify := keys.ParseVerifyKey(b)
		if err != nil {
			require.ErrorIs(t, err, keys.ErrKey)
			require.ErrorIs(t, errIdentity, keys.ErrKey)
			require.ErrorIs(t, errVerify, keys.ErrKey)
			return
		}
		require.NoError(t, errIdentity)
		require.Equal(t, b, k.Bytes())
		require.Equal(t, b, identity.Bytes())
		if errVerify == nil {
			require.Equal(t, b, verify.Bytes())
		} else {
			require.ErrorIs(t, errVerify, keys.ErrKey)
			require.ErrorIs(t, k.Canonical(), keys.ErrKey)
		}
		their, err := ecdh.X25519().NewPublicKey(b[1:])
		require.NoError(t, err)
		want, errWant := oracle.ECDH(their)
		got, err := private.Agree(k)
		require.Equal(t, errWant == nil, err == nil)
		if err != nil {
			require.ErrorIs(t, err, keys.ErrZeroAgreement)
			require.ErrorIs(t, k.Canonical(), keys.ErrKey)
			return
		}
		require.Equal(t, want, got[:])
	})
}

func FuzzF02KEM(f *testing.F) {
	private := keys.GenerateKEMPrivateKey()
	public := private.Public()
	ct, _ := public.Encapsulate()
	f.Add([]byte{})
	f.Add([]byte{8})
	f.Add(private.Bytes())
	f.Add(public.Bytes())
	f.Add(ct)
	f.Add(append([]byte{10}, ct[1:]...))
	overflow := public.Bytes()
	setCoefficient(overflow[1:], 5, q)
	f.Add(overflow)
	f.Fuzz(func(t *testing.T, b []byte) {
		shared, err := private.Decapsulate(b)
		require.Equal(t, len(b) == 1569 && b[0] == 8, err == nil)
		if err != nil {
			require.ErrorIs(t, err, keys.ErrKey)
			require.Zero(t, shared)
		}
		if k, err := keys.ParseKEMPublicKey(b); err != nil {
			require.ErrorIs(t, err, keys.ErrKey)
		} else {
			require.Equal(t, b, k.Bytes())
			ct, _ := k.Encapsulate()
			require.Len(t, ct, 1569)
		}
		if k, err := keys.ParseKEMPrivateKey(b); err != nil {
			require.ErrorIs(t, err, keys.ErrKey)
		} else {
			require.Equal(t, b, k.Bytes())
			_, err := k.Decapsulate(ct)
			require.NoError(t, err)
		}
	})
}
