package attachment_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.DecodeString(string(b))
	return err
}

func readVectors(t *testing.T) (v struct {
	Len     int      `json:"att_len"`
	SHA     hexBytes `json:"att_sha"`
	Head    hexBytes `json:"att_head"`
	MAC     hexBytes `json:"att_mac"`
	Blob    hexBytes `json:"att_hex"`
	List256 hexBytes `json:"inc_att_256"`
	Buckets map[string]int64
}) {
	file, err := os.ReadFile("../../testdata/sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json")
	require.NoError(t, err)
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file, &all))
	require.NoError(t, json.Unmarshal(all["incremental_mac_attachment_padding"], &v))
	return v
}

// Sealed-groups-fingerprint, Section 10.10.
func TestVectors(t *testing.T) {
	v := readVectors(t)
	key := append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)...)
	plaintext := make([]byte, 100)
	for i := range plaintext {
		plaintext[i] = byte(i)
	}
	restore := testutil.ScriptRand(t, key, bytes.Repeat([]byte{3}, 16))
	blob, p := seal(t, plaintext, 100)
	restore()
	require.Len(t, blob, v.Len)
	require.Equal(t, []byte(v.Blob), blob)
	require.Equal(t, []byte(v.Head), blob[:48])
	require.Equal(t, []byte(v.MAC), blob[len(blob)-32:])
	require.Equal(t, []byte(v.SHA), p.Digest[:])
	require.EqualValues(t, 64<<10, p.ChunkSize)
	require.Len(t, p.MACs, 32) // a chunk that is not full
	require.EqualValues(t, 100, p.Size)
	require.Equal(t, key, p.Key[:])
	require.Equal(t, v.List256[len(v.List256)-32:], hexBytes(p.MACs))

	p.ChunkSize, p.MACs = 256, v.List256
	for _, w := range ways {
		got, err := w.decrypt(t, p, v.Blob)
		require.NoError(t, err)
		require.Equal(t, plaintext, got)
	}
}

func TestVectorsBuckets(t *testing.T) {
	v := readVectors(t)
	require.Len(t, v.Buckets, 12)
	for s, want := range v.Buckets {
		n, err := strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		require.Equal(t, want, attachment.Bucket(n), s)
	}
}
