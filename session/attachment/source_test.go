package attachment_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/session/attachment"
)

// A changing is a file that another program writes to between the first and the
// second reading.
type changing struct {
	first, then []byte
	reads, from int // from which read on it is another
}

func (c *changing) ReadAt(b []byte, at int64) (int, error) {
	if c.reads++; c.reads > c.from {
		return bytes.NewReader(c.then).ReadAt(b, at)
	}
	return bytes.NewReader(c.first).ReadAt(b, at)
}

func TestATT_07_ChangedBetweenReadings(t *testing.T) {
	plaintext, blob, p := long(t)
	again := func(then []byte) {
		t.Helper()
		c := &changing{first: blob, then: then, from: math.MaxInt}
		r, err := p.OpenAt(c, int64(len(blob)))
		require.NoError(t, err)
		c.from = c.reads
		got, err := io.ReadAll(r)
		if len(then) < 64 {
			require.ErrorIs(t, err, attachment.ErrMalformed)
		} else {
			require.ErrorIs(t, err, attachment.ErrAuth)
		}
		require.True(t, bytes.HasPrefix(plaintext, got))
		for i := range got { // whole chunks that are as they were
			if i&0xFFF == 0 {
				require.True(t, bytes.Equal(blob[i:i+16], then[i:i+16]))
			}
		}
		_, again := r.Read(make([]byte, 1))
		require.Equal(t, err, again)
	}
	for at := 0; at < len(blob); at += every(997) {
		then := slices.Clone(blob)
		then[at] ^= 1
		again(then)
	}
	for _, n := range []int{0, 1, 63, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 192 << 10, len(blob) - 48, len(blob) - 1} {
		again(blob[:n])
	}
	then := slices.Clone(blob) // chunks that changed places
	copy(then, blob[64<<10:128<<10])
	copy(then[64<<10:], blob[:64<<10])
	again(then)
	other, _ := seal(t, plaintext, int64(len(plaintext)))
	again(other)

	// What grows is not looked at.
	c := &changing{first: append(slices.Clone(blob), 1, 2, 3), from: math.MaxInt}
	r, err := p.OpenAt(c, int64(len(blob)))
	require.NoError(t, err)
	got, err := readAll(t, r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(plaintext, got))

	// What changes while it is read for the first time is wrong then or later.
	for from := range 4 {
		then := slices.Clone(blob)
		for at := 0; at < len(then); at += 1000 {
			then[at] ^= 1
		}
		_, err := p.OpenAt(&changing{first: blob, then: then, from: from}, int64(len(blob)))
		require.ErrorIs(t, err, attachment.ErrAuth)
	}
	_, err = p.OpenAt(bytes.NewReader(blob[:len(blob)-1]), int64(len(blob)))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// The error of a source is given on, final, and not the end.
func TestSourceErrors(t *testing.T) {
	plaintext, blob, p := long(t)
	lost := errors.New("lost")
	for _, n := range []int{0, 1, 1000, 70_000, 140_000, len(blob) - 1, len(blob)} {
		for _, failed := range []error{lost, io.ErrUnexpectedEOF} {
			r, err := p.Open(io.MultiReader(bytes.NewReader(blob[:n]), iotest.ErrReader(failed), bytes.NewReader(blob[n:])))
			require.NoError(t, err)
			got, err := readAll(t, r)
			require.Equal(t, failed, err)
			require.True(t, bytes.HasPrefix(plaintext, got))
		}
		c := &changing{first: blob, from: math.MaxInt}
		r, err := p.OpenAt(&failing{c, lost, math.MaxInt}, int64(len(blob)))
		require.NoError(t, err)
		_, err = readAll(t, r)
		require.NoError(t, err)
		_, err = p.OpenAt(&failing{c, lost, int64(n)}, int64(len(blob)))
		if n < len(blob) {
			require.Equal(t, lost, err)
		}
	}
	r, err := p.Open(&idle{never: true})
	require.NoError(t, err)
	_, err = readAll(t, r)
	require.Equal(t, io.ErrNoProgress, err)
}

type failing struct {
	io.ReaderAt
	err  error
	from int64
}

func (f *failing) ReadAt(b []byte, at int64) (int, error) {
	if at+int64(len(b)) > f.from {
		return 0, f.err
	}
	return f.ReaderAt.ReadAt(b, at)
}

// Closed at any time, a Reader answers ErrClosed, and the source is left alone.
func TestClose(t *testing.T) {
	_, blob, p := long(t)
	for _, w := range ways {
		for _, n := range []int{0, 1, 100_000} {
			r, err := w.open(p, blob)
			require.NoError(t, err)
			_, err = io.ReadFull(r, make([]byte, n))
			require.NoError(t, err)
			m, err := r.Read(nil)
			require.NoError(t, err)
			require.Zero(t, m)
			require.NoError(t, r.Close())
			require.NoError(t, r.Close())
			_, err = r.Read(make([]byte, 1))
			require.Equal(t, attachment.ErrClosed, err)
		}
	}
}
