package attachment_test

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/etm"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// A sparse attachment is one that needs no room: its IV and ciphertext are zeros
// up to the last block, which is whatever decrypts to the right padding.
type sparse struct {
	size int64  // of the blob
	tail []byte // the last block and the MAC
	p    *attachment.Pointer
}

// newSparse makes one for a plaintext of that many bytes, in whole blocks.
func newSparse(plaintext int64) *sparse {
	s := &sparse{size: plaintext + 64, p: &attachment.Pointer{Key: [64]byte(data(64)), Size: plaintext}}
	s.tail = bytes.Repeat([]byte{16}, 16)
	etm.NewEncrypter((*[32]byte)(s.p.Key[:32]), new([16]byte)).CryptBlocks(s.tail, s.tail)
	list, sum := etm.NewIncremental((*[32]byte)(s.p.Key[32:]), etm.ChunkSize(s.size)), sha256.New()
	feed := func(b []byte) { list.Write(b); sum.Write(b) }
	zeros := make([]byte, 64<<10)
	for left := s.size - 48; left > 0; left -= int64(len(zeros)) {
		feed(zeros[:min(left, int64(len(zeros)))])
	}
	feed(s.tail)
	mac := list.Sum()
	feed(mac[:])
	s.tail = append(s.tail, mac[:]...)
	sum.Sum(s.p.Digest[:0])
	var chunk int
	s.p.MACs, chunk = list.List()
	s.p.ChunkSize = uint32(chunk)
	return s
}

// ReadAt has the whole attachment.
func (s *sparse) ReadAt(b []byte, at int64) (int, error) {
	b = b[:min(int64(len(b)), max(0, s.size-at))]
	clear(b)
	for i, x := range s.tail {
		if j := s.size - 48 + int64(i) - at; 0 <= j && j < int64(len(b)) {
			b[j] = x
		}
	}
	if at+int64(len(b)) == s.size {
		return len(b), io.EOF
	}
	return len(b), nil
}

func (s *sparse) reader() io.Reader { return io.NewSectionReader(s, 0, s.size) }

// drain reads all and returns how much that was; every block must be what a block
// of zeros decrypts to.
func (s *sparse) drain(t *testing.T, r *attachment.Reader) (n int64, err error) {
	t.Helper()
	want := make([]byte, 16)
	etm.NewDecrypter((*[32]byte)(s.p.Key[:32]), new([16]byte)).CryptBlocks(want, want)
	want = bytes.Repeat(want, 4<<10)
	buf := make([]byte, len(want))
	for {
		m, err := io.ReadFull(r, buf)
		n += int64(m)
		require.True(t, bytes.Equal(want[:m], buf[:m]))
		switch {
		case err == io.ErrUnexpectedEOF:
			return n, io.EOF
		case err != nil:
			return n, err
		}
	}
}

// both reads s in both ways, from what a test made of it, and expects an error,
// and where that is io.EOF, that many bytes.
func (s *sparse) both(t *testing.T, want int64, fail error, from io.Reader, at io.ReaderAt, size int64) {
	t.Helper()
	r, err := s.p.Open(from)
	require.NoError(t, err)
	n, err := s.drain(t, r)
	require.ErrorIs(t, err, fail)
	if fail == io.EOF {
		require.Equal(t, want, n)
	}
	if r, err = s.p.OpenAt(at, size); err == nil {
		n, err = s.drain(t, r)
		require.Equal(t, want, n)
	}
	require.ErrorIs(t, err, fail)
}

// longer is s with zeros behind it.
type longer struct{ *sparse }

