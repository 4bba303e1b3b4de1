package kem_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/kem"
)

// A hexBytes is a byte string that JSON holds in hexadecimal.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

type splitVector struct {
	Seed, M, Header, PK2, DK, CT1, CT2, ES hexBytes
	ESSwapped                              hexBytes `json:"es_swapped"`
	K                                      hexBytes
	Implicit                               hexBytes `json:"K_implicit_ct2_0_xor_1"`
}

func readSplitVector(t testing.TB) (v splitVector) {
	var file struct{ MLKEM *splitVector }
	file.MLKEM = &v
	readJSON(t, "../../testdata/spqr/spqr-vectors.json", &file)
	return v
}

func readJSON(t testing.TB, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, v))
}

func TestSplitVector(t *testing.T) {
	v := readSplitVector(t)
	dk := kem.Generate768((*[64]byte)(v.Seed))
	require.Equal(t, []byte(v.DK), dk[:])
	header := kem.Header768(dk)
	require.Equal(t, []byte(v.Header), header[:])
	require.Equal(t, []byte(v.PK2), kem.Vector768(dk))
	require.True(t, kem.Valid768(v.PK2, &header))

	es, ct1, k := kem.Encaps1(&header, (*[32]byte)(v.M))
	require.Equal(t, []byte(v.K), k[:])
	require.Equal(t, []byte(v.ES), es[:])
	require.Equal(t, []byte(v.CT1), ct1[:])
	ct2 := kem.Encaps2(v.PK2, v.ES)
	require.Equal(t, []byte(v.CT2), ct2[:])
	require.Equal(t, ct2, kem.Encaps2(v.PK2, v.ESSwapped))

	k = kem.Decaps768(v.DK, v.CT1, v.CT2)
	require.Equal(t, []byte(v.K), k[:])
	ct2[0] ^= 1
	k = kem.Decaps768(v.DK, v.CT1, ct2[:])
	require.Equal(t, []byte(v.Implicit), k[:])
}

// A kemVector has hashes of what follows from a seed and coins.
type kemVector struct {
	Scheme           string
	Seed             hexBytes `json:"seed_d_z"`
	PublicSHA256     hexBytes `json:"public_sha256"`
	PublicFirst      hexBytes `json:"public_first32"`
	SecretSHA256     hexBytes `json:"secret_sha256"`
	Coins            hexBytes `json:"encaps_randomness"`
	CiphertextSHA256 hexBytes `json:"ciphertext_sha256"`
	CiphertextFirst  hexBytes `json:"ciphertext_first32"`
	Shared           hexBytes `json:"shared_secret"`
	Rejected         hexBytes `json:"shared_secret_for_ciphertext_with_first_byte_xor_1"`
}

// readKEMVectors returns the vectors of Kyber-1024 and of ML-KEM-1024.
func readKEMVectors(t testing.TB) (kyber, mlkem kemVector) {
	var file struct{ KEM []kemVector }
	readJSON(t, "../../testdata/wire/wire-core-vectors.json", &file)
	require.Len(t, file.KEM, 2)
	require.Equal(t, "Kyber1024-round3", file.KEM[0].Scheme)
	require.Equal(t, "ML-KEM-1024", file.KEM[1].Scheme)
	return file.KEM[0], file.KEM[1]
}

func requireHash(t *testing.T, want hexBytes, b []byte) {
	t.Helper()
	h := sha256.Sum256(b)
	require.Equal(t, []byte(want), h[:])
}

func TestKyber1024Vector(t *testing.T) {
	v, _ := readKEMVectors(t)
	pk, sk := kem.Kyber1024Generate((*[64]byte)(v.Seed))
	requireHash(t, v.PublicSHA256, pk[:])
	require.Equal(t, []byte(v.PublicFirst), pk[:32])
	requireHash(t, v.SecretSHA256, sk[:])
	require.Equal(t, pk, kem.Kyber1024Public(sk))
	require.True(t, kem.Kyber1024Valid(pk))
	require.True(t, kem.Kyber1024KeyValid(sk))

	ct, ss := kem.Kyber1024Encapsulate(pk, (*[32]byte)(v.Coins))
	requireHash(t, v.CiphertextSHA256, ct[:])
	require.Equal(t, []byte(v.CiphertextFirst), ct[:32])
	require.Equal(t, []byte(v.Shared), ss[:])
	require.Equal(t, ss, kem.Kyber1024Decapsulate(sk, ct))
	ct[0] ^= 1
	ss = kem.Kyber1024Decapsulate(sk, ct)
	require.Equal(t, []byte(v.Rejected), ss[:])
}
