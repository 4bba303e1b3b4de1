package wycheproof_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
)

func TestAESCBC(t *testing.T) {
	accepted, refused := 0, 0
	run(t, "aes_cbc_pkcs5_test.json", 216, func(t *testing.T, g *group, v *vector) {
		if g.KeySize != 256 {
			return // AES-128 and AES-192 are not used
		}
		key, iv := [32]byte(v.Key), [16]byte(v.IV)
		prefix := []byte("before")
		got, ok := etm.DecryptCBC(prefix, &key, &iv, v.CT)
		assert.Equal(t, v.valid(), ok)
		if !v.valid() {
			refused++
			return
		}
		accepted++
		assert.Equal(t, append([]byte("before"), v.Msg...), got)
		assert.Equal(t, append([]byte("before"), v.CT...), etm.EncryptCBC(prefix, &key, &iv, v.Msg))
	})
	require.Equal(t, 24, accepted)
	require.Equal(t, 48, refused)
}
