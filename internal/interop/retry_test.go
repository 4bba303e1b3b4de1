package interop_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// The helpers, with the official library at both ends: a request for a message
// on the current session, and on an archived one.
func TestPeerRetries(t *testing.T) {
	p := interop.Share(t)
	a, b := newParty(t, p, "anna", 11), newParty(t, p, "bert", 12)
	begin(t, a, b, interop.BundleOptions{})
	failed := send(t, a, b, "never read")
	asked, err := p.RequestRetry(failed, 1_700_000_000_123, 1)
	require.NoError(t, err)
	require.Equal(t, interop.Plaintext, asked.Type)
	got, err := a.ReadRetry(b.Address, asked)
	require.NoError(t, err)
	require.Equal(t, &interop.Retry{SentAt: 1_700_000_000_123, Device: 1, RatchetKey: failedKey(t, failed), Current: true}, got)
	id, err := a.RemoteRegistrationID(b.Address)
	require.NoError(t, err)
	require.EqualValues(t, 12, id)

	require.NoError(t, a.Archive(b.Address))
	got, err = a.ReadRetry(b.Address, asked)
	require.NoError(t, err)
	require.False(t, got.Current)
	id, err = a.RemoteRegistrationID(b.Address)
	require.NoError(t, err)
	require.Zero(t, id)
	_, err = a.Encrypt(b.Address, nil, time.Time{})
	require.Error(t, err)
	peerError(t, second(p.RequestRetry(asked, 1, 1)), "Generic")
}

// failedKey is the ratchet key under which m was encrypted.
func failedKey(t *testing.T, m interop.Message) interop.Hex {
	t.Helper()
	out, err := wire.NewDecryptionErrorMessage(m.Bytes, wire.MessageType(m.Type), 0, 0)
	require.NoError(t, err)
	return out.RatchetKey
}

// Requests of either library are the same bytes, and the other reads in them
// what the one wrote.
func TestInteropRetryEncodings(t *testing.T) {
	p := interop.Share(t)
	r := random(t)
	reader := newParty(t, p, "anna", 11)
	compared := 0
	for range cases(500) {
		m := interop.Message{Type: interop.Whisper, Bytes: signalMessage(r)}
		if r.IntN(2) == 0 {
			m = interop.Message{Type: interop.PreKey, Bytes: preKeySignalMessage(r)}
		}
		at, device := timestamp(r)>>11, number(r)
		asked, err := p.RequestRetry(m, at, device)
		if err != nil { // for the keys of a message of random parts
			requirePeerError(t, err)
			continue
		}
		ours, err := wire.NewDecryptionErrorMessage(m.Bytes, wire.MessageType(m.Type), at, device)
		require.NoError(t, err)
		written := interop.Message{Type: interop.Plaintext, Bytes: wire.AppendPlaintextContent(nil, &ours)}
		require.Equal(t, asked, written)
		theirs, err := wire.ParsePlaintextContent(asked.Bytes)
		require.NoError(t, err)
		require.Equal(t, ours, theirs)
		got, err := reader.ReadRetry(interop.Address{Name: "bert", Device: 1}, written)
		require.NoError(t, err)
		require.Equal(t, &interop.Retry{SentAt: at, Device: device, RatchetKey: ours.RatchetKey}, got)
		compared++
	}
	require.Greater(t, compared, cases(500)/4)
}
