package wire_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
)

// What is too short is found first, then the version, whose low nibble does not
// count (sealed-groups-fingerprint, Section 4.2).
func TestGroupVersions(t *testing.T) {
	message, distribution := encode(senderKeyFields()), encode(distributionFields())
	for v := range 256 {
		for _, b := range [][]byte{slices.Concat([]byte{byte(v)}, message, signature), append([]byte{byte(v)}, distribution...)} {
			_, short := wire.ParseSenderKeyMessage(b[:64])
			require.ErrorIs(t, short, wire.ErrMalformed)
			_, short = wire.ParseSenderKeyDistributionMessage(b[:64])
			require.ErrorIs(t, short, wire.ErrMalformed)
		}
		m, err := wire.ParseSenderKeyMessage(slices.Concat([]byte{byte(v)}, message, signature))
		d, other := wire.ParseSenderKeyDistributionMessage(append([]byte{byte(v)}, distribution...))
		if v>>4 != 3 {
			require.ErrorIs(t, err, wire.ErrVersion)
			require.ErrorIs(t, other, wire.ErrVersion)
			require.Equal(t, wire.SenderKeyMessage{}, m)
			require.Equal(t, wire.SenderKeyDistributionMessage{}, d)
			continue
		}
		require.NoError(t, err)
		require.NoError(t, other)
		require.Equal(t, []byte{3, 3}, []byte{m.Version, d.Version})
		require.Equal(t, append([]byte{byte(v)}, message...), m.Body)
		require.Equal(t, signature, m.Signature)
	}
}

func TestGRP_12_Sizes(t *testing.T) {
	for i, sizes := range map[int][]int{0: {0, 15, 17}, 3: {0, 31, 33}, 4: {0, 32, 34}} {
		for _, n := range sizes {
			fs := distributionFields()
			fs[i].b = seq(n)
			b := frameDistribution(append(encode(fs), raw(99, seq(40)).append(nil)...))
			m, err := wire.ParseSenderKeyDistributionMessage(b)
			require.ErrorIs(t, err, wire.ErrMalformed)
			require.Equal(t, wire.SenderKeyDistributionMessage{}, m)
			if i == 0 {
				fs := senderKeyFields()
				fs[0].b = seq(n)
				_, err := wire.ParseSenderKeyMessage(frameGroup(encode(fs)))
				require.ErrorIs(t, err, wire.ErrMalformed)
			}
		}
	}
	whole := frameDistribution(encode(distributionFields()))
	for n := range whole {
		_, err := wire.ParseSenderKeyDistributionMessage(whole[:n])
		require.ErrorIs(t, err, wire.ErrMalformed)
	}
	// A signature is the last 64 bytes, whatever they are.
	group := frameGroup(encode(senderKeyFields()))
	for n := range group {
		_, err := wire.ParseSenderKeyMessage(group[:n])
		require.ErrorIs(t, err, wire.ErrMalformed, "%d", n)
	}
	for n := range 40 {
		fs := senderKeyFields()
		fs[3].b = seq(n)
		m, err := wire.ParseSenderKeyMessage(frameGroup(encode(fs)))
		require.NoError(t, err)
		require.Len(t, m.Ciphertext, n)
		b := wire.AppendSenderKeyMessage(nil, &m)
		require.GreaterOrEqual(t, cap(b)-len(b), wire.SignatureSize)
	}
}

func TestGroupFieldsAreFenced(t *testing.T) {
	b := frameGroup(encode(senderKeyFields()))
	before := slices.Clone(b)
	m, err := wire.ParseSenderKeyMessage(b)
	require.NoError(t, err)
	for _, f := range [][]byte{m.Distribution, m.Ciphertext, m.Body, m.Signature} {
		_ = append(f, "over what follows"...)
	}
	require.Equal(t, before, b)
}
