package interop_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// bucketEdges returns the sizes up to limit of which one byte more is longer
// when it is encrypted.
func bucketEdges(t *testing.T, limit int64) (edges []int64) {
	t.Helper()
	length := func(n int64) int64 {
		size, err := attachment.EncryptedSize(n)
		require.NoError(t, err)
		return size
	}
	for n := int64(541); n <= limit; n++ {
		if length(n) != length(n+1) {
			edges = append(edges, n)
		}
	}
	return edges
}

// encryptedFile encrypts n random bytes, at times without saying how many there will be.
func encryptedFile(t *testing.T, rng *rand.Rand, n int64) (plaintext, blob []byte, p *attachment.Pointer) {
	t.Helper()
	plaintext = make([]byte, n)
	for i := range plaintext {
		plaintext[i] = byte(rng.Uint32())
	}
	declared := n
	if rng.IntN(2) == 0 {
		declared = attachment.UnknownSize
	}
	var out bytes.Buffer
	w, err := attachment.NewWriter(&out, declared)
	require.NoError(t, err)
	_, err = w.Write(plaintext)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return plaintext, out.Bytes(), w.Pointer()
}

// Around the edges of buckets, and for random sizes, each side's incremental MAC
// of an attachment is the other's, and lets it through; with a byte changed, the
// other side stops where ours does.
func TestInteropAttachments(t *testing.T) {
	p := interop.Share(t)
	rng := random(t)
	limit := int64(90_000)
	if testing.Short() {
		limit = 5000
	}
	if *long {
		limit = 10_000_000
	}
	sizes := []int64{0, 1}
	for _, edge := range bucketEdges(t, limit) {
		sizes = append(sizes, edge, edge+1, edge-rng.Int64N(edge/20))
	}
	for range cases(60) {
		sizes = append(sizes, rng.Int64N(300_000))
	}
	for i, n := range sizes {
		plaintext, blob, ours := encryptedFile(t, rng, n)
		o := interop.MACOptions{Key: ours.Key[32:], Data: blob, Piece: 1 + rng.IntN(70_000)}
		if i%2 == 1 { // chunks of any size
			o.ChunkSize = uint32(len(blob))/500 + 1 + rng.Uint32N(uint32(len(blob)))
			list := etm.NewIncremental((*[32]byte)(ours.Key[32:]), int(o.ChunkSize))
			list.Write(blob)
			ours.ChunkSize = o.ChunkSize
			ours.MACs, _ = list.List()
		}
		made := p.SendIncrementalMAC(o)
		check, err := p.VerifyIncrementalMAC(o, ours.MACs)
		require.NoError(t, err)
		require.Equal(t, &interop.MACCheck{Released: uint64(len(blob))}, check, "%d bytes", n)
		theirs := *ours
		theirs.MACs, err = made.Bytes()
		require.NoError(t, err)
		require.Equal(t, ours.MACs, theirs.MACs, "%d bytes", n)
		require.True(t, bytes.Equal(plaintext, opened(t, &theirs, blob)))

		bad := slices.Clone(blob)
		at := rng.IntN(len(bad))
		bad[at] ^= 1 << rng.IntN(8)
		o.Data = bad
		check, err = p.VerifyIncrementalMAC(o, ours.MACs)
		require.NoError(t, err)
		require.NotEmpty(t, check.Failed)
		require.LessOrEqual(t, check.Released, uint64(at))
		r, err := ours.Open(bytes.NewReader(bad))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.ErrorIs(t, err, attachment.ErrAuth)
		require.LessOrEqual(t, len(got), at)
	}
}

func opened(t *testing.T, p *attachment.Pointer, blob []byte) []byte {
	t.Helper()
	r, err := p.Open(bytes.NewReader(blob))
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	return got
}

// The chunk size is inferred as the official library does, and where that is not
// the smallest, lists are the same.
func TestInteropIncrementalMACs(t *testing.T) {
	p := interop.Share(t)
	rng := random(t)
	sizes := []uint32{0, 1, 65536, 1<<24 - 1, 1 << 24, 1<<24 + 1, 1<<29 - 1, 1 << 29, 1<<31 - 1, 1 << 31, 1<<32 - 1}
	for range cases(300) {
		sizes = append(sizes, rng.Uint32()>>rng.IntN(16))
	}
	for _, n := range sizes {
		theirs, err := p.MACChunkSize(n)
		require.NoError(t, err)
		require.EqualValues(t, theirs, etm.ChunkSize(int64(n)), "%d", n)
	}

	long := []uint64{1 << 20, 1<<24 - 1, 1 << 24, 1<<24 + 1, 1<<24 + 1 + rng.Uint64N(1<<22)}
	if testing.Short() {
		long = long[:1]
	}
	key, pattern := [32]byte{7}, []byte("not a power of two")
	for _, n := range long {
		list := etm.NewIncremental(&key, etm.ChunkSize(int64(n)))
		data := bytes.Repeat(pattern, int(n)/len(pattern)+1)[:n]
		list.Write(data)
		ours, _ := list.List()
		theirs, err := p.SendIncrementalMAC(interop.MACOptions{Key: key[:], Data: pattern, Size: n}).Bytes()
		require.NoError(t, err)
		require.Equal(t, theirs, ours)
	}
}
