package testutil_test

import (
	"bytes"
	"crypto/ecdh"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
)

// agree is X25519 with a fixed key; it is an error if all bytes are zero.
func agree(t *testing.T, key []byte) ([]byte, error) {
	own, err := ecdh.X25519().NewPrivateKey([]byte("a private key of thirty-two byte"))
	require.NoError(t, err)
	require.Len(t, key, 33)
	theirs, err := ecdh.X25519().NewPublicKey(key[1:])
	require.NoError(t, err)
	return own.ECDH(theirs)
}

func TestBadKeys(t *testing.T) {
	small := testutil.SmallOrderKeys()
	require.Len(t, small, 14)
	for _, k := range small {
		_, err := agree(t, k)
		require.Error(t, err, "%x", k)
	}
	require.Len(t, testutil.OutOfRangeKeys(), 19)
	require.Equal(t, "05ed"+"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"+"7f", fmt.Sprintf("%x", testutil.OutOfRangeKeys()[0]))

	private, all := testutil.TorsionedKeys()
	own, err := ecdh.X25519().NewPrivateKey(private)
	require.NoError(t, err)
	want, err := agree(t, append([]byte{5}, own.PublicKey().Bytes()...))
	require.NoError(t, err)
	require.Len(t, all, 7)
	for _, k := range all {
		got, err := agree(t, k)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.NotEqual(t, own.PublicKey().Bytes(), k[1:])
	}
}

type open struct{ B [32]byte }

type closed struct{ b [32]byte }

func (closed) Format(s fmt.State, _ rune)   { fmt.Fprint(s, "redacted") }
func (closed) MarshalJSON() ([]byte, error) { return []byte(`"redacted"`), nil }

func TestRedacted(t *testing.T) {
	secret := [32]byte(bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 8))
	testutil.RequireRedacted(t, &closed{secret}, secret[:])
	texts := testutil.Printed(t, open{secret})
	for _, how := range []string{"%v", "%+v", "%#v", "%x", "%X", "%d", "%s", "Sprint", "Errorf", "slog text", "slog json", "json"} {
		r := &recorder{TB: t}
		testutil.NoTrace(r, texts[how], secret[:])
		require.NotEmpty(t, r.said, how)
	}
	r := &recorder{TB: t}
	testutil.RequireRedacted(r, &open{}, make([]byte, 16))
	require.NotEmpty(t, r.said)
	require.ElementsMatch(t, []string{"Hex", "Oracle", "Expectation"}, testutil.ExportedTypes(t))
}
