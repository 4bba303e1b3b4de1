package ratchet_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/wire"
	"github.com/gembok-e2ee/gembok/ratchet"
)

// A window is a loss window of design, Section 8, as far as one session has it.
type window struct {
	// late returns bob, and a message of alice's that comes so late to him.
	late            func(t *testing.T, n int) (bob *ratchet.Session, msg []byte, o *ratchet.DecryptOptions)
	inside, outside int
	want            error
}

var windows = map[string]window{
	"receiver chains": {lateByChains, 4, 5, ratchet.ErrAuth},
	"skipped keys":    {lateInChain, 2000, 2001, ratchet.ErrDuplicate},
	"indices of the post-quantum ratchet, over two chains": {lateByIndices, 2000, 2001, ratchet.ErrAuth},
	"epochs of the post-quantum ratchet":                   {lateByEpochs, 1, 2, ratchet.ErrAuth},
	"jump by a new ratchet key":                            {aheadUnderNewKey, 2000, 2001, ratchet.ErrTooFar},
}

func TestRAT_08_LossWindows(t *testing.T) {
	for name, w := range windows {
		t.Run(name, func(t *testing.T) {
			bob, msg, o := w.late(t, w.outside)
			refuse(t, bob, msg, o, w.want)
			bob, msg, o = w.late(t, w.inside)
			got, err := bob.Decrypt(msg, o)
			require.NoError(t, err)
			require.Equal(t, "late", string(got))
			refuse(t, bob, msg, o, ratchet.ErrDuplicate)
		})
	}
}

func lateByChains(t *testing.T, n int) (*ratchet.Session, []byte, *ratchet.DecryptOptions) {
	alice, bob := newTalk(t)
	msg := send(t, alice, []byte("late"))
	say(t, alice, bob, "in time")
	for range n {
		say(t, bob, alice, "ping")
		say(t, alice, bob, "pong")
	}
	return bob, msg, nil
}

func lateInChain(t *testing.T, n int) (*ratchet.Session, []byte, *ratchet.DecryptOptions) {
	alice, bob := newTalk(t)
	say(t, alice, bob, "in time")
	msg := send(t, alice, []byte("late"))
	skip(t, alice, n-1)
	say(t, alice, bob, "newest")
	return bob, msg, nil
}

func lateByIndices(t *testing.T, n int) (*ratchet.Session, []byte, *ratchet.DecryptOptions) {
	alice, bob := newTalk(t)
	msg := send(t, alice, []byte("late"))
	say(t, alice, bob, "in time")
	say(t, bob, alice, "ping")
	skip(t, alice, n-2)
	newest := send(t, alice, nil)
	read(t, bob, newest)
	require.EqualValues(t, n, header(t, newest).Index-header(t, msg).Index)
	return bob, msg, nil
}

func lateByEpochs(t *testing.T, n int) (*ratchet.Session, []byte, *ratchet.DecryptOptions) {
	alice, bob := newTalk(t)
	msg := send(t, alice, []byte("late"))
	for want := header(t, msg).Epoch + uint64(n); ; {
		for range 40 { // as many chunks as any part takes, in one chain
			say(t, alice, bob, "ping")
		}
		for range 40 {
			pong := send(t, bob, []byte("pong"))
			require.Equal(t, "pong", read(t, alice, pong))
			if header(t, pong).Epoch == want {
				require.True(t, bob.HasReceiver(message(t, msg).RatchetKey))
				return bob, msg, nil
			}
		}
	}
}

func aheadUnderNewKey(t *testing.T, n int) (*ratchet.Session, []byte, *ratchet.DecryptOptions) {
	alice, bob := newTalk(t)
	skip(t, alice, n)
	return bob, send(t, alice, []byte("late")), &ratchet.DecryptOptions{MaxNewJump: 2000}
}

// header returns epoch and index of a message.
func header(t testing.TB, msg []byte) (m wire.SPQRMessage) {
	t.Helper()
	_, err := m.ParsePreamble(message(t, msg).PQRatchet)
	require.NoError(t, err)
	return m
}
