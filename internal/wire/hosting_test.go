package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

func roundHosting(b []byte) ([]byte, error) {
	h, err := wire.ParseHosting(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendHosting(nil, h), nil
}

func roundEvidence(b []byte) ([]byte, error) {
	e, err := wire.ParseEvidence(b)
	if err != nil {
		return nil, err
	}
	return wire.AppendEvidence(nil, e), nil
}

func hostingRecordFields() []fld {
	return []fld{num32(1, 3), raw(2, seq(5)), raw(3, seq(6)), num64(4, 1<<40), raw(5, seq(7)), num64(6, 8), num64(7, 9), raw(8, seq(32)),
		num64(9, 10), num64(10, 11), num64(11, 12), num32(12, 13), num64(13, 1<<63), num64(14, 1<<62), raw(15, seq(64)), num64(16, 15)}
}

func TestHosting(t *testing.T) {
	in := encode(hostingRecordFields())
	h, err := wire.ParseHosting(in)
	require.NoError(t, err)
	require.Equal(t, &wire.Hosting{State: 3, Current: seq(5), Pending: seq(6), Epoch: 1 << 40, Conflicting: seq(7), Since: 8, Consented: 9, Claimed: seq(32),
		Asked: 10, Told: 11, Warned: 12, Warning: 13, Unlisted: 1 << 63, UnlistedToo: 1 << 62, Former: seq(64), Disputed: 15}, h)
	require.Equal(t, in, wire.AppendHosting(nil, h))
	for i := range hostingRecordFields() { // each alone
		b := encode(hostingRecordFields()[i : i+1])
		got, err := roundHosting(b)
		require.NoError(t, err)
		require.Equal(t, b, got)
	}
	for _, b := range [][]byte{encode([]fld{raw(8, seq(31))}), encode([]fld{raw(8, seq(33))}), encode([]fld{num32(2, 1)}), in[:3],
		encode([]fld{raw(15, seq(31))}), encode([]fld{raw(15, make([]byte, 32*wire.MaxFormerKeys+32))})} {
		h, err := wire.ParseHosting(b)
		require.ErrorIs(t, err, wire.ErrMalformed)
		require.Nil(t, h)
	}
	_, err = wire.ParseHosting(make([]byte, 3*wire.MaxManifest+32*wire.MaxFormerKeys+257))
	require.ErrorIs(t, err, wire.ErrTooLarge)
}

func TestEvidence(t *testing.T) {
	in := encode([]fld{raw(1, seq(5)), raw(2, seq(6))})
	e, err := wire.ParseEvidence(in)
	require.NoError(t, err)
	require.Equal(t, &wire.Evidence{First: seq(5), Second: seq(6)}, e)
	require.Equal(t, in, wire.AppendEvidence(nil, e))
	_, err = wire.ParseEvidence(in[:3])
	require.ErrorIs(t, err, wire.ErrMalformed)
	_, err = wire.ParseEvidence(make([]byte, 2*wire.MaxManifest+17))
	require.ErrorIs(t, err, wire.ErrTooLarge)
}

func FuzzHosting(f *testing.F) {
	f.Add(encode(hostingRecordFields()))
	f.Add(encode([]fld{raw(1, seq(5)), raw(2, seq(6))}))
	for _, c := range noteCodecs {
		f.Add(encode(c.fields))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzz {
			return
		}
		fixpoint(t, b, roundHosting)
		fixpoint(t, b, roundEvidence)
		for _, c := range noteCodecs {
			fixpoint(t, b, c.round)
		}
	})
}
