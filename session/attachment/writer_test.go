package attachment_test

import (
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/session/attachment"
)

// A limited destination takes n bytes, and then fails, or takes less than it is
// given without saying why.
type limited struct {
	n   int
	err error
}

func (l *limited) Write(b []byte) (int, error) {
	if len(b) > l.n {
		return l.n, l.err
	}
	l.n -= len(b)
	return len(b), nil
}

// Other than was declared: no attachment, and no Pointer.
func TestATT_08_Declared(t *testing.T) {
	for _, c := range []struct{ declared, written int }{{0, 1}, {10, 9}, {10, 0}, {10, 11}, {100_000, 99_999}, {100_000, 200_000}} {
		dst := &limited{n: 1 << 20}
		w, err := attachment.NewWriter(dst, int64(c.declared))
		require.NoError(t, err)
		for range c.written {
			if _, err = w.Write([]byte{1}); err != nil {
				break
			}
		}
		if c.written > c.declared {
			require.ErrorIs(t, err, attachment.ErrSize)
			n, again := w.Write(nil)
			require.Zero(t, n)
			require.Equal(t, err, again)
		} else {
			require.NoError(t, err)
		}
		for range 2 {
			require.ErrorIs(t, w.Close(), attachment.ErrSize)
			require.Nil(t, w.Pointer())
		}
		_, err = w.Write([]byte{1})
		require.Equal(t, attachment.ErrClosed, err)
	}
	// All or nothing of a Write that is too long.
	w, err := attachment.NewWriter(io.Discard, 10)
	require.NoError(t, err)
	n, err := w.Write(make([]byte, 11))
	require.ErrorIs(t, err, attachment.ErrSize)
	require.Zero(t, n)
}

// The last bytes that fit, and one more.
func TestATT_01_MaxSize(t *testing.T) {
	w, err := attachment.NewWriter(io.Discard, attachment.UnknownSize)
	require.NoError(t, err)
	attachment.Pretend(w, attachment.MaxSize-5)
	_, err = w.Write(make([]byte, 5))
	require.NoError(t, err)
	n, err := w.Write(make([]byte, 1))
	require.ErrorIs(t, err, attachment.ErrTooLarge)
	require.Zero(t, n)
	require.ErrorIs(t, w.Close(), attachment.ErrTooLarge)
	require.Nil(t, w.Pointer())
}

func TestDestinationErrors(t *testing.T) {
	full := errors.New("full")
	size, err := attachment.EncryptedSize(200_000)
	require.NoError(t, err)
	for _, n := range []int{0, 100, 64 << 10, 100_000, 199_999, int(size) - 33, int(size) - 32, int(size) - 1} {
		for _, c := range []struct{ fails, want error }{{full, full}, {nil, io.ErrShortWrite}} {
			w, err := attachment.NewWriter(&limited{n: n, err: c.fails}, 200_000)
			require.NoError(t, err)
			for b := range slices.Chunk(data(200_000), 10_000) {
				if _, err = w.Write(b); err != nil {
					require.Equal(t, c.want, err)
				}
			}
			for range 2 {
				require.Equal(t, c.want, w.Close())
				require.Nil(t, w.Pointer())
			}
		}
	}
}

func TestWriterClose(t *testing.T) {
	w, err := attachment.NewWriter(io.Discard, attachment.UnknownSize)
	require.NoError(t, err)
	for range 3 {
		require.NoError(t, w.Close())
		require.NotNil(t, w.Pointer())
		n, err := w.Write([]byte{1})
		require.Zero(t, n)
		require.Equal(t, attachment.ErrClosed, err)
	}
}

// fields encodes a pointer by hand, with what a peer adds to it.
func fields(key, digest []byte, size uint64) []byte {
	b := protowire.AppendTag(nil, 1, protowire.Fixed64Type) // cdnId
	b = protowire.AppendFixed64(b, 7)
	b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), []byte("image/jpeg"))
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), key)
	b = protowire.AppendVarint(protowire.AppendTag(b, 4, protowire.VarintType), size)
	if digest != nil {
		b = protowire.AppendBytes(protowire.AppendTag(b, 6, protowire.BytesType), digest)
	}
	b = protowire.AppendVarint(protowire.AppendTag(b, 17, protowire.VarintType), 1000)
	return protowire.AppendBytes(protowire.AppendTag(b, 19, protowire.BytesType), data(96))
}

func TestPointer(t *testing.T) {
	want := &attachment.Pointer{Key: [64]byte(data(64)), Size: 5e9, Digest: [32]byte(data(32)), ChunkSize: 1000, MACs: data(96)}
	p, err := attachment.ParsePointer(fields(data(64), data(32), 5e9))
	require.NoError(t, err)
	require.Equal(t, want, p)
	p, err = attachment.ParsePointer(want.Bytes())
	require.NoError(t, err)
	require.Equal(t, want, p)
	p, err = attachment.ParsePointer((&attachment.Pointer{}).Bytes())
	require.NoError(t, err)
	require.Equal(t, &attachment.Pointer{}, p)
	for _, b := range [][]byte{nil, {1}, make([]byte, 100), want.Bytes()[:50]} {
		p, err := attachment.ParsePointer(b)
		require.ErrorIs(t, err, attachment.ErrMalformed)
		require.Nil(t, p)
	}
	for size, err := range map[uint64]error{1<<32 - 1: nil, 1 << 32: nil, uint64(attachment.MaxSize): nil, uint64(attachment.MaxSize) + 1: attachment.ErrTooLarge,
		1 << 63: attachment.ErrTooLarge, 1<<64 - 1: attachment.ErrTooLarge} {
		_, got := attachment.ParsePointer(fields(data(64), data(32), size))
		require.ErrorIs(t, got, err)
	}
	_, err = attachment.ParsePointer(make([]byte, wire.MaxAttachmentPointer+1))
	require.ErrorIs(t, err, attachment.ErrTooLarge)
}

// The list of the largest attachment, and all else, are within what is read.
func TestPointerOfTheLargest(t *testing.T) {
	size, err := attachment.EncryptedSize(attachment.MaxSize)
	require.NoError(t, err)
	p := &attachment.Pointer{Size: attachment.MaxSize, ChunkSize: 2 << 20, MACs: make([]byte, (size/(2<<20)+1)*32)}
	_, err = attachment.ParsePointer(p.Bytes())
	require.NoError(t, err)
	require.Less(t, len(p.MACs), 1<<20)
}

func TestATT_04_KeyLength(t *testing.T) {
	for _, n := range []int{0, 1, 32, 63, 65, 96, 128} {
		p, err := attachment.ParsePointer(fields(make([]byte, n), data(32), 1))
		require.ErrorIs(t, err, attachment.ErrMalformed)
		require.Nil(t, p)
	}
}

func TestATT_03_DigestLength(t *testing.T) {
	for _, n := range []int{-1, 0, 1, 31, 33, 64} {
		var digest []byte
		if n >= 0 {
			digest = make([]byte, n)
		}
		p, err := attachment.ParsePointer(fields(data(64), digest, 1))
		require.ErrorIs(t, err, attachment.ErrDigest)
		require.Nil(t, p)
	}
}
