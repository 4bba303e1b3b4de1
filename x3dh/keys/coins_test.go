package keys_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestRNG_01_Coins(t *testing.T) {
	id, signing := keys.GenerateIdentityKeyPair(), keys.GenerateSigningKey()
	public, kem := keys.GeneratePrivateKey().PublicKey(), keys.GenerateKEMPrivateKey()
	for name, c := range map[string]struct {
		size int
		f    func() []byte
	}{
		"GeneratePrivateKey":      {32, func() []byte { return keys.GeneratePrivateKey().Bytes() }},
		"GenerateIdentityKeyPair": {32, func() []byte { return keys.GenerateIdentityKeyPair().PrivateBytes() }},
		"GenerateSigningKey":      {32, func() []byte { return keys.GenerateSigningKey().PrivateBytes() }},
		"GenerateKEMPrivateKey":   {64, func() []byte { return keys.GenerateKEMPrivateKey().Bytes() }},
		"Encapsulate": {32, func() []byte {
			ciphertext, shared := kem.Public().Encapsulate()
			return append(ciphertext, shared[:]...)
		}},
		"SigningKey.Sign": {64, func() []byte { return signing.Sign([]byte("message")) }},
		"Sign":            {64, func() []byte { return id.Sign("label", []byte("message")) }},
		"SignPreKey":      {64, func() []byte { return id.SignPreKey(public) }},
		"SignKEMPreKey":   {64, func() []byte { return id.SignKEMPreKey(kem.Public()) }},
		"SignAlternate":   {64, func() []byte { return id.SignAlternate(keys.NewIdentityKey(public)) }},
	} {
		require.Equal(t, []int{c.size}, testutil.Coins(t, c.f), name)
	}
	ciphertext, _ := kem.Public().Encapsulate()
	require.Empty(t, testutil.Coins(t, func() []byte {
		shared, err := kem.Decapsulate(ciphertext)
		require.NoError(t, err)
		agreed, err := id.Agree(public)
		require.NoError(t, err)
		return append(shared[:], agreed[:]...)
	}))
}
