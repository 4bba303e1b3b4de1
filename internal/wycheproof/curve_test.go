package wycheproof_test

import (
	"bytes"
	"math/big"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

func TestX25519(t *testing.T) {
	zero := 0
	run(t, "x25519_test.json", 518, func(t *testing.T, _ *group, v *vector) {
		private, err := keys.NewPrivateKey(v.Private)
		require.NoError(t, err)
		public, err := keys.ParsePublicKey(append([]byte{5}, v.Public...))
		require.NoError(t, err)
		shared, err := private.Agree(public)
		if slices.Contains(v.Flags, "ZeroSharedSecret") {
			zero++
			assert.ErrorIs(t, err, keys.ErrZeroAgreement)
			assert.ErrorIs(t, public.Canonical(), keys.ErrKey)
			return
		}
		assert.NoError(t, err)
		assert.Equal(t, []byte(v.Shared), shared[:])
	})
	require.Equal(t, 31, zero)
}

// TestEd25519 takes a key A and a signature R ‖ s of Ed25519 as those of
// XEdDSA: u = (1+y)/(1−y), and the sign bit of A in the top bit of s.
func TestEd25519(t *testing.T) {
	// In XEdDSA the top bit of s is that sign bit, so s + 2^255 is s.
	noEquivalent := map[int]string{69: "s + 2^255"}
	accepted, refused := 0, 0
	run(t, "ed25519_test.json", 151, func(t *testing.T, g *group, v *vector) {
		key, err := keys.ParseVerifyKey(append([]byte{5}, montgomery(g.PublicKey.PK)...))
		require.NoError(t, err)
		sig := bytes.Clone(v.Sig)
		if len(sig) == 64 {
			sig[63] = sig[63]&0x7F | g.PublicKey.PK[31]&0x80
		}
		err = key.Verify(sig, v.Msg)
		if _, ok := noEquivalent[v.ID]; ok {
			assert.False(t, v.valid())
			assert.NoError(t, err)
			return
		}
		if v.valid() {
			accepted++
			assert.NoError(t, err)
			return
		}
		refused++
		assert.ErrorIs(t, err, keys.ErrSignature)
	})
	require.Equal(t, 88, accepted)
	require.Equal(t, 62, refused)
}

// montgomery returns u = (1+y)/(1−y) of a compressed Edwards point.
func montgomery(a []byte) []byte {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	b := bytes.Clone(a)
	b[31] &= 0x7F
	slices.Reverse(b)
	y := new(big.Int).SetBytes(b)
	one := big.NewInt(1)
	u := new(big.Int).ModInverse(new(big.Int).Mod(new(big.Int).Sub(one, y), p), p)
	u.Mul(u, new(big.Int).Add(one, y)).Mod(u, p).FillBytes(b)
	slices.Reverse(b)
	return b
}
