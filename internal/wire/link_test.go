package wire_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func TestLinkBytes(t *testing.T) {
	want := wire.Link{User: "alice", Device: 127, Identity: seq(69)}
	fs := []fld{num32(1, wire.LinkVersion), raw(2, []byte("alice")), num32(3, 127), raw(4, seq(69))}
	require.Equal(t, encode(fs), wire.AppendLink(nil, &want))
	for _, u := range unknown() {
		got, err := wire.ParseLink(append(encode(fs), u...))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for v, class := range map[uint64]error{0: wire.ErrMalformed, 2: wire.ErrVersion, math.MaxUint32: wire.ErrVersion} {
		fs[0].u = v
		got, err := wire.ParseLink(encode(fs))
		require.ErrorIs(t, err, class)
		require.Zero(t, got.Identity)
	}
	_, err := wire.ParseLink(make([]byte, wire.MaxLink+1))
	require.ErrorIs(t, err, wire.ErrTooLarge)
}