func (l longer) ReadAt(b []byte, at int64) (int, error) {
	n, err := l.sparse.ReadAt(b, at)
	clear(b[n:])
	if err == io.EOF || at >= l.size {
		err = nil
	}
	return len(b), err
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// largeSize is what is tried: over 4 GiB if GEMBOK_LARGE is set, which takes
// minutes, or else some 40 MiB.
func largeSize() int64 {
	switch {
	case os.Getenv("GEMBOK_LARGE") != "":
		return 4<<30 + 4096
	case testing.Short():
		return 1 << 20
	}
	return 40 << 20
}

// An attachment that is long decrypts, and is refused with as much appended as
// 32 bits count, or a part of that.
func TestATT_01_Large(t *testing.T) {
	s := newSparse(largeSize())
	s.both(t, s.p.Size, io.EOF, s.reader(), s, s.size)

	more := s.size - s.size%4096 // 2^32 where GEMBOK_LARGE is set
	s.both(t, 0, attachment.ErrAuth, io.MultiReader(s.reader(), io.LimitReader(zeroReader{}, more)), longer{s}, s.size+more)

	r, err := s.p.Open(io.LimitReader(s.reader(), s.size-48))
	require.NoError(t, err)
	_, err = s.drain(t, r)
	require.ErrorIs(t, err, attachment.ErrAuth)
}

// A meter counts what is written to it, and has its digest.
type meter struct {
	hash.Hash
	n int64
}

func (m *meter) Write(b []byte) (int, error) {
	m.n += int64(len(b))
	return m.Hash.Write(b)
}

// What is written has the length that was announced, and its Pointer all 64 bits
// of the size.
func TestATT_01_LargeWritten(t *testing.T) {
	size := largeSize() + 5
	for _, declared := range []int64{size, attachment.UnknownSize} {
		out := &meter{Hash: sha256.New()}
		w, err := attachment.NewWriter(out, declared)
		require.NoError(t, err)
		n, err := io.Copy(w, io.LimitReader(zeroReader{}, size))
		require.NoError(t, err)
		require.Equal(t, size, n)
		require.NoError(t, w.Close())
		want, err := attachment.EncryptedSize(size)
		require.NoError(t, err)
		require.Equal(t, want, out.n)
		p, err := attachment.ParsePointer(w.Pointer().Bytes())
		require.NoError(t, err)
		require.Equal(t, size, p.Size)
		require.Equal(t, out.Sum(nil), p.Digest[:])
		require.LessOrEqual(t, len(p.MACs), 32*int(want/etm.MaxChunk+257))
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) int64 {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// From the first byte to the last, no more is allocated than 1 MiB and a chunk,
// whether the attachment has 1 MiB or 100.
func TestConstantMemory(t *testing.T) {
	sizes := []int64{1 << 20, 100 << 20}
	if testing.Short() {
		sizes = []int64{1 << 18, 3 << 20}
	}
	var costs []int64
	for _, size := range sizes {
		s, buf := newSparse(size), make([]byte, 32<<10)
		all := func(r *attachment.Reader, err error) {
			require.NoError(t, err)
			for err == nil {
				_, err = r.Read(buf)
			}
			require.Equal(t, io.EOF, err)
		}
		bound := int64(1<<20) + int64(s.p.ChunkSize)
		for name, f := range map[string]func(){
			"list": func() { all(s.p.Open(s.reader())) },
			"at":   func() { all(s.p.OpenAt(s, s.size)) },
			"write": func() {
				w, err := attachment.NewWriter(io.Discard, attachment.UnknownSize)
				require.NoError(t, err)
				for left := size; left > 0; left -= int64(len(buf)) {
					w.Write(buf)
				}
				require.NoError(t, w.Close())
			},
		} {
			cost := allocated(f)
			require.LessOrEqual(t, cost, bound, "%s: %d bytes", name, size)
			costs = append(costs, cost)
		}
	}
	require.Less(t, slices.Max(costs), int64(1<<20))
}

// A chunk that is said to be large costs nothing before so much is there.
func TestATT_05_LargeChunkOfLittle(t *testing.T) {
	blob, p := seal(t, data(100), 100)
	p = relist(p, blob, etm.MaxChunk)
	require.LessOrEqual(t, allocated(func() {
		got, err := ways[0].decrypt(t, p, blob)
		require.NoError(t, err)
		require.Len(t, got, 100)
	}), int64(100<<10))
}
