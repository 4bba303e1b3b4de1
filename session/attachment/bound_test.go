package attachment_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// However small a chunk is, and however short the list, checking takes little
// memory.
func TestATT_05_SmallChunksMemory(t *testing.T) {
	_, blob, p := long(t)
	for _, chunk := range []uint32{1, 2, 15, 16} {
		p := *p
		p.ChunkSize = chunk
		p.MACs = make([]byte, 64)
		r, err := p.Open(bytes.NewReader(blob))
		require.NoError(t, err)
		require.Less(t, allocated(func() {
			_, err = io.Copy(io.Discard, r)
		}), int64(512<<10), chunk)
		require.ErrorIs(t, err, attachment.ErrAuth)
	}
}

// A source that ends too early does so by an error that is no end.
func TestATT_02_ShortSourceAt(t *testing.T) {
	_, blob, p := long(t)
	for _, n := range []int{0, 1, 64 << 10, 64<<10 + 1, 128 << 10, len(blob) - 1} {
		_, err := p.OpenAt(bytes.NewReader(blob[:n]), int64(len(blob)))
		require.Equal(t, io.ErrUnexpectedEOF, err, n)
	}
}
