package etm_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
)

// macOf is HMAC by the standard library alone.
func macOf(key *[32]byte, data []byte) []byte {
	m := hmac.New(sha256.New, key[:])
	m.Write(data)
	return m.Sum(nil)
}

// naive is the incremental MAC as its definition has it.
func naive(key *[32]byte, chunk int, data []byte) (list []byte) {
	for end := chunk; end <= len(data); end += chunk {
		list = append(list, macOf(key, data[:end])...)
	}
	return append(list, macOf(key, data)...)
}

// incremental writes data in pieces.
func incremental(key *[32]byte, chunk, piece int, data []byte) ([]byte, int) {
	m := etm.NewIncremental(key, chunk)
	for b := range slices.Chunk(data, piece) {
		m.Write(b)
		m.Write(nil)
	}
	return m.List()
}

// check checks data in pieces, and returns how many bytes of whole chunks held.
func check(key *[32]byte, chunk, piece int, data, list []byte) (good int, ok bool) {
	c := etm.NewChecker(key, chunk, list)
	n := 0
	for b := range slices.Chunk(data, piece) {
		if !c.Write(b) {
			return n / chunk * chunk, false
		}
		n += len(b)
	}
	return n / chunk * chunk, c.Last()
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// Sealed-groups-fingerprint, Section 10.10.
func TestIncrementalVectors(t *testing.T) {
	file, err := os.ReadFile("../../testdata/sealed-groups-fingerprint/sealed-groups-fingerprint-vectors.json")
	require.NoError(t, err)
	var all map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(file, &all))
	var v map[string]any
	require.NoError(t, json.Unmarshal(all["incremental_mac_attachment_padding"], &v))
	part := func(name string) []byte {
		b, err := hex.DecodeString(v[name].(string))
		require.NoError(t, err)
		return b
	}
	key := [32]byte(bytes.Repeat([]byte{2}, 32))
	for _, c := range []struct {
		data  []byte
		chunk int
		want  []byte
	}{{count(100), 32, part("inc32")}, {count(96), 32, part("inc32_96")}, {nil, 32, part("inc32_0")}, {part("att_hex"), 256, part("inc_att_256")}} {
		for _, piece := range []int{1, 7, 31, 32, 33, 64, 1000} {
			list, chunk := incremental(&key, c.chunk, piece, c.data)
			require.Equal(t, c.chunk, chunk)
			require.Equal(t, c.want, list)
			_, ok := check(&key, c.chunk, piece, c.data, list)
			require.True(t, ok)
		}
	}
}

func TestATT_05_InferredChunkSize(t *testing.T) {
	for n, want := range map[int64]int{0: 65536, 1: 65536, 65536: 65536, 16_777_215: 65536, 16_777_216: 65536, 16_777_217: 65537,
		16_777_473: 65538, 20_000_000: 78125, 536_870_911: 2_097_152, 536_870_912: 2_097_152, 1 << 31: 2_097_152, 1 << 32: 2_097_152,
		1<<63 - 1: 2_097_152} {
		require.Equal(t, want, etm.ChunkSize(n), n)
	}
	for n := int64(0); n < 256*etm.MaxChunk; n += 99_991 { // 8 KiB, or a MAC more
		require.LessOrEqual(t, n/int64(etm.ChunkSize(n))+1, int64(257))
	}
}

// A list has, for every chunk size and length, what its definition says, and
// holds for those data alone.
func TestATT_05_Incremental(t *testing.T) {
	data := count(300)
	for chunk := 1; chunk < 100; chunk += 3 {
		for n := 0; n <= len(data); n += 7 {
			want := naive(&testKey, chunk, data[:n])
			got, _ := incremental(&testKey, chunk, 11, data[:n])
			require.Equal(t, want, got)
			_, ok := check(&testKey, chunk, 11, data[:n], got)
			require.True(t, ok)
			for _, m := range []int{n - chunk, n - 1, n + 1, n + chunk} {
				if 0 <= m && m <= len(data) {
					_, ok := check(&testKey, chunk, 11, data[:m], got)
					require.False(t, ok, "%d of %d in %d", m, n, chunk)
				}
			}
		}
	}
	_, ok := check(&testKey, 10, 10, nil, nil)
	require.False(t, ok)
	_, ok = check(&testKey, 10, 10, data, nil)
	require.False(t, ok)
}

