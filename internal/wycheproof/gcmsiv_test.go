package wycheproof_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/gcmsiv"
)

func TestAESGCMSIV(t *testing.T) {
	accepted, refused, wrapped := 0, 0, 0
	run(t, "aes_gcm_siv_test.json", 202, func(t *testing.T, g *group, v *vector) {
		if g.KeySize != 256 {
			return // AES-128 is not used
		}
		key, nonce := [32]byte(v.Key), [12]byte(v.IV)
		sealed := slices.Concat(v.CT, v.Tag)
		got, ok := gcmsiv.Open([]byte("before"), &key, &nonce, sealed, v.AAD)
		assert.Equal(t, v.valid(), ok)
		if !v.valid() {
			refused++
			assert.Nil(t, got)
			return
		}
		accepted++
		if slices.Contains(v.Flags, "WrappedIv") {
			wrapped++
		}
		assert.Equal(t, append([]byte("before"), v.Msg...), got)
		assert.Equal(t, append([]byte("before"), sealed...), gcmsiv.Seal([]byte("before"), &key, &nonce, v.Msg, v.AAD))
	})
	require.Equal(t, 69, accepted)
	require.Equal(t, 34, refused)
	require.Equal(t, 5, wrapped)
}
