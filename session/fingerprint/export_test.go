package fingerprint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Digest is newDigest.
func Digest(t testing.TB, version uint32, p Party, rounds uint32) []byte {
	t.Helper()
	d, err := newDigest(version, p, rounds)
	require.NoError(t, err)
	return d[:]
}
