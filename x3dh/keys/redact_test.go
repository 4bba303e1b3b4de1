package keys_test

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

// marked are the key bytes that must not be printed.
var marked = bytes.Repeat([]byte{0xC7, 0x3B, 0x91, 0x2E}, 8)

func TestMEM_03_SecretsPrintRedacted(t *testing.T) {
	private, err := keys.NewPrivateKey(marked)
	require.NoError(t, err)
	pair, err := keys.NewIdentityKeyPair(marked)
	require.NoError(t, err)
	signing, err := keys.NewSigningKey(marked)
	require.NoError(t, err)
	kem := keys.GenerateKEMPrivateKey()

	secrets := map[string]func(t *testing.T){
		"PrivateKey":      func(t *testing.T) { requireRedacted(t, private, marked) },
		"IdentityKeyPair": func(t *testing.T) { requireRedacted(t, pair, marked) },
		"SigningKey":      func(t *testing.T) { requireRedacted(t, signing, marked) },
		"KEMPrivateKey":   func(t *testing.T) { requireRedacted(t, kem, kem.Bytes()) },
	}
	public := []string{"PublicKey", "IdentityKey", "VerifyKey", "KEMPublicKey"}
	for name, test := range secrets {
		t.Run(name, test)
	}
	require.ElementsMatch(t, testutil.ExportedTypes(t), slices.AppendSeq(public, maps.Keys(secrets)))
}

func requireRedacted[T any](t *testing.T, p *T, secret []byte) {
	require.False(t, reflect.TypeFor[T]().Comparable())
	testutil.RequireRedacted(t, p, secret)
}

func TestMEM_02_ErrorsHaveNoKeyBytes(t *testing.T) {
	for _, b := range [][]byte{marked, append([]byte{5}, marked[:31]...), append([]byte{6}, marked...)} {
		for _, err := range []error{
			second(keys.ParsePublicKey(b)), second(keys.ParseVerifyKey(b)), second(keys.ParseKEMPublicKey(b)),
			second(keys.ParseKEMPrivateKey(b)), second(keys.NewPrivateKey(append(b, 1, 2))),
		} {
			require.ErrorIs(t, err, keys.ErrKey)
			require.Less(t, len(err.Error())-len(errors.Unwrap(err).Error()), 60)
			testutil.NoTrace(t, err.Error(), marked)
		}
	}
}

func second[T any](_ T, err error) error { return err }
