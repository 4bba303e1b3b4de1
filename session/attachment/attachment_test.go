package attachment_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// data returns n bytes of which no two blocks are alike.
func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16)*91
	}
	return b
}

// seal encrypts plaintext, of a declared size.
func seal(t testing.TB, plaintext []byte, size int64) ([]byte, *attachment.Pointer) {
	t.Helper()
	var blob bytes.Buffer
	w, err := attachment.NewWriter(&blob, size)
	require.NoError(t, err)
	n, err := w.Write(plaintext)
	require.NoError(t, err)
	require.Equal(t, len(plaintext), n)
	require.NoError(t, w.Close())
	return blob.Bytes(), w.Pointer()
}

// forge makes an attachment of whatever blocks, as who has the key may.
func forge(key [64]byte, ciphertext []byte, size int64, chunk int) ([]byte, *attachment.Pointer) {
	mac := etm.MAC((*[32]byte)(key[32:]), ciphertext)
	blob := slices.Concat(ciphertext, mac[:])
	list := etm.NewIncremental((*[32]byte)(key[32:]), chunk)
	list.Write(blob)
	p := &attachment.Pointer{Key: key, Size: size, Digest: sha256.Sum256(blob), ChunkSize: uint32(chunk)}
	p.MACs, _ = list.List()
	return blob, p
}

// A way is one of the two to decrypt.
type way struct {
	name string
	open func(p *attachment.Pointer, blob []byte) (*attachment.Reader, error)
}

var ways = []way{
	{"list", func(p *attachment.Pointer, blob []byte) (*attachment.Reader, error) {
		return p.Open(bytes.NewReader(blob))
	}},
	{"at", func(p *attachment.Pointer, blob []byte) (*attachment.Reader, error) {
		return p.OpenAt(bytes.NewReader(blob), int64(len(blob)))
	}},
}

// decrypt reads all, and requires that an error is the last answer.
func (w way) decrypt(t testing.TB, p *attachment.Pointer, blob []byte) ([]byte, error) {
	t.Helper()
	r, err := w.open(p, blob)
	if err != nil {
		require.Nil(t, r)
		return nil, err
	}
	return readAll(t, r)
}

func readAll(t testing.TB, r *attachment.Reader) ([]byte, error) {
	t.Helper()
	got, err := io.ReadAll(r)
	final := err
	if err == nil {
		final = io.EOF
	}
	for range 2 {
		n, again := r.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, final, again)
	}
	for range 2 {
		require.NoError(t, r.Close())
		n, again := r.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, attachment.ErrClosed, again)
	}
	return got, err
}

// every is a stride, and ten times that with -short.
func every(n int) int {
	if testing.Short() {
		return 10 * n
	}
	return n
}

// sizes are plaintexts around blocks, buffers, chunks and buckets, in bytes.
func sizes() []int {
	all := []int{0, 1, 2, 1000, 200_000}
	for _, edge := range []int{15, 31, 47, 541, 64 << 10, 128 << 10, 1<<20 + 5, int(attachment.Bucket(64 << 10)), int(attachment.Bucket(60000))} {
		for d := -17; d <= 17; d++ {
			if edge+d >= 0 && (edge < 1000 || d%8 == 0 || -2 < d && d < 2) {
				all = append(all, edge+d)
			}
		}
	}
	return all
}

// What was encrypted decrypts, of every size, declared or not, in both ways; and
// a blob has the length that was announced.
func TestRoundTrip(t *testing.T) {
	all := sizes()
	for i := 0; i < len(all); i += every(1) | 1 { // odd: declared or not, by turns
		n := all[i]
		plaintext := data(n)
		declared := int64(n)
		if i%2 == 1 {
			declared = attachment.UnknownSize
		}
		blob, p := seal(t, plaintext, declared)
		size, err := attachment.EncryptedSize(int64(n))
		require.NoError(t, err)
		require.EqualValues(t, size, len(blob))
		require.EqualValues(t, n, p.Size)
		require.EqualValues(t, etm.ChunkSize(size), p.ChunkSize)
		require.EqualValues(t, sha256.Sum256(blob), p.Digest)
		p, err = attachment.ParsePointer(p.Bytes())
		require.NoError(t, err)
		for _, w := range ways {
			got, err := w.decrypt(t, p, blob)
			require.NoError(t, err)
			require.True(t, bytes.Equal(plaintext, got), "%s: %d bytes", w.name, n)
		}
	}
}