// The first, the last, or another MAC wrong or missing, one more, two that changed
// places: what was right before is told, and no more.
func TestATT_05_CheckerRefuses(t *testing.T) {
	data := count(100)
	list := naive(&testKey, 32, data)
	for i := range list {
		bad := slices.Clone(list)
		bad[i] ^= 0x10
		good, ok := check(&testKey, 32, 1, data, bad)
		require.False(t, ok)
		require.Equal(t, i/32*32, good)
	}
	for i := 0; i < len(list); i += 32 {
		good, ok := check(&testKey, 32, 1, data, slices.Delete(slices.Clone(list), i, i+32))
		require.False(t, ok)
		require.LessOrEqual(t, good, 96)
		_, ok = check(&testKey, 32, 1, data, slices.Insert(slices.Clone(list), i, list[i:i+32]...))
		require.False(t, ok)
	}
	_, ok := check(&testKey, 32, 1, data, append(slices.Clone(list), list[96:]...))
	require.False(t, ok)
	for _, n := range []int{1, 31, 33, 127} {
		_, ok := check(&testKey, 32, 1, data, list[:n])
		require.False(t, ok)
	}
	other := testKey
	other[0] ^= 1
	_, ok = check(&other, 32, 1, data, list)
	require.False(t, ok)
}

// Of data whose length is not known the list is that of some chunk size, the
// inferred one below 16 MiB, and short.
func TestATT_05_UnknownLength(t *testing.T) {
	zeros := make([]byte, 1<<20)
	for _, n := range []int{0, 1, 65536, 255 * 65536, 256*65536 - 1, 256 * 65536, 256*65536 + 1, 257 * 65536, 400 * 65536, 600*65536 + 5} {
		if testing.Short() && n > 65536 && n != 256*65536+1 {
			continue
		}
		m := etm.NewIncremental(&testKey, 0)
		for left := n; left > 0; left -= min(left, len(zeros)) {
			m.Write(zeros[:min(left, len(zeros))])
		}
		list, chunk := m.List()
		want := etm.NewIncremental(&testKey, chunk)
		for left := n; left > 0; left -= min(left, 99_999) {
			want.Write(zeros[:min(left, 99_999)])
		}
		same, _ := want.List()
		require.Equal(t, same, list)
		require.LessOrEqual(t, len(list), 257*32)
		if n <= 256*etm.MinChunk {
			require.Equal(t, etm.ChunkSize(int64(n)), chunk)
		}
		require.Less(t, chunk, 2*etm.ChunkSize(int64(n)))
	}
}

// FuzzF23IncrementalMAC holds the list against its definition, and a list that
// was changed against the data.
func FuzzF23IncrementalMAC(f *testing.F) {
	f.Add([]byte("data"), uint16(2), uint16(3), uint16(5), byte(1))
	f.Add(count(100), uint16(32), uint16(7), uint16(64), byte(0x80))
	f.Add(count(96), uint16(32), uint16(100), uint16(0), byte(0))
	f.Add([]byte{}, uint16(0), uint16(0), uint16(31), byte(7))
	f.Fuzz(func(t *testing.T, data []byte, chunk, piece, at uint16, flip byte) {
		if len(data) > 1<<10 {
			return
		}
		c, p := int(chunk)+1, int(piece)+1
		list, _ := incremental(&testKey, c, p, data)
		require.Equal(t, naive(&testKey, c, data), list)
		_, ok := check(&testKey, c, p, data, list)
		require.True(t, ok)
		i := int(at) % len(list)
		list[i] ^= flip
		good, ok := check(&testKey, c, p, data, list)
		require.Equal(t, flip == 0, ok)
		if !ok {
			require.LessOrEqual(t, good, i/32*c)
		}
		list[i] ^= flip
		if len(data) > 0 && flip != 0 {
			data = slices.Clone(data)
			i = int(at) % len(data)
			data[i] ^= flip
			good, ok = check(&testKey, c, p, data, list)
			require.False(t, ok)
			require.LessOrEqual(t, good, i)
		}
	})
}

// Plaintexts that come in pieces are encrypted as those in one, and their padding
// comes off.
func TestCBCInPieces(t *testing.T) {
	for n := range 70 {
		plaintext := count(n)
		padded := etm.Pad(slices.Clone(plaintext), n)
		require.Equal(t, pkcs7(plaintext), padded)
		enc, dec := etm.NewEncrypter(&testKey, &testIV), etm.NewDecrypter(&testKey, &testIV)
		got := slices.Clone(padded)
		for b := range slices.Chunk(got, 32) {
			enc.CryptBlocks(b, b)
		}
		require.Equal(t, etm.EncryptCBC(nil, &testKey, &testIV, plaintext), got)
		for b := range slices.Chunk(got, 48) {
			dec.CryptBlocks(b, b)
		}
		require.Equal(t, padded, got)
		m, ok := etm.Unpad(got)
		require.True(t, ok)
		require.Equal(t, n, m)
		require.Equal(t, append(plaintext, make([]byte, len(got)-n)...), got)
	}
	for name, last := range badPadding() {
		b := append(count(16), last...)
		n, ok := etm.Unpad(b)
		require.False(t, ok, name)
		require.Zero(t, n)
		require.Equal(t, make([]byte, len(b)), b)
	}
}
