package keys_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/x3dh/keys"
)

type vectorFile struct {
	Keys   map[string]any
	XEdDSA []struct {
		Private   string `json:"private_raw"`
		Clamped   string `json:"private_clamped"`
		Public    string `json:"public"`
		Message   string `json:"message"`
		Random    string `json:"random"`
		Signature string `json:"signature"`
		Refused   string `json:"signature_s_plus_L_refused"`
	}
	KEM []struct {
		Scheme       string `json:"scheme"`
		Seed         string `json:"seed_d_z"`
		PublicHash   string `json:"public_sha256"`
		SecretHash   string `json:"secret_sha256"`
		Coins        string `json:"encaps_randomness"`
		CiphertextH  string `json:"ciphertext_sha256"`
		SharedSecret string `json:"shared_secret"`
	}
}

func vectors(t testing.TB) (v vectorFile) {
	b, err := os.ReadFile("../../testdata/wire/wire-core-vectors.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &v))
	require.Len(t, v.XEdDSA, 3)
	require.Len(t, v.KEM, 2)
	return v
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// script makes crypto/rand return these bytes, all of which must be drawn.
func script(t testing.TB, coins []byte, f func()) {
	r := bytes.NewReader(coins)
	old := rand.Reader
	rand.Reader = r
	defer func() { rand.Reader = old }()
	f()
	require.Zero(t, r.Len(), "coins left")
}

func TestKeyVectors(t *testing.T) {
	all := vectors(t).Keys
	n := 0
	for name, v := range all {
		stem, ok := strings.CutSuffix(name, "_private")
		if !ok {
			continue
		}
		n++
		private, err := keys.NewPrivateKey(unhex(t, v.(string)))
		require.NoError(t, err)
		public := unhex(t, all[stem+"_public"].(string))
		require.Equal(t, public, private.PublicKey().Bytes(), name)
		require.Equal(t, v, hex.EncodeToString(private.Bytes()))
		require.NoError(t, private.PublicKey().Canonical())

		identity, err := keys.NewIdentityKeyPair(private.Bytes())
		require.NoError(t, err)
		require.Equal(t, public, identity.Public().Bytes())
		require.Equal(t, v, hex.EncodeToString(identity.PrivateBytes()))
	}
	require.Equal(t, 6, n)

	sk := append([]byte{8}, unhex(t, all["kyber_secret"].(string))...)
	private, err := keys.ParseKEMPrivateKey(sk)
	require.NoError(t, err)
	require.Equal(t, sk, private.Bytes())
	require.Equal(t, append([]byte{8}, unhex(t, all["kyber_public"].(string))...), private.Public().Bytes())
}

func TestXEdDSAVectors(t *testing.T) {
	for _, v := range vectors(t).XEdDSA {
		key, err := keys.NewSigningKey(unhex(t, v.Private))
		require.NoError(t, err)
		require.Equal(t, unhex(t, v.Clamped), key.PrivateBytes())
		require.Equal(t, unhex(t, v.Public), key.Public().Bytes())
		msg := unhex(t, v.Message)
		script(t, unhex(t, v.Random), func() {
			require.Equal(t, unhex(t, v.Signature), key.Sign(msg))
		})
		verify, err := keys.ParseVerifyKey(unhex(t, v.Public))
		require.NoError(t, err)
		require.Equal(t, key.Public(), verify)
		require.NoError(t, verify.Verify(unhex(t, v.Signature), msg))
		require.ErrorIs(t, verify.Verify(unhex(t, v.Refused), msg), keys.ErrSignature)
	}
}

func TestKEMVectors(t *testing.T) {
	v := vectors(t).KEM[0]
	require.Equal(t, "Kyber1024-round3", v.Scheme)
	var private *keys.KEMPrivateKey
	script(t, unhex(t, v.Seed), func() { private = keys.GenerateKEMPrivateKey() })
	public := private.Public().Bytes()
	require.Equal(t, v.PublicHash, hashOf(public[1:]))
	require.Equal(t, v.SecretHash, hashOf(private.Bytes()[1:]))
	script(t, unhex(t, v.Coins), func() {
		ct, shared := private.Public().Encapsulate()
		require.Equal(t, byte(8), ct[0])
		require.Equal(t, v.CiphertextH, hashOf(ct[1:]))
		require.Equal(t, v.SharedSecret, hex.EncodeToString(shared[:]))
		got, err := private.Decapsulate(ct)
		require.NoError(t, err)
		require.Equal(t, shared, got)
	})
}
