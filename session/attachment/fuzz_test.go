package attachment_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// A chopped source returns as many bytes at a time as a list of lengths says,
// again and again; a length of 0 is nothing, without an error.
type chopped struct {
	r       io.Reader
	lengths []byte
	n       int
}

func (c *chopped) Read(b []byte) (int, error) {
	if len(c.lengths) == 0 {
		return c.r.Read(b)
	}
	n := int(c.lengths[c.n%len(c.lengths)])
	if c.n++; c.n%50 == 0 {
		n++ // so that it goes on
	}
	return c.r.Read(b[:min(len(b), n*n)])
}

// FuzzF22AttachmentStream encrypts what is written in arbitrary pieces, and
// decrypts what arrives in others and is read in others, under any chunk size.
// Then a byte is changed, or the end is cut off: what is returned is a beginning
// of the plaintext, and the error is one of ours.
func FuzzF22AttachmentStream(f *testing.F) {
	f.Add(uint16(4), []byte{1, 0, 2}, uint16(0), uint16(5), byte(0))
	f.Add(uint16(2000), []byte{}, uint16(255), uint16(700), byte(1))
	f.Add(uint16(541), []byte{9, 8, 7}, uint16(15), uint16(580), byte(0x40))
	f.Add(uint16(0), []byte{200}, uint16(1000), uint16(0), byte(0xFF))
	f.Fuzz(func(t *testing.T, n uint16, lengths []byte, chunk, at uint16, flip byte) {
		if n > 4<<10 || len(lengths) > 10 {
			return
		}
		plaintext := data(int(n))
		var blob bytes.Buffer
		w, err := attachment.NewWriter(&blob, attachment.UnknownSize)
		require.NoError(t, err)
		_, err = io.CopyBuffer(struct{ io.Writer }{w}, &chopped{r: bytes.NewReader(plaintext), lengths: lengths}, make([]byte, 512))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		p := relist(w.Pointer(), blob.Bytes(), int(chunk)+1)
		size, err := attachment.EncryptedSize(int64(len(plaintext)))
		require.NoError(t, err)
		require.EqualValues(t, size, blob.Len())

		got, err := readChopped(p, blob.Bytes(), lengths)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plaintext, got))

		bad := bytes.Clone(blob.Bytes())
		i := int(at) % len(bad)
		if bad[i] ^= flip; flip == 0 {
			bad = bad[:i]
		}
		got, err = readChopped(p, bad, lengths)
		require.True(t, errors.Is(err, attachment.ErrAuth) || errors.Is(err, attachment.ErrMalformed), "%v", err)
		require.True(t, bytes.HasPrefix(plaintext, got))
		require.LessOrEqual(t, len(got), i)
		_, err = p.OpenAt(bytes.NewReader(bad), int64(len(bad)))
		require.True(t, errors.Is(err, attachment.ErrAuth) || errors.Is(err, attachment.ErrMalformed), "%v", err)
	})
}

// readChopped decrypts blob, with pieces of those lengths on both sides.
func readChopped(p *attachment.Pointer, blob, lengths []byte) ([]byte, error) {
	r, err := p.Open(&chopped{r: bytes.NewReader(blob), lengths: lengths})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var got bytes.Buffer
	_, err = io.CopyBuffer(struct{ io.Writer }{&got}, &chopped{r: r, lengths: lengths}, make([]byte, 512))
	return got.Bytes(), err
}
