package interop_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/interop"
	"github.com/gembok-e2ee/gembok/internal/wire"
)

// sizes are the lengths of what a conversation makes, in bytes: its messages,
// and the session records of both ends.
type sizes struct {
	message  []int
	answered int     // the responder's record when it has read the first message
	pingPong float64 // mean of both records over two epochs of the post-quantum ratchet
	skipped  int     // the reader's record with as many skipped keys as are kept
}

// measure has two ends of one library talk.
func measure(t *testing.T, a, b end) (s sizes) {
	pass := func(from, to end) {
		m := from.encrypt(t, make([]byte, 100))
		s.message = append(s.message, len(m.Bytes))
		_, err := to.decrypt(m)
		require.NoError(t, err)
	}
	a.begin(t, b.bundle(t, true))
	pass(a, b)
	s.answered = len(b.record(t))
	const turns = 174
	for range turns {
		a, b = b, a
		pass(a, b)
		s.pingPong += float64(len(a.record(t))+len(b.record(t))) / (2 * turns)
	}
	for range wire.MaxSkipped {
		s.message = append(s.message, len(a.encrypt(t, make([]byte, 100)).Bytes))
	}
	pass(a, b)
	s.skipped = len(b.record(t))
	return s
}

// Messages are as long as the official library's, and session records no longer
// than what it keeps in the same state.
func TestInteropSizes(t *testing.T) {
	p := interop.Start(t)
	at := [2]interop.Address{{Name: aliceName, Device: 1}, {Name: bobName, Device: 1}}
	ours := measure(t, newGembok(t, p, at[0], at[1]), newGembok(t, p, at[1], at[0]))
	theirs := measure(t, newOfficial(t, p, at[0], at[1]), newOfficial(t, p, at[1], at[0]))
	t.Logf("record after the first message: %d bytes, official %d", ours.answered, theirs.answered)
	t.Logf("record in ping-pong, mean: %.0f bytes, official %.0f", ours.pingPong, theirs.pingPong)
	t.Logf("record with %d skipped keys: %d bytes, official %d", wire.MaxSkipped, ours.skipped, theirs.skipped)
	require.LessOrEqual(t, ours.answered, theirs.answered)
	require.LessOrEqual(t, ours.pingPong, theirs.pingPong)
	require.LessOrEqual(t, ours.skipped, theirs.skipped)
	require.Equal(t, theirs.message, ours.message)
}
