package wire_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// The examples of sealed-groups-fingerprint, Sections 7.4 and 10.10, and every
// length on the way.
func TestPAD_01_Padding(t *testing.T) {
	for n, want := range map[int]int{0: 79, 1: 79, 77: 79, 78: 79, 79: 159, 80: 159, 157: 159, 158: 159, 159: 239, 160: 239} {
		require.Equal(t, want, wire.PaddedSize(n), n)
	}
	for n := range 1000 {
		content := seqFrom(n, 0x80) // with the marker, and zeros, inside
		padded := wire.AppendPadded([]byte("before"), content)
		require.Equal(t, padded[len("before"):], wire.Pad(append(make([]byte, 0, 100), content...)))
		require.Equal(t, "before", string(padded[:6]))
		padded = padded[6:]
		require.Len(t, padded, wire.PaddedSize(n))
		require.Equal(t, 79, len(padded)%80)
		require.Greater(t, len(padded), n)
		require.LessOrEqual(t, len(padded), n+80)
		got, err := wire.TrimPadding(padded)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, got))
		require.Equal(t, n, cap(got)) // who appends to it gets a slice of their own
	}
}

// What was in the room of dst does not become padding.
func TestPAD_01_PaddingIsZero(t *testing.T) {
	dirty := bytes.Repeat([]byte{0xFF}, 400)
	padded := wire.AppendPadded(dirty[:3], []byte("text"))
	require.Equal(t, append([]byte("\xFF\xFF\xFFtext\x80"), make([]byte, 79-5)...), padded)
}

func TestPAD_01_Trim(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"\x80", ""}, {"\x80\x00\x00", ""}, {"\x80\x80\x00", "\x80"}, {"a\x80", "a"}, {"a\x00\x80\x00", "a\x00"},
		{"\x00\x80", "\x00"}, {"a" + "\x80" + string(make([]byte, 500)), "a"}, // any block
	} {
		got, err := wire.TrimPadding([]byte(c.in))
		require.NoError(t, err, "%q", c.in)
		require.Equal(t, c.out, string(got))
	}
	for _, in := range []string{"", "\x00", string(make([]byte, 79)), "a", "a\x00\x00", "\x80\x01", "\x80\x00\x01\x00", "\x80\x00a", "\x40", "\x80\x00\x81\x00"} {
		got, err := wire.TrimPadding([]byte(in))
		require.ErrorIs(t, err, wire.ErrMalformed, "%q", in)
		require.Nil(t, got)
	}
}

// Of contents of up to 10,000 bytes 126 lengths are seen, 80 bytes apart.
func TestPAD_02_Lengths(t *testing.T) {
	seen := map[int]bool{}
	for n := range 10_001 {
		seen[wire.PaddedSize(n)] = true
		require.Zero(t, (wire.PaddedSize(n)+1)%80)
	}
	require.Len(t, seen, 126)
}

// FuzzF24Padding strips arbitrary bytes: what comes out, padded again, is a
// prefix of what went in, but for zeros.
func FuzzF24Padding(f *testing.F) {
	for _, s := range []string{"", "\x80", "\x00\x00", "text\x80\x00\x00", "text\x80\x00\x01", "\x80\x80\x80", "\x80\x00\x7f\x00"} {
		f.Add([]byte(s))
	}
	f.Add(wire.AppendPadded(nil, []byte("text")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		before := bytes.Clone(b)
		again, err := wire.TrimPadding(wire.AppendPadded(nil, b))
		require.NoError(t, err)
		require.True(t, bytes.Equal(b, again))
		got, err := wire.TrimPadding(b)
		require.Equal(t, before, b)
		if err != nil {
			require.ErrorIs(t, err, wire.ErrMalformed)
			require.Nil(t, got)
			rest := bytes.TrimRight(b, "\x00")
			require.False(t, bytes.HasSuffix(rest, []byte{0x80}))
			return
		}
		require.True(t, bytes.HasPrefix(b, append(bytes.Clone(got), 0x80)))
		require.Empty(t, bytes.Trim(b[len(got)+1:], "\x00"))
	})
}
