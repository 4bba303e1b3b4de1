package session_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gembok-e2ee/gembok/internal/testutil"
	"github.com/gembok-e2ee/gembok/ratchet"
	"github.com/gembok-e2ee/gembok/session"
)

// FuzzF27Decrypt gives arbitrary bytes, of either type, to a device that holds
// 41 sessions with the sender: whatever they are, it does not panic, and an
// error leaves the store as it was. The device is the same in every run.
func FuzzF27Decrypt(f *testing.F) {
	var p *pair
	var ends []*ratchet.Session
	withCoins(27, func() { p, ends = many(f, 41) })
	withCoins(28, func() {
		p.alice.begin(f, p.bob)
		for _, m := range []*session.Message{
			p.alice.send(f, p.bob, "first"), says(f, ends[40], "current"), says(f, ends[5], "archived"), says(f, ends[5], "archived"),
			hostile(0, 1, 2), hostile(2000, 1, 2000), hostile(math.MaxUint32, math.MaxUint64, math.MaxUint32), p.bob.send(f, p.alice, "reflected"),
		} {
			f.Add(byte(m.Type), m.Bytes)
			f.Add(byte(m.Type)^1, m.Bytes)
			f.Add(byte(m.Type), m.Bytes[:len(m.Bytes)-9])
		}
	})
	f.Add(byte(3), []byte{0x44})
	f.Add(byte(2), []byte{})
	base := p.bob.reopen(f)
	before := testutil.StoreDigest(f, base.store)
	bob := base.reopen(f)
	f.Fuzz(func(t *testing.T, kind byte, b []byte) {
		r, err := bob.Decrypt(ctx, aliceAddress, &session.Message{Type: session.MessageType(kind), Bytes: b}, nil)
		if err == nil {
			require.NotNil(t, r)
			bob = base.reopen(t)
			return
		}
		require.Nil(t, r)
		requireQuiet(t, err)
		require.Equal(t, before, testutil.StoreDigest(t, bob.store))
	})
}
