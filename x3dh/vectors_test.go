package x3dh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/x3dh"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

type handshake struct {
	Root0         testutil.Hex
	Chain0        testutil.Hex
	PQRKey        testutil.Hex `json:"pqr_key"`
	PreKeyMessage testutil.Hex `json:"prekey_message"`
}

func TestVectors(t *testing.T) {
	var v struct {
		Keys struct {
			BobIdentity   testutil.Hex `json:"bob_identity_private"`
			BobSigned     testutil.Hex `json:"bob_signed_prekey_private"`
			BobOneTime    testutil.Hex `json:"bob_one_time_private"`
			AliceIdentity testutil.Hex `json:"alice_identity_private"`
			AliceBase     testutil.Hex `json:"alice_base_private"`
			Coins         testutil.Hex `json:"kyber_encaps_randomness"`
			KEMSecret     testutil.Hex `json:"kyber_secret"`
		}
		With    handshake `json:"pqxdh"`
		Without handshake `json:"pqxdh_no_opk"`
	}
	testutil.ReadJSON(t, "wire/wire-core-vectors.json", &v)
	var alice, bob device
	var err error
	alice.identity, err = keys.NewIdentityKeyPair(v.Keys.AliceIdentity)
	require.NoError(t, err)
	bob.identity, err = keys.NewIdentityKeyPair(v.Keys.BobIdentity)
	require.NoError(t, err)
	bob.signed, err = keys.NewPrivateKey(v.Keys.BobSigned)
	require.NoError(t, err)
	bob.oneTime, err = keys.NewPrivateKey(v.Keys.BobOneTime)
	require.NoError(t, err)
	bob.kem, err = keys.ParseKEMPrivateKey(append([]byte{8}, v.Keys.KEMSecret...))
	require.NoError(t, err)

	for oneTime, h := range map[bool]handshake{true: v.With, false: v.Without} {
		bundle := bob.bundle(oneTime)
		restore := testutil.ScriptRand(t, v.Keys.AliceBase, v.Keys.Coins)
		a := initiate(t, &alice, bundle)
		restore()
		want := [96]byte(append(append(append([]byte(nil), h.Root0...), h.Chain0...), h.PQRKey...))
		require.Equal(t, want, a.Keys())
		outer, err := wire.ParsePreKeySignalMessage(h.PreKeyMessage)
		require.NoError(t, err)
		require.Equal(t, outer.BaseKey, a.BaseKey().Bytes())
		require.Equal(t, outer.KEMCiphertext, a.Ciphertext())
		b, err := x3dh.Respond(bob.response(a, alice.identity.Public(), oneTime))
		require.NoError(t, err)
		require.Equal(t, want, b.Keys())
	}
}
