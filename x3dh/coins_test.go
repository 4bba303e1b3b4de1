package x3dh_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh"
)

// The initiator draws its base key and the secret of the KEM, the responder
// nothing.
func TestRNG_01_Coins(t *testing.T) {
	alice, bob := newDevice(), newDevice()
	b := bob.bundle(true)
	everything := func(a *x3dh.Agreement) []byte {
		secret := a.Keys()
		return slices.Concat(secret[:], a.BaseKey().Bytes(), a.Ciphertext())
	}
	require.Equal(t, []int{32, 32}, testutil.Coins(t, func() []byte { return everything(initiate(t, alice, b)) }))
	r := bob.response(initiate(t, alice, b), alice.identity.Public(), true)
	require.Empty(t, testutil.Coins(t, func() []byte {
		a, err := x3dh.Respond(r)
		require.NoError(t, err)
		return everything(a)
	}))
}
