package kem_test

import (
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