// How a plaintext is written does not count, nor does what the sender was told
// of its size.
func TestWritePieces(t *testing.T) {
	plaintext := data(300_000)
	coins := [][]byte{data(64), data(16)}
	defer testutil.ScriptRand(t, slices.Concat(coins, coins, coins, coins)...)()
	want, p := seal(t, plaintext, int64(len(plaintext)))
	for _, piece := range []int{13, 997, 100_000} {
		var blob bytes.Buffer
		w, err := attachment.NewWriter(&blob, attachment.UnknownSize)
		require.NoError(t, err)
		for b := range slices.Chunk(plaintext, piece) {
			n, err := w.Write(b)
			require.NoError(t, err)
			require.Equal(t, len(b), n)
			n, err = w.Write(nil)
			require.NoError(t, err)
			require.Zero(t, n)
		}
		require.Nil(t, w.Pointer())
		require.NoError(t, w.Close())
		require.True(t, bytes.Equal(want, blob.Bytes()))
		require.Equal(t, p.Bytes(), w.Pointer().Bytes())
	}
}

// Attachments of the same plaintext have nothing in common but their length.
func TestFreshKeys(t *testing.T) {
	a, p := seal(t, data(100), 100)
	b, q := seal(t, data(100), 100)
	require.Len(t, b, len(a))
	require.NotEqual(t, a[:16], b[:16])
	require.NotEqual(t, p.Key[:32], q.Key[:32])
	require.NotEqual(t, p.Key[32:], q.Key[32:])
	require.NotEqual(t, p.Key[:32], p.Key[32:])
	for _, w := range ways {
		_, err := w.decrypt(t, p, b)
		require.ErrorIs(t, err, attachment.ErrAuth)
	}
}

// A Pointer that was given out, or that was opened, is a copy.
func TestCopies(t *testing.T) {
	var blob bytes.Buffer
	w, err := attachment.NewWriter(&blob, 3)
	require.NoError(t, err)
	_, err = w.Write([]byte("abc"))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	p := w.Pointer()
	clear(p.MACs)
	clear(p.Key[:])
	p = w.Pointer()
	encoded := p.Bytes()
	parsed, err := attachment.ParsePointer(encoded)
	require.NoError(t, err)
	clear(encoded)
	for _, way := range ways {
		q := *parsed
		q.MACs = slices.Clone(q.MACs)
		r, err := way.open(&q, blob.Bytes())
		require.NoError(t, err)
		clear(q.MACs)
		clear(q.Key[:])
		got, err := readAll(t, r)
		require.NoError(t, err)
		require.Equal(t, "abc", string(got))
	}
}

func TestMEM_03_NothingPrintsSecrets(t *testing.T) {
	blob, p := seal(t, data(100_000), 100_000)
	testutil.RequireRedacted(t, p, p.Key[:32], p.Key[32:])
	r, err := p.Open(bytes.NewReader(blob))
	require.NoError(t, err)
	_, err = r.Read(make([]byte, 100))
	require.NoError(t, err)
	testutil.RequireRedacted(t, r, p.Key[:32], p.Key[32:], data(100_000)[200:300])
	w, err := attachment.NewWriter(io.Discard, 100_000)
	require.NoError(t, err)
	_, err = w.Write(data(100))
	require.NoError(t, err)
	testutil.RequireRedacted(t, w, data(100))
	require.ElementsMatch(t, []string{"Pointer", "Reader", "Writer"}, testutil.ExportedTypes(t))
}
